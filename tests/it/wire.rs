//! The wire rules through the whole program: `Client` on one side, the lab on the other.
//!
//! What one exchange does on its sockets is tested in `egress`, against servers written for it; here is what the pool, the
//! rules and the retries make of it. Where each rule of the architecture page's section on the wire is tested:
//!
//! | Rule | Here | Beside it |
//! |---|---|---|
//! | CONNECT 2xx, HTTP/1.0, lengths ignored, bytes kept | `faults`: odd but honest, broken tls | `egress::tls`, unit tests of `egress::connect` |
//! | a refusal's status, headers, body are evidence | `faults`: refusals | `egress::forms`, `egress::connections` |
//! | IPv6 in brackets, header size capped | `faults`: header flood | unit tests of `job`, `egress::connect` |
//! | 407 stops a credential group | `wrong_credentials…` | pool tests |
//! | absolute form, tunnel, capability memory | `each_proxy_is_used…` | `egress::forms` |
//! | stale connection replayed, nobody charged | `a_stale_connection…` | `egress::connections` |
//! | a body that may have been sent is not sent again | `a_post…` | `egress::connections`, `retry` |
//! | rotation per connection | `a_rotating_endpoint…` | `egress::connections` |
//! | identity is more than host and port | `users_of_one_gateway…` | `proxy` |
//! | cap on decoded bytes, truncated | `a_bomb…`, `a_page_cut_short…` | `egress::bodies` |
//! | broken TLS is hostile | `faults`: broken tls; `wire_score` | `egress::tls` |
//! | redirects | `a_chain…`, `secrets…`, `a_hop…` | sim tests of the engine |

use std::collections::BTreeSet;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method};
use proxywheel::client::Settings;
use proxywheel::error::Error;
use proxywheel::exchange::Truncation;
use proxywheel::job::{Job, RequestSpec};
use proxywheel::lab::{BanStyle, Fault, GatewaySpec, HostPlan, Lab, ProxySpec};
use proxywheel::outcome::{Blame, Charge, Outcome};
use proxywheel::proxy::{Credentials, Proxy, Scheme};
use proxywheel::secret::Secret;

use crate::wire_stack::{Stack, assert_page, job, number, numbers, tell};

fn http() -> ProxySpec {
    ProxySpec::new(Scheme::Http)
}

fn gateway(exits: u32, per_connection: bool) -> GatewaySpec {
    GatewaySpec {
        exit: http(),
        user: "customer-9".into(),
        password: "right".into(),
        exits,
        per_connection,
    }
}

/// This proxy with another password.
fn with_password(proxy: &Proxy, password: &str) -> Proxy {
    let user = proxy.credentials().unwrap().user.clone();
    let credentials = Credentials {
        user,
        password: Secret::new(password),
    };
    Proxy::new(
        proxy.scheme(),
        proxy.host(),
        proxy.port(),
        Some(credentials),
    )
}

#[tokio::test]
async fn wrong_credentials_are_tried_a_handful_of_times_and_not_once_per_session() {
    const SESSIONS: u32 = 400;
    let cases = ["http", "https"].map(|scheme| [(scheme, false), (scheme, true)]);
    for (scheme, is_template) in cases.into_iter().flatten() {
        let stack = Stack::start(Lab::builder().gateway(gateway(SESSIONS, false)));
        let wrong = |proxy: &Proxy| match with_password(proxy, "wrong") {
            session if is_template => session.with_group_of("customer-9-{session}"),
            line => line,
        };
        let wrong: Vec<_> = stack.lab.proxies().iter().map(wrong).collect();
        let url = format!("{scheme}://shop.test/");
        let client = stack.client_with(stack.settings(), wrong);
        // Where the password is part of the handshake a probe finds out, and nothing is sent.
        match client.fetch(&url).await {
            Err(error) => assert!(matches!(error, Error::NoProxy(_)), "{error}"),
            Ok(done) => {
                assert_eq!(done.record.outcome, Outcome::ProxyError, "{}", tell(&done));
                for attempt in &done.record.attempt_log {
                    assert_eq!(attempt.blame, Blame::Proxy(Charge::Auth), "{}", tell(&done));
                }
            }
        }
        let tried = stack.lab.stats().proxy_total().auth_failures;
        assert!(
            (1..=5).contains(&tried),
            "{url} {is_template}: {tried} refused log-ins"
        );
    }
}

