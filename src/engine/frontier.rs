//! Jobs that are not in flight: a queue per host, hosts taken in turn.
//!
//! A host is in exactly one place: ready (its first job may be tried now), parked until a time, blocked until the pool
//! changes or a time comes, full (its own concurrency), or idle (no job). So one slow or limited host never holds up the others, and nothing
//! here is scanned: every step is a queue or heap operation. Jobs that wait for one proxy stand aside (`lines`), so that they do
//! not hold up the others of their host.

mod aim;
mod leaving;
mod lines;
mod order;
mod queue;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use self::lines::Lines;
use self::order::Order;
pub(super) use self::order::Ticket;
use self::queue::Queue;
use super::pending::Pending;
use super::waits::{Longest, Waits};
use crate::job::HostKey;
use crate::metrics::Binding;
use foldhash::fast::RandomState;

/// Jobs read ahead of dispatch. Bounds memory however long the input is; large enough that a slow host at its front does not
/// hide the others.
const LOOK_AHEAD: usize = 4096;
/// So many may wait while their hosts are held up: one that is out or slow must not fill the look-ahead and keep the others idle,
/// those that have not been read yet included.
const LOOK_AHEAD_MOST: usize = 8 * LOOK_AHEAD;
/// The same in bytes, for rows that bring long bodies along.
const LOOK_AHEAD_BYTES: usize = 64 * 1024 * 1024;
/// Idle hosts are forgotten once so many are known; bounds memory on inputs of millions of hosts.
const SWEEP_AT: usize = 10_000;
/// Hosts that have more than their share are looked past, at most.
const MOST_PASSED: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Idle,
    Ready,
    Parked,
    Blocked,
    Full,
}

struct Host {
    key: HostKey,
    jobs: Queue,
    /// Jobs that may not go before something is known of the host.
    held: VecDeque<Box<Pending>>,
    in_flight: u32,
    place: Place,
    /// What it waits for while it is parked, blocked or full.
    why: Binding,
    /// It stands in the line of blocked hosts, perhaps since an earlier time at which it was blocked.
    in_line: bool,
    /// The time at which it gets a turn if it still waits then; what else the heap holds of it is out of date.
    wake: Option<Instant>,
    /// When the time of a job here is over; what else that heap holds of it is out of date.
    ending: Option<Instant>,
}

/// See the module text.
pub(super) struct Frontier {
    hosts: HashMap<u32, Host, RandomState>,
    ready: VecDeque<u32>,
    blocked: VecDeque<u32>,
    parked: BinaryHeap<Reverse<(Instant, u32)>>,
    later: BinaryHeap<Later>,
    lines: Lines,
    order: Order,
    /// Hosts with jobs whose time is over at some time.
    ending: BinaryHeap<Reverse<(Instant, u32)>>,
    waits: Waits,
    queued: usize,
    /// Those of them whose host is ready.
    active: usize,
    /// What the queued jobs hold.
    bytes: usize,
    sweep_at: usize,
    host_concurrency: Option<NonZeroU32>,
    /// No attempt starts later than this after the first one of its job.
    longest: Option<Duration>,
    /// Requests under way, to all hosts.
    in_flight: u32,
    /// Probe targets given out so far, and moves on.
    aim: u32,
    /// The last probe that got as far as a host got through to it. Before, and while it does not, they go to the whole line: hosts
    /// that are down stand together in some inputs.
    reaches: bool,
    /// The last request has met a host that may be down.
    strays: bool,
}

/// A job that may not go before a time; ordered so that the earliest is on top.
struct Later {
    at: Instant,
    job: Box<Pending>,
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

impl Frontier {
    pub(super) fn new(host_concurrency: Option<NonZeroU32>, longest: Option<Duration>) -> Self {
        Frontier {
            hosts: HashMap::default(),
            ready: VecDeque::new(),
            blocked: VecDeque::new(),
            parked: BinaryHeap::new(),
            later: BinaryHeap::new(),
            lines: Lines::default(),
            order: Order::default(),
            ending: BinaryHeap::new(),
            waits: Waits::default(),
            queued: 0,
            active: 0,
            bytes: 0,
            sweep_at: SWEEP_AT,
            host_concurrency,
            longest,
            in_flight: 0,
            aim: 0,
            reaches: false,
            strays: false,
        }
    }

