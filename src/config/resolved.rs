//! The settings of a run, each mechanism's section by itself, and the checks that need more than one of them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::Start;
use crate::error::Problem;
use crate::input::{self, Source};
use crate::job::RequestSpec;
use crate::output::{self, BodyMode, Mode};
use crate::proxy::{PriceRule, Scheme};
use crate::secret::Secret;
use crate::{ban, client, egress, engine, limit, pool, retry};

/// Everything a fetch needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Where the proxies come from.
    pub proxies: ProxySources,
    /// Where the URLs come from.
    pub input: input::Settings,
    /// Where the records go.
    pub output: output::Settings,
    /// The request all jobs share.
    pub request: RequestSpec,
    /// Rates, concurrency, spacing.
    pub limit: limit::Settings,
    /// The two budgets.
    pub retry: retry::Settings,
    /// Choice of proxies.
    pub pool: pool::Settings,
    /// The user's own rules.
    pub ban: ban::Settings,
    /// The wire.
    pub egress: egress::Settings,
    /// The run itself.
    pub engine: engine::Settings,
    /// How many failures still count as success.
    pub max_fail: MaxFail,
    /// File for the counters of the run.
    pub stats: Option<PathBuf>,
    /// Decisions are explained as they are made.
    pub why: bool,
    /// File for the record of the run.
    pub record: Option<PathBuf>,
    /// Where what is learned about proxies is kept; `None` keeps nothing.
    pub state: Option<PathBuf>,
    /// What is waited for before the run begins.
    pub start: Start,
    /// True when a piece of the request was read from standard input.
    pub request_from_stdin: bool,
}

/// How many have to be good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Least {
    /// So many.
    Count(u64),
    /// So large a part of all, 0..=1.
    Ratio(f64),
}

impl Default for Least {
    fn default() -> Self {
        Least::Count(0)
    }
}

impl Least {
    /// True when `good` of `all` are enough.
    pub fn is_met(self, good: u64, all: u64) -> bool {
        match self {
            Least::Count(least) => good >= least,
            Least::Ratio(least) => good as f64 >= least * all as f64,
        }
    }
}

impl FromStr for Least {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        // The same two forms, the other way round.
        match text.parse() {
            Ok(MaxFail::Count(count)) => Ok(Least::Count(count)),
            Ok(MaxFail::Ratio(ratio)) => Ok(Least::Ratio(ratio)),
            Err(_) => Err(Problem::new(format!("invalid number {text:?}"))
                .hint("write a count such as 10, or a share such as 5%")),
        }
    }
}

impl fmt::Display for Least {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Least::Count(count) => write!(f, "{count}"),
            Least::Ratio(ratio) => write!(f, "{}%", ratio * 100.0),
        }
    }
}

/// Proxy lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProxySources {
    /// `-x`: list lines, which may hold credentials.
    pub lines: Vec<Secret>,
    /// `--proxy-file`.
    pub lists: Vec<ListSource>,
    /// `--presets`.
    pub presets: Vec<PathBuf>,
    /// Scheme of entries that name none; `None` means http.
    pub scheme: Option<Scheme>,
    /// Lists are read again this often.
    pub refresh: Option<Duration>,
    /// A rejected line is fatal.
    pub strict: bool,
    /// Rows that `check` has written are taken whatever their verdict; else those of proxies that work.
    pub all_rows: bool,
    /// What proxies cost whose entries do not say it.
    pub prices: Vec<PriceRule>,
}

/// A place to read a proxy list from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSource {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// An http or https address; it may hold a token.
    Url(Secret),
}

impl ListSource {
    /// Reads `-`, an address or a path.
    pub fn of(text: &str) -> Self {
        if text == "-" {
            ListSource::Stdin
        } else if text.starts_with("http://") || text.starts_with("https://") {
            ListSource::Url(Secret::new(text))
        } else {
            ListSource::File(text.into())
        }
    }
}

/// How many records may fail before the run counts as failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxFail {
    /// So many.
    Count(u64),
    /// So large a part of all records, 0..=1.
    Ratio(f64),
}

impl Default for MaxFail {
    fn default() -> Self {
        MaxFail::Count(0)
    }
}

impl MaxFail {
    /// True when `failed` of `done` records is still success.
    pub fn admits(self, failed: u64, done: u64) -> bool {
        match self {
            MaxFail::Count(most) => failed <= most,
            MaxFail::Ratio(most) => failed as f64 <= most * done as f64,
        }
    }
}

impl FromStr for MaxFail {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = || {
            Problem::new(format!("invalid failure limit {text:?}"))
                .hint("write a count such as 10, or a share such as 5%")
        };
        match text.trim().strip_suffix('%') {
            None => text.trim().parse().map(MaxFail::Count).map_err(|_| bad()),
            Some(percent) => percent
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(|percent| MaxFail::Ratio(percent / 100.0))
                .ok_or_else(bad),
        }
    }
}

