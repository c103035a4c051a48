//! The project's own hostile network on loopback.

mod address;
mod answer;
mod fault;
mod origin;
mod pages;
mod plan;
mod stats;
mod stream;
mod tls;
mod wire;

pub use address::{MAX_PROXIES, ORIGIN_ADDRESS, address_of, number_of};
pub use fault::{BadTls, DRIP_BYTES, Fault, GREETING, TUNNEL_CUT_BYTES};
pub use origin::Origin;
pub use plan::{BanRule, BanStyle, Errors, Flapping, HostPlan, Quota};
pub use stats::{Hit, HostStats, ProxyStats, Stats, busiest_window};
