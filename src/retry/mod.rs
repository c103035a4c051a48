//! What follows an attempt: another one, or the record.
//!
//! A job has two budgets. The *URL budget* (`--retry`) is spent by attempts that reached the target and say something about
//! the URL; the *proxy budget* (`--max-proxies-per-url`) by attempts that failed because of the proxy or because the target
//! refuses this proxy, or that it could not reach the target and nobody knows why. An attempt that never left for the target costs neither: on a list of which most are dead, dead
//! entries must not use up a URL. Crawlee merged the two budgets and its users could not predict either.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::outcome::{Blame, Charge, Outcome, StatusSet};

/// The two budgets of a job and what is worth another attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Attempts after the first that reached the target; a proxy's fault spends none of them.
    pub retries: u32,
    /// Distinct proxies one job may use up by their own faults or bans.
    pub max_proxies_per_url: u32,
    /// No attempt starts later than this after the first.
    pub max_time: Option<Duration>,
    /// Statuses that are worth another attempt.
    pub retry_on: StatusSet,
    /// Send a non-idempotent request again although it may have arrived.
    pub non_idempotent: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            retries: 3,
            max_proxies_per_url: 6,
            max_time: None,
            retry_on: StatusSet::EMPTY
                .with(408, 408)
                .with(425, 425)
                .with(429, 429)
                .with(500, 500)
                .with(502, 504)
                .with(520, 524),
            non_idempotent: false,
        }
    }
}

/// First backoff of a target's trouble, doubling to the cap, full jitter.
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_CAP: Duration = Duration::from_secs(30);
/// Longest wait after a page that is not the expected one.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A job whose target asks for a longer wait is reported instead.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Attempts that never left for the target are free, but not without end: so many per proxy of the proxy budget.
const UNREACHED_PER_PROXY: u32 = 4;
/// Local trouble (no descriptors, no route) is waited out this often before the job is given up.
const LOCAL_RETRIES: u32 = 20;
const LOCAL_WAIT: Duration = Duration::from_millis(250);

/// So many second opinions on what may be a proxy's own answer: the first may be another's own.
const OPINIONS: u32 = 2;

/// What a job has used up so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Attempts charged to the URL budget.
    pub url: u32,
    /// Attempts charged to the proxy budget.
    pub proxies: u32,
    /// Attempts that never left for the target.
    pub unreached: u32,
    /// Attempts that failed on this machine.
    pub local: u32,
    /// Second opinions asked for a bare 401 or 403, for pages of nothing, for redirects that lead nowhere, or for what may be a proxy's own
    /// answer.
    pub second_opinions: u32,
    /// Refusals that were nothing of the URL's.
    pub excused: u32,
}

/// The attempt that has just ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ended {
    /// Its outcome.
    pub outcome: Outcome,
    /// Who was charged.
    pub blame: Blame,
    /// Status of the target, if it answered.
    pub status: Option<u16>,
    /// The answer was a page with nothing in it.
    pub empty: bool,
    /// The request may have reached the target.
    pub sent: bool,
    /// Sending it twice does no harm.
    pub idempotent: bool,
    /// The proxy had never served before.
    pub stranger: bool,
    /// An answer that may be the proxy's own: it could have written it, has never served, and nobody has confirmed it.
    pub hearsay: bool,
    /// Since the first attempt of the job began.
    pub elapsed: Duration,
    /// How long the target asked to wait. A wait of the pair alone is the pool's business, which knows other proxies.
    pub asked: Option<Duration>,
}

/// The answer of [`decide`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// This was the last attempt.
    Finish,
    /// Another attempt after this long.
    Retry {
        /// Zero for "at once, on another proxy".
        after: Duration,
    },
}

/// Decides what follows `ended` and charges the budgets in `spent`.
pub fn decide(
    settings: &Settings,
    ended: &Ended,
    spent: &mut Spent,
    rng: &mut impl Rng,
) -> Decision {
    let Some(after) = wanted(settings, ended, spent, rng) else {
        return Decision::Finish;
    };
    // A target that answers "come back in two minutes" (503 in maintenance) means everybody.
    let after = match (ended.blame, ended.asked) {
        (Blame::Target, Some(asked)) if asked > LONGEST_WAIT => return Decision::Finish,
        (Blame::Target, Some(asked)) => after.max(asked),
        _ => after,
    };
    if !may_repeat(settings, ended, after) {
        return Decision::Finish;
    }
    Decision::Retry { after }
}

