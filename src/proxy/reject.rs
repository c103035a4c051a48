//! Why a line of a proxy list was not taken.
//!
//! A reason is a closed enum without text fields: it cannot carry a piece of the line, and so cannot carry a password. The
//! line is named by its place instead.

use std::fmt;
use std::sync::Arc;

use super::presets::Misuse;

/// One entry of a list that is not a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The source as the user named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1: where reading failed. For entries of a JSON document, where the entry starts.
    pub column: u64,
    /// What is wrong and what was expected.
    pub reason: Reason,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reject {
            file,
            line,
            column,
            reason,
        } = self;
        write!(f, "{file}:{line}:{column}: {reason}")
    }
}

/// What is wrong with an entry; displays as one lower-case sentence that also says what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Longer than the cap of [`super::list::MAX_LINE`] bytes.
    TooLong,
    /// Bytes that are not UTF-8, or credentials that are not after decoding.
    NotUtf8,
    /// A line of HTML or XML.
    Markup,
    /// The entry has no port and its scheme has no unambiguous one.
    NoPort,
    /// Not a number from 1 to 65535.
    BadPort,
    /// Nothing where the host should be.
    NoHost,
    /// Neither a host name nor an address.
    BadHost,
    /// Numbers and dots that are no IPv4 address.
    BadIpv4,
    /// An IPv6 address without brackets.
    BareIpv6,
    /// A bracket without its partner, or no IPv6 address between the two.
    BadIpv6,
    /// An IPv4 address with a number such as `01`.
    LeadingZeros,
    /// `user:pa ss@host:port`.
    BlankInCredentials,
    /// The unspecified, the broadcast or a multicast address.
    UnusableAddress,
    /// `scheme://` with a scheme that is not spoken.
    UnknownScheme,
    /// `socks://`, which tools read differently.
    SocksVersion,
    /// Two fields could be the address.
    Ambiguous,
    /// A third field that is neither credentials nor a known country.
    MissingPassword,
    /// A colon in the user name, which HTTP Basic credentials cannot carry.
    ColonInUser,
    /// A control character in a credential.
    ControlCharacter,
    /// A credential that does not fit SOCKS5.
    CredentialTooLong,
    /// Text after the address that is not understood.
    Trailing,
    /// A printed label `…#k` whose entry had credentials.
    RedactedLabel,
    /// A label key that does not exist.
    UnknownLabel,
    /// A label that stands twice.
    RepeatedLabel,
    /// `country=` that is not two letters.
    BadCountry,
    /// `tag=` without a tag.
    BadTag,
    /// `cost=` that is not a price.
    BadCost,
    /// `tier=` out of range.
    BadTier,
    /// `weight=` that is not a number above 0.
    BadWeight,
    /// `rotation=` that is neither of its two values.
    BadRotation,
    /// `sessions=` out of range.
    BadSessions,
    /// `${` that is not a variable.
    BadVariable,
    /// A variable that is not set.
    UndefinedVariable,
    /// A variable in a list that came over the network.
    RemoteVariable,
    /// `direct` in a list that came over the network.
    RemoteDirect,
    /// `{session…` that is not a placeholder.
    BadPlaceholder,
    /// `{name}` that is no placeholder where only placeholders stand in braces.
    UnknownPlaceholder,
    /// Nearly this placeholder.
    Misspelt(&'static str),
    /// A variable or placeholder outside user name and password.
    MisplacedPlaceholder,
    /// `{session}` without `sessions=`.
    NoSessions,
    /// `sessions=` without `{session}`.
    NoPlaceholder,
    /// `{country}` without `country=`.
    NoCountry,
    /// Fewer different session names than sessions.
    SessionTooShort,
    /// The source would expand to more than [`super::list::MAX_PROXIES`] proxies.
    TooMany,
    /// Not JSON.
    BadJson,
    /// JSON, but neither a string nor an object that names an address.
    NoAddress,
    /// Not a CSV row.
    BadCsv,
    /// A quote that is not closed in its row.
    OpenQuote,
    /// A `provider=` line that asks for what the provider does not give.
    Preset(Misuse),
}

