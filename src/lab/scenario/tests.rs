//! What worlds promise, and that the oracle makes none of the mistakes it is there to measure.

use std::time::Duration;

use super::*;

const HEAD: &str = "title = \"t\"\nurls = 2000\nproxies = 100\nconcurrency = 20\n";

/// With `text` after what every scenario needs.
fn scenario(text: &str) -> Scenario {
    Scenario::parse("test.toml", &format!("{HEAD}{text}")).expect("a scenario")
}

/// Good proxies that answer in a second without any noise, connects in 0.1 s.
fn exact(rest: &str) -> Scenario {
    scenario(&format!(
        "[[group]]\nname = \"good\"\nshare = 1\nresets = 0\n\
         answer = {{ median-s = 1, between = 0, within = 0 }}\n\
         connect = {{ median-s = 0.1, between = 0, within = 0, lost-syn = 0 }}\n{rest}"
    ))
}

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn ask(world: &mut World, proxy: usize, host: usize, now: f64) -> Fate {
    let patience = Patience {
        connect: at(5.0),
        whole: at(30.0),
    };
    let fate = world.request(proxy, host, at(now), patience, false);
    world.ended(proxy);
    fate
}

#[test]
fn who_is_what_does_not_depend_on_who_was_asked_before() {
    let scenario = scenario(
        "[[group]]\nname = \"bad\"\nshare = 0.5\nbehaves = \"black-hole\"\n\
         [[group]]\nname = \"some\"\nshare = 0.5\nchurn = { up-s = 20, down-s = 20 }\nredraw-s = 30\n",
    );
    let fates = |seed, order: &mut dyn Iterator<Item = usize>| {
        let mut world = World::new(&scenario, seed);
        let mut fates: Vec<_> = order
            .map(|proxy| (proxy, ask(&mut world, proxy, 0, 50.0)))
            .collect();
        fates.sort_by_key(|(proxy, _)| *proxy);
        fates
    };
    let forwards = fates(1, &mut (0..100));
    assert_eq!(forwards, fates(1, &mut (0..100).rev()));
    assert_ne!(forwards, fates(2, &mut (0..100)));
    // Nor is the world of the next seed the same one, shifted.
    let shifted: Vec<_> = fates(2, &mut (0..100))
        .iter()
        .map(|(_, fate)| *fate)
        .collect();
    let first: Vec<_> = forwards.iter().map(|(_, fate)| *fate).collect();
    assert!(first[1..] != shifted[..99] && first[..99] != shifted[1..]);
}

#[test]
fn a_ban_comes_with_the_request_beyond_the_quota_and_goes_by_itself() {
    let scenario =
        exact("[[host]]\nban = { requests = 3, window-s = 60, lasts-s = 600 }\n[[host]]\n");
    let mut world = World::new(&scenario, 1);
    let mut ends = |times: &[f64]| -> Vec<bool> {
        let each = times.iter().map(|now| ask(&mut world, 7, 0, *now).end);
        each.map(|end| end == End::Banned).collect()
    };
    // The first has left the window when the fourth comes; the fifth is one too many.
    assert_eq!(
        ends(&[0.0, 50.0, 55.0, 61.0, 62.0, 661.0, 662.0, 663.0]),
        [false, false, false, false, true, true, false, false]
    );
    assert_eq!(ask(&mut world, 7, 1, 70.0).end, End::Good, "another host");
    assert_eq!(ask(&mut world, 8, 0, 70.0).end, End::Good, "another proxy");
    assert_eq!(world.tally().blocked, 2);
}

#[test]
fn a_host_that_closes_stays_closed_to_everybody() {
    let limit = "[[host]]\nlimit = { per-second = 2, retry-after-s = 5, closes-s = 4 }\n";
    let mut world = World::new(&exact(limit), 1);
    let mut limited = |proxy, now| {
        let end = ask(&mut world, proxy, 0, now).end;
        let retry_after = at(5.0);
        end == End::Limited { retry_after }
    };
    assert!(!limited(0, 0.0) && !limited(1, 0.1));
    assert!(limited(2, 0.2), "the bucket holds one second");
    assert!(limited(3, 4.0) && !limited(4, 4.8));
}

#[test]
fn times_are_what_the_file_says() {
    let mut world = World::new(&exact("capacity = { from = 2, to = 2 }\n"), 1);
    let patience = Patience {
        connect: at(5.0),
        whole: at(3.0),
    };
    let after = |world: &mut World, connected| {
        let fate = world.request(0, 0, at(0.0), patience, connected);
        (fate.end, fate.after.as_secs_f64())
    };
    let near = |(end, seconds): (End, f64), wanted, expected: f64| {
        assert_eq!(end, wanted);
        assert!((seconds - expected).abs() < 1e-6, "{seconds}");
    };
    near(after(&mut world, false), End::Good, 1.1);
    near(after(&mut world, true), End::Good, 1.0);
    // Beyond what it bears answers take longer in proportion, up to what the client bears.
    near(after(&mut world, true), End::Good, 1.5);
    for _ in 0..3 {
        after(&mut world, true);
    }
    near(after(&mut world, true), End::Timeout, 3.0);
}

#[test]
fn the_oracle_asks_nobody_who_is_dead_and_is_never_refused() {
    let scenario = scenario(
        "[[group]]\nname = \"bad\"\nshare = 0.3\nbehaves = \"refuses\"\n\
         [[group]]\nname = \"useless\"\nshare = 0.1\nbehaves = \"useless\"\n\
         [[group]]\nname = \"fakes\"\nshare = 0.1\nbehaves = \"tampers\"\n\
         [[group]]\nname = \"some\"\nshare = 0.5\nchurn = { up-s = 30, down-s = 30 }\n\
         [[host]]\nban = { requests = 9, window-s = 60, lasts-s = 600 }\n\
         [[host]]\nlimit = { per-second = 8, retry-after-s = 5 }\n\
         [[host]]\noutage = [{ from-s = 5, to-s = 40 }]\n",
    );
    let run = oracle(&scenario, 3);
    assert_eq!((run.successes, run.lost, run.fakes_accepted), (2000, 0, 0));
    let tally = run.tally;
    assert_eq!((tally.to_dead, tally.blocked, tally.fakes), (0, 0, 0));
    // 667 URLs at 8 a second after a second's worth at once.
    let seconds = run.makespan.as_secs_f64();
    assert!((80.0..120.0).contains(&seconds), "{seconds} s");
    assert!(run.other_hosts.is_some_and(|time| time == run.makespan));
}

#[test]
fn an_oracle_without_noise_takes_as_long_as_can_be_reckoned() {
    // 20 at once, 1.1 s each: a hundred rounds.
    let run = oracle(&exact(""), 1);
    let seconds = run.makespan.as_secs_f64();
    assert!((seconds - 110.0).abs() < 1e-3, "{seconds} s");
    let priced = oracle(&exact("price = { per-request = 0.5 }\n"), 1);
    assert_eq!(priced.tally.cost, 1000.0);
}
