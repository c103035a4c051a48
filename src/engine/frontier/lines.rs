//! Jobs that wait for one proxy: the one their session is on, while it has no room.
//!
//! In the queue of their host they would stand before the jobs of other sessions, which could go. So they are filed under what they
//! wait for, a line for each host and proxy. When there is news of the proxy, or its time comes, the first of a line goes back to
//! its host. If it finds no room again, it goes back to the line, which waits on; if it is sent, moves to another proxy or ends, the
//! next follows it. Nothing is scanned.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::Instant;

use foldhash::fast::RandomState;

use super::{Frontier, Place};
use crate::engine::pending::Pending;
use crate::metrics::Binding;

/// Hosts whose lines get the news of a proxy, at most.
const MOST_TOLD: usize = 8;

/// Host and proxy.
type Key = (u32, u32);

struct Line {
    jobs: VecDeque<Box<Pending>>,
    /// Why they wait, to people.
    why: Binding,
    /// Its first job is with its host.
    is_out: bool,
    /// It stands among those that wait for news of the proxy, perhaps since an earlier time at which it waited.
    in_line: bool,
    /// The time at which it is looked at if it still waits then; what else the heap holds of it is out of date.
    wake: Option<Instant>,
}

/// See the module text.
#[derive(Default)]
pub(super) struct Lines {
    lines: BTreeMap<Key, Line>,
    /// Hosts whose lines wait, by proxy.
    waiting: HashMap<u32, VecDeque<u32>, RandomState>,
    due: BinaryHeap<Reverse<(Instant, Key)>>,
}

impl Lines {
    /// True when jobs of `host` wait for `proxy`.
    pub(super) fn has(&self, host: u32, proxy: u32) -> bool {
        self.lines.contains_key(&(host, proxy))
    }

    /// True when jobs of `host` wait for some proxy.
    pub(super) fn has_any(&self, host: u32) -> bool {
        self.of(host).next().is_some()
    }

    fn of(&self, host: u32) -> impl Iterator<Item = (&Key, &Line)> {
        self.lines.range((host, 0)..=(host, u32::MAX))
    }

    /// A host with jobs here.
    pub(super) fn any_host(&self) -> Option<u32> {
        self.lines.first_key_value().map(|(key, _)| key.0)
    }

    /// Files a job that waits for `proxy`, and at the latest until `until`; one that came out of this line goes back to its front.
    /// Gives why it is said to wait.
    pub(super) fn push(
        &mut self,
        mut job: Box<Pending>,
        proxy: u32,
        (until, why): (Instant, Binding),
    ) -> Binding {
        let key = (job.host, proxy);
        let is_new = !self.lines.contains_key(&key);
        let line = self.lines.entry(key).or_insert_with(|| Line {
            jobs: VecDeque::new(),
            why,
            is_out: false,
            in_line: false,
            wake: None,
        });
        let comes_back = job.line.take() == Some(proxy);
        if comes_back {
            line.jobs.push_front(job);
            line.is_out = false;
        } else {
            line.jobs.push_back(job);
        }
        if is_new || comes_back {
            if !line.in_line {
                line.in_line = true;
                self.waiting.entry(key.1).or_default().push_back(key.0);
            }
            // One that comes earlier will do.
            if line.wake.is_none_or(|wake| wake > until) {
                line.wake = Some(until);
                self.due.push(Reverse((until, key)));
            }
        }
        line.why
    }

    /// The first job of the next line that waits for `proxy`, of which there is news.
    pub(super) fn news(&mut self, proxy: u32) -> Option<(Box<Pending>, Binding)> {
        loop {
            let waiting = self.waiting.get_mut(&proxy)?;
            let Some(host) = waiting.pop_front() else {
                self.waiting.remove(&proxy);
                return None;
            };
            let key = (host, proxy);
            if let Some(line) = self.lines.get_mut(&key) {
                line.in_line = false;
                if !line.is_out {
                    return self.next(host, proxy);
                }
            }
        }
    }

