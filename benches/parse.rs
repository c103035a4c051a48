//! How long a proxy list takes to load, by format and size.
//!
//! The lists are made from a counter, so every run reads the same bytes. Each measurement checks the number of proxies it got:
//! a parser that rejects everything is fast. Reading the file is not measured. A debug build reads a tenth of the lines, so
//! that the benches also run as tests.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use proxywheel::proxy::Scheme;
use proxywheel::proxy::list::{Options, ProxyList};

const LINES: u32 = if cfg!(debug_assertions) {
    100_000
} else {
    1_000_000
};

/// Spreads a counter over the 32-bit numbers without repeating one (Knuth's multiplicative hash).
fn scatter(n: u32) -> u32 {
    n.wrapping_mul(2_654_435_761)
}

/// A list of `lines` different addresses.
fn addresses(lines: u32) -> String {
    let mut text = String::new();
    for n in 0..lines {
        let [a, b, c, d] = scatter(n).to_be_bytes();
        let (a, port) = (a % 200 + 10, 1000 + n % 9000);
        let _ = writeln!(text, "{a}.{b}.{c}.{d}:{port}");
    }
    text
}

/// The forms in turn, all with credentials.
fn mixed(lines: u32) -> String {
    let mut text = String::new();
    for n in 0..lines {
        let (user, password) = (format_args!("user-{n}-cc-us"), scatter(n));
        let _ = match n % 5 {
            0 => writeln!(text, "gate.example:7000:{user}:p{password}"),
            1 => writeln!(text, "http://{user}:p{password}@gate.example:7000"),
            2 => writeln!(text, "{user}:p{password}@192.0.2.1:8080"),
            3 => writeln!(text, "{user}:p{password}:192.0.2.1:8080"),
            _ => writeln!(
                text,
                "socks5h://{user}:p%40{password}@gate.example country=us tag=a weight=2 # {n}"
            ),
        };
    }
    text
}

fn csv(lines: u32) -> String {
    let mut text = "proxy_address,port,username,password,country_code\n".to_owned();
    for n in 0..lines {
        let _ = writeln!(text, "gate.example,7000,user-{n},p{n},US");
    }
    text
}

fn json_lines(lines: u32) -> String {
    let mut text = String::new();
    for n in 0..lines {
        let _ = writeln!(
            text,
            r#"{{"host": "gate.example", "port": 7000, "username": "user-{n}", "password": "p{n}", "country": "US"}}"#
        );
    }
    text
}

fn load(c: &mut Criterion) {
    let options = Options {
        default_scheme: Scheme::Http,
        env: &|_| None,
        remote: false,
        presets: None,
        only_working: false,
    };
    let mut group = c.benchmark_group("load");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(10))
        .throughput(Throughput::Elements(u64::from(LINES)));
    for (name, text) in [
        ("addresses", addresses(LINES)),
        ("mixed", mixed(LINES)),
        ("csv", csv(LINES)),
        ("json_lines", json_lines(LINES)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (),
                |()| {
                    let list = ProxyList::read(name, black_box(text.as_bytes()), &options);
                    assert_eq!(list.report.proxies, u64::from(LINES), "{name}");
                    // Returned, so that freeing it is not measured.
                    list
                },
                BatchSize::PerIteration,
            );
        });
    }
    let template = format!(
        "user-{{session}}:pw@gate.example:7000 sessions={}\n",
        LINES / 10
    );
    group.throughput(Throughput::Elements(u64::from(LINES / 10)));
    group.bench_function("template", |bencher| {
        bencher.iter(|| {
            let list = ProxyList::read("template", black_box(template.as_bytes()), &options);
            assert_eq!(list.report.proxies, u64::from(LINES / 10));
            list
        });
    });
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);
