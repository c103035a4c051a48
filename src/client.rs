//! The library's door: a pool of proxies and settings in, records out.
//!
//! [`Client::fetch`] fetches one URL and keeps what was learned about the proxies for the next; [`Client::run`] takes a stream
//! of jobs and gives a stream of records. Both go through the same engine as the command line.
//!
//! ```no_run
//! # async fn example() -> Result<(), proxywheel::error::Error> {
//! use proxywheel::client::Client;
//!
//! let client = Client::builder()
//!     .proxy("socks5://user:secret@192.0.2.1:1080")?
//!     .proxy("http://192.0.2.2:3128")?
//!     .build()?;
//! let page = client.fetch("https://example.com/").await?;
//! println!("{} {:?} {} bytes", page.record.outcome, page.record.status, page.body.len());
//! # Ok(())
//! # }
//! ```

mod builder;
mod run;
mod single;

pub use self::builder::Builder;
pub use self::run::{Run, Running};

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::Stream;
use tokio::sync::{mpsc, watch};

use self::single::Single;
use crate::ban::{self, Judge};
use crate::egress::{self, SocketEgress};
use crate::engine::event::Event;
use crate::engine::{self, Control, Keeping, Plan};
use crate::error::{Error, Problem};
use crate::input::{JobSource, StreamSource};
use crate::job::{Job, RequestSpec};
use crate::limit;
use crate::metrics::Snapshot;
use crate::outcome::{Finished, Outcome};
use crate::pool;
use crate::proxy::Proxy;
use crate::retry;

/// Records that may wait between the engine and whoever reads them. Few, for each may have a body of megabytes.
const RECORDS: usize = 64;

/// Every mechanism's settings, each with its own defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Concurrency, rates, spacing.
    pub limits: limit::Settings,
    /// Budgets.
    pub retry: retry::Settings,
    /// Choice of proxies.
    pub pool: pool::Settings,
    /// What counts as an answer and what as a ban.
    pub ban: ban::Settings,
    /// The wire.
    pub egress: egress::Settings,
    /// Redirects, deadlines, sessions.
    pub engine: engine::Settings,
}

/// A pool of proxies with settings. A clone is the same client: its fetches share the run behind them all.
///
/// The fetches of a client together are one run, and each [`Client::run`] is another. Runs share the list and the settings and
/// nothing else: each has its own connections and cookies, learns for itself who is banned where, and keeps the limits for itself. So
/// two runs at the same time ask a host twice as fast as [`Builder::host_rate`] allows one; where that matters, give all jobs to one.
///
/// The run of the fetches lives on the tokio runtime of the first fetch. When that one is shut down, the next fetch begins a new run on its own
/// runtime, with nothing learned; a runtime that is there but not driven, such as one of a thread that has left `block_on`, keeps
/// every fetch waiting.
#[derive(Debug, Clone)]
pub struct Client {
    proxies: Arc<Mutex<Arc<[Arc<Proxy>]>>>,
    judge: Arc<Judge>,
    settings: Arc<Settings>,
    request: Arc<RequestSpec>,
    keeping: Option<Keeping>,
    events: Option<SyncSender<Event>>,
    /// The engine behind [`Client::fetch`], started by the first call.
    single: Arc<Mutex<Option<Arc<Single>>>>,
}

impl Client {
    /// A client to be set up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Begins every run from now on with what earlier ones have learned, and hands out what it learns: the module `state`, of the
    /// feature `program`, keeps it in a file. Without it nothing outlives the client. It is no clone of another client from here on.
    #[must_use]
    pub fn keeping(self, keeping: Keeping) -> Self {
        Client {
            keeping: Some(keeping),
            ..self.alone()
        }
    }

    /// Tells what every run from now on decides, as it happens: see [`crate::engine::event`]. It is no clone of another client from
    /// here on.
    ///
    /// Read the other end on a thread of its own. When the channel is full, the run waits for room and holds its thread of the
    /// runtime meanwhile: a task that reads it there would never have its turn.
    #[must_use]
    pub fn telling(self, events: SyncSender<Event>) -> Self {
        Client {
            events: Some(events),
            ..self.alone()
        }
    }

    /// The same client, which shares neither its list nor its run with those it was cloned from.
    fn alone(self) -> Self {
        Client {
            proxies: Arc::new(Mutex::new(self.proxies())),
            single: Arc::default(),
            ..self
        }
    }

