//! README and docs are true: their commands parse, the recipes run, the tables are complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::error::ErrorKind;
use proxywheel::cli::args::root;
use proxywheel::lab::{Fault, Lab, ProxySpec};
use proxywheel::outcome::{FaultKind, Outcome};
use proxywheel::proxy::Scheme;
use serde_json::Value;

use crate::proxywheel;

pub(crate) const README: &str = include_str!("../../README.md");
const RECORD: &str = include_str!("../../docs/record.md");
const PAGES: [(&str, &str); 11] = [
    ("README.md", README),
    ("CONTRIBUTING.md", include_str!("../../CONTRIBUTING.md")),
    ("docs/check.md", include_str!("../../docs/check.md")),
    ("docs/extract.md", include_str!("../../docs/extract.md")),
    ("docs/guide.md", include_str!("../../docs/guide.md")),
    ("docs/judge.md", include_str!("../../docs/judge.md")),
    ("docs/providers.md", include_str!("../../docs/providers.md")),
    ("docs/record.md", RECORD),
    ("docs/rules.md", include_str!("../../docs/rules.md")),
    ("docs/track.md", include_str!("../../docs/track.md")),
    ("docs/faq.md", include_str!("../../docs/faq.md")),
];

/// The code blocks of a page in this language.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in page.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(name)) => block = Some((name == language, String::new())),
            (Some(_), Some(_)) => {
                if let Some((true, text)) = block.take() {
                    found.push(text);
                }
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(block.is_none(), "a code block is not closed");
    found
}

/// What stands between backticks in the prose.
fn spans(page: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut is_code = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            prose.push_str(line);
            prose.push(' ');
        }
    }
    prose
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The simple commands of a script, quotes taken off. Knows as much of the shell as the pages use.
fn commands(script: &str) -> Vec<Vec<String>> {
    let script = script.replace("\\\n", " ");
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (None, '#') if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            (None, ' ' | '\n' | '|' | ';' | '>' | '&') => {
                let last = commands.last_mut().expect("never empty");
                last.extend(word.take());
                if c != ' ' {
                    commands.push(Vec::new());
                }
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    commands.last_mut().expect("never empty").extend(word);
    commands.retain(|command| !command.is_empty());
    commands
}

fn check_command(place: &str, words: &[String]) {
    let Err(error) = root().try_get_matches_from(words) else {
        return;
    };
    let shows = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion];
    assert!(shows.contains(&error.kind()), "{place}: {words:?}\n{error}");
}

#[test]
fn every_command_of_the_pages_is_understood() {
    let mut count = 0;
    for (name, page) in PAGES {
        let mut scripts = blocks(page, "sh");
        scripts.extend(blocks(page, "console").iter().map(|block| {
            let typed = block.lines().filter_map(|line| line.strip_prefix("$ "));
            typed.collect::<Vec<_>>().join("\n")
        }));
        scripts.extend(spans(page));
        for command in scripts.iter().flat_map(|script| commands(script)) {
            if command[0] == "proxywheel" && command.len() > 1 {
                check_command(name, &command);
                count += 1;
            }
        }
    }
    assert!(count > 15, "only {count} commands were found");
}

#[test]
fn the_command_of_the_service_is_understood() {
    let page = include_str!("../../docs/judge.md");
    let unit = blocks(page, "ini").concat();
    let line = unit.split("ExecStart=/usr/local/bin/").nth(1);
    let line = line.and_then(|rest| rest.lines().next());
    let words = line.expect("ExecStart").split(' ').map(str::to_owned);
    check_command("docs/judge.md", &words.collect::<Vec<_>>());
}

