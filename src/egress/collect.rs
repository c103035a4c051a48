//! A response body, gathered frame by frame up to a cap of decoded bytes, and a little more on the wire.
//!
//! The common body is one frame without encoding: it becomes the result without being copied. Everything else is copied once,
//! into a buffer sized by the announced length.

use bytes::Bytes;

use super::decode::{Broken, Decoder};
use crate::exchange::{Body, Truncation};
use crate::outcome::Fault;

/// Most that is reserved on the word of a Content-Length: a lie costs no more than this.
const RESERVE_MAX: usize = 1024 * 1024;

/// An encoded body may be longer than its content by this and an eighth: no encoder adds so much, and what a server adds behind
/// the end is short.
const EXCESS: u64 = 64 * 1024;

/// A body on its way in.
pub(super) struct Collector {
    cap: usize,
    /// Most bytes on the wire: an encoded body can go on without an end and without content.
    cap_wire: u64,
    expected: usize,
    size_wire: u64,
    bytes: Gathered,
    decoder: Option<Decoder>,
    full: bool,
}

enum Gathered {
    One(Bytes),
    Many(Vec<u8>),
}

impl Collector {
    /// For a body announced as `length` bytes (`None`: unknown), of which at most `cap` decoded bytes are kept.
    pub(super) fn new(cap: u64, length: Option<u64>, decoder: Option<Decoder>) -> Self {
        Collector {
            cap: usize::try_from(cap).unwrap_or(usize::MAX),
            cap_wire: cap.saturating_add(cap / 8).saturating_add(EXCESS),
            expected: usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX),
            size_wire: 0,
            bytes: Gathered::One(Bytes::new()),
            decoder,
            full: false,
        }
    }

    /// Takes in one frame; `false` when the cap is passed and no more is wanted.
    pub(super) fn push(&mut self, frame: Bytes) -> Result<bool, Broken> {
        self.size_wire += frame.len() as u64;
        match &mut self.decoder {
            None => self.full = !self.bytes.add_frame(frame, self.cap, self.expected),
            Some(decoder) => {
                let (bytes, cap, full) = (&mut self.bytes, self.cap, &mut self.full);
                decoder.push(frame, |piece| {
                    *full = !bytes.add(piece, cap, 0);
                    !*full
                })?;
                self.full |= self.size_wire > self.cap_wire;
            }
        }
        Ok(!self.full)
    }

    /// The body has ended; decodes what is left. `false` when the cap is passed.
    pub(super) fn finish(&mut self) -> Result<bool, Broken> {
        if let Some(decoder) = &mut self.decoder {
            let (bytes, cap, full) = (&mut self.bytes, self.cap, &mut self.full);
            decoder.finish(|piece| {
                *full = !bytes.add(piece, cap, 0);
                !*full
            })?;
        }
        Ok(!self.full)
    }

    /// What has come so far.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Gathered::One(bytes) => bytes,
            Gathered::Many(bytes) => bytes,
        }
    }

    /// The body as far as it came; the cap is named as the reason before any other.
    pub(super) fn into_body(self, truncated: Option<Truncation>, broken: Option<Fault>) -> Body {
        Body {
            bytes: match self.bytes {
                Gathered::One(bytes) => bytes,
                Gathered::Many(bytes) => bytes.into(),
            },
            size_wire: self.size_wire,
            truncated: if self.full {
                Some(Truncation::Length)
            } else {
                truncated
            },
            broken: broken.map(Box::new),
        }
    }
}

impl Gathered {
    /// As [`Gathered::add`], without copying when it is the first.
    fn add_frame(&mut self, frame: Bytes, cap: usize, expected: usize) -> bool {
        match self {
            Gathered::One(empty) if empty.is_empty() && frame.len() <= cap => {
                *self = Gathered::One(frame);
                true
            }
            _ => self.add(&frame, cap, expected),
        }
    }

    /// Appends `piece`; `false` when not all of it fits under `cap`.
    fn add(&mut self, piece: &[u8], cap: usize, expected: usize) -> bool {
        if let Gathered::One(first) = self {
            let wanted = expected.min(RESERVE_MAX).max(first.len() + piece.len());
            let mut bytes = Vec::with_capacity(wanted.min(cap));
            bytes.extend_from_slice(first);
            *self = Gathered::Many(bytes);
        }
        let Gathered::Many(bytes) = self else {
            return false;
        };
        let fits = piece.len().min(cap.saturating_sub(bytes.len()));
        bytes.extend_from_slice(&piece[..fits]);
        fits == piece.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collector(cap: u64, length: Option<u64>) -> Collector {
        Collector::new(cap, length, None)
    }

    #[test]
    fn a_single_frame_is_not_copied() {
        let frame = Bytes::from(vec![7; 100]);
        let mut collector = collector(1000, Some(100));
        assert!(collector.push(frame.clone()).unwrap());
        let body = collector.into_body(None, None);
        assert_eq!(body.bytes.as_ptr(), frame.as_ptr());
        assert_eq!((body.size_wire, body.truncated), (100, None));
    }

    #[test]
    fn a_lying_length_reserves_little() {
        let mut collector = collector(u64::MAX, Some(u64::MAX));
        collector.push(Bytes::from_static(b"a")).unwrap();
        collector.push(Bytes::from_static(b"b")).unwrap();
        let Gathered::Many(bytes) = &collector.bytes else {
            panic!("two frames are one buffer");
        };
        assert!(bytes.capacity() <= RESERVE_MAX);
    }

    proptest! {
        #[test]
        fn keeps_exactly_the_first_cap_bytes(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..20),
            cap in 0..400u64,
            length in proptest::option::of(0..2000u64),
        ) {
            let all = frames.concat();
            let mut collector = collector(cap, length);
            let mut more = true;
            for frame in frames {
                if !more {
                    break;
                }
                more = collector.push(frame.into()).unwrap();
            }
            prop_assert_eq!(more, all.len() as u64 <= cap);
            let body = collector.into_body(None, None);
            prop_assert_eq!(&body.bytes[..], &all[..all.len().min(cap as usize)]);
            prop_assert_eq!(body.truncated.is_some(), !more);
        }
    }
}
