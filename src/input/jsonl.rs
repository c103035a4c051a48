//! JSONL input: one object a line, with everything a request can differ in.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::job::{Job, LabelFilter, RequestSpec};

use super::invalid;

/// Bytes of a JSONL line that are looked at: room for a request body, and still a bound on a file without line ends.
pub(super) const MAX_LINE: usize = 1024 * 1024;

/// One line. Unknown keys are refused: a misspelt `metod` must not be fetched with GET. `null` is as good as no key, as exports of
/// tables write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    method: Option<String>,
    headers: Option<Map<String, Value>>,
    body: Option<String>,
    json: Option<Value>,
    tag: Option<Value>,
    session: Option<Value>,
    proxy: Option<Value>,
}

/// The job on one line; `None` for a blank line.
///
/// A row with a body and no method is sent with POST where the default is GET, as `curl -d` does.
pub(super) fn job(
    line: &[u8],
    too_long: bool,
    seq: u64,
    request: &Arc<RequestSpec>,
) -> Option<Job> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let refuse = |why: String| {
        // Show the URL rather than the row where there is one.
        let url = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|row| row.get("url")?.as_str().map(str::to_owned));
        let shown = url.as_deref().unwrap_or_else(|| without_secrets(&text));
        Some(invalid(seq, shown, &text, why, request))
    };
    if too_long {
        return refuse("line longer than 1 MiB".to_owned());
    }
    let Ok(valid) = std::str::from_utf8(line) else {
        return refuse("the line is not valid UTF-8".to_owned());
    };
    // An array would be taken for the values in order.
    if line[0] != b'{' {
        return refuse("invalid row: not a JSON object".to_owned());
    }
    let row: Row<'_> = match serde_json::from_str(valid) {
        Ok(row) => row,
        Err(error) => return refuse(format!("invalid row: {}", complaint(&error))),
    };
    match from_row(row, seq, request) {
        Ok(job) => Some(job),
        Err(why) => refuse(format!("invalid row: {why}")),
    }
}

/// A row that cannot be read, up to what may hold a password or token.
fn without_secrets(row: &str) -> &str {
    let places = ["\"headers\"", "\"body\"", "\"json\""];
    let end = places.iter().filter_map(|key| row.find(key)).min();
    end.map_or(row, |end| &row[..end])
}

/// serde_json counts lines within the row, which would be read as lines of the file, and quotes strings, which may be secret.
fn complaint(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(what, _)| what);
    let quoted = what.split_once(" string \"");
    let quoted = quoted.and_then(|(before, rest)| Some((before, rest.rsplit_once('"')?.1)));
    match quoted {
        Some((before, after)) => format!("{before} string{after} at column {}", error.column()),
        None => format!("{what} at column {}", error.column()),
    }
}

fn from_row(row: Row<'_>, seq: u64, default: &Arc<RequestSpec>) -> Result<Job, String> {
    let request = if row.method.is_none()
        && row.headers.is_none()
        && row.body.is_none()
        && row.json.is_none()
    {
        default.clone()
    } else {
        Arc::new(request(
            default,
            row.method,
            row.headers.as_ref(),
            row.body,
            row.json,
        )?)
    };
    let mut job = Job::new(seq, &row.url, request);
    job.tag = match row.tag {
        None => None,
        Some(Value::Object(map)) => Some(Box::new(map)),
        Some(other) => Some(Box::new(Map::from_iter([("tag".to_owned(), other)]))),
    };
    job.session = match row.session {
        None => None,
        Some(Value::String(name)) => Some(name.into()),
        Some(Value::Number(number)) => Some(number.to_string().into()),
        Some(_) => return Err("session is not a string".to_owned()),
    };
    job.filter = row.proxy.map(filter).transpose()?.map(Arc::new);
    job.name_by_row(row.headers.as_ref());
    Ok(job)
}

fn request(
    default: &RequestSpec,
    method: Option<String>,
    headers: Option<&Map<String, Value>>,
    body: Option<String>,
    json: Option<Value>,
) -> Result<RequestSpec, String> {
    let mut request = default.clone();
    if let Some(headers) = headers {
        for (name, value) in headers {
            set_header(&mut request.headers, name, value)?;
        }
    }
    let has_body = body.is_some() || json.is_some();
    match (body, json) {
        (Some(_), Some(_)) => return Err("body and json exclude each other".to_owned()),
        (Some(body), None) => request.body = Bytes::from(body),
        (None, Some(json)) => {
            request.body = Bytes::from(json.to_string());
            request
                .headers
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static("application/json"));
        }
        (None, None) => {}
    }
    match method {
        Some(method) => {
            request.method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
                .map_err(|_| format!("method {method:?} is not a method"))?;
        }
        None if has_body && request.method == Method::GET => request.method = Method::POST,
        None => {}
    }
    Ok(request)
}

/// Replaces the default header of that name; `null` removes it.
fn set_header(headers: &mut HeaderMap, name: &str, value: &Value) -> Result<(), String> {
    let key = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is not a header name"))?;
    headers.remove(&key);
    let values = match value {
        Value::Null => return Ok(()),
        Value::Array(values) => values.as_slice(),
        one => std::slice::from_ref(one),
    };
    for value in values {
        let value = value
            .as_str()
            .and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok())
            .ok_or_else(|| format!("header {name} is not a string that can be sent"))?;
        headers.append(&key, value);
    }
    Ok(())
}

