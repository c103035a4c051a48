//! dante: SOCKS5 with and without a password, SOCKS4, and access rules that answer "not allowed by ruleset".
//!
//! Its `username` method asks the system's password file; nss_wrapper gives it a file of the test's own, so no account is made.
//! dante 1.4 does not resolve SOCKS4a names: it connects to the placeholder address 0.0.0.1 and refuses.

use crate::nginx::Origin;
use crate::rig::{Launch, PASSWORD, Program, Server, USER};
use crate::scenario::{self, Line};

const DANTED: Program = Program {
    name: "danted",
    package: "dante-server",
};

/// A running dante.
pub(crate) struct Dante {
    pub(crate) server: Server,
}

impl Dante {
    fn open(origin: &Origin) -> Self {
        Self::start(origin.refused_ports(), "none")
    }

    fn with_password(origin: &Origin) -> Self {
        Self::start(origin.refused_ports(), "username")
    }

    /// One that serves anybody (`none`), or [`USER`] (`username`), but never at the port `refused`.
    pub(crate) fn refusing(refused: u16, method: &str) -> Self {
        Self::start([refused; 2], method)
    }

    fn start(refused: [u16; 2], method: &str) -> Self {
        let [refused, refused_tls] = refused;
        let server = Server::start(&DANTED, 1, |site| {
            let values = [
                ("PORT", site.port(0).to_string()),
                ("METHOD", method.to_owned()),
                ("REFUSED", refused.to_string()),
                ("REFUSED_TLS", refused_tls.to_string()),
            ];
            site.write_config("danted.conf", include_str!("conf/danted.conf"), &values);
            Launch {
                args: ["-f", "danted.conf", "-p", "danted.pid"]
                    .map(str::to_owned)
                    .into(),
                own_names: true,
            }
        });
        Dante { server }
    }

    fn line(&self, scheme: &str) -> Line {
        Line::new(format!("{scheme}://127.0.0.1:{}", self.server.port(0)))
    }

    fn line_with(&self, password: &str) -> Line {
        let port = self.server.port(0);
        Line::new(format!("socks5h://{USER}:{password}@127.0.0.1:{port}"))
    }
}

#[test]
fn pages_arrive_whole() {
    let origin = Origin::start();
    let proxy = Dante::open(&origin);
    scenario::pages_arrive_whole(&origin, &proxy.line("socks5h"));
}

#[test]
fn pages_arrive_whole_with_a_password() {
    let origin = Origin::start();
    let proxy = Dante::with_password(&origin);
    scenario::pages_arrive_whole(&origin, &proxy.line_with(PASSWORD));
}

#[test]
fn socks4_carries_a_target_that_is_an_address() {
    let origin = Origin::start();
    let proxy = Dante::open(&origin);
    let urls: Vec<_> = scenario::pages(&origin, 8)
        .iter()
        .map(|url| url.replace(crate::rig::TARGET, "127.0.0.1"))
        .collect();
    let run = proxy.line("socks4").fetch(&origin, &urls).run();
    assert_eq!(run.code, 0, "{run}");
    run.rows.iter().for_each(|row| row.assert_page());
    for hit in origin.hits(urls.len()) {
        assert_eq!(hit.peer, crate::rig::EXIT, "{hit:?}");
    }
}

#[test]
fn a_name_refused_over_socks4a_is_a_rejection() {
    let origin = Origin::start();
    let proxy = Dante::open(&origin);
    let run = proxy
        .line("socks4a")
        .fetch(&origin, &scenario::pages(&origin, 2))
        .args(["--retry", "1"])
        .run();
    assert!(matches!(run.code, 5 | 6), "{run}");
    assert!(run.rows.iter().all(|row| !row.is_ok()), "{run}");
    let attempts: Vec<_> = run.rows.iter().flat_map(|row| row.attempts()).collect();
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.error_kind() == Some("rejected")),
        "{run}"
    );
}

#[test]
fn redirects_and_compression_and_http2_work() {
    let origin = Origin::start();
    let proxy = Dante::open(&origin);
    scenario::redirects_and_compression_and_http2(&origin, &proxy.line("socks5h"));
}

#[test]
fn a_wrong_password_stops_only_itself() {
    let origin = Origin::start();
    let proxy = Dante::with_password(&origin);
    let [wrong, right] = ["wrong", PASSWORD].map(|password| proxy.line_with(password));
    scenario::a_wrong_password_stops_only_itself(&origin, &wrong, &right);
}

#[test]
fn a_refused_target_costs_no_other() {
    let origin = Origin::start();
    let proxy = Dante::open(&origin);
    scenario::a_refused_target_costs_no_other(&origin, &proxy.line("socks5h"), &["proxy_error"]);
}

#[test]
fn a_target_that_is_down_costs_no_other() {
    let origin = Origin::start();
    let proxy = Dante::open(&origin);
    scenario::a_target_that_is_down_costs_no_other(&origin, &proxy.line("socks5h"), None);
}

#[test]
fn another_takes_over_when_it_is_killed() {
    let origin = Origin::start();
    let mut proxy = Dante::open(&origin);
    let line = proxy.line("socks5h");
    scenario::another_takes_over_when_it_is_killed(&origin, &mut proxy.server, &line);
}
