//! Rows in their three forms: JSONL, a JSON array, CSV.
//!
//! | form | begin | first row | next row | end |
//! |---|---|---|---|---|
//! | jsonl | | `{…}⏎` | `{…}⏎` | |
//! | json | `[` | `⏎{…}` | `,⏎{…}` | `⏎]⏎` |
//! | csv | header`⏎` | cells`⏎` | cells`⏎` | |
//!
//! Up to any row boundary the file is whole but for the closing bracket of the array, which is what the journal relies on. CSV
//! rows end in a bare line feed: with quotes only where RFC 4180 wants them, counting quotes then finds the rows again.

use super::fields::{Field, Row};
use super::value::Value;
use super::{Attempts, BodyMode, Format, Settings, object};
use crate::error::Problem;
use crate::text::harmless;

/// The fixed CSV header; body columns, `tag.*` and `field.*` follow.
const CSV_COLUMNS: [&str; 23] = [
    "seq",
    "id",
    "input",
    "final_url",
    "method",
    "outcome",
    "ok",
    "status",
    "attempts",
    "proxies_tried",
    "proxy",
    "ban_rule",
    "error_kind",
    "error_message",
    "content_type",
    "size_body",
    "ttfb_ms",
    "total_ms",
    "started_at",
    "redirect_count",
    "title",
    "body_sha256",
    "body_path",
];

/// Writes rows of one form into a buffer.
pub(super) struct Encoder {
    format: Format,
    attempts: Attempts,
    /// JSON: the fields of a row, if they are not all of them.
    fields: Option<Vec<Field>>,
    /// CSV: the columns of a row.
    columns: Vec<Column>,
    csv_raw: bool,
    /// JSON array: a row has been written, so the next one needs a comma.
    any_row: bool,
    /// What targets say must not move the cursor.
    to_terminal: bool,
    /// Space for a cell that needs quotes.
    cell: Vec<u8>,
}

/// One CSV column.
enum Column {
    Field(Field),
    BanRule,
    ErrorKind,
    ErrorMessage,
    TtfbMs,
    TotalMs,
    RedirectCount,
    Tag(String),
    /// One of the extracted fields.
    Extracted(String),
}

impl Encoder {
    /// The encoder of these settings.
    ///
    /// # Errors
    /// A name in `--fields` that no row has, or that is there twice.
    pub(super) fn new(settings: &Settings) -> Result<Self, Problem> {
        let mut fields = None;
        let mut columns = Vec::new();
        let chosen = settings.fields.as_deref();
        if chosen.is_some_and(<[String]>::is_empty) {
            return Err(Problem::new("the list of fields is empty").at("--fields"));
        }
        for (at, name) in chosen.unwrap_or_default().iter().enumerate() {
            let earlier = &chosen.unwrap_or_default()[..at];
            // JSON readers keep one of two, and which one differs.
            if earlier.iter().any(|other| other.trim() == name.trim()) {
                return Err(
                    Problem::new(format!("field {:?} is named twice", name.trim())).at("--fields"),
                );
            }
        }
        if settings.format == Format::Csv {
            columns = match chosen {
                Some(names) => names
                    .iter()
                    .map(|name| column(name.trim()).ok_or_else(|| unknown(name, Format::Csv)))
                    .collect::<Result<_, _>>()?,
                None => default_columns(settings),
            };
        } else if let Some(names) = chosen {
            let named = |name: &String| {
                Field::from_name(name.trim()).ok_or_else(|| unknown(name, settings.format))
            };
            fields = Some(names.iter().map(named).collect::<Result<_, _>>()?);
        }
        Ok(Encoder {
            format: settings.format,
            attempts: settings.attempts,
            fields,
            columns,
            csv_raw: settings.csv_raw,
            to_terminal: false,
            any_row: false,
            cell: Vec::new(),
        })
    }

