//! Who passed a plain answer on, where `Via` tells it.
//!
//! A forward proxy that signs what it relays (squid, tinyproxy) makes it known that a page came from beyond it: the stock
//! page of a gateway behind such a signature is the target's. Only squid signs its own pages too, with its own name.

use http::HeaderMap;
use http::header::VIA;

/// Some relay has signed the answer.
pub(super) fn is_signed(headers: &HeaderMap) -> bool {
    headers.contains_key(VIA)
}

/// The last to sign, the relay next to this client, calls itself something else than `vendor`. Names are read from the comment,
/// as in `1.1 gate.example (squid/6.1)`; without one nothing is known.
pub(super) fn is_signed_by_another(headers: &HeaderMap, vendor: &str) -> bool {
    let last = headers.get_all(VIA).iter().next_back();
    let comment = last
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.rsplit(',').next())
        .and_then(|hop| hop.split_once('('));
    comment.is_some_and(|(_, name)| {
        let name = name.trim_start().as_bytes();
        !name
            .get(..vendor.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(vendor.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_signature_counts_and_only_one_with_a_name() {
        for (values, vendor, expected) in [
            (&["1.1 rig (squid/5.7)"][..], "squid", false),
            (&["1.1 rig (Squid)"], "squid", false),
            (&["1.1 rig (tinyproxy/1.11.1)"], "squid", true),
            (
                &["1.1 a (squid/5.7), 1.1 b (tinyproxy/1.11)"],
                "squid",
                true,
            ),
            (
                &["1.1 a (tinyproxy/1.11)", "1.1 b (squid/5.7)"],
                "squid",
                false,
            ),
            (&["1.1 varnish"], "squid", false),
            (&["1.1 x ("], "squid", true),
            (&[], "squid", false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(VIA, value.parse().unwrap());
            }
            assert_eq!(
                is_signed_by_another(&headers, vendor),
                expected,
                "{values:?}"
            );
            assert_eq!(is_signed(&headers), !values.is_empty());
        }
    }
}
