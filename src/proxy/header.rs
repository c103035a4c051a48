//! The first line of a table, which names its columns.

use super::column::Column;
use super::list::MAX_LINE;
use super::reject::{Reason, Reject};
use crate::error::Problem;

/// Characters of a header that a complaint quotes.
const SHOWN_HEADER: usize = 120;

/// The header of a CSV list.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) columns: Vec<Option<Column>>,
    pub(super) delimiter: u8,
    /// Where the rows begin.
    pub(super) rows_at: usize,
    /// Line of the first row, from 1.
    pub(super) rows_line: u64,
}

/// The header, if the first line that is not blank or a comment is one: it names a proxy column, or host and port.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let (_, header) = first_line(bytes)?;
    let has = |column| header.columns.contains(&Some(column));
    let usable = has(Column::Proxy)
        || has(Column::Url)
        || ((has(Column::Host) || has(Column::Ip))
            && (has(Column::Port) || header.columns.len() > 1));
    usable.then_some(header)
}

/// What is wrong with the header of a table in which no row was a proxy. `None` when it has all it needs, and when it may as well be
/// an entry: a complaint quotes it, and must not quote a password.
pub(super) fn complaint(bytes: &[u8], name: &str, rejects: &[Reject]) -> Option<Problem> {
    let (line, header) = first_line(bytes)?;
    let is_name = |cell: &str| {
        let cell = cell.trim().trim_matches('"');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-');
        cell.starts_with(|c: char| c.is_ascii_alphabetic()) && cell.chars().all(plain)
    };
    let is_table = [".csv", ".tsv"]
        .iter()
        .any(|end| name.to_ascii_lowercase().ends_with(end));
    let is_header = header.columns.len() > 1
        && line.split(char::from(header.delimiter)).all(is_name)
        && (is_table || header.columns.iter().any(Option::is_some));
    let has = |column| header.columns.contains(&Some(column));
    let (missing, hint) = if !is_header || has(Column::Proxy) || has(Column::Url) {
        return None;
    } else if !has(Column::Host) && !has(Column::Ip) {
        let (host, ip) = (Column::Host.names(), Column::Ip.names());
        let port = Column::Port.names();
        let whole = Column::Proxy.names();
        let hint =
            format!("columns are called {host} or {ip}, and {port}; one with both is {whole}");
        ("hosts", hint)
    } else if !has(Column::Port) && rejects.iter().all(|reject| reject.reason == Reason::NoPort) {
        let port = Column::Port.names();
        ("ports", format!("that column is called {port}"))
    } else {
        return None;
    };
    let shown: String = line.chars().take(SHOWN_HEADER).collect();
    let what =
        format!("no column of the table is known to hold {missing}: its header is {shown:?}");
    let place = format!("{name}:{}", header.rows_line - 1);
    Some(Problem::new(what).at(place).hint(hint))
}

/// The first line that is not blank or a comment, taken for a header.
fn first_line(bytes: &[u8]) -> Option<(&str, Header)> {
    let mut rows_at = 0;
    for (rows_line, line) in (2..).zip(bytes.split_inclusive(|&b| b == b'\n')) {
        rows_at += line.len();
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let line = std::str::from_utf8(line)
            .ok()
            .filter(|l| l.len() <= MAX_LINE)?;
        let delimiter = *[b',', b';', b'\t', b'|']
            .iter()
            .max_by_key(|d| line.bytes().filter(|b| b == *d).count())?;
        let columns: Vec<_> = line
            .split(char::from(delimiter))
            .map(|name| Column::named(name.trim()))
            .collect();
        let header = Header {
            columns,
            delimiter,
            rows_at,
            rows_line,
        };
        return Some((line, header));
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::proxy::Scheme;
    use crate::proxy::list::{Options, ProxyList};

    #[test]
    fn a_table_in_which_nothing_says_where_a_proxy_is_gets_a_complaint_about_its_header() {
        let complaint = |name: &str, text: &str| {
            let options = Options {
                default_scheme: Scheme::Http,
                env: &|_| None,
                remote: false,
                presets: None,
                only_working: false,
            };
            let list = ProxyList::read(name, text.as_bytes(), &options);
            list.checked(false).unwrap_err().to_string()
        };
        let hosts = complaint("list", "# ours\nnode;port;Country\n1.2.3.4;80;de\n");
        assert_eq!(
            hosts,
            "list:2: no column of the table is known to hold hosts: its header is \"node;port;Country\""
        );
        let hosts = complaint("l.CSV", "\"node\",number,country\n1.2.3.4,80,de\n");
        assert!(hosts.starts_with("l.CSV:1: no column"), "{hosts}");
        let ports = complaint("list", "ip,p\n1.2.3.4,80\n1.2.3.5,81\n");
        assert!(ports.contains("known to hold ports"), "{ports}");
        // These may be entries, and what is wrong with the rows of this table is not its header.
        for text in [
            "bob,s3cret\n",
            "bob:s3cret,port\n",
            "ip,port\n1.2.3.4,s3cret\n",
        ] {
            let other = complaint("list", text);
            assert!(
                other.contains("no entry of the proxy list is a proxy"),
                "{other}"
            );
            assert!(!other.contains("s3cret"), "{other}");
        }
    }
}
