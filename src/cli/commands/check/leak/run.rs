//! Jobs through the library's own door, as `fetch` sends them, and what came back of each.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use url::Url;

use super::finding::Read;
use super::judge::Judge;
use super::place::Target;
use crate::client::{Client, Settings};
use crate::error::Error;
use crate::input::{BATCH, JobSource};
use crate::job::{Job, RequestSpec};
use crate::outcome::Finished;
use crate::proxy::{Proxy, ProxyId};

/// Records that may wait to be read.
const CHANNEL: usize = 64;

/// One job.
pub(super) struct Ask {
    pub(super) url: Url,
    pub(super) nonce: String,
    /// Number of the judge that answers in the end.
    pub(super) judge: usize,
    pub(super) target: Target,
    /// In a session of its own: on a connection of its own.
    pub(super) apart: bool,
}

/// What came of a job.
pub(super) struct Back {
    pub(super) ask: Ask,
    /// The last proxy that was tried.
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) tried: Vec<ProxyId>,
    pub(super) attempts: u32,
    pub(super) read: Read,
}

/// Runs `asks` through `pool` to their end.
///
/// # Errors
/// The client cannot be made.
pub(super) async fn run(
    pool: Vec<Arc<Proxy>>,
    settings: Settings,
    request: &Arc<RequestSpec>,
    judges: &[Judge],
    asks: Vec<Ask>,
) -> Result<Vec<Back>, Error> {
    let client = Client::builder()
        .proxies(pool)
        .configure(|own| *own = settings)
        .build()?;
    let jobs: Vec<_> = (0u64..)
        .zip(&asks)
        .map(|(seq, ask)| {
            let mut job = Job::new(seq, ask.url.as_str(), request.clone());
            job.session = ask.apart.then(|| ask.nonce.as_str().into());
            job
        })
        .collect();
    let mut waiting: HashMap<u64, Ask> = (0u64..).zip(asks).collect();
    let (out, mut records) = mpsc::channel(CHANNEL);
    let running = client.start(Jobs(jobs), out)?;
    let mut backs = Vec::new();
    while let Some(done) = records.recv().await {
        if let Some(ask) = waiting.remove(&done.record.seq) {
            backs.push(back(ask, done, judges));
        }
    }
    let (_, input) = running.join().await;
    input.map(|()| backs)
}

fn back(ask: Ask, done: Finished, judges: &[Judge]) -> Back {
    let record = done.record;
    let read = match judges
        .get(ask.judge)
        .filter(|_| record.ok)
        .map(|judge| judge.read(&done.body, &ask.nonce))
    {
        Some(Ok(echo)) => Read::Echo(Box::new(echo)),
        Some(Err(true)) => Read::Altered,
        Some(Err(false)) | None => Read::Nothing,
    };
    let tried = record.attempt_log.iter();
    Back {
        tried: tried.map(|attempt| attempt.proxy.id()).collect(),
        ask,
        attempts: record.attempts,
        proxy: record.proxy,
        read,
    }
}

/// A list of jobs as a source of them.
struct Jobs(Vec<Job>);

impl JobSource for Jobs {
    async fn next(&mut self) -> Option<Result<Vec<Job>, Error>> {
        let batch: Vec<_> = self.0.drain(..BATCH.min(self.0.len())).collect();
        (!batch.is_empty()).then_some(Ok(batch))
    }

    fn remaining(&self) -> Option<u64> {
        u64::try_from(self.0.len()).ok()
    }
}
