//! Which rules are worth asking about an answer.
//!
//! A rule says nothing before one of its conditions holds, and of all conditions few ever do: two or three of an ordinary page behind
//! a CDN. So the rules are found from the conditions, and not asked one after the other.

use super::condition::Spec;
use super::rule::Rule;
use super::table::Signals;

/// The rules by what has to hold before they can fire.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    /// By condition: the rules that it may make fire.
    rules: Vec<Vec<u16>>,
    /// Rules that need no condition, of a status alone.
    always: Vec<u16>,
}

impl Triggers {
    pub(super) fn new(rules: &[Rule], specs: &[Spec]) -> Self {
        let mut triggers = Triggers {
            rules: vec![Vec::new(); specs.len()],
            always: Vec::new(),
        };
        for (number, rule) in (0u16..).zip(rules) {
            // One of `all` will do, what is in the body best: fewer answers have it.
            let in_body = |id: &&u16| specs[usize::from(**id)].reads_body();
            let one = rule.all.iter().find(in_body).or(rule.all.first());
            let needed = match one {
                Some(one) => std::slice::from_ref(one),
                None if rule.least > 0 => &rule.any[..],
                None => &[],
            };
            if needed.is_empty() {
                triggers.always.push(number);
            }
            for id in needed {
                triggers.rules[usize::from(*id)].push(number);
            }
        }
        triggers
    }

    /// The numbers of all rules that could fire, in no order; some come twice.
    pub(super) fn of<'a>(&'a self, signals: &'a Signals) -> impl Iterator<Item = u16> + 'a {
        let triggered = signals.ids().flat_map(|id| &self.rules[usize::from(id)]);
        triggered.chain(&self.always).copied()
    }
}
