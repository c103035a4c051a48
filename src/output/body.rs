//! Response bodies: in the row, or in files of their own.
//!
//! A body file is `DIR/aa/ID-HASH.ext`: `aa` the first two digits of the id, so that a million bodies are 256 directories of four
//! thousand; `HASH` the first eight digits of the body's SHA-256, so that what one URL answered another day, or to another row,
//! replaces nothing that a row names; `ext` from the content type. It is written under another name and renamed before its row
//! is written, so a row never names half a file.

use std::fs;
use std::path::PathBuf;

use encoding_rs::Encoding;

use super::BodyMode;
use super::fields::BodyView;
use crate::error::Error;
use crate::job::JobId;
use crate::outcome::Record;
use crate::text::{self, Sha256};

/// The form of `bytes` that `mode` asks for, but for files. Sets the charset of a record whose body is decoded.
pub(super) fn view<'a>(record: &mut Record, bytes: &'a [u8], mode: BodyMode) -> BodyView<'a> {
    // Without an answer there is no body, not an empty one.
    if record.status.is_none() {
        return BodyView::None;
    }
    match mode {
        BodyMode::None | BodyMode::File => BodyView::None,
        BodyMode::Base64 => BodyView::Bytes(bytes),
        BodyMode::Inline => {
            let kind = record.content_type.as_deref();
            if !text::is_text(kind, bytes) {
                return BodyView::Bytes(bytes);
            }
            let (decoded, encoding, is_flawed) = text::charset(kind, bytes).decode(bytes);
            record.charset = Some(charset_name(encoding));
            match is_flawed {
                // What is no letter of this charset is U+FFFD in the text.
                true => BodyView::Flawed(decoded, bytes),
                false => BodyView::Text(decoded),
            }
        }
    }
}

/// The lower-case name of a charset.
fn charset_name(encoding: &'static Encoding) -> &'static str {
    let name = encoding.name();
    CHARSETS
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(name))
        .unwrap_or(name)
}

/// Every encoding of the WHATWG standard, lower case; the commonest first.
const CHARSETS: [&str; 40] = [
    "utf-8",
    "windows-1252",
    "windows-1251",
    "shift_jis",
    "gbk",
    "euc-jp",
    "euc-kr",
    "big5",
    "gb18030",
    "iso-2022-jp",
    "utf-16le",
    "utf-16be",
    "windows-874",
    "windows-1250",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "windows-1258",
    "iso-8859-2",
    "iso-8859-3",
    "iso-8859-4",
    "iso-8859-5",
    "iso-8859-6",
    "iso-8859-7",
    "iso-8859-8",
    "iso-8859-8-i",
    "iso-8859-10",
    "iso-8859-13",
    "iso-8859-14",
    "iso-8859-15",
    "iso-8859-16",
    "koi8-r",
    "koi8-u",
    "macintosh",
    "x-mac-cyrillic",
    "ibm866",
    "replacement",
    "x-user-defined",
];

/// Bodies in files of their own.
#[derive(Debug)]
pub(super) struct BodyStore {
    directory: PathBuf,
    /// Which of the 256 directories are known to exist.
    made: Box<[bool; 256]>,
}

impl BodyStore {
    /// Creates the directory.
    pub(super) fn create(directory: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&directory).map_err(|error| Error::io("create", &directory, error))?;
        Ok(BodyStore {
            directory,
            made: Box::new([false; 256]),
        })
    }

    /// Stores one body and returns its path below the directory as the user named it; `None` for an empty body. `digest` is the
    /// body's.
    ///
    /// # Errors
    /// [`Error::Io`]; no file of that name is left half written.
    pub(super) fn save(
        &mut self,
        id: JobId,
        digest: Sha256,
        kind: Option<&str>,
        bytes: &[u8],
    ) -> Result<Option<String>, Error> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let name = format!("{id}-{:.8}", digest.to_string());
        let shelf = &name[..2];
        let directory = self.directory.join(shelf);
        let at = usize::from_str_radix(shelf, 16).unwrap_or_default();
        if !self.made[at] {
            fs::create_dir_all(&directory)
                .map_err(|error| Error::io("create", &directory, error))?;
            self.made[at] = true;
        }
        let path = directory.join(format!("{name}.{}", extension(kind)));
        // Two runs may share a directory of bodies.
        let temporary = directory.join(format!(".{name}.{}", std::process::id()));
        if let Err(error) =
            fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, &path))
        {
            // The space may be what is missing, so half a body must not stay.
            let _ = fs::remove_file(&temporary);
            return Err(Error::io("write", &path, error));
        }
        Ok(Some(path.to_string_lossy().into_owned()))
    }
}

/// The file name extension of a content type.
fn extension(kind: Option<&str>) -> &'static str {
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or("");
    let essence = essence.trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/html" | "application/xhtml+xml" => "html",
        "application/json" | "text/json" => "json",
        "application/x-ndjson" => "jsonl",
        "text/plain" => "txt",
        "text/css" => "css",
        "text/csv" => "csv",
        "text/markdown" => "md",
        "text/javascript" | "application/javascript" | "application/x-javascript" => "js",
        "application/xml" | "text/xml" => "xml",
        "application/rss+xml" => "rss",
        "application/atom+xml" => "atom",
        "application/pdf" => "pdf",
        "application/zip" => "zip",
        "application/gzip" | "application/x-gzip" => "gz",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        "image/avif" => "avif",
        "image/svg+xml" => "svg",
        "image/x-icon" | "image/vnd.microsoft.icon" => "ico",
        "audio/mpeg" => "mp3",
        "video/mp4" => "mp4",
        "font/woff2" => "woff2",
        other if other.ends_with("+json") => "json",
        other if other.ends_with("+xml") => "xml",
        other if other.starts_with("text/") => "txt",
        _ => "bin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charset_names_are_real_and_lower_case() {
        for name in CHARSETS {
            assert_eq!(name, name.to_ascii_lowercase());
            // "replacement" is the one encoding that is reached by other labels only.
            if name != "replacement" {
                let encoding = Encoding::for_label(name.as_bytes()).expect(name);
                assert_eq!(charset_name(encoding), name);
            }
        }
    }

    #[test]
    fn bodies_are_filed_by_id_and_type_and_leave_no_scrap() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("pages");
        let mut store = BodyStore::create(root.clone()).unwrap();
        let id = JobId::from_hex("ab00000000000001").unwrap();
        let mut save = |body: &[u8]| {
            let digest = Sha256::of(body);
            store.save(id, digest, Some("Text/HTML; charset=x"), body)
        };
        let path = save(b"<p>").unwrap();
        let wanted = root.join("ab/ab00000000000001-33f27994.html");
        assert_eq!(path.as_deref(), wanted.to_str());
        assert_eq!(save(b"").unwrap(), None);
        assert_eq!(save(b"<p>").unwrap(), path, "the same bytes are one file");
        assert_eq!(fs::read_dir(root.join("ab")).unwrap().count(), 1);
        // What a row of yesterday names is still what it was.
        assert_ne!(save(b"<p>today").unwrap(), path);
        assert_eq!(fs::read(&wanted).unwrap(), b"<p>");
    }
}
