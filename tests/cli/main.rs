//! The real program: what it says and returns, without a network.

mod bad_input;
mod demo;
mod example;
mod help;
mod readme;
mod settings;

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
