//! What a CONNECT to a plain judge says of a proxy, where there is no other judge.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::{answered, check_by, opened, signed};
use crate::check::{Report, Verdict};
use crate::echo::{self, Key};
use crate::egress::{Egress, Outgoing, ProbeReport};
use crate::exchange::Exchange;
use crate::job::HostKey;
use crate::outcome::{Fault, FaultKind, Phase};
use crate::proxy::Proxy;

/// A proxy that forwards or does not, and opens a tunnel to the judge's port or does not.
struct Ways {
    key: Key,
    forwards: bool,
    tunnels: bool,
}

impl Egress for Ways {
    async fn probe(&self, _: Arc<Proxy>, _: Option<HostKey>, _: Duration) -> ProbeReport {
        let refused = Fault::new(Phase::Handshake, FaultKind::Rejected(403), "refused");
        match self.tunnels {
            true => opened(),
            false => ProbeReport {
                result: Err(refused),
                ..opened()
            },
        }
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if !self.forwards && !outgoing.proxy.is_direct() {
            return answered(StatusCode::METHOD_NOT_ALLOWED, Vec::new());
        }
        let (_, nonce) = outgoing.url.query_pairs().next().expect("a nonce");
        let bytes = match outgoing.url.path() {
            "/canary" => echo::canary(&nonce).into_bytes(),
            _ => signed(outgoing.url, nonce.into_owned(), &self.key),
        };
        answered(StatusCode::OK, bytes)
    }
}

async fn check(forwards: bool, tunnels: bool) -> Report {
    let key = Key::generate().unwrap();
    let ways = Ways {
        key,
        forwards,
        tunnels,
    };
    check_by(ways, 1).await.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_refused_to_a_port_that_is_not_of_https_says_nothing() {
    let report = check(true, false).await;
    assert_eq!(report.verdict, Verdict::Alive, "{report:?}");
    assert_eq!((report.forwards, report.tunnels), (Some(true), None));
    assert_eq!(check(true, true).await.tunnels, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_for_tunnels_alone_is_not_taken_for_no_proxy() {
    let report = check(false, true).await;
    let told = (report.verdict, report.reason());
    assert_eq!(told, (Verdict::Policy, "no_forward"), "{report:?}");
    assert_eq!((report.forwards, report.tunnels), (Some(false), Some(true)));
    let report = check(false, false).await;
    let told = (report.verdict, report.reason());
    assert_eq!(told, (Verdict::Dead, "not_a_proxy"));
}
