//! A `provider=` line: what is asked, checked against the preset, as the template the provider's user would have written.

use crate::proxy::address::Address;
use crate::proxy::entry::{Entry, Field};
use crate::proxy::labels::Marks;
use crate::proxy::parse::{Options, words};
use crate::proxy::reject::{Flaw, Reason};
use crate::proxy::{Proxy, Rotation, Scheme, address, template};
use crate::units::Span;

use super::misuse::{Form, Misuse};
use super::parameter::{Parameter, Parameters};
use super::{Preset, Unit};

/// The key a line for a preset begins with.
const KEY: &str = "provider=";

/// What a line asks for.
struct Asked<'a> {
    preset: &'a Preset,
    /// Parameters with their values and where these stand.
    given: Vec<(Parameter, &'a str, usize)>,
    scheme: Option<(Scheme, usize)>,
    host: Option<(&'a str, usize)>,
    port: Option<(u16, usize)>,
    marks: Marks<'a>,
}

/// True for a line of this kind. `provider=x:password@host:80` is somebody's user name.
pub(in crate::proxy) fn is_line(text: &str) -> bool {
    let name = text
        .strip_prefix(KEY)
        .and_then(|rest| rest.split_whitespace().next());
    name.is_some_and(|name| !name.contains([':', '@']))
}

/// Hands the proxies of a line that [`is_line`] to `emit`. `content` is without comment and blanks around it, `at` where it begins.
pub(in crate::proxy) fn read(
    content: &str,
    at: usize,
    options: &Options<'_>,
    emit: &mut dyn FnMut(Proxy),
) -> Result<(), Flaw> {
    let first = content.split_whitespace().next().unwrap_or_default();
    let name = first.strip_prefix(KEY).unwrap_or_default();
    let flaw = |at, misuse| Flaw::new(at, Reason::Preset(misuse));
    let preset = super::find(options.presets, name).ok_or(flaw(at + KEY.len(), Misuse::Unknown))?;
    let mut asked = Asked {
        preset,
        given: Vec::new(),
        scheme: None,
        host: None,
        port: None,
        marks: Marks::default(),
    };
    for (word, word_at) in words(content).skip(1) {
        let place = at + word_at;
        let (key, value) = word.split_once('=').ok_or(flaw(place, Misuse::NoKey))?;
        asked.set(key, value, place, place + key.len() + 1)?;
    }
    asked.expand(at, options, emit)
}

impl<'a> Asked<'a> {
    fn set(&mut self, key: &'a str, value: &'a str, key_at: usize, at: usize) -> Result<(), Flaw> {
        let repeated = match key {
            "host" => self.host.replace((value, at)).is_some(),
            "port" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                let port = port.ok_or(Flaw::new(at, Reason::BadPort))?;
                self.port.replace((port, at)).is_some()
            }
            "scheme" => {
                let scheme = crate::proxy::entry::scheme(value, at)?;
                self.scheme.replace((scheme, at)).is_some()
            }
            _ => match Parameter::of_key(key) {
                Some(parameter) => {
                    let repeated = self.given.iter().any(|(other, _, _)| *other == parameter);
                    self.given.push((parameter, value, at));
                    if !repeated && matches!(parameter, Parameter::Country | Parameter::Session) {
                        self.marks.set(key, value, at)?;
                    }
                    repeated
                }
                None => {
                    let flaw = self.marks.set(key, value, at);
                    // The label that is not there is the key and not its value.
                    return flaw.map_err(|flaw| match flaw.reason {
                        Reason::UnknownLabel => Flaw::new(key_at, flaw.reason),
                        _ => flaw,
                    });
                }
            },
        };
        if repeated {
            return Err(Flaw::new(at, Reason::RepeatedLabel));
        }
        Ok(())
    }

    fn place(&self, wanted: Parameter) -> Option<usize> {
        let found = self
            .given
            .iter()
            .find(|(parameter, _, _)| *parameter == wanted);
        found.map(|(_, _, at)| *at)
    }

    /// The value of a parameter as the provider wants it; the checks are made before.
    fn value(&self, wanted: Parameter) -> Option<String> {
        let given = self
            .given
            .iter()
            .find(|(parameter, _, _)| *parameter == wanted);
        let Some((_, value, _)) = given else {
            let defaults = &self.preset.defaults;
            let found = defaults.iter().find(|(parameter, _)| *parameter == wanted);
            return found.map(|(_, value)| value.clone());
        };
        Some(match wanted {
            Parameter::Session => format!("{{session{}}}", self.preset.session),
            Parameter::Country => value.to_ascii_lowercase(),
            Parameter::State | Parameter::Region | Parameter::City | Parameter::Isp => {
                value.replace('_', self.preset.blank.as_deref().unwrap_or("_"))
            }
            Parameter::Ttl => self.ttl(value).unwrap_or_default(),
            _ => (*value).to_owned(),
        })
    }

    /// A ttl in the unit of the provider; `None` when it cannot be.
    fn ttl(&self, value: &str) -> Option<String> {
        let ttl = self.preset.ttl?;
        let span: Span = value.parse().ok()?;
        let whole = span.0.subsec_nanos() == 0 && (ttl.least..=ttl.most).contains(&span.0);
        let seconds = span.0.as_secs();
        match ttl.unit {
            _ if !whole => None,
            Unit::Seconds => Some(seconds.to_string()),
            Unit::Minutes => seconds
                .is_multiple_of(60)
                .then(|| (seconds / 60).to_string()),
            Unit::Suffix => {
                let units = [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
                let fits = units
                    .into_iter()
                    .find(|(unit, _)| seconds.is_multiple_of(*unit));
                fits.map(|(unit, suffix)| format!("{}{suffix}", seconds / unit))
            }
        }
    }

    /// Complains of values that the provider cannot have.
    fn check_values(&self) -> Result<(), Flaw> {
        let flaw = |at, misuse| Err(Flaw::new(at, Reason::Preset(misuse)));
        for &(parameter, value, at) in &self.given {
            let form = match parameter {
                Parameter::User | Parameter::Pass | Parameter::Country | Parameter::Session => {
                    continue;
                }
                Parameter::Ttl => match self.preset.ttl {
                    Some(ttl) if self.ttl(value).is_none() => {
                        return flaw(at, Misuse::Ttl(ttl.unit, ttl.least, ttl.most));
                    }
                    _ => continue,
                },
                Parameter::Asn => Form::Digits,
                Parameter::State | Parameter::Region | Parameter::City | Parameter::Isp => {
                    match self.preset.blank {
                        Some(_) => Form::Words,
                        None => Form::Word,
                    }
                }
                Parameter::Zone => Form::Words,
                Parameter::Zip | Parameter::Os | Parameter::Opt | Parameter::Type => Form::Word,
            };
            let fits = |byte: u8| match form {
                Form::Words => byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_',
                Form::Word => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
                Form::Digits => byte.is_ascii_digit(),
            };
            if value.is_empty() || !value.bytes().all(fits) {
                return flaw(at, Misuse::Value(parameter, form));
            }
            if let Some((_, country)) = self.preset.only.iter().find(|(of, _)| *of == parameter)
                && self
                    .marks
                    .country
                    .is_some_and(|given| !given.as_bytes().eq_ignore_ascii_case(country))
            {
                return flaw(at, Misuse::OnlyIn(parameter, *country));
            }
        }
        Ok(())
    }

    /// Complains of what was given and is not in the template that was made.
    fn check_used(&self, used: Parameters) -> Result<(), Flaw> {
        let (user, password) = (&self.preset.user, &self.preset.password);
        for &(parameter, _, at) in &self.given {
            if used.contains(parameter) {
                continue;
            }
            let places = [user.company(parameter), password.company(parameter)].concat();
            let lacking = places
                .iter()
                .flat_map(|company| company.iter())
                .find(|other| *other != parameter && self.value(*other).is_none());
            let misuse = match lacking {
                _ if places.is_empty() => {
                    let mut taken = Parameters::default();
                    let all = user.parameters().iter().chain(password.parameters().iter());
                    all.for_each(|parameter| taken.insert(parameter));
                    Misuse::NotTaken(parameter, taken)
                }
                Some(other) => Misuse::Needs(parameter, other),
                None => Misuse::Excluded(parameter),
            };
            return Err(Flaw::new(at, Reason::Preset(misuse)));
        }
        Ok(())
    }

    fn expand(
        mut self,
        line_at: usize,
        options: &Options<'_>,
        emit: &mut dyn FnMut(Proxy),
    ) -> Result<(), Flaw> {
        let preset = self.preset;
        self.check_values()?;
        let value = |parameter| self.value(parameter);
        let mut used = Parameters::default();
        let missing = |parameter| Flaw::new(line_at, Reason::Preset(Misuse::Missing(parameter)));
        let user = preset.user.fill(&value, &mut used).map_err(missing)?;
        let password = preset.password.fill(&value, &mut used).map_err(missing)?;
        self.check_used(used)?;

        let scheme = self.scheme.map_or(preset.ports[0].0, |(scheme, _)| scheme);
        let ports = preset.ports.iter().find(|(of, _)| *of == scheme);
        let (_, ports) = ports.ok_or_else(|| {
            let at = self.scheme.map_or(line_at, |(_, at)| at);
            Flaw::new(at, Reason::Preset(Misuse::Scheme))
        })?;
        let usual = *ports[0].start();
        let port = self.port.map_or(usual, |(port, _)| port);
        if let Some((port, at)) = self.port
            && !ports.iter().any(|range| range.contains(&port))
        {
            return Err(Flaw::new(at, Reason::Preset(Misuse::Port(usual))));
        }
        let (host, host_at) = self.host.unwrap_or((&preset.host, line_at));
        let (parsed, rank) = address::lone_host(host, host_at)?;
        let address = Address {
            host: parsed,
            port,
            rank,
            implied_port: false,
        };

        let sessions = self.place(Parameter::Session);
        let keeps = sessions.is_some()
            || preset
                .sticky_ports
                .iter()
                .any(|range| range.contains(&port));
        match (self.marks.rotation(), sessions) {
            (Some(Rotation::PerConnection), Some(at)) => {
                return Err(Flaw::new(at, Reason::Preset(Misuse::RotatingSession)));
            }
            // Without a session every connection has another exit.
            (None, _) if !keeps => self.marks.labels.rotation = Rotation::PerConnection,
            _ => {}
        }

        // What is wrong in the credentials is wrong in the values they were given: as if they stood one behind the other.
        let behind = user.len() + 1;
        // The line that would be written by hand: it names the sessions.
        let prefix = match scheme {
            Scheme::Http => String::new(),
            _ => format!("{scheme}://"),
        };
        let template = format!("{prefix}{user}:{password}@{host}:{port}");
        let field = |text, at| Field {
            text,
            at,
            encoded: false,
        };
        let entry = Entry {
            scheme,
            address: Some(address),
            credentials: Some((field(&user, 0), field(&password, behind))),
            stamp: None,
        };
        let (user_at, pass_at) = (self.place(Parameter::User), self.place(Parameter::Pass));
        template::expand(&entry, self.marks, &template, options, emit).map_err(|flaw| {
            let at = match flaw.reason {
                Reason::SessionTooShort => sessions,
                _ if flaw.at < behind => user_at,
                _ => pass_at,
            };
            Flaw::new(at.unwrap_or(line_at), flaw.reason)
        })
    }
}
