//! What can be asked of a provider.

use std::fmt;

/// What can be asked of a provider: a key of a `provider=` line and a placeholder of a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Parameter {
    /// Name of the account.
    User,
    /// Its password.
    Pass,
    /// Part of the account that the proxies belong to.
    Zone,
    /// Sort of proxies.
    Type,
    /// Country of the exit, two letters.
    Country,
    /// State of the exit.
    State,
    /// Region of the exit.
    Region,
    /// City of the exit.
    City,
    /// Postal code of the exit.
    Zip,
    /// Network of the exit, a number.
    Asn,
    /// Provider of the exit's network.
    Isp,
    /// System of the exit.
    Os,
    /// An option of the provider's own.
    Opt,
    /// Sessions: `sessions=` in a line, `{session}` in a preset.
    Session,
    /// How long a session keeps its exit.
    Ttl,
}

impl Parameter {
    /// All of them.
    pub const ALL: [Parameter; 15] = [
        Parameter::User,
        Parameter::Pass,
        Parameter::Zone,
        Parameter::Type,
        Parameter::Country,
        Parameter::State,
        Parameter::Region,
        Parameter::City,
        Parameter::Zip,
        Parameter::Asn,
        Parameter::Isp,
        Parameter::Os,
        Parameter::Opt,
        Parameter::Session,
        Parameter::Ttl,
    ];

    /// The key in a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Parameter::User => "user",
            Parameter::Pass => "pass",
            Parameter::Zone => "zone",
            Parameter::Type => "type",
            Parameter::Country => "country",
            Parameter::State => "state",
            Parameter::Region => "region",
            Parameter::City => "city",
            Parameter::Zip => "zip",
            Parameter::Asn => "asn",
            Parameter::Isp => "isp",
            Parameter::Os => "os",
            Parameter::Opt => "opt",
            Parameter::Session => "sessions",
            Parameter::Ttl => "ttl",
        }
    }

    /// The parameter a key of a line stands for.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        if key == "password" {
            return Some(Parameter::Pass);
        }
        Self::ALL.into_iter().find(|each| each.as_str() == key)
    }

    /// The parameter a placeholder stands for.
    pub(super) fn of_placeholder(name: &str) -> Option<Self> {
        match name {
            "session" => Some(Parameter::Session),
            "sessions" => None,
            _ => Self::ALL.into_iter().find(|each| each.as_str() == name),
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Parameters(u16);

impl Parameters {
    pub(super) fn insert(&mut self, parameter: Parameter) {
        self.0 |= 1 << parameter as u16;
    }

    pub(super) fn contains(self, parameter: Parameter) -> bool {
        self.0 & (1 << parameter as u16) != 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Parameter> {
        Parameter::ALL
            .into_iter()
            .filter(move |parameter| self.contains(*parameter))
    }
}

/// `country=, city=, sessions=`
impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, parameter) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{parameter}=")?;
        }
        Ok(())
    }
}
