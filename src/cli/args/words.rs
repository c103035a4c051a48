//! Flags that take one of a few words.

use std::num::NonZeroU32;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::check::{CheckFormat, Sort};
use super::input::Robots;
use super::track_history::HistoryFormat;
use super::{Color, LogFormat, Progress};
use crate::check::Anonymity;
use crate::engine::Sticky;
use crate::error::Problem;
use crate::input::InputFormat;
use crate::output::{Attempts, BodyMode, Format};
use crate::pool::{OnNoProxy, Strategy};
use crate::proxy::Scheme;
use crate::track::compare::Against;

/// A word, what it means for people, what it means for the program.
pub(super) type Word<T> = (&'static str, &'static str, T);

/// A parser for the words of `table`; help lists them with their meaning.
pub(super) fn words<T: Copy + Send + Sync + 'static>(
    table: &'static [Word<T>],
) -> impl TypedValueParser<Value = T> {
    let shown = table
        .iter()
        .map(|(word, help, _)| PossibleValue::new(*word).help(*help));
    PossibleValuesParser::new(shown).try_map(|given: String| {
        table
            .iter()
            .find(|(word, _, _)| *word == given)
            .map(|(_, _, value)| *value)
            .ok_or_else(|| Problem::new(format!("unknown word {given:?}")))
    })
}

pub(super) const ROBOTS: [Word<Robots>; 2] = [
    ("obey", "for every URL", Robots::Obey),
    ("ignore", "for none", Robots::Ignore),
];

pub(super) const LOG_FORMATS: [Word<LogFormat>; 2] = [
    ("text", "lines for people", LogFormat::Text),
    ("json", "one JSON object a line", LogFormat::Json),
];

pub(super) const COLORS: [Word<Color>; 3] = [
    ("auto", "on a terminal", Color::Auto),
    ("always", "always", Color::Always),
    ("never", "never", Color::Never),
];

pub(super) const PROGRESS: [Word<Progress>; 4] = [
    ("auto", "bar or none", Progress::Auto),
    ("bar", "a bar that is drawn again and again", Progress::Bar),
    ("log", "one line a second", Progress::Log),
    ("none", "nothing", Progress::None),
];

pub(super) const SCHEMES: [Word<Scheme>; 6] = [
    ("http", "HTTP proxy", Scheme::Http),
    ("https", "HTTP proxy inside TLS", Scheme::Https),
    ("socks4", "SOCKS4, names sent as in SOCKS4a", Scheme::Socks4),
    ("socks4a", "SOCKS4a", Scheme::Socks4a),
    (
        "socks5",
        "SOCKS5, names resolved by the proxy",
        Scheme::Socks5,
    ),
    ("socks5h", "the same, curl's spelling", Scheme::Socks5h),
];

pub(super) const STRATEGIES: [Word<Strategy>; 5] = [
    (
        "best",
        "best of 32 by expected seconds per success",
        Strategy::Best,
    ),
    (
        "round-robin",
        "the one not used for longest",
        Strategy::RoundRobin,
    ),
    ("random", "any", Strategy::Random),
    (
        "least-busy",
        "the one with the fewest requests in flight",
        Strategy::LeastBusy,
    ),
    ("weighted", "by the weight label", Strategy::Weighted),
];

pub(super) const ON_NO_PROXY: [Word<OnNoProxy>; 2] = [
    ("stop", "end the run with exit code 6", OnNoProxy::Stop),
    ("wait", "probe until one comes back", OnNoProxy::Wait),
];

pub(super) const INPUT_FORMATS: [Word<InputFormat>; 4] = [
    (
        "text",
        "one URL a line, # starts a comment",
        InputFormat::Text,
    ),
    (
        "jsonl",
        "one object a line with url, and optionally method, headers, body, tag, session",
        InputFormat::Jsonl,
    ),
    (
        "csv",
        "a header, then one URL a row, with whichever of , ; tab | the header has",
        InputFormat::Csv,
    ),
    (
        "tsv",
        "the same with tabs, whatever the header has",
        InputFormat::Tsv,
    ),
];

pub(super) const FORMATS: [Word<Format>; 3] = [
    ("jsonl", "one JSON object a line", Format::Jsonl),
    ("csv", "a fixed header, one row a record", Format::Csv),
    ("json", "one JSON array", Format::Json),
];

