//! Who obeys robots.txt waits for it: the jobs of a host are held until its file has been read, which is a job like any other.
//!
//! So it goes through the pool, waits for the host's limits, is tried again through other exits when one of them is banned or
//! fails, and the breaker and the quotas know of it. Only where a record would be written it ends here instead. What is held
//! stays in the frontier and counts as read ahead.
//!
//! By RFC 9309 an answer of 4xx allows everything, and a server that fails or cannot be reached forbids everything until its file
//! can be read: after a while the next job of the host has it asked again. A page that says "blocked" is neither: it is taken for
//! a server that cannot be reached.
//!
//! # What it does not do
//! A redirect to a host whose file has not been read is followed: its file was never asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::fast::RandomState;
use http::{HeaderMap, Method};
use url::Url;

use super::dispatch::Dispatcher;
use super::pending::Pending;
use crate::egress::Egress;
use crate::job::{Job, RequestSpec, Role};
use crate::outcome::{ErrorInfo, Finished, Outcome, Record};
use crate::robots::{Forbidden, LONGEST_DELAY, Robots};

/// A file that could not be read is asked for again after this.
const AGAIN: Duration = Duration::from_secs(60);
/// Bytes of rules kept. Beyond it those of some other host go, and are read again if that host comes once more.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Hops followed to a robots.txt; RFC 9309, section 2.3.1.2.
pub(super) const MOST_HOPS: u32 = 5;

/// Whose robots.txt is obeyed, and as whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Obedience {
    /// For URLs that the user named too, not only for those of sitemaps.
    pub named: bool,
    /// Product token that groups are looked up by: see [`crate::robots::product_token`].
    pub token: Box<str>,
    /// Headers that the files are asked for with.
    pub headers: HeaderMap,
}

impl Obedience {
    pub(super) fn covers(&self, role: Role) -> bool {
        match role {
            Role::Named => self.named,
            Role::Listed => true,
            Role::Sitemap | Role::Robots => false,
        }
    }
}

/// What is known of the files of all hosts, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Files {
    hosts: HashMap<u32, File, RandomState>,
    /// Of the rules.
    bytes: usize,
}

#[derive(Debug)]
enum File {
    /// On its way.
    Asked,
    Read(Robots),
    /// Why not, and when it is worth asking again.
    Unread(Box<str>, Instant),
}

/// What is to be done with a job.
enum Turn {
    Go,
    Wait,
    Ask,
    Forbidden(Forbidden),
    Unread(Box<str>),
}

impl Files {
    fn turn(&self, host: u32, url: &Url, now: Instant) -> Turn {
        match self.hosts.get(&host) {
            None => Turn::Ask,
            Some(File::Asked) => Turn::Wait,
            Some(File::Read(robots)) => robots.forbids(url).map_or(Turn::Go, Turn::Forbidden),
            Some(File::Unread(_, again)) if *again <= now => Turn::Ask,
            Some(File::Unread(why, _)) => Turn::Unread(why.clone()),
        }
    }

    /// The line that forbids `url` of `host`, as far as that is known.
    pub(super) fn forbid(&self, host: u32, url: &Url) -> Option<Forbidden> {
        match self.hosts.get(&host)? {
            File::Read(robots) => robots.forbids(url),
            File::Asked | File::Unread(..) => None,
        }
    }

    fn put(&mut self, host: u32, file: File) {
        self.forget(host);
        self.bytes += file.size();
        self.hosts.insert(host, file);
        while self.bytes > MOST_BYTES {
            let mut others = self.hosts.iter();
            let of_rules = others.find(|(other, file)| **other != host && file.size() > 0);
            let Some(other) = of_rules.map(|(other, _)| *other) else {
                return;
            };
            self.forget(other);
        }
    }

    /// Drops what is known of `host`.
    pub(super) fn forget(&mut self, host: u32) {
        if let Some(file) = self.hosts.remove(&host) {
            self.bytes -= file.size();
        }
    }
}

impl File {
    fn size(&self) -> usize {
        match self {
            File::Read(robots) => robots.size(),
            File::Asked | File::Unread(..) => 0,
        }
    }
}

impl<E: Egress> Dispatcher<E> {
    /// Files a job with its host, unless it has to wait for the robots.txt of the host or that forbids it.
    pub(super) fn file(&mut self, job: Box<Pending>, now: Instant) {
        let context = self.context.clone();
        let obedience = context.settings.robots.as_ref();
        let obedience = obedience.filter(|obedience| obedience.covers(job.job.role));
        let (Some(obedience), Ok(url)) = (obedience, &job.job.target) else {
            return self.frontier.push(job);
        };
        let turn = context.robots().turn(job.host, url, now);
        match turn {
            Turn::Go => self.frontier.push(job),
            Turn::Wait => self.frontier.hold(job),
            Turn::Ask => match self.errand(&job, obedience) {
                Some(errand) => {
                    context.robots().put(job.host, File::Asked);
                    let errand = Pending::new(errand, job.host, None, now);
                    self.frontier.hold(job);
                    self.frontier.push(Box::new(errand));
                }
                // A host of which no URL can be made; it has its key from one, so there is none.
                None => self.frontier.push(job),
            },
            Turn::Forbidden(line) => {
                let why = "its robots.txt forbids it";
                self.refuse(job, ("robots_disallowed", line.to_string()), why, now);
            }
            Turn::Unread(message) => {
                let why = "the robots.txt of its host could not be read";
                self.refuse(job, ("robots_unreadable", message.into()), why, now);
            }
        }
    }

