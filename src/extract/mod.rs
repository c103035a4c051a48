//! Extraction: fields out of a body.
//!
//! An [`Extractor`] is made once, from expressions ([`Settings::select`]) or a profile, and asked once per accepted answer: a block page is never
//! extracted. It is pure. The page is parsed once however many selectors there are, and only when a selector asks for elements; a
//! field that finds nothing is `null`, never missing.
//!
//! What is where: `expression` a field, `source` where it looks, `filter` (with `number` and `date`) what is done with the finding,
//! `page` the body taken apart, `profile` the TOML form, `serp` the three states of a page of results, `trace` what `extract test` tells, `lines` where that stands.

mod date;
mod expression;
mod fault;
mod filter;
mod lines;
mod number;
mod page;
mod profile;
mod serp;
mod source;
mod split;
mod trace;

pub use profile::{ProfileFile, built_in, built_in_names};
pub use serp::State;
pub use trace::{FieldTrace, Found, RowsTrace, Step, Trace};

use serde_json::{Map, Value};
use url::Url;

use self::expression::Field;
use self::page::Page;
use self::serp::Serp;
use self::source::{Row, RowKind, Source};
use crate::error::Problem;
use crate::outcome::ErrorInfo;

/// What is to be extracted, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `NAME=EXPRESSION` each; added to the fields of the profile.
    pub select: Vec<String>,
    /// One row for each match of this; goes before the profile's own.
    pub rows: Option<String>,
    /// Something that every page of results has and no other; goes before the profile's own.
    pub container: Option<String>,
    /// What is there when a page of results says that it has none; goes before the profile's own.
    pub no_results: Option<String>,
    /// A profile.
    pub profile: Option<ProfileFile>,
}

impl Settings {
    /// True when nothing is to be extracted.
    pub fn is_empty(&self) -> bool {
        *self == Settings::default()
    }
}

/// The text of a page as a reader would have it, a line for each block; other text as it is, and of what is no text nothing.
pub fn readable(content_type: Option<&str>, body: &[u8]) -> String {
    let page = Page::new(content_type, body, None);
    let is_html = match content_type {
        Some(kind) => kind.to_ascii_lowercase().contains("html"),
        None => page.text().trim_start().starts_with('<'),
    };
    if !is_html {
        return page.text().to_owned();
    }
    let html = page.html();
    let body = html
        .root_element()
        .child_elements()
        .find(|element| element.value().name() == "body");
    page::text_with(body.unwrap_or_else(|| html.root_element()), '\n')
}

/// Compiled settings.
///
/// ```
/// use proxywheel::extract::{Extractor, Settings};
///
/// let extractor = Extractor::new(&Settings {
///     select: vec!["price=.price::text|number".into()],
///     ..Settings::default()
/// })?;
/// let found = extractor.extract(Some("text/html"), b"<b class=price>$1,299.50</b>", None);
/// assert_eq!(found.rows[0]["price"], 1299.5);
/// # Ok::<(), proxywheel::error::Problem>(())
/// ```
#[derive(Debug)]
pub struct Extractor {
    settings: Settings,
    rows: Option<Source>,
    fields: Vec<Field>,
    /// Numbers of the fields without which a match is no row.
    required: Vec<usize>,
    serp: Option<Serp>,
}

/// Two extractors of the same settings do the same.
impl PartialEq for Extractor {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

/// What was found in one body.
#[derive(Debug, Clone, PartialEq)]
pub struct Extracted {
    /// The fields of each row; never empty: without a match one row of which every field is `null`.
    pub rows: Vec<Map<String, Value>>,
    /// How many rows there are; `None` without [`Settings::rows`], when the page is the only one.
    pub count: Option<u32>,
    /// Why something may be missing that the body has.
    pub error: Option<ErrorInfo>,
}

impl Extractor {
    /// Compiles the settings.
    ///
    /// # Errors
    /// An expression that cannot be read (the problem shows the place in it), two fields of one name, rows without fields.
    pub fn new(settings: &Settings) -> Result<Self, Problem> {
        let mut made = match &settings.profile {
            Some(file) => file.parse()?,
            None => profile::Profile::default(),
        };
        if let Some(rows) = &settings.rows {
            let source = Source::parse_rows(rows).map_err(|fault| fault.problem(rows, "--rows"))?;
            made.rows = Some((source, String::new()));
        }
        let probe = |text: &Option<String>, place: &str| {
            let text = text.as_ref();
            let read = text.map(|text| (Source::parse(text), text));
            let read = read.map(|(read, text)| read.map_err(|fault| fault.problem(text, place)));
            read.transpose()
        };
        let container = probe(&settings.container, "container")?;
        let no_results = probe(&settings.no_results, "no_results")?;
        if container.is_some() || no_results.is_some() {
            if made.rows.is_none() {
                return Err(Problem::new("only a page of results says that it has none")
                    .at("--rows")
                    .hint("add rows, one for each result"));
            }
            let serp = made.serp.get_or_insert_default();
            serp.container = container.or(serp.container.take());
            serp.no_results = no_results.or(serp.no_results.take());
        }
        let kind = match &made.rows {
            Some((source, _)) => source.row_kind(),
            None => RowKind::Page,
        };
        for text in &settings.select {
            let field =
                Field::parse_named(text).map_err(|fault| fault.problem(text, "--select"))?;
            made.fields.push((field, "--select".to_owned()));
        }
        for (at, (field, place)) in made.fields.iter().enumerate() {
            if let Some(fault) = field.source.unfit(kind) {
                return Err(fault.problem(&field.text, place.clone()));
            }
            let taken = made.fields[..at]
                .iter()
                .any(|(other, _)| other.name == field.name);
            let own = made.serp.is_some() && serp::FIELDS.contains(&field.name.as_str());
            if taken || own {
                let hint = if taken {
                    "give one of them another name"
                } else {
                    "a page of results fills it itself"
                };
                return Err(
                    Problem::new(format!("there are two fields called {:?}", field.name))
                        .at(place.clone())
                        .hint(hint),
                );
            }
        }
        if made.fields.is_empty() {
            return Err(Problem::new("there are rows, and no field to fill")
                .at("--rows")
                .hint("add --select 'title=h3::text'"));
        }
        Ok(Extractor {
            settings: settings.clone(),
            rows: made.rows.map(|(source, _)| source),
            fields: made.fields.into_iter().map(|(field, _)| field).collect(),
            required: made.required,
            serp: made.serp,
        })
    }

