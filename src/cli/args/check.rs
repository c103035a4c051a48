//! Flags of `check`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use url::Url;

use super::Progress;
use super::words::{ANONYMITIES, CHECK_FORMATS, PROGRESS, SCHEMES, SORTS, some, some_time, words};
use super::{BanArgs, ListArgs};
use crate::check;
use crate::config::{Least, Span};
use crate::error::Problem;
use crate::proxy::{Scheme, country_code};

/// Arguments of `check`, by section.
#[derive(Args)]
pub struct CheckArgs {
    /// Lists to check: files, addresses, - for stdin
    ///
    /// The same as --proxy-file, in every form a proxy list has; proxies.example.txt shows them. They replace the lists of a
    /// configuration file.
    #[arg(value_name = "LIST")]
    pub lists: Vec<String>,

    /// Proxy lists.
    #[command(flatten, next_help_heading = "Proxies")]
    pub proxies: ListArgs,

    /// What is asked for.
    #[command(flatten, next_help_heading = "Check")]
    pub how: HowArgs,

    /// What the user's own URLs have to be answered with.
    #[command(flatten, next_help_heading = "Accepted answers of --url")]
    pub bans: BanArgs,

    /// Rows.
    #[command(flatten, next_help_heading = "Output")]
    pub output: CheckOutputArgs,
}

/// Flags that would leave something out of the test, or choose among rows it does not have.
const NOT_WITH_LEAK: [&str; 22] = [
    "url",
    "any",
    "all",
    "detect",
    "dns_domain",
    "no_control",
    "insecure",
    "output",
    "with_credentials",
    "alive",
    "anonymity",
    "max_latency",
    "min_score",
    "protocol",
    "sort",
    "limit",
    "min_alive",
    "geoip",
    "country",
    "diff",
    "exit_on_change",
    "watch",
];

/// How proxies are checked.
#[derive(Args)]
pub struct HowArgs {
    /// Ask this judge; repeatable
    ///
    /// The URL of an endpoint that says what it saw of a request, http or https: `proxywheel judge` serves one. With one of both
    /// kinds everything can be found out. No default: nobody's server is asked unless it is named.
    ///
    /// Example: --judge http://judge.example.com/ --judge https://judge.example.com/
    #[arg(long, value_name = "URL", value_parser = web_url)]
    pub judge: Vec<Url>,

    /// Fetch this through every proxy that works; repeatable
    ///
    /// Says whether it works for this target, by --accept, --must-match and the built-in rules. Without --judge through every proxy.
    ///
    /// Example: --url https://example.com/ --must-match '<h1>Example'
    #[arg(long, value_name = "URL", value_parser = web_url)]
    pub url: Vec<Url>,

    /// One --url that is answered is enough
    ///
    /// By default all of them have to be.
    #[arg(long, conflicts_with = "all")]
    pub any: bool,

    /// Every --url has to be answered
    ///
    /// The default; for where a file or a variable says --any.
    #[arg(long)]
    pub all: bool,

    /// Find out whether exits resolve names below this domain
    ///
    /// A domain of which every name leads to an http judge, by an entry for *.NAME in its zone. Each proxy that works is asked for a
    /// name that nobody could know before, and for one that does not exist: two more requests. Off by default.
    ///
    /// Example: --dns-domain exit.example.com
    #[arg(long, value_name = "NAME", value_parser = domain)]
    pub dns_domain: Option<String>,

    /// Requests through a proxy that has passed once
    ///
    /// Each on a new connection. More tell loss and rotation better.
    #[arg(long, value_name = "N", default_value_t = check::Settings::default().samples, value_parser = super::words::whole::<1>)]
    pub samples: u32,

    /// Prove that the list and this program hide you
    ///
    /// Checks each proxy, then sends requests through all of them as `fetch` does: plain, redirected, retried, and without a usable
    /// proxy. Prints a table of what the judges saw: your own address, names looked up here, headers added, cookies and TLS sessions
    /// carried from one exit to another. Exit code 0 only if it is clean, else 4; 6 when no judge or no proxy works.
    ///
    /// Example: --leak --judge http://judge.example.com/ --judge https://judge.example.com/
    #[arg(long, conflicts_with_all = NOT_WITH_LEAK)]
    pub leak: bool,

    /// Find out what protocol a port really speaks
    ///
    /// Tries http, socks5, socks4a and https where the listed one fails. Off by default.
    #[arg(long)]
    pub detect: bool,

