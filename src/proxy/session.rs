//! The names of a template's sessions.
//!
//! They are hashes of the entry's text and their index: the same list gives the same identities in every run, and raising
//! `sessions=` keeps the first ones. The text is the one before variables are filled in, and without a password that is nothing
//! but one, so a changed password keeps the sessions.

use std::collections::{HashSet, VecDeque};

use super::address::Address;
use super::entry::Entry;
use super::reject::{Flaw, Reason};

/// Longest session name that can be asked for; a SHA-256 has as many bytes.
const MAX_SESSION_LENGTH: u8 = 32;
/// Length of `{session}` without one: 36^8 names, and IPRoyal takes exactly 8.
const SESSION_LENGTH: u8 = 8;

/// What tells the sessions of an entry from those of others. A password in which they stand says more than who may use them, such as
/// a country, and belongs to it.
pub(super) fn named_by(entry: &Entry<'_>, address: &Address<'_>) -> String {
    let (user, password) = match entry.credentials {
        Some((user, password)) => (user.text, password.text),
        None => ("", ""),
    };
    let password = match password.contains("{session") {
        true => password,
        false => "",
    };
    let Address { host, port, .. } = address;
    format!("{}://{user}:{password}@{host}:{port}", entry.scheme)
}

/// What a session name is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spec {
    /// Digits, the first not 0, instead of lower-case letters and digits.
    numeric: bool,
    /// In characters, from 1 to [`MAX_SESSION_LENGTH`].
    length: u8,
}

impl Spec {
    /// Reads what stands between `{session` and `}`: nothing, `:8`, `:num` or `:num:6`.
    pub(super) fn read(options: &str) -> Option<Self> {
        let (numeric, length) = match options.strip_prefix(":num") {
            Some(length) => (true, length),
            None => (false, options),
        };
        let length = match length.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            None if length.is_empty() => SESSION_LENGTH,
            _ => return None,
        };
        let spec = Spec { numeric, length };
        (1..=MAX_SESSION_LENGTH).contains(&length).then_some(spec)
    }

    /// How many different names there are.
    fn capacity(self) -> u64 {
        let further = u32::from(self.length) - 1;
        if self.numeric {
            10_u64.saturating_pow(further).saturating_mul(9)
        } else {
            36_u64.saturating_pow(further).saturating_mul(36)
        }
    }
}

/// The session names of one template, index by index.
pub(super) struct Sessions {
    /// What they are named by, see [`named_by`].
    named_by: String,
    count: u32,
    next: u32,
    /// Every kind of placeholder with its current name. One kind has one name wherever it stands.
    current: Vec<(Spec, String)>,
    /// Names given out, by kind: no two sessions share one.
    taken: Vec<HashSet<String>>,
    /// Names that nobody wanted; what is given out once there are no others.
    aside: VecDeque<Vec<(Spec, String)>>,
    /// The current names were among them.
    are_last: bool,
}

impl Sessions {
    pub(super) fn new(
        mut specs: Vec<Spec>,
        named_by: String,
        count: u32,
        at: usize,
    ) -> Result<Self, Flaw> {
        specs.sort_unstable();
        specs.dedup();
        if specs.iter().any(|spec| spec.capacity() < u64::from(count)) {
            return Err(Flaw::new(at, Reason::SessionTooShort));
        }
        Ok(Sessions {
            named_by,
            count,
            next: 0,
            taken: specs.iter().map(|_| HashSet::new()).collect(),
            aside: VecDeque::new(),
            are_last: false,
            current: specs
                .into_iter()
                .map(|spec| (spec, String::new()))
                .collect(),
        })
    }

    /// The names of the next session. They depend on what they are named by and on the names before it, not on how many follow.
    pub(super) fn next(&mut self) -> Option<&[(Spec, String)]> {
        if self.next == self.count {
            return None;
        }
        let mut kinds = self.current.iter().zip(&self.taken);
        self.are_last = kinds.any(|((spec, _), taken)| taken.len() as u64 == spec.capacity());
        if self.are_last {
            self.current = self.aside.pop_front()?;
            self.next += 1;
            return Some(&self.current);
        }
        for ((spec, name), taken) in self.current.iter_mut().zip(&mut self.taken) {
            let names = (0_u32..).map(|attempt| derive(*spec, &self.named_by, self.next, attempt));
            for candidate in names {
                if taken.insert(candidate.clone()) {
                    *name = candidate;
                    break;
                }
            }
        }
        self.next += 1;
        Some(&self.current)
    }

    /// Gives the session that came last other names; false when there are no others.
    pub(super) fn put_aside(&mut self) -> bool {
        if self.are_last {
            return false;
        }
        self.aside.push_back(self.current.clone());
        self.next -= 1;
        true
    }
}

fn derive(spec: Spec, named_by: &str, index: u32, attempt: u32) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(b"session");
    context.update(&index.to_be_bytes());
    context.update(&attempt.to_be_bytes());
    context.update(named_by.as_bytes());
    let digest = context.finish();
    let bytes = digest.as_ref().iter().take(usize::from(spec.length));
    bytes
        .enumerate()
        .map(|(place, byte)| {
            // The modulo is not quite even; names only have to differ.
            let (radix, base) = match (spec.numeric, place) {
                (true, 0) => (9, 1),
                (true, _) => (10, 0),
                (false, _) => (36, 0),
            };
            char::from_digit(u32::from(byte % radix) + base, 36).unwrap_or('0')
        })
        .collect()
}
