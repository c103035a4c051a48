//! What every fault of the lab comes to: the table behind `faults`.

use proxywheel::lab::{BadTls, Fault};
use proxywheel::outcome::Outcome;

/// Which requests show the fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Over {
    Http,
    Https,
    /// https, and a body that is longer than a tunnel of `truncate` lets through.
    LongHttps,
}

/// What a fault comes to.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) fault: Fault,
    pub(crate) over: Over,
    /// Attempts through the faulty proxy read one of these (`outcome blame rule kind/phase`); none: it is found out by
    /// its probe and no URL is ever bound to it.
    pub(crate) attempts: &'static [&'static str],
    /// What a row says when there is no other proxy; `ok` only with the right body.
    pub(crate) alone: &'static [Outcome],
    /// What the user has to know about the pages for the fault to show.
    pub(crate) rules: Rules,
    /// Whether a URL meets it at all depends on who is probed first.
    pub(crate) by_chance: bool,
    /// The fault is a hang: do not wait long for it.
    pub(crate) hangs: bool,
}

/// The user's knowledge of the pages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rules {
    None,
    /// `--must-match`: every page ends like this.
    MustMatch,
    /// `--must-not-match`: no page has this.
    MustNotMatch,
}

fn case(
    fault: Fault,
    over: Over,
    attempts: &'static [&'static str],
    alone: &'static [Outcome],
) -> Case {
    Case {
        fault,
        over,
        attempts,
        alone,
        rules: Rules::None,
        by_chance: false,
        hangs: false,
    }
}

fn hanging(case: Case) -> Case {
    Case {
        hangs: true,
        ..case
    }
}

fn with(rules: Rules, case: Case) -> Case {
    Case { rules, ..case }
}

const NONE: &[&str] = &[];
pub(crate) const OK: &str = "ok Nobody -";
/// TCP reset or closed in place of an answer: which of the two is up to the kernel.
const HUNG_UP: [&str; 2] = [
    "network_error Unknown - reset/headers",
    "network_error Unknown - closed/headers",
];

/// Found out by probes: these never cost a URL an attempt.
pub(crate) fn unreachable() -> Vec<Case> {
    use Over::{Http, Https};
    let probed = |fault, over| case(fault, over, NONE, &[Outcome::Skipped]);
    vec![
        probed(Fault::Refuse, Http),
        probed(Fault::Refuse, Https),
        probed(Fault::BlackHole, Http),
        probed(Fault::BlackHole, Https),
        // The last one left serves on trial, so that a row can say what it is like.
        case(Fault::HangAfterAccept, Https, NONE, &[Outcome::ProxyError]),
        probed(Fault::Reset, Https),
        probed(Fault::Garbage, Https),
        probed(Fault::Auth407, Https),
        probed(
            Fault::DiesAfter {
                requests: 0,
                revives_after_ms: None,
            },
            Https,
        ),
    ]
}

/// No answer, or bytes that are none: the proxy or the target, which one exchange cannot tell.
pub(crate) fn silent() -> Vec<Case> {
    use Over::{Http, Https};
    const TIMEOUT: &[&str] = &["timeout Unknown - timeout/headers"];
    const RESET: &[&str] = &HUNG_UP;
    const MALFORMED: &[&str] = &["network_error Unknown - malformed/headers"];
    vec![
        hanging(case(
            Fault::HangAfterAccept,
            Http,
            TIMEOUT,
            &[Outcome::Timeout],
        )),
        hanging(case(
            Fault::HangAfterConnect,
            Http,
            TIMEOUT,
            &[Outcome::Timeout],
        )),
        hanging(case(
            Fault::HangAfterConnect,
            Https,
            &["timeout Unknown - timeout/tls"],
            &[Outcome::Timeout],
        )),
        case(Fault::Reset, Http, RESET, &[Outcome::NetworkError]),
        case(Fault::Garbage, Http, MALFORMED, &[Outcome::NetworkError]),
        case(
            Fault::HeaderFlood,
            Http,
            MALFORMED,
            &[Outcome::NetworkError],
        ),
    ]
}

/// TLS with the target does not come about as it should.
pub(crate) fn broken_tls() -> Vec<Case> {
    use Over::Https;
    const CERTIFICATE: &[&str] = &["tls_error Unknown - certificate/tls"];
    // No tunnel where the target has served others over TLS; before that, who knows.
    const NOT_TLS: &[&str] = &[
        "tls_error Proxy(NoTunnel) - malformed/tls",
        "tls_error Unknown - malformed/tls",
    ];
    const ALONE: &[Outcome] = &[Outcome::TlsError];
    vec![
        case(Fault::BadTls(BadTls::Garbage), Https, NOT_TLS, ALONE),
        case(Fault::BadTls(BadTls::Expired), Https, CERTIFICATE, ALONE),
        case(Fault::BadTls(BadTls::WrongName), Https, CERTIFICATE, ALONE),
        case(Fault::TlsIntercept, Https, CERTIFICATE, ALONE),
        // The greeting of another protocol where the handshake was to be.
        case(Fault::ConnectBytesGlued, Https, NOT_TLS, ALONE),
    ]
}

/// Bodies that are not whole.
pub(crate) fn cut() -> Vec<Case> {
    const CORRUPT: &[&str] = &["corrupt Unknown - closed/body"];
    const ALONE: &[Outcome] = &[Outcome::Corrupt];
    vec![
        case(Fault::Truncate, Over::Http, CORRUPT, ALONE),
        // Cut within the TLS record that begins the answer, so that no byte of it can be read.
        case(
            Fault::Truncate,
            Over::LongHttps,
            &HUNG_UP,
            &[Outcome::NetworkError],
        ),
    ]
}

