//! What a check leaves to the fetches that come: the same state that they keep.
//!
//! A proxy has its row before it is in the state, so the state knows nothing of which no row was written. A check that is killed
//! has left out what it found in its last moments; when it is resumed the rows tell.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::sink::Sink;
use crate::check::{Report, Verdict};
use crate::cli::commands::fetch::keeping;
use crate::cli::printer::Printer;
use crate::error::Error;
use crate::outcome::UnixMillis;
use crate::pool::{Health, Memory, Remembered};
use crate::proxy::{Proxy, ProxyId};
use crate::state::{Keeper, RunEnd, gap};

/// Proxies that are written together.
const BATCH: usize = 500;
/// How long a proxy waits to be written: what a kill costs at most.
const WAIT: Duration = Duration::from_secs(1);

/// As much of a report, or of its row, as the state can use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// Requests that were answered.
    pub(super) ok: u32,
    /// Requests that were not.
    pub(super) failed: u32,
    /// Median of whole requests.
    pub(super) median: Option<Duration>,
    pub(super) forwards: Option<bool>,
    pub(super) tunnels: Option<bool>,
    /// Its port speaks something else than the list says, so it says nothing of the listed proxy.
    pub(super) detected: bool,
    pub(super) at: UnixMillis,
}

impl Finding {
    fn of(report: &Report) -> Self {
        Finding {
            verdict: report.verdict,
            ok: report.ok(),
            failed: report.failed,
            median: report.latency().map(|latency| latency.p50),
            forwards: report.forwards,
            tunnels: report.tunnels,
            detected: report.proxy.id() != report.listed.id(),
            at: report.checked_at,
        }
    }
}

/// Writes what is found out.
pub(super) struct Remembering {
    keeper: Keeper,
    /// What earlier runs have counted.
    before: HashMap<ProxyId, Health>,
    batch: Vec<Remembered>,
    /// When the batch is written, however small.
    due: Option<Instant>,
    end: RunEnd,
}

impl Remembering {
    /// Opens the state at `path`; `None` when there is none, or it cannot be used, which is told. What it has not heard of the rows
    /// of an earlier run (`done`, by label) is written first of all.
    pub(super) fn open(
        path: Option<&Path>,
        list: &[Arc<Proxy>],
        done: &HashMap<String, Finding>,
        printer: &Printer,
    ) -> Option<Self> {
        let (keeping, keeper) = match keeping::open(path?, list, printer) {
            Ok(opened) => opened,
            Err(error) => {
                keeping::complain("nothing is remembered of this check", &error, printer);
                return None;
            }
        };
        let known = &keeping.memory.proxies;
        let mut remembering = Remembering {
            keeper,
            before: known
                .iter()
                .map(|one| (one.proxy.id(), one.health))
                .collect(),
            batch: Vec::new(),
            due: None,
            end: RunEnd {
                proxies: list.len() as u64,
                reason: "check".to_owned(),
                ..RunEnd::default()
            },
        };
        if !done.is_empty() {
            let now = UnixMillis::from(SystemTime::now());
            let ages: HashMap<_, _> = known.iter().map(|one| (one.proxy.id(), one.age)).collect();
            for proxy in list {
                let finding = done.get(&proxy.label().to_string());
                let Some(finding) = finding.filter(|finding| !finding.detected) else {
                    continue;
                };
                let age = gap(finding.at.0, now.0);
                if ages.get(&proxy.id()).is_none_or(|known| *known > age) {
                    remembering.add(proxy, finding, age);
                }
            }
        }
        Some(remembering)
    }

    /// Takes in one report. Blocks while the last batch is being written.
    fn note(&mut self, proxy: &Arc<Proxy>, finding: &Finding) {
        // While nobody can say, nothing is changed.
        if finding.verdict == Verdict::Unknown || proxy.is_direct() {
            return;
        }
        self.end.probes += 1;
        self.end.worked += u64::from(finding.ok > 0);
        self.add(proxy, finding, Duration::ZERO);
        if self.batch.len() >= BATCH {
            self.save();
        }
    }

    fn add(&mut self, proxy: &Arc<Proxy>, finding: &Finding, age: Duration) {
        let before = self.before.get(&proxy.id()).copied();
        self.batch.push(Remembered {
            health: health(finding, before.unwrap_or_default()),
            proxy: Arc::clone(proxy),
            age,
        });
        self.due.get_or_insert_with(|| Instant::now() + WAIT);
    }

    fn save(&mut self) {
        if self.due.take().is_none() {
            return;
        }
        let proxies = std::mem::take(&mut self.batch);
        let memory = Memory {
            proxies,
            ..Memory::default()
        };
        // A writer that has failed says so at the end.
        let _ = self.keeper.saves().blocking_send(memory);
    }

    /// Writes the rest and waits for it. Blocks.
    fn finish(mut self) -> Result<(), Error> {
        self.save();
        self.keeper.finish(Some(self.end))
    }
}

/// Takes the reports of a round, each to its row and then to the state, until there are no more or nobody reads the rows. Blocks.
///
/// # Errors
/// A row cannot be written; what has one is in the state all the same.
pub(super) fn take_all(
    mut reports: mpsc::Receiver<Report>,
    sink: &mut Sink,
    mut remembering: Option<Remembering>,
    runtime: &Handle,
    printer: &Printer,
) -> Result<(), Error> {
    remembering.iter_mut().for_each(Remembering::save);
    let mut taken = Ok(());
    while taken.is_ok() && !sink.rows.is_unread() {
        let due = remembering.as_ref().and_then(|state| state.due);
        let report = match due {
            None => reports.blocking_recv(),
            Some(due) => match runtime.block_on(timeout_at(due, reports.recv())) {
                Ok(report) => report,
                Err(_) => {
                    remembering.iter_mut().for_each(Remembering::save);
                    continue;
                }
            },
        };
        let Some(report) = report else { break };
        let (proxy, finding) = (Arc::clone(&report.proxy), Finding::of(&report));
        taken = sink.take(report);
        if let (Ok(()), Some(remembering)) = (&taken, &mut remembering) {
            remembering.note(&proxy, &finding);
        }
    }
    if let Some(Err(error)) = remembering.map(Remembering::finish) {
        keeping::complain("not all that was learned is remembered", &error, printer);
    }
    taken
}

/// The look of a moment ago says more than what was remembered; the counts of all runs go on.
fn health(finding: &Finding, before: Health) -> Health {
    let (ok, works) = (finding.ok, finding.ok > 0);
    let hostile = finding.verdict == Verdict::Hostile;
    let seconds = finding.median.map_or(0.0, |median| median.as_secs_f32());
    Health {
        successes: if hostile { 0.0 } else { ok as f32 },
        // One that is no use has lost at least the request it was asked with.
        failures: finding.failed.max(u32::from(!works)) as f32,
        latency: seconds,
        base: seconds,
        capacity: before.capacity,
        ok: before.ok.saturating_add(if hostile { 0 } else { ok }),
        tampered: before.tampered.saturating_add(u16::from(hostile)),
        level: if works { 0 } else { before.level },
        unreached: match works {
            true => 0,
            false => before.unreached.saturating_add(1),
        },
        condemned: hostile,
        // Of one that was not reached nobody knows what it can do.
        no_tunnel: works && finding.tunnels == Some(false),
        no_forward: works && finding.forwards == Some(false),
        served_ago: if works && !hostile {
            Some(Duration::ZERO)
        } else {
            before.served_ago
        },
        // Nobody but a run sets anybody aside.
        rests: None,
    }
}
