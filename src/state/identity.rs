//! The name of a proxy in the file.
//!
//! [`crate::proxy::ProxyId`] is the same everywhere, which is its use, and it is a plain fast hash over user and password as
//! well. Written down, it would let anybody who gets hold of the file look passwords up in a table made beforehand, and find the
//! same customer in the files of two machines. So the file holds HMAC-SHA256 of it under a random salt of its own. The salt is
//! beside it, because the program has to find its rows again without being told anything: a short password can still be guessed
//! by whoever has the file, one file at a time, which is why the file is its owner's only.

use std::fmt;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::proxy::ProxyId;

/// Bytes of a salt: as many as the hash has.
const SALT_BYTES: usize = 32;

/// A proxy in this file: meaningless in another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub(super) i64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u64::from_str_radix(&text, 16)
            .map_err(|_| de::Error::custom("an id is 16 hexadecimal digits"))?;
        Ok(Id(number as i64))
    }
}

/// The salt of one file.
#[derive(Clone)]
pub(super) struct Salt {
    bytes: Vec<u8>,
    key: hmac::Key,
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt")
    }
}

impl Salt {
    /// A new one; `None` when the system has no random numbers.
    pub(super) fn random() -> Option<Self> {
        let mut bytes = vec![0; SALT_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Salt::of(bytes)
    }

    /// One that was written down; `None` when it is none.
    pub(super) fn of(bytes: Vec<u8>) -> Option<Self> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        (bytes.len() == SALT_BYTES).then_some(Salt { bytes, key })
    }

    pub(super) fn of_hex(text: &str) -> Option<Self> {
        let pairs = text.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        Salt::of(pairs.map(byte).collect::<Option<_>>()?)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn hex(&self) -> String {
        self.bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The name of this proxy.
    pub(super) fn id(&self, proxy: ProxyId) -> Id {
        let tag = hmac::sign(&self.key, &proxy.as_u64().to_be_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&tag.as_ref()[..8]);
        Id(i64::from_be_bytes(first))
    }
}
