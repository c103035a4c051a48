//! What a failed look says of a proxy.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::echo::NoEcho;
use crate::exchange::{Exchange, Response, Truncation};
use crate::outcome::{self, Blame, Charge, Fault, FaultKind, Phase};
use crate::proxy;

/// The word on a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It brings answers, unchanged.
    Alive,
    /// It brings some answers and loses others.
    Unstable,
    /// It brings something else than the answer, or breaks TLS.
    Hostile,
    /// It works, and does not want to for this client or this target.
    Policy,
    /// It wants other credentials.
    Auth,
    /// It brings nothing.
    Dead,
    /// Nobody can say: the judges or this machine failed, not the proxy.
    Unknown,
}

impl Verdict {
    /// All verdicts, best first.
    pub const ALL: [Verdict; 7] = [
        Verdict::Alive,
        Verdict::Unstable,
        Verdict::Hostile,
        Verdict::Policy,
        Verdict::Auth,
        Verdict::Dead,
        Verdict::Unknown,
    ];

    /// It brings answers.
    pub fn works(self) -> bool {
        matches!(self, Verdict::Alive | Verdict::Unstable)
    }

    /// The word in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Alive => proxy::ALIVE,
            Verdict::Unstable => proxy::UNSTABLE,
            Verdict::Hostile => "hostile",
            Verdict::Policy => "policy",
            Verdict::Auth => "auth",
            Verdict::Dead => "dead",
            Verdict::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a look failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it makes of the proxy if nothing else is known.
    pub verdict: Verdict,
    /// A word to count by: `connect_refused`, `foreign_page`.
    pub reason: &'static str,
    /// Where on the way.
    pub phase: Option<Phase>,
    /// For people; never holds a credential.
    pub message: Cow<'static, str>,
}

impl Trouble {
    pub(super) fn new(
        verdict: Verdict,
        reason: &'static str,
        phase: Option<Phase>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Trouble {
            verdict,
            reason,
            phase,
            message: message.into(),
        }
    }

    /// True when the proxy itself was not reached: nothing else can be asked of it.
    pub(super) fn is_unreached(&self) -> bool {
        self.verdict == Verdict::Dead
            && matches!(
                self.phase,
                Some(Phase::Dns | Phase::Connect | Phase::ProxyTls)
            )
    }

    /// True when it answered that it cannot get to the judge, or does not want to.
    pub(super) fn says_no_way(&self) -> bool {
        matches!(self.reason, "target_unreachable" | "bad_gateway" | "policy")
    }

    /// It answered a plain request, and not as a proxy.
    pub(super) fn is_odd_answer(&self) -> bool {
        self.reason == "not_a_proxy" && self.phase == Some(Phase::Body)
    }

    /// It answered, and what it said is what a proxy for tunnels alone may say of a plain request.
    pub(super) fn says_no(&self) -> bool {
        matches!(self.reason, "no_forward" | "policy" | "bad_gateway") || self.is_odd_answer()
    }

    /// It was reached and hung up.
    pub(super) fn hangs_up(&self) -> bool {
        matches!(self.reason, "reset" | "closed") && !self.is_unreached()
    }

    /// It was reached, and what was asked of it was lost: once in a while that happens to one that works.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self.reason, "reset" | "closed" | "timeout" | "truncated")
            && !matches!(self.phase, None | Some(Phase::Dns | Phase::Connect))
    }

    /// Lost after the tunnel was open.
    pub(super) fn is_lost_in_tunnel(&self) -> bool {
        let is_open = matches!(
            self.phase,
            Some(Phase::Request | Phase::Headers | Phase::Body)
        );
        is_open && self.is_loss()
    }

    /// True when no other way could bring more: it proves itself, whatever could not be asked.
    pub(super) fn is_final(&self) -> bool {
        self.verdict == Verdict::Auth || self.verdict == Verdict::Dead && !self.may_be_the_judge()
    }

    /// True when it could as well be the judge's doing: then the judge is asked directly before anybody is blamed.
    pub(super) fn may_be_the_judge(&self) -> bool {
        // A refusal, and bytes of another protocol, are answers of whoever listens there.
        self.verdict == Verdict::Dead
            && !matches!(
                self.reason,
                "connect_refused" | "not_a_proxy" | "proxy_certificate"
            )
    }
}

