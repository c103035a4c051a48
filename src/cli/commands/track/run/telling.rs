//! Who is told what after a run.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::super::kept::plain;
use super::deliver::Courier;
use crate::cli::figures::counted;
use crate::cli::printer::Printer;
use crate::error::{Error, Problem};
use crate::observation::SeriesId;
use crate::secret::Secret;
use crate::state::{History, Letter};
use crate::track::alert::{self, Due};
use crate::track::job::{Alert, TrackJob, Webhook};

/// Events that are sent at once, at most: a first run after weeks must not make a body that nobody takes.
const TOGETHER: usize = 1000;

/// What nobody has been told of.
pub(super) struct Untold {
    pub(super) due: Vec<Due>,
    /// The number of the last observation that was judged.
    pub(super) last: Option<i64>,
}

/// Judges every observation that nobody has been told of.
pub(super) fn untold(job: &TrackJob, history: &History) -> Result<Untold, Error> {
    let untold = history.untold(&job.name)?;
    let last = untold.last().map(|(seq, _)| *seq);
    let mut due = Vec::new();
    if !job.alerts.is_empty() && last.is_some() {
        let series = history.series(&job.name)?;
        let series: HashMap<SeriesId, _> = series.into_iter().map(|one| (one.id(), one)).collect();
        let needs = alert::needs(job);
        let mut back = history.look_back()?;
        for (seq, id) in untold {
            let Some(series) = series.get(&id) else {
                continue;
            };
            if !job.alerts.iter().any(|alert| alert.is_about(series)) {
                continue;
            }
            let seen = back.until(id, seq, (needs.known, needs.unknown), needs.whys)?;
            for mut one in alert::of_series(job, series, &seen) {
                let alert = one.alert;
                one.event
                    .insert("id".into(), format!("{id}-{seq}-{alert}").into());
                due.push(one);
            }
        }
    }
    Ok(Untold { due, last })
}

/// The alerts for a terminal or a mail of cron. Titles in them are those of strangers; the channels get them as they are, in JSON.
fn lines(due: &[Due]) -> String {
    let line = |due: &Due| plain(&due.text, usize::MAX) + "\n";
    due.iter().map(line).collect()
}

/// Prints the alerts that are due and sends them where the job says, with those that did not arrive the last time.
///
/// First they are printed, then they are written down together with the mark that they were judged, then they are sent, and each is
/// taken out when it has arrived. Whoever is killed in between has told of the last one twice at worst, and of none not at all. A signal
/// that comes while they are sent leaves the rest for the next run.
pub(super) fn tell(
    job: &TrackJob,
    history: &mut History,
    untold: &Untold,
    courier: &mut Courier,
    printer: &Printer,
) -> Result<(), Error> {
    let due = &untold.due;
    if !due.is_empty() {
        printer.data(&lines(due))?;
    }
    let channels: Vec<Vec<Channel<'_>>> = job.alerts.iter().map(Channel::all).collect();
    let mut letters: Vec<(&str, String)> = Vec::new();
    for one in due {
        let mut event = one.event.clone();
        event.insert("text".into(), one.text.as_str().into());
        let event = Value::from(event).to_string();
        for channel in channels.get(one.alert).into_iter().flatten() {
            letters.push((&channel.name, event.clone()));
        }
    }
    history.judged(&job.name, untold.last, letters)?;

    let mut bags: BTreeMap<Box<str>, Vec<Letter>> = BTreeMap::new();
    for letter in history.outbox(&job.name)? {
        bags.entry(letter.channel.clone()).or_default().push(letter);
    }
    'bags: for (name, letters) in bags {
        let channel = channels.iter().flatten().find(|one| one.name == *name);
        let Some(channel) = channel else {
            let dropped = counted(letters.len() as u64, "alert is", "alerts are");
            printer.note(&format!(
                "{dropped} dropped: the job no longer says where they go"
            ));
            history.arrived(letters.iter().map(|letter| letter.seq))?;
            continue;
        };
        for letters in letters.chunks(TOGETHER) {
            let events: Vec<Value> = letters
                .iter()
                .filter_map(|letter| serde_json::from_str(&letter.event).ok())
                .collect();
            let body = json!({"job": job.name, "events": events});
            match channel.send(&body, courier) {
                Ok(()) => history.arrived(letters.iter().map(|letter| letter.seq))?,
                Err(why) => {
                    // Also when little is wanted to be heard: nobody else will say it.
                    let problem = Problem::new(format!("an alert did not arrive: {why}"))
                        .hint("it is sent again by the next run");
                    printer.error(&problem.into());
                    if courier.stopped.is_some() {
                        break 'bags;
                    }
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Where alerts of a job go.
struct Channel<'j> {
    /// Stands for it in the state, and tells nothing of it.
    name: String,
    to: To<'j>,
}

#[derive(Clone, Copy)]
enum To<'j> {
    Program(&'j [Box<str>]),
    Address(&'j Webhook),
}

impl<'j> Channel<'j> {
    fn all(alert: &'j Alert) -> Vec<Self> {
        let program = alert.command.as_deref().map(To::Program);
        let address = alert.webhook.as_ref().map(To::Address);
        let both = program.into_iter().chain(address);
        both.map(|to| Channel {
            name: to.name(),
            to,
        })
        .collect()
    }

    fn send(&self, body: &Value, courier: &mut Courier) -> Result<(), String> {
        match self.to {
            To::Program(words) => courier.run_program(words, body),
            To::Address(hook) => courier.send(&hook.url, hook.secret.as_ref(), body),
        }
    }
}

impl To<'_> {
    /// The same from run to run, also when alerts are added to the job or change their order.
    fn name(self) -> String {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let mut part = |text: &str| {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        };
        match self {
            To::Program(words) => {
                part("program");
                words.iter().for_each(|word| part(word));
            }
            To::Address(hook) => {
                part("address");
                part(hook.url.expose());
                part(hook.secret.as_ref().map_or("", Secret::expose));
            }
        }
        let digest = context.finish();
        let digits = digest.as_ref()[..8].iter();
        digits.map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_says_moves_no_cursor_of_who_reads_the_alerts() {
        let due = ["serp: \u{1b}[2Jprice\r\n7", "serp: 8"].map(|text| Due {
            alert: 0,
            text: text.to_owned(),
            event: serde_json::Map::new(),
        });
        assert_eq!(lines(&due), "serp: [2Jprice 7\nserp: 8\n");
    }
}
