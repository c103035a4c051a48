use std::time::Duration;

use proptest::prelude::*;
use url::Url;

use super::*;

fn forbids(text: &str, token: &str, path: &str) -> Option<String> {
    let url = Url::parse(&format!("http://a.test{path}")).unwrap();
    let line = Robots::parse(text.as_bytes(), token).forbids(&url);
    line.map(|line| line.to_string())
}

/// Rule, path, and whether the one matches the other.
fn assert_rules(cases: &[(&str, &str, bool)]) {
    for &(rule, path, matches) in cases {
        let text = format!("user-agent: *\ndisallow: {rule}\n");
        assert_eq!(
            forbids(&text, "x", path).is_some(),
            matches,
            "{rule} {path}"
        );
    }
}

#[test]
fn the_examples_of_rfc_9309_come_out_as_it_says() {
    let simple = "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/\n\n\
        User-Agent: foobot\nDisallow:/\nAllow:/example/page.html\nAllow:/example/allowed.gif\n\n\
        User-Agent: barbot\nUser-Agent: bazbot\nDisallow: /example/page.html\n\nUser-Agent: quxbot\n";
    for (token, path, allowed) in [
        ("other", "/example/page.html", false),
        ("other", "/a/b.gif", false),
        ("other", "/a/b.gif?x", true),
        ("other", "/publications/", true),
        ("foobot", "/publications/", false),
        ("FooBot", "/example/page.html", true),
        ("barbot", "/example/page.html", false),
        ("bazbot", "/example/", true),
        // A group without rules: everything is allowed, the group of all others notwithstanding.
        ("quxbot", "/example/", true),
    ] {
        assert_eq!(
            forbids(simple, token, path).is_none(),
            allowed,
            "{token} {path}"
        );
    }
    let longest =
        "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n";
    let reason = forbids(longest, "foobot", "/example/page/disallowed.gif");
    assert_eq!(
        reason.as_deref(),
        Some("robots.txt line 3: Disallow: /example/page/disallowed.gif")
    );
    assert_eq!(forbids(longest, "foobot", "/example/page/x"), None);
}

#[test]
fn escapes_are_compared_by_what_they_mean() {
    assert_rules(&[
        ("/foo/bar?baz=quz", "/foo/bar?baz=quz", true),
        (
            "/foo/bar?baz=http://foo.bar",
            "/foo/bar?baz=http://foo.bar",
            true,
        ),
        ("/foo/bar/\u{30c4}", "/foo/bar/%E3%83%84", true),
        ("/foo/bar/%e3%83%84", "/foo/bar/\u{30c4}", true),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz", true),
        (
            "/path/file-with-a-%2A.html",
            "/path/file-with-a-*.html",
            false,
        ),
        ("/path/%2f", "/path/%2F", true),
        ("/path/%2f", "/path//", false),
        ("/a%3cd.html", "/a%3Cd.html", true),
        ("/100%", "/100%", true),
    ]);
}

#[test]
fn a_star_is_anything_and_a_dollar_the_end() {
    assert_rules(&[
        ("/*", "/", true),
        ("/fish*", "/fish/salmon", true),
        ("/*.php", "/a/x.php5?y", true),
        ("/*.php$", "/a.php/x.php", true),
        ("/*.php$", "/a.php?x", false),
        ("/a*b*c$", "/abcbc", true),
        ("/a*b*c$", "/acb", false),
        ("/a$b", "/a$b", true),
        ("/$", "/", true),
        ("/$", "/x", false),
        ("*$", "/x", true),
        ("/x**y", "/xy", true),
        ("x", "/x", false),
    ]);
}

#[test]
fn groups_are_found_in_files_as_people_write_them() {
    for (text, path, allowed) in [
        // Of equals the one that allows.
        ("user-agent: *\ndisallow: /p\nallow: /p", "/p", true),
        // Empty, and what is not said.
        ("", "/", true),
        ("user-agent: *\ndisallow:", "/", true),
        ("<html><body>404</body></html>", "/", true),
        ("disallow: /", "/", true),
        // Groups of one name are one; a sitemap between names ends nothing, a delay does.
        (
            "user-agent: x\ndisallow: /a\n\nuser-agent: *\ndisallow: /\nuser-agent: x\ndisallow: /b",
            "/b",
            false,
        ),
        (
            "user-agent: x\nsitemap: http://a.test/s\nuser-agent: y\ndisallow: /",
            "/",
            false,
        ),
        (
            "user-agent: x\ncrawl-delay: 1\n\nuser-agent: y\ndisallow: /",
            "/",
            true,
        ),
        // Versions, comments, line ends, a byte order mark, missing colons, misspellings.
        ("user-agent: X/1.0 # us\rdisallow: /a # no\r", "/a", false),
        ("\u{feff}User-Agent:*\r\nDISALLOW:/a\r\n", "/a", false),
        ("user-agent *\ndisallow /a", "/a", false),
        ("useragent: x\ndissallow: /a", "/a", false),
        ("user-agent: xy\ndisallow: /", "/", true),
        ("user-agent: *x\ndisallow: /", "/", true),
        ("user-agent: *\ndisallow: /", "/robots.txt", true),
    ] {
        assert_eq!(
            forbids(text, "x", path).is_none(),
            allowed,
            "{text:?} {path}"
        );
    }
}

