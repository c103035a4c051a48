//! Pages that are made to be slow.
//!
//! A parser of HTML looks at the open elements for nearly every tag, and a selector at the ancestors of an element: both cost what a page
//! has elements, times how deep they are. Ten megabytes of `<div>` are an hour. Whoever answers can send them, and one thread serves the
//! whole run, so such a page is not parsed. Browsers flatten what is deeper than 512.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Depths of all start tags together that are still parsed: a fraction of a second. A page of 10 MB with 200,000 elements at depth 40
/// has 8 million.
const MOST_WORK: u64 = 50_000_000;

/// Elements that have no end tag, or are ended by the next one.
const SHALLOW: [&[u8]; 27] = [
    b"area", b"base", b"br", b"col", b"dd", b"dt", b"embed", b"hr", b"img", b"input", b"li",
    b"link", b"meta", b"option", b"p", b"param", b"path", b"rp", b"rt", b"source", b"tbody", b"td",
    b"th", b"tr", b"track", b"use", b"wbr",
];

/// True when the page would take the parser too long.
pub(crate) fn is_too_deep(page: &str) -> bool {
    let bytes = page.as_bytes();
    // By name, because an end tag of something that is not open closes nothing.
    let mut open: HashMap<Vec<u8>, u32, RandomState> = HashMap::default();
    let (mut depth, mut work) = (0u64, 0u64);
    for tag in memchr::memchr_iter(b'<', bytes) {
        let rest = &bytes[tag + 1..];
        let (ends, rest) = match rest.split_first() {
            Some((b'/', rest)) => (true, rest),
            _ => (false, rest),
        };
        if !rest.first().is_some_and(u8::is_ascii_alphabetic) {
            continue;
        }
        let length = rest
            .iter()
            .take_while(|byte| {
                !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'/' | b'>')
            })
            .count();
        let name = rest[..length].to_ascii_lowercase();
        if SHALLOW.binary_search(&name.as_slice()).is_ok() {
            work += depth;
            continue;
        }
        let count = open.entry(name).or_default();
        if !ends {
            *count += 1;
            depth += 1;
            work += depth;
        } else if *count > 0 {
            *count -= 1;
            depth -= 1;
        }
        if work > MOST_WORK {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_nest_without_end_are_too_deep() {
        assert!(SHALLOW.is_sorted());
        assert!(is_too_deep(&"<div>".repeat(20_000)));
        assert!(
            is_too_deep(&"<DIV ></x></x></div2>".repeat(20_000)),
            "ends of nothing"
        );
        assert!(is_too_deep(&"<li><ul>".repeat(20_000)));
        assert!(!is_too_deep(&"<div><p>text<br><li>".repeat(1_000)));
        let rows = "<tr><td><b>x</b><td><a href=/>y</a><img src=z>".repeat(100_000);
        assert!(!is_too_deep(&format!("<table>{rows}")));
    }
}
