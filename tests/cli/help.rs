//! Help, for people.

use insta::assert_snapshot;

use crate::{proxywheel, shown};

#[test]
fn the_short_help_has_one_line_a_flag() {
    let output = proxywheel().args(["fetch", "-h"]).output().expect("runs");
    let text = shown(&output);
    assert_snapshot!("fetch_short_help", text);
    let wrapped = text
        .lines()
        .take_while(|line| !line.starts_with("Exit codes"))
        .filter(|line| line.starts_with("          ") && !line.trim_start().starts_with("--"))
        .count();
    assert_eq!(wrapped, 0, "a flag takes more than one line");
}

#[test]
fn the_long_help_tells_default_unit_and_example() {
    let output = proxywheel()
        .args(["fetch", "--help"])
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let page = text
        .split("      --host-rate ")
        .nth(1)
        .expect("--host-rate");
    let page = page
        .split("      --host-concurrency")
        .next()
        .expect("a page");
    let lines: Vec<&str> = page.lines().map(str::trim).collect();
    assert_snapshot!(lines.join("\n"), @r"
    <N/TIME>
    Requests to one host, per time

    A host is scheme, name and port. No limit by default.

    Example: --host-rate 2/s
    ");
    assert!(text.contains("- round-robin: the one not used for longest"));
    assert!(text.contains("Exit codes:") && output.status.success());
}

#[test]
fn without_a_command_help_goes_to_stderr() {
    let output = proxywheel().output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: proxywheel"));
}

#[test]
fn version_and_fields_are_data() {
    let output = proxywheel().arg("-V").output().expect("runs");
    assert_eq!(
        shown(&output),
        format!(
            "exit 0\n-- stdout\nproxywheel {}\n",
            env!("CARGO_PKG_VERSION")
        )
    );
    let output = proxywheel()
        .args(["fetch", "--list-fields"])
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.lines().next(), Some("v"));
    assert!(text.lines().any(|line| line == "attempt_log"));
}

#[test]
fn the_short_help_of_judge_has_one_line_a_flag() {
    let output = proxywheel().args(["judge", "-h"]).output().expect("runs");
    assert_snapshot!("judge_short_help", shown(&output));
}
