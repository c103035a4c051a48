//! Whole lists: bytes in, proxies and a report out.
//!
//! One source is read by [`ProxyList::read`], in whatever format its content shows (lines, CSV, JSON, JSON lines); several are
//! put together by [`merge`]. Entries with the same identity collapse into the first. What is not a proxy is reported and
//! skipped; [`ProxyList::checked`] turns that into an error for those who want it, and an empty list always is one.
//!
//! Reading files and fetching lists happens elsewhere.

use std::collections::HashSet;
use std::sync::Arc;

use super::entry::Style;
use super::reject::{Flaw, Reason, Reject};
use super::{PriceRule, Proxy, ProxyId, Scheme, WORKING, header, json, parse, price_by, table};
use crate::error::Problem;
use crate::text;

pub use super::parse::Options;

/// Longest line, CSV row or JSON string read, in bytes. Real entries have less than 300; more is a file of another kind.
pub const MAX_LINE: usize = 8192;
/// Most proxies taken from one source: about 2 GB. Templates make it possible to ask for more in a few lines.
pub const MAX_PROXIES: usize = 5_000_000;
/// Rejects kept for the report; further ones are only counted.
const KEPT_REJECTS: usize = 1000;
/// Rejects quoted in an error.
const SHOWN_REJECTS: usize = 5;

/// The proxies of one or more sources, in the order of the sources, each identity once.
#[derive(Debug, Clone, Default)]
pub struct ProxyList {
    /// The pool's members.
    pub proxies: Vec<Arc<Proxy>>,
    /// What was read and what was not.
    pub report: Report,
    sources: Vec<Arc<str>>,
    /// The header is to blame that a source gave no proxy at all.
    complaint: Option<Problem>,
}

/// Counts of a list, for the summary, and what was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries read: lines, CSV rows, elements of a JSON document. Blank lines, comments and headers do not count.
    pub lines: u64,
    /// Proxies they gave; more than `lines` when templates expand.
    pub proxies: u64,
    /// Proxies left out because the list had them already.
    pub duplicates: u64,
    /// Rows of `check` that were left out because their proxy did not work.
    pub left_out: u64,
    /// Entries that are not proxies.
    pub rejected: u64,
    /// The first 1000 of them.
    pub rejects: Vec<Reject>,
}

