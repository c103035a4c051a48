use super::*;
use crate::outcome::Charge;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn ok() -> Verdict {
    Verdict::new(Outcome::Ok, Blame::Nobody)
}

fn page(proxy: u32, url: u64, body: u64) -> Page<'static> {
    Page {
        host: 1,
        proxy,
        body,
        title: None,
        size: 5_000,
        url: JobId::of(&http::Method::GET, &url.to_string(), b""),
        in_session: false,
    }
}

/// Five others are given three pages each, another one for every URL.
fn varied_others() -> Hosts {
    let mut hosts = Hosts::default();
    for n in 0..15 {
        let verdict = hosts.weigh(page(10 + n % 5, 100 + u64::from(n), n.into()), &ok());
        assert_eq!(verdict, None);
    }
    hosts
}

/// The number of pages with body 77 for as many URLs through these proxies in turn that are called a block.
fn blocked(hosts: &mut Hosts, proxies: &[u32]) -> usize {
    let turns = proxies.iter().zip(1000..);
    turns
        .filter(|(proxy, url)| hosts.weigh(page(**proxy, *url, 77), &ok()).is_some())
        .count()
}

#[test]
fn one_body_for_all_urls_to_one_proxy_is_a_block_where_others_are_given_one_for_each() {
    let mut hosts = varied_others();
    assert_eq!(hosts.weigh(page(1, 1, 77), &ok()), None);
    assert_eq!(hosts.weigh(page(1, 2, 77), &ok()), None);
    assert_eq!(
        hosts.weigh(page(1, 2, 77), &ok()),
        None,
        "the same URL again proves nothing"
    );
    let verdict = hosts.weigh(page(1, 3, 77), &ok()).expect("a block");
    assert_eq!(
        (verdict.outcome, verdict.blame),
        (Outcome::Banned, Blame::Pair)
    );
    assert_eq!(
        hosts.weigh(page(1, 4, 78), &ok()),
        None,
        "it is served again"
    );
    let two = blocked(&mut varied_others(), &[1, 2, 1, 2, 1, 2, 1, 2]);
    assert_eq!(two, 4, "the third and the fourth page of both");
}

#[test]
fn a_site_whose_pages_are_all_alike_to_a_visitor_is_left_alone() {
    let mut hosts = Hosts::default();
    for n in 0..400 {
        let shell = hosts.weigh(page(n % 20, u64::from(n), 5), &ok());
        assert_eq!(shell, None, "one shell for every URL");
    }
    let mut hosts = Hosts::default();
    for n in 0..400u32 {
        // It names the session of the visitor, which is renewed now and then.
        let body = n % 20 + 100 * (n / 200);
        let shell = hosts.weigh(page(n % 20, n.into(), body.into()), &ok());
        assert_eq!(shell, None, "a shell for each visitor");
    }
}

#[test]
fn a_page_that_is_given_between_others_is_a_page() {
    let mut rng = StdRng::seed_from_u64(7);
    for missing in [2, 5, 8] {
        let mut hosts = Hosts::default();
        let mut blocks = 0;
        for n in 0..4_000u64 {
            // So many of ten URLs are not there.
            let body = match rng.random_range(0..10) < missing {
                true => 5,
                false => 1000 + n,
            };
            let proxy = rng.random_range(0..8);
            blocks += usize::from(hosts.weigh(page(proxy, n, body), &ok()).is_some());
        }
        assert_eq!(blocks, 0, "{missing} of ten: {blocks}");
    }
    let mut hosts = varied_others();
    let all = [1, 10, 11, 12, 13, 14].repeat(5);
    assert_eq!(blocked(&mut hosts, &all), 0, "the rest of the list is gone");
}

