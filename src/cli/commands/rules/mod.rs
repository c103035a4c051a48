//! `rules`: the rules themselves, and what they make of saved answers.

mod confusion;
mod files;

use serde_json::{Value, json};

use super::{Failure, flags, rule_files};
use crate::ban::{Explained, Judge, RuleInfo, Seems, Seen, Settings, own_words, source_of};
use crate::cli::Environment;
use crate::cli::args::{
    Form, RuleSetArgs, RulesArgs, RulesCommand, RulesExplainArgs, RulesListArgs, RulesShowArgs,
    RulesTestArgs,
};
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::error::{Error, Problem};
use crate::input::saved::Saved;
use crate::outcome::Ban;
use confusion::Confusion;

/// Runs the command below `rules` that the line names.
pub(super) fn run(environment: &Environment, early: &Printer) -> Result<Exit, Failure> {
    let (args, global) = flags::<RulesArgs>(environment).map_err(|error| (early.clone(), error))?;
    let printer = Printer::new(&global, environment);
    let done = match &args.command {
        RulesCommand::List(args) => list(args, &printer),
        RulesCommand::Show(args) => show(args, &printer),
        RulesCommand::Test(args) => test(args, &printer),
        RulesCommand::Explain(args) => explain(args, &printer),
    };
    done.map(|()| Exit::DONE).map_err(|error| (printer, error))
}

fn judge(set: &RuleSetArgs) -> Result<Judge, Error> {
    let settings = Settings {
        rules: rule_files(&set.rules)?,
        no_rule: set.no_rule.clone(),
        ..Settings::default()
    };
    Ok(Judge::new(&settings)?)
}

fn list(args: &RulesListArgs, printer: &Printer) -> Result<(), Error> {
    let judge = judge(&args.set)?;
    let mut text = String::new();
    for rule in judge.rules() {
        let RuleInfo {
            id,
            vendor,
            class,
            by_proxy,
            star,
            source,
        } = rule;
        match args.format {
            Form::Text => {
                let star = if star { "*" } else { " " };
                let vendor = vendor.unwrap_or("-");
                text.push_str(&format!(
                    "{star} {id:<28} {class:<18} {vendor:<14} {source}\n"
                ));
            }
            Form::Jsonl => {
                let writes = if by_proxy { "proxy" } else { "edge" };
                let row = json!({"id": id, "class": class, "vendor": vendor, "layer": writes, "star": star, "source": source});
                text.push_str(&format!("{row}\n"));
            }
        }
    }
    printer.data(&text)
}

fn show(args: &RulesShowArgs, printer: &Printer) -> Result<(), Error> {
    let mut text = String::new();
    for id in &args.ids {
        let own = || Some(format!("# {id}: {}; in no rule file", own_words(id)?));
        let source = source_of(id).map(str::to_owned).or_else(own);
        let source = source.ok_or_else(|| {
            Problem::new(format!("there is no rule {id:?}"))
                .hint("proxywheel rules list has all ids")
        })?;
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&source);
        text.push('\n');
    }
    printer.data(&text)
}

fn test(args: &RulesTestArgs, printer: &Printer) -> Result<(), Error> {
    let judge = judge(&args.set)?;
    let labels = files::labels(args.labels.as_deref())?;
    let mut confusion = Confusion::default();
    let mut text = String::new();
    files::each(&args.files, labels.as_ref(), printer, |saved, label| {
        let explained = judged(&judge, &saved);
        if let Some(label) = label.filter(|_| !is_open(&saved, &explained)) {
            confusion.add(&saved.name, label, &explained.verdict);
        }
        if label.is_none() || args.format == Form::Jsonl {
            text.push_str(&row(&saved, &explained, args.format));
        }
        if text.len() > 1 << 16 {
            printer.data(&std::mem::take(&mut text))?;
        }
        Ok(())
    })?;
    if confusion.is_empty() && args.labels.is_some() {
        return Err(Problem::new("none of the files has a label")
            .hint("the key `file` of a label is the name of the file without its folder")
            .into());
    }
    if !confusion.is_empty() {
        match args.format {
            Form::Text => text.push_str(&confusion.shown()),
            Form::Jsonl => text.push_str(&format!("{}\n", confusion.figures())),
        }
    }
    printer.data(&text)
}

