//! The request all jobs share, from its parts in curl's terms.
//!
//! Semantics are curl's: `-d` implies POST and a form content type, several `-d` are joined with `&`, `--json` sets two headers
//! and joins without a separator, `-H 'Name:'` removes a header, `-H 'Name;'` sends it empty, `@FILE` reads a file. Different
//! from curl: cookies come as text only, never from a file.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHORIZATION, REFERER, USER_AGENT,
};

use crate::error::{Error, Problem};
use crate::job::{ENCODINGS, RequestSpec};
use crate::secret::Secret;

/// How a piece of the body was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKind {
    /// `-d`: `@FILE` is read without its line breaks.
    Text,
    /// `--data-raw`: `@` means nothing.
    Raw,
    /// `--data-binary`: `@FILE` is read as it is.
    Binary,
    /// `--json`: `@FILE` is read as it is.
    Json,
}

/// One piece of the body. Without `Debug`: bodies carry passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Data {
    /// Which flag gave it.
    pub kind: DataKind,
    /// Its value.
    pub text: String,
}

/// Everything of a request but its URL, as the user said it.
#[derive(Clone, Default)]
pub struct RequestParts {
    /// `-X`.
    pub method: Option<Method>,
    /// `-H`, in order: `Name: value`, `Name:`, `Name;` or `@FILE`.
    pub headers: Vec<String>,
    /// The body's pieces in order.
    pub data: Vec<Data>,
    /// `-A`; empty sends none.
    pub user_agent: Option<String>,
    /// `-e`; empty sends none.
    pub referer: Option<String>,
    /// `-b`: `name=value` pairs.
    pub cookies: Vec<Secret>,
    /// `-u`: `user:password`.
    pub user: Option<Secret>,
    /// `--compressed`: asks for encodings that can be undone.
    pub compressed: bool,
}

impl RequestParts {
    /// Puts the request together. `read` returns the bytes of a file, of standard input for `-`.
    ///
    /// # Errors
    /// A header that HTTP does not allow, `-u` without a password, `-b` without `=`, `--json` beside another kind of body, or
    /// whatever `read` fails with.
    pub fn build(
        &self,
        read: &mut dyn FnMut(&Path) -> Result<Vec<u8>, Error>,
    ) -> Result<RequestSpec, Error> {
        let (body, kind) = self.body(read)?;
        let mut headers = self.standard_headers(kind)?;
        let mut given = HeaderMap::new();
        for line in &self.headers {
            if let Some(file) = line.strip_prefix('@') {
                let path = PathBuf::from(file);
                let text = String::from_utf8(read(&path)?).map_err(|_| {
                    Problem::new("the header file is not UTF-8").at(path.display().to_string())
                })?;
                for (at, line) in text.lines().enumerate() {
                    if !line.trim().is_empty() {
                        let place = format!("{}:{}", path.display(), at + 1);
                        header(line, &place, &mut headers, &mut given)?;
                    }
                }
            } else {
                header(line, "--header", &mut headers, &mut given)?;
            }
        }
        for name in given.keys() {
            headers.remove(name);
        }
        headers.extend(given);
        let method = match (&self.method, kind) {
            (Some(method), _) => method.clone(),
            (None, Some(_)) => Method::POST,
            (None, None) => Method::GET,
        };
        Ok(RequestSpec {
            method,
            headers,
            body,
        })
    }

