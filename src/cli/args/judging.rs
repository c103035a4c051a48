//! What counts as an answer, what as a ban, and what follows.

use clap::Args;

use super::words::{some_time, whole};
use crate::config::Span;
use crate::outcome::StatusSet;
use crate::{ban, retry};

/// `--accept --must-match --must-not-match --ban-status --ban-regex --ban-header --ban-redirect`.
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
}

impl BanArgs {
    /// The user's rules.
    pub fn settings(&self) -> ban::Settings {
        ban::Settings {
            rules: Vec::new(),
            no_rule: Vec::new(),
            accept: self.accept.clone(),
            ban_status: self.ban_status.clone().unwrap_or(StatusSet::EMPTY),
            ban_regex: self.ban_regex.clone(),
            ban_header: self.ban_header.clone(),
            ban_redirect: self.ban_redirect.clone(),
            must_match: self.must_match.clone(),
            must_not_match: self.must_not_match.clone(),
        }
    }
}

/// `--retry --max-proxies-per-url --retry-max-time --retry-on --retry-non-idempotent`.
#[derive(Args)]
pub struct RetryArgs {
    /// Attempts after the first that reached the target
    ///
    /// What a proxy fails at by itself is not counted here but by --max-proxies-per-url. A whole number, 0 or more.
    ///
    /// Example: --retry 5
    #[arg(long, value_name = "N", default_value_t = retry::Settings::default().retries, value_parser = whole::<0>)]
    pub retry: u32,

    /// Proxies one URL may use up by their faults and bans
    ///
    /// A whole number, 1 or more.
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
}
