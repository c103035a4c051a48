//! Requests in flight as the dispatcher knows them, and when each of them has taken too long.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::hedging::{is_harmless, may_hedge};
use super::pending::Pending;
use super::trials::Trials;
use crate::job::Job;
use crate::pool::ProxyIdx;

/// Stragglers are looked for this often.
const GRAIN: Duration = Duration::from_millis(50);

/// One request in flight.
pub(super) struct Flight {
    /// The job it is for. `None` for a second attempt while the first, which has it, is in flight as well, and for one that has
    /// been told to stop.
    pub(super) job: Option<Box<Pending>>,
    pub(super) host: u32,
    pub(super) proxy: ProxyIdx,
    pub(super) began: Instant,
    /// The other attempt of its job in flight.
    pub(super) twin: Option<usize>,
    /// It was sent beside another one.
    pub(super) is_second: bool,
    /// Its proxy had never served when it left.
    pub(super) is_trial: bool,
    /// Told apart from earlier ones of its number.
    ticket: u64,
}

/// By the number of their call.
pub(super) struct Flights {
    flights: Vec<Option<Flight>>,
    /// Of those whose proxies had never served.
    pub(super) trials: Trials,
    tickets: u64,
    /// When to look at which of them, in grains since the beginning.
    due: BTreeMap<u64, Vec<(usize, u64)>>,
    /// Those whose time has come, in that order.
    late: VecDeque<(usize, u64)>,
    begin: Instant,
}

impl Flights {
    pub(super) fn new(now: Instant) -> Self {
        Flights {
            flights: Vec::new(),
            trials: Trials::default(),
            tickets: 0,
            due: BTreeMap::new(),
            late: VecDeque::new(),
            begin: now,
        }
    }

    /// A request for `job` has left; it is a straggler `patience` later, if ever.
    pub(super) fn add(
        &mut self,
        number: usize,
        job: Option<Box<Pending>>,
        host: u32,
        (proxy, is_trial): (ProxyIdx, bool),
        patience: Option<Duration>,
        now: Instant,
    ) {
        self.tickets += 1;
        if let Some(patience) = patience {
            let grain = self.grain(now + patience) + 1;
            let due = self.due.entry(grain).or_default();
            due.push((number, self.tickets));
        }
        if self.flights.len() <= number {
            self.flights.resize_with(number + 1, || None);
        }
        if is_trial {
            self.trials.begin();
        }
        self.flights[number] = Some(Flight {
            is_second: job.is_none(),
            is_trial,
            job,
            host,
            proxy,
            began: now,
            twin: None,
            ticket: self.tickets,
        });
    }

    /// Has those that left before anybody knew what is long become stragglers as well, each after what `patience` gives for it.
    pub(super) fn watch_all(&mut self, patience: impl Fn(&Flight) -> Option<Duration>) {
        let all = self.flights.iter().enumerate();
        let found = all.filter_map(|(number, flight)| {
            let flight = flight.as_ref()?;
            let due = flight.began + patience(flight)?;
            Some((self.grain(due) + 1, (number, flight.ticket)))
        });
        for (grain, flight) in found.collect::<Vec<_>>() {
            self.due.entry(grain).or_default().push(flight);
        }
    }

    /// Gives one that has no second attempt once more, at `due`.
    pub(super) fn watch_again(&mut self, number: usize, due: Instant) {
        let flight = self.flights.get(number).and_then(Option::as_ref);
        if let Some(flight) = flight.filter(|flight| flight.twin.is_none() && flight.job.is_some())
        {
            let grain = self.grain(due) + 1;
            let entry = (number, flight.ticket);
            self.due.entry(grain).or_default().push(entry);
        }
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Flight> {
        self.flights.get_mut(number)?.as_mut()
    }

    /// One that has landed.
    pub(super) fn take(&mut self, number: usize) -> Option<Flight> {
        let flight = self.flights.get_mut(number)?.take()?;
        if flight.is_trial {
            self.trials.end();
        }
        Some(flight)
    }

    /// Takes away the jobs that are not wanted any more; gives the requests that are under way for them.
    pub(super) fn disown(&mut self, unwanted: impl Fn(&Job) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        for (number, flight) in self.flights.iter_mut().enumerate() {
            let Some(flight) = flight else { continue };
            if flight.job.take_if(|job| unwanted(&job.job)).is_some() {
                found.push(number);
                found.extend(flight.twin.take());
            }
        }
        for number in &found {
            if let Some(flight) = self.get_mut(*number) {
                flight.twin = None;
            }
        }
        found
    }

    /// The next request that has become a straggler by `now` and is still in flight. It is given once.
    pub(super) fn next_straggler(&mut self, now: Instant) -> Option<usize> {
        let grain = self.grain(now);
        while let Some(first) = self.due.first_entry()
            && *first.key() <= grain
        {
            self.late.extend(first.remove());
        }
        while let Some((number, ticket)) = self.late.pop_front() {
            let flight = self.flights.get(number).and_then(Option::as_ref);
            if flight.is_some_and(|flight| flight.ticket == ticket) {
                return Some(number);
            }
        }
        None
    }

    /// When the next one may become a straggler.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let (grain, _) = self.due.first_key_value()?;
        let grains = u32::try_from(*grain).unwrap_or(u32::MAX);
        Some(self.begin + GRAIN * grains)
    }

    /// Requests without a second one that left before `since`, the oldest first.
    pub(super) fn alone_since(&self, since: Instant) -> Vec<usize> {
        let mut found: Vec<(Instant, usize)> = Vec::new();
        for (number, flight) in self.flights.iter().enumerate() {
            if let Some(flight) = flight
                && flight.twin.is_none()
                && flight.job.is_some()
                && flight.began < since
            {
                found.push((flight.began, number));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, number)| number).collect()
    }

    /// Second requests that left before `since`, as the first ones of their jobs did, and are still in flight. Only of jobs that may
    /// have another.
    pub(super) fn spare_since(&self, since: Instant) -> Vec<usize> {
        let mut found = Vec::new();
        for (number, flight) in self.flights.iter().enumerate() {
            let Some(flight) = flight else { continue };
            let other = flight
                .twin
                .and_then(|twin| self.flights.get(twin)?.as_ref());
            let both = other.is_some_and(|other| {
                let job = other.job.as_ref();
                other.began < since && job.is_some_and(|job| may_hedge(job))
            });
            if flight.began < since && flight.job.is_none() && both {
                found.push(number);
            }
        }
        found
    }

    /// True when a request to a host that left before `since` is still in flight.
    pub(super) fn has_left_before(&self, host: u32, since: Instant) -> bool {
        let mut flights = self.flights.iter().flatten();
        flights.any(|flight| flight.host == host && flight.began < since)
    }

    /// Requests to a host, as far as they may be sent again.
    pub(super) fn to(&self, host: u32) -> Vec<usize> {
        let mut found = Vec::new();
        for (number, flight) in self.flights.iter().enumerate() {
            let Some(flight) = flight.as_ref().filter(|flight| flight.host == host) else {
                continue;
            };
            let of_twin = || {
                flight
                    .twin
                    .and_then(|twin| self.flights.get(twin)?.as_ref())
            };
            let job = flight.job.as_ref().or_else(|| of_twin()?.job.as_ref());
            if job.is_some_and(|job| is_harmless(job)) {
                found.push(number);
            }
        }
        found
    }

    fn grain(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.begin);
        (since.as_millis() / GRAIN.as_millis()) as u64
    }
}
