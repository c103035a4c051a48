//! The lab in a process of its own, so that its work is not counted as the client's.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use proxywheel::lab::{Builder, Lab};

/// A lab process; it ends when dropped.
pub(crate) struct LabProcess {
    child: Child,
    /// What it has said when it began to listen.
    pub(crate) said: String,
}

impl LabProcess {
    /// Runs this program again as `serve` with these arguments, and waits until it listens.
    pub(crate) fn start(arguments: &[&OsStr]) -> Self {
        let me = std::env::current_exe().expect("this program");
        let mut child = Command::new(me)
            .arg("serve")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the lab");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout)
            .read_line(&mut said)
            .expect("its word");
        assert!(said.ends_with('\n'), "the lab did not start");
        LabProcess { child, said }
    }
}

impl Drop for LabProcess {
    fn drop(&mut self) {
        // Closing its input ends it; waiting leaves no process behind.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The lab process: writes its list and authority, says one line, and serves until its input is closed.
pub(crate) fn serve(
    builder: Builder,
    list: impl AsRef<Path>,
    ca: impl AsRef<Path>,
    say: impl FnOnce(&Lab) -> String,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let lab = builder.start().await.expect("a lab");
        std::fs::write(list, lab.proxy_list()).expect("the list");
        std::fs::write(ca, lab.ca_pem()).expect("the authority");
        println!("{}", say(&lab));
        std::io::stdout().flush().expect("stdout");
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let _ = ended.await;
        lab.stop().await;
    });
}
