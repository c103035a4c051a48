//! How long an answer asks to wait: Retry-After and the RateLimit families.
//!
//! No clock is read. A date is compared with the answer's own `Date`, which also cancels a wrong clock at either end; without one
//! with the clock that is passed in, which may be wrong: the bounds keep the damage to an hour.

use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER, VIA};
use http::{HeaderMap, HeaderName};

/// Longest wait believed. Real limits are minutes; a day is a mistake or an attempt to make clients go away.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Numbers above this are points in time, not waits: 2001 in seconds since 1970, and 31 years as a wait.
const EPOCH_FROM: f64 = 1e9;
/// Numbers above this are milliseconds since 1970.
const EPOCH_MILLIS_FROM: f64 = 1e12;

/// The wait that an answer asks for, in 0..=[`LONGEST`]; zero is "at once", negative and past count as zero.
///
/// Retry-After comes first. Without it, a RateLimit header counts when it says that nothing is left. The `Retry-After: 5`
/// of a Varnish error page is a constant of its template, not advice, and is ignored. `now` is the wall clock when the answer
/// came; without it, as for saved answers, a date beside no `Date` says nothing and counts as absent.
pub fn wait(status: u16, headers: &HeaderMap, now: Option<SystemTime>) -> Option<Duration> {
    match headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
    {
        Some(value) if status == 503 && value.trim() == "5" && is_varnish(headers) => None,
        Some(value) => parse(value, || date(headers).or(now)).or_else(|| exhausted(headers, now)),
        None => exhausted(headers, now),
    }
}

/// The wait until a quota renews, if the answer says that it is used up; `now` as for [`wait`].
pub fn exhausted(headers: &HeaderMap, now: Option<SystemTime>) -> Option<Duration> {
    // Asked of every good answer, of which few have any of these: the names that there are, are faster looked through than
    // those below looked up.
    let speaks_of_it = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("ratelimit") || name.starts_with("x-rate")
    };
    if !headers.keys().any(speaks_of_it) {
        return None;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Structured form: `"default";r=0;t=30`, and its predecessor `limit=100, remaining=0, reset=30`.
    if let Some(value) = text("ratelimit") {
        let left = parameter(value, &["r", "remaining"]);
        let reset = parameter(value, &["t", "reset"]);
        if left.is_some_and(is_zero) {
            return reset.and_then(|value| parse(value, || date(headers).or(now)));
        }
    }
    for (left, resets) in [
        ("ratelimit-remaining", &["ratelimit-reset"][..]),
        (
            "x-ratelimit-remaining",
            &["x-ratelimit-reset-after", "x-ratelimit-reset"][..],
        ),
        ("x-rate-limit-remaining", &["x-rate-limit-reset"][..]),
    ] {
        if text(left).is_some_and(is_zero) {
            let reset = resets.iter().find_map(|name| text(name));
            return reset.and_then(|value| parse(value, || date(headers).or(now)));
        }
    }
    None
}

fn is_zero(value: &str) -> bool {
    value.trim().parse::<f64>() == Ok(0.0)
}

/// The value of the first `name=value` of a list whose name is one of these.
fn parameter<'a>(list: &'a str, names: &[&str]) -> Option<&'a str> {
    list.split([';', ',']).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        names.contains(&name.trim()).then_some(value.trim())
    })
}

fn is_varnish(headers: &HeaderMap) -> bool {
    headers.contains_key("x-varnish")
        || headers.get_all(VIA).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|value| value.to_ascii_lowercase().contains("varnish"))
        })
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?.trim()).ok()
}

/// Seconds (fractions allowed), an HTTP date, or a point in time as a number; dates ask for `now`.
fn parse(value: &str, now: impl Fn() -> Option<SystemTime>) -> Option<Duration> {
    let value = value.trim();
    let seconds = match value.parse::<f64>() {
        Ok(number) if !number.is_finite() => return None,
        Ok(number) if number >= EPOCH_MILLIS_FROM => number / 1000.0 - since_1970(now()?)?,
        Ok(number) if number >= EPOCH_FROM => number - since_1970(now()?)?,
        Ok(number) => number,
        Err(_) => {
            let until = httpdate::parse_http_date(value).ok()?;
            until
                .duration_since(now()?)
                .map_or(0.0, |wait| wait.as_secs_f64())
        }
    };
    Some(Duration::from_secs_f64(
        seconds.clamp(0.0, LONGEST.as_secs_f64()),
    ))
}