#[test]
fn a_line_that_the_limit_cuts_counts_for_nothing() {
    let mut text = b"user-agent: *\n".to_vec();
    while text.len() < MOST_BYTES - 13 {
        text.push(b'\n');
    }
    text.extend_from_slice(b"disallow: /private\ndisallow: /late\n");
    let robots = Robots::parse(&text, "x");
    for path in ["/", "/private", "/late"] {
        let url = Url::parse(&format!("http://a.test{path}")).unwrap();
        assert_eq!(robots.forbids(&url), None, "{path}");
    }
}

#[test]
fn delays_are_seconds_of_the_group_that_counts() {
    let delay = |text: &str| Robots::parse(text.as_bytes(), "x").delay();
    assert_eq!(
        delay("user-agent: *\ncrawl-delay: 1.5"),
        Some(Duration::from_millis(1500))
    );
    assert_eq!(
        delay("user-agent: *\nuser-agent: y\ncrawl-delay: 9\n"),
        Some(Duration::from_secs(9))
    );
    assert_eq!(
        delay("user-agent: *\ncrawl-delay: 9\ndisallow: /a\nuser-agent: x\n"),
        None
    );
    for nonsense in ["0", "-1", "nan", "inf", "1e300", "ten", "5s", ""] {
        assert_eq!(
            delay(&format!("user-agent: x\ncrawl-delay: {nonsense}")),
            None,
            "{nonsense}"
        );
    }
}

#[test]
fn the_token_is_the_name_of_the_crawler() {
    for (header, token) in [
        (None, "proxywheel"),
        (Some(""), "proxywheel"),
        (Some("1.0"), "proxywheel"),
        (Some("MyBot/2.1 (+http://a.test/)"), "MyBot"),
        (
            Some("Mozilla/5.0 (compatible; Foo-Bot/2; +http://a.test/)"),
            "Foo-Bot",
        ),
        (Some("Mozilla/5.0 (X11; Linux x86_64)"), "Mozilla"),
        (Some("B\u{f6}t/1"), "B"),
    ] {
        assert_eq!(product_token(header), token);
    }
}

#[test]
fn sitemaps_are_named_for_everybody() {
    let text =
        b"Sitemap: https://a.test/s.xml\nuser-agent: y\ndisallow: /\nSITEMAP:/rel.xml # here\n";
    let found: Vec<String> = sitemaps(text).collect();
    assert_eq!(found, ["https://a.test/s.xml", "/rel.xml"]);
}

/// By the definition, with every place for a star tried.
fn matches_slowly(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => true,
        [b'$'] => path.is_empty(),
        [b'*', rest @ ..] => (0..=path.len()).any(|at| matches_slowly(rest, &path[at..])),
        [byte, rest @ ..] => path.first() == Some(byte) && matches_slowly(rest, &path[1..]),
    }
}

proptest! {
    #[test]
    fn no_bytes_upset_it(text in prop::collection::vec(any::<u8>(), 0..2000), path in "(/|%|\\*|[a-c])*") {
        let url = Url::parse(&format!("http://a.test/{path}")).unwrap();
        let _ = Robots::parse(&text, "x").forbids(&url);
        let _ = sitemaps(&text).count();
    }

    #[test]
    fn nothing_that_looks_like_a_file_upsets_it(text in "((user-agent|allow|disallow|crawl-delay|sitemap| )?[:# ]?[*$/%a-c0-9 ]{0,9}(\r|\n|\r\n))*") {
        let url = Url::parse("http://a.test/ab/c%41?a=b").unwrap();
        let _ = Robots::parse(text.as_bytes(), "a").forbids(&url);
    }

    #[test]
    fn patterns_match_as_their_definition_says(pattern in "[ab*$]{1,8}", path in "[ab$]{0,8}") {
        let ours = Pattern::new(pattern.as_bytes()).unwrap();
        let path = format!("/{path}");
        prop_assert_eq!(ours.matches(path.as_bytes()), matches_slowly(pattern.as_bytes(), path.as_bytes()));
        let pattern = format!("/{pattern}");
        let ours = Pattern::new(pattern.as_bytes()).unwrap();
        prop_assert_eq!(ours.matches(path.as_bytes()), matches_slowly(pattern.as_bytes(), path.as_bytes()));
    }
}

/// Files of real sites and of other parsers' tests.
#[test]
fn every_file_of_the_corpus_is_read() {
    let Some(corpus) = crate::corpus::at_hand() else {
        return;
    };
    let labels = std::fs::read_to_string(corpus.join("robots.jsonl")).unwrap();
    let home = Url::parse("http://a.test/").unwrap();
    let mut files = 0;
    for label in labels.lines() {
        let label: serde_json::Value = serde_json::from_str(label).unwrap();
        let name = label["file"].as_str().unwrap();
        let text = std::fs::read(corpus.join("robots").join(name)).unwrap();
        let robots = Robots::parse(&text, "proxywheel");
        let _ = robots.forbids(&home);
        assert!(
            robots.size() <= 20 * text.len() + 1000,
            "{name}: {} bytes",
            robots.size()
        );
        if let Some(line) = robots.forbids(&home) {
            let nth = String::from_utf8_lossy(&text)
                .replace("\r\n", "\n")
                .replace('\r', "\n");
            let nth = nth
                .lines()
                .nth(line.line as usize - 1)
                .unwrap_or_default()
                .to_lowercase();
            assert!(nth.contains("allow"), "{name}: {line} is {nth:?}");
        }
        files += 1;
    }
    assert!(files > 30, "{files} files");
}
