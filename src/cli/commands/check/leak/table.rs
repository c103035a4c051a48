//! The rows, their verdicts, and the findings below them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::finding::{Finding, What};
use super::place::{Path, Place};

/// Columns of what may be found, in the order of [`Row::applies`].
const COLUMNS: [&str; 6] = [
    "own_address",
    "names",
    "headers",
    "tampered",
    "cookies",
    "tls",
];

/// Findings of one kind about one proxy that people are shown; one cookie jar for all exits makes hundreds.
const EXAMPLES: usize = 3;

/// What a row asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Applies {
    /// The judge is named, not numbered.
    pub(super) names: bool,
    /// It shows what was added to a request.
    pub(super) headers: bool,
    pub(super) tampered: bool,
    /// There is more than one exit, and cookies came back through some.
    pub(super) cookies: bool,
    /// There is more than one exit, and TLS with the judge.
    pub(super) tls: bool,
}

/// A row: how often something was tried.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) asked: usize,
    pub(super) answered: usize,
    pub(super) applies: Applies,
}

/// The word on a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing gave the user away.
    Clean,
    /// Something did.
    NotClean,
    /// Nobody can say: no request of the kind was answered.
    NoAnswer,
    /// The program does not do that.
    NotUsed,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Word::Clean => "clean",
            Word::NotClean => "not_clean",
            Word::NoAnswer => "no_answer",
            Word::NotUsed => "not_used",
        }
    }
}

impl Row {
    pub(super) fn word(&self, findings: &[Finding]) -> Word {
        if findings.iter().any(|finding| finding.place == self.place) {
            return Word::NotClean;
        }
        match self.place.path {
            Path::Hedge => Word::NotUsed,
            // Here silence is what is wanted.
            Path::NoProxy => Word::Clean,
            _ if self.answered == 0 => Word::NoAnswer,
            _ => Word::Clean,
        }
    }

    /// Whether each of [`COLUMNS`] was found; `None` where it does not apply.
    fn cells(&self, findings: &[Finding]) -> [Option<bool>; COLUMNS.len()] {
        let here = || {
            findings
                .iter()
                .filter(|finding| finding.place == self.place)
        };
        let any = |whats: &[What]| here().any(|finding| whats.contains(&finding.what));
        let Applies {
            names,
            headers,
            tampered,
            cookies,
            tls,
        } = self.applies;
        let cell = |applies: bool, whats: &[What]| {
            let found = any(whats);
            (applies || found).then_some(found)
        };
        [
            cell(
                self.place.path != Path::Hedge,
                &[What::OwnAddress, What::OwnHeader, What::Reached],
            ),
            cell(names, &[What::Name]),
            cell(headers, &[What::Header, What::OwnHeader]),
            cell(tampered, &[What::Tampering]),
            cell(cookies, &[What::Cookie]),
            cell(tls, &[What::Session]),
        ]
    }
}

/// For people.
pub(super) fn text(rows: &[Row], findings: &[Finding]) -> String {
    let line = |words: [&str; 11]| {
        let [
            path,
            target,
            via,
            requests,
            own,
            names,
            headers,
            tampered,
            cookies,
            tls,
            word,
        ] = words;
        let line = format!(
            "{path:<9} {target:<10} {via:<7} {requests:>9}  {own:<12} {names:<6} {headers:<8} {tampered:<9} {cookies:<8} {tls:<4} {word}",
        );
        format!("{}\n", line.trim_end())
    };
    let mut text = line([
        "PATH",
        "TARGET",
        "VIA",
        "REQUESTS",
        "OWN ADDRESS",
        "NAMES",
        "HEADERS",
        "TAMPERED",
        "COOKIES",
        "TLS",
        "VERDICT",
    ]);
    for row in rows {
        let [own, names, headers, tampered, cookies, tls] = row.cells(findings).map(|cell| {
            cell.map_or("-", |found| match found {
                true => "yes",
                false => "no",
            })
        });
        let requests = match row.place.path {
            Path::Hedge => "-".to_owned(),
            _ => format!("{}/{}", row.answered, row.asked),
        };
        text.push_str(&line([
            &row.place.path.as_str().replace('_', " "),
            row.place.target.as_str(),
            row.place.via.as_str(),
            &requests,
            own,
            names,
            headers,
            tampered,
            cookies,
            tls,
            &row.word(findings).as_str().replace('_', " "),
        ]));
    }
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for ((proxy, what, detail), places) in merged(findings) {
        let count = counts.entry((proxy, what)).or_default();
        *count += 1;
        if *count <= EXAMPLES {
            let (what, places) = (what.replace('_', " "), places.join(", "));
            text.push_str(&format!("{proxy}: {what}: {detail} ({places})\n"));
        }
    }
    for ((proxy, what), count) in counts {
        if count > EXAMPLES {
            let (what, more) = (what.replace('_', " "), count - EXAMPLES);
            text.push_str(&format!("{proxy}: {what}: {more} more\n"));
        }
    }
    text
}

/// For programs: one object a line, the rows first.
pub(super) fn jsonl(rows: &[Row], findings: &[Finding]) -> String {
    let mut text = String::new();
    for row in rows {
        let place = row.place;
        let mut fields = Map::new();
        fields.insert("v".into(), 1.into());
        fields.insert("kind".into(), "path".into());
        fields.insert("path".into(), place.path.as_str().into());
        fields.insert("target".into(), place.target.as_str().into());
        fields.insert("via".into(), place.via.as_str().into());
        fields.insert("asked".into(), row.asked.into());
        fields.insert("answered".into(), row.answered.into());
        for (column, cell) in COLUMNS.iter().zip(row.cells(findings)) {
            fields.insert((*column).into(), cell.into());
        }
        fields.insert("verdict".into(), row.word(findings).as_str().into());
        text.push_str(&format!("{}\n", Value::Object(fields)));
    }
    for ((proxy, what, detail), places) in merged(findings) {
        let row = json!({
            "v": 1, "kind": "finding", "proxy": proxy, "what": what, "detail": detail, "places": places,
        });
        text.push_str(&format!("{row}\n"));
    }
    text
}

/// Each finding once, with all places where it was made.
fn merged(findings: &[Finding]) -> BTreeMap<(&str, &'static str, &str), Vec<String>> {
    let mut sorted: Vec<_> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.place);
    let mut merged: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for finding in sorted {
        let key = (&*finding.proxy, finding.what.as_str(), &*finding.detail);
        let places = merged.entry(key).or_default();
        let place = finding.place.to_string();
        if !places.contains(&place) {
            places.push(place);
        }
    }
    merged
}
