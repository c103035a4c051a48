//! `[extract]`: what is taken out of a page.

use std::sync::Arc;

use super::reader::{Item, Source, Table};
use crate::extract::{Extractor, ProfileFile, Settings, built_in, built_in_names};
use crate::nearest::nearest;

/// What is taken out of a page, compiled.
#[derive(Debug, Clone)]
pub struct Extract {
    /// `None` where the readable text of the whole page is watched.
    pub extractor: Option<Arc<Extractor>>,
    /// Name of the field with the address of a result.
    pub link: Box<str>,
    /// Name of the field with its title, where there is one.
    pub title: Option<Box<str>>,
}

pub(super) fn read(
    table: &Table<'_, '_>,
    source: &Source<'_>,
    is_rank: Option<bool>,
) -> Option<Extract> {
    let Some(item) = table.item("extract") else {
        if is_rank == Some(true) {
            table.lacks(
                "[extract]",
                "results are rows: profile = \"bing\", or rows = \".result\" and select = [\"link=a::attr(href)|absolute\"]",
            );
            return None;
        }
        return Some(Extract {
            extractor: None,
            link: "link".into(),
            title: None,
        });
    };
    let table = item.table("extract")?;
    let profile = table.item("profile");
    let file = match &profile {
        Some(item) => Some(profile_file(item, source)?),
        None => None,
    };
    let selects = table.item("select").map(|item| item.texts().ok_or(()));
    let selects = selects.transpose().ok()?.unwrap_or_default();
    let probes = ["rows", "container", "no_results"].map(|key| table.item(key));
    let text = |item: &Option<Item<'_, '_>>| match item {
        Some(item) => item.text().map(|text| Some(text.to_owned())),
        None => Some(None),
    };
    let [rows, container, no_results] = &probes;
    let named = |key| table.item(key).map(|item| (item.text(), item));
    let (link, title) = (named("link"), named("title"));
    table.finish();
    let settings = Settings {
        select: selects.iter().map(|(text, _)| (*text).to_owned()).collect(),
        rows: text(rows)?,
        container: text(container)?,
        no_results: text(no_results)?,
        profile: file,
    };
    if settings.is_empty() && is_rank != Some(true) {
        return Some(Extract {
            extractor: None,
            link: "link".into(),
            title: None,
        });
    }
    let extractor = compile(settings, &selects, &probes, profile.as_ref(), &item)?;
    let field = |given: &Option<(Option<&str>, Item<'_, '_>)>, default: &str| {
        let name = given
            .as_ref()
            .and_then(|(name, _)| *name)
            .unwrap_or(default);
        let known: Vec<&str> = extractor.field_names().collect();
        if known.contains(&name) {
            return Some(Box::from(name));
        }
        if let Some((_, item)) = given {
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near} ?"),
                None => format!("the fields are {}", known.join(", ")),
            };
            item.complain(format!("no field is called {name:?}"), hint);
        }
        None
    };
    let (link_name, title_name) = (field(&link, "link"), field(&title, "title"));
    if is_rank == Some(true) {
        if !extractor.has_rows() {
            source.complain(
                item.key_at,
                "a rank job needs rows, one for each result",
                Some("add rows = \".result\", or take a profile that has them".into()),
            );
            return None;
        }
        if link_name.is_none() && link.is_none() {
            let known: Vec<&str> = extractor.field_names().collect();
            source.complain(
                item.key_at,
                "a rank job needs a field called link, with the address of a result",
                Some(format!(
                    "add select = [\"link=a::attr(href)|absolute\"], or say link = \"...\"; the fields are {}",
                    known.join(", ")
                )),
            );
        }
        link_name.as_ref()?;
    }
    Some(Extract {
        extractor: Some(extractor),
        link: link_name.unwrap_or_else(|| "link".into()),
        title: title_name,
    })
}

/// The built-in profile of this name, or that in this file. What has a dot or a slash is a file.
fn profile_file(item: &Item<'_, '_>, source: &Source<'_>) -> Option<ProfileFile> {
    let name = item.text()?;
    if !name.contains(['.', '/']) {
        let found = built_in(name);
        if found.is_none() {
            let names: Vec<&str> = built_in_names().collect();
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean {near} ?"),
                None => format!(
                    "there are {}; the name of a file has a dot or a slash",
                    names.join(", ")
                ),
            };
            item.complain(format!("there is no built-in profile {name:?}"), hint);
        }
        return found;
    }
    let path = source.beside(name);
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    let text = read.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned()));
    match text {
        Ok(text) => Some(ProfileFile {
            name: path.display().to_string(),
            text,
        }),
        Err(why) => {
            item.complain(
                format!("cannot read {}: {why}", path.display()),
                "the path is relative to the folder of the job file",
            );
            None
        }
    }
}

/// Compiles the settings; every expression that cannot be read is a complaint at its own place.
fn compile(
    mut settings: Settings,
    selects: &[(&str, Item<'_, '_>)],
    [rows, container, no_results]: &[Option<Item<'_, '_>>; 3],
    profile: Option<&Item<'_, '_>>,
    whole: &Item<'_, '_>,
) -> Option<Arc<Extractor>> {
    let mut items: Vec<&Item<'_, '_>> = selects.iter().map(|(_, item)| item).collect();
    let mut good = true;
    loop {
        let problem = match Extractor::new(&settings) {
            Ok(extractor) => return good.then(|| Arc::new(extractor)),
            Err(problem) => problem,
        };
        good = false;
        let hint = problem.hint.clone().unwrap_or_default();
        match problem.place.as_deref() {
            // One of the expressions: the first without which those before it can be read.
            Some("--select") => {
                let culprit = (0..items.len()).find(|at| {
                    let mut some = settings.clone();
                    some.select.truncate(at + 1);
                    matches!(Extractor::new(&some), Err(other) if other == problem)
                });
                let Some(at) = culprit else {
                    whole.complain(problem.what, hint);
                    return None;
                };
                items.remove(at).complain(problem.what, hint);
                settings.select.remove(at);
                // The rest was complained of for the lack of this one only.
                if settings.select.is_empty() && settings.profile.is_none() {
                    return None;
                }
            }
            Some(place @ ("container" | "no_results")) => {
                let item = if place == "container" {
                    container
                } else {
                    no_results
                };
                let item = item.as_ref().unwrap_or(whole);
                item.complain(problem.what, hint);
                return None;
            }
            Some("--rows") => {
                let rows = rows.as_ref();
                if problem.what.starts_with("there are rows") {
                    rows.unwrap_or(whole)
                        .complain(problem.what, "add select = [\"title=h3::text\"]");
                } else {
                    rows.unwrap_or(whole).complain(problem.what, hint);
                }
                return None;
            }
            // A line of the profile.
            _ => {
                whole.source.add(profile.unwrap_or(whole).at, problem);
                return None;
            }
        }
    }
}
