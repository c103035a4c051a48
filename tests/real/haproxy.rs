//! haproxy in front of tinyproxy: it ends TLS for an `https` proxy, and as an HTTP hop it answers with pages of its own when its
//! rules refuse (403) or when nothing is behind it (503).

use crate::nginx::Origin;
use crate::rig::{ClosedPort, Launch, NONE_REFUSED, PASSWORD, Program, Server, USER};
use crate::scenario::{self, Line};
use crate::tinyproxy::Tinyproxy;
use crate::tls::Authority;

pub(crate) const HAPROXY: Program = Program {
    name: "haproxy",
    package: "haproxy",
};

/// What a plain request that the hop itself refuses comes to: nothing in its page tells this haproxy from one before the target.
const PLAIN_REFUSALS: [&str; 3] = ["proxy_error", "banned", "http_error"];

/// A running haproxy and the proxy behind it.
pub(crate) struct Haproxy {
    server: Server,
    authority: Authority,
    _behind: Tinyproxy,
    _dead: ClosedPort,
}

impl Haproxy {
    fn before(origin: &Origin, behind: Tinyproxy) -> Self {
        Self::start(origin.refused_ports(), behind)
    }

    /// One in front of this proxy that refuses nothing.
    pub(crate) fn open(behind: Tinyproxy) -> Self {
        Self::start(NONE_REFUSED, behind)
    }

    fn start(refused: [u16; 2], behind: Tinyproxy) -> Self {
        let authority = Authority::new("proxies of the rig");
        let identity = authority.issue(&["localhost", "127.0.0.1"]);
        let dead = ClosedPort::new();
        let [refused, refused_tls] = refused;
        let server = Server::start(&HAPROXY, 6, |site| {
            site.write("both.pem", identity.certificate.clone() + &identity.key);
            let values = [
                ("TLS", site.port(0)),
                ("TLS_DEAD", site.port(1)),
                ("HOP", site.port(2)),
                ("HOP_DEAD", site.port(3)),
                ("HOP_NAMED", site.port(4)),
                ("FORWARD", site.port(5)),
                ("BEHIND", behind.server.port(0)),
                ("DEAD", dead.port()),
                ("REFUSED", refused),
                ("REFUSED_TLS", refused_tls),
            ];
            let values = values.map(|(key, port)| (key, port.to_string()));
            site.write_config("haproxy.cfg", include_str!("conf/haproxy.cfg"), &values);
            Launch {
                args: ["-db", "-f", "haproxy.cfg"].map(str::to_owned).into(),
                own_names: false,
            }
        });
        Haproxy {
            server,
            authority,
            _behind: behind,
            _dead: dead,
        }
    }

    fn tls(&self, credentials: &str) -> Line {
        let port = self.server.port(0);
        Line::new(format!("https://{credentials}localhost:{port}")).trusting(&self.authority.pem())
    }

    fn tls_dead(&self) -> Line {
        let port = self.server.port(1);
        Line::new(format!("https://localhost:{port}")).trusting(&self.authority.pem())
    }

    /// Where it is a proxy over TLS.
    pub(crate) fn tls_port(&self) -> u16 {
        self.server.port(0)
    }

    /// The authority of its certificate.
    pub(crate) fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// Where it is an HTTP hop.
    pub(crate) fn hop_port(&self) -> u16 {
        self.server.port(2)
    }

    /// Where it is a hop with nothing behind.
    pub(crate) fn hop_dead_port(&self) -> u16 {
        self.server.port(3)
    }

    /// Where it is a hop that names its client.
    pub(crate) fn hop_named_port(&self) -> u16 {
        self.server.port(4)
    }

    /// Where it forwards plain requests by itself.
    pub(crate) fn forward_port(&self) -> u16 {
        self.server.port(5)
    }

    fn hop(&self) -> Line {
        Line::new(format!("http://127.0.0.1:{}", self.server.port(2)))
    }

