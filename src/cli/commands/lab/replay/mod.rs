//! `lab replay`: a recorded run, played again with other strategies in a model of the world it has seen.

mod host;
mod model;
mod play;
mod recorded;

use crate::cli::args::LabReplayArgs;
use crate::cli::exit::Exit;
use crate::cli::figures;
use crate::cli::printer::Printer;
use crate::error::Error;
use crate::pool::Strategy;
use model::Model;
use recorded::{Recorded, Totals};

/// Reads the record, plays it, and tells what each strategy comes to.
pub(super) fn run(args: &LabReplayArgs, printer: &Printer) -> Result<Exit, Error> {
    let recorded = Recorded::read(&args.record)?;
    let model = Model::of(&recorded);
    let mut rows = vec![(
        format!("recorded {}", recorded.head.rotate),
        recorded.totals(),
    )];
    for strategy in strategies(&args.rotate, &recorded) {
        let totals = play::play(&recorded, &model, strategy, args.seed)?;
        rows.push((format!("model {}", strategy.as_str()), totals));
    }
    printer.data(&table(&rows))?;
    for note in notes(&recorded, &model) {
        printer.note(&note);
    }
    Ok(Exit::DONE)
}

/// The recorded one goes first, because what the model makes of it tells how good the model is.
fn strategies(asked: &[Strategy], recorded: &Recorded) -> Vec<Strategy> {
    const ALL: [Strategy; 5] = [
        Strategy::Best,
        Strategy::RoundRobin,
        Strategy::Random,
        Strategy::LeastBusy,
        Strategy::Weighted,
    ];
    let own = ALL
        .into_iter()
        .find(|strategy| strategy.as_str() == recorded.head.rotate);
    let mut strategies: Vec<Strategy> = own.into_iter().collect();
    for strategy in asked {
        if !strategies.contains(strategy) {
            strategies.push(*strategy);
        }
    }
    strategies
}

fn table(rows: &[(String, Totals)]) -> String {
    let heads = [
        "time", "ok", "lost", "attempts", "waste", "refused", "probes",
    ];
    let mut text = format!("{:<22}", "");
    for head in heads {
        text.push_str(&format!("{head:>10}"));
    }
    text.push('\n');
    for (name, totals) in rows {
        text.push_str(&format!(
            "{name:<22}{:>10}",
            format!("{:.1} s", totals.makespan)
        ));
        let counts = [
            totals.ok,
            totals.urls.saturating_sub(totals.ok),
            totals.attempts,
            totals.waste(),
            totals.refused,
            totals.probes,
        ];
        for count in counts {
            text.push_str(&format!("{count:>10}"));
        }
        text.push('\n');
    }
    text
}

/// What it is and what it is not.
fn notes(recorded: &Recorded, model: &Model) -> Vec<String> {
    let listed = recorded.head.proxies as usize;
    let unknown = listed.saturating_sub(model.asked);
    let mut notes = vec![format!(
        "a model made of what the run has seen: {} of {listed} proxies were asked, {} have served{}",
        model.asked,
        model.served,
        if unknown > 0 {
            format!(", and the {unknown} that nobody asked are taken to be like those")
        } else {
            String::new()
        }
    )];
    notes.extend(
        model
            .rules
            .iter()
            .map(|rule| format!("it holds that {rule}")),
    );
    notes.push(
        "what the run did not meet is not in it: limits it stayed below, proxies that get worse with more requests at once, rates \
         of its own such as --host-rate; how near it is shows the row of the recorded strategy"
            .to_owned(),
    );
    if recorded.end.is_none() {
        let time = figures::time(std::time::Duration::from_secs_f64(
            recorded.totals().makespan,
        ));
        notes.push(format!(
            "the record breaks off after {time}: the run was killed"
        ));
    }
    notes
}
