//! The library's door, through the lab: what is given up, what ends, what is said of it.

use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use http::Method;
use proxywheel::client::{Builder, Client, Settings};
use proxywheel::engine::Keeping;
use proxywheel::error::Error;
use proxywheel::job::{Job, LabelFilter, RequestSpec, Role};
use proxywheel::lab::Lab;
use proxywheel::limit::Quota;
use proxywheel::metrics::{Cap, FinishReason};
use proxywheel::proxy::{Labels, Proxy, ProxyId, Scheme};

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

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Job>> {
        Poll::Pending
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

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

#[test]
fn a_client_outlives_the_runtime_that_it_was_first_used_on() {
    let lab = Lab::spawn_thread(Lab::builder().perfect(2)).expect("a lab");
    let client = builder(&lab).build().expect("a client");
    for n in 0..3 {
        let url = format!("http://a.test/page/{n}");
        let page = runtime().block_on(async { soon(client.fetch(&url)).await });
        assert!(page.expect("a page").record.ok);
    }
}

#[test]
fn a_run_whose_runtime_was_shut_down_says_so() {
    let lab = Lab::spawn_thread(Lab::builder().perfect(1)).expect("a lab");
    let client = builder(&lab).build().expect("a client");
    let first = runtime();
    let run = first.block_on(async { client.run(Never(Arc::default())) });
    drop(first);
    let ended = runtime().block_on(run.expect("a run").finish());
    assert!(
        matches!(ended, Err(Error::Ended("runtime_gone"))),
        "{ended:?}"
    );
}

fn capped(lab: &Lab) -> Client {
    let builder = builder(lab).configure(|settings| settings.engine.caps.requests = Some(5));
    builder.build().expect("a client")
}

#[tokio::test]
async fn a_cap_holds_for_all_fetches_of_a_client_and_the_error_names_it() {
    let lab = lab(1).await;
    let client = capped(&lab);
    let mut pages = 0;
    let ended = loop {
        let url = format!("http://a.test/page/{pages}");
        match soon(client.fetch(&url)).await {
            Ok(_) => pages += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(ended, Error::Ended("max_requests")), "{ended:?}");
    assert!((1..=5).contains(&pages), "{pages}");
    let again = soon(client.fetch("http://a.test/page/9")).await;
    assert!(matches!(again, Err(Error::Ended("max_requests"))));
    client.close().await;
    let anew = soon(client.fetch("http://a.test/page/9")).await;
    assert!(anew.expect("a page").record.ok, "closed, it begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_only_proxies_are_dead_is_told_so_once() {
    let labels = Labels {
        country: Some("de".into()),
        ..Labels::default()
    };
    // Port 9 of a loopback address that nobody listens at.
    let dead = Proxy::new(Scheme::Http, "127.9.9.9", 9, None).with_labels(labels);
    let client = Client::builder().proxies([Proxy::direct(), dead].map(Arc::new));
    let client = client.build().expect("a client");
    let mut job = Job::new(0, "http://127.9.9.9:9/", Arc::default());
    job.filter = Some(Arc::new(LabelFilter {
        country: Some("de".into()),
        tags: Vec::new(),
    }));
    let began = tokio::time::Instant::now();
    let done = client.fetch_job(job).await;
    let Err(Error::NoProxy(why)) = done else {
        panic!("{done:?}");
    };
    assert!(why.what.contains("labels"), "{why}");
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(100), "{waited:?}");
}

#[tokio::test]
async fn a_job_that_calls_itself_an_errand_is_answered() {
    let lab = lab(1).await;
    let client = builder(&lab).build().expect("a client");
    for role in [Role::Robots, Role::Sitemap] {
        let job = Job::new(0, "http://a.test/page/1", Arc::default());
        let page = soon(client.fetch_job(Job { role, ..job })).await;
        assert!(page.expect("a page").record.ok);
    }
}

#[tokio::test]
async fn the_text_of_a_page_is_decoded_from_its_charset() {
    let lab = lab(1).await;
    let client = builder(&lab).build().expect("a client");
    let page = soon(client.fetch("http://a.test/charset/shift_jis")).await;
    let page = page.expect("a page");
    assert!(std::str::from_utf8(&page.body).is_err());
    let text = page.text();
    assert!(
        text.contains("<title>") && !text.contains('\u{fffd}'),
        "{text}"
    );
}

#[tokio::test]
async fn settings_that_are_configured_keep_what_was_set_before() {
    let lab = lab(1).await;
    let rate = "2/s".parse().expect("a rate");
    let builder = builder(&lab).host_rate(rate);
    let client = builder.configure(|settings| settings.engine.hedge = false);
    let client = client.build().expect("a client");
    let began = tokio::time::Instant::now();
    for n in 0..3 {
        let url = format!("http://a.test/page/{n}");
        soon(client.fetch(&url)).await.expect("a page");
    }
    assert!(began.elapsed() >= Duration::from_millis(900));
}

/// A lab of two proxies, and a client whose list has the first of them.
async fn with_one_of_two() -> (Lab, Client, [Arc<Proxy>; 2]) {
    let lab = lab(2).await;
    let both = [0, 1].map(|number| Arc::new(lab.proxy(number)));
    let client = Client::builder().proxies([both[0].clone()]).build();
    (lab, client.expect("a client"), both)
}

/// The proxy that brings this page.
async fn through(client: &Client, page: u32) -> ProxyId {
    let page = soon(client.fetch(&format!("http://a.test/page/{page}"))).await;
    page.expect("a page").record.proxy.expect("a proxy").id()
}

#[tokio::test]
async fn another_list_is_used_by_fetches_and_runs_from_then_on() {
    let (_lab, client, [first, second]) = with_one_of_two().await;
    assert_eq!(through(&client, 1).await, first.id());
    client
        .clone()
        .replace([second.clone()])
        .await
        .expect("a list");
    assert_eq!(through(&client, 2).await, second.id());
    client.close().await;
    assert_eq!(through(&client, 3).await, second.id());
    let none = client.replace([]).await;
    assert!(matches!(none, Err(Error::NoProxy(_))), "{none:?}");
    assert_eq!(through(&client, 4).await, second.id());
}

#[tokio::test]
async fn a_clone_that_tells_or_keeps_has_a_list_of_its_own() {
    let (_lab, client, [first, second]) = with_one_of_two().await;
    let (events, told) = std::sync::mpsc::sync_channel(1);
    drop(told);
    let (saves, saved) = tokio::sync::mpsc::channel(1);
    drop(saved);
    let memory = Arc::default();
    let others = [
        client.clone().telling(events),
        client.clone().keeping(Keeping { memory, saves }),
    ];
    for other in others {
        other.replace([second.clone()]).await.expect("a list");
        assert_eq!(through(&other, 1).await, second.id());
        assert_eq!(through(&client, 1).await, first.id());
    }
}

type Change = fn(&mut Settings);

#[test]
fn settings_that_no_run_can_keep_are_refused_by_name() {
    const LONG: Duration = Duration::MAX;
    let wrong: [(&str, Change); 8] = [
        ("engine.max_time", |s| s.engine.max_time = LONG),
        ("engine.caps.deadline", |s| {
            s.engine.caps.deadline = Some(LONG)
        }),
        ("limits.delay", |s| s.limits.delay = LONG),
        ("retry.max_time", |s| s.retry.max_time = Some(LONG)),
        ("limits.jitter", |s| s.limits.jitter = f64::NAN),
        ("engine.probe_concurrency", |s| {
            s.engine.probe_concurrency = 0
        }),
        ("engine.caps.requests", |s| s.engine.caps.requests = Some(0)),
        ("engine.caps.cost", |s| s.engine.caps.cost = Some(f64::NAN)),
    ];
    let build = |host: &str, port, change: Change| {
        let proxy = Proxy::new(Scheme::Http, host, port, None);
        let builder = Client::builder().proxies([Arc::new(proxy)]);
        builder.configure(change).build().map(|_| ())
    };
    for (name, change) in wrong {
        match build("127.0.0.1", 1, change) {
            Err(Error::Usage(problem)) => assert_eq!(problem.place.as_deref(), Some(name)),
            other => panic!("{name}: {other:?}"),
        }
    }
    for (host, port) in [("", 1), ("127.0.0.1", 0), ("a\r\nb", 1), ("[::1", 1)] {
        let built = build(host, port, |_| ());
        assert!(matches!(built, Err(Error::Usage(_))), "{host:?}:{port}");
    }
    for host in ["::1", "a_b.test", "xn--bcher-kva.test"] {
        build(host, 1, |_| ()).expect("an address");
    }
    assert_eq!(Quota::new(NonZeroU32::MIN, LONG), None);
}

/// Jobs of one host: so many, and then a panic.
struct Broken(u64);

impl Stream for Broken {
    type Item = Job;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Job>> {
        self.0 = self.0.checked_sub(1).expect("a stream that is broken");
        let url = format!("http://a.test/page/{}", self.0);
        Poll::Ready(Some(Job::new(self.0, &url, Arc::default())))
    }
}

#[tokio::test]
async fn a_stream_of_jobs_that_panics_is_no_run_that_is_done() {
    let lab = lab(1).await;
    let client = builder(&lab).build().expect("a client");
    let mut run = client.run(Broken(3)).expect("a run");
    let raised = std::future::poll_fn(|context| {
        loop {
            let next = || Pin::new(&mut run).poll_next(context);
            match std::panic::catch_unwind(AssertUnwindSafe(next)) {
                Ok(Poll::Ready(Some(_))) => {}
                Ok(Poll::Ready(None)) => return Poll::Ready(false),
                Ok(Poll::Pending) => return Poll::Pending,
                Err(_) => return Poll::Ready(true),
            }
        }
    });
    assert!(soon(raised).await, "it is raised");
    assert!(soon(run.next()).await.is_none(), "once");
    let ended = soon(run.finish()).await.map(|_| ());
    let why = ended.expect_err("it was not done").to_string();
    assert!(why.contains("a stream that is broken"), "{why}");
}

#[tokio::test]
async fn a_run_that_a_cap_has_ended_says_so_after_its_last_record() {
    let lab = lab(1).await;
    let client = capped(&lab);
    let mut run = client.run(Broken(u64::MAX)).expect("a run");
    let mut rows = 0;
    while soon(run.next()).await.is_some() {
        assert!(run.summary().is_none());
        rows += 1;
    }
    let reason = run.summary().map(|summary| summary.reason);
    assert_eq!(reason, Some(FinishReason::Capped(Cap::Requests)));
    assert!(rows <= 5, "{rows}");
}
