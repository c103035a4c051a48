//! microsocks: SOCKS5 with and without a password. It has no access rules, so it refuses no target.

use crate::nginx::Origin;
use crate::rig::{EXIT, Launch, PASSWORD, Program, Server, USER};
use crate::scenario::{self, Line};

const MICROSOCKS: Program = Program {
    name: "microsocks",
    package: "microsocks",
};

/// A running microsocks.
pub(crate) struct Microsocks {
    pub(crate) server: Server,
}

impl Microsocks {
    /// One that serves anybody.
    pub(crate) fn open() -> Self {
        Self::start(&[])
    }

    /// One that serves [`USER`].
    pub(crate) fn with_password() -> Self {
        Self::start(&["-u", USER, "-P", PASSWORD])
    }

    fn start(more: &[&str]) -> Self {
        let server = Server::start(&MICROSOCKS, 1, |site| {
            let port = site.port(0).to_string();
            let args = ["-i", "127.0.0.1", "-p", &port, "-b", EXIT];
            Launch {
                args: args
                    .iter()
                    .chain(more)
                    .map(|arg| (*arg).to_owned())
                    .collect(),
                own_names: true,
            }
        });
        Microsocks { server }
    }

    /// The list line without credentials.
    pub(crate) fn url(&self) -> String {
        format!("socks5h://127.0.0.1:{}", self.server.port(0))
    }

    fn line_with(&self, password: &str) -> Line {
        let port = self.server.port(0);
        Line::new(format!("socks5h://{USER}:{password}@127.0.0.1:{port}"))
    }
}

#[test]
fn pages_arrive_whole() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    scenario::pages_arrive_whole(&origin, &Line::new(proxy.url()));
}

#[test]
fn socks5_resolves_the_name_at_the_exit_as_socks5h_does() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    let line = Line::new(proxy.url().replace("socks5h:", "socks5:"));
    scenario::pages_arrive_whole(&origin, &line);
}

#[test]
fn pages_arrive_whole_with_a_password() {
    let (origin, proxy) = (Origin::start(), Microsocks::with_password());
    scenario::pages_arrive_whole(&origin, &proxy.line_with(PASSWORD));
}

#[test]
fn redirects_and_compression_and_http2_work() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    scenario::redirects_and_compression_and_http2(&origin, &Line::new(proxy.url()));
}

#[test]
fn a_wrong_password_stops_only_itself() {
    let (origin, proxy) = (Origin::start(), Microsocks::with_password());
    let [wrong, right] = ["wrong", PASSWORD].map(|password| proxy.line_with(password));
    scenario::a_wrong_password_stops_only_itself(&origin, &wrong, &right);
}

#[test]
fn a_missing_password_stops_only_itself() {
    let (origin, proxy) = (Origin::start(), Microsocks::with_password());
    let missing = Line::new(proxy.url());
    scenario::a_wrong_password_stops_only_itself(&origin, &missing, &proxy.line_with(PASSWORD));
}

#[test]
fn a_target_that_is_down_costs_no_other() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    scenario::a_target_that_is_down_costs_no_other(&origin, &Line::new(proxy.url()), None);
}

#[test]
fn a_dead_target_at_the_head_of_the_list_does_not_end_the_run_of_an_only_proxy() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    let pages = scenario::pages(&origin, 8);
    let urls = [&origin.down(0), pages.as_slice()].concat();
    let line = Line::new(proxy.url());
    let run = line
        .fetch(&origin, &urls)
        .args(["-j", "1", "--retry", "1"])
        .run();
    assert_eq!(run.code, 4, "{run}");
    pages.iter().for_each(|url| run.row(url).assert_page());
}

#[test]
fn another_takes_over_when_it_is_killed() {
    let (origin, mut proxy) = (Origin::start(), Microsocks::open());
    let line = Line::new(proxy.url());
    scenario::another_takes_over_when_it_is_killed(&origin, &mut proxy.server, &line);
}

#[test]
fn a_proxy_listed_under_the_wrong_scheme_yields_nothing() {
    let (origin, proxy) = (Origin::start(), Microsocks::open());
    let line = Line::new(proxy.url().replace("socks5h:", "http:"));
    let run = line.fetch(&origin, &scenario::pages(&origin, 4)).run();
    assert!(matches!(run.code, 5 | 6), "{run}");
    assert!(run.rows.iter().all(|row| !row.is_ok()), "{run}");
    assert!(origin.hits(0).is_empty(), "{run}");
}
