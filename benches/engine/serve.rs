//! Labs of perfect proxies.

use std::path::{Path, PathBuf};

use proxywheel::lab::Lab;

use crate::common::lab::{LabProcess, serve};

/// Proxies of one lab process. Each has a listener and, kept alive, a connection; a process has 20,000 descriptors at best.
const PER_PROCESS: u32 = 5000;

/// Lab processes; they end when dropped.
pub(crate) struct Served {
    labs: Vec<LabProcess>,
    pub(crate) list: PathBuf,
    pub(crate) ca: PathBuf,
}

impl Served {
    /// Starts labs of `proxies` perfect HTTP proxies in all and waits until they listen. The authority is the last one's.
    pub(crate) fn start(proxies: u32, folder: &Path) -> Served {
        let mut served = Served {
            labs: Vec::new(),
            list: folder.join("proxies.txt"),
            ca: folder.join("ca.pem"),
        };
        let mut lines = String::new();
        let mut left = proxies;
        while left > 0 {
            let count = left.min(PER_PROCESS);
            let (list, ca) = (served.list.as_os_str(), served.ca.as_os_str());
            let lab = LabProcess::start(&[count.to_string().as_ref(), list, ca]);
            assert_eq!(lab.said, "ready\n", "the lab did not start");
            served.labs.push(lab);
            lines += &std::fs::read_to_string(&served.list).expect("the list");
            left -= count;
        }
        std::fs::write(&served.list, lines).expect("the list");
        served
    }
}

/// The lab process: `serve COUNT LIST CA`.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) {
    let mut next = || arguments.next().expect("an argument");
    let count: u32 = next().parse().expect("a number");
    let builder = Lab::builder().seed(1).perfect(count).http1_only();
    serve(builder, next(), next(), |_| "ready".to_owned());
}
