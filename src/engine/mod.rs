//! The run: jobs in, records out.
//!
//! One dispatcher task owns the frontier and the pool (`dispatch`); attempts (`slots`) and probes are tasks of two sets it joins, so
//! nothing is detached and a panic in one of them is re-raised here. Records leave through a bounded channel: when the writer
//! is slow, dispatch stops. A drain stops intake, lets requests in flight finish within a grace time, and ends.

mod attempt;
mod dispatch;
mod ending;
pub mod event;
mod finish;
mod flights;
mod forgetting;
mod frontier;
mod hedging;
mod held;
mod keeping;
mod landing;
mod leasing;
mod outbox;
mod pacing;
mod pending;
mod probing;
mod publishing;
mod purse;
mod redirect;
mod robots;
mod sessions;
mod slots;
mod trials;
mod waits;

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::{Pin, pin};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant as TokioInstant, Interval, Sleep, sleep_until};

use self::attempt::{Context, Landed};
use self::dispatch::{Dispatcher, now};
use self::event::Listener;
use self::finish::{NO_USABLE_PROXY, Style, no_usable_proxy};
use self::flights::Flights;
use self::frontier::Frontier;
use self::hedging::Budget;
use self::held::Held;
pub use self::keeping::Keeping;
use self::keeping::{Beat, recall};
use self::publishing::Looks;
pub use self::purse::Caps;
use self::purse::Purse;
pub use self::robots::Obedience;
use self::sessions::Sessions;
use self::slots::Slots;
use crate::ban::Judge;
use crate::egress::{Allowance, Egress, ProbeReport};
use crate::error::Error;
use crate::extract::Extractor;
use crate::input::JobSource;
use crate::job::Job;
use crate::limit::{self, Limiter};
use crate::metrics::{Binding, FinishReason, Snapshot, Summary, Tally};
use crate::outcome::{Finished, Outcome};
use crate::pool::{self, Memory, OnNoProxy, Pool, ProbeLease};
use crate::proxy::Proxy;
use crate::retry;

/// What keeps jobs on one proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sticky {
    /// Every attempt chooses anew; a job's own `session` still holds.
    #[default]
    None,
    /// One proxy and cookie jar per target host.
    Host,
    /// One proxy and cookie jar per value of this field of `tag`.
    Tag(String),
}

/// Settings of the run itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Follow redirects.
    pub follow: bool,
    /// Hops followed at most.
    pub max_redirs: u32,
    /// Limit of one attempt, redirects and body included (`-m`).
    pub max_time: Duration,
    /// `--sticky`.
    pub sticky: Sticky,
    /// Keep response headers in the record.
    pub headers: bool,
    /// Hand the body out with the record. Without it a body is hashed, judged and dropped, and waiting records stay small.
    pub bodies: bool,
    /// Whose robots.txt is obeyed; `None` for nobody's.
    pub robots: Option<Arc<Obedience>>,
    /// What is taken out of accepted answers; the fields of the record.
    pub extract: Option<Arc<Extractor>>,
    /// Sockets of the probe lane, beside `-j`.
    pub probe_concurrency: usize,
    /// Second attempts for requests that take too long (`--no-hedge` for none): GET and HEAD only, one in twenty at most.
    pub hedge: bool,
    /// How long a drain waits for requests in flight.
    pub drain_grace: Duration,
    /// What the run may use at most.
    pub caps: Caps,
    /// Seed of every random choice; `None` takes one from the system.
    pub seed: Option<u64>,
    /// This run goes on from an earlier one; its records say so.
    pub resumed: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            follow: true,
            max_redirs: 10,
            max_time: Duration::from_secs(30),
            sticky: Sticky::None,
            headers: false,
            bodies: true,
            robots: None,
            extract: None,
            probe_concurrency: 128,
            hedge: true,
            drain_grace: Duration::from_secs(10),
            caps: Caps::default(),
            seed: None,
            resumed: false,
        }
    }
}

