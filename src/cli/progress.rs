//! What is going on, on standard error while a run lasts.
//!
//! A bar is drawn only where it can do no harm: on a terminal to which the records do not go as well, be it through `jq`. `log`
//! prints one line a second instead. Both show the same.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::args::Progress;
use super::figures;
use super::hint;
use super::printer::{Level, Printer};
use crate::config::Streams;
use crate::metrics::{Binding, Snapshot, Wait};

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A bar.
    Bar,
    /// One line a second.
    Log,
    /// Nothing.
    Nothing,
}

/// What `--progress` comes to here. A bar that cannot be drawn becomes lines.
pub fn choose(
    wanted: Progress,
    streams: Streams,
    records_to_stdout: bool,
    printer: &Printer,
) -> Shown {
    let drawable = streams.stderr_is_terminal && !printer.is_json();
    let harmless = !records_to_stdout || streams.stdout_is_file;
    match wanted {
        _ if printer.level() == Level::Quiet => Shown::Nothing,
        Progress::None => Shown::Nothing,
        Progress::Log => Shown::Log,
        Progress::Bar if drawable => Shown::Bar,
        Progress::Bar => Shown::Log,
        Progress::Auto if drawable && harmless => Shown::Bar,
        Progress::Auto => Shown::Nothing,
    }
}

/// Shows every snapshot until their sender is dropped, then clears up.
pub async fn show(snapshots: watch::Receiver<Snapshot>, printer: Printer, shown: Shown) {
    match shown {
        Shown::Nothing => {}
        Shown::Bar => draw(snapshots, &printer).await,
        Shown::Log => log(snapshots, &printer).await,
    }
}

/// A run that ends so soon says at its end what is likely to be wrong, and not twice.
const AT_THE_END: Duration = Duration::from_secs(2);

/// Says once what is likely to be wrong, as soon as it shows and the run goes on all the same.
pub async fn warn(mut snapshots: watch::Receiver<Snapshot>, printer: Printer) {
    while snapshots.changed().await.is_ok() {
        let said = hint::early(&snapshots.borrow_and_update());
        let Some(said) = said else { continue };
        let ends = async { while snapshots.changed().await.is_ok() {} };
        if tokio::time::timeout(AT_THE_END, ends).await.is_err() {
            printer.note(&format!("hint: {said}"));
        }
        return;
    }
}

async fn draw(mut snapshots: watch::Receiver<Snapshot>, printer: &Printer) {
    let bar = ProgressBar::new_spinner();
    // Two lines, so that neither is wider than a usual terminal.
    let spinner = style("{spinner} {wide_msg}\n  {prefix}");
    let full = style("[{bar:10}] {percent:>3}% {wide_msg}\n  {prefix}");
    bar.set_style(spinner);
    printer.attach(bar.clone());
    let mut pace = Pace::default();
    let mut total_known = false;
    while snapshots.changed().await.is_ok() {
        let (work, pool) = {
            let now = snapshots.borrow_and_update();
            pace.update(&now);
            if let Some((total, _)) = total(&now) {
                if !total_known {
                    total_known = true;
                    bar.set_style(full.clone());
                }
                bar.set_length(total);
                bar.set_position(now.done);
            }
            (work(&now, pace.per_second), pool(&now))
        };
        bar.set_message(work);
        bar.set_prefix(pool);
        bar.tick();
    }
    bar.finish_and_clear();
    printer.detach();
}

/// The templates are constants of this file, so a bad one shows in the first test; a plain bar is still better than none.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

async fn log(mut snapshots: watch::Receiver<Snapshot>, printer: &Printer) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    second.tick().await;
    let mut pace = Pace::default();
    loop {
        tokio::select! {
            _ = second.tick() => {
                let text = {
                    let now = snapshots.borrow();
                    format!("{} | {}", work(&now, pace.per_second), pool(&now))
                };
                printer.note(&text);
            }
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return;
                }
                pace.update(&snapshots.borrow());
            }
        }
    }
}

/// Jobs per second, smoothed.
#[derive(Debug, Default)]
struct Pace {
    per_second: f64,
    /// The smoothed value before its correction for a short history, which starts at 0.
    raw: f64,
    seen: (Duration, u64),
}

impl Pace {
    /// Half of what is shown is younger than this.
    const HALF_LIFE: f64 = 5.0;

