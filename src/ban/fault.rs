//! Verdicts on transport failures: who is to blame when nobody answered.
//!
//! The line is drawn where the target may have been involved. TCP and TLS to the proxy are the proxy's alone. A proxy
//! that speaks garbage, or hangs up instead of answering CONNECT, is at fault whatever the target does. But a proxy that
//! is silent after CONNECT may be waiting for a target that does not answer, exactly like one that had the patience to
//! say 504: that is nobody's certain fault, and the pool, which knows how both have been doing, divides it.

use crate::outcome::{Blame, Charge, Fault, FaultKind, Outcome, Phase, Verdict};

/// Judges a failure without an answer of the proxy.
pub(super) fn judge(fault: &Fault) -> Verdict {
    let (outcome, blame) = sentence(fault);
    Verdict::new(outcome, blame)
}

fn sentence(fault: &Fault) -> (Outcome, Blame) {
    let proxy = |charge| (Outcome::ProxyError, Blame::Proxy(charge));
    match fault.kind {
        FaultKind::Local | FaultKind::NoProxy => return (Outcome::ProxyError, Blame::Local),
        // A lost hedge or an interrupted run says nothing about anybody; `Nobody` would credit the proxy.
        FaultKind::Cancelled => return (Outcome::Cancelled, Blame::Local),
        FaultKind::Auth => return proxy(Charge::Auth),
        // It has no HTTP/2 where that alone was asked for, or a name that no certificate can have.
        FaultKind::Unsupported if fault.phase == Phase::Tls => {
            return (Outcome::TlsError, Blame::Target);
        }
        // A URL that cannot be written into any request: a target may redirect to one.
        FaultKind::Unsupported if fault.phase == Phase::Request => {
            return (Outcome::InvalidUrl, Blame::Target);
        }
        // The protocol of this proxy has no way to name this host; it has for others.
        FaultKind::Unsupported => return proxy(Charge::Policy),
        FaultKind::TooLarge => return (Outcome::TooLarge, Blame::Target),
        FaultKind::Redirects => return (Outcome::HttpError, Blame::Target),
        FaultKind::Decode => return (Outcome::Corrupt, Blame::Unknown),
        FaultKind::Rejected(code) => return rejected(code),
        _ => {}
    }
    let outcome = match (fault.phase, fault.kind) {
        (Phase::Dns | Phase::Connect | Phase::ProxyTls, _) => return proxy(Charge::Unreachable),
        (Phase::Handshake, FaultKind::Timeout) => Outcome::ProxyError,
        (Phase::Handshake, _) => return proxy(Charge::Unreachable),
        (_, FaultKind::Timeout) => Outcome::Timeout,
        // Whatever has answered CONNECT with its 200 has answered this as well, in the plain: it has opened no tunnel. That some
        // targets speak no TLS at this port either is known to who has asked them before.
        (Phase::Tls, FaultKind::Malformed) => {
            return (Outcome::TlsError, Blame::Proxy(Charge::NoTunnel));
        }
        // A bad certificate of the target and a proxy that breaks TLS look the same from one exchange.
        (_, FaultKind::Certificate | FaultKind::OtherCertificate | FaultKind::Tls) => {
            Outcome::TlsError
        }
        (Phase::Body, FaultKind::Closed | FaultKind::Reset | FaultKind::Malformed) => {
            Outcome::Corrupt
        }
        _ => Outcome::NetworkError,
    };
    (outcome, Blame::Unknown)
}

/// A refusal known by its number only: a SOCKS reply code, or a CONNECT status whose text was not kept.
fn rejected(code: u16) -> (Outcome, Blame) {
    let blame = match code {
        // SOCKS5: not allowed by ruleset; command not supported; address type not supported.
        2 => Blame::Proxy(Charge::Policy),
        7 => Blame::Proxy(Charge::NoTunnel),
        8 => Blame::Proxy(Charge::Unreachable),
        // SOCKS4: the proxy wants an identd answer for the user.
        92 | 93 => Blame::Proxy(Charge::Auth),
        // SOCKS5 1, 3..=6 and SOCKS4 91: it could not reach the target, for reasons of its own or of the target.
        ..400 => Blame::Unknown,
        _ => return connect_status(code),
    };
    (Outcome::ProxyError, blame)
}

