//! The `-w` format: one line of the user's own making per record.
//!
//! Names and meanings are curl's wherever curl has one, so that scripts can be kept: times are seconds and add up from the
//! start of the last attempt (`time_connect` ≤ `time_appconnect` ≤ `time_starttransfer`), a missing status is `000`, and
//! `exitcode` is what curl would have exited with. `time_total` is the whole job, waiting and retries included. `time_queue` and
//! `time_wait` are ours, as are `%{outcome}`, `%{proxy}`, `%{attempts}`, `%{tag.NAME}`, `%{field.NAME}` and every other field of the record.

use std::io::Write;

use super::Attempts;
use super::encode::Encoder;
use super::fields::{Field, Row};
use super::value::Value;
use crate::error::Problem;
use crate::outcome::{Outcome, Record};
use crate::text::harmless;

/// A parsed format.
#[derive(Debug, PartialEq)]
pub(super) struct WriteOut {
    parts: Vec<Part>,
    /// What targets say must not move the cursor.
    to_terminal: bool,
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(Vec<u8>),
    Variable(Variable),
    Field(Field),
    Tag(String),
    /// One of the extracted fields.
    Extracted(String),
}

/// The variables that are not simply fields of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    HttpCode,
    HttpConnect,
    UrlEffective,
    NumRedirects,
    NumRetries,
    SizeDownload,
    ErrorMessage,
    ExitCode,
    UrlNumber,
    Json,
    BanRule,
    TimeQueue,
    TimeWait,
    TimeConnect,
    TimeAppConnect,
    TimeStartTransfer,
    TimeTotal,
}

/// Their names.
const VARIABLES: [(&str, Variable); 18] = [
    ("ban_rule", Variable::BanRule),
    ("errormsg", Variable::ErrorMessage),
    ("exitcode", Variable::ExitCode),
    ("http_code", Variable::HttpCode),
    ("http_connect", Variable::HttpConnect),
    ("json", Variable::Json),
    ("num_redirects", Variable::NumRedirects),
    ("num_retries", Variable::NumRetries),
    ("response_code", Variable::HttpCode),
    ("size_download", Variable::SizeDownload),
    ("time_appconnect", Variable::TimeAppConnect),
    ("time_connect", Variable::TimeConnect),
    ("time_queue", Variable::TimeQueue),
    ("time_starttransfer", Variable::TimeStartTransfer),
    ("time_total", Variable::TimeTotal),
    ("time_wait", Variable::TimeWait),
    ("url_effective", Variable::UrlEffective),
    ("urlnum", Variable::UrlNumber),
];

impl WriteOut {
    /// Reads a format: `%{name}`, `%%`, and the escapes `\n`, `\r`, `\t` and `\\`; any other text stands for itself. What
    /// variables hold is written without control characters where it goes to a terminal.
    ///
    /// # Errors
    /// An unknown variable or one without its closing brace.
    pub(super) fn parse(format: &str, to_terminal: bool) -> Result<Self, Problem> {
        let mut parts = Vec::new();
        let mut text = Vec::new();
        let mut rest = format;
        while let Some(at) = rest.find(['%', '\\']) {
            text.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            if let Some(inner) = rest.strip_prefix("%{") {
                let Some((name, after)) = inner.split_once('}') else {
                    return Err(Problem::new(format!("no }} after %{{{inner}")).at("--write-out"));
                };
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(variable(name)?);
                rest = after;
                continue;
            }
            let (bytes, used): (&[u8], usize) = match rest.get(..2) {
                Some("%%") => (b"%", 2),
                Some("\\n") => (b"\n", 2),
                Some("\\r") => (b"\r", 2),
                Some("\\t") => (b"\t", 2),
                Some("\\\\") => (b"\\", 2),
                _ => (&rest.as_bytes()[..1], 1),
            };
            text.extend_from_slice(bytes);
            rest = &rest[used..];
        }
        text.extend_from_slice(rest.as_bytes());
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(WriteOut { parts, to_terminal })
    }

    /// Appends the text for one record; `json` writes `%{json}`.
    pub(super) fn render(&self, row: &Row<'_>, json: &Encoder, out: &mut Vec<u8>) {
        for part in &self.parts {
            let start = out.len();
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable(Variable::Json) => json.object(row, out),
                Part::Variable(variable) => write_variable(*variable, row.record, out),
                Part::Field(field) => {
                    if let Some(value) = field.value(row) {
                        value.write_text(Attempts::Short, out);
                    }
                }
                Part::Tag(name) => {
                    let value = Value::of_json(row.record.tag.as_deref(), name);
                    value.write_text(Attempts::Short, out);
                }
                Part::Extracted(name) => {
                    let value = Value::of_json(row.record.fields.as_ref(), name);
                    value.write_text(Attempts::Short, out);
                }
            }
            if self.to_terminal && !matches!(part, Part::Text(_)) {
                let said = String::from_utf8_lossy(&out[start..]);
                let shown: String = harmless(&said).collect();
                out.truncate(start);
                out.extend_from_slice(shown.as_bytes());
            }
        }
    }
}

