//! Which CDN, WAF or front end answered. Presence is not a verdict: most of the web is behind one of these.

use std::sync::LazyLock;

use http::HeaderMap;

use super::header_index::HeaderIndex;

/// Name, header evidence, cookie evidence. The first named wins: products that are sold to sit in front of others come
/// before the networks and servers they sit in front of.
const PRESENCE: &[(&str, &[&str], &[&str])] = &[
    (
        "datadome",
        &["x-datadome", "x-datadome-cid", "server: ^datadome"],
        &["datadome"],
    ),
    (
        "perimeterx",
        &[],
        &["_px2", "_px3", "_pxhd", "_pxvid", "pxcts"],
    ),
    ("kasada", &["x-kpsdk-*"], &["KP_UIDz", "KP_UIDz-ssn"]),
    (
        "anubis",
        &[],
        &["*-anubis-auth", "*-anubis-cookie-verification"],
    ),
    (
        "cloudflare",
        &["cf-ray", "cf-cache-status", "server: =cloudflare"],
        &["__cf_bm", "_cfuvid", "cf_clearance"],
    ),
    (
        "imperva",
        &["x-iinfo", "x-cdn: imperva", "x-cdn: incapsula"],
        &["visid_incap_*", "incap_ses_*", "nlbi_*"],
    ),
    (
        "sucuri",
        &["x-sucuri-id", "x-sucuri-cache", "server: ^sucuri"],
        &[],
    ),
    (
        "ddos-guard",
        &["server: ^ddos-guard"],
        &["__ddg1*", "__ddg2*", "__ddgid*", "__ddgmark*"],
    ),
    ("qrator", &["server: ^qrator"], &[]),
    ("variti", &["server: ^variti"], &[]),
    (
        "akamai",
        &[
            "server: ^akamaighost",
            "server: ^akamainetstorage",
            "x-akamai-transformed",
            "akamai-grn",
            "akamai-cache-status",
            "x-akamai-session-info",
        ],
        &["_abck", "bm_sz", "ak_bmsc", "bm_sv"],
    ),
    ("aws-waf", &["x-amzn-waf-action"], &["aws-waf-token"]),
    (
        "cloudfront",
        &["x-amz-cf-id", "x-amz-cf-pop", "x-cache: from cloudfront"],
        &[],
    ),
    ("vercel", &["x-vercel-id", "server: =vercel"], &[]),
    ("netlify", &["x-nf-request-id"], &[]),
    ("fly", &["fly-request-id"], &[]),
    ("azure", &["x-azure-ref"], &["ASLBSA"]),
    (
        "fastly",
        &[
            "x-fastly-request-id",
            "fastly-debug-digest",
            "x-served-by: ^cache-",
        ],
        &[],
    ),
    (
        "google",
        &[
            "via: 1.1 google",
            "server: =gws",
            "server: =esf",
            "server: ^google frontend",
        ],
        &[],
    ),
    ("bunny", &["server: ^bunnycdn"], &[]),
    ("keycdn", &["server: ^keycdn"], &[]),
    ("cdn77", &["server: ^cdn77"], &[]),
    ("arvan", &["server: ^arvancloud"], &[]),
    ("alibaba", &["eagleid", "server: ^tengine"], &[]),
    (
        "f5",
        &["server: ^bigip", "server: ^volt-adc", "x-volterra-location"],
        &["BIGipServer*", "TSPD_101", "MRHSession"],
    ),
    (
        "netscaler",
        &["cneonction", "nncoection"],
        &["NSC_*", "citrix_ns_id"],
    ),
    ("barracuda", &[], &["barra_counter_session", "BNI_*"]),
    ("fortiweb", &[], &["FORTIWAFSID"]),
    ("reblaze", &[], &["rbzid", "rbzsessionid"]),
    ("huawei", &[], &["HWWAFSESID"]),
    ("aws", &["server: ^awselb"], &["AWSALB*"]),
    ("varnish", &["x-varnish", "via: varnish"], &[]),
    (
        "envoy",
        &["server: =envoy", "x-envoy-upstream-service-time"],
        &[],
    ),
    ("reddit", &["server: =snooserv"], &[]),
    ("kong", &["via: ^kong/"], &[]),
];

/// The edge these headers speak of.
pub(super) fn presence(headers: &HeaderMap) -> Option<&'static str> {
    static INDEX: LazyLock<HeaderIndex<u8>> = LazyLock::new(|| {
        let mut index = HeaderIndex::new();
        for (rank, (_, headers, cookies)) in (0u8..).zip(PRESENCE) {
            headers.iter().for_each(|spec| index.add_header(spec, rank));
            cookies.iter().for_each(|spec| index.add_cookie(spec, rank));
        }
        index
    });
    let mut best = u8::MAX;
    INDEX.each(headers, |rank| best = best.min(rank));
    PRESENCE.get(usize::from(best)).map(|(name, ..)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_outermost_edge_or_none() {
        for (pairs, expected) in [
            (
                &[("server", "cloudflare"), ("cf-ray", "8-AMS")][..],
                Some("cloudflare"),
            ),
            (
                &[
                    ("x-cache", "Miss from cloudfront"),
                    ("set-cookie", "datadome=x"),
                ][..],
                Some("datadome"),
            ),
            (
                &[("via", "1.1 varnish"), ("x-served-by", "cache-ams1-AMS")][..],
                Some("fastly"),
            ),
            (
                &[("x-amzn-waf-action", "challenge"), ("x-amz-cf-id", "q==")][..],
                Some("aws-waf"),
            ),
            (
                &[("server", "nginx"), ("set-cookie", "session=cloudflare")][..],
                None,
            ),
            (&[][..], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(presence(&headers), expected, "{pairs:?}");
        }
    }
}
