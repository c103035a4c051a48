//! The library's door, through the lab: what is given up, what ends, what is said of it.

use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use proxywheel::client::{Builder, Client};
use proxywheel::job::Job;
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
