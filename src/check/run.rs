//! The check of a whole list: so many at a time, in an order in which no neighbourhood is hit at once.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::{StdRng, SysRng};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng, TryRng};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Settings;
use super::crowd::{Crowd, SILENCE};
use super::dns::Dns;
use super::findings::Local;
use super::judges::Judges;
use super::look::Context;
use super::nonce::Nonces;
use super::report::Report;
use super::verdict::Verdict;
use crate::ban;
use crate::egress::Egress;
use crate::job::shown;
use crate::proxy::Proxy;

/// The reason of those that no judge could be asked about.
const JUDGE_DOWN: &str = "judge_down";
/// How often a proxy is tried again when this machine failed.
const LOCAL_TRIES: u32 = 5;
/// Rest after this machine failed: descriptors and ports come back as others end.
const LOCAL_REST: Duration = Duration::from_millis(200);
/// Never fewer at a time.
const FLOOR: usize = 8;

/// Everything a check needs but the list and the place for its rows.
pub struct Plan<E> {
    /// The path out. It should keep no idle connections: every sample is a new one.
    pub egress: E,
    /// Compiled rules, by which refusals are read and the user's URLs judged.
    pub rules: ban::Judge,
    /// The rest.
    pub settings: Settings,
}

/// How far a check has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Proxies in the list.
    pub all: u64,
    /// Proxies with a verdict.
    pub done: u64,
    /// Verdicts so far, in the order of [`Verdict::ALL`].
    pub verdicts: [u64; Verdict::ALL.len()],
    /// Proxies that are unknown because no judge answered when it was their turn; all when none did from the start.
    pub unjudged: u64,
}

/// What came of a check.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// The counts.
    pub progress: Progress,
    /// How often each reason was given, those of the alive left out.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Addresses the judges saw.
    pub exits: HashSet<IpAddr>,
    /// Median times of those that work, unsorted.
    pub medians: Vec<Duration>,
    /// Judges that did not answer on the direct path at the start, and why.
    pub silent: Vec<(String, String)>,
    /// Why made-up names were asked for nowhere, though that was wanted.
    pub astray: Option<String>,
    /// What exits did with names, by [`Dns::as_str`]; those not tested left out.
    pub names: BTreeMap<&'static str, u64>,
    /// None of them did, so nothing was checked.
    pub no_judge: bool,
    /// Times this machine failed and a proxy was put back.
    pub local: u64,
    /// It was stopped before the end of the list.
    pub stopped: bool,
    /// Wall clock.
    pub took: Duration,
}

/// Checks `proxies` and sends one [`Report`] for each into `out` as soon as it is known. Ends early, with what it has, when nobody
/// takes the reports any more or `stop` becomes true.
pub async fn run<E: Egress>(
    plan: Plan<E>,
    proxies: Vec<Arc<Proxy>>,
    out: mpsc::Sender<Report>,
    progress: watch::Sender<Progress>,
    mut stop: watch::Receiver<bool>,
) -> Summary {
    let began = Instant::now();
    let seed = plan.settings.seed.unwrap_or_else(system_seed);
    let mut rng = StdRng::seed_from_u64(seed);
    let settings = plan.settings;
    let mut context = Context {
        judges: Judges::new(
            &settings.judges,
            settings.headers.clone(),
            settings.control,
            settings.max_time,
        ),
        egress: plan.egress,
        rules: plan.rules,
        domain: None,
        nonces: Nonces::new(rng.random()),
        settings,
    };
    let mut summary = Summary::default();
    summary.progress.all = proxies.len() as u64;
    let silent = context.judges.meet(&context.egress, &context.nonces).await;
    let judges = context.judges.len();
    summary.no_judge = judges > 0 && silent.len() == judges;
    summary.silent = silent
        .into_iter()
        .map(|(number, why)| (shown(context.judges.get(number).base()).into(), why))
        .collect();
    if summary.no_judge {
        summary.progress.unjudged = summary.progress.all;
    } else {
        summary.astray = context.find_domain().await.err();
        let context = Arc::new(context);
        let mut waiting: Vec<(u64, Arc<Proxy>, u32)> = (0u64..)
            .zip(proxies)
            .map(|(seq, proxy)| (seq, proxy, 0))
            .collect();
        waiting.shuffle(&mut rng);
        let mut checking = Checking {
            crowd: Arc::new(Crowd::new(context.settings.concurrency.max(1))),
            context,
            waiting: waiting.into(),
            tasks: JoinSet::new(),
        };
        while !checking.is_over() {
            let joined = tokio::select! {
                biased;
                Some(joined) = checking.tasks.join_next() => joined,
                permit = checking.crowd.free(), if !checking.waiting.is_empty() => {
                    checking.begin(permit);
                    continue;
                }
                Ok(()) = stop.changed() => {
                    if *stop.borrow() {
                        summary.stopped = true;
                        break;
                    }
                    continue;
                }
            };
            let ended = match joined {
                Ok(ended) => ended,
                Err(failed) => std::panic::resume_unwind(failed.into_panic()),
            };
            let Some(report) = checking.ended(ended, &mut summary) else {
                continue;
            };
            summary.note(&report);
            // Nobody looking is no reason to stop.
            let _ = progress.send(summary.progress.clone());
            if out.send(report).await.is_err() {
                summary.stopped = true;
                break;
            }
        }
        checking.tasks.shutdown().await;
    }
    summary.took = began.elapsed();
    summary
}

