//! One clear message for each way to be wrong: what, where, and what to do about it.

use insta::assert_snapshot;

use crate::{fetch, proxywheel, shown};

#[test]
fn unknown_words_and_flags() {
    assert_snapshot!(fetch(&["--rotate", "bset"]), @r#"
    exit 2
    -- stderr
    error: --rotate: unknown value "bset"
    hint: did you mean best ? The words are best, round-robin, random, least-busy, weighted
    "#);
    assert_snapshot!(fetch(&["--rtae", "1/s"]), @r"
    exit 2
    -- stderr
    error: unknown flag --rtae
    hint: did you mean --rate ?
    ");
    assert_snapshot!(fetch(&["-Y"]), @r"
    exit 2
    -- stderr
    error: unknown flag -Y
    hint: see proxywheel fetch --help
    ");
    // As other programs call it, whatever it is that looks alike here.
    assert_snapshot!(fetch(&["--timeout", "5"]), @r"
    exit 2
    -- stderr
    error: unknown flag --timeout
    hint: did you mean --max-time ?
    ");
    // What curl has a flag for.
    assert_snapshot!(fetch(&["-I"]), @r"
    exit 2
    -- stderr
    error: unknown flag -I
    hint: write -X HEAD
    ");
    assert_snapshot!(fetch(&["-4", "http://a.test/"]), @r"
    exit 2
    -- stderr
    error: unknown flag -4
    hint: names are resolved by the proxy
    ");
    assert_snapshot!(fetch(&["--proxy-user", "canary:secret"]), @r"
    exit 2
    -- stderr
    error: unknown flag --proxy-user
    hint: write the credentials into the proxy: -x http://USER:PASSWORD@HOST:PORT
    ");
    let output = proxywheel().arg("https://a.test/").output().expect("runs");
    assert_snapshot!(shown(&output), @r#"
    exit 2
    -- stderr
    error: unknown command "https://a.test/"
    hint: URLs stand behind a command: proxywheel fetch URL -x PROXY
    "#);
    let output = proxywheel().arg("fecth").output().expect("runs");
    assert_snapshot!(shown(&output), @r#"
    exit 2
    -- stderr
    error: unknown command "fecth"
    hint: did you mean fetch ?
    "#);
}

#[test]
fn values_of_the_wrong_form() {
    assert_snapshot!(fetch(&["--rate", "10"]), @r#"
    exit 2
    -- stderr
    error: --rate: invalid rate "10": a unit is required
    hint: 10/s is per second, 10/m per minute, 10/h per hour
    "#);
    assert_snapshot!(fetch(&["--seed", "-1"]), @r#"
    exit 2
    -- stderr
    error: --seed: invalid number "-1"
    hint: write a whole number, 0 or more
    "#);
    assert_snapshot!(fetch(&["-m", "5 parsecs"]), @r#"
    exit 2
    -- stderr
    error: --max-time: invalid duration "5 parsecs": the unit is not ms, s, m, h or d
    hint: write seconds, or a number and a unit, such as 30, 1.5s, 500ms, 5m or 2h
    "#);
    assert_snapshot!(fetch(&["-m", "0"]), @r#"
    exit 2
    -- stderr
    error: --max-time: invalid duration "0": it has to be above 0
    hint: for practically no limit write a long time, such as 1d
    "#);
    assert_snapshot!(fetch(&["--max-filesize", "10X"]), @r#"
    exit 2
    -- stderr
    error: --max-filesize: invalid size "10X": the unit is not k, M, G, KiB, MiB or GiB
    hint: write bytes, or a number and a unit, such as 512k, 10M, 10MB or 16MiB
    "#);
    assert_snapshot!(fetch(&["--accept", "20"]), @r#"
    exit 2
    -- stderr
    error: --accept: invalid status list: "20" is not a code from 100 to 999 or a range of them
    hint: write codes and ranges with commas, such as 200..=299,404 or 500..=599,!501
    "#);
    assert_snapshot!(fetch(&["--jitter", "2"]), @r#"
    exit 2
    -- stderr
    error: --jitter: invalid fraction "2"
    hint: write a number from 0 to 1, such as 0.5
    "#);
    assert_snapshot!(fetch(&["--retry", "-1"]), @r#"
    exit 2
    -- stderr
    error: --retry: invalid number "-1"
    hint: write a whole number, 0 or more
    "#);
    assert_snapshot!(fetch(&["-j", "0"]), @r#"
    exit 2
    -- stderr
    error: --concurrency: invalid number "0"
    hint: write a whole number, 1 or more
    "#);
    assert_snapshot!(fetch(&["--max-fail", "101%"]), @r#"
    exit 2
    -- stderr
    error: --max-fail: invalid failure limit "101%"
    hint: write a count such as 10, or a share such as 5%
    "#);
    assert_snapshot!(fetch(&["-j"]), @r"
    exit 2
    -- stderr
    error: --concurrency: a value is missing
    hint: see proxywheel fetch --help
    ");
}

#[test]
fn flags_that_exclude_each_other() {
    assert_snapshot!(fetch(&["--append", "--resume"]), @r"
    exit 2
    -- stderr
    error: --append cannot be combined with --resume
    ");
    assert_snapshot!(fetch(&["-q", "-v"]), @r"
    exit 2
    -- stderr
    error: --quiet cannot be combined with --verbose
    ");
}

#[test]
fn gaps() {
    let url = "http://example.invalid/";
    assert_snapshot!(fetch(&[url]), @r"
    exit 2
    -- stderr
    error: no proxies given
    hint: name a list with --proxy-file FILE or single proxies with -x URL; -x direct fetches from this machine's own address
    ");
    assert_snapshot!(fetch(&["-x", "direct"]), @r"
    exit 2
    -- stderr
    error: no URLs given
    hint: name them as arguments or with -i FILE; -i - reads them from standard input
    ");
    assert_snapshot!(fetch(&["-x", "direct", "-i", "-", "--proxy-file", "-"]), @r"
    exit 2
    -- stderr
    error: standard input cannot be read for -i - and --proxy-file -
    hint: put one of them into a file
    ");
    assert_snapshot!(fetch(&["-x", "direct", url, "--save-dir", "d"]), @r"
    exit 2
    -- stderr
    error: --save-dir is only used with --body file
    hint: add --body file, or drop --save-dir
    ");
    assert_snapshot!(fetch(&["-x", "direct", url, "-w", "x"]), @r"
    exit 2
    -- stderr
    error: --write-out and the records would both go to standard output
    hint: send the records to a file with -o FILE
    ");
    assert_snapshot!(fetch(&["-x", "direct", url, "--fields", "id,ok,id"]), @r#"
    exit 2
    -- stderr
    error: --fields: field "id" is named twice
    "#);
    assert_snapshot!(fetch(&["-x", "direct", url, "--stats", "no-such-directory/run.json"]), @r"
    exit 3
    -- stderr
    error: cannot write no-such-directory/run.json: No such file or directory (os error 2)
    hint: create its directory first
    ");
    assert_snapshot!(fetch(&["-x", "direct", url, "-o", "no-such.jsonl", "--stats", "no-such.jsonl"]), @r"
    exit 2
    -- stderr
    error: --stats: the counters of the run and its results need a file each
    hint: --stats run.json
    ");
    assert_snapshot!(fetch(&["-x", "direct", url, "-d", "@no-such-file"]), @r"
    exit 3
    -- stderr
    error: cannot read no-such-file: No such file or directory (os error 2)
    hint: check the path
    ");
    assert_snapshot!(fetch(&["-x", "direct", url, "-u", "s3cret"]), @r"
    exit 2
    -- stderr
    error: --user: there is no password
    hint: write -u USER:PASSWORD, or -u USER: for an empty password
    ");
    assert_snapshot!(fetch(&["-x", "direct", url, "-H", "s3cret"]), @r"
    exit 2
    -- stderr
    error: --header: a header without a colon
    hint: write 'Name: value', 'Name:' to send none, or 'Name;' to send it empty
    ");
}

#[test]
fn messages_as_json() {
    let url = "http://example.invalid/";
    assert_snapshot!(fetch(&["--log-format", "json", url]), @r#"
    exit 2
    -- stderr
    {"level":"error","message":"no proxies given","hint":"name a list with --proxy-file FILE or single proxies with -x URL; -x direct fetches from this machine's own address"}
    "#);
}

#[test]
fn a_table_without_a_column_for_hosts_is_told_what_columns_are_called() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = "Node;Port;Country\n192.0.2.1;8080;de\n192.0.2.2;8080;fr\n";
    std::fs::write(folder.path().join("list.csv"), table).expect("written");
    let run = |words: &[&str]| {
        let mut command = proxywheel();
        command.current_dir(folder.path()).args(words);
        shown(&command.output().expect("runs"))
    };
    let fetched = run(&["fetch", "http://a.test/", "--proxy-file", "list.csv"]);
    assert_snapshot!(fetched, @r#"
    exit 2
    -- stderr
    error: list.csv:1: no column of the table is known to hold hosts: its header is "Node;Port;Country"
    hint: columns are called host (or address, server, proxyaddress, proxyhost) or ip (or ipaddress, hostname, proxyip), and port (or proxyport); one with both is proxy (or proxyurl, proxyuri)
    "#);
    let checked = run(&["check", "list.csv", "--judge", "http://127.0.0.1:1/"]);
    assert_eq!(checked, fetched);
}
