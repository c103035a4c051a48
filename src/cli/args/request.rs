//! How to ask: curl's flags.

use std::path::PathBuf;

use clap::Args;
use http::Method;

use super::proxies::secret;
use super::words::{some_time, whole};
use crate::config::{Size, Span};
use crate::secret::Secret;
use crate::{egress, engine, pool};

/// `-X -H -d --data-raw --data-binary --json -A -e -b -u -L -m -k` and their long company.
#[derive(Args)]
pub struct RequestArgs {
    /// Request method
    ///
    /// The default is GET, or POST with a body.
    ///
    /// Example: -X HEAD
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub request: Option<Method>,

    /// Send this header; repeatable
    ///
    /// 'Name: value' replaces a header sent otherwise, 'Name:' sends none, 'Name;' sends it empty, @FILE reads one a line. By
    /// default user-agent, accept and accept-encoding are sent. Those of a configuration file are not added: naming one here replaces
    /// them all.
    ///
    /// Example: -H 'Accept-Language: de'
    #[arg(short = 'H', long, value_name = "LINE|@FILE")]
    pub header: Vec<String>,

    /// Send this body as a form; repeatable, joined with &
    ///
    /// Implies POST. @FILE reads a file without its line breaks, @- standard input. No body by default.
    ///
    /// Example: -d 'q=shoes' -d page=2
    #[arg(short, long, alias = "data-ascii", value_name = "DATA|@FILE")]
    pub data: Vec<String>,

    /// As --data, but @ means nothing; repeatable
    ///
    /// No body by default.
    ///
    /// Example: --data-raw '@home'
    #[arg(long, value_name = "DATA")]
    pub data_raw: Vec<String>,

    /// As --data, but files are sent as they are; repeatable
    ///
    /// No body by default.
    ///
    /// Example: --data-binary @image.png
    #[arg(long, value_name = "DATA|@FILE")]
    pub data_binary: Vec<String>,

    /// Send this JSON; repeatable, joined as it is
    ///
    /// Implies POST and the headers content-type and accept: application/json. @FILE and @- as with --data-binary. No body by
    /// default.
    ///
    /// Example: --json '{"q":"shoes"}'
    #[arg(long, value_name = "DATA|@FILE", conflicts_with_all = ["data", "data_raw", "data_binary"])]
    pub json: Vec<String>,

    /// User-Agent to send, empty for none
    ///
    /// The default is proxywheel/VERSION.
    ///
    /// Example: -A 'Mozilla/5.0'
    #[arg(short = 'A', long, value_name = "TEXT")]
    pub user_agent: Option<String>,

    /// Referer to send
    ///
    /// None by default.
    ///
    /// Example: -e https://example.com/
    #[arg(short = 'e', long, value_name = "URL")]
    pub referer: Option<String>,

    /// Cookies to send with every request; repeatable
    ///
    /// Beside those the targets set, which are kept per proxy and session; one of them replaces one of its name here. Cookie files are
    /// not read. None by default.
    ///
    /// Example: -b 'lang=de; consent=1'
    #[arg(short = 'b', long, value_name = "NAME=VALUE", value_parser = secret)]
    pub cookie: Vec<Secret>,

    /// Basic authentication with the target
    ///
    /// Not sent to other hosts after a redirect. Better kept in PROXYWHEEL_USER than in the shell's history. No default.
    ///
    /// Example: -u alice:secret
    #[arg(short = 'u', long, value_name = "USER:PASSWORD", value_parser = secret)]
    pub user: Option<Secret>,

    /// Follow redirects (on by default)
    ///
    /// The whole chain goes through one proxy. As in browsers, POST becomes GET on 301, 302 and 303, every other method but HEAD
    /// on 303 only, and the body goes with it; 307 and 308 repeat the request as it was. -X makes no difference. On by default.
    #[arg(short = 'L', long, overrides_with = "no_location")]
    pub location: bool,

    /// Do not follow redirects
    ///
    /// A redirect is then an answer with its own status, see --accept. Off by default.
    #[arg(long, overrides_with = "location")]
    pub no_location: bool,

    /// Redirects followed at most
    ///
    /// A whole number, 0 or more.
    ///
    /// Example: --max-redirs 3
    #[arg(long, value_name = "N", default_value_t = engine::Settings::default().max_redirs, value_parser = whole::<0>)]
    pub max_redirs: u32,

    /// Limit of one attempt, redirects and body included
    ///
    /// Seconds, or a number with a unit; above 0.
    ///
    /// Example: -m 10
    #[arg(short = 'm', long, value_name = "TIME", default_value_t = Span(engine::Settings::default().max_time), value_parser = some_time)]
    pub max_time: Span,

    /// Limit of connect and of handshake with a proxy
    ///
    /// Seconds, or a number with a unit; above 0. What is waited adapts to the pool and stays below it.
    ///
    /// Example: --connect-timeout 3s
    #[arg(long, value_name = "TIME", default_value_t = Span(pool::Settings::default().connect_timeout), value_parser = some_time)]
    pub connect_timeout: Span,

    /// Largest body, decoded
    ///
    /// Bytes, or a number with k, M, G (thousands) or KiB, MiB, GiB. A larger one is cut and gives outcome too_large.
    ///
    /// Example: --max-filesize 512k
    #[arg(long, value_name = "SIZE", default_value_t = Size(egress::Settings::default().max_filesize))]
    pub max_filesize: Size,

    /// Ask for compressed bodies and decode them (on by default)
    ///
    /// gzip, br, zstd, deflate. On by default.
    #[arg(long, overrides_with = "no_compressed")]
    pub compressed: bool,

    /// Do not ask for compressed bodies
    ///
    /// Off by default.
    #[arg(long, overrides_with = "compressed")]
    pub no_compressed: bool,

    /// Do not verify the certificates of targets
    ///
    /// Anyone on the way can then read and change what is fetched, the proxy first. Off by default.
    #[arg(short = 'k', long)]
    pub insecure: bool,

    /// PEM file of the authorities for targets
    ///
    /// Replaces the built-in authorities. A server's own self-signed certificate will do. The default are Mozilla's.
    ///
    /// Example: --cacert test-ca.pem
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// Speak HTTP/1.1 only
    ///
    /// By default HTTP/2 is used where a target offers it inside TLS. Of this and --http2 the last one counts.
    #[arg(long = "http1.1", overrides_with = "http2")]
    pub http1_1: bool,

    /// Speak HTTP/2 or nothing inside TLS
    ///
    /// Plain http:// stays HTTP/1.1. Off by default.
    #[arg(long, overrides_with = "http1_1")]
    pub http2: bool,
}
