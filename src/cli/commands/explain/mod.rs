//! `explain`: what was decided about a URL, a proxy or a host, and on which evidence, in one screen.
//!
//! Two sources: the state, which is what runs have learned, and the results of one fetch, or its record, which is what happened in it. A name is
//! looked for in both, and everything it means is told.

mod host;
mod proxy;
mod recorded;
mod results;
mod tally;
mod url;
mod words;

use std::time::SystemTime;

use ::url::Url;

use super::{flags, state};
use crate::cli::Environment;
use crate::cli::args::ExplainArgs;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::CommandLine;
use crate::error::{Error, Problem};
use crate::job::HostKey;
use crate::proxy::parse::parse_proxy_url;
use crate::proxy::{Proxy, Scheme};
use crate::state::{State, is_named, millis};
use results::Results;
use tally::Tally;

/// Proxies of one name that are told about at length; of more there is a list.
const AT_LENGTH: usize = 2;

/// Looks for what the line names, and tells.
pub(super) fn run(line: &CommandLine, environment: &Environment) -> Result<Exit, Error> {
    let (args, global) = flags::<ExplainArgs>(environment)?;
    let printer = Printer::new(&global, environment);
    let now = SystemTime::now();
    let state = state::path(&args.file, line, environment);
    // Results alone are enough, unless a state was asked for.
    let state = match state.and_then(|path| State::open_existing(&path)) {
        Ok(state) => Some(state),
        Err(_) if args.from.is_some() && args.file.state.is_none() => None,
        Err(error) => return Err(error),
    };
    let what = args.what.trim();
    let results = args.from.as_deref().map(Results::open).transpose()?;
    let mut told = Vec::new();
    if let Some(results) = &results {
        told.extend(results.rows_of(what)?.iter().map(url::told));
    }
    let is_unseen = told.is_empty();
    told.extend(proxies(what, state.as_ref(), results.as_ref(), now)?);
    told.extend(hosts(what, state.as_ref(), results.as_ref(), now)?);
    if told.is_empty() {
        return Err(nothing(&args, what));
    }
    if let Some(path) = args.from.as_ref().filter(|_| is_unseen && is_page(what)) {
        let path = path.display();
        told.insert(
            0,
            format!("url {what}: {path} has no row of it; of its host:\n"),
        );
    }
    printer.data(&told.join("\n"))?;
    Ok(Exit::DONE)
}

/// True for the URL of a page: without path and query it may as well be the name of a host.
fn is_page(what: &str) -> bool {
    Url::parse(what).is_ok_and(|url| {
        HostKey::of(&url).is_some() && (!matches!(url.path(), "" | "/") || url.query().is_some())
    })
}

fn nothing(args: &ExplainArgs, what: &str) -> Error {
    // Whatever was typed may hold a password.
    let what = what.rsplit_once('@').map_or(what, |(_, rest)| rest);
    let problem = Problem::new(format!("nothing is known of {what:?}"));
    let hint = match args.from {
        None => "for a URL name the results of its fetch: --from out.jsonl",
        Some(_) => "name it as its row has it; proxywheel state top lists proxies",
    };
    problem.hint(hint).into()
}

fn proxies(
    what: &str,
    state: Option<&State>,
    results: Option<&Results<'_>>,
    now: SystemTime,
) -> Result<Vec<String>, Error> {
    let exact = whole(what);
    let mut known = match state {
        Some(state) => state.proxies_named(what, exact.as_ref())?,
        None => Vec::new(),
    };
    let label = exact.as_ref().map(|proxy| proxy.label().to_string());
    let named = |name: &str| match &label {
        Some(label) => label == name,
        None => is_named(what, name),
    };
    known.sort_by_key(|row| std::cmp::Reverse((row.score(millis(now)), row.ok)));
    if known.len() > AT_LENGTH {
        return Ok(vec![proxy::list(&known, now)]);
    }
    let mut told = Vec::new();
    for row in &known {
        let pairs = match state {
            Some(state) => state.pairs_of(row.id, now)?,
            None => Vec::new(),
        };
        let tally = results.map(|results| Tally::of(results, |at| at.proxy == row.label));
        told.push(proxy::told(row, &pairs, tally.transpose()?.as_ref(), now));
    }
    if told.is_empty()
        && let Some(results) = results
    {
        let tally = Tally::of(results, |at| named(at.proxy))?;
        if !tally.is_empty() {
            told.push(format!("proxy {}\n{tally}", tally.proxies()));
        }
    }
    Ok(told)
}

fn hosts(
    what: &str,
    state: Option<&State>,
    results: Option<&Results<'_>>,
    now: SystemTime,
) -> Result<Vec<String>, Error> {
    // A URL means its host as well.
    let key = Url::parse(what).ok().and_then(|url| HostKey::of(&url));
    let name = key.map_or(what.to_owned(), |key| key.to_string());
    let known = match state {
        Some(state) => state.hosts_named(&name, now)?,
        None => Default::default(),
    };
    let mut told = Vec::new();
    for (host, known) in &known {
        let tally = results.map(|results| Tally::of(results, |at| at.host == *host));
        told.push(host::told(host, known, tally.transpose()?.as_ref(), now));
    }
    if told.is_empty()
        && let Some(results) = results
    {
        let bare = |host: &str| host.split_once("://").is_some_and(|(_, rest)| rest == name);
        let tally = Tally::of(results, |at| at.host == name || bare(at.host))?;
        if !tally.is_empty() {
            told.push(format!("host {name}\n{tally}"));
        }
    }
    Ok(told)
}

/// The proxy that is written out with its credentials; `None` for what names one in other ways.
fn whole(what: &str) -> Option<Proxy> {
    what.contains('@').then_some(())?;
    let mut parsed = parse_proxy_url(what, Scheme::Http, &|_| None).ok()?;
    (parsed.len() == 1).then(|| parsed.remove(0))
}