    /// Jobs waiting here.
    pub(super) fn len(&self) -> usize {
        self.queued
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Enough has been read ahead. `stuck` while nobody is there to go through: other hosts may be reached by those that the first
    /// ones do not let in.
    pub(super) fn is_full(&self, stuck: bool) -> bool {
        let held_up = stuck || self.active < LOOK_AHEAD;
        let most = if held_up { LOOK_AHEAD_MOST } else { LOOK_AHEAD };
        self.queued >= most || self.bytes >= LOOK_AHEAD_BYTES
    }

    /// Makes the host known under its number.
    pub(super) fn meet(&mut self, number: u32, key: &HostKey) {
        self.hosts.entry(number).or_insert_with(|| Host {
            key: key.clone(),
            jobs: Queue::default(),
            held: VecDeque::new(),
            in_flight: 0,
            place: Place::Idle,
            why: Binding::Concurrency,
            in_line: false,
            wake: None,
            ending: None,
        });
    }

    /// The name behind a number.
    pub(super) fn key(&self, host: u32) -> Option<&HostKey> {
        self.hosts.get(&host).map(|host| &host.key)
    }

    /// Appends a job to its host's queue.
    pub(super) fn push(&mut self, job: Box<Pending>) {
        self.queued += 1;
        self.bytes += job.bytes;
        self.enqueue(job);
    }

    /// Files a job that may not go before `at`.
    pub(super) fn push_later(&mut self, job: Box<Pending>, at: Instant) {
        self.queued += 1;
        self.bytes += job.bytes;
        self.waits.more(Binding::Retry, 1);
        self.later.push(Later { at, job });
    }

    /// Files a job that may not go before its host's are let go with [`Frontier::release`].
    pub(super) fn hold(&mut self, job: Box<Pending>) {
        if let Some(host) = self.hosts.get_mut(&job.host) {
            self.queued += 1;
            self.bytes += job.bytes;
            self.waits.more(Binding::Robots, 1);
            host.held.push_back(job);
        }
    }

    /// Takes out what is held for `host`, in the order it came.
    pub(super) fn release(&mut self, number: u32) -> VecDeque<Box<Pending>> {
        let host = self.hosts.get_mut(&number);
        let held = host.map(|host| std::mem::take(&mut host.held));
        let held = held.unwrap_or_default();
        self.queued -= held.len();
        self.waits.fewer(Binding::Robots, held.len());
        self.bytes -= held.iter().map(|job| job.bytes).sum::<usize>();
        held
    }

    fn enqueue(&mut self, job: Box<Pending>) {
        let number = job.host;
        let deadline = job.deadline(self.longest);
        let Some(host) = self.hosts.get_mut(&number) else {
            return;
        };
        if job.line.is_some() {
            host.jobs.push_front(job);
        } else {
            host.jobs.push_back(job);
        }
        if host.place == Place::Idle {
            host.place = Place::Ready;
            self.ready.push_back(number);
        }
        match host.place {
            Place::Ready => self.active += 1,
            _ => self.waits.more(host.why, 1),
        }
        self.watch(number, deadline);
    }

    /// Makes ready what has become due at `now`.
    pub(super) fn promote(&mut self, now: Instant) {
        while self.later.peek().is_some_and(|later| later.at <= now) {
            if let Some(later) = self.later.pop() {
                self.waits.fewer(Binding::Retry, 1);
                self.enqueue(later.job);
            }
        }
        while let Some(job) = self.lines.due(now) {
            self.tell(Some(job));
        }
        while let Some(Reverse((at, number))) = self.parked.peek().copied()
            && at <= now
        {
            self.parked.pop();
            if let Some(host) = self.hosts.get_mut(&number)
                && host.wake == Some(at)
            {
                host.wake = None;
                self.make_ready(number, &[Place::Parked, Place::Blocked]);
            }
        }
    }

    fn make_ready(&mut self, number: u32, from: &[Place]) {
        if let Some(host) = self.hosts.get_mut(&number)
            && from.contains(&host.place)
        {
            self.waits.leave(host.why, host.jobs.len());
            if host.jobs.is_empty() {
                host.place = Place::Idle;
            } else {
                host.place = Place::Ready;
                self.active += host.jobs.len();
                self.ready.push_back(number);
            }
        }
    }

    /// Earliest time at which something here becomes due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let later = self.later.peek().map(|later| later.at);
        let parked = self.parked.peek().map(|Reverse((at, _))| *at);
        let ending = self.ending.peek().map(|Reverse((at, _))| *at);
        let due = [later, parked, ending, self.lines.next_due()];
        due.into_iter().flatten().min()
    }

