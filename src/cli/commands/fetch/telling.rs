//! `--why`, `-v` and `--record`: a thread that takes what the run tells of its decisions, and prints or writes it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;

use super::why::Much;
use super::{joined, why};
use crate::cli::printer::Printer;
use crate::cli::recording::{Attempt, End, GivenUp, Head, Line, Probe, VERSION};
use crate::config::Resolved;
use crate::engine::event::{Event, What};
use crate::error::Error;
use crate::metrics::Summary;
use crate::outcome::{Outcome, UnixMillis};
use crate::proxy::{Proxy, ProxyId};

/// Events that may wait. When there are more, the run waits.
const CHANNEL: usize = 4096;
/// How soon the thread sees that the run is over although somebody still holds the channel.
const LOOK: Duration = Duration::from_millis(100);

/// The thread.
pub(super) struct Teller {
    thread: JoinHandle<Result<Option<Recorder>, Error>>,
    is_over: Arc<AtomicBool>,
}

/// Begins to tell, if the settings ask for it.
///
/// # Errors
/// The record cannot be created.
pub(super) fn begin(
    resolved: &Resolved,
    proxies: usize,
    printer: &Printer,
) -> Result<Option<(SyncSender<Event>, Teller)>, Error> {
    let much = Much::of(resolved.why, printer.level());
    if much.is_none() && resolved.record.is_none() {
        return Ok(None);
    }
    let recorder = match &resolved.record {
        Some(path) => Some(Recorder::new(path.clone(), head(resolved, proxies))?),
        None => None,
    };
    let (events, told) = sync_channel(CHANNEL);
    let is_over = Arc::new(AtomicBool::new(false));
    let why = much.map(|much| (printer.clone(), much));
    let over = Arc::clone(&is_over);
    let thread = std::thread::spawn(move || take(&told, &over, why.as_ref(), recorder));
    Ok(Some((events, Teller { thread, is_over })))
}

impl Teller {
    /// Waits until everything is told.
    ///
    /// # Errors
    /// The record could not be written to its end.
    pub(super) async fn end(self, summary: &Summary) -> Result<(), Error> {
        self.is_over.store(true, Ordering::Relaxed);
        let totals = &summary.totals;
        let end = Line::End(End {
            t: totals.elapsed.as_secs_f64(),
            urls: totals.done,
            ok: totals.count(Outcome::Ok),
            attempts: totals.attempts,
            probes: totals.probes,
            reason: summary.reason.as_str().to_owned(),
        });
        let finish = move || {
            let recorder = joined_thread(self.thread)?;
            recorder.map_or(Ok(()), |recorder| recorder.end(&end))
        };
        joined(spawn_blocking(finish).await)
    }
}

/// The value of a thread; its panic goes on here.
fn joined_thread<T>(thread: JoinHandle<T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The thread: takes events until nobody can send any more, or the run is over.
fn take(
    told: &Receiver<Event>,
    is_over: &AtomicBool,
    why: Option<&(Printer, Much)>,
    mut recorder: Option<Recorder>,
) -> Result<Option<Recorder>, Error> {
    let mut failed = None;
    loop {
        let event = match told.recv_timeout(LOOK) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) if !is_over.load(Ordering::Relaxed) => continue,
            Err(_) => break,
        };
        if let Some((printer, much)) = why
            && let Some(line) = why::line(&event, *much)
        {
            printer.note(&line);
        }
        // A full disk ends the record and not the run.
        if let Some(writing) = &mut recorder
            && let Err(error) = writing.event(&event)
        {
            failed = Some(error);
            recorder = None;
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(recorder),
    }
}

fn head(resolved: &Resolved, proxies: usize) -> Head {
    Head {
        v: VERSION,
        at: UnixMillis::from(SystemTime::now()),
        proxies: u32::try_from(proxies).unwrap_or(u32::MAX),
        rotate: resolved.pool.strategy.as_str().to_owned(),
        concurrency: resolved.limit.concurrency.get(),
        proxy_concurrency: resolved.pool.proxy_concurrency,
        probe_concurrency: u32::try_from(resolved.engine.probe_concurrency).unwrap_or(u32::MAX),
        retries: resolved.retry.retries,
        max_proxies_per_url: resolved.retry.max_proxies_per_url,
        connect_timeout: resolved.pool.connect_timeout.as_secs_f64(),
        max_time: resolved.engine.max_time.as_secs_f64(),
        hedge: resolved.engine.hedge,
        seed: resolved.engine.seed.unwrap_or_default(),
    }
}

/// Writes the record.
struct Recorder {
    path: PathBuf,
    file: BufWriter<File>,
    numbers: HashMap<ProxyId, u32>,
}

impl Recorder {
    fn new(path: PathBuf, head: Head) -> Result<Self, Error> {
        let file = File::create(&path).map_err(|error| Error::io("create", &path, error))?;
        let mut recorder = Recorder {
            path,
            file: BufWriter::new(file),
            numbers: HashMap::new(),
        };
        recorder.line(&Line::Run(head))?;
        Ok(recorder)
    }

    fn event(&mut self, event: &Event) -> Result<(), Error> {
        let at = event.at;
        let line = match &event.what {
            What::Attempt(tried) => {
                Line::Attempt(Attempt::of(tried, self.number(&tried.proxy)?, at))
            }
            What::Probe(probed) => Line::Probe(Probe::of(probed, self.number(&probed.proxy)?, at)),
            What::GivenUp { job, outcome, why } => {
                Line::GivenUp(GivenUp::of(job, *outcome, why, at))
            }
        };
        self.line(&line)
    }

    /// The number of a proxy, which is introduced when it is new.
    fn number(&mut self, proxy: &Proxy) -> Result<u32, Error> {
        if let Some(number) = self.numbers.get(&proxy.id()) {
            return Ok(*number);
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(proxy.id(), number);
        let label = proxy.label().to_string();
        self.line(&Line::Proxy {
            proxy: number,
            label,
        })?;
        Ok(number)
    }

    fn line(&mut self, line: &Line) -> Result<(), Error> {
        let mut text = serde_json::to_string(line)
            .map_err(|error| Error::Internal(format!("cannot write a line: {error}")))?;
        text.push('\n');
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| Error::io("write", &self.path, error))
    }

    fn end(mut self, end: &Line) -> Result<(), Error> {
        self.line(end)?;
        let flushed = self.file.flush();
        flushed.map_err(|error| Error::io("write", &self.path, error))
    }
}
