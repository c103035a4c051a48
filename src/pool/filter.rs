//! Members by label filter, so that a job that wants one country of a large list does not search the list.
//!
//! The list is gone through once, for the members that carry each label. What a filter admits is then looked for among those of its
//! rarest label, so that thousands of rows that name an account each cost no more than their own members.

use std::collections::HashMap;

use super::roster::Roster;
use super::slot::Slot;
use crate::job::LabelFilter;
use crate::proxy::HIGHEST_TIER;

/// Filters kept; a run with more distinct ones lists the oldest anew.
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

/// Members by label, in slot order.
#[derive(Debug, Default)]
struct Carriers {
    countries: HashMap<Box<str>, Vec<u32>>,
    tags: HashMap<Box<str>, Vec<u32>>,
}

impl Carriers {
    fn new(roster: &Roster) -> Self {
        let mut carriers = Carriers::default();
        for (at, slot) in (0..).zip(&roster.slots) {
            let labels = slot.proxy.labels();
            if !slot.is_member() {
                continue;
            }
            if let Some(country) = &labels.country {
                carry(&mut carriers.countries, country, at);
            }
            for tag in &labels.tags {
                carry(&mut carriers.tags, tag, at);
            }
        }
        carriers
    }

    /// Those with the rarest label that `filter` wants; `None` when it wants none.
    fn fewest(&self, filter: &LabelFilter) -> Option<&[u32]> {
        let country = filter.country.iter().map(|one| self.countries.get(one));
        let tags = filter.tags.iter().map(|one| self.tags.get(one));
        let lists = country.chain(tags);
        lists
            .map(|list| list.map_or(&[][..], Vec::as_slice))
            .min_by_key(|list| list.len())
    }
}

fn carry(carriers: &mut HashMap<Box<str>, Vec<u32>>, label: &str, at: u32) {
    match carriers.get_mut(label) {
        Some(list) => list.push(at),
        None => {
            carriers.insert(label.into(), vec![at]);
        }
    }
}

/// Views by filter, built at first use.
#[derive(Debug, Default)]
pub(super) struct Filters {
    views: Vec<View>,
    carriers: Option<Carriers>,
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
        let admits = |at: &u32| {
            let slot = roster.slot(*at);
            slot.is_member() && kind.admits(slot)
        };
        let carriers = match &kind {
            Kind::Wanted(filter) => {
                let carriers = &mut self.carriers;
                let carriers = carriers.get_or_insert_with(|| Carriers::new(roster));
                carriers.fewest(filter)
            }
            Kind::OfTier(_) => None,
        };
        let members = match carriers {
            Some(carriers) => carriers.iter().copied().filter(admits).collect(),
            None => (0..roster.slots.len() as u32).filter(admits).collect(),
        };
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
        self.carriers = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Pool, Settings};
    use crate::proxy::{Labels, Proxy, Scheme};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::sync::Arc;

    /// Of one of two countries, with a tag that all have and one of its own.
    fn member(n: u32) -> Arc<Proxy> {
        let labels = Labels {
            country: Some(["de", "fr"][n as usize % 2].into()),
            tags: vec!["all".into(), format!("account={n}").into()],
            ..Labels::default()
        };
        let host = format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
        Arc::new(Proxy::new(Scheme::Http, &host, 1, None).with_labels(labels))
    }

    fn wants(country: Option<&str>, tags: &[&str]) -> LabelFilter {
        LabelFilter {
            country: country.map(Into::into),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the zero of the test"
    )]
    fn a_filter_is_looked_for_among_those_of_its_rarest_label() {
        let now = std::time::Instant::now();
        let rng = &mut StdRng::seed_from_u64(1);
        let list = (0..1000).map(member).collect();
        let pool = Pool::new(list, Settings::default(), now, rng);
        let carriers = Carriers::new(&pool.roster);
        let mut filters = Filters::default();
        for (filter, looked_at, listed) in [
            (wants(Some("fr"), &["all", "account=7"]), Some(1), 1),
            (wants(Some("de"), &["all", "account=7"]), Some(1), 0),
            (wants(Some("de"), &["all"]), Some(500), 500),
            (wants(Some("us"), &["all"]), Some(0), 0),
            (wants(None, &[]), None, 1000),
        ] {
            let fewest = carriers.fewest(&filter).map(<[u32]>::len);
            let view = filters.index(&filter, &pool.roster);
            let members = filters.members(view).len();
            assert_eq!((fewest, members), (looked_at, listed), "{filter:?}");
        }
    }
}
