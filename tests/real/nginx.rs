//! The target: nginx over http and https, with pages of known content, and what its own answers come to in the rows.

use std::time::{Duration, Instant};

use crate::microsocks::Microsocks;
use crate::rig::{ClosedPort, Launch, POLL, Program, Server, TARGET};
use crate::run::{Fetch, Row};
use crate::tls::Authority;

pub(crate) const NGINX: Program = Program {
    name: "nginx",
    package: "nginx-light",
};

/// Pages `/page/0` up to this.
const PAGES: usize = 200;

/// A running nginx.
pub(crate) struct Origin {
    server: Server,
    closed: ClosedPort,
    authority: Authority,
}

/// One line of the access log: who asked for what, and what the request said about the client.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) peer: String,
    pub(crate) is_tls: bool,
    pub(crate) status: u16,
    pub(crate) uri: String,
    pub(crate) host: String,
    pub(crate) via: String,
    pub(crate) forwarded_for: String,
    pub(crate) proxy_authorization: String,
    /// Bytes of the body.
    pub(crate) sent: u64,
}

impl Origin {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let authority = Authority::new("targets of the rig");
        let identity = authority.issue(&[TARGET, "localhost", "127.0.0.1"]);
        let server = Server::start(&NGINX, 4, |site| {
            for n in 0..PAGES {
                site.write(&format!("www/page/{n}"), page(n));
            }
            site.write("origin.pem", &identity.certificate);
            site.write("origin.key", &identity.key);
            site.write("ca.pem", authority.pem());
            let mut ports = 0_usize..;
            let values = ["HTTP", "HTTPS", "REFUSED", "REFUSED_TLS"].map(|key| {
                let index = ports.next().expect("an index for every key");
                (key, site.port(index).to_string())
            });
            site.write_config("nginx.conf", include_str!("conf/nginx.conf"), &values);
            let args = ["-p", ".", "-e", "stderr", "-c", "nginx.conf"];
            Launch {
                args: args.map(str::to_owned).into(),
                own_names: false,
            }
        });
        Origin {
            server,
            closed: ClosedPort::new(),
            authority,
        }
    }

    /// `http://` URL of a path.
    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://{TARGET}:{}{path}", self.server.port(0))
    }

    /// `https://` URL of a path.
    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://{TARGET}:{}{path}", self.server.port(1))
    }

    /// The same page of the same origin over http and https, on the two ports that the proxies' access rules refuse.
    pub(crate) fn refused(&self, n: usize) -> [String; 2] {
        let [http, https] = self.refused_ports();
        [
            format!("http://{TARGET}:{http}/page/{n}"),
            format!("https://{TARGET}:{https}/page/{n}"),
        ]
    }

    /// The two ports behind [`Origin::refused`], http and https.
    pub(crate) fn refused_ports(&self) -> [u16; 2] {
        [self.server.port(2), self.server.port(3)]
    }

    /// A page over http and https on a port where nothing listens.
    pub(crate) fn down(&self, n: usize) -> [String; 2] {
        let port = self.closed.port();
        [
            format!("http://{TARGET}:{port}/page/{n}"),
            format!("https://{TARGET}:{port}/page/{n}"),
        ]
    }

    /// The authority that `--cacert` has to name.
    pub(crate) fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// Puts a page where it is served from now on, in place of what was there.
    pub(crate) fn publish(&self, path: &str, text: &str) {
        self.server.write(&format!("www{path}"), text);
    }

    /// The access log, once it holds at least `expected` lines: nginx writes a line after the answer has left.
    pub(crate) fn hits(&self, expected: usize) -> Vec<Hit> {
        let begun = Instant::now();
        loop {
            let hits: Vec<_> = self
                .server
                .read("hits.txt")
                .lines()
                .map(|line| self.hit(line))
                .collect();
            if hits.len() >= expected || begun.elapsed() > Duration::from_secs(5) {
                return hits;
            }
            std::thread::sleep(POLL);
        }
    }

    fn hit(&self, line: &str) -> Hit {
        let fields: Vec<_> = line.split('|').collect();
        let field = |n: usize| fields[n].to_owned();
        let tls = [self.server.port(1), self.server.port(3)];
        Hit {
            peer: field(0),
            is_tls: tls.contains(&fields[1].parse().expect("a port")),
            status: fields[2].parse().expect("a status"),
            uri: field(3),
            host: field(4),
            via: field(5),
            forwarded_for: field(6),
            proxy_authorization: field(7),
            sent: fields[8].parse().expect("a count"),
        }
    }
}

/// Content of `/page/N`: compressible, and different in every line from every other page.
pub(crate) fn page(n: usize) -> String {
    let head = format!("<!doctype html><title>page {n}</title>\n");
    let lines = (0..80).map(|line| format!("<p>line {line} of page {n}</p>\n"));
    std::iter::once(head).chain(lines).collect()
}

#[test]
fn statuses_of_the_target_are_its_own_and_cost_the_proxy_nothing() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    let mut urls = Vec::new();
    for n in 0..6 {
        urls.extend(
            [origin.http("/status/404"), origin.https("/status/410")]
                .map(|url| format!("{url}?{n}")),
        );
        urls.push(origin.https(&format!("/page/{n}")));
    }
    let run = Fetch::new(&urls, &[proxy.url()]).trusting(&origin).run();
    assert_eq!(run.code, 4, "{run}");
    for row in &run.rows {
        if row.input().contains("/page/") {
            row.assert_page();
            continue;
        }
        assert_eq!(row.outcome(), "http_error", "{row}");
        let expected = if row.input().contains("404") {
            404
        } else {
            410
        };
        assert_eq!(row.status(), Some(expected), "{row}");
        assert_eq!(
            row.attempts().len(),
            1,
            "a final answer is not asked for again: {row}"
        );
        assert_eq!(row.attempts()[0].blame(), "target", "{row}");
    }
}

