use super::super::summary::tests::{Sample, sample, settings};
use super::*;
use crate::metrics::{Foreign, HostStats};

fn failing(outcome: Outcome) -> Sample {
    let mut sample = sample();
    sample.records(&[(Outcome::Ok, 10), (outcome, 90)]);
    sample.summary.totals.statuses = [(200, 10), (404, 90)].into();
    sample
}

fn said(sample: &Sample) -> String {
    hint(&sample.report()).unwrap_or_default()
}

#[test]
fn each_common_cause_names_its_flag() {
    for (outcome, flag) in [
        (Outcome::RateLimited, "--host-rate 16/s"),
        (Outcome::Banned, "--pair-rate"),
        (Outcome::Timeout, "--max-time (now 30s)"),
        (Outcome::ProxyError, "fresher list"),
        (Outcome::TlsError, "--cacert"),
        (Outcome::TooLarge, "--max-filesize (now 10M)"),
        (Outcome::Robots, "--robots ignore"),
        (Outcome::InvalidUrl, "--url-column"),
        (Outcome::HttpError, "--accept 200..=299,404"),
    ] {
        let hint = said(&failing(outcome));
        assert!(hint.contains(flag), "{outcome}: {hint}");
    }
}

#[test]
fn more_proxies_are_not_proposed_where_none_may_be_asked() {
    let mut sample = failing(Outcome::ProxyError);
    sample.summary.totals.proxy_faults.clear();
    sample.summary.totals.attempts = 0;
    let hint = said(&sample);
    assert!(hint.starts_with("no request was sent"), "{hint}");
}

#[test]
fn the_pace_that_is_said_is_one_that_was_served() {
    let mut limited = failing(Outcome::RateLimited);
    let totals = &mut limited.summary.totals;
    totals.elapsed = std::time::Duration::from_secs(10);
    totals.hosts = vec![HostStats {
        done: 300,
        failed: 100,
        attempts: 14_000,
        ..HostStats::default()
    }];
    assert!(
        said(&limited).ends_with("try --host-rate 20/s"),
        "{}",
        said(&limited)
    );
}

#[test]
fn certificates_of_proxies_have_their_own_flags() {
    let mut sample = failing(Outcome::ProxyError);
    sample.summary.totals.proxy_faults = [("proxy_tls certificate".to_owned(), 90)].into();
    let hint = said(&sample);
    assert!(
        hint.contains("--proxy-cacert") && hint.contains("--proxy-insecure"),
        "{hint}"
    );
}

#[test]
fn hosts_that_no_proxy_reaches_are_told_from_proxies_that_do_not_tunnel() {
    for (code, said_of) in [
        (5, "no proxy reaches"),
        (502, "no proxy reaches"),
        (405, "refuse a tunnel"),
    ] {
        let mut sample = failing(Outcome::ProxyError);
        sample.summary.totals.proxy_faults = [(format!("handshake rejected {code}"), 90)].into();
        assert!(said(&sample).contains(said_of), "{code}: {}", said(&sample));
    }
}

#[test]
fn nothing_is_said_when_nothing_is_certain() {
    let mut mixed = sample();
    mixed.records(&[
        (Outcome::Ok, 1),
        (Outcome::Banned, 5),
        (Outcome::Timeout, 5),
    ]);
    assert_eq!(said(&mixed), "");
    assert_eq!(said(&failing(Outcome::Corrupt)), "", "no --must-match");
    assert_eq!(said(&failing(Outcome::NetworkError)), "");
}

#[test]
fn whoever_fails_over_http2_is_told_of_the_other_version() {
    let mut ended = failing(Outcome::NetworkError);
    ended.summary.totals.http2_ended = 100;
    assert!(said(&ended).ends_with("try --http1.1"), "{}", said(&ended));
    let mut without = failing(Outcome::TlsError);
    without.resolved = settings(&["--http2"]);
    assert!(
        said(&without).starts_with("--http2 asks"),
        "{}",
        said(&without)
    );
}

#[test]
fn a_regex_that_matches_nothing_is_named() {
    let mut sample = failing(Outcome::Corrupt);
    sample.resolved = settings(&["--must-match", "x"]);
    assert!(said(&sample).starts_with("few bodies match --must-match"));
    sample.records(&[(Outcome::Corrupt, 5)]);
    assert!(said(&sample).starts_with("no bodies match --must-match"));
}

#[test]
fn a_lone_proxy_that_is_banned_may_be_a_rotating_endpoint() {
    for (total, rotating, told) in [(1, 0, true), (1, 1, false), (50, 0, false)] {
        let mut sample = failing(Outcome::Banned);
        let pool = &mut sample.summary.totals.pool;
        (pool.total, pool.proven, pool.rotating) = (total, 1, rotating);
        assert_eq!(said(&sample).contains("rotation=per_connection"), told);
    }
}

#[test]
fn a_host_that_blocks_everybody_is_named() {
    let mut sample = failing(Outcome::Banned);
    sample.summary.totals.hosts[1].failed = 300;
    assert!(said(&sample).starts_with("http://a.example blocks every proxy"));
    sample.summary.totals.hosts[1].not_asked = 200;
    assert!(said(&sample).starts_with("http://a.example refuses every exit"));
}

