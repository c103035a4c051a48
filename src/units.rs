//! Durations and sizes as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::Problem;

/// A length of time: `30` and `30s` are seconds, `1.5s`, `500ms`, `5m`, `2h`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span(pub Duration);

/// The longest [`Span`], and the longest time of a setting, so that adding one to an instant cannot overflow: ten years.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

impl FromStr for Span {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |why: &str| {
            Problem::new(format!("invalid duration {text:?}: {why}"))
                .hint("write seconds, or a number and a unit, such as 30, 1.5s, 500ms, 5m or 2h")
        };
        let (number, unit) = split(text);
        let seconds = match unit {
            "" | "s" | "sec" => 1.0,
            "ms" => 0.001,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(bad("the unit is not ms, s, m, h or d")),
        };
        let number: f64 = number.parse().map_err(|_| bad("not a number"))?;
        // Rounded to the microsecond: 0.001 has no exact binary form.
        let length = Duration::try_from_secs_f64((number * seconds * 1e6).round() / 1e6)
            .ok()
            .filter(|length| *length <= LONGEST)
            .ok_or_else(|| bad("longer than ten years"))?;
        Ok(Span(length))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span(length) = self;
        if length.subsec_nanos() == 0 {
            return match length.as_secs() {
                0 => f.write_str("0"),
                seconds if seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
                seconds if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
                seconds => write!(f, "{seconds}s"),
            };
        }
        if length.subsec_micros() % 1000 == 0 {
            return write!(f, "{}ms", length.as_millis());
        }
        write!(f, "{}s", length.as_secs_f64())
    }
}

/// A number of bytes: `10000`, `512k`, `10M`, `10MB`, `2G` count in thousands, `512KiB` and `10MiB` in 1024s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |why: &str| {
            Problem::new(format!("invalid size {text:?}: {why}"))
                .hint("write bytes, or a number and a unit, such as 512k, 10M, 10MB or 16MiB")
        };
        let (number, unit) = split(text);
        let bytes = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1000,
            "m" | "mb" => 1_000_000,
            "g" | "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1u64 << 30,
            _ => return Err(bad("the unit is not k, M, G, KiB, MiB or GiB")),
        };
        if let Ok(number) = number.parse::<u64>() {
            let size = number.checked_mul(bytes).ok_or_else(|| bad("too large"))?;
            return Ok(Size(size));
        }
        let number: f64 = number.parse().map_err(|_| bad("not a number"))?;
        let size = number * bytes as f64;
        // 2^53: beyond it a fraction cannot be exact.
        if !(0.0..9.007e15).contains(&size) {
            return Err(bad("too large"));
        }
        Ok(Size(size as u64))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size(bytes) = *self;
        for (unit, name) in [(1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")] {
            if bytes != 0 && bytes.is_multiple_of(unit) {
                return write!(f, "{}{name}", bytes / unit);
            }
        }
        write!(f, "{bytes}")
    }
}

/// An amount of money above 0, in whatever currency: `1`, `1.00`, `0.05`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Money(pub f64);

impl FromStr for Money {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let (number, unit) = split(text);
        let number: Option<f64> = number.parse().ok().filter(|number| *number > 0.0);
        match number.filter(|number| unit.is_empty() && number.is_finite()) {
            Some(number) => Ok(Money(number)),
            None => Err(Problem::new(format!("invalid amount {text:?}"))
                .hint("write a number above 0 without a currency, such as 1.00")),
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number and unit. Only digits and one dot count as a number: no sign, no exponent, no `inf`.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_take_the_units_people_write() {
        for (text, millis, shown) in [
            ("30", 30_000, "30s"),
            ("30s", 30_000, "30s"),
            ("1.5s", 1500, "1500ms"),
            (" 500 ms ", 500, "500ms"),
            ("5m", 300_000, "5m"),
            ("2h", 7_200_000, "2h"),
            ("0", 0, "0"),
            (".5", 500, "500ms"),
        ] {
            let span: Span = text.parse().expect(text);
            assert_eq!(span.0, Duration::from_millis(millis), "{text}");
            assert_eq!(span.to_string(), shown);
        }
        for bad in [
            "",
            "s",
            "-1",
            "1e3",
            "inf",
            "NaN",
            "5 parsecs",
            "1.2.3",
            "11h9",
            "9999999h",
        ] {
            let problem = bad.parse::<Span>().expect_err(bad);
            assert!(problem.hint.is_some(), "{bad}");
        }
    }

    #[test]
    fn sizes_take_the_units_people_write() {
        for (text, bytes, shown) in [
            ("10M", 10_000_000, "10M"),
            ("10MB", 10_000_000, "10M"),
            ("512k", 512_000, "512k"),
            ("1.5M", 1_500_000, "1500k"),
            ("16MiB", 16_777_216, "16777216"),
            ("0", 0, "0"),
        ] {
            let size: Size = text.parse().expect(text);
            assert_eq!(
                (size.0, size.to_string().as_str()),
                (bytes, shown),
                "{text}"
            );
        }
        for bad in ["", "M", "-1", "10X", "1e6", "99999999999G", "1.2.3k"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_the_same(micros in 0u64..100_000_000_000, bytes: u64) {
            let span = Span(Duration::from_micros(micros));
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
            prop_assert_eq!(Size(bytes).to_string().parse::<Size>().unwrap(), Size(bytes));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Span>();
            let _ = text.parse::<Size>();
        }
    }
}
