//! Whether names are resolved at the exit, and honestly.
//!
//! A name is made up below a domain of which every name leads to a judge. Nobody can have it in a cache, so an exit that brings
//! the judge's answer from there has just resolved it. A second name must not exist at all (RFC 6761 section 6.4): whoever brings a
//! page from there has a resolver that lies, mostly to show advertisements.
//!
//! Which resolver was asked only the domain's name server could tell.

use http::{HeaderMap, StatusCode};
use serde::Serialize;
use tokio::time::Instant;
use url::Url;

use super::judges::Judges;
use super::look::{Context, Way};
use super::nonce::Nonces;
use crate::echo::{Echo, NoEcho};
use crate::egress::Egress;
use crate::exchange::Exchange;
use crate::proxy::{Proxy, Scheme};

/// What an exit does with names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dns {
    /// Nobody asked, it brings no plain requests, or its protocol takes no names.
    #[default]
    NotTested,
    /// It resolved a name that nobody could know.
    Resolved,
    /// It did not.
    Failed,
    /// It brought somebody else's page from such a name, or any page from a name that does not exist.
    Hijacked,
}

impl Dns {
    /// The word in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Dns::NotTested => "not_tested",
            Dns::Resolved => "resolved",
            Dns::Failed => "failed",
            Dns::Hijacked => "hijacked",
        }
    }
}

/// A loss is asked about again, since it says little of names.
const TRIES: u32 = 2;

/// A domain of which every name leads to a judge.
pub(super) struct Domain {
    name: String,
    /// That judge.
    judge: usize,
}

impl Domain {
    /// The domain and the judge it leads to: on the direct path a name made up below it is asked for. Without a control it is
    /// believed to be the first plain one.
    ///
    /// # Errors
    /// It leads to none of the plain judges; why.
    pub(super) async fn find<E: Egress>(
        name: &str,
        judges: &Judges,
        egress: &E,
        nonces: &Nonces,
    ) -> Result<Self, String> {
        let mut why = "there is no plain judge".to_owned();
        for judge in judges.of_kind(false) {
            let domain = Domain {
                name: name.to_owned(),
                judge,
            };
            match domain.leads_there(judges, egress, nonces).await {
                Ok(()) => return Ok(domain),
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }

    /// Whether a name made up below it leads to its judge on the direct path.
    ///
    /// # Errors
    /// It does not; why.
    async fn leads_there<E: Egress>(
        &self,
        judges: &Judges,
        egress: &E,
        nonces: &Nonces,
    ) -> Result<(), String> {
        if !judges.has_control() {
            return Ok(());
        }
        let nonce = nonces.next();
        let url = self.at(judges, &nonce);
        let exchange = judges.send(&url, &nonce, Instant::now(), egress).await;
        let response = exchange.result.map_err(|fault| fault.to_string())?;
        let key = judges.get(self.judge).key();
        match Echo::read(&response.body.bytes, key.as_ref()) {
            Ok(_) => Ok(()),
            Err(_) => Err("somebody else answers there".to_owned()),
        }
    }

    /// The judge's answer at a name made up for this nonce.
    pub(super) fn at(&self, judges: &Judges, nonce: &str) -> Url {
        let mut url = judges.get(self.judge).at("echo", nonce);
        // A name that flags have been checked for; a bad one leads nowhere.
        let _ = url.set_host(Some(&format!("{nonce}.{}", self.name)));
        url
    }

    /// The number of the judge.
    pub(super) fn judge(&self) -> usize {
        self.judge
    }
}

impl<E: Egress> Context<E> {
    /// Finds out where the domain of the settings leads, if there is one and there are judges.
    ///
    /// # Errors
    /// Nowhere; why.
    pub(super) async fn find_domain(&mut self) -> Result<(), String> {
        if let Some(name) = self
            .settings
            .dns_domain
            .as_deref()
            .filter(|_| !self.judges.is_empty())
        {
            let found = Domain::find(name, &self.judges, &self.egress, &self.nonces);
            self.domain = Some(found.await?);
        }
        Ok(())
    }

    /// Asks a proxy that has passed for both names.
    pub(super) async fn dns(&self, proxy: &Proxy) -> Dns {
        let Some(domain) = &self.domain else {
            return Dns::NotTested;
        };
        // SOCKS4 itself knows addresses only.
        if proxy.scheme() == Scheme::Socks4 {
            return Dns::NotTested;
        }
        match tokio::join!(self.invents(proxy), self.resolves(proxy, domain)) {
            (true, _) => Dns::Hijacked,
            (false, found) => found,
        }
    }

    async fn resolves(&self, proxy: &Proxy, domain: &Domain) -> Dns {
        let judge = self.judges.get(domain.judge());
        let began = Instant::now();
        for _ in 0..TRIES {
            let nonce = self.nonces.next();
            let url = domain.at(&self.judges, &nonce);
            let exchange = self
                .ask_by_name(proxy, &url, self.judges.headers(), &nonce)
                .await;
            let Ok(response) = &exchange.result else {
                continue;
            };
            match Echo::read(&response.body.bytes, judge.key().as_ref()) {
                Ok(echo) if echo.nonce.as_deref() == Some(&*nonce) => return Dns::Resolved,
                Err(NoEcho::Foreign) if is_page(response.status) => return Dns::Hijacked,
                // The judge has had enough of this exit, under any name.
                _ if response.status == StatusCode::TOO_MANY_REQUESTS => return Dns::NotTested,
                _ => {}
            }
        }
        let up = self
            .judges
            .is_up(domain.judge(), began, &self.egress, &self.nonces);
        match up.await {
            Ok(()) => Dns::Failed,
            Err(_) => Dns::NotTested,
        }
    }

    /// True when it finds something where nothing can be.
    async fn invents(&self, proxy: &Proxy) -> bool {
        let nonce = self.nonces.next();
        let Ok(url) = Url::parse(&format!("http://{nonce}.invalid/")) else {
            return false;
        };
        let exchange = self
            .ask_by_name(proxy, &url, &self.settings.headers, &nonce)
            .await;
        // A proxy has a word of its own for a name it does not find. What comes through a tunnel is the word of whoever was found.
        exchange
            .result
            .is_ok_and(|response| !exchange.forwarded || is_page(response.status))
    }

    async fn ask_by_name(
        &self,
        proxy: &Proxy,
        url: &Url,
        headers: &HeaderMap,
        nonce: &str,
    ) -> Exchange {
        self.send(proxy, Way::Plain, url, headers, Instant::now(), nonce)
            .await
    }
}

/// A page, and no word that there is none.
fn is_page(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}