impl ProxyList {
    /// Reads one source. `name` is what the user calls it, and is only used in complaints. Never fails: see
    /// [`ProxyList::checked`].
    pub fn read(name: &str, bytes: &[u8], options: &Options<'_>) -> Self {
        let mut sink = Sink::new(name, options);
        // Windows editors save UTF-16; its byte order mark cannot start a UTF-8 list.
        let decoded;
        let bytes = if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            decoded = text::decode(None, bytes);
            decoded.as_bytes()
        } else {
            bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
        };
        sink.document(bytes);
        let mut list = sink.list;
        if list.proxies.is_empty() && !json::is_document(bytes) {
            list.complaint = header::complaint(bytes, name, &list.report.rejects);
        }
        list
    }

    /// A list of proxies given one by one, as by `-x`.
    pub fn of(name: &str, proxies: impl IntoIterator<Item = Proxy>) -> Self {
        let options = Options {
            default_scheme: Scheme::Http,
            env: &|_| None,
            remote: false,
            presets: None,
            only_working: false,
        };
        let mut sink = Sink::new(name, &options);
        for proxy in proxies {
            sink.list.report.lines += 1;
            sink.take(proxy);
        }
        sink.list
    }

    /// Gives a price to the proxies whose entries have none, see [`price_by`].
    pub fn set_prices(&mut self, rules: &[PriceRule]) {
        if rules.is_empty() {
            return;
        }
        for proxy in &mut self.proxies {
            let price = price_by(rules, proxy.labels());
            if price != proxy.labels().cost {
                Arc::make_mut(proxy).labels.cost = price;
            }
        }
    }

    /// The list, if it can be used.
    ///
    /// # Errors
    /// It has no proxy, or `strict` is set and an entry was rejected.
    pub fn checked(self, strict: bool) -> Result<Self, Problem> {
        let Report {
            left_out,
            rejected,
            ref rejects,
            ..
        } = self.report;
        let place = self.sources.join(", ");
        let shown = || {
            let mut text = String::new();
            for reject in rejects.iter().take(SHOWN_REJECTS) {
                text.push_str(&format!("\n  {reject}"));
            }
            let more = rejected.saturating_sub(SHOWN_REJECTS as u64);
            if more > 0 {
                text.push_str(&format!("\n  and {more} more"));
            }
            text
        };
        let form = "write one proxy a line: host:port, host:port:user:password or scheme://user:password@host:port";
        if self.proxies.is_empty() && left_out > 0 && rejected == 0 {
            let what = format!("{}, and there is nothing else", unusable(left_out));
            let hint = "`proxywheel check` with this file as its list asks all of them again";
            return Err(Problem::new(what).at(place).hint(hint));
        }
        if self.proxies.is_empty() && rejected == 0 {
            let what = "the proxy list is empty";
            return Err(Problem::new(what).at(place).hint(form));
        }
        if let (Some(complaint), true) = (&self.complaint, self.proxies.is_empty()) {
            return Err(complaint.clone());
        }
        if self.proxies.is_empty() {
            let what = format!("no entry of the proxy list is a proxy:{}", shown());
            return Err(Problem::new(what).at(place).hint(form));
        }
        if strict && rejected > 0 {
            let entries = if rejected == 1 { "entry" } else { "entries" };
            let what = format!(
                "{rejected} {entries} of the proxy list rejected:{}",
                shown()
            );
            let hint = "correct them, or leave --strict out to skip them";
            return Err(Problem::new(what).at(place).hint(hint));
        }
        Ok(self)
    }

    /// True when the only member is `direct`: every request would come from the client's own address.
    pub fn only_direct(&self) -> bool {
        !self.proxies.is_empty() && self.proxies.iter().all(|proxy| proxy.is_direct())
    }
}

/// `3 of check's rows are left out: …`
pub fn unusable(left_out: u64) -> String {
    let rows = if left_out == 1 { "row" } else { "rows" };
    let are = if left_out == 1 { "is" } else { "are" };
    let words = WORKING.join(" or ");
    format!("{left_out} {rows} of check {are} left out: the verdict is not {words}")
}

/// Puts sources together in their order; an identity that several have stays with the first.
pub fn merge(parts: impl IntoIterator<Item = ProxyList>) -> ProxyList {
    let mut parts = parts.into_iter();
    let Some(mut merged) = parts.next() else {
        return ProxyList::default();
    };
    let mut seen: Option<HashSet<ProxyId>> = None;
    for part in parts {
        let seen = seen.get_or_insert_with(|| merged.proxies.iter().map(|p| p.id()).collect());
        let before = merged.proxies.len();
        let count = part.proxies.len();
        merged
            .proxies
            .extend(part.proxies.into_iter().filter(|p| seen.insert(p.id())));
        let added = merged.proxies.len() - before;
        let report = &mut merged.report;
        report.lines += part.report.lines;
        report.proxies += added as u64;
        report.duplicates += part.report.duplicates + (count - added) as u64;
        report.left_out += part.report.left_out;
        report.rejected += part.report.rejected;
        let room = KEPT_REJECTS.saturating_sub(report.rejects.len());
        report
            .rejects
            .extend(part.report.rejects.into_iter().take(room));
        merged.sources.extend(part.sources);
        merged.complaint = merged.complaint.or(part.complaint);
    }
    merged
}

/// What a re-read list changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Diff {
    /// Identities in both.
    pub kept: usize,
    /// Identities only in the new list.
    pub added: usize,
    /// Identities only in the old list.
    pub removed: usize,
}

