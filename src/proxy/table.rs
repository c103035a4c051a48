//! Lists as tables: CSV with a header, and the rows that JSON objects are read as.
//!
//! Providers name the same columns differently; [`Column::named`] knows the names. A list is CSV when its first line names
//! the columns of an address; rows without a header are lines, see [`super::parse`]. Values are taken literally (no percent-decoding,
//! unless the cell holds a URL), `${NAME}` and placeholders work as in lines. `https` in a scheme column means TLS to the
//! proxy, as everywhere here.

use std::borrow::Cow;
use std::io::Cursor;

use super::address::{self, Address};
use super::column::{COLUMNS, Column, LABELS};
use super::entry::{self, Entry, Field, Style};
use super::header::Header;
use super::labels::Marks;
use super::list::{MAX_LINE, Sink};
use super::reject::{Flaw, Reason};
use super::{Scheme, WORKING, country, template};

/// The cells of one row by column; empty cells are absent.
#[derive(Debug, Default)]
pub(super) struct Row<'a> {
    cells: [Option<Cell<'a>>; COLUMNS],
}

/// A cell and its offset in the text that complaints point into.
#[derive(Debug)]
struct Cell<'a> {
    text: Cow<'a, str>,
    at: usize,
}

impl<'a> Row<'a> {
    /// Fills a column; the first non-empty cell of a column wins.
    pub(super) fn put(&mut self, column: Column, text: impl Into<Cow<'a, str>>, at: usize) {
        let text = text.into();
        let cell = &mut self.cells[column.slot()];
        if cell.is_none() && !text.trim().is_empty() {
            *cell = Some(Cell { text, at });
        }
    }

    fn cell(&self, column: Column) -> Option<(&str, usize)> {
        let cell = self.cells[column.slot()].as_ref()?;
        Some((&*cell.text, cell.at))
    }

    fn trimmed(&self, column: Column) -> Option<(&str, usize)> {
        let (text, at) = self.cell(column)?;
        Some((text.trim(), at + text.len() - text.trim_start().len()))
    }

    /// Hands the proxies of the row to the sink.
    pub(super) fn take(&self, sink: &mut Sink<'_>) -> Result<(), Flaw> {
        let options = sink.options;
        let verdict = self.trimmed(Column::Verdict).map(|(verdict, _)| verdict);
        if options.only_working && verdict.is_some_and(|verdict| !WORKING.contains(&verdict)) {
            sink.leave_out();
            return Ok(());
        }
        let scheme = match self.trimmed(Column::Scheme) {
            Some((name, at)) => Some(scheme(name, at)?),
            None => None,
        };
        let (mut entry, mut template) = self.entry(scheme, options.default_scheme)?;
        if entry.credentials.is_none()
            && entry.address.is_some()
            && let Some((user, password)) = self.credentials()
        {
            template.push_str(&format!(":{}:{}", user.text, password.text));
            entry.credentials = Some((user, password));
        }
        let mut marks = Marks::default();
        for key in LABELS {
            if let Some((value, at)) = self.trimmed(Column::Label(key)) {
                marks.set(key, value, at)?;
            }
        }
        if let Some((name, _)) = self.trimmed(Column::Country) {
            // Columns describe; a country that is not known is no reason to lose the proxy.
            if let Some(code) = country::code(name) {
                marks.claim_country(code);
            }
        }
        template::expand(&entry, marks, &template, options, &mut |p| sink.take(p))
    }

    /// User name and password, of their own columns or of the one that has both.
    fn credentials(&self) -> Option<(Field<'_>, Field<'_>)> {
        let field = |(text, at)| Field {
            text,
            at,
            encoded: false,
        };
        let (user, password) = (self.cell(Column::User), self.cell(Column::Password));
        if user.is_some() || password.is_some() {
            let or_none = |cell: Option<_>| field(cell.unwrap_or(("", 0)));
            return Some((or_none(user), or_none(password)));
        }
        // Without a colon it may as well say that there are none, or of which kind they are.
        let (both, at) = self.trimmed(Column::Credentials)?;
        let length = entry::user_length(both).filter(|length| *length > 0)?;
        let password = (&both[length + 1..], at + length + 1);
        Some((field((&both[..length], at)), field(password)))
    }

