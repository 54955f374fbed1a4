//! The lake from its cassettes, and nothing but them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::sandbox::{Api, Ran, Sandbox, TOKEN, assert_same};
use super::story::*;

/// Runs at these moments: the first one reads three days, the others what is due then.
const MOMENTS: [&str; 5] =
    [NOW, "2026-11-20T13:05:00Z", "2026-11-20T15:05:00Z", "2026-11-21T14:10:00Z", "2026-11-23T12:10:00Z"];
/// All dates that have rows.
const DATES: [&str; 4] = ["--from", "2026-11-17", "--to", "2026-11-24"];

/// Two accounts in a request, several pages a request, responses kept.
const FLAGS: [&str; 12] = [
    "--set",
    "raw=30d",
    "--set",
    "quotas.0.requests=5000",
    "--set",
    "request.accounts_per_request=2",
    "--set",
    "retry.base=10ms",
    "--set",
    "pagination.page_size=40",
    "--set",
    "window.size=12",
];

fn with<'a>(first: &[&'a str]) -> Vec<&'a str> {
    first.iter().chain(&FLAGS).copied().collect()
}

/// The next sandbox with everything that the last one has, at another moment.
fn later(before: &Sandbox, api: &Api, now: &str) -> Sandbox {
    let next = Sandbox::new(api, Some(now));
    copy(&before.path().join("data"), &next.path().join("data"));
    next
}

