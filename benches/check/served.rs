//! The lab in a process of its own, so that its work is not counted as the client's.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use proxywheel::lab::Lab;

use crate::cases;

/// A lab process; it ends when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) list: PathBuf,
    pub(crate) ca: PathBuf,
    /// One by http, one by https.
    pub(crate) judges: Vec<String>,
}

impl Served {
    /// Starts the lab of the case with this name and size, and waits until it listens.
    pub(crate) fn start(case: &str, count: usize, folder: &Path) -> Served {
        let (list, ca) = (folder.join("proxies.txt"), folder.join("ca.pem"));
        let me = std::env::current_exe().expect("this program");
        let mut child = Command::new(me)
            .args(["serve", case, &count.to_string()])
            .args([&list, &ca])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the lab");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("its word");
        let judges = ready.split_whitespace().map(str::to_owned).collect();
        Served {
            child,
            list,
            ca,
            judges,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Closing its input ends it; waiting leaves no process behind.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The lab process: `serve CASE COUNT LIST CA`.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) {
    let mut next = || arguments.next().expect("an argument");
    let (case, count) = (next(), next().parse().expect("a number"));
    let (list, ca) = (next(), next());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut builder = Lab::builder().seed(1).http1_only();
        for sort in cases::sorts(&case, count) {
            builder = builder.proxy(sort.spec);
        }
        let lab = builder.start().await.expect("a lab");
        std::fs::write(list, lab.proxy_list()).expect("the list");
        std::fs::write(ca, lab.ca_pem()).expect("the authority");
        println!("{} {}", lab.judge_url(false), lab.judge_url(true));
        std::io::stdout().flush().expect("stdout");
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let _ = ended.await;
        lab.stop().await;
    });
}
