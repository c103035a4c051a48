//! The grammar of one line of a proxy list.
//!
//! A line is an entry, then labels, then a comment. The entry is `direct`, an address, or an address with credentials in any
//! of the orders that providers export:
//!
//! ```text
//! host:port                        scheme://[user:pass@]host[:port]
//! host:port:user:pass              user:pass@host:port
//! user:pass:host:port              host:port@user:pass
//! scheme host port [user pass]     host:port:Country, host:port|Country|…
//! ```
//!
//! Which field is the address is decided by what can be a host and a port. When two can, the surer host wins (an IP address,
//! then a dotted name, then a bare word), then, between bare words, the form listed first. Two equally sure ones are refused:
//! a wrong guess would send the password to a stranger as a host name. `%xx` is decoded where URLs have it, in front of `@`.
//!
//! Text is split first and `${NAME}` is replaced afterwards (in [`super::template`]), so the values may hold any character.

use std::cmp::Ordering;
use std::fmt;

use super::address::{self, Address, Rank};
use super::labels::Marks;
use super::reject::{Flaw, Reason};
use super::template;
use super::{Proxy, Scheme};
use crate::error::Problem;

/// Looks up an environment variable; `None` when it is not set.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What reading a list depends on beside its text.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The scheme of entries that name none: `--proxy-scheme`.
    pub default_scheme: Scheme,
    /// Where `${NAME}` is looked up.
    pub env: Env<'a>,
    /// The list came over the network. Whoever serves it must not read this machine's environment out through a user name,
    /// nor make the client connect to targets itself: variables and `direct` are refused.
    pub remote: bool,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("default_scheme", &self.default_scheme)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// Reads the value of `-x`: a proxy URL as curl takes it, that is without a scheme `default_scheme` is meant. Labels may
/// follow after a blank, and placeholders expand, so the answer may be several proxies.
///
/// # Errors
/// The text is empty or not a proxy. The problem never quotes the text.
pub fn parse_proxy_url(
    text: &str,
    default_scheme: Scheme,
    env: Env<'_>,
) -> Result<Vec<Proxy>, Problem> {
    let hint = "write [scheme://][user:password@]host:port";
    let complain = |flaw: Flaw| {
        let what = format!(
            "not a proxy at column {}: {}",
            flaw.column(text),
            flaw.reason
        );
        Problem::new(what).hint(hint)
    };
    let line = line(text, default_scheme, Style::Url)
        .map_err(complain)?
        .ok_or_else(|| Problem::new("the proxy URL is empty").hint(hint))?;
    let mut proxies = Vec::new();
    let options = Options {
        default_scheme,
        env,
        remote: false,
    };
    template::expand(
        &line.entry,
        line.marks,
        line.template,
        &options,
        &mut |proxy| proxies.push(proxy),
    )
    .map_err(complain)?;
    Ok(proxies)
}

/// How an entry without `scheme://` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// In any of the orders.
    List,
    /// As a URL that lacks its scheme.
    Url,
}

/// One line, split but not yet decoded or expanded.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) entry: Entry<'a>,
    pub(super) marks: Marks<'a>,
    /// The entry's text without labels: what names the credential group and the sessions of a template.
    pub(super) template: &'a str,
}

/// An entry, split into its fields.
#[derive(Debug, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) scheme: Scheme,
    /// `None` for `direct`.
    pub(super) address: Option<Address<'a>>,
    /// User name and password as written.
    pub(super) credentials: Option<(Field<'a>, Field<'a>)>,
    /// The six digits of a printed label (`…:8080#1a2b3c`) that the entry has to have.
    pub(super) stamp: Option<Field<'a>>,
}

/// A credential as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) text: &'a str,
    /// Offset in the line.
    pub(super) at: usize,
    /// Percent-encoded.
    pub(super) encoded: bool,
}

