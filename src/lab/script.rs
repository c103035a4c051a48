//! Sites that a test writes itself: what a host shows in place of the lab's own pages.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::answer::Answer;
use super::origin::Request;

/// A request as a script sees it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// Number of the proxy it came through.
    pub proxy: Option<u32>,
    /// The address it came from.
    pub exit: IpAddr,
}

impl Asked {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let header =
            |(name, value): &(Cow<'_, str>, Cow<'_, str>)| (name.to_string(), value.to_string());
        Asked {
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            headers: request.headers.iter().map(header).collect(),
            proxy: request.via.proxy,
            exit: request.via.exit,
        }
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// The value of a parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(each, _)| each == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// What a script answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Status.
    pub status: u16,
    /// Headers, `Content-Type` among them.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Shown {
    /// A page of HTML.
    pub fn html(status: u16, body: impl Into<String>) -> Self {
        Shown {
            status,
            headers: vec![(
                "Content-Type".to_owned(),
                "text/html; charset=utf-8".to_owned(),
            )],
            body: body.into(),
        }
    }

    /// With one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn answer(self) -> Answer {
        let mut answer = Answer::html(self.status, self.body);
        answer.headers = self
            .headers
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        answer
    }
}

/// Decides what a host shows; `None` leaves it to the lab's own pages. It is asked after the host's plan, and must not block.
#[derive(Clone)]
pub struct Script(Arc<Site>);

type Site = dyn Fn(&Asked) -> Option<Shown> + Send + Sync;

impl Script {
    /// A site of this function.
    pub fn new(site: impl Fn(&Asked) -> Option<Shown> + Send + Sync + 'static) -> Self {
        Script(Arc::new(site))
    }

    pub(super) fn ask(&self, asked: &Asked) -> Option<Shown> {
        (self.0)(asked)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}
