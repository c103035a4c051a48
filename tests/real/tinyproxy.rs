//! tinyproxy: an HTTP proxy that answers CONNECT with HTTP/1.0 and closes after each of its own pages.
//!
//! It answers a missing password with 407, but a wrong one with `401 Unauthorized` and `WWW-Authenticate`, to CONNECT and to plain
//! requests alike. Nothing listening at the target is `500 Unable to connect`; its filter says `403 Filtered`.

use crate::nginx::Origin;
use crate::rig::{Launch, NONE_REFUSED, PASSWORD, Program, Server, USER};
use crate::scenario::{self, Line};

const TINYPROXY: Program = Program {
    name: "tinyproxy",
    package: "tinyproxy",
};

/// A running tinyproxy.
pub(crate) struct Tinyproxy {
    pub(crate) server: Server,
}

impl Tinyproxy {
    /// One that serves anybody.
    pub(crate) fn open(origin: &Origin) -> Self {
        Self::start(origin.refused_ports(), "")
    }

    /// One that serves [`USER`].
    pub(crate) fn with_password(origin: &Origin) -> Self {
        Self::start(
            origin.refused_ports(),
            &format!("BasicAuth {USER} {PASSWORD}"),
        )
    }

    /// One with these lines of configuration.
    pub(crate) fn configured(lines: &str) -> Self {
        Self::start(NONE_REFUSED, lines)
    }

    /// One that refuses targets at these ports.
    pub(crate) fn refusing(ports: [u16; 2]) -> Self {
        Self::start(ports, "")
    }

    fn start(refused: [u16; 2], auth: &str) -> Self {
        let [refused, refused_tls] = refused;
        let server = Server::start(&TINYPROXY, 1, |site| {
            site.write("filter", format!(":{refused}\n:{refused_tls}\n"));
            let values = [
                ("PORT", site.port(0).to_string()),
                ("AUTH", auth.to_owned()),
            ];
            site.write_config(
                "tinyproxy.conf",
                include_str!("conf/tinyproxy.conf"),
                &values,
            );
            Launch {
                args: ["-d", "-c", "tinyproxy.conf"].map(str::to_owned).into(),
                own_names: true,
            }
        });
        Tinyproxy { server }
    }

    fn line(&self) -> Line {
        Line::new(format!("http://127.0.0.1:{}", self.server.port(0)))
    }

    fn line_with(&self, password: &str) -> Line {
        let port = self.server.port(0);
        Line::new(format!("http://{USER}:{password}@127.0.0.1:{port}"))
    }
}

#[test]
fn pages_arrive_whole() {
    let origin = Origin::start();
    let proxy = Tinyproxy::open(&origin);
    scenario::pages_arrive_whole(&origin, &proxy.line());
}

#[test]
fn pages_arrive_whole_with_a_password() {
    let origin = Origin::start();
    let proxy = Tinyproxy::with_password(&origin);
    scenario::pages_arrive_whole(&origin, &proxy.line_with(PASSWORD));
}

#[test]
fn redirects_and_compression_and_http2_work() {
    let origin = Origin::start();
    let proxy = Tinyproxy::open(&origin);
    scenario::redirects_and_compression_and_http2(&origin, &proxy.line());
}

#[test]
fn a_wrong_password_stops_only_itself() {
    let origin = Origin::start();
    let proxy = Tinyproxy::with_password(&origin);
    let [wrong, right] = ["wrong", PASSWORD].map(|password| proxy.line_with(password));
    scenario::a_wrong_password_stops_only_itself(&origin, &wrong, &right);
}

#[test]
fn a_missing_password_stops_only_itself() {
    let origin = Origin::start();
    let proxy = Tinyproxy::with_password(&origin);
    scenario::a_wrong_password_stops_only_itself(
        &origin,
        &proxy.line(),
        &proxy.line_with(PASSWORD),
    );
}

#[test]
fn a_refused_target_costs_no_other() {
    let origin = Origin::start();
    let proxy = Tinyproxy::open(&origin);
    scenario::a_refused_target_costs_no_other(&origin, &proxy.line(), &["proxy_error"]);
}

#[test]
fn a_target_that_is_down_costs_no_other() {
    let origin = Origin::start();
    let proxy = Tinyproxy::open(&origin);
    scenario::a_target_that_is_down_costs_no_other(&origin, &proxy.line(), Some(500));
}

#[test]
fn another_takes_over_when_it_is_killed() {
    let origin = Origin::start();
    let mut proxy = Tinyproxy::open(&origin);
    let line = proxy.line();
    scenario::another_takes_over_when_it_is_killed(&origin, &mut proxy.server, &line);
}
