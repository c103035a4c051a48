//! `[pages]`, `[schedule]` and `[output]`: how far, how often, how much, where to.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Source, Table};

/// Pages of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// Pages a query may take.
    pub most: u32,
    /// What `{page}` says on the first.
    pub first: u64,
    /// What `{offset}` says on the first, and by how much more on each further one.
    pub offset: (u64, u64),
    /// Which of them are asked for.
    pub depth: Depth,
    /// One exit and one cookie jar for all pages of a query.
    pub sticky: bool,
}

/// Which pages of a query are asked for, and when it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// The last known page and its neighbours, then the others, until all targets are found.
    #[default]
    Smart,
    /// From the first, until all targets are found.
    Stop,
    /// All of them.
    All,
}

impl Depth {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Depth::Smart => "smart",
            Depth::Stop => "stop",
            Depth::All => "all",
        }
    }
}

/// When a run begins, what it asks for, and what ends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// A query with a good observation younger than this is not asked again; zero means it always is.
    pub min_age: Duration,
    /// A random wait of up to this before anything is done.
    pub start_jitter: Duration,
    /// Order of the queries.
    pub order: Order,
    /// A run ends after this.
    pub deadline: Option<Duration>,
    /// Most requests of a run, attempts that fail included.
    pub max_requests: Option<u64>,
    /// Most bytes of a run, over the wire and both ways.
    pub max_bytes: Option<u64>,
    /// Most money of a run, in the unit of the proxies' prices.
    pub max_cost: Option<f64>,
    /// An unfinished run younger than this is continued.
    pub resume_within: Duration,
}

/// Order of the queries of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Another one in every run.
    #[default]
    Shuffle,
    /// That of the matrix.
    Listed,
}

/// Files that a run writes; paths are taken relative to the job file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where observations are appended.
    pub observations: Option<Observations>,
    /// Which pages are kept.
    pub pages: Keep,
    /// The folder of the pages.
    pub pages_dir: PathBuf,
}

/// A file of observations; the suffix says in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observations {
    /// Where.
    pub path: PathBuf,
    /// CSV, not JSON lines.
    pub csv: bool,
}

/// Which pages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// None.
    #[default]
    Never,
    /// Those of which nothing is known.
    Blocked,
    /// All of them.
    All,
}

/// A query of more pages than this walks a site and watches nothing.
const MOST_PAGES: u32 = 1000;
/// Twelve hours: a run that a nightly cron job left behind is no longer the same night's.
const RESUME_WITHIN: Duration = Duration::from_secs(12 * 3600);

pub(super) fn pages(table: &Table<'_, '_>, is_rank: Option<bool>) -> Pages {
    let mut pages = Pages {
        most: 1,
        first: 1,
        offset: (0, 10),
        depth: Depth::default(),
        sticky: false,
    };
    let Some(table) = table.table("pages", "pages") else {
        return pages;
    };
    if let Some(item) = table.item("most") {
        pages.most = item.count32(1, MOST_PAGES).unwrap_or(pages.most);
        if pages.most > 1 && is_rank == Some(false) {
            item.complain(
                "a change is watched on one page",
                "leave pages out, or make pages an axis of [matrix]",
            );
        }
    }
    if let Some(item) = table.item("first") {
        pages.first = item.count(0, u32::MAX.into()).unwrap_or(pages.first);
    }
    if let Some(table) = table.table("offset", "pages.offset") {
        if let Some(item) = table.item("first") {
            pages.offset.0 = item.count(0, u32::MAX.into()).unwrap_or(0);
        }
        if let Some(item) = table.item("step") {
            pages.offset.1 = item.count(1, 1_000_000).unwrap_or(10);
        }
        table.finish();
    }
    let words = [Depth::Smart, Depth::Stop, Depth::All].map(|depth| (depth.as_str(), depth));
    if let Some(item) = table.item("depth") {
        pages.depth = item.word(&words).unwrap_or_default();
    }
    let sticky = table.item("sticky").and_then(|item| item.switch());
    pages.sticky = sticky.unwrap_or(pages.most > 1);
    table.finish();
    pages
}

pub(super) fn schedule(table: &Table<'_, '_>) -> Schedule {
    let mut schedule = Schedule {
        min_age: Duration::ZERO,
        start_jitter: Duration::ZERO,
        order: Order::default(),
        deadline: None,
        max_requests: None,
        max_bytes: None,
        max_cost: None,
        resume_within: RESUME_WITHIN,
    };
    let Some(table) = table.table("schedule", "schedule") else {
        return schedule;
    };
    let duration = |key| table.item(key).and_then(|item| item.duration());
    schedule.min_age = duration("min_age").unwrap_or_default();
    schedule.start_jitter = duration("start_jitter").unwrap_or_default();
    schedule.deadline = duration("deadline");
    schedule.resume_within = duration("resume_within").unwrap_or(RESUME_WITHIN);
    let words = [("shuffle", Order::Shuffle), ("listed", Order::Listed)];
    let order = table.item("order").and_then(|item| item.word(&words));
    schedule.order = order.unwrap_or_default();
    let requests = table.item("max_requests");
    schedule.max_requests = requests.and_then(|item| item.count(1, u64::MAX));
    schedule.max_bytes = table.item("max_bytes").and_then(|item| item.size());
    schedule.max_cost = table.item("max_cost").and_then(|item| {
        let cost = item.number()?;
        if cost < 0.0 {
            item.complain(
                "a cost is 0 or more",
                "it is in the unit of the prices of the proxies",
            );
            return None;
        }
        Some(cost)
    });
    if let (Some(Duration::ZERO), Some(item)) = (schedule.deadline, table.item("deadline")) {
        item.complain("a run needs some time", "leave deadline out for none");
    }
    table.finish();
    schedule
}

pub(super) fn output(table: &Table<'_, '_>, source: &Source<'_>) -> Output {
    let mut output = Output {
        observations: None,
        pages: Keep::default(),
        pages_dir: source.beside("pages"),
    };
    let Some(table) = table.table("output", "output") else {
        return output;
    };
    output.observations = table.item("observations").and_then(|item| {
        let path = item.text()?;
        let suffix = path
            .rsplit_once('.')
            .map(|(_, suffix)| suffix.to_ascii_lowercase());
        let csv = match suffix.as_deref() {
            Some("csv") => true,
            Some("jsonl" | "ndjson") => false,
            _ => {
                item.complain(
                    format!("{path:?} does not say in which form observations are written"),
                    "end it with .jsonl or .csv",
                );
                return None;
            }
        };
        let path = source.beside(path);
        Some(Observations { path, csv })
    });
    let words = [
        ("never", Keep::Never),
        ("blocked", Keep::Blocked),
        ("all", Keep::All),
    ];
    let keep = table.item("pages").and_then(|item| item.word(&words));
    output.pages = keep.unwrap_or_default();
    if let Some(item) = table.item("pages_dir")
        && let Some(path) = item.text()
    {
        output.pages_dir = source.beside(path);
        if keep.is_none() {
            item.complain(
                "a folder for pages that are not kept",
                "add pages = \"blocked\" or pages = \"all\"",
            );
        }
    }
    table.finish();
    output
}

/// Runs in a row; never 0.
pub(super) fn runs(table: &Table<'_, '_>, default: NonZeroU32) -> NonZeroU32 {
    let runs = table.item("runs").and_then(|item| item.count32(1, 1000));
    runs.and_then(NonZeroU32::new).unwrap_or(default)
}
