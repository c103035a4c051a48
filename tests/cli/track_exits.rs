//! Through which exits the pages of a query are asked for.

use std::collections::BTreeMap;

use crate::track_engine::{ENGINE, Scene};

const JOB: &str = r#"
kind = "rank"
url = "http://engine.test/search?q={query}&cc={country}&page={page}"

[matrix]
query = { file = "keywords.txt" }
country = ["de", "us"]

[vary.country.de]
exit_country = "DE"
[vary.country.us]
exit_country = "US"

[pages]
most = 3
depth = "stop"

[extract]
profile = "engine.toml"

[[target]]
name = "me"
host = "me.test"

[fetch]
proxy-file = ["proxies.txt"]
"#;

#[test]
fn the_pages_of_a_query_come_through_one_exit_in_its_country() {
    let scene = Scene::new(8, |_, _, _| None, |_, _, _, _| None);
    let proxies = scene.read("proxies.txt");
    let countries = ["de", "us"].iter().cycle();
    let labelled = proxies.lines().zip(countries);
    let labelled: Vec<_> = labelled
        .map(|(proxy, country)| format!("{proxy} country={country}"))
        .collect();
    scene.write("proxies.txt", &labelled.join("\n"));
    // Many, because without a session the same exit may be chosen again by chance.
    let keywords: Vec<String> = (0..16).map(|n| format!("keyword {n}")).collect();
    scene.write("keywords.txt", &keywords.join("\n"));
    scene.write("serp.toml", JOB);
    let mut track = scene.track("run serp.toml --state state.db --progress none", 0);
    let output = track.output().expect("the program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut exits: BTreeMap<String, Vec<Option<u32>>> = BTreeMap::new();
    for hit in scene.lab.hits().iter().filter(|hit| hit.host == ENGINE) {
        let (query, _page) = hit.path.rsplit_once('&').expect("a page");
        exits.entry(query.to_owned()).or_default().push(hit.proxy);
    }
    assert_eq!(exits.len(), 32, "{exits:?}");
    for (query, exits) in &exits {
        let country = u32::from(query.contains("cc=us"));
        let [first, others @ ..] = &exits[..] else {
            panic!("{query}: no page");
        };
        assert_eq!(others, [*first; 2], "{query}");
        assert_eq!(first.map(|proxy| proxy % 2), Some(country), "{query}");
    }
}