impl fmt::Display for MaxFail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxFail::Count(count) => write!(f, "{count}"),
            MaxFail::Ratio(ratio) => write!(f, "{}%", ratio * 100.0),
        }
    }
}

/// What the checks have to know of the program's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streams {
    /// Standard input is a terminal.
    pub stdin_is_terminal: bool,
    /// Standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Standard output is a file. A pipe may well lead to a program that prints to the terminal.
    pub stdout_is_file: bool,
    /// Standard error is a terminal.
    pub stderr_is_terminal: bool,
}

impl Resolved {
    /// The sections that a client is made of.
    pub fn client_settings(&self) -> client::Settings {
        client::Settings {
            limits: self.limit.clone(),
            retry: self.retry.clone(),
            pool: self.pool.clone(),
            ban: self.ban.clone(),
            egress: self.egress.clone(),
            engine: self.engine.clone(),
        }
    }

    /// Everything that one section alone cannot tell. Nothing has been opened or sent yet when this fails.
    ///
    /// # Errors
    /// The first contradiction or gap, with what would fix it.
    pub fn check(&self, streams: Streams) -> Result<(), Problem> {
        self.check_proxies()?;
        self.check_input(streams)?;
        self.check_places()?;
        self.check_values()
    }

    /// There is somebody to go through, as far as the settings tell: the part of [`Resolved::check`] for work that has its own URLs and
    /// its own output.
    ///
    /// # Errors
    /// No proxy and no list is named.
    pub fn check_proxies(&self) -> Result<(), Problem> {
        if self.proxies.lines.is_empty() && self.proxies.lists.is_empty() {
            return Err(Problem::new("no proxies given").hint(
                "name a list with --proxy-file FILE or single proxies with -x URL; \
                 -x direct fetches from this machine's own address",
            ));
        }
        Ok(())
    }

    fn check_input(&self, streams: Streams) -> Result<(), Problem> {
        if self.input.urls.is_empty() && self.input.files.is_empty() {
            return Err(Problem::new("no URLs given").hint(
                "name them as arguments or with -i FILE; -i - reads them from standard input",
            ));
        }
        if let Some(taker) = self.check_stdin()?
            && streams.stdin_is_terminal
        {
            return Err(
                Problem::new(format!("{taker}: standard input is a terminal")).hint(format!(
                    "pipe something in, as in `cat FILE | proxywheel fetch {taker} …`"
                )),
            );
        }
        Ok(())
    }

