use std::fs;
use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::job::RequestSpec;

const RANK: &str = r#"kind = "rank"
url = "https://search.test/?q={query}&p={page}&cc={cc}"
[matrix]
query = ["a b", "c"]
country = ["us", "de"]
[pages]
most = 3
[vary.country.de]
vars = { cc = "DE" }
headers = { Accept-Language = "de" }
cookies = { region = "de" }
exit_country = "DE"
exit_tags = ["resi"]
[vary.country.us]
vars = { cc = "US" }
[extract]
rows = ".result"
select = ["link=a::attr(href)|absolute"]
[[target]]
host = "WWW.Example.com"
path = "/shop/"
"#;

fn parse(text: &str) -> Result<TrackJob, Problem> {
    let env = |name: &str| (name == "KEY").then(|| "s3cret".to_owned());
    TrackJob::parse(Path::new("jobs/serp.toml"), text, &env)
}

fn complaint(text: &str) -> String {
    let problem = parse(text).expect_err(text);
    format!(
        "{problem} | {}",
        problem.hint.as_deref().unwrap_or_default()
    )
}

#[test]
fn a_job_is_its_queries_in_the_order_of_its_axes() {
    let job = parse(RANK).expect("a job");
    assert_eq!(&*job.name, "serp");
    assert_eq!(&*job.targets()[0].name, "example.com/shop/");
    let mut base = RequestSpec::default();
    base.headers
        .insert("accept-language", "en".parse().unwrap());
    base.headers.insert("cookie", "a=b".parse().unwrap());
    let queries = job.expand(&base);
    let shown: Vec<String> = queries
        .iter()
        .map(|query| query.series.to_string())
        .collect();
    assert_eq!(shown, ["a b · us", "a b · de", "c · us", "c · de"]);
    let (url, request) = queries[1].page(2);
    assert_eq!(url.as_str(), "https://search.test/?q=a%20b&p=3&cc=DE");
    assert_eq!(request.headers["accept-language"], "de");
    assert_eq!(request.headers["cookie"], "a=b; region=de");
    let filter = queries[1].filter.as_deref().expect("a filter");
    assert_eq!(filter.country.as_deref(), Some("de"));
    assert_eq!(filter.tags, [Box::from("resi")]);
    assert_eq!(queries[0].filter, None);
    assert_eq!(queries[0].page(0).1.headers["accept-language"], "en");
    // Pages of a query share an exit, queries do not.
    assert_ne!(queries[0].session, queries[1].session);
    assert!(queries[0].session.as_deref().unwrap().starts_with("serp/"));
    let plan = job.plan();
    assert_eq!(
        (plan.places, plan.series, plan.least, plan.most),
        (4, 4, 4, 12)
    );
}

#[test]
fn what_is_not_written_has_its_default() {
    let job = parse("kind = \"change\"\nurl = \"https://shop.test/\"").expect("a job");
    assert!(job.matrix.is_empty() && job.extract.extractor.is_none());
    assert_eq!(job.schedule.resume_within, Duration::from_secs(43_200));
    let queries = job.expand(&RequestSpec::default());
    assert_eq!(queries.len(), 1);
    assert_eq!((queries[0].most, queries[0].session.as_deref()), (1, None));
    let Kind::Change(watch) = &job.kind else {
        panic!("not a change job")
    };
    assert_eq!(watch.runs, NonZeroU32::MIN);
}

#[test]
fn rows_of_ones_own_can_say_that_there_are_none_as_those_of_a_profile_do() {
    let more = "rows = \".result\"\nno_results = \"p.none\"\ncontainer = \"#hits\"";
    let job = parse(&RANK.replace("rows = \".result\"", more)).expect("a job");
    let extractor = job.extract.extractor.expect("an extractor");
    assert_eq!(extractor.container(), Some("#hits"));
    let state = |body: &[u8]| extractor.state(&extractor.extract(Some("text/html"), body, None));
    let page = b"<div id=hits><p class=none>Nothing found</p></div>";
    assert_eq!(state(page), Some(crate::extract::State::NoResults));
    let wall = b"<p class=none>Accept our cookies</p>";
    assert_eq!(state(wall), Some(crate::extract::State::Unknown));
}

#[test]
fn values_come_from_a_file_beside_the_job() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("k.txt"),
        "\u{feff}# words\r\nshoes\r\n\r\n red shoes \nshoes\n",
    )
    .expect("written");
    let path = folder.path().join("job.toml");
    let text = RANK.replace("[\"a b\", \"c\"]", "{ file = \"k.txt\" }");
    fs::write(&path, text).expect("written");
    let job = TrackJob::read(&path, &|_| None).expect("a job");
    assert_eq!(
        job.matrix[0].values,
        [Box::from("shoes"), Box::from("red shoes")]
    );
}

