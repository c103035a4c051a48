//! Figures as people read them.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const MINUTE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]");

/// `2026-03-01`.
pub(super) fn date(at: i64) -> String {
    formatted(at, DATE)
}

/// `2026-03-01 06:00`.
pub(super) fn minute(at: i64) -> String {
    formatted(at, MINUTE)
}

fn formatted(at: i64, form: &[BorrowedFormatItem<'_>]) -> String {
    OffsetDateTime::from_unix_timestamp(at.div_euclid(1000))
        .ok()
        .and_then(|at| at.format(form).ok())
        .unwrap_or_default()
}

/// `41 %`, `0.4 %`; nothing of nothing.
pub(super) fn percent(part: u64, whole: u64) -> Option<String> {
    (whole > 0).then(|| share(part as f64 / whole as f64))
}

/// `41 %` of 0.41.
pub(super) fn share(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.95 {
        format!("{percent:.1}\u{a0}%")
    } else {
        format!("{percent:.0}\u{a0}%")
    }
}

/// `815 305`.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `2.4 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1000.0 {
            let digits = usize::from(unit != "B" && size < 99.5);
            return format!("{size:.digits$}\u{a0}{unit}");
        }
        size /= 1000.0;
    }
    format!("{size:.1}\u{a0}TB")
}

/// Money out of millionths: `12.40`, `0.0031`.
pub(super) fn money(millionths: f64) -> String {
    let money = millionths / 1e6;
    let digits = match money.abs() {
        0.0 => 0,
        size if size >= 1.0 => 2,
        size if size >= 0.01 => 4,
        _ => 6,
    };
    format!("{money:.digits$}")
}

/// A number as short as it may be, at most four digits behind the point.
pub(super) fn number(number: f64) -> String {
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

/// `40 s`, `12 min`, `2.5 h`.
pub(super) fn length(ms: i64) -> String {
    let seconds = ms.max(0) as f64 / 1000.0;
    match seconds {
        ..90.0 => format!("{seconds:.0}\u{a0}s"),
        ..5400.0 => format!("{:.0}\u{a0}min", seconds / 60.0),
        _ => format!("{:.1}\u{a0}h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_long_as_they_say_something() {
        assert_eq!(percent(1, 250).as_deref(), Some("0.4\u{a0}%"));
        assert_eq!(percent(41, 100).as_deref(), Some("41\u{a0}%"));
        assert_eq!(percent(0, 0), None);
        assert_eq!(count(815_305), "815\u{202f}305");
        assert_eq!(count(99), "99");
        assert_eq!(bytes(999), "999\u{a0}B");
        assert_eq!(bytes(2_440_000), "2.4\u{a0}MB");
        assert_eq!(money(12_400_000.0), "12.40");
        assert_eq!(money(3100.0), "0.003100");
        assert_eq!(number(-0.00001), "0");
        assert_eq!(number(12.5), "12.5");
        assert_eq!(minute(1_772_344_800_000), "2026-03-01 06:00");
    }
}
