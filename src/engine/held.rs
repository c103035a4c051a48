//! What holds dispatch back, and until when.

use std::time::Instant;

use crate::metrics::Binding;

/// What one turn of a host came to.
pub(super) enum Turn {
    Started,
    Again,
    /// Nobody can be sent now; go no further until `Instant` or an event.
    Stop(Binding, Option<Instant>),
}

/// What holds dispatch back.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Held {
    pub(super) binding: Option<Binding>,
    pub(super) until: Option<Instant>,
}

impl Held {
    pub(super) fn because(&mut self, binding: Binding) -> Held {
        self.binding = self.binding.or(Some(binding));
        *self
    }

    pub(super) fn until(&mut self, at: Instant) -> &mut Held {
        self.until = self.until.into_iter().chain([at]).min();
        self
    }
}
