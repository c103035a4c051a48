//! The judges: which of them are up, by what they sign, and what they see of us on the direct path.
//!
//! A failure that may be a judge's is not counted before that judge has answered a request that began after the failure: an answer
//! from before says nothing of the moment in which it failed. Many failures wait for one such request. So while a judge is down
//! nobody is blamed, nor for what was under way when it went down, though it be back meanwhile.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::Instant;
use url::{Host, Url};

use super::headers;
use super::nonce::Nonces;
use crate::echo::{self, Echo, PublicKey};
use crate::egress::{Egress, Outgoing};
use crate::exchange::Exchange;
use crate::job::HostKey;
use crate::proxy::{Proxy, Scheme};

/// Shortest time between two direct questions to one judge.
const PACE: Duration = Duration::from_millis(100);

/// The URL of a page of the judge at `base`, such as its `echo`, asked with this nonce.
pub fn judge_page(base: &Url, page: &str, nonce: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{page}", base.path().trim_end_matches('/')));
    url.set_query(Some(&format!("nonce={nonce}")));
    url.set_fragment(None);
    url
}

/// All judges of a run.
pub(super) struct Judges {
    all: Vec<Judge>,
    headers: HeaderMap,
    direct: Proxy,
    /// Judges are asked directly; without it they count as up.
    control: bool,
    patience: Duration,
}

/// Which judges: an exit that has only one of the two address families reaches only those of that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Those with an IPv4 address or a name; without any of them those with an IPv6 address.
    Main,
    /// Those with an IPv6 address beside others.
    Other,
}

/// One judge.
pub(super) struct Judge {
    /// Where its answers are: `echo` and `canary` below it.
    base: Url,
    known: Mutex<Known>,
    /// Held by whoever asks it directly.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    key: Option<PublicKey>,
    /// What it saw of a request without a proxy.
    sent: Vec<(String, String)>,
    /// Headers of its canary page, if it is a plain judge; `None` when the page did not come.
    page: Option<Vec<(String, String)>>,
    own: Option<IpAddr>,
    /// Start of the last request that was answered.
    up: Option<Instant>,
    /// Start of the last direct request that was not, and why.
    down: Option<(Instant, String)>,
    /// Start of the first of them since it was last up.
    outage: Option<Instant>,
    asked: Option<Instant>,
}

