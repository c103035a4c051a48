//! The real program: what it says and returns, on its own and against a lab.

#![expect(
    clippy::disallowed_methods,
    reason = "a program in a process of its own has real time and is waited for"
)]

mod bad_input;
mod bad_input_rows;
mod blocked_host;
mod budget;
mod canary;
mod canary_scene;
mod check;
mod check_cron;
mod check_dns;
mod check_geo;
mod check_judge;
mod check_kill;
mod check_settings;
#[path = "../common/corpus.rs"]
mod corpus;
mod cron;
mod demo;
mod example;
mod expected;
mod explain;
mod extract;
mod help;
mod hostile;
mod interrupt;
mod interrupt_output;
mod judge;
mod lab;
mod leak;
mod mmdb;
mod readme;
mod readme_serp;
mod record;
mod reload;
mod reload_remote;
mod resume;
mod robots;
mod rules;
mod running;
mod settings;
mod state;
mod stdin;
mod track_bad_jobs;
mod track_change;
mod track_cron;
mod track_days;
mod track_engine;
mod track_exits;
mod track_history;
mod track_hooks;
mod track_kill;
mod track_owner;

use std::process::{Command, Output};

/// The program with no variables and no files of the user's.
fn proxywheel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxywheel"));
    command.env_clear().stdin(std::process::Stdio::null());
    command
}

/// Everything a run shows, for snapshots.
fn shown(output: &Output) -> String {
    let part = |name: &str, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if text.is_empty() {
            String::new()
        } else {
            format!("{name}\n{text}")
        }
    };
    format!(
        "exit {}\n{}{}",
        output
            .status
            .code()
            .map_or("by signal".into(), |code| code.to_string()),
        part("-- stdout", &output.stdout),
        part("-- stderr", &output.stderr),
    )
}

/// Runs `fetch` with these words and shows everything.
fn fetch(words: &[&str]) -> String {
    let output = proxywheel()
        .arg("fetch")
        .args(words)
        .output()
        .expect("runs");
    shown(&output)
}
