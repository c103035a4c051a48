//! A server that answers as no real one can be made to: it hangs, hangs up, resets, and talks nonsense, by the path it is asked
//! for.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::SockRef;

/// Longest time for which a connection is left hanging: longer than any time limit of the tests.
const HANG: Duration = Duration::from_secs(60);

/// Serves until the test process ends.
pub(crate) struct Odd {
    port: u16,
}

impl Odd {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::with_answers(&[])
    }

    /// Starts one that knows these paths besides its own, each with the whole answer to it.
    pub(crate) fn with_answers(answers: &[(&str, String)]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("the bound address").port();
        let answers: Vec<_> = answers
            .iter()
            .map(|(path, answer)| ((*path).to_owned(), answer.clone()))
            .collect();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answers = answers.clone();
                std::thread::spawn(move || serve(stream, &answers));
            }
        });
        Odd { port }
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

fn serve(mut stream: TcpStream, answers: &[(String, String)]) {
    let _ = stream.set_read_timeout(Some(HANG));
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&request);
    let path = text.split(' ').nth(1).unwrap_or_default();
    // A gateway may pass on the whole URL.
    let path = path.strip_prefix("http://").map_or(path, |rest| {
        rest.find('/').map_or("/", |start| &rest[start..])
    });
    let page = |headers: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
    };
    let answer = match path {
        "/hang" => {
            // Until the other side has had enough.
            let _ = stream.read(&mut piece);
            return;
        }
        "/close" => return,
        "/reset" => {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            return;
        }
        "/garbage" => "all work and no play\r\n".repeat(20) + "\r\n",
        "/two" => page("Content-Length: 5\r\n", "fine"),
        "/big" => page("", &"x".repeat(20_000)),
        "/long" => page(&format!("X: {}\r\n", "x".repeat(20_000)), "fine"),
        "/keep" => page(
            "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nCache-Control: max-age=999999999\r\nETag: \"1\"\r\n",
            "kept",
        ),
        _ => answers
            .iter()
            .find(|(known, _)| known == path)
            .map_or_else(|| page("", "fine"), |(_, answer)| answer.clone()),
    };
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.flush();
}
