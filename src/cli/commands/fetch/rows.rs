//! The work of `fetch`: URLs from files and the command line, rows into an output.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Started, Work};
use crate::cli::printer::Printer;
use crate::config::Resolved;
use crate::engine::Sticky;
use crate::error::{Error, Problem};
use crate::input;
use crate::output;

/// What is read and what is written.
pub(super) struct Rows {
    printer: Printer,
    /// Input and output, once they are open.
    opened: Option<(input::Prepared, output::Opened)>,
    /// The field that `--sticky` goes by.
    sticky: Option<String>,
}

impl Rows {
    /// Nothing is open yet.
    pub(super) fn new(printer: Printer) -> Self {
        Rows {
            printer,
            opened: None,
            sticky: None,
        }
    }
}

impl Work for Rows {
    type Source = input::ReaderSource;

    fn open(&mut self, resolved: &Resolved) -> Result<(), Error> {
        let jobs = input::prepare(input::Settings {
            request: Arc::new(resolved.request.clone()),
            ..resolved.input.clone()
        })?;
        if let Sticky::Tag(name) = &resolved.engine.sticky {
            jobs.check_tag(name)?;
            self.sticky = Some(name.clone());
        }
        let opened = output::open(output::Settings {
            tag_columns: jobs.tag_columns(),
            ..resolved.output.clone()
        })?;
        self.opened = Some((jobs, opened));
        Ok(())
    }

    fn said(&self) -> Option<String> {
        let cut = self.opened.as_ref()?.1.repaired.cut_bytes;
        (cut > 0).then(|| format!("the last row of the output was torn; {cut} bytes were cut"))
    }

    fn most(&self) -> Option<u64> {
        self.opened.as_ref()?.0.most()
    }

    fn start(self) -> Result<Started<Self::Source>, Error> {
        let (jobs, opened) = self
            .opened
            .ok_or_else(|| Error::Internal("started before it was opened".into()))?;
        let mut source = jobs.start(opened.done)?;
        let sticky = self.sticky.map(|name| {
            let seen = source.watch_tag(&name);
            (name, seen)
        });
        let (skipped, to_come) = (source.skipped(), source.to_come());
        let writer = opened.writer.start()?;
        Ok(Started {
            source,
            rows: writer.sender.clone(),
            join: Box::new(move || {
                let written = writer.join();
                if let Some((name, counts)) = sticky
                    && let [0, without] = counts.map(|count| count.load(Ordering::Relaxed))
                    && without > 0
                {
                    let what = format!(
                        "--sticky tag:{name} held nothing: no row has such a field in its tag"
                    );
                    self.printer.warn(&Problem::new(what));
                }
                written
            }),
            skipped: Some(skipped),
            earlier: opened.earlier,
            to_come: Some(to_come),
        })
    }
}