/// Compares two lists by identity; labels do not count.
pub fn diff(old: &ProxyList, new: &ProxyList) -> Diff {
    let ids: HashSet<ProxyId> = old.proxies.iter().map(|proxy| proxy.id()).collect();
    let kept = new.proxies.iter().filter(|p| ids.contains(&p.id())).count();
    Diff {
        kept,
        added: new.proxies.len() - kept,
        removed: ids.len() - kept,
    }
}

/// Collects what the formats read from one source.
pub(super) struct Sink<'a> {
    pub(super) options: &'a Options<'a>,
    list: ProxyList,
    seen: HashSet<ProxyId>,
    name: Arc<str>,
    /// A proxy had to be left out because of [`MAX_PROXIES`].
    overflowed: bool,
}

impl<'a> Sink<'a> {
    fn new(name: &str, options: &'a Options<'a>) -> Self {
        let name: Arc<str> = name.into();
        Sink {
            options,
            list: ProxyList {
                sources: vec![name.clone()],
                ..ProxyList::default()
            },
            seen: HashSet::new(),
            name,
            overflowed: false,
        }
    }

    /// Takes one proxy, unless the list has it already.
    pub(super) fn take(&mut self, proxy: Proxy) {
        if self.list.proxies.len() == MAX_PROXIES {
            self.overflowed = true;
        } else if self.seen.insert(proxy.id()) {
            self.list.proxies.push(Arc::new(proxy));
            self.list.report.proxies += 1;
        } else {
            self.list.report.duplicates += 1;
        }
    }

    /// Counts a row of `check` whose proxy does not work.
    pub(super) fn leave_out(&mut self) {
        self.list.report.left_out += 1;
    }

    /// Counts one entry at this place, all of whose proxies have been taken, and its rejection if it is one.
    pub(super) fn settle(&mut self, line: u64, column: u64, result: Result<(), Reason>) {
        let report = &mut self.list.report;
        report.lines += 1;
        let overflowed = std::mem::take(&mut self.overflowed);
        let reason = match result {
            Err(reason) => reason,
            Ok(()) if overflowed => Reason::TooMany,
            Ok(()) => return,
        };
        report.rejected += 1;
        if report.rejects.len() < KEPT_REJECTS {
            report.rejects.push(Reject {
                file: self.name.clone(),
                line,
                column,
                reason,
            });
        }
    }

    /// Tells the format by its start.
    fn document(&mut self, bytes: &[u8]) {
        if json::is_document(bytes) {
            json::read(bytes, self);
        } else if let Some(header) = header::header(bytes) {
            table::read(bytes, &header, self);
        } else {
            let lines = bytes.split(|&b| b == b'\n');
            for (number, line) in (1..).zip(lines) {
                self.line(line, number);
            }
        }
    }

    /// One line of text or of JSON lines.
    fn line(&mut self, bytes: &[u8], number: u64) {
        if json::is_line(bytes) {
            let start = bytes.len() - bytes.trim_ascii_start().len();
            let value = bytes.trim_ascii();
            let value = value.strip_suffix(b",").unwrap_or(value);
            let result = json::element(value, self);
            return self.settle(number, start as u64 + 1, result);
        }
        if bytes.len() > MAX_LINE {
            return self.settle(number, MAX_LINE as u64 + 1, Err(Reason::TooLong));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => match self.text(text) {
                Ok(true) => self.settle(number, 1, Ok(())),
                Ok(false) => {}
                Err(flaw) => self.settle(number, flaw.column(text), Err(flaw.reason)),
            },
            Err(error) => {
                let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let column = valid.chars().count() as u64 + 1;
                self.settle(number, column, Err(Reason::NotUtf8));
            }
        }
    }

    /// Takes the proxies of one line of the text grammar; false for a blank line or a comment.
    pub(super) fn text(&mut self, text: &str) -> Result<bool, Flaw> {
        let options = self.options;
        parse::take(text, Style::List, options, &mut |proxy| self.take(proxy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "PROXY_PASSWORD").then(|| "h:un@ter".to_owned())
    }

    const LOCAL: Options<'_> = Options {
        default_scheme: Scheme::Http,
        env: &env,
        remote: false,
        presets: None,
        only_working: false,
    };

