//! Rows: what they hold, in each form. Files are tested in `tests/it/output*.rs`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value as Json, json};

use super::encode::Encoder;
use super::fields::{BodyView, Field, Row};
use super::{Attempts, BodyMode, Format, SCHEMA, Settings, body};
use crate::exchange::Truncation;
use crate::job::JobId;
use crate::outcome::{
    Attempt, Ban, Blame, BodyField, Charge, ErrorInfo, Outcome, Record, RedirectHop, Timing,
    UnixMillis,
};
use crate::proxy::{Proxy, Scheme};
use crate::text::Sha256;

mod same_bytes;

/// A record with something in every field.
pub(super) fn sample() -> Record {
    let proxy = Arc::new(Proxy::new(Scheme::Http, "10.0.0.1", 8080, None));
    let mut headers = HeaderMap::new();
    headers.append("set-cookie", HeaderValue::from_static("a=\"1\""));
    headers.append("set-cookie", HeaderValue::from_static("b=2"));
    headers.append("x-raw", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    let error = ErrorInfo {
        kind: "rejected",
        phase: Some("handshake"),
        message: "the proxy said \"no\"\n".into(),
        curl_code: Some(97),
    };
    let attempt = |n, outcome, blame, error| Attempt {
        n,
        proxy: proxy.clone(),
        outcome,
        blame,
        status: Some(200),
        connect_status: Some(403),
        rule: Some("squid-denied".into()),
        error,
        t_ms: 12.5,
        wait_ms: 0.0,
    };
    Record {
        v: 1,
        id: JobId::of(&Method::GET, "http://a/", b""),
        seq: 7,
        input: "http://a/#x".into(),
        url: Some("http://a/".into()),
        final_url: Some("http://a/end?q=1,2".into()),
        method: Method::GET,
        tag: Some(Box::new(
            json!({"q": "café, \"x\"", "n": 3, "none": null})
                .as_object()
                .unwrap()
                .clone(),
        )),
        outcome: Outcome::Ok,
        ok: true,
        status: Some(200),
        http_version: Some("1.1"),
        content_type: Some("text/html".into()),
        charset: Some("utf-8"),
        etag: None,
        last_modified: None,
        proxy: Some(proxy.clone()),
        proxy_connect_status: Some(200),
        exit_ip: Some("192.0.2.1".into()),
        attempts: 2,
        proxies_tried: 1,
        attempt_log: vec![
            attempt(
                1,
                Outcome::ProxyError,
                Blame::Proxy(Charge::NoTunnel),
                Some(error.clone()),
            ),
            attempt(2, Outcome::Ok, Blame::Nobody, None),
        ],
        ban: Some(Box::new(Ban {
            rule: "r".into(),
            class: "user".into(),
            vendor: None,
            confidence: 0.5,
            evidence: "\u{1}\t".into(),
        })),
        edge: Some("cloudflare"),
        error: Some(error),
        redirects: vec![RedirectHop {
            status: 302,
            url: "http://a/".into(),
        }],
        timing: Timing {
            connect: Some(10.0),
            proxy_handshake: Some(1.0),
            ttfb: Some(50.0),
            total: Some(350.0),
            ..Timing::default()
        },
        started_at: Some(UnixMillis(1_700_000_000_123)),
        finished_at: UnixMillis(1_700_000_000_999),
        size_wire: Some(5),
        size_body: Some(9),
        truncated: Some(Truncation::Length),
        cost: Some(0.000_35),
        body_sha256: Some(Sha256([0; 32])),
        title: Some("=cmd|' /C calc'!A0".into()),
        fields: json!({"price": 19.5, "name": "-x", "none": null})
            .as_object()
            .cloned(),
        row: Some(1),
        rows: Some(3),
        headers: Some(headers),
        body: BodyField::None,
        resumed: false,
    }
}

/// The record of a line that is no URL: nearly everything is absent.
fn bare() -> Record {
    Record {
        url: None,
        final_url: None,
        tag: None,
        outcome: Outcome::InvalidUrl,
        ok: false,
        status: None,
        http_version: None,
        content_type: None,
        charset: None,
        etag: None,
        last_modified: None,
        proxy: None,
        proxy_connect_status: None,
        exit_ip: None,
        attempts: 0,
        proxies_tried: 0,
        attempt_log: Vec::new(),
        ban: None,
        edge: None,
        error: None,
        redirects: Vec::new(),
        timing: Timing::default(),
        started_at: None,
        size_wire: None,
        size_body: None,
        truncated: None,
        cost: None,
        body_sha256: None,
        title: None,
        fields: None,
        row: None,
        rows: None,
        headers: None,
        ..sample()
    }
}

fn encode(settings: &Settings, record: &Record, body: BodyView<'_>) -> String {
    let mut encoder = Encoder::new(settings).unwrap();
    let mut out = Vec::new();
    encoder.begin(&mut out);
    encoder.row(&Row { record, body }, false, &mut out);
    encoder.end(&mut out);
    String::from_utf8(out).unwrap()
}

fn full() -> Settings {
    Settings {
        attempts: Attempts::Full,
        ..Settings::default()
    }
}

#[test]
fn rows_are_what_the_record_itself_serialises_to() {
    let with_body = Record {
        body: BodyField::Text("<p>\"\u{2028}</p>".into()),
        ..sample()
    };
    for record in [sample(), bare(), with_body] {
        let wanted = serde_json::to_string(&record).unwrap() + "\n";
        assert_eq!(encode(&full(), &record, BodyView::None), wanted);
    }
}

#[test]
fn every_row_fits_the_published_schema() {
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for record in [sample(), bare()] {
        for settings in [full(), Settings::default()] {
            for view in [
                BodyView::None,
                BodyView::Text("x".into()),
                BodyView::Bytes(b"\xff\x00"),
                BodyView::Path("pages/ab/x.html".to_owned()),
            ] {
                let row: Json = serde_json::from_str(&encode(&settings, &record, view)).unwrap();
                let errors: Vec<_> = validator.iter_errors(&row).map(|e| e.to_string()).collect();
                assert!(errors.is_empty(), "{errors:?} in {row}");
            }
        }
    }
    // The schema describes every field, and knows every word.
    let described: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
    let fields: Vec<_> = Field::ALL.into_iter().map(Field::name).collect();
    assert_eq!(described, fields);
    let words: Vec<_> = Outcome::ALL.into_iter().map(Outcome::as_str).collect();
    assert_eq!(schema["$defs"]["outcome"]["enum"], json!(words));
    // And it can say no.
    let mut row: Json = serde_json::from_str(&encode(&full(), &sample(), BodyView::None)).unwrap();
    row["extra"] = json!(1);
    assert!(!validator.is_valid(&row));
}

#[test]
fn cells_on_a_terminal_move_no_cursor() {
    let settings = Settings {
        format: Format::Csv,
        fields: Some(vec!["title".into(), "seq".into()]),
        ..Settings::default()
    };
    let record = Record {
        title: Some("\u{1b}]0;x\u{7}a\u{9b}31m\r\nb".into()),
        ..sample()
    };
    let row = Row {
        record: &record,
        body: BodyView::None,
    };
    let mut encoder = Encoder::new(&settings).unwrap();
    encoder.for_terminal();
    let mut out = Vec::new();
    encoder.row(&row, false, &mut out);
    assert_eq!(out, format!("\"]0;xa31m\nb\",{}\n", record.seq).as_bytes());
    let kept = encode(&settings, &record, BodyView::None);
    assert!(kept.contains("\u{1b}]0;x\u{7}a\u{9b}31m\r\nb"), "{kept:?}");
}

#[test]
fn short_attempts_and_chosen_fields() {
    let settings = Settings {
        fields: Some(vec!["attempt_log".into(), "id".into(), "body".into()]),
        ..Settings::default()
    };
    let row = encode(&settings, &sample(), BodyView::Path("p".to_owned()));
    let row: Json = serde_json::from_str(&row).unwrap();
    assert_eq!(row.as_object().unwrap().len(), 2, "{row}");
    let attempt = row["attempt_log"][0].as_object().unwrap();
    let keys: Vec<_> = attempt.keys().collect();
    assert_eq!(keys, ["n", "proxy", "outcome", "status", "t_ms", "wait_ms"]);
    let unknown = Settings {
        fields: Some(vec!["stauts".into()]),
        ..Settings::default()
    };
    let problem = Encoder::new(&unknown).err().unwrap();
    assert!(problem.what.contains("stauts") && problem.hint.unwrap().contains("status"));
}

#[test]
fn csv_has_a_fixed_header_and_disarms_formulas() {
    let mut settings = Settings {
        format: Format::Csv,
        tag_columns: vec!["q".into(), "absent".into(), "n".into()],
        ..Settings::default()
    };
    let text = encode(&settings, &sample(), BodyView::None);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    assert_eq!(
        header.iter().collect::<Vec<_>>().join(","),
        "seq,id,input,final_url,method,outcome,ok,status,attempts,proxies_tried,proxy,ban_rule,error_kind,error_message,\
         content_type,size_body,ttfb_ms,total_ms,started_at,redirect_count,title,body_sha256,body_path,tag.q,tag.absent,tag.n"
    );
    let row = reader.records().next().unwrap().unwrap();
    let cell = |name: &str| &row[header.iter().position(|each| each == name).unwrap()];
    assert_eq!(cell("title"), "'=cmd|' /C calc'!A0");
    assert_eq!(cell("final_url"), "http://a/end?q=1,2");
    assert_eq!(cell("error_message"), "the proxy said \"no\"\n");
    assert_eq!(cell("tag.q"), "café, \"x\"");
    assert_eq!(
        (cell("tag.absent"), cell("tag.n"), cell("status")),
        ("", "3", "200")
    );
    // Absent is empty, not zero.
    let text = encode(&settings, &bare(), BodyView::None);
    assert!(text.ends_with(",,,,,,\n"), "{text}");

    for start in ["=", "+", "-", "@", "\t", "\r"] {
        let record = Record {
            title: Some(format!("{start}1").into()),
            ..sample()
        };
        settings.fields = Some(vec!["title".into()]);
        settings.csv_raw = false;
        let guarded = encode(&settings, &record, BodyView::None);
        let mut reader = csv::Reader::from_reader(guarded.as_bytes());
        let cell = reader.records().next().unwrap().unwrap()[0].to_owned();
        assert_eq!(cell, format!("'{start}1"));
        settings.csv_raw = true;
        assert!(!encode(&settings, &record, BodyView::None).contains('\''));
    }
}

#[test]
fn inline_bodies_are_text_where_they_are_text() {
    let mut record = sample();
    record.content_type = Some("text/html; charset=windows-1251".into());
    let view = body::view(&mut record, b"\xcf\xf0", BodyMode::Inline);
    assert!(matches!(view, BodyView::Text(text) if text == "\u{41f}\u{440}"));
    assert_eq!(record.charset, Some("windows-1251"));

    record.content_type = Some("image/png".into());
    let bytes = Bytes::from_static(b"\x89PNG");
    let view = body::view(&mut record, &bytes, BodyMode::Inline);
    let row: Json = serde_json::from_str(&encode(&full(), &record, view)).unwrap();
    assert_eq!(row["body_b64"], "iVBORw==");
    assert!(row.get("body").is_none());

    record.content_type = Some("application/json; charset=utf-8".into());
    let view = body::view(&mut record, b"\"a\xff\xfeb\"", BodyMode::Inline);
    let row: Json = serde_json::from_str(&encode(&full(), &record, view)).unwrap();
    assert_eq!(row["body"], "\"a\u{fffd}\u{fffd}b\"");
    assert_eq!(row["body_b64"], "ImH//mIi", "no byte is lost");

    let view = body::view(&mut bare(), b"", BodyMode::Inline);
    assert!(
        matches!(view, BodyView::None),
        "no answer is not an empty body"
    );
}
