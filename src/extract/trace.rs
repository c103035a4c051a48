//! What every selector finds in a page, and why one finds nothing: for people who write selectors.

use scraper::ElementRef;
use serde_json::Value;
use url::Url;

use super::expression::Field;
use super::filter::plain;
use super::lines::{LINE, marked};
use super::page::Page;
use super::serp::State;
use super::source::{Css, Row, Source, Take};
use super::split::steps;
use super::{Extractor, filter};

/// What an extractor finds in one page.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What the rows are; `None` when the page is the only one.
    pub rows: Option<RowsTrace>,
    /// Each field, in order.
    pub fields: Vec<FieldTrace>,
    /// With a profile of a page of results.
    pub state: Option<State>,
}

/// The rows of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct RowsTrace {
    /// How far the selector comes; its last step is the whole of it.
    pub steps: Vec<Step>,
    /// Where each match stands: a line, or the path of a value.
    pub places: Vec<Option<String>>,
    /// Which of them (from 0) are no rows, because a field that is required found nothing.
    pub dropped: Vec<usize>,
}

/// A part of a selector, up to some point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The part.
    pub part: String,
    /// How much it matches in the page, all rows together.
    pub matched: usize,
}

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldTrace {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub expression: String,
    /// What it found, one for each row.
    pub found: Vec<Found>,
    /// How far its selector comes; for selectors only.
    pub steps: Vec<Step>,
    /// Why it is `null` everywhere, if it is.
    pub why: Option<String>,
}

/// What a field found in one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// How much its source matched.
    pub matched: usize,
    /// Where the first of it stands: `line 12:1`, or the path of a value.
    pub place: Option<String>,
    /// The field's value.
    pub value: Value,
}

pub(super) fn trace(
    extractor: &Extractor,
    content_type: Option<&str>,
    body: &[u8],
    url: Option<&Url>,
) -> Trace {
    let page = Page::new(content_type, body, url).without_limit();
    let with_lines = marked(page.text());
    let lines = Page::new(Some("text/html; charset=utf-8"), with_lines.as_bytes(), url);
    let lines = lines.without_limit();
    let (rows, row_lines) = match &extractor.rows {
        None => (vec![Row::Page], vec![Row::Page]),
        Some(source @ Source::Css(_)) => (source.rows(&page).0, source.rows(&lines).0),
        Some(source) => {
            let (rows, _) = source.rows(&page);
            (rows.clone(), rows)
        }
    };
    let is_empty = rows.is_empty();
    let fields: Vec<FieldTrace> = extractor
        .fields
        .iter()
        .map(|field| {
            let found: Vec<Found> = rows
                .iter()
                .zip(&row_lines)
                .map(|(row, line)| found(field, (&page, *row), (&lines, *line)))
                .collect();
            FieldTrace {
                name: field.name.clone(),
                expression: field.text.clone(),
                steps: match &field.source {
                    Source::Css(css) if !is_empty => field_steps(css, &page, &rows),
                    _ => Vec::new(),
                },
                why: match found.iter().all(|found| found.value.is_null()) {
                    true if is_empty => Some("there are no rows to look in".to_owned()),
                    true => why(field, &page, &rows),
                    false => None,
                },
                found,
            }
        })
        .collect();
    let extracted = extractor.extract(content_type, body, url);
    let required = |row: usize| {
        extractor
            .required
            .iter()
            .all(|at| match &fields[*at].found[row].value {
                Value::Null => false,
                Value::String(text) => !text.is_empty(),
                _ => true,
            })
    };
    Trace {
        rows: extractor.rows.as_ref().map(|source| RowsTrace {
            steps: row_steps(source, &page, rows.len()),
            places: row_lines.iter().map(|row| place_of(*row)).collect(),
            dropped: (0..rows.len()).filter(|row| !required(*row)).collect(),
        }),
        state: extractor.state(&extracted),
        fields,
    }
}

