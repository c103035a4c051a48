//! A judge that real proxies are checked with, and the words in which the tables of `check.rs` tell what was found.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proxywheel::ban;
use proxywheel::check::{self, Plan, Progress, Report, Settings, Verdict};
use proxywheel::egress::{self, SocketEgress};
use proxywheel::lab::Lab;
use proxywheel::proxy::list::ProxyList;
use proxywheel::proxy::parse::Options;
use proxywheel::proxy::{Proxy, Scheme};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use crate::rig::PASSWORD;
use crate::tls::Authority;

/// The rig's user and [`PASSWORD`] as they stand in a header.
const PASSWORD_IN_BASE64: &str = "d2hlZWw6czNjcmV0LWNhbmFyeQ==";

/// The judge, and the authorities that are trusted: its own for targets, the proxies' for proxies.
pub(crate) struct Scene {
    lab: Lab,
    folder: TempDir,
}

impl Scene {
    /// One that trusts no proxy.
    pub(crate) fn new() -> Self {
        Self::trusting(&Authority::new("nobody's").pem())
    }

    /// One that trusts these authorities of proxies.
    pub(crate) fn trusting(proxies_pem: &str) -> Self {
        let lab = Lab::spawn_thread(Lab::builder().perfect(1)).expect("a lab");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), lab.ca_pem()).expect("an authority");
        fs::write(folder.path().join("proxy-ca.pem"), proxies_pem).expect("an authority");
        Scene { lab, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Port of the judge, http and https alike.
    pub(crate) fn judge_port(&self) -> u16 {
        let url: url::Url = self.lab.judge_url(false).parse().expect("a URL");
        url.port().expect("a port of its own")
    }

    /// Checks the lines of a table as they are listed, or with `detect` as what they turn out to be. A row is what it is about, the
    /// line, and what is found, with `|` between them.
    pub(crate) fn verify(&self, detect: bool, table: &str) {
        let rows = table.trim().lines().map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            <[&str; 3]>::try_from(cells).unwrap_or_else(|_| panic!("not three cells: {row}"))
        });
        let rows: Vec<_> = rows.collect();
        let lines: Vec<_> = rows.iter().map(|[_, line, _]| *line).collect();
        let reports = self.check(detect, &lines);
        assert_eq!(reports.len(), rows.len(), "not one report for each line");
        let mut wrong = Vec::new();
        for ([name, _, expected], report) in rows.iter().zip(reports.values()) {
            let found = words(report);
            if found != *expected {
                let why = &report.trouble;
                wrong.push(format!("{name} | {found}, not {expected}; {why:?}"));
            }
        }
        assert!(wrong.is_empty(), "detect: {detect}\n{}", wrong.join("\n"));
    }

    /// Checks these lines through the library; the reports by their place in the list.
    pub(crate) fn check(&self, detect: bool, lines: &[&str]) -> BTreeMap<u64, Report> {
        let proxies = lines.iter().map(|line| parse(line)).collect();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (_stop, stopped) = watch::channel(false);
            let (progress, _) = watch::channel(Progress::default());
            let (out, mut rows) = mpsc::channel::<Report>(16);
            let gather = async {
                let mut reports = BTreeMap::new();
                while let Some(report) = rows.recv().await {
                    assert!(reports.insert(report.seq, report).is_none(), "a row twice");
                }
                reports
            };
            let run = check::run(self.plan(detect), proxies, out, progress, stopped);
            let (summary, reports) = tokio::join!(run, gather);
            assert!(summary.silent.is_empty(), "{:?}", summary.silent);
            reports
        })
    }

    /// The rows of `proxywheel check`, which shows nobody's password.
    pub(crate) fn program(&self, detect: bool, lines: &[&str]) -> Vec<Value> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proxywheel"));
        command.args(["check", "--format", "jsonl", "-q", "--no-state"]);
        command.args(detect.then_some("--detect"));
        command.args(["--connect-timeout", "2", "-m", "5"]);
        command.args(["--cacert", "ca.pem", "--proxy-cacert", "proxy-ca.pem"]);
        for https in [false, true] {
            command.args(["--judge", &self.lab.judge_url(https)]);
        }
        for line in lines {
            command.args(["-x", line]);
        }
        // Variables that the program reads belong to the shell the tests are started from.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("PROXYWHEEL_") || name.to_ascii_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        let output = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output();
        let output = output.expect("the program under test");
        let text = String::from_utf8_lossy(&output.stdout);
        let messages = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{messages}");
        for printed in [&text, &messages] {
            let shows = |secret| printed.contains(secret);
            assert!(!shows(PASSWORD) && !shows(PASSWORD_IN_BASE64), "{printed}");
        }
        text.lines()
            .map(|row| serde_json::from_str(row).expect("a row is JSON"))
            .collect()
    }

    fn plan(&self, detect: bool) -> Plan<SocketEgress> {
        let egress = SocketEgress::new(egress::Settings {
            max_idle: 0,
            cacert: Some(self.path("ca.pem")),
            proxy_cacert: Some(self.path("proxy-ca.pem")),
            ..egress::Settings::default()
        });
        let judges = [false, true].map(|https| self.lab.judge_url(https));
        Plan {
            egress: egress.expect("the authorities"),
            rules: ban::Judge::new(&ban::Settings::default()).expect("the built-in rules"),
            settings: Settings {
                judges: judges
                    .iter()
                    .map(|url| url.parse().expect("a URL"))
                    .collect(),
                connect_timeout: Duration::from_secs(2),
                max_time: Duration::from_secs(5),
                detect,
                ..Settings::default()
            },
        }
    }
}

