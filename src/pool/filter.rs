//! Members by label filter, so that a job that wants one country of a large list does not search the list.

use super::roster::Roster;
use crate::job::LabelFilter;

/// Filters kept; a run with more distinct ones rebuilds the oldest.
const KEPT: usize = 64;

/// The members one filter admits, in slot order.
#[derive(Debug)]
pub(super) struct View {
    filter: LabelFilter,
    pub(super) members: Vec<u32>,
}

/// Views by filter, built at first use.
#[derive(Debug, Default)]
pub(super) struct Filters {
    views: Vec<View>,
}

impl Filters {
    /// Where the members that `filter` admits are listed.
    pub(super) fn index(&mut self, filter: &LabelFilter, roster: &Roster) -> usize {
        if let Some(at) = self.views.iter().position(|view| view.filter == *filter) {
            return at;
        }
        if self.views.len() >= KEPT {
            self.views.remove(0);
        }
        let members = roster
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.is_member() && filter.admits(slot.proxy.labels()))
            .map(|(at, _)| at as u32)
            .collect();
        self.views.push(View {
            filter: filter.clone(),
            members,
        });
        self.views.len() - 1
    }

    pub(super) fn members(&self, index: usize) -> &[u32] {
        self.views
            .get(index)
            .map_or(&[], |view| view.members.as_slice())
    }

    /// The list has changed.
    pub(super) fn forget(&mut self) {
        self.views.clear();
    }
}
