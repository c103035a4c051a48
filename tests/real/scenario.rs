//! What has to hold through every proxy, whatever it is: the same runs for each of them.
//!
//! How a proxy words its refusal differs and is tested beside the proxy; what the user gets does not.

use crate::microsocks::Microsocks;
use crate::nginx::Origin;
use crate::rig::{EXIT, Server, TARGET};
use crate::run::{Attempt, Fetch, Row, Run};

/// A line of the proxy list, and what else its use needs.
#[derive(Clone)]
pub(crate) struct Line {
    /// The line.
    url: String,
    /// Authority for `--proxy-cacert`.
    authority: Option<String>,
    /// The proxy leaves from [`EXIT`], so that the origin can tell it from this machine.
    leaves_from_exit: bool,
}

impl Line {
    /// A proxy that leaves from [`EXIT`].
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Line {
            url: url.into(),
            authority: None,
            leaves_from_exit: true,
        }
    }

    /// A proxy that cannot choose its own address.
    pub(crate) fn with_any_exit(mut self) -> Self {
        self.leaves_from_exit = false;
        self
    }

    /// A proxy whose certificate this authority signed.
    pub(crate) fn trusting(mut self, authority_pem: &str) -> Self {
        self.authority = Some(authority_pem.to_owned());
        self
    }

    /// The bare line.
    pub(crate) fn into_url(self) -> String {
        self.url
    }

    /// A run of these URLs through it.
    pub(crate) fn fetch(&self, origin: &Origin, urls: &[String]) -> Fetch {
        self.fetch_beside(origin, urls, &[])
    }

    /// A run of these URLs through it and others.
    pub(crate) fn fetch_beside(
        &self,
        origin: &Origin,
        urls: &[String],
        others: &[String],
    ) -> Fetch {
        let lines: Vec<_> = std::iter::once(&self.url).chain(others).cloned().collect();
        let fetch = Fetch::new(urls, &lines).trusting(origin);
        match &self.authority {
            Some(pem) => fetch.file_arg("--proxy-cacert", "proxy-ca.pem", pem),
            None => fetch,
        }
    }

    /// True for a proxy that is asked with CONNECT.
    fn connects(&self) -> bool {
        self.url.starts_with("http")
    }
}

/// `count` pages, over http and https in turns.
pub(crate) fn pages(origin: &Origin, count: usize) -> Vec<String> {
    let url = |n: usize| {
        let path = format!("/page/{n}");
        if n.is_multiple_of(2) {
            origin.http(&path)
        } else {
            origin.https(&path)
        }
    };
    (0..count).map(url).collect()
}

/// Plain pages arrive by forwarding, https pages through a tunnel, each from the exit alone and with nothing added to what is sent
/// inside the tunnel.
pub(crate) fn pages_arrive_whole(origin: &Origin, line: &Line) {
    let urls = pages(origin, 24);
    let run = line.fetch(origin, &urls).run();
    assert_eq!(run.code, 0, "{run}");
    for row in &run.rows {
        row.assert_page();
        assert_eq!(row.attempts().len(), 1, "{row}");
    }
    // A tunnel that is used again was not asked for again, so only some of the rows through one have its status.
    let (over_tls, plain): (Vec<_>, Vec<_>) = run
        .rows
        .iter()
        .partition(|row| row.input().starts_with("https:"));
    let statuses: Vec<_> = over_tls.iter().map(|row| row.connect_status()).collect();
    assert!(
        plain.iter().all(|row| row.connect_status().is_none()),
        "{run}"
    );
    assert!(
        statuses
            .iter()
            .all(|status| matches!(status, None | Some(200))),
        "{statuses:?}"
    );
    if !line.connects() {
        assert!(statuses.iter().all(Option::is_none), "{statuses:?}");
    }
    let hits = origin.hits(urls.len());
    assert_eq!(hits.len(), urls.len(), "{hits:?}");
    for hit in &hits {
        assert_eq!(hit.status, 200, "{hit:?}");
        assert!(hit.host.starts_with(TARGET), "{hit:?}");
        assert_eq!(
            hit.proxy_authorization, "-",
            "the target sees a credential: {hit:?}"
        );
        if line.leaves_from_exit {
            assert_eq!(hit.peer, EXIT, "not through the proxy: {hit:?}");
        }
        if hit.is_tls {
            let added = [&hit.via, &hit.forwarded_for];
            assert!(added.iter().all(|value| *value == "-"), "{hit:?}");
        }
    }
}

