//! Numbers for people.

use std::time::Duration;

/// `4.8 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in units {
        // From here on it would be shown as 1000.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if value < 9.95 && unit != "B" {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// `1.02`, `0.0035`: cents, and three digits of what is less than one.
pub(super) fn money(amount: f64) -> String {
    let small = amount.abs() < 0.995 && amount != 0.0;
    let decimals = if small {
        (2 - amount.abs().log10().floor() as i32).clamp(2, 9) as usize
    } else {
        2
    };
    format!("{amount:.decimals$}")
}

/// `1 proxy`, `3 proxies`.
pub(super) fn counted(number: u64, one: &str, more: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {more}"),
    }
}

/// `12.3 s`, `4 min 05 s`, `2 h 10 min`.
pub(super) fn time(length: Duration) -> String {
    let seconds = length.as_secs();
    if seconds < 60 {
        format!("{:.1} s", length.as_secs_f64())
    } else if seconds < 3600 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60)
    }
}

/// `48.8/s`, `12/m`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 100.0 {
        format!("{per_second:.0}/s")
    } else if per_second >= 1.0 || per_second == 0.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{:.1}/m", per_second * 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (value, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_600, "1.0 MB"),
            (4_800_000, "4.8 MB"),
            (12_000_000_000, "12 GB"),
        ] {
            assert_eq!(bytes(value), shown);
        }
        for (millis, shown) in [
            (300, "0.3 s"),
            (12_340, "12.3 s"),
            (245_000, "4 min 05 s"),
            (7_800_000, "2 h 10 min"),
        ] {
            assert_eq!(time(Duration::from_millis(millis)), shown);
        }
        assert_eq!(rate(48.76), "48.8/s");
        assert_eq!(rate(0.2), "12.0/m");
        assert_eq!(rate(1234.5), "1234/s");
    }
}
