//! The page from top to bottom.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use super::chart::{Shares, drawn};
use super::escape::{escape, json};
use super::figures::{bytes, count, date, length, minute, money, percent, share};
use super::grid::{Grid, Run, Took, Track};
use super::pack;
use super::parts::{keyword, told, value};
use super::spark;
use super::standing::{COMPARED, Step};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Winners and losers that are named, of each target.
const NAMED: usize = 6;
/// Runs in the table of runs, the last ones.
const RUNS: usize = 30;
/// What the columns of changes are called.
const COLUMNS: [&str; COMPARED.len()] = ["Last", "7\u{a0}days", "30\u{a0}days"];

/// The whole page.
pub(super) fn page(grid: &Grid<'_>) -> String {
    let job = escape(&grid.material.job);
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
        <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
        <link rel=\"icon\" href=\"data:,\">\n<title>{job}: report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    );
    header(grid, &job, &mut html);
    html.push_str("<main id=\"main\">\n");
    if grid.targets.is_empty() && grid.values.is_empty() {
        nothing(grid, &mut html);
    } else {
        filter(grid, &mut html);
    }
    let mut first = 0;
    for (at, (name, tracks)) in grid.targets.iter().enumerate() {
        target(grid, at, name, tracks, first, &mut html);
        first += tracks.len();
    }
    values(grid, first, &mut html);
    hosts(grid, &mut html);
    cost(grid, &mut html);
    html.push_str("</main>\n");
    footer(grid, &mut html);
    let data = json(&pack::data(grid));
    html.push_str(&format!(
        "<script type=\"application/json\" id=\"data\">{data}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    ));
    html
}

/// How a policy names what stands in the page itself.
fn hash(text: &str) -> String {
    format!(
        "sha256-{}",
        STANDARD.encode(digest(&SHA256, text.as_bytes()))
    )
}

fn header(grid: &Grid<'_>, job: &str, html: &mut String) {
    let runs = match (grid.runs.first(), grid.runs.last()) {
        (Some(first), Some(last)) => {
            let (from, to) = (date(first.at), date(last.at));
            let count = grid.runs.len();
            let (plural, span) = match count {
                1 => ("run", from),
                _ => ("runs", format!("{from} to {to}")),
            };
            format!("{span}, {count} {plural}")
        }
        _ => "no runs".to_owned(),
    };
    let made = minute(grid.material.now);
    html.push_str(&format!(
        "<header>\n<a class=\"skip\" href=\"#main\">Skip to the tables</a>\n<h1>{job}</h1>\n\
        <p class=\"sub\">{runs}. Made {made}\u{a0}UTC.</p>\n<dl class=\"tiles\">\n"
    ));
    for (what, figure) in tiles(grid) {
        html.push_str(&format!("<div><dt>{what}</dt><dd>{figure}</dd></div>\n"));
    }
    html.push_str("</dl>\n");
    if grid.targets.len() > 1 {
        html.push_str("<nav aria-label=\"Targets\"><ul>");
        for (at, (name, _)) in grid.targets.iter().enumerate() {
            html.push_str(&format!("<li><a href=\"#t{at}\">{}</a></li>", escape(name)));
        }
        html.push_str("</ul></nav>\n");
    }
    html.push_str("</header>\n");
}

/// What is to be known at a glance.
fn tiles(grid: &Grid<'_>) -> Vec<(String, String)> {
    let mut tiles = Vec::new();
    for (name, tracks) in grid.targets.iter().take(3) {
        let now = Shares::of(tracks, grid.runs.len()).now(10);
        let what = format!("{} in the top\u{a0}10", escape(name));
        tiles.push((what, now.map_or_else(|| "not known".into(), share)));
    }
    if let Some(last) = grid.runs.last() {
        let (good, all) = last.queries;
        if all > 0 {
            let of = format!("{good} <small>of {all}</small>");
            tiles.push(("Known in the last run".into(), of));
        }
    }
    let all = total(&grid.runs);
    if let Some(rate) = percent(all.blocked, all.attempts) {
        tiles.push(("Requests blocked".into(), rate));
    }
    let good: u64 = grid.runs.iter().map(|run| run.queries.0).sum();
    if all.cost > 0 && good > 0 {
        let each = money(all.cost as f64 / good as f64);
        tiles.push(("Cost of a good row".into(), each));
    }
    tiles
}

fn total(runs: &[Run]) -> Took {
    let mut all = Took::default();
    for Run { took, .. } in runs {
        all.pages += took.pages;
        all.attempts += took.attempts;
        all.blocked += took.blocked;
        all.bytes += took.bytes;
        all.cost += took.cost;
    }
    all
}

fn nothing(grid: &Grid<'_>, html: &mut String) {
    html.push_str(&format!(
        "<p class=\"empty\">Nothing was observed since {}. A run of the job fills this page; <code>--since</code> goes back further.</p>\n",
        date(grid.material.since)
    ));
}

/// Shown by the script, which it does nothing without.
fn filter(grid: &Grid<'_>, html: &mut String) {
    let what = if grid.targets.is_empty() {
        "pages"
    } else {
        "keywords"
    };
    html.push_str(&format!(
        "<p class=\"filter\" hidden><label for=\"q\">Filter {what}</label> <input id=\"q\" type=\"search\" autocomplete=\"off\" \
        spellcheck=\"false\"> <span id=\"hits\" role=\"status\"></span></p>\n"
    ));
}

fn target(
    grid: &Grid<'_>,
    at: usize,
    name: &str,
    tracks: &[Track<'_>],
    first: usize,
    html: &mut String,
) {
    let name = escape(name);
    html.push_str(&format!(
        "<section aria-labelledby=\"t{at}\">\n<h2 id=\"t{at}\">{name}</h2>\n<div class=\"over\">\n<figure><figcaption>Share of \
        keywords on the first places</figcaption>{}</figure>\n",
        drawn(grid, &Shares::of(tracks, grid.runs.len()))
    ));
    movers(tracks, html);
    let count = tracks.len();
    html.push_str(&format!(
        "</div>\n<table class=\"stack sort\">\n<caption>{count} keywords of {name}. Places count from 1; changes are places gained (+) \
        or lost (−).</caption>\n<thead><tr><th scope=\"col\">Keyword</th><th scope=\"col\" data-no>Course</th><th scope=\"col\" \
        class=\"r\">Now</th><th scope=\"col\" class=\"r\">Best</th>"
    ));
    for column in COLUMNS {
        html.push_str(&format!(
            "<th scope=\"col\" class=\"r\" data-down>{column}</th>"
        ));
    }
    html.push_str("<th scope=\"col\">Address</th></tr></thead>\n<tbody>\n");
    for (at, track) in tracks.iter().enumerate() {
        html.push_str(&keyword(track, first + at));
    }
    html.push_str("</tbody>\n</table>\n</section>\n");
}

/// Winners and losers against the longest time that is not too long: 7 days, else the run before.
fn movers(tracks: &[Track<'_>], html: &mut String) {
    let has_week = tracks.iter().any(|track| track.steps[1] != Step::Untold);
    let (column, since) = if has_week {
        (1, "against 7\u{a0}days before")
    } else {
        (0, "against the last run")
    };
    let mut moved: Vec<(f64, &Track<'_>)> = tracks
        .iter()
        .map(|track| (track.steps[column].worth(), track))
        .collect();
    moved.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let winners = moved.iter().take_while(|(worth, _)| *worth > 0.0);
    let losers = moved.iter().rev().take_while(|(worth, _)| *worth < 0.0);
    html.push_str("<div class=\"movers\">\n");
    for (what, class, none, some) in [
        (
            "Winners",
            "up",
            "No keyword rose",
            winners.collect::<Vec<_>>(),
        ),
        ("Losers", "down", "No keyword fell", losers.collect()),
    ] {
        html.push_str(&format!("<div><h3>{what} <small>{since}</small></h3>\n"));
        if some.is_empty() {
            html.push_str(&format!("<p class=\"none\">{none}.</p>\n"));
        } else {
            html.push_str("<ol>\n");
            for (_, track) in some.iter().take(NAMED) {
                mover(track, track.steps[column], class, html);
            }
            html.push_str("</ol>\n");
        }
        if let Some(more) = some.len().checked_sub(NAMED).filter(|more| *more > 0) {
            html.push_str(&format!("<p class=\"none\">and {more} more</p>\n"));
        }
        html.push_str("</div>\n");
    }
    html.push_str("</div>\n");
}

fn mover(track: &Track<'_>, step: Step, class: &str, html: &mut String) {
    let (name, others) = track.name();
    let from_to = match step {
        Step::Places { gain, to, .. } => format!("{} → {to}", i64::from(to) + gain),
        Step::Entered { at, .. } => format!("at {at}"),
        Step::Left { from, .. } => format!("was {from}"),
        _ => String::new(),
    };
    html.push_str(&format!(
        "<li><span><bdi>{}</bdi> <small>{}</small></span><span class=\"ft\">{from_to}</span><b class=\"{class}\">{}</b></li>\n",
        escape(name),
        escape(&others),
        told(step)
    ));
}

fn values(grid: &Grid<'_>, first: usize, html: &mut String) {
    if grid.values.is_empty() {
        return;
    }
    let count = grid.values.len();
    html.push_str(&format!(
        "<section aria-labelledby=\"values\">\n<h2 id=\"values\">Watched values</h2>\n<table class=\"stack sort vals\">\n<caption>{count} \
        pages, with the value that was read last and how it differs from earlier ones.</caption>\n<thead><tr><th scope=\"col\">Page</th>\
        <th scope=\"col\" data-no>Course</th><th scope=\"col\" class=\"r\">Now</th>"
    ));
    for column in COLUMNS {
        html.push_str(&format!(
            "<th scope=\"col\" class=\"r\" data-down>{column}</th>"
        ));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (at, track) in grid.values.iter().enumerate() {
        html.push_str(&value(track, first + at));
    }
    html.push_str("</tbody>\n</table>\n</section>\n");
}

fn hosts(grid: &Grid<'_>, html: &mut String) {
    html.push_str("<section aria-labelledby=\"hosts\">\n<h2 id=\"hosts\">Hosts</h2>\n");
    if grid.hosts.is_empty() {
        html.push_str(
            "<p class=\"empty\">No requests were counted in this time.</p>\n</section>\n",
        );
        return;
    }
    html.push_str(
        "<div class=\"scroll\" role=\"region\" aria-labelledby=\"hosts\" tabindex=\"0\">\n<table class=\"sort\">\n<caption>Requests that \
        were answered by a ban or a challenge.</caption>\n<thead><tr><th scope=\"col\">Host</th><th scope=\"col\" class=\"r\" \
        data-down>Requests</th><th scope=\"col\" class=\"r\" data-down>Blocked</th><th scope=\"col\" class=\"r\" data-down>Rate</th><th \
        scope=\"col\" data-no>Rate by run</th></tr></thead>\n<tbody>\n",
    );
    for (name, host) in &grid.hosts {
        let Took {
            attempts, blocked, ..
        } = host.took;
        let rate = percent(blocked, attempts).unwrap_or_default();
        let key = blocked as f64 / attempts.max(1) as f64;
        html.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td data-v=\"{attempts}\">{}</td><td data-v=\"{blocked}\">{}</td><td data-v=\"{key:.4}\">{rate}</td><td \
            class=\"c\">{}</td></tr>\n",
            escape(name),
            count(attempts),
            count(blocked),
            spark::shares(&host.rates, "share of blocked requests by run, from 0 to 100 percent"),
        ));
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn cost(grid: &Grid<'_>, html: &mut String) {
    html.push_str("<section aria-labelledby=\"runs\">\n<h2 id=\"runs\">Runs and cost</h2>\n");
    let all = total(&grid.runs);
    if grid.runs.is_empty() {
        html.push_str("<p class=\"empty\">No run began in this time.</p>\n</section>\n");
        return;
    }
    if all.cost == 0 {
        html.push_str(
            "<p class=\"none\">The proxies have no prices, so nothing is known of cost but the bytes.</p>\n",
        );
    }
    let count = grid.runs.len();
    let which = match count {
        ..=RUNS => "Every run in this time".to_owned(),
        _ => format!("The last {RUNS} of {count} runs, and all together"),
    };
    html.push_str(&format!(
        "<div class=\"scroll\" role=\"region\" aria-labelledby=\"runs\" tabindex=\"0\">\n<table>\n<caption>{which}. A good row is a query \
        of which something came to be known.</caption>\n<thead><tr><th scope=\"col\">Began (UTC)</th><th scope=\"col\" \
        class=\"r\">Took</th><th scope=\"col\" class=\"r\">Good rows</th><th scope=\"col\" class=\"r\">Requests</th><th scope=\"col\" \
        class=\"r\">Blocked</th><th scope=\"col\" class=\"r\">Traffic</th><th scope=\"col\" class=\"r\">Cost</th><th scope=\"col\" \
        class=\"r\">A good row</th></tr></thead>\n<tbody>\n"
    ));
    for run in grid.runs.iter().rev().take(RUNS) {
        let took = match (run.complete, run.ended) {
            (Some(true), Some(ended)) => length(ended - run.at),
            (Some(false), _) => "<small>given up</small>".to_owned(),
            _ => "<small>not ended</small>".to_owned(),
        };
        let head = format!("<th scope=\"row\">{}</th><td>{took}</td>", minute(run.at));
        html.push_str(&format!(
            "<tr>{head}{}</tr>\n",
            spent(run.took, run.queries)
        ));
    }
    let queries = grid.runs.iter().fold((0, 0), |(good, all), run| {
        (good + run.queries.0, all + run.queries.1)
    });
    html.push_str(&format!(
        "</tbody>\n<tfoot><tr><th scope=\"row\">All {count} runs</th><td></td>{}</tr></tfoot>\n</table>\n</div>\n</section>\n",
        spent(all, queries)
    ));
}

/// What was spent, as cells.
fn spent(took: Took, (good, all): (u64, u64)) -> String {
    let blocked = percent(took.blocked, took.attempts).unwrap_or_default();
    let (mut cost, mut each) = (String::new(), String::new());
    if took.cost > 0 {
        cost = money(took.cost as f64);
        if good > 0 {
            each = money(took.cost as f64 / good as f64);
        }
    }
    format!(
        "<td>{} <small>of {}</small></td><td>{}</td><td>{blocked}</td><td>{}</td><td>{cost}</td><td>{each}</td>",
        count(good),
        count(all),
        count(took.attempts),
        bytes(took.bytes)
    )
}

fn footer(grid: &Grid<'_>, html: &mut String) {
    html.push_str("<footer>\n<h2>How to read it</h2>\n<ul>\n");
    if !grid.targets.is_empty() {
        html.push_str(
            "<li>In a course the top is place 1, on a scale that gives the first places more room. A mark at the bottom: the target was \
            not within the depth that was looked at.</li>\n<li>A dashed stroke downwards: a page before it could not be read, so it \
            stands there or lower down.</li>\n<li>Shares are of the keywords of which something was known in that run.</li>\n",
        );
    }
    html.push_str(
        "<li>A gap: nothing is known, because a page was blocked or failed. That is never a place and never a loss; what was known \
        before is shown with its date.</li>\n<li>Changes are against the last good observation before, and the last good ones at least \
        7 and 30 days older.</li>\n</ul>\n</footer>\n",
    );
}