    fn hop_dead(&self) -> Line {
        Line::new(format!("http://127.0.0.1:{}", self.server.port(3)))
    }
}

#[test]
fn pages_arrive_whole_over_tls_to_the_proxy() {
    let origin = Origin::start();
    let proxy = Haproxy::before(&origin, Tinyproxy::open(&origin));
    scenario::pages_arrive_whole(&origin, &proxy.tls(""));
}

#[test]
fn pages_arrive_whole_through_two_hops() {
    let origin = Origin::start();
    let proxy = Haproxy::before(&origin, Tinyproxy::open(&origin));
    scenario::pages_arrive_whole(&origin, &proxy.hop());
}

#[test]
fn redirects_and_compression_and_http2_work_over_tls_to_the_proxy() {
    let origin = Origin::start();
    let proxy = Haproxy::before(&origin, Tinyproxy::open(&origin));
    scenario::redirects_and_compression_and_http2(&origin, &proxy.tls(""));
}

#[test]
fn a_wrong_password_inside_tls_stops_only_itself() {
    let origin = Origin::start();
    let proxy = Haproxy::before(&origin, Tinyproxy::with_password(&origin));
    let [wrong, right] =
        ["wrong", PASSWORD].map(|password| proxy.tls(&format!("{USER}:{password}@")));
    scenario::a_wrong_password_stops_only_itself(&origin, &wrong, &right);
}

#[test]
fn a_target_refused_by_the_hop_costs_no_other() {
    let origin = Origin::start();
    let proxy = Haproxy::before(&origin, Tinyproxy::open(&origin));
    scenario::a_refused_target_costs_no_other(&origin, &proxy.hop(), &PLAIN_REFUSALS);
}

#[test]
fn a_target_refused_behind_tls_costs_no_other() {
    let origin = Origin::start();
    let proxy = Haproxy::before(&origin, Tinyproxy::open(&origin));
    scenario::a_refused_target_costs_no_other(&origin, &proxy.tls(""), &["proxy_error"]);
}

#[test]
fn a_target_that_is_down_costs_no_other() {
    let origin = Origin::start();
    let proxy = Haproxy::before(&origin, Tinyproxy::open(&origin));
    scenario::a_target_that_is_down_costs_no_other(&origin, &proxy.tls(""), Some(500));
}

#[test]
fn another_takes_over_when_it_is_killed() {
    let origin = Origin::start();
    let mut proxy = Haproxy::before(&origin, Tinyproxy::open(&origin));
    let line = proxy.tls("");
    scenario::another_takes_over_when_it_is_killed(&origin, &mut proxy.server, &line);
}

#[test]
fn a_hop_with_nothing_behind_is_never_a_success() {
    let origin = Origin::start();
    let proxy = Haproxy::before(&origin, Tinyproxy::open(&origin));
    let urls = scenario::pages(&origin, 8);
    // Side by side: each waits out the minute for which the program waits for an outage to end.
    let runs = [proxy.hop_dead(), proxy.tls_dead()]
        .map(|line| line.fetch(&origin, &urls).args(["--retry", "1"]).start());
    for running in runs {
        let run = running.finish();
        assert!(matches!(run.code, 5 | 6), "{run}");
        assert!(run.rows.iter().all(|row| !row.is_ok()), "{run}");
        assert!(origin.hits(0).is_empty(), "{run}");
    }
}

#[test]
fn a_hop_with_nothing_behind_costs_no_url_beside_a_good_one() {
    let origin = Origin::start();
    let proxy = Haproxy::before(&origin, Tinyproxy::open(&origin));
    let urls = scenario::pages(&origin, 24);
    let dead = [proxy.hop_dead(), proxy.tls_dead()];
    let run = proxy
        .tls("")
        .fetch_beside(&origin, &urls, &dead.map(Line::into_url))
        .run();
    assert_eq!(run.code, 0, "{run}");
    run.rows.iter().for_each(|row| row.assert_page());
}
