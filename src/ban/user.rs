//! The user's own rules, compiled once.

use http::HeaderName;
use regex::{Regex, RegexBuilder};

use super::Settings;
use super::evidence;
use super::view::View;
use crate::error::Problem;
use crate::outcome::StatusSet;

/// Size of one compiled regex. Anything a person writes on a command line fits many times over; `a{1000}{1000}` does not.
const REGEX_BYTES: usize = 1 << 20;

/// `--accept`, `--ban-*`, `--must-*`.
#[derive(Debug)]
pub(super) struct UserRules {
    pub(super) accept: StatusSet,
    status: StatusSet,
    headers: Vec<(HeaderName, Option<Regex>)>,
    redirects: Vec<Regex>,
    bodies: Vec<Regex>,
    must: Vec<Regex>,
    must_not: Vec<Regex>,
}

/// A rule of the user that fired.
#[derive(Debug)]
pub(super) struct Fired {
    pub(super) rule: &'static str,
    pub(super) evidence: String,
}

impl UserRules {
    pub(super) fn new(settings: &Settings) -> Result<Self, Problem> {
        Ok(UserRules {
            accept: settings.accept.clone(),
            status: settings.ban_status.clone(),
            headers: settings
                .ban_header
                .iter()
                .map(|spec| header_rule(spec))
                .collect::<Result<_, _>>()?,
            redirects: compile("--ban-redirect", &settings.ban_redirect)?,
            bodies: compile("--ban-regex", &settings.ban_regex)?,
            must: compile("--must-match", &settings.must_match)?,
            must_not: compile("--must-not-match", &settings.must_not_match)?,
        })
    }

    /// True when the decoded text is asked on every answer.
    pub(super) fn reads_every_body(&self) -> bool {
        !self.bodies.is_empty()
    }

    /// True when the decoded text is asked on accepted answers.
    pub(super) fn reads_accepted_bodies(&self) -> bool {
        !self.must.is_empty() || !self.must_not.is_empty()
    }

    /// The first of status, header, redirect that means a ban.
    pub(super) fn bans_head(&self, view: &View<'_>) -> Option<Fired> {
        if self.status.contains(view.status) {
            return fired("ban_status", format!("status {}", view.status));
        }
        for (name, regex) in &self.headers {
            for value in view.headers.get_all(name) {
                let text = String::from_utf8_lossy(value.as_bytes());
                if regex.as_ref().is_none_or(|regex| regex.is_match(&text)) {
                    return fired("ban_header", evidence::header(name, value.as_bytes()));
                }
            }
        }
        let location = view.location.as_ref()?;
        if self
            .redirects
            .iter()
            .any(|regex| regex.is_match(location.as_str()))
        {
            return fired(
                "ban_redirect",
                format!("redirect to {}", evidence::url(location)),
            );
        }
        None
    }

    /// The body text that means a ban.
    pub(super) fn bans_body(&self, text: &str) -> Option<Fired> {
        let found = self.bodies.iter().find_map(|regex| regex.find(text))?;
        fired("ban_regex", found.as_str().to_owned())
    }

    /// The `--must-not-match` that an accepted text matches.
    pub(super) fn forbidden_text(&self, text: &str) -> Option<Fired> {
        let found = self.must_not.iter().find_map(|regex| regex.find(text))?;
        fired("must_not_match", found.as_str().to_owned())
    }

    /// The `--must-match` that an accepted text does not match.
    pub(super) fn missing_text(&self, text: &str) -> Option<Fired> {
        let missing = self.must.iter().find(|regex| !regex.is_match(text))?;
        fired(
            "must_match",
            format!("nothing matches {}", missing.as_str()),
        )
    }
}

pub(super) fn fired(rule: &'static str, evidence: String) -> Option<Fired> {
    Some(Fired { rule, evidence })
}

fn header_rule(spec: &str) -> Result<(HeaderName, Option<Regex>), Problem> {
    const FLAG: &str = "--ban-header";
    let (name, pattern) = spec
        .split_once(':')
        .map_or((spec, None), |(name, pattern)| (name, Some(pattern.trim())));
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| {
        Problem::new(format!("invalid header name {:?}", name.trim()))
            .at(FLAG)
            .hint("write Name, or Name: regex, such as 'Server: ^ddos-guard'")
    })?;
    let regex = match pattern.filter(|pattern| !pattern.is_empty()) {
        Some(pattern) => Some(regex(FLAG, pattern)?),
        None => None,
    };
    Ok((name, regex))
}

fn compile(flag: &str, patterns: &[String]) -> Result<Vec<Regex>, Problem> {
    patterns
        .iter()
        .map(|pattern| regex(flag, pattern))
        .collect()
}

fn regex(flag: &str, pattern: &str) -> Result<Regex, Problem> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => Problem::new(format!(
            "the regex {pattern:?} is too large: compiled it takes more than {} kB",
            limit / 1024
        ))
        .at(flag)
        .hint("use smaller repetition counts"),
        error => Problem::new(format!(
            "invalid regex {pattern:?}: {}",
            explain(&error.to_string())
        ))
        .at(flag)
        .hint("put a backslash before characters meant literally: . * + ? ( ) [ ] { } | ^ $"),
    })
}

/// Turns the regex crate's drawing (pattern, carets below it, `error: why`) into one line with the position.
fn explain(drawing: &str) -> String {
    /// Columns the drawing is indented by.
    const INDENT: usize = 4;
    let lines = || drawing.lines();
    let why = lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "))
        .unwrap_or("it does not parse");
    let caret = lines().find(|line| line.contains('^') && line.trim_matches([' ', '^']).is_empty());
    match caret.and_then(|line| line.find('^')) {
        Some(column) if column >= INDENT => {
            format!("{why}, at character {}", column - INDENT + 1)
        }
        _ => why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl Fn(&mut Settings)) -> Problem {
        let mut settings = Settings::default();
        change(&mut settings);
        UserRules::new(&settings).expect_err("must be refused")
    }

    #[test]
    fn an_invalid_regex_is_named_by_flag_pattern_and_position() {
        let wrong = problem(|s| s.ban_regex = vec!["fine".into(), "ab(c".into()]);
        assert_eq!(
            wrong.to_string(),
            "--ban-regex: invalid regex \"ab(c\": unclosed group, at character 3"
        );
        let wrong = problem(|s| s.must_match = vec!["[z-a]".into()]);
        assert_eq!(wrong.place.as_deref(), Some("--must-match"));
        assert!(
            wrong.what.contains("[z-a]") && wrong.what.contains("at character 2"),
            "{wrong}"
        );
        let wrong = problem(|s| s.ban_redirect = vec!["x{1000}{1000}".into()]);
        assert!(wrong.what.contains("too large"), "{wrong}");
        let wrong = problem(|s| s.ban_header = vec!["Server: (".into()]);
        assert_eq!(wrong.place.as_deref(), Some("--ban-header"));
        let wrong = problem(|s| s.ban_header = vec!["not a name: x".into()]);
        assert!(wrong.what.contains("not a name"), "{wrong}");
    }
}
