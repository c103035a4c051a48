//! Pages of sites that speak of walls, quote them, or carry the scripts of their makers, and are none.

use super::{ask, exchange, https, judge, rule};
use crate::ban::RuleFile;
use crate::outcome::Outcome;

const HTML: &[&str] = &["content-type: text/html; charset=utf-8"];

/// A page of a site: a menu, a heading, some words.
fn page(title: &str, body: &str) -> String {
    let filler = "<p>The kettle has been on the stove since dawn, and the road over the pass will not be open before the afternoon, \
        says the man at the station.</p><p>Whoever has to be in the valley tonight takes the old track along the river and brings a lamp, \
        for it is dark between the walls and nobody comes by after six, except on the days of the market and in August.</p><ul><li><a href=/a>Maps</a></li><li><a href=/b>Times</a></li></ul>";
    format!(
        "<html><title>{title}</title><nav><a href=/>Home</a></nav><h1>{title}</h1>{body}{filler}</html>"
    )
}

#[test]
fn a_page_that_quotes_a_wall_is_none_and_the_quotation_alone_is_one() {
    let of = |body: &str| https(200, HTML, body);
    let mut wrong = Vec::new();
    for (title, quotation) in [
        (
            "Integration guide",
            "<p>The body holds <code>var dd={'t':'fe','host':'geo.captcha-delivery.com'}</code></p>",
        ),
        (
            "What does the support ID mean?",
            "<p>The requested URL was rejected. Please consult with your administrator. Your support ID is: 123</p>",
        ),
        (
            "Imperva error pages",
            "<p>Request unsuccessful. Incapsula incident ID: 1-2</p>",
        ),
        (
            "Your own block page",
            "<p><code>id=\"px-captcha\"</code> <code>window._pxAppId</code> <code>_pxUuid</code></p>",
        ),
        (
            "Anubis, a review",
            "<p><code>id=\"anubis_challenge\"</code></p>",
        ),
        (
            "Plugins compared",
            "<p>Access denied by Imunify360 bot-protection</p>",
        ),
        (
            "How walls work",
            "<p>They want you to verify you are human, and say that your IP address has been blocked.</p>",
        ),
        (
            "Floods",
            "<p>Checking your browser takes a second, and our anti-DDoS filter does the rest.</p>",
        ),
    ] {
        let bare = of(&format!("<html><title>x</title>{quotation}</html>"));
        if bare.outcome != Outcome::Banned {
            wrong.push(format!("{title}: the quotation alone is {bare:?}"));
        }
        let whole = of(&page(title, quotation));
        if whole.outcome != Outcome::Ok {
            wrong.push(format!("{title}: {whole:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_title_that_a_rule_knows_makes_a_wall_of_a_page_with_a_menu() {
    let body = page(
        "Access to this page has been denied",
        "<div id=\"px-captcha\"></div>",
    );
    let verdict = https(200, HTML, &body);
    assert_eq!(rule(&verdict), Some("human.page_200"));
}

#[test]
fn a_rule_of_the_users_fires_on_any_page() {
    let own = "[[rule]]\nid = \"own.lamp\"\nclass = \"block_ip\"\nsource = \"captures\"\nwhen = { status = \"200\" }\n\
        any = [{ text = \"brings a lamp\" }]\n";
    let judge = judge(|settings| {
        settings.rules = vec![RuleFile {
            name: "own.toml".into(),
            text: own.into(),
        }];
    });
    let answer = exchange(200, HTML, &page("Night", ""), true);
    let verdict = ask(&judge, "https://a.example/", false, &answer);
    assert_eq!(rule(&verdict), Some("own.lamp"));
}

#[test]
fn data_that_came_with_success_is_read_for_the_rules_of_its_kind_alone() {
    let own = |kind: &str| {
        let rule = format!(
            "[[rule]]\nid = \"own.no\"\nclass = \"block_ip\"\nsource = \"captures\"\n\
             when = {{ status = \"200\", kind = \"{kind}\" }}\nany = [{{ body = \"denied\" }}]\n"
        );
        judge(|settings| {
            settings.rules = vec![RuleFile {
                name: "own.toml".into(),
                text: rule,
            }];
        })
    };
    for (kind, label, body) in [
        ("json", "application/json", "{\"access\":\"denied\"}"),
        ("xml", "text/xml", "<access>denied</access>"),
        ("text", "text/plain", "access: denied"),
        ("html", "text/html", "<p>access denied</p>"),
    ] {
        let answer = exchange(200, &[&format!("content-type: {label}")], body, true);
        for asked in ["json", "xml", "text", "html", "any"] {
            let verdict = ask(&own(asked), "https://a.example/", false, &answer);
            let fires = asked == kind || asked == "any";
            assert_eq!(rule(&verdict), fires.then_some("own.no"), "{asked} {label}");
        }
    }
}

#[test]
fn data_that_quotes_a_refusal_is_data() {
    let judge = judge(|_| {});
    let quoted = "{\"body\":\"It answers {\\\"ret\\\":[\\\"FAIL_SYS_USER_VALIDATE\\\"]}, {\\\"code\\\":-412,\\\"message\\\":\\\"request was \
        banned\\\"} or {'t':'bv','host':'geo.captcha-delivery.com'}, and Access Denied, verify you are human.\"}";
    for url in [
        "https://api.code.example/issues/1",
        "https://api.bilibili.com/x/v2/reply",
        "https://acs.m.taobao.com/h5/mtop.x",
        "https://shopee.sg/api/v4/pdp/get_pc",
    ] {
        for label in ["application/json", "text/plain", "text/xml"] {
            let answer = exchange(200, &[&format!("content-type: {label}")], quoted, true);
            let verdict = ask(&judge, url, false, &answer);
            assert_eq!(verdict.outcome, Outcome::Ok, "{url} {label}: {verdict:?}");
        }
    }
}

#[test]
fn forms_with_a_captcha_and_pages_with_a_sensor_are_ordinary() {
    let judge = judge(|_| {});
    for (what, status, body) in [
        (
            "a search with an invisible captcha",
            200,
            "<html><title>Track a parcel</title><script src=\"https://www.google.com/recaptcha/api.js?render=6L\"></script>\
             <form><input type=\"text\" name=\"number\"><button>Track</button></form><p>This site is protected by reCAPTCHA.</p></html>",
        ),
        (
            "a login that is refused",
            403,
            "<html><title>Sign in</title><h1>Members only</h1><form><input type=\"password\"><div class=\"g-recaptcha\"></div></form></html>",
        ),
        (
            "a newsletter",
            200,
            "<html><h1>Subscribe</h1><form><input type=\"email\"><div class=\"cf-turnstile\"></div></form></html>",
        ),
        (
            "a form with a puzzle",
            200,
            "<html><form><textarea></textarea><altcha-widget></altcha-widget></form></html>",
        ),
        (
            "a shop behind Akamai, ready for a 428",
            200,
            "<html><script src=\"/_sec/cp_challenge/sec-4-4.js\"></script><div id=\"sec-overlay\"></div><h1>Flights</h1></html>",
        ),
        (
            "a tool that checks lists",
            200,
            "<html><h1>Is my IP address blocked?</h1><p>Your IP address has been found on 0 lists.</p><form><input name=ip></form></html>",
        ),
        (
            "an address with a word of a challenge in it",
            403,
            "<html><p>Members only: <a href=\"/docs/orchestrate/\">Orchestrate</a></p></html>",
        ),
        (
            "law in the title and a script",
            200,
            "<html><title>Law enforcement</title><noscript>Enable JavaScript</noscript><script>arg1=1</script><h1>Guide</h1></html>",
        ),
    ] {
        for verified in [true, false] {
            let answer = exchange(status, HTML, body, verified);
            let verdict = ask(&judge, "https://a.example/", false, &answer);
            let ordinary = matches!(verdict.outcome, Outcome::Ok | Outcome::HttpError);
            assert!(ordinary, "{what}: {verdict:?}");
        }
    }
}

#[test]
fn what_caches_may_keep_weighs_against_a_wall() {
    let body = "<html><title>Check</title><p>Please verify you are human.</p></html>";
    let of = |more: &[&str]| {
        let headers: Vec<&str> = HTML.iter().chain(more).copied().collect();
        https(200, &headers, body).outcome
    };
    assert_eq!(of(&[]), Outcome::Banned);
    assert_eq!(of(&["cf-cache-status: HIT"]), Outcome::Ok);
    let dated = "last-modified: Thu, 01 Jan 2026 00:00:00 GMT";
    assert_eq!(
        of(&["etag: \"x\"", dated, "cache-control: public, max-age=86400"]),
        Outcome::Ok
    );
    assert_eq!(
        of(&["etag: \"x\"", dated, "cache-control: max-age=0"]),
        Outcome::Banned
    );
}

#[test]
fn the_shell_of_an_application_that_loads_a_captcha_is_ordinary_and_a_captcha_alone_is_none() {
    let shell = "<html><title>Portal</title><noscript>You need to enable JavaScript to run this app.</noscript>\
        <script src=\"https://www.google.com/recaptcha/api.js\"></script><div id=\"root\"></div><script src=\"/main.js\"></script></html>";
    assert_eq!(https(200, HTML, shell).outcome, Outcome::Ok);
    let wall = shell.replace(
        "<div id=\"root\">",
        "<form id=\"x\"><div class=\"g-recaptcha\"></div></form><div>",
    );
    assert_eq!(https(200, HTML, &wall).outcome, Outcome::Banned);
}

#[test]
fn soft_words_and_circumstances_are_no_block_without_a_phrase_that_is() {
    let behind = [
        HTML,
        &["server: cloudflare", "cf-ray: 1", "cache-control: no-store"],
    ]
    .concat();
    let of = |words: &str| {
        let page = format!("<title>Private album</title><h1>Access denied</h1><p>{words}</p>");
        https(403, &behind, &page).outcome
    };
    let private = "You do not have permission to view this private album. Request ID: 12";
    assert_eq!(of(private), Outcome::HttpError);
    let wall = "You do not have permission. Unusual activity from your network. Request ID: 12";
    assert_eq!(of(wall), Outcome::Banned);
}
