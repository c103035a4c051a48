//! What stands at the other end: nginx, Apache, Varnish and haproxy, each with its stock error pages, over http and https.
//!
//! Whatever forward proxy lies between, these pages are the target's: no proxy is charged for one, and a refusal by status alone is
//! no ban.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use crate::haproxy::{HAPROXY, Haproxy};
use crate::microsocks::Microsocks;
use crate::nginx::NGINX;
use crate::odd::Odd;
use crate::privoxy::Privoxy;
use crate::rig::{ClosedPort, Launch, PASSWORD_HASH, Program, Server, Site, TARGET, USER, target};
use crate::run::{Fetch, Run};
use crate::squid::Squid;
use crate::tinyproxy::Tinyproxy;
use crate::tls::{Authority, Identity};
use crate::told;

const APACHE: Program = Program {
    name: "apache2",
    package: "apache2",
};

const VARNISH: Program = Program {
    name: "varnishd",
    package: "varnish",
};

/// Debian's folder of Apache's modules.
const APACHE_MODULES: &str = "/usr/lib/apache2/modules";

/// The page of all four that is as it should be.
const FINE: &str = "<!doctype html><title>fine</title><p>a page of the target</p>\n";

/// What each server answers for these paths, as [`told::words`] has it. The last cell is for a plain answer passed on by a proxy
/// that does not sign what it passes on: the page of a gateway, or of a haproxy, may then be the proxy's own.
const TOLD: &str = "
nginx   /fine.html      | ok 200 nobody -
nginx   /301            | ok 200 nobody -
nginx   /401            | http_error 401 target -
nginx   /403            | http_error 403 target -
nginx   /404            | http_error 404 target -
nginx   /429            | rate_limited 429 pair status.429
nginx   /500            | http_error 500 target -
nginx   /502            | http_error 502 target - | http_error 502 unknown -
nginx   /503            | http_error 503 target -
nginx   /503-limit      | http_error 503 target -
nginx   /504            | http_error 504 target - | http_error 504 unknown -
apache  /fine.html      | ok 200 nobody -
apache  /301            | ok 200 nobody -
apache  /401            | http_error 401 target -
apache  /403            | http_error 403 target -
apache  /404            | http_error 404 target -
apache  /410            | http_error 410 target -
apache  /429            | rate_limited 429 pair apache.too_many
apache  /451            | http_error 451 target -
apache  /500            | http_error 500 target -
apache  /502            | http_error 502 target - | proxy_error 502 unknown apache.proxy_error
apache  /503            | http_error 503 target -
apache  /504            | http_error 504 target - | http_error 504 unknown -
varnish /fine.html      | ok 200 nobody -
varnish /403            | http_error 403 target -
varnish /403-waf        | banned 403 pair varnish.waf
varnish /404            | http_error 404 target -
varnish /405            | http_error 405 target -
varnish /429            | rate_limited 429 pair status.429
varnish /503            | http_error 503 target varnish.origin
varnish /503-synth      | http_error 503 target varnish.origin
haproxy /fine.html      | ok 200 nobody -
haproxy /200-monitor    | http_error 200 target haproxy.monitor | http_error 200 unknown haproxy.monitor
haproxy /403            | banned 403 pair haproxy.denied | proxy_error 403 proxy:policy haproxy.hop_denied
haproxy /404            | http_error 404 target -
haproxy /429            | rate_limited 429 pair haproxy.too_many
haproxy /502            | http_error 502 target haproxy.origin | http_error 502 unknown haproxy.origin
haproxy /503            | http_error 503 target haproxy.origin | http_error 503 unknown haproxy.origin
haproxy /503-empty      | http_error 503 target haproxy.origin | http_error 503 unknown haproxy.origin
haproxy /504            | http_error 504 target haproxy.origin | http_error 504 unknown haproxy.origin
";

/// The same servers asked as if they were proxies, for a target of some name: what the row tells of the answer to a plain request
/// for this path. (Nothing in a 403 of nginx or Apache tells which of them sent it; it counts as the target's.)
const AS_A_PROXY: &str = "
nginx   /502       | http_error 502 unknown -
nginx   /504       | http_error 504 unknown -
apache  /502       | proxy_error 502 unknown apache.proxy_error
apache  /504       | http_error 504 unknown -
haproxy /403       | proxy_error 403 proxy:policy haproxy.hop_denied
haproxy /429       | rate_limited 429 pair haproxy.too_many
haproxy /502       | http_error 502 unknown haproxy.origin
haproxy /503       | http_error 503 unknown haproxy.origin
haproxy /503-empty | http_error 503 unknown haproxy.origin
haproxy /504       | http_error 504 unknown haproxy.origin
";

