//! Sitemaps as an input: a file, or an address that is fetched through the pool like any page.
//!
//! The thread of the inputs reads them. What it needs from afar it asks the run for, and waits: the run fetches it as a job of its
//! own ([`Role::Sitemap`](crate::job::Role::Sitemap)) and hands the answer back. So nothing here connects to anybody, and pages of a sitemap are cut from it
//! no faster than they are fetched. One sitemap is held at a time, packed if it came packed; of an index the addresses.
//!
//! What cannot be read has a row: the run's own when a sitemap could not be fetched, else one with outcome `invalid_url` that says
//! what is wrong with it.

mod date;
mod scan;
mod utf16;
mod xml;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::{self, Cursor, ErrorKind, Read};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use url::Url;

use self::scan::{ALLOWED_BYTES, End, Entry, MOST_BYTES, scan};
use super::block::{Block, Format};
use super::reader::Parcel;
use crate::error::Error;

/// Indexes within indexes that are followed: the protocol allows none, sites have one.
const MOST_DEPTH: u32 = 2;
/// Sitemaps read for one input.
const MOST_SITEMAPS: usize = 50_000;
/// URLs that a sitemap may list by its protocol, and those that are taken.
const ALLOWED_URLS: u64 = 50_000;
const MOST_URLS: u64 = 10 * ALLOWED_URLS;
/// Rows sent at a time.
const ROWS: usize = 256;

/// From when on a page has to have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long before the run.
    Ago(Duration),
    /// At this second since 1970.
    At(i64),
}

impl Since {
    /// The beginning of a day in UTC, written `2026-11-01`.
    pub fn day(text: &str) -> Option<Self> {
        date::day(text).map(Since::At)
    }

    fn second(self) -> i64 {
        match self {
            Since::At(second) => second,
            Since::Ago(time) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let then = now.unwrap_or_default().saturating_sub(time);
                i64::try_from(then.as_secs()).unwrap_or(i64::MAX)
            }
        }
    }
}

/// Asks the run for what stands at an address.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) url: Url,
    /// Takes the answer; dropped when there is none to be had.
    pub(super) reply: mpsc::Sender<Fetched>,
}

/// What stood there.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) body: Bytes,
    /// Where it was found, after redirects.
    pub(super) at: Option<Url>,
}

/// A sitemap that is to be read.
pub(super) struct Sitemap {
    first: First,
    since: Option<i64>,
    sender: Sender<Parcel>,
    block: Block,
    /// Addresses asked for, so that a ring ends.
    met: HashSet<String>,
}

enum First {
    File(Option<Box<dyn Read + Send>>, String),
    Remote(Url),
}

/// A place that lists URLs.
struct Place {
    name: String,
    url: Option<Url>,
    is_robots: bool,
    depth: u32,
}

impl Sitemap {
    pub(super) fn of_file(
        reader: Box<dyn Read + Send>,
        name: String,
        since: Option<Since>,
        sender: Sender<Parcel>,
    ) -> Self {
        Sitemap::new(First::File(Some(reader), name), since, sender)
    }

    pub(super) fn at(url: Url, since: Option<Since>, sender: Sender<Parcel>) -> Self {
        Sitemap::new(First::Remote(url), since, sender)
    }

    fn new(first: First, since: Option<Since>, sender: Sender<Parcel>) -> Self {
        Sitemap {
            first,
            since: since.map(Since::second),
            sender,
            block: Block::new(Format::Listed),
            met: HashSet::new(),
        }
    }

