//! `[watch]`: what of a page is compared from run to run.

use std::num::NonZeroU32;

use regex::Regex;

use super::extract::Extract;
use super::reader::{Item, Table};
use super::schedule;
use crate::nearest::nearest;

/// What of a page is compared from run to run, and what counts as a change.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The field that is compared; `None` for the readable text of the page or of what `select` finds.
    pub field: Option<Box<str>>,
    /// What is done to a text before it is compared, in this order.
    pub clean: Vec<Clean>,
    /// Lines that match one of these are left out.
    pub ignore: Vec<Regex>,
    /// A numeric change below this is none.
    pub threshold: Option<Threshold>,
    /// A change counts once it was seen in so many runs in a row.
    pub runs: NonZeroU32,
}

/// One thing that is done to a text before it is compared.
#[derive(Debug, Clone)]
pub enum Clean {
    /// Runs of blanks become one, empty lines go.
    Collapse,
    /// What matches goes.
    Remove(Regex),
    /// The lines in their order.
    Sort,
    /// Each line once.
    Unique,
}

/// How much a number has to change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// By this part of the old one.
    Ratio(f64),
    /// By so much.
    Amount(f64),
}

/// What is watched; `None` when it is wrong.
pub(super) fn read(
    table: &Table<'_, '_>,
    extract: Option<&Extract>,
    is_rank: Option<bool>,
) -> Option<Watch> {
    let mut watch = Watch {
        field: None,
        clean: Vec::new(),
        ignore: Vec::new(),
        threshold: None,
        runs: NonZeroU32::MIN,
    };
    let Some(item) = table.item("watch") else {
        return Some(watch);
    };
    if is_rank == Some(true) {
        item.source.complain(
            item.key_at,
            "a rank job has no [watch]",
            Some("it belongs to kind = \"change\"; places are watched by [[target]]".into()),
        );
    }
    let table = item.table("watch")?;
    let field = table.item("field");
    if let Some(item) = &field {
        watch.field = field_of(item, extract);
    }
    for item in table.item("clean").iter().flat_map(Item::elements) {
        watch.clean.extend(clean(&item));
    }
    for item in table.item("ignore").iter().flat_map(Item::elements) {
        watch
            .ignore
            .extend(item.text().and_then(|text| regex(&item, text)));
    }
    if let Some(item) = table.item("threshold") {
        watch.threshold = threshold(&item);
        if field.is_none() {
            item.complain(
                "a threshold is about a number, and the text of a page is watched",
                "add field = \"price\", and select = [\"price=.price::text|number\"] to [extract]",
            );
        }
    }
    watch.runs = schedule::runs(&table, NonZeroU32::MIN);
    table.finish();
    Some(watch)
}

fn field_of(item: &Item<'_, '_>, extract: Option<&Extract>) -> Option<Box<str>> {
    let name = item.text()?;
    // Without [extract] as it should be there are complaints already.
    let extractor = extract?.extractor.as_ref();
    let known: Vec<&str> =
        extractor.map_or_else(Vec::new, |extractor| extractor.field_names().collect());
    if !known.contains(&name) {
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near} ?"),
            None if known.is_empty() => {
                format!("add [extract] with select = [\"{name}=.{name}::text|number\"]")
            }
            None => format!("the fields are {}", known.join(", ")),
        };
        item.complain(format!("no field is called {name:?}"), hint);
    }
    Some(name.into())
}

fn clean(item: &Item<'_, '_>) -> Option<Clean> {
    let text = item.text()?;
    match text {
        "collapse" => Some(Clean::Collapse),
        "sort" => Some(Clean::Sort),
        "unique" => Some(Clean::Unique),
        _ => match text.strip_prefix("remove:") {
            Some(pattern) => regex(item, pattern).map(Clean::Remove),
            None => {
                item.complain(
                    format!("{text:?} is no way to clean a text"),
                    "there are collapse, remove:REGEX, sort and unique",
                );
                None
            }
        },
    }
}

fn regex(item: &Item<'_, '_>, pattern: &str) -> Option<Regex> {
    match Regex::new(pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            // The last line has the reason, those before it show the place.
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default();
            let why = why.trim().trim_start_matches("error: ");
            item.complain(
                format!("{pattern:?} is no regular expression: {why}"),
                "write it in single quotes, where TOML leaves backslashes alone",
            );
            None
        }
    }
}

fn threshold(item: &Item<'_, '_>) -> Option<Threshold> {
    let text = item.scalar().unwrap_or_default();
    let (number, is_ratio) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent.trim().parse::<f64>(), true),
        None => (text.trim().parse::<f64>(), false),
    };
    match number {
        Ok(number) if number.is_finite() && number >= 0.0 => Some(if is_ratio {
            Threshold::Ratio(number / 100.0)
        } else {
            Threshold::Amount(number)
        }),
        _ => {
            item.complain(
                "not a threshold",
                "write a number such as 0.5, or a share such as \"5%\"",
            );
            None
        }
    }
}
