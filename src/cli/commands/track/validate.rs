//! `track validate`: everything that is wrong in a job file, or how much the job is.

use std::fs;

use super::{job, size};
use crate::cli::Environment;
use crate::cli::args::TrackValidateArgs;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::settings::settings_of_job;
use crate::config::ListSource;
use crate::error::{Error, Problem};
use crate::track::job::TrackJob;

pub(super) fn run(
    args: &TrackValidateArgs,
    environment: &Environment,
    printer: &Printer,
) -> Result<Exit, Error> {
    // Every file is looked at; the last complaint is the one that ends the program.
    let mut wrong: Option<Error> = None;
    for path in &args.jobs {
        let read = job(path, environment).and_then(|job| check_lists(&job).map(|()| job));
        match read {
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

/// Complains of the first proxy list that a job names and that is not there.
fn check_lists(job: &TrackJob) -> Result<(), Error> {
    let settings = settings_of_job(job)?;
    for name in &settings.args.proxies.list.proxy_file {
        let ListSource::File(path) = ListSource::of(name) else {
            continue;
        };
        if let Err(why) = fs::metadata(&path) {
            let problem = Problem::new(format!("cannot read {}: {why}", path.display()))
                .at("--proxy-file")
                .hint("the path is relative to the folder of the job file");
            return Err(settings.placed(problem.into()));
        }
    }
    Ok(())
}
