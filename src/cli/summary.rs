//! The end of a run in ten seconds of reading.

use std::fmt::Write as _;

use super::exit::Exit;
use super::figures;
use crate::config::Resolved;
use crate::engine::Caps;
use crate::metrics::{FinishReason, HostStats, Snapshot, Summary};
use crate::outcome::Outcome;
use crate::proxy::list;

/// What there is to tell.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// How the run ended.
    pub summary: &'a Summary,
    /// What the process will return.
    pub exit: Exit,
    /// What the proxy lists held.
    pub intake: Intake,
    /// The settings, for the hint.
    pub resolved: &'a Resolved,
}

/// Counts of proxy list intake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Intake {
    /// Lines that hold something.
    pub lines: u64,
    /// Distinct proxies, templates expanded.
    pub proxies: u64,
    /// Lines that repeat a proxy.
    pub duplicates: u64,
    /// Lines that are no proxy.
    pub rejected: u64,
}

impl From<&list::Report> for Intake {
    fn from(report: &list::Report) -> Self {
        Intake {
            lines: report.lines,
            proxies: report.proxies,
            duplicates: report.duplicates,
            rejected: report.rejected,
        }
    }
}

impl Intake {
    /// The counts by name, for programs.
    pub fn fields(&self) -> [(&'static str, u64); 4] {
        [
            ("list/lines", self.lines),
            ("list/proxies", self.proxies),
            ("list/duplicates", self.duplicates),
            ("list/rejected", self.rejected),
        ]
    }

    /// What became of lines that are no proxy of their own: `3 duplicate lines`, `1 rejected line`.
    pub fn lost(&self) -> impl Iterator<Item = String> {
        [
            (self.duplicates, "duplicate line", "duplicate lines"),
            (self.rejected, "rejected line", "rejected lines"),
        ]
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, more)| figures::counted(count, one, more))
    }
}

/// Hosts shown.
const WORST_HOSTS: usize = 5;
/// Reasons shown on one line.
const REASONS: usize = 4;

/// The summary, without a final line break. Lines about nothing are left out.
pub fn render(report: &Report<'_>) -> String {
    let totals = &report.summary.totals;
    let ok = totals.count(Outcome::Ok);
    let seconds = totals.elapsed.as_secs_f64();
    // What was read ahead of a stop is no more than an accident.
    let all = totals.left.map_or(totals.read, |left| totals.done + left);
    let mut text = format!(
        "{} of {} URLs in {}",
        totals.done,
        all,
        figures::time(totals.elapsed)
    );
    if seconds > 0.0 && totals.done > 0 {
        let _ = write!(text, " ({})", figures::rate(totals.done as f64 / seconds));
    }
    let _ = write!(text, ": {ok} ok, {} failed", totals.failed());
    if report.summary.reason == FinishReason::OutputFailed {
        text.push_str(match report.resolved.output.retry_failed {
            // Their old rows stay until there are new ones.
            true => ", the last of them without a new row",
            false => ", the last of them without a row",
        });
    }
    let earlier = totals.earlier;
    if earlier.all() > 0 {
        let rows = figures::counted(earlier.all(), "row was", "rows were");
        let _ = write!(text, " ({rows} there: {} ok)", earlier.ok);
    }
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = write!(text, "\n  {name:<9}{value}");
        }
    };
    let outcomes = Outcome::ALL
        .into_iter()
        .map(|outcome| (outcome.as_str(), totals.count(outcome)))
        .filter(|(_, count)| *count > 0);
    line("outcomes", listed(outcomes, usize::MAX));
    line("attempts", attempts(totals, ok));
    line("hosts", hosts(&totals.hosts));
    line("pool", pool(report));
    line(
        "faults",
        top(totals.proxy_faults.iter().map(|(k, n)| (k.as_str(), *n))),
    );
    line("latency", latency(totals.latency_ms));
    line("bytes", bytes(totals));
    line("cost", cost(totals, ok, &report.resolved.engine.caps));
    line("cap", cap(report.summary));
    line("exit", format!("{} {}", report.exit.code, report.exit.word));
    text
}

fn listed<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>, most: usize) -> String {
    let parts: Vec<String> = counts
        .into_iter()
        .take(most)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    parts.join(", ")
}

/// The largest counts first.
fn top<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> String {
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let rest: u64 = counts.iter().skip(REASONS).map(|(_, count)| count).sum();
    let mut text = listed(counts, REASONS);
    if rest > 0 {
        let _ = write!(text, ", others {rest}");
    }
    text
}

