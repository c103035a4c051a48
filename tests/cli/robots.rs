//! robots.txt: read once, through the proxies, before anything else of its host; and its word kept.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use proxywheel::lab::{BanStyle, Builder, HostPlan, Lab, Script, Shown};
use serde_json::Value;

use crate::running::Rig;

fn text(status: u16, body: &str) -> Shown {
    Shown {
        status,
        headers: vec![("Content-Type".to_owned(), "text/plain".to_owned())],
        body: body.to_owned(),
    }
}

/// A lab whose `robots.test` has this robots.txt; everything else of it are the lab's pages.
fn rig(builder: Builder, robots: Shown, urls: &[&str]) -> Rig {
    let urls: Vec<String> = urls
        .iter()
        .map(|path| format!("http://robots.test{path}"))
        .collect();
    let rig = Rig::new(builder.record_hits(10_000), &urls);
    script(&rig, "robots.test", move |path| {
        (path == "/robots.txt").then(|| robots.clone())
    });
    rig
}

fn script(rig: &Rig, host: &str, site: impl Fn(&str) -> Option<Shown> + Send + Sync + 'static) {
    rig.lab
        .set_site(host, Script::new(move |asked| site(&asked.path)));
}

/// By path of the input: outcome, and what the error says.
fn rows(rig: &Rig) -> BTreeMap<String, (String, String)> {
    let text = fs::read_to_string(rig.path("out.jsonl")).expect("records");
    let rows = text.lines().map(|line| {
        let row: Value = serde_json::from_str(line).expect("every line parses");
        let input = row["input"].as_str().expect("an input");
        let path = input
            .strip_prefix("http://robots.test")
            .unwrap_or(input)
            .to_owned();
        let outcome = row["outcome"].as_str().expect("a word").to_owned();
        let error = row["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (path, (outcome, error))
    });
    rows.collect()
}

fn asked(rig: &Rig, path: &str) -> usize {
    let hits = rig.lab.hits();
    hits.iter().filter(|hit| hit.path == path).count()
}

const OBEY: &str = "-i urls.txt -o out.jsonl --no-state --robots obey";

#[test]
fn the_file_is_asked_for_once_and_first_and_what_it_forbids_is_not() {
    let robots =
        "# ours\nUser-agent: *\nDisallow: /page/private\nUser-agent: shopbot\nDisallow: /page/1\n";
    let urls = [
        "/page/1",
        "/page/private/1",
        "/page/2",
        "/page/private/2",
        "/redirect-to?url=/page/private/3",
    ];
    let rig = rig(Lab::builder().perfect(4), text(200, robots), &urls);
    let (code, said) = rig.run(OBEY);
    assert_eq!(code, Some(4), "{said}");
    let seen = rows(&rig);
    for path in ["/page/private/1", "/page/private/2"] {
        let line = "robots.txt line 3: Disallow: /page/private";
        assert_eq!(seen[path], ("robots".into(), line.into()), "{path}");
        assert_eq!(asked(&rig, path), 0, "{path}");
    }
    assert_eq!((&*seen["/page/1"].0, &*seen["/page/2"].0), ("ok", "ok"));
    let (outcome, why) = &seen[urls[4]];
    assert_eq!(outcome, "robots");
    assert!(
        why.contains("redirect to http://robots.test/page/private/3"),
        "{why}"
    );
    assert_eq!(asked(&rig, "/page/private/3"), 0);
    let hits = rig.lab.hits();
    assert_eq!(hits[0].path, "/robots.txt");
    assert_eq!(asked(&rig, "/robots.txt"), 1);
    assert!(
        hits.iter().all(|hit| hit.proxy.is_some()),
        "nothing goes past the proxies"
    );

    let (code, said) = rig.run(&format!("{OBEY} --overwrite -A shopbot/2.0"));
    assert_eq!(code, Some(4), "{said}");
    let seen = rows(&rig);
    assert_eq!(seen["/page/1"].0, "robots");
    assert_eq!(seen["/page/private/1"].0, "ok");
}

#[test]
fn a_list_of_the_users_own_is_not_held_to_it_unless_asked() {
    let rig = rig(
        Lab::builder().perfect(2),
        text(200, "User-agent: *\nDisallow: /\n"),
        &["/page/1"],
    );
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --no-state");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(asked(&rig, "/robots.txt"), 0);
}

#[test]
fn a_file_that_is_not_there_allows_everything_and_one_that_cannot_be_read_nothing() {
    for (robots, outcome, why) in [
        (text(404, "no"), "ok", ""),
        (text(403, "no"), "ok", ""),
        (text(200, "<html>not a robots file</html>"), "ok", ""),
        (text(302, "").header("Location", "/redirect/4"), "ok", ""),
        (text(302, "").header("Location", "/redirect/9"), "ok", ""),
        (
            text(500, "broken"),
            "robots",
            "robots.txt could not be read: http_error, status 500",
        ),
    ] {
        let shown = format!("{robots:?}");
        let rig = rig(Lab::builder().perfect(3), robots, &["/page/1"]);
        let (_, said) = rig.run(&format!("{OBEY} --retry 1"));
        let seen = rows(&rig);
        assert_eq!(
            seen["/page/1"],
            (outcome.to_owned(), why.to_owned()),
            "{shown}\n{said}"
        );
    }
}

#[test]
fn a_page_that_blocks_is_no_robots_file_and_another_exit_is_asked() {
    let plan = HostPlan {
        banned_percent: 60,
        banned_style: BanStyle::Captcha,
        ..HostPlan::default()
    };
    let lab = Lab::builder().perfect(12).host("robots.test", plan);
    let robots = text(200, "User-agent: *\nDisallow: /page/2\n");
    let rig = rig(lab, robots, &["/page/1", "/page/2"]);
    let (_, said) = rig.run(&format!(
        "{OBEY} --max-proxies-per-url 12 --expect-text fox"
    ));
    let seen = rows(&rig);
    assert_eq!(seen["/page/1"].0, "ok", "{said}");
    assert_eq!(
        seen["/page/2"].1, "robots.txt line 2: Disallow: /page/2",
        "{said}"
    );
}

#[test]
fn the_crawl_delay_is_the_pace_of_the_host() {
    let robots = text(200, "User-agent: *\nCrawl-delay: 0.4\n");
    let rig = rig(
        Lab::builder().perfect(6),
        robots,
        &["/page/1", "/page/2", "/page/3", "/page/4"],
    );
    let (code, said) = rig.run(OBEY);
    assert_eq!(code, Some(0), "{said}");
    let hits = rig.lab.hits();
    let times: Vec<_> = hits.iter().map(|hit| hit.at).collect();
    assert_eq!(times.len(), 5, "{hits:?}");
    // What leaves on time may arrive a little early behind one that was late.
    let least = Duration::from_millis(300);
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= least, "{:?}", pair[1] - pair[0]);
    }
}