/// Redirects are followed within one proxy, over http, over https and from one to the other; a compressed page comes out as the
/// page itself; and inside a tunnel HTTP/2 is spoken with a target that offers it.
pub(crate) fn redirects_and_compression_and_http2(origin: &Origin, line: &Line) {
    let moved = [
        origin.http("/moved"),
        origin.https("/moved"),
        origin.http("/to-tls"),
    ];
    let compressed = [origin.http("/page/2"), origin.https("/page/3")];
    let urls = [moved.as_slice(), &compressed].concat();
    let run = line.fetch(origin, &urls).run();
    assert_eq!(run.code, 0, "{run}");
    for url in &moved {
        let row = run.row(url);
        assert!(row.text("final_url").ends_with("/page/1"), "{row}");
        assert_eq!(row.text("title"), "page 1", "{row}");
        assert_eq!(row.value("redirects")[0]["status"], 302, "{row}");
        assert_eq!(row.attempts().len(), 1, "{row}");
    }
    let to_tls = run.row(&moved[2]);
    assert!(to_tls.text("final_url").starts_with("https:"), "{to_tls}");
    for url in &compressed {
        let row = run.row(url);
        row.assert_page();
        let [wire, body] = ["size_wire", "size_body"].map(|field| row.value(field).as_u64());
        assert!(wire < body, "nginx compresses when asked: {row}");
        let is_http2 = row.text("http_version") == "2";
        assert_eq!(is_http2, url.starts_with("https:"), "{row}");
    }
    let hits = origin.hits(8);
    assert_eq!(hits.len(), 8, "five requests and three hops: {hits:?}");
    if line.leaves_from_exit {
        assert!(hits.iter().all(|hit| hit.peer == EXIT), "{hits:?}");
    }
}

/// A wrong password is the proxy's failure, named as such; it reaches no target, and a right one beside it serves everything.
pub(crate) fn a_wrong_password_stops_only_itself(origin: &Origin, wrong: &Line, right: &Line) {
    let urls = pages(origin, 12);
    let run = wrong.fetch(origin, &urls).run();
    assert_eq!(run.code, 6, "{run}");
    assert!(origin.hits(0).is_empty(), "{run}");
    for row in &run.rows {
        assert!(matches!(row.outcome(), "proxy_error" | "skipped"), "{row}");
    }
    assert_every_failure_is(&run, |attempt| attempt.charge() == Some("auth"));
    // Where the password is part of the handshake a probe finds out, and no URL is spent on it.
    let told = ["handshake auth", "handshake rejected 407", "headers auth"];
    assert!(
        told.iter().any(|word| run.says(word)),
        "the summary does not tell of the refusal: {run}"
    );
    assert!(run.says("refuse the credentials"), "no hint: {run}");

    let run = wrong
        .fetch_beside(origin, &urls, std::slice::from_ref(&right.url))
        .run();
    assert_eq!(run.code, 0, "{run}");
    run.rows.iter().for_each(Row::assert_page);
    assert_every_failure_is(&run, |attempt| attempt.charge() == Some("auth"));
}