    fn read(text: &str) -> ProxyList {
        ProxyList::read("proxies.txt", text.as_bytes(), &LOCAL)
    }

    fn rejects(list: &ProxyList) -> Vec<(u64, u64, Reason)> {
        let rejects = list.report.rejects.iter();
        rejects.map(|r| (r.line, r.column, r.reason)).collect()
    }

    #[test]
    fn the_example_list_is_read_whole() {
        let list = read(include_str!("../../proxies.example.txt"));
        assert_eq!(rejects(&list), []);
        assert_eq!((list.report.lines, list.report.proxies), (38, 43));
        assert_eq!(list.report.duplicates, 0);
        let gate = list.proxies.iter().find(|p| p.port() == 8001).unwrap();
        assert_eq!(gate.credentials().unwrap().password.expose(), "h:un@ter");
    }

    #[test]
    fn bom_crlf_comments_and_odd_lines_are_met() {
        let text = "\u{feff}# list\r\n1.2.3.4:80\r\n\r\n\u{feff}1.2.3.5:80 # us\r\n\t1.2.3.6:80/ \r\n1.2.3.4:80";
        let list = read(text);
        assert_eq!(rejects(&list), []);
        assert_eq!(
            (
                list.report.lines,
                list.report.proxies,
                list.report.duplicates
            ),
            (4, 3, 1)
        );
        let utf16: Vec<u8> = "\u{feff}1.2.3.4:80\r\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(ProxyList::read("x", &utf16, &LOCAL).report.proxies, 1);
    }

    #[test]
    fn a_bad_line_costs_one_line_and_is_named_by_its_place() {
        let mut bytes = b"1.2.3.4:80\ncaf\xe9.example:80\nnoport.example\n".to_vec();
        bytes.extend(vec![b'x'; 1_000_000]);
        bytes.extend(b"\n1.2.3.5:80");
        let list = ProxyList::read("proxies.txt", &bytes, &LOCAL);
        assert_eq!(
            rejects(&list),
            [
                (2, 4, Reason::NotUtf8),
                (3, 15, Reason::NoPort),
                (4, 8193, Reason::TooLong)
            ]
        );
        assert_eq!((list.report.lines, list.report.proxies), (5, 2));
        let problem = list.checked(true).unwrap_err().to_string();
        assert!(
            problem.starts_with("proxies.txt: 3 entries of the proxy list rejected:"),
            "{problem}"
        );
        assert!(
            problem.contains("\n  proxies.txt:3:15: no port, expected host:port"),
            "{problem}"
        );
    }

    #[test]
    fn the_report_is_bounded_and_the_count_is_not() {
        let list = read(&"nonsense\n".repeat(5000));
        assert_eq!(
            (list.report.rejected, list.report.rejects.len()),
            (5000, 1000)
        );
    }

    #[test]
    fn a_broken_first_line_of_json_costs_one_entry() {
        let list = read("{\"host\":\"1.2.3.4\",\"port\":80\n{\"host\":\"1.2.3.5\",\"port\":80}\n");
        assert_eq!(rejects(&list), [(1, 1, Reason::BadJson)]);
        assert_eq!(list.report.proxies, 1);
        // A document that was cut off is still one.
        let cut = read("{\"data\": [\n {\"host\":\"1.2.3.4\",\"port\":80},\n {\"host\":\"1.2");
        assert_eq!(rejects(&cut), [(3, 2, Reason::BadJson)]);
        assert_eq!(cut.report.proxies, 1);
    }

