//! Where exits are, by files made here in MaxMind's form.

use std::fs;

use insta::assert_snapshot;
use proxywheel::lab::{Fault, Lab, ProxySpec};
use proxywheel::proxy::Scheme;
use serde_json::{Value, json};

use crate::check::{Scene, rows, steady};
use crate::mmdb::{asn, country, mmdb};
use crate::shown;

/// Four proxies: in Germany, in France, somewhere, dead.
fn scene() -> Scene {
    let http = || ProxySpec::new(Scheme::Http);
    let lab = Lab::builder()
        .proxies(3, http())
        .proxy(http().fault(Fault::Refuse));
    let scene = Scene::new(lab);
    let countries = [
        ("127.1.0.1/32", country("DE")),
        ("127.1.0.2/32", country("FR")),
        ("127.9.0.0/16", country("US")),
    ];
    let networks = [(
        "127.1.0.0/24",
        asn(64500, "A Carrier with a Name of Some Length"),
    )];
    let written = |name, bytes| fs::write(scene.path(name), bytes).expect("written");
    written("countries.mmdb", mmdb("GeoLite2-Country", &countries));
    written("networks.mmdb", mmdb("GeoLite2-ASN", &networks));
    scene
}

const BOTH: [&str; 4] = ["--geoip", "countries.mmdb", "--geoip", "networks.mmdb"];

#[test]
fn rows_tell_country_and_network_of_each_exit() {
    let scene = scene();
    let output = scene.check(&[&BOTH[..], &["--sort", "list"]].concat());
    let rows = rows(&output.stdout);
    let countries: Vec<_> = rows.iter().map(|row| row["countries"].clone()).collect();
    assert_eq!(
        countries,
        [json!(["de"]), json!(["fr"]), json!([null]), json!([])]
    );
    let carrier =
        json!([{"number": 64500, "organisation": "A Carrier with a Name of Some Length"}]);
    assert_eq!(rows[2]["asns"], carrier);
    let without = scene.check(&["--sort", "list", "--limit", "1", "-q"]);
    let row: Value = serde_json::from_slice(&without.stdout).expect("a row");
    assert_eq!(
        (&row["countries"], &row["asns"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn the_table_has_a_column_and_the_summary_a_line() {
    let output = scene().check(&[&BOTH[..], &["--format", "table", "--sort", "list"]].concat());
    assert_snapshot!(steady(&shown(&output)));
}

#[test]
fn a_filter_takes_exits_of_known_country_and_the_list_says_it() {
    let scene = scene();
    let list = |words: &[&str]| {
        let output = scene.check(
            &[
                &BOTH[..],
                &["--format", "txt", "--sort", "list", "-q"],
                words,
            ]
            .concat(),
        );
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let lines = text.lines().map(|line| {
            line.split_once(' ')
                .map_or("", |(_, labels)| labels)
                .to_owned()
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), ["country=de", "country=fr", ""]);
    assert_eq!(list(&["--country", "DE,Italy"]), ["country=de"]);
    // What the list says of a country stays.
    let labelled = fs::read_to_string(scene.path("list.txt")).expect("a list");
    let labelled: String = labelled
        .lines()
        .map(|line| format!("{line} country=at\n"))
        .collect();
    fs::write(scene.path("list.txt"), labelled).expect("written");
    assert_eq!(list(&["--country", "de,fr"]), ["country=at", "country=at"]);
}

#[test]
fn bad_files_and_countries_are_told_before_anything_is_checked() {
    let scene = scene();
    fs::write(scene.path("page.mmdb"), "<!DOCTYPE html>").expect("written");
    let run = |words: &[&str]| {
        let text = shown(&scene.check(words));
        assert_eq!(scene.asked(), 0, "somebody was asked");
        text
    };
    assert_snapshot!(run(&["--geoip", "page.mmdb"]));
    assert_snapshot!(run(&["--geoip", "nowhere.mmdb"]));
    assert_snapshot!(run(&["--country", "de"]));
    assert_snapshot!(run(&["--geoip", "countries.mmdb", "--country", "de,xx"]));
}