/// False when the request may have arrived and must not arrive twice, or when the time for it is over in `after`.
pub fn may_repeat(settings: &Settings, ended: &Ended, after: Duration) -> bool {
    let safe = !ended.sent || ended.idempotent || settings.non_idempotent;
    safe && settings
        .max_time
        .is_none_or(|limit| ended.elapsed + after <= limit)
}

/// True when an answer with this status is worth another attempt, whatever is left of the budget.
pub fn repeats(settings: &Settings, status: u16) -> bool {
    settings.retries > 0 && settings.retry_on.contains(status)
}

/// The wait before another attempt, or `None` when none is worth it.
fn wanted(
    settings: &Settings,
    ended: &Ended,
    spent: &mut Spent,
    rng: &mut impl Rng,
) -> Option<Duration> {
    let at_once = Some(Duration::ZERO);
    match ended.blame {
        _ if matches!(
            ended.outcome,
            Outcome::Ok | Outcome::Robots | Outcome::Cancelled
        ) =>
        {
            None
        }
        Blame::Nobody => None,
        Blame::Local => {
            spent.local += 1;
            (spent.local <= LOCAL_RETRIES).then_some(LOCAL_WAIT * spent.local)
        }
        Blame::Proxy(Charge::NoTunnel | Charge::NoForward | Charge::Unreachable) if !ended.sent => {
            spent.unreached += 1;
            let most = settings
                .max_proxies_per_url
                .saturating_mul(UNREACHED_PER_PROXY);
            if spent.unreached < most {
                at_once
            } else {
                None
            }
        }
        // A handshake that failed for who knows whose reason: nothing has reached the target, and another proxy may get
        // through to it. A target that is down ends this with the proxy budget.
        Blame::Unknown if ended.outcome == Outcome::ProxyError && !ended.sent => {
            spend_proxy(settings, spent)
        }
        Blame::Proxy(_) | Blame::Pair => spend_proxy(settings, spent),
        Blame::Unknown => {
            // Through one that has never served it is more likely the proxy, and says little about the URL.
            let after = match ended.stranger {
                true => spend_proxy(settings, spent),
                false => spend_url(settings, spent, rng),
            }?;
            // Those that alter pages are quick: at the beginning of a run they would have all attempts of a URL before an honest one
            // has answered any.
            Some(match ended.outcome {
                Outcome::Corrupt => {
                    let nth = spent.proxies + spent.url;
                    (4 * backoff(nth, rng)).min(LONGEST_PAUSE)
                }
                _ => after,
            })
        }
        // Without a proxy in between, failing to reach the target is the target's: worth its budget, with backoff.
        Blame::Target
            if ended.status.is_none()
                && matches!(ended.outcome, Outcome::NetworkError | Outcome::Timeout) =>
        {
            spend_url(settings, spent, rng)
        }
        Blame::Target => match ended.status {
            Some(status) if settings.retry_on.contains(status) => spend_url(settings, spent, rng),
            // A web server that is no proxy answers everything with its own 404.
            Some(_)
                if ended.hearsay
                    && ended.outcome == Outcome::HttpError
                    && spent.second_opinions < OPINIONS
                    && settings.retries > 0 =>
            {
                spent.second_opinions += 1;
                // Web servers are quick: a third is asked when an honest one may have answered.
                match spent.second_opinions {
                    1 => at_once,
                    nth => Some(4 * backoff(nth, rng)),
                }
            }
            // A bare refusal may be about the exit, and redirects that lead nowhere (an error without a status) may be the
            // exit's own: one second opinion, then it is the target's answer. A page of nothing is worth two: whoever can send
            // a page and sends none wants to be rid of somebody more often than who refuses in plain words.
            status
                if ended.outcome == Outcome::HttpError
                    && (ended.empty || matches!(status, Some(401 | 403) | None))
                    && spent.second_opinions < 1 + u32::from(ended.empty)
                    && settings.retries > 0 =>
            {
                spent.second_opinions += 1;
                at_once
            }
            _ => None,
        },
    }
}

fn spend_proxy(settings: &Settings, spent: &mut Spent) -> Option<Duration> {
    spent.proxies += 1;
    (spent.proxies < settings.max_proxies_per_url).then_some(Duration::ZERO)
}

fn spend_url(settings: &Settings, spent: &mut Spent, rng: &mut impl Rng) -> Option<Duration> {
    spent.url += 1;
    if spent.url > settings.retries {
        return None;
    }
    Some(backoff(spent.url, rng))
}

