//! The built-in rule files, read in a hurry.
//!
//! They are read whenever the program starts, and two thirds of them are examples for the tests. A TOML parser takes six milliseconds
//! for that. So they are rewritten as JSON here, which takes a twentieth, and the examples are left out. Only the plain forms that the
//! files are written in are understood: tables in lists, and on each line of them a key with strings, numbers, lists and inline tables.
//! Where anything else stands there is no answer, and the parser is asked after all; the user's files always go to the parser.

use super::build::File;

/// Keys of which the values are left out.
const EXAMPLES: [&str; 2] = ["hit", "miss"];

/// The file, without the examples; `None` when it uses a form that is not known here.
pub(super) fn read(text: &str) -> Option<File> {
    let mut reader = Reader {
        rest: text,
        out: String::with_capacity(text.len()),
    };
    serde_json::from_str(reader.file()?).ok()
}

struct Reader<'a> {
    rest: &'a str,
    /// JSON.
    out: String,
}

impl Reader<'_> {
    /// Lists of tables come after single keys in JSON as they do in TOML, and the tables of one list one after the other.
    fn file(&mut self) -> Option<&str> {
        self.out.push('{');
        let mut list = "";
        loop {
            self.skip_blank();
            if let Some(rest) = self.rest.strip_prefix("[[") {
                let (name, rest) = rest.split_once("]]")?;
                self.rest = rest;
                if name == list {
                    self.close('}');
                    self.out.push(',');
                } else {
                    self.end_list(list);
                    self.out.push_str(&format!("\"{name}\":["));
                }
                self.out.push('{');
                list = name;
            } else if self.rest.is_empty() {
                self.end_list(list);
                self.close('}');
                return Some(&self.out);
            } else {
                self.pair()?;
            }
        }
    }

    fn end_list(&mut self, list: &str) {
        if !list.is_empty() {
            self.close('}');
            self.out.push_str("],");
        }
    }

    /// Ends a list or table, before which there may be a comma too many.
    fn close(&mut self, bracket: char) {
        if self.out.ends_with(',') {
            self.out.pop();
        }
        self.out.push(bracket);
    }

    /// `key = value`, and a comma.
    fn pair(&mut self) -> Option<()> {
        let start = self.out.len();
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let (key, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start_matches(' ').strip_prefix('=')?;
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self.value()?;
        self.out.push(',');
        if EXAMPLES.contains(&key) {
            self.out.truncate(start);
        }
        Some(())
    }

    fn value(&mut self) -> Option<()> {
        self.skip_blank();
        match self.rest.as_bytes().first()? {
            b'"' => self.string(),
            b'[' => self.several('[', ']', Reader::value),
            b'{' => self.several('{', '}', Reader::member),
            _ => {
                let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric())?;
                let (word, rest) = self.rest.split_at(end);
                let known = matches!(word, "true" | "false")
                    || (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()));
                self.out.push_str(word);
                self.rest = rest;
                known.then_some(())
            }
        }
    }

    /// A pair in an inline table; what follows it is not its business.
    fn member(&mut self) -> Option<()> {
        self.pair()?;
        self.out.pop();
        Some(())
    }

    fn several(
        &mut self,
        open: char,
        close: char,
        each: fn(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.rest = self.rest.strip_prefix(open)?;
        self.out.push(open);
        loop {
            self.skip_blank();
            if let Some(rest) = self.rest.strip_prefix(close) {
                self.rest = rest;
                self.close(close);
                return Some(());
            }
            each(self)?;
            self.out.push(',');
            self.skip_blank();
            match self.rest.strip_prefix(',') {
                Some(rest) => self.rest = rest,
                None if self.rest.starts_with(close) => {}
                None => return None,
            }
        }
    }

    /// A string in double quotes; of the escapes only those that mean the same in JSON.
    fn string(&mut self) -> Option<()> {
        let bytes = self.rest.as_bytes();
        if self.rest.starts_with("\"\"\"") {
            return None;
        }
        let mut at = 1;
        loop {
            at += memchr::memchr2(b'"', b'\\', &bytes[at..])?;
            if bytes[at] == b'"' {
                break;
            }
            if !matches!(bytes.get(at + 1)?, b'"' | b'\\' | b'n' | b't' | b'r' | b'u') {
                return None;
            }
            at += 2;
        }
        let (string, rest) = self.rest.split_at(at + 1);
        self.out.push_str(string);
        self.rest = rest;
        Some(())
    }

    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if !self.rest.starts_with('#') {
                return;
            }
            let end = memchr::memchr(b'\n', self.rest.as_bytes());
            self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{FILES, parse};
    use super::*;

    #[test]
    fn the_built_in_files_are_understood_as_the_parser_does() {
        for (_, name, text) in FILES {
            let mut parsed = parse(text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
            for rule in &mut parsed.rule {
                rule.hit.clear();
                rule.miss.clear();
            }
            let brief = read(text).unwrap_or_else(|| panic!("{name} has a form that is not known"));
            assert_eq!(format!("{brief:?}"), format!("{parsed:?}"), "{name}");
        }
    }

    #[test]
    fn forms_that_are_not_known_are_left_to_the_parser() {
        for text in [
            "talk = ['a']",
            "talk = [\"\"\"a\"\"\"]",
            "talk = [\"\\U0001F600\"]",
            "talk = [\"a\" \"b\"]",
            "[rule]\nid = \"x\"",
            "talk = 1979-05-27",
            "talk",
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        let file = read("talk = [\"a\", # one\n  \"b\",\n]").expect("known");
        assert_eq!(
            format!("{file:?}"),
            format!("{:?}", parse("talk = [\"a\", \"b\"]").expect("TOML"))
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_understood_is_understood_right(text in "(\\[\\[phrase\\]\\]\n|talk = |[a\"\\\\#,\\[\\]{}= \n0u]{1,6}){0,8}") {
            if let Some(file) = read(&text) {
                let parsed = parse(&text).map(|file| format!("{file:?}"));
                proptest::prop_assert_eq!(parsed.ok(), Some(format!("{file:?}")));
            }
        }
    }
}
