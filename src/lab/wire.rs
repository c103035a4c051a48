//! The lab's own HTTP/1.1: reads request heads and bodies, bounded, and gathers an answer into one write.
//!
//! Hand-written because the lab sits in the denominator of every benchmark: a perfect proxy must cost less than the client
//! that is measured against it. It reads what clients send to proxies and servers and no more: no obsolete line folding, no
//! trailers, no upgrade.

use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::{Prefixed, Stream};

/// Largest request head, as of common servers.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Largest request body; what the lab's own clients send is far below.
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;
/// An output buffer beyond this is given back after the write.
const KEEP_OUT_BYTES: usize = 256 * 1024;

/// How much a client may send in one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Largest head; one that came together with its last bytes may be a read longer.
    pub(super) head_bytes: usize,
    pub(super) body_bytes: u64,
}

/// A connection with its buffers.
pub(super) struct Wire {
    stream: Stream,
    bounds: Bounds,
    input: BytesMut,
    /// The answer being put together; [`Wire::flush`] sends it.
    pub(super) out: Vec<u8>,
    sent: u64,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        let bounds = Bounds {
            head_bytes: MAX_HEAD_BYTES,
            body_bytes: MAX_BODY_BYTES,
        };
        Wire::bounded(stream, bounds)
    }

    pub(super) fn bounded(stream: Stream, bounds: Bounds) -> Self {
        Wire {
            stream,
            bounds,
            input: BytesMut::with_capacity(2048),
            out: Vec::new(),
            sent: 0,
        }
    }

    /// Reads the next request head; false when the client closed between requests.
    ///
    /// # Errors
    /// `InvalidData` for a head that is no HTTP or too large; otherwise what the socket says.
    pub(super) async fn read_head(&mut self, head: &mut Head) -> io::Result<bool> {
        let mut scanned = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.input[scanned..], b"\r\n\r\n") {
                let end = scanned + at + 4;
                head.parse(&self.input[..end])?;
                let _ = self.input.split_to(end);
                return Ok(true);
            }
            if self.input.len() > self.bounds.head_bytes {
                return Err(io::ErrorKind::InvalidData.into());
            }
            scanned = self.input.len().saturating_sub(3);
            if self.fill().await? == 0 {
                return match self.input.is_empty() {
                    true => Ok(false),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Reads the body that `head` announces.
    ///
    /// # Errors
    /// `InvalidData` for broken framing or a body out of bounds.
    pub(super) async fn read_body(&mut self, head: &Head) -> io::Result<Bytes> {
        let chunked = head
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length: u64 = match head.header("content-length") {
            Some(text) => text
                .parse()
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?,
            None => 0,
        };
        if !chunked && length == 0 {
            return Ok(Bytes::new());
        }
        if length > self.bounds.body_bytes {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if head
            .header("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.flush().await?;
        }
        if !chunked {
            return self.take(length as usize).await;
        }
        let mut body = BytesMut::new();
        loop {
            let line = self.read_line().await?;
            let digits = line.split(|b| *b == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
                .filter(|size| *size <= self.bounds.body_bytes - body.len() as u64)
                .ok_or(io::ErrorKind::InvalidData)?;
            if size > 0 {
                body.extend_from_slice(&self.take(size as usize).await?);
            }
            if !self.read_line().await?.is_empty() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if size == 0 {
                return Ok(body.freeze());
            }
        }
    }

    /// Exactly `length` bytes.
    pub(super) async fn take(&mut self, length: usize) -> io::Result<Bytes> {
        while self.input.len() < length {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.input.split_to(length).freeze())
    }

    /// The first byte of what comes next, left in place; `None` at the end of the stream.
    pub(super) async fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.input.is_empty() && self.fill().await? == 0 {
            return Ok(None);
        }
        Ok(self.input.first().copied())
    }

    /// Bytes up to `end`, which is taken but not returned; at most 512 of them.
    pub(super) async fn take_until(&mut self, end: u8) -> io::Result<Bytes> {
        loop {
            if let Some(at) = memchr::memchr(end, &self.input) {
                let mut taken = self.input.split_to(at + 1);
                taken.truncate(at);
                return Ok(taken.freeze());
            }
            if self.input.len() > 512 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read_line(&mut self) -> io::Result<Bytes> {
        let mut line = self.take_until(b'\n').await?;
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(line)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.input.reserve(2048);
        self.stream.read_buf(&mut self.input).await
    }

    /// Sends what is in `out`.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await?;
        self.sent += self.out.len() as u64;
        self.out.clear();
        self.out.shrink_to(KEEP_OUT_BYTES);
        Ok(())
    }

    /// Sends `bytes` as they are.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(bytes);
        self.flush().await
    }

    /// Bytes sent since the last call.
    pub(super) fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// Closes the sending side in order: TLS close_notify, then FIN.
    pub(super) async fn close(mut self) {
        // A client that has gone already needs no farewell.
        let _ = self.stream.shutdown().await;
    }

    /// Closes in order, and reads on until the client has closed too or has sent `most` further bytes: what arrives at a closed
    /// socket is answered with RST, which can take the last answer away from a client that is still sending.
    pub(super) async fn close_after_reading(mut self, most: usize) {
        let _ = self.stream.shutdown().await;
        let mut read = 0;
        while read <= most {
            self.input.clear();
            match self.fill().await {
                Ok(0) | Err(_) => break,
                Ok(length) => read += length,
            }
        }
    }

    /// The bare stream again, with what was read ahead in front.
    pub(super) fn into_stream(self) -> Stream {
        Prefixed::wrap(self.input.freeze(), self.stream)
    }
}

/// A request head. Reused for every request of a connection, so that steady traffic allocates nothing.
#[derive(Default)]
pub(super) struct Head {
    text: String,
    method: Range<usize>,
    target: Range<usize>,
    minor: u8,
    headers: Vec<(Range<usize>, Range<usize>)>,
}

impl Head {
    /// Takes in a whole head, blank line included.
    ///
    /// # Errors
    /// `InvalidData` for anything that is not HTTP/1.0 or 1.1.
    fn parse(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.text.clear();
        self.headers.clear();
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text.push_str(text),
            Err(_) => self.text.push_str(&String::from_utf8_lossy(bytes)),
        }
        self.index().ok_or(io::ErrorKind::InvalidData)?;
        Ok(())
    }

    fn index(&mut self) -> Option<()> {
        let text = self.text.as_str();
        // Some clients send an empty line between requests.
        let start = text.len() - text.trim_start_matches("\r\n").len();
        let end = start + text[start..].find("\r\n")?;
        let line = &text[start..end];
        let space = line.find(' ')?;
        let (target, version) = line[space + 1..].split_once(' ')?;
        self.minor = match version {
            "HTTP/1.1" => 1,
            "HTTP/1.0" => 0,
            _ => return None,
        };
        if space == 0 || target.is_empty() {
            return None;
        }
        self.method = start..start + space;
        self.target = start + space + 1..start + space + 1 + target.len();
        let mut at = end + 2;
        while !text[at..].starts_with("\r\n") {
            let length = text[at..].find("\r\n")?;
            let line = &text[at..at + length];
            let colon = line.find(':').filter(|colon| *colon > 0)?;
            let value = line[colon + 1..].trim();
            let value_at =
                at + colon + 1 + line[colon + 1..].len() - line[colon + 1..].trim_start().len();
            self.headers
                .push((at..at + colon, value_at..value_at + value.len()));
            at += length + 2;
        }
        Some(())
    }

    pub(super) fn method(&self) -> &str {
        &self.text[self.method.clone()]
    }

    pub(super) fn target(&self) -> &str {
        &self.text[self.target.clone()]
    }

    /// Name and value of each header, in order.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (&self.text[name.clone()], &self.text[value.clone()]))
    }

    /// The first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// True when the client means to send another request on this connection to a server.
    pub(super) fn keeps_alive(&self) -> bool {
        self.keeps_alive_by(&["connection"])
    }

    /// The same of a connection to a proxy, of which some clients speak in a header of their own.
    pub(super) fn keeps_proxy_alive(&self) -> bool {
        self.keeps_alive_by(&["connection", "proxy-connection"])
    }

    /// Both headers are lists and may come more than once; `close` anywhere is the last word (RFC 9112, section 9.3).
    fn keeps_alive_by(&self, names: &[&str]) -> bool {
        let is_named = |name: &str| names.iter().any(|one| name.eq_ignore_ascii_case(one));
        let wishes = || {
            let lists = self.headers().filter(|(name, _)| is_named(name));
            lists.flat_map(|(_, list)| list.split(',').map(str::trim))
        };
        let has = |wish: &str| wishes().any(|one| one.eq_ignore_ascii_case(wish));
        !has("close") && (self.minor == 1 || has("keep-alive"))
    }
}

