//! Job files: what is wrong in one, and how much a good one is. No network.

use std::fs;

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::{fetch, proxywheel, shown};

const GOOD: &str = r#"kind = "rank"
url = "https://search.test/?q={query}&p={page}&cc={cc}"

[matrix]
query = { file = "keywords.txt" }
country = ["us", "de"]

[pages]
most = 3

[vary.country.us]
vars = { cc = "US" }
exit_country = "us"

[vary.country.de]
vars = { cc = "DE" }
exit_country = "de"
exit_tags = ["resi"]

[fetch]
proxy-file = ["proxies.txt"]
host-rate = "1/s"

[extract]
rows = ".result"
select = ["link=a::attr(href)|absolute"]

[[target]]
host = "example.com"

[[alert]]
when = "leaves_top"
top = 10
"#;

/// What a command below `track` shows of a job of this text; `keywords.txt` lies beside it.
fn track(words: &str, text: &str) -> String {
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("keywords.txt"), "shoes\nred shoes\n").expect("written");
    fs::write(folder.path().join("proxies.txt"), "127.0.0.1:8080\n").expect("written");
    fs::write(folder.path().join("empty.txt"), "# none yet\n\n").expect("written");
    fs::write(folder.path().join("serp.toml"), text).expect("written");
    let output = proxywheel()
        .arg("track")
        .args(words.split_whitespace())
        .arg("serp.toml")
        .current_dir(folder.path())
        .output()
        .expect("runs");
    shown(&output)
}

fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    track("validate", &GOOD.replace(from, to))
}

#[test]
fn a_good_job_is_told_by_its_size_and_its_expansion() {
    assert_snapshot!("track_validate", track("validate", GOOD));
    assert_snapshot!("track_plan", track("plan", GOOD));
    let rows = track("plan --format jsonl -q", GOOD);
    let first = rows.lines().nth(2).expect("a row");
    let row: serde_json::Value = serde_json::from_str(first).expect("JSON");
    assert_eq!(row["axes"]["query"], "shoes");
    assert_eq!(
        (&row["pages_least"], &row["pages_most"]),
        (&1.into(), &3.into())
    );
    assert_eq!(rows.lines().count(), 2 + 4, "{rows}");
}

#[test]
fn each_mistake_of_a_job_has_its_line_and_a_hint() {
    let mut all = String::new();
    for (what, shown) in [
        ("unknown key", with("most = 3", "mots = 3")),
        (
            "misplaced key",
            with("top = 10", "top = 10\nmin_age = \"20h\""),
        ),
        ("unknown setting of fetch", with("host-rate", "hostrate")),
        ("bad setting of fetch", with("1/s", "1")),
        (
            "setting that is made elsewhere",
            with("host-rate = \"1/s\"", "output = \"x.jsonl\""),
        ),
        ("empty matrix", with("[\"us\", \"de\"]", "[]")),
        ("empty file of keywords", with("keywords.txt", "empty.txt")),
        (
            "missing file of keywords",
            with("keywords.txt", "keyword.txt"),
        ),
        ("unknown placeholder", with("{query}", "{qeury}")),
        (
            "variable without a value",
            with("vars = { cc = \"DE\" }\n", ""),
        ),
        ("pages that are one", with("&p={page}", "")),
        (
            "value that does not occur",
            with("vary.country.de", "vary.country.dk"),
        ),
        ("selector that does not parse", with(".result", ".result >")),
        ("field that does not parse", with("|absolute", "|absolut")),
        ("rank without rows", with("rows = \".result\"\n", "")),
        (
            "target with a scheme",
            with("\"example.com\"", "\"https://www.example.com/shop/\""),
        ),
        (
            "target with a port",
            with("\"example.com\"", "\"example.com:443\""),
        ),
        (
            "path without slash",
            with("\"example.com\"", "\"example.com\"\npath = \"shop\""),
        ),
        (
            "alert for nobody",
            with("top = 10", "top = 10\ntargets = [\"me\"]"),
        ),
        (
            "match on an unknown axis",
            with("top = 10", "top = 10\nmatch = { land = \"de\" }"),
        ),
        ("alert of the other kind", with("leaves_top", "changed")),
        ("no address", with("https://search", "//search")),
        ("no TOML", with("kind = \"rank\"", "kind = rank")),
        (
            "several at once",
            with("most = 3", "most = 0\ndepht = \"all\"").replace('\t', " "),
        ),
    ] {
        all.push_str(&format!("## {what}\n{shown}\n"));
    }
    assert_snapshot!("track_bad_jobs", all);
}

