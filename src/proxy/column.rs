//! The columns of a table, by the names that providers give them.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// A whole entry.
    Proxy,
    /// A whole entry, unless another column names the proxy: in results this is the target.
    Url,
    Host,
    Port,
    User,
    Password,
    Scheme,
    Country,
    /// What `check` says of the proxy.
    Verdict,
    /// A label of the line grammar, by its key.
    Label(&'static str),
}

/// What columns are called, without case and punctuation. The first name of each is the one to recommend.
const NAMES: [(Column, &[&str]); COLUMNS] = [
    (Column::Proxy, &["proxy", "proxyurl", "proxyuri"]),
    (Column::Url, &["url", "uri"]),
    (
        Column::Host,
        &[
            "host",
            "ip",
            "ipaddress",
            "address",
            "server",
            "hostname",
            "proxyaddress",
            "proxyhost",
            "proxyip",
        ],
    ),
    (Column::Port, &["port", "proxyport"]),
    (
        Column::User,
        &["username", "user", "login", "proxyuser", "proxyusername"],
    ),
    (
        Column::Password,
        &["password", "pass", "proxypassword", "proxypass"],
    ),
    (
        Column::Scheme,
        &["scheme", "protocol", "protocols", "type", "proxytype"],
    ),
    (Column::Country, &["country", "countrycode"]),
    (Column::Verdict, &["verdict"]),
    (Column::Label("tag"), &["tag", "tags"]),
    (Column::Label("cost"), &["cost"]),
    (Column::Label("tier"), &["tier"]),
    (Column::Label("weight"), &["weight"]),
    (Column::Label("rotation"), &["rotation"]),
    (Column::Label("sessions"), &["sessions"]),
];

/// Number of kinds of columns; [`Column::slot`] is below it.
pub(super) const COLUMNS: usize = 15;

impl Column {
    /// The column that goes by this name, whatever its case and punctuation.
    pub(super) fn named(name: &str) -> Option<Self> {
        let plain: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let named = NAMES.iter().find(|(_, names)| names.contains(&&*plain));
        named.map(|(column, _)| *column)
    }

    /// Its names, for people: `port (or proxyport)`.
    pub(super) fn names(self) -> String {
        let named = NAMES.iter().find(|(column, _)| *column == self);
        match named.map(|(_, names)| *names) {
            Some([first, others @ ..]) if !others.is_empty() => {
                format!("{first} (or {})", others.join(", "))
            }
            Some([first, ..]) => (*first).to_owned(),
            _ => String::new(),
        }
    }

    /// Its place among the kinds of columns.
    pub(super) fn slot(self) -> usize {
        match self {
            Column::Proxy => 0,
            Column::Url => 1,
            Column::Host => 2,
            Column::Port => 3,
            Column::User => 4,
            Column::Password => 5,
            Column::Scheme => 6,
            Column::Country => 7,
            Column::Verdict => 8,
            Column::Label(key) => 9 + LABELS.iter().position(|label| *label == key).unwrap_or(0),
        }
    }
}

pub(super) const LABELS: [&str; 6] = ["tag", "cost", "tier", "weight", "rotation", "sessions"];
