//! No secret the program is given comes out of it, whatever happens to the proxies it is for.
//!
//! Every place that takes a credential gets a canary: proxy lists in all forms of a line, broken ones too, the configuration,
//! variables, flags, the address of a list. Then everything the program writes is searched for it, in the clear,
//! percent-encoded and in base64.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proxywheel::proxy::Scheme;
use tempfile::TempDir;

use crate::proxywheel;

use crate::canary_scene::{
    CORE, OWN, PASSWORD, URLS, USER, assert_clean, assert_files_clean, assert_output_clean,
    encoded, found, lab, list, scene, talkative,
};

#[test]
fn the_search_finds_a_canary_in_every_encoding() {
    let credentials = format!("{USER}:{PASSWORD}");
    for lead in ["", "a", "ab", "abc"] {
        for text in [
            format!("{lead}{credentials}"),
            format!("{lead}{}", encoded(&credentials)),
            STANDARD_NO_PAD.encode(format!("{lead}{credentials}")),
            URL_SAFE_NO_PAD.encode(format!("{lead}{credentials}")),
        ] {
            assert!(found(text.as_bytes()).is_some(), "{text}");
        }
    }
    assert!(found(b"wheel:(redacted)@127.1.0.1").is_none());
}

#[test]
fn no_output_holds_a_secret_whatever_the_proxies_do() {
    let lab = lab();
    for (format, log) in [("jsonl", "text"), ("csv", "json"), ("json", "text")] {
        let dir = scene(&lab);
        let output = talkative(dir.path(), log)
            .args([
                "--config",
                "config.toml",
                "--format",
                format,
                "--headers",
                "--attempts",
                "full",
            ])
            .args([
                "--body",
                "file",
                "--save-dir",
                "bodies",
                "--stats",
                "stats.json",
                "--state",
                "state.db",
            ])
            .args([
                "-o",
                "out",
                "-w",
                "%{url_effective} %{http_code} %{proxy}\\n",
            ])
            .output()
            .expect("runs");
        assert_output_clean(format, &output);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(dir.path().join("out").exists(), "{stderr}");
        let out = fs::read_to_string(dir.path().join("out")).unwrap();
        for outcome in ["ok", "proxy_error", "invalid_url"] {
            assert!(out.contains(outcome), "{outcome}: {out}\n{stderr}");
        }
        let files = assert_files_clean(dir.path(), &OWN);
        assert!(files > 3, "{files} files");
    }
    assert!(lab.stats().proxy_total().auth_failures > 0);
}

