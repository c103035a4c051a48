//! Where reports end up: located, compared, then rows at once, or kept for the end of the round.

use std::collections::HashMap;
use std::sync::Arc;

use super::board::Board;
use super::diff::{Diff, News};
use super::plan;
use super::rows::Rows;
use crate::check::{Geo, Report, Summary};
use crate::cli::args::{CheckArgs, CheckFormat};
use crate::error::Error;
use crate::proxy::{Proxy, ProxyId};

/// Everything that reports go through.
pub(super) struct Sink {
    pub(super) geo: Option<Arc<Geo>>,
    diff: Option<Diff>,
    pub(super) rows: Rows,
    /// With `--watch`.
    board: Option<Board>,
    /// Places in the list, when not all of it is checked.
    places: HashMap<ProxyId, u64>,
}

impl Sink {
    /// Reads what has to be read first, then opens the output: it may be the file that is compared with.
    ///
    /// # Errors
    /// A file is missing, is not what it should be, or is in the way.
    pub(super) fn open(args: &CheckArgs, format: CheckFormat) -> Result<Self, Error> {
        Ok(Sink {
            geo: plan::geo(args)?.map(Arc::new),
            diff: Diff::open(args)?,
            rows: Rows::open(args, format)?,
            board: args.how.watch.map(|_| Board::default()),
            places: HashMap::new(),
        })
    }

    /// Begins a round: who of the list is checked.
    pub(super) fn begin(&mut self, list: &[Arc<Proxy>]) -> Vec<Arc<Proxy>> {
        let mut due = match &mut self.board {
            Some(board) => board.begin(list),
            None => list.to_vec(),
        };
        let done = self.rows.done();
        if !done.is_empty() {
            due.retain(|proxy| !done.contains_key(&proxy.label().to_string()));
        }
        self.places.clear();
        if due.len() < list.len() {
            self.places
                .extend(list.iter().map(|proxy| proxy.id()).zip(0u64..));
        }
        due
    }

    /// There should have been a check to compare with, and there was none.
    pub(super) fn is_first(&self) -> bool {
        self.diff.as_ref().is_some_and(|diff| !diff.compares())
    }

    /// Takes a report.
    ///
    /// # Errors
    /// A row cannot be written.
    pub(super) fn take(&mut self, mut report: Report) -> Result<(), Error> {
        if let Some(place) = self.places.get(&report.listed.id()) {
            report.seq = *place;
        }
        if let Some(geo) = &self.geo {
            report.locate(geo);
        }
        if let Some(diff) = &mut self.diff {
            diff.note(&mut report);
        }
        match &mut self.board {
            Some(board) => {
                board.note(report);
                Ok(())
            }
            None => self.rows.push(report),
        }
    }

    /// Ends a round. `None` when the file that would have been replaced is left as it was, because not everybody was checked.
    ///
    /// # Errors
    /// A row cannot be written.
    pub(super) fn end(
        &mut self,
        list: &[Arc<Proxy>],
        ended: &Summary,
    ) -> Result<Option<News>, Error> {
        let whole = !ended.stopped && !ended.no_judge;
        if !whole && self.rows.keeps_old() {
            return Ok(None);
        }
        match &self.board {
            Some(board) if !ended.no_judge => self.rows.replace(&board.reports())?,
            Some(_) => {}
            None if !whole && self.rows.is_replaced() => return Ok(None),
            None => self.rows.close()?,
        }
        let news = self.diff.as_mut().map(|diff| {
            if whole {
                diff.look_for_gone(list);
            }
            diff.end()
        });
        Ok(Some(news.unwrap_or_default()))
    }
}