    fn update(&mut self, now: &Snapshot) {
        let (then, done) = self.seen;
        let seconds = now.elapsed.saturating_sub(then).as_secs_f64();
        // Shorter steps are more noise than news.
        if seconds < 0.1 {
            return;
        }
        let kept = |seconds: f64| 0.5f64.powf(seconds / Self::HALF_LIFE);
        let current = now.done.saturating_sub(done) as f64 / seconds;
        self.raw = self.raw * kept(seconds) + current * (1.0 - kept(seconds));
        self.per_second = self.raw / (1.0 - kept(now.elapsed.as_secs_f64()));
        self.seen = (now.elapsed, now.done);
    }
}

/// Jobs in all, and whether that is only about right. A long input is read as slowly as it is fetched, so its end is seen late.
fn total(now: &Snapshot) -> Option<(u64, bool)> {
    if now.input_ended {
        return Some((now.read, false));
    }
    let all = now.read + now.to_come?;
    // Two digits: the others change with every look.
    let unit = 10u64.pow(all.checked_ilog10().unwrap_or(0).saturating_sub(1));
    Some((all.div_ceil(unit) * unit, true))
}

/// A longer time left is no estimate: nothing has been done for a while.
const LONGEST_ETA: Duration = Duration::from_secs(100 * 3600);

/// What is done: done/total, rate, time left, results. What counts least stands last, where a narrow terminal cuts.
fn work(now: &Snapshot, per_second: f64) -> String {
    if let Some(left) = now.starts_in {
        return format!("starts in {} s", left.as_secs_f64().ceil());
    }
    let total = total(now);
    let shown = match total {
        Some((total, true)) => format!("~{total}"),
        Some((total, false)) => total.to_string(),
        None => "?".to_owned(),
    };
    let mut line = format!("{}/{shown} {}", now.done, figures::rate(per_second));
    if let Some((total, _)) = total
        && per_second > 0.0
    {
        let left = total.saturating_sub(now.done) as f64 / per_second;
        if let Ok(left) = Duration::try_from_secs_f64(left.ceil())
            && left <= LONGEST_ETA
        {
            let left = match left.as_secs() {
                seconds @ 0..60 => format!("{seconds} s"),
                _ => figures::time(left),
            };
            line.push_str(&format!(" ETA {left}"));
        }
    }
    line.push_str(&format!(
        " | {} ok {} failed {} retries",
        now.done - now.failed(),
        now.failed(),
        now.retries,
    ));
    line
}

/// What it is done with: proxies, and the limit that binds.
fn pool(now: &Snapshot) -> String {
    let mut line = format!(
        "proxies: {} live {} cooling {} quarantined",
        now.pool.ready, now.pool.cooling_pairs, now.pool.quarantined,
    );
    if let Some(binding) = now.binding {
        line.push_str(&format!(" | limit: {}", limit(binding, &now.wait)));
    }
    line
}

/// Characters of a site's name that the line has room for.
const NAME: usize = 24;