/// The proxy says no in its own name.
pub(crate) fn refusals() -> Vec<Case> {
    use Over::{Http, Https};
    vec![
        case(
            Fault::Auth407,
            Http,
            &["proxy_error Proxy(Auth) squid.auth"],
            &[Outcome::ProxyError, Outcome::Skipped],
        ),
        case(
            Fault::ConnectStatus(403),
            Https,
            NONE,
            &[Outcome::ProxyError],
        ),
        case(
            Fault::ConnectStatus(429),
            Https,
            &["proxy_error Pair connect.rate_limit rejected/handshake"],
            &[Outcome::ProxyError],
        ),
        // Believed by nobody once somebody has reached the target; before that its word is as good as any.
        Case {
            by_chance: true,
            ..case(
                Fault::ConnectStatus(502),
                Https,
                &["proxy_error Unknown squid.error rejected/handshake"],
                &[Outcome::ProxyError],
            )
        },
        case(Fault::NoTunnel, Https, NONE, &[Outcome::ProxyError]),
        case(
            Fault::NoForward,
            Http,
            &["proxy_error Proxy(Policy) squid.policy"],
            &[Outcome::ProxyError],
        ),
        case(
            Fault::RateLimit {
                requests: 1,
                window_ms: 600_000,
            },
            Http,
            &[OK, "proxy_error Unknown squid.error"],
            &[Outcome::Ok, Outcome::ProxyError],
        ),
        case(
            Fault::BanAfter {
                requests: 1,
                window_ms: 600_000,
            },
            Http,
            &[OK, "banned Pair score.block_ip"],
            &[Outcome::Ok, Outcome::Banned],
        ),
        case(
            Fault::Empty200,
            Http,
            &[
                "http_error Target page.empty",
                "http_error Pair host.differs",
            ],
            &[Outcome::HttpError],
        ),
    ]
}

/// Slow, lossy or old-fashioned, but the right page.
pub(crate) fn odd_but_honest() -> Vec<Case> {
    use Over::{Http, Https};
    const RIGHT: &[&str] = &[OK];
    const ALONE: &[Outcome] = &[Outcome::Ok];
    vec![
        case(Fault::SlowDrip(20), Http, RIGHT, ALONE),
        case(
            Fault::TailLatency {
                percent: 50,
                ms: 300,
            },
            Http,
            RIGHT,
            ALONE,
        ),
        case(Fault::Http10Connect, Https, RIGHT, ALONE),
        case(Fault::ConnectWithContentLength, Https, RIGHT, ALONE),
        case(Fault::KeepaliveClose, Http, RIGHT, ALONE),
        case(Fault::NoTunnel, Http, RIGHT, ALONE),
        case(Fault::NoForward, Https, RIGHT, ALONE),
        case(Fault::LeakHeader, Http, RIGHT, ALONE),
        case(Fault::StripRequest, Http, RIGHT, ALONE),
        case(Fault::StripAnswer, Http, RIGHT, ALONE),
        case(Fault::DnsHijack, Http, RIGHT, ALONE),
        case(
            Fault::DiesAfter {
                requests: 1,
                revives_after_ms: Some(100),
            },
            Http,
            &[
                OK,
                HUNG_UP[0],
                HUNG_UP[1],
                "proxy_error Proxy(Unreachable) - reset/connect",
            ],
            &[Outcome::Ok, Outcome::NetworkError, Outcome::ProxyError],
        ),
    ]
}

/// A page that only somebody who knows the site can tell from the right one.
pub(crate) fn lies() -> Vec<Case> {
    const MISSING: &[&str] = &["corrupt Unknown must_match must_match/-"];
    const FORBIDDEN: &[&str] = &["corrupt Pair must_not_match must_not_match/-"];
    const ALONE: &[Outcome] = &[Outcome::Corrupt];
    let lie = |fault, shows| case(fault, Over::Http, shows, ALONE);
    vec![
        with(Rules::MustMatch, lie(Fault::ForeignPage, MISSING)),
        with(Rules::MustMatch, lie(Fault::Empty200, MISSING)),
        with(Rules::MustNotMatch, lie(Fault::InjectScript, FORBIDDEN)),
    ]
}

/// An answer the target could have given as well, and final as such.
pub(crate) fn final_answers() -> Vec<Case> {
    let last = |fault, shows, alone| case(fault, Over::Http, shows, alone);
    const LARGE: &[&str] = &["too_large Target - too_large/body"];
    vec![
        last(Fault::EndlessBody, LARGE, &[Outcome::TooLarge]),
        last(Fault::Bomb, LARGE, &[Outcome::TooLarge]),
    ]
}

/// Wrong and undetectable.
pub(crate) fn undetectable() -> Vec<Case> {
    // Which of the two is first depends on how many pages the others have been given.
    const AT_LAST: &[&str] = &[
        OK,
        "banned Pair host.same_body",
        "banned Pair host.same_title",
    ];
    vec![
        // The same page for every URL gives these two away in the end.
        case(Fault::Stale, Over::Http, AT_LAST, &[Outcome::Ok]),
        case(Fault::ForeignPage, Over::Http, AT_LAST, &[Outcome::Ok]),
        case(Fault::InjectScript, Over::Http, &[OK], &[Outcome::Ok]),
    ]
}

pub(crate) fn loops() -> Vec<Case> {
    vec![case(
        Fault::RedirectLoop,
        Over::Http,
        &["http_error Target - redirects/headers"],
        &[Outcome::HttpError],
    )]
}
