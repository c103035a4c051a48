//! What counts as an answer, what as a ban, and what follows.

use clap::Args;

use super::words::{some_time, whole};
use crate::config::Span;
use crate::outcome::StatusSet;
use crate::{ban, retry};

/// `--accept --must-match --must-not-match --expect-* --min-bytes --ban-status --ban-regex --ban-header --ban-redirect --rules --no-rule`.
#[derive(Args)]
pub struct BanArgs {
    /// Statuses that are an answer
    ///
    /// Codes and ranges with commas; ! takes away. Other statuses give outcome http_error unless a rule explains them.
    ///
    /// Example: --accept 200..=299,404
    #[arg(long, value_name = "STATUSES", default_value_t = ban::Settings::default().accept)]
    pub accept: StatusSet,

    /// Text that every accepted body has to match; repeatable
    ///
    /// A regex over the decoded text; all of them have to match. None by default.
    ///
    /// Example: --must-match '<div id="results"'
    #[arg(long, value_name = "REGEX")]
    pub must_match: Vec<String>,

    /// Text that no accepted body may match; repeatable
    ///
    /// A regex over the decoded text. None by default.
    ///
    /// Example: --must-not-match 'Please log in'
    #[arg(long, value_name = "REGEX")]
    pub must_not_match: Vec<String>,

    /// Words that every accepted body has; repeatable
    ///
    /// As they stand in the decoded text, all of them. An answer without is a block that no rule knows: another exit is tried. None by
    /// default.
    ///
    /// Example: --expect-text 'Add to cart'
    #[arg(long, value_name = "TEXT")]
    pub expect_text: Vec<String>,

    /// Elements that every accepted body has; repeatable
    ///
    /// A CSS selector has to find something, all of them. Costs more than --expect-text, because the page is parsed. None by default.
    ///
    /// Example: --expect-selector '#results li'
    #[arg(long, value_name = "CSS")]
    pub expect_selector: Vec<String>,

    /// Content type that accepted bodies have; repeatable
    ///
    /// One of them; image/* is any of a kind. Any type by default.
    ///
    /// Example: --expect-type application/json
    #[arg(long, value_name = "TYPE")]
    pub expect_type: Vec<String>,

    /// JSON that every accepted body has; repeatable
    ///
    /// A JSON pointer has to find something, all of them; null is nothing. None by default.
    ///
    /// Example: --expect-json /items/0/price
    #[arg(long, value_name = "POINTER")]
    pub expect_json: Vec<String>,

    /// Smallest body that is an answer
    ///
    /// Bytes after decompression. Answers that have no body by their nature (to HEAD, 304, 204 to another method than GET) are not asked.
    ///
    /// Example: --min-bytes 500
    #[arg(long, value_name = "BYTES", default_value_t = ban::Settings::default().min_bytes)]
    pub min_bytes: u64,

    /// Statuses that mean this proxy is banned
    ///
    /// Beside the built-in rules. Codes and ranges with commas. None by default.
    ///
    /// Example: --ban-status 403,503
    #[arg(long, value_name = "STATUSES")]
    pub ban_status: Option<StatusSet>,

    /// Body text that means this proxy is banned; repeatable
    ///
    /// A regex over the decoded text. None by default.
    ///
    /// Example: --ban-regex 'unusual traffic'
    #[arg(long, value_name = "REGEX")]
    pub ban_regex: Vec<String>,

    /// Response header that means this proxy is banned; repeatable
    ///
    /// A name, or a name and a regex over its value. None by default.
    ///
    /// Example: --ban-header 'x-blocked: ^1$'
    #[arg(long, value_name = "NAME[: REGEX]")]
    pub ban_header: Vec<String>,

    /// Redirect target that means this proxy is banned; repeatable
    ///
    /// A regex over the absolute URL redirected to. None by default.
    ///
    /// Example: --ban-redirect '/captcha'
    #[arg(long, value_name = "REGEX")]
    pub ban_redirect: Vec<String>,

    /// Rules of your own, before the built-in ones; repeatable
    ///
    /// TOML as `rules show` prints it; a URL is fetched without a proxy. A rule with the id of a built-in one takes its place. None by
    /// default.
    ///
    /// Example: --rules own.toml
    #[arg(long, value_name = "FILE|URL")]
    pub rules: Vec<String>,

    /// A rule that is not asked; repeatable
    ///
    /// An id as in ban.rule of a record, or family.* for all of a family; `rules list` has them. None by default.
    ///
    /// Example: --no-rule f5.rejected
    #[arg(long, value_name = "ID")]
    pub no_rule: Vec<String>,
}

impl BanArgs {
    /// The user's rules, without the files of `--rules`, which are the caller's to read.
    pub fn settings(&self) -> ban::Settings {
        ban::Settings {
            rules: Vec::new(),
            no_rule: self.no_rule.clone(),
            accept: self.accept.clone(),
            ban_status: self.ban_status.clone().unwrap_or(StatusSet::EMPTY),
            ban_regex: self.ban_regex.clone(),
            ban_header: self.ban_header.clone(),
            ban_redirect: self.ban_redirect.clone(),
            must_match: self.must_match.clone(),
            must_not_match: self.must_not_match.clone(),
            expect_text: self.expect_text.clone(),
            expect_selector: self.expect_selector.clone(),
            expect_type: self.expect_type.clone(),
            expect_json: self.expect_json.clone(),
            min_bytes: self.min_bytes,
        }
    }
}

/// `--retry --max-proxies-per-url --retry-max-time --retry-on --retry-non-idempotent --no-hedge`.
#[derive(Args)]
pub struct RetryArgs {
    /// Attempts after the first that the target answered
    ///
    /// Counted are answers of the target with a status of --retry-on, and timeouts and cut bodies through proxies that have
    /// served before; all else that another proxy may help against is counted by --max-proxies-per-url: bans, 429s, misses of
    /// --must-match, faults. One request per URL is --retry 0 --max-proxies-per-url 1 --no-hedge. A whole number, 0 or more.
    ///
    /// Example: --retry 5
    #[arg(long, value_name = "N", default_value_t = retry::Settings::default().retries, value_parser = whole::<0>)]
    pub retry: u32,

    /// Proxies one URL may use up by their faults and bans
    ///
    /// Also by rate limits, misses of --must-match, and timeouts and cut bodies while they have never served. A whole number, 1 or more.
    ///
    /// Example: --max-proxies-per-url 10
    #[arg(long, value_name = "N", default_value_t = retry::Settings::default().max_proxies_per_url,
          value_parser = whole::<1>)]
    pub max_proxies_per_url: u32,

    /// No attempt starts later than this after the first
    ///
    /// Seconds, or a number with a unit. No limit by default.
    ///
    /// Example: --retry-max-time 2m
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub retry_max_time: Option<Span>,

    /// Statuses to retry
    ///
    /// Codes and ranges with commas; ! takes away.
    ///
    /// Example: --retry-on 429,500..=599,!501
    #[arg(long, value_name = "STATUSES", default_value_t = retry::Settings::default().retry_on)]
    pub retry_on: StatusSet,

    /// Send POST and the like again although it may have arrived
    ///
    /// Off by default: such a request is repeated only when it cannot have reached the target.
    #[arg(long)]
    pub retry_non_idempotent: bool,

    /// No second attempt beside one that takes too long
    ///
    /// By default a GET or HEAD that takes three times what its proxy usually takes is sent once more through another, and the
    /// first answer counts: one in twenty requests at most, and more only while slots are idle at the end.
    #[arg(long)]
    pub no_hedge: bool,
}