    /// What is sent unless `-H` says otherwise.
    fn standard_headers(&self, kind: Option<DataKind>) -> Result<HeaderMap, Problem> {
        let mut headers = HeaderMap::new();
        let own = concat!("proxywheel/", env!("CARGO_PKG_VERSION"));
        let agent = self.user_agent.as_deref().unwrap_or(own);
        if !agent.is_empty() {
            headers.insert(USER_AGENT, value(agent, "--user-agent")?);
        }
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if self.compressed {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ENCODINGS));
        }
        match kind {
            None => {}
            Some(DataKind::Json) => {
                let json = HeaderValue::from_static("application/json");
                headers.insert(ACCEPT, json.clone());
                headers.insert(CONTENT_TYPE, json);
            }
            Some(_) => {
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                headers.insert(CONTENT_TYPE, form);
            }
        }
        if let Some(referer) = self.referer.as_deref().filter(|text| !text.is_empty()) {
            headers.insert(REFERER, value(referer, "--referer")?);
        }
        if !self.cookies.is_empty() {
            let mut pairs = Vec::new();
            for cookie in &self.cookies {
                if !cookie.expose().contains('=') {
                    return Err(Problem::new("not a cookie: there is no = in it")
                        .at("--cookie")
                        .hint("write -b 'name=value'; cookie files are not read"));
                }
                pairs.push(cookie.expose().trim_end_matches([';', ' ']));
            }
            headers.insert(COOKIE, secret_value(&pairs.join("; "), "--cookie")?);
        }
        if let Some(user) = &self.user {
            if !user.expose().contains(':') {
                return Err(Problem::new("there is no password")
                    .at("--user")
                    .hint("write -u USER:PASSWORD, or -u USER: for an empty password"));
            }
            let encoded = base64::engine::general_purpose::STANDARD.encode(user.expose());
            headers.insert(
                AUTHORIZATION,
                secret_value(&format!("Basic {encoded}"), "--user")?,
            );
        }
        Ok(headers)
    }

    fn body(
        &self,
        read: &mut dyn FnMut(&Path) -> Result<Vec<u8>, Error>,
    ) -> Result<(Bytes, Option<DataKind>), Error> {
        let Some(first) = self.data.first() else {
            return Ok((Bytes::new(), None));
        };
        let json = first.kind == DataKind::Json;
        if self
            .data
            .iter()
            .any(|data| (data.kind == DataKind::Json) != json)
        {
            return Err(Problem::new("--json cannot be combined with --data")
                .hint("use one of them for the whole body")
                .into());
        }
        let mut body = Vec::new();
        for (at, data) in self.data.iter().enumerate() {
            if at > 0 && !json {
                body.push(b'&');
            }
            match data.text.strip_prefix('@') {
                Some(file) if data.kind != DataKind::Raw => {
                    let mut bytes = read(Path::new(file))?;
                    if data.kind == DataKind::Text {
                        bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
                    }
                    body.append(&mut bytes);
                }
                _ => body.extend_from_slice(data.text.as_bytes()),
            }
        }
        Ok((body.into(), Some(first.kind)))
    }

    /// True when a piece of the request is read from standard input.
    pub fn reads_stdin(&self) -> bool {
        self.headers.iter().any(|line| line == "@-")
            || self
                .data
                .iter()
                .any(|data| data.text == "@-" && data.kind != DataKind::Raw)
    }
}

/// Applies one `-H` line. Complaints name the header but not its value.
fn header(
    line: &str,
    place: &str,
    standard: &mut HeaderMap,
    given: &mut HeaderMap,
) -> Result<(), Problem> {
    let form = "write 'Name: value', 'Name:' to send none, or 'Name;' to send it empty";
    let (name, text) = match line.split_once(':') {
        Some((name, text)) => (name, Some(text.trim()).filter(|text| !text.is_empty())),
        None => match line.trim_end().strip_suffix(';') {
            Some(name) => (name, Some("")),
            None => {
                return Err(Problem::new("a header without a colon")
                    .at(place)
                    .hint(form));
            }
        },
    };
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| {
        Problem::new("a header name that HTTP does not allow")
            .at(place)
            .hint(form)
    })?;
    let Some(text) = text else {
        standard.remove(&name);
        given.remove(&name);
        return Ok(());
    };
    let place = format!("{place} {name}");
    let telling = name == AUTHORIZATION || name == PROXY_AUTHORIZATION || name == COOKIE;
    let value = if telling {
        secret_value(text, &place)?
    } else {
        value(text, &place)?
    };
    given.append(name, value);
    Ok(())
}

fn value(text: &str, place: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        Problem::new("control characters are not allowed in a header").at(place.to_owned())
    })
}