/// What a 429 says, by the judge or by somebody before it.
const ASKED_TOO_OFTEN: &str = "status 429: the judge was asked too often from this exit";

/// Reads a failed exchange with a judge; `sentence` is what the ban table says of it, `no_echo` why the answer, if there was one,
/// is not the judge's. `is_proved` is what asking directly has shown: that a judge is there.
pub(super) fn trouble(
    exchange: &Exchange,
    sentence: &outcome::Verdict,
    no_echo: Option<NoEcho>,
    is_proved: bool,
) -> Trouble {
    match &exchange.result {
        Err(fault) => of_fault(fault, sentence.blame),
        Ok(response) => match &response.body.broken {
            Some(fault) => of_fault(fault, sentence.blame),
            None if response.status == 429 && exchange.verified => Trouble::new(
                // Nobody on the way could have said that: the proxy has brought it.
                Verdict::Unknown,
                "rate_limited",
                Some(Phase::Body),
                format!("{ASKED_TOO_OFTEN}, through whatever proxies that share it"),
            ),
            None => of_answer(response, sentence.blame, no_echo, is_proved),
        },
    }
}

/// What the proxy is charged with for certain.
fn charged(charge: Charge, phase: Option<Phase>) -> Option<Trouble> {
    let (verdict, reason, message) = match charge {
        Charge::Auth => (Verdict::Auth, "auth", "wants other credentials"),
        Charge::Policy => (Verdict::Policy, "policy", "refuses this target"),
        Charge::NoTunnel => (Verdict::Policy, "no_tunnel", "opens no tunnels"),
        Charge::NoForward => (Verdict::Policy, "no_forward", "forwards no plain requests"),
        Charge::Tampered => (
            Verdict::Hostile,
            "tampered",
            "answers in place of the target",
        ),
        _ => return None,
    };
    Some(Trouble::new(verdict, reason, phase, message))
}

fn of_fault(fault: &Fault, blame: Blame) -> Trouble {
    let phase = Some(fault.phase);
    let message = fault.message.clone();
    if matches!(fault.kind, FaultKind::Local | FaultKind::Cancelled) {
        return Trouble::new(Verdict::Unknown, "local", phase, message);
    }
    // What breaks TLS on the way is no proxy that merely opens no tunnels.
    let breaks_tls = matches!(
        (fault.phase, fault.kind),
        (Phase::Tls, FaultKind::Malformed)
    );
    if let Blame::Proxy(charge) = blame
        && !breaks_tls
        && let Some(trouble) = charged(charge, phase)
    {
        return Trouble { message, ..trouble };
    }
    let (verdict, reason) = match (fault.phase, fault.kind) {
        // Not `local`, which is tried again: this stays as it is.
        (_, FaultKind::NoIpv6) => (Verdict::Unknown, "no_ipv6"),
        (_, FaultKind::Auth) => (Verdict::Auth, "auth"),
        (Phase::Tls, FaultKind::Certificate | FaultKind::OtherCertificate) => {
            (Verdict::Hostile, "tls_intercepted")
        }
        (Phase::Tls, FaultKind::Tls | FaultKind::Malformed) => (Verdict::Hostile, "tls_broken"),
        (Phase::Handshake, FaultKind::Rejected(429)) => (Verdict::Policy, "rate_limited"),
        (Phase::Handshake, FaultKind::Rejected(_)) => (Verdict::Dead, "target_unreachable"),
        (Phase::Connect, FaultKind::Refused) => (Verdict::Dead, "connect_refused"),
        (Phase::Connect, FaultKind::Timeout) => (Verdict::Dead, "connect_timeout"),
        (Phase::ProxyTls, FaultKind::Certificate) => (Verdict::Dead, "proxy_certificate"),
        (_, FaultKind::Dns) => (Verdict::Dead, "dns"),
        (_, FaultKind::Unreachable) => (Verdict::Dead, "unreachable"),
        (_, FaultKind::Timeout) => (Verdict::Dead, "timeout"),
        // Nobody on the way could have said that.
        (_, FaultKind::Http2(_)) if blame == Blame::Target => (Verdict::Unknown, "judge_down"),
        (_, FaultKind::Reset | FaultKind::Http2(_)) => (Verdict::Dead, "reset"),
        (_, FaultKind::Closed) => (Verdict::Dead, "closed"),
        (_, FaultKind::Malformed | FaultKind::Tls) => (Verdict::Dead, "not_a_proxy"),
        (_, FaultKind::TooLarge) => (Verdict::Dead, "too_large"),
        (_, FaultKind::Decode) => (Verdict::Dead, "corrupt"),
        _ => (Verdict::Dead, "failed"),
    };
    Trouble::new(verdict, reason, phase, message)
}

