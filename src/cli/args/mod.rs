//! The command line: every flag, its help and its default.
//!
//! Defaults are the mechanisms' own `Settings::default()`, so that help, configuration and library cannot disagree. Flags
//! follow curl's names and meanings wherever curl has one. This module says what flags exist and turns one parsed command
//! line into [`crate::config::Resolved`]; where the command line came from is [`super::settings`]'s business.

#![allow(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    reason = "the comments on flags are help texts for a terminal, where markup would be shown as it stands"
)]

mod budget;
mod catalog;
mod check;
mod demo;
mod explain;
mod extract;
mod input;
mod judge;
mod judging;
mod lab;
mod limits;
mod output;
mod proxies;
mod request;
mod resolve;
mod rules;
mod state;
mod track;
mod track_history;
mod words;

pub use budget::BudgetArgs;
pub use catalog::catalog_of;
pub use check::{CheckArgs, CheckFormat, Sort};
pub use demo::DemoArgs;
pub use explain::ExplainArgs;
pub use extract::{
    ExtractArgs, ExtractCommand, ExtractCommandArgs, ExtractShowArgs, ExtractTestArgs,
};
pub use input::InputArgs;
pub use judge::JudgeArgs;
pub use judging::{BanArgs, RetryArgs};
pub use lab::{LabArgs, LabCommand, LabReplayArgs, LabRunArgs, ScenarioArgs};
pub use limits::{LimitArgs, RotationArgs};
pub use output::OutputArgs;
pub use proxies::{ListArgs, ProxyArgs};
pub use request::RequestArgs;
pub use resolve::{profile_file, resolve};
pub use rules::{
    Form, RuleSetArgs, RulesArgs, RulesCommand, RulesExplainArgs, RulesListArgs, RulesShowArgs,
    RulesTestArgs,
};
pub use state::{
    StateArgs, StateCommand, StateFileArgs, StateForgetArgs, StateImportArgs, StateShowArgs,
    StateTopArgs,
};
pub use track_history::{
    HistoryFormat, KeptJobArgs, SeriesArgs, TrackDiffArgs, TrackHistoryArgs, TrackReportArgs,
};

pub use track::{TrackArgs, TrackCommand, TrackPlanArgs, TrackRunArgs, TrackValidateArgs};

use std::path::PathBuf;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

use words::{COLORS, LOG_FORMATS, PROGRESS, words};

/// A list of URLs in, one honest row per URL out, fetched through a rotating pool of forward proxies.
#[derive(Parser)]
#[command(
    name = "proxywheel",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Start with:  proxywheel demo
then:        proxywheel fetch -i urls.txt --proxy-file proxies.txt -o out.jsonl

Settings may also stand in ~/.config/proxywheel/config.toml or PROXYWHEEL_* variables; see `proxywheel config show`."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// The whole command line as clap knows it.
pub fn root() -> clap::Command {
    with_words(Cli::command())
}

/// Lists the words a flag takes on its page, with their meaning. clap's own list would also be in the short help, which has
/// one line for a flag.
fn with_words(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let words = arg.get_possible_values();
            if words.is_empty() || !arg.get_action().takes_values() {
                return arg;
            }
            let page = arg.get_long_help().or(arg.get_help());
            let mut page = page.map(ToString::to_string).unwrap_or_default();
            page.push('\n');
            for word in words {
                let meaning = word.get_help().map(ToString::to_string);
                page.push_str(&format!(
                    "\n- {}: {}",
                    word.get_name(),
                    meaning.unwrap_or_default()
                ));
            }
            arg.long_help(page).hide_possible_values(true)
        })
        .mut_subcommands(with_words)
}

