//! Every built-in rule against its fixtures, the traps that must stay content, and the order of evaluation.

mod corpus;
mod fixtures;
mod hostile;
mod national;
mod ordinary;
mod relays;
mod traps;

use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use url::Url;

use super::{Judge, Seen, Settings};
use crate::exchange::{Body, Exchange, Phases, ProxyReply, Response, Truncation};
use crate::outcome::{Blame, Charge, Fault, FaultKind, Outcome, Phase, Verdict};

pub(super) fn judge(change: impl FnOnce(&mut Settings)) -> Judge {
    let mut settings = Settings::default();
    change(&mut settings);
    Judge::new(&settings).expect("valid settings")
}

fn headers(lines: &[impl AsRef<str>]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.as_ref().split_once(':').expect("name: value");
        let name: HeaderName = name.parse().expect("a header name");
        headers.append(name, value.trim().parse().expect("a header value"));
    }
    headers
}

pub(super) fn exchange(
    status: u16,
    lines: &[impl AsRef<str>],
    body: &str,
    verified: bool,
) -> Exchange {
    let response = Response {
        status: StatusCode::from_u16(status).expect("a status"),
        version: Version::HTTP_11,
        headers: headers(lines),
        body: Body {
            bytes: body.to_owned().into(),
            size_wire: body.len() as u64,
            truncated: None,
            broken: None,
        },
    };
    Exchange {
        connect_status: verified.then_some(200),
        ..Exchange::answered(response, verified)
    }
}

fn refusal(status: u16, reason: &str, lines: &[impl AsRef<str>], body: &str) -> Exchange {
    let kind = if status == 407 {
        FaultKind::Auth
    } else {
        FaultKind::Rejected(status)
    };
    let fault = Fault::new(Phase::Handshake, kind, "CONNECT refused");
    Exchange {
        connect_status: Some(status),
        connect_reply: Some(Box::new(ProxyReply {
            status,
            reason: reason.into(),
            headers: headers(lines),
            body: body.to_owned().into(),
        })),
        ..Exchange::unsent(fault, Phases::default())
    }
}

pub(super) fn ask(judge: &Judge, url: &str, follows: bool, exchange: &Exchange) -> Verdict {
    let url = Url::parse(url).expect("a URL");
    let seen = Seen {
        https: url.scheme() == "https",
        url: &url,
        method: &Method::GET,
        follows,
        now: None,
    };
    judge.classify(&seen, exchange)
}

/// An answer through verified TLS, judged by the built-in rules.
fn https(status: u16, lines: &[&str], body: &str) -> Verdict {
    ask(
        &judge(|_| {}),
        "https://a.example/page",
        false,
        &exchange(status, lines, body, true),
    )
}

/// The same over plain http.
fn http(status: u16, lines: &[&str], body: &str) -> Verdict {
    ask(
        &judge(|_| {}),
        "http://a.example/page",
        false,
        &exchange(status, lines, body, false),
    )
}

fn connect(status: u16) -> Verdict {
    let none: [&str; 0] = [];
    ask(
        &judge(|_| {}),
        "https://a.example/",
        false,
        &refusal(status, "No", &none, ""),
    )
}

fn rule(verdict: &Verdict) -> Option<&str> {
    verdict.ban.as_ref().map(|ban| &*ban.rule)
}

fn ends(verdict: &Verdict) -> (Outcome, Blame) {
    (verdict.outcome, verdict.blame)
}

#[test]
fn statuses_without_evidence_are_the_targets_own_answer() {
    for status in [
        301, 304, 400, 401, 403, 404, 405, 410, 416, 451, 500, 502, 503, 504, 521,
    ] {
        let verdict = https(
            status,
            &["content-type: text/html"],
            "<html><h1>sorry</h1></html>",
        );
        assert_eq!(
            ends(&verdict),
            (Outcome::HttpError, Blame::Target),
            "{status}"
        );
        assert_eq!(rule(&verdict), None, "{status}");
    }
    for status in [200, 204] {
        assert_eq!(ends(&https(status, &[], "")), (Outcome::Ok, Blame::Nobody));
    }
    assert_eq!(
        ends(&http(503, &[], "down")),
        (Outcome::HttpError, Blame::Target)
    );
    assert_eq!(
        ends(&http(502, &[], "down")),
        (Outcome::HttpError, Blame::Unknown)
    );
    assert_eq!(
        ends(&http(502, &["cf-ray: 8"], "down")),
        (Outcome::HttpError, Blame::Target)
    );
}

