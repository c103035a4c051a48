//! Where in a text.

/// Line and column of a byte of `text`, both from 1; columns count characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let offset = offset.min(text.len());
    let before = &text.as_bytes()[..offset];
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    // A byte begins a character unless it is one of those that continue it.
    let letters = before[start..].iter().filter(|byte| **byte & 0xc0 != 0x80);
    (line, 1 + letters.count())
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn lines_and_columns_begin_at_one_and_count_letters() {
        let text = "a\nb\u{e9}c";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 2), (2, 1));
        assert_eq!(position(text, 5), (2, 3));
        assert_eq!(position(text, 99), (2, 4));
    }
}
