//! What the use of a proxy costs, in the user's own currency.
//!
//! Providers bill bytes, requests or both, so a price has two parts. Which currency it is does not matter as long as it is one.

use std::fmt;
use std::str::FromStr;

use super::Labels;
use crate::error::Problem;

/// Bytes in the GB of a price list.
const GB: f64 = 1e9;
/// Highest tier: 0 is where every host begins.
pub const HIGHEST_TIER: u8 = 2;

/// The price of one proxy. Both parts are finite and not negative.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Price {
    /// For each byte through the proxy, either way.
    pub per_byte: f64,
    /// For each request.
    pub per_request: f64,
}

impl Price {
    /// What so much use costs.
    pub fn of(self, requests: u64, bytes: u64) -> f64 {
        self.per_request * requests as f64 + self.per_byte * bytes as f64
    }

    /// Both together; `None` when they say something about the same unit.
    pub(super) fn with(self, other: Price) -> Option<Price> {
        let twice = |one: f64, other: f64| one > 0.0 && other > 0.0;
        let repeated =
            twice(self.per_byte, other.per_byte) || twice(self.per_request, other.per_request);
        (!repeated).then_some(Price {
            per_byte: self.per_byte + other.per_byte,
            per_request: self.per_request + other.per_request,
        })
    }
}

impl FromStr for Price {
    type Err = Problem;

    /// Reads `3.5/GB`, `0.002/request`, both with `+` between, and a bare number, which is the price of a request.
    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = || {
            Problem::new(format!("invalid price {text:?}"))
                .hint("write 3.5/GB, 0.002/request, or both as 3.5/GB+0.002/request")
        };
        let mut price: Option<Price> = None;
        for part in text.split('+') {
            let (number, unit) = part.split_once('/').unwrap_or((part, "request"));
            let plain = !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
                && number.len() < 32;
            let number: f64 = number.parse().ok().filter(|_| plain).ok_or_else(bad)?;
            let one = match unit.to_ascii_lowercase().as_str() {
                "gb" => Price {
                    per_byte: number / GB,
                    ..Price::default()
                },
                "request" => Price {
                    per_request: number,
                    ..Price::default()
                },
                _ => return Err(bad()),
            };
            price = Some(
                price
                    .map_or(Some(one), |so_far| so_far.with(one))
                    .ok_or_else(bad)?,
            );
        }
        price.ok_or_else(bad)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nine digits: a quotient by 1e9 and back is not exact.
        let per_gb = (self.per_byte * GB * 1e9).round() / 1e9;
        match (per_gb > 0.0, self.per_request > 0.0) {
            (true, true) => write!(f, "{per_gb}/GB+{}/request", self.per_request),
            (true, false) => write!(f, "{per_gb}/GB"),
            (false, _) => write!(f, "{}/request", self.per_request),
        }
    }
}

/// Whose price one is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    Tagged(Box<str>),
    OfTier(u8),
    Everybody,
}

/// A price for all proxies of a kind: `tag:resi=3.5/GB`, `tier:2=8/GB`, or `4/GB` for all.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceRule {
    whose: Whose,
    price: Price,
}

impl FromStr for PriceRule {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |what: &str| {
            Problem::new(format!("invalid price {text:?}: {what}"))
                .hint("write 4/GB for all proxies, tag:NAME=3.5/GB or tier:2=8/GB for some")
        };
        let (whose, price) = match text.rsplit_once('=') {
            None => (Whose::Everybody, text),
            Some((whose, price)) => {
                let whose = match whose.split_once(':') {
                    Some(("tag", tag)) if !tag.is_empty() => Whose::Tagged(tag.into()),
                    Some(("tier", tier)) => {
                        Whose::OfTier(tier_of(tier).ok_or_else(|| bad("tiers are 0, 1 and 2"))?)
                    }
                    _ => return Err(bad("neither a tag nor a tier")),
                };
                (whose, price)
            }
        };
        let price = price.parse()?;
        Ok(PriceRule { whose, price })
    }
}

impl fmt::Display for PriceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whose {
            Whose::Tagged(tag) => write!(f, "tag:{tag}={}", self.price),
            Whose::OfTier(tier) => write!(f, "tier:{tier}={}", self.price),
            Whose::Everybody => self.price.fmt(f),
        }
    }
}

/// A tier by its digit.
pub(super) fn tier_of(text: &str) -> Option<u8> {
    text.parse().ok().filter(|tier| *tier <= HIGHEST_TIER)
}

/// The price of a proxy with these labels: its own, else by tag, else by tier, else the one for all. Of two rules of one kind the
/// last one given counts.
pub fn price_by(rules: &[PriceRule], labels: &Labels) -> Option<Price> {
    let last = |fits: &dyn Fn(&Whose) -> bool| {
        let rule = rules.iter().rev().find(|rule| fits(&rule.whose));
        rule.map(|rule| rule.price)
    };
    labels
        .cost
        .or_else(|| last(&|whose| matches!(whose, Whose::Tagged(tag) if labels.tags.contains(tag))))
        .or_else(|| last(&|whose| *whose == Whose::OfTier(labels.tier)))
        .or_else(|| last(&|whose| *whose == Whose::Everybody))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_have_units_and_a_bare_number_is_a_request() {
        for (text, million_bytes, request, shown) in [
            ("3.5/GB", 0.0035, 0.0, "3.5/GB"),
            ("0.002/request", 0.0, 0.002, "0.002/request"),
            ("0.4", 0.0, 0.4, "0.4/request"),
            ("0", 0.0, 0.0, "0/request"),
            (
                "3.5/gb+0.002/request",
                0.0035,
                0.002,
                "3.5/GB+0.002/request",
            ),
        ] {
            let price: Price = text.parse().expect(text);
            assert!(
                (price.of(0, 1_000_000) - million_bytes).abs() < 1e-12,
                "{text}"
            );
            assert_eq!(
                (price.of(1, 0), price.to_string().as_str()),
                (request, shown),
                "{text}"
            );
        }
        for bad in [
            "",
            "x",
            "-1",
            "1e3",
            "inf",
            "3/TB",
            "1/GB+2/GB",
            "1+2",
            "/GB",
            "1/",
            "1/GB+",
        ] {
            assert!(bad.parse::<Price>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_nearest_rule_gives_the_price_and_the_list_has_the_last_word() {
        let rules = ["4/GB", "tier:2=8/GB", "tag:resi=3/GB", "tag:resi=3.5/GB"];
        let rules: Vec<PriceRule> = rules.iter().map(|text| text.parse().unwrap()).collect();
        let price = |tag: Option<&str>, tier, cost: Option<&str>| {
            let labels = Labels {
                tags: tag.into_iter().map(Into::into).collect(),
                tier,
                cost: cost.map(|cost| cost.parse().unwrap()),
                ..Labels::default()
            };
            price_by(&rules, &labels).map(|price| price.to_string())
        };
        assert_eq!(price(None, 0, None).as_deref(), Some("4/GB"));
        assert_eq!(price(None, 2, None).as_deref(), Some("8/GB"));
        assert_eq!(price(Some("resi"), 2, None).as_deref(), Some("3.5/GB"));
        assert_eq!(
            price(Some("resi"), 2, Some("1/GB")).as_deref(),
            Some("1/GB")
        );
        assert_eq!(price_by(&[], &Labels::default()), None);
        for bad in ["tier:3=1/GB", "tag:=1/GB", "x=1/GB", "tag:a", "resi=1"] {
            assert!(bad.parse::<PriceRule>().is_err(), "{bad}");
        }
    }
}
