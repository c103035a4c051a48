//! What all tasks of a lab share: the proxies, the gates in front of them, the sites and the certificates.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::address::address_of;
use super::builder::ProxySpec;
use super::fault::Fault;
use super::origin::{Origin, Via};
use super::rehearsal::Rehearsal;
use super::stats::{Count, ProxyCounters, Window, dice};
use super::tls::Authority;

/// Paths a `stale` proxy remembers, one for each host.
const MAX_STALE_HOSTS: usize = 64;

/// The shared state of a lab.
#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    /// By address number.
    pub(super) gates: Vec<Gate>,
    /// By proxy number.
    pub(super) proxies: Vec<ProxyState>,
    pub(super) origin: Origin,
    pub(super) authority: Authority,
    /// What a scenario does in place of plans and faults.
    pub(super) rehearsal: Option<Rehearsal>,
    /// The first panic of a connection task.
    pub(super) panic: Mutex<Option<String>>,
}

/// Who is reached at an address.
#[derive(Debug)]
pub(super) enum Gate {
    /// The proxy with the number of the address.
    Own,
    /// One of several exits.
    Gateway(Gateway),
    /// Nobody: the number belongs to an exit behind a gateway.
    Shut,
}

/// Several exits behind one address.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) first: u32,
    pub(super) exits: u32,
    /// A new exit for every connection, whatever the user name.
    pub(super) per_connection: bool,
    pub(super) turn: Count,
}

/// One proxy.
#[derive(Debug)]
pub(super) struct ProxyState {
    pub(super) spec: Arc<ProxySpec>,
    /// The address it is reached at.
    pub(super) gate: u32,
    /// False for a perfect proxy, which then asks nothing else of its plan: the hot path of benchmarks.
    faulty: AtomicBool,
    faults: RwLock<Arc<[Fault]>>,
    pub(super) counters: ProxyCounters,
    memory: Mutex<Option<Box<Memory>>>,
}

/// What only faulty proxies remember.
#[derive(Debug, Default)]
struct Memory {
    served: u64,
    died_at: Option<Instant>,
    window: Window,
    stale: HashMap<Box<str>, Box<str>>,
}

/// What a proxy thinks of a client's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// This proxy serves it.
    Proxy(u32),
    /// Not without (other) credentials; the proxy to book it on.
    Refused(u32),
}

impl World {
    pub(super) fn proxy(&self, number: u32) -> &ProxyState {
        &self.proxies[number as usize]
    }

    /// The proxy that stands for everything that happens at an address before credentials are known.
    pub(super) fn front(&self, address: u32) -> Option<u32> {
        match self.gates.get(address as usize)? {
            Gate::Own => Some(address),
            Gate::Gateway(gateway) => Some(gateway.first),
            Gate::Shut => None,
        }
    }

    /// True when a client without credentials is not served at this address.
    pub(super) fn wants_credentials(&self, address: u32) -> bool {
        match &self.gates[address as usize] {
            Gate::Own => self.proxy(address).spec.credentials.is_some(),
            Gate::Gateway(_) => true,
            Gate::Shut => false,
        }
    }

    /// Who serves a client with these credentials at this address. `turn` is the place of the connection in a rotating
    /// gateway's order, see [`World::turn`].
    pub(super) fn admit(&self, address: u32, given: Option<(&str, &str)>, turn: u64) -> Admission {
        let front = self.front(address).unwrap_or(address);
        let number = match &self.gates[address as usize] {
            Gate::Own | Gate::Shut => {
                let wanted = self.proxy(front).spec.credentials.as_ref();
                let wanted = wanted.map(|(user, password)| (user.as_str(), password.as_str()));
                (wanted.is_none() || wanted == given).then_some(front)
            }
            Gate::Gateway(gateway) => given.and_then(|(user, password)| {
                let suffix = user.strip_prefix(gateway.user.as_str())?;
                (password == gateway.password).then(|| gateway.exit(suffix, turn))
            }),
        };
        let forbids = |number: &u32| !self.proxy(*number).has(&Fault::Auth407);
        match number.filter(forbids) {
            Some(number) => Admission::Proxy(number),
            None => Admission::Refused(front),
        }
    }

    /// The turn of a new connection.
    pub(super) fn turn(&self, address: u32) -> u64 {
        match &self.gates[address as usize] {
            Gate::Gateway(gateway) if gateway.per_connection => gateway.turn.bump(),
            _ => 0,
        }
    }

    /// The way through proxy `number`, as sites see it.
    pub(super) fn via(&self, number: u32) -> Via {
        let ban_after = self.proxy(number).find(|fault| match fault {
            Fault::BanAfter {
                requests,
                window_ms,
            } => Some((*requests, *window_ms)),
            _ => None,
        });
        Via {
            proxy: Some(number),
            exit: IpAddr::V4(address_of(number)),
            ban_after,
        }
    }

