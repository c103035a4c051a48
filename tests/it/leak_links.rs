//! Nothing links two exits, and nothing is added to a request.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_core::Stream;
use proxywheel::client::{Client, Settings};
use proxywheel::egress::{self, CookieSource};
use proxywheel::job::{Job, RequestSpec};
use proxywheel::lab::{GatewaySpec, Hit, Lab, ProxySpec};
use proxywheel::pool;
use proxywheel::proxy::Scheme;
use proxywheel::secret::Secret;

use crate::leak::{SCHEMES, assert_from_proxies, scene};

/// A list of jobs as a stream.
struct Jobs(std::vec::IntoIter<Job>);

impl Stream for Jobs {
    type Item = Job;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Job>> {
        std::task::Poll::Ready(self.0.next())
    }
}

/// Fetches `jobs` through the lab and gives what its hosts saw, in order.
async fn hits_of(lab: &Lab, settings: Settings, jobs: Vec<Job>) -> Vec<Hit> {
    let ca = tempfile::NamedTempFile::new().unwrap();
    fs::write(ca.path(), lab.ca_pem()).unwrap();
    let client = Client::builder()
        .proxies(lab.proxies().into_iter().map(Arc::new))
        .configure(|own| {
            *own = settings;
            own.egress.cacert = Some(ca.path().to_owned());
        })
        .build()
        .unwrap();
    let expected = jobs.len();
    let mut run = client.run(Jobs(jobs.into_iter())).unwrap();
    let mut ok = 0;
    while let Some(done) = run.next().await {
        ok += usize::from(done.record.ok);
    }
    run.finish().await.unwrap();
    assert!(ok * 10 > expected * 9, "{ok} of {expected} ok");
    let mut hits = lab.take_hits();
    hits.sort_by_key(|hit| hit.at);
    hits
}

