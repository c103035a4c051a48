//! Bodies made to be expensive: a verdict takes bounded time whatever is in them.

use std::time::{Duration, Instant};

use http::Method;
use url::Url;

use super::{exchange, judge};
use crate::ban::Seen;

/// Hundreds of times what any of these takes; a search that goes over the whole body again and again takes minutes.
const LONGEST: Duration = Duration::from_secs(2);

#[test]
#[expect(clippy::disallowed_methods, reason = "real time is what is tested")]
fn ten_megabytes_of_anything_are_judged_at_once() {
    const SIZE: usize = 10 << 20;
    let judge = judge(|_| {});
    let url = Url::parse("http://a.example/").expect("a URL");
    let seen = Seen {
        url: &url,
        method: &Method::GET,
        https: false,
        follows: false,
        now: None,
    };
    for part in [
        "captcha-delivery.com _cf_chl_opt verify you are human ",
        "<",
        "<a",
        "<!--",
        "<script>",
        "<title>",
        "&amp;",
        "&",
        "&#38;#38;",
        "\0",
        "\u{feff}",
        "\u{130}",
        " ",
    ] {
        for (status, kind) in [
            (403, "text/html"),
            (200, "text/html"),
            (403, "text/html; charset=utf-16le"),
            (403, "text/plain"),
        ] {
            let body = part.repeat(SIZE / part.len());
            let headers = [format!("content-type: {kind}")];
            let answer = exchange(status, &headers, &body, false);
            let begun = Instant::now();
            judge.classify(&seen, &answer);
            let took = begun.elapsed();
            assert!(took < LONGEST, "{part:?} as {status} {kind} took {took:?}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, status in 200u16..600, kind in "[a-z]{0,8}/[a-z+]{0,8}(; charset=[a-z0-9-]{0,12})?",
                      text in "(<title>|<p>|Just a moment|captcha|&#x?[0-9a-f]{0,8};|\u{e9}|\0|verify you are human){0,30}") {
        let judge = judge(|_| {});
        let url = Url::parse("http://a.example/").expect("a URL");
        let seen = Seen { url: &url, method: &Method::GET, https: false, follows: false, now: None };
        for body in [bytes, text.into_bytes()] {
            for kind in [&*kind, "text/html"] {
                let headers = [format!("content-type: {kind}")];
                let mut answer = exchange(status, &headers, "", false);
                answer.result.as_mut().expect("an answer").body.bytes = body.clone().into();
                let verdict = judge.classify(&seen, &answer);
                if let Some(ban) = verdict.ban {
                    proptest::prop_assert!(ban.evidence.chars().count() <= 200 && (0.0..=1.0).contains(&ban.confidence));
                }
            }
        }
    }
}
