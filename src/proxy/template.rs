//! From fields to proxies: decodes credentials, fills in `${NAME}`, and expands `{session}` into as many identities as
//! `sessions=` asks for.
//!
//! Placeholders stand in user name and password, where providers read them; [`super::session`] has the names. Variables go in as they
//! are and are never decoded or expanded again.

use std::collections::HashSet;

use percent_encoding::percent_decode_str;

use super::address::Address;
use super::entry::{Entry, Field};
use super::labels::Marks;
use super::parse::Options;
use super::reject::{Flaw, Reason};
use super::session::{Sessions, Spec, named_by};
use super::{Credentials, Proxy};
use crate::nearest::nearest;
use crate::secret::Secret;

/// SOCKS5 sends the length of user name and password in one byte each.
const MAX_SOCKS_CREDENTIAL: usize = 255;

/// Hands every proxy of `entry` to `emit`: one, or `sessions=` many. `template` is the entry as written. Nothing is handed over
/// before an error.
pub(super) fn expand(
    entry: &Entry<'_>,
    marks: Marks<'_>,
    template: &str,
    options: &Options<'_>,
    emit: &mut dyn FnMut(Proxy),
) -> Result<(), Flaw> {
    let (parts, specs) = match &entry.credentials {
        Some((user, password)) => {
            let user = Parts::read(user, true, &marks, options)?;
            let password = Parts::read(password, marks.sessions.is_some(), &marks, options)?;
            let specs = user.specs().chain(password.specs()).collect();
            (Some((user, password)), specs)
        }
        None => (None, Vec::new()),
    };
    match (marks.sessions, &entry.address) {
        (Some((sessions, at)), Some(address)) => {
            if let Some(parts) = parts
                && !specs.is_empty()
            {
                let named_by = named_by(entry, address);
                let sessions = Sessions::new(specs, named_by, sessions, at)?;
                expand_sessions(entry, address, &parts, sessions, &mut |proxy| {
                    let proxy = proxy.with_labels(marks.labels.clone());
                    emit(proxy.with_group_of(template));
                })
            } else {
                Err(Flaw::new(at, Reason::NoPlaceholder))
            }
        }
        (Some((_, at)), None) => Err(Flaw::new(at, Reason::NoPlaceholder)),
        (None, None) if options.remote => Err(Flaw::new(0, Reason::RemoteDirect)),
        (None, None) => {
            emit(Proxy::direct().with_labels(marks.labels));
            Ok(())
        }
        (None, Some(address)) => {
            let credentials = match parts {
                Some((user, password)) => {
                    check(entry, &user.prefix, &password.prefix)?;
                    Some(credentials(user.prefix, password.prefix))
                }
                None => None,
            };
            let proxy = Proxy::new(entry.scheme, &address.host, address.port, credentials);
            if let Some(stamp) = entry.stamp
                && !stamp
                    .text
                    .eq_ignore_ascii_case(&proxy.id().short().to_string())
            {
                return Err(Flaw::new(stamp.at, Reason::RedactedLabel));
            }
            emit(proxy.with_labels(marks.labels));
            Ok(())
        }
    }
}

fn expand_sessions(
    entry: &Entry<'_>,
    address: &Address<'_>,
    (user, password): &(Parts, Parts),
    mut sessions: Sessions,
    emit: &mut dyn FnMut(Proxy),
) -> Result<(), Flaw> {
    let mut shown = HashSet::new();
    let mut checked = false;
    while let Some(names) = sessions.next() {
        let (user, password) = (user.fill(names), password.fill(names));
        // All sessions have the same length and alphabet: what holds for one holds for all.
        if !checked {
            check(entry, &user, &password)?;
            checked = true;
        }
        let credentials = Some(credentials(user, password));
        let proxy = Proxy::new(entry.scheme, &address.host, address.port, credentials);
        // Rows know a proxy by its label, whose end is short: of 100,000 sessions some 300 would pass for another one.
        if !shown.insert(proxy.id().digits()) && sessions.put_aside() {
            continue;
        }
        emit(proxy);
    }
    Ok(())
}

fn credentials(user: String, password: String) -> Credentials {
    Credentials {
        user: Secret::new(user),
        password: Secret::new(password),
    }
}