#[test]
fn every_flag_the_pages_name_exists() {
    let mut root = root();
    root.build();
    let mut known = BTreeSet::new();
    let below = root
        .get_subcommands()
        .flat_map(|command| command.get_subcommands());
    for command in root.get_subcommands().chain(below) {
        for arg in command.get_arguments() {
            known.extend(arg.get_long().map(|long| format!("--{long}")));
            known.extend(arg.get_short().map(|short| format!("-{short}")));
        }
    }
    known.insert("-vv".to_owned());
    for (name, page) in PAGES {
        for span in spans(page) {
            let foreign = ["cargo ", "sort ", "jq ", "kill "];
            if foreign.iter().any(|program| span.contains(program)) {
                continue;
            }
            let flags = span.split_whitespace().filter(|word| {
                let letter = word.trim_start_matches('-').chars().next();
                word.starts_with('-') && letter.is_some_and(char::is_alphabetic)
            });
            for flag in flags {
                // `--ban-*` stands for all that begin so.
                let exists = match flag.strip_suffix('*') {
                    Some(stem) => known.iter().any(|known| known.starts_with(stem)),
                    None => known.contains(flag),
                };
                assert!(exists, "{name} names {flag}");
            }
        }
    }
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, page) in PAGES {
        let directory = root.join(name).parent().expect("a folder").to_owned();
        for link in page.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if !link.contains("://") && !link.starts_with('#') {
                assert!(directory.join(link).exists(), "{name} links to {link}");
            }
        }
    }
}

/// A place to run the recipes in, with a pool to run them through.
struct Kitchen {
    directory: tempfile::TempDir,
    lab: Lab,
}

/// Proxies of the kitchen that answer as they should; they come first.
const GOOD: u32 = 6;
const URLS: usize = 24;

impl Kitchen {
    fn open() -> Self {
        let bad = |fault| ProxySpec::new(Scheme::Http).fault(fault);
        let builder = Lab::builder()
            .perfect(GOOD)
            .proxy(bad(Fault::Refuse))
            .proxy(bad(Fault::Reset))
            .proxy(bad(Fault::ForeignPage))
            .proxy(bad(Fault::Empty200));
        let lab = Lab::spawn_thread(builder).expect("a lab");
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            fs::write(directory.path().join(name), text).expect("writes");
        };
        write("proxies.txt", &lab.proxy_list());
        write("ca.pem", lab.ca_pem());
        let urls: Vec<_> = (0..URLS)
            .map(|n| format!("{}://shop.test/page/{n}\n", ["http", "https"][n % 2]))
            .collect();
        write("urls.txt", &urls.concat());
        let queries = "url,keyword\nhttp://find.test/page/1,shoes\nhttp://find.test/page/2,hats\n";
        write("queries.csv", queries);
        Kitchen { directory, lab }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the recipe writes it")
    }

    /// Runs a block of the README, which is made for the lab's sites first.
    fn cook(&self, script: &str) -> Output {
        let script = script
            .replace("http://judge.example.com/", &self.lab.judge_url(false))
            .replace("example.com", "example.test")
            .replace(r#"class="product""#, "at shop.test")
            .replace(r#"id="search""#, "at find.test");
        let program = Path::new(env!("CARGO_BIN_EXE_proxywheel"));
        let mut path = program.parent().expect("a folder").as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").expect("PATH"));
        let output = Command::new("bash")
            .args(["-eu", "-c", &script])
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", path)
            .env("PROXYWHEEL_CACERT", self.path("ca.pem"))
            .output()
            .expect("bash runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{script}\n{:?} {told}",
            output.status
        );
        output
    }
}

/// The blocks of a recipe.
fn recipe(title: &str) -> Vec<String> {
    let section = README.split(&format!("### {title}\n")).nth(1).expect(title);
    let section = section.split("\n## ").next().unwrap_or_default();
    let section = section.split("\n### ").next().unwrap_or_default();
    let blocks = blocks(section, "sh");
    assert!(!blocks.is_empty(), "{title} has no commands");
    blocks
}

fn rows(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect()
}

#[test]
fn the_recipe_for_files_writes_every_page_once() {
    let kitchen = Kitchen::open();
    let blocks = recipe("Scrape a list into files");
    kitchen.cook(&blocks[0]);
    let before = rows(&kitchen.read("pages.jsonl"));
    assert_eq!(before.len(), URLS);
    for row in &before {
        assert_eq!(row["outcome"], "ok", "{row}");
        let file = kitchen.path(row["body_path"].as_str().expect("a file"));
        assert_eq!(fs::metadata(file).expect("a file").len(), 2048);
    }
    let output = kitchen.cook(&blocks[1]);
    assert_eq!(
        rows(&kitchen.read("pages.jsonl")),
        before,
        "nothing was left to do"
    );
    assert!(output.stdout.is_empty(), "nothing failed");
}

#[test]
fn the_recipe_for_cron_adds_rows_and_is_silent() {
    let kitchen = Kitchen::open();
    let [block] = &recipe("Check search results from cron")[..] else {
        panic!("one block");
    };
    for runs in 1..=2 {
        let output = kitchen.cook(block);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        let files = fs::read_dir(kitchen.directory.path()).expect("a folder");
        let csv = files
            .map(|file| {
                file.expect("a file")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .find(|name| name.starts_with("serp-"))
            .expect("an output");
        let text = kitchen.read(&csv);
        assert_eq!(text.lines().count(), 1 + 2 * runs, "{text}");
        assert!(
            text.lines()
                .next()
                .is_some_and(|header| header.ends_with(",tag.keyword"))
        );
        assert!(kitchen.read("serp.json").contains("\"exit_code\": 0"));
    }
}

#[test]
fn the_recipe_for_lists_keeps_the_good_proxies() {
    let kitchen = Kitchen::open();
    let [block] = &recipe("Clean a proxy list")[..] else {
        panic!("one block");
    };
    kitchen.cook(block);
    let alive: BTreeSet<String> = kitchen
        .read("alive.txt")
        .lines()
        .map(str::to_owned)
        .collect();
    let good: BTreeSet<String> = (0..GOOD)
        .map(|number| kitchen.lab.proxy_url(number))
        .collect();
    assert_eq!(alive, good);
}

fn is_named(word: &str) -> bool {
    RECORD.contains(&format!("`{word}`"))
}

#[test]
fn the_record_page_has_every_word_of_the_schema() {
    let schema: Value = serde_json::from_str(proxywheel::output::SCHEMA).expect("JSON");
    let mut words = Vec::new();
    collect(&schema, &mut words);
    assert!(words.len() > 80, "{words:?}");
    let missing: Vec<_> = words.iter().filter(|word| !is_named(word)).collect();
    assert!(missing.is_empty(), "docs/record.md lacks {missing:?}");
    for outcome in Outcome::ALL {
        assert!(RECORD.contains(&format!("| `{outcome}` |")), "{outcome}");
    }
}

/// Keys and closed words of a schema.
fn collect(schema: &Value, words: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        words.extend(properties.keys().cloned());
                    }
                    ("enum", Value::Array(values)) => {
                        words.extend(values.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => {}
                }
                collect(value, words);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, words)),
        _ => {}
    }
}

