//! `track validate`: everything that is wrong in a job file, or how much the job is.

use super::{job, size};
use crate::cli::Environment;
use crate::cli::args::TrackValidateArgs;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::error::Error;

pub(super) fn run(
    args: &TrackValidateArgs,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    // Every file is looked at; the last complaint is the one that ends the program.
    let mut wrong: Option<Error> = None;
    for path in &args.jobs {
        match job(path, environment) {
            Ok(job) => {
                let named = if args.jobs.len() > 1 {
                    format!("{}: ", path.display())
                } else {
                    String::new()
                };
                let most = job.plan().most;
                let requests = if most == 1 { "request" } else { "requests" };
                printer.data(&format!(
                    "{named}ok: {}, at most {most} {requests}\n",
                    size(&job)
                ))?;
            }
            Err(error) => {
                if let Some(before) = wrong.replace(error) {
                    printer.error(&before);
                }
            }
        }
    }
    wrong.map_or(Ok(Exit::DONE), Err)
}
