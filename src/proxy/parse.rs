//! The grammar of one line of a proxy list.
//!
//! A line is an entry, then labels, then a comment. The entry is `direct`, an address, or an address with credentials in any
//! of the orders that providers export:
//!
//! ```text
//! host:port                        scheme://[user:pass@]host[:port]
//! host:port:user:pass              user:pass@host:port
//! user:pass:host:port              host:port@user:pass
//! [scheme] host port [user pass]   scheme host:port, host:port scheme
//! host,port[,user,pass]            host:port:Country, host:port|Country|…
//! ```
//!
//! Which field is the address is decided by what can be a host and a port. When two can, the surer host wins (an IP address,
//! then a dotted name, then a bare word), then, between bare words, the form listed first. Two equally sure ones are refused:
//! a wrong guess would send the password to a stranger as a host name. What an export has put around an entry is taken off:
//! quotes, the dash of a YAML list, one separator at the end. `%xx` is decoded where URLs have it, in front of `@`.
//!
//! A line that begins with `provider=` is read by [`super::presets`].
//!
//! Text is split first and `${NAME}` is replaced afterwards, so the values may hold any character.

use std::fmt;

use super::entry::{self, Entry, Style};
use super::labels::Marks;
use super::presets::{self, Presets};
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
    /// Presets of the user, for lines with `provider=`; the built-in ones are always there.
    pub presets: Option<&'a Presets>,
    /// Of rows that `check` has written those are taken whose verdict is `alive` or `unstable`, and the others left out.
    pub only_working: bool,
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
    let options = Options {
        default_scheme,
        env,
        remote: false,
        presets: None,
        only_working: false,
    };
    parse_proxy(text, &options)
}

/// The same with everything that reading a list depends on.
///
/// # Errors
/// As [`parse_proxy_url`].
pub fn parse_proxy(text: &str, options: &Options<'_>) -> Result<Vec<Proxy>, Problem> {
    let hint = if presets::is_line(text.trim_start_matches(is_blank)) {
        "write provider=NAME user=... pass=... and what is asked of it; docs/providers.md has what each takes"
    } else {
        "write [scheme://][user:password@]host:port"
    };
    let complain = |flaw: Flaw| {
        let what = format!(
            "not a proxy at column {}: {}",
            flaw.column(text),
            flaw.reason
        );
        Problem::new(what).hint(hint)
    };
    let mut proxies = Vec::new();
    let mut emit = |proxy| proxies.push(proxy);
    if !take(text, Style::Url, options, &mut emit).map_err(complain)? {
        return Err(Problem::new("the proxy URL is empty").hint(hint));
    }
    Ok(proxies)
}

/// Hands the proxies of one line to `emit`; false for a blank line or a comment.
pub(super) fn take(
    text: &str,
    style: Style,
    options: &Options<'_>,
    emit: &mut dyn FnMut(Proxy),
) -> Result<bool, Flaw> {
    let start = text.len() - text.trim_start_matches(is_blank).len();
    if presets::is_line(&text[start..]) {
        let content = without_comment(&text[start..]).trim_end();
        presets::read(content, start, options, emit)?;
        return Ok(true);
    }
    let Some(line) = line(text, options.default_scheme, style)? else {
        return Ok(false);
    };
    template::expand(&line.entry, line.marks, line.template, options, emit)?;
    Ok(true)
}

/// One line, split but not yet decoded or expanded.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) entry: Entry<'a>,
    pub(super) marks: Marks<'a>,
    /// The entry's text without labels: what names the credential group and the sessions of a template.
    pub(super) template: &'a str,
}

/// Splits one line; `None` for a blank line or a comment.
pub(super) fn line(
    text: &str,
    default_scheme: Scheme,
    style: Style,
) -> Result<Option<Line<'_>>, Flaw> {
    let content = without_comment(text).trim_end();
    let content = match style {
        Style::List => bare(content.trim_start_matches(is_blank)),
        Style::Url => content.trim_start_matches(is_blank),
    };
    let start = offset(content, text);
    if content.is_empty() {
        return Ok(None);
    }
    if content.starts_with('<') {
        return Err(Flaw::new(start, Reason::Markup));
    }
    let head_length = content.find(char::is_whitespace).unwrap_or(content.len());
    let (head, tail) = content.split_at(head_length);
    let head = match style {
        Style::List => unended(head),
        Style::Url => head,
    };
    let mut marks = Marks::default();
    let is_named = head.contains("://") || head.parse::<Scheme>().is_ok();
    let table = || {
        [content, head].into_iter().find_map(|part| {
            let entry = entry::delimited(part, start, default_scheme)?;
            Some((entry, part.len()))
        })
    };
    let spaced = match tail.is_empty() {
        false => entry::spaced(content, start, default_scheme)?,
        true => None,
    };
    if let Some((mut entry, length)) = spaced.or_else(|| table().filter(|_| style == Style::List)) {
        let (template, rest) = content.split_at(length);
        let taken = protocol(rest, is_named, &mut entry);
        marks.read(
            &rest[taken..],
            start + length + taken,
            entry.credentials.is_none(),
        )?;
        return Ok(Some(Line {
            entry,
            marks,
            template,
        }));
    }
    let read = entry::read(head, start, default_scheme, style);
    let (mut entry, place) = read.map_err(|flaw| match head.contains("://") {
        true if !head.contains('@') && tail.contains('@') => {
            Flaw::new(start + head_length, Reason::BlankInCredentials)
        }
        _ => flaw,
    })?;
    let (rest, rest_at) = match place {
        // A country name may hold blanks, so it is cut from the line and not from the head.
        Some((at, separator)) => {
            let taken = marks.place(&content[at - start..], at, separator)?;
            (&content[at - start + taken..], at + taken)
        }
        None => {
            let taken = protocol(tail, is_named, &mut entry);
            (&tail[taken..], start + head_length + taken)
        }
    };
    let address_only = entry.credentials.is_none() && entry.address.is_some();
    marks.read(rest, rest_at, address_only)?;
    Ok(Some(Line {
        entry,
        marks,
        template: head,
    }))
}