    /// The entry of the row and the text that names it.
    fn entry(
        &self,
        scheme: Option<Scheme>,
        default_scheme: Scheme,
    ) -> Result<(Entry<'_>, String), Flaw> {
        let named = self.trimmed(Column::Proxy);
        let host = self.trimmed(Column::Host).or(self.trimmed(Column::Ip));
        let (text, at) = named
            .or(host)
            .or(self.trimmed(Column::Url))
            .ok_or(Flaw::new(0, Reason::NoAddress))?;
        let port = self.trimmed(Column::Port).filter(|_| named.is_none());
        let scheme_or_default = scheme.unwrap_or(default_scheme);
        let whole = text.contains("://") || text.contains('@');
        let lone = match address::lone_host(text, at) {
            Ok(host) if !whole => Some(host),
            Err(flaw) if port.is_some() && !text.contains([':', '@']) => return Err(flaw),
            _ => None,
        };
        if let Some((host, rank)) = lone
            && (port.is_some() || scheme.is_some())
        {
            let port = match port {
                Some((text, at)) => address::port(text, at)?,
                None => address::default_port(scheme_or_default)
                    .ok_or(Flaw::new(at + text.len(), Reason::NoPort))?,
            };
            let template = format!("{scheme_or_default}://{host}:{port}");
            let entry = Entry {
                scheme: scheme_or_default,
                address: Some(Address {
                    host,
                    port,
                    rank,
                    implied_port: false,
                }),
                credentials: None,
                stamp: None,
            };
            return Ok((entry, template));
        }
        let (entry, place) = entry::read(text, at, scheme_or_default, Style::List)?;
        match place {
            Some((at, _)) => Err(Flaw::new(at, Reason::Trailing)),
            None => Ok((entry, text.to_owned())),
        }
    }
}

/// The first scheme of a cell that may name several (`HTTP, HTTPS`).
fn scheme(text: &str, at: usize) -> Result<Scheme, Flaw> {
    let first = text.split([',', ';', '/', '|', ' ']).next().unwrap_or("");
    entry::scheme(first.strip_suffix("://").unwrap_or(first), at)
}

/// Reads the rows below `header`.
pub(super) fn read(bytes: &[u8], header: &Header, sink: &mut Sink<'_>) {
    let rows = &bytes[header.rows_at..];
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(header.delimiter)
        .comment(Some(b'#'))
        .from_reader(Cursor::new(rows));
    let mut record = csv::ByteRecord::new();
    loop {
        let more = reader.read_byte_record(&mut record);
        let position = record.position().cloned();
        let (text, position) = own_text(rows, position.unwrap_or_else(csv::Position::new));
        let line = header.rows_line + position.line() - 1;
        match more {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => {
                sink.settle(line, 1, Err(Reason::BadCsv));
                return;
            }
        }
        if record.iter().all(|cell| cell.trim_ascii().is_empty()) {
            continue;
        }
        let swallowed = swallowing(&record, header);
        let result = match swallowed {
            Some(cell) => {
                let cells = 0..cell;
                let at = cells.fold(0, |at, _| next_cell(text, at, header.delimiter));
                Err(Flaw::new(at, Reason::OpenQuote))
            }
            None => row(&record, header, text, sink),
        };
        let column = |flaw: Flaw| {
            let before = text.get(..flaw.at).unwrap_or(text);
            String::from_utf8_lossy(before).chars().count() as u64 + 1
        };
        match result {
            Ok(()) => sink.settle(line, 1, Ok(())),
            Err(flaw) => sink.settle(line, column(flaw), Err(flaw.reason)),
        }
        if swallowed.is_some() {
            // Within memory nothing can fail; beyond the end there are no rows.
            if reader.seek(below(position, text)).is_err() {
                return;
            }
        }
    }
}

