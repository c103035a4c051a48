//! Flags and commands as other programs call them: who knows curl, wget, httpx, Scrapy or lychee types what he knows.
//!
//! Not accepted, only understood: two spellings of one thing would make scripts harder to read. What is a mere typing error is
//! found by [`nearest`].

use crate::nearest::nearest;

/// Other programs' long flags, and the same thing here, with its value where that is not the same.
const FLAGS: [(&[&str], &str); 24] = [
    (
        &["timeout", "request-timeout", "read-timeout"],
        "--max-time",
    ),
    (
        &[
            "threads",
            "workers",
            "parallel",
            "jobs",
            "concurrent",
            "max-concurrency",
            "concurrent-requests",
        ],
        "--concurrency",
    ),
    (&["rate-limit", "rps", "qps", "max-rate"], "--rate"),
    (
        &["limit-per-host", "max-per-host", "per-host"],
        "--host-concurrency",
    ),
    (&["retries", "max-retries", "tries"], "--retry"),
    (&["follow", "follow-redirects"], "--location"),
    (&["max-redirects", "max-redirect"], "--max-redirs"),
    (&["method"], "--request"),
    (
        &["list", "urls", "url-file", "input-file", "file"],
        "--input",
    ),
    (&["proxies", "proxy-list", "proxylist"], "--proxy-file"),
    (
        &["http-proxy", "socks5", "proxy-url", "preproxy"],
        "--proxy",
    ),
    (&["out", "output-file", "output-document"], "--output"),
    (&["jsonl", "csv", "output-format"], "--format"),
    (
        &["no-verify", "no-check-certificate", "skip-verify"],
        "--insecure",
    ),
    (&["ca-certificate", "ca-cert"], "--cacert"),
    (
        &["grep", "match", "match-string", "match-regex"],
        "--must-match",
    ),
    (&["filter-regex", "filter-string"], "--must-not-match"),
    (&["match-code", "status", "accept-status"], "--accept"),
    (&["wait", "sleep", "download-delay"], "--delay"),
    (&["cookies"], "--cookie"),
    (&["force", "clobber"], "--overwrite"),
    (&["continue"], "--resume"),
    (&["silent"], "--quiet"),
    (&["debug", "log-level", "loglevel"], "--verbose"),
];

/// What curl has a flag for, and how it is done here.
const OF_CURL: [(&[&str], &str); 15] = [
    (&["-I", "--head"], "write -X HEAD"),
    (
        &["-G", "--get", "--url-query"],
        "write the parameters into the URL",
    ),
    (
        &["--data-urlencode"],
        "encode the value yourself and write --data 'name=value'",
    ),
    (
        &["-F", "--form", "--form-string"],
        "send a body made elsewhere: --data-binary @FILE -H 'Content-Type: multipart/form-data; boundary=...'",
    ),
    (&["-T", "--upload-file"], "write -X PUT --data-binary @FILE"),
    (&["-r", "--range"], "write -H 'Range: bytes=0-1023'"),
    (
        &["-z", "--time-cond"],
        "write -H 'If-Modified-Since: ...'; a 304 is an ok row",
    ),
    (&["-s"], "write -q"),
    (&["-S", "--show-error"], "errors are shown always"),
    (
        &["-f", "--fail", "--fail-with-body"],
        "an HTTP error is a row that is not ok; --accept says what is",
    ),
    (
        &["-O", "--remote-name", "-J", "--output-dir"],
        "write --body file --save-dir DIR",
    ),
    (
        &["-U", "--proxy-user"],
        "write the credentials into the proxy: -x http://USER:PASSWORD@HOST:PORT",
    ),
    (
        &["-c", "--cookie-jar"],
        "cookies are kept for each proxy and session while the program runs, and in no file",
    ),
    (
        &[
            "--resolve",
            "--connect-to",
            "--dns-servers",
            "--interface",
            "-4",
            "--ipv4",
            "-6",
            "--ipv6",
        ],
        "names are resolved by the proxy",
    ),
    (
        &[
            "-E",
            "--cert",
            "--key",
            "--cert-type",
            "--ntlm",
            "--negotiate",
            "--digest",
        ],
        "of logins only Basic (-u) and what a header says (-H) are known",
    ),
];

