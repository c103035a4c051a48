//! The judges as they look without a proxy: that tells our own addresses, their keys, and what a request of ours looks like.

use std::net::IpAddr;
use std::sync::Arc;

use url::{Host, Url};

use crate::check::{Nonces, judge_page};
use crate::client::{Client, Settings};
use crate::echo::{Echo, PublicKey};
use crate::error::Error;
use crate::job::{Job, RequestSpec};
use crate::proxy::Proxy;

/// A judge that has answered on the direct path.
pub(super) struct Judge {
    pub(super) base: Url,
    pub(super) key: PublicKey,
    /// Our address, as this judge sees it.
    pub(super) own: IpAddr,
    /// Headers of a request that nobody has touched.
    pub(super) sent: Vec<(String, String)>,
}

impl Judge {
    pub(super) fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Its host, when that is a name and not an address.
    pub(super) fn name(&self) -> Option<&str> {
        match self.base.host()? {
            Host::Domain(name) => Some(name),
            _ => None,
        }
    }

    /// A page that sets a cookie and says what it has seen.
    pub(super) fn page(&self, nonce: &str) -> Url {
        judge_page(&self.base, "cookie", nonce)
    }

    /// A page that leads to that page of `to`, which has to be on the same host.
    pub(super) fn redirect(&self, to: &Judge, nonce: &str) -> Url {
        let mut url = judge_page(&self.base, "redirect", nonce);
        url.query_pairs_mut()
            .append_pair("to", to.page(nonce).as_str());
        url
    }

    /// Reads an answer of this judge.
    ///
    /// # Errors
    /// It is none, or not to this nonce; `true` when somebody has tampered with it.
    pub(super) fn read(&self, body: &[u8], nonce: &str) -> Result<Echo, bool> {
        match Echo::read(body, Some(&self.key)) {
            Ok(echo) if echo.nonce.as_deref() == Some(nonce) => Ok(echo),
            Ok(_) => Err(true),
            Err(why) => Err(why != crate::echo::NoEcho::Foreign),
        }
    }
}

/// Asks every judge without a proxy. Those that do not answer come with the reason.
///
/// # Errors
/// The client cannot be made.
pub(super) async fn meet(
    bases: &[Url],
    settings: Settings,
    request: &Arc<RequestSpec>,
    nonces: &Nonces,
) -> Result<(Vec<Judge>, Vec<(Url, String)>), Error> {
    let client = Client::builder()
        .proxies([Arc::new(Proxy::direct())])
        .configure(|own| *own = settings)
        .build()?;
    let (mut judges, mut silent) = (Vec::new(), Vec::new());
    for base in bases {
        match ask(&client, base, request, &nonces.next()).await {
            Ok(judge) => judges.push(judge),
            Err(why) => silent.push((base.clone(), why)),
        }
    }
    Ok((judges, silent))
}

async fn ask(
    client: &Client,
    base: &Url,
    request: &Arc<RequestSpec>,
    nonce: &str,
) -> Result<Judge, String> {
    let url = judge_page(base, "cookie", nonce);
    let job = Job::new(0, url.as_str(), request.clone());
    let done = client.fetch_job(job).await.map_err(|why| why.to_string())?;
    let echo = Echo::read(&done.body, None)
        .ok()
        .filter(|echo| echo.nonce.as_deref() == Some(nonce));
    match echo.and_then(|echo| Some((PublicKey::from_base64(&echo.key)?, echo))) {
        Some((key, echo)) => Ok(Judge {
            base: base.clone(),
            key,
            own: echo.client.to_canonical(),
            sent: echo.headers,
        }),
        None => Err(match (done.record.status, &done.record.error) {
            (Some(404), _) => "it has no page /cookie: it is none, or of an older version".into(),
            (Some(status), _) => format!("it answers status {status} and not as a judge does"),
            (None, Some(error)) => error.message.to_string(),
            (None, None) => format!("it does not answer: {}", done.record.outcome),
        }),
    }
}
