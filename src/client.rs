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
use std::sync::{Arc, OnceLock};

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
    /// A failed fetch is a value: a job that was attempted has its row, whatever became of it. Dropping the future takes the job
    /// back: it is not sent any more, and what is under way for it is stopped.
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
    async fn ask(&self, job: Job) -> Result<Finished, Error> {
        let single = match self.single.get() {
            Some(single) => single,
            None => {
                let started = Single::start(self)?;
                self.single.get_or_init(|| started)
            }
        };
        single.ask(job).await
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