/// How a brace is written that begins no placeholder.
const MEANT: &str = "(a { that is meant is written %7B, in scheme://user:password@host:port)";

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::TooLong => "the entry is too long, expected at most 8192 bytes",
            Reason::NotUtf8 => "not UTF-8 text",
            Reason::Markup => "HTML or XML, expected a plain list with one proxy a line",
            Reason::NoPort => "no port, expected host:port",
            Reason::BadPort => "not a port, expected a number from 1 to 65535",
            Reason::NoHost => "no host, expected host:port",
            Reason::BadHost => {
                "not a host, expected an ASCII name (xn--… for others), an IPv4 or a bracketed IPv6 address"
            }
            Reason::BadIpv4 => "not an IPv4 address, expected four numbers from 0 to 255",
            Reason::LeadingZeros => {
                "an IPv4 address with leading zeros, which some read as octal; expected 1.2.3.4 and not 01.02.03.04"
            }
            Reason::BlankInCredentials => "a blank in the credentials, write %20",
            Reason::BareIpv6 => "an IPv6 address without brackets, expected [address]:port",
            Reason::BadIpv6 => "not an IPv6 address in brackets, expected [address]:port",
            Reason::UnusableAddress => {
                "an unspecified, broadcast or multicast address, expected the address of one proxy"
            }
            Reason::UnknownScheme => {
                "unknown scheme, expected http, https, socks4, socks4a, socks5, socks5h or direct"
            }
            Reason::SocksVersion => {
                "socks does not say which version, expected socks4, socks4a, socks5 or socks5h"
            }
            Reason::Ambiguous => {
                "two fields could be the address, expected scheme://user:password@host:port"
            }
            Reason::MissingPassword => {
                "neither user:password nor a known country after the port, expected host:port:user:password"
            }
            Reason::ColonInUser => {
                "a colon in the user name, which HTTP proxy authentication cannot carry"
            }
            Reason::ControlCharacter => "a control character in the credentials",
            Reason::CredentialTooLong => {
                "credentials too long for SOCKS, expected at most 255 bytes each"
            }
            Reason::Trailing => {
                "unexpected text after the entry, expected labels (key=value), a country or a # comment"
            }
            Reason::RedactedLabel => {
                "a printed label, which leaves the credentials out; expected the entry of the original list"
            }
            Reason::UnknownLabel => {
                "unknown label, expected country=, tag=, cost=, tier=, weight=, rotation= or sessions="
            }
            Reason::RepeatedLabel => "the same label twice, expected one (only tag= repeats, and cost= for another unit)",
            Reason::BadCountry => "not a country, expected two letters such as country=us",
            Reason::BadTag => "empty tag, expected tag=name",
            Reason::BadCost => {
                "not a cost, expected a price such as cost=3.5/GB or cost=0.002/request"
            }
            Reason::BadTier => "not a tier, expected 0, 1 or 2",
            Reason::BadWeight => "not a weight, expected a number above 0 such as weight=2",
            Reason::BadRotation => "not a rotation, expected fixed or per_connection",
            Reason::BadSessions => {
                "not a number of sessions, expected a whole number from 1 to 100000"
            }
            Reason::BadVariable => "not a variable, expected ${NAME} (a literal ${ is written $${)",
            Reason::UndefinedVariable => {
                "the environment variable is not set, expected it to be exported"
            }
            Reason::RemoteVariable => {
                "an environment variable in a list from the network, expected it in a local file only"
            }
            Reason::RemoteDirect => {
                "direct in a list from the network, expected it in a local file only"
            }
            Reason::BadPlaceholder => {
                "not a placeholder, expected {session}, {session:8} or {session:num:6} with a length from 1 to 32"
            }
            Reason::UnknownPlaceholder => {
                return write!(
                    f,
                    "unknown placeholder, expected {{session}} or {{country}} {MEANT}"
                );
            }
            Reason::Misspelt(name) => {
                return write!(
                    f,
                    "unknown placeholder, did you mean {{{name}}}? {MEANT}"
                );
            }
            Reason::MisplacedPlaceholder => {
                "a variable or placeholder outside user name and password, expected a host and a port"
            }
            Reason::NoSessions => "{session} without the label sessions=, expected sessions=N",
            Reason::NoPlaceholder => {
                "sessions= without {session} in the user name or the password, expected both"
            }
            Reason::NoCountry => "{country} without the label country=, expected both",
            Reason::SessionTooShort => {
                "session names too short to tell so many sessions apart, expected a greater length"
            }
            Reason::TooMany => "too many proxies in one list, expected at most 5000000",
            Reason::BadJson => "broken JSON",
            Reason::NoAddress => {
                "no address, expected a string, or an object with host and port or with proxy"
            }
            Reason::BadCsv => "broken CSV row",
            Reason::OpenQuote => "a quote that is not closed in its row",
            Reason::Preset(misuse) => return misuse.fmt(f),
        })
    }
}

/// A reason and the byte offset in the text it was found at; becomes a [`Reject`] once the place of the text is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) at: usize,
    pub(super) reason: Reason,
}

impl Flaw {
    pub(super) fn new(at: usize, reason: Reason) -> Self {
        Flaw { at, reason }
    }

    /// The column, from 1 in characters, that this offset is in `text`.
    pub(super) fn column(self, text: &str) -> u64 {
        let before = text.get(..self.at).unwrap_or(text);
        before.chars().count() as u64 + 1
    }
}
