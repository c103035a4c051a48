//! The engine and its pool in a scenario's world, on a paused clock.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use proxywheel::ban::{self, Judge};
use proxywheel::cli::simulated::{FAKE, MARK, Simulated, host_name};
use proxywheel::engine::{self, Control, Keeping, Plan};
use proxywheel::error::Error;
use proxywheel::input::JobSource;
use proxywheel::job::{Job, RequestSpec};
use proxywheel::lab::scenario::{Figures, Metric, Scenario, World, oracle};
use proxywheel::metrics::{FinishReason, Snapshot};
use proxywheel::pool::Mechanism;
use proxywheel::{limit, pool, retry};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Jobs handed over at a time.
const BATCH: u32 = 64;

/// Figures of one seed, the oracle's beside ours.
pub(crate) struct Measured {
    pub(crate) seed: u64,
    pub(crate) oracle: Figures,
    pub(crate) ours: Figures,
}

impl Measured {
    /// Runs both; ours is cut after so many times the oracle's time, and what it has not fetched by then is lost.
    pub(crate) fn of(scenario: &Scenario, seed: u64, longest: u32) -> Measured {
        Measured::with(scenario, seed, longest, How::default())
    }

    /// The same with ours as `how` says.
    pub(crate) fn with(scenario: &Scenario, seed: u64, longest: u32, how: How<'_>) -> Measured {
        let oracle = oracle(scenario, seed);
        let longest = oracle.makespan * longest;
        let ours = runtime().block_on(go(scenario, seed, longest, how));
        Measured { seed, oracle, ours }
    }

    pub(crate) fn get(&self, metric: Metric) -> Option<f64> {
        metric.of(&self.ours, &self.oracle)
    }
}

/// The median over the seeds; `None` for a figure that does not apply.
pub(crate) fn median(runs: &[&Measured], metric: Metric) -> Option<f64> {
    let values: Option<Vec<f64>> = runs.iter().map(|run| run.get(metric)).collect();
    let mut values = values?;
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    Some(if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    })
}

/// What is not as usual in a run of ours.
#[derive(Default)]
pub(crate) struct How<'a> {
    /// What it begins with, and who is told what is learned.
    pub(crate) keeping: Option<Keeping>,
    /// What is left out.
    pub(crate) without: Option<Mechanism>,
    /// Called after every row with the number of rows.
    pub(crate) on_row: Option<&'a mut dyn FnMut(u32)>,
}

/// A runtime whose clock goes on when everybody waits.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

/// The program's own run of a scenario, with its own settings but for what the scenario says. It is interrupted after
/// `longest`.
///
/// # Panics
/// A URL has no row or two, or a row is `ok` with a body that `--must-match` knows to be false.
pub(crate) async fn go(scenario: &Scenario, seed: u64, longest: Duration, how: How<'_>) -> Figures {
    let (egress, proxies) = Simulated::new(World::new(scenario, seed));
    let tally = egress.tally();
    let judge = ban::Settings {
        must_match: vec![MARK.into()],
        ..ban::Settings::default()
    };
    let limits = limit::Settings {
        concurrency: scenario.concurrency,
        ..limit::Settings::default()
    };
    let mut engine = engine::Settings {
        seed: Some(seed),
        ..engine::Settings::default()
    };
    if let Some(most) = scenario.probe_concurrency {
        engine.probe_concurrency = most.get() as usize;
    }
    let plan = Plan {
        egress,
        proxies,
        judge: Arc::new(Judge::new(&judge).expect("the rules compile")),
        pool: pool::Settings {
            proxy_concurrency: scenario.proxy_concurrency.get(),
            without: how.without,
            ..pool::Settings::default()
        },
        limits,
        retry: retry::Settings::default(),
        engine,
        keeping: how.keeping,
        events: None,
    };
    let began = Instant::now();
    let (out, records) = mpsc::channel(1024);
    let (control, commands) = mpsc::channel(1);
    let (publish, _progress) = watch::channel(Snapshot::default());
    let source = Urls {
        next: 0,
        urls: scenario.urls.get(),
        hosts: (0..scenario.hosts.len()).map(host_name).collect(),
        request: Arc::default(),
    };
    let engine = engine::run(plan, source, out, commands, publish);
    let rows = collect(scenario, began, records, how.on_row);
    let interrupt = async {
        tokio::time::sleep(longest).await;
        // A run that has ended does not listen any more.
        let _ = control.send(Control::Stop(FinishReason::Interrupted)).await;
        std::future::pending::<Infallible>().await
    };
    let ((_, input), (mut figures, seen)) = tokio::select! {
        ended = async { tokio::join!(engine, rows) } => ended,
        never = interrupt => match never {},
    };
    input.expect("the input is a list");
    let interrupted = began.elapsed() >= longest;
    let without = seen.iter().filter(|seen| !**seen).count();
    assert!(interrupted || without == 0, "{without} URLs have no row");
    figures.lost += without as u32;
    if interrupted {
        figures.makespan = longest;
    }
    figures.tally = tally();
    figures
}

