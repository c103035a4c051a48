//! Small worlds, as users have them: three to four hundred proxies, one or two sites that refuse in some way. Each of these once took five
//! to thirty times what an oracle needs, or lost most of its URLs, while the large worlds beside this file were well.

use proxywheel::lab::scenario::{Metric, Scenario};

use super::measure::Measured;

/// Luck decides much of how a limit shows itself at first.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;
/// Ours is cut after so many times the oracle's time.
const LONGEST: u32 = 20;

/// Runs the world; every seed has to end within `most` times the oracle's time, with a page for all URLs but one in fifty.
fn check(most: f64, text: &str) {
    let text = format!("title = \"small\"\n{text}");
    let scenario = Scenario::parse("small", &text).expect("a scenario");
    for seed in SEEDS {
        let run = Measured::of(&scenario, seed, LONGEST);
        let ratio = run.get(Metric::MakespanRatio).expect("it has ended");
        let (ours, oracle) = (&run.ours, &run.oracle);
        assert!(
            ratio <= most && 50 * ours.lost <= ours.successes,
            "seed {seed}: {ratio:.2}, {ours:?} beside {oracle:?}"
        );
    }
}

#[test]
fn a_site_that_has_banned_most_exits_from_the_start_is_not_given_up() {
    // Refusals come three times as fast as pages.
    check(
        1.5,
        "urls = 600\nproxies = 200\nconcurrency = 64
         [[group]]\nname = \"good\"\nshare = 1\nanswer = { median-s = 2.0, between = 0.2, within = 0.2 }
         [[host]]\nbanned = 0.6",
    );
}

#[test]
fn a_site_of_one_request_a_second_is_found_out_by_a_pool_in_which_no_proxy_comes_twice() {
    check(
        2.5,
        "urls = 150\nproxies = 80\nconcurrency = 64
         [[group]]\nname = \"good\"\nshare = 1
         [[host]]\nlimit = { per-second = 1, retry-after-s = 30 }",
    );
}

#[test]
fn a_quota_of_one_request_is_not_taken_for_a_common_limit() {
    check(
        1.5,
        "urls = 600\nproxies = 120\nconcurrency = 32
         [[group]]\nname = \"good\"\nshare = 0.4\nanswer = { median-s = 2.0, between = 0.2, within = 0.4 }
         [[group]]\nname = \"useless\"\nshare = 0.3\nbehaves = \"useless\"
         [[group]]\nname = \"black-hole\"\nshare = 0.3\nbehaves = \"black-hole\"
         [[host]]\nban = { requests = 1, window-s = 10, lasts-s = 60 }",
    );
}

#[test]
fn a_site_with_a_common_limit_may_have_banned_some_exits_as_well() {
    check(
        3.0,
        "urls = 1000\nproxies = 15\nconcurrency = 64
         [[group]]\nname = \"good\"\nshare = 1
         [[host]]
         [[host]]\nlimit = { per-second = 2, retry-after-s = 30 }\nbanned = 0.6",
    );
    check(
        1.5,
        "urls = 1000\nproxies = 120\nconcurrency = 200
         [[group]]\nname = \"good\"\nshare = 1
         [[host]]\nban = { requests = 2, window-s = 60, lasts-s = 60 }
         [[host]]\nlimit = { per-second = 10, retry-after-s = 10, closes-s = 9 }\nbanned = 0.05",
    );
}

#[test]
fn a_small_quota_is_not_raised_by_who_was_refused_for_more_than_it() {
    check(
        2.2,
        "urls = 500\nproxies = 20\nconcurrency = 32\nprobe-concurrency = 64
         [[group]]\nname = \"good\"\nshare = 0.7\nanswer = { median-s = 2.0, between = 0.2, within = 0.8 }
         [[group]]\nname = \"useless\"\nshare = 0.15\nbehaves = \"useless\"
         [[group]]\nname = \"black-hole\"\nshare = 0.15\nbehaves = \"black-hole\"
         [[host]]\nban = { requests = 5, window-s = 10, lasts-s = 600 }",
    );
}

#[test]
fn duplicates_at_the_end_leave_no_url_without_a_row() {
    check(
        1.6,
        "urls = 1000\nproxies = 400\nconcurrency = 200\nproxy-concurrency = 2
         [[group]]\nname = \"good\"\nshare = 0.2\nanswer = { median-s = 2.0, between = 0.2, within = 0.8 }
         [[group]]\nname = \"black-hole\"\nshare = 0.4\nbehaves = \"black-hole\"
         [[group]]\nname = \"useless\"\nshare = 0.4\nbehaves = \"useless\"
         [[host]]\nban = { requests = 10, window-s = 60, lasts-s = 600 }",
    );
}

#[test]
fn three_proxies_get_through_a_limit_and_sit_out_bans() {
    check(
        3.0,
        "urls = 4000\nproxies = 3\nconcurrency = 16
         [[group]]\nname = \"good\"\nshare = 1\nanswer = { median-s = 0.3, between = 0.2, within = 0.4 }
         [[host]]\nlimit = { per-second = 2, retry-after-s = 30, closes-s = 27 }",
    );
    check(
        6.0,
        "urls = 1000\nproxies = 3\nconcurrency = 128
         [[group]]\nname = \"good\"\nshare = 1\nanswer = { median-s = 2.0, between = 1.0, within = 0.2 }
         [[host]]\nban = { requests = 30, window-s = 60, lasts-s = 600 }",
    );
}
