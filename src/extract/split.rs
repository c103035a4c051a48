//! Cutting expressions at the signs that stand outside brackets and quotes.

/// What brackets and quotes mean in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grammar {
    /// CSS and JSONPath: all brackets nest, quotes hide.
    Quoted,
    /// A regex: parentheses nest, a class hides, quotes are letters.
    Regex,
}

/// The pieces between the `|` that are outside, each with its first byte. There is always one.
pub(super) fn pieces(text: &str, grammar: Grammar) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in outside(text, grammar) {
        if text.as_bytes()[at] == b'|' {
            pieces.push((from, &text[from..at]));
            from = at + 1;
        }
    }
    pieces.push((from, &text[from..]));
    pieces
}

/// Where the last `::` is that stands outside.
pub(super) fn last_colons(text: &str) -> Option<usize> {
    let mut last = None;
    let mut before = None;
    for at in outside(text, Grammar::Quoted) {
        if text.as_bytes()[at] == b':' {
            if before.is_some_and(|before: usize| before + 1 == at) {
                last = Some(at - 1);
                before = None;
                continue;
            }
            before = Some(at);
        }
    }
    last
}

/// Ends of the parts of a selector, from left to right: `.a > .b c` ends after `.a`, after `.b` and after `c`. Empty for a list
/// (`a, b`), of which no part is a step towards the next.
pub(super) fn steps(selector: &str) -> Vec<usize> {
    let bytes = selector.as_bytes();
    let mut ends: Vec<usize> = Vec::new();
    let mut word_end = None;
    let mut next = 0;
    for at in outside(selector, Grammar::Quoted) {
        // What was passed over belongs to the word.
        if at > next {
            word_end = Some(at);
        }
        next = at + 1;
        match bytes[at] {
            b',' => return Vec::new(),
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'>' | b'+' | b'~' => {
                ends.extend(word_end.take());
            }
            _ => word_end = Some(next),
        }
    }
    if next < bytes.len() {
        word_end = Some(bytes.len());
    }
    ends.extend(word_end);
    ends
}

/// The bytes outside brackets and quotes, brackets and quotes themselves left out.
fn outside(text: &str, grammar: Grammar) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut depth = 0usize;
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == b'\\' {
            at += 2;
            continue;
        }
        match (quote, grammar, byte) {
            (Some(end), _, _) if byte == end => quote = None,
            (Some(_), _, _) => {}
            (None, Grammar::Quoted, b'"' | b'\'') => quote = Some(byte),
            (None, Grammar::Quoted, b'(' | b'[' | b'{') | (None, Grammar::Regex, b'(') => {
                depth += 1;
            }
            (None, Grammar::Quoted, b')' | b']' | b'}') | (None, Grammar::Regex, b')') => {
                depth = depth.saturating_sub(1);
            }
            (None, Grammar::Regex, b'[') => {
                quote = Some(b']');
                // A bracket that comes first is a letter.
                let first = at + 1 + usize::from(bytes.get(at + 1) == Some(&b'^'));
                if bytes.get(first) == Some(&b']') {
                    at = first;
                }
            }
            _ if depth == 0 => found.push(at),
            _ => {}
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_outside_brackets_and_quotes_cuts() {
        let texts = |text, grammar| -> Vec<&str> {
            let pieces = pieces(text, grammar);
            pieces.into_iter().map(|(_, piece)| piece).collect()
        };
        assert_eq!(
            texts("a[lang|=en]::text|join(' | ')", Grammar::Quoted),
            ["a[lang|=en]::text", "join(' | ')"]
        );
        assert_eq!(
            texts(r"re:(a|b)[|']\|c|trim", Grammar::Regex),
            [r"re:(a|b)[|']\|c", "trim"]
        );
        assert_eq!(texts("re:[]|]|x", Grammar::Regex), ["re:[]|]", "x"]);
        assert_eq!(last_colons("a:not(::x)::attr(y)"), Some(10));
        assert_eq!(last_colons("a:hover"), None);
    }

    #[test]
    fn a_selector_has_steps() {
        let steps = |text: &'static str| -> Vec<&str> {
            steps(text).into_iter().map(|end| &text[..end]).collect()
        };
        assert_eq!(
            steps(".a > b:not(.x .y) +c"),
            [".a", ".a > b:not(.x .y)", ".a > b:not(.x .y) +c"]
        );
        assert_eq!(steps("div[a='b c'] p"), ["div[a='b c']", "div[a='b c'] p"]);
        assert!(steps("a, b").is_empty());
    }
}