/// The four servers, and what is behind them.
struct Edges {
    authority: Authority,
    nginx: Server,
    apache: Server,
    varnish: Server,
    haproxy: Server,
    _dead: ClosedPort,
}

impl Edges {
    fn start() -> Self {
        let authority = Authority::new("targets of the rig");
        let identity = authority.issue(&[TARGET, &format!("*.{TARGET}")]);
        let (dead, odd) = (ClosedPort::new(), Odd::start());
        let (dead_port, odd) = (dead.port(), odd.port());
        let nginx = Server::start(&NGINX, 2, |site| {
            prepare(site, &identity);
            let values = [("DEAD", dead_port), ("ODD", odd)];
            configure(
                site,
                "nginx.conf",
                include_str!("conf/edges-nginx.conf"),
                &values,
            );
            launch(&["-p", ".", "-e", "stderr", "-c", "nginx.conf"])
        });
        // The first request to each is within its limit, and none for a minute after it.
        for path in ["/429", "/503-limit"] {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, nginx.port(0)))
                .expect("nginx has just been seen listening");
            let request = format!("GET {path} HTTP/1.0\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let apache = Server::start(&APACHE, 2, |site| {
            prepare(site, &identity);
            let dir = Path::new(APACHE_MODULES);
            assert!(dir.is_dir(), "no {APACHE_MODULES} (package apache2)");
            let template = include_str!("conf/apache.conf").replace("@MODULES@", APACHE_MODULES);
            let values = [("DEAD", dead_port), ("ODD", odd)];
            configure(site, "apache.conf", &template, &values);
            let config = site.dir().join("apache.conf").display().to_string();
            launch(&["-D", "FOREGROUND", "-f", &config])
        });
        let behind = nginx.port(0);
        let varnish = Server::start(&VARNISH, 1, |site| {
            let values = [("DEAD", dead_port), ("BEHIND", behind)];
            configure(site, "rig.vcl", include_str!("conf/varnish.vcl"), &values);
            let own = |name: &str| site.dir().join(name).display().to_string();
            let listen = format!("127.0.0.1:{}", site.port(0));
            let (config, workdir) = (own("rig.vcl"), own("varnish"));
            let mut args = vec!["-F", "-a", &listen, "-f", &config, "-n", &workdir];
            args.extend(["-T", "none", "-s", "malloc,16m"]);
            args.extend(["-p", "thread_pools=1", "-p", "thread_pool_min=10"]);
            // One megabyte of log instead of eighty.
            args.extend(["-p", "vsl_space=1m"]);
            launch(&args)
        });
        let haproxy = Server::start(&HAPROXY, 3, |site| {
            site.write("both.pem", identity.certificate.clone() + &identity.key);
            let values = [
                ("DEAD", dead_port),
                ("ODD", odd),
                ("BEHIND", behind),
                ("VARNISH_TLS", site.port(2)),
                ("VARNISH", varnish.port(0)),
            ];
            configure(
                site,
                "haproxy.cfg",
                include_str!("conf/edges-haproxy.cfg"),
                &values,
            );
            launch(&["-db", "-f", "haproxy.cfg"])
        });
        Edges {
            authority,
            nginx,
            apache,
            varnish,
            haproxy,
            _dead: dead,
        }
    }

    /// The URL of a path of one of the four, by this name of the target's.
    fn url(&self, host: &str, server: &str, path: &str, is_tls: bool) -> String {
        let port = match (server, is_tls) {
            ("nginx", _) => self.nginx.port(usize::from(is_tls)),
            ("apache", _) => self.apache.port(usize::from(is_tls)),
            ("haproxy", _) => self.haproxy.port(usize::from(is_tls)),
            (_, true) => self.haproxy.port(2),
            (_, false) => self.varnish.port(0),
        };
        let scheme = if is_tls { "https" } else { "http" };
        format!("{scheme}://{host}:{port}{path}")
    }

    /// Every line of [`TOLD`] over http and https, and what is expected of it through a proxy that signs or one that does not.
    fn expected(&self, signs: bool) -> Vec<(String, String)> {
        let mut expected = Vec::new();
        for (n, line) in TOLD.trim().lines().enumerate() {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let (server, path) = cells[0].split_once(' ').expect("a server and a path");
            for is_tls in [true, false] {
                let unsigned = cells.get(2).filter(|_| !is_tls && !signs);
                let words = *unsigned.unwrap_or(&cells[1]);
                let url = self.url(&target(n), server, path.trim(), is_tls);
                expected.push((url, words.to_owned()));
            }
        }
        expected
    }
}

