//! What is told of a proxy list that was read.

use crate::cli::printer::{Level, Printer};
use crate::cli::summary::Intake;
use crate::error::Problem;
use crate::proxy::list::{ProxyList, Report, unusable};

/// Rejected entries told one by one without `-v`; the rest is counted.
const REJECTS_SHOWN: usize = 10;

/// Says what the proxy list held.
pub(in crate::cli::commands) fn announce(list: &ProxyList, printer: &Printer) -> Intake {
    let Report {
        left_out,
        rejected,
        rejects,
        ..
    } = &list.report;
    if *left_out > 0 {
        printer.note(&unusable(*left_out));
    }
    let told = match printer.level() {
        Level::Verbose | Level::Debug => rejects.len(),
        Level::Quiet | Level::Normal => rejects.len().min(REJECTS_SHOWN),
    };
    for reject in &rejects[..told] {
        printer.warn(&Problem::new(format!("{reject}; the entry is skipped")));
    }
    let more = rejected.saturating_sub(told as u64);
    if more > 0 {
        let mut rest = Problem::new(format!("{more} further entries of the proxy list rejected"));
        if told < rejects.len() {
            rest = rest.hint("-v tells them one by one");
        }
        printer.warn(&rest);
    }
    if list.only_direct() {
        printer.warn(
            &Problem::new("the pool holds only direct: every target sees this machine's address")
                .hint("name proxies with --proxy-file FILE or -x URL"),
        );
    }
    Intake::from(&list.report)
}