/// Everything a run needs but its jobs and its output.
pub struct Plan<E> {
    /// The path out.
    pub egress: E,
    /// The members of the pool.
    pub proxies: Vec<Arc<Proxy>>,
    /// Compiled rules.
    pub judge: Arc<Judge>,
    /// The pool's settings.
    pub pool: pool::Settings,
    /// The four limits.
    pub limits: limit::Settings,
    /// Budgets.
    pub retry: retry::Settings,
    /// The run's own settings.
    pub engine: Settings,
    /// What the run begins with and leaves; `None` for a run without a past and a future.
    pub keeping: Option<Keeping>,
    /// Who is told what is decided; see [`event`].
    pub events: Option<SyncSender<event::Event>>,
}

/// What the outside may ask of a running run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Control {
    /// Stop intake, finish what is in flight within the grace time, end with this reason.
    Drain(FinishReason),
    /// End now; finished records are still delivered.
    Stop(FinishReason),
    /// Swap the pool's members; health is kept for identities that remain. A run that skips its jobs because the pool was
    /// exhausted tries again.
    Replace(Vec<Arc<Proxy>>),
    /// Tells what is remembered of members that nothing is known about yet: those that another list has brought.
    Recall(Arc<Memory>),
    /// Drops the jobs with these `seq`, which nobody waits for any more: what is under way for them is stopped, and they have no
    /// row.
    Forget(HashSet<u64>),
}

/// Progress is published this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(200);
/// With `--on-no-proxy stop` the pool is asked this often whether it is exhausted.
const EXHAUSTED_EVERY: Duration = Duration::from_millis(500);

/// Without a proxy for so long, jobs of other hosts are read that may know one. A run begins without.
const STUCK: Duration = Duration::from_secs(1);

/// Resolution of tokio's timers.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Runs the jobs of `source` and sends one [`Finished`] per job into `out`.
///
/// Ends when every job has its record, when the pool is exhausted (then the remaining jobs are recorded as `skipped`), when
/// told to through `control`, or as soon as `out` is closed. An interrupted job has no record, so that a later run takes it up.
///
/// # Errors
/// The second value is the reason when the input could not be read to its end; the summary is valid all the same.
///
/// # Panics
/// Re-raises a panic of an attempt.
pub async fn run<E: Egress, S: JobSource>(
    plan: Plan<E>,
    source: S,
    out: mpsc::Sender<Finished>,
    control: mpsc::Receiver<Control>,
    progress: watch::Sender<Snapshot>,
) -> (Summary, Result<(), Error>) {
    let began = now();
    let seed = plan.engine.seed.unwrap_or_else(system_seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let limiter = Limiter::new(plan.limits.clone(), rng.random());
    let style = Style {
        headers: plan.engine.headers,
        resumed: plan.engine.resumed,
    };
    let on_no_proxy = plan.pool.on_no_proxy;
    let explores_all = plan.pool.strategy != pool::Strategy::Best;
    let pool = pool::Settings {
        rotating_concurrency: plan
            .pool
            .rotating_concurrency
            .or(Some(plan.limits.concurrency.get())),
        ..plan.pool
    };
    let pool = Pool::new(plan.proxies, pool, began, &mut rng);
    let caps = plan.engine.caps.clone();
    let deadline = caps.deadline.map(|length| began + length);
    let context = Arc::new(Context {
        egress: plan.egress,
        hosts: Mutex::new(plan.judge.hosts()),
        judge: plan.judge,
        limiter: Mutex::new(limiter),
        counts_places: plan.limits.host_concurrency.is_some(),
        robots: Mutex::default(),
        allowance: Arc::new(Allowance::new(caps.requests)),
        settings: plan.engine,
    });
    let mut run = Run {
        dispatcher: Dispatcher {
            frontier: Frontier::new(plan.limits.host_concurrency, plan.retry.max_time),
            context,
            pool,
            attempts: Slots::new(),
            flights: Flights::new(began),
            budget: Budget::new(),
            purse: Purse::new(caps),
            probes: JoinSet::new(),
            tally: Tally::new(),
            out,
            outbox: VecDeque::new(),
            brought: Vec::new(),
            limits: plan.limits,
            retry: plan.retry,
            rng,
            style,
            sessions: Sessions::default(),
            suspects: HashMap::default(),
            confirmed: HashMap::default(),
            some_given_up: false,
            input_ended: false,
            last_pick_failed: false,
            output_failed: false,
            probe_rest_until: None,
            explores_all,
            last_target: None,
            listener: plan.events.map(|events| Listener::new(events, began)),
        },
        source,
        control,
        control_open: true,
        progress,
        began,
        on_no_proxy,
        phase: Phase::Running,
        input_error: None,
        deadline,
        beat: None,
        held_by: None,
        without_proxy: None,
        looks: Looks::default(),
    };
    if let Some(Keeping { memory, saves }) = plan.keeping {
        recall(&mut run.dispatcher, &memory, began);
        run.beat = Some(Beat::new(saves, began));
    }
    run.go().await
}

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Running,
    /// The pool is exhausted: the rest of the input is recorded as skipped.
    Skipping,
    /// Waiting for what is in flight.
    Draining {
        reason: FinishReason,
        until: Instant,
    },
    Ended(FinishReason),
}

