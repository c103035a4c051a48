//! The evidence about one proxy: what it has served, what it has lost, how fast it is.
//!
//! Evidence loses half its weight in some minutes. Fading the numbers of a proxy whenever they are looked at would cost every
//! candidate of every choice its powers of two. Instead what is new enters with a weight that doubles in that time, and is
//! measured by the weight of the present ([`Present`]): the same quotients, and a look is a few multiplications. Once an hour
//! all weights are brought down together ([`Scale::advance`], [`Evidence::rebase`]), so that they stay within what a float holds.

use std::time::Duration;

use super::clock::{Micros, SECOND, remains, seconds};
use super::memory::Health;

/// Seconds until evidence has lost half its weight. Anything from 60 to 1200 s selects equally well.
const EVIDENCE_HALF_LIFE: f32 = 300.0;
/// Seconds until a proxy's own latency has drifted half way to the pool's median, so that nobody is condemned by an old
/// measurement, or adored for one.
const LATENCY_HALF_LIFE: f32 = 120.0;
/// Requests the prior is worth.
const PRIOR_WEIGHT: f32 = 2.0;
/// Prior chance of success of a proxy that has served before.
const PRIOR_PROVEN: f32 = 0.9;
/// Prior chance of one that has only been connected to.
const PRIOR_UNPROVEN: f32 = 0.6;
/// Share of the newest sample in the latency average.
const LATENCY_GAIN: f32 = 0.3;

/// The present moves in steps of 16 ms: too short for any weight to change by more than a ten-thousandth, long enough that
/// the requests of a busy run share one computation of it.
const STEP: Micros = 1 << 14;
/// Weights are brought down after this long: 12 and 30 half-lives, so that it is done by powers of two, which are exact.
const REBASE: Micros = 3600 * SECOND;
/// Halvings after which nothing is left. A pool that nobody has asked for days would else be beyond what a float holds.
const MOST_HALVINGS: f32 = 100.0;
/// A weight below this adds nothing to a present of at least 1, and would decay into numbers that are slow to reckon with.
const NOTHING: f32 = 1.0 / (1u64 << 40) as f32;

/// What one request, and one measurement of a latency, weigh that end now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Present {
    pub(super) evidence: f32,
    pub(super) latency: f32,
}

/// How the weight of the present grows.
#[derive(Debug)]
pub(super) struct Scale {
    /// When the present weighed 1.
    epoch: Micros,
    step: Micros,
    present: Present,
}

impl Scale {
    /// Begins at 0.
    pub(super) fn new() -> Self {
        Scale {
            epoch: 0,
            step: 0,
            present: Present::after(0),
        }
    }

    /// The weights at the last [`Scale::advance`].
    pub(super) fn present(&self) -> Present {
        self.present
    }

    /// The weights at `now`.
    pub(super) fn at(&self, now: Micros) -> Present {
        let step = now / STEP;
        if step == self.step {
            return self.present;
        }
        Present::after((step * STEP).saturating_sub(self.epoch))
    }

    /// Remembers the weights at `now`. Returns by what all evidence has to be [rebased](Evidence::rebase), if it has to.
    pub(super) fn advance(&mut self, now: Micros) -> Option<Present> {
        if now / STEP == self.step {
            return None;
        }
        let hours = now.saturating_sub(self.epoch) / REBASE;
        let divisor = (hours > 0).then(|| Present::after(hours * REBASE));
        self.epoch += hours * REBASE;
        self.present = self.at(now);
        self.step = now / STEP;
        divisor
    }
}

impl Present {
    fn after(age: Micros) -> Self {
        let weight = |half_life: f32| (seconds(0, age) / half_life).min(MOST_HALVINGS).exp2();
        Present {
            evidence: weight(EVIDENCE_HALF_LIFE),
            latency: weight(LATENCY_HALF_LIFE),
        }
    }
}

/// See the module text. Weights are on the pool's [`Scale`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Evidence {
    successes: f32,
    failures: f32,
    /// Average seconds of a success; 0 before the first.
    latency: f32,
    /// Weight of the last measurement of it; 0 before the first.
    measured: f32,
}

/// Requests that went well and badly before there is any evidence, as they weigh now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prior {
    good: f32,
    bad: f32,
}

