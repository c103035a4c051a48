//! The one place that prints.
//!
//! Standard output gets data and nothing else; standard error gets everything for people, each message as one write, with the
//! progress bar out of the way while it is written. A reader that goes away (`| head`) is not an error. With
//! `--log-format json` every message is one JSON object a line.

use std::error::Error as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use serde_json::{Map, Value, json};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::Environment;
use super::args::{Color, GlobalArgs, LogFormat};
use super::exit::Exit;
use crate::error::{Error, Problem};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors only (`-q`).
    Quiet,
    /// Warnings, notes, progress and the summary.
    Normal,
    /// What changes in the pool as well (`-v`).
    Verbose,
    /// Every attempt as well (`-vv`).
    Debug,
}

/// Prints; clones share one pair of streams.
#[derive(Clone)]
pub struct Printer(Arc<Inner>);

struct Inner {
    level: Level,
    color: bool,
    json: bool,
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    bar: Mutex<Option<ProgressBar>>,
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const PLAIN: &str = "\x1b[0m";

impl Printer {
    /// For what goes wrong before the settings are known.
    pub fn early(environment: &Environment) -> Self {
        let color = use_color(Color::Auto, environment);
        Printer::to(
            Level::Normal,
            color,
            false,
            Box::new(io::stdout()),
            Box::new(io::stderr()),
        )
    }

    /// As the flags say.
    pub fn new(global: &GlobalArgs, environment: &Environment) -> Self {
        let level = match (global.quiet, global.verbose) {
            (true, _) => Level::Quiet,
            (false, 0) => Level::Normal,
            (false, 1) => Level::Verbose,
            (false, _) => Level::Debug,
        };
        Printer::to(
            level,
            use_color(global.color, environment),
            global.log_format == LogFormat::Json,
            Box::new(io::stdout()),
            Box::new(io::stderr()),
        )
    }

    /// On any two streams.
    pub fn to(
        level: Level,
        color: bool,
        json: bool,
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
    ) -> Self {
        Printer(Arc::new(Inner {
            level,
            color,
            json,
            out: Mutex::new(out),
            err: Mutex::new(err),
            bar: Mutex::new(None),
        }))
    }

    /// How much is said.
    pub fn level(&self) -> Level {
        self.0.level
    }

    /// True with `--log-format json`.
    pub fn is_json(&self) -> bool {
        self.0.json
    }

    /// True when standard error is coloured.
    pub fn is_colored(&self) -> bool {
        self.0.color
    }

    /// Writes data to standard output.
    ///
    /// # Errors
    /// The write fails, other than because nobody reads any more.
    pub fn data(&self, text: &str) -> Result<(), Error> {
        let mut out = lock(&self.0.out);
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::io("write", "standard output", error))
            }
            _ => Ok(()),
        }
    }

    /// Prints text as it is, at any level.
    pub fn plain(&self, text: &str) {
        self.emit(text);
    }

    /// `error: …` with its causes and its hint, at any level.
    pub fn error(&self, error: &Error) {
        self.message("error", RED, &error_text(error), error.hint());
    }

    /// `warning: …` with its hint.
    pub fn warn(&self, problem: &Problem) {
        if self.0.level >= Level::Normal {
            self.message(
                "warning",
                YELLOW,
                &problem.to_string(),
                problem.hint.as_deref(),
            );
        }
    }

    /// A line people may want to know.
    pub fn note(&self, text: &str) {
        if self.0.level >= Level::Normal {
            self.message("info", "", text, None);
        }
    }

    /// A line for the curious (`-v`).
    pub fn detail(&self, text: &str) {
        if self.0.level >= Level::Verbose {
            self.message("info", "", text, None);
        }
    }

    /// As [`Printer::report`]; who wants to hear of errors alone hears in one line of a run that failed: from cron nobody sees its
    /// exit code. Of a file that failed an error has told already.
    pub fn ended(&self, text: &str, hint: Option<&str>, fields: Map<String, Value>, exit: Exit) {
        if self.0.level < Level::Normal && exit.is_failure() && !exit.is_of_a_file() {
            let first = text.lines().next().unwrap_or_default();
            let text = format!("{first}; exit {} {}", exit.code, exit.word);
            self.message("error", RED, &text, None);
        }
        self.report(text, hint, fields);
    }

    /// The end of a run: `text` and a hint for people, or `fields` as one JSON object.
    pub fn report(&self, text: &str, hint: Option<&str>, fields: Map<String, Value>) {
        if self.0.level < Level::Normal {
            return;
        }
        if self.0.json {
            let mut object = Map::new();
            object.insert("level".into(), "info".into());
            object.insert("message".into(), "summary".into());
            object.extend(fields);
            object.insert("hint".into(), hint.into());
            self.emit(&format!("{}\n", Value::Object(object)));
            return;
        }
        let mut shown = format!("{text}\n");
        if let Some(hint) = hint {
            shown.push_str(&self.labelled("hint", CYAN, hint));
        }
        self.emit(&shown);
    }

    /// Sends events of the library (`tracing`) to standard error from now on. Once per process; later calls do nothing.
    pub fn receive_events(&self) {
        let level = match self.0.level {
            Level::Quiet => LevelFilter::ERROR,
            Level::Normal => LevelFilter::WARN,
            Level::Verbose => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
        };
        // Only this program's own events: those of the wire libraries may hold header values.
        let own = Targets::new().with_target(env!("CARGO_PKG_NAME"), level);
        let layer = tracing_subscriber::fmt::layer().with_writer(self.clone());
        let layer = if self.0.json {
            layer.json().flatten_event(true).with_filter(own).boxed()
        } else {
            let layer = layer.with_ansi(self.0.color).with_target(false);
            layer.with_filter(own).boxed()
        };
        let subscriber = tracing_subscriber::registry().with(layer);
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// Keeps messages clear of this bar until [`Printer::detach`].
    pub(super) fn attach(&self, bar: ProgressBar) {
        *lock(&self.0.bar) = Some(bar);
    }

    /// The bar is gone.
    pub(super) fn detach(&self) {
        *lock(&self.0.bar) = None;
    }

    fn message(&self, level: &str, color: &str, text: &str, hint: Option<&str>) {
        if self.0.json {
            let object = json!({ "level": level, "message": text, "hint": hint });
            self.emit(&format!("{object}\n"));
            return;
        }
        let mut shown = match level {
            "info" => format!("{text}\n"),
            _ => self.labelled(level, color, text),
        };
        if let Some(hint) = hint {
            shown.push_str(&self.labelled("hint", CYAN, hint));
        }
        self.emit(&shown);
    }

    fn labelled(&self, label: &str, color: &str, text: &str) -> String {
        if self.0.color {
            format!("{color}{label}:{PLAIN} {text}\n")
        } else {
            format!("{label}: {text}\n")
        }
    }

    /// One write to standard error. That it fails has nowhere to be reported.
    fn emit(&self, text: &str) {
        let write = || {
            let mut err = lock(&self.0.err);
            let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
        };
        let bar = lock(&self.0.bar).clone();
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// An error with its causes, without its hint.
pub(super) fn error_text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// A panic while printing leaves the streams usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn use_color(color: Color, environment: &Environment) -> bool {
    let set = |name: &str| {
        let value = environment.variables.get(name);
        value.is_some_and(|value| !value.is_empty())
    };
    let dumb = environment
        .variables
        .get("TERM")
        .is_some_and(|term| term == "dumb");
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => environment.streams.stderr_is_terminal && !set("NO_COLOR") && !dumb,
    }
}

