//! Settings in effect, as TOML that can be pasted into a configuration file.

use super::catalog::Kind;
use super::redact::redact;

/// One line: the setting, its value without credentials, and as a comment where it was made. Without values the line is a
/// comment as a whole.
pub fn shown(name: &str, kind: Kind, values: &[String], origin: &str) -> String {
    let key = if name.contains('.') {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    };
    let texts: Vec<String> = values.iter().map(|value| redact(name, value)).collect();
    let value = match (kind, texts.as_slice()) {
        (_, []) => return format!("# {key} is not set"),
        (Kind::Switch | Kind::Count, [text, ..]) => text.clone(),
        (Kind::Value, [text, ..]) => literal(text),
        (Kind::List, texts) => {
            let items: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", items.join(", "))
        }
    };
    format!("{:<40} # {origin}", format!("{key} = {value}"))
}

/// A number as it is, anything else in quotes.
fn literal(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && (text
            .parse::<i64>()
            .is_ok_and(|number| number.to_string() == text)
            || (text.contains('.') && text.parse::<f64>().is_ok() && !text.ends_with('.')));
    if plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_toml_with_their_origin() {
        for (name, kind, values, line) in [
            ("concurrency", Kind::Value, vec!["64"], "concurrency = 64"),
            ("jitter", Kind::Value, vec!["0.5"], "jitter = 0.5"),
            ("rate", Kind::Value, vec!["2/s"], "rate = \"2/s\""),
            ("request", Kind::Value, vec!["007"], "request = \"007\""),
            ("http1.1", Kind::Switch, vec!["true"], "\"http1.1\" = true"),
            (
                "fields",
                Kind::List,
                vec!["a", "1"],
                "fields = [\"a\", \"1\"]",
            ),
            ("user", Kind::Value, vec!["a:b"], "user = \"(redacted)\""),
        ] {
            let values: Vec<String> = values.into_iter().map(String::from).collect();
            let shown = shown(name, kind, &values, "default");
            assert_eq!(shown.split(" #").next().unwrap().trim_end(), line);
            assert!(shown.ends_with("# default"));
            let parsed = shown.parse::<toml::Table>();
            assert!(parsed.is_ok(), "{shown}: {parsed:?}");
        }
        assert_eq!(
            shown("rate", Kind::Value, &[], "default"),
            "# rate is not set"
        );
    }
}
