//! Who may be busy at a time.
//!
//! There are so many places, and every proxy that is being asked has one. A proxy that is silent gives its place to another and
//! waits beside, as many as there are places: a socket that waits costs next to nothing. One that has answered once lets those begin
//! that have not been asked at all, since some of them will take their whole time limit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Gives the place to another and waits beside, if there is room and a place to give.
    pub(super) fn step_beside(&self) -> Option<SemaphorePermit<'a>> {
        let mut permit = self.permit();
        permit.as_ref()?;
        let seat = self.crowd.beside.try_acquire().ok()?;
        *permit = None;
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
            *self.permit() = Some(permit);
        }
    }

    fn give(&self) -> Option<OwnedSemaphorePermit> {
        self.permit().take()
    }

    fn permit(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_silent_and_the_patient_give_their_places_once() {
        let crowd = Crowd::new(1);
        let silent = crowd.place(crowd.free().await);
        let seat = silent.step_beside();
        assert!(seat.is_some() && silent.step_beside().is_none());
        // The place is free again, and there is no room beside for a second one.
        let second = crowd.place(crowd.free().await);
        assert!(second.step_beside().is_none());
        drop(seat);
        assert!(second.step_beside().is_some());

        let patient = crowd.place(crowd.free().await);
        let mut waits = std::pin::pin!(patient.let_others_begin());
        assert!(is_pending(&mut waits).await);
        assert!(patient.step_beside().is_none(), "it has no place to give");
        let last = crowd.place(crowd.free().await);
        crowd.all_have_begun();
        assert!(is_pending(&mut waits).await, "all places are taken");
        drop(last);
        waits.await;
        assert_eq!(crowd.places.available_permits(), 0);
        patient.let_others_begin().await;
    }

    async fn is_pending(waits: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *waits).poll(cx).is_pending())
        })
        .await
    }
}
