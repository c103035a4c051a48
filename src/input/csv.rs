//! CSV input: a header row, a URL column, and the other columns as `tag`.
//!
//! What separates the cells is seen in the header, which has no reason to hold it otherwise: spreadsheets write semicolons where
//! the comma is for decimals, and rows cut at commas that are not there would be fetched as URLs that nobody has named.

use std::io::{self, Chain, Cursor, Read};
use std::sync::Arc;

use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use crate::error::{Error, Problem};
use crate::job::{Job, RequestSpec, parse_target};

use super::{BUFFER, invalid};

/// Bytes of one row at most. A quote that is never closed would otherwise swallow the rest of the input.
pub(super) const MAX_ROW: u64 = 1024 * 1024;

/// Read after the input. Alone it is the end; at the end of a cell it tells that the cell was quoted and never closed, which the
/// reader of the rows does not. Neither text nor a list has such bytes.
const END: &[u8] = b"\0\xffend\xff\0";
const LINE_END: &[u8] = b"\n\0\xffend\xff\0";

/// What may separate cells, in the order of preference.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Names a URL column goes by, in the order of preference.
const URL_NAMES: [&str; 5] = ["url", "link", "href", "address", "loc"];

type Whole<R> = Chain<Chain<Cursor<Vec<u8>>, R>, &'static [u8]>;

/// A CSV whose header has been read and understood: cuts the rest into rows.
pub(super) struct Table<R> {
    /// Reads the header once more, then the rest, then [`LINE_END`].
    reader: Reader<Whole<R>>,
    columns: Arc<Columns>,
}

impl<R: Read> Table<R> {
    /// Reads the header of `place` and finds the URL column: `wanted`, or by its name. Cells are separated by `separator`, else
    /// by what the header shows.
    pub(super) fn new(
        mut input: R,
        place: &str,
        wanted: Option<&str>,
        separator: Option<u8>,
    ) -> Result<Self, Error> {
        let head = first_line(&mut input).map_err(|error| Error::io("read", place, error))?;
        let named = separator_line(&head);
        let separator = named.or(separator).unwrap_or_else(|| separator_of(&head));
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .buffer_capacity(BUFFER)
            .from_reader(Cursor::new(head).chain(input).chain(LINE_END));
        let mut row = ByteRecord::new();
        let mut any = true;
        // The line that names the separator comes before the header.
        for _ in 0..1 + usize::from(named.is_some()) {
            any = reader
                .read_byte_record(&mut row)
                .map_err(|error| read_error(error, place))?;
        }
        if !any || is_end(&row) {
            return Err(Problem::new("the file is empty: a CSV needs a header row")
                .at(place)
                .hint("write a first row such as url,keyword")
                .into());
        }
        let line = 1 + u64::from(named.is_some());
        if let Some((problem, line)) = unclosed(&row, line, None) {
            return Err(problem.at(format!("{place}:{line}")).into());
        }
        let names: Vec<String> = row
            .iter()
            .map(|cell| String::from_utf8_lossy(cell))
            .map(|cell| cell.trim_start_matches('\u{feff}').trim().to_owned())
            .enumerate()
            .map(|(at, name)| match name.as_str() {
                "" => format!("column_{}", at + 1),
                _ => name,
            })
            .collect();
        if let Some(problem) = twice(&names) {
            return Err(problem.at(format!("{place}:{line}")).into());
        }
        let url = url_column(&names, wanted).map_err(|problem| problem.at(place))?;
        Ok(Table {
            reader,
            columns: Arc::new(Columns { names, url }),
        })
    }

    /// What the cells of its rows mean.
    pub(super) fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    /// What the rows are read from.
    pub(super) fn input_mut(&mut self) -> &mut R {
        self.reader.get_mut().get_mut().0.get_mut().1
    }

    /// The line the next row starts on, from 1.
    pub(super) fn line(&self) -> u64 {
        self.reader.position().line()
    }

