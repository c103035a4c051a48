//! squid: an HTTP proxy over plain TCP and over TLS, with and without a password. Each of its own pages names the reason in
//! `X-Squid-Error`.

use crate::nginx::Origin;
use crate::rig::{
    Launch, NONE_REFUSED, PASSWORD, PASSWORD_HASH, Program, Server, Site, USER, hosts,
};
use crate::scenario::{self, Line};
use crate::tls::Authority;

pub(crate) const SQUID: Program = Program {
    name: "squid",
    package: "squid-openssl",
};

/// Debian's path of squid's password checker.
const PASSWORD_CHECKER: &str = "/usr/lib/squid/basic_ncsa_auth";

/// A running squid.
pub(crate) struct Squid {
    server: Server,
    authority: Authority,
}

impl Squid {
    fn open(origin: &Origin) -> Self {
        Self::start(origin.refused_ports(), |_| {
            "http_access allow all".to_owned()
        })
    }

    fn with_password(origin: &Origin) -> Self {
        Self::start(origin.refused_ports(), only_known)
    }

    /// One that serves anybody, unless these lines of configuration, which come first, say otherwise.
    pub(crate) fn configured(lines: &str) -> Self {
        Self::start(NONE_REFUSED, |_| format!("{lines}\nhttp_access allow all"))
    }

    /// One that serves [`USER`].
    pub(crate) fn closed() -> Self {
        Self::start(NONE_REFUSED, only_known)
    }

    fn start(refused: [u16; 2], access: impl Fn(&Site) -> String) -> Self {
        let authority = Authority::new("proxies of the rig");
        let identity = authority.issue(&["localhost", "127.0.0.1"]);
        let [refused, refused_tls] = refused;
        let server = Server::start(&SQUID, 2, |site| {
            site.write("hosts", hosts());
            site.write("proxy.pem", &identity.certificate);
            site.write("proxy.key", &identity.key);
            let values = [
                ("HTTP", site.port(0).to_string()),
                ("HTTPS", site.port(1).to_string()),
                ("REFUSED", refused.to_string()),
                ("REFUSED_TLS", refused_tls.to_string()),
                ("ACCESS", access(site)),
            ];
            site.write_config("squid.conf", include_str!("conf/squid.conf"), &values);
            launch(site)
        });
        Squid { server, authority }
    }

    fn line(&self) -> Line {
        Line::new(format!("http://127.0.0.1:{}", self.server.port(0)))
    }

    fn line_with(&self, password: &str) -> Line {
        let port = self.server.port(0);
        Line::new(format!("http://{USER}:{password}@127.0.0.1:{port}"))
    }

    /// Its plain port.
    pub(crate) fn port(&self) -> u16 {
        self.server.port(0)
    }

    /// Its TLS port.
    pub(crate) fn tls_port(&self) -> u16 {
        self.server.port(1)
    }

    /// The authority of its certificate.
    pub(crate) fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// The list line of its TLS port.
    fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.server.port(1))
    }

    fn tls_line(&self) -> Line {
        Line::new(self.tls_url()).trusting(&self.authority.pem())
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        self.server.kill();
        forget(self.server.port(0));
    }
}

/// A squid that is killed leaves its shared memory behind, under names that begin with the service's.
pub(crate) fn forget(port: u16) {
    let prefix = service_name(port) + "-";
    let segments = std::fs::read_dir("/dev/shm")
        .into_iter()
        .flatten()
        .flatten();
    for segment in segments {
        if segment.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = std::fs::remove_file(segment.path());
        }
    }
}

/// Rules by which only [`USER`] is served.
fn only_known(site: &Site) -> String {
    site.write("users", format!("{USER}:{PASSWORD_HASH}\n"));
    let users = site.dir().join("users").display().to_string();
    [
        format!("auth_param basic program {PASSWORD_CHECKER} {users}"),
        "auth_param basic realm rig".to_owned(),
        "acl known proxy_auth REQUIRED".to_owned(),
        "http_access allow known".to_owned(),
        "http_access deny all".to_owned(),
    ]
    .join("\n")
}

/// How squid is started with the configuration `squid.conf` of its site.
pub(crate) fn launch(site: &Site) -> Launch {
    let config = site.dir().join("squid.conf").display().to_string();
    let service = service_name(site.port(0));
    let args = ["-N", "-n", &service, "-f", &config];
    Launch {
        args: args.map(str::to_owned).into(),
        own_names: false,
    }
}

/// Tells this squid's shared memory from that of every other on the machine; two of one name do not start side by side.
fn service_name(port: u16) -> String {
    format!("proxywheel{port}")
}

