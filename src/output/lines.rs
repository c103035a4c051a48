//! An output file taken apart: lines, CSV rows, cells.
//!
//! Not the csv crate: a repair needs to know where each row starts, and whether the last one ended, to the byte. It reads what
//! [`super::encode`] writes, where a quote is in a cell only if the cell is quoted, so counting quotes is exact.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

/// Longest row read, in bytes. A body of `--max-filesize` fits; a damaged file without line feeds does not fill the memory.
pub(super) const MAX_ROW: u64 = 1 << 30;

/// Lines of a file, or for CSV rows: line feeds inside quotes do not end one.
pub(super) struct Lines<R> {
    reader: R,
    quoted: bool,
    buffer: Vec<u8>,
    number: u64,
    offset: u64,
}

/// One of them; its bytes are in [`Lines::content`].
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Of its first byte.
    pub(super) offset: u64,
    /// In bytes, line feed included.
    pub(super) length: u64,
    /// It ends in a line feed.
    pub(super) complete: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, quoted: bool) -> Self {
        Lines {
            reader,
            quoted,
            buffer: Vec::new(),
            number: 1,
            offset: 0,
        }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        self.buffer.clear();
        let (number, offset) = (self.number, self.offset);
        let mut open = false;
        loop {
            let before = self.buffer.len();
            let room = (MAX_ROW + 1).saturating_sub(before as u64);
            let read = (&mut self.reader)
                .take(room)
                .read_until(b'\n', &mut self.buffer)?;
            let piece = &self.buffer[before..];
            let ended = piece.last() == Some(&b'\n');
            self.offset += read as u64;
            self.number += u64::from(ended);
            if self.quoted {
                open ^= memchr::memchr_iter(b'"', piece).count() % 2 == 1;
            }
            if read == 0 && self.buffer.is_empty() {
                return Ok(None);
            }
            if read == 0 || (ended && !open) {
                return Ok(Some(Line {
                    number,
                    offset,
                    length: self.buffer.len() as u64,
                    complete: ended && !open,
                }));
            }
        }
    }

    /// The last line, without its line feed.
    pub(super) fn content(&self) -> &[u8] {
        self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer)
    }
}

/// The cells of one CSV row as this program writes it.
pub(super) fn cells(row: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut cells = Vec::new();
    let mut rest = row;
    loop {
        let (cell, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => quoted_cell(quoted),
            None => {
                let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), &rest[end..])
            }
        };
        cells.push(cell);
        match after.strip_prefix(b",") {
            Some(next) => rest = next,
            None => return cells,
        }
    }
}

/// The cell up to its closing quote, and what follows it.
fn quoted_cell(text: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let mut cell = Cow::Borrowed(&text[..0]);
    let mut from = 0;
    loop {
        let Some(quote) = memchr::memchr(b'"', &text[from..]) else {
            return (Cow::Borrowed(text), &[]);
        };
        let piece = &text[from..from + quote];
        if from == 0 {
            cell = Cow::Borrowed(piece);
        } else {
            cell.to_mut().extend_from_slice(piece);
        }
        from += quote + 1;
        if text.get(from) != Some(&b'"') {
            // Text between the closing quote and the comma is damage, and shows as a wrong number of cells.
            return (cell, &text[from..]);
        }
        cell.to_mut().push(b'"');
        from += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_split_and_unquoted() {
        let texts = |row: &str| -> Vec<String> {
            let cells = cells(row.as_bytes());
            cells
                .iter()
                .map(|cell| String::from_utf8_lossy(cell).into_owned())
                .collect()
        };
        assert_eq!(texts(r#"a,,"b,""c""",d"#), ["a", "", r#"b,"c""#, "d"]);
        assert_eq!(texts(r#""a"b,c"#), ["a"], "damage gives too few cells");
        assert_eq!(texts(""), [""]);
        assert_eq!(texts(r#""""""#), [r#"""#]);
    }

    #[test]
    fn line_feeds_in_quotes_do_not_end_a_row() {
        let mut lines = Lines::new(&b"a,\"x\ny\"\nb\nc,\"z\n"[..], true);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push((
                line.number,
                line.offset,
                lines.content().len(),
                line.complete,
            ));
        }
        assert_eq!(seen, [(1, 0, 7, true), (3, 8, 1, true), (4, 10, 4, false)]);
    }
}