fn since_1970(now: SystemTime) -> Option<f64> {
    let past = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(past.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    /// The same moment in seconds since 1970 would be below `EPOCH_FROM`; epoch tests use a later one.
    const LATER: &str = "Sat, 01 Jan 2022 00:00:00 GMT";
    const LATER_EPOCH: u64 = 1_640_995_200;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn seconds(pairs: &[(&str, &str)]) -> Option<f64> {
        wait(429, &headers(pairs), None).map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn seconds_are_bounded_at_both_ends() {
        for (value, expected) in [
            ("120", Some(120.0)),
            (" 7 ", Some(7.0)),
            ("1.5", Some(1.5)),
            ("0", Some(0.0)),
            ("-30", Some(0.0)),
            ("99999", Some(3600.0)),
            ("999999999", Some(3600.0)),
            ("soon", None),
            ("", None),
            ("NaN", None),
            ("inf", None),
        ] {
            assert_eq!(seconds(&[("retry-after", value)]), expected, "{value:?}");
        }
    }

    #[test]
    fn dates_are_measured_against_the_answers_own_date() {
        let date = |until: &str| seconds(&[("date", NOW), ("retry-after", until)]);
        assert_eq!(date("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60.0));
        assert_eq!(date("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0.0));
        assert_eq!(date("Sat, 06 Nov 2094 08:00:00 GMT"), Some(3600.0));
        assert_eq!(seconds(&[("retry-after", NOW)]), None);
    }

    #[test]
    fn without_a_date_of_its_own_the_local_clock_counts_within_the_same_bounds() {
        let clock = httpdate::parse_http_date(NOW).ok();
        let date = |pairs: &[(&str, &str)]| {
            wait(429, &headers(pairs), clock).map(|wait| wait.as_secs_f64())
        };
        for (until, expected) in [
            ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
            ("Sat, 06 Nov 2094 08:00:00 GMT", 3600.0),
        ] {
            assert_eq!(date(&[("retry-after", until)]), Some(expected), "{until}");
        }
        // The answer's own clock is the better one for its own words.
        let own = "Sun, 06 Nov 1994 08:50:27 GMT";
        let until = "Sun, 06 Nov 1994 08:50:37 GMT";
        assert_eq!(date(&[("date", own), ("retry-after", until)]), Some(10.0));
        // As where the answer has a Date: a number that is a point in time is one.
        let renewed = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1640995290"),
        ];
        assert_eq!(date(&renewed), Some(3600.0));
    }

    #[test]
    fn exhausted_quotas_say_when_they_renew() {
        let epoch = (LATER_EPOCH + 90).to_string();
        let millis = ((LATER_EPOCH + 90) * 1000).to_string();
        for (pairs, expected) in [
            (&[("ratelimit", "\"default\";r=0;t=30")][..], Some(30.0)),
            (
                &[("ratelimit", "limit=9, remaining=0, reset=12")][..],
                Some(12.0),
            ),
            (
                &[("ratelimit-remaining", "0"), ("ratelimit-reset", "8")][..],
                Some(8.0),
            ),
            (
                &[
                    ("date", LATER),
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", &epoch),
                ][..],
                Some(90.0),
            ),
            (
                &[
                    ("date", LATER),
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", &millis),
                ][..],
                Some(90.0),
            ),
            (
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", &epoch),
                ][..],
                None,
            ),
            (&[("ratelimit", "\"default\";r=4;t=30")][..], None),
            (
                &[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "30")][..],
                None,
            ),
            // Retry-After is the plainer word of the two.
            (
                &[
                    ("retry-after", "2"),
                    ("ratelimit-remaining", "0"),
                    ("ratelimit-reset", "8"),
                ][..],
                Some(2.0),
            ),
        ] {
            assert_eq!(seconds(pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_constant_of_the_varnish_error_page_is_no_advice() {
        let page = headers(&[("x-varnish", "32770"), ("retry-after", "5")]);
        assert_eq!(wait(503, &page, None), None);
        assert_eq!(wait(429, &page, None), Some(Duration::from_secs(5)));
        assert_eq!(
            wait(503, &headers(&[("retry-after", "5")]), None),
            Some(Duration::from_secs(5))
        );
    }

    proptest::proptest! {
        #[test]
        fn any_value_is_absent_or_bounded(value in "[ -~]{0,40}") {
            for name in ["retry-after", "ratelimit", "x-ratelimit-reset"] {
                let all = headers(&[("date", LATER), ("x-ratelimit-remaining", "0"), (name, &value)]);
                if let Some(wait) = wait(429, &all, None) {
                    proptest::prop_assert!(wait <= LONGEST);
                }
            }
        }
    }
}
