//! A judge that stands on the open Internet by itself, apart from any lab: what `proxywheel judge` runs.
//!
//! It gives the answers of the lab's judge, by the same code, at the root and below `/judge` alike, so that what a check was
//! rehearsed against is what it meets. The rest is about strangers: every wait has an end, every buffer and table a bound, and
//! each client, known by the address of its socket and by nothing it says of itself, has a share of its own.
//!
//! It speaks HTTP/1.1 only, because that is what keeps the order and the spelling of headers. It keeps no log: whom it has
//! answered is nobody's business.

mod admission;
mod connection;
mod files;
mod listen;

pub use files::{JudgeTls, KeyFile};

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::judge::Judge;
use crate::echo::{Key, PublicKey};
use crate::error::{Error, Problem};
use admission::Clients;

/// Where a judge listens and what it allows.
#[derive(Debug, Clone, Default)]
pub struct JudgeSettings {
    /// Addresses for http; port 0 is any free one. `[::]` takes IPv4 as well, unless an IPv4 address with its port is listed.
    pub listen: Vec<SocketAddr>,
    /// Addresses for https.
    pub listen_tls: Vec<SocketAddr>,
    /// The certificate of `listen_tls`.
    pub tls: Option<JudgeTls>,
    /// What clients may do.
    pub limits: JudgeLimits,
}

impl JudgeSettings {
    /// Finds what cannot work whatever the machine.
    ///
    /// # Errors
    /// No address, an address for https without a certificate, or a certificate without one.
    pub fn check(&self) -> Result<(), Problem> {
        if self.listen.is_empty() && self.listen_tls.is_empty() {
            let hint =
                "give --listen 127.0.0.1:8000; 0.0.0.0 instead is every address of this machine";
            return Err(Problem::new("no address to listen on").hint(hint));
        }
        match (&self.tls, self.listen_tls.is_empty()) {
            (None, false) => {
                return Err(Problem::new("https needs a certificate")
                    .at("--listen-tls")
                    .hint("add --tls CERTIFICATE,KEY, two PEM files"));
            }
            (Some(_), true) => {
                return Err(Problem::new("no address to use the certificate on")
                    .at("--tls")
                    .hint("add --listen-tls 0.0.0.0:443"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// What clients of a judge may do. A client is an IPv4 address or an IPv6 network of 64 bits, which is what one customer gets.
#[derive(Debug, Clone)]
pub struct JudgeLimits {
    /// Time in which a client earns one request.
    pub interval: Duration,
    /// Requests that a client may have saved up.
    pub burst: NonZeroU32,
    /// Connections of all clients. One takes 6 kB at rest and 24 kB with half of the largest head, without TLS.
    pub connections: usize,
    /// Connections of one client.
    pub connections_per_client: usize,
    /// How long a handshake may take, how long a request from its first byte to its last, and how long its answer.
    pub patience: Duration,
    /// How long a connection may wait for its next request.
    pub idle: Duration,
}

impl Default for JudgeLimits {
    /// A check with some hundred requests in flight, through one proxy even, stays below; one client cannot keep a core busy.
    fn default() -> Self {
        JudgeLimits {
            interval: Duration::from_millis(20),
            burst: NonZeroU32::MIN.saturating_add(199),
            connections: 4096,
            connections_per_client: 128,
            patience: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        }
    }
}

/// A running judge. It ends when it is dropped, at once; [`JudgeServer::drain`] lets answers under way go out.
#[derive(Debug)]
pub struct JudgeServer {
    shared: Arc<Shared>,
    addresses: Vec<(bool, SocketAddr)>,
    /// One for each listener; each ends its connections when it ends.
    listeners: JoinSet<()>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    judge: Judge,
    limits: JudgeLimits,
    clients: Clients,
    /// The certificate for the next handshake.
    tls: Mutex<Option<JudgeTls>>,
    /// True once nothing new is wanted.
    draining: watch::Sender<bool>,
    answered: AtomicU64,
    limited: AtomicU64,
}

/// What a judge has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgeCounts {
    /// Requests answered, refusals by the rate limit not counted.
    pub answered: u64,
    /// Requests and connections refused because their client had too many, or all clients together.
    pub limited: u64,
}

impl JudgeServer {
    /// Listens on all addresses of `settings` and serves on the current runtime.
    ///
    /// # Errors
    /// As [`JudgeSettings::check`], or an address that cannot be listened on.
    pub fn start(key: Key, settings: JudgeSettings) -> Result<Self, Error> {
        settings.check()?;
        let listen = settings.listen.iter().map(|address| (false, *address));
        let listen_tls = settings.listen_tls.iter().map(|address| (true, *address));
        let wanted: Vec<_> = listen.chain(listen_tls).collect();
        let mut bound = Vec::new();
        for (https, address) in &wanted {
            let listener = listen::bind(*address, &wanted)?;
            bound.push((*https, listener));
        }
        let shared = Arc::new(Shared {
            judge: Judge::new(key),
            clients: Clients::new(&settings.limits),
            limits: settings.limits,
            tls: Mutex::new(settings.tls),
            draining: watch::Sender::new(false),
            answered: AtomicU64::new(0),
            limited: AtomicU64::new(0),
        });
        let mut addresses = Vec::new();
        let mut listeners = JoinSet::new();
        for (https, listener) in bound {
            let address = listener
                .local_addr()
                .map_err(|error| Error::Internal(format!("a listener has no address: {error}")))?;
            addresses.push((https, address));
            listeners.spawn(listen::run(shared.clone(), listener, https));
        }
        Ok(JudgeServer {
            shared,
            addresses,
            listeners,
        })
    }

    /// Where it listens: whether by https, and the address with its real port.
    pub fn addresses(&self) -> &[(bool, SocketAddr)] {
        &self.addresses
    }

    /// The key that its answers are signed with.
    pub fn public_key(&self) -> PublicKey {
        self.shared.judge.public_key()
    }

    /// Shows this certificate from the next handshake on.
    pub fn set_tls(&self, tls: JudgeTls) {
        let mut current = self
            .shared
            .tls
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Some(tls);
    }

    /// What it has done so far.
    pub fn counts(&self) -> JudgeCounts {
        JudgeCounts {
            answered: self.shared.answered.load(Ordering::Relaxed),
            limited: self.shared.limited.load(Ordering::Relaxed),
        }
    }

    /// Waits for as long as it serves. Safe to cancel.
    ///
    /// # Panics
    /// A connection has panicked.
    pub async fn serve(&mut self) {
        while let Some(ended) = self.listeners.join_next().await {
            raise(ended);
        }
    }

    /// Stops listening, closes idle connections, and waits for the answers under way: at most the patience of
    /// [`JudgeLimits`], a few times over. Safe to cancel.
    ///
    /// # Panics
    /// A connection has panicked.
    pub async fn drain(&mut self) {
        self.shared.draining.send_replace(true);
        self.serve().await;
    }
}

impl Shared {
    fn tls_config(&self) -> Option<Arc<ServerConfig>> {
        let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        tls.as_ref().map(|tls| tls.config().clone())
    }
}

/// Goes on with the panic of a task.
fn raise(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(payload) = error.try_into_panic()
    {
        std::panic::resume_unwind(payload);
    }
}
