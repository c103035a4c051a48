//! A scenario at the lab's addresses, fetched through by the client.

use proxywheel::client::Client;
use proxywheel::job::Job;
use proxywheel::lab::scenario::Scenario;
use proxywheel::lab::{Lab, Origin};

const SCENARIO: &str = r#"
title = "a bit of everything"
urls = 200
proxies = 40
concurrency = 40

[[group]]
name = "refusing"
share = 0.3
behaves = "refuses"

[[group]]
name = "black holes"
share = 0.1
behaves = "black-hole"

[[group]]
name = "tampering"
share = 0.1
behaves = "tampers"
noticed = 1
answer = { median-s = 0.01, between = 0, within = 0, least-s = 0 }
connect = { median-s = 0.001 }

[[group]]
name = "good"
share = 0.5
answer = { median-s = 0.05, least-s = 0 }
connect = { median-s = 0.01, lost-syn = 0 }

[[host]]

[[host]]
banned = 0.2
"#;

#[tokio::test]
async fn a_scenario_over_sockets_is_the_same_list_and_the_same_sites() {
    let scenario = Scenario::parse("test.toml", SCENARIO).expect("a scenario");
    let lab = Lab::spawn_thread(Lab::builder().scenario(&scenario, 1)).expect("a lab");
    assert_eq!(lab.len(), 40);
    let client = Client::builder()
        .proxies(lab.proxies().into_iter().map(Into::into))
        .configure(|settings| {
            settings.ban.must_match = vec![r"<title>/\d+ at h\d\.test</title>".into()];
        })
        .concurrency(scenario.concurrency)
        .build()
        .expect("a client");
    let jobs = (0..scenario.urls.get()).map(|number| {
        let url = format!("http://h{}.test/{number}", scenario.host_of(number));
        Job::new(u64::from(number), &url, Default::default())
    });
    let mut run = client
        .run(Given(jobs.collect::<Vec<_>>().into_iter()))
        .expect("a run");
    let mut rows = 0;
    while let Some(done) = run.next().await {
        rows += 1;
        let url = url::Url::parse(&done.record.input).expect("a URL");
        let host = url.host_str().expect("a host");
        assert!(done.record.ok, "{:?}", done.record);
        assert_eq!(done.body, Origin::expected_body(host, url.path()));
    }
    assert_eq!(rows, 200);
    let tally = lab.tally().expect("a scenario");
    assert_eq!(tally.to_dead, 0, "a dead proxy costs a socket only");
    assert!(tally.requests > 200 && tally.blocked > 0, "{tally:?}");
    lab.stop().await;
}

/// Jobs that are there.
struct Given(std::vec::IntoIter<Job>);

impl futures_core::Stream for Given {
    type Item = Job;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Job>> {
        std::task::Poll::Ready(self.0.next())
    }
}