    /// Bytes before the next row.
    pub(super) fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    /// Reads the next row; false at the end.
    pub(super) fn advance(&mut self, row: &mut ByteRecord) -> Result<bool, csv::Error> {
        Ok(self.reader.read_byte_record(row)? && !is_end(row))
    }

    /// What is wrong with a row, which started on `line`, that has swallowed the rest of the input, and the line of its last cell.
    pub(super) fn unclosed(&self, row: &ByteRecord, line: u64) -> Option<(Problem, u64)> {
        unclosed(row, line, Some(&self.columns))
    }
}

fn is_end(row: &ByteRecord) -> bool {
    row.len() == 1 && row.get(0) == Some(END)
}

fn unclosed(row: &ByteRecord, line: u64, columns: Option<&Columns>) -> Option<(Problem, u64)> {
    let at = row.len().checked_sub(1)?;
    if !row.get(at)?.ends_with(END) {
        return None;
    }
    let cells = row.iter().take(at);
    let before: usize = cells
        .map(|cell| memchr::memchr_iter(b'\n', cell).count())
        .sum();
    let column = match columns.and_then(|columns| columns.names.get(at)) {
        Some(name) => format!("column {name:?}"),
        None => format!("column {}", at + 1),
    };
    let problem = Problem::new(format!("the quote that opens {column} is never closed"))
        .hint("put a \" at the end of the cell, or drop the one it begins with; within quotes, a quote is two of them");
    Some((problem, line + before as u64))
}

/// A name that two columns have: `tag` would keep one of their cells.
fn twice(names: &[String]) -> Option<Problem> {
    names.iter().enumerate().find_map(|(at, name)| {
        let first = names[..at].iter().position(|earlier| earlier == name)?;
        let (first, second) = (first + 1, at + 1);
        let what = format!("columns {first} and {second} are both named {name:?}");
        Some(Problem::new(what).hint("rename one of them: a row's tag has each name once"))
    })
}

/// The header of a CSV.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<String>,
    /// Which of them holds the URL.
    url: usize,
}

impl Columns {
    /// The columns that become `tag`.
    pub(super) fn tags(&self) -> impl Iterator<Item = &str> {
        let others = self.names.iter().enumerate();
        others
            .filter(|(at, _)| *at != self.url)
            .map(|(_, name)| name.as_str())
    }

    /// Fails unless one of them is called `name`.
    pub(super) fn check_tag(&self, name: &str) -> Result<(), Problem> {
        if self.tags().any(|tag| tag == name) {
            return Ok(());
        }
        let tags: Vec<&str> = self.tags().collect();
        let meant = tags.iter().find(|tag| tag.eq_ignore_ascii_case(name));
        let meant = meant.copied().unwrap_or("NAME");
        let columns = tags.join(", ");
        Err(Problem::new(format!(
            "no column {name:?}; beside the URL there are: {columns}"
        ))
        .hint(format!(
            "name one of them as the header does: --sticky tag:{meant}"
        )))
    }

    /// The job of one row.
    pub(super) fn job<'a>(
        &self,
        row: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        seq: u64,
        request: &Arc<RequestSpec>,
    ) -> Job {
        let cell = row.clone().nth(self.url).unwrap_or_default();
        let text = String::from_utf8_lossy(cell);
        if row.len() != self.names.len() {
            let why = format!(
                "the row has {} columns, the header {}",
                row.len(),
                self.names.len()
            );
            let whole: Vec<_> = row.map(String::from_utf8_lossy).collect();
            return invalid(seq, &text, &whole.join(","), why, request);
        }
        let mut job = match text {
            std::borrow::Cow::Borrowed(valid) => Job::new(seq, valid.trim(), request.clone()),
            std::borrow::Cow::Owned(lossy) => {
                invalid(seq, &lossy, &lossy, "the URL is not valid UTF-8", request)
            }
        };
        if self.names.len() > 1 {
            let tag: Map<String, Value> = self
                .names
                .iter()
                .zip(row)
                .enumerate()
                .filter(|(at, _)| *at != self.url)
                .map(|(_, (name, cell))| {
                    (
                        name.clone(),
                        String::from_utf8_lossy(cell).into_owned().into(),
                    )
                })
                .collect();
            job.tag = Some(Box::new(tag));
            job.name_by_row(None);
        }
        job
    }
}

