//! Checking lists: the lab knows the truth about every proxy in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proxywheel::ban;
use proxywheel::check::{self, Anonymity, Plan, Progress, Report, Settings, Summary, Verdict};
use proxywheel::egress::{self, Egress, SocketEgress};
use proxywheel::lab::{BadTls, Builder, Fault, HostPlan, Lab, ProxySpec};
use proxywheel::proxy::{Proxy, Scheme};
use tokio::sync::{mpsc, watch};

/// Checks `proxies` with the lab's two judges.
async fn check(
    lab: &Lab,
    proxies: Vec<Proxy>,
    change: impl FnOnce(&mut Settings),
) -> (BTreeMap<u64, Report>, Summary) {
    gather(plan(lab, change), proxies).await
}

/// Checks `proxies` by a plan; the reports by their place in the list.
pub(crate) async fn gather<E: Egress>(
    plan: Plan<E>,
    proxies: Vec<Proxy>,
) -> (BTreeMap<u64, Report>, Summary) {
    let (_stop, stopped) = watch::channel(false);
    let (out, mut reports) = mpsc::channel(16);
    let run = start(plan, proxies, out, stopped);
    let gather = async {
        let mut all = BTreeMap::new();
        while let Some(report) = reports.recv().await {
            assert!(all.insert(report.seq, report).is_none(), "a row twice");
        }
        all
    };
    let (summary, all) = tokio::join!(run, gather);
    (all, summary)
}

/// What a check of the lab needs, with its two judges.
pub(crate) fn plan(lab: &Lab, change: impl FnOnce(&mut Settings)) -> Plan<SocketEgress> {
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("ca.pem");
    std::fs::write(&pem, lab.ca_pem()).unwrap();
    let egress = SocketEgress::new(egress::Settings {
        max_idle: 0,
        max_filesize: 256 * 1024,
        cacert: Some(pem.clone()),
        proxy_cacert: Some(pem),
        ..egress::Settings::default()
    })
    .unwrap();
    let judges = [lab.judge_url(false), lab.judge_url(true)];
    let mut settings = Settings {
        judges: judges.iter().map(|url| url.parse().unwrap()).collect(),
        connect_timeout: Duration::from_millis(500),
        max_time: Duration::from_secs(1),
        seed: Some(7),
        ..Settings::default()
    };
    change(&mut settings);
    Plan {
        egress,
        rules: ban::Judge::new(&ban::Settings::default()).unwrap(),
        settings,
    }
}

fn start<E: Egress>(
    plan: Plan<E>,
    proxies: Vec<Proxy>,
    out: mpsc::Sender<Report>,
    stopped: watch::Receiver<bool>,
) -> impl Future<Output = Summary> {
    let proxies = proxies.into_iter().map(Arc::new).collect();
    let (progress, _) = watch::channel(Progress::default());
    check::run(plan, proxies, out, progress, stopped)
}

pub(crate) async fn lab(builder: Builder) -> Lab {
    builder.start().await.unwrap()
}

