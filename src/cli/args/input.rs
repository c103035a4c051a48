//! Where the URLs come from.

use clap::Args;

use super::super::familiar::instead_of;
use super::words::{INPUT_FORMATS, ROBOTS, words};
use crate::config::Span;
use crate::error::Problem;
use crate::input::{InputFormat, Since};

/// The parser takes what looks like a negative number for a value, and a row saying that `-4` is no URL would help nobody.
fn url(text: &str) -> Result<String, Problem> {
    if text.starts_with('-') && text != "-" {
        let problem = Problem::new(format!("unknown flag {text}"));
        return Err(problem.hint(instead_of(text).unwrap_or("see proxywheel fetch --help")));
    }
    Ok(text.to_owned())
}

/// `URL… -i --input-format --url-column`.
#[derive(Args)]
pub struct InputArgs {
    /// URLs to fetch
    ///
    /// http and https; they come before those of --input. Anything else gets a record with outcome invalid_url. No default.
    ///
    /// Example: proxywheel fetch https://example.com/ -x http://127.0.0.1:8080
    #[arg(value_name = "URL", value_parser = url)]
    pub urls: Vec<String>,

    /// Read URLs from this file, - for standard input; repeatable
    ///
    /// Read as a stream: the length of the list costs no memory. sitemap:FILE and sitemap:URL read a sitemap (urlset, index, RSS,
    /// Atom, text; packed or not), and sitemap:https://HOST/robots.txt those that a robots.txt names; what has an address is
    /// fetched through the proxies like any page. No default.
    ///
    /// Example: -i urls.txt -i more.csv -i sitemap:https://shop.example/sitemap.xml
    #[arg(short, long, value_name = "FILE|-|sitemap:URL")]
    pub input: Vec<String>,

    /// What the input files hold
    ///
    /// By default the suffix decides (.jsonl, .ndjson, .csv, .tsv), and everything else is text.
    #[arg(long, value_name = "FORMAT", value_parser = words(&INPUT_FORMATS))]
    pub input_format: Option<InputFormat>,

    /// CSV column that holds the URL
    ///
    /// The other columns become the record's tag. The default is the column called url, else link, href, address or loc.
    ///
    /// Example: --url-column link
    #[arg(long, value_name = "NAME")]
    pub url_column: Option<String>,

    /// Of a sitemap, only pages that have changed since
    ///
    /// A time before the run (7d, 12h) or a day in UTC (2026-11-01). Pages and sitemaps whose lastmod is earlier are left out; those
    /// without one are taken. By default all are.
    ///
    /// Example: --sitemap-since 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub sitemap_since: Option<Since>,

    /// Whether robots.txt is obeyed
    ///
    /// The file of each host is read first, through the proxies, and once; a URL that it forbids gets a row with outcome robots
    /// that quotes the line. Its Crawl-delay is kept. 4xx allows everything; as long as the file cannot be read, nothing. The name
    /// looked for is that of --user-agent, else proxywheel. By default it is obeyed for what sitemaps list, and for nothing else.
    #[arg(long, value_name = "WHAT", value_parser = words(&ROBOTS))]
    pub robots: Option<Robots>,
}

/// `--robots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Robots {
    /// For every URL.
    Obey,
    /// For none.
    Ignore,
}

fn since(text: &str) -> Result<Since, Problem> {
    if let Some(day) = Since::day(text) {
        return Ok(day);
    }
    // A year by itself would be a number of seconds.
    let unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    match text.parse::<Span>() {
        Ok(span) if unit => Ok(Since::Ago(span.0)),
        _ => Err(
            Problem::new(format!("{text:?} is neither a day nor a time"))
                .hint("write a day as 2026-11-01, or a time before the run as 7d or 12h"),
        ),
    }
}
