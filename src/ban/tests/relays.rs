//! Plain answers that a relay has signed, and the same without.

use super::{ends, http};
use crate::outcome::{Blame, Charge, Outcome};

#[test]
fn the_signature_of_a_relay_shows_that_a_page_came_from_beyond_it() {
    let denied = "<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n";
    let apache = "<title>502 Proxy Error</title><p>The proxy server received an invalid\nresponse";
    let charged = |charge| (Outcome::ProxyError, Blame::Proxy(charge));
    let auth = "x-squid-error: ERR_CACHE_ACCESS_DENIED 0";
    for (status, header, body, unsigned, signed) in [
        (
            403,
            "",
            denied,
            charged(Charge::Policy),
            (Outcome::Banned, Blame::Pair),
        ),
        (
            502,
            "",
            apache,
            (Outcome::ProxyError, Blame::Unknown),
            (Outcome::HttpError, Blame::Target),
        ),
        (
            502,
            "",
            "",
            (Outcome::HttpError, Blame::Unknown),
            (Outcome::HttpError, Blame::Target),
        ),
        (
            407,
            "",
            "",
            charged(Charge::Auth),
            (Outcome::HttpError, Blame::Unknown),
        ),
        (
            407,
            auth,
            "",
            charged(Charge::Auth),
            (Outcome::ProxyError, Blame::Pair),
        ),
    ] {
        let mut lines = vec!["content-type: text/html"];
        lines.extend(Some(header).filter(|line| !line.is_empty()));
        assert_eq!(
            ends(&http(status, &lines, body)),
            unsigned,
            "{status} {body}"
        );
        // squid signs its own pages; who else is next to us has passed them on.
        lines.push("via: 1.1 a.example (squid/6.1), 1.1 b.example (tinyproxy/1.11.1)");
        assert_eq!(ends(&http(status, &lines, body)), signed, "{status} {body}");
    }
    let own = http(407, &[auth, "via: 1.1 a.example (squid/6.1)"], "");
    assert_eq!(ends(&own), charged(Charge::Auth));
}