fn variable(name: &str) -> Result<Part, Problem> {
    if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return Ok(Part::Variable(*variable));
    }
    if let Some(key) = name.strip_prefix("tag.") {
        return Ok(Part::Tag(key.to_owned()));
    }
    if let Some(key) = name.strip_prefix("field.") {
        return Ok(Part::Extracted(key.to_owned()));
    }
    Field::from_name(name).map(Part::Field).ok_or_else(|| {
        let mut known: Vec<_> = VARIABLES.iter().map(|(name, _)| *name).collect();
        known.extend(Field::ALL.into_iter().map(Field::name));
        known.sort_unstable();
        Problem::new(format!("unknown variable %{{{name}}}"))
            .at("--write-out")
            .hint(format!(
                "the variables are: {}, tag.NAME, field.NAME",
                known.join(", ")
            ))
    })
}

fn write_variable(variable: Variable, record: &Record, out: &mut Vec<u8>) {
    let timing = &record.timing;
    // A phase that a reused connection did not have took no time.
    let to_connect = timing.connect.unwrap_or(0.0);
    let to_tls = to_connect + timing.proxy_handshake.unwrap_or(0.0) + timing.tls.unwrap_or(0.0);
    // Writing to a vector does not fail.
    let _ = match variable {
        Variable::HttpCode => write!(out, "{:03}", record.status.unwrap_or(0)),
        Variable::HttpConnect => write!(out, "{:03}", record.proxy_connect_status.unwrap_or(0)),
        Variable::UrlEffective => {
            let url = record.final_url.as_deref().or(record.url.as_deref());
            out.write_all(url.unwrap_or(&record.input).as_bytes())
        }
        Variable::NumRedirects => write!(out, "{}", record.redirects.len()),
        Variable::NumRetries => write!(out, "{}", record.attempts.saturating_sub(1)),
        Variable::SizeDownload => write!(out, "{}", record.size_wire.unwrap_or(0)),
        Variable::ErrorMessage => {
            let message = record.error.as_ref().map_or("", |error| &error.message);
            out.write_all(message.as_bytes())
        }
        Variable::ExitCode => write!(out, "{}", curl_code(record)),
        Variable::UrlNumber => write!(out, "{}", record.seq),
        Variable::BanRule => {
            let rule = record.ban.as_ref().map_or("", |ban| &ban.rule);
            out.write_all(rule.as_bytes())
        }
        Variable::TimeQueue => seconds(timing.queue.unwrap_or(0.0), out),
        Variable::TimeWait => seconds(timing.wait.unwrap_or(0.0), out),
        Variable::TimeConnect => seconds(to_connect, out),
        Variable::TimeAppConnect => seconds(to_tls, out),
        Variable::TimeStartTransfer => seconds(timing.ttfb.map_or(0.0, |ttfb| to_tls + ttfb), out),
        Variable::TimeTotal => seconds(timing.total.unwrap_or(0.0), out),
        // Written by the caller, who has the encoder.
        Variable::Json => Ok(()),
    };
}

fn seconds(ms: f64, out: &mut Vec<u8>) -> std::io::Result<()> {
    write!(out, "{:.6}", ms / 1000.0)
}

/// What curl would have exited with: 0 for `ok`, the code of the fault, 22 (`--fail`) for an answer that is not accepted.
fn curl_code(record: &Record) -> u8 {
    if record.ok {
        return 0;
    }
    if let Some(code) = record.error.as_ref().and_then(|error| error.curl_code) {
        return code;
    }
    match record.outcome {
        Outcome::InvalidUrl => 3,
        Outcome::Timeout => 28,
        Outcome::TlsError => 35,
        Outcome::TooLarge => 63,
        Outcome::Skipped | Outcome::Cancelled => 42,
        Outcome::ProxyError | Outcome::NetworkError => 56,
        _ => 22,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::BodyView;
    use super::super::tests::sample;
    use super::*;

    fn render(format: &str) -> String {
        render_of(&sample(), format, false)
    }

    fn render_of(record: &Record, format: &str, to_terminal: bool) -> String {
        let row = Row {
            record,
            body: BodyView::None,
        };
        let mut out = Vec::new();
        WriteOut::parse(format, to_terminal).unwrap().render(
            &row,
            &Encoder::jsonl(Attempts::Short),
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn variables_escapes_and_percent_signs() {
        assert_eq!(
            render(r"%{http_code}\t%{outcome} 100%% %{tag.q} %{time_total}s\n%"),
            "200\tok 100% caf\u{e9}, \"x\" 0.350000s\n%"
        );
        assert_eq!(render("%{time_starttransfer} %{num_retries}"), "0.061000 1");
        assert_eq!(
            render("%{proxy}").split('#').next(),
            Some("http://10.0.0.1:8080")
        );
        let row: serde_json::Value = serde_json::from_str(&render("%{json}")).unwrap();
        assert_eq!(row["status"], 200);
    }

    #[test]
    fn what_a_target_says_moves_no_cursor_of_a_terminal() {
        let mut record = sample();
        record.title = Some("\u{1b}[2Ja\u{9b}31mb\r".into());
        assert_eq!(render_of(&record, r"%{title}\t", true), "[2Ja31mb\t");
        let kept = render_of(&record, "%{title}", false);
        assert_eq!(kept, "\u{1b}[2Ja\u{9b}31mb\r");
    }

    #[test]
    fn an_unknown_variable_lists_the_known_ones() {
        let problem = WriteOut::parse("%{htp_code}", false).unwrap_err();
        assert!(problem.what.contains("htp_code"), "{problem}");
        assert!(problem.hint.unwrap().contains("http_code"));
        assert!(
            WriteOut::parse("%{http_code", false)
                .unwrap_err()
                .what
                .contains('}')
        );
    }
}
