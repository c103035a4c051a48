//! One run of a job: which request comes next, and what is known when a query has all its answers.
//!
//! Pure: [`Course::next_job`] hands out jobs, [`Course::land`] takes the answers in whatever order they come. A query of which a page was
//! never tried (the run stopped first) is not told of: the next run takes it up.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use serde_json::{Map, Value};
use url::Url;

use super::job::{Extract, Kind, Query, TrackJob};
use super::target::destination;
use super::walk::{Hit, Page, Walk, Wanted};
use crate::extract::readable;
use crate::job::{HostKey, Job, RequestSpec};
use crate::observation::{Observation, Series, SeriesId, State, Validators, Visit};
use crate::outcome::{Finished, Outcome, Record};

/// Why nothing is known of a page that was good and on which the profile found neither results nor the word that there are none.
pub const NO_ROWS: &str = "no_rows";

/// Why nothing is known of a page that its site has taken down.
pub const GONE: [&str; 2] = ["http_error 404", "http_error 410"];

/// A query with what earlier runs know of it.
#[derive(Debug)]
pub struct Due {
    /// What is asked.
    pub query: Query,
    /// By target: where it stood last, from 1. Empty where a value is watched.
    pub last: Vec<Option<u32>>,
    /// `ETag` and `Last-Modified` of the page that the last value comes from; none where it is not known.
    pub validators: Validators,
}

/// A query that has all its answers.
#[derive(Debug)]
pub struct Done {
    /// The query.
    pub query: SeriesId,
    /// What was seen of each of its series.
    pub seen: Vec<(Series, Observation)>,
    /// What it took.
    pub visit: Visit,
}

/// A run of a job.
#[derive(Debug)]
pub struct Course<'j> {
    job: &'j TrackJob,
    waiting: VecDeque<Due>,
    active: HashMap<usize, Active>,
    /// Pages that can be asked for now: query and page.
    ready: VecDeque<(usize, u32)>,
    /// Requests that are out, by their `seq`.
    out: HashMap<u64, (usize, u32)>,
    begun: usize,
    next_seq: u64,
    given_up: u64,
}

#[derive(Debug)]
struct Active {
    due: Due,
    walk: Walk,
    /// The value, where one is watched.
    value: Option<Observation>,
    visit: Visit,
    first_at: Option<i64>,
    /// Pages of it that are ready or out.
    open: usize,
    /// A page of it was never tried.
    torn: bool,
}

impl<'j> Course<'j> {
    /// A run of these queries, in this order.
    pub fn new(job: &'j TrackJob, due: impl IntoIterator<Item = Due>) -> Self {
        Course {
            job,
            waiting: due.into_iter().collect(),
            active: HashMap::new(),
            ready: VecDeque::new(),
            out: HashMap::new(),
            begun: 0,
            next_seq: 0,
            given_up: 0,
        }
    }

    /// The next request; `None` while only answers can bring one. Further pages of queries that have begun go first.
    pub fn next_job(&mut self) -> Option<Job> {
        if self.ready.is_empty()
            && let Some(due) = self.waiting.pop_front()
        {
            let number = self.begun;
            self.begun += 1;
            let mut active = self.begin(due);
            active.ask(number, &mut self.ready);
            self.active.insert(number, active);
        }
        let (number, page) = self.ready.pop_front()?;
        let seq = self.next_seq;
        self.next_seq += 1;
        self.out.insert(seq, (number, page));
        let due = &self.active.get(&number)?.due;
        let (url, request) = due.query.page(page);
        let mut job = Job::new(seq, url.as_str(), due.conditional(&url, request));
        job.session.clone_from(&due.query.session);
        job.filter.clone_from(&due.query.filter);
        Some(job)
    }

    fn begin(&self, due: Due) -> Active {
        let step = u32::try_from(self.job.pages.offset.1).unwrap_or(10).max(1);
        let wanted = self.job.targets().iter().enumerate().map(|(at, target)| {
            let last = due.last.get(at).copied().flatten();
            Wanted {
                all: target.all,
                last: last.map(|position| position.saturating_sub(1) / step),
            }
        });
        Active {
            walk: Walk::new(due.query.most, self.job.pages.depth, step, wanted.collect()),
            due,
            value: None,
            visit: Visit::default(),
            first_at: None,
            open: 0,
            torn: false,
        }
    }

    /// Requests that are out.
    pub fn in_flight(&self) -> usize {
        self.out.len()
    }

