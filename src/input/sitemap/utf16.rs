//! UTF-16 on its way to be read as UTF-8.

use std::io::{self, Read};

/// Reads UTF-16 from `inner` and gives UTF-8; what is neither becomes U+FFFD.
pub(super) struct Utf16<R> {
    inner: R,
    is_big: bool,
    /// Octets of the inner stream that are not a whole unit yet.
    odd: Option<u8>,
    /// The first half of a pair.
    high: Option<u16>,
    out: Vec<u8>,
    at: usize,
}

impl<R: Read> Utf16<R> {
    pub(super) fn new(inner: R, is_big: bool) -> Self {
        Utf16 {
            inner,
            is_big,
            odd: None,
            high: None,
            out: Vec::new(),
            at: 0,
        }
    }

    /// Decodes the next piece; false at the end.
    fn refill(&mut self) -> io::Result<bool> {
        let mut piece = [0; 4096];
        let count = self.inner.read(&mut piece)?;
        self.out.clear();
        self.at = 0;
        let mut units = Vec::with_capacity(count / 2 + 2);
        units.extend(self.high.take());
        for byte in &piece[..count] {
            match self.odd.take() {
                Some(first) if self.is_big => units.push(u16::from_be_bytes([first, *byte])),
                Some(first) => units.push(u16::from_le_bytes([first, *byte])),
                None => self.odd = Some(*byte),
            }
        }
        if count > 0 {
            self.high = units.pop_if(|last| (0xd800..0xdc00).contains(last));
        }
        for c in char::decode_utf16(units) {
            let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
            // The mark has said what it had to say.
            if c != '\u{feff}' {
                self.out
                    .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Ok(count > 0)
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() {
            if !self.refill()? && self.out.is_empty() {
                return Ok(0);
            }
        }
        let count = into.len().min(self.out.len() - self.at);
        into[..count].copy_from_slice(&self.out[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
