//! What a run waits for before it opens anything: a random time, then the lock.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::cli::lock::Lock;
use crate::cli::signals::Signal;
use crate::config::Start;
use crate::error::Error;
use crate::metrics::Snapshot;

/// The time left is shown anew this often.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// Whether a run begins.
pub(super) enum Begun {
    /// It does, with its lock if it has one.
    Now(Option<Lock>),
    /// Another run has the lock, and that is fine.
    Skipped,
    /// A signal came first; the exit code it asks for.
    Ended(u8),
}

/// Waits for both. A run that waits for its time holds nobody up, so the lock comes second; a signal ends either at once.
pub(super) async fn begin(
    start: &Start,
    seed: u64,
    signals: &mut mpsc::Receiver<Signal>,
    shown: &watch::Sender<Snapshot>,
) -> Result<Begun, Error> {
    let waits = async {
        pause(start.jitter, seed, shown).await;
        match &start.lock {
            Some(settings) => Lock::take(settings).await.map(|lock| match lock {
                Some(lock) => Begun::Now(Some(lock)),
                None => Begun::Skipped,
            }),
            None => Ok(Begun::Now(None)),
        }
    };
    tokio::select! {
        // A lock that is free is not passed by because of a signal that comes with it; the run deals with that.
        biased;
        begun = waits => begun,
        code = ended_by(signals) => Ok(Begun::Ended(code)),
    }
}

async fn pause(jitter: Duration, seed: u64, shown: &watch::Sender<Snapshot>) {
    if jitter.is_zero() {
        return;
    }
    let share: f64 = StdRng::seed_from_u64(seed).random();
    let until = Instant::now() + jitter.mul_f64(share);
    loop {
        let now = Instant::now();
        if now >= until {
            break;
        }
        let waiting = Snapshot {
            starts_in: Some(until - now),
            ..Snapshot::default()
        };
        // Whether anybody looks at it is no concern of the wait.
        let _ = shown.send(waiting);
        sleep_until(until.min(now + SHOWN_EVERY)).await;
    }
    let _ = shown.send(Snapshot::default());
}

/// The code of the signal that ends the run; lists are not open yet, so there is nothing to be read again.
async fn ended_by(signals: &mut mpsc::Receiver<Signal>) -> u8 {
    loop {
        match signals.recv().await {
            Some(Signal::Drain(code) | Signal::Stop(code)) => return code,
            Some(Signal::Reload) => {}
            None => std::future::pending().await,
        }
    }
}