#[test]
fn traps_stay_content() {
    let html = "content-type: text/html";
    let article = "<html><title>How captchas work</title><p>Access denied, unusual traffic, DataDome, PerimeterX, \
        'verify you are a human', px-captcha, cf-mitigated, Incapsula incident ID, captcha-delivery.com, Request Rejected \
        and /sorry/ are what scrapers meet.</p></html>";
    let login = "<html><form><input type=email><input type=password><div class=g-recaptcha></div>\
        <div class=cf-turnstile></div></form><script src=https://hcaptcha.com/1/api.js></script></html>";
    let ordinary_cloudflare = "<html><a href=/cdn-cgi/l/email-protection>mail</a>\
        <script src=/cdn-cgi/challenge-platform/scripts/jsd/main.js></script>Performance & security by Cloudflare</html>";
    let vendor =
        "<html><title>Imperva, Sucuri and Queue-it compared</title><h1>Cloudflare</h1></html>";
    let refresh = "<html><meta http-equiv=refresh content='0;url=/home'></html>";
    for (name, verdict) in [
        ("article", https(200, &[html], article)),
        ("login", https(200, &[html], login)),
        (
            "cloudflare",
            https(
                200,
                &[html, "cf-ray: 8", "set-cookie: __cf_bm=x"],
                ordinary_cloudflare,
            ),
        ),
        (
            "imperva",
            https(
                200,
                &[html, "x-iinfo: 1"],
                &format!(
                    "<script src=/_Incapsula_Resource?S=1></script>{}",
                    "<p>news</p>".repeat(300)
                ),
            ),
        ),
        (
            "human",
            https(
                200,
                &[html, "set-cookie: _px3=x"],
                "<script>window._pxAppId='PX'</script><p>shop</p>",
            ),
        ),
        (
            "akamai",
            https(200, &[html, "set-cookie: _abck=x~-1~y"], "<p>shop</p>"),
        ),
        ("vendor", https(200, &[html], vendor)),
        ("refresh", https(200, &[html], refresh)),
        (
            "song",
            https(200, &[html], "<title>Access Denied</title><p>lyrics</p>"),
        ),
        (
            "download",
            https(
                200,
                &["content-type: text/csv"],
                "Request unsuccessful. Incapsula incident ID: 1",
            ),
        ),
        (
            "json",
            https(
                200,
                &["content-type: application/json"],
                "{\"url\":\"https://geo.captcha-delivery.com/captcha/\"}",
            ),
        ),
        (
            "waf header",
            https(
                200,
                &["x-amzn-requestid: 1", "x-cache: Error from cloudfront"],
                "x",
            ),
        ),
    ] {
        assert_eq!(
            ends(&verdict),
            (Outcome::Ok, Blame::Nobody),
            "{name}: {:?}",
            verdict.ban
        );
    }
    for (name, verdict) in [
        (
            "key",
            https(
                403,
                &["content-type: application/json"],
                "{\"error\":\"Invalid API key\"}",
            ),
        ),
        (
            "s3",
            https(
                403,
                &["content-type: application/xml"],
                "<Error><Code>AccessDenied</Code></Error>",
            ),
        ),
        (
            "cdn 403",
            https(
                403,
                &[html, "cf-ray: 8", "server: cloudflare"],
                "<h1>403 Forbidden</h1>",
            ),
        ),
        (
            "elb 403",
            https(403, &[html, "server: awselb/2.0"], "<h1>403 Forbidden</h1>"),
        ),
        (
            "401",
            https(401, &["www-authenticate: Basic realm=x"], "who?"),
        ),
        (
            "maintenance",
            https(503, &[html, "retry-after: 3600"], "<h1>Back soon</h1>"),
        ),
        ("407 of a cdn", http(407, &["x-amz-cf-id: x"], "")),
        ("407 through TLS", https(407, &[], "")),
        ("404", https(404, &[html], article)),
    ] {
        assert_eq!(
            ends(&verdict),
            (Outcome::HttpError, Blame::Target),
            "{name}: {:?}",
            verdict.ban
        );
        assert_eq!(rule(&verdict), None, "{name}");
    }
}