/// The first line of the record that was read from `position`, and where it begins, below blank lines and comments. Complaints count
/// columns in it.
fn own_text(rows: &[u8], mut position: csv::Position) -> (&[u8], csv::Position) {
    loop {
        let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
        let text = rows.get(start..).unwrap_or_default();
        let end = memchr::memchr(b'\n', text);
        let line = &text[..end.unwrap_or(text.len())];
        let is_skipped = line.starts_with(b"#") || line.trim_ascii_end().is_empty();
        if !is_skipped || end.is_none() {
            return (line, position);
        }
        position = below(position, line);
    }
}

/// Where the line after this one at `position` begins.
fn below(mut position: csv::Position, line: &[u8]) -> csv::Position {
    let (byte, number) = (position.byte(), position.line());
    position.set_byte(byte + line.len() as u64 + 1);
    position.set_line(number + 1);
    position
}

/// The cell of the record whose quote was closed in a later row, or never, and has taken in what lies between: such a cell holds
/// a line with as many cells as the table has, or leaves the record with more or fewer. A remark of several lines does neither.
fn swallowing(record: &csv::ByteRecord, header: &Header) -> Option<usize> {
    let columns = header.columns.len();
    let is_row = |line: &[u8]| memchr::memchr_iter(header.delimiter, line).count() + 1 >= columns;
    let at = record.iter().position(|cell| cell.contains(&b'\n'))?;
    let mut lines = record.get(at)?.split(|byte| *byte == b'\n').skip(1);
    (record.len() != columns || lines.any(is_row)).then_some(at)
}

fn row(
    record: &csv::ByteRecord,
    header: &Header,
    text: &[u8],
    sink: &mut Sink<'_>,
) -> Result<(), Flaw> {
    if record.as_slice().len() > MAX_LINE {
        return Err(Flaw::new(MAX_LINE, Reason::TooLong));
    }
    let mut row = Row::default();
    let mut at = 0;
    for (index, cell) in record.iter().enumerate() {
        let cell_at = at;
        at = next_cell(text, at, header.delimiter);
        let Some(column) = header.columns.get(index).copied().flatten() else {
            continue;
        };
        let cell = std::str::from_utf8(cell).map_err(|_| Flaw::new(cell_at, Reason::NotUtf8))?;
        row.put(column, cell, cell_at);
    }
    row.take(sink)
}