    /// Do not ask the judges directly
    ///
    /// Then nobody knows our own address, and a judge that is down looks like dead proxies. Off by default.
    #[arg(long)]
    pub no_control: bool,

    /// Proxies at a time
    ///
    /// As many again may have been silent for a while. Fewer where the system does not let us have the descriptors.
    #[arg(short = 'j', long, value_name = "N", default_value = "512", value_parser = some)]
    pub concurrency: NonZeroU32,

    /// Limit of connect and of handshake with a proxy
    ///
    /// Seconds, or a number with a unit; above 0.
    #[arg(long, value_name = "TIME", default_value_t = Span(check::Settings::default().connect_timeout), value_parser = some_time)]
    pub connect_timeout: Span,

    /// Limit of one request as a whole
    ///
    /// Seconds, or a number with a unit; above 0.
    #[arg(short = 'm', long, value_name = "TIME", default_value_t = Span(check::Settings::default().max_time), value_parser = some_time)]
    pub max_time: Span,

    /// Do not verify the certificates of judges and targets
    ///
    /// Then a proxy that breaks TLS is not found out. Off by default.
    #[arg(short = 'k', long)]
    pub insecure: bool,

    /// PEM file of the authorities for judges and targets
    ///
    /// Replaces the built-in authorities. A server's own self-signed certificate will do. The default are Mozilla's.
    ///
    /// Example: --cacert judge-ca.pem
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// Look up countries and networks of exits in this file; repeatable
    ///
    /// A MaxMind file (.mmdb) of your own, with countries, cities or ASNs: GeoLite2, GeoIP2, or another in their form. Where several
    /// know an address the first one has the word. No default: nothing is downloaded.
    ///
    /// Example: --geoip GeoLite2-Country.mmdb --geoip GeoLite2-ASN.mmdb
    #[arg(long, value_name = "FILE")]
    pub geoip: Vec<PathBuf>,

    /// Check again so often, until a signal
    ///
    /// Seconds, or a number with a unit; from the beginning of a round to that of the next. The list is read again each time and the
    /// file of -o replaced as a whole. Who does not work is checked after 1, 2, 4, 8, then every 16 rounds and keeps its row. What
    /// has changed is told as with --diff. SIGHUP begins a round. Off by default.
    ///
    /// Example: --watch 10m -o checked.jsonl
    #[arg(long, value_name = "TIME", value_parser = some_time, conflicts_with = "resume")]
    pub watch: Option<Span>,

    /// Seed of the order of the check
    ///
    /// A whole number. Random by default.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Which rows, in which form, and where to.
#[derive(Args)]
pub struct CheckOutputArgs {
    /// Write the rows to this file
    ///
    /// An existing file is refused without --overwrite, --resume or --watch, and always when it is one of the lists. Standard output by
    /// default.
    ///
    /// Example: -o checked.jsonl
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Replace the file
    ///
    /// What is in it goes when the first row is there; when no judge answers, it stays. Off by default.
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,

    /// Go on where an earlier check of this file ended
    ///
    /// Proxies with a row are left out. For JSONL files. Off by default.
    #[arg(long, requires = "output")]
    pub resume: bool,

    /// Tell what has changed since the check that wrote this file
    ///
    /// JSONL rows of all proxies. Every row gets `changes` (new, revived, died, verdict, slower, quicker, exit, country, anonymity)
    /// and `before`; a table shows only what has changed; with -o each change is a line on standard output, also with -q, and so is
    /// what is gone from the list. The file may be that of -o: it is replaced as a whole at the end, and need not be there yet.
    ///
    /// Example: -q --diff checked.jsonl -o checked.jsonl
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub diff: Option<PathBuf>,

    /// Exit code 10 when --diff finds a change
    ///
    /// Off by default.
    #[arg(long, conflicts_with = "watch")]
    pub exit_on_change: bool,

    /// Form of the rows
    ///
    /// By default that of the file's name; a table on a terminal, else JSONL.
    #[arg(long, value_name = "FORMAT", value_parser = words(&CHECK_FORMATS))]
    pub format: Option<CheckFormat>,

    /// Put user names and passwords into JSONL rows
    ///
    /// In `proxy`, so that `fetch` can use the rows as a list; the name without them is then in `label`. `--format txt` always has
    /// them. Off by default.
    #[arg(long)]
    pub with_credentials: bool,

