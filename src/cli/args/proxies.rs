//! Where the proxies come from.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::Args;

use super::words::{SCHEMES, some_time, words};
use crate::config::Span;
use crate::proxy::Scheme;
use crate::secret::Secret;

/// The lists, and how they are read again.
#[derive(Args)]
pub struct ProxyArgs {
    /// The lists.
    #[command(flatten)]
    pub list: ListArgs,

    /// Read the proxy lists again this often
    ///
    /// The new list replaces the old one as a whole; a list that cannot be read leaves the old one in use. Proxies that stay
    /// keep what is known of them. Seconds or a number with a unit; never by default.
    ///
    /// Example: --proxy-refresh 5m
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub proxy_refresh: Option<Span>,
}

/// `-x --proxy-file --proxy-scheme --strict --proxy-cacert --proxy-insecure`.
#[derive(Args)]
pub struct ListArgs {
    /// Use this proxy; repeatable
    ///
    /// Any line a proxy list may hold: scheme://user:password@host:port, host:port:user:password and their kin. Schemes are
    /// http, https, socks4, socks4a, socks5, socks5h; `direct` stands for this machine's own address, which is never used
    /// unless named. ${NAME} is replaced by the variable NAME. No default.
    ///
    /// Example: -x socks5h://127.0.0.1:9050
    #[arg(short = 'x', long, value_name = "URL", value_parser = secret)]
    pub proxy: Vec<Secret>,

    /// Read proxies from this file, address or - (stdin); repeatable
    ///
    /// Text with one proxy a line, CSV, JSON or JSONL; proxies.example.txt shows every form. Rejected lines are reported with
    /// their place. Of the rows of `check` those are taken whose verdict is alive or unstable, by `check` itself all.
    /// `fetch` reads it again on SIGHUP. No default.
    ///
    /// Example: --proxy-file proxies.txt
    #[arg(long, value_name = "FILE|URL|-")]
    pub proxy_file: Vec<String>,

    /// Presets of your own for provider= lines; repeatable
    ///
    /// A line such as provider=decodo user=NAME pass=${PW} country=us sessions=20 makes the user names of that provider; docs/providers.md
    /// has those that come along. A file of [[preset]] tables adds others, or takes their place. None by default.
    ///
    /// Example: --presets own.toml
    #[arg(long, value_name = "FILE")]
    pub presets: Vec<PathBuf>,

    /// Scheme of proxies that name none
    ///
    /// For lines such as 192.0.2.1:8080. The default is http.
    #[arg(long, value_name = "SCHEME", value_parser = words(&SCHEMES))]
    pub proxy_scheme: Option<Scheme>,

    /// Refuse a proxy list with a line that is not a proxy
    ///
    /// By default such lines are reported and left out.
    #[arg(long)]
    pub strict: bool,

    /// PEM file of the authorities for https proxies
    ///
    /// Replaces the built-in authorities for TLS to the proxy; --cacert is for targets. A proxy's own self-signed certificate will do.
    /// The default are Mozilla's.
    ///
    /// Example: --proxy-cacert proxy-ca.pem
    #[arg(long, value_name = "FILE")]
    pub proxy_cacert: Option<PathBuf>,

    /// Do not verify the certificates of https proxies
    ///
    /// Off by default.
    #[arg(long)]
    pub proxy_insecure: bool,
}

/// Takes a credential out of circulation.
pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}