fn found(
    field: &Field,
    (page, row): (&Page<'_>, Row<'_>),
    (lines, line_row): (&Page<'_>, Row<'_>),
) -> Found {
    let all = field.source.find(page, row, true);
    Found {
        matched: all.len(),
        place: match &field.source {
            Source::Css(css) => taken(css, lines, line_row).next().and_then(line),
            Source::Regex(regex) => match row {
                Row::Page => regex
                    .find(page.text())
                    .map(|found| line_at(page.text(), found.start())),
                row => place_of(row),
            },
            Source::Json(path) => {
                let value = match row {
                    Row::Json(value) => Some(value),
                    _ => page.json(),
                };
                let located = value.map(|value| path.query_located(value).all());
                located.and_then(|nodes| nodes.first().map(|node| node.location().to_string()))
            }
            Source::JsonLd(_) | Source::Meta(_) => None,
        },
        value: field.value(page, row),
    }
}

/// The elements that a selector takes something of.
fn taken<'a>(
    css: &'a Css,
    page: &'a Page<'_>,
    row: Row<'a>,
) -> Box<dyn Iterator<Item = ElementRef<'a>> + 'a> {
    let within = match row {
        Row::Page => None,
        Row::Element(element) => Some(element),
        Row::Json(_) => return Box::new(std::iter::empty()),
    };
    let elements = css.elements(page, within);
    Box::new(elements.filter(|element| css.take(*element).is_some()))
}

/// The line of an element, or that of the nearest around it that the page itself has.
fn line(element: ElementRef<'_>) -> Option<String> {
    let around = element.ancestors().filter_map(ElementRef::wrap);
    let number = std::iter::once(element)
        .chain(around)
        .find_map(|element| element.attr(LINE))?;
    Some(format!("line {number}"))
}

fn place_of(row: Row<'_>) -> Option<String> {
    match row {
        Row::Element(element) => line(element),
        Row::Page | Row::Json(_) => None,
    }
}

/// `line LINE:COLUMN`, both from 1 and in bytes: pages are often a single line.
fn line_at(text: &str, at: usize) -> String {
    let before = &text.as_bytes()[..at];
    let begin = memchr::memrchr(b'\n', before).map_or(0, |feed| feed + 1);
    let line = memchr::memchr_iter(b'\n', before).count() + 1;
    format!("line {line}:{}", at - begin + 1)
}

fn row_steps(source: &Source, page: &Page<'_>, matched: usize) -> Vec<Step> {
    match source {
        Source::Css(css) => prefixes(css, page, &[Row::Page]),
        _ => vec![Step {
            part: "rows".to_owned(),
            matched,
        }],
    }
}

fn field_steps(css: &Css, page: &Page<'_>, rows: &[Row<'_>]) -> Vec<Step> {
    let mut steps = prefixes(css, page, rows);
    if let Take::Attr(name) = &css.take {
        let matched = rows.iter().map(|row| taken(css, page, *row).count()).sum();
        steps.push(Step {
            part: format!("{}::attr({name})", css.text),
            matched,
        });
    }
    steps
}

/// What each part of a selector matches; parts that are no selector by themselves are left out.
fn prefixes(css: &Css, page: &Page<'_>, rows: &[Row<'_>]) -> Vec<Step> {
    let mut ends = steps(&css.text);
    if ends.is_empty() && !css.text.is_empty() {
        ends.push(css.text.len());
    }
    ends.into_iter()
        .filter_map(|end| {
            let part = &css.text[..end];
            let selector = super::source::selector(part).ok()?;
            let part_css = Css {
                text: part.to_owned(),
                selector: Some(selector),
                take: Take::Html,
            };
            let matched = rows
                .iter()
                .map(|row| taken(&part_css, page, *row).count())
                .sum();
            Some(Step {
                part: part.to_owned(),
                matched,
            })
        })
        .collect()
}

