//! What is judged.

use http::{HeaderMap, Method, StatusCode, Version};
use proxywheel::ban::Seen;
use proxywheel::exchange::{Body, Exchange, Phases, Response};
use proxywheel::input::saved;
use url::Url;

use crate::corpus;

/// An answer with its question.
pub(crate) struct Page {
    pub(crate) name: String,
    url: Url,
    method: Method,
    pub(crate) exchange: Exchange,
}

impl Page {
    fn new(
        name: &str,
        https: bool,
        body: String,
        headers: &[(&'static str, &'static str)],
    ) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header value"));
        }
        let scheme = if https { "https" } else { "http" };
        Page {
            name: name.to_owned(),
            url: Url::parse(&format!("{scheme}://shop.example/item/4711?ref=list")).expect("a URL"),
            method: Method::GET,
            exchange: Exchange {
                result: Ok(Response {
                    status: StatusCode::OK,
                    version: Version::HTTP_11,
                    headers: map,
                    body: Body {
                        size_wire: body.len() as u64,
                        bytes: body.into(),
                        truncated: None,
                        broken: None,
                    },
                }),
                phases: Phases::default(),
                connect_status: https.then_some(200),
                connect_reply: None,
                verified: https,
                forwarded: !https,
                reused: false,
                sent: true,
            },
        }
    }

    pub(crate) fn seen(&self) -> Seen<'_> {
        Seen {
            url: &self.url,
            method: &self.method,
            https: self.url.scheme() == "https",
            follows: false,
            now: None,
        }
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.exchange
            .result
            .as_ref()
            .map_or(&[], |response| &response.body.bytes)
    }
}

/// A shop's page behind a CDN: scripts and styles, links, forms, cookies of a bot manager, the scripts of two of them.
pub(crate) fn ordinary(size: usize, https: bool) -> Page {
    let mut body = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Blue kettle, 1.7 l | Shop</title>\
         <meta name=\"robots\" content=\"index,follow\"><link rel=\"stylesheet\" href=\"/assets/main.4f3a.css\">\
         <script src=\"/cdn-cgi/challenge-platform/scripts/jsd/main.js\" defer></script>\
         <style>.nav{display:block}.price{font-weight:bold}@media(max-width:600px){.nav{display:none}}</style></head><body>",
    );
    for n in 0.. {
        if body.len() >= size {
            break;
        }
        body.push_str(&format!(
            "<div class=\"card\" data-id=\"{n}\"><a href=\"/item/{n}?ref=list\"><img src=\"/img/{n}.webp\" alt=\"Kettle {n}\" loading=\"lazy\"></a>\
             <h3>Kettle no. {n}</h3><p class=\"text\">It boils a litre and a half in three minutes, and switches itself off. In stock, delivered \
             tomorrow; your access to the manual is in the account.</p><span class=\"price\">{n}.99</span>\
             <button type=\"submit\" onclick=\"cart.add({n}, {{quantity: 1}})\">Add to cart</button></div>\n"
        ));
    }
    body.push_str("</body></html>");
    Page::new(
        "ordinary",
        https,
        body,
        &[
            ("date", "Wed, 25 Nov 2026 20:00:00 GMT"),
            ("content-type", "text/html; charset=utf-8"),
            ("server", "cloudflare"),
            ("cf-ray", "8f0000000000-AMS"),
            ("cf-cache-status", "DYNAMIC"),
            ("cache-control", "private, max-age=0"),
            ("vary", "accept-encoding"),
            ("set-cookie", "__cf_bm=abc; path=/; HttpOnly; Secure"),
            ("set-cookie", "session=1f3a; path=/"),
            ("strict-transport-security", "max-age=31536000"),
            ("x-frame-options", "SAMEORIGIN"),
        ],
    )
}

/// The page that the lab serves and `benches/engine` fetches, in its size and manner.
pub(crate) fn fetched(https: bool) -> Page {
    let site = "a.example";
    let body = proxywheel::lab::Origin::expected_body(site, "/p/17?size=8000");
    let body = String::from_utf8_lossy(&body).into_owned();
    Page::new(
        "fetched",
        https,
        body,
        &[
            ("content-type", "text/html; charset=utf-8"),
            ("content-length", "8000"),
        ],
    )
}

/// The pages of the corpus, where it is at hand.
pub(crate) fn corpus() -> Option<Vec<Page>> {
    let root = corpus::at_hand()?;
    let labels = std::fs::read_to_string(root.join("pages.jsonl")).expect("a manifest");
    let labels = saved::labels(&labels).expect("a manifest");
    let mut pages = Vec::new();
    for (name, label) in &labels {
        let bytes = std::fs::read(root.join("pages").join(name)).expect("the page");
        for answer in saved::answers(name, bytes, Some(label)).expect("a page") {
            pages.push(Page {
                name: name.clone(),
                url: answer.url,
                method: answer.method,
                exchange: answer.exchange,
            });
        }
    }
    Some(pages)
}