impl Prior {
    pub(super) fn new(proven: bool, present: Present) -> Self {
        let chance = if proven { PRIOR_PROVEN } else { PRIOR_UNPROVEN };
        Prior {
            good: PRIOR_WEIGHT * chance * present.evidence,
            bad: PRIOR_WEIGHT * (1.0 - chance) * present.evidence,
        }
    }

    /// The same and so many failures that do not fade.
    pub(super) fn with_failures(self, failures: f32, present: Present) -> Self {
        Prior {
            bad: self.bad + failures * present.evidence,
            ..self
        }
    }
}

impl Evidence {
    /// What another run has learned, faded already.
    pub(super) fn recalled(health: &Health, present: Present) -> Self {
        let measured = health.served_ago.map_or(0.0, |ago| {
            remains(ago.as_secs_f32(), LATENCY_HALF_LIFE) * present.latency
        });
        Evidence {
            successes: health.successes * present.evidence,
            failures: health.failures * present.evidence,
            latency: health.latency,
            measured,
        }
    }

    /// Writes down what another run can use.
    pub(super) fn note(&self, present: Present, health: &mut Health) {
        health.successes = self.successes / present.evidence;
        health.failures = self.failures / present.evidence;
        health.latency = self.latency;
        // Its weight says when it was measured, unless that is so long ago that nothing is left of it.
        health.served_ago = (self.measured > 0.0).then(|| {
            let halvings = (present.latency.log2() - self.measured.log2()).max(0.0);
            Duration::from_secs_f32(halvings * LATENCY_HALF_LIFE)
        });
    }

    /// The same numbers as long as nothing happens, whatever the time.
    pub(super) fn mark(&self) -> [u32; 3] {
        [self.successes, self.failures, self.latency].map(f32::to_bits)
    }

    /// A percentage of which one can be rather sure, of a chance of success: one standard deviation below it, the prior
    /// counted as three requests.
    pub(super) fn caution(&self, chance: f32, present: Present) -> f32 {
        let doubt = (chance * (1.0 - chance) / (self.requests(present) + 3.0)).sqrt();
        100.0 * (chance - doubt).max(0.0)
    }

    /// A valid answer after `took` seconds.
    pub(super) fn credit(&mut self, took: f32, present: Present) {
        self.successes += present.evidence;
        self.latency = if self.latency == 0.0 {
            took
        } else {
            (1.0 - LATENCY_GAIN) * self.latency + LATENCY_GAIN * took
        };
        self.measured = present.latency;
    }

    /// An answer would have taken longer than `elapsed` seconds. Says something only when that is more than was expected.
    pub(super) fn took_longer(&mut self, elapsed: f32, present: Present) {
        if elapsed > self.latency {
            self.latency = if self.latency == 0.0 {
                elapsed
            } else {
                (1.0 - LATENCY_GAIN) * self.latency + LATENCY_GAIN * elapsed
            };
            self.measured = present.latency;
        }
    }

    /// Average seconds of a success; 0 before the first.
    pub(super) fn latency(&self) -> f32 {
        self.latency
    }

    /// A failure that is this proxy's with weight `weight`, in requests; with a negative one a charge is taken back.
    pub(super) fn charge(&mut self, weight: f32, present: Present) {
        self.failures = (self.failures + weight * present.evidence).max(0.0);
    }

    /// Chance that the next request succeeds, above 0 and below 1.
    pub(super) fn chance(&self, prior: Prior) -> f32 {
        let good = self.successes + prior.good;
        good / (good + self.failures + prior.bad)
    }

    /// Failures to be expected for every success.
    pub(super) fn odds_against(&self, prior: Prior) -> f32 {
        (self.failures + prior.bad) / (self.successes + prior.good)
    }

    /// Requests the evidence is worth now.
    pub(super) fn requests(&self, present: Present) -> f32 {
        (self.successes + self.failures) / present.evidence
    }

    /// Seconds that a success is expected to take, when the pool's median is `median`. `fade` is the inverse of what a
    /// measurement weighs now.
    pub(super) fn expected_latency(&self, median: f32, fade: f32) -> f32 {
        median + (self.latency - median) * (self.measured * fade)
    }

