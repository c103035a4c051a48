//! `[[target]]`: whose places are looked for among the results.

use url::{Host, Url};

use super::reader::{Item, Table};

/// Whose places are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is called; no two of a job share one.
    pub name: Box<str>,
    /// The host in lower case and ASCII, without `www.`.
    pub host: Box<str>,
    /// Which hosts below it count as well.
    pub subdomains: Subdomains,
    /// What the path of an address has to begin with, percent-encoded as in a [`Url`].
    pub path: Option<Box<str>>,
    /// Every hit is observed, not the first alone.
    pub all: bool,
}

/// Which hosts below a target's count as well; `www` always does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subdomains {
    /// None.
    None,
    /// All.
    All,
    /// These, as they stand before the host: `shop`, `shop.de`.
    These(Vec<Box<str>>),
}

/// The targets; `None` when one is wrong or a rank job has none.
pub(super) fn read(table: &Table<'_, '_>, is_rank: Option<bool>) -> Option<Vec<Target>> {
    let Some(item) = table.item("target") else {
        if is_rank == Some(true) {
            table.lacks(
                "[[target]]",
                "a rank job looks for somebody: [[target]] and host = \"example.com\"",
            );
            return None;
        }
        return Some(Vec::new());
    };
    if is_rank == Some(false) {
        item.source.complain(
            item.key_at,
            "a change job has no targets",
            Some("they belong to kind = \"rank\"; a value or text is watched by [watch]".into()),
        );
    }
    let tables = item.tables("target");
    let all = tables.len();
    let mut targets: Vec<Target> = Vec::new();
    for table in &tables {
        let Some(target) = target(table) else {
            continue;
        };
        if targets.iter().any(|other| other.name == target.name) {
            table.source.complain(
                table.at(),
                format!("two targets are called {:?}", target.name),
                Some("give one of them another name".into()),
            );
            continue;
        }
        targets.push(target);
    }
    (targets.len() == all && all > 0).then_some(targets)
}

fn target(table: &Table<'_, '_>) -> Option<Target> {
    let name = table
        .item("name")
        .map(|item| item.text().map(|text| (text, item)));
    let host = table.item("host");
    if host.is_none() {
        table.lacks("host", "host = \"example.com\"");
    }
    let host = host.and_then(|item| read_host(&item));
    let path = table.item("path").map(|item| read_path(&item));
    let subdomains = match table.item("subdomains") {
        Some(item) => subdomains(&item, host.as_deref()),
        None => Some(Subdomains::None),
    };
    let all = table.item("all").map(|item| item.switch());
    table.finish();
    let (host, path) = (host?, path.map_or(Some(None), |path| path.map(Some))?);
    let name = match name {
        Some(given) => {
            let (text, item) = given?;
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                item.complain("a name is some letters", "leave it out for the host");
                return None;
            }
            text.into()
        }
        None => format!("{host}{}", path.as_deref().unwrap_or_default()).into(),
    };
    Some(Target {
        name,
        host: host.into(),
        subdomains: subdomains?,
        path: path.map(Into::into),
        all: all.map_or(Some(false), |all| all)?,
    })
}

/// A host that the address of a result can have.
fn read_host(item: &Item<'_, '_>) -> Option<String> {
    let text = item.text()?.trim();
    let nothing = |why: &str, hint: String| {
        item.complain(format!("{text:?} can match nothing: {why}"), hint);
        None
    };
    if text.contains("://") {
        let hint = match Url::parse(text) {
            Ok(url) if url.path().len() > 1 => format!(
                "write host = {:?} and path = {:?}",
                url.host_str().unwrap_or_default(),
                url.path()
            ),
            Ok(url) => format!("write host = {:?}", url.host_str().unwrap_or_default()),
            Err(_) => "write host = \"example.com\"".to_owned(),
        };
        return nothing("a host has no scheme", hint);
    }
    if let Some((host, path)) = text.split_once('/') {
        let hint = format!("write host = {host:?} and path = {:?}", format!("/{path}"));
        return nothing("a host has no path", hint);
    }
    if let Some(host) = text.strip_prefix("*.") {
        let hint = format!("write host = {host:?} and subdomains = true");
        return nothing("a host has no *", hint);
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && !host.contains(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return nothing("a host has no port", format!("write host = {host:?}"));
    }
    let host = match Host::parse(text) {
        Ok(host) => host,
        Err(error) => return nothing(&error.to_string(), "write host = \"example.com\"".into()),
    };
    let Host::Domain(name) = &host else {
        return Some(host.to_string());
    };
    let name = name.trim_end_matches('.');
    let name = without_www(name);
    if !name.contains('.') && name != "localhost" {
        let hint = format!("write the whole of it, such as host = \"{name}.com\"");
        return nothing("no site has a host without a dot", hint);
    }
    Some(name.to_owned())
}

/// A host without the `www.` that says nothing of where it belongs.
pub(super) fn without_www(host: &str) -> &str {
    match host.strip_prefix("www.") {
        Some(rest) if rest.contains('.') => rest,
        _ => host,
    }
}

/// The beginning of a path, as addresses have it.
fn read_path(item: &Item<'_, '_>) -> Option<String> {
    let text = item.text()?.trim();
    let nothing = |why: &str, hint: String| {
        item.complain(format!("{text:?} can match nothing: {why}"), hint);
        None
    };
    if !text.starts_with('/') {
        let hint = format!("write path = {:?}", format!("/{text}"));
        return nothing("a path begins with /", hint);
    }
    if let Some(at) = text.find(['?', '#']) {
        let hint = format!("write path = {:?}", &text[..at]);
        return nothing("a path ends before ? and #", hint);
    }
    let mut url = Url::parse("http://host.invalid/").ok()?;
    url.set_path(text);
    Some(url.path().to_owned())
}

fn subdomains(item: &Item<'_, '_>, host: Option<&str>) -> Option<Subdomains> {
    if let Some(all) = item.as_switch() {
        return Some(if all {
            Subdomains::All
        } else {
            Subdomains::None
        });
    }
    let texts = item.texts()?;
    let mut these = Vec::new();
    for (text, item) in &texts {
        let lower = text.trim().trim_end_matches('.').to_ascii_lowercase();
        // The whole host is what some write.
        let host = host.unwrap_or_default();
        let label = lower.strip_suffix(host).filter(|_| !host.is_empty());
        let label = label.and_then(|label| label.strip_suffix('.'));
        let label = label.unwrap_or(&lower);
        let whole = Host::parse(&format!(
            "{label}.{}",
            if host.is_empty() { "example.com" } else { host }
        ));
        match whole {
            Ok(Host::Domain(_)) if !label.is_empty() && !label.contains(['/', ':', '*']) => {
                these.push(label.into());
            }
            _ => {
                item.complain(
                    format!("{text:?} is no part before a host"),
                    "write subdomains = true, or names such as [\"shop\", \"blog\"]",
                );
                return None;
            }
        }
    }
    if these.is_empty() {
        item.complain(
            "no subdomains at all",
            "write subdomains = false, or some names",
        );
        return None;
    }
    Some(Subdomains::These(these))
}