/// Refuses what no wire format could carry.
fn check(entry: &Entry<'_>, user: &str, password: &str) -> Result<(), Flaw> {
    let at = entry.credentials.map_or((0, 0), |(u, p)| (u.at, p.at));
    for (value, at) in [(user, at.0), (password, at.1)] {
        if value.chars().any(char::is_control) {
            return Err(Flaw::new(at, Reason::ControlCharacter));
        }
        if !entry.scheme.is_http() && value.len() > MAX_SOCKS_CREDENTIAL {
            return Err(Flaw::new(at, Reason::CredentialTooLong));
        }
    }
    if entry.scheme.is_http() && user.contains(':') {
        return Err(Flaw::new(at.0, Reason::ColonInUser));
    }
    Ok(())
}

/// A credential with its variables filled in: text, then session placeholders, each with the text behind it.
struct Parts {
    prefix: String,
    rest: Vec<(Spec, String)>,
}

impl Parts {
    /// With `strict` every `{name}` has to be a placeholder.
    fn read(
        field: &Field<'_>,
        strict: bool,
        marks: &Marks<'_>,
        options: &Options<'_>,
    ) -> Result<Self, Flaw> {
        let mut parts = Parts {
            prefix: String::new(),
            rest: Vec::new(),
        };
        let text = field.text;
        // Text from here on is literal until the next `${`, `$${` or placeholder.
        let mut literal = 0;
        let mut from = 0;
        while let Some(found) = memchr::memchr2(b'$', b'{', &text.as_bytes()[from..]) {
            let start = from + found;
            let token = &text[start..];
            let flaw = |reason| Flaw::new(field.at + start, reason);
            let (length, value) = if token.starts_with("$${") {
                (3, Value::Text("${".into()))
            } else if let Some(inside) = token.strip_prefix("${") {
                let name = inside.split('}').next().unwrap_or("");
                let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                if name.len() == inside.len() || !starts_well || !name.bytes().all(is_name) {
                    return Err(flaw(Reason::BadVariable));
                }
                if options.remote {
                    return Err(flaw(Reason::RemoteVariable));
                }
                let value = (options.env)(name).ok_or(flaw(Reason::UndefinedVariable))?;
                (name.len() + 3, Value::Text(value))
            } else if token.starts_with("{country}") {
                let country = marks.country.ok_or(flaw(Reason::NoCountry))?;
                (9, Value::Text(country.into()))
            } else if let Some(inside) = token
                .strip_prefix("{session")
                .filter(|inside| inside.starts_with(['}', ':']))
            {
                let (options, _) = inside.split_once('}').ok_or(flaw(Reason::BadPlaceholder))?;
                let spec = Spec::read(options).ok_or(flaw(Reason::BadPlaceholder))?;
                if marks.sessions.is_none() {
                    return Err(flaw(Reason::NoSessions));
                }
                (options.len() + 9, Value::Session(spec))
            } else if let Some(reason) = mistaken(token, strict) {
                return Err(flaw(reason));
            } else {
                from = start + 1;
                continue;
            };
            parts.push_literal(field, literal, start)?;
            match value {
                Value::Text(text) => parts.last().push_str(&text),
                Value::Session(spec) => parts.rest.push((spec, String::new())),
            }
            from = start + length;
            literal = from;
        }
        parts.push_literal(field, literal, text.len())?;
        Ok(parts)
    }

    fn push_literal(&mut self, field: &Field<'_>, start: usize, end: usize) -> Result<(), Flaw> {
        let text = &field.text[start..end];
        if field.encoded && text.contains('%') {
            let decoded = percent_decode_str(text)
                .decode_utf8()
                .map_err(|_| Flaw::new(field.at + start, Reason::NotUtf8))?;
            self.last().push_str(&decoded);
        } else {
            self.last().push_str(text);
        }
        Ok(())
    }

    fn last(&mut self) -> &mut String {
        match self.rest.last_mut() {
            Some((_, text)) => text,
            None => &mut self.prefix,
        }
    }

    fn specs(&self) -> impl Iterator<Item = Spec> {
        self.rest.iter().map(|(spec, _)| *spec)
    }

    fn fill(&self, names: &[(Spec, String)]) -> String {
        let mut filled = self.prefix.clone();
        for (spec, text) in &self.rest {
            let name = names.iter().find(|(of, _)| of == spec);
            filled.push_str(name.map_or("", |(_, name)| name));
            filled.push_str(text);
        }
        filled
    }
}

