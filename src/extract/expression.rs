//! `NAME=SOURCE|FILTER|…`: one field.

use serde_json::Value;

use super::fault::Fault;
use super::filter::{self, Filter};
use super::page::Page;
use super::source::{Row, Source};
use super::split::{Grammar, pieces};

/// A field: its name, where it is found, what is done with it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// The expression as written, without the name.
    pub(super) text: String,
    pub(super) source: Source,
    pub(super) filters: Vec<Filter>,
    wants_all: bool,
}

impl Field {
    /// Reads `NAME=EXPRESSION`.
    pub(super) fn parse_named(text: &str) -> Result<Self, Fault> {
        const HINT: &str = "write NAME=EXPRESSION, such as price=.price::text";
        let Some((name, expression)) = text.split_once('=') else {
            return Err(Fault::new(0, "the field has no name", HINT));
        };
        let fault = check_name(name.trim()).map(|what| {
            let at = name.len() - name.trim_start().len();
            Fault::new(at, what, HINT)
        });
        match fault {
            Some(fault) => Err(fault),
            None => {
                Field::parse(name.trim(), expression).map_err(|fault| fault.moved(name.len() + 1))
            }
        }
    }

    /// Reads an expression; faults count from its first byte.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, Fault> {
        let mut pieces = pieces(text, grammar(text)).into_iter();
        let (_, source) = pieces.next().unwrap_or_default();
        let source = Source::parse(source)?;
        let filters = pieces
            .map(|(at, piece)| Filter::parse(piece).map_err(|fault| fault.moved(at)))
            .collect::<Result<Vec<_>, _>>()?;
        let all = filters.iter().position(Filter::wants_all);
        let first = filters.iter().position(|filter| *filter == Filter::First);
        Ok(Field {
            name: name.to_owned(),
            text: text.trim().to_owned(),
            source,
            wants_all: all.is_some_and(|all| first.is_none_or(|first| all < first)),
            filters,
        })
    }

    /// The filter of this number, from 1, as written.
    pub(super) fn filter_text(&self, number: usize) -> &str {
        let pieces = pieces(&self.text, grammar(&self.text));
        pieces.get(number).map_or("", |(_, piece)| piece.trim())
    }

    /// Its value in a row.
    pub(super) fn value(&self, page: &Page<'_>, row: Row<'_>) -> Value {
        self.value_of(page, self.source.find(page, row, self.wants_all))
    }

    /// Its value when this was found.
    pub(super) fn value_of(&self, page: &Page<'_>, found: Vec<Value>) -> Value {
        filter::apply(&self.filters, found, &|| page.base())
    }
}

fn grammar(text: &str) -> Grammar {
    match text.trim_start().starts_with("re:") {
        true => Grammar::Regex,
        false => Grammar::Quoted,
    }
}

/// What is wrong with the name of a field.
pub(super) fn check_name(name: &str) -> Option<String> {
    let letter = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() {
        return Some("the field has no name".to_owned());
    }
    (!name.chars().all(letter)).then(|| format!("{name:?} is no name for a field"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn value(expression: &str, kind: &str, body: &str) -> Value {
        let field = Field::parse("x", expression).expect(expression);
        let url = Url::parse("https://shop.example/a/").expect("a URL");
        let page = Page::new(Some(kind), body.as_bytes(), Some(&url));
        field.value(&page, Row::Page)
    }

    #[test]
    fn every_source_finds_its_own() {
        let html = r#"<head><meta property="og:title" content=" Lamp "><script type="application/ld+json">
            {"@type":"Product","offers":[{"price":"19.99"}],"brand":{"name":"L'ux"}}</script></head>
            <a class=t href="../lamp?x=1">A <b>lamp</b></a><i class=p>1.299,00 €</i><i class=p>5 €</i>"#;
        let page = |expression| value(expression, "text/html", html);
        assert_eq!(page("a.t"), "A lamp");
        assert_eq!(
            page("a.t::html"),
            "<a class=\"t\" href=\"../lamp?x=1\">A <b>lamp</b></a>"
        );
        assert_eq!(
            page("a.t::attr(HREF)|absolute"),
            "https://shop.example/lamp?x=1"
        );
        assert_eq!(page(".p::text|number(de)"), 1299.0);
        assert_eq!(page(".p|count"), 2);
        assert_eq!(page(".q|count"), 0);
        assert_eq!(page(".q::text|number"), Value::Null);
        assert_eq!(page("meta:OG:title"), "Lamp");
        assert_eq!(
            page("jsonld:offers.price"),
            Value::Null,
            "a list has no key"
        );
        assert_eq!(page("jsonld:$.offers[*].price|number"), 19.99);
        assert_eq!(page("jsonld:brand.name"), "L'ux");
        assert_eq!(page("jsonld:@type"), "Product");
        assert_eq!(page(r#"re:class=p>([\d.,]+) (€|\$)|number(de)"#), 1299.0);
        assert_eq!(
            page(r"re:class=p>(?<amount>[\d.,]+) (?<currency>€|\$)"),
            serde_json::json!({"amount": "1.299,00", "currency": "€"})
        );
        assert_eq!(page(r"re:<i[^>]*>\d|count"), 2);
        let json = r#"{"items":[{"n":1,"t":"a|b"},{"n":"2","t":null}]}"#;
        let json = |expression| value(expression, "application/json", json);
        assert_eq!(json("json:$.items[*].n|all"), serde_json::json!([1, "2"]));
        assert_eq!(json("json:$.items[*].n|number|join(+)"), "1+2");
        assert_eq!(json("json:$.items[?@.t == 'a|b'].n"), 1);
        assert_eq!(json("json:$.nothing"), Value::Null);
        assert_eq!(value("a", "image/png", "<a>x</a>"), Value::Null, "no text");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = Field::parse_named(&text).map_err(|fault| fault.problem(&text, "--select").to_string());
            let _ = Source::parse_rows(&text).map_err(|fault| fault.problem(&text, "--rows").to_string());
        }

        #[test]
        fn so_is_any_text_that_looks_like_an_expression(
            text in r#"(x=)?(re:|json:|jsonld:|meta:|)([.#a-z\[\]()'"\\$|:>*@?,= é]|::text|::attr\(|\|number|\|join\(){0,14}"#
        ) {
            if let Err(fault) = Field::parse_named(&text) {
                prop_assert!(fault.at <= text.len(), "{fault:?}");
                let _ = fault.problem(&text, "--select");
            }
            let _ = Source::parse_rows(&text);
        }
    }
}