/// The id under which the parser keeps the flag with this long name.
pub fn id_of(long: &str) -> String {
    long.replace(['-', '.'], "_")
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Fetch URLs through a pool of proxies, one record per URL
    ///
    /// Reads URLs from arguments, files or standard input, fetches each through a proxy of the pool, tries another proxy when
    /// one fails or is banned, and writes exactly one record per URL, failures included.
    ///
    /// Example: proxywheel fetch -i urls.txt --proxy-file proxies.txt -o out.jsonl
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES_AT_LENGTH, allow_negative_numbers = true)]
    Fetch(Box<FetchArgs>),
    /// Check a proxy list: which work, how well, and what they do to a request
    ///
    /// Asks a judge, an endpoint that says what it saw, through every proxy; one row per proxy with a verdict (alive, unstable,
    /// hostile, policy, auth, dead, unknown), its reason, latency, exit address, anonymity and score. While the judges are down the
    /// verdict is unknown, never dead.
    ///
    /// Example: proxywheel check proxies.txt --judge http://judge.example.com/ --format txt > good.txt
    #[command(after_help = CHECK_EXIT_CODES)]
    Check(Box<CheckArgs>),
    /// Try it: fetch 600 URLs through 60 proxies, half of them bad, no network needed
    ///
    /// Starts a lab inside this process: 60 proxies on loopback of which about half are dead, slow, lying or banned, and three
    /// sites. Fetches 600 pages through them as `fetch` would, then compares every page with what the site really sent. Reads no
    /// configuration. Takes some seconds.
    ///
    /// Example: proxywheel demo
    Demo(DemoArgs),
    /// Rehearse a job against simulated proxies and sites
    ///
    /// A scenario is a file: how many proxies of which sorts, how sites ban and limit, what it costs. Its proxies and sites run
    /// inside this process, on loopback. Reads no configuration.
    Lab(LabArgs),
    /// Tell clients how they look from outside: the endpoint that proxies are checked against
    ///
    /// An echo endpoint to host on a machine of your own. It answers with the address it sees, the headers in the order and
    /// spelling they came in, and the nonce it was asked with, signed: / and /echo?nonce=N as JSON, /ip as text, /canary?nonce=N a
    /// page that a proxy must not change, /key the public key. The same below /judge. Rates and connections are limited for each
    /// client, by the address of its socket; behind a reverse proxy that is the reverse proxy's, so do not put one before it.
    /// Ctrl-C or SIGTERM ends it, after the answers under way, with exit code 0; a second one at once.
    ///
    /// Example: proxywheel judge --listen 0.0.0.0:8000 --key judge.key
    Judge(JudgeArgs),
    /// Show the settings in effect and where each was made
    Config(ConfigArgs),
    /// Tell what was decided about a URL, a proxy or a host, and why
    ///
    /// A URL: each attempt, through which proxy, what came back, who was charged, why it ended. A proxy: its standing, the evidence
    /// for it, which hosts refuse it until when. A host: until when it is left alone, what it was found to bear, which proxies it
    /// refuses. From the results of a fetch (--from) and from what is remembered (--state).
    ///
    /// Example: proxywheel explain https://shop.example/7 --from out.jsonl
    Explain(ExplainArgs),
    /// See and manage what is remembered about proxies
    ///
    /// What fetches have learned about proxies is kept in a file: see --state of fetch.
    State(StateArgs),
    /// Try selectors and profiles on saved pages
    ///
    /// What `fetch --select`, `--rows` and `--extract` would find. Reads no configuration.
    Extract(ExtractCommandArgs),
    /// See and try the rules that tell content from a block
    ///
    /// Judges saved answers offline, so that rules are tuned before they cost proxies. Reads no configuration.
    Rules(RulesArgs),
    /// Watch places among results, prices and pages, from job files
    ///
    /// A job file says what is asked where and how often, and who is told what of the changes: see docs/track.md.
    Track(TrackArgs),
}

/// The table in the help of `fetch`; the codes themselves are in [`super::exit`].
const EXIT_CODES: &str = "\
Exit codes: 0 done within --max-fail, 1 internal error, 2 usage or configuration, 3 input or output failed, 4 some URLs failed, \
5 every URL failed, 6 no usable proxy, 7 a cap was reached, 8 targets block or rate-limit, 75 another run is at it, 130/143 interrupted.";

/// The same on the page.
const EXIT_CODES_AT_LENGTH: &str = "\
Exit codes:
    0  done: every URL has its record, failures within --max-fail; or the reader of the rows (| head) has had enough
    1  internal error
    2  usage or configuration, nothing was done
    3  input or output failed; with a file, --resume goes on
    4  some URLs failed
    5  every URL failed
    6  no usable proxy
    7  stopped by --deadline or a --max- cap; --resume goes on
    8  most failures are bans or rate limits: slow down
   75  another run writes the same output, or has the --lock
  130  interrupted by Ctrl-C, 143 by SIGTERM, after a clean flush; --resume goes on";

