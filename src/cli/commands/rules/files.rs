//! The saved answers that the command line names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use http::StatusCode;
use url::Url;

use crate::cli::commands::read;
use crate::cli::printer::Printer;
use crate::error::{Error, Problem};
use crate::input::saved::{self, Label, Saved};

/// What people say of files, and where those are.
pub(super) struct Labels {
    of: HashMap<String, Label>,
    folder: PathBuf,
}

pub(super) fn labels(path: Option<&Path>) -> Result<Option<Labels>, Error> {
    let Some(path) = path else { return Ok(None) };
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let of = saved::labels(&text).map_err(|problem| problem.at(path.display().to_string()))?;
    let beside = path.parent().unwrap_or(Path::new(""));
    let below = beside.join("pages");
    let folder = if below.is_dir() {
        below
    } else {
        beside.to_owned()
    };
    Ok(Some(Labels { of, folder }))
}

/// Calls `found` for every answer in these files and in the folders among them, in the order of names.
pub(super) fn each(
    files: &[PathBuf],
    labels: Option<&Labels>,
    printer: &Printer,
    mut found: impl FnMut(Saved, Option<&Label>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut paths = Vec::new();
    for path in files {
        if path.is_dir() {
            collect(path, &mut paths)?;
        } else {
            paths.push(path.clone());
        }
    }
    if let Some(labels) = labels.filter(|_| files.is_empty()) {
        paths.extend(labels.of.keys().map(|name| labels.folder.join(name)));
        paths.sort();
    }
    if paths.is_empty() {
        return Err(Problem::new("there are no files to judge").into());
    }
    let (mut lacking, mut all) = (0, 0);
    for path in paths {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| path.display().to_string());
        let label = labels.and_then(|labels| labels.of.get(&name));
        let answers = saved::answers(&name, read(&path)?, label)?;
        if answers.is_empty() {
            printer.warn(&Problem::new("there is no answer in it").at(name));
        }
        for saved in answers {
            all += 1;
            lacking += usize::from(saved.lacks_body);
            found(saved, label)?;
        }
    }
    if lacking > 0 {
        let what = format!("judged without their bodies: {lacking} of {all} answers");
        printer.warn(&Problem::new(what).hint("fetch with --headers --body inline"));
    }
    Ok(())
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |error| Error::io("read", folder, error);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// Fills in what the person knows of an answer that does not say it.
pub(super) fn told(saved: &mut Saved, status: Option<u16>, url: Option<&Url>) {
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    if let (Some(status), Ok(response)) = (status, &mut saved.exchange.result)
        && response.status == StatusCode::OK
    {
        response.status = status;
    }
    if let Some(url) = url
        && saved.url.host_str() == Some(saved::UNKNOWN)
    {
        saved.url = url.clone();
        saved.exchange.verified = url.scheme() == "https";
        saved.exchange.forwarded = !saved.exchange.verified;
    }
}
