//! Rows that belong to one input: with `--rows` an answer has as many as it has matches.
//!
//! They are written in one piece, and each says which of how many it is. A run that dies in the middle leaves the first of them, whole:
//! nothing is torn, and yet the input is not done. So rows at the end of a file that are not all there go with the torn one.

use super::journal::Key;
use crate::job::JobId;

/// Which row of how many, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: u32,
    pub(super) rows: u32,
}

impl Place {
    /// `None` when the row is the only one of its input.
    pub(super) fn of(row: Option<u32>, rows: Option<u32>) -> Option<Self> {
        let (row, rows) = (row?, rows?);
        (rows > 1).then_some(Place { row, rows })
    }
}

/// The input whose rows are being read.
#[derive(Debug, Default)]
pub(super) struct Group {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    id: Option<JobId>,
    last: Place,
}

impl Group {
    /// Takes the next row; true when it is the last of its input.
    ///
    /// # Errors
    /// It is not the row that is due, which no crash does.
    pub(super) fn take(&mut self, key: &Key) -> Result<bool, String> {
        let due = self.open.take();
        let due = due
            .as_ref()
            .map(|open| (open.id, open.last.row + 1, open.last.rows));
        match (due, key.place) {
            (None, None) => Ok(true),
            (None, Some(place)) if place.row == 1 => Ok(self.is_over(key.id, place)),
            (Some((id, row, rows)), Some(place))
                if id == key.id && (row, rows) == (place.row, place.rows) =>
            {
                Ok(self.is_over(key.id, place))
            }
            (Some((_, row, rows)), _) => Err(format!(
                "it is not row {row} of {rows} of the input before it"
            )),
            (None, Some(Place { row, rows })) => Err(format!(
                "it is row {row} of {rows}, and the one before it is missing"
            )),
        }
    }

    /// True in the middle of an input.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn is_over(&mut self, id: Option<JobId>, place: Place) -> bool {
        let over = place.row == place.rows;
        if !over {
            self.open = Some(Open { id, last: place });
        }
        over
    }
}