/// Reads `"country=de tag=a tag=b"` or `{"country":"de","tag":["a","b"]}`.
fn filter(value: Value) -> Result<LabelFilter, String> {
    let mut filter = LabelFilter::default();
    let mut set = |key: &str, value: &str| match key {
        "country" if value.len() == 2 && value.bytes().all(|b| b.is_ascii_alphabetic()) => {
            filter.country = Some(value.to_ascii_lowercase().into());
            Ok(())
        }
        "country" => Err(format!("proxy: country {value:?} is not two letters")),
        "tag" | "tags" => {
            filter.tags.push(value.into());
            Ok(())
        }
        _ => Err(format!("proxy: unknown label {key:?}, use country and tag")),
    };
    match value {
        Value::String(text) => {
            for label in text.split_ascii_whitespace() {
                let (key, value) = label
                    .split_once('=')
                    .ok_or_else(|| format!("proxy: {label:?} is not name=value"))?;
                set(key, value)?;
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let values = match value {
                    Value::Array(values) => values,
                    one => vec![one],
                };
                for value in values {
                    let text = value
                        .as_str()
                        .ok_or_else(|| format!("proxy: {key} is not a string"))?;
                    set(&key, text)?;
                }
            }
        }
        _ => return Err("proxy is neither a string nor an object".to_owned()),
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;

    fn read(line: &str) -> Job {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static("x"));
        let request = RequestSpec {
            headers,
            ..RequestSpec::default()
        };
        job(line.as_bytes(), false, 3, &Arc::new(request)).expect("not blank")
    }

    #[test]
    fn every_key_reaches_the_job() {
        let job = read(
            r#"{"url":"http://a/","json":{"q":1},"headers":{"X-A":["1","2"],"user-agent":null},"tag":"k","session":7,"proxy":"country=DE tag=a"}"#,
        );
        assert_eq!(job.request.method, Method::POST);
        assert_eq!(&job.request.body[..], br#"{"q":1}"#);
        assert_eq!(job.request.headers[CONTENT_TYPE], "application/json");
        assert_eq!(job.request.headers.get_all("x-a").iter().count(), 2);
        assert!(!job.request.headers.contains_key("user-agent"));
        assert_eq!(job.tag.as_ref().unwrap()["tag"], "k");
        assert_eq!(job.session.as_deref(), Some("7"));
        let filter = job.filter.as_ref().unwrap();
        assert_eq!(filter.country.as_deref(), Some("de"));
        assert_eq!(filter.tags, ["a".into()]);
        assert_eq!(
            job.page,
            JobId::of(&Method::POST, "http://a/", br#"{"q":1}"#),
            "the page is of the row's own method and body"
        );
    }

    #[test]
    fn null_is_as_good_as_no_key() {
        let job = read(
            r#"{"url":"http://a/","method":null,"headers":null,"body":null,"json":null,"tag":null,"session":null,"proxy":null}"#,
        );
        let plain = read(r#"{"url":"http://a/"}"#);
        assert_eq!(format!("{job:?}"), format!("{plain:?}"));
    }

    #[test]
    fn rows_that_cannot_be_meant_say_why_and_show_their_url() {
        for (line, why) in [
            (r#"{"url":"http://a/","metod":"POST"}"#, "metod"),
            (r#"{"url":"http://a/","body":"x","json":1}"#, "exclude"),
            (r#"{"url":"http://a/","headers":{"a b":"1"}}"#, "a b"),
            (r#"{"url":"http://a/","headers":{"a":1}}"#, "header a"),
            (r#"{"url":"http://a/","proxy":"city=x"}"#, "city"),
            (r#"{"url":"http://a/","proxy":{"country":"deu"}}"#, "deu"),
        ] {
            let job = read(line);
            let error = job.target.unwrap_err();
            assert!(error.0.contains(why), "{line}: {error}");
            assert_eq!(&*job.input, "http://a/");
        }
        for (line, why) in [
            ("{", "column 1"),
            (r#"["http://a/"]"#, "not a JSON object"),
            (r#"{"tag":1}"#, "url"),
            (&format!("{{\"tag\":{}", "[".repeat(5000)), "recursion"),
        ] {
            let job = read(line);
            let error = job.target.unwrap_err();
            assert!(error.0.contains(why), "{line:.20}: {error}");
        }
    }

    #[test]
    fn what_is_secret_in_a_broken_row_is_shown_nowhere() {
        for line in [
            r#"{"url":"http://a/","headers":"Authorization: s3cret \"x"}"#,
            r#"{"url":"http://a/","headers":{"Authorization":"s3cret"},}"#,
            r#"{"tag":1,"body":"s3cret"}"#,
            r#"{"url":5,"json":{"token":"s3cret"}}"#,
        ] {
            let job = read(line);
            let shown = format!("{} {}", job.input, job.target.unwrap_err());
            assert!(!shown.contains("s3cret"), "{shown}");
            assert!(shown.contains(" at column "), "{shown}");
        }
    }

    #[test]
    fn headers_may_have_any_text_that_a_flag_may_have() {
        let job = read("{\"url\":\"http://a/\",\"headers\":{\"x-name\":\"J\u{f6}rg\"}}");
        assert_eq!(
            job.request.headers["x-name"].as_bytes(),
            "J\u{f6}rg".as_bytes()
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_job_or_blank(bytes: Vec<u8>) {
            let blank = bytes.trim_ascii().is_empty();
            proptest::prop_assert_eq!(job(&bytes, false, 0, &Arc::default()).is_none(), blank);
        }
    }
}
