//! The work of `fetch`: URLs from files and the command line, rows into an output.

use std::sync::Arc;

use super::{Started, Work};
use crate::config::Resolved;
use crate::error::Error;
use crate::input;
use crate::output;

/// Input and output, once they are open.
#[derive(Default)]
pub(super) struct Rows(Option<(input::Prepared, output::Opened)>);

impl Work for Rows {
    type Source = input::ReaderSource;

    fn open(&mut self, resolved: &Resolved) -> Result<(), Error> {
        let jobs = input::prepare(input::Settings {
            request: Arc::new(resolved.request.clone()),
            ..resolved.input.clone()
        })?;
        let opened = output::open(output::Settings {
            tag_columns: jobs.tag_columns(),
            ..resolved.output.clone()
        })?;
        self.0 = Some((jobs, opened));
        Ok(())
    }

    fn said(&self) -> Option<String> {
        let cut = self.0.as_ref()?.1.repaired.cut_bytes;
        (cut > 0).then(|| format!("the last row of the output was torn; {cut} bytes were cut"))
    }

    fn start(self) -> Result<Started<Self::Source>, Error> {
        let (jobs, opened) = self
            .0
            .ok_or_else(|| Error::Internal("started before it was opened".into()))?;
        let source = jobs.start(opened.done)?;
        let (skipped, to_come) = (source.skipped(), source.to_come());
        let writer = opened.writer.start()?;
        Ok(Started {
            source,
            rows: writer.sender.clone(),
            join: Box::new(move || writer.join()),
            skipped: Some(skipped),
            earlier: opened.earlier,
            to_come: Some(to_come),
        })
    }
}