pub(super) const HISTORY_FORMATS: [Word<HistoryFormat>; 3] = [
    ("table", "for people", HistoryFormat::Table),
    ("jsonl", "one JSON object a line", HistoryFormat::Jsonl),
    (
        "csv",
        "a fixed header, one row an observation",
        HistoryFormat::Csv,
    ),
];

pub(super) const DIFF_FORMATS: [Word<HistoryFormat>; 2] = [
    ("table", "for people", HistoryFormat::Table),
    ("jsonl", "one JSON object a line", HistoryFormat::Jsonl),
];

pub(super) const AGAINST: [Word<Against>; 3] = [
    ("last", "the last good observation before it", Against::Last),
    (
        "7d",
        "the last good one at least 7 days older",
        Against::Days(7),
    ),
    (
        "30d",
        "the last good one at least 30 days older",
        Against::Days(30),
    ),
];

pub(super) const BODIES: [Word<BodyMode>; 4] = [
    ("none", "dropped", BodyMode::None),
    ("inline", "text in the record", BodyMode::Inline),
    ("base64", "bytes in the record", BodyMode::Base64),
    ("file", "a file each below --save-dir", BodyMode::File),
];

pub(super) const ATTEMPTS: [Word<Attempts>; 2] = [
    ("short", "proxy, outcome, status and times", Attempts::Short),
    ("full", "with blame, rule and error", Attempts::Full),
];

pub(super) const CHECK_FORMATS: [Word<CheckFormat>; 4] = [
    ("table", "for people", CheckFormat::Table),
    ("jsonl", "one JSON object a line", CheckFormat::Jsonl),
    ("csv", "a fixed header, one row a proxy", CheckFormat::Csv),
    (
        "txt",
        "a list that fetch takes, credentials included",
        CheckFormat::Txt,
    ),
];

pub(super) const ANONYMITIES: [Word<Anonymity>; 3] = [
    (
        "transparent",
        "targets may see this machine's address",
        Anonymity::Transparent,
    ),
    (
        "anonymous",
        "targets may see that there is a proxy",
        Anonymity::Anonymous,
    ),
    ("elite", "targets see nothing of it", Anonymity::Elite),
];

pub(super) const SORTS: [Word<Sort>; 3] = [
    ("score", "best first", Sort::Score),
    ("latency", "quickest first", Sort::Latency),
    ("list", "as they were listed", Sort::List),
];

/// Reads `--sticky`.
pub(super) fn sticky(text: &str) -> Result<Sticky, Problem> {
    match text.split_once(':') {
        None if text == "none" => Ok(Sticky::None),
        None if text == "host" => Ok(Sticky::Host),
        Some(("tag", name)) if !name.is_empty() => Ok(Sticky::Tag(name.to_owned())),
        _ => Err(Problem::new(format!("invalid stickiness {text:?}"))
            .hint("write none, host, or tag:NAME with the name of an input field")),
    }
}

/// Reads a fraction from 0 to 1.
pub(super) fn fraction(text: &str) -> Result<f64, Problem> {
    text.parse()
        .ok()
        .filter(|number| (0.0..=1.0).contains(number))
        .ok_or_else(|| {
            Problem::new(format!("invalid fraction {text:?}"))
                .hint("write a number from 0 to 1, such as 0.5")
        })
}

/// Reads a whole number from `LEAST` up.
pub(super) fn whole<const LEAST: u32>(text: &str) -> Result<u32, Problem> {
    text.parse()
        .ok()
        .filter(|number| *number >= LEAST)
        .ok_or_else(|| {
            Problem::new(format!("invalid number {text:?}"))
                .hint(format!("write a whole number, {LEAST} or more"))
        })
}

/// Reads a whole number, 1 or more.
pub(super) fn some(text: &str) -> Result<NonZeroU32, Problem> {
    whole::<1>(text).map(|number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
}

/// Reads a size above zero.
pub(super) fn some_size(text: &str) -> Result<crate::units::Size, Problem> {
    let size: crate::units::Size = text.parse()?;
    if size.0 == 0 {
        return Err(Problem::new(format!(
            "invalid size {text:?}: it has to be above 0"
        )));
    }
    Ok(size)
}

/// Reads a duration above zero.
pub(super) fn some_time(text: &str) -> Result<crate::config::Span, Problem> {
    let span: crate::config::Span = text.parse()?;
    if span.0.is_zero() {
        return Err(
            Problem::new(format!("invalid duration {text:?}: it has to be above 0"))
                .hint("for practically no limit write a long time, such as 1d"),
        );
    }
    Ok(span)
}
