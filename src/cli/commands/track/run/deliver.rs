//! How somebody is told: a program with JSON on its standard input, or an address that it is sent to.

use std::io::Write as _;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use ring::hmac;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use url::Url;

use crate::cli::printer::Printer;
use crate::egress::post;
use crate::error::Problem;
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
/// A program that has not ended by then is left behind.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(60);

/// Tells a hook. One that fails is complained of and changes nothing: the run is what it is.
pub(super) fn call(hook: &Hook, report: &Value, printer: &Printer) {
    let called = match hook {
        Hook::Command(words) => run_program(words, report),
        Hook::Url(url) => send(url, None, report),
    };
    if let Err(why) = called {
        printer.warn(&Problem::new(format!("a hook failed: {why}")));
    }
}

/// Runs a program with `body` on its standard input; what it prints goes where our own messages go.
///
/// # Errors
/// It cannot be started, did not end well, or not within a minute.
pub(super) fn run_program(words: &[Box<str>], body: &Value) -> Result<(), String> {
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
    let pid = Pid::from_child(&child);
    let (ended, end) = mpsc::channel();
    // Nobody listens to one that is killed for its slowness.
    thread::spawn(move || ended.send(child.wait()));
    match end.recv_timeout(PROGRAM_TIMEOUT) {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{program} ended with {status}")),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Err(_) => {
            let _ = kill_process(pid, Signal::KILL);
            Err(format!("{program} did not end within a minute"))
        }
    }
}

/// Sends `body` to an address, three times at most, signed when there is a secret.
///
/// # Errors
/// Why the last try failed, with the host and without the rest of the address, which often is a token.
pub(super) fn send(url: &Secret, secret: Option<&Secret>, body: &Value) -> Result<(), String> {
    let address: Url = url
        .expose()
        .parse()
        .map_err(|_| "the address of a webhook is none".to_owned())?;
    let host = address.host_str().unwrap_or_default().to_owned();
    let bytes = Bytes::from(body.to_string());
    let headers: Vec<(HeaderName, String)> = secret
        .map(|secret| (SIGNATURE, signature(secret, &bytes)))
        .into_iter()
        .collect();
    let post = async {
        let mut failed = String::new();
        for wait in WAITS {
            tokio::time::sleep(wait).await;
            match post(&address, bytes.clone(), &headers).await {
                Ok(()) => return Ok(()),
                Err(why) => failed = why,
            }
        }
        Err(format!("{host}: {failed}"))
    };
    // On a thread of its own, where it is also dropped: whoever calls may be within a runtime already.
    let send = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?
            .block_on(post)
    };
    thread::scope(|scope| match scope.spawn(send).join() {
        Ok(sent) => sent,
        Err(panic) => resume_unwind(panic),
    })
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
        assert_eq!(run_program(&words(&["true"]), &body), Ok(()));
        let failed = run_program(&words(&["sh", "-c", "exit 3"]), &body).expect_err("3");
        assert!(failed.contains("sh") && failed.contains('3'), "{failed}");
        let missing = run_program(&words(&["no-such-program-here"]), &body);
        assert!(missing.expect_err("none").contains("no-such-program-here"));
    }
}
