//! Verdict classes, and what each means for the outcome and the blame.
//!
//! One table, so that two rules of the same class can never be punished differently. Who speaks matters as much as what is
//! said: the same "too many requests" comes from a target (it limits this exit) or from a gateway (it limits this account).

use serde::Deserialize;

use crate::outcome::{Blame, Charge, Outcome};

/// Who wrote the page a rule describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Layer {
    /// The forward proxy or its vendor.
    Proxy,
    /// The target, or the CDN or WAF before it.
    #[default]
    Edge,
}

/// What a rule says about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Class {
    ChallengeJs,
    ChallengeCaptcha,
    BlockIp,
    BlockGeo,
    BlockClient,
    BlockRule,
    RateLimit,
    Queue,
    Consent,
    JsRequired,
    LoginWall,
    Empty,
    Forbidden,
    OriginError,
    EdgeConfig,
    ProxyAuth,
    ProxyPolicy,
    ProxyNoExit,
    ProxyNoTunnel,
    ProxyError,
    ProxyTimeout,
    ProxyTamper,
}

impl Class {
    /// The word in `record.ban.class`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Class::ChallengeJs => "challenge_js",
            Class::ChallengeCaptcha => "challenge_captcha",
            Class::BlockIp => "block_ip",
            Class::BlockGeo => "block_geo",
            Class::BlockClient => "block_client",
            Class::BlockRule => "block_rule",
            Class::RateLimit => "rate_limit",
            Class::Queue => "queue",
            Class::Consent => "consent",
            Class::JsRequired => "js_required",
            Class::LoginWall => "login_wall",
            Class::Empty => "empty",
            Class::Forbidden => "forbidden",
            Class::OriginError => "origin_error",
            Class::EdgeConfig => "edge_config",
            Class::ProxyAuth => "proxy_auth",
            Class::ProxyPolicy => "proxy_policy",
            Class::ProxyNoExit => "proxy_no_exit",
            Class::ProxyNoTunnel => "proxy_no_tunnel",
            Class::ProxyError => "proxy_error",
            Class::ProxyTimeout => "proxy_timeout",
            Class::ProxyTamper => "proxy_tamper",
        }
    }

    /// Outcome and blame of an answer of this class, written by `layer`.
    pub(super) fn sentence(self, layer: Layer) -> (Outcome, Blame) {
        let charged = |charge| (Outcome::ProxyError, Blame::Proxy(charge));
        match self {
            // Another exit is likely to be served.
            Class::ChallengeJs
            | Class::ChallengeCaptcha
            | Class::BlockIp
            | Class::BlockGeo
            | Class::BlockRule
            | Class::Empty => (Outcome::Banned, Blame::Pair),
            // Another exit would be refused just the same: this client, not this address, is what the target dislikes.
            Class::BlockClient
            | Class::Queue
            | Class::Consent
            | Class::JsRequired
            | Class::LoginWall => (Outcome::Banned, Blame::Target),
            Class::Forbidden | Class::EdgeConfig => (Outcome::HttpError, Blame::Target),
            Class::RateLimit if layer == Layer::Proxy => (Outcome::ProxyError, Blame::Pair),
            Class::RateLimit => (Outcome::RateLimited, Blame::Pair),
            // What a proxy says about a target may be the proxy's own trouble (its resolver, its route).
            Class::OriginError if layer == Layer::Proxy => (Outcome::ProxyError, Blame::Unknown),
            Class::OriginError => (Outcome::HttpError, Blame::Target),
            Class::ProxyError | Class::ProxyTimeout => (Outcome::ProxyError, Blame::Unknown),
            Class::ProxyAuth => charged(Charge::Auth),
            Class::ProxyPolicy => charged(Charge::Policy),
            Class::ProxyNoExit => charged(Charge::NoExit),
            Class::ProxyNoTunnel => charged(Charge::NoTunnel),
            Class::ProxyTamper => (Outcome::Corrupt, Blame::Proxy(Charge::Tampered)),
        }
    }
}