/// Why `token`, which is no placeholder, was probably meant as one.
///
/// No user name has words in braces, and a provider that is sent one refuses it without a reason. Generated passwords have them
/// now and then: there a word is taken as it is, but in a template, or when it is a misspelt placeholder.
fn mistaken(token: &str, strict: bool) -> Option<Reason> {
    let (inside, _) = token.strip_prefix('{')?.split_once('}')?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
    if !inside.starts_with(|c: char| c.is_ascii_alphabetic()) || !inside.chars().all(is_word) {
        return None;
    }
    let name = inside.split(':').next().unwrap_or(inside);
    match nearest(name, ["session", "country"]) {
        Some(meant) => Some(Reason::Misspelt(meant)),
        None => strict.then_some(Reason::UnknownPlaceholder),
    }
}

enum Value {
    Text(String),
    Session(Spec),
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::proxy::list::{Options, ProxyList};
    use crate::proxy::reject::Reason;
    use crate::proxy::{Proxy, Scheme};

    fn read(text: &str) -> ProxyList {
        let options = Options {
            default_scheme: Scheme::Http,
            env: &|name| (name == "PASS").then(|| "{session}%41@:${PASS}".to_owned()),
            remote: false,
            presets: None,
            only_working: false,
        };
        ProxyList::read("list", text.as_bytes(), &options)
    }

    fn user(proxy: &Proxy) -> &str {
        proxy.credentials().map_or("", |c| c.user.expose())
    }

    #[test]
    fn sessions_are_distinct_and_stable() {
        let text = |n| format!("u-{{session:num:3}}:p@h.example:1 sessions={n}");
        let many = read(&text(900));
        assert_eq!(many.report.proxies, 900, "{:?}", many.report);
        let few = read(&text(20));
        assert_eq!(few.proxies, many.proxies[..20]);
        for proxy in &many.proxies {
            let name = user(proxy).strip_prefix("u-").unwrap();
            assert!(
                name.len() == 3 && name.parse::<u32>().unwrap() >= 100,
                "{name}"
            );
        }
        // The first names are part of the format: runs of different versions share their sessions.
        let first = read("u-{session}:p@h.example:1 sessions=1");
        assert_eq!(user(&first.proxies[0]), "u-yu7e8qgj");
    }

    #[test]
    fn a_changed_password_keeps_the_sessions_and_another_country_in_it_does_not() {
        let users = |text: &str| -> Vec<String> {
            let proxies = read(text).proxies;
            proxies.iter().map(|proxy| user(proxy).to_owned()).collect()
        };
        let old = users("u-{session}:old@h.example:1 sessions=3");
        assert_eq!(old, users("u-{session}:new@h.example:1 sessions=3"));
        assert_ne!(old, users("u-{session}:old@h.example:2 sessions=3"));
        let password = |country: &str| {
            let line = format!("u:p_{country}_{{session}}@h.example:1 sessions=1");
            let proxies = read(&line).proxies;
            let password = proxies[0].credentials().unwrap().password.expose();
            password.rsplit('_').next().unwrap().to_owned()
        };
        assert_ne!(password("us"), password("de"));
    }

    #[test]
    fn labels_of_one_template_are_distinct_while_there_are_names() {
        let labels = |text: &str| -> Vec<String> {
            let proxies = read(text).proxies;
            proxies
                .iter()
                .map(|proxy| proxy.label().to_string())
                .collect()
        };
        let text = |n| format!("u-{{session:num:6}}:p@h.example:1 sessions={n}");
        let many = labels(&text(20_000));
        assert_eq!(many.iter().collect::<HashSet<_>>().len(), 20_000);
        assert_eq!(labels(&text(19_990)), many[..19_990]);
        // Every name is needed, so a label that comes twice has to do.
        let all = labels("u-{session:num:4}:p@h.example:1 sessions=9000");
        assert_eq!(all.len(), 9000);
    }

    #[test]
    fn sessions_of_one_template_share_a_credential_group() {
        let list = read(
            "u-{country}-{session}:p-{session}@h.example:1 sessions=3 country=US\nv-{session}:p@h.example:1 sessions=1",
        );
        let groups: HashSet<_> = list.proxies.iter().map(|p| p.group()).collect();
        assert_eq!((list.proxies.len(), groups.len()), (4, 2));
        let session = user(&list.proxies[0]).strip_prefix("u-US-").unwrap();
        let password = list.proxies[0].credentials().unwrap().password.expose();
        assert_eq!(password, format!("p-{session}"));
        assert_eq!(list.proxies[0].labels().country.as_deref(), Some("us"));
    }

