//! Watched pages: what is told of one that changes, or goes.

use proxywheel::lab::{Asked, Shown};

use crate::track_engine::Scene;

const JOB: &str = r#"
kind = "change"
url = "http://engine.test/search?q=keyword+1&cc=de&page=1"

[extract]
select = ["title=li h3"]

[watch]
field = "title"

[fetch]
proxy-file = ["proxies.txt"]
retry = 0
"#;

/// The page is there on the first day, and then no more.
fn taken_down(_: &Asked, _: u32, day: u32, _: u32) -> Option<Shown> {
    (day > 0).then(|| Shown::html(404, "<title>Not found</title>"))
}

#[test]
fn a_page_that_is_taken_down_is_told_of_once() {
    let scene = Scene::new(4, |_, _, _| Some(1), taken_down);
    let alert = "[[alert]]\nwhen = \"gone\"\n";
    scene.write("page.toml", &format!("{JOB}{alert}"));
    let mut told = Vec::new();
    for day in 0..4 {
        scene.set_day(day);
        let words = "run page.toml --state state.db --progress none";
        let output = scene.track(words, i64::from(day) * 24).output();
        let output = output.expect("runs");
        told.push(String::from_utf8(output.stdout).expect("UTF-8"));
    }
    let text = "page: the page is gone: http_error 404, 2 in a row\n";
    assert_eq!(told, ["", "", text, ""]);
}
