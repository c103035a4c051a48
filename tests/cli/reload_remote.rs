//! Proxy lists from an address: validators, failures, servers that hang.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use insta::assert_snapshot;
use proxywheel::lab::Lab;

use crate::running::{Rig, Running, until, urls};

/// What the server has and does.
#[derive(Debug, Clone)]
enum Answer {
    /// This list, under this version.
    List(String, &'static str),
    /// A status without a body.
    Status(u16),
    /// Nothing, ever.
    Silence,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    /// `If-None-Match` of each request.
    asked: Vec<Option<String>>,
    /// Requests answered 304.
    unchanged: usize,
    /// Connections that are left without an answer.
    held: Vec<TcpStream>,
    ended: bool,
}

/// A server of one proxy list.
struct ListServer {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl ListServer {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State {
            answer,
            asked: Vec::new(),
            unchanged: 0,
            held: Vec::new(),
            ended: false,
        }));
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut state = shared.lock().expect("no panic");
                if state.ended {
                    return;
                }
                // A client that gives up is its own business.
                let _ = serve(stream.expect("accepted"), &mut state);
            }
        });
        ListServer {
            state,
            address,
            thread: Some(thread),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    fn url(&self) -> String {
        format!("http://{}/t0ken/list", self.address)
    }
}

impl Drop for ListServer {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.ended = true;
            state.held.clear();
        }
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            // A panic of the server has failed the test already.
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, state: &mut State) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut wanted = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("if-none-match")
        {
            wanted = Some(value.trim().to_owned());
        }
    }
    let mut stream = reader.into_inner();
    state.asked.push(wanted.clone());
    match &state.answer {
        Answer::List(_, version) if wanted.as_deref() == Some(version) => {
            state.unchanged += 1;
            write!(
                stream,
                "HTTP/1.1 304 Not Modified\r\netag: {version}\r\nconnection: close\r\n\r\n"
            )
        }
        Answer::List(list, version) => write!(
            stream,
            "HTTP/1.1 200 OK\r\netag: {version}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{list}",
            list.len()
        ),
        Answer::Status(status) => write!(
            stream,
            "HTTP/1.1 {status} Status\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ),
        Answer::Silence => {
            state.held.push(stream);
            Ok(())
        }
    }
}

/// A long run whose list comes from a server.
fn from_server(words: &str) -> (Rig, ListServer, Running) {
    let rig = Rig::new(Lab::builder().perfect(2), &urls(600, "/delay/200?"));
    let server = ListServer::start(Answer::List(rig.lab.proxy_url(0), "\"v1\""));
    let words = format!(
        "-i urls.txt -o out.jsonl -j 2 --proxy-file {} {words}",
        server.url()
    );
    let running = Running::start(&mut rig.fetch(&words));
    until("requests", || rig.requests() >= 3);
    (rig, server, running)
}

#[test]
fn an_unchanged_list_costs_a_header_and_a_new_one_is_used() {
    let (rig, server, mut running) = from_server("--proxy-refresh 1s");
    until("an unchanged list", || server.state().unchanged >= 1);
    assert_eq!(
        server.state().asked[..2],
        [None, Some("\"v1\"".to_owned())],
        "the version is shown from the second time on"
    );

    // A server in trouble, a page that is no list: the pool stays, and the path of the address is not told.
    server.state().answer = Answer::Status(503);
    until("a warning", || running.said().contains("503"));
    server.state().answer = Answer::List("<html>log in</html>".into(), "\"v2\"");
    until("a reason", || running.said().contains("HTML or XML"));
    let said = running.said();
    assert!(!said.contains("t0ken"), "{said}");
    let first: Vec<&str> = said.lines().take(2).collect();
    assert_snapshot!(
        first.join("\n").replace(&server.address.to_string(), "HOST"),
        @r"
    warning: the proxy list stays as it was: cannot fetch http://HOST/…: the server answered 503 Service Unavailable
    hint: check the address, or save the list and name the file
    "
    );
    let before = rig.requests();
    until("the old list in use", || rig.requests() >= before + 2);

    server.state().answer = Answer::List(rig.lab.proxy_url(1), "\"v3\"");
    until("the new list", || rig.lab.stats().proxies[1].requests >= 3);
    running.signal("INT");
    assert_eq!(running.wait().code(), Some(130), "{}", running.said());
    assert!(rig.rows("out.jsonl").iter().all(|row| row.outcome == "ok"));
}

#[test]
fn a_server_that_hangs_holds_up_neither_requests_nor_signals() {
    let (rig, server, mut running) = from_server("");
    server.state().answer = Answer::Silence;
    running.signal("HUP");
    until("a request for the list", || !server.state().held.is_empty());
    let before = rig.requests();
    until("requests meanwhile", || rig.requests() >= before + 4);
    running.signal("INT");
    let asked = std::time::Instant::now();
    assert_eq!(running.wait().code(), Some(130), "{}", running.said());
    assert!(
        asked.elapsed() < Duration::from_secs(40),
        "the list would have been given up after 60 s"
    );
}

#[test]
fn a_run_whose_list_cannot_be_fetched_does_not_start() {
    let rig = Rig::new(Lab::builder().perfect(1), &urls(1, "/page/"));
    let server = ListServer::start(Answer::Status(404));
    let words = format!("-i urls.txt -o out.jsonl --proxy-file {}", server.url());
    let (code, said) = rig.run(&words);
    assert_eq!(code, Some(3), "{said}");
    assert_snapshot!(said.replace(&server.address.to_string(), "HOST"), @r"
    error: cannot fetch http://HOST/…: the server answered 404 Not Found
    hint: check the address, or save the list and name the file
    ");
    assert!(!rig.path("out.jsonl").exists());
}
