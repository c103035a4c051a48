//! The recipe "SERP check from cron" of the README, word for word but for the name of the engine: its files, its crontab line and its commands, for three days.

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proxywheel::lab::{Fault, Lab, ProxySpec, Script, Shown};
use proxywheel::proxy::Scheme;

use crate::readme::{README, blocks};
use crate::track_cron::{from_cron, from_home};
use crate::track_engine::faketime;

/// What the engine is called in the lab, whose sites are all below `test`.
const ENGINE: &str = "www.bing.test";

/// A page of Bing on which the target stands at this place of all; the page begins with the result `first`.
fn bing(first: u32, place: u32) -> String {
    let results: String = (first..first + 10)
        .map(|at| {
            let host = match at == place {
                true => "www.example.com".to_owned(),
                false => format!("other{at}.test"),
            };
            format!("<li class=\"b_algo\"><h2><a href=\"https://{host}/shoes\">Shoes {at}</a></h2><p>Many of them.</p></li>\n")
        })
        .collect();
    format!(
        "<!doctype html><html><head><title>shoes - Search</title></head><body><ol id=\"b_results\">\n{results}</ol></body></html>"
    )
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

#[test]
fn the_recipe_for_ranks_is_silent_until_a_place_is_lost_and_asks_once_a_day() {
    let section = README.split("### SERP check from cron\n").nth(1);
    let section = section.and_then(|rest| rest.split("\n### ").next());
    let section = section.expect("the recipe");
    let lab = Lab::builder()
        .perfect(6)
        .proxy(ProxySpec::new(Scheme::Http).fault(Fault::Refuse));
    let lab = Lab::spawn_thread(lab).expect("a lab");
    let day = Arc::new(AtomicU32::new(0));
    let today = day.clone();
    lab.set_site(
        ENGINE,
        Script::new(move |asked| {
            let first = asked.parameter("first")?.parse().ok()?;
            let place = match (&*asked.parameter("q")?, today.load(Ordering::SeqCst)) {
                ("running shoes", 0) => 4,
                ("running shoes", _) => 17,
                ("trail shoes", _) => 12,
                _ => return None,
            };
            Some(Shown::html(200, bing(first, place)))
        }),
    );
    let home = tempfile::tempdir().expect("a home");
    let home = home.path();
    let folder = home.join("serp");
    fs::create_dir(&folder).expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    let [job] = &blocks(section, "toml")[..] else {
        panic!("one job");
    };
    write("serp.toml", &job.replace("www.bing.com", ENGINE));
    let [keywords] = &blocks(section, "text")[..] else {
        panic!("one list");
    };
    write("keywords.txt", keywords);
    write("proxies.txt", &lab.proxy_list());
    write("ca.pem", lab.ca_pem());
    let at = |hours: u32, command: &mut Command| {
        day.store(hours / 24, Ordering::SeqCst);
        command.env("PROXYWHEEL_CACERT", folder.join("ca.pem"));
        command.env("LD_PRELOAD", faketime());
        command.env("FAKETIME", format!("+{hours}h"));
        said(&command.output().expect("sh"))
    };
    let requests = || lab.stats().hosts[ENGINE].requests;

    let quiet = (Some(0), String::new());
    assert_eq!(at(0, &mut from_cron(section, home)), quiet);
    let asked = requests();
    assert_eq!(at(1, &mut from_cron(section, home)), quiet);
    assert_eq!(requests(), asked, "once a day");
    let lost = "running shoes · example.com: was at 4, now at 17: out of the top 10\n";
    assert_eq!(
        at(24, &mut from_cron(section, home)),
        (Some(0), lost.to_owned())
    );
    assert_eq!(at(48, &mut from_cron(section, home)), quiet, "told once");

    let [commands] = &blocks(section, "sh")[..] else {
        panic!("one block");
    };
    let (code, said) = at(48, &mut from_home(commands, home));
    assert_eq!(code, Some(0), "{said}");
    let page = fs::read_to_string(home.join("serp.html")).expect("a page");
    assert!(page.contains("running shoes") && page.contains("</html>"));
    let table = fs::read_to_string(folder.join("positions.csv")).expect("a table");
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let names = reader.headers().expect("a header").clone();
    let at = |name| names.iter().position(|each| each == name).expect(name);
    let (name, position) = (at("name"), at("position"));
    let mut places: Vec<(String, String)> = reader
        .records()
        .map(|row| row.expect("whole"))
        .map(|row| (row[name].to_owned(), row[position].to_owned()))
        .collect();
    places.sort();
    let expected = [
        ("running shoes", "17"),
        ("running shoes", "17"),
        ("running shoes", "4"),
        ("trail shoes", "12"),
        ("trail shoes", "12"),
        ("trail shoes", "12"),
    ];
    let expected = expected.map(|(name, place)| (name.to_owned(), place.to_owned()));
    assert_eq!(places, expected);
}
