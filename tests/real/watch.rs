//! `proxywheel track run` watches a price on a page of nginx: what it costs while nothing changes, and what is told when something does.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::microsocks::Microsocks;
use crate::nginx::Origin;

/// The library that lets a program think it is another time.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("/usr/lib");
    folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|path| path.exists())
        .expect("libfaketime is not installed (Debian package libfaketime)")
}

/// A shop's page with a price in an element of this class.
fn offer(class: &str, price: &str) -> String {
    let lines: String = (0..40)
        .map(|n| format!("<p>line {n} of the offer</p>\n"))
        .collect();
    format!("<!doctype html><title>Shoes</title>\n<b class=\"{class}\">{price}</b>\n{lines}")
}

const BLOCKED: &str = "<html><head><title>Are you a robot?</title></head><body><div class=\"g-recaptcha\" data-sitekey=\"x\"></div>\
    <p>unusual traffic from your computer network</p></body></html>";

/// Two jobs that watch the same page: one tells of a change at once, one when it has stayed for two runs.
struct Watched {
    origin: Origin,
    folder: TempDir,
    _proxy: Microsocks,
    hits: usize,
    /// For the program, so many hours have passed: it waits for a host that has blocked it.
    hours: u32,
}

const JOBS: [&str; 2] = ["once", "twice"];

impl Watched {
    fn new() -> Self {
        let (origin, proxy) = (Origin::start(), Microsocks::open());
        let folder = TempDir::with_prefix("proxywheel-watch-").expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        write("ca.pem", &origin.ca_pem());
        for (runs, name) in (1..).zip(JOBS) {
            let url = origin.https("/shop/shoes");
            let proxy = proxy.url();
            write(
                &format!("{name}.toml"),
                &format!(
                    "kind = \"change\"\nurl = \"{url}\"\n[extract]\nselect = [\"price=.price::text|number\"]\n\
                     [watch]\nfield = \"price\"\nruns = {runs}\n\
                     [fetch]\nproxy = [\"{proxy}\"]\ncacert = \"ca.pem\"\nmax-proxies-per-url = 1\nretry = 0\nno-hedge = true\n\
                     [[alert]]\nwhen = \"changed\"\n[[alert]]\nwhen = \"selector_broken\"\n"
                ),
            );
        }
        Watched {
            origin,
            folder,
            _proxy: proxy,
            hits: 0,
            hours: 0,
        }
    }

    /// Runs both jobs; the exit code, what the page cost each of them in status and bytes of the body, and what each told.
    fn run(&mut self) -> (i32, u16, bool, [String; 2]) {
        let mut codes = Vec::new();
        self.hours += 6;
        let told = JOBS.map(|job| {
            let output = Command::new(env!("CARGO_BIN_EXE_proxywheel"))
                .args([
                    "track",
                    "run",
                    &format!("{job}.toml"),
                    "-q",
                    "--state",
                    &format!("{job}.db"),
                ])
                .current_dir(self.folder.path())
                .env_clear()
                .env("LD_PRELOAD", faketime())
                .env("FAKETIME", format!("+{}h", self.hours))
                .output()
                .expect("the program under test");
            let code = output.status.code().expect("a code");
            let said = String::from_utf8_lossy(&output.stderr);
            // Cron mails one line of a run in which everything failed.
            let end = match code {
                5 => "; exit 5 all_failed\n",
                8 => "; exit 8 blocked\n",
                _ => "",
            };
            let lines = usize::from(!end.is_empty());
            assert!(
                said.lines().count() == lines && said.ends_with(end),
                "{job}: {said}"
            );
            codes.push(code);
            String::from_utf8(output.stdout).expect("UTF-8")
        });
        assert_eq!(codes[0], codes[1], "{told:?}");
        let hits = self.origin.hits(self.hits + JOBS.len());
        let new = &hits[self.hits..];
        assert_eq!(new.len(), JOBS.len(), "one request each: {new:?}");
        assert_eq!(new[0].status, new[1].status, "{new:?}");
        self.hits = hits.len();
        let is_empty = new.iter().all(|hit| hit.sent == 0);
        (codes[0], new[0].status, is_empty, told)
    }

    /// As if somebody had just written something into the job files.
    fn edit_jobs(&self) {
        for job in JOBS {
            let path = self.folder.path().join(format!("{job}.toml"));
            let file = File::options().append(true).open(path).expect("a job");
            let now = SystemTime::now() + Duration::from_secs(3600 * u64::from(self.hours) + 60);
            file.set_modified(now).expect("a time");
        }
    }

    fn show(&self, text: &str) {
        self.origin.publish("/shop/shoes", text);
    }

    /// One more run of both, and what has to come of it.
    fn expect(&mut self, code: i32, status: u16, told: [&str; 2]) {
        let url = self.origin.https("/shop/shoes");
        let told = told.map(|text| text.replacen(": ", &format!(", {url}: "), 1));
        let expected = (code, status, status == 304, told);
        assert_eq!(self.run(), expected);
    }
}

#[test]
fn a_price_that_stays_costs_a_304_and_one_that_changes_is_told_of_once() {
    let mut page = Watched::new();
    page.show(&offer("price", "12.90"));
    page.expect(0, 200, ["", ""]);
    page.expect(0, 304, ["", ""]);
    page.expect(0, 304, ["", ""]);

    // Who is blocked knows nothing new, and reads the page as a whole again when he is not.
    page.show(BLOCKED);
    page.expect(8, 200, ["", ""]);
    page.show(&offer("price", "12.90"));
    page.expect(0, 200, ["", ""]);
    page.expect(0, 304, ["", ""]);

    page.show(&offer("price", "9.90"));
    page.expect(0, 200, ["once: 12.9 -> 9.9\n", ""]);
    page.expect(0, 304, ["", "twice: 12.9 -> 9.9\n"]);
    page.expect(0, 304, ["", ""]);

    // A price that is back before it counted was none for who waits.
    page.show(&offer("price", "11.50"));
    page.expect(0, 200, ["once: 9.9 -> 11.5\n", ""]);
    page.show(&offer("price", "9.90"));
    page.expect(0, 200, ["once: 11.5 -> 9.9\n", ""]);
    page.expect(0, 304, ["", ""]);

    let broken = JOBS
        .map(|job| format!("{job}: the selector finds nothing any more, 2 good pages in a row\n"));
    page.show(&offer("cost", "9.90"));
    page.expect(5, 200, ["", ""]);
    page.show(BLOCKED);
    page.expect(8, 200, ["", ""]);
    page.show(&offer("cost", "9.90"));
    page.expect(5, 200, [&broken[0], &broken[1]]);
    page.expect(5, 200, ["", ""]);
    page.show(&offer("price", "9.90"));
    page.expect(0, 200, ["", ""]);
    page.expect(0, 304, ["", ""]);

    // Another selector finds nothing new on a page that is not sent.
    page.edit_jobs();
    page.expect(0, 200, ["", ""]);
    page.expect(0, 304, ["", ""]);
}
