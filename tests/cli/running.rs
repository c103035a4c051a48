//! The program while it runs: started in a directory of its own against a lab, signalled, waited for with patience.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proxywheel::lab::{Builder, Lab};
use serde_json::Value;
use tempfile::TempDir;

use crate::proxywheel;

/// How long anything may take on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `done` holds.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same command from a shell that has run `limits` first.
pub(crate) fn under(limits: &str, plain: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!(r#"{limits}; exec "$0" "$@""#)])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .current_dir(plain.get_current_dir().expect("a folder"))
        .stdin(Stdio::null());
    limited
}

/// A lab and a directory with its list (`proxies.txt`) and URLs (`urls.txt`).
pub(crate) struct Rig {
    pub(crate) lab: Lab,
    pub(crate) directory: TempDir,
}

impl Rig {
    pub(crate) fn new(builder: Builder, urls: &[String]) -> Self {
        let lab = Lab::spawn_thread(builder).expect("lab");
        let directory = tempfile::tempdir().expect("directory");
        let rig = Rig { lab, directory };
        rig.write("proxies.txt", &rig.lab.proxy_list());
        rig.write("urls.txt", &urls.join("\n"));
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("file");
    }

    /// `fetch` in the directory, with the lab's list; URLs and output are up to `words`.
    pub(crate) fn fetch(&self, words: &str) -> Command {
        let mut command = proxywheel();
        command.current_dir(self.directory.path());
        command.args(["fetch", "--progress", "none"]);
        if !words.contains("--proxy-file") && !words.contains("--proxy ") {
            command.args(["--proxy-file", "proxies.txt"]);
        }
        command.args(words.split_whitespace());
        command
    }

    /// The same under `limits`.
    pub(crate) fn fetch_under(&self, limits: &str, words: &str) -> Command {
        under(limits, &self.fetch(words))
    }

    /// Runs `fetch` to its end and returns its code and what it said.
    pub(crate) fn run(&self, words: &str) -> (Option<i32>, String) {
        let mut run = Running::start(&mut self.fetch(words));
        (run.wait().code(), run.said())
    }

    /// The same under `limits`.
    pub(crate) fn run_under(&self, limits: &str, words: &str) -> (Option<i32>, String) {
        let mut run = Running::start(&mut self.fetch_under(limits, words));
        (run.wait().code(), run.said())
    }

    /// Requests that the lab's hosts have seen.
    pub(crate) fn requests(&self) -> u64 {
        let hosts = self.lab.stats().hosts;
        hosts.values().map(|host| host.requests).sum()
    }

    /// The rows of an output that has to be whole.
    pub(crate) fn rows(&self, name: &str) -> Vec<Row> {
        rows(&self.path(name))
    }
}

/// What tests want to know of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) input: String,
    pub(crate) id: String,
    pub(crate) outcome: String,
    pub(crate) body: String,
    pub(crate) error: String,
}

/// Every row, each of which has to parse, in the format of the suffix.
pub(crate) fn rows(path: &Path) -> Vec<Row> {
    let text = fs::read_to_string(path).expect("output");
    let of = |value: &Value| {
        let part = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let message = value["error"]["message"].as_str();
        Row {
            input: part("input"),
            id: part("id"),
            outcome: part("outcome"),
            body: part("body"),
            error: message.unwrap_or_default().to_owned(),
        }
    };
    match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("csv") => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let names = reader.headers().expect("header").clone();
            let records = reader.records().map(|row| row.expect("every row parses"));
            records
                .map(|row| {
                    let part = |name: &str| {
                        let at = names.iter().position(|each| each == name);
                        at.map_or("", |at| &row[at]).to_owned()
                    };
                    Row {
                        input: part("input"),
                        id: part("id"),
                        outcome: part("outcome"),
                        body: part("body"),
                        error: part("error_message"),
                    }
                })
                .collect()
        }
        Some("json") => {
            let array: Vec<Value> = serde_json::from_str(&text).expect("one array");
            array.iter().map(of).collect()
        }
        _ => {
            assert!(text.is_empty() || text.ends_with('\n'), "a torn last line");
            text.lines()
                .map(|line| of(&serde_json::from_str(line).expect("every line parses")))
                .collect()
        }
    }
}

/// A started program; killed and reaped when dropped.
pub(crate) struct Running {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts it and listens to its standard error. Standard output is dropped unless the command says otherwise.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("starts");
        let said = Arc::default();
        let stderr = child.stderr.take().expect("stderr");
        let listener = listen(stderr, Arc::clone(&said));
        Running {
            child,
            said,
            listener: Some(listener),
        }
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said to people so far; all of it once it has ended.
    pub(crate) fn said(&self) -> String {
        let said = self.said.lock().expect("no panic");
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Sends a signal by name, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &line]).status();
        assert!(sent.expect("sh").success(), "{line}");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Highest memory so far, in kB.
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.trim().strip_suffix(" kB"));
        peak.and_then(|text| text.trim().parse().ok())
            .expect("VmHWM in kB")
    }

    /// Waits for its end and for its last word.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        while self.is_running() {
            assert!(
                start.elapsed() < PATIENCE,
                "still running, said:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(listener) = self.listener.take() {
            listener.join().expect("no panic");
        }
        self.child.wait().expect("a child")
    }

    /// Ends it as a power cut would; false when it had ended by itself.
    pub(crate) fn kill(&mut self) -> bool {
        let was_running = self.is_running();
        // It may end between the two lines; it is reaped all the same.
        let _ = self.child.kill();
        let status = self.wait();
        was_running && status.code().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(mut stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stderr.read(&mut piece) {
            said.lock()
                .expect("no panic")
                .extend_from_slice(&piece[..count]);
        }
    })
}

/// `count` URLs of one path with a number each.
pub(crate) fn urls(count: usize, path: &str) -> Vec<String> {
    (0..count)
        .map(|number| format!("http://site{}.test{path}{number}", number % 5))
        .collect()
}
