//! The row of one proxy.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::anonymity::Anonymity;
use super::change::{Change, Known};
use super::dns::Dns;
use super::geo::{Geo, Place};
use super::headers::Rewrites;
use super::measure::{Spread, wilson};
use super::tamper::Tampering;
use super::verdict::{Trouble, Verdict};
use crate::exchange::Phases;
use crate::outcome::UnixMillis;
use crate::proxy::{Proxy, Scheme};
use crate::secret::Secret;

/// What was found out about one proxy.
#[derive(Debug, Clone)]
pub struct Report {
    /// Place in the list, from 0.
    pub seq: u64,
    /// The proxy.
    pub proxy: Arc<Proxy>,
    /// As it is listed: another one where `--detect` has found what its port really speaks.
    pub listed: Arc<Proxy>,
    /// The word on it.
    pub verdict: Verdict,
    /// Why it is not alive, or what it lost; of hostile ones what they did.
    pub trouble: Option<Trouble>,
    /// Protocols it was found to speak, its own first. Only its own without `--detect`.
    pub protocols: Vec<Scheme>,
    /// It forwards plain http requests; `None` when that was not tried, or not allowed without other credentials.
    pub forwards: Option<bool>,
    /// It opens tunnels; `None` when that was not tried, or not allowed without other credentials.
    pub tunnels: Option<bool>,
    /// Times of the requests that were answered.
    pub times: Vec<Times>,
    /// Requests that were not.
    pub failed: u32,
    /// Addresses the judges saw, in the order they came up.
    pub exits: Vec<IpAddr>,
    /// It reaches judges over IPv4; `None` when that was not tried or nobody can say.
    pub ipv4: Option<bool>,
    /// The same over IPv6.
    pub ipv6: Option<bool>,
    /// Where each of the exits is, in their order; `None` when no file was asked.
    pub places: Option<Vec<Place>>,
    /// `None` where it does not apply: in tunnels, or when no judge answered on the direct path.
    pub anonymity: Option<Anonymity>,
    /// The headers that prove it.
    pub headers: Vec<(String, String)>,
    /// What it does to headers in plain http; `None` where it does not apply, as for `anonymity`.
    pub rewrites: Option<Rewrites>,
    /// What its exit does with names.
    pub dns: Dns,
    /// Changes to the answer.
    pub tampering: Option<Tampering>,
    /// The user's own URLs.
    pub targets: Vec<Target>,
    /// 0..=100; `None` when nothing is known.
    pub score: Option<u8>,
    /// What was known of it before, when it was compared with an earlier check that had it.
    pub before: Option<Box<Known>>,
    /// What has changed since; `None` when it was not compared.
    pub changes: Option<Vec<Change>>,
    /// When it was over.
    pub checked_at: UnixMillis,
}

/// Times of one answered request.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Its phases.
    pub phases: Phases,
    /// All of it.
    pub total: Duration,
}

/// What came of one of the user's URLs.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// The URL as it was given.
    pub url: Arc<str>,
    /// It was answered as the user expects.
    pub ok: bool,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// The outcome, in the words of a record of `fetch`.
    pub outcome: &'static str,
}

impl Report {
    /// A proxy nothing is known of yet.
    pub fn empty(seq: u64, proxy: Arc<Proxy>) -> Self {
        Report {
            seq,
            listed: proxy.clone(),
            proxy,
            verdict: Verdict::Unknown,
            trouble: None,
            protocols: Vec::new(),
            forwards: None,
            tunnels: None,
            times: Vec::new(),
            failed: 0,
            exits: Vec::new(),
            ipv4: None,
            ipv6: None,
            places: None,
            anonymity: None,
            headers: Vec::new(),
            rewrites: None,
            dns: Dns::default(),
            tampering: None,
            targets: Vec::new(),
            score: None,
            before: None,
            changes: None,
            checked_at: UnixMillis::from(SystemTime::now()),
        }
    }

    /// A proxy of which nothing could be found out.
    pub(super) fn unknown(seq: u64, proxy: Arc<Proxy>, trouble: Trouble) -> Self {
        Report {
            trouble: Some(trouble),
            ..Report::empty(seq, proxy)
        }
    }

    /// Requests that were answered.
    pub fn ok(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }

    /// Spread of a phase over the answered requests.
    pub fn spread(&self, phase: impl Fn(&Times) -> Option<Duration>) -> Option<Spread> {
        Spread::of(self.times.iter().filter_map(phase))
    }

    /// Spread of whole requests.
    pub fn latency(&self) -> Option<Spread> {
        self.spread(|times| Some(times.total))
    }

    /// It came out at different addresses of one family. To have one of each is no rotation.
    pub fn rotates(&self) -> Option<bool> {
        let of = |v6: bool| self.exits.iter().filter(|ip| ip.is_ipv6() == v6).count();
        let is_seen = self.ok() > 1 && !self.exits.is_empty();
        is_seen.then_some(of(false) > 1 || of(true) > 1)
    }