#[test]
fn a_provider_is_not_asked_for_what_it_does_not_give() {
    let mut all = String::new();
    for line in [
        "provider=decoda user=u pass=p",
        "provider=decodo user=u pass=p city=x",
        "provider=decodo user=u pass=p sessions=2 ttl=25h",
        "provider=brightdata user=u zone=z pass=p sessions=2 ttl=10m",
        "provider=webshare user=u pass=p sessions=2",
        "provider=decodo user=u pass=p sessions=2 rotation=per_connection",
    ] {
        let shown = fetch(&["-x", line, "http://a.test/", "--no-state"]);
        all.push_str(&format!("## {line}\n{shown}\n"));
    }
    assert_snapshot!("preset_misuse", all);
}

#[test]
fn presets_of_the_user_are_read_and_told_apart_by_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = "[[preset]]\nname = \"own\"\nhost = \"gate.test\"\nports = { http = \"1\" }\nuser = \"{user\"\npassword = \"{pass}\"\n";
    fs::write(folder.path().join("own.toml"), own).expect("written");
    fs::write(folder.path().join("p.txt"), "provider=own user=u pass=p\n").expect("written");
    let run = || {
        let words =
            "fetch http://a.test/ --no-state --presets own.toml --strict --proxy-file p.txt";
        let output = proxywheel()
            .args(words.split_whitespace())
            .current_dir(folder.path())
            .output()
            .expect("runs");
        shown(&output)
    };
    assert_snapshot!("bad_preset", run());
    fs::write(
        folder.path().join("own.toml"),
        own.replace("{user\"", "{user}-{zone}\""),
    )
    .expect("written");
    assert_snapshot!("preset_needs_more", run());
}

#[test]
fn a_list_that_is_not_there_and_a_job_without_one_are_told_of_by_the_job_file() {
    let shown = with("\"proxies.txt\"", "\"proxies.txt\", \"none.txt\"");
    assert!(
        shown.contains("error: serp.toml:21: cannot read none.txt: No such file"),
        "{shown}"
    );
    let none = GOOD.replace("proxy-file = [\"proxies.txt\"]\n", "");
    let shown = track("run --state none.db", &none);
    assert!(
        shown.contains("error: serp.toml: no proxies given"),
        "{shown}"
    );
}

#[test]
fn flags_that_mean_nothing_to_a_job_are_refused_with_what_does_instead() {
    let shown = track(
        "run serp.toml --state none.db -- -o out.jsonl -q --resume --no-state --list-fields -j 5",
        GOOD,
    );
    for (flag, instead) in [
        ("--output", "observations"),
        ("--quiet", "before any --"),
        ("--resume", "resume_within"),
        ("--no-state", "state names another"),
        ("--list-fields", "observations"),
        ("URL", "[matrix]"),
    ] {
        let told = format!("  {flag}: not for the run of a job\n    hint: ");
        let (_, rest) = shown.split_once(&told).expect(flag);
        let hint = rest.lines().next().expect(flag);
        assert!(hint.contains(instead), "{flag}: {hint}");
    }
    assert!(shown.starts_with("exit 2\n"), "{shown}");
    assert!(!shown.contains("--concurrency"), "{shown}");
}
