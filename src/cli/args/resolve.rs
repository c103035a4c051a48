//! From one parsed command line to the mechanisms' own settings.
//!
//! This is the only place that knows both the flags and the sections.

use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use clap::ArgMatches;

use http::header::USER_AGENT;

use super::FetchArgs;
use super::input::Robots;
use crate::config::{
    Data, DataKind, ListSource, LockSettings, ProxySources, RequestParts, Resolved, Start,
};
use crate::egress::HttpVersions;
use crate::engine::Obedience;
use crate::error::{Error, Problem};
use crate::extract::{self, Extractor, ProfileFile};
use crate::job::RequestSpec;
use crate::output::{self, Format, Mode};
use crate::robots::product_token;
use crate::{egress, engine, input, limit, pool, retry};

/// Sorts the flags into sections. `matches` tells the order of flags that make up one body; `read` returns the bytes of a
/// file, of standard input for `-`.
///
/// # Errors
/// A request that cannot be put together, see [`RequestParts::build`]; an expression that cannot be read.
pub fn resolve(
    args: &FetchArgs,
    matches: &ArgMatches,
    read: &mut dyn FnMut(&Path) -> Result<Vec<u8>, Error>,
) -> Result<Resolved, Error> {
    let parts = request_parts(args, matches);
    let request_from_stdin = parts.reads_stdin();
    let request = parts.build(read)?;
    let files = sources(&args.input.input)?;
    let extractor = extractor(args, read)?;
    let seconds = |span: Option<crate::config::Span>| span.map(|span| span.0);
    Ok(Resolved {
        proxies: ProxySources {
            lines: args.proxies.list.proxy.clone(),
            lists: args
                .proxies
                .list
                .proxy_file
                .iter()
                .map(|text| ListSource::of(text))
                .collect(),
            presets: args.proxies.list.presets.clone(),
            scheme: args.proxies.list.proxy_scheme,
            refresh: seconds(args.proxies.proxy_refresh),
            strict: args.proxies.list.strict,
            all_rows: false,
            prices: args.budget.price.clone(),
        },
        input: input::Settings {
            urls: args.input.urls.clone(),
            files: files.clone(),
            format: args.input.input_format,
            url_column: args.input.url_column.clone(),
            sitemap_since: args.input.sitemap_since,
            request: Arc::default(),
        },
        output: output(args, extractor.as_deref())?,
        request_from_stdin,
        limit: limit::Settings {
            concurrency: args.limits.concurrency,
            rate: args.limits.rate,
            host_rate: args.limits.host_rate,
            host_concurrency: args.limits.host_concurrency,
            proxy_rate: args.limits.proxy_rate,
            pair_rate: args.limits.pair_rate,
            delay: args.limits.delay.0,
            jitter: args.limits.jitter,
        },
        retry: retry::Settings {
            retries: args.retry.retry,
            max_proxies_per_url: args.retry.max_proxies_per_url,
            max_time: seconds(args.retry.retry_max_time),
            retry_on: args.retry.retry_on.clone(),
            non_idempotent: args.retry.retry_non_idempotent,
        },
        pool: pool::Settings {
            strategy: args.rotation.rotate,
            on_no_proxy: args.rotation.on_no_proxy,
            proxy_concurrency: args
                .limits
                .proxy_concurrency
                .map_or(pool::Settings::default().proxy_concurrency, |most| {
                    most.get()
                }),
            rotating_concurrency: args.limits.proxy_concurrency.map(NonZeroU32::get),
            connect_timeout: args.request.connect_timeout.0,
            without: None,
        },
        ban: args.bans.settings(),
        egress: egress::Settings {
            max_filesize: args.request.max_filesize.0,
            compressed: !args.request.no_compressed,
            insecure: args.request.insecure,
            cacert: args.request.cacert.clone(),
            proxy_insecure: args.proxies.list.proxy_insecure,
            proxy_cacert: args.proxies.list.proxy_cacert.clone(),
            http: match (args.request.http1_1, args.request.http2) {
                (true, _) => HttpVersions::Http1,
                (false, true) => HttpVersions::Http2,
                (false, false) => HttpVersions::Auto,
            },
            max_per_proxy: args.limits.proxy_concurrency,
            ..egress::Settings::default()
        },
        engine: engine::Settings {
            follow: !args.request.no_location,
            max_redirs: args.request.max_redirs,
            max_time: args.request.max_time.0,
            sticky: args.rotation.sticky.clone(),
            headers: args.output.headers,
            bodies: args.output.body != output::BodyMode::None,
            resumed: args.output.resume,
            robots: obedience(args.input.robots, &files, &request),
            extract: extractor,
            seed: args.run.seed,
            hedge: !args.retry.no_hedge,
            caps: args.budget.caps(),
            probe_concurrency: args.limits.probe_concurrency.get() as usize,
            ..engine::Settings::default()
        },
        max_fail: args.run.max_fail,
        stats: args.run.stats.clone(),
        why: args.run.why,
        record: args.run.record.clone(),
        state: args.run.state.clone(),
        start: start(args)?,
        request,
    })
}

