//! Which rows are wanted.

use std::time::Duration;

use crate::check::{Anonymity, Report};
use crate::cli::args::{CheckArgs, CheckFormat};
use crate::proxy::Scheme;

/// Which rows are wanted.
pub(super) struct Selection {
    alive: bool,
    /// One of the user's URLs is enough.
    any: bool,
    anonymity: Option<Anonymity>,
    countries: Vec<&'static str>,
    max_latency: Option<Duration>,
    min_score: Option<u8>,
    protocols: Vec<Scheme>,
}

impl Selection {
    pub(super) fn of(args: &CheckArgs) -> Self {
        let output = &args.output;
        let list = output.format == Some(CheckFormat::Txt)
            || output.output.as_ref().is_some_and(|path| {
                output.format.is_none() && path.extension().is_some_and(|suffix| suffix == "txt")
            });
        Selection {
            alive: output.alive || list,
            any: args.how.any,
            anonymity: output.anonymity,
            countries: output.country.clone(),
            max_latency: output.max_latency.map(|span| span.0),
            min_score: output.min_score,
            protocols: output.protocol.clone(),
        }
    }

    pub(super) fn takes(&self, report: &Report) -> bool {
        let works = report.verdict.works();
        let for_the_targets = match (&report.targets[..], self.any) {
            ([], _) => true,
            (targets, true) => targets.iter().any(|target| target.ok),
            (targets, false) => targets.iter().all(|target| target.ok),
        };
        let quick = |most| report.latency().is_some_and(|latency| latency.p50 <= most);
        (!self.alive || (works && for_the_targets))
            && self
                .anonymity
                .is_none_or(|least| works && report.anonymity.unwrap_or(Anonymity::Elite) >= least)
            && (self.countries.is_empty() || self.is_there(report))
            && self.max_latency.is_none_or(quick)
            && self
                .min_score
                .is_none_or(|least| report.score >= Some(least))
            && (self.protocols.is_empty()
                || report
                    .protocols
                    .iter()
                    .any(|scheme| self.protocols.contains(scheme)))
    }

    /// Every exit is known to be in one of the countries.
    fn is_there(&self, report: &Report) -> bool {
        let places = report.places.as_deref().unwrap_or_default();
        let wanted = |country: &str| self.countries.contains(&country);
        !places.is_empty()
            && places
                .iter()
                .all(|place| place.country.as_deref().is_some_and(wanted))
    }
}
