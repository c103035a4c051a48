//! The one setting that would have helped.
//!
//! Looks at the counters from the most certain cause to the least and stops at the first that explains most failures. Says
//! nothing rather than something vague.

use std::path::PathBuf;

use super::summary::Report;
use crate::config::{Size, Span};
use crate::egress::HttpVersions;
use crate::metrics::{Binding, FinishReason, HostStats, Snapshot};
use crate::outcome::Outcome;
use crate::outcome::StatusSet;
use crate::output::Mode;

/// Below this a run is too short for its speed to matter.
const WORTH_SPEEDING_UP_S: f64 = 10.0;

/// A hint for the end of the summary.
pub fn hint(report: &Report<'_>) -> Option<String> {
    let totals = &report.summary.totals;
    // Nothing goes on from where nothing is kept.
    let kept = |path: &PathBuf| path.as_os_str() != "/dev/null";
    let to_file = report.resolved.output.path.as_ref().is_some_and(kept);
    let resume = match report.resolved.output.mode {
        Mode::Overwrite => "the same command with --resume instead of --overwrite",
        Mode::Append => "the same command with --resume instead of --append",
        Mode::Resume => "the same command",
        Mode::New => "the same command with --resume",
    };
    match report.summary.reason {
        FinishReason::Interrupted | FinishReason::Terminated | FinishReason::Capped(_)
            if to_file && totals.read > 0 =>
        {
            return Some(format!("{resume} goes on where this run stopped"));
        }
        FinishReason::OutputFailed if to_file => {
            return Some(format!(
                "once the file can be written again, {resume} goes on"
            ));
        }
        FinishReason::Interrupted
        | FinishReason::Terminated
        | FinishReason::Capped(_)
        | FinishReason::OutputFailed
        | FinishReason::InputFailed
        | FinishReason::ReaderGone => return None,
        FinishReason::NoProxy | FinishReason::Done => {}
    }
    if totals.failed() == 0 {
        return speed(totals);
    }
    // What was not asked for says nothing of its own: it is what other failures have led to.
    let told = |outcome: &Outcome| *outcome != Outcome::Ok && outcome.is_final();
    let failures: u64 = Outcome::ALL
        .into_iter()
        .filter(told)
        .map(|outcome| totals.count(outcome))
        .sum();
    let cause = Outcome::ALL
        .into_iter()
        .filter(told)
        .find(|outcome| totals.count(*outcome) * 2 > failures);
    let without_proxies = report.summary.reason == FinishReason::NoProxy;
    let unanswered = totals.statuses.is_empty();
    let wrong_protocol = unanswered.then(|| protocol(totals)).flatten();
    let hint = match cause {
        Some(Outcome::NetworkError) if wrong_protocol.is_some() => wrong_protocol,
        // The list is to blame only where no answer tells of something else.
        None if failures == 0 => pool(report),
        Some(Outcome::ProxyError) => pool(report).or_else(|| {
            (!without_proxies).then(|| {
                if are_unreached(totals) {
                    return UNREACHED.into();
                }
                if totals.attempts == 0 {
                    return UNSERVED.into();
                }
                let now = report.resolved.retry.max_proxies_per_url;
                format!(
                    "most URLs ran out of working proxies: raise --max-proxies-per-url (now {now})"
                )
            })
        }),
        Some(cause) => because_of(cause, report).map(|hint| match cause {
            Outcome::Banned | Outcome::RateLimited if may_rotate(totals) => format!(
                "{hint}; a provider's endpoint that changes its exit needs the label rotation=per_connection"
            ),
            _ => hint,
        }),
        None => None,
    }?;
    if !(without_proxies && to_file) {
        return Some(hint);
    }
    Some(match cause {
        // Rows of what was not asked for do not count as done.
        None => format!("{hint}; then {resume} goes on"),
        Some(Outcome::ProxyError) => {
            format!("{hint}; then the same command with --resume --retry-failed asks again")
        }
        Some(_) => hint,
    })
}

/// A proxy or two may be all exits of a provider, of which each is banned by itself.
fn may_rotate(totals: &Snapshot) -> bool {
    totals.pool.rotating == 0 && totals.pool.total <= 2 && totals.pool.proven > 0
}

const UNSERVED: &str =
    "no request was sent: no proxy may or can serve these URLs, and error.message says why";

const UNREACHED: &str = "no proxy reaches the hosts of most failures: they may be down, or their names wrong, or the proxies have no way out";

/// True when most hosts that fail have served nobody, while proxies serve others.
fn are_unreached(totals: &Snapshot) -> bool {
    let failing = || totals.hosts.iter().filter(|host| host.failed > 0);
    let serves_nobody =
        |host: &&HostStats| host.failed == host.done && host.worst == Some(Outcome::ProxyError);
    totals.pool.proven > 0 && 2 * failing().filter(serves_nobody).count() > failing().count()
}

const REJECTED: &str = "handshake rejected ";