fn sources(texts: &[String]) -> Result<Vec<input::Source>, Problem> {
    texts.iter().map(|text| input::Source::of(text)).collect()
}

/// What is waited for first.
fn start(args: &FetchArgs) -> Result<Start, Problem> {
    let output = args.output.output.as_deref();
    let output = output.filter(|path| path.as_os_str() != "-");
    let beside = output.or(args.run.state.as_deref());
    Ok(Start {
        jitter: args.run.start_jitter.map(|span| span.0).unwrap_or_default(),
        lock: LockSettings::of(&args.run.lock, beside)?,
    })
}

/// Whose robots.txt is obeyed: everybody's or nobody's, as told, else that of sites whose sitemaps are read.
fn obedience(
    asked: Option<Robots>,
    files: &[input::Source],
    request: &RequestSpec,
) -> Option<Arc<Obedience>> {
    let named = match asked {
        Some(Robots::Ignore) => return None,
        Some(Robots::Obey) => true,
        None if files.iter().any(input::Source::is_sitemap) => false,
        None => return None,
    };
    let user_agent = request.headers.get(USER_AGENT);
    let user_agent = user_agent.and_then(|value| value.to_str().ok());
    Some(Arc::new(Obedience {
        named,
        token: product_token(user_agent).into(),
        headers: request.asking_headers(),
    }))
}

/// What is to be extracted, compiled; `None` for nothing.
fn extractor(
    args: &FetchArgs,
    read: &mut dyn FnMut(&Path) -> Result<Vec<u8>, Error>,
) -> Result<Option<Arc<Extractor>>, Error> {
    let flags = &args.extract;
    let settings = extract::Settings {
        select: flags.select.clone(),
        rows: flags.rows.clone(),
        profile: match &flags.extract {
            Some(name) => Some(profile_file(name, "--extract", read)?),
            None => None,
        },
        ..extract::Settings::default()
    };
    if settings.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(Extractor::new(&settings)?)))
}

/// The profile in this file, or the built-in one of this name. What has a dot or a slash is a file.
///
/// # Errors
/// It cannot be read or is no text.
pub fn profile_file(
    name: &str,
    flag: &str,
    read: &mut dyn FnMut(&Path) -> Result<Vec<u8>, Error>,
) -> Result<ProfileFile, Error> {
    if !name.contains(['.', '/']) && name != "-" {
        return extract::built_in(name).ok_or_else(|| {
            let names: Vec<&str> = extract::built_in_names().collect();
            Problem::new(format!("there is no built-in profile {name:?}"))
                .at(flag)
                .hint(format!(
                    "there are {}; the name of a file has a dot or a slash",
                    names.join(", ")
                ))
                .into()
        });
    }
    let text = String::from_utf8(read(Path::new(name))?)
        .map_err(|_| Problem::new("a profile has to be UTF-8").at(name))?;
    Ok(ProfileFile {
        name: name.to_owned(),
        text,
    })
}

/// Suffixes of formats that are not written.
const FOREIGN: [&str; 13] = [
    "gz", "zst", "xz", "bz2", "zip", "tsv", "xlsx", "xls", "ods", "parquet", "db", "sqlite",
    "sqlite3",
];

/// The format of a file by its name, which must not promise another one.
fn format_of(path: Option<&Path>) -> Result<Format, Problem> {
    let suffix = path.and_then(Path::extension).and_then(OsStr::to_str);
    let suffix = suffix.unwrap_or_default().to_ascii_lowercase();
    if FOREIGN.contains(&&*suffix) {
        return Err(Problem::new(format!("no output is written as .{suffix}"))
            .at("--output")
            .hint(
                "name a .jsonl, .json or .csv file, or say with --format what is to be in this one",
            ));
    }
    Ok(Format::of(path))
}

