//! Alerts, by the observations at which they are due.

use std::path::Path;

use super::*;
use crate::observation::State;
use crate::track::course::NO_ROWS;

fn job(kind: &str, alerts: &str) -> TrackJob {
    let table = match kind {
        "rank" => {
            "[extract]\nrows = '.r'\nselect = ['link=a::attr(href)']\n[[target]]\nname = 'me'\nhost = 'me.test'\n[[target]]\nname = 'you'\nhost = 'you.test'"
        }
        _ => "[extract]\nselect = ['price=.p::text|number']\n[watch]\nfield = 'price'",
    };
    let text = format!(
        "kind = '{kind}'\nurl = 'http://a.test/?q={{query}}'\n[matrix]\nquery = ['shoes', 'boots']\n{table}\n{alerts}"
    );
    TrackJob::parse(Path::new("job.toml"), &text, &|_| None).expect("a job")
}

fn series(query: &str, target: Option<&str>) -> Series {
    Series {
        job: "job".into(),
        axes: [("query".into(), query.into())].into(),
        target: target.map(Into::into),
    }
}

/// `3` a place, `~3` there or lower down, `3@b` with another address, `-` not in three pages of ten, `-1` not in one such page, `0` no
/// results, `?` blocked, `!` nothing found on a good page.
fn place(word: &str) -> Observation {
    let known = |state| Observation {
        state,
        results: Some(30),
        pages: (3, 3),
        why: None,
        ..Observation::unknown(0, "")
    };
    match word {
        "-" => known(State::NotInDepth),
        "-1" => Observation {
            results: Some(10),
            pages: (1, 1),
            ..known(State::NotInDepth)
        },
        "0" => known(State::NoResults),
        "?" => Observation::unknown(0, "soft_block"),
        "!" => Observation::unknown(0, NO_ROWS),
        ranked => {
            let (place, url) = ranked.split_once('@').unwrap_or((ranked, "a"));
            Observation {
                position: place.trim_start_matches('~').parse().ok(),
                lower_bound: place.starts_with('~'),
                url: Some(url.into()),
                ..known(State::Ranked)
            }
        }
    }
}

/// A number, `?` blocked, `x` answered with 404, `!` nothing found on a good page, or a text.
fn value(word: &str) -> Observation {
    match word {
        "?" => Observation::unknown(0, "soft_block"),
        "x" => Observation::unknown(0, "http_error 404"),
        "!" => Observation {
            state: State::Missing,
            why: None,
            ..Observation::unknown(0, "")
        },
        text => Observation {
            state: State::Seen,
            value: Some(text.into()),
            number: text.parse().ok(),
            why: None,
            ..Observation::unknown(0, "")
        },
    }
}

/// Numbers, from 1, of the observations at which the alert is due.
fn due_at(alert: &str, course: &str) -> Vec<usize> {
    let is_value = ["'below", "'above", "'changed", "'gone"]
        .iter()
        .any(|word| alert.contains(word));
    let kind = if is_value { "change" } else { "rank" };
    let job = job(kind, &format!("[[alert]]\nwhen = {alert}"));
    let series = series("shoes", (!is_value).then_some("me"));
    let one = if is_value { value } else { place };
    let seen: Vec<Observation> = course.split_whitespace().map(one).collect();
    let is_due = |until: &usize| !of_series(&job, &series, &seen[..*until]).is_empty();
    (1..=seen.len()).filter(is_due).collect()
}

#[test]
fn a_target_enters_and_leaves_the_first_exactly_at_their_edge() {
    let enters = |course| due_at("'enters_top'\ntop = 10", course);
    let leaves = |course| due_at("'leaves_top'\ntop = 10", course);
    for (course, entered, left) in [
        ("3", vec![], vec![]),
        ("11 10 11", vec![2], vec![3]),
        ("10 9 10", vec![], vec![]),
        ("- 10 - 0", vec![2], vec![3]),
        ("0 1 0", vec![2], vec![3]),
        // What is not known is passed over, on both sides.
        ("11 ? 10 ? 12", vec![3], vec![5]),
        ("10 ? 10", vec![], vec![]),
        ("? 10", vec![], vec![]),
        // A bound within tells nothing; one without tells that it is out, once.
        ("11 ~1 10 ~1 9", vec![3], vec![]),
        ("10 ~1 ~11 25 ~21 -", vec![], vec![3]),
        ("10 ~11 10", vec![3], vec![2]),
    ] {
        assert_eq!(enters(course), entered, "{course}");
        assert_eq!(leaves(course), left, "{course}");
    }
}

#[test]
fn less_deep_looks_tell_nothing_of_what_stood_further_down() {
    for alert in [
        "'enters_top'\ntop = 30",
        "'leaves_top'\ntop = 30",
        "'lost'\nruns = 1",
    ] {
        assert_eq!(due_at(alert, "23 -1 23 -1"), [] as [usize; 0], "{alert}");
    }
    assert_eq!(due_at("'leaves_top'\ntop = 30", "3 -1"), [2]);
}

#[test]
fn a_move_is_from_exact_place_to_exact_place() {
    let moved = |course| due_at("'moved'\nby = 3", course);
    for (course, expected) in [
        ("5", vec![]),
        ("5 7 5 8 5", vec![4, 5]),
        ("5 ? ? 8", vec![4]),
        ("5 ~1 ~21 9 9", vec![4]),
        ("~1 9 - 3", vec![]),
    ] {
        assert_eq!(moved(course), expected, "{course}");
    }
}