/// The proxy refuses one target by its own access rule: those rows fail, the target never hears of it, and the proxy goes on to
/// serve every other target, tunnels included. `plain` are the outcomes that its answer to a plain request may have.
pub(crate) fn a_refused_target_costs_no_other(origin: &Origin, line: &Line, plain: &[&str]) {
    let refused: Vec<_> = (0..4).flat_map(|n| origin.refused(n)).collect();
    let run = run_amid_pages(origin, line, &refused);
    assert!(matches!(run.code, 4 | 8), "{run}");
    for url in &refused {
        let row = run.row(url);
        if url.starts_with("http:") {
            assert!(plain.contains(&row.outcome()), "{row}");
            continue;
        }
        assert_eq!(row.outcome(), "proxy_error", "{row}");
        if row.error_kind() == Some("rejected") {
            assert_eq!(
                row.connect_status(),
                line.connects().then_some(403),
                "{row}"
            );
        } else {
            // The refusal is final for this host: a probe or an earlier URL has met it, and the others need not ask again.
            assert_eq!(row.error_kind(), Some("no_usable_proxy"), "{row}");
            let why = row.value("error")["message"].as_str().unwrap_or_default();
            assert!(why.contains("rules refuse this host"), "{row}");
        }
    }
}

/// Nothing listens where the URL points: those rows fail, and the proxy goes on to serve every other target. `connect_status` is
/// this proxy's answer to CONNECT in that case.
pub(crate) fn a_target_that_is_down_costs_no_other(
    origin: &Origin,
    line: &Line,
    connect_status: Option<u64>,
) {
    let down: Vec<_> = (0..4).flat_map(|n| origin.down(n)).collect();
    let run = run_amid_pages(origin, line, &down);
    assert_eq!(run.code, 4, "{run}");
    for url in &down {
        let row = run.row(url);
        assert!(
            matches!(row.outcome(), "network_error" | "proxy_error"),
            "{row}"
        );
        if url.starts_with("https:") {
            assert_eq!(row.error_kind(), Some("rejected"), "{row}");
            assert_eq!(row.connect_status(), connect_status, "{row}");
        }
    }
}

/// The proxy dies while the run is on, and another takes over: every page still arrives, and only the dead proxy has failures.
pub(crate) fn another_takes_over_when_it_is_killed(
    origin: &Origin,
    victim: &mut Server,
    line: &Line,
) {
    let companion = Microsocks::open();
    let urls = pages(origin, 160);
    let mut running = line
        .fetch_beside(origin, &urls, &[companion.url()])
        .args(["--rotate", "round-robin", "--rate", "80/s", "-j", "8"])
        .start();
    running.wait_for_rows(30);
    victim.kill();
    let run = running.finish();
    assert_eq!(run.code, 0, "{run}");
    run.rows.iter().for_each(Row::assert_page);
    let of_companion = format!(":{}#", companion.server.port(0));
    let by_victim = run
        .rows
        .iter()
        .filter(|row| !row.text("proxy").contains(&of_companion));
    assert!(
        by_victim.count() >= 5,
        "the proxy served before it died: {run}"
    );
    assert_every_failure_is(&run, |attempt| {
        let kinds = ["refused", "reset", "closed", "tls"];
        let is_expected = attempt
            .error_kind()
            .is_some_and(|kind| kinds.contains(&kind));
        is_expected && !attempt.proxy().contains(&of_companion)
    });
}

/// These URLs in the middle of pages that have to arrive, through one proxy and few at a time.
fn run_amid_pages(origin: &Origin, line: &Line, urls: &[String]) -> Run {
    let pages = pages(origin, 20);
    let (before, after) = pages.split_at(6);
    let all = [before, urls, after].concat();
    let run = line
        .fetch(origin, &all)
        .args(["-j", "2", "--retry", "1"])
        .run();
    pages.iter().for_each(|url| run.row(url).assert_page());
    let hits = origin.hits(pages.len());
    assert_eq!(
        hits.len(),
        pages.len(),
        "the pages and nothing else: {hits:?}\n{run}"
    );
    for row in &run.rows {
        let blames: Vec<_> = row
            .attempts()
            .iter()
            .map(|attempt| attempt.blame())
            .collect();
        assert!(!blames.contains(&"local"), "{row}");
    }
    run
}

/// This holds for every attempt of the run that did not succeed.
fn assert_every_failure_is(run: &Run, holds: impl Fn(Attempt<'_>) -> bool) {
    for row in &run.rows {
        let attempts = row.attempts();
        let mut failed = attempts.iter().filter(|attempt| attempt.outcome() != "ok");
        assert!(failed.all(|attempt| holds(*attempt)), "{row}");
    }
}
