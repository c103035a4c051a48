//! The library's door, through the lab: what is given up, what ends, what is said of it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use http::Method;
use proxywheel::client::{Builder, Client};
use proxywheel::job::{Job, RequestSpec};
use proxywheel::lab::Lab;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn lab(proxies: u32) -> Lab {
    let builder = Lab::builder().perfect(proxies).record_hits(10_000);
    builder.start().await.expect("a lab")
}

fn builder(lab: &Lab) -> Builder {
    Client::builder().proxies(lab.proxies().into_iter().map(Into::into))
}

/// What comes within a time that is long enough for everything.
async fn soon<F: Future>(what: F) -> F::Output {
    let done = tokio::time::timeout(PATIENCE, what).await;
    done.expect("it takes too long")
}

/// Asks until it is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn fetches_that_are_given_up_hold_up_nobody_and_are_not_sent_any_more() {
    let lab = lab(4).await;
    let few = NonZeroU32::new(8).expect("not zero");
    let client = builder(&lab).concurrency(few).build();
    let client = Arc::new(client.expect("a client"));
    for host in ["slow", "fast"] {
        let page = soon(client.fetch(&format!("http://{host}.test/page/1"))).await;
        assert!(page.expect("a page").record.ok);
    }
    let mut asked = tokio::task::JoinSet::new();
    for n in 0..200 {
        let client = client.clone();
        asked.spawn(async move { client.fetch(&format!("http://slow.test/hang?{n}")).await });
    }
    let to_slow = || {
        let hits = lab.hits().into_iter();
        let to_slow = hits.filter(|hit| hit.host == "slow.test");
        to_slow.map(|hit| hit.method).collect::<Vec<_>>()
    };
    until(|| to_slow().len() > 4).await;
    // Given up while it waits behind the others.
    let post = Arc::new(RequestSpec {
        method: Method::POST,
        ..RequestSpec::default()
    });
    let post = Job::new(0, "http://slow.test/page/1", post);
    let patience = Duration::from_millis(50);
    let posted = tokio::time::timeout(patience, client.fetch_job(post)).await;
    assert!(posted.is_err(), "there was a place for it");
    asked.shutdown().await;
    let page = soon(client.fetch("http://fast.test/page/2")).await;
    let page = page.expect("a page");
    assert!(page.record.ok);
    let sent = to_slow();
    assert!(
        sent.len() < 50 && !sent.contains(&"POST".to_owned()),
        "{sent:?}"
    );
}

/// Jobs that never come; `Arc` is held as long as somebody may ask for them.
struct Never(#[expect(dead_code, reason = "held")] Arc<()>);

impl Stream for Never {
    type Item = Job;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Job>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_ends_although_its_input_does_not() {
    let lab = lab(1).await;
    let client = builder(&lab).build().expect("a client");
    let held = Arc::new(());
    let run = client.run(Never(held.clone())).expect("a run");
    drop(run);
    until(|| Arc::strong_count(&held) == 1).await;
}