#[test]
fn what_a_sitemap_lists_is_held_to_it_and_what_cannot_be_read_has_a_row() {
    let rig = rig(Lab::builder().perfect(4), text(200, ""), &[]);
    let list = |urls: &[&str]| {
        let entries: String = urls
            .iter()
            .map(|url| {
                format!(
                    "<url><loc>http://robots.test{url}</loc><lastmod>2026-11-02</lastmod></url>"
                )
            })
            .collect();
        format!("<urlset>{entries}</urlset>")
    };
    let index = "<sitemapindex><sitemap><loc>http://robots.test/a.xml</loc></sitemap>\
        <sitemap><loc>/gone.xml</loc></sitemap><sitemap><loc>/page/no-sitemap</loc></sitemap>\
        <sitemap><loc>/old.xml</loc><lastmod>2020-01-01</lastmod></sitemap>\
        <sitemap><loc>/robots.test-index.xml</loc></sitemap></sitemapindex>";
    let a = list(&["/page/1", "/page/2", "/page/private"]);
    script(&rig, "robots.test", move |path| {
        Some(text(
            200,
            match path {
                "/robots.txt" => "User-agent: *\nDisallow: /page/private\nSitemap: /index.xml\n",
                // A ring: it ends where it began.
                "/index.xml" | "/robots.test-index.xml" => index,
                "/a.xml" => &a,
                "/old.xml" => panic!("it has not changed since"),
                "/gone.xml" => return Some(text(404, "gone")),
                _ => return None,
            },
        ))
    });
    let words = "-i sitemap:http://robots.test/robots.txt -o out.jsonl --no-state --sitemap-since 2026-11-01 --must-match fox";
    let (code, said) = rig.run(words);
    assert_eq!(code, Some(4), "{said}");
    let seen = rows(&rig);
    let outcomes: Vec<(&str, &str)> = seen.iter().map(|(path, row)| (&**path, &*row.0)).collect();
    assert_eq!(
        outcomes,
        [
            ("/gone.xml", "http_error"),
            ("/page/1", "ok"),
            ("/page/2", "ok"),
            ("/page/no-sitemap", "invalid_url"),
            ("/page/private", "robots"),
        ],
        "{said}"
    );
    assert!(seen["/page/no-sitemap"].1.contains("not a sitemap"));
    assert!(rig.lab.hits().iter().all(|hit| hit.proxy.is_some()));

    let before = rig.requests();
    let (_, said) = rig.run(&format!("{words} --resume"));
    assert_eq!(rows(&rig).len(), 5, "{said}");
    // Sitemaps are read again, since what they list changes; pages that have their rows are not.
    assert_eq!(
        (asked(&rig, "/page/1"), asked(&rig, "/a.xml")),
        (1, 2),
        "{before}"
    );
}