/// Several runs over three and a half days, with restatements, rows that are taken back, and an answer that the guard
/// refuses. The platform is gone when it is over.
fn recorded() -> Sandbox {
    let api = api(&["--accounts", "3", "--campaigns", "10", "--zones", "UTC,Asia/Kolkata,America/New_York"]);
    let mut sandbox = Sandbox::new(&api, Some(NOW));
    for (number, now) in MOMENTS.into_iter().enumerate() {
        api.post("/sim/clock", &format!(r#"{{"now":"{now}"}}"#));
        if number > 0 {
            sandbox = later(&sandbox, &api, now);
        }
        sandbox.run(&with(&["run", "demo"])).expect_code(0);
        if number == 2 {
            // The next answers for a whole day are empty: refused.
            let hole = r#"{"from":"2026-11-18T00:00:00Z","to":"2026-11-19T12:00:00Z","until":"2027-01-01T00:00:00Z"}"#;
            api.post("/sim/accounts/100001", &format!(r#"{{"holes":[{hole}]}}"#));
            let again = ["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19", "--again"];
            let ran = sandbox.run(&with(&again)).expect_code(1);
            assert!(ran.err.contains("re-fetch"), "{}", ran.err);
            api.post("/sim/accounts/100001", r#"{"holes":[]}"#);
        }
    }
    assert!(sandbox.lake("demo").len() > 1000, "{} rows", sandbox.lake("demo").len());
    drop(api);
    // From here on nobody needs the token either.
    sandbox
}

/// The command without the secret's variable.
fn without_secret(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    let mut command = sandbox.command(&with(arguments));
    command.env_remove("HOURMARK_DEMO_TOKEN");
    Ran::of(command.output().expect("the program runs"))
}

fn replay(sandbox: &Sandbox) -> Ran {
    without_secret(sandbox, &[&["replay", "demo"][..], &DATES].concat())
}

fn remove_partitions(sandbox: &Sandbox) {
    for entry in fs::read_dir(sandbox.lake_path().join("demo")).expect("the lake's folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            fs::remove_dir_all(path).expect("removed");
        }
    }
    assert!(published(sandbox).is_empty());
}

fn remove_state(sandbox: &Sandbox) {
    for entry in fs::read_dir(sandbox.path().join("data")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("state.db")) {
            fs::remove_file(path).expect("removed");
        }
    }
}

/// Every file of the lake's cassettes.
fn cassettes(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![sandbox.lake_path().join("_raw/demo")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// A cassette's lines.
fn lines(path: &Path) -> Vec<String> {
    let decoder = zstd::stream::read::Decoder::new(fs::File::open(path).expect("a cassette")).expect("zstd");
    BufReader::new(decoder).lines().map(|line| line.expect("a line")).collect()
}

/// All columns of all rows of a file, with `seen_at`, but without what its footer says.
fn columns(path: &Path, bytes: &[u8]) -> Vec<(String, arrow::array::ArrayRef)> {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let mut columns = Vec::new();
    let bytes = bytes::Bytes::from(bytes.to_vec());
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").build().expect("Parquet");
    for batch in reader {
        let batch = batch.expect("rows");
        let names = batch.schema();
        for (field, column) in names.fields().iter().zip(batch.columns()) {
            columns.push((format!("{} {}", path.display(), field.name()), column.clone()));
        }
    }
    columns
}

#[track_caller]
fn assert_same_rows(sandbox: &Sandbox, original: &[(PathBuf, Vec<u8>)]) {
    let found = contents(sandbox);
    let names = |contents: &[(PathBuf, Vec<u8>)]| contents.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(original));
    for ((path, found), (_, original)) in found.iter().zip(original) {
        let (found, original) = (columns(path, found), columns(path, original));
        assert_eq!(found.len(), original.len());
        for ((name, found), (_, original)) in found.iter().zip(&original) {
            assert!(found == original, "{name} is not the same:\n{found:?}\n{original:?}");
        }
    }
}

#[test]
fn lost_partitions_come_back_and_then_nothing_is_left_to_write() {
    let sandbox = recorded();
    let original = contents(&sandbox);
    let known = status(&sandbox);

    let ran = replay(&sandbox).expect_code(0);
    assert!(contents(&sandbox) == original, "a file was written for nothing\n{}", ran.err);
    assert_eq!(numbers(&ran, "partitions")[1], 0, "{}", ran.err);

    remove_partitions(&sandbox);
    let ran = replay(&sandbox).expect_code(0);
    assert!(ran.err.contains("re-fetch"), "the refused unit is refused again: {}", ran.err);
    assert_same_rows(&sandbox, &original);
    assert!(!sandbox.lake_path().join("_replay/demo").exists());
    let after = status(&sandbox);
    for key in ["accounts", "failed"] {
        assert_eq!(after[key], known[key], "{key}");
    }
    assert!(staged(&sandbox).is_empty());
}

#[test]
fn a_lost_state_comes_back_too() {
    let sandbox = recorded();
    let original = contents(&sandbox);
    let (known, marks) = (status(&sandbox), watermarks(&sandbox));
    remove_partitions(&sandbox);
    remove_state(&sandbox);
    replay(&sandbox).expect_code(0);
    assert_same_rows(&sandbox, &original);
    assert_eq!(watermarks(&sandbox), marks);
    assert_eq!(status(&sandbox)["failed"], known["failed"]);
}

#[test]
fn every_byte_comes_back() {
    let sandbox = recorded();
    let original = contents(&sandbox);
    remove_partitions(&sandbox);
    replay(&sandbox).expect_code(0);
    assert!(contents(&sandbox) == original);
}

#[test]
fn no_cassette_holds_the_token() {
    let sandbox = recorded();
    let all = cassettes(&sandbox);
    assert!(all.len() > 20, "{all:?}");
    let mut dropped = 0;
    for path in &all {
        let lines = lines(path);
        assert!(lines[0].starts_with("{\"cassette\":1,"), "{}", lines[0]);
        assert!(lines.last().expect("a line").contains("\"line\":\"end\""), "{}", path.display());
        for line in &lines {
            assert!(!line.contains(TOKEN), "{}: {line}", path.display());
            dropped += usize::from(line.contains("authorization"));
        }
    }
    assert_eq!(dropped, 0);
}

#[test]
fn a_mended_column_is_read_again() {
    let sandbox = recorded();
    let right = sandbox.lake("demo");
    // The file had named the wrong field since the beginning.
    let wrong = with(&["replay", "demo", "--set", "columns.clicks.from=impressions"]);
    let wrong: Vec<&str> = wrong.into_iter().chain(DATES).collect();
    sandbox.run(&wrong).expect_code(0);
    assert!(sandbox.lake("demo") != right);
    let only: Vec<&str> = ["replay", "demo", "--accounts", "100002"].into_iter().chain(DATES).collect();
    without_secret(&sandbox, &only).expect_code(0);
    for (key, values) in &sandbox.lake("demo") {
        assert_eq!(right[key] == *values, key.0 == "100002" || values.0 == right[key].1, "{key:?}");
    }
    replay(&sandbox).expect_code(0);
    assert_same(&sandbox.lake("demo"), &right);
}

#[test]
fn what_cassettes_do_not_tell_of_stays() {
    let sandbox = recorded();
    let original = contents(&sandbox);
    // The first run's cassettes are gone: three days were first read then.
    for path in cassettes(&sandbox) {
        if path.to_string_lossy().contains("20261120T120000Z-") {
            fs::remove_file(path).expect("removed");
        }
    }
    let ran = replay(&sandbox).expect_code(0);
    assert!(contents(&sandbox) == original, "{}", ran.err);
    assert!(numbers(&ran, "left")[0] > 10, "{}", ran.err);
}

#[test]
fn a_broken_cassette_is_named_and_left_out() {
    let sandbox = recorded();
    let all = cassettes(&sandbox);
    let broken = all.iter().rev().find(|path| !path.to_string_lossy().contains("accounts")).expect("a cassette");
    let bytes = fs::read(broken).expect("a cassette");
    fs::write(broken, &bytes[..bytes.len() - 20]).expect("cut off");
    let ran = replay(&sandbox).expect_code(1);
    let name = broken.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(ran.err.contains(&name), "{}", ran.err);
}

#[test]
fn responses_are_not_kept_where_nobody_asked_for_it_and_go_with_their_age() {
    let api = api(&["--accounts", "1", "--campaigns", "2", "--zones", "UTC"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    assert!(!sandbox.lake_path().join("_raw").exists());
    sandbox
        .run(&quick(&["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-20", "--again", "--set", "raw=1d"]))
        .expect_code(0);
    let kept = cassettes(&sandbox).len();
    assert!(kept >= 2);
    let shown = sandbox.run(&["cassette", "list", "demo"]).expect_code(0).out;
    assert!(shown.starts_with(&format!("demo: {kept} cassettes")), "{shown}");
    let next = later(&sandbox, &api, "2026-11-23T12:00:00Z");
    next.run(&quick(&["run", "demo", "--set", "raw=1d"])).expect_code(0);
    assert!(cassettes(&next).iter().all(|path| path.to_string_lossy().contains("/2026-11-23/")));
}

#[test]
fn a_folder_that_cannot_be_written_fails_no_unit() {
    let api = api(&["--accounts", "1", "--campaigns", "2", "--zones", "UTC"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    fs::create_dir_all(sandbox.lake_path()).expect("a folder");
    fs::write(sandbox.lake_path().join("_raw"), "a file").expect("a file");
    let ran = sandbox.run(&with(&["run", "demo"])).expect_code(0);
    assert_eq!(ran.err.matches("responses are not kept").count(), 1, "{}", ran.err);
    assert!(numbers(&ran, "not kept")[0] > 1, "{}", ran.err);
}

#[test]
fn an_exported_unit_is_fit_to_be_shown() {
    let sandbox = recorded();
    let listed = sandbox.run(&["cassette", "list", "demo", "--format", "json"]).expect_code(0).out;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let unit = listed.as_array().expect("a list").iter().find(|it| it["accounts"] == 2 && it["unit"].is_string());
    let unit = unit.expect("a unit of two accounts");
    for name in ["unit", "digest", "path"] {
        let name = unit[name].as_str().expect("text");
        let text = sandbox.run(&["cassette", "export", name]).expect_code(0).out;
        assert!(text.contains("100001") && text.contains("[request.query]"), "{name}");
    }
    let digest = unit["digest"].as_str().expect("text");
    let campaigns: std::collections::BTreeSet<String> =
        sandbox.lake("demo").into_keys().map(|(_, campaign, _)| campaign).collect();
    sandbox.run(&["cassette", "export", digest, "--anonymous", "--output", "report.jsonl"]).expect_code(0);
    let text = fs::read_to_string(sandbox.path().join("report.jsonl")).expect("the export");
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    }
    let plain = sandbox.run(&["cassette", "export", digest]).expect_code(0).out;
    let header: serde_json::Value = serde_json::from_str(plain.lines().next().expect("a line")).expect("JSON");
    for account in header["accounts"].as_array().expect("accounts") {
        for word in [&account["id"], &account["name"]] {
            let word = word.as_str().expect("text");
            assert!(plain.contains(word) && !text.contains(word), "{word}");
        }
    }
    for campaign in campaigns.iter().filter(|campaign| plain.contains(*campaign)) {
        assert!(!text.contains(campaign), "{campaign}");
    }
    sandbox.run(&["cassette", "export", "nothing"]).expect_code(2);
}

/// `cassette serve` as a process; killed when it is dropped.
pub struct Served {
    process: Child,
    url: String,
}

impl Served {
    pub fn start(sandbox: &Sandbox, path: &str) -> Served {
        let mut command = sandbox.command(&["cassette", "serve", path]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("output")).read_line(&mut line).expect("its first line");
        Served { process, url: line.trim().rsplit(' ').next().expect("an address").to_owned() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

#[test]
fn cassettes_serve_as_the_platform() {
    let api = api(&["--accounts", "3", "--campaigns", "30", "--zones", "UTC,Asia/Kolkata"]);
    let original = Sandbox::new(&api, Some(NOW));
    original.run(&with(&["run", "demo"])).expect_code(0);
    drop(api);
    let served = Served::start(&original, "data/lake/_raw/demo");
    let again = Sandbox::at(&served.url, Some(NOW));
    again.run(&with(&["run", "demo"])).expect_code(0);
    assert_same(&again.lake("demo"), &original.lake("demo"));
    let ran = again.run(&with(&["backfill", "demo", "--from", "2026-11-01", "--to", "2026-11-02"])).expect_code(1);
    assert!(ran.err.contains("404"), "{}", ran.err);
}
