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
        &["_px2", "_px3", "_pxhd", "_pxvid", "_pxde", "pxcts"],
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
        &["__cf_bm", "_cfuvid", "cf_clearance", "__cfduid"],
    ),
    (
        "imperva",
        &["x-iinfo", "x-cdn: imperva", "x-cdn: incapsula"],
        &[
            "visid_incap_*",
            "incap_ses_*",
            "nlbi_*",
            "reese84",
            "___utmvc",
        ],
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
        &["_abck", "bm_sz", "ak_bmsc", "bm_sv", "bm_mi", "sec_cpt"],
    ),
    ("aws-waf", &["x-amzn-waf-action"], &["aws-waf-token"]),
    (
        "cloudfront",
        &[
            "x-amz-cf-id",
            "x-amz-cf-pop",
            "x-cache: from cloudfront",
            "via: (cloudfront)",
        ],
        &[],
    ),
    ("vercel", &["x-vercel-id", "server: =vercel"], &[]),
    ("netlify", &["x-nf-request-id"], &[]),
    ("fly", &["fly-request-id"], &[]),
    (
        "azure",
        &["x-azure-ref", "x-fd-int-roxy-purgeid"],
        &["ASLBSA", "ASLBSACORS"],
    ),
    (
        "fastly",
        &[
            "x-fastly-request-id",
            "fastly-debug-digest",
            "x-served-by: ^cache-",
            "x-timer: ^S",
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
        "edgecast",
        &["server: ^ecs (", "server: ^ecd (", "server: ^ecacc ("],
        &[],
    ),
    ("azion", &["x-azion-*", "server: ^azion"], &[]),
    ("stackpath", &["x-hw", "server: ^stackpath"], &[]),
    ("qiniu", &["x-qiniu-*"], &[]),
    ("gcore", &["x-id: -gc", "server: ^gcore"], &[]),
    (
        "radware",
        &["x-sl-compstate"],
        &["__uzma", "__uzmb", "__uzmc", "__uzmd", "__uzme", "__uzmf"],
    ),
    (
        "f5",
        &["server: ^bigip", "server: ^volt-adc", "x-volterra-location"],
        &[
            "BIGipServer*",
            "TSPD_101*",
            "MRHSession",
            "LastMRH_Session",
            "F5_*",
            // `TS` and a number, which begins so since version 11.
            "TS01*",
        ],
    ),
    (
        "netscaler",
        &["cneonction", "nncoection", "via: ns-cache"],
        &["NSC_*", "citrix_ns_id"],
    ),
    ("barracuda", &[], &["barra_counter_session", "BNI_*"]),
    ("fortiweb", &[], &["FORTIWAFSID"]),
    ("reblaze", &[], &["rbzid", "rbzsessionid"]),
    ("huawei", &["server: ^huaweicloudwaf"], &["HWWAFSESID"]),
    ("kemp", &["x-servedby: ^kemp-lm"], &[]),
    ("aws", &["server: ^awselb"], &["AWSALB*"]),
    ("varnish", &["x-varnish", "via: varnish"], &[]),
    ("envoy", &["server: =envoy", "x-envoy-*"], &[]),
    ("reddit", &["server: =snooserv"], &[]),
    ("kong", &["via: kong/", "server: ^kong/"], &[]),
    // Servers that a forward proxy may be made of as well: they are named, and prove nothing.
    ("ats", &["server: ^ats"], &[]),
    ("openresty", &["server: ^openresty"], &[]),
    ("litespeed", &["server: ^litespeed"], &[]),
    ("caddy", &["server: ^caddy"], &[]),
];

/// The last of [`PRESENCE`] that only name a server.
const SERVERS: &[&str] = &["ats", "openresty", "litespeed", "caddy"];

/// The edge of the target's that these headers speak of: none that the forward proxy may have written of itself.
pub(super) fn before_the_target(headers: &HeaderMap) -> Option<&'static str> {
    presence(headers).filter(|name| !SERVERS.contains(name))
}

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
            (
                &[("via", "1.1 0a.cloudfront.net (CloudFront)")],
                Some("cloudfront"),
            ),
            (&[("set-cookie", "TS01a2b3c4=0; Path=/")], Some("f5")),
            (&[("server", "ECS (ams/498A)")], Some("edgecast")),
            (&[("x-id", "am3-up-gc12")], Some("gcore")),
            (&[("server", "openresty/1.25")], Some("openresty")),
            (&[][..], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(presence(&headers), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_server_that_a_proxy_may_be_made_of_proves_no_edge_of_the_target() {
        let mut headers = HeaderMap::new();
        headers.append("server", "ATS/9.2".parse().unwrap());
        assert_eq!(presence(&headers), Some("ats"));
        assert_eq!(before_the_target(&headers), None);
        headers.append("cf-ray", "8".parse().unwrap());
        assert_eq!(before_the_target(&headers), Some("cloudflare"));
    }
}