    #[test]
    fn an_empty_list_and_a_list_without_a_proxy_are_different_problems() {
        let problem = |text| read(text).checked(false).unwrap_err();
        assert_eq!(
            problem("# nothing\n\n").to_string(),
            "proxies.txt: the proxy list is empty"
        );
        let html = problem("<!doctype html>\n<p>log in</p>\n");
        assert!(html.what.contains("proxies.txt:1:1: HTML"), "{}", html.what);
        assert!(html.hint.is_some());
        assert!(read("direct\n").checked(true).unwrap().only_direct());
        assert!(!read("direct\n1.2.3.4:80").only_direct());
    }

    #[test]
    fn a_list_from_the_network_gets_no_secrets_and_no_direct_connection() {
        let options = Options {
            remote: true,
            ..LOCAL
        };
        let text = "http://${PROXY_PASSWORD}:x@evil.example:80\ndirect\n1.2.3.4:80";
        let list = ProxyList::read("https://list.example", text.as_bytes(), &options);
        assert_eq!(
            rejects(&list),
            [(1, 8, Reason::RemoteVariable), (2, 1, Reason::RemoteDirect)]
        );
        assert_eq!(list.report.proxies, 1);
    }

    #[test]
    fn merging_collapses_across_sources_and_keeps_the_first() {
        let a = read("1.2.3.4:80 tag=a\n1.2.3.5:80");
        let b = read("http://1.2.3.4:80 tag=b\nbad\n1.2.3.6:80\n1.2.3.6:80");
        let old = merge([a.clone(), b]);
        let report = &old.report;
        assert_eq!(
            (
                report.lines,
                report.proxies,
                report.duplicates,
                report.rejected
            ),
            (6, 3, 2, 1)
        );
        assert_eq!(&*old.proxies[0].labels().tags[0], "a");
        assert_eq!(
            diff(&old, &a),
            Diff {
                kept: 2,
                added: 0,
                removed: 1
            }
        );
        assert_eq!(diff(&a, &old).added, 1);
    }

    #[test]
    fn no_complaint_carries_a_credential() {
        let canary = "hunter2canary";
        let forms = [
            "CANARY:CANARY@host",
            "http://CANARY:CANARY@ho st:80",
            "1.2.3.4:80:CANARY",
            "1.2.3.4:80:CANARY:CA NARY=CANARY",
            "1.2.3.4:80:u:p CANARY",
            "1.2.3.4:80:u:p CANARY=1",
            "1.2.3.4:80:u:p country=CANARY",
            "CANARY://u:p@h:1",
            "u:${CANARY}@h.example:1",
            "u:${CANARY@h.example:1",
            "u:{session:CANARY}@h.example:1 sessions=2",
            "1.2.3.4:CANARY",
            "CANARY",
            "{\"host\": \"CANARY\", \"port\": \"CANARY\"}",
            "{\"CANARY\": \"CANARY",
            "u:CANARY%ff@1.2.3.4:80",
            "http://CANARY%3A:x@1.2.3.4:80",
        ];
        for form in forms {
            let list = read(&form.replace("CANARY", canary));
            assert_eq!(list.report.rejected, 1, "{form}");
            let debug = format!("{list:?}");
            let problem = list.checked(true).unwrap_err();
            assert!(
                !format!("{problem} {problem:?} {debug}").contains(canary),
                "{form}"
            );
            let url = form.replace("CANARY", canary);
            if let Err(problem) = parse::parse_proxy_url(&url, Scheme::Http, &env) {
                assert!(!format!("{problem:?}").contains(canary), "{form}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes: Vec<u8>) {
            let _ = ProxyList::read("x", &bytes, &LOCAL);
        }

        #[test]
        fn never_panics_on_text_made_of_the_grammar(
            text in "([0-9.:@\\[\\]{}\"$,#|%=/\\\\ \na-c]|http://|socks5 |\\{session|\\$\\{|results|proxy,port\n|::|sessions=2|1\\.2\\.3\\.4:80){0,40}"
        ) {
            let _ = ProxyList::read("x", text.as_bytes(), &LOCAL);
            let _ = parse::parse_proxy_url(&text, Scheme::Socks5, &env);
        }
    }
}
