//! What is asked of a provider that it does not give.

use std::fmt;
use std::time::Duration;

use super::Unit;
use super::parameter::{Parameter, Parameters};
use crate::units::Span;

/// What is asked of a provider that it does not give. Like every reason of a rejection it cannot carry a piece of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// No preset has this name.
    Unknown,
    /// What has to be given is not.
    Missing(Parameter),
    /// The provider has no such parameter; those it has.
    NotTaken(Parameter, Parameters),
    /// A parameter that is taken beside another one only.
    Needs(Parameter, Parameter),
    /// Two parameters that exclude each other.
    Excluded(Parameter),
    /// A parameter that is taken for this country only.
    OnlyIn(Parameter, [u8; 2]),
    /// A value that the provider cannot have.
    Value(Parameter, Form),
    /// A time for which the provider keeps no exit.
    Ttl(Unit, Duration, Duration),
    /// `rotation=per_connection` beside sessions.
    RotatingSession,
    /// Not a port of the provider; the usual one.
    Port(u16),
    /// A scheme the provider does not have.
    Scheme,
    /// A word that is no `key=value`.
    NoKey,
}

/// What values of a parameter look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Letters, digits, and `_` for blanks.
    Words,
    /// Letters and digits.
    Word,
    /// Digits.
    Digits,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Misuse::Unknown => {
                f.write_str("unknown provider, expected ")?;
                for (at, name) in super::built_in_names().enumerate() {
                    write!(f, "{}{name}", if at > 0 { ", " } else { "" })?;
                }
                f.write_str(" or one of --presets")
            }
            Misuse::Missing(parameter) => {
                write!(f, "{parameter}= is missing, which this provider needs")
            }
            Misuse::NotTaken(parameter, taken) => {
                write!(f, "this provider has no {parameter}=, expected some of {taken}")
            }
            Misuse::Needs(parameter, other) => {
                write!(f, "{parameter}= without {other}=, expected both")
            }
            Misuse::Excluded(parameter) => {
                write!(f, "{parameter}= does not go together with the others")
            }
            Misuse::OnlyIn(parameter, country) => {
                let country = String::from_utf8_lossy(&country).into_owned();
                write!(f, "{parameter}= is taken with country={country} only")
            }
            Misuse::Value(parameter, form) => {
                let form = match form {
                    Form::Words => "small letters and digits with _ for blanks",
                    Form::Word => "small letters and digits only",
                    Form::Digits => "digits",
                };
                write!(f, "not a value of {parameter}=, expected {form}")
            }
            Misuse::Ttl(unit, least, most) => {
                let (least, most) = (Span(least), Span(most));
                let unit = match unit {
                    Unit::Seconds => "whole seconds",
                    Unit::Minutes => "whole minutes",
                    Unit::Suffix => "whole seconds, minutes, hours or days",
                };
                write!(f, "not a ttl of this provider, expected {unit} from {least} to {most}")
            }
            Misuse::RotatingSession => f.write_str(
                "rotation=per_connection with sessions=, of which each keeps its exit; expected one of the two",
            ),
            Misuse::Port(usual) => {
                write!(f, "not a port of this provider, expected {usual} or none")
            }
            Misuse::Scheme => f.write_str("not a scheme of this provider, expected http or none"),
            Misuse::NoKey => f.write_str("not key=value, expected user=NAME pass=${VARIABLE} and the like"),
        }
    }
}
