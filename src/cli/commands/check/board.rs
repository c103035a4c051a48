//! What a watch knows of every proxy, and who is due in the next round.
//!
//! Time is counted in rounds. Who works is due in every one, who does not after 1, 2, 4, 8, then every 16 rounds, so that a list of
//! mostly dead ones costs little; of whom nothing could be said is due at once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::check::{Report, Verdict};
use crate::proxy::{Proxy, ProxyId};

/// Rounds for which one that never works is left alone.
const LONGEST: u64 = 16;

/// The last report of each.
#[derive(Default)]
pub(super) struct Board {
    round: u64,
    known: HashMap<ProxyId, Standing>,
}

struct Standing {
    report: Report,
    /// The round in which it is due.
    due: u64,
    /// Rounds it rested last; 0 for one that works.
    rest: u64,
}

impl Board {
    /// Begins a round: who of the list is due. What is not in the list is forgotten.
    pub(super) fn begin(&mut self, list: &[Arc<Proxy>]) -> Vec<Arc<Proxy>> {
        self.round += 1;
        let mut before = std::mem::take(&mut self.known);
        let mut due = Vec::new();
        for (seq, proxy) in (0u64..).zip(list) {
            match before.remove(&proxy.id()) {
                Some(mut standing) => {
                    if standing.due <= self.round {
                        due.push(proxy.clone());
                    }
                    // Its labels may have changed, and its place.
                    if standing.report.proxy.id() == proxy.id() {
                        standing.report.proxy = proxy.clone();
                    }
                    standing.report.listed = proxy.clone();
                    standing.report.seq = seq;
                    self.known.insert(proxy.id(), standing);
                }
                None => due.push(proxy.clone()),
            }
        }
        due
    }

    /// Takes down what came of one.
    pub(super) fn note(&mut self, report: Report) {
        let before = self.known.get(&report.listed.id());
        let rested = before.map_or(0, |standing| standing.rest);
        let (rest, wait) = match report.verdict {
            verdict if verdict.works() => (0, 1),
            Verdict::Unknown => (rested, 1),
            _ => {
                let rest = (rested * 2).clamp(1, LONGEST);
                (rest, rest)
            }
        };
        let standing = Standing {
            due: self.round + wait,
            rest,
            report,
        };
        self.known.insert(standing.report.listed.id(), standing);
    }

    /// The last report of each, as they are listed.
    pub(super) fn reports(&self) -> Vec<&Report> {
        let mut reports: Vec<_> = self
            .known
            .values()
            .map(|standing| &standing.report)
            .collect();
        reports.sort_unstable_by_key(|report| report.seq);
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Scheme;

    fn list(ports: &[u16]) -> Vec<Arc<Proxy>> {
        let proxy = |port: &u16| Arc::new(Proxy::new(Scheme::Http, "192.0.2.1", *port, None));
        ports.iter().map(proxy).collect()
    }

    /// Rounds in which a proxy is checked that is always found to be `verdict`.
    fn checked(verdict: Verdict, rounds: u64) -> Vec<u64> {
        let (mut board, list) = (Board::default(), list(&[1]));
        let mut checked = Vec::new();
        for round in 1..=rounds {
            for proxy in board.begin(&list) {
                checked.push(round);
                board.note(Report {
                    verdict,
                    ..Report::empty(0, proxy)
                });
            }
        }
        checked
    }

    #[test]
    fn who_works_is_due_every_round_and_who_does_not_ever_more_rarely() {
        for verdict in [Verdict::Alive, Verdict::Unstable, Verdict::Unknown] {
            assert_eq!(checked(verdict, 4), [1, 2, 3, 4], "{verdict}");
        }
        for verdict in [Verdict::Dead, Verdict::Auth, Verdict::Hostile] {
            assert_eq!(
                checked(verdict, 64),
                [1, 2, 4, 8, 16, 32, 48, 64],
                "{verdict}"
            );
        }
    }

    #[test]
    fn once_it_works_again_its_rest_begins_anew_and_unknown_does_not_count() {
        use Verdict::{Alive, Dead, Unknown};
        let (mut board, list) = (Board::default(), list(&[1]));
        let mut due = Vec::new();
        let mut verdicts = [Dead, Dead, Unknown, Dead, Alive, Dead, Dead].into_iter();
        for round in 1..=20 {
            for proxy in board.begin(&list) {
                due.push(round);
                let verdict = verdicts.next().unwrap_or(Alive);
                board.note(Report {
                    verdict,
                    ..Report::empty(0, proxy)
                });
            }
        }
        assert_eq!(due, [1, 2, 4, 5, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20]);
    }

    #[test]
    fn rows_follow_the_list_and_what_left_it_is_forgotten() {
        let mut board = Board::default();
        for proxy in board.begin(&list(&[1, 2, 3])) {
            board.note(Report::empty(0, proxy));
        }
        let due = board.begin(&list(&[3, 4, 1]));
        assert_eq!(due.len(), 3);
        board.note(Report::empty(1, due[1].clone()));
        let rows = board.reports();
        let rows: Vec<_> = rows.iter().map(|row| (row.seq, row.proxy.port())).collect();
        assert_eq!(rows, [(0, 3), (1, 4), (2, 1)]);
    }
}
