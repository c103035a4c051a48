//! What tinyproxy and privoxy say of themselves and of targets they do not reach: none of it is taken for the target's answer.
//! (squid's pages are in `squid_errors.rs`, those of a haproxy in `edges.rs`.) And the reverse: a target that shows a proxy's page.

use crate::microsocks::Microsocks;
use crate::odd::Odd;
use crate::privoxy::Privoxy;
use crate::rig::{ClosedPort, target};
use crate::run::Fetch;
use crate::tinyproxy::Tinyproxy;
use crate::told;

/// Where a case leads, path, and what the row tells over http and over https. `-` is a way on which the proxy only carries bytes.
const TINYPROXY: &str = "
refused /      | proxy_error 403 proxy:policy tinyproxy.policy | proxy_error 403 proxy:policy tinyproxy.policy
down    /      | proxy_error 500 unknown tinyproxy.error       | proxy_error 500 unknown tinyproxy.error
odd     /close | network_error - unknown -                     | -
";

/// The same for privoxy.
const PRIVOXY: &str = "
refused /      | proxy_error 403 proxy:policy privoxy.blocked | proxy_error 403 proxy:policy privoxy.blocked
down    /      | proxy_error 503 unknown privoxy.error        | proxy_error 503 unknown privoxy.error
odd     /close | proxy_error 502 unknown privoxy.error        | -
odd     /hang  | proxy_error 504 unknown privoxy.error        | -
";

/// What the targets of the cases are.
struct Targets {
    odd: Odd,
    refused: Odd,
    down: ClosedPort,
}

impl Targets {
    fn start() -> Self {
        Targets {
            odd: Odd::start(),
            refused: Odd::start(),
            down: ClosedPort::new(),
        }
    }

    /// Asks for every URL of the table, one after the other and each after a page that is fine: a proxy at which nothing works is
    /// given up.
    fn verify(&self, proxy: u16, table: &str) {
        let mut wrong = Vec::new();
        for (scheme, cell) in [("http", 1), ("https", 2)] {
            let (mut urls, mut expected) = (Vec::new(), Vec::new());
            for (n, line) in table.trim().lines().enumerate() {
                let cells: Vec<_> = line.split('|').map(str::trim).collect();
                let (what, path) = cells[0].split_once(' ').expect("a target and a path");
                let port = match what {
                    "refused" => self.refused.port(),
                    "down" => self.down.port(),
                    _ => self.odd.port(),
                };
                if cells[cell] != "-" {
                    let url = format!("{scheme}://{}:{port}{}", target(n), path.trim());
                    urls.push(format!("http://origin.test:{}/{n}", self.odd.port()));
                    urls.push(url.clone());
                    expected.push((url, cells[cell].to_owned()));
                }
            }
            let run = in_turns(&urls, format!("http://127.0.0.1:{proxy}")).run();
            let fine = urls.iter().step_by(2);
            assert!(fine.into_iter().all(|url| run.row(url).is_ok()), "{run}");
            wrong.extend(told::differences(scheme, &run, &expected));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// These URLs one after the other through this proxy, each once.
fn in_turns(urls: &[String], proxy: String) -> Fetch {
    Fetch::new(urls, &[proxy]).args(["-j", "1", "--retry", "0", "--max-proxies-per-url", "1"])
}

#[test]
fn what_tinyproxy_says_is_tinyproxys() {
    let targets = Targets::start();
    let proxy = Tinyproxy::refusing([targets.refused.port(); 2]);
    targets.verify(proxy.server.port(0), TINYPROXY);
}

#[test]
fn what_privoxy_says_is_privoxys() {
    let targets = Targets::start();
    let refused = targets.refused.port();
    let proxy = Privoxy::impatient(&format!("{{+block{{refused by the rig}}}}\n:{refused}/\n"));
    targets.verify(proxy.server.port(0), PRIVOXY);
}

/// Pages with squid's name that a target shows, and what each comes to through a proxy that signs what it passes on and over SOCKS.
const COPIES: &str = "
403 ERR_ACCESS_DENIED       | proxy_error 403 pair squid.policy   | http_error 403 target -
407 ERR_CACHE_ACCESS_DENIED | proxy_error 407 pair squid.auth     | http_error 407 target -
503 ERR_CONNECT_FAIL        | proxy_error 503 unknown squid.error | http_error 503 target -
";

#[test]
fn a_copy_of_squids_page_costs_no_other_proxy_more_than_the_pair() {
    let copy = |line: &str| {
        let (what, _) = line.split_once('|').expect("cells");
        let (status, error) = what.trim().split_once(' ').expect("status and error");
        let body = format!("<title>ERROR</title><body id=\"{error}\">");
        let length = body.len();
        format!(
            "HTTP/1.1 {status} No\r\nServer: squid/5.7\r\nX-Squid-Error: {error} 0\r\nContent-Type: text/html\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let lines: Vec<_> = COPIES.trim().lines().collect();
    let paths = ["/copy/0", "/copy/1", "/copy/2"];
    let answers: Vec<_> = paths
        .into_iter()
        .zip(lines.iter().map(|line| copy(line)))
        .collect();
    let odd = Odd::with_answers(&answers);
    let (tinyproxy, socks) = (Tinyproxy::configured(""), Microsocks::open());
    let signing = format!("http://127.0.0.1:{}", tinyproxy.server.port(0));
    for (cell, proxy) in [(1, signing), (2, socks.url())] {
        let (mut urls, mut expected) = (Vec::new(), Vec::new());
        for (n, line) in lines.iter().enumerate() {
            let url = |path: &str| format!("http://{}:{}{path}", target(n), odd.port());
            let words = line.split('|').nth(cell).expect("a cell").trim().to_owned();
            expected.push((url(paths[n]), words));
            // The proxy goes on to serve other hosts.
            urls.push(url(paths[n]));
            urls.push(format!("http://origin.test:{}/{n}", odd.port()));
        }
        let run = in_turns(&urls, proxy).run();
        let fine = urls.iter().skip(1).step_by(2);
        assert!(fine.into_iter().all(|url| run.row(url).is_ok()), "{run}");
        let wrong = told::differences("copies", &run, &expected);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