fn parse(line: &str) -> Arc<Proxy> {
    let list = ProxyList::read(
        "rig",
        line.as_bytes(),
        &Options {
            default_scheme: Scheme::Http,
            env: &|_| None,
            remote: true,
            presets: None,
            only_working: false,
        },
    );
    list.proxies
        .into_iter()
        .next()
        .unwrap_or_else(|| panic!("not a proxy: {line}"))
}

/// A report in the words of the tables. Versions of programs are left out.
fn words(report: &Report) -> String {
    let mut words = vec![report.verdict.to_string()];
    if report.verdict != Verdict::Alive {
        // How a connection is cut is chance: an answer to bytes that were not read is a reset.
        let reason = report.reason();
        words.push(if reason == "reset" { "closed" } else { reason }.to_owned());
    }
    words.extend(
        report
            .protocols
            .iter()
            .map(|scheme| scheme.as_str().to_owned()),
    );
    for (way, is_open) in [("forwards", report.forwards), ("tunnels", report.tunnels)] {
        match is_open {
            Some(true) => words.push(way.to_owned()),
            Some(false) => words.push(format!("no-{way}")),
            None => {}
        }
    }
    words.extend(report.exits.iter().map(|exit| format!("from {exit}")));
    words.extend(report.anonymity.map(|level| level.as_str().to_owned()));
    let version = regex::Regex::new(r"/[0-9][0-9.]*\)").expect("a pattern");
    for (name, value) in &report.headers {
        words.push(format!("[{name}: {}]", version.replace_all(value, ")")));
    }
    // What is added to a request is there already.
    if let Some(rewrites) = &report.rewrites {
        let request = &rewrites.request;
        words.extend(request.removed.iter().map(|name| format!("-{name}")));
        words.extend(request.changed.iter().map(|(name, _)| format!("~{name}")));
        let answer = rewrites.answer.as_ref().expect("a page");
        let names = |pairs: &[(String, String)], sign| -> Vec<String> {
            pairs
                .iter()
                .map(|(name, _)| format!("{sign}{name}"))
                .collect()
        };
        let lost = answer.removed.iter().map(|name| format!("-{name}"));
        let told: Vec<_> = lost
            .chain(names(&answer.changed, "~"))
            .chain(names(&answer.added, "+"))
            .collect();
        if !told.is_empty() {
            words.push(format!("answer {}", told.join(" ")));
        }
    }
    words.join(" ")
}