    /// Nothing is left to ask and nothing to wait for.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.ready.is_empty() && self.out.is_empty()
    }

    /// Queries that were not begun or not ended: the run stopped first.
    pub fn left(&self) -> u64 {
        self.given_up + self.waiting.len() as u64 + self.active.len() as u64
    }

    /// Takes in an answer at `now`, in milliseconds since 1970; the query, when this was its last. `last` is asked for the last value of
    /// a series whose page is still the same: texts of pages are too large to hold them all.
    pub fn land(
        &mut self,
        finished: &Finished,
        now: i64,
        last: impl FnOnce(SeriesId) -> Option<Observation>,
    ) -> Option<Done> {
        let (number, page) = self.out.remove(&finished.record.seq)?;
        let active = self.active.get_mut(&number)?;
        active.open -= 1;
        let record = &*finished.record;
        if record.outcome.is_final() {
            active.note(record, now);
            match &self.job.kind {
                Kind::Rank(targets) => {
                    let seen = results(finished, &self.job.extract);
                    active.walk.land(page, seen, |target, hit| {
                        Url::parse(&hit.url).is_ok_and(|url| targets[target].matches(&url))
                    });
                }
                Kind::Change(watch) => {
                    let last = || last(active.due.query.series.id());
                    let seen = value_of(finished, watch, last, now);
                    active.value = Some(seen.unwrap_or_else(|why| Observation::unknown(now, why)));
                    // One page, and it has been read.
                    active.walk.land(page, Page::NoResults, |_, _| false);
                }
            }
            if !active.torn {
                active.ask(number, &mut self.ready);
            }
        } else if !active.torn {
            active.torn = true;
            let before = self.ready.len();
            self.ready.retain(|(other, _)| *other != number);
            active.open -= before - self.ready.len();
        }
        if active.open > 0 {
            return None;
        }
        let active = self.active.remove(&number)?;
        if active.torn {
            self.given_up += 1;
            return None;
        }
        Some(active.done(self.job, now))
    }
}

impl Due {
    /// The request for the page at `url`, with the validators of what is known of it already.
    fn conditional(&self, url: &Url, request: Arc<RequestSpec>) -> Arc<RequestSpec> {
        let mut request = request;
        let Validators {
            url: of,
            etag,
            modified,
        } = &self.validators;
        if of.as_deref() != Some(url.as_str()) {
            return request;
        }
        let pairs: [(HeaderName, _); 2] = [(IF_NONE_MATCH, etag), (IF_MODIFIED_SINCE, modified)];
        for (name, value) in pairs {
            let value = value
                .as_deref()
                .and_then(|text| HeaderValue::try_from(text).ok());
            if let Some(value) = value {
                Arc::make_mut(&mut request).headers.insert(name, value);
            }
        }
        request
    }
}

impl Active {
    /// Makes the pages ready that can be asked for now.
    fn ask(&mut self, number: usize, ready: &mut VecDeque<(usize, u32)>) {
        let pages = self.walk.next_pages();
        self.open += pages.len();
        ready.extend(pages.into_iter().map(|page| (number, page)));
    }

    /// Counts what an answer took.
    fn note(&mut self, record: &Record, now: i64) {
        let visit = &mut self.visit;
        let host = record.url.as_deref().and_then(|url| Url::parse(url).ok());
        if visit.host.is_empty()
            && let Some(key) = host.as_ref().and_then(HostKey::of)
        {
            visit.host = key.to_string().into();
        }
        let begun = record.started_at.map_or(now, |at| at.0);
        let first = *self.first_at.get_or_insert(begun);
        visit.elapsed = u64::try_from(now.saturating_sub(first)).unwrap_or(0);
        visit.pages += 1;
        visit.attempts += record.attempts;
        let blocked = record
            .attempt_log
            .iter()
            .filter(|attempt| matches!(attempt.outcome, Outcome::Banned | Outcome::RateLimited));
        visit.blocked += u32::try_from(blocked.count()).unwrap_or(u32::MAX);
        visit.bytes += record.size_wire.unwrap_or(0);
        visit.cost += record.cost.map_or(0, |cost| (cost * 1e6).round() as u64);
        if let Some(proxy) = &record.proxy {
            visit.proxy = Some(proxy.label().to_string().into());
            visit.country.clone_from(&proxy.labels().country);
        }
        if record.ok {
            let mut validators = Validators {
                url: record.url.as_deref().map(Into::into),
                etag: record.etag.clone(),
                modified: record.last_modified.clone(),
            };
            // A 304 need not repeat what it confirms.
            if record.status == Some(304) {
                let known = &self.due.validators;
                validators.etag = validators.etag.or_else(|| known.etag.clone());
                validators.modified = validators.modified.or_else(|| known.modified.clone());
            }
            visit.validators = validators;
        }
    }