/// The table in the help of `check`.
const CHECK_EXIT_CODES: &str = "\
Exit codes: 0 checked, 1 internal error, 2 usage, 3 input or output failed, 4 --leak has found something, 6 fewer alive than \
--min-alive or not all judged because no judge answers, 10 changes with --exit-on-change, 75 output in use by another run, 130/143 interrupted.";

/// Arguments of `config`.
#[derive(Args)]
pub struct ConfigArgs {
    /// What to do with the configuration.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The commands below `config`.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Print each setting of fetch with its value and origin
    ///
    /// As TOML, without credentials. Takes the flags of `fetch`, so that the effect of a command line can be seen before it runs, and
    /// refuses what `fetch` would refuse; proxies, URLs and the output file may still be missing.
    ///
    /// Example: proxywheel config show --config cron.toml -j 8
    #[command(allow_negative_numbers = true)]
    Show(Box<FetchArgs>),
}

/// Arguments of `fetch`, by section.
#[derive(Args)]
pub struct FetchArgs {
    /// Inputs.
    #[command(flatten, next_help_heading = "Input")]
    pub input: InputArgs,
    /// Proxy lists.
    #[command(flatten, next_help_heading = "Proxies")]
    pub proxies: ProxyArgs,
    /// Choice of proxies.
    #[command(flatten, next_help_heading = "Proxies")]
    pub rotation: RotationArgs,
    /// The request.
    #[command(flatten, next_help_heading = "Request")]
    pub request: RequestArgs,
    /// Rates and concurrency.
    #[command(flatten, next_help_heading = "Limits")]
    pub limits: LimitArgs,
    /// Caps and prices.
    #[command(flatten, next_help_heading = "Budgets")]
    pub budget: BudgetArgs,
    /// What counts as an answer and what as a ban.
    #[command(flatten, next_help_heading = "Bans and accepted answers")]
    pub bans: BanArgs,
    /// Further attempts.
    #[command(flatten, next_help_heading = "Retries")]
    pub retry: RetryArgs,
    /// Fields out of bodies.
    #[command(flatten, next_help_heading = "Extraction")]
    pub extract: ExtractArgs,
    /// Records.
    #[command(flatten, next_help_heading = "Output")]
    pub output: OutputArgs,
    /// The run as a whole.
    #[command(flatten, next_help_heading = "Run")]
    pub run: RunArgs,
}

