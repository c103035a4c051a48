//! Filters: what is done with the values that a source has found.

use serde_json::Value;
use url::Url;

use super::date::{self, Order};
use super::fault::Fault;
use super::number::{self, Locale};

/// One filter of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    Trim,
    Lower,
    Number(Locale),
    Date(Order),
    Absolute,
    First,
    All,
    Count,
    Join(String),
}

const KNOWN: &str = "trim, lower, number, number(de), date, date(dmy), date(mdy), absolute, first, all, count and join(', ')";

impl Filter {
    /// Reads one filter; faults count from its first byte.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let start = text.len() - text.trim_start().len();
        let text = text.trim();
        if text.is_empty() {
            return Err(Fault::new(
                start,
                "a filter is missing",
                format!("filters are {KNOWN}"),
            ));
        }
        let (name, argument) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => match rest.strip_suffix(')') {
                Some(argument) => (name, Some(argument)),
                None => {
                    let hint = format!("filters are {KNOWN}");
                    return Err(Fault::new(
                        start,
                        "the bracket of the filter is not closed",
                        hint,
                    ));
                }
            },
        };
        let inside = start + name.len() + 1;
        let filter = match (name, argument) {
            ("trim", None) => Filter::Trim,
            ("lower", None) => Filter::Lower,
            ("number", None) => Filter::Number(number::ENGLISH),
            ("number", Some(language)) => {
                Filter::Number(Locale::named(language.trim()).ok_or_else(|| {
                    Fault::new(
                        inside,
                        format!("unknown language {:?}", language.trim()),
                        format!("the languages are {}", Locale::names()),
                    )
                })?)
            }
            ("date", None) => Filter::Date(Order::Unsaid),
            ("date", Some("dmy")) => Filter::Date(Order::DayFirst),
            ("date", Some("mdy")) => Filter::Date(Order::MonthFirst),
            ("date", Some(order)) => {
                return Err(Fault::new(
                    inside,
                    format!("no order of day and month is called {order:?}"),
                    "write date(dmy) or date(mdy)",
                ));
            }
            ("absolute", None) => Filter::Absolute,
            ("first", None) => Filter::First,
            ("all", None) => Filter::All,
            ("count", None) => Filter::Count,
            ("join", Some(separator)) => Filter::Join(unquoted(separator).to_owned()),
            ("join", None) => Filter::Join(" ".to_owned()),
            (known, Some(_)) if KNOWN.split(", ").any(|word| word == known) => {
                return Err(Fault::new(
                    inside,
                    format!("the filter {known} takes nothing in brackets"),
                    format!("write |{known}"),
                ));
            }
            (other, _) => {
                return Err(Fault::new(
                    start,
                    format!("there is no filter {other:?}"),
                    format!(
                        "filters are {KNOWN}; a | of the expression itself has to stand in brackets"
                    ),
                ));
            }
        };
        Ok(filter)
    }

    /// True when it has to see everything that was found.
    pub(super) fn wants_all(&self) -> bool {
        matches!(self, Filter::All | Filter::Count | Filter::Join(_))
    }
}

