//! What is taken out of bodies.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use url::Url;

/// `--select --rows --extract`.
#[derive(Args)]
pub struct ExtractArgs {
    /// A field of the record, taken out of the body; repeatable
    ///
    /// NAME=EXPRESSION: a CSS selector with ::text, ::html or ::attr(NAME), or re:REGEX, json:JSONPATH, jsonld:PATH, meta:NAME; then
    /// filters with | in between: trim, lower, number, number(de), date, absolute, first, all, count, join(', '). Only accepted
    /// answers are looked at. Try it with `proxywheel extract test`. None by default.
    ///
    /// Example: --select 'price=.price::text|number'
    #[arg(long, value_name = "NAME=EXPR")]
    pub select: Vec<String>,

    /// One row for each match, its fields relative to it
    ///
    /// A CSS selector, or json:JSONPATH. Each row says which of how many it is; a body without a match has one row all the same. By
    /// default one row for each URL.
    ///
    /// Example: --rows '.result'
    #[arg(long, value_name = "SELECTOR")]
    pub rows: Option<String>,

    /// Rows and fields from this profile
    ///
    /// A TOML file, or the name of a built-in one: see `proxywheel extract show`. No default.
    ///
    /// Example: --extract shop.toml
    #[arg(long, value_name = "FILE|NAME")]
    pub extract: Option<String>,
}

/// Arguments of `extract`.
#[derive(Args)]
pub struct ExtractCommandArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ExtractCommand,
}

/// The commands below `extract`.
#[derive(Subcommand)]
pub enum ExtractCommand {
    /// Show what each selector finds in saved pages, and why one finds nothing
    ///
    /// With the line of the page where it stands, and for a selector how many elements each part of it matches.
    ///
    /// Example: proxywheel extract test page.html --select 'price=.price::text|number'
    Test(ExtractTestArgs),
    /// Print a built-in profile; without a name, their names
    ///
    /// Sites change: take it as a start for a file of your own.
    ///
    /// Example: proxywheel extract show bing > bing.toml
    Show(ExtractShowArgs),
}

/// Arguments of `extract test`.
#[derive(Args)]
pub struct ExtractTestArgs {
    /// Saved pages, - for standard input
    #[arg(value_name = "PAGE", required = true)]
    pub pages: Vec<PathBuf>,

    /// A field; repeatable
    ///
    /// As for fetch. None by default.
    ///
    /// Example: --select 'price=.price::text|number'
    #[arg(long, value_name = "NAME=EXPR")]
    pub select: Vec<String>,

    /// What the rows are
    ///
    /// As for fetch. By default the page is the only one.
    ///
    /// Example: --rows '.result'
    #[arg(long, value_name = "SELECTOR")]
    pub rows: Option<String>,

    /// Rows and fields from this profile
    ///
    /// A TOML file, or the name of a built-in one. No default.
    ///
    /// Example: --profile shop.toml
    #[arg(long, alias = "extract", value_name = "FILE|NAME")]
    pub profile: Option<String>,

    /// Address of the pages, for links that are relative
    ///
    /// Example: --url https://shop.example/search
    #[arg(long, value_name = "URL", default_value = "https://page.example/")]
    pub url: Url,
}

/// Arguments of `extract show`.
#[derive(Args)]
pub struct ExtractShowArgs {
    /// Which
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}