#[tokio::test]
async fn wrong_credentials_of_one_account_leave_the_other_account_alone() {
    let builder = Lab::builder()
        .gateway(gateway(20, false))
        .proxies(2, http().credentials("other", "fine"));
    let stack = Stack::start(builder);
    let mut proxies = stack.lab.proxies();
    for proxy in &mut proxies[..20] {
        *proxy = with_password(proxy, "wrong");
    }
    let client = stack.client_with(stack.settings(), proxies);
    for row in 0..30 {
        let url = format!("https://shop.test/page/{row}");
        assert_page(&client.fetch(&url).await.unwrap(), &url);
    }
}

#[tokio::test]
async fn each_proxy_is_used_for_the_kind_of_request_it_carries_and_asked_once_for_the_other() {
    const ROWS: u32 = 20;
    let builder = Lab::builder()
        .proxy(http().fault(Fault::NoTunnel))
        .proxy(http().fault(Fault::NoForward))
        .http1_only()
        .record_hits(1000);
    let stack = Stack::start(builder);
    let client = stack.client(stack.settings());
    let mut refused = [0; 2];
    for row in 0..ROWS {
        for (scheme, right) in [("http", 0), ("https", 1)] {
            let url = format!("{scheme}://shop.test/page/{row}");
            let done = client.fetch(&url).await.unwrap();
            assert_page(&done, &url);
            assert_eq!(done.record.attempt_log.last().map(number), Some(right));
            refused[right as usize] += done.record.attempts - 1;
        }
    }
    assert!(refused.iter().all(|count| *count <= 1), "{refused:?}");
    let stats = stack.lab.stats();
    assert!(stats.proxies[0].requests <= u64::from(ROWS) + 2);
    assert_eq!(stats.hosts["shop.test"].requests, u64::from(2 * ROWS));
}

#[tokio::test]
async fn a_stale_connection_is_replaced_without_an_attempt_or_a_charge() {
    let stack = Stack::start(Lab::builder().proxy(http().fault(Fault::KeepaliveClose)));
    let client = stack.client(stack.settings());
    for row in 0..10 {
        let url = format!("http://shop.test/page/{row}");
        let done = client.fetch(&url).await.unwrap();
        assert_page(&done, &url);
        assert_eq!(done.record.attempts, 1);
        assert_eq!(done.record.attempt_log[0].blame, Blame::Nobody);
    }
    assert_eq!(stack.lab.stats().hosts["shop.test"].requests, 10);
}

#[tokio::test]
async fn a_post_that_may_have_arrived_is_not_sent_again_unless_the_user_says_so() {
    for resend in [false, true] {
        let builder = Lab::builder()
            .proxy(http().fault(Fault::KeepaliveClose))
            .record_hits(100);
        let stack = Stack::start(builder);
        let mut settings = stack.settings();
        settings.retry.non_idempotent = resend;
        // The rest of the pool's only member after a failure would be waited for.
        let client = stack.client(settings);
        assert!(client.fetch("http://shop.test/").await.unwrap().record.ok);
        let request = RequestSpec {
            method: Method::POST,
            body: "order=1".into(),
            ..RequestSpec::default()
        };
        let post = Job::new(0, "http://shop.test/echo", Arc::new(request));
        let done = client.fetch_job(post).await.unwrap();
        let posts = stack.lab.hits();
        let posts = posts.iter().filter(|hit| hit.method == "POST").count();
        if resend {
            assert!(done.record.ok && posts == 1, "{posts} {}", tell(&done));
            assert_eq!(done.record.attempts, 2, "{}", tell(&done));
        } else {
            assert_eq!(done.record.outcome, Outcome::NetworkError);
            assert_eq!((done.record.attempts, posts), (1, 0), "{}", tell(&done));
        }
    }
}

#[tokio::test]
async fn a_rotating_endpoint_gives_every_attempt_another_exit() {
    for scheme in ["http", "https"] {
        let builder = Lab::builder().gateway(gateway(50, true)).record_hits(100);
        let stack = Stack::start(builder);
        let client = stack.client(stack.settings());
        for row in 0..12 {
            let url = format!("{scheme}://shop.test/page/{row}");
            assert_page(&client.fetch(&url).await.unwrap(), &url);
        }
        let exits: BTreeSet<_> = stack.lab.hits().iter().map(|hit| hit.proxy).collect();
        assert_eq!(exits.len(), 12, "{exits:?}");
    }
}