/// Without the quotes around it.
fn unquoted(text: &str) -> &str {
    for quote in ['\'', '"'] {
        let inner = text
            .strip_prefix(quote)
            .and_then(|text| text.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    text
}

/// The value of a field: what was `found` after all `filters`; without one that says otherwise the first, `null` for nothing.
pub(super) fn apply(
    filters: &[Filter],
    found: Vec<Value>,
    base: &dyn Fn() -> Option<Url>,
) -> Value {
    let mut found = Found::Many(found);
    for filter in filters {
        found = match filter {
            Filter::First => Found::One(found.first()),
            Filter::All => Found::One(match found {
                Found::Many(values) if values.is_empty() => Value::Null,
                Found::Many(values) => Value::Array(values),
                Found::One(value) => value,
            }),
            Filter::Count => Found::One(match &found {
                Found::Many(values) => values.len().into(),
                Found::One(value) => u64::from(!value.is_null()).into(),
            }),
            Filter::Join(separator) => found.joined(separator),
            Filter::Absolute => {
                let base = base();
                found.map(&|text| {
                    let url = match &base {
                        Some(base) => base.join(text.trim()).ok(),
                        None => Url::parse(text.trim()).ok(),
                    };
                    url.map_or(Value::Null, |url| Value::String(url.into()))
                })
            }
            Filter::Trim => found.map(&|text| text.trim().into()),
            Filter::Lower => found.map(&|text| text.to_lowercase().into()),
            Filter::Number(locale) => {
                found.map(&|text| number::number(text, *locale).unwrap_or_default())
            }
            Filter::Date(order) => {
                found.map(&|text| date::date(text, *order).map_or(Value::Null, Value::String))
            }
        };
    }
    found.first()
}

enum Found {
    /// Everything that was found, in order.
    Many(Vec<Value>),
    /// What a filter has made of it.
    One(Value),
}

impl Found {
    fn first(self) -> Value {
        match self {
            Found::Many(values) => values.into_iter().next().unwrap_or_default(),
            Found::One(value) => value,
        }
    }

    fn joined(self, separator: &str) -> Found {
        let texts = |values: &[Value]| -> Vec<String> {
            let texts = values.iter().filter(|value| !value.is_null());
            texts.map(plain).collect()
        };
        Found::One(match self {
            Found::Many(values) if values.is_empty() => Value::Null,
            Found::Many(values) => texts(&values).join(separator).into(),
            Found::One(Value::Array(values)) => texts(&values).join(separator).into(),
            Found::One(value) => value,
        })
    }

    fn map(self, change: &dyn Fn(&str) -> Value) -> Found {
        match self {
            Found::Many(values) => Found::Many(
                values
                    .into_iter()
                    .map(|value| mapped(value, change))
                    .collect(),
            ),
            Found::One(value) => Found::One(mapped(value, change)),
        }
    }
}

/// Texts are changed, also those in a list or an object. A number already is one.
fn mapped(value: Value, change: &dyn Fn(&str) -> Value) -> Value {
    match value {
        Value::String(text) => change(&text),
        Value::Array(values) => Value::Array(
            values
                .into_iter()
                .map(|value| mapped(value, change))
                .collect(),
        ),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, mapped(value, change)))
                .collect(),
        ),
        other => other,
    }
}

/// A value without the quotes of JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(filters: &str, found: &[&str]) -> Value {
        let filters: Vec<Filter> = filters
            .split('|')
            .map(|text| Filter::parse(text).expect("a filter"))
            .collect();
        let base = || Url::parse("https://a.example/shop/").ok();
        apply(
            &filters,
            found.iter().map(|text| (*text).into()).collect(),
            &base,
        )
    }

    #[test]
    fn filters_work_in_the_order_written() {
        let prices = ["1,5 €", "sold out", " 2 "];
        assert_eq!(applied("number(de)", &prices), 1.5);
        assert_eq!(
            applied("number(de)|all", &prices),
            serde_json::json!([1.5, null, 2])
        );
        assert_eq!(applied("count", &prices), 3);
        assert_eq!(applied("first|count", &prices), 1);
        assert_eq!(applied("first|count", &[]), 0);
        assert_eq!(
            applied("trim|lower|join('; ')", &prices),
            "1,5 €; sold out; 2"
        );
        assert_eq!(applied("all|trim|join(+)", &["a ", "b"]), "a+b");
        assert_eq!(
            applied("absolute", &["../x?a=b"]),
            "https://a.example/x?a=b"
        );
        assert_eq!(applied("number", &["none"]), Value::Null);
        assert_eq!(
            applied("join(', ')", &[]),
            Value::Null,
            "absent is not empty"
        );
        assert_eq!(applied("all", &[]), Value::Null);
    }
}
