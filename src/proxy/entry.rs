//! One entry of a list: which of its fields is the address, and which are the credentials.
//!
//! Every order is tried and the reading with the surest address wins, see [`super::parse`]. Fields come out as written; decoding
//! and variables are [`super::template`]'s.

use std::cmp::Ordering;

use super::address::{self, Address, Rank};
use super::labels::Marks;
use super::parse::{offset, words};
use super::reject::{Flaw, Reason};
use super::{Scheme, country};

/// How an entry without `scheme://` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// In any of the orders.
    List,
    /// As a URL that lacks its scheme.
    Url,
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
pub(super) type Place = (usize, &'static str);

/// Splits one entry without labels.
pub(super) fn read(
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
    // `user:1;x:1.2.3.4:80`: a password may begin like a port and a column.
    if separator.is_some() && backward(rest, at).is_some_and(|it| it.address.rank > address.rank) {
        return Ok(None);
    }
    let implied_port = address.implied_port;
    let mut entry = Entry {
        scheme,
        address: Some(address),
        credentials: None,
        stamp: None,
    };
    if let Some(separator) = separator {
        return Ok(Some((entry, Some((more_at + separator.len(), separator)))));
    }
    entry.stamp = end_of_url(more, more_at, implied_port)?;
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
    let reversed = reversed(rest, at);
    // `first.last:12345@proxy:8080` has the form of a URL and that of `host:port@user:pass`: only an IP address decides.
    let doubtful = match (&first, &reversed) {
        (Some(first), Some(other)) => {
            first.address.rank < Rank::Name && other.address.rank == Rank::Name
        }
        _ => false,
    };
    let others = [forward(rest, at), backward(rest, at), reversed];
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
    let is_sure = best
        .as_ref()
        .is_some_and(|best| best.address.rank == Rank::Sure);
    if tied || (doubtful && !is_sure) {
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
    let stamp = end_of_url(&right[length..], right_at + length, address.implied_port)?;
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
    let field = |text: &'a str, at| Field {
        text: unquoted(text),
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

/// `text` without the quotes around it, which an export has put there.
pub(super) fn unquoted(text: &str) -> &str {
    let inside = ['"', '\'']
        .into_iter()
        .find_map(|quote| Some((quote, text.strip_prefix(quote)?.strip_suffix(quote)?)));
    match inside {
        Some((quote, inside)) if !inside.contains(quote) => inside,
        _ => text,
    }
}

/// Where the user name ends: at the first colon that is not part of `{session:8}`, or of the same with a mistaken name.
pub(super) fn user_length(info: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let colon = from + info[from..].find(':')?;
        let before = &info[..colon];
        if !before.ends_with("{session") && !is_within_placeholder(before, &info[colon + 1..]) {
            return Some(colon);
        }
        from = colon + info[colon..].find('}')?;
    }
}

/// True for the colon of `{NAME:8}`, `{NAME:num}` and `{NAME:num:6}`.
fn is_within_placeholder(before: &str, after: &str) -> bool {
    let name = before.rsplit_once('{').map_or("", |(_, name)| name);
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    let is_option = |text: &str| text == "num" || text.parse::<u8>().is_ok();
    let options = after.split_once('}').map(|(options, _)| options);
    is_name && options.is_some_and(|options| options.split(':').all(is_option))
}

/// What may follow the address of a URL: nothing, `/`, or the digits of a printed label. A URL with `/` and without a port is
/// the address of a site: somebody passed the wrong file.
fn end_of_url(text: &str, at: usize, implied_port: bool) -> Result<Option<Field<'_>>, Flaw> {
    match text.strip_prefix('#') {
        Some(stamp) if stamp.len() == 6 && stamp.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(Some(Field {
                text: stamp,
                at,
                encoded: false,
            }))
        }
        None if text.starts_with('/') && implied_port => Err(Flaw::new(at, Reason::NoPort)),
        None if text.is_empty() || text == "/" || text == ":" => Ok(None),
        _ => Err(Flaw::new(at, Reason::Trailing)),
    }
}

/// `scheme host port [user pass]` (proxychains), also without the scheme, and `scheme host:port` as blank-separated columns; `None`
/// for other lines. Returns the length read.
pub(super) fn spaced(
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
    let Some((host, host_at)) = host else {
        return Ok(None);
    };
    let (address, mut length) = match address::leading(host, at + host_at, None) {
        Ok((address, length)) if named.is_some() && length == host.len() => {
            (address, host_at + length)
        }
        _ => {
            let Some((port, port_at)) = words.next() else {
                return Ok(None);
            };
            let port_like = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            let host_like = matches!(address::lone_host(host, 0), Ok((_, rank)) if named.is_some() || rank == Rank::Sure);
            if !port_like || !host_like {
                return Ok(None);
            }
            let (host, rank) = address::lone_host(host, at + host_at)?;
            let address = Address {
                host,
                port: address::port(port, at + port_at)?,
                rank,
                implied_port: false,
            };
            (address, port_at + port.len())
        }
    };
    let field = |(text, word_at): (_, usize)| Field {
        text,
        at: at + word_at,
        encoded: false,
    };
    let mut credentials = None;
    if let (Some(user), Some(password)) = (words.next(), words.next())
        && !user.0.contains('=')
        && (named.is_some() || !is_told(user.0, &content[length..]))
    {
        credentials = Some((field(user), field(password)));
        length = password.1 + password.0.len();
    }
    let entry = Entry {
        scheme,
        address: Some(address),
        credentials,
        stamp: None,
    };
    Ok(Some((entry, length)))
}

/// True when what follows an address, of which this is the first word, tells something of it: a country, a protocol, remarks.
fn is_told(word: &str, rest: &str) -> bool {
    let is_word = word.parse::<Scheme>().is_ok() || country::code(word).is_some();
    is_word || Marks::default().read(rest, 0, true).is_ok()
}

/// The rows of a table without a header: `host,port` or `host,port,user,pass`, with `,`, `;` or `|` between them. `None` for other
/// lines; more columns, or a country in the third, are not guessed at.
pub(super) fn delimited(text: &str, at: usize, scheme: Scheme) -> Option<Entry<'_>> {
    let delimiter = text
        .find([',', ';', '|'])
        .map(|found| &text[found..=found])?;
    // With a colon in it the line has another form.
    if text.contains([':', '@', '=']) {
        return None;
    }
    let cells: Vec<_> = text
        .trim_end_matches(delimiter)
        .split(delimiter)
        .map(|cell| {
            let cell = cell.trim();
            Field {
                text: unquoted(cell),
                at: at + offset(cell, text),
                encoded: false,
            }
        })
        .collect();
    let (host, port, credentials) = match cells[..] {
        [host, port] => (host, port, None),
        [host, port, user, password] if country::code(user.text).is_none() => {
            (host, port, Some((user, password)))
        }
        _ => return None,
    };
    let (name, rank) = address::lone_host(host.text, host.at).ok()?;
    let port = address::port(port.text, port.at).ok()?;
    (rank > Rank::Word).then_some(Entry {
        scheme,
        address: Some(Address {
            host: name,
            port,
            rank,
            implied_port: false,
        }),
        credentials,
        stamp: None,
    })
}