/// An entry without what stands around it where it was cut out of another file: `- '1.2.3.4:80',`.
fn bare(content: &str) -> &str {
    let item = content.strip_prefix("- ").unwrap_or(content);
    entry::unquoted(unended(item.trim_start()))
}

/// `text` without the separator at its end.
fn unended(text: &str) -> &str {
    text.strip_suffix([',', ';']).unwrap_or(text)
}

/// Reads a protocol behind an address, `1.2.3.4:1080 socks5`, unless the entry `is_named` already. `https` there mostly means what the
/// proxy carries and not how it is spoken to, so it is refused. Returns the length read.
fn protocol(rest: &str, is_named: bool, entry: &mut Entry<'_>) -> usize {
    let Some((word, at)) = words(rest).next() else {
        return 0;
    };
    match word.parse() {
        Ok(Scheme::Https | Scheme::Direct) | Err(_) => 0,
        Ok(_) if is_named || entry.address.is_none() => 0,
        Ok(scheme) => {
            entry.scheme = scheme;
            at + word.len()
        }
    }
}

/// Where `part` begins in `text`, of which it is a part.
pub(super) fn offset(part: &str, text: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// The blank-separated words of a text with their offsets.
pub(super) fn words(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.split_whitespace()
        .map(move |word| (word, offset(word, text)))
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
            presets: None,
            only_working: false,
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
            ("1.2.3.4:8080@user:1234", "1.2.3.4", "user"),
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
            ("user:1;pass:1.2.3.4:80", "1.2.3.4", "user"),
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
            // The first is a URL without its scheme, the second is not, and nothing else tells them apart.
            "first.last:12345@proxy:8080",
            "gate.example:8080@user:1234",
        ] {
            assert_eq!(one(text).err(), Some(Reason::Ambiguous), "{text}");
        }
        // A URL has one reading.
        let url = one("http://john.doe:1234@gate.example:80").map(|p| p.host().to_owned());
        assert_eq!(url.as_deref(), Ok("gate.example"));
    }

    #[test]
    fn entries_are_found_in_what_exports_put_around_them() {
        let open = proxy(Scheme::Http, "1.2.3.4", 8080, "", "");
        let shut = proxy(Scheme::Http, "1.2.3.4", 8080, "bob", "pw");
        let socks = proxy(Scheme::Socks5, "1.2.3.4", 8080, "", "");
        let shut_socks = proxy(Scheme::Socks5, "1.2.3.4", 8080, "bob", "pw");
        for (text, expected) in [
            ("- 1.2.3.4:8080", &open),
            ("'1.2.3.4:8080'", &open),
            ("- '1.2.3.4:8080',", &open),
            ("1.2.3.4:8080, US", &open),
            ("1.2.3.4,8080", &open),
            ("1.2.3.4;8080 country=us", &open),
            ("1.2.3.4:8080:bob:pw,", &shut),
            ("1.2.3.4:8080:bob:pw;", &shut),
            ("1.2.3.4:8080:\"bob\":\"pw\"", &shut),
            ("1.2.3.4,8080,bob,pw", &shut),
            ("1.2.3.4, 8080, 'bob', 'pw'", &shut),
            ("1.2.3.4|8080|bob|pw tag=a", &shut),
            ("1.2.3.4 8080 bob pw", &shut),
            ("1.2.3.4:8080 socks5", &socks),
            ("1.2.3.4 8080 SOCKS5", &socks),
            ("socks5 1.2.3.4:8080", &socks),
            ("socks5 1.2.3.4:8080 country=us", &socks),
            ("socks5 1.2.3.4:8080 bob pw", &shut_socks),
        ] {
            assert_eq!(one(text).map(|p| p.id()), Ok(expected.id()), "{text}");
        }
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
            ("1.2.3.4 8080 US elite", Reason::Trailing),
            ("1.2.3.4:80 HTTPS", Reason::Trailing),
            ("socks4://1.2.3.4:80 socks5", Reason::Trailing),
            ("1.2.3.4,80,US,elite", Reason::BadHost),
            ("01.02.03.04:80", Reason::LeadingZeros),
            ("http://user:pa ss@1.2.3.4:80", Reason::BlankInCredentials),
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
        assert_eq!(port("https://www.example/"), Err(Reason::NoPort));
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
            // `0::a:192.0.2.1` is an IPv6 address, whatever else it may be.
            let address = format!("{user}:{password}:{host}");
            prop_assume!(address.parse::<std::net::Ipv6Addr>().is_err());
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
