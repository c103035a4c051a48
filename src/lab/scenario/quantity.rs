//! Numbers that a scenario file cannot get wrong without being told the line.

use serde::Deserialize;

/// Longest time that can be written, seconds: a month is more than any rehearsal takes.
const LONGEST_S: f64 = 31.0 * 86_400.0;

/// A part of a whole, 0..=1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Deserialize)]
#[serde(try_from = "f64")]
pub struct Share(f64);

impl Share {
    /// 0..=1.
    pub fn ratio(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(ratio: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&ratio) {
            Ok(Share(ratio))
        } else {
            Err(format!("{ratio} is not a share, 0 to 1"))
        }
    }
}

/// A length of time or a time since the beginning, seconds, at most a month.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Deserialize)]
#[serde(try_from = "f64")]
pub struct Seconds(f64);

impl Seconds {
    /// Zero or more.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if (0.0..=LONGEST_S).contains(&seconds) {
            Ok(Seconds(seconds))
        } else {
            Err(format!("{seconds} is not a time in seconds"))
        }
    }
}

/// What must not be zero: a rate, a factor, a mean.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "f64")]
pub struct Positive(f64);

impl Positive {
    /// Above zero.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Positive {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        if number > 0.0 && number <= 1e9 {
            Ok(Positive(number))
        } else {
            Err(format!("{number} is not a number above 0"))
        }
    }
}
