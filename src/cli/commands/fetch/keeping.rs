//! The state of a fetch: read before it begins, written while it goes on. Nothing that can go wrong with it stops a fetch.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::joined;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, error_text};
use crate::client::Client;
use crate::engine::Keeping;
use crate::error::{Error, Problem};
use crate::metrics::Summary;
use crate::outcome::Outcome;
use crate::pool::Memory;
use crate::proxy::Proxy;
use crate::state::{Keeper, RunEnd, State};

/// Gives the client what is remembered of its proxies, and the writer that keeps what it learns. Without `path`, and when the
/// file cannot be used, it goes without.
pub(super) fn begin(
    client: Client,
    path: Option<&Path>,
    list: &[Arc<Proxy>],
    printer: &Printer,
) -> (Client, Option<Keeper>) {
    let Some(path) = path else {
        return (client, None);
    };
    match open(path, list, printer) {
        Ok((keeping, keeper)) => (client.keeping(keeping), Some(keeper)),
        Err(error) => {
            complain("nothing is remembered of this run", &error, printer);
            (client, None)
        }
    }
}

/// Opens the state and reads what is known of `list`; says what had to be set aside.
pub(in crate::cli::commands) fn open(
    path: &Path,
    list: &[Arc<Proxy>],
    printer: &Printer,
) -> Result<(Keeping, Keeper), Error> {
    let opened = State::open(path)?;
    if let Some(aside) = opened.aside {
        printer.warn(&aside.problem());
    }
    let now = SystemTime::now();
    let recalled = opened.state.recall(list, now)?;
    if !recalled.memory.proxies.is_empty() {
        let (known, all) = (recalled.memory.proxies.len(), list.len());
        printer.detail(&format!("{known} of {all} proxies are remembered"));
    }
    let keeper = opened.state.keep(recalled.unseen, now)?;
    let keeping = Keeping {
        memory: Arc::new(recalled.memory),
        saves: keeper.saves(),
    };
    Ok((keeping, keeper))
}

/// What is remembered of a list that replaces another one while the run goes on. Hosts are left out: the run knows them better.
pub(super) async fn again(path: Option<&Path>, list: &[Arc<Proxy>]) -> Option<Arc<Memory>> {
    let (path, list) = (path?.to_owned(), list.to_vec());
    let recalled = spawn_blocking(move || {
        State::open_existing(&path).and_then(|state| state.recall(&list, SystemTime::now()))
    });
    // The writer complains of a file that cannot be used any more.
    let mut memory = joined(recalled.await).ok()?.memory;
    memory.hosts.clear();
    Some(Arc::new(memory))
}

/// Waits until what was learned is written.
pub(super) async fn end(keeper: Option<Keeper>, summary: &Summary, exit: Exit, printer: &Printer) {
    let Some(keeper) = keeper else { return };
    let totals = &summary.totals;
    let end = RunEnd {
        urls: totals.done,
        ok: totals.count(Outcome::Ok),
        failed: totals.failed(),
        attempts: totals.attempts,
        probes: totals.probes,
        proxies: totals.pool.total.into(),
        worked: totals.pool.proven.into(),
        reason: exit.word.to_owned(),
        exit: exit.code,
    };
    if let Err(error) = joined(spawn_blocking(move || keeper.finish(Some(end))).await) {
        complain("not all that was learned is remembered", &error, printer);
    }
}

/// Says why it has to do without.
pub(in crate::cli::commands) fn complain(what: &str, error: &Error, printer: &Printer) {
    let problem = Problem::new(format!("{what}: {}", error_text(error)));
    let hint = error
        .hint()
        .unwrap_or("--no-state does without, --state FILE names another file");
    printer.warn(&problem.hint(hint));
}