#[test]
fn rate_limits_belong_to_the_pair_and_carry_the_wait() {
    let verdict = https(429, &["retry-after: 17"], "slow down");
    assert_eq!(ends(&verdict), (Outcome::RateLimited, Blame::Pair));
    assert_eq!(verdict.retry_after.map(|wait| wait.as_secs()), Some(17));
    let quota = ["x-ratelimit-remaining: 0", "x-ratelimit-reset: 40"];
    let verdict = https(403, &quota, "");
    assert_eq!(ends(&verdict), (Outcome::RateLimited, Blame::Pair));
    assert_eq!(verdict.retry_after.map(|wait| wait.as_secs()), Some(40));
    // A challenge that comes as 429 is a challenge.
    let verdict = https(429, &["cf-mitigated: challenge"], "");
    assert_eq!(ends(&verdict), (Outcome::Banned, Blame::Pair));
    // A page of its origin may ask for patience without being a ban.
    let verdict = https(503, &["retry-after: 30"], "");
    assert_eq!(ends(&verdict), (Outcome::HttpError, Blame::Target));
    assert_eq!(verdict.retry_after.map(|wait| wait.as_secs()), Some(30));
}

#[test]
fn only_an_http_proxy_answers_forwarded_requests_itself() {
    let judge = judge(|_| {});
    let privoxy = "<html><title>503 - Connect failed (Privoxy@gate.example)</title></html>";
    for (status, lines, body) in [
        (503, vec![], privoxy),
        (407, vec!["proxy-authenticate: Basic"], ""),
        (502, vec![], "down"),
    ] {
        let mut exchange = exchange(status, &lines, body, false);
        let of = |exchange: &Exchange| ask(&judge, "http://a.example/", false, exchange).blame;
        assert_ne!(of(&exchange), Blame::Target, "{status} forwarded");
        exchange.forwarded = false;
        assert_eq!(of(&exchange), Blame::Target, "{status} through SOCKS");
    }
}

#[test]
fn a_good_answer_may_say_that_it_was_the_last_of_its_quota() {
    let verdict = https(200, &["ratelimit: \"default\";r=0;t=30"], "page");
    assert_eq!(ends(&verdict), (Outcome::Ok, Blame::Nobody));
    assert_eq!(verdict.retry_after.map(|wait| wait.as_secs()), Some(30));
    let verdict = https(200, &["ratelimit: \"default\";r=3;t=30"], "page");
    assert_eq!(verdict.retry_after, None);
}

#[test]
fn refused_tunnels_charge_whom_the_status_names() {
    let proxy = |charge| (Outcome::ProxyError, Blame::Proxy(charge));
    for (status, expected) in [
        (400, proxy(Charge::NoTunnel)),
        (402, proxy(Charge::Auth)),
        (403, proxy(Charge::Policy)),
        (405, proxy(Charge::NoTunnel)),
        (407, proxy(Charge::Auth)),
        (429, (Outcome::ProxyError, Blame::Pair)),
        (501, proxy(Charge::NoTunnel)),
        (502, (Outcome::ProxyError, Blame::Unknown)),
        (504, (Outcome::ProxyError, Blame::Unknown)),
    ] {
        assert_eq!(ends(&connect(status)), expected, "{status}");
    }
}

#[test]
fn a_refused_port_is_no_tunnel_at_443_and_a_policy_elsewhere() {
    let none: [&str; 0] = [];
    let refusal = refusal(403, "Access violation", &none, "");
    let blame = |url| ask(&judge(|_| {}), url, false, &refusal).blame;
    assert_eq!(blame("https://a.example/"), Blame::Proxy(Charge::NoTunnel));
    assert_eq!(
        blame("https://a.example:8443/"),
        Blame::Proxy(Charge::Policy)
    );
}

#[test]
fn a_date_to_retry_after_needs_the_clock_of_the_answer_or_of_the_caller() {
    let judge = judge(|_| {});
    let url = Url::parse("https://a.example/").expect("a URL");
    let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").ok();
    let lines = ["retry-after: Sun, 06 Nov 1994 08:50:07 GMT"];
    let wait = Some(std::time::Duration::from_secs(30));
    let seen = |now| Seen {
        https: true,
        url: &url,
        method: &Method::GET,
        follows: false,
        now,
    };
    let refusal = refusal(429, "", &lines, "");
    for exchange in [&exchange(429, &lines, "", true), &refusal] {
        assert_eq!(judge.classify(&seen(now), exchange).retry_after, wait);
        assert_eq!(judge.classify(&seen(None), exchange).retry_after, None);
    }
    let fault = refusal.result.as_ref().expect_err("a refusal");
    let report = (fault, refusal.connect_reply.as_deref());
    assert_eq!(judge.classify_probe(report, now).retry_after, wait);
}