    /// Fetches one URL. Calls may overlap; they share the pool, the limits and what is learned, with each other but not with
    /// [`Client::run`].
    ///
    /// A failed fetch is a value: a job that was attempted has its row, whatever became of it. Dropping the future takes the job
    /// back: it is not sent any more, and what is under way for it is stopped.
    ///
    /// # Errors
    /// - [`Error::NoProxy`]: the pool was exhausted before the URL could be attempted. A later call looks at the proxies again.
    /// - [`Error::Ended`]: a cap of the settings was reached, which holds for all fetches together and for good; or the runtime of
    ///   the run was shut down meanwhile.
    /// - [`Error::Internal`]: the run has panicked. As in the case before, the next call begins another.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn fetch(&self, url: &str) -> Result<Finished, Error> {
        self.fetch_job(Job::new(0, url, self.request.clone())).await
    }

    /// Fetches one job; its `seq` is replaced.
    ///
    /// # Errors
    /// As for [`Client::fetch`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn fetch_job(&self, job: Job) -> Result<Finished, Error> {
        let mut done = self.single()?.ask(job.clone()).await?;
        // One that was turned away at once has met an old verdict: the pool was exhausted for an earlier job, and nobody has looked
        // since.
        if done.record.outcome == Outcome::Skipped && done.record.timing.total.is_none() {
            let single = self.single()?;
            self.hand_list(&single.control).await;
            done = single.ask(job).await?;
        }
        if done.record.outcome == Outcome::Skipped {
            let why = done.record.error.map(|error| error.message);
            return Err(Error::NoProxy(Problem::new(why.unwrap_or_default())));
        }
        Ok(done)
    }

    /// The engine behind [`Client::fetch`].
    fn single(&self) -> Result<Arc<Single>, Error> {
        let mut single = lock(&self.single);
        if let Some(single) = single.as_ref().filter(|single| !single.is_lost()) {
            return Ok(single.clone());
        }
        let started = Arc::new(Single::start(self)?);
        Ok(single.insert(started).clone())
    }

    fn proxies(&self) -> Arc<[Arc<Proxy>]> {
        let proxies = lock(&self.proxies);
        proxies.clone()
    }

    /// Has this client and its clones use another list: their fetches from now on, and the runs that begin later. What is known of
    /// proxies that are in both lists is kept. A run under way is told by [`Run::control`].
    ///
    /// # Errors
    /// As those of [`Builder::build`] for the list; then the old one stays.
    pub async fn replace(&self, list: impl IntoIterator<Item = Arc<Proxy>>) -> Result<(), Error> {
        let list: Arc<[_]> = list.into_iter().collect();
        builder::check(&list)?;
        *lock(&self.proxies) = list;
        let single = lock(&self.single).clone();
        if let Some(single) = single {
            self.hand_list(&single.control).await;
        }
        Ok(())
    }

    /// Hands a run the list as it is once there is room for it: one taken before the wait could undo a newer one.
    async fn hand_list(&self, control: &mpsc::Sender<Control>) {
        // A run that has ended has no use for it.
        if let Ok(place) = control.reserve().await {
            let list = lock(&self.proxies);
            place.send(Control::Replace(list.to_vec()));
        }
    }

    /// Ends the run behind [`Client::fetch`], and waits until it has handed out what it has learned and closed its connections.
    /// Fetches under way are waited for. A later one begins another run.
    pub async fn close(&self) {
        let single = {
            let mut single = lock(&self.single);
            single.take()
        };
        if let Some(single) = single {
            let control = single.control.clone();
            drop(single);
            control.closed().await;
        }
    }

    /// Runs a stream of jobs to a stream of records, in the order they finish. It shares no limits, bans or cookies with other runs
    /// of this client, its fetches included.
    ///
    /// # Errors
    /// A certificate file that could be read when the client was built cannot be read any more.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn run(&self, jobs: impl Stream<Item = Job> + Send + 'static) -> Result<Run, Error> {
        let (out, records) = mpsc::channel(RECORDS);
        let running = self.start(StreamSource::new(jobs), out)?;
        Ok(Run::new(records, running))
    }

    /// Starts a run whose records go into `out`: what the command line does.
    ///
    /// # Errors
    /// As for [`Client::run`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        &self,
        source: impl JobSource,
        out: mpsc::Sender<Finished>,
    ) -> Result<Running, Error> {
        let plan = Plan {
            egress: SocketEgress::new(self.settings.egress.clone())?,
            proxies: self.proxies().to_vec(),
            judge: self.judge.clone(),
            pool: self.settings.pool.clone(),
            limits: self.settings.limits.clone(),
            retry: self.settings.retry.clone(),
            engine: self.settings.engine.clone(),
            keeping: self.keeping.clone(),
            events: self.events.clone(),
        };
        let (control, commands) = mpsc::channel(8);
        let (publish, progress) = watch::channel(Snapshot::default());
        let task = tokio::spawn(engine::run(plan, source, out, commands, publish));
        Ok(Running {
            control,
            progress,
            task,
        })
    }
}

/// Nothing behind these locks is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::task::Poll;

    use super::*;
    use crate::proxy::Scheme;

    #[tokio::test]
    async fn a_list_that_waits_for_room_is_the_newest_when_it_goes() {
        let [old, new] = [1, 2].map(|port| {
            let proxy = Proxy::new(Scheme::Http, "192.0.2.1", port, None);
            Arc::new(proxy)
        });
        let client = Client::builder().proxies([old]).build();
        let client = client.expect("a client");
        let (control, mut commands) = mpsc::channel(1);
        client.hand_list(&control).await;
        let waiting = client.hand_list(&control);
        tokio::pin!(waiting);
        let none = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending()));
        assert!(none.await, "there is no room");
        client.replace([new.clone()]).await.expect("a list");
        commands.recv().await.expect("the first list");
        waiting.await;
        let handed = commands.recv().await;
        assert!(
            matches!(&handed, Some(Control::Replace(list)) if *list == [new]),
            "{handed:?}"
        );
    }
}