/// The wait after the `nth` failure of its kind, from 1 on.
fn backoff(nth: u32, rng: &mut impl Rng) -> Duration {
    let most = BACKOFF
        .saturating_mul(1 << (nth - 1).min(16))
        .min(BACKOFF_CAP);
    most.mul_f64(rng.random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn ended(outcome: Outcome, blame: Blame, status: Option<u16>) -> Ended {
        let sent = status.is_some();
        Ended {
            outcome,
            blame,
            status,
            empty: false,
            sent,
            idempotent: true,
            stranger: false,
            hearsay: false,
            elapsed: Duration::ZERO,
            asked: None,
        }
    }

    /// Attempts until the decision is to finish, when every attempt ends the same.
    fn attempts(settings: &Settings, each: Ended) -> u32 {
        let mut rng = StdRng::seed_from_u64(7);
        let mut spent = Spent::default();
        let mut attempts = 1;
        while decide(settings, &each, &mut spent, &mut rng) != Decision::Finish {
            attempts += 1;
            assert!(attempts < 1000, "{each:?} never ends");
        }
        attempts
    }

    #[test]
    fn each_kind_of_end_has_its_budget() {
        use Outcome::*;
        let settings = Settings::default();
        let empty = Ended {
            empty: true,
            ..ended(HttpError, Blame::Target, Some(200))
        };
        for (each, expected) in [
            (empty, 3),
            (ended(Ok, Blame::Nobody, Some(200)), 1),
            (ended(HttpError, Blame::Target, Some(404)), 1),
            (ended(HttpError, Blame::Target, Some(403)), 2),
            (ended(HttpError, Blame::Target, None), 2),
            (ended(TooLarge, Blame::Target, None), 1),
            (ended(HttpError, Blame::Target, Some(500)), 4),
            (ended(HttpError, Blame::Target, Some(501)), 1),
            (ended(Banned, Blame::Pair, Some(403)), 6),
            (ended(RateLimited, Blame::Pair, Some(429)), 6),
            (ended(ProxyError, Blame::Proxy(Charge::Broken), None), 6),
            (
                ended(ProxyError, Blame::Proxy(Charge::Unreachable), None),
                24,
            ),
            (ended(Timeout, Blame::Unknown, None), 4),
            (ended(ProxyError, Blame::Unknown, None), 6),
            (ended(ProxyError, Blame::Unknown, Some(502)), 4),
            (ended(ProxyError, Blame::Local, None), 21),
            (ended(NetworkError, Blame::Target, None), 4),
        ] {
            assert_eq!(attempts(&settings, each), expected, "{each:?}");
        }
        for (status, expected) in [(404, 3), (403, 3), (500, 4)] {
            let each = Ended {
                hearsay: true,
                ..ended(HttpError, Blame::Target, Some(status))
            };
            assert_eq!(attempts(&settings, each), expected, "{each:?}");
        }
    }

    #[test]
    fn a_body_that_may_have_arrived_is_not_sent_again_unless_asked() {
        let settings = Settings::default();
        let mut post = ended(Outcome::NetworkError, Blame::Unknown, None);
        post.idempotent = false;
        post.sent = true;
        assert_eq!(attempts(&settings, post), 1);
        assert_eq!(
            attempts(
                &Settings {
                    non_idempotent: true,
                    ..settings.clone()
                },
                post
            ),
            4
        );
        post.sent = false;
        assert_eq!(attempts(&settings, post), 4);
    }

    #[test]
    fn a_target_that_asks_for_time_gets_it() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut busy = ended(Outcome::HttpError, Blame::Target, Some(503));
        busy.asked = Some(Duration::from_secs(120));
        let decision = decide(&Settings::default(), &busy, &mut Spent::default(), &mut rng);
        let after = Duration::from_secs(120);
        assert_eq!(decision, Decision::Retry { after });
        busy.asked = Some(Duration::from_secs(3600));
        let decision = decide(&Settings::default(), &busy, &mut Spent::default(), &mut rng);
        assert_eq!(decision, Decision::Finish);
    }

    #[test]
    fn no_attempt_starts_after_the_time_is_up() {
        let settings = Settings {
            max_time: Some(Duration::from_secs(5)),
            ..Settings::default()
        };
        let mut late = ended(Outcome::ProxyError, Blame::Proxy(Charge::Broken), None);
        late.elapsed = Duration::from_secs(6);
        assert_eq!(attempts(&settings, late), 1);
    }
}
