//! Runs `proxywheel fetch` and reads its rows.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::nginx::{Origin, page};
use crate::rig::{PASSWORD, POLL};

/// A run that takes longer hangs.
const RUN_LIMIT: Duration = Duration::from_secs(90);

/// A call of `proxywheel fetch`, not yet made.
pub(crate) struct Fetch {
    dir: TempDir,
    inputs: Vec<String>,
    command: Command,
}

impl Fetch {
    /// These URLs through these proxies. The time limits are short: everything is on loopback.
    pub(crate) fn new(urls: &[String], proxies: &[String]) -> Self {
        let dir = TempDir::with_prefix("proxywheel-run-").expect("a temporary directory");
        fs::write(dir.path().join("urls.txt"), urls.join("\n") + "\n").expect("the URL list");
        fs::write(dir.path().join("proxies.txt"), proxies.join("\n") + "\n").expect("the list");
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxywheel"));
        command.args(["fetch", "-i", "urls.txt", "--proxy-file", "proxies.txt"]);
        command.args(["-o", "out.jsonl", "--connect-timeout", "5", "-m", "10"]);
        // Nothing is known of the proxies of another test.
        command.arg("--no-state");
        // The tests ask who was charged for each attempt.
        command.args(["--attempts", "full"]);
        command.current_dir(dir.path());
        // The tests say how the program is set, not the shell they are started from.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("PROXYWHEEL_") || name.to_ascii_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        Fetch {
            dir,
            inputs: urls.to_vec(),
            command,
        }
    }

    /// Trusts the origin's authority.
    pub(crate) fn trusting(self, origin: &Origin) -> Self {
        self.file_arg("--cacert", "ca.pem", &origin.ca_pem())
    }

    /// More arguments.
    pub(crate) fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.command.args(args);
        self
    }

    /// An option whose value is a file with this content.
    pub(crate) fn file_arg(mut self, option: &str, name: &str, content: &str) -> Self {
        fs::write(self.dir.path().join(name), content).expect("a file for an option");
        self.command.args([option, name]);
        self
    }

    /// Starts it and does not wait.
    pub(crate) fn start(mut self) -> Running {
        let file = |name: &str| File::create(self.dir.path().join(name)).expect("an output file");
        let child = self
            .command
            .stdin(Stdio::null())
            .stdout(file("stdout.txt"))
            .stderr(file("stderr.txt"))
            .spawn()
            .expect("the program under test");
        Running {
            child,
            dir: self.dir,
            inputs: self.inputs,
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Run {
        self.start().finish()
    }
}

/// A call in progress; killed when dropped.
pub(crate) struct Running {
    child: Child,
    dir: TempDir,
    inputs: Vec<String>,
}

impl Running {
    /// Waits until this many rows are in the output.
    pub(crate) fn wait_for_rows(&mut self, count: usize) {
        let begun = Instant::now();
        while self.rows_text().matches('\n').count() < count {
            let over = self.child.try_wait().expect("the state of our child");
            assert!(
                over.is_none(),
                "ended before {count} rows: {}",
                self.messages()
            );
            assert!(
                begun.elapsed() < RUN_LIMIT,
                "no {count} rows: {}",
                self.messages()
            );
            std::thread::sleep(POLL);
        }
    }

    /// Waits for the end, and checks what holds for every run: one row for every input, and no password anywhere.
    pub(crate) fn finish(mut self) -> Run {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the state of our child") {
                break status;
            }
            assert!(
                begun.elapsed() < RUN_LIMIT,
                "hangs: {}\n{}",
                self.messages(),
                self.rows_text()
            );
            std::thread::sleep(POLL);
        };
        let (text, messages) = (self.rows_text(), self.messages());
        let rows: Vec<Row> = text
            .lines()
            .map(|line| Row(serde_json::from_str(line).expect("a row is JSON")))
            .collect();
        let run = Run {
            code: status.code().expect("ended by itself"),
            rows,
            messages,
        };
        for printed in [&text, &run.messages] {
            assert!(!printed.contains(PASSWORD), "the password is shown: {run}");
        }
        let ids: HashSet<_> = run.rows.iter().map(|row| row.text("id")).collect();
        assert_eq!(ids.len(), run.rows.len(), "an id twice: {run}");
        let mut seen: Vec<_> = run.rows.iter().map(Row::input).collect();
        let mut inputs: Vec<_> = self.inputs.iter().map(String::as_str).collect();
        seen.sort_unstable();
        inputs.sort_unstable();
        assert_eq!(seen, inputs, "not one row for every input: {run}");
        run
    }

    fn rows_text(&self) -> String {
        fs::read_to_string(self.dir.path().join("out.jsonl")).unwrap_or_default()
    }

    fn messages(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("stdout.txt") + &read("stderr.txt")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A finished run.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) rows: Vec<Row>,
    messages: String,
}