    /// An encoder of whole JSONL rows, for `%{json}`.
    pub(super) fn jsonl(attempts: Attempts) -> Self {
        let settings = Settings {
            attempts,
            ..Settings::default()
        };
        match Encoder::new(&settings) {
            Ok(encoder) => encoder,
            Err(_) => unreachable!("no field was named"),
        }
    }

    /// Leaves out of cells what a terminal would obey.
    pub(super) fn for_terminal(&mut self) {
        self.to_terminal = true;
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Goes on below rows that the file has.
    pub(super) fn continue_after_rows(&mut self) {
        self.any_row = true;
    }

    /// What comes before the first row of a new file; the CSV header ends in its line feed.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::Jsonl => {}
            Format::Json => out.push(b'['),
            Format::Csv => {
                let mut cell = Vec::new();
                for (at, column) in self.columns.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    let start = out.len();
                    match column {
                        Column::Tag(name) => {
                            out.extend_from_slice(b"tag.");
                            out.extend_from_slice(name.as_bytes());
                        }
                        Column::Extracted(name) => {
                            out.extend_from_slice(b"field.");
                            out.extend_from_slice(name.as_bytes());
                        }
                        other => out.extend_from_slice(other.name().as_bytes()),
                    }
                    quote(out, start, &mut cell);
                }
                out.push(b'\n');
            }
        }
    }

    /// One row with its separators. One that is there `again` gets the mark that [`super::again`] tells of.
    pub(super) fn row(&mut self, row: &Row<'_>, again: bool, out: &mut Vec<u8>) {
        let mark: &[u8] = if again { b" " } else { b"" };
        match self.format {
            Format::Jsonl => {
                out.extend_from_slice(mark);
                self.object(row, out);
                out.push(b'\n');
            }
            Format::Json => {
                out.extend_from_slice(if self.any_row { b",\n" } else { b"\n" });
                out.extend_from_slice(mark);
                self.object(row, out);
            }
            Format::Csv => self.cells(row, again, out),
        }
        self.any_row = true;
    }

    /// What comes after the last row.
    pub(super) fn end(&self, out: &mut Vec<u8>) {
        if self.format == Format::Json {
            out.extend_from_slice(b"\n]\n");
        }
    }

    /// The row as a JSON object, without separators.
    pub(super) fn object(&self, row: &Row<'_>, out: &mut Vec<u8>) {
        object::write(row, self.fields.as_deref(), self.attempts, out);
    }

    fn cells(&mut self, row: &Row<'_>, again: bool, out: &mut Vec<u8>) {
        let first = out.len();
        for (at, column) in self.columns.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            let start = out.len();
            let value = column.value(row);
            if value.is_text() && !self.csv_raw {
                guard(value, self.attempts, out);
            } else {
                value.write_text(self.attempts, out);
            }
            if self.to_terminal {
                make_harmless(out, start);
            }
            if again && matches!(column, Column::Field(Field::Id)) {
                out.insert(start, b'"');
                out.push(b'"');
            } else {
                quote(out, start, &mut self.cell);
            }
        }
        if out.len() == first {
            // The only cell is empty: without quotes it would be a blank line, which readers skip.
            out.extend_from_slice(b"\"\"");
        }
        out.push(b'\n');
    }
}

/// Spreadsheets run a cell that starts like this as a formula, whoever wrote it: titles and URLs come from strangers.
fn guard(value: Value<'_>, attempts: Attempts, out: &mut Vec<u8>) {
    let start = out.len();
    value.write_text(attempts, out);
    if matches!(
        out.get(start),
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r')
    ) {
        out.insert(start, b'\'');
    }
}

/// Leaves nothing in the cell that starts at `start` that a terminal would obey.
fn make_harmless(out: &mut Vec<u8>, start: usize) {
    let said = String::from_utf8_lossy(&out[start..]);
    let lines: Vec<String> = said
        .split('\n')
        .map(|line| harmless(line).collect())
        .collect();
    out.truncate(start);
    out.extend_from_slice(lines.join("\n").as_bytes());
}

