//! Rows on their way to the file.

/// Bytes that are written together, and where in them a row ends.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// Ends of what may stand alone, each with whether it is a row.
    pub(super) ends: Vec<(usize, bool)>,
    /// The `-w` lines of the same rows.
    pub(super) aside: Vec<u8>,
}

impl Chunk {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What was added since the last mark is no row, but may stand alone.
    pub(super) fn mark(&mut self) {
        self.ends.push((self.bytes.len(), false));
    }

    /// What was added since the last mark is a row.
    pub(super) fn mark_row(&mut self) {
        self.ends.push((self.bytes.len(), true));
    }

    /// Empties it, keeping its room.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.aside.clear();
    }
}