    /// The host whose turn it is; it stays in place until one of the calls below moves it. One that has more than its share of the
    /// requests under way lets others go first: a slow one would soon have them all.
    pub(super) fn first_ready(&mut self) -> Option<u32> {
        let share = self.in_flight / u32::try_from(self.ready.len()).unwrap_or(u32::MAX).max(1);
        let mut passed = 0;
        while let Some(number) = self.ready.front().copied() {
            let Some(host) = self.hosts.get_mut(&number) else {
                self.ready.pop_front();
                continue;
            };
            if host.jobs.is_empty() {
                host.place = Place::Idle;
                self.ready.pop_front();
                continue;
            }
            if self
                .host_concurrency
                .is_some_and(|most| host.in_flight >= most.get())
            {
                self.leave_line(Place::Full, Binding::HostConcurrency);
                continue;
            }
            if host.in_flight > share && passed < self.ready.len().min(MOST_PASSED) {
                passed += 1;
                self.ready.rotate_left(1);
                continue;
            }
            return Some(number);
        }
        None
    }

    /// The first job of `host`, to look at.
    pub(super) fn peek(&self, host: u32) -> Option<&Pending> {
        self.hosts.get(&host)?.jobs.first()
    }

    /// Takes the first job of the host in front and sends the host to the end of the line.
    pub(super) fn take_first(&mut self) -> Option<Box<Pending>> {
        let number = self.ready.pop_front()?;
        let host = self.hosts.get_mut(&number)?;
        let mut job = host.jobs.take();
        if let Some(job) = &job {
            self.queued -= 1;
            self.active -= 1;
            self.bytes -= job.bytes;
            host.in_flight += 1;
            self.in_flight += 1;
        }
        if host.jobs.is_empty() {
            host.place = Place::Idle;
        } else {
            self.ready.push_back(number);
        }
        if let Some(job) = &mut job {
            self.follow(job);
        }
        if self.strays {
            self.move_on();
        }
        job
    }

    /// Passes over the first job of the host in front; false when it was the last. It does not keep those behind it in its line
    /// waiting.
    pub(super) fn pass_over_first(&mut self) -> bool {
        let Some(number) = self.ready.front().copied() else {
            return false;
        };
        let came_from = self.hosts.get_mut(&number).and_then(|host| {
            let first = host.jobs.first_mut()?;
            first.line.take()
        });
        let has_more = self
            .hosts
            .get_mut(&number)
            .is_some_and(|host| host.jobs.pass_over());
        if let Some(proxy) = came_from {
            let next = self.lines.next(number, proxy);
            return self.come_out(next).is_some() || has_more;
        }
        has_more
    }

    /// The turn of `host` is over: jobs that were passed over in it `keep` their places, or stand behind its others.
    pub(super) fn end_turn(&mut self, number: u32, keep: bool) {
        if let Some(host) = self.hosts.get_mut(&number) {
            host.jobs.end_turn(keep);
        }
    }

    /// Takes the host in front out of turn, because of `why`.
    fn leave_line(&mut self, place: Place, why: Binding) -> Option<u32> {
        let number = self.ready.pop_front()?;
        let host = self.hosts.get_mut(&number)?;
        (host.place, host.why) = (place, why);
        self.active -= host.jobs.len();
        self.waits.enter(why, number, host.jobs.len());
        Some(number)
    }

    /// What most of the jobs here wait for; `None` when all of them may go.
    pub(super) fn longest_wait(&self) -> Option<Longest> {
        let (why, hosts, last) = self.waits.most()?;
        let waits = |number: &u32| {
            let host = self.hosts.get(number)?;
            let stands = !matches!(host.place, Place::Idle | Place::Ready);
            (stands && host.why == why).then_some(host)
        };
        let first = || self.parked.peek().map(|Reverse((_, number))| *number);
        let one = [Some(last), first()].into_iter().flatten();
        let host = one
            .filter(|_| hosts > 0)
            .find(|number| waits(number).is_some());
        let until = match host {
            Some(number) => waits(&number).and_then(|host| host.wake),
            None if why == Binding::Retry => self.later.peek().map(|later| later.at),
            None => None,
        };
        Some(Longest {
            why,
            hosts,
            host,
            until,
        })
    }

    /// Takes the host in front out of turn until `at`, because of `why`.
    pub(super) fn park_first(&mut self, at: Instant, why: Binding) {
        if let Some(number) = self.leave_line(Place::Parked, why) {
            self.wake_at(number, at);
        }
    }

