//! Pages that look like blocks and are none, each beside one that looks like it and is a block.
//!
//! The numbers are those of the list of traps in the contract of the rules; every one has both sides here.

use super::{ask, exchange, judge};
use crate::ban::Judge;
use crate::exchange::Truncation;
use crate::outcome::Outcome;

/// One answer, in the order status, URL, headers, body.
struct Answer<'a> {
    status: u16,
    url: &'a str,
    headers: &'a [&'a str],
    body: String,
}

impl Answer<'_> {
    fn outcome(&self, judge: &Judge) -> (Outcome, String) {
        let https = self.url.starts_with("https:");
        let exchange = exchange(self.status, self.headers, &self.body, https);
        let verdict = ask(judge, self.url, false, &exchange);
        let rule = verdict.ban.map_or("no rule".into(), |ban| ban.rule.into());
        (verdict.outcome, rule)
    }
}

const HTML: &[&str] = &["content-type: text/html; charset=utf-8"];
const HOME: &str = "https://shop.example/";

fn page(status: u16, body: impl Into<String>) -> Answer<'static> {
    Answer {
        status,
        url: HOME,
        headers: HTML,
        body: body.into(),
    }
}

fn with<'a>(status: u16, headers: &'a [&'a str], body: impl Into<String>) -> Answer<'a> {
    Answer {
        status,
        url: HOME,
        headers,
        body: body.into(),
    }
}

fn at<'a>(url: &'a str, status: u16, headers: &'a [&'a str], body: &str) -> Answer<'a> {
    Answer {
        status,
        url,
        headers,
        body: body.into(),
    }
}