/// Where the cell after the one at `at` begins in the raw text of a row.
fn next_cell(text: &[u8], at: usize, delimiter: u8) -> usize {
    let mut quoted = false;
    for (offset, &byte) in text.get(at..).unwrap_or_default().iter().enumerate() {
        if byte == b'"' {
            quoted = !quoted;
        } else if byte == delimiter && !quoted {
            return at + offset + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use crate::proxy::Scheme;
    use crate::proxy::list::{Options, ProxyList};
    use crate::proxy::reject::Reason;

    fn read(text: &str) -> ProxyList {
        let options = Options {
            default_scheme: Scheme::Http,
            env: &|name| (name == "PASS").then(|| "s,e\"cret".to_owned()),
            remote: false,
            presets: None,
            only_working: false,
        };
        ProxyList::read("list", text.as_bytes(), &options)
    }

    fn same(text: &str, lines: &str) {
        let (table, expected) = (read(text), read(lines));
        assert_eq!(table.report.rejects, [], "{text}");
        assert_eq!(table.proxies, expected.proxies, "{text}");
        assert_eq!(table.report.lines, expected.proxies.len() as u64, "{text}");
    }

    #[test]
    fn csv_columns_go_by_the_names_providers_use() {
        same(
            "\u{feff}# export\r\nIP Address,Port,Login,Pass,Protocol,Country\r\n1.2.3.4,80,bob,p:w,SOCKS5,United States\r\n\r\n2001:db8::1,81,,,,\r\n",
            "socks5://1.2.3.4:80:bob:p:w country=us\n[2001:db8::1]:81",
        );
        same(
            "server;username;password\nhttp://h.example:80;bob;\"${PASS}\"\nh.example:81;;\n",
            "http://bob:${PASS}@h.example:80\nh.example:81",
        );
        same(
            "proxy_address\tport\ttag\tcost\tweight\trotation\n1.2.3.4\t80\ta,b\t0.5\t2\tper_connection\n",
            "1.2.3.4:80 tag=a tag=b cost=0.5 weight=2 rotation=per_connection",
        );
        let expanded = read("host,port,user,password,sessions\nh.example,1,u-{session:4},p,2\n");
        assert_eq!(expanded.report.proxies, 2);
    }

    #[test]
    fn credentials_go_by_many_names_and_the_host_of_a_gateway_before_the_address_of_its_exit() {
        let line = "gate.example:80:bob:p:w";
        for header in ["usr,pwd", "login,passwd", "user,psw"] {
            let text = format!("ip,host,port,{header}\n1.2.3.4,gate.example,80,bob,p:w\n");
            same(&text, line);
        }
        for header in ["auth", "credentials", "userpass", "username:password"] {
            let text = format!("host,port,{header}\ngate.example,80,bob:p:w\n1.2.3.4,81,none\n");
            same(&text, &format!("{line}\n1.2.3.4:81"));
        }
        for auth in [r#""bob:p:w""#, r#"{"username": "bob", "password": "p:w"}"#] {
            let text = format!(
                r#"[{{"ip": "1.2.3.4", "server": "gate.example", "port": 80, "auth": {auth}}}]"#
            );
            same(&text, line);
        }
    }

    #[test]
    fn rows_of_a_check_are_left_out_where_only_working_proxies_are_wanted() {
        let jsonl = "{\"proxy\":\"http://1.2.3.4:80\",\"verdict\":\"alive\"}\n\
            {\"proxy\":\"http://1.2.3.5:80#1a2b3c\",\"verdict\":\"dead\"}\n\
            {\"proxy\":\"http://1.2.3.6:80\",\"verdict\":\"unstable\"}\n\
            {\"proxy\":\"http://1.2.3.7:80\",\"verdict\":\"hostile\"}\n";
        let csv = "proxy,verdict\n1.2.3.4:80,alive\n1.2.3.5:80,dead\n1.2.3.6:80,unstable\n1.2.3.7:80,hostile\n";
        for text in [jsonl, csv] {
            let read = |only_working| {
                let options = Options {
                    default_scheme: Scheme::Http,
                    env: &|_| None,
                    remote: false,
                    presets: None,
                    only_working,
                };
                ProxyList::read("list", text.as_bytes(), &options)
            };
            let report = read(true).report;
            assert_eq!((report.proxies, report.left_out), (2, 2), "{text}");
            assert_eq!(report.rejects, [], "{text}");
            assert_eq!(read(false).report.left_out, 0, "{text}");
        }
    }

    #[test]
    fn csv_rejects_point_at_the_cell() {
        let list =
            read("host,port,user,password\n1.2.3.4,80,bob,pw\n\"1.2.3.5\",x80,bob,pw\n1.2.3.6\n");
        let places: Vec<_> = list
            .report
            .rejects
            .iter()
            .map(|r| (r.line, r.column, r.reason))
            .collect();
        assert_eq!(places, [(3, 11, Reason::BadPort), (4, 8, Reason::NoPort)]);
        assert_eq!((list.report.lines, list.report.proxies), (3, 1));
    }

    #[test]
    fn a_quote_that_is_not_closed_in_its_row_costs_that_row() {
        let places = |text: &str| {
            let list = read(text);
            let rejects = list.report.rejects.iter();
            let places: Vec<_> = rejects.map(|r| (r.line, r.column, r.reason)).collect();
            (places, list.report.lines, list.report.proxies)
        };
        let open = |line, column| (line, column, Reason::OpenQuote);
        let rest = "1.2.3.5,81,x\n1.2.3.6,82,\"y, z\"\n1.2.3.7,83,\n";
        for torn in ["1.2.3.4,80,\"x", "1.2.3.4,80,\"x\r"] {
            let text = format!("ip,port,note\n# ours\n\n{torn}\n{rest}");
            assert_eq!(places(&text), (vec![open(4, 12)], 4, 3), "{text}");
        }
        let text = format!("ip,port,note\n\"1.2.3.4,80,x\n{rest}");
        assert_eq!(places(&text), (vec![open(2, 1)], 4, 3));
        // The quote that closes it begins a row, or there is none.
        let text = "ip,port,note\n1.2.3.4,80,\"x\n\"1.2.3.5\",81,y\n1.2.3.6,82,z";
        assert_eq!(places(text), (vec![open(2, 12)], 3, 2));
        let text = "ip,port,note\n1.2.3.4,80,\"x\n1.2.3.5,81,y\n1.2.3.6,82,z";
        assert_eq!(places(text), (vec![open(2, 12)], 3, 2));
        let remarks = "ip,note,port\n1.2.3.4,\"two, or\nmore\nlines\",80\n1.2.3.5,,81\n";
        assert_eq!(places(remarks), (vec![], 2, 2));
    }

    #[test]
    fn a_table_without_a_known_header_is_read_as_lines() {
        let list = read("name,value\n1.2.3.4:80\n");
        assert_eq!((list.report.proxies, list.report.rejected), (1, 1));
    }

    #[test]
    fn json_documents_and_lines_give_the_same_proxies() {
        let lines = "1.2.3.4:80:bob:pw country=nl\nsocks4://1.2.3.5:81";
        same(
            r#"{"count": 2, "next": null, "results": [
                {"proxy_address": "1.2.3.4", "port": 80, "username": "bob", "password": "pw", "valid": true, "country_code": "NL"},
                {"host": "1.2.3.5", "port": "81", "protocols": ["socks4"], "username": null, "note": "}]"}
            ]}"#,
            lines,
        );
        same(
            "{\"data\":{\"proxies\":[\"http://bob:pw@1.2.3.4:80 country=nl\",\"socks4://1.2.3.5:81\"]}}",
            lines,
        );
        same(
            "{\"proxy\":\"http://bob:pw@1.2.3.4:80\",\"url\":\"http://t.example/\",\"geolocation\":{\"country\":{\"iso_code\":\"NL\"}}}\nsocks4://1.2.3.5:81\n",
            lines,
        );
        same(
            "[{\"ip\":\"1.2.3.4\",\"port\":80,\"user\":\"bob\",\"pass\":\"pw\",\"country\":\"Netherlands\"},\"socks4://1.2.3.5:81\"]",
            lines,
        );
    }

    #[test]
    fn a_broken_entry_of_a_document_costs_that_entry() {
        let list = read(
            "[\n \"1.2.3.4:80\",\n {\"ip\": \"1.2.3.5\", \"port\": oops},\n {\"port\": 1},\n 7,\n \"1.2.3.6:80\"\n",
        );
        let places: Vec<_> = list
            .report
            .rejects
            .iter()
            .map(|r| (r.line, r.column, r.reason))
            .collect();
        assert_eq!(
            places,
            [
                (3, 2, Reason::BadJson),
                (4, 2, Reason::NoAddress),
                (5, 2, Reason::NoAddress),
                (7, 1, Reason::BadJson)
            ]
        );
        assert_eq!(list.report.proxies, 2);
        let empty = read("{\"results\": []}").checked(false).unwrap_err();
        assert_eq!(empty.what, "the proxy list is empty");
    }
}
