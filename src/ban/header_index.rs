//! Many conditions on headers, answered in one walk over the headers of an answer.
//!
//! Every answer is asked some sixty questions about its headers, and nearly always all answers are no. Asking the map for
//! each name costs sixty hash computations; walking the dozen headers there are and dropping most of them by first letter
//! and length costs almost none.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::condition::{NameMatch, TextMatch};

/// Header and cookie conditions, each with what it stands for.
#[derive(Debug)]
pub(super) struct HeaderIndex<T> {
    /// Bit `length % 32` of entry `first letter % 32`: some indexed name looks like this.
    mask: [u32; 32],
    exact: HashMap<Box<str>, Vec<(TextMatch, T)>, RandomState>,
    prefixes: Vec<(Box<str>, TextMatch, T)>,
    cookies: Vec<(NameMatch, T)>,
}

impl<T: Copy> HeaderIndex<T> {
    pub(super) fn new() -> Self {
        HeaderIndex {
            mask: [0; 32],
            exact: HashMap::default(),
            prefixes: Vec::new(),
            cookies: Vec::new(),
        }
    }

    /// Adds a header condition: `name`, `name: text`, `name*`.
    pub(super) fn add_header(&mut self, spec: &str, meaning: T) {
        let (name, text) = split_header(spec);
        let value = TextMatch::parse(text);
        let first = usize::from(name.as_bytes().first().copied().unwrap_or(0) & 31);
        match name.strip_suffix('*') {
            Some(prefix) => {
                self.mask[first] = u32::MAX;
                self.prefixes.push((prefix.into(), value, meaning));
            }
            None => {
                self.mask[first] |= 1 << (name.len() & 31);
                self.exact
                    .entry(name.into())
                    .or_default()
                    .push((value, meaning));
            }
        }
    }

    /// Adds a condition on the name of a cookie that is set.
    pub(super) fn add_cookie(&mut self, spec: &str, meaning: T) {
        self.cookies.push((NameMatch::parse(spec), meaning));
    }

    /// Calls `found` for every condition that holds; a condition may be reported more than once.
    pub(super) fn each(&self, headers: &HeaderMap, mut found: impl FnMut(T)) {
        for (name, value) in headers {
            self.each_of(name, value, &mut found);
        }
    }

    fn each_of(&self, name: &HeaderName, value: &HeaderValue, found: &mut impl FnMut(T)) {
        let text = name.as_str();
        if *name == SET_COOKIE {
            let cookie = value.as_bytes();
            let end = memchr::memchr(b'=', cookie).unwrap_or(cookie.len());
            let cookie = cookie[..end].trim_ascii();
            for (pattern, meaning) in &self.cookies {
                if pattern.matches(cookie) {
                    found(*meaning);
                }
            }
        }
        let first = text.as_bytes().first().copied().unwrap_or(0) & 31;
        if self.mask[usize::from(first)] & (1 << (text.len() & 31)) == 0 {
            return;
        }
        for (pattern, meaning) in self.exact.get(text).into_iter().flatten() {
            if pattern.matches(value.as_bytes()) {
                found(*meaning);
            }
        }
        for (prefix, pattern, meaning) in &self.prefixes {
            if text.starts_with(&**prefix) && pattern.matches(value.as_bytes()) {
                found(*meaning);
            }
        }
    }
}

/// The two halves of `name: text`; names are compared as HTTP libraries store them, lower case.
pub(super) fn split_header(spec: &str) -> (&str, &str) {
    let (name, text) = spec.split_once(':').unwrap_or((spec, ""));
    (name.trim(), text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_values_prefixes_and_cookies() {
        let mut index = HeaderIndex::new();
        index.add_header("server: ^squid", 1);
        index.add_header("x-kpsdk-*", 2);
        index.add_cookie("*-anubis-auth", 3);
        index.add_cookie("__ddg1*", 4);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("server", "Squid/6.1"),
            ("x-kpsdk-ct", "1"),
            ("set-cookie", "site-anubis-auth=x; Path=/"),
            ("set-cookie", "__ddg1_=y"),
            ("x-other", "squid"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let mut seen = Vec::new();
        index.each(&headers, |meaning| seen.push(meaning));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4]);
    }
}