#[test]
fn secrets_come_from_variables_and_are_shown_nowhere() {
    let alert = "[[alert]]\nwhen = \"leaves_top\"\ntop = 10\nwebhook = \"https://h.test/${KEY}\"\nsecret = \"${KEY}\"\n";
    let job = parse(&format!("{RANK}{alert}")).expect("a job");
    let webhook = job.alerts[0].webhook.as_ref().expect("a webhook");
    assert_eq!(webhook.url.expose(), "https://h.test/s3cret");
    assert!(!format!("{:?}", job.alerts).contains("s3cret"));
    let missing = complaint(&format!(
        "{RANK}{}",
        alert.replace("\"${KEY}\"", "\"${LOST}\"")
    ));
    assert!(
        missing.contains("serp.toml:26:10: the environment variable LOST"),
        "{missing}"
    );
    let wrong = complaint(&format!(
        "{RANK}{}",
        alert.replace("https://h.test", "h.test")
    ));
    assert!(!wrong.contains("s3cret"), "{wrong}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file() {
    let text = RANK
        .replace("most = 3", "most = 0")
        .replace("exit_tags", "exit_tag")
        .replace("[[target]]\n", "[[target]]\nmax_requests = 5\n");
    let all = complaint(&text);
    let lines: Vec<&str> = all.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "jobs/serp.toml: 3 things are wrong in the job file:",
            "jobs/serp.toml:7:8: most is out of range",
            "hint: write 1 to 1000",
            "jobs/serp.toml:13:1: unknown key \"exit_tag\" in [vary.AXIS.VALUE]",
            "hint: did you mean exit_tags ?",
            "jobs/serp.toml:20:1: unknown key \"max_requests\" in [[target]]",
            "hint: it belongs into [schedule] |",
        ]
    );
}

