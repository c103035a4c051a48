//! JSON by hand: strings, appended to a buffer.
//!
//! A row is some forty short values. Written through `core::fmt` and `serde_json` most of its cost is the way to the bytes:
//! an indirect call per value, a look at every byte of a string. Here a string is looked at sixteen bytes at a time and
//! copied in one piece. The bytes are those of `serde_json`, which a test holds for each; what is rare goes through
//! [`derived`].

use serde::Serialize;

use super::digits::{EACH, hex};

/// A string with its quotes.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text.as_bytes(), out);
    out.push(b'"');
}

/// What stands between the quotes of a string.
pub(super) fn escaped(text: &[u8], out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        escape_each(text, out);
    }
}

/// True when nothing in it needs an escape.
fn is_plain(text: &[u8]) -> bool {
    let plain = |block: &[u8; 16]| {
        let (words, _) = block.as_chunks::<8>();
        to_escape(words[0]) | to_escape(words[1]) == 0
    };
    // The last block overlaps the one before, so that no rest is left.
    if let Some(last) = text.last_chunk::<16>() {
        let (blocks, _) = text.as_chunks::<16>();
        return blocks.iter().all(plain) && plain(last);
    }
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => to_escape(*first) | to_escape(*last) == 0,
        _ => plain_length(text) == text.len(),
    }
}

/// Text that has something to escape: pages are full of line ends and quotes.
#[inline(never)] // Keeps the short way short.
fn escape_each(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let (plain, rest) = text.split_at(plain_length(text));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = rest.split_first() else {
            return;
        };
        escape(byte, out);
        text = after;
    }
}

/// How many bytes at the start need no escape.
fn plain_length(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let marks = to_escape(*word);
        if marks != 0 {
            return 8 * at + marks.trailing_zeros() as usize / 8;
        }
    }
    let special = |&byte: &u8| byte < b' ' || matches!(byte, b'"' | b'\\');
    let in_tail = tail.iter().position(special);
    in_tail.map_or(text.len(), |at| 8 * words.len() + at)
}

/// Marks control characters, quotes and backslashes among these eight bytes in the top bit of each.
///
/// `x - n` borrows into the top bit of a byte that is below `n`; with the second bit flipped a quote is below 33, a space and
/// an exclamation mark are not. What is borrowed from the next byte may mark that one wrongly, so only the first mark is to be
/// relied on; bytes from 128 up have their top bit set before and are no candidates.
fn to_escape(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let control_or_quote = (word ^ (EACH * 2)).wrapping_sub(EACH * 33);
    let backslash = (word ^ (EACH * u64::from(b'\\'))).wrapping_sub(EACH);
    (control_or_quote | backslash) & !word & (EACH << 7)
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            return out.extend_from_slice(&hex(byte.into())[14..]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// `null` for `None`.
pub(super) fn or_null<T>(value: Option<T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    match value {
        Some(value) => write(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// A value as `serde_json` writes it.
pub(super) fn derived<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    // Rows hold strings, numbers and maps with string keys, and a vector takes any number of bytes: neither can fail. Should
    // that ever change, a null keeps the row whole.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_escaped_wherever_it_stands() {
        for character in (0..=0x100)
            .chain([0x2028, 0x1_f600])
            .filter_map(char::from_u32)
        {
            for before in 0..34 {
                for after in [0, 1, 9, 17] {
                    let text = format!("{}{character}{}", "~".repeat(before), "é".repeat(after));
                    let mut out = Vec::new();
                    string(&text, &mut out);
                    assert_eq!(out, serde_json::to_vec(&text).unwrap());
                }
            }
        }
    }
}
