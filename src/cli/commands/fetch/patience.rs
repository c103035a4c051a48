//! How long a run that was told to stop is waited for.

use std::time::Duration;

use tokio::time::Instant;

use crate::cli::signals::Signal;

/// How long a stopped run may take to hand over its last rows.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// Waits for ever until somebody asks for the second time.
#[derive(Default)]
pub(super) struct Patience {
    /// The exit code of the signal that stops.
    pub(super) code: Option<u8>,
    until: Option<Instant>,
}

impl Patience {
    /// Takes note of a signal.
    pub(super) fn note(&mut self, signal: Signal) {
        if let Signal::Stop(code) = signal {
            self.code.get_or_insert(code);
            self.until.get_or_insert(Instant::now() + STOP_GRACE);
        }
    }

    /// Waits until the time of grace is over.
    pub(super) async fn over(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}
