//! The rules as a person tunes them: listed, shown, tried on saved answers, taken out, replaced.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{corpus, proxywheel, shown};

fn rules(folder: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let output = proxywheel()
        .current_dir(folder)
        .arg("rules")
        .args(words)
        .output()
        .expect("runs");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("UTF-8"),
        String::from_utf8(output.stderr).expect("UTF-8"),
    )
}

const CHALLENGE: &str = "HTTP/1.1 403 Forbidden\r\ncontent-type: text/html\r\nserver: cloudflare\r\ncf-ray: 8\r\n\r\n\
    <html><title>Just a moment...</title><script>window._cf_chl_opt={}</script></html>";
const ORDINARY: &str = "<html><title>Kettles</title><form><input type=password><div class=g-recaptcha></div></form></html>";

#[test]
fn a_saved_answer_is_explained_with_all_that_speaks_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.html"), CHALLENGE).expect("written");
    let output = proxywheel()
        .current_dir(folder.path())
        .args(["rules", "explain", "a.html"])
        .output()
        .expect("runs");
    insta::assert_snapshot!(shown(&output), @r"
    exit 0
    -- stdout
    a.html: 403 banned, challenge_js by cloudflare (cloudflare.challenge, 90 %): body: _cf_chl_opt; behind cloudflare
        cloudflare.challenge         body: _cf_chl_opt
    ");
}

#[test]
fn labels_give_a_confusion_table_and_name_what_was_judged_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let labels = [
        r#"{"file": "a.html", "kind": "challenge", "vendor": "cloudflare"}"#,
        r#"{"file": "b.html", "kind": "ok"}"#,
        r#"{"file": "c.html", "kind": "ban", "vendor": "custom", "status": 403}"#,
    ];
    fs::write(folder.path().join("labels.jsonl"), labels.join("\n")).expect("written");
    for (name, text) in [
        ("a.html", CHALLENGE),
        ("b.html", ORDINARY),
        ("c.html", "<html>no</html>"),
    ] {
        fs::write(folder.path().join(name), text).expect("written");
    }
    let (code, table, _) = rules(folder.path(), &["test", "--labels", "labels.jsonl"]);
    assert_eq!(code, Some(0));
    assert!(
        table.contains("block recall                                     50.0 %  1 of 2"),
        "{table}"
    );
    assert!(
        table.contains("false blocks                                      0.0 %  0 of 1"),
        "{table}"
    );
    assert!(
        table.contains("missed: c.html: ban custom, judged ok"),
        "{table}"
    );

    let own = "[[rule]]\nid = \"own.no\"\nclass = \"block_ip\"\nsource = \"captures\"\nwhen = { status = \"403\" }\nany = [{ text = \"no\" }]\n";
    fs::write(folder.path().join("own.toml"), own).expect("written");
    let words = [
        "test",
        "--labels",
        "labels.jsonl",
        "--rules",
        "own.toml",
        "--no-rule",
        "cloudflare.*",
    ];
    let (_, table, _) = rules(folder.path(), &words);
    assert!(
        table.contains("block recall                                     50.0 %  1 of 2"),
        "{table}"
    );
    assert!(
        table.contains("missed: a.html: challenge cloudflare"),
        "{table}"
    );
}

#[test]
fn rules_are_listed_shown_and_complained_about() {
    let here = Path::new(".");
    let (_, list, _) = rules(here, &["list"]);
    assert!(
        list.lines().count() > 200 && list.contains("* cloudflare.mitigated"),
        "{list}"
    );
    let (_, list, _) = rules(
        here,
        &["list", "--format", "jsonl", "--no-rule", "f5.rejected"],
    );
    let ids: Vec<Value> = list
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(!ids.iter().any(|row| row["id"] == "f5.rejected"));
    let (_, rule, _) = rules(here, &["show", "f5.rejected"]);
    assert!(rule.starts_with("[[rule]]\nid = \"f5.rejected\""), "{rule}");
    let (code, _, error) = rules(here, &["show", "f5.nothing"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("there is no rule \"f5.nothing\""), "{error}");
    let (code, _, error) = rules(here, &["list", "--no-rule", "x.y"]);
    assert_eq!(code, Some(2));
    assert!(
        error.contains("--no-rule: there is no rule \"x.y\""),
        "{error}"
    );
}

#[test]
fn what_was_not_saved_is_told_and_not_judged_in_silence() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("written");
    };
    let kept = r#"{"url": "https://a.example/", "status": 403, "headers": {"cf-mitigated": ["challenge"]}, "size_body": 0, "body": null}"#;
    let lost = r#"{"url": "https://a.example/", "status": 403, "headers": {}, "size_body": 5000, "body": null, "body_b64": null, "body_path": "gone.html"}"#;
    let page = lost.replace("403", "200");
    let page = page.replace(
        r#""headers": {}"#,
        r#""headers": {"content-type": ["text/html"]}"#,
    );
    write("rows.jsonl", &format!("{kept}\n{lost}\n{page}\n"));
    write("empty.jsonl", "");
    let (code, rows, said) = rules(
        folder.path(),
        &["test", "rows.jsonl", "empty.jsonl", "--format", "jsonl"],
    );
    assert_eq!(code, Some(0), "{said}");
    let rows: Vec<Value> = rows
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 3, "a row for each, with a body or without");
    assert_eq!(rows[0]["ban"]["rule"], "cloudflare.mitigated");
    for row in &rows[1..] {
        assert_eq!(
            (&row["outcome"], &row["ban"]),
            (&Value::Null, &Value::Null),
            "{row}"
        );
    }
    assert!(
        said.contains("judged without their bodies: 2 of 3 answers"),
        "{said}"
    );
    assert!(said.contains("--headers --body inline"), "{said}");
    assert!(
        said.contains("empty.jsonl: there is no answer in it"),
        "{said}"
    );

    write("a.html", CHALLENGE);
    let (_, row, _) = rules(folder.path(), &["test", "a.html", "--format", "jsonl"]);
    assert!(row.contains("\"confidence\":0.9}"), "{row}");
}

#[test]
fn real_pages_are_told_apart() {
    let Some(folder) = corpus::at_hand() else {
        return;
    };
    let (code, text, error) = rules(
        &folder,
        &["test", "--labels", "pages.jsonl", "--format", "jsonl"],
    );
    assert_eq!(code, Some(0), "{error}");
    let last: Value = serde_json::from_str(text.lines().last().expect("a summary")).expect("JSON");
    let figure = |name: &str| last["summary"][name].as_f64().expect(name);
    assert!(
        figure("blocks") > 100.0 && figure("ordinary") > 200.0,
        "{last}"
    );
    assert!(figure("recall") >= 0.98, "{last}");
    assert!(figure("false_block_rate") <= 0.005, "{last}");
    assert!(figure("vendor_right") >= 0.97, "{last}");
}
