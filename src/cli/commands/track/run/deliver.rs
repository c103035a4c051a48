//! How somebody is told: a program with JSON on its standard input, or an address that it is sent to.

use std::future::pending;
use std::io::Write as _;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use ring::hmac;
use rustix::process::{self, Pid, kill_process};
use serde_json::Value;
use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::cli::printer::Printer;
use crate::cli::signals::{self, Signal};
use crate::egress::post;
use crate::error::{Error, Problem};
use crate::secret::Secret;
use crate::track::job::Hook;

/// Header with the signature, in the form that GitHub made usual: `sha256=` and hexadecimal digits.
const SIGNATURE: HeaderName = HeaderName::from_static("x-proxywheel-signature");
/// Tries of an address, and how long to wait before each.
const WAITS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(2),
    Duration::from_secs(8),
];
/// A program that has not ended by then is killed.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(60);

/// Why something did not arrive that a signal has ended.
const STOPPED: &str = "stopped by a signal";

/// Tells a hook. One that fails is complained of and changes nothing: the run is what it is. The exit code of the signal that put an end
/// to it, if one did.
pub(super) fn call(hook: &Hook, report: &Value, printer: &Printer) -> Option<u8> {
    let call = || {
        let mut courier = Courier::new().map_err(|error| (error.to_string(), None))?;
        let called = match hook {
            Hook::Command(words) => courier.run_program(words, report),
            Hook::Url(url) => courier.send(url, None, report),
        };
        called.map_err(|why| (why, courier.stopped))
    };
    // On a thread of its own, where the courier is also dropped: whoever calls may be within a runtime already.
    let called = thread::scope(|scope| match scope.spawn(call).join() {
        Ok(called) => called,
        Err(panic) => resume_unwind(panic),
    });
    let (why, stopped) = called.err()?;
    printer.warn(&Problem::new(format!("a hook failed: {why}")));
    stopped
}

/// Brings bodies to programs and addresses until a signal puts an end to it. While there is one, signals no longer end the process.
pub(super) struct Courier {
    runtime: Runtime,
    signals: mpsc::Receiver<Signal>,
    /// The exit code of the signal that has come.
    pub(super) stopped: Option<u8>,
}

impl Courier {
    /// # Errors
    /// The system refuses a runtime or a handler.
    pub(super) fn new() -> Result<Self, Error> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Internal(format!("cannot start the runtime: {error}")))?;
        let (signals, _listener) = runtime.block_on(async { signals::listen() })?;
        Ok(Courier {
            runtime,
            signals,
            stopped: None,
        })
    }

    /// Runs a program with `body` on its standard input; what it prints goes where our own messages go.
    ///
    /// # Errors
    /// It cannot be started, did not end well, not within a minute, or not before a signal.
    pub(super) fn run_program(&mut self, words: &[Box<str>], body: &Value) -> Result<(), String> {
        self.bring(run_program(words, body))
    }

    /// Sends `body` to an address, three times at most, signed when there is a secret.
    ///
    /// # Errors
    /// Why the last try failed, with the host and without the rest of the address, which often is a token.
    pub(super) fn send(
        &mut self,
        url: &Secret,
        secret: Option<&Secret>,
        body: &Value,
    ) -> Result<(), String> {
        self.bring(send(url, secret, body))
    }

    fn bring(&mut self, way: impl Future<Output = Result<(), String>>) -> Result<(), String> {
        let signals = &mut self.signals;
        let stopped = &mut self.stopped;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                code = ended_by(signals) => {
                    *stopped = Some(code);
                    Err(STOPPED.to_owned())
                }
                arrived = way => arrived,
            }
        })
    }
}

/// The exit code of the next signal that asks for an end.
async fn ended_by(signals: &mut mpsc::Receiver<Signal>) -> u8 {
    loop {
        match signals.recv().await {
            Some(Signal::Drain(code) | Signal::Stop(code)) => return code,
            Some(Signal::Reload) => {}
            None => pending().await,
        }
    }
}

/// A program that is killed when nobody waits for it any more.
struct Program(Option<Pid>);

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process(pid, process::Signal::KILL);
        }
    }
}

async fn run_program(words: &[Box<str>], body: &Value) -> Result<(), String> {
    let [program, arguments @ ..] = words else {
        return Err("no program is named".into());
    };
    let mut child = Command::new(&**program)
        .args(arguments.iter().map(|word| &**word))
        .stdin(Stdio::piped())
        // Standard output is for data.
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let text = format!("{body}\n");
        // A program that reads nothing must not hold us, and need not read.
        thread::spawn(move || {
            let _ = stdin.write_all(text.as_bytes());
        });
    }
    let mut running = Program(Some(Pid::from_child(&child)));
    let (ended, end) = oneshot::channel();
    // Nobody listens to one that is killed.
    thread::spawn(move || ended.send(child.wait()));
    let Ok(Ok(end)) = timeout(PROGRAM_TIMEOUT, end).await else {
        return Err(format!("{program} did not end within a minute"));
    };
    running.0 = None;
    match end {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

async fn send(url: &Secret, secret: Option<&Secret>, body: &Value) -> Result<(), String> {
    let address: Url = url
        .expose()
        .parse()
        .map_err(|_| "the address of a webhook is none".to_owned())?;
    let host = address.host_str().unwrap_or_default();
    let bytes = Bytes::from(body.to_string());
    let headers: Vec<(HeaderName, String)> = secret
        .map(|secret| (SIGNATURE, signature(secret, &bytes)))
        .into_iter()
        .collect();
    let mut failed = String::new();
    for wait in WAITS {
        sleep(wait).await;
        match post(&address, bytes.clone(), &headers).await {
            Ok(()) => return Ok(()),
            Err(why) => failed = why,
        }
    }
    Err(format!("{host}: {failed}"))
}

/// HMAC-SHA256 of what is sent.
fn signature(secret: &Secret, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let digits = hmac::sign(&key, body);
    let digits = digits.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("sha256={}", digits.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_others_compute() {
        // RFC 4231, test case 2.
        assert_eq!(
            signature(&Secret::new("Jefe"), b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_program_that_fails_is_named_and_one_that_reads_nothing_is_no_failure() {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.into())
                .collect::<Vec<Box<str>>>()
        };
        let body = Value::from("x".repeat(1 << 20));
        let mut courier = Courier::new().expect("a courier");
        let mut run_program = |words: &[Box<str>]| courier.run_program(words, &body);
        assert_eq!(run_program(&words(&["true"])), Ok(()));
        let failed = run_program(&words(&["sh", "-c", "exit 3"])).expect_err("3");
        assert!(failed.contains("sh") && failed.contains('3'), "{failed}");
        let missing = run_program(&words(&["no-such-program-here"]));
        assert!(missing.expect_err("none").contains("no-such-program-here"));
    }
}