    #[test]
    fn variables_go_in_as_they_are() {
        let list = read("http://a%41:x%41${PASS}y@h.example:1\nh.example:1:$${a}:%41{b}$");
        let passwords: Vec<_> = list
            .proxies
            .iter()
            .map(|p| p.credentials().unwrap().password.expose())
            .collect();
        assert_eq!(passwords, ["xA{session}%41@:${PASS}y", "%41{b}$"]);
        assert_eq!(user(&list.proxies[1]), "${a}");
    }

    #[test]
    fn a_word_in_braces_is_literal_where_passwords_have_them_and_where_it_is_encoded() {
        let list = read(
            "h.example:1:u:pa{b}{}{x!y}{1}\nhttp://u%7Bsesion%7D:{a.b}%7Bsesion}@h.example:2\nhttp://u{:p}@h.example:3\nhttp://u-{session}%7Bcity%7D:p@h.example:4 sessions=1",
        );
        let rejects = &list.report.rejects;
        assert_eq!(list.report.proxies, 4, "{rejects:?}");
        let password = |at: usize| list.proxies[at].credentials().unwrap().password.expose();
        assert_eq!(
            (password(0), password(1)),
            ("pa{b}{}{x!y}{1}", "{a.b}{sesion}")
        );
        assert_eq!(
            (user(&list.proxies[1]), user(&list.proxies[2])),
            ("u{sesion}", "u{")
        );
        assert!(user(&list.proxies[3]).ends_with("{city}"));
    }

    #[test]
    fn a_misspelt_placeholder_is_named_at_its_place_and_its_line_is_not() {
        for (text, column, hint) in [
            (
                "http://canary-{sesion:8}:canary@h.example:1",
                15,
                "did you mean {session}?",
            ),
            (
                "h.example:1:canary:canary{Session_8}",
                26,
                "did you mean {session}?",
            ),
            (
                "http://canary-{contry}:canary@h.example:1 country=us",
                15,
                "did you mean {country}?",
            ),
            (
                "http://canary-{sid:8}:canary@h.example:1",
                15,
                "expected {session} or {country}",
            ),
            (
                "http://canary-{session}:canary{city}@h.example:1 sessions=2",
                31,
                "expected {session}",
            ),
        ] {
            let list = read(text);
            let [reject] = &*list.report.rejects else {
                panic!("{text} was taken");
            };
            let shown = reject.to_string();
            assert_eq!((reject.line, reject.column), (1, column), "{text}");
            assert!(shown.contains(hint) && shown.contains("%7B"), "{shown}");
            assert!(!shown.contains("canary"), "{shown}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let long = "x".repeat(300);
        for (text, reason) in [
            ("u-{session}:p@h.example:1", Reason::NoSessions),
            ("u:p@h.example:1 sessions=2", Reason::NoPlaceholder),
            ("h.example:1 sessions=2", Reason::NoPlaceholder),
            ("direct sessions=2", Reason::NoPlaceholder),
            (
                "u-{session:0}:p@h.example:1 sessions=2",
                Reason::BadPlaceholder,
            ),
            (
                "u-{session:x}:p@h.example:1 sessions=2",
                Reason::BadPlaceholder,
            ),
            (
                "u-{session:num:1}:p@h.example:1 sessions=10",
                Reason::SessionTooShort,
            ),
            ("u-{session}:p@h.example:1 sessions=0", Reason::BadSessions),
            (
                "u-{session}:p@h.example:1 sessions=100001",
                Reason::BadSessions,
            ),
            ("u-{country}:p@h.example:1", Reason::NoCountry),
            (
                "u:p@{session}.example:1 sessions=2",
                Reason::MisplacedPlaceholder,
            ),
            ("u:${NOPE}@h.example:1", Reason::UndefinedVariable),
            ("u:${1}@h.example:1", Reason::BadVariable),
            ("http://u%0d%0a:p@h.example:1", Reason::ControlCharacter),
            ("http://u%3a:p@h.example:1", Reason::ColonInUser),
            (
                &*format!("socks5://u:{long}@h.example:1"),
                Reason::CredentialTooLong,
            ),
        ] {
            let list = read(text);
            let reasons: Vec<_> = list.report.rejects.iter().map(|r| r.reason).collect();
            assert_eq!(
                (list.report.proxies, &*reasons),
                (0, &[reason][..]),
                "{text}"
            );
        }
    }
}
