//! Sets of HTTP status codes in the range syntax of lychee and wget2: `200..=299,404,!501`.

use std::fmt;
use std::str::FromStr;

use crate::error::Problem;

/// A set of status codes, 100..=999. Later parts win, so `500..=599,!501` is every 5xx but 501.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusSet {
    bits: [u64; 16],
}

impl StatusSet {
    /// The set without members.
    pub const EMPTY: StatusSet = StatusSet { bits: [0; 16] };

    /// True when `status` is a member.
    pub fn contains(&self, status: u16) -> bool {
        self.bits
            .get(usize::from(status / 64))
            .is_some_and(|word| word & (1 << (status % 64)) != 0)
    }

    /// True when it has no members.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// The same set with `first..=last` added.
    #[must_use]
    pub fn with(mut self, first: u16, last: u16) -> Self {
        self.put(first, last, true);
        self
    }

    /// The members of both.
    #[must_use]
    pub fn or(mut self, other: &StatusSet) -> Self {
        for (word, others) in self.bits.iter_mut().zip(other.bits) {
            *word |= others;
        }
        self
    }

    fn put(&mut self, first: u16, last: u16, member: bool) {
        for status in first..=last.min(999) {
            let bit = 1 << (status % 64);
            let word = &mut self.bits[usize::from(status / 64)];
            if member { *word |= bit } else { *word &= !bit }
        }
    }
}

impl FromStr for StatusSet {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let mut set = StatusSet::EMPTY;
        for part in text.split(',').map(str::trim) {
            let (member, range) = part
                .strip_prefix('!')
                .map_or((true, part), |rest| (false, rest));
            let (first, last) = range_of(range).ok_or_else(|| {
                Problem::new(format!(
                    "invalid status list: {part:?} is not a code from 100 to 999 or a range of them"
                ))
                .hint("write codes and ranges with commas, such as 200..=299,404 or 500..=599,!501")
            })?;
            set.put(first, last, member);
        }
        Ok(set)
    }
}

fn range_of(text: &str) -> Option<(u16, u16)> {
    let code = |text: &str| {
        text.trim()
            .parse::<u16>()
            .ok()
            .filter(|code| (100..=999).contains(code))
    };
    if let Some((class, rest)) = text.split_at_checked(1)
        && rest.eq_ignore_ascii_case("xx")
    {
        let first = class
            .parse::<u16>()
            .ok()
            .filter(|digit| (1..=9).contains(digit))?
            * 100;
        return Some((first, first + 99));
    }
    let (first, last) = match text.split_once("..=") {
        Some((first, last)) => (code(first)?, code(last)?),
        None => match text.split_once("..").or(text.split_once('-')) {
            Some((first, last)) if text.contains("..") => {
                (code(first)?, code(last)?.checked_sub(1)?)
            }
            Some((first, last)) => (code(first)?, code(last)?),
            None => (code(text)?, code(text)?),
        },
    };
    (first <= last).then_some((first, last))
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut status = 100;
        while status <= 999 {
            if !self.contains(status) {
                status += 1;
                continue;
            }
            let first = status;
            while self.contains(status + 1) {
                status += 1;
            }
            if first == status {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}..={status}")?;
            }
            separator = ",";
            status += 1;
        }
        Ok(())
    }
}

impl fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatusSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_exclusions_and_classes() {
        let set: StatusSet = "200..=299, 404,5xx,!501".parse().unwrap();
        assert_eq!(set.to_string(), "200..=299,404,500,502..=599");
        assert!(!set.contains(999) && set.contains(204) && !set.contains(501));
        assert_eq!(
            "200..300".parse::<StatusSet>().unwrap().to_string(),
            "200..=299"
        );
        for bad in ["", "20", "abc", "300..=200", "1000", "2..=3", "!"] {
            assert!(bad.parse::<StatusSet>().is_err(), "{bad}");
        }
    }
}
