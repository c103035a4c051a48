//! Rows are written by hand; whatever a record holds, they are the bytes that its derived `Serialize` gives.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::{encode, full};
use crate::exchange::Truncation;
use crate::job::JobId;
use crate::outcome::{
    Attempt, Ban, Blame, BodyField, Charge, ErrorInfo, Outcome, Record, RedirectHop, Timing,
    UnixMillis,
};
use crate::output::fields::{BodyView, Field};
use crate::output::{Format, Settings};
use crate::proxy::{Credentials, Proxy, Scheme};
use crate::secret::Secret;
use crate::text::Sha256;

/// Text in which what needs care is common: quotes, backslashes, control characters, what JavaScript ends a line at, what
/// takes four bytes; of lengths around the eight bytes that are looked at together.
fn text() -> impl Strategy<Value = Box<str>> {
    let odd = select(vec![
        '"',
        '\\',
        '/',
        '\n',
        '\r',
        '\t',
        '\0',
        '\u{1f}',
        '\u{7f}',
        '\u{80}',
        'é',
        '\u{2028}',
        '\u{fffd}',
        '\u{1f600}',
        '=',
        '-',
        ',',
    ]);
    let character = prop_oneof![6 => proptest::char::range(' ', '~'), 1 => odd, 1 => any::<char>()];
    vec(character, 0..40).prop_map(|text| text.into_iter().collect::<String>().into())
}

fn word() -> impl Strategy<Value = &'static str> {
    select(vec!["utf-8", "1.1", "2", "cloudflare", "a \"b\"\n", ""])
}

/// What the clock gives, and what it never would.
fn ms() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (0_u64..100_000_000_000).prop_map(|micros| micros as f64 / 1000.0),
        1 => (0_u64..100_000).prop_map(|ms| ms as f64),
        1 => any::<f64>(),
    ]
}

fn proxy() -> impl Strategy<Value = Arc<Proxy>> {
    let schemes = vec![
        Scheme::Http,
        Scheme::Https,
        Scheme::Socks4a,
        Scheme::Socks5h,
        Scheme::Direct,
    ];
    let host = prop_oneof![
        2 => any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string().into()),
        1 => any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string().into()),
        1 => "[a-z.-]{1,30}".prop_map(Into::into),
        1 => text(),
    ];
    let credentials = of("[a-z]{1,8}").prop_map(|user| {
        user.map(|user| Credentials {
            user: Secret::new(&*user),
            password: Secret::new("pw"),
        })
    });
    (select(schemes), host, any::<u16>(), credentials).prop_map(
        |(scheme, host, port, credentials)| Arc::new(Proxy::new(scheme, &host, port, credentials)),
    )
}