    /// Reads it and what it leads to, and sends what they list.
    ///
    /// # Errors
    /// A file cannot be read. When nobody listens any more it just ends.
    pub(super) fn read(&mut self) -> Result<(), Error> {
        let ended = match &mut self.first {
            First::File(reader, name) => {
                let (reader, name) = (reader.take(), name.clone());
                let place = Place {
                    is_robots: name.ends_with("robots.txt"),
                    name,
                    url: None,
                    depth: 0,
                };
                match reader {
                    Some(reader) => self.list(reader, &place),
                    None => Ok(()),
                }
            }
            First::Remote(url) => {
                let url = url.clone();
                self.fetch(url, 0)
            }
        };
        match ended.and_then(|()| self.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Error::io("read", self.name(), error))
            }
            _ => Ok(()),
        }
    }

    fn name(&self) -> String {
        match &self.first {
            First::File(_, name) => name.clone(),
            First::Remote(url) => url.to_string(),
        }
    }

    /// What stands at `url`, asked for through the run.
    fn fetch(&mut self, url: Url, depth: u32) -> io::Result<()> {
        if !self.met.insert(url.as_str().to_owned()) {
            return Ok(());
        }
        if self.met.len() > MOST_SITEMAPS {
            if self.met.len() == MOST_SITEMAPS + 1 {
                self.broken(
                    url.as_str(),
                    "more than 50,000 sitemaps; the rest is left out",
                )?;
            }
            return Ok(());
        }
        self.flush()?;
        let (reply, answer) = mpsc::channel();
        let errand = Errand {
            url: url.clone(),
            reply,
        };
        self.send(Parcel::Errand(errand))?;
        // Not to be had: the run has made a row of it, or is at its end.
        let Ok(Fetched { body, at }) = answer.recv() else {
            return Ok(());
        };
        let place = Place {
            name: url.to_string(),
            is_robots: url.path().ends_with("/robots.txt"),
            url: Some(at.unwrap_or(url)),
            depth,
        };
        self.list(Cursor::new(body), &place)
    }

    /// Sends the pages that `input` lists, then reads the sitemaps that it lists.
    fn list(&mut self, input: impl Read, place: &Place) -> io::Result<()> {
        let mut children = Vec::new();
        let mut count = 0;
        let (end, bytes) = scan(input, place.is_robots, &mut |entry| {
            count += 1;
            if count <= MOST_URLS && self.is_wanted(&entry) {
                let url = place.whole(entry.url);
                if entry.is_sitemap {
                    children.push(url);
                } else {
                    self.page(&url)?;
                }
            }
            Ok(())
        })?;
        if count > ALLOWED_URLS || bytes > ALLOWED_BYTES {
            tracing::warn!(
                sitemap = place.name,
                urls = count,
                bytes,
                "a sitemap is larger than 50,000 URLs or 50 MB"
            );
        }
        let why = match end {
            End::Foreign => {
                Some("not a sitemap: no urlset, index, feed or list of URLs".to_owned())
            }
            End::Cut => {
                Some("the sitemap ends in the middle; what came before is taken".to_owned())
            }
            End::TooLong => Some(format!(
                "the sitemap is longer than {} MiB; the rest is left out",
                MOST_BYTES >> 20
            )),
            End::Whole if count > MOST_URLS => Some(format!(
                "the sitemap lists {count} URLs; those after {MOST_URLS} are left out"
            )),
            End::Whole => None,
        };
        if let Some(why) = why {
            self.broken(&place.name, &why)?;
        }
        self.follow(children, place)
    }

    fn follow(&mut self, children: Vec<String>, place: &Place) -> io::Result<()> {
        // Naming sitemaps is what a robots.txt is for.
        let depth = place.depth + u32::from(!place.is_robots);
        if depth > MOST_DEPTH && !children.is_empty() {
            let why = "an index in an index in an index is not followed";
            return self.broken(&place.name, why);
        }
        for child in children {
            match Url::parse(&child) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                    self.fetch(url, depth)?;
                }
                _ => self.broken(&child, "a sitemap of an index has no http or https URL")?,
            }
        }
        Ok(())
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        let late = self.since.zip(entry.changed);
        // What says nothing of its age may be new.
        late.is_none_or(|(since, changed)| changed >= since)
    }

    fn page(&mut self, url: &str) -> io::Result<()> {
        let size = url.len() as u64;
        self.block.push([url.as_bytes()], false, size);
        if self.block.len() >= ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends a row that says what is wrong.
    fn broken(&mut self, name: &str, why: &str) -> io::Result<()> {
        self.flush()?;
        let mut block = Block::new(Format::Broken);
        block.push([name.as_bytes(), why.as_bytes()], false, 0);
        self.send(Parcel::Rows(block))
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.block.len() == 0 {
            return Ok(());
        }
        let block = self.block.take();
        self.send(Parcel::Rows(block))
    }

    /// Fails when nobody listens any more.
    fn send(&self, parcel: Parcel) -> io::Result<()> {
        let sent = self.sender.blocking_send(parcel);
        sent.map_err(|_| ErrorKind::BrokenPipe.into())
    }

    /// For an error that ends the input.
    pub(super) fn sender(&self) -> &Sender<Parcel> {
        &self.sender
    }
}

impl Place {
    /// The URL that an entry means: those of many sitemaps are not whole.
    fn whole(&self, url: String) -> String {
        match &self.url {
            Some(base) if !url.contains("://") => base.join(&url).map_or(url, String::from),
            _ => url,
        }
    }
}
