//! What can be wrong with a lab proxy: one closed list, with names that files, flags and docs share.
//!
//! A fault is written `name` or `name(argument,…)`, e.g. `reset`, `connect-status(429)`, `ban-after(20,60000)`. Times are
//! milliseconds. A proxy has a list of them (its fault plan); where two contradict, the one that acts earlier on the
//! way wins.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Problem;

/// One thing that is wrong with a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Fault {
    /// `refuse`: nobody listens on its port. Set on a running lab it resets every connection instead.
    Refuse,
    /// `black-hole`: connect never completes, because the backlog of its listener is full. Set on a running lab it acts
    /// like `hang-after-accept`.
    BlackHole,
    /// `hang-after-accept`: connects, then never says a word (inside or outside of TLS).
    HangAfterAccept,
    /// `hang-after-connect`: opens the tunnel (or takes the plain request), then silence.
    HangAfterConnect,
    /// `reset`: RST in place of the first answer.
    Reset,
    /// `garbage`: answers with bytes of no protocol and closes.
    Garbage,
    /// `slow-drip(ms)`: sends [`DRIP_BYTES`] bytes of an answer every so many milliseconds.
    SlowDrip(u64),
    /// `truncate`: half of the promised body, then a clean close; a tunnel is cut after [`TUNNEL_CUT_BYTES`].
    Truncate,
    /// `endless-body`: a body that never ends.
    EndlessBody,
    /// `header-flood`: a response head that never ends.
    HeaderFlood,
    /// `bomb`: a small gzip body that decodes to 256 MiB.
    Bomb,
    /// `bad-tls(garbage|expired|wrong-name)`: what the target's TLS looks like through this proxy.
    BadTls(BadTls),
    /// `tls-intercept`: terminates the target's TLS with a certificate of its own, unknown authority.
    TlsIntercept,
    /// `auth-407`: demands credentials and accepts none (SOCKS: no acceptable method).
    Auth407,
    /// `connect-status(code)`: refuses every tunnel with this status (SOCKS: 403 is "not allowed", else "failure").
    ConnectStatus(u16),
    /// `foreign-page`: 200 with a page of somebody else for every plain request.
    ForeignPage,
    /// `empty-200`: 200 without a body for every plain request.
    Empty200,
    /// `inject-script`: adds an advertisement script to plain HTML pages.
    InjectScript,
    /// `leak-header`: tells the target the client's address (`X-Forwarded-For`, `Via`).
    LeakHeader,
    /// `strip-request`: takes `Accept-Encoding` out of plain requests and writes another `User-Agent`.
    StripRequest,
    /// `strip-answer`: takes `Content-Security-Policy` out of plain answers and adds a cookie and a `Via`.
    StripAnswer,
    /// `dns-hijack`: answers plain requests for names that do not exist with a page of its own.
    DnsHijack,
    /// `stale`: a cache that answers every path of a host with the first page it saw of that host.
    Stale,
    /// `redirect-loop`: 302 to the same URL for every plain request.
    RedirectLoop,
    /// `dies-after(requests)` or `dies-after(requests,revives_after_ms)`: resets everything after so many requests (a
    /// tunnel is one), for good or for so long.
    DiesAfter {
        /// Requests served before it dies.
        requests: u64,
        /// Milliseconds until it serves again; `None` is never.
        revives_after_ms: Option<u64>,
    },
    /// `ban-after(requests,window_ms)`: every target bans it (403 page) after so many requests in a window, until the
    /// window has passed.
    BanAfter {
        /// Requests a target takes in one window.
        requests: u32,
        /// Length of the window.
        window_ms: u64,
    },
    /// `rate-limit(requests,window_ms)`: answers 429 itself beyond so many requests in a window.
    RateLimit {
        /// Requests it takes in one window.
        requests: u32,
        /// Length of the window.
        window_ms: u64,
    },
    /// `tail-latency(percent,ms)`: that share of answers comes so much later.
    TailLatency {
        /// 0..=100.
        percent: u8,
        /// Extra delay.
        ms: u64,
    },
    /// `http10-connect`: opens tunnels with `HTTP/1.0 200`.
    Http10Connect,
    /// `connect-with-content-length`: its 200 to CONNECT carries Content-Length and Transfer-Encoding.
    ConnectWithContentLength,
    /// `connect-bytes-glued`: the target speaks first ([`GREETING`]) and its bytes share a packet with the 200; what the
    /// client sends is echoed.
    ConnectBytesGlued,
    /// `keepalive-close`: closes a kept connection when a second request arrives on it.
    KeepaliveClose,
    /// `no-tunnel`: 405 to CONNECT (SOCKS: command not supported).
    NoTunnel,
    /// `no-forward`: 403 to absolute-form requests.
    NoForward,
}

