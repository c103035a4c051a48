//! Dates as pages write them.

use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::{Date, Month, OffsetDateTime, UtcOffset};

/// The order of the parts of a date that is numbers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `03/04/2026` could be either: nothing is made of it.
    Unsaid,
    DayFirst,
    MonthFirst,
}

/// The date in the text as `2026-11-26`, with a time as `2026-11-26T08:30:00Z`; `None` when it has none or could mean two.
pub(super) fn date(text: &str, order: Order) -> Option<String> {
    let text = text.trim();
    let at =
        OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(text, &Rfc2822));
    if let Ok(at) = at {
        return at.to_offset(UtcOffset::UTC).format(&Rfc3339).ok();
    }
    let parts = parts(text);
    let day = parts
        .windows(3)
        .find_map(|three| of_parts(&three[0], &three[1], &three[2], order))?;
    Some(format!(
        "{:04}-{:02}-{:02}",
        day.year(),
        u8::from(day.month()),
        day.day()
    ))
}

enum Part {
    /// A number, how many digits it has, and the sign after it.
    Number(u32, usize, Option<char>),
    Month(Month),
}

/// The numbers and the names of months, in order.
fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = |is: fn(char) -> bool| rest.find(|c| !is(c)).unwrap_or(rest.len());
        let length = if first.is_ascii_digit() {
            let length = end(|c| c.is_ascii_digit());
            if let Ok(number) = rest[..length].parse() {
                parts.push(Part::Number(number, length, rest[length..].chars().next()));
            }
            length
        } else if first.is_alphabetic() {
            let length = end(char::is_alphabetic);
            parts.extend(month(&rest[..length]).map(Part::Month));
            length
        } else {
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    parts
}

/// English names, and what they are cut to.
fn month(word: &str) -> Option<Month> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let word = word.to_ascii_lowercase();
    let is_short = (3..=4).contains(&word.len());
    let at = NAMES
        .iter()
        .position(|name| **name == *word || (is_short && name.starts_with(&word)))?;
    Month::try_from(u8::try_from(at + 1).ok()?).ok()
}

fn of_parts(a: &Part, b: &Part, c: &Part, order: Order) -> Option<Date> {
    use Part::{Month as Name, Number};
    let (year, month, day) = match (a, b, c) {
        // 2026-11-26
        (Number(year, 4, _), Number(month, _, _), Number(day, _, _)) => {
            (year, numbered(*month)?, day)
        }
        // 26 November 2026
        (Number(day, 1..=2, _), Name(month), Number(year, 4, _)) => (year, *month, day),
        // November 26, 2026
        (Name(month), Number(day, 1..=2, _), Number(year, 4, _)) => (year, *month, day),
        // Whoever writes dots writes the day first.
        (Number(day, 1..=2, Some('.')), Number(month, 1..=2, Some('.')), Number(year, 4, _)) => {
            (year, numbered(*month)?, day)
        }
        (Number(first, 1..=2, _), Number(second, 1..=2, _), Number(year, 4, _)) => match order {
            Order::DayFirst => (year, numbered(*second)?, first),
            Order::MonthFirst => (year, numbered(*first)?, second),
            Order::Unsaid => return None,
        },
        _ => return None,
    };
    Date::from_calendar_date(i32::try_from(*year).ok()?, month, u8::try_from(*day).ok()?).ok()
}

fn numbered(month: u32) -> Option<Month> {
    Month::try_from(u8::try_from(month).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_unless_it_could_mean_two() {
        for (text, order, wanted) in [
            ("2026-11-26", Order::Unsaid, Some("2026-11-26")),
            (
                "2026-11-26T10:30:00+02:00",
                Order::Unsaid,
                Some("2026-11-26T08:30:00Z"),
            ),
            (
                "Thu, 26 Nov 2026 08:30:00 GMT",
                Order::Unsaid,
                Some("2026-11-26T08:30:00Z"),
            ),
            (
                "Posted on Nov. 26th, 2026",
                Order::Unsaid,
                Some("2026-11-26"),
            ),
            (
                "26 November 2026 at 10:30",
                Order::Unsaid,
                Some("2026-11-26"),
            ),
            ("Stand: 6.11.2026", Order::Unsaid, Some("2026-11-06")),
            ("03/04/2026", Order::Unsaid, None),
            ("03/04/2026", Order::DayFirst, Some("2026-04-03")),
            ("03/04/2026", Order::MonthFirst, Some("2026-03-04")),
            ("31 February 2026", Order::Unsaid, None),
            ("yesterday", Order::Unsaid, None),
        ] {
            assert_eq!(date(text, order).as_deref(), wanted, "{text}");
        }
    }
}
