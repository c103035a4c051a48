//! Settings as they may be shown: without credentials.
//!
//! Proxy lines come in a dozen shapes, and only their parser can tell user from host for certain. What is shown here is
//! therefore only what cannot be a credential in any of them; in doubt nothing is.

/// Stands for what is not shown.
const HIDDEN: &str = "(redacted)";

/// The value of the setting `name` as it may be printed.
pub fn redact(name: &str, value: &str) -> String {
    match name {
        "user" | "cookie" => HIDDEN.to_owned(),
        "proxy" => proxy(value),
        "header" => header(value),
        "data" | "data-raw" | "data-binary" | "json" => {
            if value.starts_with('@') && name != "data-raw" {
                value.to_owned()
            } else {
                format!("({} bytes)", value.len())
            }
        }
        // A list behind an address is often protected by a token in the path.
        "proxy-file" => match address(value) {
            Some((scheme, rest)) => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                let host = authority.rsplit('@').next().unwrap_or_default();
                format!("{scheme}://{host}/{HIDDEN}")
            }
            None => value.to_owned(),
        },
        _ => match address(value) {
            Some((scheme, rest)) if rest.contains('@') => format!("{scheme}://{HIDDEN}"),
            _ => value.to_owned(),
        },
    }
}

fn address(value: &str) -> Option<(&str, &str)> {
    value.split_once("://")
}

fn proxy(line: &str) -> String {
    let line = line.trim();
    let (entry, _labels) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (scheme, rest) = match address(entry) {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), entry),
    };
    let shown = match rest.rsplit_once('@') {
        None if is_host_port(rest) || !rest.contains(':') => rest.to_owned(),
        // `user:pass@host:port`, unless the part before could be the address as well.
        Some((before, after)) if is_host_port(after) && !is_host_port(before) => {
            format!("{HIDDEN}@{after}")
        }
        _ => HIDDEN.to_owned(),
    };
    format!("{scheme}{shown}")
}

/// True for `host:port` and `[v6]:port`, and nothing with a third field.
fn is_host_port(text: &str) -> bool {
    let text = text.trim_end_matches('/');
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    (bracketed || !host.contains(':')) && port.parse::<u16>().is_ok()
}

fn header(line: &str) -> String {
    const TELLING: [&str; 8] = [
        "auth", "cookie", "token", "key", "secret", "session", "pass", "sign",
    ];
    let Some((name, _)) = line.split_once(':') else {
        return line.to_owned();
    };
    let lower = name.to_ascii_lowercase();
    if TELLING.iter().any(|word| lower.contains(word)) {
        format!("{name}: {HIDDEN}")
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shape_of_a_proxy_line_shows_its_credentials() {
        for line in [
            "http://alice:s3cret@h.example:80",
            "alice:s3cret@h.example:80",
            "h.example:80:alice:s3cret",
            "alice:s3cret:h.example:80",
            "h.example:80@alice:s3cret",
            "http://h.example:80@alice:s3cret",
            "socks5://alice:pa@ss3cret@h.example:80 tag=s3cret",
            "[2001:db8::1]:80:alice:s3cret",
            "http://alice:s3cret@[2001:db8::1]:80",
            "alice:80@s3cret:81",
        ] {
            let shown = redact("proxy", line);
            assert!(
                !shown.contains("s3cret") && !shown.contains("alice"),
                "{line}: {shown}"
            );
        }
    }

    #[test]
    fn what_is_no_credential_stays_readable() {
        for (name, value, shown) in [
            ("proxy", "h.example:80", "h.example:80"),
            ("proxy", "direct", "direct"),
            (
                "proxy",
                "http://u:p@h.example:80",
                "http://(redacted)@h.example:80",
            ),
            ("proxy", "socks5://[::1]:1080", "socks5://[::1]:1080"),
            ("proxy-file", "list.txt", "list.txt"),
            (
                "proxy-file",
                "https://u:p@h.example/t0ken?x",
                "https://h.example/(redacted)",
            ),
            ("header", "Accept: text/html", "Accept: text/html"),
            (
                "header",
                "Authorization: Bearer x",
                "Authorization: (redacted)",
            ),
            ("header", "X-Api-Key: x", "X-Api-Key: (redacted)"),
            ("cookie", "a=b", "(redacted)"),
            ("user", "a:b", "(redacted)"),
            ("data", "a=b", "(3 bytes)"),
            ("data", "@body.txt", "@body.txt"),
            ("referer", "https://u:p@h.example/", "https://(redacted)"),
            ("rate", "1/s", "1/s"),
        ] {
            assert_eq!(redact(name, value), shown, "{name} {value}");
        }
    }
}
