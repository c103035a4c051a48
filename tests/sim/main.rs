//! Tests without sockets and without waiting: the engine on a paused clock, the pool on a clock that is a number. Every
//! failure of a random run names its seed.

mod answers;
mod binding;
mod caps;
mod chance;
mod dead_hosts;
mod engine;
mod gateway;
mod hedging;
mod liars;
mod liveness;
mod pool;
mod pool_run;
mod pool_world;
mod queueing;
mod redirects;
mod refused;
mod scale;
mod scenarios;
mod slow_host;
mod strangers;
mod tiers;
mod waiting;
mod world;
mod wrong_scheme;
