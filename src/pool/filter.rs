//! Members by label filter, so that a job that wants one country of a large list does not search the list.

use super::roster::Roster;
use super::slot::Slot;
use crate::job::LabelFilter;
use crate::proxy::HIGHEST_TIER;

/// Filters kept; a run with more distinct ones rebuilds the oldest.
const KEPT: usize = 64;

/// What the members of a view have in common.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// The filter of a job admits them.
    Wanted(LabelFilter),
    /// They are of one tier.
    OfTier(u8),
}

impl Kind {
    fn admits(&self, slot: &Slot) -> bool {
        let labels = slot.proxy.labels();
        match self {
            Kind::Wanted(filter) => filter.admits(labels),
            Kind::OfTier(tier) => labels.tier.min(HIGHEST_TIER) == *tier,
        }
    }
}

/// The members of one kind, in slot order.
#[derive(Debug)]
pub(super) struct View {
    kind: Kind,
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
        let same = |view: &View| matches!(&view.kind, Kind::Wanted(other) if other == filter);
        match self.views.iter().position(same) {
            Some(at) => at,
            None => self.list(Kind::Wanted(filter.clone()), roster),
        }
    }

    /// Where the members of a tier are listed.
    pub(super) fn tier(&mut self, tier: u8, roster: &Roster) -> usize {
        let kind = Kind::OfTier(tier);
        match self.views.iter().position(|view| view.kind == kind) {
            Some(at) => at,
            None => self.list(kind, roster),
        }
    }

    fn list(&mut self, kind: Kind, roster: &Roster) -> usize {
        if self.views.len() >= KEPT {
            self.views.remove(0);
        }
        let slots = roster.slots.iter().enumerate();
        let members = slots
            .filter(|(_, slot)| slot.is_member() && kind.admits(slot))
            .map(|(at, _)| at as u32)
            .collect();
        self.views.push(View { kind, members });
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
