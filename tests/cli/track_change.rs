//! Watched pages: what is told of one that changes, or goes.

use proxywheel::lab::{Asked, Shown};

use crate::track_engine::{Obstacle, Scene};

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
fn a_run_that_is_refused_until_its_deadline_tells_of_the_refusals() {
    let refuses: Obstacle = |_, _, _, _| Some(Shown::html(429, "<title>Too many requests</title>"));
    let scene = Scene::new(2, |_, _, _| Some(1), refuses);
    let job = JOB.replace("retry = 0", "retry = 9\nmax-proxies-per-url = 9");
    let more = "[schedule]\ndeadline = \"2s\"\n[[alert]]\nwhen = \"blocked\"\nshare = \"30%\"\n";
    scene.write("page.toml", &format!("{job}{more}"));
    let words = "run page.toml --state state.db --progress none";
    let output = scene.track(words, 0).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.starts_with("http://engine.test: "), "{told}{said}");
    assert!(told.ends_with("requests were blocked (100 %)\n"), "{told}");
    assert!(!said.contains("0 blocked"), "{said}");
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
    let text = "page, http://engine.test/search?q=keyword+1&cc=de&page=1: the page is gone: http_error 404, 2 in a row\n";
    assert_eq!(told, ["", "", text, ""]);
}
