//! Configuration files, variables, and what is in effect.

use std::fs;
use std::process::Command;

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::{proxywheel, shown};

/// A home directory with this text as the user's configuration.
fn home(text: &str) -> TempDir {
    let home = tempfile::tempdir().expect("directory");
    let folder = home.path().join(".config/proxywheel");
    fs::create_dir_all(&folder).expect("folder");
    fs::write(folder.join("config.toml"), text).expect("file");
    home
}

/// Everything a run shows, with the home directory called `~`.
fn run(command: &mut Command, home: &TempDir) -> String {
    let output = command.env("HOME", home.path()).output().expect("runs");
    shown(&output).replace(&home.path().display().to_string(), "~")
}

#[test]
fn bad_settings_name_the_line_or_the_variable() {
    let show = |text: &str| run(proxywheel().args(["config", "show"]), &home(text));
    assert_snapshot!(show("concurrency = 8\nhost_rate = '2/s'\n"), @r#"
    exit 2
    -- stderr
    error: ~/.config/proxywheel/config.toml:2: unknown setting "host_rate"
    hint: did you mean host-rate ?
    "#);
    assert_snapshot!(show("\n[fetch]\nrate = 10\n"), @r#"
    exit 2
    -- stderr
    error: ~/.config/proxywheel/config.toml:3: invalid rate "10": a unit is required
    hint: 10/s is per second, 10/m per minute, 10/h per hour
    "#);
    assert_snapshot!(show("rotate = 'bset'\n"), @r#"
    exit 2
    -- stderr
    error: ~/.config/proxywheel/config.toml:1: unknown value "bset"
    hint: did you mean best ? The words are best, round-robin, random, least-busy, weighted
    "#);
    assert_snapshot!(show("concurrency = [1]\n"), @r"
    exit 2
    -- stderr
    error: ~/.config/proxywheel/config.toml:1: concurrency takes one value, not a TOML array
    hint: write one value; several codes are one string with commas between
    ");
    assert_snapshot!(show("user = s3cret\n"), @r"
    exit 2
    -- stderr
    error: ~/.config/proxywheel/config.toml:1: not valid TOML: string values must be quoted, expected literal string
    ");
    assert_snapshot!(show("append = true\nresume = true\n"), @r"
    exit 2
    -- stderr
    error: ~/.config/proxywheel/config.toml:1: --append cannot be combined with --resume
    ");

    let nothing = home("");
    let variable = |name: &str, value: &str| {
        run(
            proxywheel().args(["config", "show"]).env(name, value),
            &nothing,
        )
    };
    assert_snapshot!(variable("PROXYWHEEL_HOST_RAET", "s3cret"), @r"
    exit 2
    -- stderr
    error: unknown variable PROXYWHEEL_HOST_RAET
    hint: did you mean PROXYWHEEL_HOST_RATE ?
    ");
    assert_snapshot!(variable("PROXYWHEEL_HOST_RATE", "10"), @r#"
    exit 2
    -- stderr
    error: PROXYWHEEL_HOST_RATE: invalid rate "10": a unit is required
    hint: 10/s is per second, 10/m per minute, 10/h per hour
    "#);
    assert_snapshot!(variable("PROXYWHEEL_INSECURE", "perhaps"), @r"
    exit 2
    -- stderr
    error: PROXYWHEEL_INSECURE: insecure takes true or false
    ");
    let fetch = |name: &str, value: &str| {
        let words = ["fetch", "-x", "direct", "http://example.invalid/"];
        run(proxywheel().args(words).env(name, value), &nothing)
    };
    assert_snapshot!(fetch("PROXYWHEEL_USER", "s3cret"), @r"
    exit 2
    -- stderr
    error: PROXYWHEEL_USER: there is no password
    hint: write -u USER:PASSWORD, or -u USER: for an empty password
    ");
    assert_snapshot!(fetch("PROXYWHEEL_HEADER", "X-A: \u{1}"), @r"
    exit 2
    -- stderr
    error: PROXYWHEEL_HEADER x-a: control characters are not allowed in a header
    ");
    assert_snapshot!(variable("PROXYWHEEL_CONFIG", "/no/such.toml"), @r"
    exit 3
    -- stderr
    error: cannot read /no/such.toml: No such file or directory (os error 2)
    hint: check the path
    ");
}

#[test]
fn what_fetch_would_refuse_is_not_shown_either() {
    for (text, place) in [
        ("user = 'alice'", "~/.config/proxywheel/config.toml:1"),
        ("fields = 'nonsense'", "~/.config/proxywheel/config.toml:1"),
        (
            "write-out = '%{nonsense}'\noutput = 'o.jsonl'",
            "~/.config/proxywheel/config.toml:1",
        ),
        ("select = ['a=b[[']", "~/.config/proxywheel/config.toml:1"),
        ("output = 'o.parquet'", "~/.config/proxywheel/config.toml:1"),
        ("retry-failed = true", "--retry-failed"),
        ("rules = ['/no/such']", "/no/such"),
        ("cacert = '/no/such'", "/no/such"),
        ("presets = '/no/such'", "/no/such"),
    ] {
        let home = home(text);
        let line = ["-x", "direct", "http://example.invalid/"];
        let shown = run(proxywheel().args(["config", "show"]).args(line), &home);
        let fetched = run(proxywheel().arg("fetch").args(line), &home);
        assert_eq!(shown, fetched, "{text}");
        assert!(shown.contains(place), "{shown}");
    }
    // What the next command line may bring is no mistake.
    let home = home("resume = true\nbody = 'file'\n");
    let shown = run(proxywheel().args(["config", "show"]), &home);
    assert!(shown.starts_with("exit 0"), "{shown}");
}

#[test]
fn a_flag_displaces_what_needed_the_setting_it_replaces() {
    let changed = |text: &str, line: &[&str]| {
        let shown = run(
            proxywheel().args(["config", "show"]).args(line),
            &home(text),
        );
        let changed = |line: &&str| !line.ends_with("# default") && !line.ends_with("is not set");
        let lines: Vec<&str> = shown.lines().filter(changed).collect();
        lines.join("\n")
    };
    let file = "resume = true\nretry-failed = true\nbody = 'file'\nsave-dir = 'pages'\n";
    let line = ["--overwrite", "--body", "inline", "--http2", "--http1.1"];
    assert_snapshot!(changed(file, &line), @r#"
    exit 0
    -- stdout
    "http1.1" = true                         # --http1.1
    body = "inline"                          # --body
    overwrite = true                         # --overwrite
    "#);
    let line = ["--resume", "--body", "file", "--http1.1", "--http2"];
    assert_snapshot!(changed(file, &line), @r#"
    exit 0
    -- stdout
    http2 = true                             # --http2
    body = "file"                            # --body
    save-dir = "pages"                       # ~/.config/proxywheel/config.toml:4
    resume = true                            # --resume
    retry-failed = true                      # ~/.config/proxywheel/config.toml:2
    "#);
}

#[test]
fn every_setting_is_shown_with_its_origin_and_without_credentials() {
    let home = home(
        "rate = '9/s'\nhost-rate = '2/s'\nresume = true\nuser = 'alice:s3cret'\n\
         header = ['Cookie: a=s3cret', 'Accept: */*']\n",
    );
    let named = home.path().join("named.toml");
    fs::write(&named, "[fetch]\nhost-rate = '3/s'\nlocation = false\n").expect("file");
    let text = run(
        proxywheel()
            .args([
                "config",
                "show",
                "-j",
                "5",
                "--append",
                "-x",
                "h.example:1:alice:s3cret",
            ])
            .arg("--config")
            .arg(&named)
            .env("PROXYWHEEL_RETRY", "7"),
        &home,
    );
    assert!(!text.contains("s3cret"), "{text}");
    let changed: Vec<&str> = text
        .lines()
        .filter(|line| !line.ends_with("# default") && !line.ends_with("is not set"))
        .collect();
    assert_snapshot!(changed.join("\n"), @r#"
    exit 0
    -- stdout
    proxy = ["(redacted)"]                   # --proxy
    header = ["Cookie: (redacted)", "Accept: */*"] # ~/.config/proxywheel/config.toml:5
    user = "(redacted)"                      # ~/.config/proxywheel/config.toml:4
    location = false                         # ~/named.toml:3
    concurrency = 5                          # --concurrency
    rate = "9/s"                             # ~/.config/proxywheel/config.toml:1
    host-rate = "3/s"                        # ~/named.toml:2
    retry = 7                                # PROXYWHEEL_RETRY
    append = true                            # --append
    "#);
    let stdout = text.split("-- stdout\n").nth(1).expect("stdout");
    assert!(
        stdout.parse::<toml::Table>().is_ok(),
        "it is TOML: {stdout}"
    );

    let ignored = run(proxywheel().args(["config", "show", "--no-config"]), &home);
    assert!(!ignored.contains("config.toml"), "{ignored}");
}