/// A CONNECT refused with this status by a proxy that gave no other evidence.
///
/// 403 is a policy about this target, and final. 400, 401, 404, 405 and 501 come from things that do not tunnel at all:
/// web servers, router pages, plain-http proxies. (400 and 404 also from proxies that do not find the name; the pool, which
/// sees more than one target, believes only 405 and 501 at once.) 402 and 407 are about the account. 429 limits this account at this
/// target. A redirect answers a question nobody asked: a portal or a suspended account. 5xx means that the proxy could
/// not reach the target.
pub(super) fn connect_status(status: u16) -> (Outcome, Blame) {
    let blame = match status {
        402 | 407 => Blame::Proxy(Charge::Auth),
        403 | 451 => Blame::Proxy(Charge::Policy),
        400 | 401 | 404 | 405 | 501 => Blame::Proxy(Charge::NoTunnel),
        429 => Blame::Pair,
        408 | 500.. => Blame::Unknown,
        _ => Blame::Proxy(Charge::Broken),
    };
    (Outcome::ProxyError, blame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blame_follows_phase_and_kind() {
        use Blame::{Local, Proxy, Target, Unknown};
        use Charge::{Auth, NoTunnel, Policy, Unreachable};
        use FaultKind as Kind;
        use Outcome as O;
        for (phase, kind, expected) in [
            (Phase::Dns, Kind::Dns, (O::ProxyError, Proxy(Unreachable))),
            (
                Phase::Connect,
                Kind::Refused,
                (O::ProxyError, Proxy(Unreachable)),
            ),
            (
                Phase::Connect,
                Kind::Timeout,
                (O::ProxyError, Proxy(Unreachable)),
            ),
            (Phase::Connect, Kind::Local, (O::ProxyError, Local)),
            (
                Phase::ProxyTls,
                Kind::Certificate,
                (O::ProxyError, Proxy(Unreachable)),
            ),
            (
                Phase::Handshake,
                Kind::Malformed,
                (O::ProxyError, Proxy(Unreachable)),
            ),
            (
                Phase::Handshake,
                Kind::Closed,
                (O::ProxyError, Proxy(Unreachable)),
            ),
            (Phase::Handshake, Kind::Timeout, (O::ProxyError, Unknown)),
            (Phase::Handshake, Kind::Auth, (O::ProxyError, Proxy(Auth))),
            (
                Phase::Handshake,
                Kind::Rejected(1),
                (O::ProxyError, Unknown),
            ),
            (
                Phase::Handshake,
                Kind::Rejected(2),
                (O::ProxyError, Proxy(Policy)),
            ),
            (
                Phase::Handshake,
                Kind::Rejected(4),
                (O::ProxyError, Unknown),
            ),
            (
                Phase::Handshake,
                Kind::Rejected(7),
                (O::ProxyError, Proxy(NoTunnel)),
            ),
            (
                Phase::Handshake,
                Kind::Rejected(8),
                (O::ProxyError, Proxy(Unreachable)),
            ),
            (
                Phase::Handshake,
                Kind::Rejected(91),
                (O::ProxyError, Unknown),
            ),
            (
                Phase::Handshake,
                Kind::Rejected(405),
                (O::ProxyError, Proxy(NoTunnel)),
            ),
            (
                Phase::Handshake,
                Kind::Rejected(503),
                (O::ProxyError, Unknown),
            ),
            (
                Phase::Handshake,
                Kind::Unsupported,
                (O::ProxyError, Proxy(Policy)),
            ),
            (Phase::Request, Kind::Unsupported, (O::InvalidUrl, Target)),
            (Phase::Tls, Kind::Unsupported, (O::TlsError, Target)),
            (Phase::Tls, Kind::Certificate, (O::TlsError, Unknown)),
            (Phase::Tls, Kind::OtherCertificate, (O::TlsError, Unknown)),
            (Phase::Tls, Kind::Tls, (O::TlsError, Unknown)),
            (Phase::Tls, Kind::Malformed, (O::TlsError, Proxy(NoTunnel))),
            (Phase::Tls, Kind::Reset, (O::NetworkError, Unknown)),
            (Phase::Tls, Kind::Timeout, (O::Timeout, Unknown)),
            (Phase::Headers, Kind::Closed, (O::NetworkError, Unknown)),
            (Phase::Headers, Kind::Malformed, (O::NetworkError, Unknown)),
            (Phase::Headers, Kind::Timeout, (O::Timeout, Unknown)),
            (Phase::Headers, Kind::Redirects, (O::HttpError, Target)),
            (Phase::Body, Kind::Closed, (O::Corrupt, Unknown)),
            (Phase::Body, Kind::Decode, (O::Corrupt, Unknown)),
            (Phase::Body, Kind::Timeout, (O::Timeout, Unknown)),
            (Phase::Body, Kind::TooLarge, (O::TooLarge, Target)),
            (Phase::Headers, Kind::Cancelled, (O::Cancelled, Local)),
        ] {
            let verdict = judge(&Fault::new(phase, kind, "x"));
            assert_eq!((verdict.outcome, verdict.blame), expected, "{phase} {kind}");
        }
    }
}
