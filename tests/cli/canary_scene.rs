//! What the canary tests search for, where, and the runs they search.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proxywheel::lab::{BanStyle, Errors, Fault, HostPlan, Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use tempfile::TempDir;

use crate::proxywheel;

/// In every secret.
pub(crate) const CORE: &str = "c4n4ry-7Qx";
/// The password of all proxies. Its odd characters change in every encoding.
pub(crate) const PASSWORD: &str = "c4n4ry-7Qx/ö#%41?=end";
pub(crate) const USER: &str = "wheel";

pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// What must not be found: the core as it is, with its dash percent-encoded, and at each of the three places it can have in
/// a base64 text, of which the letters that also depend on its neighbours are left off.
pub(crate) fn needles() -> Vec<String> {
    let mut needles = vec![
        CORE.to_owned(),
        encoded(CORE),
        encoded(CORE).replace("%2D", "%2d"),
    ];
    for lead in 0..3usize {
        let bytes = [&b"\0\0"[..lead], CORE.as_bytes()].concat();
        for text in [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            let from = (lead * 8).div_ceil(6);
            let to = bytes.len() * 8 / 6;
            needles.push(text[from..to].to_owned());
        }
    }
    needles.push(encoded(&encoded(CORE)));
    needles.push(CORE.to_uppercase());
    needles
}

/// The first needle in `bytes`, with what stands around it.
pub(crate) fn found(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    needles().into_iter().find_map(|needle| {
        let at = text.find(&needle)?;
        let before: String = text[..at].chars().rev().take(200).collect();
        let before: String = before.chars().rev().collect();
        let after: String = text[at..].chars().take(200).collect();
        Some(format!("{needle:?} in …{before}{after}…"))
    })
}

pub(crate) fn assert_clean(what: &str, bytes: &[u8]) {
    if let Some(found) = found(bytes) {
        panic!("{what}: {found}");
    }
}

/// Asserts that no file below `dir` and no name of one holds a canary, but for the files the test wrote itself.
pub(crate) fn assert_files_clean(dir: &Path, own: &[&str]) -> usize {
    let mut seen = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_clean("the name of a file", name.as_bytes());
        if path.is_dir() {
            seen += assert_files_clean(&path, &[]);
        } else if !own.contains(&name.as_str()) {
            assert_clean(&path.display().to_string(), &fs::read(&path).unwrap());
            seen += 1;
        }
    }
    seen
}

/// A lab in which every kind of thing happens to a proxy with a password.
pub(crate) fn lab() -> Lab {
    let proxy = |scheme| ProxySpec::new(scheme).credentials(USER, PASSWORD);
    let lab = Lab::builder()
        .seed(7)
        .host(
            "flaky.test",
            HostPlan {
                errors: Some(Errors {
                    percent: 40,
                    status: 503,
                }),
                ..HostPlan::default()
            },
        )
        .host("down.test", HostPlan::down())
        .host(
            "shy.test",
            HostPlan {
                banned_percent: 30,
                banned_style: BanStyle::Forbidden,
                ..HostPlan::default()
            },
        )
        // 0..8: they serve.
        .proxies(6, proxy(Scheme::Http))
        .proxies(2, proxy(Scheme::Socks5))
        // 8..: they do not.
        // A refused password stops everybody who shares it, so these have another user.
        .proxy(
            ProxySpec::new(Scheme::Http)
                .credentials("other", PASSWORD)
                .fault(Fault::Auth407),
        )
        .proxy(
            ProxySpec::new(Scheme::Socks5)
                .credentials("another", PASSWORD)
                .fault(Fault::Auth407),
        )
        .proxy(proxy(Scheme::Http).fault(Fault::Refuse))
        .proxy(proxy(Scheme::Http).fault(Fault::Reset))
        .proxy(proxy(Scheme::Http).fault(Fault::Garbage))
        .proxy(proxy(Scheme::Http).fault(Fault::ConnectStatus(403)))
        .proxy(proxy(Scheme::Http).fault(Fault::ForeignPage))
        .proxy(proxy(Scheme::Http).fault(Fault::TlsIntercept))
        .proxy(proxy(Scheme::Https));
    Lab::spawn_thread(lab).unwrap()
}

