//! Numbers as pages write them.

use serde_json::{Number, Value};

/// How a language writes numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Locale {
    decimal: char,
    groups: &'static [char],
}

/// Letters of a number that are looked at. No float has more digits before its point.
const LONGEST: usize = 400;

/// `1,234.5`
pub(super) const ENGLISH: Locale = Locale {
    decimal: '.',
    groups: &[','],
};
/// `1.234,5`
const GERMAN: Locale = Locale {
    decimal: ',',
    groups: &['.'],
};
/// `1 234,5`, with any of the blanks in use.
const FRENCH: Locale = Locale {
    decimal: ',',
    groups: &[' ', '\u{a0}', '\u{202f}', '\u{2009}'],
};
/// `1'234.5`
const SWISS: Locale = Locale {
    decimal: '.',
    groups: &['\'', '\u{2019}'],
};

/// Languages (and Switzerland) by their way with numbers.
const LOCALES: [(&str, Locale); 16] = [
    ("en", ENGLISH),
    ("de", GERMAN),
    ("da", GERMAN),
    ("es", GERMAN),
    ("id", GERMAN),
    ("it", GERMAN),
    ("nl", GERMAN),
    ("pt", GERMAN),
    ("tr", GERMAN),
    ("fr", FRENCH),
    ("cs", FRENCH),
    ("pl", FRENCH),
    ("ru", FRENCH),
    ("sv", FRENCH),
    ("uk", FRENCH),
    ("ch", SWISS),
];

impl Locale {
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = LOCALES.iter().find(|(known, _)| *known == name);
        found.map(|(_, locale)| *locale)
    }

    /// All names, for a hint.
    pub(super) fn names() -> String {
        LOCALES.map(|(name, _)| name).join(", ")
    }
}

/// The first number of the text; `None` when there is none, or when it is written in another way than the locale says: `1.234,56`
/// is no English number, and half of it would be a wrong one.
pub(super) fn number(text: &str, locale: Locale) -> Option<Value> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let before = text[..start].trim_end_matches([' ', '$', '€', '£', '¥']);
    let negative = before.strip_suffix(['-', '\u{2212}']).is_some_and(|rest| {
        // A hyphen within a word, or between two numbers, is no sign.
        !rest.ends_with(char::is_alphanumeric)
    });
    let mut digits = String::from(if negative { "-" } else { "" });
    let whole: Vec<char> = text[start..].chars().take(LONGEST).collect();
    let run = |from: usize| {
        let rest = whole.get(from..).unwrap_or_default();
        rest.iter().take_while(|c| c.is_ascii_digit()).count()
    };
    let is = |at: usize, what: &[char]| whole.get(at).is_some_and(|c| what.contains(c));
    let mut at = run(0);
    digits.extend(&whole[..at]);
    if at <= 3 {
        let mut sign = None;
        while is(at, locale.groups) && run(at + 1) == 3 && sign.is_none_or(|sign| sign == whole[at])
        {
            sign = Some(whole[at]);
            digits.extend(&whole[at + 1..at + 4]);
            at += 4;
        }
    }
    let fraction = if is(at, &[locale.decimal]) {
        run(at + 1)
    } else {
        0
    };
    if fraction > 0 {
        digits.push('.');
        digits.extend(&whole[at + 1..at + 1 + fraction]);
        at += 1 + fraction;
    }
    // A blank before more digits is no sign of another way to write: it also parts two numbers.
    if is(at, &['.', ',', '\'', '\u{2019}']) && run(at + 1) > 0 {
        return None;
    }
    if fraction == 0
        && let Ok(whole) = digits.parse::<i64>()
    {
        return Some(whole.into());
    }
    let value: f64 = digits.parse().ok()?;
    Number::from_f64(value).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_its_language_writes_it_or_not_at_all() {
        let read = |text: &str, locale: &str| {
            let locale = Locale::named(locale).expect("known");
            number(text, locale).map(|value| value.to_string())
        };
        for (text, locale, wanted) in [
            ("$1,234.56", "en", Some("1234.56")),
            ("about 1,234,567 results (0.4 s)", "en", Some("1234567")),
            ("1234567", "en", Some("1234567")),
            ("-5 %", "en", Some("-5")),
            ("\u{2212}$5.50", "en", Some("-5.5")),
            ("top-5", "en", Some("5")),
            ("2, 3 or 4", "en", Some("2")),
            ("1.234,56 €", "en", None),
            ("1.234,56 €", "de", Some("1234.56")),
            ("19,99 €", "de", Some("19.99")),
            ("19,99 €", "en", None),
            ("1 234,5", "fr", Some("1234.5")),
            ("12\u{202f}345 avis", "fr", Some("12345")),
            ("1'234.50", "ch", Some("1234.5")),
            ("1,23,456", "en", None),
            ("sold out", "en", None),
            ("99999999999999999999", "en", Some("1e+20")),
        ] {
            assert_eq!(read(text, locale).as_deref(), wanted, "{text} {locale}");
        }
    }
}
