//! Every error page of squid that a fetch can provoke is its own answer, and says what it is charged with.
//!
//! Pages that no fetch of an http or https URL can provoke, and why:
//!
//! - other protocols than a target can have: `ERR_FTP_*` and `ERR_DIR_LISTING` (ftp), `ERR_URN_RESOLVE` (urn), `ERR_NO_RELAY` (wais)
//! - other uses than as a forward proxy: `ERR_ESI` (a reverse proxy with ESI), `ERR_CONFLICT_HOST` and `ERR_PROTOCOL_UNKNOWN`
//!   (interception), `ERR_CACHE_MGR_ACCESS_DENIED` (its own management pages), `ERR_AGENT_CONFIGURE` and `ERR_AGENT_WPAD` (help for
//!   administrators)
//! - requests that are never sent: `ERR_UNSUP_REQ` (another transfer coding than `chunked`), `ERR_UNSUP_HTTPVERSION`
//! - another that squid 5 sends in its place: it says `ERR_READ_ERROR` or `ERR_CANNOT_FORWARD` of a name that does not exist, and not
//!   `ERR_DNS_FAIL`
//! - a password, with which `squid.rs` deals: `ERR_CACHE_ACCESS_DENIED`
//! - states of the machine: `ERR_SOCKET_FAILURE` (no sockets left), `ERR_WRITE_ERROR` (the target resets before the request is
//!   written), `ERR_SHUTTING_DOWN`
//! - no way is known: `ERR_LIFETIME_EXP`, `ERR_GATEWAY_FAILURE`
//!
//! The pages of these are judged as squid would print them (`squid_pages.rs`).

use crate::odd::Odd;
use crate::rig::{ClosedPort, Server};
use crate::run::Fetch;
use crate::squid::{SQUID, launch};
use crate::told;

/// Error, path by the name of a host of its own, then what the row tells over http and over https. The ports are those of [`Odd`]
/// but for `down.test`, where nobody listens. `-` is a way on which squid cannot come to this page.
const PROVOKED: &str = "
ERR_ACCESS_DENIED           | denied.test /      | proxy_error 403 proxy:policy squid.policy | proxy_error 403 proxy:policy squid.policy
ERR_ACL_TIME_QUOTA_EXCEEDED | quota.test /       | proxy_error 403 proxy:policy squid.denied | proxy_error 403 proxy:policy squid.denied
302 Access Denied           | portal.test /      | proxy_error 302 proxy:policy squid.policy | proxy_error 302 proxy:policy squid.policy
ERR_FORWARDING_DENIED       | relay.test /       | proxy_error 403 proxy:policy squid.policy | proxy_error 403 proxy:policy squid.policy
ERR_CONNECT_FAIL            | down.test /        | proxy_error 503 unknown squid.error | proxy_error 503 unknown squid.error
ERR_READ_ERROR              | unknown.test /     | proxy_error 502 unknown squid.error | -
ERR_CANNOT_FORWARD          | unknown.test /     | - | proxy_error 500 unknown squid.error
ERR_CANNOT_FORWARD          | nowhere.test /     | - | proxy_error 500 unknown squid.error
ERR_SECURE_CONNECT_FAIL     | parent.test /      | proxy_error 504 unknown squid.error | proxy_error 504 unknown squid.error
ERR_ICAP_FAILURE            | icap.test /        | proxy_error 500 unknown squid.error | proxy_error 500 unknown squid.error
ERR_INVALID_URL             | in_valid.test /    | proxy_error 400 unknown squid.error | proxy_error 400 unknown squid.error
ERR_READ_TIMEOUT            | hang.test /hang    | proxy_error 504 unknown squid.error | -
ERR_ZERO_SIZE_OBJECT        | close.test /close  | proxy_error 502 unknown squid.error | -
ERR_READ_ERROR              | reset.test /reset  | proxy_error 502 unknown squid.error | -
ERR_INVALID_RESP            | two.test /two      | proxy_error 502 unknown squid.error | -
ERR_TOO_BIG                 | big.test /big      | proxy_error 403 proxy:policy squid.policy | -
ERR_TOO_BIG                 | long.test /long    | proxy_error 502 proxy:policy squid.policy | -
";

/// The same with one option each: what is in the request makes squid refuse it.
const PROVOKED_BY_REQUEST: &str = "
ERR_ONLY_IF_CACHED_MISS | cached.test /    | proxy_error 504 unknown squid.error       | -H | Cache-Control: only-if-cached
ERR_INVALID_REQ         | expect.test /    | proxy_error 417 unknown squid.error       | -H | Expect: the-unexpected
ERR_TOO_BIG             | upload.test /    | proxy_error 413 proxy:policy squid.policy | -d | @BIG@
ERR_PRECONDITION_FAILED | kept.test /keep  | proxy_error 412 unknown squid.error       | -H | If-Match: \"2\"
";

