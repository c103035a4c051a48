//! Where the URLs come from.

use clap::Args;

use super::words::{INPUT_FORMATS, words};
use crate::input::InputFormat;

/// `URL… -i --input-format --url-column`.
#[derive(Args)]
pub struct InputArgs {
    /// URLs to fetch
    ///
    /// http and https; they come before those of --input. Anything else gets a record with outcome invalid_url. No default.
    ///
    /// Example: proxywheel fetch https://example.com/ -x http://127.0.0.1:8080
    #[arg(value_name = "URL")]
    pub urls: Vec<String>,

    /// Read URLs from this file, - for standard input; repeatable
    ///
    /// Read as a stream: the length of the list costs no memory. No default.
    ///
    /// Example: -i urls.txt -i more.csv
    #[arg(short, long, value_name = "FILE|-")]
    pub input: Vec<String>,

    /// What the input files hold
    ///
    /// By default the suffix decides (.jsonl, .ndjson, .csv), and everything else is text.
    #[arg(long, value_name = "FORMAT", value_parser = words(&INPUT_FORMATS))]
    pub input_format: Option<InputFormat>,

    /// CSV column that holds the URL
    ///
    /// The other columns become the record's tag. The default is the column called url.
    ///
    /// Example: --url-column link
    #[arg(long, value_name = "NAME")]
    pub url_column: Option<String>,
}
