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

    /// Files of another writer in the layout of GeoLite2; `make.py` beside them says how they were made.
    const CITIES: [&[u8]; 3] = [
        include_bytes!("../../tests/fixtures/mmdb/city-24.mmdb"),
        include_bytes!("../../tests/fixtures/mmdb/city-28.mmdb"),
        include_bytes!("../../tests/fixtures/mmdb/city-32.mmdb"),
    ];
    const NETWORKS: &[u8] = include_bytes!("../../tests/fixtures/mmdb/asn-28.mmdb");

    fn geo(files: &[&[u8]]) -> Geo {
        let mut geo = Geo::default();
        for file in files {
            geo.add(file.to_vec()).unwrap();
        }
        geo
    }

    /// `de 64500`: what is known of the address.
    fn told(geo: &Geo, ip: &str) -> String {
        let place = geo.place(ip.parse().unwrap());
        let number = place.asn.map(|asn| asn.number.to_string());
        let words = [place.country.map(String::from), number];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn records_of_every_size_are_read_in_both_families() {
        for cities in CITIES {
            let geo = geo(&[cities, NETWORKS]);
            for (ip, expected) in [
                ("192.0.2.0", "de 64500"),
                ("192.0.2.255", "de 64500"),
                ("192.0.3.0", ""),
                ("198.51.100.127", "fr 4200000000"),
                ("198.51.100.128", "4200000000"),
                ("198.51.100.192", "fr 4200000000"),
                ("2001:db8:1:ffff::1", "us 64500"),
                ("2001:db8:2::", ""),
                // Where the owner is registered is not where the exit is.
                ("203.0.113.1", ""),
                ("127.0.0.1", ""),
                ("::1", ""),
            ] {
                assert_eq!(told(&geo, ip), expected, "{ip}");
            }
        }
        let carrier = geo(&[NETWORKS]).place([192, 0, 2, 1].into()).asn.unwrap();
        assert_eq!(carrier.organisation.as_deref(), Some("Example Carrier"));
    }

    #[test]
    fn what_is_no_such_file_is_refused_and_without_files_nothing_is_known() {
        let mut geo = Geo::default();
        assert!(geo.add(b"<!DOCTYPE html>".to_vec()).is_err());
        assert!(geo.add(b"\xab\xcd\xefMaxMind.com\xe0".to_vec()).is_err());
        assert_eq!(geo.place([127, 0, 0, 1].into()), Place::default());
        // A download that broke off has lost the end, without which the rest cannot be read.
        for file in CITIES {
            for length in 0..file.len() {
                assert!(geo.add(file[..length].to_vec()).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn a_damaged_file_is_refused_or_knows_less() {
        for file in CITIES {
            for at in 0..file.len() {
                for flip in [0x01, 0x80, 0xff] {
                    let mut damaged = file.to_vec();
                    damaged[at] ^= flip;
                    let mut geo = Geo::default();
                    if geo.add(damaged).is_ok() {
                        for ip in ["192.0.2.1", "2001:db8:1::1"] {
                            geo.place(ip.parse().unwrap());
                        }
                    }
                }
            }
        }
    }
}