fn explain(args: &RulesExplainArgs, printer: &Printer) -> Result<(), Error> {
    let judge = judge(&args.set)?;
    files::each(&args.files, None, printer, |mut saved, _| {
        files::told(&mut saved, args.status, args.url.as_ref());
        let explained = judged(&judge, &saved);
        let mut text = row(&saved, &explained, Form::Text);
        for (rule, seen) in &explained.rules {
            let star = if rule.star { "*" } else { " " };
            text.push_str(&format!("  {star} {:<28} {}\n", rule.id, seen));
        }
        if !explained.score.is_empty() {
            let sum: i32 = explained.score.iter().map(|(_, points)| points).sum();
            let seems = match explained.seems {
                Seems::Content => "too little for a block",
                Seems::Suspect => "suspect",
                Seems::Block => "a block",
            };
            text.push_str(&format!("    weak evidence: {sum} points, {seems}\n"));
            for (what, points) in &explained.score {
                text.push_str(&format!("    {points:>+5} {what}\n"));
            }
        }
        printer.data(&text)
    })
}

fn judged<'a>(judge: &'a Judge, saved: &Saved) -> Explained<'a> {
    let seen = Seen {
        url: &saved.url,
        method: &saved.method,
        https: saved.url.scheme() == "https",
        follows: false,
        now: None,
    };
    judge.explain(&seen, &saved.exchange)
}

/// True when an answer says too little for a verdict: what speaks for one would be in the body, which nobody kept.
fn is_open(saved: &Saved, explained: &Explained<'_>) -> bool {
    let ban = explained.verdict.ban.as_deref();
    saved.lacks_body && ban.is_none_or(|ban| &*ban.class == "empty")
}

/// As records have it, where a confidence of 0.9 has no sixteen digits.
fn shown(ban: &Ban) -> Value {
    json!({
        "class": ban.class, "rule": ban.rule, "vendor": ban.vendor, "evidence": ban.evidence,
        "confidence": (f64::from(ban.confidence) * 100.0).round() / 100.0,
    })
}

/// One answer on one line.
fn row(saved: &Saved, explained: &Explained<'_>, form: Form) -> String {
    let verdict = &explained.verdict;
    let ban = verdict.ban.as_deref();
    let status = saved
        .exchange
        .result
        .as_ref()
        .map_or(0, |response| response.status.as_u16());
    let is_open = is_open(saved, explained);
    let ban = ban.filter(|_| !is_open);
    if form == Form::Jsonl {
        let rules: Vec<_> = explained
            .rules
            .iter()
            .map(|(rule, seen)| json!({"id": rule.id, "evidence": seen}))
            .collect();
        let kind = (!is_open).then(|| confusion::kind_of(verdict, status));
        let outcome = (!is_open).then_some(verdict.outcome);
        let row = json!({
            "file": saved.name, "status": status, "outcome": outcome, "kind": kind, "ban": ban.map(shown), "edge": explained.edge,
            "rules": rules,
        });
        return format!("{row}\n");
    }
    let mut text = match is_open {
        true => format!("{}: {status} cannot be judged without its body", saved.name),
        false => format!("{}: {status} {}", saved.name, verdict.outcome),
    };
    if let Some(ban) = ban {
        let vendor = ban.vendor.as_deref().map(|vendor| format!(" by {vendor}"));
        text.push_str(&format!(
            ", {}{} ({}, {:.0} %): {}",
            ban.class,
            vendor.unwrap_or_default(),
            ban.rule,
            ban.confidence * 100.0,
            ban.evidence
        ));
    }
    if let Some(edge) = explained.edge {
        text.push_str(&format!("; behind {edge}"));
    }
    text.push('\n');
    text
}
