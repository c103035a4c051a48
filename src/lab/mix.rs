//! A crowd of proxies as one finds them: some good, most not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::builder::ProxySpec;
use super::fault::Fault;
use super::plan::BanStyle;
use super::stats::dice;
use crate::proxy::Scheme;

/// How many proxies of each sort.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mix {
    /// HTTP proxies that answer in 5 to 40 ms.
    pub perfect: u32,
    /// SOCKS5 proxies as good as those.
    pub socks5: u32,
    /// HTTP proxies inside TLS, as good as those.
    pub https: u32,
    /// Answers in 300 to 1200 ms, now and then much later.
    pub slow: u32,
    /// Nobody listens.
    pub refuse: u32,
    /// Connect never completes.
    pub black_hole: u32,
    /// Connects, then silence.
    pub hang: u32,
    /// Connects, then RST.
    pub reset: u32,
    /// Not HTTP.
    pub garbage: u32,
    /// 200 with somebody else's page, no tunnels.
    pub foreign: u32,
    /// 200 without a body.
    pub empty: u32,
    /// Adds an advertisement to plain pages.
    pub inject: u32,
    /// Breaks the target's TLS.
    pub tls_intercept: u32,
    /// Bodies break off.
    pub truncate: u32,
    /// Wants credentials nobody has.
    pub auth: u32,
    /// Refuses CONNECT.
    pub no_tunnel: u32,
    /// Dies after 15 requests and comes back after 3 s.
    pub dying: u32,
    /// Share of (proxy, host) pairs that are banned, 0..=100.
    pub banned_percent: u8,
    /// What the banned ones get.
    pub banned_style: BanStyle,
}

impl Mix {
    /// Sixty proxies, about half of them usable, one pair in eight banned: what `demo` rehearses against.
    pub fn demo() -> Self {
        Mix {
            perfect: 18,
            socks5: 4,
            https: 2,
            slow: 6,
            refuse: 8,
            black_hole: 4,
            hang: 3,
            reset: 2,
            garbage: 2,
            foreign: 2,
            empty: 1,
            inject: 0,
            tls_intercept: 2,
            truncate: 1,
            auth: 1,
            no_tunnel: 2,
            dying: 2,
            banned_percent: 12,
            banned_style: BanStyle::Forbidden,
        }
    }

    /// All proxies, shuffled.
    pub(super) fn specs(&self, seed: u64) -> Vec<ProxySpec> {
        let ms = Duration::from_millis;
        let quick = |scheme| ProxySpec::new(scheme).latency(ms(5), ms(40));
        let http = || quick(Scheme::Http);
        let tail = Fault::TailLatency {
            percent: 3,
            ms: 4_000,
        };
        let dying = Fault::DiesAfter {
            requests: 15,
            revives_after_ms: Some(3_000),
        };
        let foreign = http()
            .fault(Fault::ForeignPage)
            .fault(Fault::ConnectStatus(502));
        let slow = ProxySpec::new(Scheme::Http)
            .latency(ms(300), ms(1200))
            .fault(tail);
        let parts = [
            (self.perfect, http()),
            (self.socks5, quick(Scheme::Socks5)),
            (self.https, quick(Scheme::Https)),
            (self.slow, slow),
            (self.refuse, http().fault(Fault::Refuse)),
            (self.black_hole, http().fault(Fault::BlackHole)),
            (self.hang, http().fault(Fault::HangAfterAccept)),
            (self.reset, http().fault(Fault::Reset)),
            (self.garbage, http().fault(Fault::Garbage)),
            (self.foreign, foreign),
            (self.empty, http().fault(Fault::Empty200)),
            (self.inject, http().fault(Fault::InjectScript)),
            (self.tls_intercept, http().fault(Fault::TlsIntercept)),
            (self.truncate, http().fault(Fault::Truncate)),
            (self.auth, http().fault(Fault::Auth407)),
            (self.no_tunnel, http().fault(Fault::NoTunnel)),
            (self.dying, http().fault(dying)),
        ];
        let mut specs: Vec<_> = parts
            .into_iter()
            .flat_map(|(count, spec)| std::iter::repeat_n(spec, count as usize))
            .collect();
        for at in (1..specs.len()).rev() {
            let other = dice(seed, at as u64, 0, 6) % (at as u64 + 1);
            specs.swap(at, other as usize);
        }
        specs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_sixty_proxies_in_an_order_of_the_seed() {
        let faults = |seed| -> Vec<_> {
            let specs = Mix::demo().specs(seed);
            specs.into_iter().map(|spec| spec.faults).collect()
        };
        assert_eq!(faults(1).len(), 60);
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
    }
}