/// Bytes a `slow-drip` proxy sends at a time.
pub const DRIP_BYTES: usize = 32;

/// Bytes from the target that a `truncate` proxy lets through a tunnel: past the TLS handshake, short of most pages.
pub const TUNNEL_CUT_BYTES: u64 = 2_000;

/// What the target behind `connect-bytes-glued` says first.
pub const GREETING: &[u8] = b"220 glued.test ready\r\n";

/// The ways in which a target's TLS is broken by a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadTls {
    /// Bytes that are not TLS.
    Garbage,
    /// The lab's authority signed it, but it has expired.
    Expired,
    /// The lab's authority signed it for another name.
    WrongName,
}

impl Fault {
    /// One of each, with plausible arguments: for tests, docs and the list of names.
    pub const EXAMPLES: [Fault; 36] = [
        Fault::Refuse,
        Fault::BlackHole,
        Fault::HangAfterAccept,
        Fault::HangAfterConnect,
        Fault::Reset,
        Fault::Garbage,
        Fault::SlowDrip(20),
        Fault::Truncate,
        Fault::EndlessBody,
        Fault::HeaderFlood,
        Fault::Bomb,
        Fault::BadTls(BadTls::Garbage),
        Fault::BadTls(BadTls::Expired),
        Fault::BadTls(BadTls::WrongName),
        Fault::TlsIntercept,
        Fault::Auth407,
        Fault::ConnectStatus(403),
        Fault::ForeignPage,
        Fault::Empty200,
        Fault::InjectScript,
        Fault::LeakHeader,
        Fault::StripRequest,
        Fault::StripAnswer,
        Fault::DnsHijack,
        Fault::Stale,
        Fault::RedirectLoop,
        Fault::DiesAfter {
            requests: 20,
            revives_after_ms: Some(2_000),
        },
        Fault::BanAfter {
            requests: 20,
            window_ms: 60_000,
        },
        Fault::RateLimit {
            requests: 20,
            window_ms: 1_000,
        },
        Fault::TailLatency {
            percent: 5,
            ms: 2_000,
        },
        Fault::Http10Connect,
        Fault::ConnectWithContentLength,
        Fault::ConnectBytesGlued,
        Fault::KeepaliveClose,
        Fault::NoTunnel,
        Fault::NoForward,
    ];

    /// The name without arguments.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Refuse => "refuse",
            Fault::BlackHole => "black-hole",
            Fault::HangAfterAccept => "hang-after-accept",
            Fault::HangAfterConnect => "hang-after-connect",
            Fault::Reset => "reset",
            Fault::Garbage => "garbage",
            Fault::SlowDrip(_) => "slow-drip",
            Fault::Truncate => "truncate",
            Fault::EndlessBody => "endless-body",
            Fault::HeaderFlood => "header-flood",
            Fault::Bomb => "bomb",
            Fault::BadTls(_) => "bad-tls",
            Fault::TlsIntercept => "tls-intercept",
            Fault::Auth407 => "auth-407",
            Fault::ConnectStatus(_) => "connect-status",
            Fault::ForeignPage => "foreign-page",
            Fault::Empty200 => "empty-200",
            Fault::InjectScript => "inject-script",
            Fault::LeakHeader => "leak-header",
            Fault::StripRequest => "strip-request",
            Fault::StripAnswer => "strip-answer",
            Fault::DnsHijack => "dns-hijack",
            Fault::Stale => "stale",
            Fault::RedirectLoop => "redirect-loop",
            Fault::DiesAfter { .. } => "dies-after",
            Fault::BanAfter { .. } => "ban-after",
            Fault::RateLimit { .. } => "rate-limit",
            Fault::TailLatency { .. } => "tail-latency",
            Fault::Http10Connect => "http10-connect",
            Fault::ConnectWithContentLength => "connect-with-content-length",
            Fault::ConnectBytesGlued => "connect-bytes-glued",
            Fault::KeepaliveClose => "keepalive-close",
            Fault::NoTunnel => "no-tunnel",
            Fault::NoForward => "no-forward",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Fault::SlowDrip(ms) => write!(f, "({ms})"),
            Fault::BadTls(BadTls::Garbage) => f.write_str("(garbage)"),
            Fault::BadTls(BadTls::Expired) => f.write_str("(expired)"),
            Fault::BadTls(BadTls::WrongName) => f.write_str("(wrong-name)"),
            Fault::ConnectStatus(code) => write!(f, "({code})"),
            Fault::DiesAfter {
                requests,
                revives_after_ms: None,
            } => write!(f, "({requests})"),
            Fault::DiesAfter {
                requests,
                revives_after_ms: Some(ms),
            } => write!(f, "({requests},{ms})"),
            Fault::BanAfter {
                requests,
                window_ms,
            }
            | Fault::RateLimit {
                requests,
                window_ms,
            } => write!(f, "({requests},{window_ms})"),
            Fault::TailLatency { percent, ms } => write!(f, "({percent},{ms})"),
            _ => Ok(()),
        }
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.to_string()
    }
}