    /// Takes the host in front out of turn until the pool changes, or until `at` if that comes first.
    pub(super) fn block_first(&mut self, at: Option<Instant>, why: Binding) {
        if let Some(number) = self.leave_line(Place::Blocked, why)
            && let Some(host) = self.hosts.get_mut(&number)
        {
            if !host.in_line {
                host.in_line = true;
                self.blocked.push_back(number);
            }
            if let Some(at) = at {
                self.wake_at(number, at);
            }
        }
    }

    fn wake_at(&mut self, number: u32, at: Instant) {
        if let Some(host) = self.hosts.get_mut(&number)
            // One that comes earlier will do: the host waits on from there.
            && host.wake.is_none_or(|wake| wake > at)
        {
            host.wake = Some(at);
            self.parked.push(Reverse((at, number)));
        }
    }

    /// The pool has changed: gives at most `most` blocked hosts another turn.
    pub(super) fn unblock(&mut self, most: usize) {
        for _ in 0..most {
            let Some(number) = self.blocked.pop_front() else {
                return;
            };
            if let Some(host) = self.hosts.get_mut(&number) {
                host.in_line = false;
            }
            self.make_ready(number, &[Place::Blocked]);
        }
    }

    /// True when `host` has all the requests it may have at once.
    pub(super) fn is_full_host(&self, number: u32) -> bool {
        self.host_concurrency
            .is_some_and(|most| self.in_flight(number) >= most.get())
    }

    /// Requests to `host` in flight.
    pub(super) fn in_flight(&self, number: u32) -> u32 {
        self.hosts.get(&number).map_or(0, |host| host.in_flight)
    }

    /// Takes the host in front out of turn until one of its requests has ended.
    pub(super) fn fill_first(&mut self, why: Binding) {
        self.leave_line(Place::Full, why);
    }

    /// A request to `host` has left that was not taken from here.
    pub(super) fn left(&mut self, number: u32) {
        if let Some(host) = self.hosts.get_mut(&number) {
            host.in_flight += 1;
            self.in_flight += 1;
        }
    }

    /// A request to `host` has ended.
    pub(super) fn landed(&mut self, number: u32) {
        if let Some(host) = self.hosts.get_mut(&number) {
            host.in_flight = host.in_flight.saturating_sub(1);
            self.in_flight = self.in_flight.saturating_sub(1);
            self.make_ready(number, &[Place::Full]);
        }
    }

    /// Takes everything out, in no particular order.
    #[expect(
        clippy::vec_box,
        reason = "jobs live in boxes everywhere; unpacking would move each of them twice"
    )]
    pub(super) fn drain(&mut self) -> Vec<Box<Pending>> {
        self.queued = 0;
        self.active = 0;
        self.bytes = 0;
        self.waits = Waits::default();
        self.ready.clear();
        self.blocked.clear();
        self.parked.clear();
        self.ending.clear();
        let mut jobs: Vec<_> = std::mem::take(&mut self.later)
            .into_iter()
            .map(|l| l.job)
            .collect();
        for host in self.hosts.values_mut() {
            host.place = Place::Idle;
            (host.in_line, host.wake) = (false, None);
            host.ending = None;
            jobs.extend(host.jobs.drain());
            jobs.extend(host.held.drain(..));
        }
        jobs.extend(self.lines.drain());
        jobs.extend(self.order.drain());
        jobs
    }

    /// Forgets hosts without jobs and requests, if very many are known. `may_go` is asked for each.
    pub(super) fn sweep(&mut self, mut may_go: impl FnMut(u32, &HostKey) -> bool) {
        if self.hosts.len() < self.sweep_at {
            return;
        }
        let later = self.later.iter().map(|later| &*later.job);
        let waiting = later.chain(self.order.waiting()).map(|job| job.host);
        let waiting: std::collections::HashSet<u32> = waiting.collect();
        self.hosts.retain(|number, host| {
            host.place != Place::Idle
                || host.in_flight > 0
                || !host.jobs.is_empty()
                || !host.held.is_empty()
                || waiting.contains(number)
                || self.lines.has_any(*number)
                || !may_go(*number, &host.key)
        });
        // Amortised: the next sweep comes when as many again have been seen.
        self.sweep_at = (self.hosts.len() * 2).max(SWEEP_AT);
    }
}

#[cfg(test)]
#[path = "frontier_tests.rs"]
mod tests;