#[tokio::test]
async fn users_of_one_gateway_are_as_many_proxies_and_none_uses_the_connection_of_another() {
    const USERS: u32 = 15;
    let builder = Lab::builder()
        .gateway(gateway(USERS, false))
        .record_hits(1000);
    let stack = Stack::start(builder);
    let client = stack.client(stack.settings());
    let mut used = BTreeSet::new();
    for row in 0..3 * USERS {
        let url = format!("http://shop.test/page/{row}");
        let done = client.fetch(&url).await.unwrap();
        assert_page(&done, &url);
        let user = done.record.proxy.as_ref().unwrap().credentials().unwrap();
        let meant: u32 = user
            .user
            .expose()
            .rsplit('-')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let hit = stack.lab.take_hits().pop().unwrap();
        assert_eq!(hit.proxy, Some(meant));
        used.insert(meant);
    }
    assert_eq!(used.len() as u32, USERS);
}

#[tokio::test]
async fn a_bomb_stops_at_the_cap_of_decoded_bytes() {
    let stack = Stack::start(Lab::builder().perfect(2));
    let mut settings = stack.settings();
    settings.egress.max_filesize = 1_000_000;
    let client = stack.client(settings);
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://shop.test/bomb");
        let done = client.fetch(&url).await.unwrap();
        let record = &done.record;
        assert_eq!(record.outcome, Outcome::TooLarge, "{}", tell(&done));
        assert_eq!(record.truncated, Some(Truncation::Length));
        let error = record.error.as_ref().expect("it says what is wrong");
        assert_eq!((error.kind, error.phase), ("too_large", Some("body")));
        assert_eq!(error.curl_code, Some(63));
        assert_eq!(done.body.len(), 1_000_000);
        assert!(
            record.size_wire.unwrap() < 100_000,
            "{:?}",
            record.size_wire
        );
        assert_eq!(record.attempt_log[0].blame, Blame::Target);
    }
}