    /// Only proxies that work
    ///
    /// Alive and unstable ones, with --url those that also work for it. --format txt implies it.
    #[arg(long)]
    pub alive: bool,

    /// Only proxies at least this anonymous
    ///
    /// Those in whose case it does not apply, tunnels and SOCKS, count as elite.
    #[arg(long, value_name = "LEVEL", value_parser = words(&ANONYMITIES))]
    pub anonymity: Option<check::Anonymity>,

    /// Only proxies that come out in one of these countries
    ///
    /// Two-letter codes or English names, with commas between them. All exits seen have to be there. Needs --geoip.
    ///
    /// Example: --country de,fr
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = country)]
    pub country: Vec<&'static str>,

    /// Only proxies whose median request takes no longer
    ///
    /// Seconds, or a number with a unit.
    ///
    /// Example: --max-latency 800ms
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub max_latency: Option<Span>,

    /// Only proxies with at least this score
    ///
    /// 0 to 100: a cautious chance in percent that the next request brings a valid answer, less if it takes longer than 2 s.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub min_score: Option<u8>,

    /// Only proxies that speak this; repeatable
    #[arg(long, value_name = "SCHEME", value_parser = words(&SCHEMES))]
    pub protocol: Vec<Scheme>,

    /// Order of the rows
    ///
    /// By default they are written as they land.
    #[arg(long, value_name = "HOW", value_parser = words(&SORTS))]
    pub sort: Option<Sort>,

    /// At most so many rows
    ///
    /// The whole list is checked all the same, for the summary, --min-alive and the state. To end with the first N rows, pipe them
    /// into head -n N.
    #[arg(long, value_name = "N", value_parser = super::words::whole::<1>)]
    pub limit: Option<u32>,

    /// Fewer alive ones are a failure: exit code 6
    ///
    /// A count, or a share of the list with %. With --resume the rows that are there already count as well.
    ///
    /// Example: --min-alive 20%
    #[arg(long, value_name = "N|P%", default_value_t = Least::default(), conflicts_with = "watch")]
    pub min_alive: Least,

    /// Form of the summary
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = words(&super::words::LOG_FORMATS))]
    pub summary: super::LogFormat,

    /// Keep what is learned about proxies in this file
    ///
    /// The next `fetch` begins with it: those that work first, dead ones last, hostile ones not at all. Holds no credentials. The
    /// default is the file that `fetch` uses: its setting `state`, else ~/.local/state/proxywheel/state.db, or below XDG_STATE_HOME.
    #[arg(long, value_name = "FILE", conflicts_with = "no_state")]
    pub state: Option<PathBuf>,

    /// Keep nothing
    ///
    /// Off by default.
    #[arg(long)]
    pub no_state: bool,

    /// Progress on standard error
    ///
    /// `auto` is a bar when standard error is a terminal and the rows go into a file, else none.
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = words(&PROGRESS))]
    pub progress: Progress,
}

/// Forms of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckFormat {
    /// For people.
    Table,
    /// One JSON object a line.
    Jsonl,
    /// A fixed header, one row a proxy.
    Csv,
    /// A list that `fetch` takes.
    Txt,
}

/// Orders of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Best first.
    Score,
    /// Quickest first.
    Latency,
    /// As they were listed.
    List,
}

/// Reads a country.
fn country(text: &str) -> Result<&'static str, Problem> {
    country_code(text.trim()).ok_or_else(|| {
        Problem::new(format!("not a country: {text:?}"))
            .hint("write two-letter codes with commas between them, such as de,fr")
    })
}

/// Reads a domain, with or without `*.` before it.
fn domain(text: &str) -> Result<String, Problem> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let url = Url::parse(&format!("http://{name}/")).ok();
    let host = url.as_ref().and_then(Url::domain).map(str::to_owned);
    host.filter(|_| !name.contains([':', '/', '\\', '@', '?', '#']))
        .ok_or_else(|| {
            Problem::new(format!("not a domain: {text:?}"))
                .hint("write a name such as exit.example.com")
        })
}

/// Reads an http or https URL.
fn web_url(text: &str) -> Result<Url, Problem> {
    let hint = "write it as http://host/ or https://host/path";
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(url) => Err(Problem::new(format!(
            "not a URL that can be fetched: the scheme is {}",
            url.scheme()
        ))
        .hint(hint)),
        Err(error) => Err(Problem::new(format!("not a URL: {error}")).hint(hint)),
    }
}