/// As so many proxies the one squid is listed: one at which nothing works is soon given up.
const PORTS: usize = 8;

/// A squid that is set to fail, and what it fails at.
struct Failing {
    server: Server,
    odd: Odd,
    dead: ClosedPort,
}

impl Failing {
    fn start() -> Self {
        let (odd, dead) = (Odd::start(), ClosedPort::new());
        let tables = [PROVOKED, PROVOKED_BY_REQUEST];
        let hosts = tables.iter().flat_map(|table| cells(table)).map(|cells| {
            let (host, _) = cells[1].split_once(' ').expect("a host and a path");
            host.to_owned()
        });
        let known = hosts.filter(|host| host != "unknown.test");
        let hosts: String = known.map(|host| format!("127.0.0.1 {host}\n")).collect();
        let server = Server::start(&SQUID, PORTS, |site| {
            site.write("hosts", &hosts);
            let listen = (0..PORTS).map(|n| format!("http_port 127.0.0.1:{}\n", site.port(n)));
            let values = [
                ("PORTS", listen.collect()),
                ("ODD", odd.port().to_string()),
                ("DEAD", dead.port().to_string()),
            ];
            let template = include_str!("conf/squid-errors.conf");
            site.write_config("squid.conf", template, &values);
            launch(site)
        });
        Failing { server, odd, dead }
    }

    fn url(&self, scheme: &str, cell: &str) -> String {
        let (host, path) = cell.split_once(' ').expect("a host and a path");
        let port = if host == "down.test" {
            self.dead.port()
        } else {
            self.odd.port()
        };
        format!("{scheme}://{host}:{port}{path}")
    }

    fn fetch(&self, urls: &[String]) -> Fetch {
        let proxies = (0..PORTS).map(|n| format!("http://127.0.0.1:{}", self.server.port(n)));
        Fetch::new(urls, &proxies.collect::<Vec<_>>()).args([
            "--retry",
            "0",
            "--no-hedge",
            "--max-proxies-per-url",
            "1",
        ])
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.server.kill();
        crate::squid::forget(self.server.port(0));
    }
}

/// The cells of the lines of a table.
fn cells(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table
        .trim()
        .lines()
        .map(|line| line.split('|').map(str::trim).collect())
}

/// One URL, the error squid has to name, and the words of the row.
type Case = (String, &'static str, String);

fn verify(failing: &Failing, cases: &[Case], options: &[&str]) -> Vec<String> {
    let urls: Vec<_> = cases.iter().map(|(url, ..)| url.clone()).collect();
    let fetch = match options {
        [] => failing.fetch(&urls).args(["-j", "6"]),
        [option, value] => failing.fetch(&urls).args([option, value]),
        _ => panic!("an option and its value: {options:?}"),
    };
    let run = fetch.run();
    let mut wrong = Vec::new();
    for (url, error, expected) in cases {
        let row = run.row(url);
        let why = row.value("error")["message"].as_str().unwrap_or_default();
        if expected.contains(" proxy:policy ") && why.contains("rules refuse this host") {
            // A probe has met the refusal, which is final: the URL itself was not asked for.
            continue;
        }
        let seen = told::evidence(row);
        if !seen.starts_with(&format!("x-squid-error: {error}")) {
            wrong.push(format!("{url} provokes {seen:?} instead of {error}"));
        }
        wrong.extend(told::differences(
            error,
            &run,
            &[(url.clone(), expected.clone())],
        ));
    }
    wrong
}

#[test]
fn every_error_of_squid_that_can_be_provoked_is_its_own_answer() {
    let failing = Failing::start();
    // Two runs: what is learned of a host on the one way must not answer for the other.
    let ways = [("http", 2), ("https", 3)].map(|(scheme, cell)| {
        let cases = cells(PROVOKED).filter(|cells| cells[cell] != "-");
        let case = |cells: Vec<&'static str>| {
            let url = failing.url(scheme, cells[1]);
            (url, cells[0], cells[cell].to_owned())
        };
        cases.map(case).collect::<Vec<Case>>()
    });
    // Into squid's cache, for the request with a condition.
    let kept = [failing.url("http", "kept.test /keep")];
    assert_eq!(failing.fetch(&kept).run().code, 0);
    let big = "x".repeat(3_000);
    let wrong: Vec<_> = std::thread::scope(|scope| {
        let failing = &failing;
        let mut runs: Vec<_> = ways
            .into_iter()
            .map(|cases| scope.spawn(move || verify(failing, &cases, &[])))
            .collect();
        for cells in cells(PROVOKED_BY_REQUEST) {
            let case = (failing.url("http", cells[1]), cells[0], cells[2].to_owned());
            let (option, value) = (cells[3], cells[4].replace("@BIG@", &big));
            runs.push(scope.spawn(move || verify(failing, &[case], &[option, &value])));
        }
        let runs = runs.into_iter();
        runs.flat_map(|run| run.join().expect("a run")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
