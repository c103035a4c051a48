//! Whole-process cost of a command, by the operating system's own account.
//!
//! The figures of finished children are only kept as a sum, so every command runs under a small process of its own (this
//! program again, as `measure`), whose only child it is.

use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What a command has cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// User and system time, microseconds.
    pub(crate) cpu_us: u64,
    /// Peak resident size, kilobytes.
    pub(crate) peak_kb: u64,
    /// Wall clock, microseconds.
    pub(crate) wall_us: u64,
    pub(crate) code: i32,
}

/// Runs `command` below a measuring process; its standard output goes to `stdout` if that is named.
pub(crate) fn run(command: &[String], stdin: Option<&str>) -> Cost {
    let me = std::env::current_exe().expect("this program");
    let mut measured = Command::new(me);
    measured
        .arg("measure")
        .arg(stdin.unwrap_or("-"))
        .args(command);
    let output = measured
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("a run");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    let figures: Vec<i64> = line
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let [cpu, peak, wall, code] = figures[..] else {
        panic!("no figures of {command:?}: {text}")
    };
    Cost {
        cpu_us: cpu.unsigned_abs(),
        peak_kb: peak.unsigned_abs(),
        wall_us: wall.unsigned_abs(),
        code: code as i32,
    }
}

/// The measuring process: runs the command, then prints `cpu_us peak_kb wall_us code`.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) {
    let stdin = arguments.next().expect("the input");
    let program = arguments.next().expect("a command");
    let input = match &*stdin {
        "-" => Stdio::null(),
        path => std::fs::File::open(path).expect("the input").into(),
    };
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    let started = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status()
        .expect("the command");
    let wall = started.elapsed().as_micros();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the account");
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    println!(
        "{cpu} {} {wall} {}",
        usage.max_rss(),
        status.code().unwrap_or(-1)
    );
}
