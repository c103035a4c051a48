//! Proxies as plain data: what an entry of the list says, and what tells two entries apart.
//!
//! Identity is scheme + user + password + host + port, never host:port alone: providers put their exits behind one
//! gateway address and tell them apart by user name. Everything that is remembered about a proxy is keyed by [`ProxyId`].

mod address;
mod column;
mod country;
mod entry;
mod header;
mod json;
mod labels;
pub mod list;
pub mod parse;
pub mod presets;
mod price;
pub mod reject;
mod session;
mod table;
mod template;

pub use country::code as country_code;
pub use price::{HIGHEST_TIER, Price, PriceRule, price_by};

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::secret::Secret;

/// The word of `check` for a proxy that brings answers.
pub(crate) const ALIVE: &str = "alive";
/// The one for a proxy that brings some of them.
pub(crate) const UNSTABLE: &str = "unstable";
/// Of rows that `check` has written, a list takes those with one of these.
pub(crate) const WORKING: [&str; 2] = [ALIVE, UNSTABLE];

/// What stands for itself in a user name or password (RFC 3986 section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// HTTP proxy over plain TCP: absolute-form for `http://`, CONNECT for `https://`.
    Http,
    /// The same protocol inside TLS to the proxy.
    Https,
    /// SOCKS4. A target name is sent as SOCKS4a, because names are never resolved locally.
    Socks4,
    /// SOCKS4a: the exit resolves the name.
    Socks4a,
    /// SOCKS5. The exit resolves the name, as for [`Scheme::Socks5h`].
    Socks5,
    /// SOCKS5 with the name resolved at the exit, curl's spelling.
    Socks5h,
    /// No proxy: the client's own address. Only used when the list names it.
    Direct,
}

impl Scheme {
    /// The spelling used in proxy URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Socks4 => "socks4",
            Scheme::Socks4a => "socks4a",
            Scheme::Socks5 => "socks5",
            Scheme::Socks5h => "socks5h",
            Scheme::Direct => "direct",
        }
    }

    /// True for the two schemes that speak HTTP to the proxy.
    pub fn is_http(self) -> bool {
        matches!(self, Scheme::Http | Scheme::Https)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text was not one of the scheme names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownScheme;

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(text: &str) -> Result<Self, UnknownScheme> {
        let all = [
            Scheme::Http,
            Scheme::Https,
            Scheme::Socks4,
            Scheme::Socks4a,
            Scheme::Socks5,
            Scheme::Socks5h,
            Scheme::Direct,
        ];
        all.into_iter()
            .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
            .ok_or(UnknownScheme)
    }
}

/// User name and password. Both are secret: provider user names carry customer ids and session tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user name, percent-decoded.
    pub user: Secret,
    /// The password, percent-decoded; empty when the entry had none.
    pub password: Secret,
}

/// What a new connection through the proxy means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rotation {
    /// One exit, however many connections: connections are kept and reused.
    #[default]
    Fixed,
    /// A provider's rotating endpoint: every connection is a new exit, so every attempt gets a new connection.
    PerConnection,
}

/// What the list says about a proxy beside its address.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Labels {
    /// Two-letter country of the exit, lower case, as the list claims.
    pub country: Option<Box<str>>,
    /// Free tags, in the order given.
    pub tags: Vec<Box<str>>,
    /// What its use costs, in the user's own currency.
    pub cost: Option<Price>,
    /// From 0, where every host begins, to [`HIGHEST_TIER`]: how far a host has to have come in banning cheaper ones.
    pub tier: u8,
    /// Relative share under `--rotate weighted`; absent means 1.
    pub weight: Option<f32>,
    /// Whether connections may be reused.
    pub rotation: Rotation,
}

/// Stable hash of a proxy's identity: the same entry has the same id in every run and on every machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProxyId(u64);

impl ProxyId {
    /// The raw hash.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The six hexadecimal digits shown after `#` in a label.
    pub fn short(self) -> impl fmt::Display {
        struct Short(u32);
        impl fmt::Display for Short {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:06x}", self.0)
            }
        }
        Short(self.digits())
    }

    /// The same as a number: what is the same in labels that look the same.
    pub(super) fn digits(self) -> u32 {
        (self.0 >> 40) as u32
    }
}

impl fmt::Debug for ProxyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyId({:016x})", self.0)
    }
}

/// Credentials that stand and fall together: a 407 for one of the group stops the use of all of it (of the sessions of
/// a template, three in a row with none accepted in between).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialGroup(u64);