/// Where a trailing country begins, and what separates it from further columns.
type Place = (usize, &'static str);

/// Splits one line; `None` for a blank line or a comment.
pub(super) fn line(
    text: &str,
    default_scheme: Scheme,
    style: Style,
) -> Result<Option<Line<'_>>, Flaw> {
    let content = without_comment(text).trim_end();
    let start = content.len() - content.trim_start_matches(is_blank).len();
    let content = &content[start..];
    if content.is_empty() {
        return Ok(None);
    }
    if content.starts_with('<') {
        return Err(Flaw::new(start, Reason::Markup));
    }
    let head_length = content.find(char::is_whitespace).unwrap_or(content.len());
    let (head, tail) = content.split_at(head_length);
    let mut marks = Marks::default();
    if !tail.is_empty()
        && let Some((entry, length)) = spaced(content, start, default_scheme)?
    {
        let (template, rest) = content.split_at(length);
        marks.read(rest, start + length, entry.credentials.is_none())?;
        return Ok(Some(Line {
            entry,
            marks,
            template,
        }));
    }
    let (entry, place) = entry(head, start, default_scheme, style)?;
    let (rest, rest_at) = match place {
        // A country name may hold blanks, so it is cut from the line and not from the head.
        Some((at, separator)) => {
            let taken = marks.place(&content[at - start..], at, separator)?;
            (&content[at - start + taken..], at + taken)
        }
        None => (tail, start + head_length),
    };
    let address_only = entry.credentials.is_none() && entry.address.is_some();
    marks.read(rest, rest_at, address_only)?;
    Ok(Some(Line {
        entry,
        marks,
        template: head,
    }))
}

/// Splits one entry without labels.
pub(super) fn entry(
    head: &str,
    at: usize,
    default_scheme: Scheme,
    style: Style,
) -> Result<(Entry<'_>, Option<Place>), Flaw> {
    let (scheme, rest, skipped) = match scheme_of(head, at)? {
        Some((scheme, length)) => (scheme, &head[length..], length),
        None if head.eq_ignore_ascii_case("direct") => (Scheme::Direct, "", head.len()),
        None => (default_scheme, head, 0),
    };
    let at = at + skipped;
    if scheme == Scheme::Direct {
        return if rest.is_empty() {
            let entry = Entry {
                scheme,
                address: None,
                credentials: None,
                stamp: None,
            };
            Ok((entry, None))
        } else {
            Err(Flaw::new(at, Reason::Trailing))
        };
    }
    let is_url = skipped > 0 || style == Style::Url;
    let default_port = address::default_port(scheme).filter(|_| is_url);
    if !rest.contains('@')
        && let Some(found) = address_only(rest, at, scheme, default_port)?
    {
        return Ok(found);
    }
    let entry = credentialed(rest, at, scheme, default_port, is_url)?;
    Ok((entry, None))
}

/// The scheme an entry is written with and the length up to its authority.
fn scheme_of(head: &str, at: usize) -> Result<Option<(Scheme, usize)>, Flaw> {
    let Some(length) = head.find("://") else {
        return Ok(None);
    };
    let name = &head[..length];
    let scheme_like = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !scheme_like {
        // The `://` belongs to a password.
        return Ok(None);
    }
    Ok(Some((scheme(name, at)?, length + 3)))
}

/// A scheme by name.
pub(super) fn scheme(name: &str, at: usize) -> Result<Scheme, Flaw> {
    name.parse().map_err(|_| {
        let reason = if name.eq_ignore_ascii_case("socks") {
            Reason::SocksVersion
        } else {
            Reason::UnknownScheme
        };
        Flaw::new(at, reason)
    })
}

/// An address alone, with what published lists append to it; `None` when there are credentials.
fn address_only(
    rest: &str,
    at: usize,
    scheme: Scheme,
    default_port: Option<u16>,
) -> Result<Option<(Entry<'_>, Option<Place>)>, Flaw> {
    let (address, length) = match address::leading(rest, at, default_port) {
        Ok(found) => found,
        Err(flaw) if flaw.reason == Reason::BareIpv6 => return Err(flaw),
        Err(_) => return Ok(None),
    };
    let (more, more_at) = (&rest[length..], at + length);
    let separator = ["::", ":", "|", ",", ";"]
        .into_iter()
        .find(|separator| more.starts_with(separator) && more.len() > separator.len());
    if separator == Some(":") && more[1..].contains(':') {
        return Ok(None);
    }
    let mut entry = Entry {
        scheme,
        address: Some(address),
        credentials: None,
        stamp: None,
    };
    if let Some(separator) = separator {
        return Ok(Some((entry, Some((more_at + separator.len(), separator)))));
    }
    entry.stamp = end_of_url(more, more_at)?;
    Ok(Some((entry, None)))
}

