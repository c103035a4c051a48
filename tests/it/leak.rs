//! What targets can learn about who asks, and who asks whom: the real program, and the lab as its only way out.
//!
//! Whom the program talks to is taken from the kernel: it runs under strace, which shows every address it connects or sends
//! to and every file a name service would read. What arrives is taken from the lab's origins.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use proxywheel::lab::{Errors, Fault, Hit, HostPlan, Lab, ProxySpec, address_of};
use proxywheel::proxy::Scheme;
use regex::Regex;
use tempfile::TempDir;

/// What a run of the program did, as the kernel saw it.
pub(crate) struct Traced {
    code: Option<i32>,
    rows: Vec<serde_json::Value>,
    stderr: String,
    /// Addresses it connected to.
    connected: BTreeSet<IpAddr>,
    /// Calls that send to or connect to anything that is not an internet stream.
    other: Vec<String>,
    /// Files it opened that only a look-up of names reads.
    names: BTreeSet<String>,
}

impl Traced {
    /// Asserts that all it did on the network was to connect to these addresses.
    fn assert_only(&self, allowed: impl IntoIterator<Item = Ipv4Addr>) {
        let allowed: BTreeSet<IpAddr> = allowed.into_iter().map(IpAddr::V4).collect();
        let strange: Vec<_> = self.connected.difference(&allowed).collect();
        assert!(
            strange.is_empty(),
            "connected to {strange:?}\n{}",
            self.stderr
        );
        assert!(self.other.is_empty(), "{:#?}", self.other);
        assert!(self.names.is_empty(), "looked up a name: {:?}", self.names);
    }