#[test]
fn the_record_page_has_every_kind_of_error() {
    use FaultKind::*;
    let kinds = [
        Dns,
        Refused,
        Timeout,
        Reset,
        Closed,
        Unreachable,
        NoIpv6,
        Malformed,
        Auth,
        Rejected(403),
        Http2(2),
        Certificate,
        OtherCertificate,
        Tls,
        Decode,
        TooLarge,
        Unsupported,
        Redirects,
        Local,
        NoProxy,
        Cancelled,
    ];
    for kind in kinds {
        // Does not compile when a kind is added: it belongs into the list above, too.
        match kind {
            Dns | Refused | Timeout | Reset | Closed | Unreachable | Malformed | Auth => {}
            Rejected(_) | Http2(_) | Certificate | OtherCertificate | Tls => {}
            Decode | TooLarge | Unsupported => {}
            Redirects | Local | NoProxy | Cancelled | NoIpv6 => {}
        }
        assert!(
            RECORD.contains(&format!("| `{}` |", kind.as_str())),
            "{kind}"
        );
    }
}

#[test]
fn the_record_page_has_the_csv_header() {
    let output = proxywheel()
        .args([
            "fetch",
            "-q",
            "--format",
            "csv",
            "-x",
            "http://127.0.0.1:9",
            "no-url",
        ])
        .output()
        .expect("runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let header = text.lines().next().expect("a header");
    let told: Vec<_> = header.split(',').map(|name| format!("`{name}`")).collect();
    let page = RECORD.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains(&told.join(", ")), "{header}");
}
