//! The architecture, held by a test: who may import whom, and that platforms are data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The layer of each module at the top of `src/`; a module may import from its own layer and from lower ones.
const LAYERS: &[(&str, u8)] = &[
    ("error", 0),
    ("secret", 0),
    ("time", 0),
    ("unit", 0),
    // It stands alone: imported by the command line, importing nothing.
    ("simulate", 0),
    ("pipeline", 1),
    ("ledger", 1),
    ("plan", 1),
    ("refresh", 1),
    ("request", 1),
    ("page", 1),
    ("allowance", 1),
    ("body", 1),
    ("usage", 1),
    ("classify", 1),
    ("retry", 1),
    ("decode", 1),
    ("merge", 1),
    ("quality", 1),
    ("telemetry", 2),
    ("state", 2),
    ("lake", 2),
    ("quota", 2),
    ("http", 2),
    ("cassette", 2),
    ("query", 2),
    ("fetch", 3),
    ("gaps", 3),
    ("run", 3),
    ("reconcile", 3),
    ("rewrite", 3),
    ("schedule", 3),
    ("serve", 3),
    ("simulate", 3),
    ("cli", 4),
];

/// Words that would mean a platform's behaviour had become code.
const PLATFORMS: &[&str] = &[
    "meta_ads",
    "facebook",
    "instagram",
    "google",
    "tiktok",
    "snapchat",
    "pinterest",
    "bing",
    "reddit",
    "twitter",
    "linkedin",
    "amazon",
    "apple",
];

/// A reader gives up on longer files.
const LONGEST_FILE: usize = 450;

fn source_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 20, "src was not found");
    files
}

/// The module at the top of `src/` to which a file belongs.
fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("below src");
    let first = below.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "fixture.rs")))
}

/// The file's lines before its inline test module.
fn product_lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a source file");
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
    text.lines().map(str::to_owned).collect()
}

fn imports(lines: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in lines.iter().filter(|line| !line.trim_start().starts_with("//")) {
        for piece in line.split("crate::").skip(1) {
            let name: String = piece.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                found.insert(name);
            }
        }
    }
    found
}

fn layer(module: &str) -> u8 {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map_or_else(|| panic!("`{module}` has no layer"), |(_, layer)| *layer)
}

#[test]
fn files_import_only_downward_and_never_in_a_circle() {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in source_files() {
        let module = module_of(&path);
        if matches!(module.as_str(), "lib" | "main") || is_test_file(&path) {
            continue;
        }
        for import in imports(&product_lines(&path)) {
            assert!(layer(&import) <= layer(&module), "{} imports `{import}`, which is above it", path.display());
            assert!(
                module != "simulate" || import == "simulate",
                "{} imports `{import}`: the simulated API stands alone",
                path.display()
            );
            if import != module {
                graph.entry(module.clone()).or_default().insert(import);
            }
        }
    }
    for start in graph.keys() {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = graph[start].iter().collect();
        while let Some(next) = open.pop() {
            assert_ne!(next, start, "`{start}` imports itself through others");
            if seen.insert(next) {
                open.extend(graph.get(next).into_iter().flatten());
            }
        }
    }
}

#[test]
fn no_platform_is_named_in_the_source() {
    for path in source_files().iter().filter(|path| !is_test_file(path)) {
        for (number, line) in product_lines(path).iter().enumerate() {
            let line = line.to_lowercase();
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            let named = words
                .find(|word| PLATFORMS.iter().any(|name| word.split('_').any(|part| part == *name) || word == name));
            assert!(named.is_none(), "{}:{} names the platform {named:?}", path.display(), number + 1);
        }
    }
}

#[test]
fn files_stay_readable() {
    for path in source_files() {
        let lines = std::fs::read_to_string(&path).expect("a source file").lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines: split it by idea", path.display());
    }
}
