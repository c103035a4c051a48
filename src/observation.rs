//! Observations: what a run of a tracking job saw of each thing it watches.
//!
//! Plain data between who makes them (`track`), who keeps them (`state`) and who shows them. Times are milliseconds since 1970, UTC.

use std::collections::BTreeMap;
use std::fmt;

/// What is watched, the same from run to run: a place in the matrix of a job and, for ranks, one of its targets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Name of the job.
    pub job: Box<str>,
    /// Axis and value of each axis of the matrix, such as `query` and `running shoes`.
    pub axes: BTreeMap<Box<str>, Box<str>>,
    /// Name of the target; `None` where a value of a page is watched.
    pub target: Option<Box<str>>,
}

impl Series {
    /// The name of this series in tables.
    pub fn id(&self) -> SeriesId {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let mut part = |kind: u8, text: &str| {
            context.update(&[kind]);
            // With its length before it no text can pass for two.
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        };
        part(0, &self.job);
        for (axis, value) in &self.axes {
            part(1, axis);
            part(2, value);
        }
        if let Some(target) = &self.target {
            part(3, target);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&context.finish().as_ref()[..8]);
        SeriesId(u64::from_be_bytes(first))
    }

    /// The query it belongs to: the same place in the matrix, whatever the target.
    pub fn query(&self) -> SeriesId {
        Series {
            target: None,
            ..self.clone()
        }
        .id()
    }
}

/// `running shoes · de · mobile`: the axis `query` first, then the others by name.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = self.axes.get("query");
        let others = self
            .axes
            .iter()
            .filter(|(axis, _)| &***axis != "query")
            .map(|(_, value)| value);
        for (at, value) in query.into_iter().chain(others).enumerate() {
            if at > 0 {
                f.write_str(" · ")?;
            }
            f.write_str(value)?;
        }
        Ok(())
    }
}

/// Stable hash of a [`Series`]; 16 hexadecimal digits in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u64);

impl SeriesId {
    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let is_whole = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok();
        number.filter(|_| is_whole).map(SeriesId)
    }
}

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What an observation amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The target stands at [`Observation::position`].
    Ranked,
    /// Every page that was asked for was read, and the target is on none of them.
    NotInDepth,
    /// The page says itself that nothing was found.
    NoResults,
    /// The value that is watched was read.
    Seen,
    /// The page is good, and the selector found nothing on it.
    Missing,
    /// A page was blocked, failed, or was none: nothing is known. Never takes the place of what is known.
    Unknown,
}

impl State {
    /// All states.
    pub const ALL: [State; 6] = [
        State::Ranked,
        State::NotInDepth,
        State::NoResults,
        State::Seen,
        State::Missing,
        State::Unknown,
    ];

    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ranked => "ranked",
            State::NotInDepth => "not_in_depth",
            State::NoResults => "no_results",
            State::Seen => "seen",
            State::Missing => "missing",
            State::Unknown => "unknown",
        }
    }

    /// Reads [`State::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// True when something true was seen, which later observations are compared with.
    pub fn is_good(self) -> bool {
        !matches!(self, State::Missing | State::Unknown)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One series at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// When.
    pub at: i64,
    /// What it amounts to.
    pub state: State,
    /// Place among the results of this kind, from 1. Only with [`State::Ranked`].
    pub position: Option<u32>,
    /// A page before the place is missing: the target stands there or lower down.
    pub lower_bound: bool,
    /// Place among everything on the page that the profile lists, from 1.
    pub absolute: Option<u32>,
    /// Address of the result.
    pub url: Option<Box<str>>,
    /// Title of the result.
    pub title: Option<Box<str>>,
    /// What was read, where a value is watched.
    pub value: Option<Box<str>>,
    /// The same as a number, where it is one.
    pub number: Option<f64>,
    /// Results on the pages that were read.
    pub results: Option<u32>,
    /// Pages that were read, and how many the job asks for at most.
    pub pages: (u32, u32),
    /// Why nothing is known: the outcome of the page that failed and the rule that told, such as `soft_block cf_challenge`.
    pub why: Option<Box<str>>,
}

impl Observation {
    /// One that tells nothing.
    pub fn unknown(at: i64, why: impl Into<Box<str>>) -> Self {
        Observation {
            at,
            state: State::Unknown,
            position: None,
            lower_bound: false,
            absolute: None,
            url: None,
            title: None,
            value: None,
            number: None,
            results: None,
            pages: (0, 0),
            why: Some(why.into()),
        }
    }
}

/// What tells a version of a page from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// Address of the page: of another one they say nothing.
    pub url: Option<Box<str>>,
    /// `ETag`.
    pub etag: Option<Box<str>>,
    /// `Last-Modified`.
    pub modified: Option<Box<str>>,
}

/// What the pages of one query took in one run, whatever the number of its targets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Visit {
    /// Host of the first page, as `https://www.example.com`.
    pub host: Box<str>,
    /// Pages asked for.
    pub pages: u32,
    /// Requests, those that were refused or failed included.
    pub attempts: u32,
    /// Requests that were answered by a ban or a challenge.
    pub blocked: u32,
    /// Bytes of the answers' bodies, as they came over the wire.
    pub bytes: u64,
    /// Millionths of the unit of money that prices of proxies are in.
    pub cost: u64,
    /// From the first request to the last answer, in milliseconds.
    pub elapsed: u64,
    /// Country of the exit that served the last page.
    pub country: Option<Box<str>>,
    /// The proxy that served the last page, without credentials.
    pub proxy: Option<Box<str>>,
    /// The version of the last page, when it was good.
    pub validators: Validators,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(axes: &[(&str, &str)], target: Option<&str>) -> Series {
        Series {
            job: "serp".into(),
            axes: axes.iter().map(|&(a, v)| (a.into(), v.into())).collect(),
            target: target.map(Into::into),
        }
    }

    #[test]
    fn series_that_differ_anywhere_have_different_ids() {
        let all = [
            series(&[("query", "a"), ("country", "de")], Some("me")),
            series(&[("query", "a"), ("country", "de")], None),
            series(&[("query", "ade")], Some("me")),
            series(&[("query", "a"), ("device", "de")], Some("me")),
            series(&[("query", "a"), ("country", "de")], Some("you")),
        ];
        let ids: std::collections::BTreeSet<_> = all.iter().map(Series::id).collect();
        assert_eq!(ids.len(), all.len());
        assert_eq!(all[0].query(), all[4].query());
        assert_eq!(all[0].query(), all[1].id());
    }

    #[test]
    fn a_series_is_called_by_its_query_first() {
        let shoes = series(&[("country", "de"), ("query", "shoes")], Some("me"));
        assert_eq!(shoes.to_string(), "shoes · de");
    }
}