#[test]
fn a_dead_pool_is_explained_by_its_faults() {
    for (fault, words) in [
        ("handshake rejected 407", "credentials"),
        ("connect timeout", "--connect-timeout (now 10s)"),
        ("handshake malformed", "--proxy-scheme"),
        ("connect refused", "fresher list"),
    ] {
        let mut sample = failing(Outcome::ProxyError);
        sample.summary.totals.pool.proven = 0;
        sample.summary.reason = FinishReason::NoProxy;
        sample.summary.totals.proxy_faults = [(fault.to_owned(), 50)].into();
        assert!(said(&sample).contains(words), "{fault}: {}", said(&sample));
    }
}

#[test]
fn proxies_that_have_served_and_went_away_may_be_waited_for() {
    let mut sample = failing(Outcome::ProxyError);
    sample.summary.reason = FinishReason::NoProxy;
    let totals = &mut sample.summary.totals;
    totals.proxy_faults = [("connect refused".to_owned(), 2)].into();
    (totals.pool.total, totals.pool.proven) = (2, 2);
    assert!(
        said(&sample).contains("--on-no-proxy wait"),
        "{}",
        said(&sample)
    );
    sample.summary.totals.pool.total = 200;
    assert!(said(&sample).contains("fresher list"), "{}", said(&sample));
}

#[test]
fn a_list_with_the_wrong_scheme_is_told_which_one_to_try() {
    for (foreign, flag) in [
        (Foreign { http: 0, socks: 48 }, "--proxy-scheme http;"),
        (Foreign { http: 48, socks: 0 }, "--proxy-scheme socks5;"),
    ] {
        let mut sample = failing(Outcome::NetworkError);
        let totals = &mut sample.summary.totals;
        totals.statuses.clear();
        (totals.pool.total, totals.pool.unknown) = (1050, 1000);
        totals.foreign = foreign;
        let hint = early(totals).expect("it is said at once");
        assert!(hint.contains(flag), "{hint}");
        assert!(said(&sample).contains(flag), "{}", said(&sample));
        sample.summary.totals.pool.unknown = 900;
        assert_eq!(
            early(&sample.summary.totals),
            None,
            "a third of those tried"
        );
    }
}

#[test]
fn a_list_is_not_blamed_for_what_answers_say() {
    let none_worked = |outcome: Outcome, flags: &[&str]| {
        let mut sample = failing(outcome);
        sample.records(&[(outcome, 30), (Outcome::Skipped, 70)]);
        sample.summary.totals.pool.proven = 0;
        sample.summary.totals.statuses = [(200, 30)].into();
        sample.summary.totals.proxy_faults = [("connect refused".to_owned(), 50)].into();
        sample.summary.reason = FinishReason::NoProxy;
        sample.resolved = settings(flags);
        said(&sample)
    };
    for (outcome, flags, words) in [
        (
            Outcome::Corrupt,
            ["--must-match", "x"],
            "no bodies match --must-match",
        ),
        (
            Outcome::Corrupt,
            ["--must-not-match", "x"],
            "no bodies are without --must-not-match",
        ),
        (Outcome::Timeout, ["-m", "2"], "--max-time (now 2s)"),
        (
            Outcome::TooLarge,
            ["--max-filesize", "1k"],
            "--max-filesize (now 1k)",
        ),
        (Outcome::HttpError, ["--accept", "204"], "--accept 200,204"),
        (
            Outcome::Banned,
            ["--expect-text", "x"],
            "no answer passes --expect-text",
        ),
        (
            Outcome::Banned,
            ["--ban-regex", "x"],
            "no answer passes --ban-regex",
        ),
        (Outcome::NetworkError, ["-j", "8"], ""),
    ] {
        let hint = none_worked(outcome, &flags);
        assert!(hint.contains(words), "{outcome} {flags:?}: {hint}");
        assert_eq!(hint.is_empty(), words.is_empty(), "{hint}");
    }
    let lost = none_worked(Outcome::Skipped, &["-o", "x.jsonl"]);
    assert!(
        lost.ends_with("then the same command with --resume goes on"),
        "{lost}"
    );
}

#[test]
fn dead_proxies_do_not_hide_why_the_others_fail() {
    let mut sample = failing(Outcome::ProxyError);
    sample.summary.totals.pool.proven = 0;
    sample.summary.totals.proxy_faults = [
        ("connect refused".to_owned(), 144),
        ("handshake rejected 405".to_owned(), 24),
    ]
    .into();
    assert!(said(&sample).contains("CONNECT"), "{}", said(&sample));
}

#[test]
fn an_interrupted_run_with_a_file_can_be_resumed() {
    let mut sample = sample();
    sample.summary.reason = FinishReason::Interrupted;
    assert_eq!(said(&sample), "", "standard output cannot be resumed");
    sample.resolved = settings(&["-o", "x.jsonl"]);
    assert!(said(&sample).contains("--resume"));
}