    /// Asks the files where the exits are.
    pub fn locate(&mut self, geo: &Geo) {
        self.places = Some(self.exits.iter().map(|ip| geo.place(*ip)).collect());
    }

    /// Countries of the exits, each once; those not known left out.
    pub fn countries(&self) -> Vec<&str> {
        let known = self.places.iter().flatten();
        let mut countries: Vec<_> = known.filter_map(|place| place.country.as_deref()).collect();
        countries.sort_unstable();
        countries.dedup();
        countries
    }

    /// The entry as a list has it, with the country of the exit if the list says none and there is only one.
    pub fn line(&self) -> Secret {
        let mut labels = self.proxy.labels().clone();
        match self.countries()[..] {
            [country] if labels.country.is_none() => labels.country = Some(country.into()),
            _ => return self.proxy.line(),
        }
        (*self.proxy).clone().with_labels(labels).line()
    }

    /// Compares with an earlier check: what was known then, `None` inside when it had a row that said nothing, `None` outside
    /// when it had none.
    pub fn compare(&mut self, earlier: Option<Option<&Known>>) {
        self.before = earlier.flatten().cloned().map(Box::new);
        self.changes = Some(match (earlier, &self.before) {
            (None, _) => vec![Change::New],
            (Some(_), Some(before)) if self.verdict != Verdict::Unknown => {
                let now = Known::after(self);
                now.map(|now| before.changes(&now)).unwrap_or_default()
            }
            _ => Vec::new(),
        });
    }

    /// The word to count by; `ok` for one that is alive.
    pub fn reason(&self) -> &'static str {
        match &self.trouble {
            Some(trouble) if self.verdict != Verdict::Alive => trouble.reason,
            _ => "ok",
        }
    }
}

#[derive(Serialize)]
struct Latency {
    connect: Option<Spread>,
    proxy_handshake: Option<Spread>,
    tls: Option<Spread>,
    ttfb: Option<Spread>,
    total: Option<Spread>,
}

/// As a row of JSON; milliseconds. Absent is null, never 0 and never a missing key.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let trouble = self.trouble.as_ref();
        let interval = wilson(self.ok(), self.ok() + self.failed);
        let latency = Latency {
            connect: self.spread(|times| times.phases.connect),
            proxy_handshake: self.spread(|times| times.phases.proxy_handshake),
            tls: self.spread(|times| times.phases.tls),
            ttfb: self.spread(|times| times.phases.ttfb),
            total: self.latency(),
        };
        let words = |schemes: &[Scheme]| -> Vec<&'static str> {
            schemes.iter().map(|scheme| scheme.as_str()).collect()
        };
        let rounded = |share: f64| (share * 1000.0).round() / 1000.0;
        let places = self.places.as_deref();
        let countries: Option<Vec<_>> =
            places.map(|all| all.iter().map(|at| &at.country).collect());
        let asns: Option<Vec<_>> = places.map(|all| all.iter().map(|at| &at.asn).collect());
        let mut row = serializer.serialize_struct("Report", 34)?;
        row.serialize_field("v", &1)?;
        row.serialize_field("seq", &self.seq)?;
        row.serialize_field("proxy", &self.proxy.label().to_string())?;
        row.serialize_field("scheme", self.proxy.scheme().as_str())?;
        row.serialize_field("host", self.proxy.host())?;
        row.serialize_field("port", &self.proxy.port())?;
        row.serialize_field("verdict", &self.verdict)?;
        row.serialize_field("reason", self.reason())?;
        row.serialize_field("phase", &trouble.and_then(|trouble| trouble.phase))?;
        row.serialize_field("message", &trouble.map(|trouble| &*trouble.message))?;
        row.serialize_field("score", &self.score)?;
        row.serialize_field("speaks", &words(&self.protocols))?;
        row.serialize_field("forwards", &self.forwards)?;
        row.serialize_field("tunnels", &self.tunnels)?;
        row.serialize_field("ok", &self.ok())?;
        row.serialize_field("failed", &self.failed)?;
        row.serialize_field("success_low", &interval.map(|(low, _)| rounded(low)))?;
        row.serialize_field("success_high", &interval.map(|(_, high)| rounded(high)))?;
        row.serialize_field("latency_ms", &latency)?;
        row.serialize_field("exits", &self.exits)?;
        row.serialize_field("ipv4", &self.ipv4)?;
        row.serialize_field("ipv6", &self.ipv6)?;
        row.serialize_field("countries", &countries)?;
        row.serialize_field("asns", &asns)?;
        row.serialize_field("rotates", &self.rotates())?;
        row.serialize_field("anonymity", &self.anonymity)?;
        row.serialize_field("headers", &self.headers)?;
        row.serialize_field("rewrites", &self.rewrites)?;
        row.serialize_field("dns", &self.dns)?;
        row.serialize_field("tampering", &self.tampering)?;
        row.serialize_field("targets", &self.targets)?;
        row.serialize_field("before", &self.before)?;
        row.serialize_field("changes", &self.changes)?;
        row.serialize_field("checked_at", &self.checked_at)?;
        row.end()
    }
}
