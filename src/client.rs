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

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::ban::{self, Judge};
use crate::egress::{self, SocketEgress};
use crate::engine::event::Event;
use crate::engine::{self, Control, Keeping, Plan};
use crate::error::{Error, Problem};
use crate::input::{JobSource, StreamSource};
use crate::job::{Job, RequestSpec};
use crate::limit;
use crate::metrics::{Snapshot, Summary};
use crate::outcome::{Finished, Outcome};
use crate::pool;
use crate::proxy::parse::parse_proxy_url;
use crate::proxy::{Proxy, Scheme};
use crate::retry;

/// Records that may wait between the engine and whoever reads them.
const CHANNEL: usize = 1024;

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

/// Collects proxies and settings; see [`Client::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    proxies: Vec<Arc<Proxy>>,
    settings: Settings,
    request: RequestSpec,
}

impl Builder {
    /// Adds one proxy by URL, as curl's `-x`: without a scheme it is `http`. Templates expand to several.
    ///
    /// # Errors
    /// The text is not a proxy.
    pub fn proxy(mut self, url: &str) -> Result<Self, Error> {
        let env = |name: &str| std::env::var(name).ok();
        let parsed = parse_proxy_url(url, Scheme::Http, &env)?;
        self.proxies.extend(parsed.into_iter().map(Arc::new));
        Ok(self)
    }

    /// Adds a parsed list.
    #[must_use]
    pub fn proxies(mut self, list: impl IntoIterator<Item = Arc<Proxy>>) -> Self {
        self.proxies.extend(list);
        self
    }

    /// Replaces all settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Requests in flight in all.
    #[must_use]
    pub fn concurrency(mut self, most: NonZeroU32) -> Self {
        self.settings.limits.concurrency = most;
        self
    }

    /// Requests to one host, such as `"10/s".parse()?`.
    #[must_use]
    pub fn host_rate(mut self, rate: limit::Quota) -> Self {
        self.settings.limits.host_rate = Some(rate);
        self
    }

    /// Method, headers and body of jobs made from a bare URL.
    #[must_use]
    pub fn request(mut self, request: RequestSpec) -> Self {
        self.request = request;
        self
    }

    /// Checks everything that can be checked without a network.
    ///
    /// # Errors
    /// No proxy was given, a rule does not compile, or a certificate file cannot be used.
    pub fn build(self) -> Result<Client, Error> {
        if self.proxies.is_empty() {
            return Err(Error::NoProxy(
                Problem::new("the client has no proxy")
                    .hint("add one with Builder::proxy; \"direct\" stands for no proxy"),
            ));
        }
        let judge = Arc::new(Judge::new(&self.settings.ban)?);
        // Constructed here for its errors; each run has its own, so that runs share no connections.
        SocketEgress::new(self.settings.egress.clone())?;
        Ok(Client {
            proxies: self.proxies,
            judge,
            settings: self.settings,
            request: Arc::new(self.request),
            keeping: None,
            events: None,
            single: OnceLock::new(),
        })
    }
}

/// A pool of proxies with settings. Cheap to keep, meant to be shared by reference.
#[derive(Debug)]
pub struct Client {
    proxies: Vec<Arc<Proxy>>,
    judge: Arc<Judge>,
    settings: Settings,
    request: Arc<RequestSpec>,
    keeping: Option<Keeping>,
    events: Option<SyncSender<Event>>,
    /// The engine behind [`Client::fetch`], started by the first call.
    single: OnceLock<Single>,
}

impl Client {
    /// A client to be set up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Begins every run from now on with what earlier ones have learned, and hands out what it learns: see [`crate::state`].
    /// Without it nothing outlives the client.
    #[must_use]
    pub fn keeping(mut self, keeping: Keeping) -> Self {
        self.keeping = Some(keeping);
        self
    }

    /// Tells what every run from now on decides, as it happens: see [`crate::engine::event`].
    #[must_use]
    pub fn telling(mut self, events: SyncSender<Event>) -> Self {
        self.events = Some(events);
        self
    }