/// One event of the library.
pub struct Event<'a>(&'a Printer);

impl Write for Event<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.emit(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Printer {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Event(self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A stream that can be read afterwards.
    #[derive(Clone, Default)]
    pub(in crate::cli) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(in crate::cli) fn text(&self) -> String {
            String::from_utf8(lock(&self.0).clone()).expect("UTF-8")
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(in crate::cli) fn printer(level: Level, json: bool) -> (Printer, Shared, Shared) {
        let (out, err) = (Shared::default(), Shared::default());
        let printer = Printer::to(
            level,
            false,
            json,
            Box::new(out.clone()),
            Box::new(err.clone()),
        );
        (printer, out, err)
    }

    fn problem() -> Problem {
        Problem::new("no proxies given").hint("name a list")
    }

    #[test]
    fn messages_go_to_stderr_by_level_and_data_to_stdout() {
        let (printer, out, err) = printer(Level::Normal, false);
        printer.error(&Error::from(problem().at("a.toml:1")));
        printer.warn(&problem());
        printer.note("note");
        printer.detail("detail");
        printer.data("row\n").unwrap();
        assert_eq!(out.text(), "row\n");
        assert_eq!(
            err.text(),
            "error: a.toml:1: no proxies given\nhint: name a list\n\
             warning: no proxies given\nhint: name a list\nnote\n"
        );
    }

    #[test]
    fn quiet_leaves_errors_and_json_is_one_object_a_line() {
        let (quiet, _, err) = printer(Level::Quiet, false);
        quiet.warn(&problem());
        quiet.note("note");
        quiet.ended("text", Some("hint"), Map::new(), Exit::DONE);
        quiet.ended("text", None, Map::new(), Exit::CHANGED);
        assert_eq!(err.text(), "");
        let (json, _, err) = printer(Level::Normal, true);
        json.error(&problem().into());
        json.ended("text", None, Map::new(), Exit::DONE);
        let lines: Vec<Value> = err
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines[0]["hint"], "name a list");
        assert_eq!(lines[1]["message"], "summary");
    }

    #[test]
    fn a_run_that_failed_is_no_silent_one_however_quiet() {
        let (quiet, out, err) = printer(Level::Quiet, false);
        let exit = Exit::new(5, "all_failed");
        quiet.ended("2 URLs: 0 ok\nmore", Some("hint"), Map::new(), exit);
        assert_eq!(err.text(), "error: 2 URLs: 0 ok; exit 5 all_failed\n");
        assert_eq!(out.text(), "");
    }

    #[test]
    fn causes_are_told_once_each() {
        let (printer, _, err) = printer(Level::Quiet, false);
        printer.error(&Error::io("read", "x", io::Error::other("disk on fire")));
        assert_eq!(err.text(), "error: cannot read x: disk on fire\n");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let printer = Printer::to(Level::Normal, false, false, Box::new(Gone), Box::new(Gone));
        assert!(printer.data("row").is_ok());
        printer.note("nobody listens");
    }

    #[test]
    fn colour_needs_a_terminal_and_an_empty_no_color() {
        let mut environment = Environment::default();
        assert!(!use_color(Color::Auto, &environment));
        assert!(use_color(Color::Always, &environment));
        environment.streams.stderr_is_terminal = true;
        assert!(use_color(Color::Auto, &environment));
        environment.variables.insert("NO_COLOR".into(), "".into());
        assert!(use_color(Color::Auto, &environment));
        environment.variables.insert("NO_COLOR".into(), "1".into());
        assert!(!use_color(Color::Auto, &environment));
    }
}