#[test]
fn rows_on_standard_output_hold_no_secret_from_flags_or_variables() {
    let lab = lab();
    for log in ["text", "json"] {
        let dir = scene(&lab);
        // A pool of one would wait for the end of every ban.
        let bans = ["shy", "captcha", "retry-after"];
        let urls: String = URLS
            .lines()
            .filter(|url| !bans.iter().any(|ban| url.contains(ban)))
            .map(|url| format!("{url}\n"))
            .collect();
        fs::write(dir.path().join("urls.txt"), &urls).unwrap();
        let output = talkative(dir.path(), log)
            .env("PROXYWHEEL_PROXY", lab.proxy_url(0))
            .env("PROXYWHEEL_USER", format!("alice:{PASSWORD}"))
            .args(["--cacert", "ca.pem", "--headers", "--attempts", "full"])
            .args([
                "-H",
                &format!("Authorization: Bearer {CORE}"),
                "-b",
                &format!("id={CORE}"),
            ])
            .args(["--retry", "0", "-m", "5"])
            .output()
            .expect("runs");
        assert_output_clean("variables", &output);
        let rows = String::from_utf8_lossy(&output.stdout).lines().count();
        assert_eq!(
            rows,
            urls.lines().count(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let output = talkative(dir.path(), log)
            .args([
                "-x",
                &lab.proxy_url(1),
                "-u",
                &format!("alice:{PASSWORD}"),
                "--body",
                "inline",
            ])
            .args(["-k", "--retry", "0", "-m", "5"])
            .output()
            .expect("runs");
        assert_output_clean("flags", &output);
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn config_show_holds_no_secret() {
    let lab = lab();
    let dir = scene(&lab);
    let show = |variables: &[(&str, String)], words: &[&str]| {
        let mut command = proxywheel();
        command
            .current_dir(dir.path())
            .args(["config", "show"])
            .args(words);
        for (name, value) in variables {
            command.env(name, value);
        }
        command.output().expect("runs")
    };
    let output = show(&[], &["--config", "config.toml"]);
    assert_output_clean("config", &output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("(redacted)"));
    let secret = encoded(PASSWORD);
    for line in list(&lab).lines() {
        let output = show(&[("PROXYWHEEL_PROXY", line.to_owned())], &[]);
        // A line without an `@`, a second field or a space is a host name for all anyone can tell.
        if !line.starts_with("c4n4ry") {
            assert_output_clean(line, &output);
        }
    }
    for (name, value) in [
        ("PROXYWHEEL_USER", format!("alice:{PASSWORD}")),
        (
            "PROXYWHEEL_HEADER",
            format!("Authorization: {CORE}\nProxy-Authorization: {CORE}\nX-Auth-Token: {CORE}"),
        ),
        ("PROXYWHEEL_COOKIE", format!("id={CORE}")),
        ("PROXYWHEEL_DATA", format!("password={CORE}")),
        ("PROXYWHEEL_JSON", format!("{{\"password\":\"{CORE}\"}}")),
        (
            "PROXYWHEEL_PROXY_FILE",
            format!("https://u:{secret}@h.test/{CORE}/list?token={CORE}"),
        ),
        ("PROXYWHEEL_REFERER", format!("https://u:{secret}@h.test/")),
    ] {
        let output = show(&[(name, value)], &[]);
        assert_output_clean(name, &output);
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn complaints_about_a_secret_do_not_repeat_it() {
    let dir = TempDir::new().unwrap();
    let secret = encoded(PASSWORD);
    let url = "http://plain.test/";
    let cases: Vec<Vec<String>> = [
        vec!["-u", CORE],
        vec!["-b", CORE],
        vec!["-H", &format!("Authorization {CORE}")],
        vec!["-H", &format!("Authorization: {CORE}\r\nX: {CORE}")],
        vec!["-H", &format!("Authorization: {CORE}\u{7f}")],
        vec!["-b", &format!("id={CORE}\u{1}")],
        vec!["-x", &format!("http://{USER}:{secret}@127.1.0.1:99999")],
        vec!["-x", &format!("ftp://{USER}:{secret}@127.1.0.1:80")],
        vec!["-x", &format!("127.1.0.1:99999:{USER}:{PASSWORD}")],
        vec!["-x", &format!("http://{USER}:{secret}@")],
        vec!["-x", &format!("http://{USER}:{secret}@[::1")],
        vec!["-x", &format!("http://{USER}:${{{CORE}}}@127.1.0.1:80")],
        vec![
            "-x",
            &format!("http://{USER}:{secret}@127.1.0.1:80 weight={CORE}"),
        ],
        vec![
            "--proxy-file",
            &format!("https://u:{secret}@127.0.0.1:1/{CORE}?token={CORE}"),
        ],
        vec![
            "--proxy-file",
            &format!("http://u:{secret}@127.0.0.1:1/{CORE}?token={CORE}"),
        ],
        vec!["--proxy-file", &format!("https://[::1/{CORE}")],
    ]
    .into_iter()
    .map(|words| words.into_iter().map(str::to_owned).collect())
    .collect();
    for words in cases {
        for log in ["text", "json"] {
            let mut command = proxywheel();
            command
                .current_dir(dir.path())
                .args(["fetch", "-vv", "--log-format", log, url]);
            if words[0] != "-x" && words[0] != "--proxy-file" {
                command.args(["-x", "127.1.0.1:1"]);
            }
            let output = command.args(&words).output().expect("runs");
            assert_ne!(output.status.code(), Some(0), "{words:?}");
            assert_ne!(output.status.code(), Some(1), "{words:?}");
            assert_output_clean(&format!("{words:?}"), &output);
        }
    }
    // The same in a file, where the complaint names the place.
    for (key, value) in [
        ("user", format!("{CORE:?}")),
        ("cookie", format!("[{CORE:?}]")),
        ("header", format!("[{:?}]", format!("Authorization {CORE}"))),
        (
            "proxy",
            format!("[{:?}]", format!("http://{USER}:{secret}@127.1.0.1:99999")),
        ),
        ("proxy", format!("{{ password = {CORE:?} }}")),
        ("user", format!("{CORE:?} {CORE:?}")),
        ("user", format!("\"{CORE}")),
        ("user", format!("[{CORE:?}]")),
        ("proxy-password", format!("{CORE:?}")),
    ] {
        fs::write(
            dir.path().join("c.toml"),
            format!("[fetch]\n{key} = {value}\n"),
        )
        .unwrap();
        let output = proxywheel()
            .current_dir(dir.path())
            .args(["fetch", "-vv", "--config", "c.toml", url])
            .output()
            .expect("runs");
        assert_ne!(output.status.code(), Some(0), "{key} = {value}");
        assert_output_clean(&format!("{key} = {value}"), &output);
    }
}

#[test]
fn the_password_of_a_judge_or_target_is_not_repeated() {
    let lab = lab();
    let dir = scene(&lab);
    let secret = encoded(PASSWORD);
    let with = |url: String| url.replace("://", &format!("://{USER}:{secret}@"));
    let judge = with(lab.judge_url(false));
    let target = format!("http://{USER}:{secret}@plain.test/page/1");
    let silent = format!("http://{USER}:{secret}@127.0.0.1:9/judge/");
    let lost = |judge: &str| vec!["--judge".to_owned(), judge.to_owned()];
    let both = [lost(&judge), lost(&silent)].concat();
    let rows = [both.clone(), vec!["--url".into(), target]].concat();
    let leak = [both, vec!["--leak".into()]].concat();
    for words in [lost(&silent), rows, leak] {
        for log in ["text", "json"] {
            let output = proxywheel()
                .current_dir(dir.path())
                .args(["check", "list.txt", "-m", "2s", "--format", "jsonl", "-vv"])
                .args(["--no-state", "--log-format", log, "--summary", log])
                .env("SECRET", PASSWORD)
                .args(&words)
                .output()
                .expect("runs");
            assert_output_clean(&format!("{words:?}"), &output);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(stderr.contains("does not answer directly"), "{stderr}");
        }
    }
}

/// Answers one request after the other with the text of `answer`, on a thread that ends with the process.
fn serve(answer: impl Fn(usize) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { continue };
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n")
                && reader.read_line(&mut head).is_ok_and(|read| read > 0)
            {}
            let _ = stream.write_all(answer(n).as_bytes());
        }
    });
    port
}

fn page(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn the_token_in_the_address_of_a_list_is_not_repeated() {
    let lab = lab();
    let dir = scene(&lab);
    // Targets that are down or ban make a run wait; here it is about the list.
    let urls: String = (0..6)
        .map(|n| format!("http://plain.test/page/{n}\n"))
        .collect();
    fs::write(dir.path().join("urls.txt"), urls).unwrap();
    let good = list(&lab);
    for (what, answer) in [
        ("a list", page("200 OK", &good)),
        ("an error", page("403 Forbidden", CORE)),
        (
            "a redirect to nowhere",
            format!(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/{CORE}\r\nContent-Length: 0\r\n\r\n"
            ),
        ),
        (
            "a page",
            page("200 OK", &format!("<html>{PASSWORD}</html>")),
        ),
        ("nothing", String::new()),
    ] {
        let port = serve(move |_| answer.clone());
        for log in ["text", "json"] {
            let address = format!("http://me:{CORE}@127.0.0.1:{port}/{CORE}/list.txt?token={CORE}");
            let output = talkative(dir.path(), log)
                .args([
                    "--proxy-file",
                    &address,
                    "--cacert",
                    "ca.pem",
                    "--retry",
                    "0",
                    "-m",
                    "5",
                ])
                .output()
                .expect("runs");
            assert_output_clean(what, &output);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                what == "a list",
                output.stdout.len() > 500,
                "{what}: {stderr}"
            );
        }
    }
}

/// A child that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_list_read_again_in_the_middle_of_a_run_shows_no_secret() {
    let lab = lab();
    let dir = scene(&lab);
    // Two at a time through proxies that answer honestly: three seconds.
    let urls: String = (0..20)
        .map(|n| format!("http://plain.test/delay/300?n={n}\n"))
        .collect();
    fs::write(dir.path().join("urls.txt"), urls).unwrap();
    let foreign = lab.proxy_url(14);
    let list: String = list(&lab)
        .lines()
        .filter(|line| *line != foreign)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(dir.path().join("list.txt"), &list).unwrap();
    let token = format!("/{CORE}/list");
    // The list behind an address is there at first and gone later.
    let answer = list.clone();
    let port = serve(move |n| {
        if n == 0 {
            page("200 OK", &answer)
        } else {
            page("404 Not Found", PASSWORD)
        }
    });
    let address = format!("http://127.0.0.1:{port}{token}");
    for lists in [
        vec!["--proxy-file", "list.txt"],
        vec!["--proxy-file", "list.txt", "--proxy-file", &address],
    ] {
        let mut child = Running(
            talkative(dir.path(), "text")
                .args(lists)
                .args(["-j", "2", "--retry", "0", "--overwrite", "-o", "out.jsonl"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("runs"),
        );
        let mut stderr = BufReader::new(child.0.stderr.take().unwrap());
        let mut said = Vec::new();
        let mut reloads = 0;
        // Progress lines show that it runs; every one of the first is answered with a reload.
        while stderr.read_until(b'\n', &mut said).expect("reads") > 0 {
            let text = String::from_utf8_lossy(&said);
            let heard = text.matches("proxy list read again").count()
                + text.matches("stays as it was").count();
            let progress = text.lines().any(|line| line.contains("/s"));
            if progress && heard == reloads && reloads < 2 {
                let pid = child.0.id().to_string();
                let sent = Command::new("kill")
                    .args(["-HUP", &pid])
                    .status()
                    .expect("kill");
                assert!(sent.success());
                reloads += 1;
            }
        }
        let mut stdout = Vec::new();
        child
            .0
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut stdout)
            .unwrap();
        assert!(reloads > 0, "{}", String::from_utf8_lossy(&said));
        let text = String::from_utf8_lossy(&said);
        assert!(
            text.contains("proxy list read again") || text.contains("stays as it was"),
            "{text}"
        );
        assert_clean("stderr", &said);
        assert_clean("stdout", &stdout);
        assert_files_clean(dir.path(), &OWN);
    }
}

/// What a panic message or a log line could print: everything that holds a secret, in its debug form.
#[test]
fn debug_forms_hold_no_secret() {
    use proxywheel::client::Client;
    use proxywheel::egress::CookieSource;
    use proxywheel::proxy::list::{Options, ProxyList};
    use proxywheel::secret::Secret;

    let lab = lab();
    let env = |name: &str| (name == "SECRET").then(|| PASSWORD.to_owned());
    let options = Options {
        default_scheme: Scheme::Http,
        env: &env,
        remote: false,
        presets: None,
        only_working: false,
    };
    let parsed = ProxyList::read("list.txt", list(&lab).as_bytes(), &options);
    assert!(parsed.proxies.len() > 10);
    assert_clean("the list", format!("{parsed:?} {parsed:#?}").as_bytes());
    for reject in &parsed.report.rejects {
        assert_clean("a reject", format!("{reject} {reject:?}").as_bytes());
    }
    for proxy in &parsed.proxies {
        assert_clean("a proxy", format!("{proxy:?}").as_bytes());
        let password = proxy.credentials().unwrap().password.expose();
        assert!(password.contains(CORE) || password.contains(&encoded(CORE)));
    }
    let client = Client::builder()
        .proxies(parsed.proxies)
        .configure(|settings| {
            let cookie = Secret::new(format!("id={CORE}"));
            settings.egress.cookies = vec![CookieSource::Literal(cookie)];
        });
    assert_clean("the builder", format!("{client:?}").as_bytes());
    let client = client.build().unwrap();
    assert_clean("the client", format!("{client:?}").as_bytes());
}
