//! Weak evidence, added up.
//!
//! No single soft word makes a block: "captcha" and "access denied" are in articles, in forms and in the names of songs. But a
//! refusing status, a page of a few words and two sentences of the sort that only block pages say are enough together, and
//! what speaks for content counts against. Points are those of the table below; a block begins at [`BLOCK`], and below it an
//! answer stays what its status says. It takes one phrase of [`STRONG`] points at least, or a captcha: soft words and circumstances
//! alone are those of any refusal behind an edge.
//!
//! | evidence | points |
//! |---|---|
//! | a sentence that only block pages say | 4 or 5, by the phrase |
//! | a soft phrase | 1, at most 3 together |
//! | that sentence in the title of a refusal, or of a filter on the way | 2 |
//! | a captcha that is nearly all there is on the page; of which there is a script only, on a success | 4; 3 |
//! | refusing status: 403, 429, 503 and their kin | 2 |
//! | the body is below 5 kB | 1 |
//! | `no-store` | 1 |
//! | an edge is present, with a refusing status | 1 |
//! | a form for a login or a message | -3 |
//! | it talks about blocks: names two vendors, say | -6 |
//! | a menu, an article, a listing on a success; with three elements and no captcha | -3; -7 |
//! | `cf-cache-status: HIT`, or `etag`, `last-modified` and a `max-age` on a success that no filter wrote | -3 |
//! | content on a success: three elements, and 300 or 1,000 characters | -3 or -6 |
//! | the same in the words of a filter on the way, from 1,000 | -2 |
//! | the same on an error | -1 |
//! | more than 4 kB of text | -4 |

use http::header::{CACHE_CONTROL, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName};

use super::class::{Class, Layer};
use super::edge;
use super::page::{CONTENT, Page};
use super::phrases::{Phrases, Said};
use super::view::View;
use super::words;

/// Points at which an answer is a block.
pub(super) const BLOCK: i32 = 6;
/// Points from which an answer is suspect: shown by `rules explain`, of no effect.
pub(super) const SUSPECT: i32 = 4;

/// Points from which a phrase is of the sort that a block cannot do without.
const STRONG: u8 = 3;
/// Most points that soft phrases are worth together.
const MOST_SOFT: i32 = 3;
/// Bodies below this are small.
const SMALL: usize = 5_000;
/// Text above this, in bytes, is an article.
const LONG: usize = words::KEPT;
/// Visible characters of a page that has something to tell.
const MUCH: usize = 1000;

/// What the evidence on one answer adds up to.
#[derive(Debug, Clone)]
pub(super) struct Score {
    pub(super) points: i32,
    /// What the strongest phrase says.
    pub(super) class: Class,
    pub(super) layer: Layer,
    pub(super) vendor: Option<Box<str>>,
    /// The strongest phrase.
    pub(super) evidence: String,
    /// Each part with its points.
    pub(super) parts: Vec<(String, i32)>,
}

impl Score {
    /// Adds up what speaks for a block and what against it; `None` when no phrase was found.
    ///
    /// `widget` is the marker of a captcha in the page; `filters` when somebody on the way may have written it.
    pub(super) fn of(
        view: &View<'_>,
        page: &Page,
        phrases: &Phrases,
        widget: Option<&str>,
        filters: bool,
    ) -> Option<Score> {
        let refusing = refuses(view.status);
        let mut said = phrases.said(&page.text, &page.heard, filters && !view.verified);
        let success = view.is_success();
        if success
            && widget.is_none()
            && !page.captcha
            && !said.iter().any(|said| said.spec.success)
        {
            // The other phrases only add to what has drawn attention.
            return None;
        }
        let mut score = Score {
            points: 0,
            class: Class::BlockRule,
            layer: Layer::Edge,
            vendor: None,
            evidence: String::new(),
            parts: Vec::new(),
        };
        // A login form with a captcha is a login form.
        let alone = !page.login
            && (page.captcha || page.fields == 0)
            && !page.text.contains("protected by recaptcha")
            && (page.visible < CONTENT || page.forms == 1 && page.visible < 3 * CONTENT);
        let widget = widget.or(page.captcha.then_some("captcha"));
        if let Some(marker) = widget.filter(|_| alone && (refusing || view.body.len() < 10_000)) {
            // A script alone may be for a captcha that nobody sees: the shell of an application is as empty.
            let shown = refusing || page.captcha || !marker.contains(".com/");
            let points = if shown { 4 } else { 3 };
            score.add(format!("little but a captcha: {marker}"), points);
            score.class = Class::ChallengeCaptcha;
            score.evidence = format!("body: {marker}");
        }
        said.sort_by_key(|said| std::cmp::Reverse(said.spec.points));
        let strong = score.points > 0 || said.iter().any(|said| said.spec.points >= STRONG);
        let mut soft = 0;
        let mut titled = false;
        for (nth, Said { text, spec }) in said.iter().enumerate() {
            let mut points = i32::from(spec.points);
            if (points > 1 || success)
                && said[..nth]
                    .iter()
                    .any(|longer| is_within(text, longer.text))
            {
                continue;
            }
            if points == 1 {
                points = points.min(MOST_SOFT - soft);
                soft += points;
            }
            if nth == 0 && (score.points == 0 || points > 4) {
                (score.class, score.layer) = (spec.class, spec.layer);
                score.vendor = spec.vendor.clone();
                score.evidence = format!("text: {text}");
            }
            if points > 0 {
                score.add(format!("says {text:?}"), points);
            }
            if points > 1
                && (refusing || spec.layer == Layer::Proxy)
                && !titled
                && page.text[..page.title].contains(*text)
            {
                titled = true;
                score.add("in the title".into(), 2);
            }
        }
        if score.points == 0 {
            return None;
        }
        score.circumstances(view, page, refusing);
        if page.heard.talk {
            score.add("it talks about blocks".into(), -6);
        }
        if !strong && score.points >= BLOCK {
            let above = BLOCK - 1 - score.points;
            score.add("soft words only".into(), above);
        }
        Some(score)
    }

