//! The columns of a table, by the names that providers give them.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// A whole entry.
    Proxy,
    /// A whole entry, unless another column names the proxy: in results this is the target.
    Url,
    Host,
    /// The host, unless another column names it: beside the name of a gateway it is the address of its exit.
    Ip,
    Port,
    User,
    Password,
    /// User name and password in one, with a colon between them.
    Credentials,
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
        &["host", "address", "server", "proxyaddress", "proxyhost"],
    ),
    // The name that an address has is often none that leads back to it.
    (Column::Ip, &["ip", "ipaddress", "hostname", "proxyip"]),
    (Column::Port, &["port", "proxyport"]),
    (
        Column::User,
        &[
            "username",
            "user",
            "login",
            "usr",
            "proxyuser",
            "proxyusername",
        ],
    ),
    (
        Column::Password,
        &[
            "password",
            "pass",
            "passwd",
            "pwd",
            "psw",
            "proxypassword",
            "proxypass",
        ],
    ),
    (
        Column::Credentials,
        &[
            "credentials",
            "auth",
            "usernamepassword",
            "userpassword",
            "userpass",
            "loginpassword",
            "loginpass",
        ],
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
pub(super) const COLUMNS: usize = 17;

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
            Column::Ip => 3,
            Column::Port => 4,
            Column::User => 5,
            Column::Password => 6,
            Column::Credentials => 7,
            Column::Scheme => 8,
            Column::Country => 9,
            Column::Verdict => 10,
            Column::Label(key) => 11 + LABELS.iter().position(|label| *label == key).unwrap_or(0),
        }
    }
}

pub(super) const LABELS: [&str; 6] = ["tag", "cost", "tier", "weight", "rotation", "sessions"];