/// One way to read an entry with credentials.
struct Reading<'a> {
    address: Address<'a>,
    user: Field<'a>,
    password: Field<'a>,
    stamp: Option<Field<'a>>,
}

impl<'a> Reading<'a> {
    fn entry(self, scheme: Scheme) -> Entry<'a> {
        let empty = self.user.text.is_empty() && self.password.text.is_empty();
        Entry {
            scheme,
            address: Some(self.address),
            credentials: (!empty).then_some((self.user, self.password)),
            stamp: self.stamp,
        }
    }
}

/// An address and credentials, in the order that has the surest address.
fn credentialed(
    rest: &str,
    at: usize,
    scheme: Scheme,
    default_port: Option<u16>,
    is_url: bool,
) -> Result<Entry<'_>, Flaw> {
    // A URL with a port has one reading.
    if is_url && let Ok(reading) = standard(rest, at, None) {
        return Ok(reading.entry(scheme));
    }
    let (first, flaw) = if rest.contains('@') {
        match standard(rest, at, default_port) {
            Ok(reading) => (Some(reading), None),
            Err(flaw) => (None, Some(flaw)),
        }
    } else {
        (None, address::leading(rest, at, default_port).err())
    };
    let others = [forward(rest, at), backward(rest, at), reversed(rest, at)];
    let readings = std::iter::once(first).chain(others).flatten();
    let mut best: Option<Reading<'_>> = None;
    let mut tied = false;
    for reading in readings {
        let order = best.as_ref().map_or(Ordering::Greater, |best| {
            reading.address.rank.cmp(&best.address.rank)
        });
        match order {
            Ordering::Greater => {
                tied = false;
                best = Some(reading);
            }
            // Between bare words the order of the forms decides.
            Ordering::Equal => tied |= reading.address.rank > Rank::Word,
            Ordering::Less => {}
        }
    }
    if tied {
        return Err(Flaw::new(at, Reason::Ambiguous));
    }
    let Some(reading) = best else {
        return Err(flaw.unwrap_or(Flaw::new(at, Reason::MissingPassword)));
    };
    Ok(reading.entry(scheme))
}

/// `user:pass@host:port`. The user name alone is enough, as in URLs.
fn standard(rest: &str, at: usize, default_port: Option<u16>) -> Result<Reading<'_>, Flaw> {
    let (userinfo, right) = rest
        .rsplit_once('@')
        .ok_or(Flaw::new(at, Reason::MissingPassword))?;
    let right_at = at + userinfo.len() + 1;
    let (address, length) = address::leading(right, right_at, default_port)?;
    let stamp = end_of_url(&right[length..], right_at + length)?;
    // Some exports escape the `@` for a shell.
    let userinfo = userinfo.strip_suffix('\\').unwrap_or(userinfo);
    let length = user_length(userinfo).unwrap_or(userinfo.len());
    let field = |range: std::ops::Range<usize>| Field {
        text: userinfo.get(range.clone()).unwrap_or(""),
        at: at + range.start,
        encoded: true,
    };
    Ok(Reading {
        address,
        user: field(0..length),
        password: field(length + 1..userinfo.len()),
        stamp,
    })
}

/// `host:port:user:pass`.
fn forward(rest: &str, at: usize) -> Option<Reading<'_>> {
    let (address, length) = address::leading(rest, at, None).ok()?;
    let info = rest[length..].strip_prefix(':')?;
    pair(address, info, at + length + 1)
}

/// `user:pass:host:port`.
fn backward(rest: &str, at: usize) -> Option<Reading<'_>> {
    let (address, length) = address::trailing(rest, at).ok()?;
    let info = rest[..rest.len() - length].strip_suffix(':')?;
    pair(address, info, at)
}

/// `host:port@user:pass`.
fn reversed(rest: &str, at: usize) -> Option<Reading<'_>> {
    let (left, info) = rest.split_once('@')?;
    let (address, length) = address::leading(left, at, None).ok()?;
    if length < left.len() {
        return None;
    }
    pair(address, info, at + length + 1)
}

