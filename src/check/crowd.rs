//! Who may be busy at a time.
//!
//! There are so many places, and every proxy that is being asked has one. A proxy that is silent gives its place to another and
//! waits beside, as many as there are places: a socket that waits costs next to nothing. One that has answered once lets those begin
//! that have not been asked at all, since some of them will take their whole time limit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};

/// After so long a proxy counts as silent.
pub(super) const SILENCE: Duration = Duration::from_millis(200);
/// Those that let others begin, for each place.
const PATIENT: usize = 2;

/// All places.
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    beside: Semaphore,
    patient: Semaphore,
    begun: watch::Sender<bool>,
}

/// One proxy's place, while it has it.
pub(super) struct Place<'a> {
    crowd: &'a Crowd,
    /// Only ever held for a move.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Crowd {
    pub(super) fn new(places: usize) -> Self {
        Crowd {
            places: Arc::new(Semaphore::new(places)),
            beside: Semaphore::new(places),
            patient: Semaphore::new(places * PATIENT),
            begun: watch::Sender::new(false),
        }
    }

    /// Waits for a free place.
    pub(super) async fn free(&self) -> OwnedSemaphorePermit {
        match self.places.clone().acquire_owned().await {
            Ok(permit) => permit,
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Takes away a part of the free places, as far as there are more than `floor`.
    pub(super) fn shrink(&self, floor: usize) {
        let free = self.places.available_permits();
        self.places
            .forget_permits((free.max(4) / 4).min(free.saturating_sub(floor)));
    }

    /// Everybody has been asked at least once.
    pub(super) fn all_have_begun(&self) {
        self.begun.send_replace(true);
    }

    pub(super) fn place(&self, permit: OwnedSemaphorePermit) -> Place<'_> {
        Place {
            crowd: self,
            permit: Mutex::new(Some(permit)),
        }
    }
}

impl<'a> Place<'a> {
    /// Gives the place to another and waits beside, if there is room.
    pub(super) fn step_beside(&self) -> Option<SemaphorePermit<'a>> {
        let seat = self.crowd.beside.try_acquire().ok()?;
        drop(self.give());
        Some(seat)
    }

    /// Waits until everybody has begun, unless too many wait already.
    pub(super) async fn let_others_begin(&self) {
        let mut begun = self.crowd.begun.subscribe();
        if *begun.borrow() {
            return;
        }
        let Ok(_patient) = self.crowd.patient.try_acquire() else {
            return;
        };
        let had_one = self.give().is_some();
        // The sender lives as long as the crowd.
        let _ = begun.wait_for(|begun| *begun).await;
        if had_one {
            let permit = self.crowd.free().await;
            *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        }
    }

    fn give(&self) -> Option<OwnedSemaphorePermit> {
        self.permit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
