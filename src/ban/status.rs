//! Verdicts by status, where no rule explains the answer.

use http::header::PROXY_AUTHENTICATE;

use super::view::View;
use super::{edge, evidence, fault, relay, retry_after};
use crate::outcome::{Ban, Blame, Charge, Outcome, Verdict};

/// A refused CONNECT that no rule knows.
pub(super) fn connect(view: &View<'_>) -> Verdict {
    let (outcome, blame) = fault::connect_status(view.status);
    let (rule, class) = match blame {
        Blame::Proxy(Charge::Auth) => ("connect.auth", "proxy_auth"),
        Blame::Proxy(Charge::Policy) => ("connect.policy", "proxy_policy"),
        Blame::Proxy(Charge::NoTunnel) => ("connect.no_tunnel", "proxy_no_tunnel"),
        Blame::Pair => ("connect.rate_limit", "rate_limit"),
        _ => ("connect.error", "proxy_error"),
    };
    let evidence = format!("CONNECT answered {} {}", view.status, view.reason);
    Verdict {
        outcome,
        blame,
        ban: Some(stock(rule, class, &evidence)),
        retry_after: retry_after::wait(view.status, view.headers, view.now),
    }
}

/// A proxy that names the port as its reason. At 443 it means that it tunnels nothing; elsewhere only this target is out
/// of its reach, which is a policy.
pub(super) fn no_tunnel(view: &View<'_>) -> Blame {
    let standard = view
        .url
        .is_some_and(|url| url.port_or_known_default() == Some(443));
    Blame::Proxy(if standard || view.status == 405 {
        Charge::NoTunnel
    } else {
        Charge::Policy
    })
}

/// An answer whose status is not accepted.
///
/// Only two of them are more than the target's plain answer: 407 to a request the proxy had to forward, and a used-up
/// quota. A 403 without evidence stays the target's (login, ACL, signed URL): charging exits for it would burn a pool on
/// one private page.
pub(super) fn refused(view: &View<'_>) -> Verdict {
    let mut verdict = match view.status {
        // Passed on, it comes from a parent of the proxy or from the target.
        407 if view.forwarded && relay::is_signed(view.headers) => {
            Verdict::new(Outcome::HttpError, Blame::Unknown)
        }
        407 if wants_proxy_credentials(view) => Verdict {
            ban: Some(stock(
                "status.407",
                "proxy_auth",
                "407 to a forwarded request",
            )),
            ..Verdict::new(Outcome::ProxyError, Blame::Proxy(Charge::Auth))
        },
        429 => rate_limited(view, "status.429", "429 too many requests"),
        403 | 503 if retry_after::exhausted(view.headers, view.now).is_some() => rate_limited(
            view,
            "status.quota",
            "no requests left, say the rate limit headers",
        ),
        502 | 504 if !is_from_beyond(view) => Verdict::new(Outcome::HttpError, Blame::Unknown),
        _ => Verdict::new(Outcome::HttpError, Blame::Target),
    };
    if view.status >= 400 {
        verdict.retry_after = retry_after::wait(view.status, view.headers, view.now);
    }
    verdict
}

/// The forward proxy cannot have written it, or does not seem to: forwarded, the page of a gateway may be its own, but a CDN's
/// headers and a relay's signature show that the request got beyond it. (Who signs pages of its own is known by them.)
pub(super) fn is_from_beyond(view: &View<'_>) -> bool {
    !view.forwarded
        || edge::before_the_target(view.headers).is_some()
        || relay::is_signed(view.headers)
}

/// 407 belongs to the proxy only where the proxy answers in its own name. Some CDNs send it too, without the header that
/// it requires.
fn wants_proxy_credentials(view: &View<'_>) -> bool {
    view.forwarded
        && (view.headers.contains_key(PROXY_AUTHENTICATE)
            || edge::before_the_target(view.headers).is_none())
}

/// Whoever stands before the target is who counts requests.
fn rate_limited(view: &View<'_>, rule: &str, evidence: &str) -> Verdict {
    let mut ban = stock(rule, "rate_limit", evidence);
    ban.vendor = edge::before_the_target(view.headers).map(Into::into);
    Verdict {
        ban: Some(ban),
        ..Verdict::new(Outcome::RateLimited, Blame::Pair)
    }
}

pub(super) fn stock(rule: &str, class: &str, evidence: &str) -> Box<Ban> {
    Box::new(Ban {
        rule: rule.into(),
        class: class.into(),
        vendor: None,
        confidence: 1.0,
        evidence: evidence::clip(evidence),
    })
}