    /// Waits as long as proxy `number` takes for its answer number `count`.
    pub(super) async fn lag(&self, number: u32, count: u64) {
        let proxy = self.proxy(number);
        let (low, high) = proxy.spec.latency;
        let mut lag = low;
        if high > low {
            let permille = dice(self.seed, u64::from(number), count, 3) % 1001;
            lag += (high - low).mul_f64(permille as f64 / 1000.0);
        }
        let tail = proxy.find(|fault| match fault {
            Fault::TailLatency { percent, ms } => Some((u64::from(*percent), *ms)),
            _ => None,
        });
        if let Some((percent, ms)) = tail
            && dice(self.seed, u64::from(number), count, 4) % 100 < percent
        {
            lag += Duration::from_millis(ms);
        }
        if !lag.is_zero() {
            tokio::time::sleep(lag).await;
        }
    }

    /// Keeps the first panic, for `stop` and `drop` to raise again.
    pub(super) fn note_panic(&self, payload: &(dyn std::any::Any + Send)) {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown panic".to_owned());
        self.panic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(text);
    }
}

impl Gateway {
    fn exit(&self, suffix: &str, turn: u64) -> u32 {
        let choice = if self.per_connection {
            turn
        } else {
            exit_choice(suffix)
        };
        self.first + u32::try_from(choice % u64::from(self.exits.max(1))).unwrap_or(0)
    }
}

/// Which exit a user name asks for: its digits after the last `-`, else anything that depends on the name alone.
fn exit_choice(suffix: &str) -> u64 {
    let token = suffix.rsplit('-').next().unwrap_or_default();
    token.parse().unwrap_or_else(|_| {
        suffix
            .bytes()
            .fold(0, |sum, byte| dice(sum, u64::from(byte), 0, 5))
    })
}

impl ProxyState {
    pub(super) fn new(spec: Arc<ProxySpec>, faults: Arc<[Fault]>, gate: u32) -> Self {
        ProxyState {
            spec,
            gate,
            faulty: AtomicBool::new(!faults.is_empty()),
            faults: RwLock::new(faults),
            counters: ProxyCounters::default(),
            memory: Mutex::new(None),
        }
    }

    pub(super) fn faults(&self) -> Arc<[Fault]> {
        self.faults
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_faults(&self, faults: Vec<Fault>) {
        self.faulty.store(!faults.is_empty(), Ordering::Release);
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = faults.into();
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn is_faulty(&self) -> bool {
        self.faulty.load(Ordering::Acquire)
    }

    pub(super) fn has(&self, fault: &Fault) -> bool {
        self.find(|each| (each == fault).then_some(())).is_some()
    }

    /// What the first fault that `pick` knows says.
    pub(super) fn find<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        if !self.is_faulty() {
            return None;
        }
        self.faults
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find_map(pick)
    }

    /// True while a `dies-after` proxy is dead. `serving` counts one more request against its life.
    pub(super) fn is_dead(&self, serving: bool, now: Instant) -> bool {
        let life = self.find(|fault| match fault {
            Fault::DiesAfter {
                requests,
                revives_after_ms,
            } => Some((*requests, *revives_after_ms)),
            _ => None,
        });
        let Some((requests, revives_after_ms)) = life else {
            return false;
        };
        self.remember(|memory| {
            if let Some(died_at) = memory.died_at {
                let rest = revives_after_ms.map(Duration::from_millis);
                if rest.is_none_or(|rest| now - died_at < rest) {
                    return true;
                }
                (memory.died_at, memory.served) = (None, 0);
            }
            if memory.served >= requests {
                memory.died_at = Some(now);
                return true;
            }
            memory.served += u64::from(serving);
            // The last request is still served; the connection attempt after it is not.
            false
        })
    }

    /// How long a `rate-limit` proxy wants its client to wait.
    pub(super) fn over_quota(&self, now: Instant) -> Option<Duration> {
        let (requests, window_ms) = self.find(|fault| match fault {
            Fault::RateLimit {
                requests,
                window_ms,
            } => Some((*requests, *window_ms)),
            _ => None,
        })?;
        let window = Duration::from_millis(window_ms);
        self.remember(|memory| memory.window.excess(now, requests, window))
    }

    /// What a `stale` proxy answers in place of `path`: the first path it saw of `host`; `None` for that first one.
    pub(super) fn stale_path(&self, host: &str, path: &str) -> Option<String> {
        self.remember(|memory| {
            if let Some(first) = memory.stale.get(host) {
                return Some(first.to_string());
            }
            if memory.stale.len() < MAX_STALE_HOSTS {
                memory.stale.insert(host.into(), path.into());
            }
            None
        })
    }

    fn remember<T>(&self, with: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        with(memory.get_or_insert_default())
    }
}

/// The squid-like page of a proxy that cannot or will not.
pub(super) fn proxy_error(
    status: u16,
    name: &str,
    errno: u16,
    what: &str,
) -> super::answer::Answer {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    let page = format!(
        "<!DOCTYPE html>\n<html><head><title>ERROR: The requested URL could not be retrieved</title></head>\n\
         <body id={name}><h1>ERROR</h1><h2>The requested URL could not be retrieved</h2>\n\
         <p>The following error was encountered while trying to retrieve the URL: {what}</p>\n\
         </body></html>\n"
    );
    super::answer::Answer::html(status, page)
        .header("Server", "squid/6.9")
        .header("X-Squid-Error", format!("{name} {errno}"))
        .header("Via", "1.1 lab (squid/6.9)")
        .header("X-Cache", "MISS from lab")
}
