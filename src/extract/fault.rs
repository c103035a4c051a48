//! What is wrong in an expression, and where in it.

use crate::error::Problem;

/// A complaint about one place of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Byte of the expression where it begins.
    pub(super) at: usize,
    pub(super) what: String,
    pub(super) hint: String,
}

impl Fault {
    pub(super) fn new(at: usize, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Fault {
            at,
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// The same in a longer text, of which `by` bytes come before.
    pub(super) fn moved(mut self, by: usize) -> Self {
        self.at += by;
        self
    }

    /// For people: the expression with a caret below the place. `place` is the flag or the line of a file it stands in.
    pub(super) fn problem(self, expression: &str, place: impl Into<String>) -> Problem {
        // One line, one column a letter, so that the caret is where it belongs.
        let shown: String = expression
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let column = expression
            .char_indices()
            .take_while(|(at, _)| *at < self.at)
            .count();
        let caret = " ".repeat(column);
        Problem::new(format!(
            "column {}: {}\n    {shown}\n    {caret}^",
            column + 1,
            self.what
        ))
        .at(place)
        .hint(self.hint)
    }
}
