//! Judges an exchange: what came back, who is to blame, and which rule says so.

use crate::outcome::StatusSet;

/// The user's own rules beside the built-in table.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Statuses that are an answer; everything else that no rule explains is `http_error`.
    pub accept: StatusSet,
    /// Statuses that mean this proxy is banned.
    pub ban_status: StatusSet,
    /// Regexes over the decoded body that mean a ban.
    pub ban_regex: Vec<String>,
    /// `Name` or `Name: regex` over response headers that mean a ban.
    pub ban_header: Vec<String>,
    /// Regexes over redirect targets that mean a ban.
    pub ban_redirect: Vec<String>,
    /// Every accepted text body has to match all of these.
    pub must_match: Vec<String>,
    /// No accepted text body may match any of these.
    pub must_not_match: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            accept: StatusSet::EMPTY.with(200, 299),
            ban_status: StatusSet::EMPTY,
            ban_regex: Vec::new(),
            ban_header: Vec::new(),
            ban_redirect: Vec::new(),
            must_match: Vec::new(),
            must_not_match: Vec::new(),
        }
    }
}
