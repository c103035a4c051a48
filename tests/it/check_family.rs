//! Exits with both address families, or with one, by judges on 127.0.0.3 (the lab's) and on ::1.

use std::net::IpAddr;

use proxywheel::check::{Settings, Verdict};
use proxywheel::echo::Key;
use proxywheel::lab::{Fault, JudgeServer, JudgeSettings, Lab, ProxySpec};
use proxywheel::proxy::Scheme;

use crate::check::{gather, lab, plan};

/// A judge on ::1.
fn judge() -> (JudgeServer, url::Url) {
    let settings = JudgeSettings {
        listen: vec!["[::1]:0".parse().unwrap()],
        ..JudgeSettings::default()
    };
    let judge = JudgeServer::start(Key::generate().unwrap(), settings).unwrap();
    let url = format!("http://{}/", judge.addresses()[0].1);
    (judge, url.parse().unwrap())
}

#[tokio::test]
async fn an_exit_is_seen_at_both_of_its_addresses_and_that_is_no_rotation() {
    let lab = lab(Lab::builder()
        .proxy(ProxySpec::new(Scheme::Http))
        .proxy(ProxySpec::new(Scheme::Socks5))
        .proxy(ProxySpec::new(Scheme::Http).fault(Fault::NoForward)))
    .await;
    let (_judge, url) = judge();
    let both = |settings: &mut Settings| settings.judges.push(url);
    let (reports, _) = gather(plan(&lab, both), lab.proxies()).await;
    for seq in 0..2 {
        let report = &reports[&seq];
        let number = u32::try_from(seq).unwrap();
        let v4 = IpAddr::from(proxywheel::lab::address_of(number));
        assert_eq!(report.exits, [v4, "::1".parse().unwrap()]);
        assert_eq!((report.ipv4, report.ipv6), (Some(true), Some(true)));
        assert_eq!((report.ok(), report.rotates()), (3, Some(false)));
    }
    // There is no judge on IPv6 that this one could be asked for.
    assert_eq!((reports[&2].ipv4, reports[&2].ipv6), (Some(true), None));
}

#[tokio::test]
async fn what_came_of_the_other_family_is_null_unless_the_proxy_has_no_way_there() {
    let lab = lab(Lab::builder().perfect(1)).await;
    // Somebody else answers there, and nobody knows who.
    let (_other, page) = {
        let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone")
                .unwrap();
        });
        (answering, url.parse().unwrap())
    };
    let both = |settings: &mut Settings| {
        settings.control = false;
        settings.judges.push(page);
    };
    let (reports, _) = gather(plan(&lab, both), lab.proxies()).await;
    let report = &reports[&0];
    assert_eq!((report.ipv4, report.ipv6), (Some(true), None), "{report:?}");
}

#[tokio::test]
async fn an_exit_without_the_family_of_some_judges_is_alive_by_the_others() {
    let no_tunnel = ProxySpec::new(Scheme::Http).fault(Fault::NoTunnel);
    let lab = lab(Lab::builder().perfect(1).proxy(no_tunnel)).await;
    // Proxies of the lab do not get there, as one without IPv6 would not.
    let unreachable = |settings: &mut Settings| {
        settings.control = false;
        settings
            .judges
            .push("http://[2001:db8::1]/".parse().unwrap());
    };
    let (reports, _) = gather(plan(&lab, unreachable), lab.proxies()).await;
    let report = &reports[&0];
    assert_eq!((report.verdict, report.failed), (Verdict::Alive, 0));
    assert_eq!((report.ipv4, report.ipv6), (Some(true), Some(false)));

    let (_judge, url) = judge();
    let only_v6 = |settings: &mut Settings| {
        settings.control = false;
        let v4 = ["http://192.0.2.1/", "https://192.0.2.1/"];
        settings.judges = v4.iter().map(|url| url.parse().unwrap()).collect();
        settings.judges.push(url);
    };
    let (reports, _) = gather(plan(&lab, only_v6), lab.proxies()).await;
    for report in reports.values() {
        assert_eq!(
            (report.verdict, report.failed),
            (Verdict::Alive, 0),
            "{report:?}"
        );
        assert_eq!((report.ipv4, report.ipv6), (Some(false), Some(true)));
        assert_eq!(report.forwards, Some(true));
    }
}