#[test]
fn another_address_is_told_of_where_both_are_certain() {
    let course = "5@a 5@b ? 7@b ~1@c 5@b - 5@a 6@c";
    assert_eq!(due_at("'url_changed'", course), [2, 9]);
}

#[test]
fn a_target_is_lost_once_after_so_many_good_runs() {
    let lost = |course| due_at("'lost'\nruns = 2", course);
    for (course, expected) in [
        ("- - -", vec![]),
        ("3 - -", vec![3]),
        ("3 - 0 - -", vec![3]),
        ("3 - ? ! -", vec![5]),
        ("3 - - ?", vec![3]),
        // Behind a page that is missing it was found all the same.
        ("3 - ~1 - -", vec![5]),
        ("3 - 4 - -", vec![5]),
    ] {
        assert_eq!(lost(course), expected, "{course}");
    }
}

#[test]
fn a_number_is_told_of_when_it_passes_the_limit() {
    let below = |course| due_at("'below'\nvalue = 10", course);
    for (course, expected) in [
        ("9", vec![1]),
        ("10 9.99 9 11 9", vec![2, 5]),
        ("11 ? 9 ? 8", vec![3]),
        ("9 sold-out 9", vec![1, 3]),
        ("9 ! 9", vec![1]),
    ] {
        assert_eq!(below(course), expected, "{course}");
    }
    assert_eq!(due_at("'above'\nvalue = 10", "10 11 12 ? 9 11"), [2, 6]);
}

#[test]
fn a_change_is_told_of_at_the_observation_that_makes_it() {
    assert_eq!(due_at("'changed'", "9 9.0 8 ? ! 8 9"), [3, 7]);
}

#[test]
fn a_selector_is_broken_once_after_so_many_good_pages() {
    let broken = |course| due_at("'selector_broken'", course);
    for (course, expected) in [
        ("! ! !", vec![]),
        ("3 ! ! ! !", vec![3]),
        ("3 ! ? ! ?", vec![4]),
        ("3 ! 3 ! !", vec![5]),
    ] {
        assert_eq!(broken(course), expected, "{course}");
    }
}

#[test]
fn a_page_is_gone_once_after_so_many_answers_that_say_so() {
    let gone = |course| due_at("'gone'", course);
    for (course, expected) in [
        ("x x x", vec![]),
        ("9 x", vec![]),
        ("9 x x x x", vec![3]),
        ("9 x ? x ?", vec![4]),
        ("! x 9 x x 8 x x", vec![5, 8]),
    ] {
        assert_eq!(gone(course), expected, "{course}");
    }
    assert_eq!(due_at("'gone'\nruns = 1", "9 x x"), [2]);
    assert_eq!(due_at("'changed'", "9 x x 9 x 8"), [6]);
}

#[test]
fn an_alert_of_a_page_names_its_job_and_its_address() {
    let job = job("change", "[[alert]]\nwhen = 'changed'");
    let seen = ["9", "8"].map(value);
    let told = |of: &str| of_series(&job, &series(of, None), &seen).remove(0);
    let due = told("boots");
    assert_eq!(due.text, "job · boots, http://a.test/?q=boots: 9 -> 8");
    assert_eq!(due.event["url"], "http://a.test/?q=boots");
    // What is no longer asked for has no address.
    let due = told("gloves");
    assert_eq!(due.text, "job · gloves: 9 -> 8");
    assert_eq!(due.event["url"], Value::Null);
}

#[test]
fn an_alert_is_about_its_targets_and_places_alone() {
    let job = job(
        "rank",
        "[[alert]]\nwhen = 'moved'\nby = 1\ntargets = ['me']\nmatch = { query = 'shoes' }
        [[alert]]\nwhen = 'moved'\nby = 1",
    );
    let seen = [place("5"), place("8")];
    for (query, target, expected) in [
        ("shoes", "me", vec![0, 1]),
        ("shoes", "you", vec![1]),
        ("boots", "me", vec![1]),
    ] {
        let due = of_series(&job, &series(query, Some(target)), &seen);
        let alerts: Vec<usize> = due.iter().map(|due| due.alert).collect();
        assert_eq!(alerts, expected, "{query} {target}");
    }
    let due = &of_series(&job, &series("shoes", Some("me")), &seen)[0];
    assert_eq!(due.text, "shoes · me: moved from 5 to 8");
    assert_eq!(due.event["when"], "moved");
    assert_eq!(due.event["target"], "me");
    assert_eq!(due.event["series"]["query"], "shoes");
    assert_eq!(due.event["before"]["position"], 5);
    assert_eq!(due.event["after"]["position"], 8);
    assert_eq!(due.event["after"]["at"], "1970-01-01T00:00:00.000Z");
}

#[test]
fn a_run_is_told_of_beyond_its_bounds_alone() {
    let job = job(
        "rank",
        "[[alert]]\nwhen = 'blocked'\nshare = 0.5\n[[alert]]\nwhen = 'pool'\nalive = 3",
    );
    let hosts = |blocked| {
        [
            ("http://a.test".into(), blocked, 4),
            ("http://b.test".into(), 0, 0),
        ]
    };
    let alerts = |blocked, alive| {
        let due = of_run(&job, &hosts(blocked), alive);
        due.iter().map(|due| due.alert).collect::<Vec<_>>()
    };
    assert_eq!(alerts(2, 3), [] as [usize; 0], "at the bounds");
    assert_eq!(alerts(3, 3), [0]);
    assert_eq!(alerts(2, 2), [1]);
}