#[tokio::test]
async fn a_page_cut_short_everywhere_is_corrupt_and_says_truncated() {
    let stack = Stack::start(Lab::builder().perfect(4));
    let client = stack.client(stack.settings());
    for scheme in ["http", "https"] {
        // Who has served before is not set aside for a failure that may be the target's.
        for _ in 0..8 {
            let served = client.fetch(&format!("{scheme}://good.test/")).await;
            assert!(served.unwrap().record.ok);
        }
        let url = format!("{scheme}://shop.test/truncate");
        let done = client.fetch(&url).await.unwrap();
        assert_eq!(done.record.outcome, Outcome::Corrupt, "{}", tell(&done));
        assert_eq!(done.record.truncated, Some(Truncation::Disconnect));
        let error = done.record.error.as_ref().expect("it says what is wrong");
        assert_eq!((error.kind, error.phase), ("closed", Some("body")));
        assert_eq!(error.curl_code, Some(18));
        assert_eq!(numbers(&done).len(), 4, "every retry elsewhere");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_decoded_leaves_the_rest_of_the_answer_in_the_row() {
    let stack = Stack::start(Lab::builder().perfect(4));
    let client = stack.client(stack.settings());
    for scheme in ["http", "https"] {
        // The 404 of one that has never served would be asked for again.
        for _ in 0..8 {
            let served = client.fetch(&format!("{scheme}://good.test/")).await;
            assert!(served.unwrap().record.ok);
        }
        for (code, outcome, again) in [
            (200, Outcome::Corrupt, true),
            (404, Outcome::HttpError, false),
        ] {
            let url = format!("{scheme}://shop.test/undecodable/{code}");
            let done = client.fetch(&url).await.unwrap();
            let record = &done.record;
            assert_eq!(record.outcome, outcome, "{}", tell(&done));
            assert_eq!(record.attempts > 1, again, "{}", tell(&done));
            assert_eq!(record.status, Some(code));
            assert_eq!(record.attempt_log[0].status, Some(code));
            assert_eq!(
                record.content_type.as_deref(),
                Some("text/html; charset=utf-8")
            );
            assert!(record.size_wire > Some(0) && record.http_version.is_some());
            let error = record.error.as_ref().unwrap();
            assert_eq!((error.kind, error.phase), ("decode", Some("body")));
        }
    }
}

#[tokio::test]
async fn a_chain_of_redirects_stays_on_one_proxy() {
    let stack = Stack::start(Lab::builder().perfect(5).record_hits(1000));
    let client = stack.client(stack.settings());
    for scheme in ["http", "https"] {
        for _ in 0..5 {
            let url = format!("{scheme}://shop.test/redirect/3");
            let done = client.fetch(&url).await.unwrap();
            let record = &done.record;
            assert!(record.ok && record.attempts == 1, "{}", tell(&done));
            assert_eq!(record.redirects.len(), 3);
            let last = format!("{scheme}://shop.test/redirect/0");
            assert_eq!(record.final_url.as_deref(), Some(&*last));
            let exits: BTreeSet<_> = stack.lab.take_hits().iter().map(|hit| hit.proxy).collect();
            assert_eq!(
                exits,
                BTreeSet::from([Some(number(&record.attempt_log[0]))])
            );
        }
    }
}

#[tokio::test]
async fn secrets_stay_with_their_host_when_a_redirect_leaves_it() {
    let stack = Stack::start(Lab::builder().perfect(1).record_hits(100));
    let client = stack.client(stack.settings());
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
    let request = Arc::new(RequestSpec {
        headers,
        ..RequestSpec::default()
    });
    for (to, kept) in [
        ("http://shop.test/echo", true),
        ("http://other.test/echo", false),
        ("https://shop.test/echo", true),
        ("http://shop.test:8080/echo", false),
        ("https://shop.test:8080/echo", false),
    ] {
        let url = format!("http://shop.test/redirect-to?url={to}");
        let done = client.fetch_job(Job::new(0, &url, request.clone())).await;
        assert!(
            done.as_ref().unwrap().record.ok,
            "{to}: {}",
            tell(&done.unwrap())
        );
        let hits = stack.lab.take_hits();
        let sent: Vec<_> = hits
            .iter()
            .map(|hit| hit.header("authorization").is_some())
            .collect();
        assert_eq!(sent, [true, kept], "{to}");
    }
}

#[tokio::test]
async fn a_hop_to_a_challenge_is_a_ban_of_the_pair_and_the_row_comes_through_another_exit() {
    let plan = HostPlan {
        banned_percent: 50,
        banned_style: BanStyle::Sorry,
        ..HostPlan::default()
    };
    let stack = Stack::start(Lab::builder().seed(3).every_host(plan).perfect(12));
    let client = stack.client(stack.settings());
    let mut bans = 0;
    for row in 0..12 {
        let url = format!("http://shop.test/page/{row}");
        let done = client.fetch(&url).await.unwrap();
        assert_page(&done, &url);
        for attempt in done.record.attempt_log.iter().rev().skip(1) {
            assert_eq!(attempt.outcome, Outcome::Banned, "{}", tell(&done));
            assert_eq!(attempt.blame, Blame::Pair);
            bans += 1;
        }
    }
    assert!(bans > 0, "the seed bans nobody who was asked");
    // The ban is the host's: another host is served through the same exits, each asked once.
    let asked = stack.lab.stats().hosts["shop.test"].banned;
    assert!(asked <= 12, "{asked} hops to the challenge for {bans} bans");
}

#[tokio::test]
async fn a_dead_target_at_the_head_of_the_list_costs_nothing_to_the_others() {
    for scheme in ["http", "https"] {
        let stack = Stack::start(
            Lab::builder()
                .perfect(6)
                .host("down.test", HostPlan::down()),
        );
        let settings = Settings {
            pool: Default::default(),
            ..stack.settings()
        };
        let client = stack.client(settings);
        let dead = client
            .fetch(&format!("{scheme}://down.test/"))
            .await
            .unwrap();
        assert_eq!(dead.record.outcome, Outcome::ProxyError, "{}", tell(&dead));
        let said = dead.record.ban.as_ref().map(|ban| &*ban.evidence);
        assert!(
            said.is_some_and(|said| said.contains("CONNECT_FAIL")),
            "{said:?}"
        );
        for row in 0..20 {
            let url = format!("{scheme}://shop.test/page/{row}");
            let done = client.fetch_job(job(&url)).await;
            assert_page(
                &done.unwrap_or_else(|error| panic!("{scheme} {row}: {error}")),
                &url,
            );
        }
    }
}