#[test]
fn a_sitemap_in_a_file_is_an_input_like_any_other() {
    let rig = rig(Lab::builder().perfect(4), text(404, ""), &[]);
    let urls: String = (0..3000)
        .map(|number| format!("<url><loc>http://robots.test/page/{number}?size=100</loc></url>\n"))
        .collect();
    rig.write(
        "pages.xml",
        &format!("<?xml version=\"1.0\"?><urlset>{urls}</urlset>"),
    );
    let (code, said) = rig.run(
        "-i sitemap:pages.xml -o out.jsonl --no-state --robots ignore -j 64 --proxy-concurrency 32",
    );
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(rows(&rig).len(), 3000);
    assert_eq!(asked(&rig, "/robots.txt"), 0);
}

#[test]
fn a_condition_that_holds_is_an_answer_and_a_304_without_one_is_not() {
    let rig = Rig::new(
        Lab::builder().perfect(2),
        &["http://robots.test/page".to_owned()],
    );
    let site = Script::new(|asked| {
        let is_known = asked.header("if-none-match") == Some("\"v1\"");
        let shown = if is_known || asked.path == "/strange" {
            text(304, "")
        } else {
            text(200, "the page")
        };
        let shown = shown.header("Last-Modified", "Sun, 01 Nov 2026 10:00:00 GMT");
        Some(shown.header("ETag", "\"v1\""))
    });
    rig.lab.set_site("robots.test", site);
    let (code, said) = rig.run("-i urls.txt -o out.jsonl --no-state");
    assert_eq!(code, Some(0), "{said}");
    let row = |name: &str| -> Value {
        let text = fs::read_to_string(rig.path(name)).expect("records");
        serde_json::from_str(text.lines().next().expect("a row")).expect("JSON")
    };
    let first = row("out.jsonl");
    assert_eq!(
        (&first["etag"], &first["last_modified"]),
        (&"\"v1\"".into(), &"Sun, 01 Nov 2026 10:00:00 GMT".into())
    );

    let again = serde_json::json!({"url": "http://robots.test/page", "headers": {"If-None-Match": first["etag"]}});
    rig.write("again.jsonl", &again.to_string());
    let (code, said) = rig.run("-i again.jsonl -o again.out.jsonl --no-state --min-bytes 3 --must-match page --body inline");
    assert_eq!(code, Some(0), "{said}");
    let second = row("again.out.jsonl");
    assert_eq!(
        (&second["outcome"], &second["status"], &second["size_body"]),
        (&"ok".into(), &304.into(), &0.into())
    );
    assert_eq!(second["attempts"], 1);
    assert_eq!(second["etag"], "\"v1\"");

    let (code, said) = rig.run("http://robots.test/strange -o strange.jsonl --no-state");
    assert_eq!(code, Some(5), "{said}");
    assert_eq!(row("strange.jsonl")["outcome"], "http_error");
}