    /// Names of the fields, in order.
    pub fn field_names(&self) -> impl Iterator<Item = &str> {
        let own: &[&str] = if self.serp.is_some() {
            &serp::FIELDS
        } else {
            &[]
        };
        own.iter()
            .copied()
            .chain(self.fields.iter().map(|field| field.name.as_str()))
    }

    /// The CSS selector of something that every page of results has and no other page, where the profile names one.
    pub fn container(&self) -> Option<&str> {
        match self.serp.as_ref()?.container.as_ref()? {
            Source::Css(css) => Some(&css.text),
            _ => None,
        }
    }

    /// True when a body may have several rows.
    pub fn has_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// What a body holds. `url` is what relative links are relative to.
    pub fn extract(&self, content_type: Option<&str>, body: &[u8], url: Option<&Url>) -> Extracted {
        let page = Page::new(content_type, body, url);
        let Some(source) = &self.rows else {
            return Extracted {
                rows: vec![self.fields_of(&page, Some(Row::Page))],
                count: None,
                error: error_of(&page, None),
            };
        };
        let (matches, all) = source.rows(&page);
        let cut = Some(all).filter(|all| *all > matches.len());
        let mut rows = Vec::new();
        for row in matches {
            let fields = self.fields_of(&page, Some(row));
            // The rows are the first ones, all of each: of a single one, what there was.
            if page.is_spent() && !rows.is_empty() {
                break;
            }
            if self.is_row(&fields) {
                rows.push(fields);
            }
        }
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let state = self.serp.as_ref().map(|serp| serp.state(&page, rows.len()));
        if rows.is_empty() {
            rows.push(self.fields_of(&page, None));
        }
        if let Some(state) = state {
            for (at, fields) in rows.iter_mut().enumerate() {
                let position = if count > 0 {
                    Value::from(at + 1)
                } else {
                    Value::Null
                };
                fields.insert("state".to_owned(), state.as_str().into());
                fields.insert("position".to_owned(), position);
            }
        }
        Extracted {
            rows,
            count: Some(count),
            error: error_of(&page, cut),
        }
    }

    /// What every selector finds in a body, and where.
    pub fn trace(&self, content_type: Option<&str>, body: &[u8], url: Option<&Url>) -> Trace {
        trace::trace(self, content_type, body, url)
    }

    /// The state of a page of results; `None` for profiles that are not about such.
    pub fn state(&self, extracted: &Extracted) -> Option<State> {
        self.serp.as_ref()?;
        State::from_word(extracted.rows.first()?.get("state")?.as_str()?)
    }

    /// The fields of a row; all `null` without one. Those of a page of results have their places, to be filled.
    fn fields_of(&self, page: &Page<'_>, row: Option<Row<'_>>) -> Map<String, Value> {
        let mut fields = Map::with_capacity(self.fields.len() + serp::FIELDS.len());
        if self.serp.is_some() {
            fields.extend(serp::FIELDS.map(|name| (name.to_owned(), Value::Null)));
        }
        for field in &self.fields {
            let value = row.map_or(Value::Null, |row| field.value(page, row));
            fields.insert(field.name.clone(), value);
        }
        fields
    }

    /// True when everything is there that a row needs.
    fn is_row(&self, fields: &Map<String, Value>) -> bool {
        self.required
            .iter()
            .all(|at| match fields.get(&self.fields[*at].name) {
                None | Some(Value::Null) => false,
                Some(Value::String(text)) => !text.is_empty(),
                Some(_) => true,
            })
    }
}

/// What kept the extractor from taking all of a page; `cut` is how many rows it has, when that is too many.
fn error_of(page: &Page<'_>, cut: Option<usize>) -> Option<ErrorInfo> {
    if let Some(why) = page.unparsed() {
        return Some(ErrorInfo::of_content("unparsed", why));
    }
    if page.is_spent() {
        let message = "the fields would be many times as long as the page: the rest is left out";
        return Some(ErrorInfo::of_content("incomplete", message));
    }
    if let Some(why) = page.no_json() {
        let message = format!("the body is no JSON: {why}");
        return Some(ErrorInfo::of_content("not_json", message));
    }
    let all = cut?;
    let message = format!("only the first of {all} matches are rows");
    Some(ErrorInfo::of_content("incomplete", message))
}

#[cfg(test)]
mod tests;