fn attempts(totals: &Snapshot, ok: u64) -> String {
    if totals.attempts == 0 {
        return String::new();
    }
    let mut text = totals.attempts.to_string();
    if ok > 0 {
        let _ = write!(
            text,
            ", {:.2} per success",
            totals.attempts as f64 / ok as f64
        );
    }
    if totals.retries > 0 {
        let retries = figures::counted(totals.retries, "retry", "retries");
        let _ = write!(text, "; {retries}");
        let reasons = top(totals.retry_reasons.iter().map(|(k, n)| (*k, *n)));
        if !reasons.is_empty() {
            let _ = write!(text, " ({reasons})");
        }
    }
    text
}

fn hosts(hosts: &[HostStats]) -> String {
    let mut worst: Vec<&HostStats> = hosts.iter().filter(|host| host.failed > 0).collect();
    worst.sort_by(|a, b| b.failed.cmp(&a.failed).then(a.host.cmp(&b.host)));
    let lines: Vec<String> = worst
        .into_iter()
        .take(WORST_HOSTS)
        .map(|host| {
            let mut line = format!("{}: {} of {} failed", host.host, host.failed, host.done);
            if let Some(why) = host.worst {
                let _ = write!(line, ", mostly {why}");
            }
            if host.banned > 0 {
                let _ = write!(line, ", {} bans", host.banned);
            }
            if host.rate_limited > 0 {
                let _ = write!(line, ", {} rate limits", host.rate_limited);
            }
            if host.not_asked > 0 {
                let _ = write!(line, "; given up, {} not asked for", host.not_asked);
            }
            line
        })
        .collect();
    lines.join(&format!("\n  {:<9}", ""))
}

