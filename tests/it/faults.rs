//! Every fault of the lab through the whole program, twice: in a pool with honest proxies, where the rows have to be whole
//! and the fault booked on the right account, and in a pool of nothing else, where the row has to say what happened.

use std::collections::BTreeSet;
use std::time::Duration;

use proxywheel::error::Error;
use proxywheel::lab::{Fault, Lab, ProxySpec};
use proxywheel::outcome::{Finished, Outcome};
use proxywheel::proxy::Scheme;
use tokio::task::JoinSet;

use crate::faults_cases::*;
use crate::wire_stack::{Stack, assert_page, number, page_of, tell, tell_attempt};

/// Rows fetched through the faulty proxy before a case is believed.
const ROWS_AFTER: usize = 12;
/// Rows after which a faulty proxy that was not asked is not going to be.
const MOST_ROWS: usize = 60;
/// Honest proxies beside the faulty one.
const HONEST: u32 = 3;

impl Case {
    fn url(&self, row: usize) -> String {
        match self.over {
            Over::Http => format!("http://shop.test/page/{row}"),
            Over::Https => format!("https://shop.test/page/{row}"),
            Over::LongHttps => format!("https://shop.test/page/{row}?size=20000"),
        }
    }

    fn stack(&self) -> Stack {
        let honest = ProxySpec::new(Scheme::Http);
        let faulty = honest.clone().fault(self.fault.clone());
        // HTTP/2 would carry the requests of a tunnel on one connection for good.
        let builder = Lab::builder().http1_only().proxy(faulty);
        Stack::start(builder.proxies(HONEST, honest))
    }

    fn settings(&self, stack: &Stack) -> proxywheel::client::Settings {
        let mut settings = stack.settings();
        if self.hangs {
            settings.engine.max_time = Duration::from_secs(3);
        }
        match self.rules {
            Rules::None => {}
            Rules::MustMatch => settings.ban.must_match = vec!["at shop[.]test</title>".into()],
            Rules::MustNotMatch => settings.ban.must_not_match = vec!["ads[.]injected".into()],
        }
        settings
    }

    /// Fetches one row after the other until the faulty proxy has been asked and some rows more.
    async fn pooled(&self) -> Vec<(String, Finished)> {
        let stack = self.stack();
        let client = stack.client(self.settings(&stack));
        let mut rows = Vec::new();
        let mut after = None;
        for row in 0..MOST_ROWS {
            let url = self.url(row);
            let done = client.fetch(&url).await.unwrap();
            if met_the_fault(&done) {
                after.get_or_insert(ROWS_AFTER);
            }
            rows.push((url, done));
            match &mut after {
                Some(0) => break,
                Some(left) => *left -= 1,
                None if self.attempts.is_empty() && row > 20 => break,
                None => {}
            }
        }
        rows
    }

    /// What was booked on each proxy is what each has deserved.
    fn check_attempts(&self, rows: &[(String, Finished)]) {
        let (mut faulty, mut shown) = (0, false);
        for (url, done) in rows {
            for attempt in &done.record.attempt_log {
                let told = tell_attempt(attempt);
                if number(attempt) == 0 {
                    faulty += 1;
                    shown |= told != OK;
                    assert!(
                        self.attempts.contains(&told.as_str()),
                        "{}: {url}: {told}",
                        self.fault
                    );
                } else {
                    assert_eq!(told, OK, "{}: {url} through an honest proxy", self.fault);
                }
            }
        }
        if self.by_chance {
            return;
        }
        assert_eq!(
            faulty > 0,
            !self.attempts.is_empty(),
            "{}: {faulty} attempts of the faulty proxy in {} rows",
            self.fault,
            rows.len()
        );
        let shows = self.attempts.iter().any(|attempt| *attempt != OK);
        assert_eq!(shown, shows, "{} after {faulty} attempts", self.fault);
    }