/// What concerns the run as a whole.
#[derive(Args)]
pub struct RunArgs {
    /// Progress on standard error
    ///
    /// `auto` is a bar when standard error is a terminal and the records go into a file, else none.
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = words(&PROGRESS))]
    pub progress: Progress,

    /// Failed URLs that still count as success
    ///
    /// A count, or a share of all URLs with %. Above it the exit code is 4, 5 or 8. With --resume the rows that are there
    /// and stay count too.
    ///
    /// Example: --max-fail 5%
    #[arg(long, value_name = "N|P%", default_value_t = crate::config::MaxFail::default())]
    pub max_fail: crate::config::MaxFail,

    /// Write the counters of the run to this file, as flat JSON
    ///
    /// Replaced as a whole at the end of the run. Keys are like outcome/ok or site/HOST/requests. No default.
    ///
    /// Example: --stats run.json
    #[arg(long, value_name = "FILE")]
    pub stats: Option<PathBuf>,

    /// Say why: a line on standard error for each decision to ask about
    ///
    /// Attempts that failed and by which rule, whether they are made again, proxies that are kept from a site or set aside, sites that
    /// are slowed down or left alone, and until when. Off by default.
    #[arg(long)]
    pub why: bool,

    /// Record the decisions of the run and what came of them, as JSONL
    ///
    /// A line for each attempt and probe; no URLs, no credentials. `proxywheel lab replay` plays it with another --rotate. An
    /// existing file is replaced. No default.
    ///
    /// Example: --record run.jsonl
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Keep runs apart by a lock file, and what to do when it is taken
    ///
    /// A path names the lock file; without one it is the --output with .lock appended, else the --state. skip ends quietly with
    /// exit code 0 when another run has it, wait=TIME waits so long, fail (the default) ends with 75 and names the process, as
    /// wait does in the end. Repeat the flag for a path and a word. The lock ends with the process, however that ends. Off by
    /// default; two runs never write one output all the same.
    ///
    /// Example: --lock prices.lock --lock skip
    #[arg(long, value_name = "FILE|WHAT")]
    pub lock: Vec<String>,

    /// Wait a random time, up to this, before anything is opened
    ///
    /// So that jobs of many machines do not all begin at the full minute. The lock is taken after it. Off by default.
    ///
    /// Example: --start-jitter 5m
    #[arg(long, value_name = "TIME")]
    pub start_jitter: Option<crate::config::Span>,

    /// Keep what is learned about proxies in this file
    ///
    /// The next run looks first at those that have served, and leaves those that were bad alone while it finds better ones. Holds
    /// no credentials. Several runs may share it. The default is ~/.local/state/proxywheel/state.db, or below XDG_STATE_HOME.
    ///
    /// Example: --state crawl.db
    #[arg(long, value_name = "FILE", conflicts_with = "no_state")]
    pub state: Option<PathBuf>,

    /// Remember nothing and keep nothing
    ///
    /// Off by default.
    #[arg(long)]
    pub no_state: bool,

    /// Seed of every random choice
    ///
    /// A whole number; with the same answers the same seed gives the same choices. By default the system provides one.
    ///
    /// Example: --seed 42
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Flags of every command.
#[derive(Args, Clone)]
#[command(next_help_heading = "Everywhere")]
pub struct GlobalArgs {
    /// Print nothing but errors
    ///
    /// No progress, no summary, no notes. Off by default.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more on standard error; twice for every decision
    ///
    /// -v tells what changes in the pool, -vv every attempt. Off by default.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Form of messages on standard error
    #[arg(long, global = true, value_name = "FORM", default_value = "text", value_parser = words(&LOG_FORMATS))]
    pub log_format: LogFormat,

    /// Colours on standard error
    ///
    /// `auto` means on a terminal, unless NO_COLOR is set and not empty.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_parser = words(&COLORS))]
    pub color: Color,

    /// Read settings from this TOML file as well
    ///
    /// Its settings win over those of the user's own file, ~/.config/proxywheel/config.toml. Keys are the long flags, at the
    /// top or in the table of the command (fetch, check or judge); config.example.toml has all of them. Also PROXYWHEEL_CONFIG.
    /// No default.
    ///
    /// Example: --config cron.toml
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "no_config")]
    pub config: Option<PathBuf>,

    /// Read no configuration file
    ///
    /// Variables still count. Also PROXYWHEEL_NO_CONFIG=1. Off by default.
    #[arg(long, global = true)]
    pub no_config: bool,
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// A bar where it can be drawn without harm.
    #[default]
    Auto,
    /// A bar.
    Bar,
    /// One line a second.
    Log,
    /// Nothing.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        root().debug_assert();
    }

    #[test]
    fn every_flag_of_fetch_has_a_line_a_page_and_a_heading() {
        let mut root = root();
        root.build();
        let fetch = root.find_subcommand("fetch").expect("fetch");
        for arg in fetch.get_arguments() {
            let name = arg.get_id().as_str();
            if matches!(name, "help" | "version") {
                continue;
            }
            let short = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                !short.is_empty() && short.chars().count() <= 68 && !short.ends_with('.'),
                "{name}: one short line: {short:?}"
            );
            let long = arg.get_long_help().map(ToString::to_string);
            let long = long.unwrap_or_default();
            assert!(arg.get_help_heading().is_some(), "{name} has no heading");
            let has_default =
                !arg.get_default_values().is_empty() && arg.get_action().takes_values();
            assert!(
                has_default || long.to_lowercase().contains("default"),
                "{name}: the page says nothing of a default"
            );
            let has_words = !arg.get_possible_values().is_empty();
            assert!(
                has_words || !arg.get_action().takes_values() || long.contains("Example: "),
                "{name}: the page has no example"
            );
        }
    }
}
