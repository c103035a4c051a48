//! The lab in a process of its own, so that its work is not counted as the client's.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use proxywheel::lab::Lab;

/// Proxies of one lab process. Each has a listener and, kept alive, a connection; a process has 20,000 descriptors at best.
const PER_PROCESS: u32 = 5000;

/// Lab processes; they end when dropped.
pub(crate) struct Served {
    children: Vec<Child>,
    pub(crate) list: PathBuf,
    pub(crate) ca: PathBuf,
}

impl Served {
    /// Starts labs of `proxies` perfect HTTP proxies in all and waits until they listen. The authority is the last one's.
    pub(crate) fn start(proxies: u32, folder: &Path) -> Served {
        let mut served = Served {
            children: Vec::new(),
            list: folder.join("proxies.txt"),
            ca: folder.join("ca.pem"),
        };
        let mut lines = String::new();
        let mut left = proxies;
        while left > 0 {
            let count = left.min(PER_PROCESS);
            served.children.push(served.lab(count));
            lines += &std::fs::read_to_string(&served.list).expect("the list");
            left -= count;
        }
        std::fs::write(&served.list, lines).expect("the list");
        served
    }

    fn lab(&self, proxies: u32) -> Child {
        let me = std::env::current_exe().expect("this program");
        let mut child = Command::new(me)
            .args(["serve", &proxies.to_string()])
            .args([&self.list, &self.ca])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the lab");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout)
            .read_line(&mut ready)
            .expect("its word");
        assert_eq!(ready, "ready\n", "the lab did not start");
        child
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Closing its input ends it; waiting leaves no process behind.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// The lab process: `serve COUNT LIST CA`.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) {
    let mut next = || arguments.next().expect("an argument");
    let count: u32 = next().parse().expect("a number");
    let (list, ca) = (next(), next());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let lab = Lab::builder()
            .seed(1)
            .perfect(count)
            .http1_only()
            .start()
            .await
            .expect("a lab");
        std::fs::write(list, lab.proxy_list()).expect("the list");
        std::fs::write(ca, lab.ca_pem()).expect("the authority");
        println!("ready");
        std::io::stdout().flush().expect("stdout");
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let _ = ended.await;
        lab.stop().await;
    });
}