/// What [`Run::wait`] waited for.
enum Event {
    Control(Option<Control>),
    Landed(usize, Landed),
    Probed(Box<(ProbeLease, ProbeReport)>),
    /// The output has room again, or is gone.
    Room(bool),
    Input(Option<Result<Vec<Job>, Error>>),
    Publish,
    Wake,
}

struct Run<E, S> {
    dispatcher: Dispatcher<E>,
    source: S,
    control: mpsc::Receiver<Control>,
    control_open: bool,
    progress: watch::Sender<Snapshot>,
    began: Instant,
    on_no_proxy: OnNoProxy,
    phase: Phase,
    input_error: Option<Error>,
    /// When nothing more is started.
    deadline: Option<Instant>,
    beat: Option<Beat>,
    /// What holds every job back, as of the last round of dispatch.
    held_by: Option<Binding>,
    /// Since when that is the want of a proxy.
    without_proxy: Option<Instant>,
    looks: Looks,
}

impl<E: Egress, S: JobSource> Run<E, S> {
    async fn go(mut self) -> (Summary, Result<(), Error>) {
        let mut publish = tokio::time::interval(PUBLISH_EVERY);
        publish.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut exhausted_check = self.began;
        let mut alarm = pin!(sleep_until(TokioInstant::from_std(self.began)));
        let reason = loop {
            let at = now();
            let checks = at >= exhausted_check;
            if checks {
                exhausted_check = at + EXHAUSTED_EVERY;
                self.dispatcher.sweep_hosts(at);
                self.dispatcher.unblock_some();
                if let Some(beat) = &mut self.beat {
                    beat.save(&mut self.dispatcher, at);
                }
            }
            self.keep_caps(at);
            let held = if self.phase == Phase::Running {
                let held = self.dispatcher.pump(at);
                self.dispatcher.probe(self.work_left(at), at);
                held
            } else {
                Held::default()
            };
            self.keep_caps(at);
            // After the lane had its chance: a job that has just come may have made it look again.
            if checks {
                self.check_exhausted(at);
            }
            if self.dispatcher.output_failed {
                break FinishReason::OutputFailed;
            }
            if let Some(reason) = self.finished(at) {
                break reason;
            }
            self.held_by = held.binding;
            self.without_proxy = match held.binding {
                Some(Binding::NoProxy) => self.without_proxy.or(Some(at)),
                _ => None,
            };
            let wake = self.wake(at, held.until, exhausted_check);
            // Moving a timer costs more than asking whether it has to move; under load it mostly has not.
            let wake = TokioInstant::from_std(wake);
            if alarm.deadline() != wake {
                alarm.as_mut().reset(wake);
            }
            let event = self.wait(alarm.as_mut(), &mut publish).await;
            self.handle(event);
            self.dispatcher.hand_back(&mut self.source);
        };
        self.end(reason).await
    }

