//! The four forms give the same answer back.

use std::io::Write;

use super::*;

const PAGE: &str = "<html><title>Robot Check</title></html>";

fn one(name: &str, bytes: impl Into<Vec<u8>>) -> Saved {
    let mut all = answers(name, bytes.into(), None).expect("readable");
    assert_eq!(all.len(), 1, "{name}");
    all.remove(0)
}

fn check(saved: &Saved, status: u16, url: &str) {
    let response = saved.exchange.result.as_ref().expect("an answer");
    assert_eq!(response.status.as_u16(), status, "{}", saved.name);
    assert_eq!(response.body.bytes, PAGE.as_bytes(), "{}", saved.name);
    let kind = response.headers["content-type"].to_str().expect("text");
    assert!(kind.starts_with("text/html"), "{}: {kind}", saved.name);
    assert_eq!(saved.url.as_str(), url);
    assert_eq!(saved.exchange.verified, url.starts_with("https"));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

#[test]
fn pages_are_read_with_and_without_their_head() {
    check(&one("a.html", PAGE), 200, "http://unknown.invalid/");
    let with_head = format!("HTTP/1.1 503 Slow Down\r\nContent-Type: text/html\r\n\r\n{PAGE}");
    check(&one("a.txt", with_head), 503, "http://unknown.invalid/");
}

#[test]
fn records_without_an_answer_are_left_out() {
    let line = serde_json::json!({
        "url": "https://a.example/", "final_url": null, "method": "GET", "status": 403,
        "headers": {"content-type": ["text/html; charset=koi8-r"], "server": ["x"]}, "body": PAGE,
    });
    let text = format!("{line}\n{{\"url\":\"https://a.example/\",\"status\":null}}\n");
    check(&one("a.jsonl", text), 403, "https://a.example/");
}

#[test]
fn har_bodies_are_read_in_base64_and_failed_requests_left_out() {
    let har = serde_json::json!({"log": {"entries": [
        {"request": {"method": "GET", "url": "https://a.example/"}, "response": {"status": 0}},
        {"request": {"method": "GET", "url": "https://a.example/"}, "response": {
            "status": 429, "headers": [{"name": ":status", "value": "429"}],
            "content": {"mimeType": "text/html", "encoding": "base64",
                        "text": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, PAGE)}}},
    ]}});
    check(&one("a.har", har.to_string()), 429, "https://a.example/");
}

#[test]
fn warc_records_are_unpacked_unchunked_and_decompressed() {
    let body = gzip(PAGE.as_bytes());
    let mut block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    block.extend(format!("{:x}\r\n", body.len()).bytes());
    block.extend(&body);
    block.extend(b"\r\n0\r\n\r\n");
    let info = b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 4\r\n\r\nabcd\r\n\r\n";
    let mut warc = gzip(info);
    let mut record = format!(
        "WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/x\r\nContent-Length: {}\r\n\r\n",
        block.len()
    )
    .into_bytes();
    record.extend(block);
    record.extend(b"\r\n\r\n");
    warc.extend(gzip(&record));
    check(&one("a.warc.gz", warc), 200, "http://a.example/x");
}

#[test]
fn what_is_not_what_it_is_called_is_told_with_its_place() {
    for (name, text, why) in [
        ("a.har", "{}", "a.har: this is no HAR"),
        ("a.jsonl", "{\"status\":200}\nnope", "a.jsonl: line 2"),
        (
            "a.warc",
            "WARC/1.0\r\n\r\n",
            "a.warc: record 1: it has no Content-Length",
        ),
    ] {
        let problem = answers(name, text.into(), None).expect_err(name);
        assert!(problem.to_string().starts_with(why), "{problem}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, text in "(WARC/1.0|HTTP/1.1 200|\\{)[ -~\\r\\n]{0,200}") {
        for name in ["a.html", "a.har", "a.warc", "a.jsonl"] {
            let _ = answers(name, bytes.clone(), None);
            let _ = answers(name, text.clone().into(), None);
        }
    }
}