/// What is read up to the first line feed, and as much after it as came along; no more than a row may have.
fn first_line(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut piece = vec![0; BUFFER];
    while (head.len() as u64) < MAX_ROW && !head.contains(&b'\n') {
        match input.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => head.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// The separator that a first line such as `sep=;` names, for the spreadsheet that wrote it.
fn separator_line(head: &[u8]) -> Option<u8> {
    let line = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let line = line.split(|byte| *byte == b'\n').next()?;
    match line.strip_suffix(b"\r").unwrap_or(line) {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator] => Some(*separator),
        _ => None,
    }
}

/// The separator that the header has most of, outside of quotes; a comma when it has none.
fn separator_of(head: &[u8]) -> u8 {
    let mut counts = [0_u32; SEPARATORS.len()];
    let mut is_quoted = false;
    for byte in head {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            _ if is_quoted => {}
            _ => {
                let at = SEPARATORS.iter().position(|each| each == byte);
                at.into_iter().for_each(|at| counts[at] += 1);
            }
        }
    }
    let most = counts.iter().max();
    let at = counts.iter().position(|count| Some(count) == most);
    SEPARATORS[at.unwrap_or_default()]
}

fn url_column(columns: &[String], wanted: Option<&str>) -> Result<usize, Problem> {
    let find = |name: &str| columns.iter().position(|c| c.eq_ignore_ascii_case(name));
    let available = || format!("the columns are: {}", columns.join(", "));
    if let Some(wanted) = wanted {
        return find(wanted.trim()).ok_or_else(|| {
            Problem::new(format!("no column {wanted:?}; {}", available()))
                .hint("name one of them with --url-column")
        });
    }
    if let Some(at) = find("url") {
        return Ok(at);
    }
    // Taking it for a name would drop the first URL without a word.
    if columns.iter().any(|column| parse_target(column).is_ok()) {
        return Err(Problem::new("the first row is a URL, not a header")
            .hint("add a header row (url), or read it with --input-format text"));
    }
    if columns.len() == 1 {
        return Ok(0);
    }
    URL_NAMES.into_iter().find_map(find).ok_or_else(|| {
        Problem::new(format!(
            "no column is named {}; {}",
            URL_NAMES.join(", "),
            available()
        ))
        .hint("name the one that holds the URL with --url-column")
    })
}

