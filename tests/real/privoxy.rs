//! privoxy: an HTTP proxy with a filter list. It knows no passwords and cannot choose the address it leaves from.

use crate::nginx::Origin;
use crate::rig::{Launch, Program, Server};
use crate::scenario::{self, Line};

const PRIVOXY: Program = Program {
    name: "privoxy",
    package: "privoxy",
};

/// A running privoxy.
pub(crate) struct Privoxy {
    pub(crate) server: Server,
}

impl Privoxy {
    fn start(origin: &Origin) -> Self {
        let [refused, refused_tls] = origin.refused_ports();
        Self::with_actions(&format!(
            "{{+block{{refused by the rig}}}}\n:{refused}/\n:{refused_tls}/\n"
        ))
    }

    /// One with these actions.
    pub(crate) fn with_actions(actions: &str) -> Self {
        Self::configured(actions, 30)
    }

    /// One with these actions that waits for a target for a second.
    pub(crate) fn impatient(actions: &str) -> Self {
        Self::configured(actions, 1)
    }

    fn configured(actions: &str, timeout_secs: u32) -> Self {
        let server = Server::start(&PRIVOXY, 1, |site| {
            let values = [
                ("PORT", site.port(0).to_string()),
                ("TIMEOUT", timeout_secs.to_string()),
            ];
            site.write_config("privoxy.conf", include_str!("conf/privoxy.conf"), &values);
            site.write("rig.action", actions);
            let config = site.dir().join("privoxy.conf").display().to_string();
            Launch {
                args: vec!["--no-daemon".to_owned(), config],
                own_names: true,
            }
        });
        Privoxy { server }
    }

    fn line(&self) -> Line {
        Line::new(format!("http://127.0.0.1:{}", self.server.port(0))).with_any_exit()
    }
}

#[test]
fn pages_arrive_whole() {
    let origin = Origin::start();
    let proxy = Privoxy::start(&origin);
    scenario::pages_arrive_whole(&origin, &proxy.line());
}

#[test]
fn redirects_and_compression_and_http2_work() {
    let origin = Origin::start();
    let proxy = Privoxy::start(&origin);
    scenario::redirects_and_compression_and_http2(&origin, &proxy.line());
}

#[test]
fn a_refused_target_costs_no_other() {
    let origin = Origin::start();
    let proxy = Privoxy::start(&origin);
    scenario::a_refused_target_costs_no_other(&origin, &proxy.line(), &["proxy_error"]);
}

#[test]
fn a_target_that_is_down_costs_no_other() {
    let origin = Origin::start();
    let proxy = Privoxy::start(&origin);
    scenario::a_target_that_is_down_costs_no_other(&origin, &proxy.line(), Some(503));
}

#[test]
fn another_takes_over_when_it_is_killed() {
    let origin = Origin::start();
    let mut proxy = Privoxy::start(&origin);
    let line = proxy.line();
    scenario::another_takes_over_when_it_is_killed(&origin, &mut proxy.server, &line);
}
