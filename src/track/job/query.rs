//! The expansion of a job: one query for each place in its matrix.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;
use http::header::COOKIE;
use url::Url;

use super::matrix::{Axis, Vary};
use super::reader::Table;
use super::schedule::{Depth, Pages};
use super::template::UrlTemplate;
use super::{Kind, TrackJob};
use crate::job::{LabelFilter, RequestSpec, parse_target};
use crate::observation::Series;

/// More places than this are a mistake in the matrix, and would fill the memory.
const MOST_PLACES: u64 = 1_000_000;

/// What is asked at one place of the matrix.
#[derive(Debug, Clone)]
pub struct Query {
    /// Its series, without a target.
    pub series: Series,
    /// Sticky session of its pages; `None` where each may come through another exit. The same in every run.
    pub session: Option<Arc<str>>,
    /// How its pages are asked for.
    pub request: Arc<RequestSpec>,
    /// Through which exits.
    pub filter: Option<Arc<LabelFilter>>,
    /// Pages a run may ask for.
    pub most: u32,
    /// Its address; only the placeholders of the page are left.
    url: UrlTemplate,
    first: u64,
    offset: (u64, u64),
}

impl Query {
    /// The address of page `n`, from 0, and how it is asked for.
    pub fn page(&self, n: u32) -> (Url, Arc<RequestSpec>) {
        let url = self.address(n);
        // Reading the job has tried the first and the last; those between have as many digits.
        let url = parse_target(&url).unwrap_or_else(|_| unreachable!("{url} was tried"));
        (url, self.request.clone())
    }

    fn address(&self, n: u32) -> String {
        let n = u64::from(n);
        self.url.fill(|name| match name {
            "page" => self.first + n,
            _ => self.offset.0 + n * self.offset.1,
        })
    }
}

/// How much a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Places in the matrix: queries.
    pub places: u64,
    /// Series: places times targets.
    pub series: u64,
    /// Requests of a run when every page is answered at once and every target stands on the first page looked at.
    pub least: u64,
    /// Requests of a run when every page is answered at once and no target is found.
    pub most: u64,
}

impl TrackJob {
    /// How much it is. Retries come on top; `max_requests` is a bound for both.
    pub fn plan(&self) -> Plan {
        let places = places(&self.matrix);
        let least = match self.pages.depth {
            Depth::All => self.pages.most,
            Depth::Smart | Depth::Stop => 1,
        };
        let targets = match &self.kind {
            Kind::Rank(targets) => targets.len() as u64,
            Kind::Change(_) => 1,
        };
        let bound = self.schedule.max_requests.unwrap_or(u64::MAX);
        Plan {
            places,
            series: places.saturating_mul(targets),
            least: places.saturating_mul(least.into()).min(bound),
            most: places.saturating_mul(self.pages.most.into()).min(bound),
        }
    }

    /// One query for each place of the matrix, the last axis first to change. `base` is the request that `[fetch]` makes of all of
    /// them.
    pub fn expand(&self, base: &RequestSpec) -> Vec<Query> {
        let places = places(&self.matrix).min(MOST_PLACES);
        let mut queries = Vec::with_capacity(usize::try_from(places).unwrap_or_default());
        self.each_query(base, |query| queries.push(query));
        queries
    }

    /// The address of the first page of a series; `None` at a place that the matrix has no more.
    pub fn address_of(&self, series: &Series) -> Option<Url> {
        let place = |axis: &Axis| {
            let value = series.axes.get(&axis.name)?;
            axis.values.iter().position(|known| known == value)
        };
        let at: Vec<usize> = self.matrix.iter().map(place).collect::<Option<_>>()?;
        let query = self.query(&at, &RequestSpec::default(), &mut HashMap::new());
        (query.series.axes == series.axes).then(|| query.page(0).0)
    }

    fn each_query(&self, base: &RequestSpec, mut take: impl FnMut(Query)) {
        let places = places(&self.matrix).min(MOST_PLACES);
        let mut manners = HashMap::new();
        let mut at = vec![0; self.matrix.len()];
        for _ in 0..places {
            take(self.query(&at, base, &mut manners));
            for (axis, place) in self.matrix.iter().zip(&mut at).rev() {
                *place += 1;
                if *place < axis.values.len() {
                    break;
                }
                *place = 0;
            }
        }
    }

