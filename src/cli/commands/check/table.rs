//! A report as a line for people.

use super::diff::told;
use crate::check::{Anonymity, Dns, Report, Verdict};

/// Which columns there are beside those that always are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Table {
    /// Where the exit is.
    pub(super) places: bool,
    /// What has changed, in place of why it is not alive.
    pub(super) changes: bool,
}

impl Table {
    pub(super) fn head(self) -> String {
        let places = self.column("WHERE");
        format!(
            "{:<38} {:<9} {:>5} {:>8}  {:<13} {:<12} {:<16} {places}{}\n",
            "PROXY",
            "VERDICT",
            "SCORE",
            "P50",
            "WAYS",
            "ANONYMITY",
            "EXIT",
            if self.changes { "CHANGES" } else { "WHY" }
        )
    }

    pub(super) fn row(self, report: &Report) -> String {
        let ways = match (report.forwards, report.tunnels) {
            (Some(true), Some(true)) => "plain, tunnel",
            (Some(true), _) => "plain",
            (_, Some(true)) => "tunnel",
            _ => "",
        };
        let exit = match &report.exits[..] {
            [] => String::new(),
            [one] => one.to_string(),
            [one, other] if one.is_ipv4() != other.is_ipv4() => format!("{one} {other}"),
            many => format!("{} addresses", many.len()),
        };
        let why = match &report.trouble {
            _ if self.changes => told(report).unwrap_or_default(),
            Some(trouble) if report.verdict != Verdict::Alive => {
                format!("{}: {}", trouble.reason, trouble.message)
            }
            _ => remarks(report),
        };
        let begin = format!(
            "{:<38} {:<9} {:>5} {:>8}",
            report.proxy.label().to_string(),
            report.verdict.as_str(),
            report
                .score
                .map(|score| score.to_string())
                .unwrap_or_else(|| "-".into()),
            report
                .latency()
                .map(|latency| format!("{:.0} ms", latency.p50.as_secs_f64() * 1000.0))
                .unwrap_or_default(),
        );
        let anonymity = report.anonymity.map_or("", Anonymity::as_str);
        let place = place(report);
        let line = if [ways, anonymity, &exit, &place]
            .iter()
            .all(|cell| cell.is_empty())
        {
            // Nothing was brought, so the reason has their room: at its own place it is beyond the edge of most terminals.
            format!("{begin}  {why}")
        } else {
            let places = self.column(&place);
            format!("{begin}  {ways:<13} {anonymity:<12} {exit:<16} {places}{why}")
        };
        format!("{}\n", line.trim_end())
    }

    /// The cell of a column that may not be there.
    fn column(self, text: &str) -> String {
        if self.places {
            format!("{text:<14} ")
        } else {
            String::new()
        }
    }
}

/// What there is to say of one that works.
fn remarks(report: &Report) -> String {
    let rewrites = report.rewrites.as_ref();
    let rewrites = rewrites.filter(|rewrites| rewrites.is_lossy());
    let names = match report.dns {
        Dns::Failed | Dns::Hijacked => Some(format!("names: {}", report.dns.as_str())),
        Dns::NotTested | Dns::Resolved => None,
    };
    let remarks = [rewrites.map(ToString::to_string), names];
    remarks.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// `de AS64500`: the countries, and the network if there is one.
fn place(report: &Report) -> String {
    let mut words: Vec<_> = report.countries().iter().map(ToString::to_string).collect();
    let mut networks = report
        .places
        .iter()
        .flatten()
        .filter_map(|place| place.asn.as_ref())
        .map(|asn| asn.number);
    if let Some(first) = networks.next()
        && networks.all(|number| number == first)
    {
        words.push(format!("AS{first}"));
    }
    words.join(" ")
}