    fn outcomes(&self) -> BTreeMap<String, usize> {
        let mut outcomes = BTreeMap::new();
        for row in &self.rows {
            *outcomes
                .entry(row["outcome"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        outcomes
    }
}

/// Runs `fetch` under strace in `dir`, without any variable of the user's.
pub(crate) fn traced(dir: &Path, words: &[&str]) -> Traced {
    let log = dir.join("trace");
    let output = Command::new("strace")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args([
            "-f",
            "-qq",
            "-s",
            "256",
            "-e",
            "trace=%network,open,openat,openat2",
            "-o",
        ])
        .arg(&log)
        .args(["-E", "PATH", env!("CARGO_BIN_EXE_proxywheel"), "fetch"])
        .args(words)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("strace runs (Debian package strace)");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let trace = fs::read_to_string(&log).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let to =
        Regex::new(r#"sa_family=(\w+), sin_port=htons\(\d+\), sin_addr=inet_addr\("([^"]+)"\)"#)
            .unwrap();
    let opened = Regex::new(r#"open(?:at2?)?\((?:\w+, )?"([^"]+)""#).unwrap();
    let read_by_names = [
        "resolv.conf",
        "hosts",
        "nsswitch.conf",
        "gai.conf",
        "host.conf",
        "libnss_",
        "libresolv",
    ];
    let mut traced = Traced {
        code: output.status.code(),
        rows: String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        stderr,
        connected: BTreeSet::new(),
        other: Vec::new(),
        names: BTreeSet::new(),
    };
    assert!(opened.is_match(&trace), "strace has seen nothing: {trace}");
    for line in trace.lines() {
        if let Some(path) = opened.captures(line).map(|found| found[1].to_owned())
            && read_by_names
                .iter()
                .any(|name| path.rsplit('/').next().unwrap().starts_with(name))
        {
            traced.names.insert(path);
        }
        // Who is sent to is told by the address in the call; a stream's own `sendto` has none.
        let calls = ["connect(", "sendto(", "sendmsg(", "sendmmsg("];
        let call = calls.iter().any(|call| line.contains(call));
        if call && line.contains("sa_family=") {
            match to.captures(line) {
                Some(found) if &found[1] == "AF_INET" && line.contains("connect(") => {
                    traced.connected.insert(found[2].parse().unwrap());
                }
                _ => traced.other.push(line.to_owned()),
            }
        }
        if line.contains("socket(AF_INET") && !line.contains("SOCK_STREAM")
            || line.contains("socket(AF_")
                && !line.contains("socket(AF_INET, ")
                && !line.contains("AF_UNIX, SOCK_STREAM")
        {
            traced.other.push(line.to_owned());
        }
    }
    traced
}

/// A directory with the lab's list, its certificates and `urls`.
pub(crate) fn scene(lab: &Lab, urls: &[String]) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("list.txt"), lab.proxy_list()).unwrap();
    fs::write(dir.path().join("ca.pem"), lab.ca_pem()).unwrap();
    fs::write(dir.path().join("urls.txt"), urls.join("\n")).unwrap();
    dir
}

pub(crate) const PLAIN: [&str; 14] = [
    "-i",
    "urls.txt",
    "--proxy-file",
    "list.txt",
    "--cacert",
    "ca.pem",
    "--proxy-cacert",
    "ca.pem",
    "-m",
    "20",
    "--connect-timeout",
    "5",
    "--format",
    "jsonl",
];

/// Every scheme of a proxy that can carry a name. SOCKS4 cannot, and is not to be helped out by looking the name up.
pub(crate) const SCHEMES: [Scheme; 5] = [
    Scheme::Http,
    Scheme::Https,
    Scheme::Socks4a,
    Scheme::Socks5,
    Scheme::Socks5h,
];

fn addresses(lab: &Lab) -> Vec<Ipv4Addr> {
    (0..lab.len() as u32).map(address_of).collect()
}

/// Asserts that everything came through a proxy, from the proxy's own address.
pub(crate) fn assert_from_proxies(hits: &[Hit]) {
    assert!(!hits.is_empty());
    for hit in hits {
        let number = hit
            .proxy
            .unwrap_or_else(|| panic!("came by itself: {hit:?}"));
        assert_eq!(hit.peer, IpAddr::V4(address_of(number)), "{hit:?}");
    }
}

/// What the two tests below rest on: the trace shows a target that is connected to and a name that is looked up.
#[tokio::test]
async fn the_trace_shows_direct_connections_and_names_looked_up() {
    let lab = Lab::spawn_thread(Lab::builder().record_hits(10)).unwrap();
    let dir = TempDir::new().unwrap();
    let url = format!("http://{}/page/1", lab.origin_address());
    let direct = traced(dir.path(), &["-x", "direct", &url]);
    assert_eq!(
        direct.outcomes(),
        BTreeMap::from([("ok".to_owned(), 1)]),
        "{}",
        direct.stderr
    );
    assert!(direct.connected.contains(&lab.origin_address().ip()));
    assert_eq!(lab.take_hits()[0].proxy, None);
    let named = traced(dir.path(), &["-x", "http://no-such-proxy.invalid:1", &url]);
    assert!(
        !named.names.is_empty(),
        "{:?} {:?}",
        named.other,
        named.connected
    );
    lab.stop().await;
}

#[tokio::test]
async fn the_program_talks_to_proxies_only_and_looks_up_no_target() {
    let mut lab = Lab::builder()
        .seed(8)
        .every_host(HostPlan {
            errors: Some(Errors {
                percent: 20,
                status: 500,
            }),
            ..HostPlan::default()
        })
        .record_hits(10_000);
    for scheme in SCHEMES {
        lab = lab.proxies(2, ProxySpec::new(scheme));
    }
    // These make for retries.
    lab = lab
        .proxy(ProxySpec::new(Scheme::Http).fault(Fault::DiesAfter {
            requests: 5,
            revives_after_ms: None,
        }))
        .proxy(ProxySpec::new(Scheme::Http).fault(Fault::KeepaliveClose))
        .proxy(ProxySpec::new(Scheme::Socks5).fault(Fault::ConnectStatus(500)));
    let lab = Lab::spawn_thread(lab).unwrap();
    let origin = lab.origin_address();
    let mut urls = Vec::new();
    for n in 0..12 {
        for base in ["http://a.test", "https://b.test"] {
            urls.push(format!("{base}/page/{n}"));
            urls.push(format!("{base}/redirect/2?n={n}"));
            urls.push(format!(
                "{base}/redirect-to?n={n}&url=http://{origin}/page/from-test-{n}"
            ));
            urls.push(format!(
                "{base}/redirect-to?n={n}&url=https://{origin}/page/from-test-{n}"
            ));
        }
        for base in [format!("http://{origin}"), format!("https://{origin}")] {
            urls.push(format!("{base}/page/{n}"));
            urls.push(format!("{base}/redirect/1?n={n}"));
            urls.push(format!(
                "{base}/redirect-to?n={n}&url=https://c.test/page/{n}"
            ));
        }
    }
    let dir = scene(&lab, &urls);
    let run = traced(
        dir.path(),
        &[&PLAIN[..], &["--rotate", "round-robin", "--retry", "5"]].concat(),
    );
    assert_eq!(run.rows.len(), urls.len(), "{}", run.stderr);
    run.assert_only(addresses(&lab));
    let hits = lab.take_hits();
    assert_from_proxies(&hits);
    // Each way was really gone: both protocols through each scheme to the real listener, redirects into it and retries.
    let at_origin: Vec<_> = hits
        .iter()
        .filter(|hit| hit.host == origin.ip().to_string())
        .collect();
    for (number, scheme) in SCHEMES.iter().enumerate() {
        for https in [false, true] {
            let came = at_origin.iter().any(|hit| {
                hit.proxy.is_some_and(|proxy| proxy / 2 == number as u32) && hit.https == https
            });
            assert!(came, "{scheme} https={https}");
        }
    }
    assert!(at_origin.iter().any(|hit| hit.path.contains("from-test")));
    assert!(
        run.rows
            .iter()
            .any(|row| row["attempts"].as_u64() > Some(1) && row["outcome"] == "ok")
    );
    let ok = run.outcomes()["ok"];
    assert!(
        ok > urls.len() / 2,
        "{ok} of {}: {}",
        urls.len(),
        run.stderr
    );
    // No proxy knows these names, and none of them may be asked of anybody else. In a run of its own: a proxy that has not
    // served yet and cannot reach the first host it is asked for is set aside.
    let urls = [
        "http://no-such-host.invalid/",
        "https://no-such-host.invalid/",
        "http://a.test/redirect-to?url=http://elsewhere.invalid/",
    ]
    .map(str::to_owned);
    let dir = scene(&lab, &urls);
    let run = traced(dir.path(), &PLAIN);
    assert_eq!(run.rows.len(), urls.len(), "{}", run.stderr);
    run.assert_only(addresses(&lab));
    assert_from_proxies(&lab.take_hits());
    lab.stop().await;
}

#[tokio::test]
async fn without_a_usable_proxy_nothing_is_connected_to_but_proxies() {
    let refusing = |scheme| ProxySpec::new(scheme).fault(Fault::Refuse);
    let wanted = |scheme| ProxySpec::new(scheme).credentials("u", "p");
    let unwanted = |scheme| wanted(scheme).fault(Fault::Auth407);
    let schemes = [Scheme::Http, Scheme::Https, Scheme::Socks5, Scheme::Socks5h];
    let pools: [(&str, Vec<ProxySpec>); 4] = [
        ("all refuse", SCHEMES.map(refusing).to_vec()),
        ("all retired", schemes.map(unwanted).to_vec()),
        ("all retired in the middle", schemes.map(wanted).to_vec()),
        ("empty", Vec::new()),
    ];
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own watches a program in a process of its own"
    )]
    let runs = pools.map(|(what, specs)| {
        tokio::task::spawn_blocking(move || {
            let lab = specs
                .into_iter()
                .fold(Lab::builder().record_hits(10_000), |lab, spec| {
                    lab.proxy(spec)
                });
            let lab = Lab::spawn_thread(lab).unwrap();
            let origin = lab.origin_address();
            let urls: Vec<_> = (0..20)
                .flat_map(|n| {
                    [
                        format!("http://{origin}/delay/50?n={n}"),
                        format!("https://{origin}/delay/50?n={n}"),
                        format!("http://a.test/redirect-to?n={n}&url=http://{origin}/page/{n}"),
                    ]
                })
                .collect();
            let dir = scene(&lab, &urls);
            let stops = ["--on-no-proxy", "stop", "--retry", "1", "-j", "2"];
            let run = std::thread::scope(|scope| {
                let run = scope.spawn(|| traced(dir.path(), &[&PLAIN[..], &stops].concat()));
                while what == "all retired in the middle" && !run.is_finished() {
                    if lab.hits().len() >= 4 {
                        (0..lab.len() as u32)
                            .for_each(|number| lab.set_faults(number, vec![Fault::Auth407]));
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                run.join().unwrap()
            });
            run.assert_only(addresses(&lab));
            let hits = lab.take_hits();
            if what == "empty" {
                assert!(run.connected.is_empty() && run.rows.is_empty(), "{what}");
            } else {
                assert_eq!(run.rows.len(), urls.len(), "{what}");
                assert!(!run.connected.is_empty(), "{what}");
                assert_eq!(run.code, Some(6), "{what}: {}", run.stderr);
            }
            match what {
                "all retired in the middle" => assert_from_proxies(&hits),
                _ => assert!(hits.is_empty(), "{what}: {hits:?}"),
            }
        })
    });
    for run in runs {
        run.await.unwrap();
    }
}

#[tokio::test]
async fn socks4_gets_addresses_and_never_a_name_looked_up_for_it() {
    let lab = Lab::builder()
        .record_hits(100)
        .proxies(2, ProxySpec::new(Scheme::Socks4));
    let lab = Lab::spawn_thread(lab).unwrap();
    let origin = lab.origin_address();
    let urls = [
        format!("http://{origin}/page/1"),
        format!("https://{origin}/page/2"),
    ];
    let dir = scene(&lab, &urls);
    let run = traced(dir.path(), &PLAIN);
    assert_eq!(
        run.outcomes(),
        BTreeMap::from([("ok".to_owned(), 2)]),
        "{}",
        run.stderr
    );
    run.assert_only(addresses(&lab));
    assert_from_proxies(&lab.take_hits());
    // The name goes to the proxy, which does not know what to do with it.
    fs::write(dir.path().join("urls.txt"), "http://localhost/\n").unwrap();
    let run = traced(
        dir.path(),
        &[&PLAIN[..], &["--retry", "0", "--max-proxies-per-url", "1"]].concat(),
    );
    assert_eq!(run.rows.len(), 1);
    assert_eq!(run.rows[0]["ok"], false);
    run.assert_only(addresses(&lab));
    assert!(!run.connected.is_empty());
    assert!(lab.take_hits().is_empty());
    lab.stop().await;
}
