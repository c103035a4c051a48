//! `judge`: an echo endpoint on the open network, until a signal ends it.
//!
//! The serving is [`crate::lab::JudgeServer`]'s business; here flags become its settings, and what people have to know is said
//! on standard error: where it listens, and the key by which clients know its answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Failure, gathered};
use crate::cli::Environment;
use crate::cli::args::JudgeArgs;
use crate::cli::descriptors::{connections_that_fit, raise};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::CommandLine;
use crate::cli::signals::{self, Signal};
use crate::echo::Key;
use crate::error::{Error, Problem};
use crate::lab::{JudgeLimits, JudgeServer, JudgeSettings, JudgeTls, KeyFile};

/// How long answers under way may take once the end is asked for. They take milliseconds, unless a client is in no hurry.
const GRACE: Duration = Duration::from_secs(5);

/// Listens, says where, and serves until a signal.
pub(super) fn run(
    line: &CommandLine,
    environment: &Environment,
    early: &Printer,
) -> Result<Exit, Failure> {
    let (gathered, printer) = gathered::<JudgeArgs>("judge", line, environment, early)?;
    serve(&gathered.args, &printer).map_err(|error| (printer, gathered.placed(error)))
}

fn serve(args: &JudgeArgs, printer: &Printer) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Internal(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(drive(args, printer))
}

/// The judge with everything around it: signals in, messages out.
async fn drive(args: &JudgeArgs, printer: &Printer) -> Result<Exit, Error> {
    let read = |(certificate, key): &(PathBuf, PathBuf)| JudgeTls::read(certificate, key);
    let settings = JudgeSettings {
        listen: args.listen.clone(),
        listen_tls: args.listen_tls.clone(),
        tls: args.tls.as_ref().map(read).transpose()?,
        limits: JudgeLimits {
            interval: args.client_rate.interval(),
            burst: args.client_burst,
            connections: connections_that_fit(args.max_connections.get(), raise()),
            connections_per_client: args.max_client_connections.get() as usize,
            ..JudgeLimits::default()
        },
    };
    settings.check()?;
    // Before anything is announced: whoever reads it may send a signal at once.
    let (mut signals, _listener) = signals::listen()?;
    let (key, origin) = key(args.key.as_deref(), printer)?;
    let mut server = JudgeServer::start(key, settings)?;
    for (https, address) in server.addresses() {
        let scheme = if *https { "https" } else { "http" };
        printer.note(&format!("judge at {scheme}://{address}/"));
    }
    let public = server.public_key().to_base64();
    printer.note(&format!("public key {public} ({origin})"));

    until_the_end(&mut server, &mut signals, args.tls.as_ref(), printer).await;
    printer.note("ending: answers under way go out, a second signal drops them");
    tokio::select! {
        // Whatever is left after it ends with the server.
        _ = timeout(GRACE, server.drain()) => {}
        () = a_drain_or_stop(&mut signals) => {}
    }
    let counts = server.counts();
    printer.note(&format!(
        "{} requests answered, {} refused by the limits",
        counts.answered, counts.limited
    ));
    Ok(Exit::DONE)
}

/// The key to sign with, and where it is from.
fn key(path: Option<&Path>, printer: &Printer) -> Result<(Key, String), Error> {
    let Some(path) = path else {
        let key = Key::generate().map_err(|_| Error::Internal("no random numbers".into()))?;
        return Ok((key, "new, for this start only: --key FILE keeps one".into()));
    };
    let file = KeyFile::open(path)?;
    let shown = path.display();
    if file.is_exposed {
        let problem = Problem::new(format!("{shown} can be read by every user of this machine"))
            .at("--key")
            .hint(format!("chmod 600 {shown}"));
        printer.warn(&problem);
    }
    let origin = if file.is_new { "new, kept in" } else { "from" };
    Ok((file.key, format!("{origin} {shown}")))
}

/// Serves until a signal asks for the end. SIGHUP reads the certificate again.
async fn until_the_end(
    server: &mut JudgeServer,
    signals: &mut mpsc::Receiver<Signal>,
    tls: Option<&(PathBuf, PathBuf)>,
    printer: &Printer,
) {
    loop {
        let signal = tokio::select! {
            signal = signals.recv() => signal,
            () = server.serve() => None,
        };
        if signal != Some(Signal::Reload) {
            return;
        }
        let Some((certificate, key)) = tls else {
            printer.note("SIGHUP: there is no certificate to read again");
            continue;
        };
        match JudgeTls::read(certificate, key) {
            Ok(tls) => {
                server.set_tls(tls);
                printer.note("SIGHUP: the certificate is read again");
            }
            Err(error) => {
                printer.error(&error);
                printer.note("the certificate stays the one before");
            }
        }
    }
}

/// Waits for a signal that asks for the end.
async fn a_drain_or_stop(signals: &mut mpsc::Receiver<Signal>) {
    while signals.recv().await == Some(Signal::Reload) {}
}