    fn circumstances(&mut self, view: &View<'_>, page: &Page, refusing: bool) {
        if refusing {
            self.add(format!("status {}", view.status), 2);
            if edge::before_the_target(view.headers).is_some() {
                self.add("an edge is present".into(), 1);
            }
        }
        if view.body.len() < SMALL {
            self.add("a small page".into(), 1);
        }
        let mut caching = view.headers.get_all(CACHE_CONTROL).iter();
        if caching.any(|value| value.to_str().is_ok_and(|value| value.contains("no-store"))) {
            self.add("no-store".into(), 1);
        }
        let success = view.is_success();
        if success && page.furnished {
            let wall = self.class == Class::ChallengeCaptcha && self.evidence.starts_with("body");
            let points = if wall || page.elements < 3 { -3 } else { -7 };
            self.add("the furniture of a site".into(), points);
        }
        if success && self.layer == Layer::Edge && is_for_caches(view.headers) {
            self.add("meant for caches".into(), -3);
        }
        if page.login {
            self.add("a form to fill in".into(), -3);
        }
        let filter = self.layer == Layer::Proxy;
        let points = match (page.has_content(), success) {
            (false, _) => 0,
            // What a filter on the way writes comes with success, and quotes the law.
            (true, true) if filter && page.visible < MUCH => 0,
            (true, true) if filter && page.visible < 3 * MUCH => -2,
            (true, true) if page.visible < MUCH => -3,
            (true, true) => -6,
            (true, false) => -1,
        };
        if points < 0 {
            self.add("content".into(), points);
        }
        if page.text.len() >= LONG {
            self.add("long text".into(), -4);
        }
    }

    fn add(&mut self, what: String, points: i32) {
        self.points += points;
        self.parts.push((what, points));
    }

    /// The id that a block by it has.
    pub(super) fn rule(&self) -> String {
        format!("score.{}", self.class.as_str())
    }

    /// 0.5 at the limit, 0.9 at most: sums of weak evidence are never certain.
    pub(super) fn confidence(&self) -> f32 {
        (0.5 + 0.05 * (self.points - BLOCK) as f32).clamp(0.5, 0.9)
    }
}

/// Both are of one text, and the first is a part of the second: said once, it counts once.
fn is_within(part: &str, whole: &str) -> bool {
    let (part, whole) = (
        part.as_bytes().as_ptr_range(),
        whole.as_bytes().as_ptr_range(),
    );
    whole.start <= part.start && part.end <= whole.end
}

/// A page that caches may keep for long is nobody's wall: those are made for one client.
fn is_for_caches(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, word: &str| {
        let mut values = headers.get_all(name).iter();
        values.any(|value| value.to_str().is_ok_and(|value| value.contains(word)))
    };
    says(&HeaderName::from_static("cf-cache-status"), "HIT")
        || headers.contains_key(ETAG)
            && headers.contains_key(LAST_MODIFIED)
            && says(&CACHE_CONTROL, "max-age=")
            && !says(&CACHE_CONTROL, "max-age=0")
}

/// Statuses with which this client is refused, rather than the request or the server found wanting.
fn refuses(status: u16) -> bool {
    matches!(
        status,
        401 | 403 | 405 | 406 | 409 | 418 | 423 | 428 | 429 | 430 | 444 | 456 | 463 | 493
            ..=499 | 503 | 509 | 999
    )
}