    /// The first job of a line whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Box<Pending>, Binding)> {
        while let Some(Reverse((at, key))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            if let Some(line) = self.lines.get_mut(&key)
                && line.wake == Some(at)
            {
                line.wake = None;
                if !line.is_out {
                    return self.next(key.0, key.1);
                }
            }
        }
        None
    }

    /// Earliest time at which a line is looked at.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The first job of a line, for its host; a line without one ends.
    pub(super) fn next(&mut self, host: u32, proxy: u32) -> Option<(Box<Pending>, Binding)> {
        let key = (host, proxy);
        let line = self.lines.get_mut(&key)?;
        let Some(mut job) = line.jobs.pop_front() else {
            self.lines.remove(&key);
            return None;
        };
        job.line = Some(proxy);
        line.is_out = true;
        Some((job, line.why))
    }

    /// Takes out those jobs of `host` that `leave`, and tells why they were said to wait.
    pub(super) fn take_if(
        &mut self,
        host: u32,
        leave: impl Fn(&Pending) -> bool,
    ) -> Vec<(Box<Pending>, Binding)> {
        let (mut taken, mut empty) = (Vec::new(), Vec::new());
        for (key, line) in self.lines.range_mut((host, 0)..=(host, u32::MAX)) {
            let all = std::mem::take(&mut line.jobs).into_iter();
            let (gone, left): (VecDeque<_>, _) = all.partition(|job| leave(job));
            line.jobs = left;
            taken.extend(gone.into_iter().map(|job| (job, line.why)));
            if line.jobs.is_empty() && !line.is_out {
                empty.push(*key);
            }
        }
        for key in empty {
            self.lines.remove(&key);
        }
        taken
    }

    /// The jobs of `host` that wait here.
    pub(super) fn jobs(&self, host: u32) -> impl Iterator<Item = &Pending> {
        let lines = self.of(host).flat_map(|(_, line)| &line.jobs);
        lines.map(|job| &**job)
    }

    /// Takes all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<Pending>> {
        let lines = std::mem::take(self).lines;
        lines.into_values().flat_map(|line| line.jobs)
    }
}

impl Frontier {
    /// True when the first job of `host` has to wait for `proxy` behind others.
    pub(in crate::engine) fn is_behind(&self, number: u32, proxy: u32) -> bool {
        let first = self.peek(number);
        self.lines.has(number, proxy) && first.is_some_and(|job| job.line != Some(proxy))
    }

    /// Takes the first job of the host in front out of its queue until there is news of `proxy`, or until `at` if that comes first.
    pub(in crate::engine) fn line_up_first(&mut self, proxy: u32, at: Instant, why: Binding) {
        let number = self.ready.front();
        let host = number.and_then(|number| self.hosts.get_mut(number));
        let Some(mut job) = host.and_then(|host| host.jobs.take()) else {
            return;
        };
        self.active -= 1;
        if job.line != Some(proxy) {
            self.follow(&mut job);
        }
        let (number, deadline) = (job.host, job.deadline(self.longest));
        let why = self.lines.push(job, proxy, (at, why));
        self.waits.more(why, 1);
        self.watch(number, deadline);
    }

    /// Something has ended that `proxy` was busy with: a job that waits for it gets its turn.
    pub(in crate::engine) fn news_of(&mut self, proxy: u32) {
        for _ in 0..MOST_TOLD {
            let job = self.lines.news(proxy);
            if job.is_none() || self.tell(job) {
                return;
            }
        }
    }

    /// The job that a line gave goes back to its host; true when it may go now.
    pub(super) fn tell(&mut self, job: Option<(Box<Pending>, Binding)>) -> bool {
        let Some(number) = self.come_out(job) else {
            return false;
        };
        self.make_ready(number, &[Place::Blocked]);
        let host = self.hosts.get(&number);
        host.is_some_and(|host| host.place == Place::Ready)
    }

    /// A job that came out of a line waits for its proxy no more: the next one follows.
    pub(super) fn follow(&mut self, job: &mut Pending) {
        if let Some(proxy) = job.line.take() {
            let next = self.lines.next(job.host, proxy);
            self.come_out(next);
        }
    }

    /// The job that a line gave goes back to its host; gives the host.
    pub(super) fn come_out(&mut self, job: Option<(Box<Pending>, Binding)>) -> Option<u32> {
        let (job, why) = job?;
        let number = job.host;
        self.waits.fewer(why, 1);
        self.enqueue(job);
        Some(number)
    }
}