#[test]
fn probes_and_exchanges_are_judged_alike() {
    let judge = judge(|_| {});
    let refusal = refusal(403, "", &["x-brd-err-code: policy_1"], "");
    let exchange_verdict = ask(&judge, "https://a.example/", false, &refusal);
    let fault = refusal.result.as_ref().expect_err("a refusal");
    let probe = judge.classify_probe((fault, refusal.connect_reply.as_deref()), None);
    assert_eq!(probe, exchange_verdict);
    assert_eq!(rule(&probe), Some("brightdata.policy"));
    let timeout = Fault::new(Phase::Connect, FaultKind::Timeout, "x");
    assert_eq!(
        judge.classify_probe((&timeout, None), None).blame,
        Blame::Proxy(Charge::Unreachable)
    );
}

#[test]
fn a_forwarding_proxy_that_wants_a_password_is_charged_for_it() {
    let verdict = http(407, &["proxy-authenticate: Basic realm=proxy"], "");
    assert_eq!(
        ends(&verdict),
        (Outcome::ProxyError, Blame::Proxy(Charge::Auth))
    );
    assert_eq!(
        ends(&http(407, &[], "")),
        (Outcome::ProxyError, Blame::Proxy(Charge::Auth))
    );
}

#[test]
fn a_followed_redirect_is_judged_only_by_where_it_leads() {
    let plain = judge(|_| {});
    let to = |location: &str| exchange(302, &[format!("location: {location}")], "", true);
    let url = "https://www.google.com/search?q=a";
    assert_eq!(
        ends(&ask(&plain, url, true, &to("/home"))),
        (Outcome::Ok, Blame::Nobody)
    );
    assert_eq!(
        ends(&ask(&plain, url, false, &to("/home"))),
        (Outcome::HttpError, Blame::Target)
    );
    let mut latin = to("/");
    let answer = latin.result.as_mut().unwrap();
    let location = http::HeaderValue::from_bytes(b"/caf\xe9").unwrap();
    answer.headers.insert("location", location);
    assert_eq!(ends(&ask(&plain, url, true, &latin)).0, Outcome::Ok);
    let sorry = ask(&plain, url, true, &to("/sorry/index?continue=secret"));
    assert_eq!(ends(&sorry), (Outcome::Banned, Blame::Pair));
    let ban = sorry.ban.expect("a rule");
    assert_eq!(
        &*ban.evidence,
        "redirect to https://www.google.com/sorry/index"
    );
    let picky = judge(|s| s.ban_redirect = vec!["/login$".into()]);
    assert_eq!(
        rule(&ask(&picky, url, true, &to("/a/login"))),
        Some("ban_redirect")
    );
    assert_eq!(rule(&ask(&picky, url, true, &to("/a/login?x"))), None);
}

#[test]
fn the_users_rules_come_after_statements_and_before_statuses() {
    let judge = judge(|s| {
        s.accept = "200,404".parse().unwrap();
        s.ban_status = "404,520..=529".parse().unwrap();
        s.ban_header = vec!["X-Blocked".into(), "Server: ^evil".into()];
        s.ban_regex = vec!["(?i)caf\u{e9} closed".into()];
    });
    let ask = |status, lines: &[&str], body: &str| {
        ask(
            &judge,
            "https://a.example/",
            false,
            &exchange(status, lines, body, true),
        )
    };
    assert_eq!(rule(&ask(404, &[], "")), Some("ban_status"));
    assert_eq!(
        rule(&ask(522, &["server: cloudflare"], "")),
        Some("ban_status")
    );
    assert_eq!(
        rule(&ask(404, &["cf-mitigated: challenge"], "")),
        Some("cloudflare.mitigated")
    );
    assert_eq!(rule(&ask(200, &["x-blocked: 1"], "")), Some("ban_header"));
    assert_eq!(rule(&ask(200, &["server: evil/1"], "")), Some("ban_header"));
    assert_eq!(rule(&ask(200, &["server: not evil"], "")), None);
    let verdict = ask(200, &["content-type: text/html"], "<p>CAF\u{c9} closed");
    assert_eq!(rule(&verdict), Some("ban_regex"));
    assert_eq!(ends(&verdict), (Outcome::Banned, Blame::Pair));
    assert_eq!(
        rule(&ask(200, &["content-type: image/png"], "caf\u{e9} closed")),
        None
    );
}