    async fn pool_with_it_is_whole(self) {
        let rows = self.pooled().await;
        self.check_attempts(&rows);
        for (url, done) in &rows {
            assert_page(done, url);
        }
    }

    /// The rows of a pool of the faulty proxy alone, up to the first that is not ok. One attempt each: with nobody to turn
    /// to, every other would wait for the proxy's rest to end. And whether the pool was given up before anything was sent, for
    /// which a run would have recorded the job as skipped.
    async fn alone(&self) -> (Vec<(String, Finished)>, bool) {
        let stack = self.stack();
        let mut settings = self.settings(&stack);
        settings.retry.retries = 0;
        settings.retry.max_proxies_per_url = 1;
        let client = stack.client_of(settings, [0]);
        let mut rows = Vec::new();
        for row in 0..5 {
            let url = self.url(row);
            let done = match client.fetch(&url).await {
                Ok(done) => done,
                Err(Error::NoProxy(_)) => return (rows, true),
                Err(error) => panic!("{}: {url}: {error}", self.fault),
            };
            let ok = done.record.ok;
            rows.push((url, done));
            if !ok {
                break;
            }
        }
        (rows, false)
    }

    async fn alone_is_told_honestly(self) {
        let (rows, given_up) = self.alone().await;
        let skips = self.alone.contains(&Outcome::Skipped);
        assert!(skips || !given_up, "{}: given up", self.fault);
        for (url, done) in &rows {
            let outcome = done.record.outcome;
            assert!(
                self.alone.contains(&outcome),
                "{}: {url}: {}",
                self.fault,
                tell(done)
            );
            assert!(
                outcome != Outcome::Ok || done.body == page_of(url),
                "{}: {url}: ok with a wrong body",
                self.fault
            );
        }
        let fails = self.alone.iter().any(|outcome| *outcome != Outcome::Ok);
        let failed = given_up || rows.iter().any(|(_, done)| !done.record.ok);
        assert_eq!(failed, fails, "{} in {} rows", self.fault, rows.len());
    }
}

/// True when the faulty proxy, which is the first of the list, was asked.
fn met_the_fault(done: &Finished) -> bool {
    let mut attempts = done.record.attempt_log.iter();
    attempts.any(|attempt| number(attempt) == 0)
}