    /// What reads standard input, if anything does.
    fn check_stdin(&self) -> Result<Option<&'static str>, Problem> {
        let urls = self
            .input
            .files
            .iter()
            .filter(|file| **file == Source::Stdin)
            .count();
        let lists = self
            .proxies
            .lists
            .iter()
            .filter(|list| **list == ListSource::Stdin)
            .count();
        let wanted = [
            (urls > 0, "-i -"),
            (lists > 0, "--proxy-file -"),
            (self.request_from_stdin, "@- in the request"),
        ];
        let takers: Vec<&str> = wanted
            .into_iter()
            .filter_map(|(wants, name)| wants.then_some(name))
            .collect();
        if takers.len() > 1 || urls > 1 || lists > 1 {
            let named = if takers.len() > 1 {
                takers.join(" and ")
            } else {
                format!("{} twice", takers.concat())
            };
            return Err(
                Problem::new(format!("standard input cannot be read for {named}"))
                    .hint("put one of them into a file"),
            );
        }
        Ok(takers.first().copied())
    }

    /// What is needed to write, and not there.
    fn check_places(&self) -> Result<(), Problem> {
        let output = &self.output;
        let to_stdout = output.path.is_none();
        if output.save_dir.is_none() && output.body == BodyMode::File {
            return Err(Problem::new("--body file needs a directory").hint("add --save-dir DIR"));
        }
        if output.write_out.is_some() && to_stdout {
            return Err(Problem::new(
                "--write-out and the records would both go to standard output",
            )
            .hint("send the records to a file with -o FILE"));
        }
        if to_stdout && output.mode != Mode::New {
            let flag = match output.mode {
                Mode::Append => "--append",
                Mode::Overwrite => "--overwrite",
                _ => "--resume",
            };
            return Err(
                Problem::new(format!("{flag} needs an output file")).hint("name it with -o FILE")
            );
        }
        Ok(())
    }

    /// What no further setting mends: the part of [`Resolved::check`] that needs neither proxies nor URLs nor an output file.
    ///
    /// # Errors
    /// The first contradiction, with what would fix it.
    pub fn check_values(&self) -> Result<(), Problem> {
        self.check_stdin()?;
        let output = &self.output;
        if output.save_dir.is_some() && output.body != BodyMode::File {
            return Err(Problem::new("--save-dir is only used with --body file")
                .hint("add --body file, or drop --save-dir"));
        }
        if output.retry_failed && output.mode != Mode::Resume {
            return Err(Problem::new("--retry-failed is only used with --resume")
                .hint("add --resume, or drop --retry-failed"));
        }
        if !(0.0..=1.0).contains(&self.limit.jitter) {
            return Err(Problem::new(format!(
                "jitter {} is not between 0 and 1",
                self.limit.jitter
            ))
            .at("--jitter")
            .hint("it is the random part of --delay: 0.5 adds up to half of it"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Resolved {
        Resolved {
            proxies: ProxySources {
                lines: vec![Secret::new("direct")],
                ..ProxySources::default()
            },
            input: input::Settings {
                urls: vec!["http://example.com".into()],
                ..input::Settings::default()
            },
            output: output::Settings::default(),
            request: RequestSpec::default(),
            limit: limit::Settings::default(),
            retry: retry::Settings::default(),
            pool: pool::Settings::default(),
            ban: ban::Settings::default(),
            egress: egress::Settings::default(),
            engine: engine::Settings::default(),
            max_fail: MaxFail::default(),
            stats: None,
            why: false,
            record: None,
            state: None,
            start: Start::default(),
            request_from_stdin: false,
        }
    }

    type Change = fn(&mut Resolved);

    #[test]
    fn gaps_and_contradictions_are_refused_with_a_way_out() {
        assert_eq!(complete().check(Streams::default()), Ok(()));
        let cases: [(&str, &str, Change); 10] = [
            ("no proxies", "--proxy-file", |r| r.proxies.lines.clear()),
            ("no URLs", "-i FILE", |r| r.input.urls.clear()),
            ("-i - and --proxy-file -", "file", |r| {
                r.input.files = vec![Source::Stdin];
                r.proxies.lists = vec![ListSource::Stdin];
            }),
            ("-i - twice", "file", |r| {
                r.input.files = vec![Source::Stdin, Source::Stdin];
            }),
            ("--proxy-file - and @-", "file", |r| {
                r.request_from_stdin = true;
                r.proxies.lists = vec![ListSource::Stdin];
            }),
            ("--save-dir", "--body file", |r| {
                r.output.save_dir = Some("d".into());
            }),
            ("--body file", "--save-dir", |r| {
                r.output.body = BodyMode::File
            }),
            ("--write-out", "-o FILE", |r| {
                r.output.write_out = Some("x".into());
            }),
            ("--resume", "-o FILE", |r| r.output.mode = Mode::Resume),
            ("jitter 2", "--delay", |r| r.limit.jitter = 2.0),
        ];
        for (what, hint, change) in cases {
            let mut resolved = complete();
            change(&mut resolved);
            let problem = resolved.check(Streams::default()).expect_err(what);
            assert!(problem.what.contains(what), "{what}: {problem}");
            assert!(
                problem.hint.as_deref().unwrap_or("").contains(hint),
                "{what}"
            );
        }
    }

    #[test]
    fn standard_input_on_a_terminal_is_refused_only_when_it_would_be_read() {
        let terminal = Streams {
            stdin_is_terminal: true,
            ..Streams::default()
        };
        assert_eq!(complete().check(terminal), Ok(()));
        let mut reading = complete();
        reading.input.files = vec![Source::Stdin];
        let problem = reading.check(terminal).unwrap_err();
        assert_eq!(problem.what, "-i -: standard input is a terminal");
        assert_eq!(reading.check(Streams::default()), Ok(()));
    }

    #[test]
    fn failure_limits_are_counts_or_shares() {
        for (text, failed, done, admitted) in [
            ("0", 0, 10, true),
            ("0", 1, 10, false),
            ("3", 3, 3, true),
            ("5%", 5, 100, true),
            ("5%", 6, 100, false),
            ("100%", 9, 9, true),
        ] {
            let limit: MaxFail = text.parse().unwrap();
            assert_eq!(limit.admits(failed, done), admitted, "{text}");
            assert_eq!(limit.to_string(), text);
        }
        for bad in ["", "-1", "101%", "x", "%", "1.5"] {
            assert!(bad.parse::<MaxFail>().is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_output_of_sources_shows_no_credential() {
        let mut resolved = complete();
        resolved.proxies.lines = vec![Secret::new("http://a:s3cret@h:1")];
        resolved.proxies.lists = vec![ListSource::of("https://h/s3cret")];
        assert!(!format!("{resolved:?}").contains("s3cret"));
    }
}