/// One entry of the pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
    credentials: Option<Credentials>,
    labels: Labels,
    id: ProxyId,
    group: CredentialGroup,
}

impl Proxy {
    /// A proxy from its parts. `host` is without brackets; it is lower-cased here.
    ///
    /// The credential group is (user, password); entries expanded from one template share the group of the template, see
    /// [`Proxy::with_group_of`].
    pub fn new(scheme: Scheme, host: &str, port: u16, credentials: Option<Credentials>) -> Self {
        let host = host.to_ascii_lowercase().into_boxed_str();
        let id = ProxyId(identity_hash(scheme, &host, port, credentials.as_ref()));
        let group = CredentialGroup(match &credentials {
            Some(c) => hash_fields(&[c.user.expose().as_bytes(), c.password.expose().as_bytes()]),
            None => id.0,
        });
        Proxy {
            scheme,
            host,
            port,
            credentials,
            labels: Labels::default(),
            id,
            group,
        }
    }

    /// The pool member that stands for the client's own connection.
    pub fn direct() -> Self {
        Proxy::new(Scheme::Direct, "", 0, None)
    }

    /// The same proxy with these labels.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// The same proxy in the credential group named by `template`, the text of the list line before expansion.
    #[must_use]
    pub fn with_group_of(mut self, template: &str) -> Self {
        self.group = CredentialGroup(hash_fields(&[b"template", template.as_bytes()]));
        self
    }

    /// How to speak to it.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host name or address, lower case, IPv6 without brackets; empty for `direct`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port; 0 for `direct`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// User and password, if the entry has any.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// What the list says beside the address.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// What tells it from every other proxy.
    pub fn id(&self) -> ProxyId {
        self.id
    }

    /// The credentials it shares with others.
    pub fn group(&self) -> CredentialGroup {
        self.group
    }

    /// True for a session of a template: its group has other credentials too.
    pub fn is_session(&self) -> bool {
        self.account() == Some(self.group.0)
    }

    /// The account it is used under, as far as an outsider can tell: one endpoint and password, whatever the session in the
    /// user name; for sessions of one template the template. `None` without credentials.
    pub fn account(&self) -> Option<u64> {
        let credentials = self.credentials.as_ref()?;
        let password = credentials.password.expose().as_bytes();
        let own = hash_fields(&[credentials.user.expose().as_bytes(), password]);
        Some(if self.group.0 == own {
            hash_fields(&[
                b"account",
                self.host.as_bytes(),
                &self.port.to_be_bytes(),
                password,
            ])
        } else {
            self.group.0
        })
    }

    /// The proxy as people write it, credentials included.
    pub fn url(&self) -> Secret {
        if self.is_direct() {
            return Secret::new("direct");
        }
        let part = |secret: &Secret| utf8_percent_encode(secret.expose(), UNRESERVED).to_string();
        let mut url = format!("{}://", self.scheme);
        if let Some(Credentials { user, password }) = &self.credentials {
            url.push_str(&format!("{}:{}@", part(user), part(password)));
        }
        let bracketed = self.host.contains(':');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        url.push_str(&format!("{open}{}{close}:{}", self.host, self.port));
        Secret::new(url)
    }

    /// The entry as a list has it, credentials and labels included: what the list grammar reads as the same proxy.
    pub fn line(&self) -> Secret {
        if self.is_direct() {
            return self.url();
        }
        let mut line = self.url().expose().to_owned();
        let Labels {
            country,
            tags,
            cost,
            tier,
            weight,
            rotation,
        } = &self.labels;
        let mut label = |name: &str, value: &dyn fmt::Display| {
            line.push_str(&format!(" {name}={value}"));
        };
        if let Some(country) = country {
            label("country", country);
        }
        tags.iter().for_each(|tag| label("tag", tag));
        if let Some(cost) = cost {
            label("cost", cost);
        }
        if *tier > 0 {
            label("tier", tier);
        }
        if let Some(weight) = weight {
            label("weight", weight);
        }
        if *rotation == Rotation::PerConnection {
            label("rotation", &"per_connection");
        }
        Secret::new(line)
    }

    /// True for the member `direct`.
    pub fn is_direct(&self) -> bool {
        self.scheme == Scheme::Direct
    }

    /// True for a rotating endpoint: every attempt has a connection, and so an exit, of its own.
    pub fn is_rotating(&self) -> bool {
        self.labels.rotation == Rotation::PerConnection
    }

