//! What a check finds out about names at the exit. In the lab every name below `.test` is a site with a judge, beyond proxies.

use std::sync::Arc;
use std::time::Duration;

use proxywheel::check::{Dns, Plan, Settings, Verdict};
use proxywheel::egress::{Egress, Outgoing, ProbeReport, SocketEgress};
use proxywheel::exchange::Exchange;
use proxywheel::job::HostKey;
use proxywheel::lab::{Builder, Fault, Lab, ProxySpec};
use proxywheel::proxy::{Proxy, Scheme};

use crate::check::{gather, lab, plan};

/// A zone for the direct path, on which the lab's names do not exist: every name leads to the judge.
struct Zone {
    egress: SocketEgress,
    judge: url::Url,
}

impl Egress for Zone {
    fn probe(
        &self,
        proxy: Arc<Proxy>,
        host: Option<HostKey>,
        connect_timeout: Duration,
    ) -> impl Future<Output = ProbeReport> + Send {
        self.egress.probe(proxy, host, connect_timeout)
    }

    async fn send(&self, outgoing: Outgoing<'_>) -> Exchange {
        let mut url = outgoing.url.clone();
        if outgoing.proxy.is_direct() && url.domain().is_some() {
            url.set_host(self.judge.host_str()).unwrap();
        }
        let outgoing = Outgoing {
            url: &url,
            ..outgoing
        };
        self.egress.send(outgoing).await
    }
}

fn zoned(lab: &Lab, domain: &str) -> Plan<Zone> {
    let ask = |settings: &mut Settings| settings.dns_domain = Some(domain.into());
    let plan = plan(lab, ask);
    Plan {
        egress: Zone {
            egress: plan.egress,
            judge: lab.judge_url(false).parse().unwrap(),
        },
        rules: plan.rules,
        settings: plan.settings,
    }
}

/// Proxies of every kind, and what is found out of names that they resolve.
fn mixed() -> (Builder, [Dns; 8]) {
    let of = |scheme| ProxySpec::new(scheme);
    let http = |fault| ProxySpec::new(Scheme::Http).fault(fault);
    let builder = Lab::builder()
        .proxy(of(Scheme::Http))
        .proxy(of(Scheme::Https))
        .proxy(of(Scheme::Socks5))
        .proxy(of(Scheme::Socks4a))
        .proxy(of(Scheme::Socks4))
        .proxy(http(Fault::DnsHijack))
        .proxy(http(Fault::NoForward))
        .proxy(http(Fault::Refuse));
    use Dns::{Hijacked, NotTested, Resolved};
    let found = [
        Resolved, Resolved, Resolved, Resolved, NotTested, Hijacked, NotTested, NotTested,
    ];
    (builder, found)
}

#[tokio::test]
async fn an_exit_resolves_a_made_up_name_and_invents_none() {
    let (builder, expected) = mixed();
    let lab = lab(builder).await;
    let (reports, summary) = gather(zoned(&lab, "exit.test"), lab.proxies()).await;
    let found: Vec<_> = reports.values().map(|report| report.dns).collect();
    assert_eq!(found, expected);
    assert_eq!(
        reports[&5].verdict,
        Verdict::Alive,
        "a lie about names is told, no more"
    );
    assert_eq!(summary.astray, None);
    let names: Vec<_> = summary.names.into_iter().collect();
    assert_eq!(names, [("hijacked", 1), ("resolved", 4)]);
}

#[tokio::test]
async fn an_exit_that_does_not_find_the_name_or_finds_another_page_is_told() {
    let (builder, _) = mixed();
    let lab = lab(builder).await;
    let (reports, _) = gather(zoned(&lab, "exit.example"), lab.proxies()).await;
    let found: Vec<_> = reports.values().map(|report| report.dns).collect();
    use Dns::{Failed, Hijacked, NotTested};
    assert_eq!(
        found,
        [
            Failed, Failed, Failed, Failed, NotTested, Hijacked, NotTested, NotTested
        ]
    );
}

#[tokio::test]
async fn a_domain_that_leads_to_no_judge_is_asked_of_nobody() {
    let lab = lab(Lab::builder().perfect(2)).await;
    // Here the names lead nowhere on the direct path.
    let astray = |settings: &mut Settings| settings.dns_domain = Some("exit.test".into());
    let (reports, summary) = gather(plan(&lab, astray), lab.proxies()).await;
    assert!(summary.astray.is_some());
    assert!(
        reports
            .values()
            .all(|report| { (report.verdict, report.dns) == (Verdict::Alive, Dns::NotTested) })
    );
    let named = |host: &&String| host.ends_with(".exit.test");
    assert_eq!(lab.stats().hosts.keys().filter(named).count(), 0);
}