    fn done(self, job: &TrackJob, now: i64) -> Done {
        let series = self.due.query.series;
        let query = series.id();
        let seen = match &job.kind {
            Kind::Rank(targets) => targets
                .iter()
                .enumerate()
                .map(|(at, target)| {
                    let series = Series {
                        target: Some(target.name.clone()),
                        ..series.clone()
                    };
                    (series, self.walk.observe(at, now))
                })
                .collect(),
            Kind::Change(_) => self
                .value
                .into_iter()
                .map(|value| (series.clone(), value))
                .collect(),
        };
        Done {
            query,
            seen,
            visit: self.visit,
        }
    }
}

/// Why nothing is known after an answer that is not content: its outcome and the rule that decided.
fn why(record: &Record) -> String {
    let outcome = record.outcome.as_str();
    match (&record.ban, &record.error, record.status) {
        (Some(ban), _, _) => format!("{outcome} {}", ban.rule),
        (None, Some(error), _) => format!("{outcome} {}", error.kind),
        (None, None, Some(status)) => format!("{outcome} {status}"),
        (None, None, None) => outcome.to_owned(),
    }
}

/// What a page of results turned out to be.
fn results(finished: &Finished, extract: &Extract) -> Page {
    let record = &*finished.record;
    if !record.ok {
        return Page::Unknown(why(record).into());
    }
    let rows = record.fields.iter().chain(&finished.more);
    let page = record
        .final_url
        .as_deref()
        .and_then(|url| Url::parse(url).ok());
    let hit = |row: &Map<String, Value>| {
        let link = row.get(&*extract.link)?.as_str()?;
        let title = extract
            .title
            .as_ref()
            .and_then(|name| row.get(&**name)?.as_str());
        Some(Hit {
            url: destination(link, page.as_ref()).into(),
            title: title.map(Into::into),
        })
    };
    let hits: Vec<Hit> = rows.filter_map(hit).collect();
    if !hits.is_empty() {
        return Page::Results(hits);
    }
    let says = record
        .fields
        .as_ref()
        .and_then(|fields| fields.get("state")?.as_str());
    match says {
        Some("no_results") => Page::NoResults,
        // A consent wall, a shell that wants scripts, another layout: none of them is an observation.
        _ => Page::Unknown(NO_ROWS.into()),
    }
}

/// The value that is watched, or why it is not known.
fn value_of(
    finished: &Finished,
    watch: &super::job::Watch,
    last: impl FnOnce() -> Option<Observation>,
    now: i64,
) -> Result<Observation, String> {
    let record = &*finished.record;
    let mut seen = Observation {
        state: State::Seen,
        pages: (1, 1),
        why: None,
        ..Observation::unknown(now, "")
    };
    if record.status == Some(304) {
        let last = last().filter(|last| last.state == State::Seen);
        let last = last.ok_or("304 without a question for it")?;
        seen.value = last.value;
        seen.number = last.number;
        return Ok(seen);
    }
    if !record.ok {
        return Err(why(record));
    }
    let rows = || record.fields.iter().chain(&finished.more);
    let text = match (&watch.field, &record.fields) {
        (Some(field), _) => {
            let values: Vec<&Value> = rows()
                .filter_map(|row| row.get(&**field))
                .filter(|value| !value.is_null())
                .collect();
            if let [value] = values[..] {
                seen.number = value.as_f64();
            }
            lines(values)
        }
        (None, Some(_)) => lines(
            rows()
                .flat_map(|row| row.values())
                .filter(|value| !value.is_null()),
        ),
        (None, None) => Some(readable(record.content_type.as_deref(), &finished.body)),
    };
    match text
        .map(|text| watch.cleaned(&text))
        .filter(|text| !text.is_empty())
    {
        Some(text) => seen.value = Some(text.into()),
        None => seen.state = State::Missing,
    }
    Ok(seen)
}

/// One line for each value.
fn lines<'v>(values: impl IntoIterator<Item = &'v Value>) -> Option<String> {
    let lines: Vec<String> = values
        .into_iter()
        .map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests;
