//! What the flags ask for.

use std::path::PathBuf;

use super::diff::replaces;
use crate::ban;
use crate::check::{self, Geo, Plan};
use crate::cli::Environment;
use crate::cli::args::{CheckArgs, CheckFormat};
use crate::cli::commands::fetch::places;
use crate::cli::commands::rule_files;
use crate::cli::descriptors;
use crate::config::{ListSource, ProxySources};
use crate::egress::{self, SocketEgress};
use crate::error::{Error, Problem};

/// A judge's answer, and a page of the user's, is short; more is a proxy's doing.
const MOST_BYTES: u64 = 1024 * 1024;
/// Connections that one of `-j` may need: a proxy that is silent is asked in two ways, and as many as are asked may be silent
/// beside them.
const PER_PROXY: u32 = 4;

/// Flags that ask for nothing, or not for this together.
pub(super) fn contradiction(args: &CheckArgs, format: CheckFormat) -> Option<Problem> {
    let (output, how) = (&args.output, &args.how);
    let found = |is_so: bool, place: &str, what: &str, hint: &str| {
        is_so.then(|| Problem::new(what).at(place).hint(hint))
    };
    [
        found(
            how.judge.is_empty() && how.url.is_empty(),
            "check",
            "there is nothing to ask the proxies for",
            "name a judge with --judge URL (`proxywheel judge` serves one), or a target with --url URL",
        ),
        found(
            !output.country.is_empty() && how.geoip.is_empty(),
            "--country",
            "countries of exits are not known without --geoip",
            "name a MaxMind file with countries: --geoip GeoLite2-Country.mmdb",
        ),
        found(
            how.dns_domain.is_some() && !how.judge.iter().any(|url| url.scheme() == "http"),
            "--dns-domain",
            "made-up names are asked for by plain http, and there is no judge for that",
            "name one with --judge http://HOST/",
        ),
        found(
            how.watch.is_some() && output.output.is_none(),
            "--watch",
            "there is no file to keep up to date",
            "name one with -o",
        ),
        found(
            output.exit_on_change && output.diff.is_none(),
            "--exit-on-change",
            "there is nothing to compare with",
            "name the rows of the check before with --diff FILE",
        ),
        found(
            replaces(args) && format != CheckFormat::Jsonl,
            "--diff",
            "only JSONL rows can be compared with, and -o replaces them with another form",
            "use --format jsonl, or another -o",
        ),
        found(
            replaces(args) && is_selective(args),
            "--diff",
            "rows left out now would be new ones the next time",
            "leave filters and --limit away, or name another -o",
        ),
    ]
    .into_iter()
    .flatten()
    .next()
}

/// Some rows are not wanted.
fn is_selective(args: &CheckArgs) -> bool {
    let output = &args.output;
    output.alive
        || output.anonymity.is_some()
        || !output.country.is_empty()
        || output.max_latency.is_some()
        || output.min_score.is_some()
        || !output.protocol.is_empty()
        || output.limit.is_some()
}

pub(super) fn sources(args: &CheckArgs) -> ProxySources {
    let named = args.lists.iter().chain(&args.proxies.proxy_file);
    ProxySources {
        lines: args.proxies.proxy.clone(),
        lists: named.map(|text| ListSource::of(text)).collect(),
        presets: args.proxies.presets.clone(),
        scheme: args.proxies.proxy_scheme,
        refresh: None,
        strict: args.proxies.strict,
        // What did not work may work now.
        all_rows: true,
        prices: Vec::new(),
    }
}

/// Nobody wants to lose a list to the rows about it. Rows that are added to, or that the next check is compared with, are a list, too.
///
/// # Errors
/// What is written is a file that is read, or is written twice.
pub(super) fn apart(args: &CheckArgs, state: &Option<PathBuf>) -> Result<(), Problem> {
    let output = &args.output;
    let read = match output.resume || replaces(args) {
        true => Vec::new(),
        // Most are named without a flag.
        false => places::lists(&sources(args).lists)
            .map(|(_, place)| ("the proxy list", place))
            .collect(),
    };
    places::apart(
        &[
            (
                "--output",
                "rows",
                "its rows",
                "checked.jsonl",
                &output.output,
            ),
            ("--state", "state", "--state", "state.db", state),
        ],
        read,
    )
}

/// The wire, for checks and for what is fetched through the pool.
pub(super) fn wire(args: &CheckArgs) -> egress::Settings {
    egress::Settings {
        max_filesize: MOST_BYTES,
        insecure: args.how.insecure,
        cacert: args.how.cacert.clone(),
        proxy_insecure: args.proxies.proxy_insecure,
        proxy_cacert: args.proxies.proxy_cacert.clone(),
        ..egress::Settings::default()
    }
}

pub(super) fn plan(args: &CheckArgs) -> Result<Plan<SocketEgress>, Error> {
    let how = &args.how;
    let wanted = how.concurrency.get().saturating_mul(PER_PROXY);
    let room = descriptors::connections_that_fit(wanted, descriptors::raise());
    let mut rules = args.bans.settings();
    rules.rules = rule_files(&args.bans.rules)?;
    Ok(Plan {
        egress: SocketEgress::new(egress::Settings {
            // Every sample is a new connection.
            max_idle: 0,
            ..wire(args)
        })?,
        rules: ban::Judge::new(&rules)?,
        settings: check::Settings {
            judges: how.judge.clone(),
            urls: how.url.clone(),
            control: !how.no_control,
            samples: how.samples,
            dns_domain: how.dns_domain.clone(),
            concurrency: (room / PER_PROXY as usize).max(1),
            connect_timeout: how.connect_timeout.0,
            max_time: how.max_time.0,
            detect: how.detect,
            seed: how.seed,
            ..check::Settings::default()
        },
    })
}

/// Connections at once that a check of so many proxies may want.
pub(super) fn connections(args: &CheckArgs, proxies: usize) -> u64 {
    let at_once = (proxies as u64).min(args.how.concurrency.get().into());
    at_once * u64::from(PER_PROXY)
}

/// The files that tell where exits are.
pub(super) fn geo(args: &CheckArgs) -> Result<Option<Geo>, Error> {
    if args.how.geoip.is_empty() {
        return Ok(None);
    }
    let mut geo = Geo::default();
    for path in &args.how.geoip {
        let bytes =
            std::fs::read(path).map_err(|error| Error::io("read the --geoip file", path, error))?;
        geo.add(bytes).map_err(|why| {
            Problem::new(format!("not a MaxMind file: {why}"))
                .at(format!("--geoip {}", path.display()))
                .hint("name a .mmdb file, unpacked, such as GeoLite2-Country.mmdb")
        })?;
    }
    Ok(Some(geo))
}

/// The form of the rows.
pub(super) fn format(args: &CheckArgs, environment: &Environment) -> CheckFormat {
    let suffix = args
        .output
        .output
        .as_ref()
        .and_then(|path| path.extension()?.to_str());
    match (args.output.format, suffix) {
        (Some(format), _) => format,
        (None, Some("csv")) => CheckFormat::Csv,
        (None, Some("txt")) => CheckFormat::Txt,
        (None, None) if args.output.output.is_none() && environment.streams.stdout_is_terminal => {
            CheckFormat::Table
        }
        _ => CheckFormat::Jsonl,
    }
}
