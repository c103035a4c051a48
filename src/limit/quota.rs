//! Rates as the user writes them: `10/s`, `600/m`, `30/15s`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::error::Problem;
use crate::units::LONGEST;

/// So many requests in so long. A unit is required: a bare number is per hour in curl and per second in httpx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    count: NonZeroU32,
    per: Duration,
}

impl Quota {
    /// `count` requests every `per`; `None` when `per` is zero or longer than ten years.
    pub fn new(count: NonZeroU32, per: Duration) -> Option<Self> {
        (!per.is_zero() && per <= LONGEST).then_some(Quota { count, per })
    }

    /// Time between two requests at exactly this rate.
    pub fn interval(self) -> Duration {
        self.per / self.count.get()
    }
}

impl FromStr for Quota {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |why: &str, hint: String| {
            Problem::new(format!("invalid rate {text:?}: {why}")).hint(hint)
        };
        let example =
            || "write a count and a unit, such as 10/s, 600/m, 1000/h or 30/15s".to_owned();
        let Some((count, unit)) = text.split_once('/') else {
            let number = text.trim();
            return Err(match number.parse::<u32>() {
                Ok(_) => bad(
                    "a unit is required",
                    format!("{number}/s is per second, {number}/m per minute, {number}/h per hour"),
                ),
                Err(_) => bad("not a count and a unit", example()),
            });
        };
        let count = count
            .trim()
            .parse::<NonZeroU32>()
            .map_err(|_| bad("the count is not a whole number above 0", example()))?;
        let unit = unit.trim();
        let digits = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (multiple, unit) = unit.split_at(digits);
        let multiple: u32 = if multiple.is_empty() {
            1
        } else {
            multiple
                .parse()
                .map_err(|_| bad("the unit is too long", example()))?
        };
        let seconds = match unit {
            "s" | "sec" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3600,
            "d" | "day" => 86_400,
            _ => return Err(bad("the unit is not s, m, h or d", example())),
        };
        Quota::new(count, Duration::from_secs(u64::from(multiple) * seconds))
            .ok_or_else(|| bad("the unit is 0, or longer than ten years", example()))
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.count),
            60 => write!(f, "{}/m", self.count),
            3600 => write!(f, "{}/h", self.count),
            86_400 => write!(f, "{}/d", self.count),
            seconds => write!(f, "{}/{seconds}s", self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_required_and_zero_is_refused() {
        for (text, interval_ms) in [
            ("10/s", 100),
            ("600/m", 100),
            ("30/15s", 500),
            ("1/h", 3_600_000),
            ("2/sec", 500),
        ] {
            let quota: Quota = text.parse().unwrap();
            assert_eq!(
                quota.interval(),
                Duration::from_millis(interval_ms),
                "{text}"
            );
            assert_eq!(quota.to_string().parse::<Quota>().unwrap(), quota);
        }
        for bad in [
            "10",
            "",
            "/s",
            "0/s",
            "10/",
            "10/x",
            "-1/s",
            "1.5/s",
            "10/0s",
            "1/99999999999s",
        ] {
            assert!(bad.parse::<Quota>().unwrap_err().hint.is_some(), "{bad}");
        }
        assert!(
            "5".parse::<Quota>()
                .unwrap_err()
                .hint
                .unwrap()
                .contains("5/s")
        );
    }
}
