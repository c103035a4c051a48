//! proxywheel: a list of URLs goes in, one honest row per URL comes out, fetched through a rotating pool of forward proxies.

// Layer 0: vocabulary. Plain data; no tokio, no clock, no I/O.
pub mod error;
pub mod exchange;
pub mod job;
pub mod outcome;
pub mod proxy;
pub mod secret;
pub mod text;

// Layer 1: policy. Pure decisions; `now` and rng are parameters.
pub mod ban;
pub mod limit;
pub mod pool;
pub mod retry;

// Layer 2: edges. The only I/O.
pub mod egress;
pub mod input;
pub mod output;

// Layer 3: engines. Concurrency lives here.
pub mod engine;
pub mod metrics;

// Layer 4: attachments. Layers 0-3 never name them.
pub mod lab;

// Layer 5: assembly.
pub mod client;
pub mod config;

// Layer 6: the face.
pub mod cli;
