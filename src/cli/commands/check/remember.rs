//! What a check leaves to the fetches that come: the same state that they keep.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::check::{Report, Verdict};
use crate::cli::commands::fetch::keeping;
use crate::cli::printer::Printer;
use crate::error::Error;
use crate::pool::{Health, Memory, Remembered};
use crate::proxy::{Proxy, ProxyId};
use crate::state::{Keeper, RunEnd};

/// Proxies that are written together.
const BATCH: usize = 500;

/// Writes what is found out.
pub(super) struct Remembering {
    keeper: Keeper,
    /// What earlier runs have counted.
    before: HashMap<ProxyId, Health>,
    batch: Vec<Remembered>,
    end: RunEnd,
}

impl Remembering {
    /// Opens the state at `path`; `None` when there is none, or it cannot be used, which is told.
    pub(super) fn open(
        path: Option<&Path>,
        list: &[Arc<Proxy>],
        printer: &Printer,
    ) -> Option<Self> {
        let (keeping, keeper) = match keeping::open(path?, list, printer) {
            Ok(opened) => opened,
            Err(error) => {
                keeping::complain("nothing is remembered of this check", &error, printer);
                return None;
            }
        };
        let proxies = keeping.memory.proxies.iter();
        Some(Remembering {
            keeper,
            before: proxies
                .map(|known| (known.proxy.id(), known.health))
                .collect(),
            batch: Vec::new(),
            end: RunEnd {
                proxies: list.len() as u64,
                reason: "check".to_owned(),
                ..RunEnd::default()
            },
        })
    }

    /// Takes in one report. Blocks while the last batch is being written.
    pub(super) fn note(&mut self, report: &Report) {
        // While nobody can say, nothing is changed.
        if report.verdict == Verdict::Unknown || report.proxy.is_direct() {
            return;
        }
        self.end.probes += 1;
        self.end.worked += u64::from(report.ok() > 0);
        let before = self.before.get(&report.proxy.id()).copied();
        self.batch.push(Remembered {
            health: health(report, before.unwrap_or_default()),
            proxy: Arc::clone(&report.proxy),
            age: Duration::ZERO,
        });
        if self.batch.len() >= BATCH {
            self.save();
        }
    }

    fn save(&mut self) {
        let proxies = std::mem::take(&mut self.batch);
        let memory = Memory {
            proxies,
            ..Memory::default()
        };
        // A writer that has failed says so at the end.
        let _ = self.keeper.saves().blocking_send(memory);
    }

    /// Writes the rest and waits for it. Blocks.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        if !self.batch.is_empty() {
            self.save();
        }
        self.keeper.finish(Some(self.end))
    }
}

/// The look of a moment ago says more than what was remembered; the counts of all runs go on.
fn health(report: &Report, before: Health) -> Health {
    let (ok, works) = (report.ok(), report.ok() > 0);
    let hostile = report.verdict == Verdict::Hostile;
    let seconds = report
        .latency()
        .map_or(0.0, |latency| latency.p50.as_secs_f32());
    Health {
        successes: if hostile { 0.0 } else { ok as f32 },
        // One that is no use has lost at least the request it was asked with.
        failures: report.failed.max(u32::from(!works)) as f32,
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
        no_tunnel: works && report.tunnels == Some(false),
        no_forward: works && report.forwards == Some(false),
        served_ago: if works && !hostile {
            Some(Duration::ZERO)
        } else {
            before.served_ago
        },
    }
}