/// Host, lower case and without brackets, and port of an authority; `None` for an invalid one.
pub(super) fn split_authority(authority: &str, default_port: u16) -> Option<(String, u16)> {
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, rest)| rest);
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return None;
    }
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => default_port,
    };
    Some((host.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> io::Result<Head> {
        let mut head = Head::default();
        head.parse(text.as_bytes()).map(|()| head)
    }

    #[test]
    fn heads_are_read_with_their_header_order() {
        let head = head("GET http://a.test/x HTTP/1.1\r\nHost:a.test\r\nX-Y:  two words \r\n\r\n")
            .unwrap();
        assert_eq!((head.method(), head.target()), ("GET", "http://a.test/x"));
        let headers: Vec<_> = head.headers().collect();
        assert_eq!(headers, [("Host", "a.test"), ("X-Y", "two words")]);
        assert!(head.keeps_alive());
    }

    #[test]
    fn a_connection_closes_when_any_value_of_its_header_says_so() {
        let keeps = |version: &str, headers: &str| {
            let mut head = Head::default();
            let text = format!("GET / HTTP/1.{version}\r\nHost: a.test\r\n{headers}\r\n");
            head.parse(text.as_bytes()).unwrap();
            (head.keeps_alive(), head.keeps_proxy_alive())
        };
        for (version, headers, kept) in [
            ("1", "", (true, true)),
            ("0", "", (false, false)),
            ("0", "Connection: Keep-Alive\r\n", (true, true)),
            ("1", "Connection: close, TE\r\n", (false, false)),
            (
                "1",
                "Connection: TE\r\nConnection: Close\r\n",
                (false, false),
            ),
            (
                "1",
                "Proxy-Connection: keep-alive\r\nConnection: close\r\n",
                (false, false),
            ),
            ("1", "Proxy-Connection: close\r\n", (true, false)),
            ("0", "Proxy-Connection: keep-alive\r\n", (false, true)),
        ] {
            assert_eq!(keeps(version, headers), kept, "1.{version} {headers}");
        }
    }

    #[test]
    fn authorities_split_at_the_port() {
        let split = |text| split_authority(text, 80);
        assert_eq!(split("A.test"), Some(("a.test".into(), 80)));
        assert_eq!(split("a.test:81"), Some(("a.test".into(), 81)));
        assert_eq!(split("[::1]:81"), Some(("::1".into(), 81)));
        assert_eq!(split("a.test:port"), None);
        assert_eq!(split(":80"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_head_or_an_error(bytes: Vec<u8>) {
            let mut head = Head::default();
            let _ = head.parse(&bytes);
            let mut bytes = bytes;
            bytes.splice(0..0, *b"GET / HTTP/1.1\r\n");
            bytes.extend_from_slice(b"\r\n\r\n");
            let _ = head.parse(&bytes);
            let _ = split_authority(&String::from_utf8_lossy(&bytes), 80);
        }
    }
}