    /// The one place that waits: for whatever comes first.
    async fn wait(&mut self, alarm: Pin<&mut Sleep>, publish: &mut Interval) -> Event {
        let wants_input = self.wants_input();
        let Dispatcher {
            attempts,
            probes,
            out,
            outbox,
            ..
        } = &mut self.dispatcher;
        tokio::select! {
            biased;
            control = self.control.recv(), if self.control_open => Event::Control(control),
            landed = attempts.join_next(), if !attempts.is_empty() => {
                let (number, landed) = reraise(landed);
                Event::Landed(number, landed)
            }
            Some(probed) = probes.join_next(), if !probes.is_empty() => {
                Event::Probed(Box::new(reraise(probed)))
            }
            room = out.reserve(), if !outbox.is_empty() => Event::Room(room.is_ok()),
            () = out.closed() => Event::Room(false),
            batch = self.source.next(), if wants_input => Event::Input(batch),
            _ = publish.tick() => Event::Publish,
            () = alarm => Event::Wake,
        }
    }

    fn handle(&mut self, event: Event) {
        let at = now();
        let dispatcher = &mut self.dispatcher;
        match event {
            Event::Control(Some(control)) => self.obey(control),
            Event::Control(None) => self.control_open = false,
            Event::Landed(number, landed) => {
                dispatcher.landed(number, landed, at);
                // Take along whatever else has landed: one round of dispatch then serves them all.
                while let Some((number, landed)) = dispatcher.attempts.try_join_next() {
                    dispatcher.landed(number, landed, at);
                }
            }
            Event::Probed(probed) => {
                dispatcher.probed(probed.0, probed.1, at);
                while let Some(probed) = dispatcher.probes.try_join_next() {
                    let (lease, report) = reraise(probed);
                    dispatcher.probed(lease, report, at);
                }
            }
            Event::Room(true) => dispatcher.flush(),
            Event::Room(false) => dispatcher.output_failed = true,
            Event::Input(batch) => self.take_in(batch),
            Event::Publish => self.publish(),
            Event::Wake => {}
        }
    }

    /// How long what is left will take at the pace so far; `None` when the input cannot tell.
    fn work_left(&self, at: Instant) -> Option<Duration> {
        let dispatcher = &self.dispatcher;
        let unread = if dispatcher.input_ended {
            0
        } else {
            self.source.remaining()?
        };
        let known = dispatcher.frontier.len() + dispatcher.attempts.len();
        let done = dispatcher.tally.done();
        let pace = at.saturating_duration_since(self.began).as_secs_f64() / done as f64;
        Duration::try_from_secs_f64((unread + known as u64) as f64 * pace).ok()
    }

    fn wants_input(&self) -> bool {
        let since = self.without_proxy;
        let stuck = since.is_some_and(|since| now().saturating_duration_since(since) >= STUCK);
        matches!(self.phase, Phase::Running | Phase::Skipping)
            && !self.dispatcher.input_ended
            && self.dispatcher.outbox.is_empty()
            && !self.dispatcher.frontier.is_full(stuck)
    }

    fn take_in(&mut self, batch: Option<Result<Vec<Job>, Error>>) {
        match batch {
            Some(Ok(jobs)) => {
                let at = now();
                for job in jobs {
                    if self.phase == Phase::Skipping {
                        self.dispatcher.skip(job, no_usable_proxy());
                    } else {
                        self.dispatcher.intake(job, at);
                    }
                }
            }
            Some(Err(error)) => {
                self.input_error = Some(error);
                self.input_over();
            }
            None => self.input_over(),
        }
    }

