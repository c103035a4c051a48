//! Where in a test something was seen: which path of the program, to which kind of target, through which kind of proxy.

use std::fmt;

use crate::proxy::Scheme;

/// What the program was made to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    /// One request through each proxy after the other, without the engine: the rows of `check`.
    Alone,
    /// Requests through the pool.
    Request,
    /// Requests that are redirected.
    Redirect,
    /// Requests whose first proxy has failed.
    Retry,
    /// Requests without a usable proxy.
    NoProxy,
    /// Second requests beside slow ones.
    Hedge,
}

impl Path {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Path::Alone => "alone",
            Path::Request => "request",
            Path::Redirect => "redirect",
            Path::Retry => "retry",
            Path::NoProxy => "no_proxy",
            Path::Hedge => "hedge",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// An http page.
    Http,
    /// An https page.
    Https,
    /// An http page that leads to an https one.
    Upgrade,
    /// Several of them.
    Any,
}

impl Target {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Target::Http => "http",
            Target::Https => "https",
            Target::Upgrade => "http>https",
            Target::Any => "any",
        }
    }

    /// Its answer comes inside TLS.
    pub(super) fn is_inside_tls(self) -> bool {
        matches!(self, Target::Https | Target::Upgrade)
    }
}

/// A transport: schemes that are one protocol are one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Via {
    Http,
    Https,
    Socks4,
    Socks5,
    Direct,
    /// All there are, or none.
    Any,
}

impl Via {
    pub(super) fn of(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => Via::Http,
            Scheme::Https => Via::Https,
            Scheme::Socks4 | Scheme::Socks4a => Via::Socks4,
            Scheme::Socks5 | Scheme::Socks5h => Via::Socks5,
            Scheme::Direct => Via::Direct,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Via::Http => "http",
            Via::Https => "https",
            Via::Socks4 => "socks4",
            Via::Socks5 => "socks5",
            Via::Direct => "direct",
            Via::Any => "any",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) path: Path,
    pub(super) target: Target,
    pub(super) via: Via,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path.as_str())?;
        if self.target != Target::Any {
            write!(f, " {}", self.target.as_str())?;
        }
        if self.via != Via::Any {
            write!(f, " via {}", self.via.as_str())?;
        }
        Ok(())
    }
}