impl TryFrom<String> for Fault {
    type Error = Problem;

    fn try_from(text: String) -> Result<Self, Problem> {
        text.parse()
    }
}

impl FromStr for Fault {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => match rest.strip_suffix(')') {
                Some(arguments) => (name.trim_end(), arguments),
                None => return Err(Problem::new(format!("fault `{text}` lacks its `)`"))),
            },
            None => (text, ""),
        };
        let mut arguments = Arguments {
            fault: text,
            rest: arguments.split(',').map(str::trim).collect(),
        };
        arguments.rest.retain(|argument| !argument.is_empty());
        arguments.rest.reverse();
        let fault = match name {
            "slow-drip" => Fault::SlowDrip(arguments.number()?),
            "bad-tls" => Fault::BadTls(match arguments.rest.pop() {
                None | Some("garbage") => BadTls::Garbage,
                Some("expired") => BadTls::Expired,
                Some("wrong-name") => BadTls::WrongName,
                Some(_) => return Err(arguments.wrong("garbage, expired or wrong-name")),
            }),
            "connect-status" => match arguments.number()? {
                code @ 300..=599 => Fault::ConnectStatus(code),
                _ => return Err(arguments.wrong("a status in 300..=599")),
            },
            "dies-after" => Fault::DiesAfter {
                requests: arguments.number()?,
                revives_after_ms: match arguments.rest.is_empty() {
                    true => None,
                    false => Some(arguments.number()?),
                },
            },
            "ban-after" => Fault::BanAfter {
                requests: arguments.number()?,
                window_ms: arguments.number()?,
            },
            "rate-limit" => Fault::RateLimit {
                requests: arguments.number()?,
                window_ms: arguments.number()?,
            },
            "tail-latency" => match arguments.number()? {
                percent @ 0..=100u8 => Fault::TailLatency {
                    percent,
                    ms: arguments.number()?,
                },
                _ => return Err(arguments.wrong("a share in 0..=100")),
            },
            plain => Fault::EXAMPLES
                .iter()
                .find(|fault| fault.name() == plain)
                .cloned()
                .ok_or_else(|| {
                    let mut names: Vec<_> = Fault::EXAMPLES.iter().map(Fault::name).collect();
                    names.dedup();
                    Problem::new(format!("unknown fault `{text}`"))
                        .hint(format!("one of {}", names.join(", ")))
                })?,
        };
        if arguments.rest.is_empty() {
            Ok(fault)
        } else {
            Err(Problem::new(format!(
                "fault `{text}` has too many arguments"
            )))
        }
    }
}

/// The arguments still to be read, last one first.
struct Arguments<'a> {
    fault: &'a str,
    rest: Vec<&'a str>,
}

impl Arguments<'_> {
    fn number<N: FromStr>(&mut self) -> Result<N, Problem> {
        let number = self.rest.pop().and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.wrong("a number"))
    }

    fn wrong(&self, wanted: &str) -> Problem {
        Problem::new(format!("fault `{}` needs {wanted}", self.fault))
            .hint("write it like connect-status(429) or ban-after(20,60000)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_back_from_its_text() {
        for fault in &Fault::EXAMPLES {
            assert_eq!(fault.to_string().parse::<Fault>().as_ref(), Ok(fault));
        }
        let json = serde_json::to_string(&Fault::ConnectStatus(429)).unwrap();
        assert_eq!(json, "\"connect-status(429)\"");
        assert_eq!(
            serde_json::from_str::<Fault>(&json).unwrap(),
            Fault::ConnectStatus(429)
        );
        assert_eq!(
            "dies-after(3)".parse(),
            Ok(Fault::DiesAfter {
                requests: 3,
                revives_after_ms: None
            })
        );
    }

    #[test]
    fn wrong_faults_say_what_is_wrong() {
        for (text, why) in [
            ("melt", "unknown fault `melt`"),
            ("connect-status", "needs a number"),
            ("connect-status(200)", "300..=599"),
            ("ban-after(3)", "needs a number"),
            ("reset(1)", "too many"),
            ("slow-drip(5", "lacks"),
            ("bad-tls(rusty)", "wrong-name"),
            ("tail-latency(101,5)", "0..=100"),
        ] {
            let problem = text.parse::<Fault>().expect_err(text);
            assert!(problem.what.contains(why), "{text}: {problem}");
        }
    }
}
