//! What a proxy has done to a page both sides can make. What it has done to the headers of the page is in [`super::headers`].

use serde::Serialize;

use crate::text::harmless;

/// Longest evidence, characters.
const EVIDENCE: usize = 200;

/// A change that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tampering {
    /// `script`, `content` or `header`.
    pub kind: &'static str,
    /// What stands there now, or is missing, shortened.
    pub evidence: String,
}

/// Compares a page with what it has to be.
pub(super) fn changed(expected: &str, got: &[u8]) -> Option<Tampering> {
    if got == expected.as_bytes() {
        return None;
    }
    let expected = expected.as_bytes();
    let pairs = || expected.iter().zip(got);
    let before = pairs().take_while(|(a, b)| a == b).count();
    let most = expected.len().min(got.len()) - before;
    let reversed = expected.iter().rev().zip(got.iter().rev());
    let after = reversed.take(most).take_while(|(a, b)| a == b).count();
    let put_in = String::from_utf8_lossy(&got[before..got.len() - after]);
    let lower = put_in.to_ascii_lowercase();
    let kind = match ["script", "<iframe", "javascript:", "onload="] {
        words if words.iter().any(|word| lower.contains(word)) => "script",
        _ => "content",
    };
    let evidence = match put_in.trim() {
        "" => format!("{} bytes are missing", expected.len() - before - after),
        text => evidence(text),
    };
    Some(Tampering { kind, evidence })
}

/// What a stranger wrote, short and without what a terminal would obey.
pub(super) fn evidence(text: &str) -> String {
    harmless(text).take(EVIDENCE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_named() {
        let page = "<html><body><p>aaa</p></body></html>";
        assert_eq!(changed(page, page.as_bytes()), None);
        let got = page.replace("</body>", "<script src=\"http://ads/\"></script></body>");
        let found = changed(page, got.as_bytes()).unwrap();
        assert_eq!(found.kind, "script");
        assert!(found.evidence.contains("http://ads/"), "{found:?}");
        let found = changed(page, page.replace("aaa", "").as_bytes()).unwrap();
        assert_eq!(
            (found.kind, &*found.evidence),
            ("content", "3 bytes are missing")
        );
        assert_eq!(changed(page, b"").unwrap().evidence, "36 bytes are missing");
    }

    proptest::proptest! {
        #[test]
        fn any_two_pages_are_compared_without_a_fault(a in ".{0,40}", b: Vec<u8>) {
            proptest::prop_assert_eq!(changed(&a, &b).is_none(), a.as_bytes() == b);
        }
    }
}
