//! The words of a page as phrases are written: in small letters, with one space between them.

use std::borrow::Cow;

use crate::text;

/// Bytes of text after which no more is read: block pages have said it by then, and a page that goes on has something else to say.
pub(super) const KEPT: usize = 4 * 1024;
/// Bytes of plain text that are taken at once.
const PIECE: usize = 256;
/// What is written before it is known to be too much: a piece, or the small letters of a large one.
const ROOM: usize = KEPT + PIECE;

/// What becomes of a byte of ASCII: a small letter or a space, and whether it is a space.
const SAID: [(u8, bool); 256] = {
    let mut all = [(0, false); 256];
    let mut byte = 0;
    while byte < 256 {
        let space = matches!(byte as u8, b' ' | b'\t'..=b'\r');
        let folded = if space {
            b' '
        } else {
            (byte as u8).to_ascii_lowercase()
        };
        all[byte] = (folded, space);
        byte += 1;
    }
    all
};

/// The small letters of [`small`] that are two bytes, by the eleven bits that tell a letter of two bytes; zeros for others.
const SMALL: [[u8; 2]; 1 << 11] = {
    let mut all = [[0; 2]; 1 << 11];
    let mut code = 0x80;
    while code < all.len() {
        if let Some(c) = char::from_u32(code as u32)
            && let Some(small) = small(c)
        {
            let small = small as u32;
            all[code] = [0xc0 | (small >> 6) as u8, 0x80 | (small & 0x3f) as u8];
        }
        code += 1;
    }
    all
};

/// One in each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

/// A text in the making.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Those of the text, then what is of no account.
    room: Vec<u8>,
    length: usize,
}

impl Words {
    /// Bytes of the text so far; when it is [`KEPT`] or more, nothing is added but a space.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn into_text(self) -> String {
        // Only whole letters are ever added.
        let text = text::utf8(&self.room[..self.length]);
        text.unwrap_or_default().to_owned()
    }

    /// Ends a word.
    pub(super) fn gap(&mut self) {
        if !self.is_spaced() {
            self.make_room(1);
            self.room[self.length] = b' ';
            self.length += 1;
        }
    }

    /// Appends words; gives how many characters it were, and may count a little more than is kept.
    pub(super) fn say(&mut self, words: &str) -> usize {
        let words = text::beginning(words, 4 * KEPT);
        let words = match memchr::memchr(b'&', words.as_bytes()) {
            Some(_) => text::unescape(words),
            None => Cow::Borrowed(words),
        };
        if words.is_ascii() {
            self.say_plain(words.as_bytes())
        } else {
            self.say_letters(&words)
        }
    }

    fn make_room(&mut self, bytes: usize) {
        if self.room.len() < self.length + bytes {
            self.room.reserve(ROOM.saturating_sub(self.room.len()));
            self.room.resize(self.length + bytes, 0);
        }
    }

    /// True where a space would be one too many.
    fn is_spaced(&self) -> bool {
        self.room[..self.length]
            .last()
            .is_none_or(|last| *last == b' ')
    }

    /// The same of ASCII.
    fn say_plain(&mut self, words: &[u8]) -> usize {
        // Most of what stands between tags is there for the eyes of whoever wrote it.
        let from = words.trim_ascii_start();
        if from.len() < words.len() {
            self.gap();
        }
        let words = from.trim_ascii_end();
        let mut said = 0;
        for words in words.chunks(PIECE) {
            if self.length >= KEPT {
                break;
            }
            let mut pen = self.pen(words.len());
            let (eights, rest) = words.as_chunks::<8>();
            for eight in eights {
                pen.eight(eight);
            }
            rest.iter().for_each(|byte| pen.byte(*byte));
            said += pen.said;
            self.length = pen.length.min(KEPT);
        }
        if words.len() < from.len() {
            self.gap();
        }
        said
    }

    /// The same of all letters.
    fn say_letters(&mut self, words: &str) -> usize {
        let most = KEPT.saturating_sub(self.length).min(words.len());
        // The last letter may be longer than what is left, and longer still when it is small.
        let mut pen = self.pen(most + PIECE);
        let bytes = words.as_bytes();
        let mut at = 0;
        while at < bytes.len() && pen.length < KEPT {
            let byte = bytes[at];
            if byte < 0x80 {
                pen.byte(byte);
                at += 1;
                continue;
            }
            if let (0xc2..=0xdf, Some(next)) = (byte, bytes.get(at + 1)) {
                let small = SMALL[usize::from(byte & 0x1f) << 6 | usize::from(next & 0x3f)];
                if small[0] != 0 {
                    pen.letter(&small);
                    at += 2;
                    continue;
                }
            }
            let Some(c) = words[at..].chars().next() else {
                break;
            };
            at += c.len_utf8();
            let mut add = |c: char| pen.letter(c.encode_utf8(&mut [0; 4]).as_bytes());
            match (small(c), c) {
                (Some(small), _) => add(small),
                (_, '\u{2019}' | '\u{2018}') => add('\''),
                // Soft hyphens, direction marks and the like are seen by nobody.
                (_, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{feff}') => {}
                _ if c.is_whitespace() => pen.byte(b' '),
                _ => c.to_lowercase().for_each(add),
            }
        }
        let said = pen.said;
        self.length = pen.length;
        said
    }

    /// For so many bytes more.
    fn pen(&mut self, bytes: usize) -> Pen<'_> {
        self.make_room(bytes);
        Pen {
            spaced: self.is_spaced(),
            length: self.length,
            said: 0,
            room: &mut self.room,
        }
    }
}

