//! Runs, by the requests they make and what they tell of the answers.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::outcome::{BodyField, Timing, UnixMillis};

fn job(text: &str) -> TrackJob {
    TrackJob::parse(Path::new("job.toml"), text, &|_| None).expect("a job")
}

fn ranks(pages: &str) -> TrackJob {
    job(&format!(
        "kind = 'rank'
        url = 'http://a.test/?q={{query}}&p={{page}}'
        [matrix]
        query = ['shoes', 'boots']
        country = ['de']
        [vary.country.de]
        exit_country = 'DE'
        [pages]
        {pages}
        [extract]
        rows = '.r'
        select = ['url=a::attr(href)']
        link = 'url'
        [[target]]
        name = 'me'
        host = 'me.test'
        [[target]]
        name = 'you'
        host = 'you.test'"
    ))
}

fn prices() -> TrackJob {
    job("kind = 'change'
        url = 'http://shop.test/'
        [extract]
        select = ['price=.p::text|number']
        [watch]
        field = 'price'")
}

fn due(job: &TrackJob) -> Vec<Due> {
    let one = |query| Due {
        query,
        last: Vec::new(),
        validators: Validators::default(),
    };
    let queries = job.expand(&RequestSpec::default());
    queries.into_iter().map(one).collect()
}

/// What comes back for a job: the fields of the rows, in order.
fn answer(job: &Job, outcome: Outcome, status: u16, rows: &[Value]) -> Finished {
    let mut rows = rows.iter().filter_map(|row| row.as_object().cloned());
    let url: Option<Arc<str>> = job.target.as_ref().ok().map(|url| url.as_str().into());
    let record = Record {
        v: 1,
        id: job.id,
        seq: job.seq,
        input: job.input.clone(),
        url: url.clone(),
        final_url: url,
        method: http::Method::GET,
        tag: None,
        outcome,
        ok: outcome == Outcome::Ok,
        status: Some(status),
        http_version: None,
        content_type: None,
        charset: None,
        etag: Some("\"v2\"".into()),
        last_modified: None,
        proxy: None,
        proxy_connect_status: None,
        exit_ip: None,
        attempts: 1,
        proxies_tried: 1,
        attempt_log: Vec::new(),
        ban: None,
        edge: None,
        error: None,
        redirects: Vec::new(),
        timing: Timing::default(),
        started_at: None,
        finished_at: UnixMillis(0),
        size_wire: Some(100),
        size_body: None,
        truncated: None,
        cost: Some(0.001),
        body_sha256: None,
        title: None,
        fields: rows.next(),
        row: None,
        rows: None,
        headers: None,
        body: BodyField::None,
        resumed: false,
    };
    Finished {
        record: Box::new(record),
        body: Bytes::new(),
        more: rows.collect(),
    }
}

fn results(job: &Job, hosts: &[&str]) -> Finished {
    let rows: Vec<Value> = hosts
        .iter()
        .map(|host| json!({"url": format!("http://{host}/{}", job.seq)}))
        .collect();
    answer(job, Outcome::Ok, 200, &rows)
}

fn skipped(job: &Job) -> Finished {
    answer(job, Outcome::Skipped, 0, &[])
}

/// Nobody needs an old value.
fn unasked(_: SeriesId) -> Option<Observation> {
    panic!("there was no 304")
}

fn all_jobs(course: &mut Course<'_>) -> Vec<Job> {
    std::iter::from_fn(|| course.next_job()).collect()
}

#[test]
fn pages_of_a_query_share_a_session_and_its_exits() {
    let job = ranks("most = 2\ndepth = 'all'");
    let mut course = Course::new(&job, due(&job));
    let jobs = all_jobs(&mut course);
    let sessions: Vec<_> = jobs.iter().map(|job| job.session.clone()).collect();
    assert_eq!(jobs.len(), 4);
    assert!(sessions[0].is_some());
    assert_eq!(sessions[0], sessions[1]);
    assert_ne!(sessions[1], sessions[2]);
    assert_eq!(sessions[2], sessions[3]);
    for job in &jobs {
        let filter = job.filter.as_ref().expect("exits");
        assert_eq!(filter.country.as_deref(), Some("de"));
    }
}

#[test]
fn a_query_is_told_of_when_it_has_its_last_answer_and_costs_what_its_pages_did() {
    let job = ranks("most = 2\ndepth = 'all'");
    let mut course = Course::new(&job, due(&job).into_iter().take(1));
    let jobs = all_jobs(&mut course);
    assert_eq!((course.in_flight(), course.is_done()), (2, false));
    assert!(
        course
            .land(&results(&jobs[1], &["me.test"]), 5, unasked)
            .is_none()
    );
    let done = course
        .land(&results(&jobs[0], &["a.test", "you.test"]), 9, unasked)
        .expect("done");
    let told: Vec<_> = done
        .seen
        .iter()
        .map(|(series, seen)| (series.target.as_deref(), seen.position))
        .collect();
    assert_eq!(told, [(Some("me"), Some(3)), (Some("you"), Some(2))]);
    let visit = done.visit;
    assert_eq!((visit.pages, visit.attempts, visit.bytes), (2, 2, 200));
    assert_eq!((visit.cost, &*visit.host), (2000, "http://a.test"));
    assert_eq!((course.left(), course.is_done()), (0, true));
    let again = course.land(&results(&jobs[0], &["me.test"]), 10, unasked);
    assert!(again.is_none(), "an answer counts once");
}

#[test]
fn a_query_with_a_page_that_was_never_tried_is_left_for_the_next_run() {
    let job = ranks("most = 3\ndepth = 'stop'");
    // Whichever page it is.
    for torn in 0..2 {
        let mut course = Course::new(&job, due(&job).into_iter().take(1));
        for page in 0..=torn {
            let asked = course.next_job().expect("a page");
            let answer = match page == torn {
                true => skipped(&asked),
                false => results(&asked, &["me.test"]),
            };
            assert!(course.land(&answer, 0, unasked).is_none());
        }
        assert!(course.next_job().is_none(), "no further page");
        assert_eq!((course.left(), course.is_done()), (1, true));
    }
}

#[test]
fn a_torn_query_waits_for_what_is_out_and_asks_for_nothing_more() {
    let job = ranks("most = 3\ndepth = 'all'");
    let mut course = Course::new(&job, due(&job).into_iter().take(1));
    let (first, second) = (course.next_job(), course.next_job());
    let (first, second) = (first.expect("a page"), second.expect("a page"));
    assert!(course.land(&skipped(&first), 0, unasked).is_none());
    assert!(course.next_job().is_none(), "the third page");
    assert_eq!(course.in_flight(), 1);
    assert!(
        course
            .land(&results(&second, &["me.test"]), 0, unasked)
            .is_none()
    );
    assert_eq!((course.left(), course.is_done()), (1, true));
}

#[test]
fn pages_of_queries_that_have_begun_go_first() {
    let job = ranks("most = 2\ndepth = 'stop'");
    let mut course = Course::new(&job, due(&job));
    let first = course.next_job().expect("a page");
    assert!(
        course
            .land(&results(&first, &["a.test"]), 0, unasked)
            .is_none()
    );
    let next = course.next_job().expect("a page");
    assert_eq!(next.session, first.session);
    assert_eq!(course.left(), 2);
}

#[test]
fn a_page_is_asked_for_by_its_version_while_its_value_is_known() {
    let job = prices();
    let known = Observation {
        state: State::Seen,
        value: Some("9.9".into()),
        number: Some(9.9),
        why: None,
        ..Observation::unknown(0, "")
    };
    let mut due = due(&job);
    let id = due[0].query.series.id();
    due[0].validators = Validators {
        url: Some("http://shop.test/".into()),
        etag: Some("\"v1\"".into()),
        modified: Some("Sun, 01 Mar 2026 06:00:00 GMT".into()),
    };
    let mut course = Course::new(&job, due);
    let asked = course.next_job().expect("a page");
    assert_eq!(asked.request.headers[IF_NONE_MATCH], "\"v1\"");
    assert_eq!(
        asked.request.headers[IF_MODIFIED_SINCE],
        "Sun, 01 Mar 2026 06:00:00 GMT"
    );
    let mut same = answer(&asked, Outcome::Ok, 304, &[]);
    same.record.etag = None;
    let done = course.land(&same, 7, |asked| (asked == id).then_some(known));
    let mut done = done.expect("done");
    let (_, seen) = done.seen.remove(0);
    assert_eq!(
        (seen.at, seen.state, seen.number),
        (7, State::Seen, Some(9.9))
    );
    assert_eq!(seen.value.as_deref(), Some("9.9"));
    let kept = done.visit.validators.etag;
    assert_eq!(
        kept.as_deref(),
        Some("\"v1\""),
        "though it was not said again"
    );
}

#[test]
fn the_version_of_another_address_is_not_asked_for() {
    let job = prices();
    let mut due = due(&job);
    due[0].validators = Validators {
        url: Some("http://shop.test/b".into()),
        etag: Some("\"v1\"".into()),
        modified: None,
    };
    let asked = Course::new(&job, due).next_job().expect("a page");
    assert_eq!(asked.request.headers, RequestSpec::default().headers);
}

#[test]
fn a_304_that_nobody_asked_for_tells_nothing() {
    let job = prices();
    let mut course = Course::new(&job, due(&job));
    let asked = course.next_job().expect("a page");
    assert_eq!(asked.request.headers, RequestSpec::default().headers);
    let done = course.land(&answer(&asked, Outcome::Ok, 304, &[]), 7, |_| None);
    assert_eq!(done.expect("done").seen[0].1.state, State::Unknown);
}

#[test]
fn a_value_is_seen_missing_or_unknown() {
    let job = prices();
    let seen = |outcome, status, rows: &[Value]| {
        let mut course = Course::new(&job, due(&job));
        let asked = course.next_job().expect("a page");
        let done = course.land(&answer(&asked, outcome, status, rows), 0, unasked);
        done.expect("done").seen.remove(0).1
    };
    let price = seen(Outcome::Ok, 200, &[json!({"price": 12.5})]);
    assert_eq!((price.state, price.number), (State::Seen, Some(12.5)));
    assert_eq!(price.value.as_deref(), Some("12.5"));
    let none = seen(Outcome::Ok, 200, &[json!({"price": null})]);
    assert_eq!(none.state, State::Missing);
    let failed = seen(Outcome::Banned, 200, &[]);
    assert_eq!(failed.state, State::Unknown);
    assert_eq!(failed.why.as_deref(), Some("banned 200"));
    for (status, why) in [404, 410].into_iter().zip(GONE) {
        let gone = seen(Outcome::HttpError, status, &[]);
        assert_eq!(
            (gone.state, gone.why.as_deref()),
            (State::Unknown, Some(why))
        );
    }
}
