//! A list of URLs goes in, one honest row per URL comes out, fetched through a rotating pool of forward proxies, most of which
//! may be dead, slow, lying, or banned.
//!
//! This is the library behind the `proxywheel` program. [`client::Client`] is its door: [`fetch`](client::Client::fetch) takes one
//! URL, [`run`](client::Client::run) a stream of jobs. A failed fetch is a value, not an error: its
//! [`Record`](outcome::Record) says what became of it and lists every attempt; an [`Error`](error::Error) means that nothing can
//! be fetched at all.
//!
//! # Example
//!
//! ```no_run
//! use proxywheel::client::Client;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder()
//!     .proxy("http://user:secret@192.0.2.1:3128")?
//!     .proxy("socks5h://192.0.2.2:1080")?
//!     .host_rate("5/s".parse()?)
//!     .build()?;
//! let page = client.fetch("https://example.com/").await?;
//! println!("{}: {} bytes after {} attempts", page.record.outcome, page.body.len(), page.record.attempts);
//! # Ok(())
//! # }
//! ```
//!
//! # A rehearsal that runs
//!
//! The [`lab`] is a hostile network on loopback. Here one proxy of three is as it should be, one refuses connections and one never
//! answers; the page arrives all the same.
//!
//! ```
//! use proxywheel::client::Client;
//! use proxywheel::lab::{Fault, Lab, Origin, ProxySpec};
//! use proxywheel::proxy::Scheme;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lab = Lab::builder()
//!     .perfect(1)
//!     .proxy(ProxySpec::new(Scheme::Http).fault(Fault::Refuse))
//!     .proxy(ProxySpec::new(Scheme::Socks5).fault(Fault::HangAfterAccept))
//!     .start()
//!     .await?;
//! let client = Client::builder()
//!     .proxies(lab.proxies().into_iter().map(Into::into))
//!     .build()?;
//! let page = client.fetch("http://shop.test/page/1").await?;
//! assert!(page.record.ok);
//! assert_eq!(page.body, Origin::expected_body("shop.test", "/page/1"));
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! - HTTP, HTTPS, SOCKS4, SOCKS4a and SOCKS5 proxies, in every form lists are written in.
//! - Finds the working proxies beside the requests, binds a URL to one only when it is known to connect.
//! - Judges every answer before anything is counted: the target, the (proxy, target) pair, the proxy, this machine, or unknown.
//! - Four limits together, for retries too; `Retry-After` is obeyed.
//! - Never connects to a target directly, never resolves its name, shares no connection, cookie or TLS ticket between exits.
//! - Writes and resumes JSONL, JSON and CSV that survive a kill at any byte ([`output`]).
//!
//! # What it does not do
//!
//! No browser, no JavaScript, no solving of challenges, no HTTP/3. It does not crawl: links are not followed. `robots.txt` is
//! obeyed for what sitemaps list, and else only if asked. What is learned about proxies is kept after the run only if asked ([`state`]). It needs a tokio runtime.
//!
//! # Features
//!
//! `program`, on by default, is the command line with [`state`], [`track`] and [`cli`]. Without it (`default-features = false`) no
//! SQLite is linked, which a program with one of its own needs: two versions do not link.
//!
//! # Modules, lowest first
//!
//! A module uses only those above it; `docs/architecture.md` has the reasons.
//!
//! | Module | Holds |
//! |---|---|
//! | [`error`], [`secret`], [`text`] | errors with hints, strings that cannot be printed, text out of bytes |
//! | [`nearest`], [`units`] | did you mean; durations and sizes as people write them |
//! | [`proxy`], [`job`], [`exchange`], [`outcome`] | the vocabulary: proxies and lists, jobs, raw answers, verdicts and records |
//! | [`observation`] | what a tracking job saw of each thing it watches |
//! | [`echo`] | what a judge tells a client of its own request, signed |
//! | [`ban`], [`limit`], [`retry`], [`pool`] | decisions without I/O or clock |
//! | [`extract`] | fields out of a body |
//! | [`robots`] | what a robots.txt allows |
//! | [`egress`], [`input`], [`output`] | the only I/O: the wire, jobs in, records out |
//! | [`state`] | what is kept between runs |
//! | [`metrics`], [`engine`] | counters, and the run itself |
//! | [`check`] | verdicts on a list of proxies |
//! | [`lab`] | the simulated network |
//! | [`track`] | rank and change monitoring |
//! | [`client`], [`config`] | the library's door; settings from files, variables and flags |
//! | [`cli`] | the program |
// The links to what is not there lead to the feature that has it.
#![cfg_attr(not(feature = "program"), doc = "")]
#![cfg_attr(not(feature = "program"), doc = "[`state`]: #features")]
#![cfg_attr(not(feature = "program"), doc = "[`track`]: #features")]
#![cfg_attr(not(feature = "program"), doc = "[`cli`]: #features")]

// Crates whose types this one's are made of: a program that uses these cannot have another version of them.
pub use {bytes, futures_core, http, serde_json, url};

// Layer 0: vocabulary. Plain data; no tokio, no clock, no I/O.
pub mod echo;
pub mod error;
pub mod exchange;
pub mod job;
pub mod nearest;
pub mod observation;
pub mod outcome;
pub mod proxy;
pub mod secret;
pub mod text;
pub mod units;

// Layer 1: policy. Pure decisions; `now` and rng are parameters.
pub mod ban;
pub mod extract;
pub mod limit;
pub mod pool;
pub mod retry;
pub mod robots;

// Layer 2: edges. The only I/O.
pub mod egress;
pub mod input;
pub mod output;
#[cfg(feature = "program")]
pub mod state;

// Layer 3: engines. Concurrency lives here.
pub mod check;
pub mod engine;
pub mod metrics;

// Layer 4: attachments. Layers 0-3 never name them.
pub mod lab;
#[cfg(feature = "program")]
pub mod track;

// Layer 5: assembly.
pub mod client;
pub mod config;

// Layer 6: the face.
#[cfg(feature = "program")]
pub mod cli;

#[cfg(test)]
#[path = "../tests/common/corpus.rs"]
mod corpus;