fn article(about: &str) -> String {
    let text = "<p>It was a long winter in the valley, and the kettles stood on every stove from morning until night.</p>\
        <p>Nobody who came in from the snow was asked for anything but the news of the road.</p>";
    format!(
        "<html><title>{about}</title><h1>{about}</h1>{}<p>{about}</p></html>",
        text.repeat(6)
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_trap_is_content_and_its_likeness_a_block() {
    let styles = format!("<style>{}</style>", ".a{color:red}".repeat(9_000));
    let cases: Vec<(u32, Answer<'_>, Answer<'_>)> = vec![
        (
            1,
            page(
                200,
                article("How DataDome and PerimeterX ask you to verify you are human"),
            ),
            page(
                200,
                "<html><title>Check</title><p>Please verify you are human.</p></html>",
            ),
        ),
        (
            2,
            page(
                200,
                "<html><form><input type=\"email\"><input type=\"password\"><div class=\"g-recaptcha\"></div></form></html>",
            ),
            page(
                403,
                "<html><form><div class=\"g-recaptcha\"></div><p>captcha</p></form></html>",
            ),
        ),
        (
            3,
            with(
                200,
                &[
                    "content-type: text/html",
                    "cf-ray: 8",
                    "set-cookie: __cf_bm=x",
                ],
                "<html><a href=/cdn-cgi/l/email-protection>mail</a><script src=/cdn-cgi/challenge-platform/scripts/jsd/main.js></script>Performance &amp; security by Cloudflare</html>",
            ),
            page(
                403,
                "<html><script src=/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1></script></html>",
            ),
        ),
        (
            4,
            page(
                200,
                format!(
                    "<html><script src=\"/_Incapsula_Resource?S=1\"></script>{}</html>",
                    article("News")
                ),
            ),
            page(
                200,
                "<html><iframe src=\"/_Incapsula_Resource?S=1&incident_id=2\">Request unsuccessful.</iframe></html>",
            ),
        ),
        (
            5,
            with(
                200,
                &["content-type: text/html", "set-cookie: _px3=x"],
                "<html><script>window._pxAppId='PX1';pxInit()</script><p>shop</p></html>",
            ),
            page(
                403,
                "<html><script>window._pxAppId='PX1';window._pxUuid='1'</script><div id=\"px-captcha\"></div></html>",
            ),
        ),
        (
            6,
            with(
                200,
                &[
                    "content-type: text/html",
                    "set-cookie: _abck=x~-1~y",
                    "server: AkamaiGHost",
                ],
                "<html><p>shop</p></html>",
            ),
            page(
                403,
                "<html><title>Access Denied</title>You don't have permission to access this. Reference&#32;&#35;18&#46;ab&#46;1</html>",
            ),
        ),
        (
            7,
            with(
                403,
                &["content-type: application/json"],
                "{\"error\":\"Invalid API key\"}",
            ),
            with(
                403,
                &["content-type: application/json"],
                "{\"url\":\"https://geo.captcha-delivery.com/captcha/?t=fe\"}",
            ),
        ),
        (
            8,
            page(404, "<html><h1>Access denied? No: not found</h1></html>"),
            page(403, "<html><h1>Sorry, you have been blocked</h1></html>"),
        ),
        (
            9,
            with(
                503,
                &["content-type: text/html", "retry-after: 3600"],
                "<html><h1>We are temporarily unavailable for maintenance</h1></html>",
            ),
            page(
                503,
                "<html><title>Just a moment...</title><script>window._cf_chl_opt={}</script></html>",
            ),
        ),
        (
            10,
            with(401, &["www-authenticate: Basic realm=x"], "Unauthorized"),
            with(
                401,
                &["content-type: text/html"],
                "<html><title>Making sure you're not a bot!</title></html>",
            ),
        ),
        (
            11,
            at(HOME, 302, &["location: /login?next=/orders"], ""),
            at(
                "https://www.linkedin.com/in/x",
                302,
                &["location: https://www.linkedin.com/authwall?trk=x"],
                "",
            ),
        ),
        (
            12,
            page(
                200,
                "<html><title>Page not found</title><h1>This page does not exist</h1></html>",
            ),
            page(
                200,
                "<html><title>Request Rejected</title>Your support ID is: 1</html>",
            ),
        ),
        (
            13,
            with(200, &["content-type: application/json"], "[]"),
            with(202, &["x-amzn-waf-action: challenge"], ""),
        ),
        (
            14,
            page(
                200,
                "<html><title>App</title><script src=/main.js></script><noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div></html>",
            ),
            page(
                403,
                "<html><title>x</title><noscript>Please enable JavaScript and cookies to continue</noscript></html>",
            ),
        ),
        (
            15,
            page(
                200,
                "<html><meta http-equiv=refresh content='0;url=/home'></html>",
            ),
            page(
                202,
                "<html><meta http-equiv=refresh content='0;/.well-known/sgcaptcha/?r=x'></html>",
            ),
        ),
        (
            16,
            page(
                200,
                format!(
                    "<html><div id=onetrust-banner-sdk>We value your privacy</div>{}</html>",
                    article("Weather")
                ),
            ),
            at(
                "https://www.google.com/search?q=a",
                302,
                &["location: https://consent.google.com/ml?continue=x"],
                "",
            ),
        ),
        (
            17,
            page(
                200,
                "<html><title>Access Denied</title><p>lyrics of the song</p></html>",
            ),
            page(
                403,
                "<html><title>Access Denied</title>Your IP address has been blocked.</html>",
            ),
        ),
        (
            18,
            with(
                503,
                &["content-type: text/html", "retry-after: 5"],
                "<html><title>503 Backend fetch failed</title><h1>Error 503 Backend fetch failed</h1><h3>Guru Meditation:</h3><p>XID: 1</p><p>Varnish cache server</p></html>",
            ),
            page(403, "<html>Request rejected by xVarnish-WAF</html>"),
        ),
        (
            19,
            at(
                "https://www.cloudflare.com/",
                200,
                HTML,
                "<html><title>Cloudflare, Imperva, Sucuri, Queue-it</title><p>Bot management</p></html>",
            ),
            page(
                403,
                "<html><title>Attention Required! | Cloudflare</title></html>",
            ),
        ),
        (
            20,
            with(
                403,
                &[
                    "content-type: text/html",
                    "x-amzn-requestid: 1",
                    "x-cache: Error from cloudfront",
                    "server: awselb/2.0",
                ],
                "<html><h1>Forbidden</h1></html>",
            ),
            with(
                403,
                &["content-type: text/html", "x-cache: Error from cloudfront"],
                "<html>Request blocked. <pre>Generated by cloudfront (CloudFront)</pre></html>",
            ),
        ),
        (
            22,
            with(405, &["allow: GET"], ""),
            with(405, &["x-amzn-waf-action: captcha"], ""),
        ),
        (
            23,
            with(
                200,
                &["content-type: text/html; charset=windows-1251"],
                "<html><title>Чайники</title><p>Чайники и самовары</p></html>",
            ),
            page(
                403,
                "<html><b>Sorry, you&#32;have&nbsp;been</b>\n   blocked</html>",
            ),
        ),
        (
            24,
            page(403, format!("<html>{styles}<h1>Members only</h1></html>")),
            page(
                403,
                format!("<html>{styles}<h1>You have been blocked by network security</h1></html>"),
            ),
        ),
        (
            27,
            with(
                200,
                &["content-type: text/csv"],
                "Request unsuccessful. Incapsula incident ID: 1; verify you are human",
            ),
            page(
                200,
                "<html>Request unsuccessful. Incapsula incident ID: 1</html>",
            ),
        ),
    ];
    let judge = judge(|_| {});
    let mut wrong = Vec::new();
    for (number, trap, block) in &cases {
        let (outcome, rule) = trap.outcome(&judge);
        if !matches!(outcome, Outcome::Ok | Outcome::HttpError) {
            wrong.push(format!("trap {number} is called {outcome} by {rule}"));
        }
        let (outcome, rule) = block.outcome(&judge);
        if !matches!(outcome, Outcome::Banned | Outcome::RateLimited) {
            wrong.push(format!(
                "the likeness of trap {number} is called {outcome} by {rule}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // 21, 25 and 26 are no pairs of pages: the two tests below have the first, and tests/it/check.rs has the script that a proxy puts
    // into a page of the judge.
    let numbers: Vec<u32> = cases.iter().map(|(number, ..)| *number).collect();
    assert_eq!(
        numbers,
        (1..=27)
            .filter(|n| ![21, 25, 26].contains(n))
            .collect::<Vec<_>>()
    );
}

#[test]
fn that_this_address_is_blocked_is_understood_in_other_languages_on_a_success_too() {
    let judge = judge(|_| {});
    for words in [
        "Su dirección IP ha sido bloqueada.",
        "Ihre IP-Adresse wurde gesperrt.",
        "Votre adresse IP a été bloquée.",
        "Seu endereço IP foi bloqueado.",
        "Il tuo indirizzo IP è stato bloccato.",
        "Twój adres IP został zablokowany.",
        "Uw IP-adres is geblokkeerd.",
        "Ваш IP-адрес заблокирован.",
        "您的IP已被封禁。",
        "您的IP地址已被封禁。",
        "귀하의 IP 주소가 차단되었습니다.",
        "あなたのIPアドレスはブロックされました。",
        "IP adresiniz engellendi.",
    ] {
        let wall = format!("<html><head><title>!</title></head><body><p>{words}</p></body></html>");
        let (outcome, rule) = page(200, wall).outcome(&judge);
        assert_eq!(outcome, Outcome::Banned, "{words} {rule}");
        let (outcome, rule) = page(200, article(words)).outcome(&judge);
        assert_eq!(outcome, Outcome::Ok, "an article about {words} {rule}");
    }
}

#[test]
fn a_429_that_is_a_challenge_is_no_rate_limit() {
    let judge = judge(|_| {});
    for headers in [
        &["cf-mitigated: challenge"][..],
        &["x-vercel-mitigated: challenge"],
        &["x-kasada-challenge: 1"],
    ] {
        assert_eq!(with(429, headers, "").outcome(&judge).0, Outcome::Banned);
    }
    assert_eq!(with(429, &[], "").outcome(&judge).0, Outcome::RateLimited);
}

#[test]
fn a_body_that_was_cut_is_damage_and_no_block() {
    let judge = judge(|_| {});
    let mut answer = exchange(200, HTML, "<html><p>half a pa", true);
    answer.result.as_mut().expect("an answer").body.truncated = Some(Truncation::Disconnect);
    assert_eq!(ask(&judge, HOME, false, &answer).outcome, Outcome::Corrupt);
}