/// The limit, the site it is about, and how long it lasts where that is long enough to be read.
fn limit(binding: Binding, wait: &Wait) -> String {
    let site = match (&wait.host, wait.hosts) {
        (_, 0) => None,
        (Some(host), 1) if host.len() <= NAME => Some(host.to_string()),
        // What tells sites apart stands in front.
        (Some(host), 1) => Some(host.chars().take(NAME - 2).chain("..".chars()).collect()),
        (_, hosts) => Some(format!("{hosts} sites")),
    };
    // Each of several sites has its own.
    let left = wait.ends_in.filter(|_| wait.hosts <= 1);
    let left = left.filter(|left| *left >= Duration::from_secs(1));
    let left = left.map(|left| format!("{} s", left.as_secs_f64().ceil()));
    let about: Vec<String> = site.into_iter().chain(left).collect();
    match about.is_empty() {
        true => binding.as_str().to_owned(),
        false => format!("{} ({})", binding.as_str(), about.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::printer::tests::printer;
    use super::*;
    use crate::metrics::PoolCounts;

    fn snapshot(seconds: u64, done: u64) -> Snapshot {
        let mut snapshot = Snapshot {
            elapsed: Duration::from_secs(seconds),
            read: 600,
            input_ended: true,
            done,
            retries: 35,
            pool: PoolCounts {
                ready: 41,
                cooling_pairs: 3,
                quarantined: 12,
                ..PoolCounts::default()
            },
            binding: Some(Binding::HostRate),
            wait: Wait {
                hosts: 1,
                host: Some("shop.test".into()),
                ends_in: Some(Duration::from_millis(2100)),
            },
            ..Snapshot::default()
        };
        snapshot.outcomes[0] = done;
        snapshot
    }

    #[test]
    fn the_lines_tell_work_and_time_left_then_pool_and_limit() {
        let now = snapshot(6, 300);
        assert_eq!(
            work(&now, 50.0),
            "300/600 50.0/s ETA 6 s | 300 ok 0 failed 35 retries"
        );
        assert_eq!(
            pool(&now),
            "proxies: 41 live 3 cooling 12 quarantined | limit: --host-rate (shop.test, 3 s)"
        );
        let open = Snapshot {
            input_ended: false,
            binding: None,
            ..now
        };
        assert!(work(&open, 50.0).starts_with("300/? 50.0/s"));
        let waiting = Snapshot {
            starts_in: Some(Duration::from_millis(11_200)),
            ..Snapshot::default()
        };
        assert_eq!(work(&waiting, 0.0), "starts in 12 s");
        assert!(!work(&open, 50.0).contains("ETA"), "no total, no end");
        let standing = work(&snapshot(6, 300), 1e-5);
        assert!(!standing.contains("ETA"), "{standing}");
        let guessed = Snapshot {
            to_come: Some(59_300),
            ..open.clone()
        };
        assert!(
            work(&guessed, 50.0).starts_with("300/~60000 50.0/s ETA 19 min 54 s | "),
            "{}",
            work(&guessed, 50.0)
        );
        assert!(!pool(&open).contains("limit"));
    }

    #[test]
    fn pace_follows_a_change_within_a_few_half_lives() {
        let mut pace = Pace::default();
        pace.update(&snapshot(0, 0));
        pace.update(&snapshot(1, 10));
        assert!(
            (pace.per_second - 10.0).abs() < 1e-9,
            "right from the start"
        );
        for second in 2..=21 {
            pace.update(&snapshot(second, 10 + (second - 1) * 100));
        }
        assert!((90.0..=100.0).contains(&pace.per_second), "{pace:?}");
    }

    #[test]
    fn a_bar_is_drawn_only_where_it_does_no_harm() {
        let (normal, _, _) = printer(Level::Normal, false);
        let (json, _, _) = printer(Level::Normal, true);
        let (quiet, _, _) = printer(Level::Quiet, false);
        let terminal = Streams {
            stdin_is_terminal: true,
            stdout_is_terminal: true,
            stdout_is_file: false,
            stderr_is_terminal: true,
        };
        let into_file = Streams {
            stdout_is_terminal: false,
            stdout_is_file: true,
            ..terminal
        };
        let into_pipe = Streams {
            stdout_is_terminal: false,
            ..terminal
        };
        for (wanted, streams, to_stdout, printer, shown) in [
            (Progress::Auto, into_file, true, &normal, Shown::Bar),
            (Progress::Auto, into_pipe, true, &normal, Shown::Nothing),
            (Progress::Auto, into_pipe, false, &normal, Shown::Bar),
            (Progress::Auto, terminal, false, &normal, Shown::Bar),
            (Progress::Auto, terminal, true, &normal, Shown::Nothing),
            (
                Progress::Auto,
                Streams::default(),
                false,
                &normal,
                Shown::Nothing,
            ),
            (Progress::Auto, terminal, false, &json, Shown::Nothing),
            (Progress::Bar, terminal, true, &normal, Shown::Bar),
            (
                Progress::Bar,
                Streams::default(),
                false,
                &normal,
                Shown::Log,
            ),
            (Progress::Log, terminal, true, &normal, Shown::Log),
            (Progress::Log, terminal, true, &quiet, Shown::Nothing),
            (Progress::None, terminal, false, &normal, Shown::Nothing),
        ] {
            assert_eq!(
                choose(wanted, streams, to_stdout, printer),
                shown,
                "{wanted:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn log_prints_one_line_a_second_and_ends_with_its_sender() {
        let (printer, out, err) = printer(Level::Normal, false);
        let (sender, receiver) = watch::channel(Snapshot::default());
        let shown = tokio::spawn(show(receiver, printer, Shown::Log));
        for tenth in 1..=35 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            sender.send_replace(snapshot(tenth / 10, tenth));
        }
        drop(sender);
        shown.await.expect("no panic");
        assert_eq!(err.text().lines().count(), 3, "{}", err.text());
        assert_eq!(out.text(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_is_said_while_the_run_goes_on_and_left_to_the_end_of_a_short_one() {
        for (goes_on, lines) in [(1, 0), (30, 1)] {
            let (printer, _, err) = printer(Level::Normal, false);
            let (sender, receiver) = watch::channel(Snapshot::default());
            let warning = tokio::spawn(warn(receiver, printer));
            for second in 0..goes_on {
                let mut now = snapshot(second, 0);
                now.pool.total = 50;
                now.foreign.http = 50;
                sender.send_replace(now);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            drop(sender);
            warning.await.expect("no panic");
            assert_eq!(err.text().lines().count(), lines, "{}", err.text());
        }
    }
}