fn output(args: &FetchArgs, extractor: Option<&Extractor>) -> Result<output::Settings, Problem> {
    let flags = &args.output;
    let path = flags.output.clone().filter(|path| path.as_os_str() != "-");
    let format = match flags.format {
        Some(format) => format,
        None => format_of(path.as_deref())?,
    };
    Ok(output::Settings {
        format,
        path,
        fields: (!flags.fields.is_empty()).then(|| {
            let names = flags.fields.iter();
            names.map(|name| name.trim().to_owned()).collect()
        }),
        mode: if flags.append {
            Mode::Append
        } else if flags.overwrite {
            Mode::Overwrite
        } else if flags.resume {
            Mode::Resume
        } else {
            Mode::New
        },
        retry_failed: flags.retry_failed,
        csv_raw: flags.csv_raw,
        body: flags.body,
        save_dir: flags.save_dir.clone(),
        attempts: flags.attempts,
        write_out: flags.write_out.clone(),
        tag_columns: Vec::new(),
        extract_columns: extractor.map_or_else(Vec::new, |extractor| {
            extractor.field_names().map(str::to_owned).collect()
        }),
        rows: extractor.is_some_and(Extractor::has_rows),
    })
}

fn request_parts(args: &FetchArgs, matches: &ArgMatches) -> RequestParts {
    let flags = &args.request;
    let kinds = [
        ("data", DataKind::Text, &flags.data),
        ("data_raw", DataKind::Raw, &flags.data_raw),
        ("data_binary", DataKind::Binary, &flags.data_binary),
        ("json", DataKind::Json, &flags.json),
    ];
    let mut data: Vec<(usize, Data)> = Vec::new();
    for (id, kind, values) in kinds {
        let places = matches.indices_of(id).into_iter().flatten();
        data.extend(places.zip(values).map(|(place, text)| {
            let text = text.clone();
            (place, Data { kind, text })
        }));
    }
    data.sort_by_key(|(place, _)| *place);
    RequestParts {
        method: flags.request.clone(),
        headers: flags.header.clone(),
        data: data.into_iter().map(|(_, data)| data).collect(),
        user_agent: flags.user_agent.clone(),
        referer: flags.referer.clone(),
        cookies: flags.cookie.clone(),
        user: flags.user.clone(),
        compressed: !flags.no_compressed,
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::cli::args::root;

    fn resolved(line: &[&str]) -> Resolved {
        let words = ["proxywheel", "fetch"].iter().chain(line);
        let matches = root().try_get_matches_from(words).expect("parses");
        let matches = matches.subcommand_matches("fetch").expect("fetch");
        let args = FetchArgs::from_arg_matches(matches).expect("args");
        resolve(&args, matches, &mut |path| {
            Ok(format!("<{}>", path.display()).into_bytes())
        })
        .expect("resolves")
    }

    #[test]
    fn without_flags_every_section_is_its_own_default() {
        let resolved = resolved(&[]);
        assert_eq!(resolved.proxies, ProxySources::default());
        assert_eq!(resolved.input, input::Settings::default());
        assert_eq!(resolved.output, output::Settings::default());
        assert_eq!(resolved.limit, limit::Settings::default());
        assert_eq!(resolved.retry, retry::Settings::default());
        assert_eq!(resolved.pool, pool::Settings::default());
        assert_eq!(resolved.ban, crate::ban::Settings::default());
        assert_eq!(resolved.egress, egress::Settings::default());
        // The command line keeps no bodies unless asked to; the library hands them out.
        let engine = engine::Settings {
            bodies: false,
            ..engine::Settings::default()
        };
        assert_eq!(resolved.engine, engine);
        assert_eq!(resolved.max_fail, crate::config::MaxFail::default());
    }

    #[test]
    fn bodies_keep_the_order_of_the_flags() {
        let resolved = resolved(&["--data-raw", "@b", "-d", "a", "--data-binary=@f", "-d", "c"]);
        assert_eq!(resolved.request.body, "@b&a&<f>&c");
    }

    #[test]
    fn the_last_of_a_pair_of_switches_counts() {
        assert!(!resolved(&["-L", "--no-location"]).engine.follow);
        assert!(resolved(&["--no-location", "-L"]).engine.follow);
        assert!(!resolved(&["--no-compressed"]).egress.compressed);
        let asks = |line: &[&str]| {
            resolved(line)
                .request
                .headers
                .contains_key("accept-encoding")
        };
        assert!(asks(&[]) && !asks(&["--no-compressed"]));
        // Whoever does not ask may be answered so all the same.
        let silent = ["-H", "accept-encoding:"];
        assert!(!asks(&silent) && resolved(&silent).egress.compressed);
    }

    #[test]
    fn the_format_goes_by_suffix_unless_named() {
        assert_eq!(resolved(&["-o", "a.CSV"]).output.format, Format::Csv);
        assert_eq!(
            resolved(&["-o", "a.csv", "--format", "json"]).output.format,
            Format::Json
        );
        assert_eq!(resolved(&["-o", "a.out"]).output.format, Format::Jsonl);
        assert_eq!(resolved(&["-o", "-"]).output.path, None);
    }
}