#[test]
fn ban_regexes_read_the_text_and_not_the_bytes() {
    let judge = judge(|s| s.ban_regex = vec!["\u{43d}\u{435}\u{442}".into()]);
    let mut answer = exchange(200, &["content-type: text/html; charset=koi8-r"], "", true);
    answer.result.as_mut().unwrap().body.bytes = vec![0xce, 0xc5, 0xd4].into();
    assert_eq!(
        rule(&ask(&judge, "https://a.example/", false, &answer)),
        Some("ban_regex")
    );
}

#[test]
fn expectations_hold_for_accepted_text_only() {
    let judge = judge(|s| {
        s.must_match = vec!["price".into()];
        s.must_not_match = vec!["out of order".into()];
    });
    let ask = |status, kind: &str, body: &str| {
        let exchange = exchange(status, &[format!("content-type: {kind}")], body, true);
        ask(&judge, "https://a.example/", false, &exchange)
    };
    assert_eq!(
        ends(&ask(200, "text/html", "price: 3")),
        (Outcome::Ok, Blame::Nobody)
    );
    let missing = ask(200, "text/html", "cookies?");
    assert_eq!(ends(&missing), (Outcome::Corrupt, Blame::Unknown));
    assert_eq!(missing.ban.as_ref().map(|ban| &*ban.class), Some("user"));
    let forbidden = ask(200, "text/html", "price: out of order");
    assert_eq!(ends(&forbidden), (Outcome::Corrupt, Blame::Pair));
    assert_eq!(rule(&forbidden), Some("must_not_match"));
    assert_eq!(
        ends(&ask(200, "image/png", "\u{1}")),
        (Outcome::Ok, Blame::Nobody)
    );
    assert_eq!(
        ends(&ask(404, "text/html", "gone")),
        (Outcome::HttpError, Blame::Target)
    );
}

#[test]
fn bodies_that_are_not_whole_are_not_success() {
    for (cut, expected) in [
        (Truncation::Length, (Outcome::TooLarge, Blame::Target)),
        (Truncation::Time, (Outcome::Timeout, Blame::Unknown)),
        (Truncation::Disconnect, (Outcome::Corrupt, Blame::Unknown)),
    ] {
        let mut answer = exchange(200, &["content-type: text/html"], "<p>half", true);
        answer.result.as_mut().unwrap().body.truncated = Some(cut);
        assert_eq!(
            ends(&ask(&judge(|_| {}), "https://a.example/", false, &answer)),
            expected
        );
    }
}

#[test]
fn a_page_that_the_proxy_could_have_written_is_asked_first_and_only_there() {
    let page = "<html><body id=ERR_ACCESS_DENIED>no</body></html>";
    assert_eq!(
        ends(&http(403, &["content-type: text/html"], page)),
        (Outcome::ProxyError, Blame::Proxy(Charge::Policy))
    );
    assert_eq!(
        ends(&https(403, &["content-type: text/html"], page)),
        (Outcome::HttpError, Blame::Target)
    );
    let insecure = exchange(403, &["content-type: text/html"], page, false);
    let verdict = ask(&judge(|_| {}), "https://a.example/", false, &insecure);
    assert_eq!(rule(&verdict), Some("squid.page.policy"));
}

#[test]
fn evidence_holds_no_credential() {
    let refusal = refusal(
        403,
        "",
        &["x-squid-error: ERR_ACCESS_DENIED http://bob:hunter2@p.example/"],
        "",
    );
    let verdict = ask(&judge(|_| {}), "https://a.example/", false, &refusal);
    let evidence = verdict.ban.expect("a rule").evidence;
    assert!(
        evidence.contains("ERR_ACCESS_DENIED") && !evidence.contains("hunter2"),
        "{evidence}"
    );
}
