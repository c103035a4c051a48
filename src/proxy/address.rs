//! `host:port`: what is an address, and how surely it is one.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Scheme;
use super::reject::{Flaw, Reason};

/// A checked host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// Without brackets; IPv6 in its canonical spelling, so that one address is one identity.
    pub(super) host: Cow<'a, str>,
    pub(super) port: u16,
    pub(super) rank: Rank,
    /// The port was not written but follows from the scheme.
    pub(super) implied_port: bool,
}

/// How much a host looks like one. `user` is a legal host name too, so readings of a line are compared by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// One label, or a name with an underscore: legal, but looks like a user name just as well.
    Word,
    /// A dotted name.
    Name,
    /// An IP address or `localhost`.
    Sure,
}

/// The port that goes without saying for a scheme that was written out. `http` has two customs (80 and curl's 1080), so
/// it has none here.
pub(super) fn default_port(scheme: Scheme) -> Option<u16> {
    match scheme {
        Scheme::Https => Some(443),
        Scheme::Socks4 | Scheme::Socks4a | Scheme::Socks5 | Scheme::Socks5h => Some(1080),
        Scheme::Http | Scheme::Direct => None,
    }
}

/// Reads the address `text` starts with. Returns it with the length read; what follows is the caller's business.
/// `at` is the offset of `text` in the line.
pub(super) fn leading<'a>(
    text: &'a str,
    at: usize,
    default_port: Option<u16>,
) -> Result<(Address<'a>, usize), Flaw> {
    if text.is_empty() {
        return Err(Flaw::new(at, Reason::NoHost));
    }
    if is_bare_ipv6(text) {
        return Err(Flaw::new(at, Reason::BareIpv6));
    }
    let host_length = match text.strip_prefix('[') {
        Some(inside) => inside
            .find(']')
            .map(|close| close + 2)
            .ok_or(Flaw::new(at, Reason::BadIpv6))?,
        None => text.find([':', '/']).unwrap_or(text.len()),
    };
    let (host_text, after) = text.split_at(host_length);
    let (host, rank) = host(host_text, at)?;
    let (port, length) = match after.strip_prefix(':') {
        Some(digits) => {
            let count = digits.bytes().take_while(u8::is_ascii_digit).count();
            if count == 0 && matches!(digits.bytes().next(), None | Some(b'/')) {
                return Err(Flaw::new(at + host_length, Reason::NoPort));
            }
            let port = port(&digits[..count], at + host_length + 1)?;
            if !matches!(
                digits.as_bytes().get(count),
                None | Some(b':' | b'/' | b'|' | b',' | b';' | b'#')
            ) {
                return Err(Flaw::new(at + host_length + 1, Reason::BadPort));
            }
            (port, host_length + 1 + count)
        }
        None => {
            let port = default_port.ok_or(Flaw::new(at + host_length, Reason::NoPort))?;
            (port, host_length)
        }
    };
    let address = Address {
        host,
        port,
        rank,
        implied_port: !after.starts_with(':'),
    };
    Ok((address, length))
}

/// Reads the address `text` ends with: the last two fields of `user:pass:host:port`. Returns it with its length.
pub(super) fn trailing(text: &str, at: usize) -> Result<(Address<'_>, usize), Flaw> {
    let (before, _) = text.rsplit_once(':').ok_or(Flaw::new(at, Reason::NoPort))?;
    let start = if before.ends_with(']') {
        before.rfind('[').unwrap_or(0)
    } else {
        before.rfind(':').map_or(0, |colon| colon + 1)
    };
    let (address, length) = leading(&text[start..], at + start, None)?;
    if start + length == text.len() {
        Ok((address, length))
    } else {
        Err(Flaw::new(at + start + length, Reason::Trailing))
    }
}

/// Checks a port.
pub(super) fn port(text: &str, at: usize) -> Result<u16, Flaw> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 5;
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(Flaw::new(at, Reason::BadPort)),
    }
}