/// Other words for commands.
const COMMANDS: [(&[&str], &str); 4] = [
    (
        &[
            "get", "scrape", "crawl", "download", "run", "probe", "start",
        ],
        "fetch",
    ),
    (&["test", "validate", "verify", "scan", "ping"], "check"),
    (&["serp", "watch", "monitor", "rank"], "track"),
    (&["settings", "configuration"], "config"),
];

/// What `flag` (`--timeout`) is called here, if `knows` that flag (`max-time`); else `near`, if it is a typing error away.
pub(super) fn flag(flag: &str, near: Option<&str>, knows: impl Fn(&str) -> bool) -> Option<String> {
    let name = flag.trim_start_matches('-');
    // One dash is a short flag, and these mean what they mean with curl.
    let known = flag
        .starts_with("--")
        .then(|| translated(&FLAGS, name))
        .flatten();
    if let Some(known) = known
        && knows(known.trim_start_matches('-'))
    {
        return Some(known.to_owned());
    }
    likely(name, near.map(|near| near.trim_start_matches('-'))).map(|near| format!("--{near}"))
}

/// How the thing is done here that curl has `flag` for.
pub(in crate::cli) fn instead_of(flag: &str) -> Option<&'static str> {
    translated(&OF_CURL, flag)
}

/// The command that `word` stands for; else `near`, if it is a typing error away.
pub(super) fn command(word: &str, near: Option<&str>) -> Option<String> {
    translated(&COMMANDS, word)
        .or_else(|| likely(word, near))
        .map(str::to_owned)
}

fn translated(table: &[(&[&str], &'static str)], word: &str) -> Option<&'static str> {
    let found = table.iter().find(|(others, _)| others.contains(&word));
    found.map(|(_, own)| *own)
}

/// The parser also suggests words that only have letters in common.
fn likely<'a>(word: &str, near: Option<&'a str>) -> Option<&'a str> {
    near.filter(|near| near.starts_with(word) || nearest(word, [*near]).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::args::root;
    use super::*;

    #[test]
    fn every_translation_is_a_flag_or_command_that_is_there_and_every_word_is_not() {
        let root = root();
        let fetch = root.find_subcommand("fetch").expect("fetch");
        let is_long = |name: &str| {
            fetch
                .get_arguments()
                .any(|arg| arg.get_long() == Some(name))
        };
        for (others, own) in FLAGS {
            // Flags of every command hang on the root.
            let global = root
                .get_arguments()
                .any(|arg| arg.get_long() == Some(&own[2..]));
            assert!(is_long(&own[2..]) || global, "{own}");
            for other in others {
                assert!(!is_long(other), "--{other} has a meaning of its own");
            }
        }
        let is_there = |word: &str| {
            let named = |arg: &clap::Arg| {
                arg.get_long().map(|long| format!("--{long}")).as_deref() == Some(word)
                    || arg.get_short().map(|short| format!("-{short}")).as_deref() == Some(word)
            };
            fetch.get_arguments().chain(root.get_arguments()).any(named)
        };
        for (others, instead) in OF_CURL {
            for other in others {
                assert!(!is_there(other), "{other} has a meaning of its own");
            }
            for word in instead.split([' ', '(', ')', ';', ':']) {
                assert!(
                    is_there(word) || !word.starts_with('-'),
                    "{word} is advised"
                );
            }
        }
        for (others, own) in COMMANDS {
            assert!(root.find_subcommand(own).is_some(), "{own}");
            assert!(
                others
                    .iter()
                    .all(|other| root.find_subcommand(other).is_none())
            );
        }
    }

    #[test]
    fn words_of_other_programs_are_understood_and_far_fetched_ones_are_not_suggested() {
        let all = |_: &str| true;
        for (typed, near, meant) in [
            ("--timeout", Some("--write-out"), Some("--max-time")),
            ("--threads", Some("--headers"), Some("--concurrency")),
            ("--concurency", Some("--concurrency"), Some("--concurrency")),
            ("--max-req", Some("--max-requests"), Some("--max-requests")),
            ("--colour-blind", Some("--color"), None),
            ("--nothing", None, None),
        ] {
            assert_eq!(flag(typed, near, all).as_deref(), meant, "{typed}");
        }
        assert_eq!(flag("--timeout", Some("--write-out"), |_| false), None);
        assert_eq!(command("scrape", Some("state")).as_deref(), Some("fetch"));
        assert_eq!(command("fetsh", Some("fetch")).as_deref(), Some("fetch"));
        assert_eq!(command("sate-rite", Some("state")), None);
    }
}
