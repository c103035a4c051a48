//! What a judge tells a client of its own request, and how the client knows that nobody has rewritten it.
//!
//! A judge answers with the address it saw, the headers as they came, and the nonce it was asked with. The answer is signed
//! with a key of the judge's own, which the client learns on the direct path: so a proxy can neither give another address nor
//! take out a header it has added. The signature is the last member of the JSON object, over all bytes before it:
//!
//! ```json
//! {"v":1,"client":"192.0.2.7", … ,"nonce":"5f…","key":"…","signature":"…"}
//! ```
//!
//! This module is the vocabulary that both sides share. Serving is in `lab`, asking in `check`.

mod canary;
mod key;

pub use canary::canary;
pub use key::{Key, PublicKey};

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Version of the answer.
pub const VERSION: u8 = 1;

/// Longest nonce a judge repeats; what is longer is no nonce of ours.
pub const NONCE_MAX: usize = 64;

/// True for what a judge repeats: letters and digits, not too many.
pub fn is_nonce(text: &str) -> bool {
    (1..=NONCE_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The cookie that a judge's `/cookie` sets for this nonce: its name. Whoever sends it has made the request with that nonce.
pub fn cookie_name(nonce: &str) -> String {
    format!("{COOKIE}{nonce}")
}

/// The nonce in the name of such a cookie.
pub fn nonce_of_cookie(name: &str) -> Option<&str> {
    name.strip_prefix(COOKIE).filter(|nonce| is_nonce(nonce))
}

/// What the names of a judge's cookies begin with.
const COOKIE: &str = "judge-";

/// What stands between the answer and its signature.
const SIGNATURE: &[u8] = b",\"signature\":\"";

/// What a judge saw of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// [`VERSION`].
    pub v: u8,
    /// The address the request came from: the exit.
    pub client: IpAddr,
    /// The request came by https.
    pub https: bool,
    /// HTTP version, `1` or `2`.
    pub http: String,
    /// The method.
    pub method: String,
    /// The request target as it was written.
    pub target: String,
    /// Names and values in the order they came, names as they were written.
    pub headers: Vec<(String, String)>,
    /// The nonce of the request; absent when it had none.
    pub nonce: Option<String>,
    /// Where the TLS session came from, if it was resumed and not made anew: the address that it was first made from. Judges of
    /// before say nothing of it.
    #[serde(default)]
    pub resumed_from: Option<IpAddr>,
    /// The judge's clock, milliseconds since 1970.
    pub at_ms: i64,
    /// The public key of the signature, base64.
    pub key: String,
}

/// Why an answer is not a judge's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEcho {
    /// It is not an answer of a judge at all.
    Foreign,
    /// It is one, but was changed on the way.
    Altered,
    /// It is one of a judge with another key.
    WrongKey,
}

impl Echo {
    /// The signed answer.
    pub fn signed(&self, key: &Key) -> Vec<u8> {
        // Strings, numbers and lists cannot fail.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.pop();
        let signature = key.sign(&bytes);
        bytes.extend_from_slice(SIGNATURE);
        bytes.extend_from_slice(signature.as_bytes());
        bytes.extend_from_slice(b"\"}");
        bytes
    }

    /// Reads an answer. Without a `key` the signature is checked against the key that the answer itself names: that shows
    /// changes by chance, not forgery.
    ///
    /// # Errors
    /// See [`NoEcho`].
    pub fn read(bytes: &[u8], key: Option<&PublicKey>) -> Result<Echo, NoEcho> {
        let echo: Echo = serde_json::from_slice(bytes).map_err(|_| NoEcho::Foreign)?;
        if echo.v != VERSION {
            return Err(NoEcho::Foreign);
        }
        let own = PublicKey::from_base64(&echo.key).ok_or(NoEcho::Altered)?;
        if key.is_some_and(|key| *key != own) {
            return Err(NoEcho::WrongKey);
        }
        let at = memchr::memmem::rfind(bytes, SIGNATURE).ok_or(NoEcho::Altered)?;
        let signature = bytes[at + SIGNATURE.len()..]
            .strip_suffix(b"\"}")
            .ok_or(NoEcho::Altered)?;
        if own.verifies(&bytes[..at], signature) {
            Ok(echo)
        } else {
            Err(NoEcho::Altered)
        }
    }

    /// The first value of this header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(key: &Key) -> Echo {
        Echo {
            v: VERSION,
            client: [192, 0, 2, 7].into(),
            https: false,
            http: "1".into(),
            method: "GET".into(),
            target: "/echo?nonce=5f".into(),
            headers: vec![
                ("Host".into(), "judge.test".into()),
                ("X-Odd".into(), "\",\"signature\":\"x\"}".into()),
            ],
            nonce: Some("5f".into()),
            resumed_from: None,
            at_ms: 1_700_000_000_000,
            key: key.public().to_base64(),
        }
    }

    #[test]
    fn an_answer_is_read_back_and_no_byte_of_it_can_be_changed() {
        let key = Key::generate().unwrap();
        let echo = echo(&key);
        let bytes = echo.signed(&key);
        assert_eq!(Echo::read(&bytes, Some(&key.public())), Ok(echo.clone()));
        assert_eq!(Echo::read(&bytes, None), Ok(echo));
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(Echo::read(&altered, Some(&key.public())).is_err(), "{at}");
        }
    }

    #[test]
    fn the_word_of_another_judge_does_not_count() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        let forged = echo(&other).signed(&other);
        assert_eq!(
            Echo::read(&forged, Some(&key.public())),
            Err(NoEcho::WrongKey)
        );
        // Naming the right key does not help.
        let forged = echo(&key).signed(&other);
        assert_eq!(
            Echo::read(&forged, Some(&key.public())),
            Err(NoEcho::Altered)
        );
        assert_eq!(Echo::read(b"<html>", None), Err(NoEcho::Foreign));
        assert_eq!(Echo::read(b"{\"v\":1}", None), Err(NoEcho::Foreign));
    }
}
