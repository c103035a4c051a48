//! How a host behaves beside its pages: up or down, errors, rate limits, bans. Plain data, readable from a scenario file.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The behaviour of one host. The default is a host that answers everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostPlan {
    /// Nobody can connect to it: proxies answer 503 or refuse the tunnel.
    pub down: bool,
    /// No such name: proxies say so.
    pub unknown: bool,
    /// Goes down and comes up again, by the clock of the lab.
    pub flapping: Option<Flapping>,
    /// Answers a share of requests with an error status of its own.
    pub errors: Option<Errors>,
    /// 429 with Retry-After beyond this, for all proxies together.
    pub rate_limit: Option<Quota>,
    /// Bans a proxy that asks too often.
    pub ban: Option<BanRule>,
    /// Share of proxies, 0..=100, that are banned from the start and for good; the seed says which.
    pub banned_percent: u8,
    /// Proxies from this number on are none of that share: another tier of the list. Without it all are.
    pub banned_below: Option<u32>,
    /// What a proxy of [`HostPlan::banned_percent`] gets.
    pub banned_style: BanStyle,
}

impl HostPlan {
    /// A host nobody can connect to.
    pub fn down() -> Self {
        HostPlan {
            down: true,
            ..HostPlan::default()
        }
    }
}

/// Up for a while, down for a while, starting up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flapping {
    /// Milliseconds up.
    pub up_ms: u64,
    /// Milliseconds down.
    pub down_ms: u64,
}

impl Flapping {
    /// True when the host is down at this time of the lab.
    pub(super) fn is_down(&self, since_start: Duration) -> bool {
        let cycle = u128::from(self.up_ms) + u128::from(self.down_ms);
        cycle > 0 && since_start.as_millis() % cycle >= u128::from(self.up_ms)
    }
}

/// Errors of the host's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Errors {
    /// Share of requests, 0..=100.
    pub percent: u8,
    /// Status, 400..=599.
    pub status: u16,
}

/// So many requests in a window; windows follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quota {
    /// Requests in one window.
    pub requests: u32,
    /// Length of the window, milliseconds.
    pub window_ms: u64,
}

/// When a host bans a proxy, for how long and how it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BanRule {
    /// Requests of one proxy in one window that are still answered.
    pub requests: u32,
    /// Length of the window, milliseconds.
    pub window_ms: u64,
    /// Length of the ban, milliseconds; requests during the ban do not prolong it.
    pub lasts_ms: u64,
    /// What the banned proxy gets.
    #[serde(default)]
    pub style: BanStyle,
}

/// What a banned proxy gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BanStyle {
    /// 403 with a page that says so.
    #[default]
    Forbidden,
    /// 429 with Retry-After.
    TooMany,
    /// 200 with a challenge page.
    Captcha,
    /// 302 to `/sorry`.
    Sorry,
    /// 200 without a body.
    Empty,
    /// RST.
    Reset,
}

impl BanStyle {
    /// All styles.
    pub const ALL: [BanStyle; 6] = [
        BanStyle::Forbidden,
        BanStyle::TooMany,
        BanStyle::Captcha,
        BanStyle::Sorry,
        BanStyle::Empty,
        BanStyle::Reset,
    ];

    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            BanStyle::Forbidden => "forbidden",
            BanStyle::TooMany => "too-many",
            BanStyle::Captcha => "captcha",
            BanStyle::Sorry => "sorry",
            BanStyle::Empty => "empty",
            BanStyle::Reset => "reset",
        }
    }
}

impl fmt::Display for BanStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_from_toml() {
        let plan: HostPlan = toml::from_str(
            "banned-percent = 20\n[ban]\nrequests = 5\nwindow-ms = 1000\nlasts-ms = 9000\nstyle = \"sorry\"\n",
        )
        .unwrap();
        assert_eq!(plan.ban.unwrap().style, BanStyle::Sorry);
        assert_eq!(plan.banned_percent, 20);
        assert!(toml::from_str::<HostPlan>("bannd-percent = 20").is_err());
        for style in BanStyle::ALL {
            assert_eq!(
                serde_json::to_string(&style).unwrap(),
                format!("\"{style}\"")
            );
        }
    }

    #[test]
    fn a_flapping_host_starts_up() {
        let flapping = Flapping {
            up_ms: 100,
            down_ms: 50,
        };
        let down = |ms| flapping.is_down(Duration::from_millis(ms));
        assert_eq!(
            [down(0), down(99), down(100), down(149), down(150)],
            [false, false, true, true, false]
        );
    }
}