#[tokio::test]
async fn every_way_of_being_bad_is_named() {
    use Verdict::*;
    let http = |fault| ProxySpec::new(Scheme::Http).fault(fault);
    let socks = |fault| ProxySpec::new(Scheme::Socks5).fault(fault);
    let cases = [
        (http(Fault::Refuse), Dead, "connect_refused"),
        (http(Fault::BlackHole), Dead, "connect_timeout"),
        (http(Fault::HangAfterAccept), Dead, "timeout"),
        (http(Fault::HangAfterConnect), Dead, "timeout"),
        (http(Fault::Reset), Dead, "reset"),
        (http(Fault::Garbage), Dead, "not_a_proxy"),
        (http(Fault::Auth407), Auth, "auth"),
        (http(Fault::TlsIntercept), Hostile, "tls_intercepted"),
        (http(Fault::BadTls(BadTls::Garbage)), Hostile, "tls_broken"),
        (
            http(Fault::BadTls(BadTls::Expired)),
            Hostile,
            "tls_intercepted",
        ),
        (
            http(Fault::BadTls(BadTls::WrongName)),
            Hostile,
            "tls_intercepted",
        ),
        (http(Fault::ForeignPage), Hostile, "foreign_page"),
        (http(Fault::EndlessBody), Hostile, "foreign_page"),
        (http(Fault::Bomb), Hostile, "foreign_page"),
        (http(Fault::Empty200), Hostile, "empty_page"),
        (http(Fault::RedirectLoop), Hostile, "redirected"),
        (http(Fault::InjectScript), Hostile, "tampered"),
        (http(Fault::Stale), Hostile, "foreign_page"),
        (
            http(Fault::NoForward).fault(Fault::NoTunnel),
            Policy,
            "policy",
        ),
        (socks(Fault::Garbage), Dead, "not_a_proxy"),
        (socks(Fault::Auth407), Auth, "auth"),
        (socks(Fault::TlsIntercept), Hostile, "tls_intercepted"),
        (socks(Fault::ConnectStatus(403)), Policy, "policy"),
        (http(Fault::NoTunnel), Alive, "ok"),
        (http(Fault::NoForward), Alive, "ok"),
        (http(Fault::ConnectStatus(502)), Alive, "ok"),
        (http(Fault::LeakHeader), Alive, "ok"),
        (http(Fault::StripRequest), Alive, "ok"),
        (http(Fault::StripAnswer), Hostile, "tampered"),
        (http(Fault::KeepaliveClose), Alive, "ok"),
        (ProxySpec::new(Scheme::Http), Alive, "ok"),
        (ProxySpec::new(Scheme::Https), Alive, "ok"),
        (ProxySpec::new(Scheme::Socks4a), Alive, "ok"),
        (ProxySpec::new(Scheme::Socks5), Alive, "ok"),
    ];
    let mut builder = Lab::builder();
    for (spec, _, _) in &cases {
        builder = builder.proxy(spec.clone());
    }
    let lab = lab(builder).await;
    let (reports, summary) = check(&lab, lab.proxies(), |_| {}).await;
    assert_eq!(reports.len(), cases.len());
    for (seq, (spec, verdict, reason)) in cases.iter().enumerate() {
        let report = &reports[&(seq as u64)];
        assert_eq!(
            (report.verdict, report.reason()),
            (*verdict, *reason),
            "{spec:?} {:?}",
            report.trouble
        );
        assert_eq!(report.score.unwrap() > 50, *verdict == Alive);
    }
    assert_eq!(summary.count(Alive), 10);
    assert_eq!(summary.reasons["timeout"], 2);

    let of = |fault: Fault| {
        let at = cases
            .iter()
            .position(|(spec, _, _)| spec.faults == [fault.clone()]);
        &reports[&(at.unwrap() as u64)]
    };
    let ways = |report: &Report| (report.forwards, report.tunnels);
    assert_eq!(ways(of(Fault::NoTunnel)), (Some(true), Some(false)));
    assert_eq!(ways(of(Fault::NoForward)), (Some(false), Some(true)));
    let leaky = of(Fault::LeakHeader);
    assert_eq!(leaky.anonymity, Some(Anonymity::Transparent));
    assert_eq!(
        leaky.headers,
        [("X-Forwarded-For".into(), "127.0.0.1".into())]
    );
    let injected = of(Fault::InjectScript).tampering.as_ref().unwrap();
    assert_eq!(injected.kind, "script");
    assert!(injected.evidence.contains("ads.injected.test"));
    let rewrites = |fault| of(fault).rewrites.as_ref().unwrap().to_string();
    assert_eq!(
        rewrites(Fault::StripRequest),
        "request: removes accept-encoding, changes user-agent"
    );
    assert_eq!(
        rewrites(Fault::StripAnswer),
        "answer: removes content-security-policy, adds set-cookie via"
    );
    let stripped = of(Fault::StripAnswer).tampering.as_ref().unwrap();
    assert_eq!(
        (stripped.kind, &*stripped.evidence),
        ("header", "content-security-policy is missing")
    );
    assert_eq!(rewrites(Fault::InjectScript), "");
    let plain = &reports[&30];
    assert_eq!(plain.anonymity, Some(Anonymity::Elite));
    assert_eq!(
        (plain.ok(), plain.failed, plain.rotates()),
        (3, 0, Some(false))
    );
    assert_eq!(plain.exits, [proxywheel::lab::address_of(30)]);
    assert_eq!(
        reports[&33].anonymity, None,
        "nobody can add a header in a tunnel"
    );
}

#[tokio::test]
async fn a_plain_judge_is_asked_in_a_tunnel_of_a_proxy_that_forwards_nothing() {
    let for_tunnels = || ProxySpec::new(Scheme::Http).fault(Fault::NoForward);
    let lab = lab(Lab::builder()
        .proxy(for_tunnels())
        .proxy(for_tunnels().fault(Fault::NoTunnel)))
    .await;
    let plain = |settings: &mut Settings| settings.judges.truncate(1);
    let (reports, _) = check(&lab, lab.proxies(), plain).await;
    let told = |report: &Report| (report.verdict, report.forwards, report.tunnels);
    let alive = &reports[&0];
    assert_eq!(told(alive), (Verdict::Alive, Some(false), Some(true)));
    assert_eq!((alive.ok(), alive.failed), (3, 0));
    // In a tunnel nobody can add a header.
    assert_eq!((alive.anonymity, alive.rewrites.is_none()), (None, true));
    assert_eq!(told(&reports[&1]), (Verdict::Policy, Some(false), None));
}

