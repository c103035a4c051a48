//! Writes small MaxMind files, as https://maxmind.github.io/MaxMind-DB/ describes them: a binary tree of 24 bit records over the
//! bits of IPv4 addresses, the data, the metadata.

use std::net::Ipv4Addr;

/// A value of the data section.
pub(crate) enum Datum<'a> {
    Text(&'a str),
    /// Unsigned, 16 bits.
    Short(u16),
    /// Unsigned, 32 bits.
    Number(u32),
    Map(Vec<(&'a str, Datum<'a>)>),
}

use Datum::{Map, Number, Short, Text};

const TEXT: u8 = 2;
const SHORT: u8 = 5;
const NUMBER: u8 = 6;
const MAP: u8 = 7;
/// What a control byte says for a type that stands in the next byte, less 7.
const EXTENDED: u8 = 0;
const LONG_NUMBER: u8 = 9 - 7;
const ARRAY: u8 = 11 - 7;
const SEPARATOR: u32 = 16;

/// `{"country": {"iso_code": CODE}}`
pub(crate) fn country(code: &str) -> Datum<'_> {
    Map(vec![("country", Map(vec![("iso_code", Text(code))]))])
}

/// As in GeoLite2-ASN.
pub(crate) fn asn(number: u32, organisation: &str) -> Datum<'_> {
    Map(vec![
        ("autonomous_system_number", Number(number)),
        ("autonomous_system_organization", Text(organisation)),
    ])
}

/// A file with these networks, none of which is in another.
pub(crate) fn mmdb(kind: &str, networks: &[(&str, Datum)]) -> Vec<u8> {
    #[derive(Clone, Copy)]
    enum Record {
        Nothing,
        Node(u32),
        Data(u32),
    }
    let mut nodes = vec![[Record::Nothing; 2]];
    let mut data = Vec::new();
    for (network, datum) in networks {
        let (address, length) = network.split_once('/').expect("a network");
        let address = u32::from(address.parse::<Ipv4Addr>().expect("an address"));
        let length: u32 = length.parse().expect("a length");
        let offset = u32::try_from(data.len()).expect("small");
        put(&mut data, datum);
        let mut at = 0;
        for bit in 0..length {
            let side = (address >> (31 - bit)) as usize & 1;
            if bit + 1 == length {
                nodes[at][side] = Record::Data(offset);
                break;
            }
            at = match nodes[at][side] {
                Record::Node(next) => next as usize,
                _ => {
                    let next = nodes.len();
                    nodes.push([Record::Nothing; 2]);
                    nodes[at][side] = Record::Node(u32::try_from(next).expect("small"));
                    next
                }
            };
        }
    }
    let count = u32::try_from(nodes.len()).expect("small");
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match record {
            Record::Nothing => count,
            Record::Node(number) => *number,
            Record::Data(offset) => count + SEPARATOR + offset,
        };
        file.extend_from_slice(&value.to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; SEPARATOR as usize]);
    file.append(&mut data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    let metadata = [
        ("node_count", Number(count)),
        ("record_size", Short(24)),
        ("ip_version", Short(4)),
        ("database_type", Text(kind)),
        ("binary_format_major_version", Short(2)),
        ("binary_format_minor_version", Short(0)),
        ("description", Map(Vec::new())),
    ];
    file.push(MAP << 5 | (metadata.len() as u8 + 2));
    for (key, value) in &metadata {
        put(&mut file, &Text(key));
        put(&mut file, value);
    }
    put(&mut file, &Text("languages"));
    file.extend_from_slice(&[EXTENDED << 5, ARRAY]);
    put(&mut file, &Text("build_epoch"));
    file.extend_from_slice(&[EXTENDED << 5 | 4, LONG_NUMBER, 0x68, 0, 0, 0]);
    file
}

fn put(out: &mut Vec<u8>, datum: &Datum) {
    match datum {
        Text(text) => {
            // A length of 29 and more is written as 29 and the rest in the next byte.
            match u8::try_from(text.len()).expect("short") {
                length @ 0..29 => out.push(TEXT << 5 | length),
                length => out.extend_from_slice(&[TEXT << 5 | 29, length - 29]),
            }
            out.extend_from_slice(text.as_bytes());
        }
        Short(number) => {
            out.push(SHORT << 5 | 2);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Number(number) => {
            out.push(NUMBER << 5 | 4);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Map(entries) => {
            out.push(MAP << 5 | u8::try_from(entries.len()).expect("few"));
            for (key, value) in entries {
                put(out, &Text(key));
                put(out, value);
            }
        }
    }
}
