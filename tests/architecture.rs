//! The structure that `docs/architecture.md` describes, checked as text: modules use lower layers only, foreign crates stay in
//! their homes, files stay readable.

use std::fs;
use std::path::{Path, PathBuf};

/// Top-level modules with their layer. A module may name modules of a lower layer only, and itself.
const LAYERS: &[(&str, u8)] = &[
    ("error", 0),
    ("secret", 0),
    ("proxy", 0),
    ("job", 0),
    ("exchange", 0),
    ("observation", 0),
    ("outcome", 0),
    ("text", 0),
    ("nearest", 0),
    ("units", 0),
    ("echo", 0),
    ("ban", 1),
    ("extract", 1),
    ("limit", 1),
    ("retry", 1),
    ("pool", 1),
    ("robots", 1),
    ("egress", 2),
    ("input", 2),
    ("output", 2),
    ("state", 2),
    ("metrics", 3),
    ("engine", 4),
    ("check", 4),
    ("lab", 5),
    ("track", 5),
    ("client", 6),
    ("config", 7),
    ("cli", 8),
];

/// Foreign crates and the only places that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("reqwest", &["src/egress/direct.rs"]),
    ("hyper", &["src/egress", "src/lab"]),
    ("hyper_util", &["src/egress", "src/lab"]),
    ("h2", &["src/egress", "src/lab"]),
    ("rustls", &["src/egress", "src/lab"]),
    ("tokio_rustls", &["src/egress", "src/lab"]),
    ("async_compression", &["src/egress", "src/lab"]),
    ("cookie_store", &["src/egress"]),
    (
        "encoding_rs",
        &["src/text", "src/output/body.rs", "src/lab"],
    ),
    ("aho_corasick", &["src/ban"]),
    (
        "scraper",
        &["src/ban/expect.rs", "src/extract", "src/text/html.rs"],
    ),
    ("html5ever", &["src/text"]),
    ("serde_json_path", &["src/extract"]),
    ("similar", &["src/track"]),
    (
        "flate2",
        &[
            "src/egress/inflate.rs",
            "src/input/saved",
            "src/input/sitemap",
        ],
    ),
    ("rcgen", &["src/lab"]),
    ("clap", &["src/cli", "src/config"]),
    ("maxminddb", &["src/check/geo.rs"]),
    ("indicatif", &["src/cli"]),
    ("tracing_subscriber", &["src/cli"]),
    ("rusqlite", &["src/state"]),
    (
        "toml",
        &[
            "src/config",
            "src/ban",
            "src/extract",
            "src/lab",
            "src/proxy/presets",
            "src/track",
        ],
    ),
];

/// Longest file, tests included (docs/architecture.md).
const CEILING: usize = 600;

fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Path from the package root, and the code without comments.
fn code(path: &Path) -> (String, String) {
    let text = fs::read_to_string(path).expect("readable source");
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let name = path
        .strip_prefix(root())
        .expect("below the root")
        .to_string_lossy()
        .into_owned();
    (name, code.join("\n"))
}

fn layer(module: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

#[test]
fn modules_use_lower_layers_only() {
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let (name, code) = code(&path);
        let module = name
            .trim_start_matches("src/")
            .split(['/', '.'])
            .next()
            .unwrap_or_default();
        if matches!(module, "lib" | "main") {
            continue;
        }
        let Some(own) = layer(module) else {
            wrong.push(format!("{name}: module {module} has no layer"));
            continue;
        };
        // The lab stands for the outside world: it may know the vocabulary and nothing of the program.
        let below = if module == "lab" { 1 } else { own };
        for used in code.split("crate::").skip(1) {
            let used: String = used
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            // The types of the vocabulary name each other; everything else goes downwards.
            let allowed = |layer: u8| layer < below || (layer == 0 && own == 0);
            if used != module && layer(&used).is_some_and(|layer| !allowed(layer)) {
                wrong.push(format!("{name} uses crate::{used}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "upward or sideways uses:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn foreign_crates_stay_at_home() {
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let (name, code) = code(&path);
        for (foreign, homes) in HOMES {
            let named = [format!("{foreign}::"), format!("use {foreign};")]
                .iter()
                .any(|pattern| is_named(&code, pattern));
            if named && !homes.iter().any(|home| name.starts_with(home)) {
                wrong.push(format!(
                    "{name} names {foreign}; its home is {}",
                    homes.join(", ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// True when `pattern` occurs as a path of its own, not as the tail of another (`hyper::` in `my_hyper::`).
fn is_named(code: &str, pattern: &str) -> bool {
    code.match_indices(pattern).any(|(at, _)| {
        !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn files_stay_below_the_ceiling() {
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches"] {
        let folder = root().join(folder);
        if !folder.is_dir() {
            continue;
        }
        for path in sources(&folder) {
            let lines = fs::read_to_string(&path)
                .expect("readable source")
                .lines()
                .count();
            if lines > CEILING {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(
        long.is_empty(),
        "files above {CEILING} lines:\n{}",
        long.join("\n")
    );
}