#[test]
fn pages_arrive_whole() {
    let origin = Origin::start();
    let proxy = Squid::open(&origin);
    scenario::pages_arrive_whole(&origin, &proxy.line());
}

#[test]
fn pages_arrive_whole_over_tls_to_the_proxy() {
    let origin = Origin::start();
    let proxy = Squid::open(&origin);
    scenario::pages_arrive_whole(&origin, &proxy.tls_line());
}

#[test]
fn pages_arrive_whole_with_a_password() {
    let origin = Origin::start();
    let proxy = Squid::with_password(&origin);
    scenario::pages_arrive_whole(&origin, &proxy.line_with(PASSWORD));
}

#[test]
fn a_proxy_certificate_is_verified_apart_from_the_targets() {
    let origin = Origin::start();
    let proxy = Squid::open(&origin);
    let urls = scenario::pages(&origin, 6);
    // `--cacert` vouches for targets, not for proxies.
    let line = Line::new(proxy.tls_url());
    let run = line.fetch(&origin, &urls).run();
    assert_eq!(run.code, 6, "{run}");
    assert!(run.rows.iter().all(|row| !row.is_ok()), "{run}");
    assert!(origin.hits(0).is_empty(), "{run}");

    let run = line.fetch(&origin, &urls).args(["--proxy-insecure"]).run();
    assert_eq!(run.code, 0, "{run}");
    run.rows.iter().for_each(|row| row.assert_page());
}

#[test]
fn redirects_and_compression_and_http2_work() {
    let origin = Origin::start();
    let proxy = Squid::open(&origin);
    scenario::redirects_and_compression_and_http2(&origin, &proxy.line());
}

#[test]
fn redirects_and_compression_and_http2_work_over_tls_to_the_proxy() {
    let origin = Origin::start();
    let proxy = Squid::open(&origin);
    scenario::redirects_and_compression_and_http2(&origin, &proxy.tls_line());
}

#[test]
fn a_wrong_password_stops_only_itself() {
    let origin = Origin::start();
    let proxy = Squid::with_password(&origin);
    // Another user's: of one user squid mixes up the passwords that it looks up at the same time.
    let right = proxy.line_with(PASSWORD);
    let wrong = Line::new(format!("http://nobody:wrong@127.0.0.1:{}", proxy.port()));
    scenario::a_wrong_password_stops_only_itself(&origin, &wrong, &right);
}

#[test]
fn a_missing_password_stops_only_itself() {
    let origin = Origin::start();
    let proxy = Squid::with_password(&origin);
    scenario::a_wrong_password_stops_only_itself(
        &origin,
        &proxy.line(),
        &proxy.line_with(PASSWORD),
    );
}

#[test]
fn a_refused_target_costs_no_other() {
    let origin = Origin::start();
    let proxy = Squid::open(&origin);
    scenario::a_refused_target_costs_no_other(&origin, &proxy.line(), &["proxy_error"]);
}

#[test]
fn a_target_that_is_down_costs_no_other() {
    let origin = Origin::start();
    let proxy = Squid::open(&origin);
    scenario::a_target_that_is_down_costs_no_other(&origin, &proxy.line(), Some(503));
}

#[test]
fn another_takes_over_when_it_is_killed() {
    let origin = Origin::start();
    let mut proxy = Squid::open(&origin);
    let line = proxy.line();
    scenario::another_takes_over_when_it_is_killed(&origin, &mut proxy.server, &line);
}

#[test]
fn the_run_ends_with_every_row_written_when_the_only_proxy_is_killed() {
    let origin = Origin::start();
    let mut proxy = Squid::open(&origin);
    let urls = scenario::pages(&origin, 120);
    let mut running = proxy
        .line()
        .fetch(&origin, &urls)
        .args(["--rate", "60/s", "-j", "4"])
        .start();
    running.wait_for_rows(20);
    proxy.server.kill();
    let run = running.finish();
    assert_eq!(run.code, 6, "{run}");
    let (done, lost): (Vec<_>, Vec<_>) = run.rows.iter().partition(|row| row.is_ok());
    assert!(done.len() >= 20 && !lost.is_empty(), "{run}");
    done.iter().for_each(|row| row.assert_page());
    for row in lost {
        assert!(
            matches!(row.outcome(), "skipped" | "proxy_error" | "network_error"),
            "{row}"
        );
    }
    // Not one of the lost was fetched past the proxy.
    assert!(
        origin
            .hits(done.len())
            .iter()
            .all(|hit| hit.peer == crate::rig::EXIT),
        "{run}"
    );
}