    /// Fetches one URL. Calls may overlap; they share the pool, the limits and what is learned.
    ///
    /// A failed fetch is a value: a job that was attempted has its row, whatever became of it.
    ///
    /// # Errors
    /// [`Error::NoProxy`]: the pool was exhausted before the URL could be attempted. A later call looks at the proxies
    /// again.
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
        let done = self.ask(job.clone()).await?;
        if done.record.outcome != Outcome::Skipped {
            return Ok(done);
        }
        // The verdict may be an old one: the pool was exhausted for an earlier job, and nobody has looked since.
        if let Some(single) = self.single.get() {
            let again = Control::Replace(self.proxies.clone());
            // An engine that has ended says so below.
            let _ = single.control.send(again).await;
        }
        let done = self.ask(job).await?;
        if done.record.outcome == Outcome::Skipped {
            return Err(Error::NoProxy(Problem::new(
                "no usable proxy is left in the pool",
            )));
        }
        Ok(done)
    }

    /// One job through the engine behind [`Client::fetch`].
    async fn ask(&self, mut job: Job) -> Result<Finished, Error> {
        let ended = || Error::NoProxy(Problem::new("the run behind this client has ended"));
        let single = match self.single.get() {
            Some(single) => single,
            None => {
                let started = Single::start(self)?;
                self.single.get_or_init(|| started)
            }
        };
        job.seq = single.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let _asked = single.expect(job.seq, reply);
        single.jobs.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }

    /// Runs a stream of jobs to a stream of records, in the order they finish.
    ///
    /// # Errors
    /// A certificate file that could be read when the client was built cannot be read any more.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn run(&self, jobs: impl Stream<Item = Job> + Send + 'static) -> Result<Run, Error> {
        let (out, records) = mpsc::channel(CHANNEL);
        let running = self.start(StreamSource::new(jobs), out)?;
        Ok(Run { records, running })
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
            proxies: self.proxies.clone(),
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

/// A run in progress.
#[derive(Debug)]
pub struct Running {
    /// Drain, stop, or swap the proxies.
    pub control: mpsc::Sender<Control>,
    /// Counters, a few times a second.
    pub progress: watch::Receiver<Snapshot>,
    task: JoinHandle<(Summary, Result<(), Error>)>,
}

impl Running {
    /// Waits for the end. The summary is valid although the input failed.
    ///
    /// # Panics
    /// Re-raises a panic of the run.
    pub async fn join(self) -> (Summary, Result<(), Error>) {
        match self.task.await {
            Ok(ended) => ended,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// The records of [`Client::run`].
#[derive(Debug)]
pub struct Run {
    records: mpsc::Receiver<Finished>,
    running: Running,
}

impl Run {
    /// The next record, `None` when every job has its own.
    pub async fn next(&mut self) -> Option<Finished> {
        self.records.recv().await
    }

    /// Drain, stop, or swap the proxies.
    pub fn control(&self) -> &mpsc::Sender<Control> {
        &self.running.control
    }

    /// Drops the records not yet read and waits for the end.
    ///
    /// # Errors
    /// The input could not be read to its end.
    pub async fn finish(mut self) -> Result<Summary, Error> {
        while self.records.recv().await.is_some() {}
        let (summary, input) = self.running.join().await;
        input.map(|()| summary)
    }
}

impl Stream for Run {
    type Item = Finished;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Finished>> {
        self.records.poll_recv(cx)
    }
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Finished>>>>;

/// The engine behind [`Client::fetch`]. Ends when the client is dropped, because its input ends.
#[derive(Debug)]
struct Single {
    jobs: mpsc::Sender<Job>,
    control: mpsc::Sender<Control>,
    next: AtomicU64,
    waiting: Waiting,
}

impl Single {
    fn start(client: &Client) -> Result<Self, Error> {
        let (jobs, input) = mpsc::channel::<Job>(CHANNEL);
        let (out, mut records) = mpsc::channel::<Finished>(CHANNEL);
        let waiting = Waiting::default();
        let running = client.start(StreamSource::of(input), out)?;
        let control = running.control.clone();
        let replies = waiting.clone();
        tokio::spawn(async move {
            while let Some(done) = records.recv().await {
                let reply = lock(&replies).remove(&done.record.seq);
                if let Some(reply) = reply {
                    // Whoever asked may have gone away.
                    let _ = reply.send(done);
                }
            }
            // The run is over: whoever still waits gets an error.
            lock(&replies).clear();
            running.join().await
        });
        Ok(Single {
            jobs,
            control,
            next: AtomicU64::new(0),
            waiting,
        })
    }

    /// Has the record of job `seq` sent to `reply` for as long as the answer lives.
    fn expect(&self, seq: u64, reply: oneshot::Sender<Finished>) -> Asked<'_> {
        lock(&self.waiting).insert(seq, reply);
        Asked {
            waiting: &self.waiting,
            seq,
        }
    }
}

/// Somebody waits for a record; dropped with the future that does.
struct Asked<'a> {
    waiting: &'a Waiting,
    seq: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.seq);
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Finished>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_fetch_that_is_given_up_leaves_nothing_behind() {
        // Nobody accepts, so nobody answers.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let client = Client::builder()
            .proxy(&format!("socks5://{address}"))
            .and_then(Builder::build)
            .expect("a client");
        let patience = Duration::from_millis(20);
        let fetch = tokio::time::timeout(patience, client.fetch("http://target.test/"));
        assert!(fetch.await.is_err(), "there was an answer");
        let single = client.single.get().expect("an engine");
        assert!(lock(&single.waiting).is_empty());
    }
}
