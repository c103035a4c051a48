//! Where in a page an element stands.
//!
//! The parser does not tell. So line and column are written into the start tags of a copy of the page, and the same selectors are asked of
//! it: what is the third element here is the third there.

/// The attribute that carries line and column.
pub(super) const LINE: &str = "proxywheel-line";

/// Elements whose content is not markup.
const RAW: [&str; 7] = [
    "script", "style", "textarea", "title", "xmp", "iframe", "noframes",
];

/// The page with the line and column of each start tag in it.
pub(super) fn marked(page: &str) -> String {
    let bytes = page.as_bytes();
    let mut out = String::with_capacity(page.len() * 2);
    let (mut copied, mut at, mut line, mut begin, mut counted) = (0, 0, 1, 0, 0);
    while let Some(found) = memchr::memchr(b'<', &bytes[at..]) {
        let tag = at + found;
        if bytes[tag..].starts_with(b"<!--") {
            let end = memchr::memmem::find(&bytes[tag + 4..], b"-->");
            at = end.map_or(bytes.len(), |end| tag + 4 + end);
            continue;
        }
        let name = tag + 1;
        let length = bytes[name..]
            .iter()
            .take_while(|byte| {
                !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'/' | b'>')
            })
            .count();
        at = name + length;
        if !bytes.get(name).is_some_and(u8::is_ascii_alphabetic) {
            continue;
        }
        for feed in memchr::memchr_iter(b'\n', &bytes[counted..tag]) {
            line += 1;
            begin = counted + feed + 1;
        }
        counted = tag;
        let column = tag - begin + 1;
        out.push_str(&page[copied..at]);
        out.push_str(&format!(" {LINE}=\"{line}:{column}\""));
        copied = at;
        let element = page[name..at].to_ascii_lowercase();
        if RAW.contains(&element.as_str()) {
            let close = format!("</{element}");
            let rest = &bytes[at..];
            let end = memchr::memmem::find_iter(rest, b"</").find(|end| {
                rest[*end..]
                    .get(..close.len())
                    .is_some_and(|tag| tag.eq_ignore_ascii_case(close.as_bytes()))
            });
            at += end.unwrap_or(rest.len());
        }
    }
    out.push_str(&page[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_page_can_be_marked(page in "(<|</|>|<!--|-->|script|p|a b|\n| |é|\"){0,30}") {
            let with_lines = marked(&page);
            let mark = regex::Regex::new(" proxywheel-line=\"[0-9:]+\"").expect("a pattern");
            prop_assert_eq!(mark.replace_all(&with_lines, ""), page);
        }
    }
}