    /// A hash of the neighbourhood a ban would take with it: the /24 of an IPv4 address, the /48 of an IPv6 address, else the
    /// host name. A retry prefers another one.
    pub fn subnet(&self) -> u64 {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => hash_fields(&[b"4", &ip.octets()[..3]]),
            Ok(IpAddr::V6(ip)) => hash_fields(&[b"6", &ip.octets()[..6]]),
            Err(_) => hash_fields(&[b"name", self.host.as_bytes()]),
        }
    }

    /// `scheme://host:port#k`: safe to print, and distinct for entries that differ only in credentials.
    pub fn label(&self) -> ProxyLabel<'_> {
        ProxyLabel(self)
    }
}

/// Displays a proxy without its credentials.
#[derive(Debug, Clone, Copy)]
pub struct ProxyLabel<'a>(&'a Proxy);

impl fmt::Display for ProxyLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proxy {
            scheme,
            host,
            port,
            id,
            ..
        } = self.0;
        if *scheme == Scheme::Direct {
            return f.write_str("direct");
        }
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}#{}", id.short())
        } else {
            write!(f, "{scheme}://{host}:{port}#{}", id.short())
        }
    }
}

fn identity_hash(scheme: Scheme, host: &str, port: u16, credentials: Option<&Credentials>) -> u64 {
    let (user, password) = credentials.map_or(("", ""), |c| (c.user.expose(), c.password.expose()));
    hash_fields(&[
        scheme.as_str().as_bytes(),
        host.as_bytes(),
        &port.to_be_bytes(),
        &[u8::from(credentials.is_some())],
        user.as_bytes(),
        password.as_bytes(),
    ])
}

/// First 64 bits of SHA-256 over length-prefixed fields. Cryptographic because six digits of it are printed beside the
/// address and must not help to guess the password.
fn hash_fields(fields: &[&[u8]]) -> u64 {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for field in fields {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field);
    }
    let digest = context.finish();
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_ref()[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(user: &str) -> Proxy {
        let credentials = Credentials {
            user: Secret::new(user),
            password: Secret::new("pw"),
        };
        Proxy::new(Scheme::Http, "Gate.Example", 7000, Some(credentials))
    }

    #[test]
    fn one_gateway_address_with_many_users_is_many_identities() {
        let ids: std::collections::HashSet<_> =
            (0..50).map(|n| gateway(&format!("u-{n}")).id()).collect();
        assert_eq!(ids.len(), 50);
        assert_eq!(gateway("a").id(), gateway("a").id());
    }

    #[test]
    fn label_hides_credentials_and_tells_identities_apart() {
        let (a, b) = (gateway("alice"), gateway("bob"));
        let label = a.label().to_string();
        assert!(label.starts_with("http://gate.example:7000#"), "{label}");
        assert!(!label.contains("alice") && !label.contains("pw"), "{label}");
        assert_ne!(label, b.label().to_string());
        assert!(!format!("{a:?}").contains("alice"));
    }

    proptest::proptest! {
        #[test]
        fn a_line_is_read_back_as_the_same_proxy(
            user in "\\PC{1,20}", password in "\\PC{0,20}", six: bool, port in 1u16.., tagged: bool,
        ) {
            let credentials = Credentials {
                user: Secret::new(user),
                password: Secret::new(password),
            };
            let host = if six { "2001:db8::7" } else { "gate.example" };
            let labels = Labels {
                country: tagged.then(|| "us".into()),
                tags: tagged.then(|| "a".into()).into_iter().collect(),
                cost: tagged.then(|| "3.5/GB+0.25/request".parse().unwrap()),
                tier: u8::from(tagged),
                weight: tagged.then_some(1.5),
                rotation: if tagged { Rotation::PerConnection } else { Rotation::Fixed },
            };
            let proxy = Proxy::new(Scheme::Socks5h, host, port, Some(credentials)).with_labels(labels);
            let line = proxy.line();
            let options = list::Options {
                default_scheme: Scheme::Http,
                env: &|_| None,
                remote: false,
                presets: None,
                only_working: false,
            };
            let read = list::ProxyList::read("list", line.expose().as_bytes(), &options);
            proptest::prop_assert_eq!(read.proxies.len(), 1, "{}", line.expose());
            proptest::prop_assert_eq!(&*read.proxies[0], &proxy);
        }
    }

    #[test]
    fn ipv6_labels_are_bracketed() {
        assert!(
            Proxy::new(Scheme::Socks5, "2001:db8::1", 1080, None)
                .label()
                .to_string()
                .contains("[2001:db8::1]:1080#")
        );
    }
}
