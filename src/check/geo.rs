//! Where an exit is, by MaxMind's files of the user's own.
//!
//! A file answers for the country, for the network (ASN), or for both; the first one given that knows has the word. Files are
//! held in memory. Nothing is downloaded and nobody is asked.

use std::net::IpAddr;

use maxminddb::{PathElement, Reader};
use serde::Serialize;

/// Files, in the order they were given.
#[derive(Debug, Default)]
pub struct Geo(Vec<Reader<Vec<u8>>>);

/// What the files say of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Two-letter code of the country, lower case.
    pub country: Option<Box<str>>,
    /// The network it belongs to.
    pub asn: Option<Asn>,
}

/// An autonomous system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asn {
    /// Its number.
    pub number: u32,
    /// Who runs it.
    pub organisation: Option<Box<str>>,
}

impl Geo {
    /// Adds a file by its bytes.
    ///
    /// # Errors
    /// What makes it no MaxMind file.
    pub fn add(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
        self.0.push(reader);
        Ok(())
    }

    /// What the files know of `ip`; a damaged entry is one that is not known.
    pub fn place(&self, ip: IpAddr) -> Place {
        let mut place = Place::default();
        for reader in &self.0 {
            let Ok(found) = reader.lookup(ip) else {
                continue;
            };
            let text = |path: &[&'static str]| -> Option<&str> {
                let path: Vec<_> = path.iter().map(|key| PathElement::Key(key)).collect();
                found.decode_path(&path).ok()?
            };
            let country = || {
                let code = text(&["country", "iso_code"])?;
                Some(code.to_ascii_lowercase().into())
            };
            let asn = || {
                let path = [PathElement::Key("autonomous_system_number")];
                Some(Asn {
                    number: found.decode_path(&path).ok()??,
                    organisation: text(&["autonomous_system_organization"]).map(Into::into),
                })
            };
            place.country = place.country.or_else(country);
            place.asn = place.asn.or_else(asn);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_such_file_is_refused_and_without_files_nothing_is_known() {
        let mut geo = Geo::default();
        assert!(geo.add(b"<!DOCTYPE html>".to_vec()).is_err());
        assert!(geo.add(b"\xab\xcd\xefMaxMind.com\xe0".to_vec()).is_err());
        assert_eq!(geo.place([127, 0, 0, 1].into()), Place::default());
    }
}
