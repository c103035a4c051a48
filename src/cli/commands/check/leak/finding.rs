//! What gives the user away: decided from what the judges say they have seen, and from nothing else.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::place::{Path, Place, Target, Via};
use crate::check::{Anonymity, Report, Verdict, level, shows};
use crate::echo::{self, Echo};
use crate::proxy::{Proxy, ProxyId};
use crate::text::harmless;

/// Longest evidence, characters.
const EVIDENCE: usize = 200;

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A request came from our own address.
    OwnAddress,
    /// A header told it.
    OwnHeader,
    /// Something was reached although there was no proxy to reach it through.
    Reached,
    /// A target's name was looked up on this machine.
    Name,
    /// A header that we have not sent.
    Header,
    /// The answer was changed, or TLS broken.
    Tampering,
    /// A cookie set through one proxy was sent through another.
    Cookie,
    /// A TLS session made from one address was resumed from another.
    Session,
}

impl What {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            What::OwnAddress | What::OwnHeader => "own_address",
            What::Reached => "reached",
            What::Name => "name",
            What::Header => "header",
            What::Tampering => "tampering",
            What::Cookie => "cookie",
            What::Session => "tls_session",
        }
    }
}

/// One thing that gives the user away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// The proxy's label.
    pub(super) proxy: String,
    pub(super) what: What,
    /// The evidence.
    pub(super) detail: String,
    pub(super) place: Place,
}

impl Finding {
    pub(super) fn new(what: What, place: Place, proxy: &Proxy, detail: &str) -> Self {
        Finding {
            proxy: proxy.label().to_string(),
            what,
            detail: harmless(detail).take(EVIDENCE).collect(),
            place,
        }
    }
}

/// One request through the pool, as it came back.
pub(super) struct Reply<'a> {
    pub(super) place: Place,
    pub(super) nonce: String,
    /// Through whom the answer came.
    pub(super) proxy: Arc<Proxy>,
    /// Everybody who has carried it.
    pub(super) tried: Vec<ProxyId>,
    /// What the judge sees of such a request when nobody has touched it.
    pub(super) sent: &'a [(String, String)],
    pub(super) read: Read,
}

/// The answer.
pub(super) enum Read {
    /// The judge's own.
    Echo(Box<Echo>),
    /// The judge's, changed on the way.
    Altered,
    /// None, or none of the judge's.
    Nothing,
}

