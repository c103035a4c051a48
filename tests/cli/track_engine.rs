//! A search engine in a lab, whose results move by script, and a job that watches it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use proxywheel::lab::{Asked, Builder, Lab, Script, Shown};
use tempfile::TempDir;

use crate::proxywheel;

/// Host of the engine.
pub(crate) const ENGINE: &str = "engine.test";
/// Whose places are watched.
pub(crate) const TARGET: &str = "me.test";
/// Results on a page.
const PAGE: u32 = 10;

/// What the engine knows: the place of the target for a query, a country and a day; `None` for nowhere.
pub(crate) type Truth = fn(query: u32, country: &str, day: u32) -> Option<u32>;

/// What stands in the way of a request, if anything does; the same page was asked for so often before on that day.
pub(crate) type Obstacle = fn(asked: &Asked, query: u32, day: u32, before: u32) -> Option<Shown>;

/// The engine, the proxies and a folder with the job.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) folder: TempDir,
    day: Arc<AtomicU32>,
}

/// How the pages of the engine are read.
const PROFILE: &str = r##"kind = "serp"
container = "#results"
rows = "#results > li"
no_results = "#results > p.none"
required = ["link", "title"]

[fields]
link = "a::attr(href)|absolute"
title = "h3::text"
"##;

impl Scene {
    pub(crate) fn new(proxies: u32, truth: Truth, obstacle: Obstacle) -> Self {
        Scene::of(
            Lab::builder().perfect(proxies).record_hits(1000),
            truth,
            obstacle,
        )
    }

    /// With a lab of one's own.
    pub(crate) fn of(builder: Builder, truth: Truth, obstacle: Obstacle) -> Self {
        let lab = Lab::spawn_thread(builder).expect("a lab");
        let day = Arc::new(AtomicU32::new(0));
        let today = day.clone();
        let asked_before: Mutex<HashMap<(String, u32), u32>> = Mutex::default();
        lab.set_site(
            ENGINE,
            Script::new(move |asked| {
                let day = today.load(Ordering::SeqCst);
                let query = asked.parameter("q")?;
                let number = query.rsplit_once(' ')?.1.parse().ok()?;
                let before = {
                    let mut pages = asked_before.lock().expect("no panic");
                    let before = pages.entry((asked.path.clone(), day)).or_default();
                    *before += 1;
                    *before - 1
                };
                if let Some(shown) = obstacle(asked, number, day, before) {
                    return Some(shown);
                }
                let country = asked.parameter("cc")?;
                let page = asked.parameter("page")?.parse().ok()?;
                Some(Shown::html(
                    200,
                    results(&query, page, truth(number, &country, day), day),
                ))
            }),
        );
        let folder = tempfile::tempdir().expect("a folder");
        let scene = Scene { lab, folder, day };
        scene.write("proxies.txt", &scene.lab.proxy_list());
        scene.write("engine.toml", PROFILE);
        scene
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Requests that the engine has seen.
    pub(crate) fn requests(&self) -> u64 {
        let hosts = self.lab.stats().hosts;
        hosts.get(ENGINE).map_or(0, |host| host.requests)
    }

    /// From now on it is this day for the engine.
    pub(crate) fn set_day(&self, day: u32) {
        self.day.store(day, Ordering::SeqCst);
    }

    /// `proxywheel track` with these words, for which it is so many hours later than for us.
    pub(crate) fn track(&self, words: &str, hours: i64) -> Command {
        let mut command = proxywheel();
        command.current_dir(self.folder.path());
        command.arg("track").args(words.split_whitespace());
        command.env("LD_PRELOAD", faketime());
        command.env("FAKETIME", format!("{hours:+}h"));
        command
    }
}

/// The library that lets a program think it is another time.
pub(crate) fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("/usr/lib");
    folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|path| path.exists())
        .expect("libfaketime is not installed (Debian package libfaketime)")
}

/// A page of results, with the target at its place.
fn results(query: &str, page: u32, place: Option<u32>, day: u32) -> String {
    let first = (page - 1) * PAGE + 1;
    let items: String = (first..first + PAGE)
        .map(|at| {
            let (host, path) = match place == Some(at) {
                true => (TARGET.to_owned(), "page".to_owned()),
                // Others come and go.
                false => (
                    format!("other{at}.test"),
                    format!("{}/{day}", query.replace(' ', "-")),
                ),
            };
            format!("<li><a href=\"https://www.{host}/{path}\"><h3>{query} at {at}</h3></a></li>\n")
        })
        .collect();
    format!(
        "<!doctype html>\n<html><head><title>{query} - Engine</title></head><body>\n<form action=/search><input name=q></form>\n<ol id=results>\n{items}</ol>\n<p>{}</p></body></html>\n",
        "Engine finds what you are looking for. ".repeat(40)
    )
}