/// True for what a proxy that tunnels says of a host that it cannot connect to: SOCKS5 1 and 3 to 6, SOCKS4 91, and 5xx to CONNECT.
fn is_unreached(fault: &str) -> bool {
    let code = fault
        .strip_prefix(REJECTED)
        .and_then(|code| code.parse().ok());
    matches!(code, Some(1 | 3..=6 | 91 | 500 | 502..=504))
}

/// Why no proxy works.
fn pool(report: &Report<'_>) -> Option<String> {
    let totals = &report.summary.totals;
    // A proxy that cannot be connected to costs no URL anything, however often it was probed; those that can, do.
    let beyond = |fault: &str| !fault.starts_with("connect ");
    let connected = totals.count(Outcome::ProxyError) > 0
        && totals.proxy_faults.keys().any(|fault| beyond(fault));
    let faults: Vec<(&str, u64)> = totals
        .proxy_faults
        .iter()
        .map(|(fault, count)| (fault.as_str(), *count))
        .filter(|(fault, _)| !connected || beyond(fault))
        .collect();
    let all: u64 = faults.iter().map(|(_, count)| count).sum();
    let mostly = |words: &[&str]| {
        let these: u64 = faults
            .iter()
            .filter(|(fault, _)| words.iter().any(|word| fault.contains(word)))
            .map(|(_, count)| count)
            .sum();
        all > 0 && these * 2 > all
    };
    if mostly(&["auth", "407"]) {
        return Some(
            "most proxies refuse the credentials: check user and password in the list; \
             at many providers this machine's address has to be allowed first"
                .into(),
        );
    }
    if let Some(said) = protocol(totals) {
        return Some(said);
    }
    let served = 2 * totals.pool.proven >= totals.pool.total && totals.pool.proven > 0;
    if report.summary.reason == FinishReason::NoProxy && served && mostly(&["connect"]) {
        return Some(
            "the proxies have served and cannot be connected to any more: add --on-no-proxy wait to wait until one is back"
                .into(),
        );
    }
    if mostly(&["timeout"]) {
        let now = Span(report.resolved.pool.connect_timeout);
        return Some(format!(
            "most proxies do not answer in time: raise --connect-timeout (now {now}), or get a fresher list"
        ));
    }
    if mostly(&["proxy_tls certificate"]) {
        return Some(
            "most https proxies show certificates that do not verify: name their authority with --proxy-cacert FILE, or do \
             not verify them with --proxy-insecure"
                .into(),
        );
    }
    if mostly(&[
        "malformed",
        "handshake closed",
        "handshake reset",
        "proxy_tls",
    ]) {
        return Some(
            "most proxies do not speak the protocol they are listed with: for lines without a scheme \
             try another --proxy-scheme"
                .into(),
        );
    }
    if mostly(&["handshake rejected"]) {
        if faults
            .iter()
            .all(|(fault, _)| !fault.starts_with(REJECTED) || is_unreached(fault))
        {
            return Some(UNREACHED.into());
        }
        return Some(
            "most proxies that answer refuse a tunnel to these targets: https:// needs proxies that allow CONNECT to \
             port 443"
                .into(),
        );
    }
    if mostly(&["refused", "unreachable", "reset", "dns"]) {
        return Some(
            "most proxies cannot be connected to: get a fresher list with --proxy-file".into(),
        );
    }
    None
}

/// How many proxies seem to speak another protocol before it is said while the run goes on.
const FOREIGN: u64 = 32;

/// The list seems to be listed with the wrong protocol, said as soon as that shows: long lists take their time to fail.
pub fn early(totals: &Snapshot) -> Option<String> {
    (totals.foreign.all() >= FOREIGN)
        .then(|| protocol(totals))
        .flatten()
}

/// Nearly all proxies that were tried take connections and then answer nothing that their protocol knows.
fn protocol(totals: &Snapshot) -> Option<String> {
    let (pool, foreign) = (&totals.pool, totals.foreign);
    let tried = u64::from(pool.total - pool.unknown);
    if foreign.all() == 0 || foreign.all() * 10 < tried * 8 {
        return None;
    }
    let (listed, other) = if foreign.socks > foreign.http {
        ("socks", "http")
    } else {
        ("http", "socks5")
    };
    Some(format!(
        "{} of {tried} proxies take connections, but do not speak {listed} as they are listed: for lines without a scheme \
         try --proxy-scheme {other}; some providers do the same to addresses they do not know",
        foreign.all()
    ))
}