fn of_answer(
    response: &Response,
    blame: Blame,
    no_echo: Option<NoEcho>,
    is_proved: bool,
) -> Trouble {
    let phase = Some(Phase::Body);
    // Whose page it is nobody knows who has not seen what is there without a proxy.
    let replaced = match is_proved {
        true => Verdict::Hostile,
        false => Verdict::Unknown,
    };
    let status = response.status.as_u16();
    let new = |verdict, reason, message: String| Trouble::new(verdict, reason, phase, message);
    match no_echo {
        Some(NoEcho::Altered | NoEcho::WrongKey) => {
            return new(
                Verdict::Hostile,
                "altered",
                "the judge's answer was changed: its signature does not hold".into(),
            );
        }
        Some(NoEcho::Foreign) | None => {}
    }
    match response.body.truncated {
        Some(Truncation::Disconnect) => {
            return new(Verdict::Dead, "truncated", "the body broke off".into());
        }
        Some(Truncation::Time) => {
            return new(
                Verdict::Dead,
                "timeout",
                "the body did not end in time".into(),
            );
        }
        Some(Truncation::Length) => {
            // A judge says a page at most.
            let message = "a long body in place of the judge's answer".into();
            return new(replaced, "foreign_page", message);
        }
        None => {}
    }
    if let Blame::Proxy(charge) = blame
        && let Some(trouble) = charged(charge, Some(Phase::Headers))
    {
        return Trouble {
            message: format!("{} (status {status})", trouble.message).into(),
            ..trouble
        };
    }
    let (verdict, reason) = match status {
        200..=299 if response.body.bytes.is_empty() => (replaced, "empty_page"),
        200..=299 => (replaced, "foreign_page"),
        300..=399 => (replaced, "redirected"),
        402 | 407 => (Verdict::Auth, "auth"),
        403 | 451 => (Verdict::Policy, "policy"),
        429 => {
            let message = format!("{ASKED_TOO_OFTEN}, or the proxy by this user");
            return new(Verdict::Policy, "rate_limited", message);
        }
        500.. => (Verdict::Dead, "bad_gateway"),
        _ => (Verdict::Dead, "not_a_proxy"),
    };
    new(
        verdict,
        reason,
        format!("status {status} in place of the judge's answer"),
    )
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode, Version};

    use super::*;
    use crate::exchange::Body;
    use crate::outcome::Outcome;

    #[test]
    fn a_limit_of_the_judge_is_no_fault_of_who_brings_word_of_it() {
        let told = |verified| {
            let exchange = Exchange::answered(
                Response {
                    status: StatusCode::TOO_MANY_REQUESTS,
                    version: Version::HTTP_11,
                    headers: HeaderMap::new(),
                    body: Body::default(),
                },
                verified,
            );
            let sentence = outcome::Verdict::new(Outcome::RateLimited, Blame::Pair);
            let trouble = trouble(&exchange, &sentence, None, true);
            (trouble.verdict, trouble.reason)
        };
        assert_eq!(told(true), (Verdict::Unknown, "rate_limited"));
        assert_eq!(told(false), (Verdict::Policy, "rate_limited"));
    }

    #[test]
    fn a_proxy_to_which_this_machine_has_no_way_is_not_dead() {
        let told = |kind| {
            let fault = Fault::new(Phase::Connect, kind, "no way");
            let trouble = of_fault(&fault, Blame::Proxy(Charge::Unreachable));
            (trouble.verdict, trouble.reason)
        };
        assert_eq!(told(FaultKind::NoIpv6), (Verdict::Unknown, "no_ipv6"));
        assert_eq!(told(FaultKind::Unreachable), (Verdict::Dead, "unreachable"));
    }
}