impl Judges {
    pub(super) fn new(
        bases: &[Url],
        headers: HeaderMap,
        control: bool,
        patience: Duration,
    ) -> Self {
        let all = bases.iter().map(|base| {
            let mut base = base.clone();
            if !base.path().ends_with('/') {
                let path = format!("{}/", base.path());
                base.set_path(&path);
            }
            base.set_query(None);
            base.set_fragment(None);
            Judge {
                base,
                known: Mutex::default(),
                asking: tokio::sync::Mutex::new(()),
            }
        });
        Judges {
            all: all.collect(),
            headers: headers::with_bait(headers),
            direct: Proxy::direct(),
            control,
            patience,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: usize) -> &Judge {
        &self.all[number]
    }

    /// Headers that are sent to every judge, the same with and without a proxy.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Numbers of the judges of this kind that proxies are judged by.
    pub(super) fn of_kind(&self, https: bool) -> impl Iterator<Item = usize> {
        self.of(Family::Main, https)
    }

    /// Numbers of the judges of this family and kind.
    pub(super) fn of(&self, family: Family, https: bool) -> impl Iterator<Item = usize> {
        let is_v6 = |number: &usize| matches!(self.all[*number].base.host(), Some(Host::Ipv6(_)));
        let all_v6 = (0..self.all.len()).all(|number| is_v6(&number));
        (0..self.all.len()).filter(move |number| {
            let here = match is_v6(number) && !all_v6 {
                true => Family::Other,
                false => Family::Main,
            };
            here == family && self.all[*number].is_https() == https
        })
    }

    /// There are judges of the other family, and they answer.
    pub(super) fn has_other(&self) -> bool {
        let both = [false, true].into_iter();
        both.flat_map(|https| self.of(Family::Other, https))
            .any(|number| self.get(number).seems_up())
    }

    /// Judges are asked directly.
    pub(super) fn has_control(&self) -> bool {
        self.control
    }

    /// The protocol that these judges can prove where `scheme` is tried: towards an address SOCKS4 and 4a are the same bytes, and not
    /// every proxy of the first resolves names as the second does.
    pub(super) fn provable(&self, scheme: Scheme) -> Scheme {
        let is_name = |judge: &Judge| judge.base.domain().is_some();
        match scheme {
            Scheme::Socks4a if !self.all.iter().all(is_name) => Scheme::Socks4,
            scheme => scheme,
        }
    }

    /// Our own addresses, as far as the judges have told.
    pub(super) fn own(&self) -> BTreeSet<IpAddr> {
        let of = |judge: &Judge| judge.known().own;
        self.all.iter().filter_map(of).collect()
    }

    /// What this judge sees of a request without a proxy; empty when it was not asked.
    pub(super) fn sent(&self, number: usize) -> Vec<(String, String)> {
        self.all[number].known().sent.clone()
    }

    /// The headers its canary page comes with on the direct path; `None` when that is not known.
    pub(super) fn page(&self, number: usize) -> Option<Vec<(String, String)>> {
        self.all[number].known().page.clone()
    }

    /// Asks every judge directly, all at once. The reasons of those that do not answer.
    pub(super) async fn meet<E: Egress>(
        &self,
        egress: &E,
        nonces: &Nonces,
    ) -> Vec<(usize, String)> {
        if !self.control {
            return Vec::new();
        }
        let now = Instant::now();
        let mut silent = Vec::new();
        for number in 0..self.all.len() {
            if let Err(why) = self.is_up(number, now, egress, nonces).await {
                silent.push((number, why));
            }
        }
        silent
    }

    /// Whether judge `number` has answered a request that began at `since` or later; asks it if nobody knows.
    ///
    /// # Errors
    /// It does not answer; why.
    pub(super) async fn is_up<E: Egress>(
        &self,
        number: usize,
        since: Instant,
        egress: &E,
        nonces: &Nonces,
    ) -> Result<(), String> {
        let judge = &self.all[number];
        if !self.control {
            return Ok(());
        }
        if let Some(known) = judge.known().since(since) {
            return known;
        }
        let _asking = judge.asking.lock().await;
        if let Some(known) = judge.known().since(since) {
            return known;
        }
        let asked = judge.known().asked;
        if let Some(asked) = asked {
            tokio::time::sleep_until(asked + PACE).await;
        }
        let began = Instant::now();
        let answer = self.ask(judge, began, egress, nonces).await;
        let mut page = None;
        if let Ok(echo) = &answer
            && !judge.is_https()
            && judge.key() != PublicKey::from_base64(&echo.key)
        {
            page = self.page_of(judge, egress, nonces).await;
        }
        let mut known = judge.known();
        known.asked = Some(began);
        match answer {
            Ok(echo) => {
                known.page = page.or(known.page.take());
                known.key = PublicKey::from_base64(&echo.key);
                known.own = Some(echo.client.to_canonical());
                known.sent = echo.headers;
                known.is_up(began);
                Ok(())
            }
            Err(why) => {
                known.down = Some((began, why.clone()));
                known.outage.get_or_insert(began);
                Err(why)
            }
        }
    }

    async fn ask<E: Egress>(
        &self,
        judge: &Judge,
        began: Instant,
        egress: &E,
        nonces: &Nonces,
    ) -> Result<Echo, String> {
        let nonce = nonces.next();
        let exchange = self
            .send(&judge.at("echo", &nonce), &nonce, began, egress)
            .await;
        let response = exchange.result.map_err(|fault| fault.to_string())?;
        // On the direct path nobody stands between: a judge that was started anew may have a new key.
        match Echo::read(&response.body.bytes, None) {
            Ok(echo) if echo.nonce.as_deref() == Some(&*nonce) => Ok(echo),
            _ => Err(format!(
                "it answers status {} and not as a judge does",
                response.status.as_u16()
            )),
        }
    }

    /// The headers of the canary page, if it is what it has to be.
    async fn page_of<E: Egress>(
        &self,
        judge: &Judge,
        egress: &E,
        nonces: &Nonces,
    ) -> Option<Vec<(String, String)>> {
        let nonce = nonces.next();
        let url = judge.at("canary", &nonce);
        let response = self
            .send(&url, &nonce, Instant::now(), egress)
            .await
            .result
            .ok()?;
        let is_page = response.body.bytes == echo::canary(&nonce).as_bytes();
        is_page.then(|| headers::of_answer(&response.headers))
    }

    /// Sends a request on the direct path, in a session of its own: the cookie that one brings is not for the next.
    pub(super) async fn send<E: Egress>(
        &self,
        url: &Url,
        nonce: &str,
        began: Instant,
        egress: &E,
    ) -> Exchange {
        let session: Arc<str> = nonce.into();
        egress
            .send(Outgoing {
                proxy: &self.direct,
                method: &Method::GET,
                url,
                headers: &self.headers,
                body: &Bytes::new(),
                elsewhere: false,
                tunnel: false,
                session: Some(&session),
                connect_timeout: self.patience,
                deadline: began + self.patience,
                least_filesize: 0,
                clearance: None,
                traffic: None,
            })
            .await
    }
}

impl Judge {
    /// The URL of one of its answers.
    pub(super) fn at(&self, what: &str, nonce: &str) -> Url {
        judge_page(&self.base, what, nonce)
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Its address as the target of a tunnel.
    pub(super) fn host(&self) -> Option<HostKey> {
        HostKey::of(&self.base)
    }

    /// The key its answers have to be signed with; `None` without a control.
    pub(super) fn key(&self) -> Option<PublicKey> {
        self.known().key
    }

    /// It has answered a request that began then.
    pub(super) fn has_answered(&self, began: Instant) {
        self.known().is_up(began);
    }

    /// Whether it has answered every direct request that began since then, as far as any did.
    ///
    /// # Errors
    /// It was silent; why.
    pub(super) fn stayed_up(&self, since: Instant) -> Result<(), String> {
        match &self.known().down {
            Some((down, why)) if *down >= since => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// How long it has been down.
    pub(super) fn outage(&self) -> Option<Duration> {
        self.known().outage.map(|since| since.elapsed())
    }

    /// False when the last that is known is that it does not answer.
    pub(super) fn seems_up(&self) -> bool {
        let known = self.known();
        known
            .down
            .as_ref()
            .is_none_or(|(down, _)| known.up > Some(*down))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// It has answered a request that began then.
    fn is_up(&mut self, began: Instant) {
        self.up = self.up.max(Some(began));
        if self.outage.is_some_and(|since| began > since) {
            self.outage = None;
        }
    }

    /// What is known of the time since then.
    fn since(&self, since: Instant) -> Option<Result<(), String>> {
        if self.up >= Some(since) {
            return Some(Ok(()));
        }
        match &self.down {
            Some((down, why)) if *down >= since => Some(Err(why.clone())),
            _ => None,
        }
    }
}