#[test]
fn each_mistake_has_its_line_and_what_would_mend_it() {
    let with = |from: &str, to: &str| {
        assert!(RANK.contains(from), "{from}");
        RANK.replace(from, to)
    };
    let mut wrong = Vec::new();
    let change = "kind = \"change\"\nurl = \"https://shop.test/\"\n";
    for (text, place, what, hint) in [
        (
            with("{page}", "{pgae}"),
            "2:7",
            "unknown placeholder {pgae}",
            "{page}",
        ),
        (
            with("q={query}&p={page}", "q=x&p={page}"),
            "2:7",
            "query make no difference",
            "{query}",
        ),
        (
            with("&p={page}", ""),
            "2:7",
            "the same for every page",
            "{page}",
        ),
        (
            with("https://search", "search"),
            "2:7",
            "cannot be fetched",
            "https://",
        ),
        (
            with("vars = { cc = \"US\" }", ""),
            "2:7",
            "{cc} has no value where country is \"us\"",
            "vary.country.us",
        ),
        (
            with("[\"a b\", \"c\"]", "[]"),
            "4:9",
            "query has no values",
            "leave the axis out",
        ),
        (
            with("[\"a b\", \"c\"]", "{ file = \"none.txt\" }"),
            "4:18",
            "jobs/none.txt",
            "folder of the job",
        ),
        (
            with(
                "[vary.country.us]",
                "[vary.country.uk]\nvars = { cc = \"UK\" }\n[vary.country.us]",
            ),
            "14:15",
            "\"uk\" is no value",
            "\"us\"",
        ),
        (
            with("[vary.country.us]", "[vary.contry.us]\n[vary.country.us]"),
            "14:7",
            "no axis",
            "did you mean country",
        ),
        (
            with("\"DE\"\nexit_tags", "\"germany\"\nexit_tags"),
            "12:16",
            "\"germany\" is not a country",
            "two letters",
        ),
        (
            with(
                "rows = \".result\"\n",
                "rows = \".result\"\nno_results = \"p[\"\n",
            ),
            "18:14",
            "this is no CSS selector",
            "style sheet",
        ),
        (
            with("rows = \".result\"\n", ""),
            "16:2",
            "needs rows",
            ".result",
        ),
        (with(".result", ".result["), "17:8", "column", ""),
        (
            with("|absolute\"]", "|absolute\", \"x=a::txt\"]"),
            "18:42",
            "column",
            "",
        ),
        (with("link=a", "lnk=a"), "16:2", "link", "lnk"),
        (
            with("WWW.Example.com", "https://example.com/shop"),
            "20:8",
            "scheme",
            "path = \"/shop\"",
        ),
        (
            with("WWW.Example.com", "example.com:443"),
            "20:8",
            "port",
            "host = \"example.com\"",
        ),
        (
            with("WWW.Example.com", "*.example.com"),
            "20:8",
            "*",
            "subdomains = true",
        ),
        (
            with("WWW.Example.com", "example"),
            "20:8",
            "without a dot",
            "example.com",
        ),
        (
            with("\"/shop/\"", "\"shop/\""),
            "21:8",
            "begins with /",
            "\"/shop/\"",
        ),
        (
            with("\"/shop/\"", "\"/shop?a=b\""),
            "21:8",
            "before ?",
            "\"/shop\"",
        ),
        (
            with("[[target]]", "[target]"),
            "19:1",
            "list of tables",
            "[[target]]",
        ),
        (
            format!("{RANK}[[alert]]\nwhen = \"moved\"\n"),
            "22:1",
            "by is missing",
            "by = 3",
        ),
        (
            format!("{RANK}[[alert]]\nwhen = \"moved\"\nby = 2\ntop = 3"),
            "25:7",
            "does not take top",
            "enters_top",
        ),
        (
            format!("{RANK}[[alert]]\nwhen = \"lost\"\ntargets = [\"exmple.com/shop/\"]"),
            "24:12",
            "no target",
            "\"example.com/shop/\"",
        ),
        (
            format!("{RANK}[[alert]]\nwhen = \"lost\"\nmatch = {{ land = \"de\" }}"),
            "24:11",
            "no axis",
            "country",
        ),
        (
            format!("{RANK}[[alert]]\nwhen = \"lost\"\nmatch = {{ country = \"du\" }}"),
            "24:21",
            "\"du\" is no value",
            "\"de\"",
        ),
        (
            format!("{RANK}[[alert]]\nwhen = \"changed\""),
            "23:8",
            "about a value",
            "moved",
        ),
        (
            format!("{RANK}[[alert]]\nwhen = \"lost\"\ncommand = \"mail me\""),
            "24:11",
            "\"mail me\"",
            "sh",
        ),
        (format!("{RANK}[watch]"), "22:2", "no [watch]", "change"),
        (
            format!("{RANK}[schedule]\nmin_age = \"20 hours\""),
            "23:11",
            "20 hours",
            "5m",
        ),
        (
            format!("{RANK}[output]\nobservations = \"out.txt\""),
            "23:16",
            "in which form",
            ".csv",
        ),
        (
            format!("{RANK}[hooks]\non_start = \"true\""),
            "23:12",
            "http",
            "list",
        ),
        (
            format!("{change}[[target]]\nhost = \"a.test\""),
            "3:3",
            "no targets",
            "rank",
        ),
        (
            format!("{change}[watch]\nfield = \"price\""),
            "4:9",
            "price",
            "[extract]",
        ),
        (
            format!("{change}[watch]\nthreshold = \"5%\""),
            "4:13",
            "number",
            "field",
        ),
        (
            format!("{change}[watch]\nignore = ['(']"),
            "4:11",
            "regular expression",
            "quotes",
        ),
        (
            format!("{change}[[alert]]\nwhen = \"below\"\nvalue = 3"),
            "4:8",
            "number",
            "field",
        ),
        (
            format!("{change}[pages]\nmost = 2"),
            "4:8",
            "one page",
            "axis",
        ),
        (
            change.replace("kind = \"change\"", ""),
            "1:1",
            "kind is missing",
            "rank",
        ),
        ("kind = ".to_owned(), "1:8", "not valid TOML", ""),
    ] {
        let all = complaint(&text);
        let place = format!("jobs/serp.toml:{place}: ");
        let rest = all.split_once(&place).map(|(_, rest)| rest);
        if rest.is_none_or(|rest| !rest.contains(what) || !rest.contains(hint)) {
            wrong.push(format!("{place}{what} | {hint}\nis not in {all}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

const PAGE: &str = include_str!("../../../docs/track.md");

#[test]
fn the_documented_file_is_a_job_and_has_the_documented_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let keywords: String = (0..50).map(|n| format!("shoes {n}\n")).collect();
    fs::write(folder.path().join("keywords.txt"), keywords).expect("written");
    let text = PAGE
        .split("```toml")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let path = folder.path().join("serp.toml");
    let env = |name: &str| (name == "HOOK_SECRET").then(String::new);
    let job = TrackJob::parse(&path, text.expect("an example"), &env).expect("a job");
    let plan = job.plan();
    assert_eq!((plan.series, plan.most), (400, 600));
    assert!(PAGE.contains("= 400 series, at most 600 requests"));
}

#[test]
fn every_key_is_documented() {
    let keys = keys::KEYS.iter().flat_map(|(_, keys)| *keys);
    let missing: Vec<_> = keys
        .filter(|key| {
            let forms = [
                format!("`{key}`"),
                format!(".{key}`"),
                format!("[{key}]"),
                format!("[{key}."),
                format!("`{key},"),
            ];
            !forms.iter().any(|form| PAGE.contains(form.as_str()))
        })
        .collect();
    assert!(missing.is_empty(), "docs/track.md lacks {missing:?}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(cut in 0_usize..600, with in "[\\[\\]{}\"'=,.\n a-z$0-9#]{0,12}") {
        let cut = cut.min(RANK.len());
        let _ = parse(&format!("{}{with}{}", &RANK[..cut], &RANK[cut..]));
    }
}