/// Adds what the replies of one run give away to `findings`. How many cookies came back to the judge.
pub(super) fn examine(
    replies: &[Reply<'_>],
    own: &BTreeSet<IpAddr>,
    findings: &mut Vec<Finding>,
) -> usize {
    let carriers: HashMap<&str, &[ProxyId]> = replies
        .iter()
        .map(|reply| (&*reply.nonce, &*reply.tried))
        .collect();
    let mut carried = 0;
    for reply in replies {
        let mut find = |what, detail: &str| {
            findings.push(Finding::new(what, reply.place, &reply.proxy, detail));
        };
        let echo = match &reply.read {
            Read::Echo(echo) => echo,
            Read::Altered => {
                find(What::Tampering, "the judge's answer was changed or is old");
                continue;
            }
            Read::Nothing => continue,
        };
        let client = echo.client.to_canonical();
        if own.contains(&client) {
            find(What::OwnAddress, &format!("the judge saw {client}"));
        }
        if let Some(made) = echo.resumed_from.map(|made| made.to_canonical())
            && made != client
        {
            let detail = format!("a TLS session made from {made} was resumed from {client}");
            find(What::Session, &detail);
        }
        let (cookies, headers): (Vec<_>, Vec<_>) = echo
            .headers
            .iter()
            .cloned()
            .partition(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let (level, proof) = level(reply.sent, &headers, own);
        let what = match level {
            Anonymity::Transparent => What::OwnHeader,
            Anonymity::Anonymous | Anonymity::Elite => What::Header,
        };
        for (name, value) in &proof {
            find(what, &format!("{name}: {value}"));
        }
        for cookie in cookies.iter().flat_map(|(_, line)| line.split(';')) {
            let name = cookie.trim().split('=').next().unwrap_or_default();
            match echo::nonce_of_cookie(name).and_then(|nonce| carriers.get(nonce)) {
                Some(tried) => {
                    carried += 1;
                    if !tried.contains(&reply.proxy.id()) {
                        find(What::Cookie, &format!("{name} was set through another"));
                    }
                }
                None => find(What::Header, &format!("Cookie: {name}")),
            }
        }
    }
    carried
}

/// What the check of each proxy by itself gives away.
pub(super) fn of_report(report: &Report, own: &BTreeSet<IpAddr>) -> Vec<Finding> {
    let place = alone(Via::of(report.proxy.scheme()));
    let new = |what, detail: &str| Finding::new(what, place, &report.proxy, detail);
    let mut findings = Vec::new();
    for exit in report.exits.iter().filter(|exit| own.contains(exit)) {
        findings.push(new(What::OwnAddress, &format!("the judge saw {exit}")));
    }
    for (name, value) in &report.headers {
        // A proxy that comes out at our own address may add harmless ones.
        let what = match shows(value, own) {
            true => What::OwnHeader,
            false => What::Header,
        };
        findings.push(new(what, &format!("{name}: {value}")));
    }
    if report.verdict == Verdict::Hostile {
        let why = report.trouble.as_ref().map_or_else(
            || "hostile".to_owned(),
            |trouble| format!("{}: {}", trouble.reason, trouble.message),
        );
        findings.push(new(What::Tampering, &why));
    }
    findings
}

/// The place of such findings.
pub(super) fn alone(via: Via) -> Place {
    Place {
        path: Path::Alone,
        target: Target::Any,
        via,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Scheme;

    const PLACE: Place = Place {
        path: Path::Request,
        target: Target::Https,
        via: Via::Http,
    };

    fn proxy(number: u8) -> Arc<Proxy> {
        let host = format!("192.0.2.{number}");
        Arc::new(Proxy::new(Scheme::Http, &host, 80, None))
    }

    fn reply(nonce: &str, number: u8, headers: &[(&str, &str)]) -> Reply<'static> {
        let headers = headers.iter().map(|(n, v)| (n.to_string(), v.to_string()));
        Reply {
            place: PLACE,
            nonce: nonce.into(),
            proxy: proxy(number),
            tried: vec![proxy(number).id()],
            sent: &[],
            read: Read::Echo(Box::new(Echo {
                v: echo::VERSION,
                client: [192, 0, 2, number].into(),
                https: true,
                http: "1".into(),
                method: "GET".into(),
                target: "/cookie".into(),
                headers: headers.collect(),
                nonce: Some(nonce.into()),
                resumed_from: None,
                at_ms: 0,
                key: String::new(),
            })),
        }
    }

    fn found(replies: &[Reply<'_>]) -> Vec<(What, String)> {
        let own = ["203.0.113.9".parse().unwrap()].into();
        let mut findings = Vec::new();
        examine(replies, &own, &mut findings);
        findings
            .into_iter()
            .map(|finding| (finding.what, finding.detail))
            .collect()
    }

    #[test]
    fn a_cookie_may_come_back_through_its_own_exit_only() {
        let set = || reply("5", 1, &[]);
        let same = reply("6", 1, &[("Cookie", "judge-5=1")]);
        assert_eq!(found(&[set(), same]), []);
        let other = reply("7", 2, &[("cookie", "judge-5=1; judge-7=1")]);
        let expected = "judge-5 was set through another".to_owned();
        assert_eq!(found(&[other, set()]), [(What::Cookie, expected)]);
        // A request that went through two may have been answered to both.
        let mut both = set();
        both.tried.push(proxy(2).id());
        let other = reply("7", 2, &[("cookie", "judge-5=1")]);
        assert_eq!(found(&[both, other]), []);
        // And one that nobody has set is the proxy's.
        let strange = reply("8", 1, &[("Cookie", "judge-9=1; track=me")]);
        assert_eq!(found(&[strange]).len(), 2);
    }

    #[test]
    fn a_session_resumed_from_another_address_links_two_exits() {
        let resumed = |from: [u8; 4]| {
            let mut reply = reply("5", 1, &[]);
            if let Read::Echo(echo) = &mut reply.read {
                echo.resumed_from = Some(from.into());
            }
            found(&[reply])
        };
        assert_eq!(resumed([192, 0, 2, 1]), []);
        assert_eq!(resumed([192, 0, 2, 2])[0].0, What::Session);
    }

    #[test]
    fn our_address_is_found_as_the_client_and_inside_headers_and_no_secret_is_shown() {
        let mut direct = reply("5", 1, &[]);
        if let Read::Echo(echo) = &mut direct.read {
            echo.client = "::ffff:203.0.113.9".parse().unwrap();
        }
        assert_eq!(found(&[direct])[0].0, What::OwnAddress);
        let told = reply("6", 1, &[("X-Real-IP", "203.0.113.9")]);
        assert_eq!(
            found(&[told]),
            [(What::OwnHeader, "X-Real-IP: 203.0.113.9".to_owned())]
        );
        // One whose exit is ours may still add headers that do not say so.
        let mut report = Report::empty(0, proxy(1));
        report.exits = vec!["203.0.113.9".parse().unwrap()];
        report.anonymity = Some(Anonymity::Transparent);
        report.headers = vec![("Via".into(), "1.1 vm (tinyproxy/1.11.1)".into())];
        let found_of = of_report(&report, &["203.0.113.9".parse().unwrap()].into());
        let kinds: Vec<What> = found_of.iter().map(|finding| finding.what).collect();
        assert_eq!(kinds, [What::OwnAddress, What::Header]);
        let passed_on = reply("7", 1, &[("Proxy-Authorization", "Basic c2VjcmV0")]);
        let expected = "Proxy-Authorization: (redacted)".to_owned();
        assert_eq!(found(&[passed_on]), [(What::Header, expected)]);
    }
}