fn pool(report: &Report<'_>) -> String {
    let totals = &report.summary.totals;
    let pool = &totals.pool;
    // A pool that was never asked has nothing to show for itself.
    if pool.total == 0 || totals.attempts + totals.probes == 0 {
        return String::new();
    }
    let mut text = format!("{} of {} proxies served a page", pool.proven, pool.total);
    for (count, what) in [
        (pool.unknown, "never tried"),
        (pool.quarantined, "quarantined"),
        (pool.retired, "retired"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    for lost in report.intake.lost() {
        let _ = write!(text, ", {lost}");
    }
    text
}

fn latency(quantiles: Option<[f64; 3]>) -> String {
    match quantiles {
        Some([p50, p95, p99]) => format!("p50 {p50:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms"),
        None => String::new(),
    }
}

fn bytes(totals: &Snapshot) -> String {
    if totals.bytes_wire == 0 && totals.bytes_body == 0 {
        return String::new();
    }
    format!(
        "{} on the wire, {} decoded",
        figures::bytes(totals.bytes_wire),
        figures::bytes(totals.bytes_body)
    )
}

/// The ledger, when there is a price or a cap that makes it worth a look.
fn cost(totals: &Snapshot, ok: u64, caps: &Caps) -> String {
    let ledger = &totals.ledger;
    let capped = caps.requests.is_some() || caps.bytes.is_some() || caps.cost.is_some();
    if !ledger.is_priced && !capped {
        return String::new();
    }
    let total = ledger.total();
    let parts = [
        ("useful", ledger.useful),
        ("retry", ledger.retry),
        ("probe", ledger.probe),
    ];
    if !ledger.is_priced {
        let parts = parts.map(|(name, spend)| format!("{name} {}", figures::bytes(spend.bytes)));
        return format!(
            "{} requests, {} through proxies ({})",
            total.requests,
            figures::bytes(total.bytes),
            parts.join(", ")
        );
    }
    let parts = parts.map(|(name, spend)| format!("{name} {}", figures::money(spend.money)));
    let mut text = format!("{} ({})", figures::money(total.money), parts.join(", "));
    if let Some(each) = ledger.per_row(ok) {
        let _ = write!(text, ", {} per good row", figures::money(each));
    }
    let _ = write!(
        text,
        "; {} requests, {} through proxies",
        total.requests,
        figures::bytes(total.bytes)
    );
    text
}

/// Which cap has ended the run, and what it has left undone.
fn cap(summary: &Summary) -> String {
    let FinishReason::Capped(cap) = summary.reason else {
        return String::new();
    };
    let left = match summary.totals.left {
        Some(1) => "1 URL is left".to_owned(),
        Some(left) => format!("{left} URLs are left"),
        None => "URLs are left, nobody knows how many".to_owned(),
    };
    format!("{} is reached; {left}, resume with --resume", cap.flag())
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use clap::FromArgMatches;

    use super::*;
    use crate::cli::args::{FetchArgs, resolve, root};
    use crate::metrics::PoolCounts;

    /// A run with a bit of everything.
    pub(in crate::cli) struct Sample {
        pub(in crate::cli) summary: Summary,
        pub(in crate::cli) intake: Intake,
        pub(in crate::cli) resolved: Resolved,
    }

    impl Sample {
        pub(in crate::cli) fn report(&self) -> Report<'_> {
            Report {
                summary: &self.summary,
                exit: Exit::of_summary(&self.summary, self.resolved.max_fail),
                intake: self.intake,
                resolved: &self.resolved,
            }
        }

        /// Sets the records to these, all read and done.
        pub(in crate::cli) fn records(&mut self, counts: &[(Outcome, u64)]) {
            let totals = &mut self.summary.totals;
            totals.outcomes = [0; Outcome::ALL.len()];
            for (outcome, count) in counts {
                let at = Outcome::ALL.iter().position(|each| each == outcome);
                totals.outcomes[at.expect("listed")] = *count;
            }
            totals.done = totals.outcomes.iter().sum();
            totals.read = totals.done;
        }
    }

    pub(in crate::cli) fn settings(flags: &[&str]) -> Resolved {
        let words = ["proxywheel", "fetch"].iter().chain(flags);
        let matches = root().try_get_matches_from(words).expect("parses");
        let matches = matches.subcommand_matches("fetch").expect("fetch");
        let args = FetchArgs::from_arg_matches(matches).expect("args");
        resolve(&args, matches, &mut |_| Ok(Vec::new())).expect("resolves")
    }

    pub(in crate::cli) fn sample() -> Sample {
        let mut sample = Sample {
            summary: Summary {
                reason: FinishReason::Done,
                totals: Snapshot {
                    elapsed: Duration::from_millis(12_300),
                    input_ended: true,
                    statuses: [(200, 590), (403, 4), (404, 6)].into(),
                    attempts: 716,
                    retries: 116,
                    retry_reasons: [("proxy_error", 80), ("banned", 36)].into(),
                    probes: 60,
                    probes_failed: 12,
                    proxy_faults: [
                        ("connect refused".to_owned(), 7),
                        ("connect timeout".to_owned(), 5),
                    ]
                    .into(),
                    pool: PoolCounts {
                        total: 60,
                        ready: 40,
                        quarantined: 12,
                        cooling_pairs: 3,
                        proven: 41,
                        ..PoolCounts::default()
                    },
                    latency_ms: Some([120.0, 900.4, 2300.0]),
                    bytes_wire: 4_800_000,
                    bytes_body: 12_100_000,
                    hosts: vec![
                        HostStats {
                            host: "http://b.example".into(),
                            done: 300,
                            failed: 4,
                            attempts: 310,
                            worst: Some(Outcome::HttpError),
                            ..HostStats::default()
                        },
                        HostStats {
                            host: "http://a.example".into(),
                            done: 300,
                            failed: 6,
                            attempts: 406,
                            banned: 9,
                            worst: Some(Outcome::Banned),
                            ..HostStats::default()
                        },
                    ],
                    ..Snapshot::default()
                },
            },
            intake: Intake {
                lines: 64,
                proxies: 60,
                duplicates: 3,
                rejected: 1,
            },
            resolved: settings(&[]),
        };
        sample.records(&[
            (Outcome::Ok, 590),
            (Outcome::HttpError, 6),
            (Outcome::Banned, 4),
        ]);
        sample
    }

    #[test]
    fn a_mixed_run_reads_from_results_to_reasons() {
        insta::assert_snapshot!(render(&sample().report()), @r"
        600 of 600 URLs in 12.3 s (48.8/s): 590 ok, 10 failed
          outcomes ok 590, http_error 6, banned 4
          attempts 716, 1.21 per success; 116 retries (proxy_error 80, banned 36)
          hosts    http://a.example: 6 of 300 failed, mostly banned, 9 bans
                   http://b.example: 4 of 300 failed, mostly http_error
          pool     41 of 60 proxies served a page, 12 quarantined, 3 duplicate lines, 1 rejected line
          faults   connect refused 7, connect timeout 5
          latency  p50 120 ms, p95 900 ms, p99 2300 ms
          bytes    4.8 MB on the wire, 12 MB decoded
          exit     4 some_failed
        ");
    }

    #[test]
    fn an_empty_run_says_so_and_no_more() {
        let mut sample = sample();
        sample.summary.totals = Snapshot::default();
        sample.intake = Intake::default();
        insta::assert_snapshot!(render(&sample.report()), @r"
        0 of 0 URLs in 0.0 s: 0 ok, 0 failed
          exit     0 done
        ");
    }
}