/// Checks a host: a name, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn host(text: &str, at: usize) -> Result<(Cow<'_, str>, Rank), Flaw> {
    if let Some(inside) = text.strip_prefix('[') {
        let ip = inside.strip_suffix(']').and_then(|ip| ip.parse().ok());
        return ipv6(ip.ok_or(Flaw::new(at, Reason::BadIpv6))?, at);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err(Flaw::new(at, Reason::NoHost));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if let Some(bad) = name.bytes().position(|b| !allowed(b)) {
        let reason = match name.as_bytes()[bad] {
            b'$' | b'{' => Reason::MisplacedPlaceholder,
            _ => Reason::BadHost,
        };
        return Err(Flaw::new(at + bad, reason));
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        let ip: Ipv4Addr = name.parse().map_err(|_| Flaw::new(at, not_ipv4(name)))?;
        if ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast() {
            return Err(Flaw::new(at, Reason::UnusableAddress));
        }
        return Ok((Cow::Borrowed(name), Rank::Sure));
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(Flaw::new(at, Reason::BadHost));
    }
    let rank = if name.eq_ignore_ascii_case("localhost") {
        Rank::Sure
    } else if name.contains('.') && !name.contains('_') {
        Rank::Name
    } else {
        Rank::Word
    };
    Ok((Cow::Borrowed(name), rank))
}

/// Why digits and dots are no IPv4 address.
fn not_ipv4(name: &str) -> Reason {
    let numbers: Vec<_> = name
        .split('.')
        .map(|part| part.trim_start_matches('0'))
        .collect();
    let plain: Vec<_> = numbers
        .iter()
        .map(|part| if part.is_empty() { "0" } else { part })
        .collect();
    match plain.join(".").parse::<Ipv4Addr>() {
        Ok(_) => Reason::LeadingZeros,
        Err(_) => Reason::BadIpv4,
    }
}

/// Checks a host that stands alone in a column, where IPv6 needs no brackets.
pub(super) fn lone_host(text: &str, at: usize) -> Result<(Cow<'_, str>, Rank), Flaw> {
    match text.parse() {
        Ok(IpAddr::V6(ip)) => ipv6(ip, at),
        _ => host(text, at),
    }
}

fn ipv6(ip: Ipv6Addr, at: usize) -> Result<(Cow<'static, str>, Rank), Flaw> {
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(Flaw::new(at, Reason::UnusableAddress));
    }
    Ok((Cow::Owned(ip.to_string()), Rank::Sure))
}

/// True for `2001:db8::1` and `2001:db8::1:8080`: where the port begins cannot be told.
fn is_bare_ipv6(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    text.bytes().all(hex)
        && text.bytes().filter(|&b| b == b':').count() >= 2
        && (text.parse::<Ipv6Addr>().is_ok()
            || text
                .rsplit_once(':')
                .is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_end_where_the_port_ends() {
        let read = |text| leading(text, 0, None).map(|(a, length)| (a.host.into_owned(), length));
        assert_eq!(read("1.2.3.4:80:u:p"), Ok(("1.2.3.4".into(), 10)));
        assert_eq!(read("[2001:DB8:0::1]:80"), Ok(("2001:db8::1".into(), 18)));
        assert_eq!(read("gate.example.:80/"), Ok(("gate.example".into(), 16)));
        for (text, at, reason) in [
            ("gate.example", 12, Reason::NoPort),
            ("gate.example:", 12, Reason::NoPort),
            ("gate.example:0", 13, Reason::BadPort),
            ("gate.example:65536", 13, Reason::BadPort),
            ("gate.example:80a", 13, Reason::BadPort),
            ("78.28.152.111:80117.54.114.97:80", 14, Reason::BadPort),
            ("1.2.3.256:80", 0, Reason::BadIpv4),
            ("12345:80", 0, Reason::BadIpv4),
            ("01.02.03.004:80", 0, Reason::LeadingZeros),
            ("0.0.0.0:80", 0, Reason::UnusableAddress),
            ("2001:db8::1:8080", 0, Reason::BareIpv6),
            ("[2001:db8::1:8080", 0, Reason::BadIpv6),
            ("bücher.example:80", 1, Reason::BadHost),
            ("a..b:80", 0, Reason::BadHost),
            (":80", 0, Reason::NoHost),
            ("{country}.example:80", 0, Reason::MisplacedPlaceholder),
        ] {
            assert_eq!(read(text), Err(Flaw { at, reason }), "{text}");
        }
    }
}