fn error() -> impl Strategy<Value = ErrorInfo> {
    (word(), of(word()), text(), of(any::<u8>())).prop_map(|(kind, phase, message, curl_code)| {
        ErrorInfo {
            kind,
            phase,
            message,
            curl_code,
        }
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    select(Outcome::ALL.to_vec())
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let blames = vec![
        Blame::Nobody,
        Blame::Pair,
        Blame::Proxy(Charge::Auth),
        Blame::Unknown,
    ];
    (
        (any::<u32>(), proxy(), outcome(), select(blames)),
        (of(any::<u16>()), of(any::<u16>()), of(text()), of(error())),
        (ms(), ms()),
    )
        .prop_map(
            |(
                (n, proxy, outcome, blame),
                (status, connect_status, rule, error),
                (t_ms, wait_ms),
            )| Attempt {
                n,
                proxy,
                outcome,
                blame,
                status,
                connect_status,
                rule,
                error,
                t_ms,
                wait_ms,
            },
        )
}

fn ban() -> impl Strategy<Value = Box<Ban>> {
    (text(), text(), of(text()), any::<f32>(), text()).prop_map(
        |(rule, class, vendor, confidence, evidence)| {
            Box::new(Ban {
                rule,
                class,
                vendor,
                confidence,
                evidence,
            })
        },
    )
}

fn redirect() -> impl Strategy<Value = RedirectHop> {
    (any::<u16>(), text()).prop_map(|(status, url)| RedirectHop { status, url })
}

fn timing() -> impl Strategy<Value = Timing> {
    vec(of(ms()), 8).prop_map(|ms| Timing {
        queue: ms[0],
        wait: ms[1],
        connect: ms[2],
        proxy_handshake: ms[3],
        tls: ms[4],
        ttfb: ms[5],
        body: ms[6],
        total: ms[7],
    })
}

fn instant() -> impl Strategy<Value = UnixMillis> {
    (-62_167_219_200_000_i64..253_402_300_800_000).prop_map(UnixMillis)
}

fn fields() -> impl Strategy<Value = Map<String, Json>> {
    let value = prop_oneof![
        Just(Json::Null),
        text().prop_map(|text| json!(text)),
        ms().prop_map(|ms| json!(ms)),
        vec(any::<i64>(), 0..3).prop_map(|list| json!(list)),
    ];
    vec((text(), value), 0..4)
        .prop_map(|pairs| pairs.into_iter().map(|(k, v)| (k.into(), v)).collect())
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = select(vec!["set-cookie", "server", "x-odd"]);
    let bytes = vec(any::<u8>(), 0..20);
    vec((name, bytes), 0..5).prop_map(|pairs| {
        let mut headers = HeaderMap::new();
        for (name, bytes) in pairs {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    })
}

fn body() -> impl Strategy<Value = BodyField> {
    prop_oneof![
        Just(BodyField::None),
        text().prop_map(BodyField::Text),
        text().prop_map(BodyField::Base64),
        text().prop_map(BodyField::Path),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let truncations = vec![Truncation::Length, Truncation::Time, Truncation::Disconnect];
    let methods = vec![Method::GET, Method::from_bytes(b"-QUERY'|~").unwrap()];
    let asked = (
        (any::<u8>(), any::<u64>(), text(), select(methods)),
        (of(text()), of(text()), of(fields().prop_map(Box::new))),
    );
    let answered = (
        (
            outcome(),
            any::<bool>(),
            of(any::<u16>()),
            of(word()),
            of(text()),
        ),
        (
            of(word()),
            of(word()),
            of(any::<[u8; 32]>().prop_map(Sha256)),
            of(text()),
        ),
        (
            of(any::<u64>()),
            of(any::<u64>()),
            of(select(truncations)),
            of(0.0..1e6),
        ),
        (
            of(fields()),
            (of(any::<u32>()), of(any::<u32>())),
            of(headers()),
            body(),
            any::<bool>(),
        ),
    );
    let tried = (
        (
            of(proxy()),
            of(any::<u16>()),
            of(text()),
            any::<u32>(),
            any::<u32>(),
        ),
        (vec(attempt(), 0..4), of(ban()), of(error())),
        (vec(redirect(), 0..3), timing(), of(instant()), instant()),
    );
    (asked, answered, tried).prop_map(|(asked, answered, tried)| {
        let ((v, seq, input, method), (url, final_url, tag)) = asked;
        let (
            (outcome, ok, status, http_version, content_type),
            (charset, edge, body_sha256, title),
            (size_wire, size_body, truncated, cost),
            (fields, (row, rows), headers, body, resumed),
        ) = answered;
        let (
            (proxy, proxy_connect_status, exit_ip, attempts, proxies_tried),
            (attempt_log, ban, error),
            (redirects, timing, started_at, finished_at),
        ) = tried;
        // Any text will do for both.
        let tagged = title.clone();
        Record {
            v,
            id: JobId::of(&method, &input, b""),
            seq,
            input,
            url: url.map(Arc::from),
            final_url: final_url.map(Arc::from),
            method,
            tag,
            outcome,
            ok,
            status,
            http_version,
            content_type,
            charset,
            etag: tagged.clone(),
            last_modified: tagged,
            proxy,
            proxy_connect_status,
            exit_ip,
            attempts,
            proxies_tried,
            attempt_log,
            ban,
            edge,
            error,
            redirects,
            timing,
            started_at,
            finished_at,
            size_wire,
            size_body,
            truncated,
            cost,
            body_sha256,
            title,
            fields,
            row,
            rows,
            headers,
            body,
            resumed,
        }
    })
}

/// The part of an attempt that is shown by default.
#[derive(Serialize)]
struct Short {
    n: u32,
    proxy: String,
    outcome: Outcome,
    status: Option<u16>,
    t_ms: f64,
    wait_ms: f64,
}

/// What the CSV cell of this JSON holds before it is quoted.
fn cell(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            format!("'{text}")
        }
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn a_row_is_what_its_record_serialises_to(record in record()) {
        let wanted = serde_json::to_string(&record).unwrap() + "\n";
        prop_assert_eq!(encode(&full(), &record, BodyView::None), wanted);
    }

    #[test]
    fn short_attempts_are_the_same_bytes_but_fewer(record in record()) {
        let log: Vec<_> = record
            .attempt_log
            .iter()
            .map(|attempt| Short {
                n: attempt.n,
                proxy: attempt.proxy.label().to_string(),
                outcome: attempt.outcome,
                status: attempt.status,
                t_ms: attempt.t_ms,
                wait_ms: attempt.wait_ms,
            })
            .collect();
        let wanted = serde_json::to_string(&log).unwrap();
        let settings = Settings { fields: Some(vec!["attempt_log".to_owned()]), ..Settings::default() };
        let row = encode(&settings, &record, BodyView::None);
        prop_assert_eq!(row, format!("{{\"attempt_log\":{wanted}}}\n"));
    }

    #[test]
    fn csv_cells_say_the_same(record in record()) {
        // A ban's confidence has fewer digits in a row than as a JSON value; `truncated` keeps its quotes; of the bodies a
        // record has one.
        let left_out = ["ban", "truncated", "body", "body_b64", "body_path"];
        let names: Vec<String> = Field::ALL
            .into_iter()
            .map(|field| field.name().to_owned())
            .filter(|name| !left_out.contains(&&**name))
            .collect();
        let settings = Settings {
            fields: Some(names.clone()),
            format: Format::Csv,
            ..full()
        };
        let row = serde_json::to_value(&record).unwrap();
        let text = encode(&settings, &record, BodyView::None);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let cells = reader.records().next().unwrap().unwrap();
        for (name, found) in names.iter().zip(&cells) {
            prop_assert_eq!(found, cell(&row[name]), "{}", name);
        }
    }
}