#[tokio::test]
async fn no_tls_session_is_carried_from_one_exit_to_another() {
    let gateway = |per_connection| GatewaySpec {
        exit: ProxySpec::new(Scheme::Http),
        user: "user".to_owned(),
        password: "pass".to_owned(),
        exits: 4,
        per_connection,
    };
    let lab = Lab::builder()
        .record_hits(10_000)
        .proxies(3, ProxySpec::new(Scheme::Http))
        .proxies(3, ProxySpec::new(Scheme::Socks5))
        .gateway(gateway(true))
        .gateway(gateway(false));
    let lab = Lab::spawn_thread(lab).unwrap();
    let request = Arc::new(RequestSpec::default());
    let mut jobs = Vec::new();
    for n in 0..400u64 {
        let url = format!("https://host{}.test/page/{n}", n % 2);
        let mut job = Job::new(n, &url, request.clone());
        // Each session has connections of its own, so there are many handshakes through each exit.
        job.session = (n % 4 == 0).then(|| format!("s{}", n % 20).into());
        jobs.push(job);
    }
    let settings = Settings {
        pool: pool::Settings {
            strategy: pool::Strategy::RoundRobin,
            ..pool::Settings::default()
        },
        ..Settings::default()
    };
    let hits = hits_of(&lab, settings, jobs).await;
    assert_from_proxies(&hits);
    let exits: BTreeSet<_> = hits.iter().map(|hit| hit.proxy).collect();
    let tunnels = lab.stats().proxy_total().tunnels;
    assert!(exits.len() >= 12, "{exits:?}");
    assert!(tunnels > 2 * exits.len() as u64, "{tunnels} tunnels");
    for hit in &hits {
        assert!(hit.https);
        assert_eq!(hit.resumed_from, None, "{hit:?}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn cookies_stay_with_the_exit_and_session_they_were_set_for() {
    let lab = Lab::builder()
        .record_hits(10_000)
        .proxies(3, ProxySpec::new(Scheme::Http))
        .proxies(2, ProxySpec::new(Scheme::Socks5));
    let lab = Lab::spawn_thread(lab).unwrap();
    let request = Arc::new(RequestSpec::default());
    let mut jobs = Vec::new();
    for n in 0..300u64 {
        let scheme = if n % 2 == 0 { "http" } else { "https" };
        // The cookie says which job set it and for which session.
        let session = (n % 3 > 0).then(|| format!("s{}", n % 7));
        let named = session.as_deref().unwrap_or("none");
        let url = format!("{scheme}://host{}.test/cookies/set?c{n}={named}", n % 2);
        let mut job = Job::new(n, &url, request.clone());
        job.session = session.map(Into::into);
        jobs.push(job);
    }
    let settings = Settings {
        egress: egress::Settings {
            cookies: vec![CookieSource::Literal(Secret::new("literal=1"))],
            ..egress::Settings::default()
        },
        pool: pool::Settings {
            strategy: pool::Strategy::RoundRobin,
            ..pool::Settings::default()
        },
        ..Settings::default()
    };
    let hits = hits_of(&lab, settings, jobs).await;
    // Which exit each cookie was set through. A job that is tried twice sets its cookie through two.
    let mut set_through: HashMap<&str, BTreeSet<Option<u32>>> = HashMap::new();
    let set = |hit: &Hit| {
        hit.path
            .split_once("/cookies/set?")
            .map(|(_, cookie)| cookie.to_owned())
    };
    let names: Vec<Option<String>> = hits.iter().map(set).collect();
    let mut carried = 0;
    for (hit, sets) in hits.iter().zip(&names) {
        let own = sets.as_deref().and_then(|cookie| cookie.split_once('='));
        let mut literal = false;
        let sent: Vec<_> = hit
            .header("cookie")
            .into_iter()
            .flat_map(|line| line.split("; "))
            .collect();
        for cookie in sent {
            if cookie == "literal=1" {
                literal = true;
                continue;
            }
            carried += 1;
            // A header in the log is cut at some length; what is left of its last cookie says nothing.
            let Some((name, session)) = cookie
                .split_once('=')
                .filter(|_| set_through.contains_key(cookie))
            else {
                continue;
            };
            assert!(
                set_through[cookie].contains(&hit.proxy),
                "{name} was not set through this exit: {hit:?}"
            );
            if let Some((_, own)) = own {
                assert_eq!(session, own, "{name} belongs to another session: {hit:?}");
            }
        }
        assert!(literal, "{hit:?}");
        if let Some(cookie) = sets {
            set_through.entry(cookie).or_default().insert(hit.proxy);
        }
    }
    assert!(carried > 300, "{carried} cookies were sent back");
    lab.stop().await;
}

/// The headers of the program's own and no others, in this order.
#[tokio::test]
async fn a_plain_request_has_exactly_the_documented_headers() {
    let mut lab = Lab::builder().record_hits(100);
    for scheme in SCHEMES {
        lab = lab.proxy(ProxySpec::new(scheme).credentials(
            "user",
            if scheme == Scheme::Socks4a {
                ""
            } else {
                "pass"
            },
        ));
    }
    let lab = Lab::spawn_thread(lab).unwrap();
    let origin = lab.origin_address();
    let dir = scene(&lab, &[]);
    let agent = concat!("proxywheel/", env!("CARGO_PKG_VERSION"));
    for number in 0..SCHEMES.len() as u32 {
        for (version, site) in [
            ("--http1.1", "http://a.test".to_owned()),
            ("--http1.1", "https://a.test".to_owned()),
            ("--http2", "https://a.test".to_owned()),
            ("--http1.1", format!("http://{origin}")),
            ("--http1.1", format!("https://{origin}")),
        ] {
            let url = format!("{site}/redirect/1");
            let output = Command::new(env!("CARGO_BIN_EXE_proxywheel"))
                .env_clear()
                .current_dir(dir.path())
                .args([
                    "fetch",
                    "-x",
                    &lab.proxy_url(number),
                    "--cacert",
                    "ca.pem",
                    "--proxy-cacert",
                    "ca.pem",
                    version,
                    &url,
                ])
                .stdin(Stdio::null())
                .output()
                .expect("runs");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let hits = lab.take_hits();
            assert_eq!(hits.len(), 2, "{url}");
            for hit in hits {
                let authority = site.split_once("://").unwrap().1;
                let mut expected = vec![
                    ("host", authority),
                    ("user-agent", agent),
                    ("accept", "*/*"),
                    ("accept-encoding", "gzip, deflate, br, zstd"),
                ];
                if hit.http2 {
                    expected.remove(0);
                }
                // A lab proxy that forwards to a real listener says that it will not ask again.
                let real = hit.host != "a.test" && !hit.https && number < 2;
                if real {
                    expected.push(("connection", "close"));
                }
                let headers: Vec<_> = hit
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_lowercase(), value.clone()))
                    .collect();
                let headers: Vec<_> = headers
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                assert_eq!(headers, expected, "{} {url}", SCHEMES[number as usize]);
                assert_eq!((hit.method.as_str(), hit.body_bytes), ("GET", 0));
                assert_eq!(hit.http2, version == "--http2");
            }
        }
    }
    lab.stop().await;
}