    fn query(
        &self,
        at: &[usize],
        base: &RequestSpec,
        manners: &mut HashMap<Vec<usize>, Manner>,
    ) -> Query {
        let values = || {
            self.matrix
                .iter()
                .zip(at)
                .map(|(axis, at)| (&axis.name, &axis.values[*at]))
        };
        let value_of = |name: &str| {
            values()
                .find(|(axis, _)| ***axis == *name)
                .map(|(_, value)| value)
        };
        let applies = |vary: &Vary| value_of(&vary.axis) == Some(&vary.value);
        let set: Vec<usize> = (0..self.vary.len())
            .filter(|number| applies(&self.vary[*number]))
            .collect();
        let url = self.url.bind(|name| {
            if let Some(value) = value_of(name) {
                return Some(value);
            }
            // The later axis has the last word.
            let vars = set.iter().rev().flat_map(|number| &self.vary[*number].vars);
            vars.into_iter()
                .find(|(var, _)| **var == *name)
                .map(|(_, value)| value)
        });
        let series = Series {
            job: self.name.clone(),
            axes: values()
                .map(|(axis, value)| (axis.clone(), value.clone()))
                .collect(),
            target: None,
        };
        let Pages {
            most,
            first,
            offset,
            sticky,
            ..
        } = self.pages;
        let session = sticky.then(|| format!("{}/{}", self.name, series.id()).into());
        let manner = manners.entry(set).or_insert_with_key(|set| {
            Manner::new(base, set.iter().map(|number| &self.vary[*number]))
        });
        Query {
            series,
            session,
            request: manner.request.clone(),
            filter: manner.filter.clone(),
            most,
            url,
            first,
            offset,
        }
    }
}

/// How a query is asked, which many share.
struct Manner {
    request: Arc<RequestSpec>,
    filter: Option<Arc<LabelFilter>>,
}

impl Manner {
    fn new<'v>(base: &RequestSpec, varied: impl Iterator<Item = &'v Vary>) -> Self {
        let mut request = base.clone();
        let mut filter = LabelFilter::default();
        let mut cookies: Vec<(&str, &str)> = Vec::new();
        for vary in varied {
            for (name, value) in &vary.headers {
                request.headers.insert(name.clone(), value.clone());
            }
            for (name, value) in &vary.cookies {
                cookies.retain(|(other, _)| *other != &**name);
                cookies.push((name, value));
            }
            if vary.exit_country.is_some() {
                filter.country.clone_from(&vary.exit_country);
            }
            for tag in &vary.exit_tags {
                if !filter.tags.contains(tag) {
                    filter.tags.push(tag.clone());
                }
            }
        }
        if !cookies.is_empty() {
            let own: Vec<String> = cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let own = own.join("; ");
            let of_base = request
                .headers
                .get(COOKIE)
                .and_then(|value| value.to_str().ok());
            let whole = of_base.map_or_else(|| own.clone(), |base| format!("{base}; {own}"));
            // Both halves are checked: neither has a line break.
            if let Ok(mut value) = HeaderValue::try_from(whole) {
                value.set_sensitive(true);
                request.headers.insert(COOKIE, value);
            }
        }
        Manner {
            request: Arc::new(request),
            filter: (filter != LabelFilter::default()).then(|| Arc::new(filter)),
        }
    }
}

fn places(axes: &[Axis]) -> u64 {
    let sizes = axes.iter().map(|axis| axis.values.len() as u64);
    sizes.fold(1, u64::saturating_mul)
}

/// Addresses that are complained of one by one; a wrong file has as many as it has lines.
const COMPLAINTS: usize = 5;

/// Complains of a matrix that is too large, and of addresses that are none.
pub(super) fn check(job: &TrackJob, table: &Table<'_, '_>) {
    let places = places(&job.matrix);
    if places > MOST_PLACES {
        let what = format!("the matrix has {places} places, more than {MOST_PLACES}");
        let at = table.item("matrix").map_or(0, |item| item.key_at);
        table
            .source
            .complain(at, what, Some("split the job".into()));
        return;
    }
    let Some(item) = table.item("url") else {
        return;
    };
    let mut bad = 0;
    // What is written in the url itself is wrong in all of them in the same way.
    let of_axis = job.url.begins_with_placeholder();
    let shown = if of_axis { COMPLAINTS } else { 1 };
    job.each_query(&RequestSpec::default(), |query| {
        let wrong = [0, query.most - 1].into_iter().find_map(|n| {
            let address = query.address(n);
            parse_target(&address).err().map(|error| (address, error))
        });
        if let Some((address, error)) = wrong {
            bad += 1;
            if bad <= shown {
                let of = query.series.to_string();
                let of = if of.is_empty() {
                    String::new()
                } else {
                    format!(" for {of}")
                };
                item.complain(
                    format!("{address:?} cannot be fetched{of}: {error}"),
                    "the url begins with https:// or http:// and a host",
                );
            }
        }
    });
    if bad > shown {
        item.complain(
            format!("{} more addresses cannot be fetched", bad - shown),
            if of_axis {
                "an address at the beginning of the url goes in as it stands in [matrix]"
            } else {
                "values of an axis are percent-encoded: what is wrong stands in the url itself"
            },
        );
    }
}