/// The lab's proxies, each written in another form, and lines that are none.
pub(crate) fn list(lab: &Lab) -> String {
    let at = |number: u32| {
        let proxy = lab.proxy(number);
        format!("{}:{}", proxy.host(), proxy.port())
    };
    let secret = encoded(PASSWORD);
    let mut lines = vec![
        format!("http://{USER}:{secret}@{}", at(0)),
        format!("{}:{USER}:{PASSWORD}", at(1)),
        format!("{USER}:{secret}@{}", at(2)),
        format!("{USER}:{secret}:{}", at(3)),
        format!("{}@{USER}:{secret}", at(4)),
        format!("http://{USER}:${{SECRET}}@{} tag=a", at(5)),
    ];
    lines.extend((6..lab.len() as u32).map(|number| lab.proxy_url(number)));
    // None of these is a proxy.
    lines.extend([
        format!("http://{USER}:{secret}@{}:99999", "127.1.0.1"),
        format!("{}:{USER}:{PASSWORD}:{PASSWORD}:x", at(0)),
        format!("ftp://{USER}:{secret}@{}", at(0)),
        format!("http://{USER}:{secret}@{} {PASSWORD}=1", at(0)),
        format!("http://{USER}:{secret}@{} weight={PASSWORD}", at(0)),
        format!("http://{USER}:{secret}@{} country={PASSWORD}", at(0)),
        format!("{USER}:{PASSWORD}@"),
        format!("http://{USER}:{PASSWORD}"),
        PASSWORD.to_string(),
        format!("http://{USER}:{secret}@[::1:80"),
        format!("{PASSWORD}://{USER}:{secret}@{}", at(0)),
        format!("http://{USER}-{{sesion}}:{secret}@{} sessions=3", at(0)),
        format!("http://{USER}:${{{CORE}"),
        format!("{}:{PASSWORD}", "127.1.0.1"),
    ]);
    lines.join("\n") + "\n"
}

/// The same proxies as JSON lines, one of them broken.
pub(crate) fn json_list(lab: &Lab) -> String {
    let mut list = String::new();
    for number in 0..3 {
        let proxy = lab.proxy(number);
        let row = serde_json::json!({
            "host": proxy.host(), "port": proxy.port(), "username": USER, "password": PASSWORD,
        });
        list += &format!("{row}\n");
    }
    list + &format!(
        "{{\"host\": 5, \"password\": \"{PASSWORD}\"}}\n\
         {{\"host\": \"127.1.0.1\", \"port\": \"{PASSWORD}\", \"password\": \"{PASSWORD}\"}}\n\
         {{\"host\": \"127.1.0.1\", \"password\": \"{PASSWORD}\n"
    )
}

pub(crate) fn csv_list(lab: &Lab) -> String {
    let proxy = lab.proxy(0);
    format!(
        "ip,port,user,pass\n{},{},{USER},\"{PASSWORD}\"\n127.1.0.1,{PASSWORD},{USER},{PASSWORD}\n,,{USER},{PASSWORD}\n",
        proxy.host(),
        proxy.port(),
    )
}

pub(crate) const URLS: &str = "http://plain.test/page/1\nhttps://secure.test/page/2\nhttp://flaky.test/page/3\n\
    https://flaky.test/page/4\nhttp://down.test/page/5\nhttps://down.test/page/6\nhttp://shy.test/page/7\n\
    https://shy.test/page/8\nhttp://plain.test/redirect/2\nhttp://plain.test/status/404\nhttps://captcha.test/captcha\n\
    http://plain.test/redirect-to?url=https://secure.test/page/9\nnot a url\nhttp://nowhere.invalid/\n\
    http://plain.test/page/10\nhttp://plain.test/page/11\nhttp://plain.test/page/12\nhttp://busy.test/retry-after/1\n";

/// A directory with lists, URLs, a configuration full of secrets and the lab's certificate.
pub(crate) fn scene(lab: &Lab) -> TempDir {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("list.txt", &list(lab));
    write("list.jsonl", &json_list(lab));
    write("list.csv", &csv_list(lab));
    write("urls.txt", URLS);
    write("ca.pem", lab.ca_pem());
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    write(
        "config.toml",
        &format!(
            "[fetch]\nuser = {}\nheader = [{}, {}, {}]\ncookie = [{}]\nproxy-file = [\"list.txt\", \"list.jsonl\", \"list.csv\"]\n\
             proxy = [{}]\ncacert = \"ca.pem\"\nproxy-cacert = \"ca.pem\"\nmax-time = \"5s\"\nconnect-timeout = \"2s\"\nretry = 1\n\
             retry-max-time = \"8s\"\n",
            quoted(&format!("alice:{PASSWORD}")),
            quoted(&format!("X-Api-Key: {CORE}")),
            quoted(&format!("Authorization: Bearer {CORE}")),
            quoted(&format!("Cookie: session={CORE}")),
            quoted(&format!("id={CORE}")),
            quoted(&lab.proxy_url(0)),
        ),
    );
    dir
}

pub(crate) const OWN: [&str; 6] = [
    "list.txt",
    "list.jsonl",
    "list.csv",
    "urls.txt",
    "ca.pem",
    "config.toml",
];

/// The program in `dir`, at its most talkative.
pub(crate) fn talkative(dir: &Path, log: &str) -> Command {
    let mut command = proxywheel();
    command
        .current_dir(dir)
        .env("SECRET", PASSWORD)
        .env("RUST_BACKTRACE", "full")
        .env("RUST_LOG", "trace")
        .args([
            "fetch",
            "-vv",
            "--log-format",
            log,
            "--progress",
            "log",
            "-i",
            "urls.txt",
        ]);
    command
}

pub(crate) fn assert_output_clean(what: &str, output: &Output) {
    assert_clean(&format!("{what}: stdout"), &output.stdout);
    assert_clean(&format!("{what}: stderr"), &output.stderr);
}