/// Pages, users and the certificate, as every one of them wants them.
fn prepare(site: &Site, identity: &Identity) {
    site.write("edge.pem", &identity.certificate);
    site.write("edge.key", &identity.key);
    site.write("www/fine.html", FINE);
    site.write("users", format!("{USER}:{PASSWORD_HASH}\n"));
}

/// Writes a configuration with its first two ports as `HTTP` and `HTTPS`, and these.
fn configure(site: &Site, name: &str, template: &str, values: &[(&str, u16)]) {
    let mut all: Vec<_> = values
        .iter()
        .map(|(key, port)| (*key, port.to_string()))
        .collect();
    for (index, key) in ["HTTP", "HTTPS"].into_iter().enumerate() {
        if template.contains(&format!("@{key}@")) {
            all.push((key, site.port(index).to_string()));
        }
    }
    site.write_config(name, template, &all);
}

fn launch(args: &[&str]) -> Launch {
    Launch {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        own_names: false,
    }
}

fn fetch(edges: &Edges, proxy: &str, more: Option<&str>, expected: &[(String, String)]) -> Run {
    let urls: Vec<_> = expected.iter().map(|(url, _)| url.clone()).collect();
    let mut fetch = Fetch::new(&urls, &[proxy.to_owned()])
        .file_arg("--cacert", "ca.pem", &edges.authority.pem())
        .args([
            "--retry",
            "0",
            "--no-hedge",
            "-j",
            "8",
            "--max-proxies-per-url",
            "1",
        ]);
    if let Some(pem) = more {
        fetch = fetch.file_arg("--proxy-cacert", "proxy-ca.pem", pem);
    }
    fetch.run()
}

/// The lines of [`TOLD`] that do not hold, through every proxy.
fn through_proxies(edges: &Edges) -> Vec<String> {
    let squid = Squid::configured("");
    let tinyproxy = Tinyproxy::configured("");
    let privoxy = Privoxy::with_actions("");
    let haproxy = Haproxy::open(Tinyproxy::configured(""));
    let microsocks = Microsocks::open();
    let http = |port: u16| format!("http://127.0.0.1:{port}");
    let tls = format!("https://localhost:{}", haproxy.tls_port());
    let pem = haproxy.authority_pem();
    // SOCKS carries bytes and answers nothing itself.
    let proxies = [
        ("squid", http(squid.port()), None, true),
        ("tinyproxy", http(tinyproxy.server.port(0)), None, true),
        ("privoxy", http(privoxy.server.port(0)), None, false),
        ("haproxy", tls, Some(&*pem), true),
        ("microsocks", microsocks.url(), None, true),
    ];
    std::thread::scope(|scope| {
        let runs = proxies.map(|(name, url, pem, signs)| {
            scope.spawn(move || {
                let expected = edges.expected(signs);
                let run = fetch(edges, &url, pem, &expected);
                told::differences(name, &run, &expected)
            })
        });
        let runs = runs.into_iter();
        runs.flat_map(|run| run.join().expect("a run")).collect()
    })
}

/// The lines of [`AS_A_PROXY`] that do not hold.
fn as_proxies(edges: &Edges) -> Vec<String> {
    std::thread::scope(|scope| {
        let runs = ["nginx", "apache", "haproxy"].map(|server| {
            scope.spawn(move || {
                let lines = AS_A_PROXY.trim().lines().enumerate();
                let expected = lines.filter_map(|(n, line)| {
                    let (what, words) = line.split_once('|').expect("two cells");
                    let path = what.strip_prefix(server)?.trim();
                    Some((
                        format!("http://{}{path}", target(n)),
                        words.trim().to_owned(),
                    ))
                });
                let expected: Vec<_> = expected.collect();
                let proxy = edges.url("127.0.0.1", server, "", false);
                let run = fetch(edges, &proxy, None, &expected);
                told::differences(server, &run, &expected)
            })
        });
        let runs = runs.into_iter();
        runs.flat_map(|run| run.join().expect("a run")).collect()
    })
}

#[test]
fn a_stock_error_page_is_the_targets_unless_the_proxy_may_have_written_it() {
    let edges = Edges::start();
    let wrong = [through_proxies(&edges), as_proxies(&edges)].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
