//! Real pages, where they are at hand: no ordinary one is called a block, and how many blocks are recognised.

use std::collections::BTreeMap;

use http::{HeaderName, Method};
use url::Url;

use super::super::Seen;
use super::super::view::View;
use super::{ask, exchange, judge};
use crate::outcome::Outcome;

/// One page of the corpus.
#[derive(serde::Deserialize)]
struct Page {
    file: String,
    kind: String,
    vendor: String,
    sub: String,
    status: Option<u16>,
    headers: Option<Vec<(String, String)>>,
    url: Option<String>,
    ambiguous: bool,
}

#[test]
fn no_ordinary_page_of_the_corpus_is_called_a_block() {
    let Some(root) = crate::corpus::at_hand() else {
        return;
    };
    let manifest = std::fs::read_to_string(root.join("pages.jsonl")).expect("a manifest");
    let judge = judge(|_| {});
    let mut recall: BTreeMap<String, (u32, u32)> = Default::default();
    let mut wrong = Vec::new();
    let mut searched = (0, 0);
    for line in manifest.lines().filter(|line| !line.trim().is_empty()) {
        let page: Page = serde_json::from_str(line).expect("a line of the manifest");
        let body = std::fs::read(root.join("pages").join(&page.file)).expect("the page");
        let mut lines: Vec<String> = Vec::new();
        for (name, value) in page.headers.iter().flatten() {
            if name.parse::<HeaderName>().is_ok() && !value.contains(['\r', '\n']) {
                lines.push(format!("{name}: {value}"));
            }
        }
        if page.headers.is_none() {
            let kind = match page.file.rsplit('.').next() {
                Some("json") => "application/json",
                Some("xml") => "application/xml",
                // Templates are kept under other names, with notes above the page.
                _ if page.file.ends_with(".html") || body.windows(5).any(|w| w == b"<html") => {
                    "text/html"
                }
                _ => "text/plain",
            };
            lines.push(format!("content-type: {kind}"));
        }
        let mut answer = exchange(page.status.unwrap_or(200), &lines, "", true);
        answer.result.as_mut().unwrap().body.bytes = body.into();
        let url = page
            .url
            .as_deref()
            .filter(|url| Url::parse(url).is_ok_and(|url| url.has_host()));
        let url = url.unwrap_or("https://unknown.example/page");
        for verified in [true, false] {
            answer.verified = verified;
            let verdict = ask(&judge, url, true, &answer);
            let blocked = !matches!(verdict.outcome, Outcome::Ok | Outcome::HttpError);
            if page.kind == "ok" {
                if blocked {
                    wrong.push(format!("{} {} {verdict:?}", page.file, page.sub));
                }
                if verified && (200..=299).contains(&page.status.unwrap_or(200)) {
                    let seen = Seen {
                        url: &Url::parse(url).expect("a URL"),
                        method: &Method::GET,
                        https: true,
                        follows: true,
                        now: None,
                    };
                    let view =
                        View::of_response(&seen, answer.result.as_ref().unwrap(), true, false);
                    searched.0 += u32::from(judge.table.has_to_scan(&view));
                    searched.1 += 1;
                }
                continue;
            }
            // A proxy's page can only be recognised where the proxy could have written it.
            let by_proxy = matches!(&*page.kind, "proxy-error" | "captive/tamper");
            if verified == by_proxy {
                continue;
            }
            let found = match &*page.kind {
                "proxy-error" | "captive/tamper" => {
                    matches!(verdict.outcome, Outcome::ProxyError | Outcome::Corrupt)
                }
                "origin-error" => !blocked,
                _ => matches!(verdict.outcome, Outcome::Banned | Outcome::RateLimited),
            };
            let unsure = if page.ambiguous { " (ambiguous)" } else { "" };
            let counts = recall.entry(format!("{}{unsure}", page.kind)).or_default();
            counts.0 += u32::from(found);
            counts.1 += 1;
            if !found && std::env::var_os("CORPUS_MISSES").is_some() {
                report(&format!(
                    "missed: {} {} {} {}",
                    page.file, page.kind, page.vendor, page.sub
                ));
            }
        }
    }
    report(&format!(
        "{} of {} ordinary pages needed the whole pass",
        searched.0, searched.1
    ));
    for (kind, (found, of)) in &recall {
        report(&format!("{kind}: {found} of {of} recognised"));
    }
    assert!(
        wrong.is_empty(),
        "{} ordinary pages called a block:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[expect(
    clippy::print_stderr,
    reason = "what a test that depends on local files did, for whoever runs it"
)]
fn report(line: &str) {
    eprintln!("corpus: {line}");
}
