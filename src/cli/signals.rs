//! Signals as messages to the run.
//!
//! The first SIGINT or SIGTERM asks for a drain, the second for an end now, SIGHUP for the proxy lists to be read again. What
//! is done about them is the engine's business.

use tokio::sync::mpsc;

use crate::error::Error;

/// What a signal asks of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Take no new work, let what is in flight end, flush; then exit with this code (130 or 143).
    Drain(u8),
    /// Drop what is in flight, flush; then exit with this code.
    Stop(u8),
    /// Read the proxy lists again.
    Reload,
}

/// Turns "please end" into [`Signal::Drain`] once and [`Signal::Stop`] ever after.
#[derive(Debug, Default)]
struct Escalation {
    draining: bool,
}

impl Escalation {
    fn end(&mut self, code: u8) -> Signal {
        if std::mem::replace(&mut self.draining, true) {
            Signal::Stop(code)
        } else {
            Signal::Drain(code)
        }
    }
}

/// Signals wait here while the run is busy; more than these are of no use to anybody.
const WAITING: usize = 8;

/// Starts to listen. From here on the signals no longer end the process by themselves. The listener ends with the runtime or
/// when the receiver is dropped.
///
/// # Errors
/// The system refuses a handler.
#[cfg(unix)]
pub fn listen() -> Result<(mpsc::Receiver<Signal>, tokio::task::JoinHandle<()>), Error> {
    use tokio::signal::unix::{SignalKind, signal};

    let handler = |kind| {
        signal(kind).map_err(|error| Error::Internal(format!("cannot handle signals: {error}")))
    };
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let mut hangup = handler(SignalKind::hangup())?;
    // A file at the limit of the shell (ulimit -f) kills by default. With a handler the write fails, as on a full disk.
    let file_size = rustix::process::Signal::XFSZ.as_raw();
    drop(handler(SignalKind::from_raw(file_size))?);
    let (sender, receiver) = mpsc::channel(WAITING);
    let listener = tokio::spawn(async move {
        let mut escalation = Escalation::default();
        loop {
            let signal = tokio::select! {
                Some(()) = interrupt.recv() => escalation.end(130),
                Some(()) = terminate.recv() => escalation.end(143),
                Some(()) = hangup.recv() => Signal::Reload,
                () = sender.closed() => return,
                else => return,
            };
            if sender.send(signal).await.is_err() {
                return;
            }
        }
    });
    Ok((receiver, listener))
}

/// Starts to listen. Only Ctrl-C exists here.
///
/// # Errors
/// None on this system.
#[cfg(not(unix))]
pub fn listen() -> Result<(mpsc::Receiver<Signal>, tokio::task::JoinHandle<()>), Error> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let listener = tokio::spawn(async move {
        let mut escalation = Escalation::default();
        loop {
            let interrupt = tokio::select! {
                interrupt = tokio::signal::ctrl_c() => interrupt,
                () = sender.closed() => return,
            };
            if interrupt.is_err() || sender.send(escalation.end(130)).await.is_err() {
                return;
            }
        }
    });
    Ok((receiver, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_asks_for_a_drain_and_every_later_one_for_an_end() {
        let mut escalation = Escalation::default();
        assert_eq!(escalation.end(143), Signal::Drain(143));
        assert_eq!(escalation.end(130), Signal::Stop(130));
        assert_eq!(escalation.end(143), Signal::Stop(143));
    }

    #[tokio::test]
    async fn the_listener_ends_with_its_receiver() {
        let (receiver, listener) = listen().expect("handlers");
        drop(receiver);
        listener.await.expect("no panic");
    }
}
