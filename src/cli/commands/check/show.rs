//! How a check is going.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::check::{Progress, Verdict};
use crate::cli::printer::Printer;
use crate::cli::progress::Shown;

/// Shows every state until its sender is dropped, then clears up.
pub(super) async fn show(mut seen: watch::Receiver<Progress>, printer: Printer, shown: Shown) {
    let bar = ProgressBar::new(0);
    if shown == Shown::Bar {
        // A constant of this file; a plain bar is still better than none.
        let style = ProgressStyle::with_template("[{bar:16}] {percent:>3}% {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        printer.attach(bar.clone());
    }
    let pace = match shown {
        Shown::Log => Duration::from_secs(1),
        Shown::Bar | Shown::Nothing => Duration::from_millis(100),
    };
    let mut tick = interval_at(Instant::now() + pace, pace);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = tick.tick(), if shown != Shown::Nothing => {
                let now = seen.borrow().clone();
                if shown == Shown::Log {
                    printer.note(&line(&now));
                } else {
                    bar.set_length(now.all);
                    bar.set_position(now.done);
                    bar.set_message(line(&now));
                    bar.tick();
                }
            }
            changed = seen.changed() => {
                if changed.is_err() {
                    break;
                }
            }
        }
    }
    if shown == Shown::Bar {
        bar.finish_and_clear();
        printer.detach();
    }
}

/// `120/2000: 30 alive, 80 dead`, `40/60: 8 alive, 32 unknown; no judge answered for 32`.
fn line(now: &Progress) -> String {
    let counts = Verdict::ALL.iter().zip(now.verdicts);
    let counts: Vec<_> = counts
        .filter(|(_, count)| *count > 0)
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    let why = match now.unjudged {
        0 => String::new(),
        unjudged => format!("; no judge answered for {unjudged}"),
    };
    format!("{}/{}: {}{why}", now.done, now.all, counts.join(", "))
}
