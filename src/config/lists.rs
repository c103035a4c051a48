//! Reading the proxy lists that the settings name, at the start and again while a run goes on.
//!
//! A list is read whole before anything changes. When a later reading fails, the old list stays. Lists from an address are
//! asked for with the validators of the last answer, so an unchanged one costs a header.

use std::io::Read as _;

use url::Url;

use super::resolved::{ListSource, ProxySources};
use crate::egress::{Fetched, Validators, fetch_list};
use crate::error::{Error, Problem};
use crate::proxy::list::{Options, ProxyList, merge};
use crate::proxy::parse::parse_proxy;
use crate::proxy::presets::Presets;
use crate::proxy::{Proxy, Scheme};

/// The sources of a pool, and what is needed to read them again.
#[derive(Debug)]
pub struct Lists {
    sources: ProxySources,
    /// Entries of `-x`, parsed once.
    single: Vec<Proxy>,
    /// Standard input can be read only once; its list is kept.
    piped: Option<Vec<u8>>,
    remote: Vec<Remote>,
    /// Read once: a run keeps the presets it began with.
    presets: Presets,
}

#[derive(Debug, Clone, Default)]
struct Remote {
    validators: Validators,
    bytes: Vec<u8>,
}

impl Lists {
    /// Parses the single entries and takes standard input if a list is piped in.
    ///
    /// # Errors
    /// An entry of `-x` is not a proxy, or standard input cannot be read.
    pub fn open(sources: ProxySources) -> Result<Self, Error> {
        let mut presets = Presets::default();
        for path in &sources.presets {
            let text =
                std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
            presets.add(&path.to_string_lossy(), &text)?;
        }
        let options = Options {
            default_scheme: sources.scheme.unwrap_or(Scheme::Http),
            env: &variable,
            remote: false,
            presets: Some(&presets),
            only_working: !sources.all_rows,
        };
        let mut single = Vec::new();
        for line in &sources.lines {
            let parsed = parse_proxy(line.expose(), &options);
            single.extend(parsed.map_err(|problem| problem.at("--proxy"))?);
        }
        let piped = if sources.lists.contains(&ListSource::Stdin) {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| Error::io("read", "standard input", error))?;
            Some(bytes)
        } else {
            None
        };
        let remote = vec![Remote::default(); sources.lists.len()];
        Ok(Lists {
            sources,
            single,
            piped,
            remote,
            presets,
        })
    }

    /// Reads every source and puts them together.
    ///
    /// # Errors
    /// A source cannot be read, the list has no proxy, or `--strict` met a reject.
    pub async fn read(&mut self) -> Result<ProxyList, Error> {
        let scheme = self.sources.scheme.unwrap_or(Scheme::Http);
        let mut parts = Vec::new();
        if !self.single.is_empty() {
            parts.push(ProxyList::of("--proxy", self.single.iter().cloned()));
        }
        for (source, remote) in self.sources.lists.iter().zip(&mut self.remote) {
            let options = |remote| Options {
                default_scheme: scheme,
                env: &variable,
                remote,
                presets: Some(&self.presets),
                only_working: !self.sources.all_rows,
            };
            parts.push(match source {
                ListSource::Stdin => {
                    let bytes = self.piped.as_deref().unwrap_or_default();
                    ProxyList::read("standard input", bytes, &options(false))
                }
                ListSource::File(path) => {
                    let bytes =
                        std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
                    ProxyList::read(&path.to_string_lossy(), &bytes, &options(false))
                }
                ListSource::Url(address) => {
                    let url = Url::parse(address.expose()).map_err(|error| {
                        Problem::new(format!("not an address of a proxy list: {error}"))
                            .at("--proxy-file")
                    })?;
                    if let Fetched::Body { bytes, validators } =
                        fetch_list(&url, &remote.validators).await?
                    {
                        *remote = Remote {
                            validators,
                            bytes: bytes.to_vec(),
                        };
                    }
                    // The path of such an address often holds a token; only the host is named.
                    let name = format!("list from {}", url.host_str().unwrap_or_default());
                    ProxyList::read(&name, &remote.bytes, &options(true))
                }
            });
        }
        let mut list = merge(parts).checked(self.sources.strict)?;
        list.set_prices(&self.sources.prices);
        Ok(list)
    }

    /// True when there is something to read again.
    pub fn can_change(&self) -> bool {
        self.sources
            .lists
            .iter()
            .any(|source| *source != ListSource::Stdin)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