/// What five others are given: pages of 50 kB.
fn served_others(titles: [&'static str; 5]) -> Hosts {
    let mut hosts = Hosts::default();
    for (n, title) in (0u32..).zip(titles) {
        let page = Page {
            title: Some(title),
            size: 50_000,
            ..page(10 + n, 100 + u64::from(n), n.into())
        };
        assert_eq!(hosts.weigh(page, &ok()), None);
    }
    hosts
}

/// The verdicts on pages through proxy 1, each with a body of its own.
fn rules(hosts: &mut Hosts, pages: &[(u64, &'static str, u64)]) -> Vec<Option<Box<str>>> {
    let weigh = |(n, (url, title, size)): (u64, &(u64, &'static str, u64))| {
        let page = Page {
            title: Some(title),
            size: *size,
            ..page(1, *url, 1_000 + n)
        };
        hosts.weigh(page, &ok())?.ban.map(|ban| ban.rule)
    };
    (0..).zip(pages).map(weigh).collect()
}

#[test]
fn one_title_over_short_pages_to_one_proxy_alone_is_a_block() {
    let mut hosts = served_others(["a", "b", "c", "d", "e"]);
    let pages = [
        (1, "Wait", 3_000),
        (2, "Wait", 3_100),
        (2, "Wait", 3_000),
        (3, "Wait", 2_900),
        (4, "f", 3_000),
    ];
    let block = Some("host.same_title".into());
    assert_eq!(rules(&mut hosts, &pages), [None, None, None, block, None]);
}

#[test]
fn one_title_proves_nothing_by_itself() {
    for (why, titles, pages) in [
        (
            "pages as large as those of others",
            ["a", "b", "c", "d", "e"],
            [
                (1, "Shop", 45_000),
                (2, "Shop", 12_000),
                (3, "Shop", 45_000),
                (4, "Shop", 45_000),
            ],
        ),
        (
            "one of them is",
            ["a", "b", "c", "d", "e"],
            [
                (1, "Shop", 3_000),
                (2, "Shop", 12_000),
                (3, "Shop", 3_000),
                (4, "Shop", 3_000),
            ],
        ),
        (
            "others are given it too",
            ["a", "b", "c", "d", "Shop"],
            [
                (1, "Shop", 3_000),
                (2, "Shop", 3_000),
                (3, "Shop", 3_000),
                (4, "Shop", 3_000),
            ],
        ),
        (
            "others have but one title",
            ["a", "a", "a", "a", "a"],
            [
                (1, "Shop", 3_000),
                (2, "Shop", 3_000),
                (3, "Shop", 3_000),
                (4, "Shop", 3_000),
            ],
        ),
        (
            "short pages with titles of their own",
            ["a", "b", "c", "d", "e"],
            [
                (1, "v", 3_000),
                (2, "w", 3_000),
                (3, "x", 3_000),
                (4, "y", 3_000),
            ],
        ),
    ] {
        let mut hosts = served_others(titles);
        assert_eq!(rules(&mut hosts, &pages), [const { None }; 4], "{why}");
    }
    assert_eq!(
        rules(
            &mut Hosts::default(),
            &[(1, "a", 9), (2, "a", 9), (3, "a", 9)]
        ),
        [const { None }; 3],
        "nobody to compare with"
    );
}

#[test]
fn short_pages_in_a_row_to_one_proxy_alone_are_a_block() {
    let short = |n: u64| (n, ["u", "v", "w", "x", "y", "z"][n as usize % 6], 3_000 + n);
    let block: Option<Box<str>> = Some("host.short".into());
    let mut hosts = served_others(["a", "b", "c", "d", "e"]);
    let pages = [1, 2, 3, 3, 4, 5].map(short);
    let verdicts = rules(&mut hosts, &pages);
    assert_eq!(
        verdicts[..5],
        [const { None }; 5],
        "the same URL again proves nothing"
    );
    assert_eq!(verdicts[5], block);
    assert_eq!(
        rules(&mut hosts, &[(6, "g", 30_000), short(7)]),
        [None, None],
        "it is served again"
    );

    let mut hosts = served_others(["a", "b", "c", "d", "e"]);
    let other = Page {
        title: Some("b"),
        size: 4_000,
        ..page(12, 300, 300)
    };
    hosts.weigh(other, &ok());
    let pages = [1, 2, 3, 4, 5, 6].map(short);
    assert_eq!(
        rules(&mut hosts, &pages),
        [const { None }; 6],
        "another has a short one too"
    );

    let mut hosts = Hosts::default();
    let pages = [
        (1, "a", 50_000),
        (2, "b", 50_000),
        short(3),
        short(4),
        short(5),
        short(7),
        short(8),
    ];
    assert_eq!(
        rules(&mut hosts, &pages),
        [const { None }; 7],
        "nobody to compare with"
    );
}

#[test]
fn a_host_that_challenges_everybody_is_given_up_and_one_that_serves_somebody_is_not() {
    let challenged = || Verdict {
        ban: Some(ban("x.y", "challenge_js", "")),
        ..Verdict::new(Outcome::Banned, Blame::Pair)
    };
    let mut hosts = Hosts::default();
    for proxy in 0..9 {
        for _ in 0..5 {
            hosts.weigh(page(proxy, 1, 1), &challenged());
        }
    }
    assert_eq!(hosts.suspects(1), None, "nine exits");
    hosts.weigh(page(9, 1, 1), &challenged());
    let verdict = hosts.suspects(1).expect("ten exits");
    assert_eq!(hosts.gives_up(1), None, "pages may be on their way");
    hosts.give_up(1);
    assert_eq!(hosts.gives_up(1), Some(verdict.clone()));
    assert_eq!(
        (verdict.outcome, verdict.blame),
        (Outcome::Banned, Blame::Target)
    );
    assert_eq!(hosts.suspects(2), None);
    hosts.weigh(page(11, 2, 2), &ok());
    assert_eq!(hosts.suspects(1), None, "somebody was served");
}

#[test]
fn memory_is_bounded() {
    let mut hosts = Hosts::default();
    for n in 0..20_000u32 {
        hosts.weigh(
            Page {
                host: n,
                ..page(n, n.into(), n.into())
            },
            &ok(),
        );
        hosts.weigh(page(n, n.into(), n.into()), &ok());
    }
    assert!((MOST_HOSTS / 2..=MOST_HOSTS).contains(&hosts.of.len()));
    assert!(hosts.of.contains_key(&19_999));
    assert!(hosts.of[&1].pages.len() <= MOST_EACH);
}

#[test]
fn a_host_that_refuses_every_exit_there_is_and_never_says_anything_else_is_given_up() {
    let mut hosts = Hosts::default();
    hosts.know_exits(20);
    let refusal = |class: &str| Verdict {
        ban: Some(ban("some.rule", class, "")),
        ..Verdict::new(Outcome::Banned, Blame::Pair)
    };
    for proxy in 0..19 {
        hosts.weigh(page(proxy, 1, 1), &refusal("soft_block"));
        hosts.weigh(page(proxy, 1, 1), &refusal("block_ip"));
        // A proxy's own trouble is none of the host's.
        let broken = Verdict::new(Outcome::ProxyError, Blame::Proxy(Charge::Broken));
        hosts.weigh(page(proxy, 1, 1), &broken);
    }
    assert_eq!(hosts.suspects(1), None, "one may be served yet");
    hosts.weigh(page(19, 1, 1), &refusal("soft_block"));
    let verdict = hosts.suspects(1).expect("given up");
    assert_eq!(&*verdict.ban.expect("a ban").rule, BLOCKS_CLIENT);
    hosts.know_exits(21);
    assert_eq!(hosts.suspects(1), None, "another has come");
    hosts.know_exits(20);
    hosts.weigh(
        page(3, 1, 1),
        &Verdict::new(Outcome::HttpError, Blame::Target),
    );
    assert_eq!(hosts.suspects(1), None, "it answers somebody");
}
