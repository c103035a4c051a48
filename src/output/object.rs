//! A row as a JSON object.

use super::Attempts;
use super::fields::{Field, Row};

/// Appends the row as a JSON object: these fields of it, or all.
pub(super) fn write(
    row: &Row<'_>,
    fields: Option<&[Field]>,
    attempts: Attempts,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let mut line = Line { row, attempts, out };
    match fields {
        Some(fields) => fields.iter().for_each(|field| line.field(*field)),
        None => line.all_fields(),
    }
    match out.get_mut(start) {
        // The comma before the first key.
        Some(first) => *first = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// An object that is being written.
struct Line<'a> {
    row: &'a Row<'a>,
    attempts: Attempts,
    out: &'a mut Vec<u8>,
}

impl Line<'_> {
    /// Appends a key and its value, unless the row does not have it.
    ///
    /// Inlined, because of a field that is known to the compiler nothing is left but the copy of a key of known length and the
    /// writer of one kind of value: 24 instructions around it instead of 46, forty times a row.
    #[inline(always)]
    fn field(&mut self, field: Field) {
        if let Some(value) = field.value(self.row) {
            self.out.extend_from_slice(field.key().as_bytes());
            value.write_json(self.attempts, self.out);
        }
    }

    /// [`Field::ALL`], as constants, which a loop over them would not be.
    fn all_fields(&mut self) {
        self.field(Field::V);
        self.field(Field::Id);
        self.field(Field::Seq);
        self.field(Field::Input);
        self.field(Field::Url);
        self.field(Field::FinalUrl);
        self.field(Field::Method);
        self.field(Field::Tag);
        self.field(Field::Outcome);
        self.field(Field::Ok);
        self.field(Field::Status);
        self.field(Field::HttpVersion);
        self.field(Field::ContentType);
        self.field(Field::Charset);
        self.field(Field::Etag);
        self.field(Field::LastModified);
        self.field(Field::Proxy);
        self.field(Field::ProxyConnectStatus);
        self.field(Field::ExitIp);
        self.field(Field::Attempts);
        self.field(Field::ProxiesTried);
        self.field(Field::AttemptLog);
        self.field(Field::Ban);
        self.field(Field::Edge);
        self.field(Field::Error);
        self.field(Field::Redirects);
        self.field(Field::Timing);
        self.field(Field::StartedAt);
        self.field(Field::FinishedAt);
        self.field(Field::SizeWire);
        self.field(Field::SizeBody);
        self.field(Field::Truncated);
        self.field(Field::Cost);
        self.field(Field::BodySha256);
        self.field(Field::Title);
        self.field(Field::Fields);
        self.field(Field::Row);
        self.field(Field::Rows);
        self.field(Field::Headers);
        self.field(Field::Body);
        self.field(Field::BodyB64);
        self.field(Field::BodyPath);
        self.field(Field::Resumed);
    }
}
