//! Templates with parts that are there or not: `{user}[-country-{country}[-city-{city}]][-{session}|-rotate]`.

use super::parameter::{Parameter, Parameters};

/// Deepest nesting; no vendor has more than two.
const DEEPEST: usize = 8;

/// A template, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A parameter, and whether it is put in upper case.
    Slot(Parameter, bool),
    /// Of these the first all of whose own parameters are given; nothing when there is none.
    Group(Vec<Vec<Part>>),
}

impl Form {
    /// Takes a template apart.
    ///
    /// # Errors
    /// The byte at which it cannot be read, and why.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut at = 0;
        let mut alternatives = alternatives(text, &mut at, 0)?;
        if at < text.len() {
            return Err((at, "] without ["));
        }
        match (alternatives.pop(), alternatives.is_empty()) {
            (Some(parts), true) => Ok(Form(parts)),
            _ => Err((0, "| outside of [...]")),
        }
    }

    /// The text with the values of what is given, which are added to `used`; a parameter outside of brackets that is not given is
    /// an error.
    pub(super) fn fill(
        &self,
        given: &dyn Fn(Parameter) -> Option<String>,
        used: &mut Parameters,
    ) -> Result<String, Parameter> {
        let mut text = String::new();
        fill(&self.0, given, used, &mut text)?;
        Ok(text)
    }

    /// Everything that occurs.
    pub(super) fn parameters(&self) -> Parameters {
        fn collect(parts: &[Part], all: &mut Parameters) {
            for part in parts {
                match part {
                    Part::Text(_) => {}
                    Part::Slot(parameter, _) => all.insert(*parameter),
                    Part::Group(group) => group.iter().for_each(|parts| collect(parts, all)),
                }
            }
        }
        let mut all = Parameters::default();
        collect(&self.0, &mut all);
        all
    }

    /// What has to be given beside `wanted` for it to be taken, one answer for each place it has.
    pub(super) fn company(&self, wanted: Parameter) -> Vec<Parameters> {
        fn search(
            parts: &[Part],
            outer: Parameters,
            wanted: Parameter,
            found: &mut Vec<Parameters>,
        ) {
            let mut all = outer;
            for part in parts {
                if let Part::Slot(parameter, _) = part {
                    all.insert(*parameter);
                }
            }
            let here = parts
                .iter()
                .any(|part| matches!(part, Part::Slot(parameter, _) if *parameter == wanted));
            if here {
                found.push(all);
            }
            for part in parts {
                if let Part::Group(group) = part {
                    group
                        .iter()
                        .for_each(|parts| search(parts, all, wanted, found));
                }
            }
        }
        let mut found = Vec::new();
        search(&self.0, Parameters::default(), wanted, &mut found);
        found
    }
}

fn fill(
    parts: &[Part],
    given: &dyn Fn(Parameter) -> Option<String>,
    used: &mut Parameters,
    text: &mut String,
) -> Result<(), Parameter> {
    for part in parts {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Slot(parameter, upper) => {
                let value = given(*parameter).ok_or(*parameter)?;
                used.insert(*parameter);
                if *upper {
                    text.push_str(&value.to_ascii_uppercase());
                } else {
                    text.push_str(&value);
                }
            }
            Part::Group(group) => {
                let can = |parts: &&Vec<Part>| {
                    parts.iter().all(|part| match part {
                        Part::Slot(parameter, _) => given(*parameter).is_some(),
                        Part::Text(_) | Part::Group(_) => true,
                    })
                };
                if let Some(parts) = group.iter().find(can) {
                    fill(parts, given, used, text)?;
                }
            }
        }
    }
    Ok(())
}

/// Reads up to the end or the bracket that closes it.
fn alternatives(
    text: &str,
    at: &mut usize,
    depth: usize,
) -> Result<Vec<Vec<Part>>, (usize, &'static str)> {
    if depth > DEEPEST {
        return Err((*at, "too many brackets"));
    }
    let mut all = vec![Vec::new()];
    while let Some(next) = text[*at..].chars().next() {
        let part = match next {
            ']' => break,
            '|' => {
                *at += 1;
                all.push(Vec::new());
                continue;
            }
            '[' => {
                let open = *at;
                *at += 1;
                let group = alternatives(text, at, depth + 1)?;
                if !text[*at..].starts_with(']') {
                    return Err((open, "[ without ]"));
                }
                *at += 1;
                Part::Group(group)
            }
            '{' => {
                let inside = &text[*at + 1..];
                let (name, _) = inside.split_once('}').ok_or((*at, "{ without }"))?;
                let upper = name == "COUNTRY";
                let parameter = Parameter::of_placeholder(if upper { "country" } else { name });
                let parameter = parameter.ok_or((*at, "not a parameter"))?;
                *at += name.len() + 2;
                Part::Slot(parameter, upper)
            }
            _ => {
                let rest = &text[*at..];
                let end = rest.find(['[', ']', '|', '{']).unwrap_or(rest.len());
                *at += end;
                Part::Text(rest[..end].to_owned())
            }
        };
        if let Some(parts) = all.last_mut() {
            parts.push(part);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_there_when_all_their_parameters_are() {
        let form = Form::parse("{user}[-{country}[_{city}]][-{session}|-rotate]").unwrap();
        let fill = |given: &[Parameter]| {
            let mut used = Parameters::default();
            let value = |parameter| given.contains(&parameter).then(|| parameter.to_string());
            (form.fill(&value, &mut used), used.iter().count())
        };
        let user = Parameter::User;
        assert_eq!(fill(&[user]), (Ok("user-rotate".into()), 1));
        assert_eq!(
            fill(&[user, Parameter::City]),
            (Ok("user-rotate".into()), 1)
        );
        let all = [
            user,
            Parameter::City,
            Parameter::Country,
            Parameter::Session,
        ];
        assert_eq!(fill(&all), (Ok("user-country_city-sessions".into()), 4));
        assert_eq!(fill(&[]).0, Err(user));
        let company = form.company(Parameter::City);
        assert!(
            company[0].contains(Parameter::Country) && !company[0].contains(Parameter::Session)
        );
    }

    #[test]
    fn what_cannot_be_read_has_its_place() {
        for (text, at) in [("a[b", 1), ("a]b", 1), ("a{b", 1), ("{c}", 0), ("a|b", 0)] {
            assert_eq!(
                Form::parse(text).err().map(|(at, _)| at),
                Some(at),
                "{text}"
            );
        }
    }
}