fn because_of(cause: Outcome, report: &Report<'_>) -> Option<String> {
    let totals = &report.summary.totals;
    let settings = report.resolved;
    Some(match cause {
        Outcome::RateLimited => format!(
            "most failures are rate limits: try --host-rate {}",
            gentler_pace(totals)
        ),
        Outcome::Banned => {
            if totals.count(Outcome::Ok) == 0
                && let Some(flag) = own_words(report)
            {
                return Some(format!(
                    "no answer passes {flag}: if these are no blocks, compare it with a body kept by --body inline"
                ));
            }
            let wall = totals.hosts.iter().find(|host| {
                host.done >= 3 && host.failed == host.done && host.worst == Some(Outcome::Banned)
            });
            match wall {
                Some(host) if host.not_asked > 0 => format!(
                    "{} refuses every exit, so nothing more was asked of it: it needs another kind of client or of proxies, not \
                     more of these",
                    host.host
                ),
                Some(host) => format!(
                    "{} blocks every proxy tried: it needs other proxies or another request, not more retries",
                    host.host
                ),
                None => {
                    "most failures are bans: slow each proxy down, for example --pair-rate 10/m"
                        .into()
                }
            }
        }
        Outcome::Corrupt if !settings.ban.must_match.is_empty() => format!(
            "{} bodies match --must-match: compare the regex with a body kept by --body inline",
            few(totals)
        ),
        Outcome::Corrupt if !settings.ban.must_not_match.is_empty() => format!(
            "{} bodies are without --must-not-match: compare the regex with a body kept by --body inline",
            few(totals)
        ),
        Outcome::Timeout => format!(
            "most failures are timeouts: raise --max-time (now {})",
            Span(settings.engine.max_time)
        ),
        Outcome::NetworkError if totals.http2_ended >= totals.count(cause) => {
            "most failures are HTTP/2 streams that the site ends, as some do to programs: try --http1.1"
                .into()
        }
        Outcome::TlsError if settings.egress.http == HttpVersions::Http2 => {
            "--http2 asks for HTTP/2 alone, which not every site has: without it the site chooses".into()
        }
        Outcome::TlsError if settings.egress.insecure => return None,
        Outcome::TlsError if settings.egress.cacert.is_none() => {
            "most failures are certificates of targets, and error.message says what is wrong with each: name an authority of your \
             own with --cacert FILE; -k verifies nothing, and whoever is on the way can then change what is fetched"
                .into()
        }
        Outcome::TlsError => {
            "most failures are certificates of targets: --cacert replaces the built-in authorities, so its file has to have all \
             that are needed"
                .into()
        }
        Outcome::TooLarge => format!(
            "most failures are large bodies: raise --max-filesize (now {})",
            Size(settings.egress.max_filesize)
        ),
        Outcome::Robots => {
            "most failures are pages that a robots.txt forbids: the rows quote the lines; --robots ignore is for sites of your own"
                .into()
        }
        Outcome::InvalidUrl => {
            "most failures are lines that are no job, and error.message says what is wrong with each: URLs begin with https:// or \
             http://; check the input, --input-format and --url-column"
                .into()
        }
        Outcome::HttpError => {
            let (status, count) = totals
                .statuses
                .iter()
                .filter(|(status, _)| !settings.ban.accept.contains(**status))
                .max_by_key(|(_, count)| **count)?;
            if count * 2 <= totals.count(Outcome::HttpError) {
                return None;
            }
            let accept: StatusSet = settings.ban.accept.clone().with(*status, *status);
            format!("most failures are status {status}: if that is an answer, --accept {accept}")
        }
        _ => return None,
    })
}

/// How many bodies passed, for a sentence.
fn few(totals: &Snapshot) -> &'static str {
    match totals.count(Outcome::Ok) {
        0 => "no",
        _ => "few",
    }
}

/// The flag with the user's own idea of a block, which may be wrong about every page.
fn own_words(report: &Report<'_>) -> Option<&'static str> {
    let ban = &report.resolved.ban;
    [
        ("--expect-text", !ban.expect_text.is_empty()),
        ("--expect-selector", !ban.expect_selector.is_empty()),
        ("--expect-type", !ban.expect_type.is_empty()),
        ("--expect-json", !ban.expect_json.is_empty()),
        ("--min-bytes", ban.min_bytes > 0),
        ("--ban-regex", !ban.ban_regex.is_empty()),
    ]
    .into_iter()
    .find_map(|(flag, is_given)| is_given.then_some(flag))
}

/// Half of what the busiest host was asked, or what it served where that is less, as a quota.
fn gentler_pace(totals: &Snapshot) -> String {
    let busiest = totals.hosts.iter().max_by_key(|host| host.attempts);
    let (asked, served) = match busiest {
        Some(host) => (host.attempts, host.done.saturating_sub(host.failed)),
        None => (totals.attempts, 0),
    };
    let half = asked as f64 / 2.0;
    let pages = match served {
        0 => half,
        served => half.min(served as f64),
    };
    let pace = pages / totals.elapsed.as_secs_f64().max(1.0);
    if pace >= 1.0 {
        format!("{}/s", pace.floor())
    } else {
        format!("{}/m", (pace * 60.0).floor().max(1.0))
    }
}

/// What would make a good run faster.
fn speed(totals: &Snapshot) -> Option<String> {
    if totals.elapsed.as_secs_f64() < WORTH_SPEEDING_UP_S {
        return None;
    }
    match totals.binding? {
        Binding::Concurrency => Some("-j was the limit: a higher one would be faster".into()),
        Binding::Rate => Some("--rate was the limit".into()),
        Binding::HostRate
        | Binding::Delay
        | Binding::HostConcurrency
        | Binding::ProxyRate
        | Binding::PairRate => Some(format!("{} was the limit", totals.binding?.as_str())),
        Binding::Proxies => {
            Some("what the proxies can bear was the limit: more proxies would be faster".into())
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "hint_tests.rs"]
mod tests;