/// Runs the cases side by side: most of their time is waiting.
async fn each<F: Future<Output = ()> + Send + 'static>(cases: Vec<Case>, run: fn(Case) -> F) {
    let mut running = JoinSet::new();
    for case in cases {
        running.spawn(run(case));
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

#[test]
fn every_fault_of_the_lab_has_a_case() {
    let all = [
        unreachable(),
        silent(),
        broken_tls(),
        cut(),
        refusals(),
        odd_but_honest(),
        lies(),
        final_answers(),
        undetectable(),
        loops(),
    ];
    // Arguments are part of the name only where they are words.
    let name = |fault: &Fault| match fault {
        Fault::BadTls(_) => fault.to_string(),
        _ => fault.name().to_owned(),
    };
    let covered: BTreeSet<_> = all.iter().flatten().map(|case| name(&case.fault)).collect();
    let known: BTreeSet<_> = Fault::EXAMPLES.iter().map(name).collect();
    assert_eq!(covered, known);
}

#[tokio::test]
async fn proxies_that_cannot_be_reached_cost_probes_and_never_a_url() {
    each(unreachable(), Case::pool_with_it_is_whole).await;
}

#[tokio::test]
async fn a_pool_nobody_can_reach_is_given_up_and_no_url_is_ok() {
    each(unreachable(), Case::alone_is_told_honestly).await;
}

#[tokio::test]
async fn silence_and_garbage_are_retried_elsewhere_and_blamed_on_nobody_for_certain() {
    each(silent(), Case::pool_with_it_is_whole).await;
}

#[tokio::test]
async fn silence_and_garbage_alone_are_timeouts_and_network_errors() {
    each(silent(), Case::alone_is_told_honestly).await;
}

#[tokio::test]
async fn broken_or_intercepted_tls_is_never_ok_and_the_row_comes_through_another_proxy() {
    each(broken_tls(), Case::pool_with_it_is_whole).await;
}

#[tokio::test]
async fn broken_or_intercepted_tls_alone_is_a_tls_error() {
    each(broken_tls(), Case::alone_is_told_honestly).await;
}

#[tokio::test]
async fn a_body_cut_short_is_fetched_again_through_another_proxy() {
    each(cut(), Case::pool_with_it_is_whole).await;
}

#[tokio::test]
async fn a_body_cut_short_alone_is_corrupt_or_no_answer_at_all() {
    each(cut(), Case::alone_is_told_honestly).await;
}

#[tokio::test]
async fn a_proxys_own_refusal_is_booked_as_such_and_the_row_comes_through_another() {
    each(refusals(), Case::pool_with_it_is_whole).await;
}

#[tokio::test]
async fn a_proxys_own_refusal_alone_is_never_ok() {
    each(refusals(), Case::alone_is_told_honestly).await;
}

#[tokio::test]
async fn odd_but_honest_proxies_bring_the_right_page_and_are_charged_nothing() {
    each(odd_but_honest(), Case::pool_with_it_is_whole).await;
}

#[tokio::test]
async fn odd_but_honest_proxies_alone_bring_the_right_page() {
    each(odd_but_honest(), Case::alone_is_told_honestly).await;
}

#[tokio::test]
async fn foreign_empty_and_altered_pages_are_caught_by_what_the_user_knows_of_the_right_ones() {
    each(lies(), Case::pool_with_it_is_whole).await;
}

#[tokio::test]
async fn foreign_empty_and_altered_pages_alone_are_corrupt_to_a_user_who_knows_the_right_ones() {
    each(lies(), Case::alone_is_told_honestly).await;
}

#[tokio::test]
async fn a_redirect_loop_is_asked_about_elsewhere_once() {
    each(loops(), Case::pool_with_it_is_whole).await;
}

#[tokio::test]
async fn a_redirect_loop_alone_is_an_http_error() {
    each(loops(), Case::alone_is_told_honestly).await;
}

/// A file larger than the cap looks the same from here, so nobody is charged and nothing is fetched twice.
#[tokio::test]
async fn endless_bodies_and_bombs_stop_at_the_cap_and_are_too_large_never_ok() {
    each(final_answers(), |case| async move {
        let rows = case.pooled().await;
        case.check_attempts(&rows);
        for (url, done) in &rows {
            if !met_the_fault(done) {
                assert_page(done, url);
            } else {
                assert_eq!(done.record.outcome, Outcome::TooLarge, "{}", tell(done));
                assert!(done.body.len() <= 10_000_000);
            }
        }
    })
    .await;
    each(final_answers(), Case::alone_is_told_honestly).await;
}

#[tokio::test]
async fn nobody_can_know_one_stale_foreign_or_altered_200_over_plain_http_without_rules() {
    each(undetectable(), |case| async move {
        let rows = case.pooled().await;
        case.check_attempts(&rows);
        for (url, done) in &rows {
            if !met_the_fault(done) {
                assert_page(done, url);
            } else {
                // It is what the proxy said, and one attempt was enough for that, unless it said the same too often.
                let rules = done
                    .record
                    .attempt_log
                    .iter()
                    .map(|attempt| attempt.rule.as_deref());
                let known = |rule| matches!(rule, Some("host.same_body" | "host.same_title"));
                let known = rules.into_iter().any(known);
                assert!(
                    done.record.ok && (done.record.attempts == 1 || known),
                    "{}",
                    tell(done)
                );
            }
        }
        let wrong = rows.iter().filter(|(url, done)| done.body != page_of(url));
        assert!(wrong.count() > 0, "{} does nothing", case.fault);
    })
    .await;
}