    fn input_over(&mut self) {
        self.dispatcher.input_ended = true;
        self.dispatcher.tally.counters().input_ended = true;
    }

    fn obey(&mut self, control: Control) {
        let at = now();
        match control {
            Control::Drain(reason) => {
                if !matches!(self.phase, Phase::Draining { .. } | Phase::Ended(_)) {
                    let until = at + self.dispatcher.context.settings.drain_grace;
                    self.phase = Phase::Draining { reason, until };
                }
            }
            Control::Stop(reason) => self.phase = Phase::Ended(reason),
            Control::Recall(memory) => recall(&mut self.dispatcher, &memory, at),
            Control::Forget(seqs) => self.dispatcher.forget(&seqs),
            Control::Replace(list) => {
                let change = self
                    .dispatcher
                    .pool
                    .replace(list, at, &mut self.dispatcher.rng);
                tracing::info!(
                    kept = change.kept,
                    added = change.added,
                    removed = change.removed,
                    "proxy list reloaded"
                );
                self.dispatcher.frontier.unblock(usize::MAX);
                // Another list may serve what comes now; what was skipped has its record.
                if self.phase == Phase::Skipping {
                    self.phase = Phase::Running;
                }
            }
        }
    }

    /// The reason to end, when there is nothing left to do.
    fn finished(&self, at: Instant) -> Option<FinishReason> {
        let dispatcher = &self.dispatcher;
        let idle = dispatcher.attempts.is_empty();
        let delivered = idle && dispatcher.outbox.is_empty();
        match self.phase {
            Phase::Ended(reason) => Some(reason),
            Phase::Draining { reason, until } => (idle || at >= until).then_some(reason),
            Phase::Skipping => {
                (delivered && dispatcher.input_ended).then_some(FinishReason::NoProxy)
            }
            Phase::Running
                if delivered && dispatcher.input_ended && dispatcher.frontier.is_empty() =>
            {
                Some(if self.input_error.is_some() {
                    FinishReason::InputFailed
                } else {
                    FinishReason::Done
                })
            }
            Phase::Running => None,
        }
    }

    /// With `--on-no-proxy stop`: when the pool has nothing left to offer, everything that waits is recorded.
    fn check_exhausted(&mut self, at: Instant) {
        if self.phase != Phase::Running
            || self.on_no_proxy != OnNoProxy::Stop
            || !self.dispatcher.attempts.is_empty()
            || self.dispatcher.frontier.is_empty()
            || !(self.dispatcher.pool.is_exhausted(at) || self.dispatcher.speaks_to_nobody(at))
        {
            return;
        }
        self.phase = Phase::Skipping;
        for job in self.dispatcher.frontier.drain() {
            self.dispatcher
                .give_up(job, Outcome::Skipped, NO_USABLE_PROXY, at);
        }
    }

    fn wake(&mut self, at: Instant, held: Option<Instant>, exhausted_check: Instant) -> Instant {
        let draining = match self.phase {
            Phase::Draining { until, .. } => Some(until),
            _ => None,
        };
        // Only a running run acts on what becomes due.
        let due = match self.phase {
            Phase::Running => self.dispatcher.next_wake(at),
            _ => None,
        };
        let deadline = match self.phase {
            Phase::Running | Phase::Skipping => self.deadline,
            _ => None,
        };
        let soonest = [held, draining, due, deadline].into_iter().flatten().min();
        // A time that has passed and changed nothing must not become a busy loop.
        let soonest = soonest.map_or(exhausted_check, |soonest| soonest.min(exhausted_check));
        soonest.max(at + SHORTEST_SLEEP)
    }
}

/// A seed from the system's random source.
pub fn system_seed() -> u64 {
    // Without a random source the choices repeat from run to run; nothing worse.
    SysRng.try_next_u64().unwrap_or(0)
}

/// The value of a joined task; its panic goes on here.
fn reraise<T>(joined: Result<T, JoinError>) -> T {
    match joined {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
