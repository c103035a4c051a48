//! Flags of `rules` and the commands below it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::words::{Word, words};

/// Arguments of `rules`.
#[derive(Args)]
pub struct RulesArgs {
    /// What to do with the rules.
    #[command(subcommand)]
    pub command: RulesCommand,
}

/// The commands below `rules`.
#[derive(Subcommand)]
pub enum RulesCommand {
    /// List the rules in the order in which they are asked
    ///
    /// Id, class and vendor; * decides alone, whatever the status.
    ///
    /// Example: proxywheel rules list | grep cloudflare
    List(RulesListArgs),
    /// Print a built-in rule as it is written, with its examples
    ///
    /// Example: proxywheel rules show cloudflare.challenge
    Show(RulesShowArgs),
    /// Judge saved answers, and compare with what people say of them
    ///
    /// Reads pages (with or without their HTTP head), records of fetch (.jsonl with --headers and --body), HAR and WARC (also
    /// gzipped). With --labels prints a confusion table, recall, false blocks, and everything that was missed.
    ///
    /// Example: proxywheel rules test saved/ --labels pages.jsonl
    Test(RulesTestArgs),
    /// Tell of each saved answer everything that speaks for a verdict
    ///
    /// Every rule that describes it with what it saw, and the points of its weak evidence.
    ///
    /// Example: proxywheel rules explain page.html
    Explain(RulesExplainArgs),
}

/// Which rules.
#[derive(Args)]
pub struct RuleSetArgs {
    /// Rules of your own, before the built-in ones; repeatable
    ///
    /// TOML as `rules show` prints it. A rule with the id of a built-in one takes its place. None by default.
    ///
    /// Example: --rules own.toml
    #[arg(long, value_name = "FILE|URL")]
    pub rules: Vec<String>,

    /// A rule that is not asked; repeatable
    ///
    /// An id, or family.* for all of a family; see `rules list`. None by default.
    ///
    /// Example: --no-rule f5.rejected
    #[arg(long, value_name = "ID")]
    pub no_rule: Vec<String>,
}

/// Arguments of `rules list`.
#[derive(Args)]
pub struct RulesListArgs {
    /// Which rules.
    #[command(flatten)]
    pub set: RuleSetArgs,

    /// Form of the list
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = words(&FORMS))]
    pub format: Form,
}

/// Arguments of `rules show`.
#[derive(Args)]
pub struct RulesShowArgs {
    /// Id of the rule, as a record's ban.rule has it
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

/// Arguments of `rules test`.
#[derive(Args)]
pub struct RulesTestArgs {
    /// Files, or folders with files; without any, the pages that --labels names
    #[arg(value_name = "FILE|DIR", required_unless_present = "labels")]
    pub files: Vec<PathBuf>,

    /// What people say of the files, one JSON object a line
    ///
    /// Keys: file (its name), kind (ok, ban, challenge, rate-limit, consent, proxy-error, captive/tamper, origin-error); optional
    /// vendor, accept (other fair kinds), ambiguous, status, headers, url. No default.
    ///
    /// Example: --labels pages.jsonl
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,

    /// Form of the result
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = words(&FORMS))]
    pub format: Form,

    /// Which rules.
    #[command(flatten)]
    pub set: RuleSetArgs,
}

/// Arguments of `rules explain`.
#[derive(Args)]
pub struct RulesExplainArgs {
    /// Files, or folders with files
    #[arg(value_name = "FILE|DIR", required = true)]
    pub files: Vec<PathBuf>,

    /// Status of pages that do not say theirs
    ///
    /// 100 to 999. The default is 200, or what --labels says.
    ///
    /// Example: --status 403
    #[arg(long, value_name = "STATUS")]
    pub status: Option<u16>,

    /// URL of pages that do not say theirs
    ///
    /// With https, answers of proxies are left out. By default anybody may have answered.
    ///
    /// Example: --url https://www.google.com/search?q=a
    #[arg(long, value_name = "URL")]
    pub url: Option<url::Url>,

    /// Which rules.
    #[command(flatten)]
    pub set: RuleSetArgs,
}

/// `--format` of `rules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Jsonl,
}

pub(super) const FORMS: [Word<Form>; 2] = [
    ("text", "for people", Form::Text),
    ("jsonl", "one JSON object a line", Form::Jsonl),
];
