//! The record of a run (`fetch --record`) as rows of one attempt each: it has no URLs, and says what each attempt changed.

use std::collections::HashMap;

use super::results::{Attempt, Failure, Row, Timing};
use super::words::about;
use crate::cli::recording::{self, Change, Line};
use crate::outcome::UnixMillis;

/// Makes rows of the lines of a record.
#[derive(Default)]
pub(super) struct Reader {
    began: Option<UnixMillis>,
    labels: HashMap<u32, String>,
}

impl Reader {
    /// The row of a line, if it has one.
    pub(super) fn row(&mut self, line: Line) -> Option<Row> {
        match line {
            Line::Run(head) => self.began = Some(head.at),
            Line::Proxy { proxy, label } => {
                self.labels.insert(proxy, label);
            }
            Line::Attempt(attempt) => return Some(self.attempt(attempt)),
            Line::GivenUp(job) => {
                let mut row = self.empty(job.t, job.seq, job.host, job.outcome);
                row.error = Some(Failure {
                    phase: None,
                    message: job.why,
                });
                return Some(row);
            }
            Line::Probe(_) | Line::End(_) => {}
        }
        None
    }

    fn attempt(&self, told: recording::Attempt) -> Row {
        let mut row = self.empty(told.t, told.seq, told.host, told.outcome);
        let label = self.labels.get(&told.proxy);
        row.attempt_log.push(Attempt {
            n: told.n,
            proxy: label.cloned().unwrap_or_default(),
            outcome: told.outcome,
            blame: Some(told.blame),
            status: told.status,
            connect_status: None,
            rule: told.rule,
            error: told.fault.map(|fault| Failure {
                phase: Some(fault.phase),
                message: fault.kind,
            }),
            t_ms: 1000.0 * told.took,
            wait_ms: 0.0,
            changes: told.changes.iter().map(change).collect(),
        });
        row
    }

    fn empty(&self, t: f64, seq: u64, host: String, outcome: crate::outcome::Outcome) -> Row {
        let began = self.began.map_or(0, |at| at.0);
        Row {
            id: String::new(),
            seq,
            input: format!("row {seq}"),
            url: None,
            row: None,
            outcome,
            status: None,
            proxies_tried: 1,
            attempt_log: Vec::new(),
            ban: None,
            edge: None,
            error: None,
            timing: Timing::default(),
            started_at: None,
            finished_at: UnixMillis(began.saturating_add((1000.0 * t) as i64)),
            recorded_host: Some(host),
        }
    }
}

fn change(change: &Change) -> String {
    let time = |s: f64| about(std::time::Duration::try_from_secs_f64(s).unwrap_or_default());
    match change {
        Change::PairRests { s, .. } => format!("kept from the host for {}", time(*s)),
        Change::PairIsFree => "welcome at the host again".to_owned(),
        Change::Aside { s, .. } => format!("set aside for {}", time(*s)),
        Change::Retired => "out for the run".to_owned(),
        Change::HostWaits { s } => format!("the host is left alone for {}", time(*s)),
        Change::HostIsPaced { per_second } => {
            format!("the host is asked {per_second:.1} times a second at most")
        }
        Change::HostIsOut => "the host answers nobody".to_owned(),
        Change::HostIsBack => "the host answers again".to_owned(),
    }
}
