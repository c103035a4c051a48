//! What extraction costs: ten selectors over a page of 100 kB, beside the parse alone.
//!
//! One operation is [`Extractor::extract`] of a decoded body. Method and bias: `benches/README.md`.
//!
//! Under `cargo test` a small version checks the answers and measures nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use proxywheel::extract::{Extractor, Settings};
use scraper::Html;
use serde_json::json;
use url::Url;

/// Size of the page, bytes.
const SIZE: usize = 100_000;
/// Measured turns of each case; the median counts.
const TURNS: usize = 201;
/// Largest cost of ten selectors on top of the parse, as a part of it. Ten parses would be 9.
const MOST_BESIDE_PARSE: f64 = 1.0;

/// The ten.
const SELECT: [&str; 10] = [
    "title=h1::text",
    "brand=meta:og:site_name",
    "price=.price .amount::text|number",
    "currency=.price .currency::text",
    "stock=#stock::text|lower",
    "rating=.rating::attr(data-stars)|number",
    "image=.gallery img::attr(src)|absolute",
    "links=.related a::attr(href)|absolute|all",
    "reviews=.review|count",
    "sku=jsonld:sku",
];

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let page = page(SIZE);
    let url = Url::parse("https://shop.example/item/1").expect("a URL");
    let extractor = |select: &[&str], rows: Option<&str>| {
        let settings = Settings {
            select: select.iter().map(|text| (*text).to_owned()).collect(),
            rows: rows.map(str::to_owned),
            ..Settings::default()
        };
        Extractor::new(&settings).expect("settings")
    };
    let extract = |extractor: &Extractor| {
        extractor.extract(
            Some("text/html; charset=utf-8"),
            page.as_bytes(),
            Some(&url),
        )
    };

    let ten = extractor(&SELECT, None);
    let found = extract(&ten);
    let fields = &found.rows[0];
    assert_eq!(fields["price"], json!(1499.5));
    assert_eq!(fields["image"], json!("https://shop.example/img/1.jpg"));
    assert_eq!(fields["sku"], json!("A-1"));
    assert!(fields.values().all(|value| !value.is_null()), "{fields:?}");
    let by_row = extractor(
        &["who=.who", "text=p", "stars=::attr(data-stars)|number"],
        Some(".review"),
    );
    let rows = extract(&by_row).count.expect("rows");
    assert!(rows > 100, "{rows}");

    let one = extractor(&SELECT[..1], None);
    let pattern = extractor(&[r"price=re:amount>([0-9.,]+)<|number"], None);
    if !full {
        return;
    }
    let by_row_name = format!("three fields of {rows} rows");
    let parse = || drop(black_box(Html::parse_document(&page)));
    let with = |extractor| move || drop(black_box(extract(extractor)));
    let (one, ten, by_row, pattern) = (with(&one), with(&ten), with(&by_row), with(&pattern));
    let cases: [(&str, &dyn Fn()); 5] = [
        ("parse alone", &parse),
        ("one selector", &one),
        ("ten selectors", &ten),
        (&by_row_name, &by_row),
        ("one pattern, no parse", &pattern),
    ];
    let mut costs = cases.map(|_| Vec::with_capacity(TURNS));
    // In turns, so that what else the machine does falls on all of them.
    for _ in 0..TURNS {
        for ((_, call), costs) in cases.iter().zip(&mut costs) {
            let before = cpu_us();
            call();
            costs.push(cpu_us() - before);
        }
    }
    let us = costs.map(|mut costs| {
        costs.sort_unstable();
        costs[TURNS / 2] as f64
    });
    println!(
        "a page of {} bytes, microseconds of CPU, median of {TURNS}",
        page.len()
    );
    for ((name, _), us_of) in cases.iter().zip(us) {
        let beside = (us_of / us[0] - 1.0) * 100.0;
        println!("  {name:<26}  {us_of:>8.0}   {beside:>+6.1} %");
    }
    assert!(
        us[2] / us[0] - 1.0 <= MOST_BESIDE_PARSE,
        "the page is parsed more than once"
    );
}

/// User and system time of this process so far, by the operating system's account: whatever else runs does not count.
fn cpu_us() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the account");
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}

/// An item of a shop with its reviews, `size` bytes of them.
fn page(size: usize) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=en><head><title>Lamp</title><meta property=\"og:site_name\" content=\"Shop\">\n\
         <script type=\"application/ld+json\">{\"@type\":\"Product\",\"sku\":\"A-1\",\"name\":\"Lamp\"}</script></head>\n\
         <body><nav><ul><li><a href=/a>A</a><li><a href=/b>B</a></ul></nav><main><h1>A <b>lamp</b></h1>\n\
         <div class=price><span class=amount>1,499.50</span> <span class=currency>EUR</span></div><p id=stock>In Stock</p>\n\
         <div class=rating data-stars=4.5></div><div class=gallery><img src=/img/1.jpg><img src=/img/2.jpg></div>\n",
    );
    let mut number = 0;
    while page.len() < size - 400 {
        number += 1;
        page.push_str(&format!(
            "<div class=\"review card card--wide\" data-stars=\"{}\" id=\"r{number}\"><div class=\"head\"><img src=\"/u/{number}.png\" alt=\"\"><span class=\"who\">\
             Customer {number}</span> <time datetime=\"2026-01-02\">Jan 2</time></div><p>It is <em>bright</em> enough, and it has come in one piece.</p>\
             <a class=\"more\" href=\"/review/{number}\">More</a></div>\n",
            number % 5 + 1
        ));
    }
    page.push_str("<div class=related><a href=/item/2>Two</a><a href=/item/3>Three</a></div></main></body></html>\n");
    page
}
