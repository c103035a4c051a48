//! Room to read answers into, used again.
//!
//! An answer that has been judged leaves its room behind still in the caches. Last in, first out, the next answer is read into
//! it; the allocator would go round through all the blocks it has.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;

/// Size of a buffer, bytes: most answers come whole in one.
const ROOM: usize = 16 * 1024;

/// The buffers that nothing is read into: never more than there were exchanges at a time.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Only ever held for a push or a pop.
    spare: Mutex<Vec<BytesMut>>,
}

impl Buffers {
    /// An empty buffer of [`ROOM`] bytes or more.
    pub(super) fn take(&self) -> BytesMut {
        let mut buffer = self.spare().pop().unwrap_or_default();
        // Refused while the body that was read into it is still held: then it goes free together with that body.
        if buffer.try_reclaim(ROOM) {
            buffer
        } else {
            BytesMut::with_capacity(ROOM)
        }
    }

    /// Keeps `buffer` for another exchange. Bodies that were split off it stay what they are.
    pub(super) fn give(&self, mut buffer: BytesMut) {
        if buffer.capacity() > 0 {
            buffer.clear();
            self.spare().push(buffer);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffers: &Buffers, what: &[u8]) -> (BytesMut, bytes::Bytes) {
        let mut buffer = buffers.take();
        buffer.extend_from_slice(what);
        let body = buffer.split().freeze();
        (buffer, body)
    }

    #[test]
    fn a_buffer_is_used_again_once_its_body_is_dropped() {
        let buffers = Buffers::default();
        let (buffer, body) = read(&buffers, b"first");
        let first = body.as_ptr();
        buffers.give(buffer);
        drop(body);
        let (_buffer, body) = read(&buffers, b"second");
        assert_eq!((&body[..], body.as_ptr()), (&b"second"[..], first));
    }

    #[test]
    fn a_body_that_is_held_stays_what_it_is() {
        let buffers = Buffers::default();
        let (buffer, held) = read(&buffers, b"first");
        buffers.give(buffer);
        let (buffer, body) = read(&buffers, b"second");
        assert!(buffer.capacity() + body.len() >= ROOM);
        assert_eq!((&held[..], &body[..]), (&b"first"[..], &b"second"[..]));
    }
}