/// A value whose `Debug` shows nothing.
fn secret_value(text: &str, place: &str) -> Result<HeaderValue, Problem> {
    let mut value = value(text, place)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(parts: &RequestParts) -> Result<RequestSpec, Error> {
        parts.build(&mut |path| match path.to_str() {
            Some("body") => Ok(b"a=1\r\nb=2\n".to_vec()),
            Some("-") => Ok(b"from stdin".to_vec()),
            Some("headers") => Ok(b"X-One: 1\n\nAccept:\n".to_vec()),
            _ => Err(Error::io(
                "read",
                path,
                std::io::Error::from(std::io::ErrorKind::NotFound),
            )),
        })
    }

    fn data(pieces: &[(DataKind, &str)]) -> RequestParts {
        RequestParts {
            data: pieces
                .iter()
                .map(|(kind, text)| Data {
                    kind: *kind,
                    text: (*text).into(),
                })
                .collect(),
            ..RequestParts::default()
        }
    }

    #[test]
    fn a_plain_request_is_a_get_that_names_the_program() {
        let spec = build(&RequestParts::default()).unwrap();
        assert_eq!(spec.method, Method::GET);
        assert!(
            spec.headers[USER_AGENT]
                .to_str()
                .unwrap()
                .starts_with("proxywheel/")
        );
        assert_eq!(spec.headers[ACCEPT], "*/*");
        assert_eq!(spec.headers.len(), 2);
        assert!(spec.body.is_empty());
    }

    #[test]
    fn data_is_joined_and_implies_post_as_in_curl() {
        use DataKind::*;
        let spec = build(&data(&[(Text, "x=1"), (Text, "@body"), (Raw, "@body")])).unwrap();
        assert_eq!(spec.body, "x=1&a=1b=2&@body");
        assert_eq!(spec.method, Method::POST);
        assert_eq!(
            spec.headers[CONTENT_TYPE],
            "application/x-www-form-urlencoded"
        );
        assert_eq!(
            build(&data(&[(Binary, "@body")])).unwrap().body,
            "a=1\r\nb=2\n"
        );
        let json = build(&data(&[(Json, "{"), (Json, "}")])).unwrap();
        assert_eq!(json.body, "{}");
        assert_eq!(json.headers[CONTENT_TYPE], "application/json");
        assert_eq!(json.headers[ACCEPT], "application/json");
        assert!(build(&data(&[(Json, "{}"), (Text, "a")])).is_err());
        assert!(data(&[(Text, "@-")]).reads_stdin());
        assert!(!data(&[(Raw, "@-")]).reads_stdin());
    }

    #[test]
    fn every_standard_header_is_replaced_removed_and_emptied_alike() {
        for name in ["User-Agent", "Accept", "Accept-Encoding", "Referer"] {
            for (line, expected) in [
                (format!("{name}:"), None),
                (format!("{name}: "), None),
                (format!("{name};"), Some("")),
                (format!("{}: x", name.to_lowercase()), Some("x")),
            ] {
                for from_file in [false, true] {
                    let parts = RequestParts {
                        headers: vec![if from_file {
                            "@file".into()
                        } else {
                            line.clone()
                        }],
                        referer: Some("http://r.test/".into()),
                        compressed: true,
                        ..RequestParts::default()
                    };
                    let spec = parts.build(&mut |_| Ok(line.clone().into_bytes())).unwrap();
                    let seen = spec.headers.get(name).map(|value| value.to_str().unwrap());
                    assert_eq!(seen, expected, "{line} {from_file}");
                    assert_eq!(spec.headers.len(), 3 + usize::from(expected.is_some()));
                }
            }
        }
    }

    #[test]
    fn headers_replace_remove_and_empty() {
        let parts = RequestParts {
            headers: [
                "User-Agent:",
                "X-Empty;",
                "X-Two: a",
                "x-two: b",
                "@headers",
            ]
            .map(String::from)
            .to_vec(),
            ..RequestParts::default()
        };
        let headers = build(&parts).unwrap().headers;
        assert!(!headers.contains_key(USER_AGENT) && !headers.contains_key(ACCEPT));
        assert_eq!(headers["x-empty"], "");
        assert_eq!(headers.get_all("x-two").iter().count(), 2);
        assert_eq!(headers["x-one"], "1");
    }

    #[test]
    fn credentials_are_sent_and_never_shown() {
        let parts = RequestParts {
            user: Some(Secret::new("alice:s3cret")),
            cookies: vec![Secret::new("a=s3cret; "), Secret::new("b=2")],
            headers: vec!["Proxy-Authorization: s3cret".into()],
            ..RequestParts::default()
        };
        let spec = build(&parts).unwrap();
        assert_eq!(spec.headers[AUTHORIZATION], "Basic YWxpY2U6czNjcmV0");
        assert_eq!(spec.headers[COOKIE], "a=s3cret; b=2");
        let shown = format!("{spec:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("YWxpY2U6"),
            "{shown}"
        );
    }

    #[test]
    fn complaints_name_the_place_and_no_value() {
        let with = |line: &str| RequestParts {
            headers: vec![line.into()],
            ..RequestParts::default()
        };
        for (parts, what) in [
            (with("s3cret"), "--header: a header without a colon"),
            (with("a b: s3cret"), "name that HTTP does not allow"),
            (with("X-A: s3\u{1}cret"), "--header x-a: control characters"),
            (with("@none"), "cannot read none"),
            (
                RequestParts {
                    user: Some(Secret::new("s3cret")),
                    ..RequestParts::default()
                },
                "--user: there is no password",
            ),
            (
                RequestParts {
                    cookies: vec![Secret::new("s3cret")],
                    ..RequestParts::default()
                },
                "--cookie: not a cookie",
            ),
        ] {
            let error = build(&parts).expect_err(what);
            let shown = format!("{error} {:?}", error.hint());
            assert!(shown.contains(what) && !shown.contains("s3cret"), "{shown}");
        }
    }
}
