//! Rows on their way from the thread that reads them to the task that makes jobs of them.

use std::ops::Range;
use std::sync::Arc;

use crate::job::{Job, RequestSpec, Role};

use super::csv::Columns;
use super::{invalid, jsonl, text};

/// What the rows of a block are.
#[derive(Debug, Clone, Default)]
pub(super) enum Format {
    /// URLs named as arguments.
    #[default]
    Named,
    /// Lines of text.
    Text,
    /// Lines of JSONL.
    Jsonl,
    /// Rows below a header.
    Csv(Arc<Columns>),
    /// URLs that a sitemap lists.
    Listed,
    /// What is wrong with a sitemap: its name, and why.
    Broken,
}

/// Rows of one input, as they were cut and not yet looked at, in few pieces of memory. A line is a row of one cell.
#[derive(Debug, Default)]
pub(super) struct Block {
    format: Format,
    bytes: Vec<u8>,
    /// Where in `bytes` each cell ends.
    cells: Vec<usize>,
    rows: Vec<Row>,
    /// What the rows were in their file, line ends included.
    size: u64,
}

#[derive(Debug)]
struct Row {
    /// How many of the block's cells there are up to its end.
    end: usize,
    /// Only its beginning is here.
    too_long: bool,
}

impl Block {
    /// An empty block of such rows.
    pub(super) fn new(format: Format) -> Self {
        Block {
            format,
            ..Block::default()
        }
    }

    /// Appends a row that was `size` bytes of its file.
    pub(super) fn push<'a>(
        &mut self,
        cells: impl IntoIterator<Item = &'a [u8]>,
        too_long: bool,
        size: u64,
    ) {
        for cell in cells {
            self.bytes.extend_from_slice(cell);
            self.cells.push(self.bytes.len());
        }
        let end = self.cells.len();
        self.rows.push(Row { end, too_long });
        self.size += size;
    }

    /// Takes the rows out, leaving an empty block of the same format.
    pub(super) fn take(&mut self) -> Block {
        let empty = Block::new(self.format.clone());
        std::mem::replace(self, empty)
    }

    /// True for a format whose rows say for themselves whether they have fields.
    pub(super) fn may_have_tags(&self) -> bool {
        matches!(self.format, Format::Jsonl)
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of the file that these of its rows were, about; all together are all of them.
    pub(super) fn size_of(&self, rows: Range<usize>) -> u64 {
        let up_to = |row: usize| self.size * row as u64 / self.rows.len().max(1) as u64;
        up_to(rows.end) - up_to(rows.start)
    }

    /// The job of row `at`; `None` for a comment or a blank line.
    pub(super) fn job(&self, at: usize, seq: u64, request: &Arc<RequestSpec>) -> Option<Job> {
        let Row { end, too_long } = self.rows[at];
        let first = at.checked_sub(1).map_or(0, |before| self.rows[before].end);
        match &self.format {
            Format::Named => {
                let url = String::from_utf8_lossy(self.cell(first));
                Some(Job::new(seq, url.trim(), request.clone()))
            }
            Format::Text => text::job(self.cell(first), too_long, seq, request),
            Format::Jsonl => jsonl::job(self.cell(first), too_long, seq, request),
            Format::Csv(columns) => {
                let row = (first..end).map(|at| self.cell(at));
                Some(columns.job(row, seq, request))
            }
            Format::Listed => {
                let url = String::from_utf8_lossy(self.cell(first));
                Some(Job {
                    role: Role::Listed,
                    ..Job::new(seq, &url, request.clone())
                })
            }
            Format::Broken => {
                let name = String::from_utf8_lossy(self.cell(first));
                let why = String::from_utf8_lossy(self.cell(first + 1));
                Some(invalid(seq, &name, &name, &*why, request))
            }
        }
    }

    fn cell(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.cells[before]);
        &self.bytes[start..self.cells[at]]
    }
}
