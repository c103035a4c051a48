//! The lab of a case, with its judges.

use std::path::{Path, PathBuf};

use proxywheel::lab::Lab;

use crate::cases;
use crate::common::lab::{LabProcess, serve};

/// A lab process; it ends when dropped.
pub(crate) struct Served {
    lab: LabProcess,
    pub(crate) list: PathBuf,
    pub(crate) ca: PathBuf,
}

impl Served {
    /// Starts the lab of the case with this name and size, and waits until it listens.
    pub(crate) fn start(case: &str, count: usize, folder: &Path) -> Served {
        let (list, ca) = (folder.join("proxies.txt"), folder.join("ca.pem"));
        let count = count.to_string();
        let lab = LabProcess::start(&[case.as_ref(), count.as_ref(), list.as_ref(), ca.as_ref()]);
        Served { lab, list, ca }
    }

    /// One by http, one by https.
    pub(crate) fn judges(&self) -> impl Iterator<Item = &str> {
        self.lab.said.split_whitespace()
    }
}

/// The lab process: `serve CASE COUNT LIST CA`.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) {
    let mut next = || arguments.next().expect("an argument");
    let (case, count) = (next(), next().parse().expect("a number"));
    let mut builder = Lab::builder().seed(1).http1_only();
    for sort in cases::sorts(&case, count) {
        builder = builder.proxy(sort.spec);
    }
    let judges = |lab: &Lab| format!("{} {}", lab.judge_url(false), lab.judge_url(true));
    serve(builder, next(), next(), judges);
}
