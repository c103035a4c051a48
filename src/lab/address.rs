//! Proxy numbers and the loopback addresses that stand for them.
//!
//! Linux answers for all of 127.0.0.0/8, so one wildcard listener is reached at sixteen million addresses and the address
//! dialled names the proxy. 127.0.x.y is left out: 127.0.0.1 belongs to everybody and 127.0.0.2 and 127.0.0.3 to the lab's origins.
//! The last octet is never 0 or 255, which some clients refuse.

use std::net::Ipv4Addr;

/// Values of the last octet in use: 1..=254.
const LAST: u32 = 254;
/// Addresses that share the second octet.
const BLOCK: u32 = LAST * 256;

/// Proxies a lab can tell apart.
pub const MAX_PROXIES: u32 = BLOCK * 254;

/// Where the lab's own origin listeners are bound.
pub const ORIGIN_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Where the lab's judge is, for clients and proxies alike.
pub const JUDGE_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// The address of proxy `number`, which is below [`MAX_PROXIES`]; larger numbers wrap around.
pub fn address_of(number: u32) -> Ipv4Addr {
    let number = number % MAX_PROXIES;
    let octet = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    Ipv4Addr::new(
        127,
        octet(1 + number / BLOCK),
        octet(number % BLOCK / LAST),
        octet(1 + number % LAST),
    )
}

/// The proxy that has this address, if it is one of [`address_of`].
pub fn number_of(address: Ipv4Addr) -> Option<u32> {
    match address.octets() {
        [127, b @ 1..=254, c, d @ 1..=254] => {
            Some((u32::from(b) - 1) * BLOCK + u32::from(c) * LAST + u32::from(d) - 1)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_addresses_are_readable() {
        assert_eq!(address_of(0), Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(address_of(254), Ipv4Addr::new(127, 1, 1, 1));
        assert_eq!(number_of(Ipv4Addr::LOCALHOST), None);
        assert_eq!(number_of(ORIGIN_ADDRESS), None);
    }

    proptest::proptest! {
        #[test]
        fn every_number_has_its_own_address(number in 0..MAX_PROXIES) {
            let address = address_of(number);
            proptest::prop_assert!(!matches!(address.octets()[3], 0 | 255), "{address}");
            proptest::prop_assert_eq!(number_of(address), Some(number));
        }
    }
}
