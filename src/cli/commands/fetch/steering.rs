//! What happens to a fetch from outside while it goes on: signals, and proxy lists that are read again.

use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::{joined, keeping, reason_of};
use crate::cli::printer::{Printer, error_text};
use crate::cli::signals::Signal;
use crate::config::Lists;
use crate::engine::Control;
use crate::error::{Error, Problem};
use crate::proxy::list::ProxyList;

/// Acts on signals while the run goes on.
pub(super) struct Steering {
    pub(super) reloader: Reloader,
    pub(super) control: mpsc::Sender<Control>,
    pub(super) printer: Printer,
    /// The state, when there is one that is written.
    pub(super) state: Option<PathBuf>,
}

impl Steering {
    pub(super) async fn obey(&mut self, signal: Signal) {
        match signal {
            Signal::Drain(code) => {
                self.printer
                    .note("finishing what is in flight; once more stops now");
                self.send(Control::Drain(reason_of(code))).await;
            }
            Signal::Stop(code) => self.send(Control::Stop(reason_of(code))).await,
            Signal::Reload => {
                if !self.reloader.start(Asked::BySignal) {
                    self.printer.warn(
                        &Problem::new("there is no proxy list that could be read again")
                            .hint("only lists of --proxy-file FILE or URL are"),
                    );
                }
            }
        }
    }

    /// Takes a list that was read while the run went on, or keeps the old one.
    pub(super) async fn swap(&mut self, list: Result<ProxyList, Error>, asked: Asked) {
        let list = match list {
            Ok(list) => list,
            Err(error) => {
                let why = error_text(&error);
                let problem = Problem::new(format!("the proxy list stays as it was: {why}"));
                self.printer.warn(&match error.hint() {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                });
                return;
            }
        };
        let count = |number: u64, one: &str, more: &str| match number {
            1 => format!("1 {one}"),
            _ => format!("{number} {more}"),
        };
        let proxies = list.proxies.len() as u64;
        let mut text = format!(
            "proxy list read again: {}",
            count(proxies, "proxy", "proxies")
        );
        if list.report.rejected > 0 {
            let rejected = count(list.report.rejected, "entry", "entries");
            text.push_str(&format!(", {rejected} rejected"));
        }
        match asked {
            Asked::BySignal => self.printer.note(&text),
            Asked::ByClock => self.printer.detail(&text),
        }
        let memory = keeping::again(self.state.as_deref(), &list.proxies).await;
        self.send(Control::Replace(list.proxies)).await;
        if let Some(memory) = memory {
            self.send(Control::Recall(memory)).await;
        }
    }

    async fn send(&self, control: Control) {
        // A run that has ended needs no steering.
        let _ = self.control.send(control).await;
    }
}

/// Who wanted the lists to be read again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    BySignal,
    ByClock,
}

/// Reads the lists again beside the run: a server that does not answer, or a million lines, hold up neither requests nor
/// signals.
pub(super) struct Reloader {
    /// Away while they are read.
    lists: Option<Lists>,
    reading: Option<(Reading, Asked)>,
    /// Asked for while a reading went on, which may have missed the change.
    again: Option<Asked>,
}

type Reading = JoinHandle<(Lists, Result<ProxyList, Error>)>;

impl Reloader {
    pub(super) fn new(lists: Lists) -> Self {
        Reloader {
            lists: Some(lists),
            reading: None,
            again: None,
        }
    }

    /// Starts to read; false when there is nothing that can have changed.
    pub(super) fn start(&mut self, asked: Asked) -> bool {
        let Some(mut lists) = self.lists.take() else {
            self.again = Some(asked);
            return true;
        };
        if !lists.can_change() {
            self.lists = Some(lists);
            return false;
        }
        let runtime = Handle::current();
        let reading = spawn_blocking(move || {
            let list = runtime.block_on(lists.read());
            (lists, list)
        });
        self.reading = Some((reading, asked));
        true
    }

    /// The lists that were asked for, once they are read.
    pub(super) async fn read(&mut self) -> (Result<ProxyList, Error>, Asked) {
        let Some((reading, asked)) = &mut self.reading else {
            return std::future::pending().await;
        };
        let asked = *asked;
        let (lists, list) = joined(reading.await);
        self.reading = None;
        self.lists = Some(lists);
        if let Some(asked) = self.again.take() {
            self.start(asked);
        }
        (list, asked)
    }
}

/// The beat of `--proxy-refresh`.
pub(super) struct Refresh(Option<Interval>);

impl Refresh {
    pub(super) fn every(period: Option<Duration>) -> Self {
        Refresh(period.map(|period| {
            let mut beat = interval_at(Instant::now() + period, period);
            // A machine that slept has missed beats; one reading makes up for all of them.
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beat
        }))
    }

    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}
