//! `--why`, `-v` and `-vv`: a line for each decision that somebody may ask about, for some of them, for everything.

use crate::cli::figures::{rate, time};
use crate::cli::printer::Level;
use crate::engine::event::{Effect, Event, Kind, Next, Tried, What};
use crate::outcome::Outcome;

/// How much is told; each tells what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Much {
    /// What changes how proxies and sites stand (`-v`).
    Changes,
    /// Every decision as well (`--why`).
    Decisions,
    /// Every attempt and probe as well (`-vv`).
    All,
}

impl Much {
    /// What the flags ask for together.
    pub(super) fn of(why: bool, level: Level) -> Option<Self> {
        let said = match level {
            Level::Quiet | Level::Normal => None,
            Level::Verbose => Some(Much::Changes),
            Level::Debug => Some(Much::All),
        };
        said.max(why.then_some(Much::Decisions))
    }
}

/// The line; `None` for what is not asked for.
pub(super) fn line(event: &Event, much: Much) -> Option<String> {
    let at = time(event.at);
    match &event.what {
        What::Attempt(tried) => attempt(tried, much).map(|text| format!("{at}  {text}")),
        What::Probe(probed) if much == Much::All => {
            let came_to = match &probed.result {
                Ok(took) => format!("connected in {} ms", took.as_millis()),
                Err((phase, kind)) => format!("{phase} {kind}"),
            };
            Some(format!(
                "{at}  probe of {}: {came_to}",
                probed.proxy.label()
            ))
        }
        What::Probe(_) => None,
        What::GivenUp { job, outcome, why } => {
            Some(format!("{at}  {}: given up as {outcome}: {why}", job.input))
        }
    }
}

fn attempt(tried: &Tried, much: Much) -> Option<String> {
    let quiet = matches!(tried.outcome, Outcome::Ok | Outcome::Cancelled);
    let wanted = match much {
        Much::Changes => !tried.effects.is_empty(),
        Much::Decisions => !quiet || !tried.effects.is_empty(),
        Much::All => true,
    };
    if !wanted {
        return None;
    }
    let label = tried.proxy.label();
    let beside = match tried.kind {
        Kind::Hedge => ", beside one that took too long",
        Kind::First | Kind::Retry => "",
    };
    let mut text = format!(
        "{}, attempt {}{beside}, through {label}: {}",
        tried.job.input, tried.n, tried.outcome
    );
    if let Some(status) = tried.status {
        text.push_str(&format!(" {status}"));
    }
    if much == Much::All {
        text.push_str(&format!(" after {} ms", tried.took.as_millis()));
    }
    if let Some(ban) = &tried.ban {
        text.push_str(&format!(" (rule {}, it saw: {})", ban.rule, ban.evidence));
    } else if let Some(error) = &tried.error {
        let phase = error.phase.unwrap_or(error.kind);
        text.push_str(&format!(" ({phase}: {})", error.message));
    }
    if !quiet {
        text.push_str(&match tried.next {
            Next::Done => "; that is its row".to_owned(),
            Next::Other => "; the other attempt in flight decides".to_owned(),
            Next::Retry { after, free } => {
                let when = if after.is_zero() {
                    "at once".to_owned()
                } else {
                    format!("in {}", time(after))
                };
                let cost = if free {
                    ", which costs it nothing as the site is out"
                } else {
                    ""
                };
                format!("; again {when}, through another proxy if there is one{cost}")
            }
        });
    }
    let host = &tried.job.host;
    for effect in &tried.effects {
        text.push_str("; ");
        text.push_str(&match *effect {
            Effect::PairRests {
                time: rest,
                refusals,
            } => {
                let times = match refusals {
                    1 => String::new(),
                    _ => format!(" ({refusals} refusals in a row)"),
                };
                format!("this proxy is kept from {host} for {}{times}", time(rest))
            }
            Effect::PairIsFree => format!("this proxy is welcome at {host} again"),
            Effect::Aside { time: rest, .. } => {
                format!("this proxy is set aside and probed again in {}", time(rest))
            }
            Effect::Retired => "this proxy is out for the rest of the run".to_owned(),
            Effect::HostWaits { time: wait } => {
                format!("{host} is left alone by everybody for {}", time(wait))
            }
            Effect::HostIsPaced { rate: most } => {
                format!(
                    "{host} limits everybody together and is asked {} at most",
                    rate(most)
                )
            }
            Effect::HostIsOut => {
                format!("{host} answers nobody: one request at a time asks for it")
            }
            Effect::HostIsBack => format!("{host} answers again"),
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_tells_more_than_the_one_before() {
        for (why, level, much) in [
            (false, Level::Normal, None),
            (false, Level::Verbose, Some(Much::Changes)),
            (true, Level::Normal, Some(Much::Decisions)),
            (true, Level::Verbose, Some(Much::Decisions)),
            (true, Level::Debug, Some(Much::All)),
        ] {
            assert_eq!(Much::of(why, level), much, "{why} {level:?}");
        }
    }
}