/// A reading with the credentials `user:pass`, where the password may hold colons and the user may not be empty.
fn pair<'a>(address: Address<'a>, info: &'a str, at: usize) -> Option<Reading<'a>> {
    let length = user_length(info).filter(|length| *length > 0)?;
    let field = |text, at| Field {
        text,
        at,
        encoded: false,
    };
    Some(Reading {
        address,
        user: field(&info[..length], at),
        password: field(&info[length + 1..], at + length + 1),
        stamp: None,
    })
}

/// Where the user name ends: at the first colon that is not part of `{session:8}`.
fn user_length(info: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let colon = from + info[from..].find(':')?;
        let before = &info[..colon];
        if !before.ends_with("{session") {
            return Some(colon);
        }
        from = colon + info[colon..].find('}')?;
    }
}

/// What may follow the port of a URL: nothing, `/`, or the digits of a printed label.
fn end_of_url(text: &str, at: usize) -> Result<Option<Field<'_>>, Flaw> {
    match text.strip_prefix('#') {
        Some(stamp) if stamp.len() == 6 && stamp.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(Some(Field {
                text: stamp,
                at,
                encoded: false,
            }))
        }
        None if text.is_empty() || text == "/" || text == ":" => Ok(None),
        _ => Err(Flaw::new(at, Reason::Trailing)),
    }
}

/// `scheme host port [user pass]` (proxychains) and `host port` as blank-separated columns; `None` for other lines. Returns
/// the length read.
fn spaced(
    content: &str,
    at: usize,
    default_scheme: Scheme,
) -> Result<Option<(Entry<'_>, usize)>, Flaw> {
    let mut words = words(content);
    let Some((first, _)) = words.next() else {
        return Ok(None);
    };
    let named = first.parse().ok().filter(|s| *s != Scheme::Direct);
    let (scheme, host) = match named {
        Some(scheme) => (scheme, words.next()),
        None => (default_scheme, Some((first, 0))),
    };
    let (Some((host, host_at)), Some((port, port_at))) = (host, words.next()) else {
        return Ok(None);
    };
    let port_like = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let host_like = matches!(address::lone_host(host, 0), Ok((_, rank)) if named.is_some() || rank == Rank::Sure);
    if !port_like || !host_like {
        return Ok(None);
    }
    let (host, rank) = address::lone_host(host, at + host_at)?;
    let mut length = port_at + port.len();
    let port = address::port(port, at + port_at)?;
    let field = |(text, word_at): (_, usize)| Field {
        text,
        at: at + word_at,
        encoded: false,
    };
    let mut credentials = None;
    if named.is_some()
        && let (Some(user), Some(password)) = (words.next(), words.next())
        && !user.0.contains('=')
    {
        credentials = Some((field(user), field(password)));
        length = password.1 + password.0.len();
    }
    let entry = Entry {
        scheme,
        address: Some(Address { host, port, rank }),
        credentials,
        stamp: None,
    };
    Ok(Some((entry, length)))
}

/// The blank-separated words of a text with their offsets.
pub(super) fn words(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.split_whitespace()
        .map(move |word| (word, word.as_ptr() as usize - text.as_ptr() as usize))
}

/// Cuts `#` and what follows, at the start and after a blank: a password may hold a `#`.
fn without_comment(text: &str) -> &str {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'#', bytes)
        .find(|&at| text[..at].chars().next_back().is_none_or(is_blank))
        .map_or(text, |at| &text[..at])
}