async fn collect(
    scenario: &Scenario,
    began: Instant,
    mut records: mpsc::Receiver<proxywheel::outcome::Finished>,
    mut on_row: Option<&mut dyn FnMut(u32)>,
) -> (Figures, Vec<bool>) {
    let mut figures = Figures::default();
    let mut seen = vec![false; scenario.urls.get() as usize];
    let troubled: Vec<bool> = scenario
        .hosts
        .iter()
        .map(|host| !host.outages.is_empty())
        .collect();
    while let Some(done) = records.recv().await {
        let seq = done.record.seq as usize;
        assert!(
            !std::mem::replace(&mut seen[seq], true),
            "two rows of {seq}"
        );
        figures.makespan = began.elapsed();
        if let Some(on_row) = &mut on_row {
            on_row(figures.successes + figures.lost + 1);
        }
        if !done.record.ok {
            figures.lost += 1;
            continue;
        }
        figures.successes += 1;
        if figures.successes == 100 {
            figures.hundredth = Some(figures.makespan);
        }
        if troubled.contains(&true) && !troubled[seq % troubled.len()] {
            figures.other_hosts = Some(figures.makespan);
        }
        if let Some(known) = is_fake(&done.body) {
            assert!(
                !known,
                "a body that --must-match refuses is in the row of {seq}"
            );
            figures.fakes_accepted += 1;
        }
    }
    (figures, seen)
}

/// The URLs of a scenario, made as they are asked for.
struct Urls {
    next: u32,
    urls: u32,
    hosts: Vec<String>,
    request: Arc<RequestSpec>,
}

impl JobSource for Urls {
    async fn next(&mut self) -> Option<Result<Vec<Job>, Error>> {
        let to = self.urls.min(self.next + BATCH);
        let batch: Vec<_> = (self.next..to)
            .map(|number| {
                let host = &self.hosts[number as usize % self.hosts.len()];
                let url = format!("http://{host}/{number}");
                Job::new(u64::from(number), &url, self.request.clone())
            })
            .collect();
        self.next = to;
        (!batch.is_empty()).then_some(Ok(batch))
    }

    fn remaining(&self) -> Option<u64> {
        Some(u64::from(self.urls - self.next))
    }
}

/// A line of a table for people.
pub(crate) fn line(name: &str, run: &Measured, wall: Duration) -> String {
    let mut line = format!("{name:<3} {:>4}", run.seed);
    for metric in Metric::ALL {
        match run.get(metric) {
            Some(value) => line.push_str(&format!(" {value:>8.3}")),
            None => line.push_str("        -"),
        }
    }
    line.push_str(&format!(
        " {:>8.1} {:>6.1} {:>8} {:>6.1}",
        run.ours.makespan.as_secs_f64(),
        run.ours.hundredth.unwrap_or_default().as_secs_f64(),
        run.ours.tally.to_dead,
        wall.as_secs_f64(),
    ));
    line
}

/// What stands above [`line`]s.
pub(crate) const HEADING: &str = "world seed oracle-s    ratio attempts   probes  blocked    fakes   others     lost makespan  100th  to-dead wall-s";

/// True for the body of a fake, and whether `--must-match` knows it.
fn is_fake(body: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(body);
    text.contains(FAKE).then(|| !text.contains(MARK))
}
