//! The page of a job, as a file: how large, whether it is whole, and what of strangers' text is in it.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use proxywheel::track::report::{Material, html};
use ring::digest::{SHA256, digest};
use scraper::{Html, Selector};
use serde_json::Value;

use crate::report_world::{hostile, material};

/// Elements that have no end.
const VOID: [&str; 6] = ["meta", "link", "input", "br", "path", "img"];
/// Most bytes of a page of 500 keywords and 365 days.
const LARGEST: usize = 5_000_000;

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    let found = page.select(&selector);
    found.map(|one| one.text().collect::<String>()).collect()
}

fn attributes(page: &Html, selector: &str, name: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    let found = page.select(&selector);
    found
        .filter_map(|one| one.attr(name).map(str::to_owned))
        .collect()
}

/// Asserts that every element that begins ends, in order, outside of what is text to HTML.
fn assert_well_formed(page: &str) {
    let mut open: Vec<String> = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if rest.starts_with('!') {
            continue;
        }
        let end = rest.find('>').expect("a tag ends");
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        assert!(!tag.contains('<'), "<{tag}");
        rest = after;
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        assert!(!name.is_empty(), "<{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(&*name), "</{name}>");
        } else if name == "script" || name == "style" {
            let end = format!("</{name}>");
            rest = &rest[rest.find(&end).expect("it ends") + end.len()..];
        } else if !VOID.contains(&&*name) {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0], "left open");
}

#[test]
fn a_year_of_five_hundred_keywords_is_a_small_and_whole_page() {
    let text = html(&material(500, 365, &["example.com"]));
    assert!(text.len() < LARGEST, "{} bytes", text.len());
    assert_well_formed(&text);
    // For whoever wants to look at it in a browser.
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.html");
    std::fs::write(to, &text).expect("written");

    let page = Html::parse_document(&text);
    assert_eq!(texts(&page, "table.sort tbody tr[data-i] bdi.n").len(), 503);
    let data: Value = serde_json::from_str(&texts(&page, "#data")[0]).expect("JSON");
    assert_eq!(data["runs"].as_array().map(Vec::len), Some(365));
    let runs = |packed: &str| -> usize {
        let words = packed.split(',').map(|word| match word.rsplit_once('x') {
            Some((_, count)) => count.parse().expect("a count"),
            None => 1,
        });
        words.sum()
    };
    for series in data["series"].as_array().expect("series") {
        assert_eq!(runs(series["p"].as_str().expect("packed")), 365);
    }
    // Every cell in a row that has a head, every head with a scope, every table with a caption, every id once.
    assert_eq!(attributes(&page, "thead th:not([scope])", "class").len(), 0);
    assert_eq!(texts(&page, "tbody tr:not(:has(th[scope=row]))").len(), 0);
    assert_eq!(
        texts(&page, "table").len(),
        texts(&page, "table > caption").len()
    );
    let ids = attributes(&page, "[id]", "id");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

#[test]
fn a_page_asks_nobody_for_anything_and_runs_its_own_script_only() {
    for material in [
        material(3, 40, &["a.test", "b.test"]),
        hostile(),
        Material::default(),
    ] {
        let text = html(&material);
        assert_well_formed(&text);
        let page = Html::parse_document(&text);
        let loads = "img, iframe, object, embed, base, form, style + style, link:not([href='data:,']), [src], [style], [onload], [onerror]";
        assert_eq!(texts(&page, loads), [""; 0]);
        let scripts = texts(&page, "script:not([type])");
        assert_eq!(scripts.len(), 1);
        let hash = base64::engine::general_purpose::STANDARD
            .encode(digest(&SHA256, scripts[0].as_bytes()));
        let policy = "meta[http-equiv='Content-Security-Policy']";
        let policy = &attributes(&page, policy, "content")[0];
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(
            policy.contains(&format!("script-src 'sha256-{hash}'")),
            "{policy}"
        );
    }
}

#[test]
fn text_of_strangers_is_text() {
    let text = html(&hostile());
    assert!(!text.to_lowercase().contains("<script>alert"));
    assert!(!text.contains('\u{202e}'));
    let page = Html::parse_document(&text);
    for address in attributes(&page, "a[href]", "href") {
        assert!(address.starts_with('#'), "{address}");
    }
    assert_eq!(texts(&page, "h1"), ["<script>alert(1)</script>"]);
    assert!(texts(&page, ".u span").contains(&"javascript:alert(document.domain)".to_owned()));
    let data = &texts(&page, "#data")[0];
    serde_json::from_str::<Value>(data).expect("whole");
}

#[test]
fn a_job_of_which_nothing_is_known_has_a_page_that_says_so() {
    let text = html(&Material::default());
    let page = Html::parse_document(&text);
    assert!(texts(&page, ".empty")[0].contains("Nothing was observed since"));
    assert_eq!(texts(&page, "table"), [""; 0]);
}
