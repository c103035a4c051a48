//! What a run waits for before it begins.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::nearest;
use crate::error::Problem;
use crate::units::Span;

/// What a run waits for before it opens anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// It begins within this time.
    pub jitter: Duration,
    /// The lock it takes then, if any.
    pub lock: Option<LockSettings>,
}

/// A lock between runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockSettings {
    /// The file.
    pub path: PathBuf,
    /// What to do when another run has it.
    pub when_held: WhenHeld,
}

/// What to do when another run has the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenHeld {
    /// End with 75.
    #[default]
    Fail,
    /// End with 0: the work is being done.
    Skip,
    /// Wait so long, then fail.
    Wait(Duration),
}

impl FromStr for WhenHeld {
    type Err = Problem;

    /// Reads `fail`, `skip` and `wait=30s`.
    fn from_str(text: &str) -> Result<Self, Problem> {
        match text.split_once('=') {
            None if text == "fail" => Ok(WhenHeld::Fail),
            None if text == "skip" => Ok(WhenHeld::Skip),
            Some(("wait", time)) => Ok(WhenHeld::Wait(time.parse::<Span>()?.0)),
            _ => Err(Problem::new(format!(
                "{text:?} is not fail, skip or wait=TIME"
            ))),
        }
    }
}

impl LockSettings {
    /// What the words of `--lock` come to: a path, one of [`WhenHeld`], or both; `None` without any. The lock of what has no path
    /// stands beside `beside`.
    ///
    /// # Errors
    /// Two of a kind, or no path and nothing to stand beside.
    pub fn of(words: &[String], beside: Option<&Path>) -> Result<Option<Self>, Problem> {
        if words.is_empty() {
            return Ok(None);
        }
        let bad = |what: &str, hint: &str| Problem::new(what).at("--lock").hint(hint);
        let (mut path, mut when_held) = (None, None);
        for word in words {
            let is_word = matches!(&**word, "fail" | "skip") || word.starts_with("wait=");
            let known = if is_word {
                let parsed = word
                    .parse()
                    .map_err(|problem: Problem| problem.at("--lock"))?;
                when_held.replace(parsed).is_some()
            } else if nearest(word, ["skip", "fail", "wait"]).is_some() {
                // A lock file of that name would hold nobody up who meant the word.
                let what = format!("{word:?} is not fail, skip or wait=TIME");
                return Err(bad(&what, &format!("a lock file of that name is ./{word}")));
            } else {
                path.replace(PathBuf::from(word)).is_some()
            };
            if known {
                let hint = "one path, and one of fail, skip and wait=30s";
                return Err(bad("--lock is given twice", hint));
            }
        }
        let path = path.or_else(|| {
            let mut name = beside?.as_os_str().to_owned();
            name.push(".lock");
            Some(name.into())
        });
        let path = path.ok_or_else(|| {
            bad(
                "--lock needs a file when there is no --output",
                "name one, as in --lock prices.lock --lock skip",
            )
        })?;
        let when_held = when_held.unwrap_or_default();
        Ok(Some(LockSettings { path, when_held }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(words: &[&str], beside: Option<&str>) -> Result<Option<LockSettings>, Problem> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        LockSettings::of(&words, beside.map(Path::new))
    }

    #[test]
    fn a_lock_has_a_file_of_its_own_or_stands_beside_the_output() {
        assert_eq!(lock(&[], Some("out.jsonl")), Ok(None));
        for (words, path, when_held) in [
            (&["skip"][..], "out.jsonl.lock", WhenHeld::Skip),
            (&["a.lock"], "a.lock", WhenHeld::Fail),
            (
                &["wait=30s", "a.lock"],
                "a.lock",
                WhenHeld::Wait(Duration::from_secs(30)),
            ),
        ] {
            let path = PathBuf::from(path);
            let settings = LockSettings { path, when_held };
            assert_eq!(
                lock(words, Some("out.jsonl")),
                Ok(Some(settings)),
                "{words:?}"
            );
        }
        for (words, beside) in [
            (&["skip"][..], None),
            (&["skip", "fail"], Some("a")),
            (&["skpi"], Some("a")),
            (&["wait"], Some("a")),
            (&["a", "b"], Some("a")),
            (&["wait=soon"], Some("a")),
        ] {
            assert!(lock(words, beside).is_err(), "{words:?}");
        }
    }
}
