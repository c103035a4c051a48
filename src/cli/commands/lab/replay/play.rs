//! A model played by the program's own engine, on a clock that goes on when everybody waits.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::model::Model;
use super::recorded::{Recorded, Totals};
use crate::ban::{self, Judge};
use crate::cli::simulated::{MARK, Simulated, host_name};
use crate::engine::{self, Control, Plan};
use crate::error::Error;
use crate::input::JobSource;
use crate::job::{Job, RequestSpec};
use crate::lab::scenario::World;
use crate::metrics::{FinishReason, Snapshot};
use crate::outcome::Outcome;
use crate::pool::{self, Strategy};
use crate::{limit, retry};

/// Jobs handed over at a time.
const BATCH: usize = 64;
/// A run that takes this many times what was recorded is cut, and never before an hour.
const LONGEST: f64 = 20.0;
const LEAST: Duration = Duration::from_secs(3600);

/// The run with another strategy.
///
/// # Errors
/// No runtime can be had.
pub(super) fn play(
    recorded: &Recorded,
    model: &Model,
    strategy: Strategy,
    seed: u64,
) -> Result<Totals, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| Error::Internal(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(run(recorded, model, strategy, seed))
}

async fn run(
    recorded: &Recorded,
    model: &Model,
    strategy: Strategy,
    seed: u64,
) -> Result<Totals, Error> {
    let head = &recorded.head;
    let (egress, proxies) = Simulated::new(World::new(&model.scenario, seed));
    let tally = egress.tally();
    let judge = ban::Settings {
        must_match: vec![MARK.into()],
        ..ban::Settings::default()
    };
    let plan = Plan {
        egress,
        proxies,
        judge: Arc::new(Judge::new(&judge)?),
        pool: pool::Settings {
            strategy,
            proxy_concurrency: head.proxy_concurrency,
            connect_timeout: time(head.connect_timeout),
            ..pool::Settings::default()
        },
        limits: limit::Settings {
            concurrency: model.scenario.concurrency,
            ..limit::Settings::default()
        },
        retry: retry::Settings {
            retries: head.retries,
            max_proxies_per_url: head.max_proxies_per_url,
            ..retry::Settings::default()
        },
        engine: engine::Settings {
            max_time: time(head.max_time),
            probe_concurrency: model.scenario.probe_concurrency.map_or(1, NonZeroU32::get) as usize,
            hedge: head.hedge,
            seed: Some(seed),
            ..engine::Settings::default()
        },
        keeping: None,
        events: None,
    };
    let began = Instant::now();
    let (out, mut records) = mpsc::channel(1024);
    let (control, commands) = mpsc::channel(1);
    let (publish, _progress) = watch::channel(Snapshot::default());
    let source = Urls {
        next: 0,
        hosts: recorded.urls.clone(),
        request: Arc::default(),
    };
    let engine = engine::run(plan, source, out, commands, publish);
    let last_row = async {
        let mut last = Duration::ZERO;
        while records.recv().await.is_some() {
            last = began.elapsed();
        }
        last
    };
    let longest = time(LONGEST * recorded.totals().makespan).max(LEAST);
    let interrupt = async {
        tokio::time::sleep(longest).await;
        // A run that has ended does not listen any more.
        let _ = control.send(Control::Stop(FinishReason::Interrupted)).await;
        std::future::pending::<Infallible>().await
    };
    let ((summary, input), makespan) = tokio::select! {
        ended = async { tokio::join!(engine, last_row) } => ended,
        never = interrupt => match never {},
    };
    input?;
    let totals = &summary.totals;
    Ok(Totals {
        makespan: makespan.as_secs_f64(),
        urls: recorded.urls.len() as u64,
        ok: totals.count(Outcome::Ok),
        attempts: totals.attempts,
        refused: tally().blocked,
        probes: totals.probes,
    })
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// The URLs of the run, by their hosts, in the order of its input.
struct Urls {
    next: usize,
    hosts: Vec<usize>,
    request: Arc<RequestSpec>,
}

impl JobSource for Urls {
    async fn next(&mut self) -> Option<Result<Vec<Job>, Error>> {
        let to = self.hosts.len().min(self.next + BATCH);
        let batch: Vec<_> = (self.next..to)
            .map(|number| {
                let host = host_name(self.hosts[number]);
                let url = format!("http://{host}/{number}");
                Job::new(number as u64, &url, self.request.clone())
            })
            .collect();
        self.next = to;
        (!batch.is_empty()).then_some(Ok(batch))
    }

    fn remaining(&self) -> Option<u64> {
        Some((self.hosts.len() - self.next) as u64)
    }
}