/// Writes what there is room for.
struct Pen<'a> {
    room: &'a mut [u8],
    length: usize,
    /// Characters that are no spaces.
    said: usize,
    /// The last was a space, or there is none: no space at the beginning, and never two.
    spaced: bool,
}

impl Pen<'_> {
    /// One of ASCII.
    #[inline]
    fn byte(&mut self, byte: u8) {
        let (folded, space) = SAID[usize::from(byte)];
        self.room[self.length] = folded;
        self.length += usize::from(!(space & self.spaced));
        self.said += usize::from(!space);
        self.spaced = space;
    }

    /// Eight of ASCII.
    #[inline]
    fn eight(&mut self, bytes: &[u8; 8]) {
        let (folded, spaces) = fold(u64::from_le_bytes(*bytes));
        if spaces & (spaces << 8 | u64::from(self.spaced) << 7) != 0 {
            bytes.iter().for_each(|byte| self.byte(*byte));
            return;
        }
        self.room[self.length..self.length + 8].copy_from_slice(&folded.to_le_bytes());
        self.length += 8;
        // The product has the sum of all bytes in its highest one.
        self.said += 8 - ((spaces >> 7).wrapping_mul(EACH) >> 56) as usize;
        self.spaced = spaces >> 63 != 0;
    }

    /// One of any letters, which is small.
    #[inline]
    fn letter(&mut self, bytes: &[u8]) {
        self.room[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
        self.said += 1;
        self.spaced = false;
    }
}

/// Eight bytes of ASCII, as [`SAID`] has each of them, and the highest bit of each that is a space.
fn fold(eight: u64) -> (u64, u64) {
    const HIGH: u64 = 0x80 * EACH;
    const SPACE: u64 = b' ' as u64 * EACH;
    let from = |byte: u8| eight + (0x80 - u64::from(byte)) * EACH;
    let large = from(b'A') & !from(b'Z' + 1) & HIGH;
    let lines = from(b'\t') & !from(b'\r' + 1) & HIGH;
    let folded = eight | large >> 2;
    // Of a line break or a tabulator, all bits; then those of a space.
    let breaks = lines | (lines - (lines >> 7));
    let folded = (folded & !breaks) | (breaks & SPACE);
    let others = (folded ^ SPACE) + 0x7f * EACH;
    (folded, !others & HIGH)
}

/// The small letter of those that pages are full of: Latin, Greek, Cyrillic, and scripts that have no large ones. `None` for all
/// others.
const fn small(c: char) -> Option<char> {
    let further = match c {
        '\u{df}'..='\u{ff}'
        | '\u{3ac}'..='\u{3ce}'
        | '\u{430}'..='\u{45f}'
        | '\u{3001}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}' => return Some(c),
        '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{de}' => 0x20,
        '\u{391}'..='\u{3a1}' | '\u{3a3}'..='\u{3a9}' => 0x20,
        '\u{410}'..='\u{42f}' => 0x20,
        '\u{400}'..='\u{40f}' => 0x50,
        _ => return None,
    };
    char::from_u32(c as u32 + further)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_become_small_as_they_do_everywhere() {
        for c in char::MIN..=char::MAX {
            if let Some(small) = small(c) {
                assert!(c.to_lowercase().eq([small]), "{c:?}");
            }
        }
    }

    #[test]
    fn words_are_laid_out_whatever_they_are_written_in() {
        for (said, length, pieces) in [
            (
                "you've been blocked",
                17,
                &["  You\u{2019}ve ", "\n been\tBLOCKED"][..],
            ),
            (
                "доступ к ресурсу",
                14,
                &["До\u{ad}ступ\u{a0}", " К", "\u{3000}  РЕСУРСУ"],
            ),
            ("über straße", 10, &["ÜBER\n", "straße"]),
            ("İstanbul".to_lowercase().as_str(), 9, &["İstanbul"]),
            ("a & b", 3, &["A &amp;", " B"]),
        ] {
            let mut words = Words::default();
            let count: usize = pieces.iter().map(|piece| words.say(piece)).sum();
            assert_eq!((words.into_text().trim_end(), count), (said, length));
        }
    }

    #[test]
    fn no_more_is_kept_than_phrases_are_looked_for_in() {
        for word in ["word ", "слово "] {
            let mut words = Words::default();
            for _ in 0..10 {
                words.say(&word.repeat(200));
                words.gap();
            }
            let text = words.into_text();
            assert!((KEPT..KEPT + 4).contains(&text.len()), "{}", text.len());
            assert!(word.repeat(KEPT).starts_with(text.trim_end()), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn words_are_laid_out_as_one_letter_after_the_other(said in "[A-Ca-b \t\nЖжЏÀßΣ\u{a0}\u{200b}中가&’]{0,80}", cut in 0..80usize) {
            let letters = said.chars().filter(|c| *c != '\u{200b}').map(|c| if c == '’' { '\'' } else { c });
            let expected: String = letters.flat_map(char::to_lowercase).collect();
            let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
            let cut = said.char_indices().nth(cut).map_or(said.len(), |(at, _)| at);
            let mut words = Words::default();
            let count = words.say(&said[..cut]) + words.say(&said[cut..]);
            let text = words.into_text();
            proptest::prop_assert_eq!(text.trim_end(), &expected);
            proptest::prop_assert_eq!(count, expected.chars().filter(|c| *c != ' ').count());
        }
    }
}