    /// The job that brings the robots.txt of the host of `job`.
    fn errand(&self, job: &Pending, obedience: &Obedience) -> Option<Job> {
        let key = self.frontier.key(job.host)?;
        let url = Url::parse(&format!("{key}/robots.txt")).ok()?;
        let request = RequestSpec {
            method: Method::GET,
            headers: obedience.headers.clone(),
            body: Bytes::new(),
        };
        // The number of its job, for who listens: it has no place in the input.
        Some(Job {
            role: Role::Robots,
            ..Job::new(job.job.seq, url.as_str(), Arc::new(request))
        })
    }

    /// The robots.txt of `host` has been read, or not: what was held for it goes its way.
    pub(super) fn robots_came(&mut self, host: u32, done: &Finished, now: Instant) {
        let context = self.context.clone();
        let Some(obedience) = &context.settings.robots else {
            return;
        };
        let record = &done.record;
        if matches!(record.outcome, Outcome::Skipped | Outcome::Cancelled) {
            // The run is at its end, or nobody is left to ask through: that says nothing of the host.
            context.robots().forget(host);
        } else {
            let file = match read(record, &done.body, &obedience.token) {
                Ok(robots) => {
                    if let Some(delay) = robots.delay() {
                        self.space_out(host, delay, now);
                    }
                    File::Read(robots)
                }
                Err(why) => File::Unread(why.into(), now + AGAIN),
            };
            context.robots().put(host, file);
        }
        for job in self.frontier.release(host) {
            self.file(job, now);
        }
    }

    fn space_out(&mut self, host: u32, delay: Duration, now: Instant) {
        if delay > LONGEST_DELAY {
            let host = self.frontier.key(host).map(ToString::to_string);
            tracing::warn!(
                host = host.as_deref(),
                asked_s = delay.as_secs_f64(),
                used_s = LONGEST_DELAY.as_secs(),
                "the crawl-delay of a robots.txt is too long"
            );
        }
        let delay = delay.min(LONGEST_DELAY);
        self.context.limiter().space_out(host, delay, now);
    }

    /// Gives a job its row: what keeps it from being fetched is the robots.txt of its host.
    fn refuse(
        &mut self,
        job: Box<Pending>,
        (kind, message): (&'static str, String),
        why: &'static str,
        now: Instant,
    ) {
        self.tell_given_up(&job, Outcome::Robots, why, now);
        self.leave(job, now, |record| {
            record.outcome = Outcome::Robots;
            record.error = Some(ErrorInfo {
                kind,
                phase: None,
                message: message.into(),
                curl_code: None,
            });
        });
    }
}

/// What an answer says, by RFC 9309, section 2.3.1; the error is why it says nothing.
fn read(record: &Record, body: &Bytes, token: &str) -> Result<Robots, String> {
    let nowhere = record.error.as_ref().map(|error| error.kind) == Some("redirects");
    match (record.outcome, record.status) {
        // Too large is no reason: the part that was read is more than has to be.
        (Outcome::Ok | Outcome::TooLarge, Some(200..=299)) => Ok(Robots::parse(body, token)),
        (Outcome::HttpError, Some(400..=428 | 430..=499)) => Ok(Robots::default()),
        (Outcome::HttpError, _) if nowhere => Ok(Robots::default()),
        (outcome, status) => {
            let mut why = format!("robots.txt could not be read: {outcome}");
            if let Some(status) = status {
                why += &format!(", status {status}");
            }
            if let Some(ban) = &record.ban {
                why += &format!(", rule {}", ban.rule);
            } else if let Some(error) = &record.error {
                why += &format!(", {}", error.message);
            }
            Err(why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_beyond_the_bound_are_dropped_and_asked_for_again() {
        let now = tokio::time::Instant::now().into_std();
        let url = Url::parse("http://a.test/private").expect("a URL");
        let long = format!("user-agent: *\ndisallow: /{}\n", "x".repeat(400_000));
        let robots = Robots::parse(long.as_bytes(), "x");
        let mut files = Files::default();
        for host in 0..300 {
            files.put(host, File::Read(robots.clone()));
            assert!(files.bytes <= MOST_BYTES, "{host}: {}", files.bytes);
            assert!(matches!(files.turn(host, &url, now), Turn::Go), "{host}");
        }
        let kept = (0..300).filter(|host| !matches!(files.turn(*host, &url, now), Turn::Ask));
        assert!(kept.count() > 100);
        (0..300).for_each(|host| files.forget(host));
        assert_eq!(files.bytes, 0);
    }

    #[test]
    fn a_file_that_could_not_be_read_forbids_until_it_is_worth_asking_again() {
        let now = tokio::time::Instant::now().into_std();
        let url = Url::parse("http://a.test/").expect("a URL");
        let mut files = Files::default();
        files.put(7, File::Unread("busy".into(), now + AGAIN));
        assert!(matches!(files.turn(7, &url, now), Turn::Unread(_)));
        assert!(matches!(files.turn(7, &url, now + AGAIN), Turn::Ask));
    }
}