/// White space, and the byte order mark that concatenated files carry in the middle.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(_: &str) -> Option<String> {
        None
    }

    fn one(text: &str) -> Result<Proxy, Reason> {
        let options = Options {
            default_scheme: Scheme::Http,
            env: &env,
            remote: false,
        };
        let line = line(text, Scheme::Http, Style::List)
            .map_err(|flaw| flaw.reason)?
            .expect("not blank");
        let mut proxies = Vec::new();
        template::expand(&line.entry, line.marks, line.template, &options, &mut |p| {
            proxies.push(p);
        })
        .map_err(|flaw| flaw.reason)?;
        Ok(proxies.pop().expect("one proxy"))
    }

    fn proxy(scheme: Scheme, host: &str, port: u16, user: &str, password: &str) -> Proxy {
        let credentials = (!user.is_empty()).then(|| crate::proxy::Credentials {
            user: crate::secret::Secret::new(user),
            password: crate::secret::Secret::new(password),
        });
        Proxy::new(scheme, host, port, credentials)
    }

    #[test]
    fn every_order_gives_the_same_identity() {
        let expected = proxy(Scheme::Http, "gate.example", 7000, "bob-session_1", "p:w");
        for text in [
            "http://bob-session_1:p:w@gate.example:7000",
            "HTTP://bob-session_1:p%3aw@GATE.example:7000/",
            "bob-session_1:p:w@gate.example:7000",
            "bob-session_1:p:w\\@gate.example:7000",
            "gate.example:7000:bob-session_1:p:w",
            "http://gate.example:7000:bob-session_1:p:w",
            "bob-session_1:p:w:gate.example:7000",
            "gate.example:7000@bob-session_1:p:w",
            "http gate.example 7000 bob-session_1 p:w country=us",
        ] {
            assert_eq!(one(text).map(|p| p.id()), Ok(expected.id()), "{text}");
        }
    }

    #[test]
    fn the_surer_host_is_the_address() {
        for (text, host, user) in [
            ("1.2.3.4:8080:user:1234", "1.2.3.4", "user"),
            ("user:1234:1.2.3.4:8080", "1.2.3.4", "user"),
            ("user:1234@gate.example:8080", "gate.example", "user"),
            ("gate.example:8080@user:1234", "gate.example", "user"),
            ("john.doe:1234:1.2.3.4:8080", "1.2.3.4", "john.doe"),
            (
                "john_d.oe:1234:gate.example:80",
                "gate.example",
                "john_d.oe",
            ),
            ("user:1234@proxy:8080", "proxy", "user"),
            ("proxy:8080:user:1234", "proxy", "user"),
            ("[2001:db8::1]:8080:user:1234", "2001:db8::1", "user"),
            ("user:1234:[2001:db8::1]:8080", "2001:db8::1", "user"),
            ("1.2.3.4:80:user:p@ss", "1.2.3.4", "user"),
            ("1.2.3.4:80:user:p@ss:123", "1.2.3.4", "user"),
            ("user:p@ss:1.2.3.4:80", "1.2.3.4", "user"),
            ("socks5://1.2.3.4:80:user:p@ss", "1.2.3.4", "user"),
        ] {
            let proxy = one(text).map_err(|reason| format!("{text}: {reason}"));
            let proxy = proxy.unwrap_or_else(|complaint| panic!("{complaint}"));
            let found = proxy.credentials().map(|c| c.user.expose());
            assert_eq!((proxy.host(), found), (host, Some(user)), "{text}");
        }
        for text in [
            "1.2.3.4:80@5.6.7.8:90",
            "john.doe:1234:gate.example:80",
            "gate.example:80@john.doe:1234",
        ] {
            assert_eq!(one(text).err(), Some(Reason::Ambiguous), "{text}");
        }
        // A URL has one reading.
        let url = one("http://john.doe:1234@gate.example:80").map(|p| p.host().to_owned());
        assert_eq!(url.as_deref(), Ok("gate.example"));
    }

    #[test]
    fn published_lists_append_countries_and_remarks() {
        for (text, country) in [
            ("190.119.90.114:8080:Peru", Some("pe")),
            ("84.17.47.150:9002:The Netherlands", Some("nl")),
            ("84.17.47.150:9002:The Netherlands tag=x", Some("nl")),
            ("1.2.3.4:80::United States::New Jersey::Clifton", Some("us")),
            ("1.2.3.4:80|Hong Kong|Central|Hong Kong", Some("hk")),
            ("1.2.3.4:80::None::None::None", None),
            ("1.2.3.4:999 CO-N-S! + ", Some("co")),
            ("1.2.3.4:999 US", Some("us")),
            ("1.2.3.4:999:u:p US", Some("us")),
            ("1.2.3.4:999 Korea, Republic of", Some("kr")),
            ("1.2.3.4:80 => failure", None),
            ("1.2.3.4\t8080\tUS", Some("us")),
        ] {
            let proxy = one(text).map_err(|reason| format!("{text}: {reason}"));
            let proxy = proxy.unwrap_or_else(|complaint| panic!("{complaint}"));
            assert_eq!(proxy.labels().country.as_deref(), country, "{text}");
        }
        for (text, reason) in [
            ("1.2.3.4:80:user", Reason::MissingPassword),
            ("1.2.3.4:80 user:pass", Reason::Trailing),
            ("1.2.3.4:80:user:pa ss", Reason::Trailing),
            ("1.2.3.4 8080 user pass", Reason::Trailing),
            ("1.2.3.4:80 country=usa", Reason::BadCountry),
            ("1.2.3.4:80 contry=us", Reason::UnknownLabel),
            ("1.2.3.4:80 cost=1 cost=2", Reason::RepeatedLabel),
            ("1.2.3.4:80 weight=0", Reason::BadWeight),
        ] {
            assert_eq!(one(text).err(), Some(reason), "{text}");
        }
    }

    #[test]
    fn ports_go_without_saying_only_where_they_are_unambiguous() {
        let port = |text| one(text).map(|p| p.port());
        assert_eq!(port("https://u:p@gate.example"), Ok(443));
        assert_eq!(port("socks5h://[2001:db8::1]"), Ok(1080));
        assert_eq!(port("http://gate.example"), Err(Reason::NoPort));
        assert_eq!(port("gate.example"), Err(Reason::NoPort));
        assert_eq!(port("socks://gate.example:1"), Err(Reason::SocksVersion));
        assert_eq!(port("vmess://abc"), Err(Reason::UnknownScheme));
    }

    #[test]
    fn a_printed_label_is_taken_back_only_if_nothing_is_missing_from_it() {
        let open = proxy(Scheme::Socks5, "1.2.3.4", 1080, "", "");
        assert_eq!(
            one(&open.label().to_string()).map(|p| p.id()),
            Ok(open.id())
        );
        let shut = proxy(Scheme::Socks5, "1.2.3.4", 1080, "u", "p");
        assert_eq!(
            one(&shut.label().to_string()).err(),
            Some(Reason::RedactedLabel)
        );
    }

    #[test]
    fn a_proxy_url_reads_as_curl_reads_it() {
        let read = |text| parse_proxy_url(text, Scheme::Http, &env);
        let proxies = read("user:12%334@proxy.example.com:8080").unwrap();
        let expected = proxy(Scheme::Http, "proxy.example.com", 8080, "user", "1234");
        assert_eq!(proxies, [expected]);
        assert_eq!(
            read("u-{session}:p@h.example:1 sessions=3").unwrap().len(),
            3
        );
        let problem = read("proxy.example.com").unwrap_err();
        assert_eq!(
            problem.what,
            "not a proxy at column 18: no port, expected host:port"
        );
        assert!(read(" ").unwrap_err().what.contains("empty"));
    }

    proptest! {
        #[test]
        fn percent_encoded_credentials_round_trip(
            user in "[^\\p{Cc}:]{1,20}", password in "\\P{Cc}{0,20}", port in 1_u16..
        ) {
            let encode = |text| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
            };
            for scheme in [Scheme::Http, Scheme::Https, Scheme::Socks5h] {
                let text = format!("{scheme}://{}:{}@h.example:{port}", encode(&user), encode(&password));
                let expected = proxy(scheme, "h.example", port, &user, &password);
                prop_assert_eq!(one(&text), Ok(expected));
            }
        }

        #[test]
        fn session_tokens_survive_every_order(
            user in "[a-zA-Z0-9._;+~=-]{1,24}", password in "[a-zA-Z0-9._;+~=@:-]{0,16}[a-z]", port in 1_u16..
        ) {
            let host = "192.0.2.1";
            let expected = proxy(Scheme::Http, host, port, &user, &password);
            for text in [
                format!("http://{user}:{password}@{host}:{port}"),
                format!("{user}:{password}@{host}:{port}"),
                format!("{host}:{port}:{user}:{password}"),
                format!("{user}:{password}:{host}:{port}"),
                format!("{host}:{port}@{user}:{password}"),
            ] {
                prop_assert_eq!(one(&text).map(|p| p.id()), Ok(expected.id()), "{}", text);
            }
        }
    }
}
