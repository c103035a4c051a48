//! Fields out of bodies: in records, in columns, and tried on saved pages.

use std::time::Duration;

use insta::assert_snapshot;
use proxywheel::lab::{Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::{Value, json};

use crate::running::{Rig, Running, until, urls};
use crate::{fetch, proxywheel, shown};

fn rig() -> Rig {
    let mut wanted = urls(2, "/page/");
    wanted.extend(urls(1, "/status/404?"));
    Rig::new(
        Lab::builder().proxies(2, ProxySpec::new(Scheme::Http)),
        &wanted,
    )
}

fn read(rig: &Rig, name: &str) -> String {
    std::fs::read_to_string(rig.path(name)).expect("output")
}

/// The rows of `out.jsonl`, in the order of the input.
fn records(rig: &Rig) -> Vec<Value> {
    let text = read(rig, "out.jsonl");
    let mut rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    rows.sort_by_key(|row| (row["seq"].as_u64(), row["row"].as_u64()));
    rows
}

#[test]
fn fields_of_accepted_answers_are_in_the_record() {
    let rig = rig();
    let words = "-i urls.txt -o out.jsonl --select title=title --select none=.no|number --select here=title::attr(x)";
    let (code, said) = rig.run(words);
    assert_eq!(code, Some(4), "{said}");
    let rows = records(&rig);
    assert_eq!(rows.len(), 3);
    assert!(
        rows[0]["fields"]["title"]
            .as_str()
            .is_some_and(|title| title.contains("/page/0")),
        "{}",
        rows[0]
    );
    assert_eq!(rows[1]["fields"]["none"], Value::Null);
    assert_eq!(
        rows[1]["fields"]
            .as_object()
            .map(|fields| fields.keys().map(String::as_str).collect::<Vec<_>>()),
        Some(vec!["title", "none", "here"])
    );
    assert_eq!(
        (&rows[0]["row"], &rows[0]["rows"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(rows[2]["outcome"], "http_error");
    assert_eq!(
        rows[2]["fields"],
        Value::Null,
        "what is not ok is not looked at"
    );
}

#[test]
fn each_match_has_a_row_and_resuming_adds_none() {
    let rig = rig();
    let words = "-i urls.txt -o out.jsonl --rows html>* --select title=title::text --select text=p::text --body inline";
    let (code, said) = rig.run(words);
    assert_eq!(code, Some(4), "{said}");
    let rows = records(&rig);
    let places: Vec<_> = rows
        .iter()
        .map(|row| (row["seq"].clone(), row["row"].clone(), row["rows"].clone()))
        .collect();
    assert_eq!(
        Value::from(
            places
                .iter()
                .map(|(a, b, c)| json!([a, b, c]))
                .collect::<Vec<_>>()
        ),
        json!([[0, 1, 2], [0, 2, 2], [1, 1, 2], [1, 2, 2], [2, null, null]])
    );
    // The head has the title, the body has the text.
    assert!(rows[0]["fields"]["title"].is_string() && rows[0]["fields"]["text"].is_null());
    assert!(rows[1]["fields"]["title"].is_null() && rows[1]["fields"]["text"].is_string());
    assert!(
        rows[0]["body"].is_string() && rows[1].get("body").is_none(),
        "one body for an answer"
    );
    assert_eq!(rows[0]["id"], rows[1]["id"]);
    let mut explain = proxywheel();
    explain.current_dir(rig.directory.path());
    let told = explain.args([
        "explain",
        "-i",
        "out.jsonl",
        rows[0]["id"].as_str().expect("an id"),
    ]);
    let told = shown(&told.output().expect("runs"));
    assert_eq!(
        told.matches("(row 0): ok 200").count(),
        1,
        "one answer: {told}"
    );
    let before = read(&rig, "out.jsonl");
    // All but the last line of the second input: its first row stays whole.
    let at = before.match_indices('\n').nth(2).expect("rows").0 + 1;
    let lines: Vec<&str> = before[..at].lines().collect();
    assert_eq!(lines.len(), 3);
    std::fs::write(rig.path("out.jsonl"), &before[..at]).expect("file");
    let (code, said) = rig.run(&format!("{words} --resume"));
    assert_eq!(code, Some(4), "{said}");
    let places_again: Vec<_> = records(&rig)
        .iter()
        .map(|row| (row["seq"].clone(), row["row"].clone(), row["rows"].clone()))
        .collect();
    assert_eq!(places_again, places);
}

#[test]
fn kills_of_a_run_with_rows_leave_each_input_whole_or_out() {
    let slow =
        ProxySpec::new(Scheme::Http).latency(Duration::from_millis(5), Duration::from_millis(40));
    // Rows of several pages of memory make for writes that a kill can tear.
    let wanted: Vec<String> = urls(100, "/page/")
        .into_iter()
        .map(|url| format!("{url}?size=9000"))
        .collect();
    let rig = Rig::new(Lab::builder().proxies(6, slow), &wanted);
    let run = |mode: &str| {
        let words = "-i urls.txt -o out.jsonl -j 8 --rows *:is(html,head,title,body,p) --select html=::html";
        Running::start(&mut rig.fetch(&format!("{words} {mode}")))
    };
    let mut mode = "--overwrite";
    for kill in 0..10 {
        let mut running = run(mode);
        // Once it has added something, at another moment each time.
        let before = std::fs::metadata(rig.path("out.jsonl")).map_or(0, |file| file.len());
        until("rows", || {
            let now = std::fs::metadata(rig.path("out.jsonl")).map_or(0, |file| file.len());
            now > before || !running.is_running()
        });
        std::thread::sleep(Duration::from_millis(3 * kill));
        if !running.kill() {
            break;
        }
        mode = "--resume";
    }
    assert_eq!(mode, "--resume", "the run ends before it can be killed");
    let mut last = run("--resume");
    assert_eq!(last.wait().code(), Some(0), "{}", last.said());
    let places: Vec<_> = records(&rig)
        .iter()
        .map(|row| {
            (
                row["seq"].as_u64(),
                row["row"].as_u64(),
                row["rows"].as_u64(),
            )
        })
        .collect();
    let all: Vec<_> = (0..100)
        .flat_map(|seq| (1..=5).map(move |row| (Some(seq), Some(row), Some(5))))
        .collect();
    assert_eq!(places, all);
}

#[test]
fn csv_has_a_column_for_each_field() {
    let rig = rig();
    let (code, said) = rig
        .run("-i urls.txt -o out.csv --rows html>* --select title=title|lower --select n=p|count");
    assert_eq!(code, Some(4), "{said}");
    let text = read(&rig, "out.csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().expect("a header").clone();
    let tail: Vec<&str> = names.iter().skip(names.len() - 4).collect();
    assert_eq!(tail, ["row", "rows", "field.title", "field.n"]);
    let mut rows: Vec<Vec<String>> = reader
        .records()
        .map(|row| row.expect("a row"))
        .map(|row| {
            [0, names.len() - 4, names.len() - 3, names.len() - 1]
                .map(|at| row[at].to_owned())
                .to_vec()
        })
        .collect();
    rows.sort();
    assert_eq!(
        rows,
        [
            ["0", "1", "2", "0"],
            ["0", "2", "2", "1"],
            ["1", "1", "2", "0"],
            ["1", "2", "2", "1"],
            ["2", "", "", ""],
        ]
    );
}

#[test]
fn a_field_that_no_answer_has_is_told() {
    let rig = Rig::new(
        Lab::builder().proxies(2, ProxySpec::new(Scheme::Http)),
        &urls(5, "/page/"),
    );
    let words =
        "-i urls.txt -o out.jsonl --select title=title --select price=.price --stats stats.json";
    let (code, said) = rig.run(words);
    assert_eq!(code, Some(0), "an empty cell is no failure: {said}");
    assert!(
        said.contains("warning: none of 5 answers had price\n"),
        "{said}"
    );
    let stats: Value = serde_json::from_str(&read(&rig, "stats.json")).expect("JSON");
    let counts = [
        "title/found",
        "title/missing",
        "price/found",
        "price/missing",
    ];
    let counts = counts.map(|key| stats[format!("field/{key}")].as_u64());
    assert_eq!(counts, [Some(5), Some(0), Some(0), Some(5)]);
}

#[test]
fn bad_expressions_are_told_before_anything_is_fetched() {
    let told = |words: &[&str]| {
        let all = [&["-x", "direct", "http://127.0.0.1:1/"], words].concat();
        fetch(&all)
    };
    assert_snapshot!(told(&["--select", "price=.price::txt|number"]), @r"
    exit 2
    -- stderr
    error: --select: column 13: there is no part ::txt
        price=.price::txt|number
                    ^
    hint: write ::text, ::html or ::attr(NAME), as in a::attr(href)
    ");
    assert_snapshot!(told(&["--extract", "gogle"]), @r#"
    exit 2
    -- stderr
    error: --extract: there is no built-in profile "gogle"
    hint: there are baidu, bing, duckduckgo, ebay, ecosia, google, serpapi, yandex, zyte; the name of a file has a dot or a slash
    "#);
    assert_snapshot!(told(&["--rows", ".result"]), @r"
    exit 2
    -- stderr
    error: --rows: there are rows, and no field to fill
    hint: add --select 'title=h3::text'
    ");
}

const SHOP: &str = "<!doctype html>\n<title>Lamps</title>\n<ul>\n<li class=result><a href=/1>One</a>\n<b class=cost>1.299,00 EUR</b>\n</li>\n\
                    <li class=result><a href=/2>Two</a></li>\n<li class=result>ad</li>\n</ul>\n";

const PROFILE: &str = "rows = \".result\"\nrequired = [\"link\"]\n\n[fields]\ntitle = \"a::text\"\nlink = \"a::attr(href)|absolute\"\n\
                       price = \".cost::text|number\"\nstars = \".rating .stars::attr(title)\"\n";

#[test]
fn extract_test_shows_where_each_finding_stands_and_why_there_is_none() {
    let directory = tempfile::tempdir().expect("directory");
    std::fs::write(directory.path().join("shop.html"), SHOP).expect("file");
    std::fs::write(directory.path().join("shop.toml"), PROFILE).expect("file");
    let run = |words: &[&str]| {
        let mut command = proxywheel();
        let output = command
            .current_dir(directory.path())
            .args(["extract", "test"])
            .args(words)
            .output();
        shown(&output.expect("runs"))
    };
    assert_snapshot!(run(&[
        "shop.html",
        "--profile",
        "shop.toml",
        "--url",
        "http://shop.example/"
    ]));
    assert_snapshot!(run(&[
        "shop.html",
        "--rows",
        "ul .results",
        "--select",
        "a=a"
    ]));
    assert_snapshot!(run(&[
        "shop.html",
        "--select",
        "all=.result a::text|join(', ')",
        "--select",
        "x=ul .name a::text"
    ]));
    assert_snapshot!(run(&["shop.html"]), @r"
    exit 2
    -- stderr
    error: nothing is to be extracted
    hint: add --profile FILE, or --select 'price=.price::text|number'
    ");
}

#[test]
fn every_built_in_profile_can_be_printed_and_used_as_a_file() {
    let directory = tempfile::tempdir().expect("directory");
    std::fs::write(directory.path().join("page.html"), "<p>nothing").expect("file");
    let names = proxywheel()
        .args(["extract", "show"])
        .output()
        .expect("runs");
    let names = String::from_utf8(names.stdout).expect("UTF-8");
    assert!(names.lines().count() >= 6);
    for name in names.lines() {
        let printed = proxywheel()
            .args(["extract", "show", name])
            .output()
            .expect("runs");
        std::fs::write(directory.path().join("own.toml"), printed.stdout).expect("file");
        let mut command = proxywheel();
        let words = ["extract", "test", "page.html", "--profile", "own.toml"];
        let output = command
            .current_dir(directory.path())
            .args(words)
            .output()
            .expect("runs");
        let text = shown(&output);
        assert!(
            text.starts_with("exit 0") && text.contains("state unknown"),
            "{name}: {text}"
        );
    }
}