/// What a failed read means for the run.
pub(super) fn read_error(error: csv::Error, place: &str) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::io("read", place, error),
        // Byte records that may be ragged have no other error.
        other => Error::Internal(format!("{place}: csv reader: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &str, wanted: Option<&str>) -> Result<usize, String> {
        Table::new(header.as_bytes(), "a.csv", wanted, None)
            .map(|table| table.columns.url)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_url_column_is_found_by_name_or_named() {
        assert_eq!(columns("\u{feff}id,URL\n", None), Ok(1));
        assert_eq!(columns("anything\n", None), Ok(0));
        assert_eq!(columns("id,loc,href\n", None), Ok(2));
        assert_eq!(columns("url,page\n", Some("page")), Ok(1));
        let error = columns("id,site\n", None).unwrap_err();
        assert!(
            error.starts_with("a.csv: ") && error.contains("id, site"),
            "{error}"
        );
        let error = columns("id,url\n", Some("uri")).unwrap_err();
        assert!(
            error.contains("\"uri\"") && error.contains("id, url"),
            "{error}"
        );
        assert!(columns("", None).unwrap_err().contains("header"));
        assert!(
            columns("http://a/\n", None)
                .unwrap_err()
                .contains("not a header")
        );
    }

    #[test]
    fn other_columns_are_the_tag_and_ragged_rows_are_records() {
        let text = "url,q,note\n\"http://a/?x=1,2\",\"two\nlines\",\nhttp://b/,1\nhttp://c/,1,2\n";
        let mut table = Table::new(text.as_bytes(), "a.csv", None, None).unwrap();
        let columns = table.columns().clone();
        assert_eq!(columns.tags().collect::<Vec<_>>(), ["q", "note"]);
        let mut jobs = Vec::new();
        let mut row = ByteRecord::new();
        while table.advance(&mut row).unwrap() {
            let seq = jobs.len() as u64;
            jobs.push(columns.job(row.iter(), seq, &Arc::default()));
        }
        assert_eq!(jobs.len(), 3);
        assert_eq!(&*jobs[0].input, "http://a/?x=1,2");
        assert_eq!(jobs[0].tag.as_ref().unwrap()["q"], "two\nlines");
        assert_eq!(jobs[0].tag.as_ref().unwrap()["note"], "");
        let why = jobs[1].target.as_ref().unwrap_err();
        assert!(why.0.contains("2 columns, the header 3"), "{why}");
        assert_eq!(&*jobs[1].input, "http://b/");
        assert!(jobs[2].target.is_ok());
    }

    #[test]
    fn a_name_twice_and_a_quote_without_end_are_refused_with_their_place() {
        assert_eq!(
            columns("sep=;\nurl;q;q\n", None).unwrap_err(),
            "a.csv:2: columns 2 and 3 are both named \"q\""
        );
        assert_eq!(columns("url,Q,q,,\n", None), Ok(0), "these are different");
        assert_eq!(
            columns("url,\"q\nhttp://a/,1\n", None).unwrap_err(),
            "a.csv:1: the quote that opens column 2 is never closed"
        );
        let rows = |text: &str| {
            let mut table = Table::new(text.as_bytes(), "a.csv", None, None).unwrap();
            let mut row = ByteRecord::new();
            let mut whole = 0;
            loop {
                let line = table.line();
                match table.advance(&mut row).unwrap() {
                    true if let Some((problem, line)) = table.unclosed(&row, line) => {
                        break (whole, Some((problem.what, line)));
                    }
                    true => whole += 1,
                    false => break (whole, None),
                }
            }
        };
        let open = "the quote that opens column \"note\" is never closed".to_owned();
        assert_eq!(
            rows("url,q,note\nhttp://a/,1,2\nhttp://b/,\"1\n2\",\"torn\nhttp://c/,1,2\n"),
            (1, Some((open, 4)))
        );
        assert_eq!(rows("url,q\nhttp://a/,5\"\nhttp://b/,\"5\"\"\""), (2, None));
        assert_eq!(rows("url,q\nhttp://a/,\"\"\n\n"), (1, None));
        assert_eq!(rows("url,q"), (0, None));
    }

    #[test]
    fn the_header_shows_what_separates_the_cells() {
        for (text, separator) in [
            ("url;category\nhttp://a/1,2;\"red; shoes\"\n", None),
            (
                "sep=;\r\nurl;category\r\nhttp://a/1,2;\"red; shoes\"\r\n",
                None,
            ),
            ("\u{feff}url\tcategory\nhttp://a/1,2\tred; shoes\n", None),
            (
                "\"url\"|\"category, kind; more\"\nhttp://a/1,2|red; shoes\n",
                None,
            ),
            ("url\nhttp://a/1,2\n", Some(b'\t')),
        ] {
            let mut table = Table::new(text.as_bytes(), "a.csv", None, separator).unwrap();
            let mut row = ByteRecord::new();
            assert!(table.advance(&mut row).unwrap(), "{text}");
            let job = table.columns().job(row.iter(), 0, &Arc::default());
            assert_eq!(&*job.input, "http://a/1,2", "{text}");
            assert_eq!(job.tag.is_some(), separator.is_none(), "{text}");
            for cell in job.tag.iter().flat_map(|tag| tag.values()) {
                assert_eq!(cell, "red; shoes", "{text}");
            }
        }
        assert!(
            columns("http://a/;b\n", None)
                .unwrap_err()
                .contains("not a header")
        );
    }
}
