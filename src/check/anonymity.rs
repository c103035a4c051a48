//! What a proxy tells the target about its client, by the headers of plain http requests.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// How much of the client is shown. Only for plain http through a proxy that reads it: in a tunnel nobody can add a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anonymity {
    /// The client's own address is in a header.
    Transparent,
    /// A header shows that there is a proxy.
    Anonymous,
    /// No header shows anything.
    Elite,
}

impl Anonymity {
    /// The word in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Anonymity::Transparent => "transparent",
            Anonymity::Anonymous => "anonymous",
            Anonymity::Elite => "elite",
        }
    }
}

/// Headers as they came, names as they were written.
type Headers = [(String, String)];

/// Headers that every hop sets for itself.
const HOP: [&str; 3] = ["connection", "keep-alive", "content-length"];

/// Stands for a value that nobody may read.
const HIDDEN: &str = "(redacted)";

/// The level, and the headers that prove it: those that the judge has `seen` and that `sent`, what it sees on the direct path, has
/// not. `own` are the client's own addresses, without IPv4 ones inside IPv6.
pub fn level(
    sent: &Headers,
    seen: &Headers,
    own: &BTreeSet<IpAddr>,
) -> (Anonymity, Vec<(String, String)>) {
    let was_sent = |(name, value): &&(String, String)| {
        HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop))
            || sent.iter().any(|(sent, sent_value)| {
                sent.eq_ignore_ascii_case(name)
                    && (sent_value == value || name.eq_ignore_ascii_case("host"))
            })
    };
    let added: Vec<_> = seen
        .iter()
        .filter(|header| !was_sent(header))
        .map(printable)
        .collect();
    let shows_us = |(_, value): &&(String, String)| shows(value, own);
    let proof: Vec<_> = added.iter().filter(shows_us).cloned().collect();
    if !proof.is_empty() {
        return (Anonymity::Transparent, proof);
    }
    if added.is_empty() {
        return (Anonymity::Elite, added);
    }
    (Anonymity::Anonymous, added)
}

/// A proxy that asks for no password may hand the one it was given on to the target. That it does is to be told, the password is
/// not.
pub(super) fn printable((name, value): &(String, String)) -> (String, String) {
    let is_secret = name.eq_ignore_ascii_case("proxy-authorization");
    let value = if is_secret { HIDDEN } else { value };
    (name.clone(), value.to_owned())
}

/// A header value that holds one of these addresses.
pub fn shows(value: &str, own: &BTreeSet<IpAddr>) -> bool {
    addresses(value).any(|ip| own.contains(&ip))
}

/// The addresses in a header value, whatever stands around them: `for="[2001:db8::1]:80"`, `1.2.3.4, 5.6.7.8`.
fn addresses(value: &str) -> impl Iterator<Item = IpAddr> {
    value
        .split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')))
        .filter_map(|word| {
            let word = word.trim_end_matches(['.', ':']);
            let with_port = || word.rsplit_once(':').and_then(|(ip, _)| ip.parse().ok());
            word.parse().ok().or_else(with_port)
        })
        .map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> Vec<(String, String)> {
        text.lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn levels_follow_what_was_added() {
        use Anonymity::*;
        let sent = headers("Host: judge.test\nAccept: */*");
        let own = ["192.0.2.7", "2001:db8::7"]
            .map(|ip| ip.parse().unwrap())
            .into();
        for (seen, expected) in [
            ("host: judge.test:80\nACCEPT: */*\nConnection: close", Elite),
            ("Host: judge.test\nVia: 1.1 squid", Anonymous),
            ("Host: judge.test\nX-Forwarded-For: 192.0.2.70", Anonymous),
            (
                "Host: judge.test\nX-Forwarded-For: unknown, 192.0.2.7",
                Transparent,
            ),
            (
                "Host: judge.test\nForwarded: for=\"[2001:DB8::7]:4711\";proto=http",
                Transparent,
            ),
            ("Host: judge.test\nX-Real-IP: ::ffff:192.0.2.7", Transparent),
            ("Host: judge.test\nClient: 192.0.2.7:55001.", Transparent),
            // A changed value is an added header.
            ("Host: judge.test\nAccept: text/html", Anonymous),
        ] {
            assert_eq!(level(&sent, &headers(seen), &own).0, expected, "{seen}");
        }
        // The list's password, handed on to the target: told, not shown.
        let (level_of, proof) = level(
            &sent,
            &headers("proxy-authorization: Basic bWU6c2VjcmV0"),
            &own,
        );
        assert_eq!(level_of, Anonymous);
        assert_eq!(proof, headers("proxy-authorization: (redacted)"));
        let (_, proof) = level(&sent, &headers("Via: 1.1 a\nX-Client-IP: 192.0.2.7"), &own);
        assert_eq!(proof, headers("X-Client-IP: 192.0.2.7"));
    }
}
