//! The keys of every table, so that a misplaced one can be told from a misspelt one.

/// Tables and their keys. `""` is the top of the file; tables with keys of the user's own choice are not here.
pub(super) const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "name", "kind", "url", "matrix", "pages", "vary", "fetch", "extract", "target",
            "watch", "schedule", "output", "alert", "hooks",
        ],
    ),
    ("pages", &["most", "first", "offset", "depth", "sticky"]),
    ("pages.offset", &["first", "step"]),
    (
        "vary",
        &["vars", "headers", "cookies", "exit_country", "exit_tags"],
    ),
    (
        "extract",
        &[
            "profile",
            "select",
            "rows",
            "container",
            "no_results",
            "link",
            "title",
        ],
    ),
    ("target", &["name", "host", "subdomains", "path", "all"]),
    ("watch", &["field", "clean", "ignore", "threshold", "runs"]),
    (
        "schedule",
        &[
            "min_age",
            "start_jitter",
            "order",
            "deadline",
            "max_requests",
            "max_bytes",
            "max_cost",
            "resume_within",
        ],
    ),
    ("output", &["observations", "pages", "pages_dir"]),
    (
        "alert",
        &[
            "when", "top", "by", "runs", "value", "share", "alive", "targets", "match", "command",
            "webhook", "secret",
        ],
    ),
    ("hooks", &["on_start", "on_success", "on_failure"]),
];

/// The keys of a table; none for one whose keys are the user's.
pub(super) fn of(table: &str) -> &'static [&'static str] {
    let found = KEYS.iter().find(|(name, _)| *name == table);
    found.map_or(&[], |(_, keys)| keys)
}

/// The table that has a key of this name.
pub(super) fn home(key: &str) -> Option<&'static str> {
    let found = KEYS.iter().find(|(_, keys)| keys.contains(&key));
    found.map(|(name, _)| *name)
}

/// How a table is headed in a file.
pub(super) fn heading(table: &str) -> String {
    match table {
        "" => "the top of the file".to_owned(),
        "target" | "alert" => format!("[[{table}]]"),
        "vary" => "[vary.AXIS.VALUE]".to_owned(),
        _ => format!("[{table}]"),
    }
}