/// Quotes the cell that starts at `start` where RFC 4180 asks for it.
fn quote(out: &mut Vec<u8>, start: usize, cell: &mut Vec<u8>) {
    let needed = out[start..]
        .iter()
        .any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if !needed {
        return;
    }
    cell.clear();
    cell.extend_from_slice(&out[start..]);
    out.truncate(start);
    out.push(b'"');
    for &byte in cell.iter() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

impl Column {
    fn name(&self) -> &str {
        match self {
            Column::Field(field) => field.name(),
            Column::BanRule => "ban_rule",
            Column::ErrorKind => "error_kind",
            Column::ErrorMessage => "error_message",
            Column::TtfbMs => "ttfb_ms",
            Column::TotalMs => "total_ms",
            Column::RedirectCount => "redirect_count",
            Column::Tag(name) | Column::Extracted(name) => name,
        }
    }

    fn value<'a>(&self, row: &'a Row<'_>) -> Value<'a> {
        let record = row.record;
        match self {
            Column::Field(field) => field.value(row).unwrap_or(Value::Null),
            Column::BanRule => Value::text(record.ban.as_ref().map(|ban| &*ban.rule)),
            Column::ErrorKind => Value::text(record.error.as_ref().map(|error| error.kind)),
            Column::ErrorMessage => Value::text(record.error.as_ref().map(|error| &*error.message)),
            Column::TtfbMs => Value::some(record.timing.ttfb, Value::Float),
            Column::TotalMs => Value::some(record.timing.total, Value::Float),
            Column::RedirectCount => Value::Uint(record.redirects.len() as u64),
            Column::Tag(name) => Value::of_json(record.tag.as_deref(), name),
            Column::Extracted(name) => Value::of_json(record.fields.as_ref(), name),
        }
    }
}

/// The column of this name, with or without a place in the fixed header.
fn column(name: &str) -> Option<Column> {
    Some(match name {
        "ban_rule" => Column::BanRule,
        "error_kind" => Column::ErrorKind,
        "error_message" => Column::ErrorMessage,
        "ttfb_ms" => Column::TtfbMs,
        "total_ms" => Column::TotalMs,
        "redirect_count" => Column::RedirectCount,
        _ => match (name.strip_prefix("tag."), name.strip_prefix("field.")) {
            (Some(key), _) => Column::Tag(key.to_owned()),
            (None, Some(key)) => Column::Extracted(key.to_owned()),
            (None, None) => Column::Field(Field::from_name(name)?),
        },
    })
}

fn default_columns(settings: &Settings) -> Vec<Column> {
    let bodies: &[&str] = match settings.body {
        BodyMode::None | BodyMode::File => &[],
        BodyMode::Inline => &["body", "body_b64"],
        BodyMode::Base64 => &["body_b64"],
    };
    let fixed = CSV_COLUMNS.iter().chain(bodies).copied().filter_map(column);
    let tags = settings.tag_columns.iter().cloned().map(Column::Tag);
    let places: &[&str] = if settings.rows { &["row", "rows"] } else { &[] };
    let places = places.iter().copied().filter_map(column);
    let extracted = settings.extract_columns.iter().cloned();
    let extracted = extracted.map(Column::Extracted);
    fixed.chain(tags).chain(places).chain(extracted).collect()
}

fn unknown(name: &str, format: Format) -> Problem {
    let fields: Vec<_> = Field::ALL.into_iter().map(Field::name).collect();
    let known = match format {
        Format::Csv => {
            let extra = CSV_COLUMNS
                .into_iter()
                .filter(|name| Field::from_name(name).is_none());
            let mut known = fields;
            known.extend(extra);
            known.push("tag.NAME");
            known.push("field.NAME");
            known
        }
        Format::Jsonl | Format::Json => fields,
    };
    Problem::new(format!("unknown field {name:?}"))
        .at("--fields")
        .hint(format!("the fields are: {}", known.join(", ")))
}