    /// Follows the scale to a new epoch.
    pub(super) fn rebase(&mut self, divisor: Present) {
        let divided = |weight: f32, by: f32| {
            let weight = weight / by;
            if weight < NOTHING { 0.0 } else { weight }
        };
        self.successes = divided(self.successes, divisor.evidence);
        self.failures = divided(self.failures, divisor.evidence);
        self.measured = divided(self.measured, divisor.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What two decaying sums, faded at every look, come to.
    struct Plain {
        successes: f64,
        failures: f64,
        latency: f64,
        measured: Micros,
        faded: Micros,
    }

    impl Plain {
        fn fade(&mut self, now: Micros) {
            let left = halved((now - self.faded) as f64 / 1e6, 300.0);
            self.successes *= left;
            self.failures *= left;
            self.faded = now;
        }

        fn expected_latency(&self, median: f64, now: Micros) -> f64 {
            let left = halved((now - self.measured) as f64 / 1e6, 120.0);
            median + (self.latency - median) * left
        }
    }

    fn halved(age: f64, half_life: f64) -> f64 {
        (-age / half_life).exp2()
    }

    #[test]
    fn weights_that_grow_are_worth_what_sums_that_fade_are() {
        let mut scale = Scale::new();
        let mut evidence = Evidence::default();
        let mut plain = Plain {
            successes: 0.0,
            failures: 0.0,
            latency: 1.0,
            measured: 0,
            faded: 0,
        };
        evidence.credit(1.0, scale.at(0));
        plain.successes = 1.0;
        let mut now = 0;
        // A third of a second to some minutes between events, for twenty hours.
        for n in 0..2000u64 {
            now += SECOND / 3 + (n * n % 71) * SECOND;
            if let Some(divisor) = scale.advance(now) {
                evidence.rebase(divisor);
            }
            let present = scale.at(now);
            plain.fade(now);
            let close = |own: f32, exact: f64| {
                assert!(
                    (f64::from(own) / exact - 1.0).abs() < 5e-4,
                    "{own} {exact} after {n}"
                );
            };
            let (good, bad) = (plain.successes + 1.8, plain.failures + 0.2);
            close(
                evidence.chance(Prior::new(true, present)),
                good / (good + bad),
            );
            close(evidence.odds_against(Prior::new(true, present)), bad / good);
            close(
                1.0 + evidence.requests(present),
                1.0 + plain.successes + plain.failures,
            );
            let expected = evidence.expected_latency(0.7, 1.0 / present.latency);
            close(expected, plain.expected_latency(0.7, now));
            if n % 7 == 0 {
                evidence.charge(0.5, present);
                plain.failures += 0.5;
            } else {
                let took = 0.2 + (n % 5) as f64;
                evidence.credit(took as f32, present);
                plain.successes += 1.0;
                plain.latency = 0.7 * plain.latency + 0.3 * took;
                plain.measured = now;
            }
        }
    }

    #[test]
    fn a_new_epoch_changes_nothing_and_days_of_silence_leave_the_prior() {
        let mut scale = Scale::new();
        let mut evidence = Evidence::default();
        let shown = |evidence: &Evidence, present: Present| {
            let prior = Prior::new(true, present);
            let latency = evidence.expected_latency(1.0, 1.0 / present.latency);
            [
                evidence.chance(prior),
                evidence.odds_against(prior.with_failures(1.0, present)),
                latency,
            ]
        };
        evidence.credit(4.0, scale.at(REBASE - SECOND));
        evidence.charge(1.0, scale.at(REBASE - SECOND));
        let now = REBASE + SECOND;
        let before = shown(&evidence, scale.at(now));
        evidence.rebase(scale.advance(now).expect("an hour has passed"));
        for (before, after) in before.iter().zip(shown(&evidence, scale.at(now))) {
            assert!((before / after - 1.0).abs() < 1e-5, "{before} {after}");
        }
        assert_eq!(scale.advance(now + SECOND), None);

        let later = now + 1000 * REBASE;
        let present = scale.at(later);
        assert!(present.evidence.is_finite() && present.latency.is_finite());
        let forgotten = shown(&evidence, present);
        evidence.rebase(scale.advance(later).expect("a new epoch"));
        for shown in [forgotten, shown(&evidence, scale.at(later))] {
            let [chance, odds, latency] = shown;
            assert!(
                (chance - 0.9).abs() < 1e-3 && (latency - 1.0).abs() < 1e-3,
                "{shown:?}"
            );
            // A doubt never fades: 1.2 failures against 1.8 successes.
            assert!((odds - 1.2 / 1.8).abs() < 1e-3, "{shown:?}");
        }
    }
}
