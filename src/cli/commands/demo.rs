//! `demo`: a rehearsal against a lab inside this process, and the check that no page came back altered.
//!
//! The lab runs on its own thread; everything else is [`fetch::execute`] with settings of the demo's own, so what it shows is
//! what `fetch` does. Afterwards the written file is read back and held against what the sites really sent: the file is what
//! people get, so the file is what is checked.

mod check;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::FromArgMatches;

use super::{Failure, fetch, gathered, read};
use crate::cli::Environment;
use crate::cli::args::{DemoArgs, FetchArgs, resolve, root};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::CommandLine;
use crate::config::{Resolved, Streams};
use crate::error::{Error, Problem};
use crate::lab::{Lab, Mix};
use crate::secret::Secret;
use check::{Report, is_of_a_demo};

/// Pages of each site.
const PAGES: usize = 200;

/// The sites: where they are and in which form they send their pages.
const SITES: [(&str, &[&str]); 3] = [
    ("http://shop.test", &["page"]),
    ("https://news.test", &["page"]),
    // Every content-encoding, and a body without a length.
    (
        "http://archive.test",
        &["gzip", "br", "zstd", "deflate", "chunked"],
    ),
];

/// What a careful person would tell `fetch` about such a list and such sites.
const FLAGS: [&str; 12] = [
    // How a page of these sites looks, since some proxies answer with pages of their own.
    "--must-match",
    r"<title>/\w+/\d+ at \w+\.test</title>",
    // How these sites refuse a proxy; a 403 by itself is taken for an answer.
    "--ban-regex",
    "address has been blocked",
    // Half of the proxies never answer; on one machine these are long.
    "--connect-timeout",
    "2s",
    "--max-time",
    "5s",
    "--attempts",
    "full",
    "--retry",
    "5",
];

/// All URLs, sites mixed, each once.
fn urls() -> impl Iterator<Item = String> {
    (1..=PAGES).flat_map(|number| {
        SITES
            .into_iter()
            .map(move |(site, forms)| format!("{site}/{}/{number}", forms[number % forms.len()]))
    })
}

/// Starts the lab, fetches, checks, and says where to look next.
pub(super) fn run(
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<Exit, Failure> {
    let (gathered, printer) = gathered::<DemoArgs>("demo", line, environment, early)?;
    rehearse(&gathered.args, environment, &printer).map_err(|error| (printer, error))
}

fn rehearse(args: &DemoArgs, environment: &Environment, printer: &Printer) -> Result<Exit, Error> {
    let replaces = replaces(&args.output, args.overwrite)?;
    let mix = Mix::demo();
    let lab = Lab::spawn_thread(Lab::builder().seed(args.seed).mix(&mix))
        .map_err(|error| Error::io("start", "the lab", error))?;
    let authority = AuthorityFile::write(lab.ca_pem())?;
    let resolved = settings(args, replaces, &lab, &authority.path)?;
    printer.note(&format!(
        "{} URLs of {} sites through {} proxies, all of them in this process",
        resolved.input.urls.len(),
        SITES.len(),
        lab.len()
    ));
    let exit = fetch::execute(resolved, args.progress, environment, printer)?;
    if matches!(exit.code, 130 | 143) {
        return Ok(exit);
    }
    let report = Report::of_file(&args.output, urls())?;
    printer.note(&report.render(&args.output));
    report.verdict()?;
    Ok(exit)
}

/// True when there is a file that may be replaced.
///
/// # Errors
/// There is a file that is not the demo's own.
fn replaces(path: &Path, overwrite: bool) -> Result<bool, Error> {
    if path.as_os_str() == "-" {
        return Err(Problem::new(
            "the demo reads its records back, which standard output does not allow",
        )
        .at("--output")
        .hint("name a file: -o demo.jsonl")
        .into());
    }
    if overwrite {
        return Ok(true);
    }
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Ok(metadata) if metadata.is_file() && is_of_a_demo(path)? => Ok(true),
        Ok(_) => Err(
            Problem::new("the file exists and is not that of an earlier demo")
                .at(path.display().to_string())
                .hint("write elsewhere with -o FILE, or replace it with --overwrite")
                .into(),
        ),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// The settings of a fetch through `lab`: those a careful person would choose for such a list.
fn settings(
    args: &DemoArgs,
    replaces: bool,
    lab: &Lab,
    authority: &Path,
) -> Result<Resolved, Error> {
    let mut words: Vec<OsString> = ["proxywheel", "fetch", "--format", "jsonl"]
        .into_iter()
        .chain(FLAGS)
        .map(OsString::from)
        .collect();
    if replaces {
        words.push("--overwrite".into());
    }
    for (flag, value) in [
        ("--output", args.output.as_os_str()),
        ("--cacert", authority.as_os_str()),
        ("--proxy-cacert", authority.as_os_str()),
    ] {
        words.extend([flag.into(), value.to_owned()]);
    }
    words.extend(urls().map(OsString::from));
    let broken = |error: clap::Error| Error::Internal(format!("the demo's flags: {error}"));
    let matches = root().try_get_matches_from(words).map_err(broken)?;
    let (_, matches) = matches
        .subcommand()
        .ok_or_else(|| Error::Internal("the demo's flags have no command".into()))?;
    let flags = FetchArgs::from_arg_matches(matches).map_err(broken)?;
    let mut resolved = resolve(&flags, matches, &mut read)?;
    resolved.proxies.lines = lab.proxy_list().lines().map(Secret::new).collect();
    resolved.check(Streams::default())?;
    Ok(resolved)
}

/// The lab's authority in a file of its own, for as long as the demo runs.
struct AuthorityFile {
    path: PathBuf,
}

impl AuthorityFile {
    fn write(pem: &str) -> Result<Self, Error> {
        let name = format!("proxywheel-demo-{}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A file left by a process that had this number and was killed.
        let _ = fs::remove_file(&path);
        let failed = |error| Error::io("create", &path, error);
        // Never through a link that somebody else has put there.
        let mut file = fs::File::create_new(&path).map_err(failed)?;
        file.write_all(pem.as_bytes()).map_err(failed)?;
        Ok(AuthorityFile { path })
    }
}

impl Drop for AuthorityFile {
    fn drop(&mut self) {
        // It holds nothing secret; one left behind does no harm.
        let _ = fs::remove_file(&self.path);
    }
}
