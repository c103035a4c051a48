//! What tinyproxy and privoxy say of themselves and of targets they do not reach: none of it is taken for the target's answer.
//! (squid's pages are in `squid_errors.rs`, those of a haproxy in `edges.rs`.)

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
            let run = Fetch::new(&urls, &[format!("http://127.0.0.1:{proxy}")])
                .args(["-j", "1", "--retry", "0", "--max-proxies-per-url", "1"])
                .run();
            let fine = urls.iter().step_by(2);
            assert!(fine.into_iter().all(|url| run.row(url).is_ok()), "{run}");
            wrong.extend(told::differences(scheme, &run, &expected));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
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
