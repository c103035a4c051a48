//! Text input: one URL a line.

use std::io::{self, BufRead, ErrorKind};
use std::sync::Arc;

use crate::job::{Job, RequestSpec};

use super::invalid;

/// Bytes of a text line that are looked at. No server accepts a URL this long, and a line without an end (a binary file
/// named by mistake) must not fill the memory.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// The job on one line; `None` for a comment or a blank line.
pub(super) fn job(
    line: &[u8],
    too_long: bool,
    seq: u64,
    request: &Arc<RequestSpec>,
) -> Option<Job> {
    let line = without_comment(line).trim_ascii();
    if line.is_empty() {
        return None;
    }
    let broken = |why| {
        let text = String::from_utf8_lossy(line);
        Some(invalid(seq, &text, &text, why, request))
    };
    if too_long {
        return broken("line longer than 64 kB");
    }
    let Ok(text) = std::str::from_utf8(line) else {
        return broken("the line is not valid UTF-8");
    };
    if line[0] == b'{' {
        return broken(
            "the line looks like JSON; name the file .jsonl or pass --input-format jsonl",
        );
    }
    Some(Job::new(seq, text, request.clone()))
}

/// The line before its comment. One begins with the line or after a blank: what follows a `#` within a word is a fragment.
fn without_comment(line: &[u8]) -> &[u8] {
    let starts = |at: &usize| *at == 0 || line[*at - 1].is_ascii_whitespace();
    let comment = memchr::memchr_iter(b'#', line).find(starts);
    &line[..comment.unwrap_or(line.len())]
}

/// Reads one line without its ending, keeping its first `limit` bytes; the rest is read and forgotten.
///
/// Returns `None` at the end of the input, else whether the line was longer than `limit`.
pub(super) fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<Option<bool>> {
    line.clear();
    let mut any = false;
    let mut length = 0;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let (piece, used, ended) = match memchr::memchr(b'\n', buffer) {
            Some(at) => (&buffer[..at], at + 1, true),
            None => (buffer, buffer.len(), buffer.is_empty()),
        };
        any |= used > 0;
        length += piece.len();
        line.extend_from_slice(&piece[..piece.len().min(limit + 1 - line.len())]);
        reader.consume(used);
        if ended {
            // A carriage return at the limit belongs to the line ending.
            let too_long = length > limit && !(length == limit + 1 && line[limit] == b'\r');
            line.truncate(limit);
            return Ok(any.then_some(too_long));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_keeps_its_beginning_only() {
        let (kept, rest) = ("x".repeat(10), "x".repeat(90));
        let input = format!("{kept}{rest}\nshort\r\n\n{kept}\r\n{kept}\r\r\nlast");
        // Buffers smaller than the line: pieces are joined.
        for capacity in 1..15 {
            let mut reader = io::BufReader::with_capacity(capacity, input.as_bytes());
            let mut line = Vec::new();
            let mut lines = Vec::new();
            while let Some(too_long) = read_line(&mut reader, &mut line, 10).unwrap() {
                lines.push((String::from_utf8(line.clone()).unwrap(), too_long));
            }
            assert_eq!(
                lines,
                [
                    (kept.clone(), true),
                    ("short\r".to_owned(), false),
                    (String::new(), false),
                    (kept.clone(), false),
                    (kept.clone(), true),
                    ("last".to_owned(), false),
                ]
            );
        }
    }

    #[test]
    fn comments_begin_with_the_line_or_after_a_blank() {
        let input =
            |line: &str| job(line.as_bytes(), false, 0, &Arc::default()).map(|job| job.input);
        assert_eq!(input("# all of it"), None);
        assert_eq!(input("  \t# all of it"), None);
        assert_eq!(input("http://a/x # why").as_deref(), Some("http://a/x"));
        assert_eq!(input("http://a/x\t#why").as_deref(), Some("http://a/x"));
        assert_eq!(input("http://a/x#part").as_deref(), Some("http://a/x#part"));
    }

    #[test]
    fn json_in_a_text_file_names_the_flag_that_reads_it() {
        let job = job(br#"{"url":"http://a/"}"#, false, 0, &Arc::default()).unwrap();
        assert!(job.target.unwrap_err().0.contains("--input-format jsonl"));
    }
}