struct Ended {
    seq: u64,
    proxy: Arc<Proxy>,
    tries: u32,
    result: Result<Report, Local>,
}

struct Checking<E> {
    context: Arc<Context<E>>,
    crowd: Arc<Crowd>,
    waiting: VecDeque<(u64, Arc<Proxy>, u32)>,
    tasks: JoinSet<Ended>,
}

impl<E: Egress> Checking<E> {
    fn is_over(&self) -> bool {
        self.tasks.is_empty() && self.waiting.is_empty()
    }

    fn begin(&mut self, permit: OwnedSemaphorePermit) {
        let Some((seq, proxy, tries)) = self.waiting.pop_front() else {
            return;
        };
        if self.waiting.is_empty() {
            self.crowd.all_have_begun();
        }
        let (context, crowd) = (self.context.clone(), self.crowd.clone());
        self.tasks.spawn(async move {
            let place = crowd.place(permit);
            if tries > 0 {
                tokio::time::sleep(LOCAL_REST * tries).await;
            }
            let result = {
                let mut examining = pin!(context.examine(seq, proxy.clone(), &place));
                match timeout(SILENCE, &mut examining).await {
                    Ok(result) => result,
                    Err(_) => {
                        let _beside = place.step_beside();
                        examining.await
                    }
                }
            };
            Ended {
                seq,
                proxy,
                tries,
                result,
            }
        });
    }

    /// The report, unless this machine failed and the proxy gets another turn with fewer beside it.
    fn ended(&mut self, ended: Ended, summary: &mut Summary) -> Option<Report> {
        let Ended {
            seq,
            proxy,
            tries,
            result,
        } = ended;
        match result {
            Ok(report) => Some(report),
            Err(Local(trouble)) if tries >= LOCAL_TRIES => {
                Some(Report::unknown(seq, proxy, trouble))
            }
            Err(Local(_)) => {
                summary.local += 1;
                self.crowd.shrink(FLOOR);
                self.waiting.push_back((seq, proxy, tries + 1));
                None
            }
        }
    }
}

impl Summary {
    fn note(&mut self, report: &Report) {
        self.progress.done += 1;
        let at = Verdict::ALL.iter().position(|each| *each == report.verdict);
        if let Some(at) = at {
            self.progress.verdicts[at] += 1;
        }
        if report.verdict == Verdict::Unknown && report.reason() == JUDGE_DOWN {
            self.progress.unjudged += 1;
        }
        if report.verdict != Verdict::Alive {
            *self.reasons.entry(report.reason()).or_default() += 1;
        }
        self.exits.extend(&report.exits);
        if report.dns != Dns::NotTested {
            *self.names.entry(report.dns.as_str()).or_default() += 1;
        }
        if matches!(report.verdict, Verdict::Alive | Verdict::Unstable) {
            self.medians
                .extend(report.latency().map(|latency| latency.p50));
        }
    }

    /// Proxies with this verdict.
    pub fn count(&self, verdict: Verdict) -> u64 {
        let at = Verdict::ALL.iter().position(|each| *each == verdict);
        at.map_or(0, |at| self.progress.verdicts[at])
    }
}

pub(super) fn system_seed() -> u64 {
    SysRng.try_next_u64().unwrap_or(0)
}