#[test]
fn a_server_error_is_retried_then_reported_and_the_proxy_keeps_working() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    let mut urls = vec![origin.https("/status/500")];
    urls.extend((0..8).map(|n| origin.https(&format!("/page/{n}"))));
    let run = Fetch::new(&urls, &[proxy.url()])
        .trusting(&origin)
        .args(["--retry", "1"])
        .run();
    assert_eq!(run.code, 4, "{run}");
    let broken = run.row(&urls[0]);
    assert_eq!(
        (broken.outcome(), broken.status()),
        ("http_error", Some(500)),
        "{broken}"
    );
    urls[1..].iter().for_each(|url| run.row(url).assert_page());
}

#[test]
fn an_unknown_authority_fails_its_target_and_no_other() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    let plain: Vec<_> = (0..12)
        .map(|n| origin.http(&format!("/page/{n}")))
        .collect();
    let tls: Vec<_> = (0..4)
        .map(|n| origin.https(&format!("/page/{n}")))
        .collect();
    let urls = [&plain[..6], &tls, &plain[6..]].concat();
    // No `--cacert`: the built-in authorities do not know the origin's.
    let fetch = || Fetch::new(&urls, &[proxy.url()]).args(["-j", "2"]);
    let run = fetch().run();
    assert_eq!(run.code, 4, "{run}");
    plain.iter().for_each(|url| run.row(url).assert_page());
    for row in tls.iter().map(|url| run.row(url)) {
        assert_eq!(row.outcome(), "tls_error", "{row}");
        assert_eq!(row.error_kind(), Some("certificate"), "{row}");
    }
    let run = fetch().args(["-k"]).run();
    assert_eq!(run.code, 0, "{run}");
    run.rows.iter().for_each(Row::assert_page);
}

#[test]
fn every_page_is_asked_for_exactly_once() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    let urls: Vec<_> = (0..PAGES)
        .map(|n| origin.https(&format!("/page/{n}")))
        .collect();
    let run = Fetch::new(&urls, &[proxy.url()]).trusting(&origin).run();
    assert_eq!(run.code, 0, "{run}");
    run.rows.iter().for_each(Row::assert_page);
    let mut uris: Vec<_> = origin.hits(PAGES).into_iter().map(|hit| hit.uri).collect();
    uris.sort();
    uris.dedup();
    assert_eq!(origin.hits(PAGES).len(), PAGES);
    assert_eq!(uris.len(), PAGES);
}

#[test]
fn an_unchanged_page_costs_one_304_and_no_body() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    let urls = [origin.https("/page/1"), origin.http("/page/1")];
    for url in &urls {
        let fetch = || Fetch::new(std::slice::from_ref(url), &[proxy.url()]).trusting(&origin);
        let first = fetch().run();
        let row = first.row(url);
        row.assert_page();
        for (header, field) in [
            ("If-None-Match", "etag"),
            ("If-Modified-Since", "last_modified"),
        ] {
            let condition = format!("{header}: {}", row.text(field));
            let again = fetch().args(["-H", &condition, "--min-bytes", "100"]).run();
            assert_eq!(again.code, 0, "{again}");
            let row = again.row(url);
            assert_eq!((row.outcome(), row.status()), ("ok", Some(304)), "{row}");
            assert_eq!(row.value("size_body"), &0, "{row}");
            assert_eq!(row.attempts().len(), 1, "{row}");
            assert_eq!(
                row.attempts()[0].blame(),
                "nobody",
                "the proxy is credited: {row}"
            );
        }
        // What has changed meanwhile comes whole.
        let stale = fetch().args(["-H", "If-None-Match: \"another\""]).run();
        stale.row(url).assert_page();
    }
    let unchanged = origin.hits(8).into_iter().filter(|hit| hit.status == 304);
    assert_eq!(unchanged.count(), 4);
}

#[test]
fn robots_txt_comes_through_the_proxy_before_the_pages_of_its_host() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    let urls: Vec<_> = (1..5)
        .map(|n| origin.https(&format!("/page/{n}")))
        .collect();
    let fetch = Fetch::new(&urls, &[proxy.url()]).trusting(&origin);
    let run = fetch.args(["--robots", "obey"]).run();
    assert_eq!(run.code, 4, "{run}");
    for (n, url) in (1..).zip(&urls) {
        let row = run.row(url);
        if n == 3 {
            assert_eq!(row.outcome(), "robots", "{row}");
            assert_eq!(row.error_kind(), Some("robots_disallowed"), "{row}");
        } else {
            row.assert_page();
        }
    }
    let hits = origin.hits(4);
    let uris: Vec<_> = hits.iter().map(|hit| &*hit.uri).collect();
    assert_eq!(uris[0], "/robots.txt", "{uris:?}");
    assert_eq!(uris.len(), 4, "{uris:?}");
    assert!(!uris.contains(&"/page/3"), "{uris:?}");
}
