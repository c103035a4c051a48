//! When a page was last changed, as sitemaps and feeds say it.

use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::{Date, Duration, Month, OffsetDateTime, Time};

/// Seconds since 1970 of the end of what `text` names: an instant, a day, a month or a year, as W3C and RFC 2822 write them.
/// `None` when nobody can tell.
pub(super) fn changed(text: &str) -> Option<i64> {
    let text = text.trim();
    let at =
        OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(text, &Rfc2822));
    if let Ok(at) = at {
        return Some(at.unix_timestamp());
    }
    // Without seconds, without a zone, with a blank for the T: the day will do.
    let day = text.split(['T', ' ']).next()?;
    let mut parts = day.split('-');
    let year = parts.next()?.parse().ok().filter(|year| *year >= 1000)?;
    let number = |part: Option<&str>| part.map(|part| part.parse::<u8>().ok());
    let (month, day) = match (number(parts.next()), number(parts.next())) {
        (None, _) => (Some(12), Some(31)),
        (Some(month), None) => (month, None),
        (Some(month), Some(day)) => (month, Some(day?)),
    };
    let month = Month::try_from(month?).ok()?;
    let day = day.unwrap_or_else(|| month.length(year));
    let day = Date::from_calendar_date(year, month, day).ok()?;
    let end = day.with_time(Time::MIDNIGHT).assume_utc() + Duration::DAY;
    Some(end.unix_timestamp() - 1)
}

/// The beginning of a day in UTC as `2026-11-01`, seconds since 1970.
pub(super) fn day(text: &str) -> Option<i64> {
    let is_day = text.len() == 10 && text.bytes().filter(|byte| *byte == b'-').count() == 2;
    let end = changed(text).filter(|_| is_day)?;
    Some(end + 1 - Duration::DAY.whole_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_every_kind_name_the_end_of_what_they_name() {
        for (text, at) in [
            ("2026-11-01T10:00:00Z", Some(1_793_527_200)),
            ("2026-11-01T10:00:00.5+02:00", Some(1_793_520_000)),
            ("Sun, 01 Nov 2026 10:00:00 GMT", Some(1_793_527_200)),
            ("2026-11-01", Some(1_793_577_599)),
            ("2026-11-01T10:00Z", Some(1_793_577_599)),
            (" 2026-11-01 10:00:00 ", Some(1_793_577_599)),
            ("2026-11", Some(1_796_083_199)),
            ("2026", Some(1_798_761_599)),
            ("", None),
            ("0000-00-00", None),
            ("2026-13-01", None),
            ("2026-11-31", None),
            ("yesterday", None),
        ] {
            assert_eq!(changed(text), at, "{text}");
        }
        assert_eq!(day("2026-11-01"), Some(1_793_491_200));
        assert_eq!(day("2026-11"), None);
    }
}