#[tokio::test]
async fn a_page_that_nobody_has_seen_directly_makes_no_proxy_hostile() {
    let lab = lab(Lab::builder().perfect(1)).await;
    let page = || "http://shop.test/page/1".parse().unwrap();
    let mut by_target = plan(&lab, |settings| {
        settings.judges.clear();
        settings.urls = vec![page()];
    });
    by_target.rules = ban::Judge::new(&ban::Settings {
        must_match: vec!["nowhere to be found".into()],
        ..ban::Settings::default()
    })
    .unwrap();
    let (reports, _) = gather(by_target, lab.proxies()).await;
    let told = |report: &Report| (report.verdict, report.reason());
    assert_eq!(told(&reports[&0]), (Verdict::Policy, "corrupt"));
    let message = &reports[&0].trouble.as_ref().unwrap().message;
    assert!(message.starts_with("must_match: "), "{message}");
    let by_no_judge = plan(&lab, |settings| {
        settings.judges = vec![page()];
        settings.control = false;
    });
    let (reports, _) = gather(by_no_judge, lab.proxies()).await;
    assert_eq!(told(&reports[&0]), (Verdict::Unknown, "foreign_page"));
}

#[tokio::test]
async fn nobody_is_blamed_while_the_judges_are_down() {
    let lab = lab(Lab::builder()
        .perfect(3)
        .proxy(ProxySpec::new(Scheme::Http).fault(Fault::Refuse)))
    .await;
    lab.set_host("127.0.0.3", HostPlan::down());
    let (reports, summary) = check(&lab, lab.proxies(), |_| {}).await;
    assert!(summary.no_judge && reports.is_empty());
    assert_eq!(summary.silent.len(), 2);
}

#[tokio::test]
async fn a_judge_that_dies_in_the_middle_takes_no_proxy_with_it() {
    let lab = lab(Lab::builder().perfect(40)).await;
    let (_stop, stopped) = watch::channel(false);
    let (out, mut reports) = mpsc::channel(1);
    let slow = |settings: &mut Settings| settings.concurrency = 2;
    let run = start(plan(&lab, slow), lab.proxies(), out, stopped);
    let gather = async {
        let mut verdicts = BTreeMap::<Verdict, u32>::new();
        let mut seen = 0;
        while let Some(report) = reports.recv().await {
            if seen == 5 {
                lab.set_host("127.0.0.3", HostPlan::down());
            }
            seen += 1;
            *verdicts.entry(report.verdict).or_default() += 1;
        }
        verdicts
    };
    let (summary, verdicts) = tokio::join!(run, gather);
    assert_eq!(
        verdicts.get(&Verdict::Dead),
        None,
        "{verdicts:?} {summary:?}"
    );
    assert_eq!(verdicts.values().sum::<u32>(), 40);
    assert!(verdicts[&Verdict::Alive] >= 5 && verdicts[&Verdict::Unknown] > 0);
    assert!(summary.reasons["judge_down"] > 0, "{:?}", summary.reasons);
}

#[tokio::test]
async fn the_protocol_a_port_really_speaks_is_found() {
    let closed = ProxySpec::new(Scheme::Socks5).credentials("me", "secret");
    let lab = lab(Lab::builder()
        .proxy(ProxySpec::new(Scheme::Socks5))
        .proxy(ProxySpec::new(Scheme::Https))
        .proxy(ProxySpec::new(Scheme::Http))
        .proxy(closed))
    .await;
    let listed = |number: u32, scheme| {
        let proxy = lab.proxy(number);
        Proxy::new(scheme, proxy.host(), proxy.port(), None)
    };
    let wrong = vec![
        listed(0, Scheme::Http),
        listed(1, Scheme::Http),
        listed(2, Scheme::Socks4),
        listed(3, Scheme::Http),
    ];
    let (reports, _) = check(&lab, wrong.clone(), |settings| settings.detect = true).await;
    let found: Vec<_> = reports
        .values()
        .map(|report| report.protocols.clone())
        .collect();
    let expected = [Scheme::Socks5, Scheme::Https, Scheme::Http, Scheme::Socks5];
    assert_eq!(found, expected.map(|scheme| [scheme]));
    let closed = &reports[&3];
    assert_eq!(closed.verdict, Verdict::Auth);
    assert_eq!((closed.forwards, closed.tunnels), (None, None));
    let (reports, _) = check(&lab, wrong, |_| {}).await;
    assert!(
        reports
            .values()
            .all(|report| report.verdict == Verdict::Dead)
    );
}

#[tokio::test]
async fn socks4a_is_claimed_only_where_a_name_was_resolved() {
    let lab = lab(Lab::builder().proxy(ProxySpec::new(Scheme::Socks4a))).await;
    let proxy = lab.proxy(0);
    let listed = vec![Proxy::new(Scheme::Http, proxy.host(), proxy.port(), None)];
    let (reports, _) = check(&lab, listed.clone(), |settings| settings.detect = true).await;
    assert_eq!(reports[&0].protocols, [Scheme::Socks4]);
    let by_name = |settings: &mut Settings| {
        settings.detect = true;
        // The name exists only beyond proxies, so nobody can ask there directly.
        settings.control = false;
        settings.judges = vec!["http://judge.test/judge".parse().unwrap()];
    };
    let (reports, _) = check(&lab, listed, by_name).await;
    assert_eq!(reports[&0].protocols, [Scheme::Socks4a], "{reports:?}");
}