/// What stands between a field and a value.
fn why(field: &Field, page: &Page<'_>, rows: &[Row<'_>]) -> Option<String> {
    let found = rows
        .iter()
        .map(|row| field.source.find(page, *row, true))
        .find(|found| !found.is_empty());
    if let Some(found) = found {
        let first = found.first().map(plain).unwrap_or_default();
        let base = || page.base();
        let blind = (1..=field.filters.len())
            .find(|upto| filter::apply(&field.filters[..*upto], found.clone(), &base).is_null());
        return Some(match blind {
            Some(upto) => format!(
                "|{} makes nothing of {}",
                field.filter_text(upto),
                shown(&first)
            ),
            None => format!("it found {}, which is null", shown(&first)),
        });
    }
    let is_html = !matches!(field.source, Source::Regex(_) | Source::Json(_));
    if let Some(why) = page.unparsed().filter(|_| is_html) {
        return Some(why.to_owned());
    }
    Some(match &field.source {
        Source::Css(css) => {
            let steps = field_steps(css, page, rows);
            match steps.iter().find(|step| step.matched == 0) {
                Some(step) => format!("nothing matches {}", step.part),
                None => return None,
            }
        }
        Source::Regex(_) => "nothing matches the pattern".to_owned(),
        Source::Json(_) if matches!(rows, [Row::Page]) && page.json().is_none() => {
            "the body is no JSON".to_owned()
        }
        Source::Json(_) => "nothing is at this path".to_owned(),
        Source::JsonLd(_) => match page.blocks().len() {
            0 => "the page has no JSON-LD".to_owned(),
            blocks => format!("nothing is at this path in {blocks} blocks of JSON-LD"),
        },
        Source::Meta(_) => "no meta element has this name".to_owned(),
    })
}

/// Longest text shown, in characters.
const SHOWN: usize = 60;

fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::Settings;

    const PAGE: &str = "<!doctype html>\n<!-- <p class=price>no</p>\n-->\n<script>\nvar a = '<p class=price>';\n</script>\n<div class=result>\n\
                        <a href=/1>One</a>\n<p class=price>1.234,56</p></div>\n<div\nclass=result><a>Two</a></div>\n";

    fn traced(select: &[&str], rows: Option<&str>) -> Trace {
        let settings = Settings {
            select: select.iter().map(|text| (*text).to_owned()).collect(),
            rows: rows.map(str::to_owned),
            ..Settings::default()
        };
        let extractor = Extractor::new(&settings).expect("settings");
        extractor.trace(Some("text/html"), PAGE.as_bytes(), None)
    }

    #[test]
    fn findings_have_the_line_of_their_tag() {
        let trace = traced(&["title=a", "price=.price"], Some(".result"));
        let rows = trace.rows.expect("rows");
        assert_eq!(
            rows.places,
            [Some("line 7:1".into()), Some("line 10:1".into())]
        );
        let places: Vec<_> = trace.fields[0]
            .found
            .iter()
            .map(|found| found.place.as_deref())
            .collect();
        assert_eq!(places, [Some("line 8:1"), Some("line 11:14")]);
        assert_eq!(trace.fields[1].found[0].place.as_deref(), Some("line 9:1"));
        assert_eq!(
            (
                trace.fields[1].found[1].matched,
                &trace.fields[1].found[1].value
            ),
            (0, &Value::Null)
        );
    }

    #[test]
    fn a_field_without_a_value_says_which_part_found_nothing() {
        let trace = traced(
            &[
                "a=.result .name b::text",
                "b=.result a::attr(title)",
                "c=.price|trim|number",
                "d=json:$.x",
                "e=jsonld:x",
                "f=meta:x",
            ],
            None,
        );
        let why: Vec<_> = trace
            .fields
            .iter()
            .map(|field| field.why.as_deref().unwrap_or(""))
            .collect();
        assert_eq!(
            why,
            [
                "nothing matches .result .name",
                "nothing matches .result a::attr(title)",
                "|number makes nothing of \"1.234,56\"",
                "the body is no JSON",
                "the page has no JSON-LD",
                "no meta element has this name",
            ]
        );
        let steps: Vec<_> = trace.fields[0]
            .steps
            .iter()
            .map(|step| (step.part.as_str(), step.matched))
            .collect();
        assert_eq!(
            steps,
            [(".result", 2), (".result .name", 0), (".result .name b", 0)]
        );
        let trace = traced(&["a=b"], Some(".results"));
        assert_eq!(
            trace.fields[0].why.as_deref(),
            Some("there are no rows to look in")
        );
    }
}