impl Run {
    /// The messages contain this.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.messages.contains(text)
    }

    /// The row of this input.
    pub(crate) fn row(&self, url: &str) -> &Row {
        let mut rows = self.rows.iter();
        rows.find(|row| row.input() == url)
            .unwrap_or_else(|| panic!("no row for {url}: {self}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, failed): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| row.is_ok());
        writeln!(
            f,
            "exit code {}, {} rows ok\n{}",
            self.code,
            done.len(),
            self.messages
        )?;
        failed.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// One row of the output.
pub(crate) struct Row(Value);

impl Row {
    /// A field; its absence is a failure, as absent values are `null`.
    pub(crate) fn value(&self, field: &str) -> &Value {
        self.0
            .get(field)
            .unwrap_or_else(|| panic!("no field {field}: {self}"))
    }

    /// A field that holds a text; empty for `null`.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.value(field).as_str().unwrap_or_default()
    }

    /// The URL as given.
    pub(crate) fn input(&self) -> &str {
        self.text("input")
    }

    /// The one word.
    pub(crate) fn outcome(&self) -> &str {
        self.text("outcome")
    }

    /// `ok`.
    pub(crate) fn is_ok(&self) -> bool {
        let is_ok = self.value("ok").as_bool().expect("ok is a boolean");
        assert_eq!(is_ok, self.outcome() == "ok", "{self}");
        is_ok
    }

    /// Status of the target.
    pub(crate) fn status(&self) -> Option<u64> {
        self.value("status").as_u64()
    }

    /// Status of the proxy's answer to CONNECT.
    pub(crate) fn connect_status(&self) -> Option<u64> {
        self.value("proxy_connect_status").as_u64()
    }

    /// `error.kind`.
    pub(crate) fn error_kind(&self) -> Option<&str> {
        self.value("error").get("kind")?.as_str()
    }

    /// The attempts in order.
    pub(crate) fn attempts(&self) -> Vec<Attempt<'_>> {
        let log = self.value("attempt_log").as_array();
        log.expect("attempt_log is a list")
            .iter()
            .map(Attempt)
            .collect()
    }

    /// The row holds the whole page its URL names, as the origin has it.
    pub(crate) fn assert_page(&self) {
        let n = self.input().rsplit('/').next().and_then(|n| n.parse().ok());
        let n: usize = n.unwrap_or_else(|| panic!("not the URL of a page: {self}"));
        assert!(self.is_ok(), "{self}");
        assert_eq!(self.status(), Some(200), "{self}");
        assert_eq!(self.text("body_sha256"), sha256(&page(n)), "{self}");
        assert_eq!(self.text("title"), format!("page {n}"), "{self}");
        assert!(self.value("error").is_null(), "{self}");
        assert!(self.value("truncated").is_null(), "{self}");
        assert!(
            self.attempts()
                .last()
                .is_some_and(|last| last.outcome() == "ok"),
            "{self}"
        );
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One attempt of a row.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a>(&'a Value);

impl<'a> Attempt<'a> {
    /// What it came to.
    pub(crate) fn outcome(self) -> &'a str {
        self.0["outcome"].as_str().unwrap_or_default()
    }

    /// Label of its proxy.
    pub(crate) fn proxy(self) -> &'a str {
        self.0["proxy"].as_str().unwrap_or_default()
    }

    /// Who was charged, in one word; a charge against a proxy is `proxy`.
    pub(crate) fn blame(self) -> &'a str {
        match &self.0["blame"] {
            Value::Object(charge) => charge.keys().next().map_or("", String::as_str),
            word => word.as_str().unwrap_or_default(),
        }
    }

    /// What the proxy was charged with, if it was.
    pub(crate) fn charge(self) -> Option<&'a str> {
        self.0["blame"]["proxy"].as_str()
    }

    /// `error.kind`.
    pub(crate) fn error_kind(self) -> Option<&'a str> {
        self.0["error"]["kind"].as_str()
    }
}

fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
