//! Engines of other people read the lake: the rows are the truth, once each, in the types that `docs/lake.md` names.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::outside::{finished, python, script};
use crate::sandbox::{Api, Sandbox};

/// Days with a shifted clock in both halves of the world, so that offsets and half hours are among the rows.
const NOW: &str = "2026-10-26T12:00:00Z";
/// What the first run goes back to at most, and what is settled at `NOW`.
const RANGE: (&str, &str) = ("2026-10-20T00:00:00Z", "2026-10-26T12:00:00Z");
const ZONES: &str = "Europe/Berlin,America/New_York,Asia/Kolkata,Pacific/Apia,Asia/Kathmandu,UTC";

/// A lake after one run, and what is true of its hours.
struct Filled {
    sandbox: Sandbox,
    truth: Vec<Value>,
}

fn fill(edits: &[(&str, &str)]) -> Filled {
    let api = Api::start(&["--accounts", "6", "--campaigns", "4", "--zones", ZONES, "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    for (from, to) in edits {
        sandbox.edit(from, to);
    }
    sandbox.run(&["run", "demo"]).expect_code(0);
    let found = sandbox.lake("demo");
    let hours = found.keys().map(|(_, _, hour)| *hour);
    let (first, last) = (hours.clone().min().expect("rows"), hours.max().expect("rows"));
    let text = api.get(&format!("/sim/truth?from={}&to={}", RANGE.0, RANGE.1));
    let truth: Vec<Value> = text
        .lines()
        .map(|line| as_in_the_lake(&serde_json::from_str(line).expect("a row")))
        .filter(|row| (first..=last).contains(&row["hour"].as_i64().expect("an hour")))
        .collect();
    assert!(truth.len() > 1000, "too few rows to mean anything: {}", truth.len());
    Filled { sandbox, truth: settled(truth) }
}

/// The newest hours of the truth have not settled: they are due later.
fn settled(truth: Vec<Value>) -> Vec<Value> {
    let now = instant(NOW);
    truth.into_iter().filter(|row| row["hour"].as_i64().expect("an hour") + 3600 + 1800 <= now).collect()
}

fn instant(text: &str) -> i64 {
    text.parse::<chrono::DateTime<chrono::FixedOffset>>().expect("an instant").timestamp()
}

/// A row of the API's truth as the readers' scripts print rows.
fn as_in_the_lake(row: &Value) -> Value {
    let text = |key: &str| row[key].as_str().expect(key).to_owned();
    let hour: chrono::DateTime<chrono::FixedOffset> = text("hour").parse().expect("an hour");
    let micros = row["spend_micros"].as_i64().expect("spend");
    let done = |kind: &str| {
        let actions = row["actions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let action = actions.iter().find(|action| action["action_type"] == kind);
        action.map_or(0, |action| action["value"].as_str().expect("a count").parse::<i64>().expect("a count"))
    };
    json!({
        "account_id": text("account_id"),
        "campaign_id": text("campaign_id"),
        "campaign_name": text("campaign_name"),
        "hour": hour.timestamp(),
        "local_hour": hour.naive_local().format("%Y-%m-%dT%H:%M:%S").to_string(),
        "utc_offset_minutes": hour.offset().local_minus_utc() / 60,
        "impressions": text("impressions").parse::<i64>().expect("impressions"),
        "clicks": row["clicks"],
        "spend": format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000),
        "conversions": format!("{:.4}", row["conversions"].as_f64().expect("conversions")),
        "link_clicks": done("link_click"),
        "purchases": done("purchase"),
        "updated_at": instant(&text("updated_at")),
    })
}

/// The rows that a script printed: its documents after the facts.
fn rows(documents: &[Value]) -> Vec<Value> {
    let rows = documents.iter().filter(|document| document.get("account_id").is_some());
    rows.map(|row| {
        let mut row = row.as_object().expect("a row").clone();
        let zone = row.shift_remove("account_timezone").expect("a zone");
        assert!(ZONES.split(',').any(|known| zone == known), "{zone} is no account's zone");
        Value::Object(row)
    })
    .collect()
}

#[track_caller]
fn assert_rows(found: &[Value], truth: &[Value]) {
    type Key = (String, String, i64);
    let by_key = |rows: &[Value]| -> BTreeMap<Key, Value> {
        let key = |row: &Value| {
            let text = |name: &str| row[name].as_str().expect(name).to_owned();
            (text("account_id"), text("campaign_id"), row["hour"].as_i64().expect("hour"))
        };
        let all: BTreeMap<Key, Value> = rows.iter().map(|row| (key(row), row.clone())).collect();
        assert_eq!(all.len(), rows.len(), "a key is there twice");
        all
    };
    let (found, truth) = (by_key(found), by_key(truth));
    for (key, row) in &truth {
        assert_eq!(found.get(key), Some(row), "{key:?}");
    }
    assert_eq!(found.len(), truth.len(), "rows that are not true");
}

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn types(document: &Value) -> Map<String, Value> {
    document["types"].as_object().expect("types").clone()
}

fn pairs(text: &str) -> Map<String, Value> {
    text.lines()
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(name, kind)| (name.to_owned(), Value::from(kind)))
        .collect()
}

const DUCKDB_TYPES: &str = "
    platform: VARCHAR
    account_id: VARCHAR
    account_name: VARCHAR
    account_timezone: VARCHAR
    currency: VARCHAR
    campaign_id: VARCHAR
    campaign_name: VARCHAR
    hour: TIMESTAMP WITH TIME ZONE
    local_hour: TIMESTAMP
    utc_offset_minutes: SMALLINT
    hours_covered: TINYINT
    impressions: BIGINT
    clicks: BIGINT
    spend: DECIMAL(18,6)
    conversions: DECIMAL(18,4)
    link_clicks: BIGINT
    purchases: BIGINT
    updated_at: TIMESTAMP WITH TIME ZONE
    seen_at: TIMESTAMP WITH TIME ZONE";

const PYARROW_TYPES: &str = "
    platform: string
    account_id: string
    account_name: string
    account_timezone: string
    currency: string
    campaign_id: string
    campaign_name: string
    hour: timestamp[us, tz=UTC]
    local_hour: timestamp[us]
    utc_offset_minutes: int16
    hours_covered: int8
    impressions: int64
    clicks: int64
    spend: decimal128(18, 6)
    conversions: decimal128(18, 4)
    link_clicks: int64
    purchases: int64
    updated_at: timestamp[us, tz=UTC]
    seen_at: timestamp[us, tz=UTC]
    date: string";

/// Both of DuckDB's ways to read the folder, and pyarrow's. `folders` are the further columns that folder names make.
#[track_caller]
fn assert_readers(python: &Path, filled: &Filled, folders: &str, pyarrow_folders: &str) -> Vec<Value> {
    let from_duckdb = documents(&script(python, filled.sandbox.path(), "lake_duckdb.py", &["data/lake/demo"]));
    for facts in &from_duckdb[..2] {
        assert_eq!(facts["rows"], filled.truth.len(), "{facts}");
        assert_eq!(facts["keys"], filled.truth.len(), "{facts}");
    }
    assert_eq!(types(&from_duckdb[0]), pairs(DUCKDB_TYPES));
    assert_eq!(types(&from_duckdb[1]), pairs(&format!("{DUCKDB_TYPES}\n{folders}")));
    assert_rows(&rows(&from_duckdb), &filled.truth);

    let from_pyarrow = documents(&script(python, filled.sandbox.path(), "lake_pyarrow.py", &["data/lake/demo"]));
    assert_eq!(types(&from_pyarrow[0]), pairs(&format!("{PYARROW_TYPES}\n{pyarrow_folders}")));
    assert_rows(&rows(&from_pyarrow), &filled.truth);
    from_pyarrow
}

/// The columns of which an hour has one value or a few.
const SHORT: [&str; 8] = [
    "account_timezone",
    "currency",
    "hour",
    "hours_covered",
    "local_hour",
    "platform",
    "seen_at",
    "utc_offset_minutes",
];

#[test]
fn duckdb_and_pyarrow_read_what_is_true() {
    let Some(python) = python("duckdb_and_pyarrow_read_what_is_true") else { return };
    let filled = fill(&[]);
    let documents = assert_readers(&python, &filled, "date: DATE", "");

    let files: Vec<&Value> = documents.iter().filter(|document| document.get("groups").is_some()).collect();
    assert_eq!(files.len(), filled.sandbox.files("demo").len());
    for file in files {
        let groups = file["groups"].as_array().expect("groups");
        let mut before = i64::MIN;
        for group in groups {
            let (from, to) = (group["from"].as_i64().expect("hour"), group["to"].as_i64().expect("hour"));
            let shares = from.div_euclid(3600) < to.div_euclid(3600);
            assert!(!shares || group["rows"].as_i64().is_some_and(|rows| rows <= 16 * 1024), "too many rows: {file}");
            assert!(from > before, "row groups out of order: {file}");
            before = to;
            assert_eq!(group["sorted"], true, "{file}");
            assert_eq!(group["without_statistics"], json!([]), "{file}");
            assert_eq!(group["without_page_index"], json!([]), "{file}");
            assert_eq!(group["compression"], json!(["ZSTD"]));
            assert_eq!(group["uncompressed"], json!(SHORT));
            assert_eq!(group["sorted_by"], json!(["hour", "account_id", "campaign_id"]));
        }
        assert_eq!(file["metadata"]["hourmark.pipeline"], "demo");
        assert_eq!(file["metadata"]["hourmark.key"], "hour,account_id,campaign_id");
        assert!(file["metadata"].get("hourmark.generation").is_none(), "the file tells of its past");
    }
    documented_snippets_run(&python, &filled);
}

#[test]
fn folders_by_hour_hide_no_column() {
    let Some(python) = python("folders_by_hour_hide_no_column") else { return };
    let filled = fill(&[(r#"partition_by = ["date"]"#, r#"partition_by = ["date", "hour"]"#)]);
    let first = filled.sandbox.files("demo").remove(0);
    let first = first.strip_prefix(filled.sandbox.lake_path().join("demo")).expect("below the lake");
    assert!(first.iter().nth(1).is_some_and(|part| part.to_string_lossy().starts_with("utc_hour=")), "{first:?}");
    assert_readers(&python, &filled, "date: DATE\nutc_hour: VARCHAR", "utc_hour: int32");
}

#[test]
fn buckets_split_dates_by_account() {
    let Some(python) = python("buckets_split_dates_by_account") else { return };
    let filled = fill(&[("buckets = 1", "buckets = 4")]);
    let files = filled.sandbox.files("demo");
    let names: std::collections::BTreeSet<String> =
        files.iter().map(|file| file.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    assert!(names.len() > 1, "six accounts fell into one of four buckets: {names:?}");
    assert!(names.iter().all(|name| name.starts_with("bucket-0")), "{names:?}");
    assert_readers(&python, &filled, "date: DATE", "");
}

/// Every piece of code in `docs/lake.md` runs as it stands there.
fn documented_snippets_run(python: &Path, filled: &Filled) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lake.md");
    let text = std::fs::read_to_string(path).expect("docs/lake.md");
    let mut run = 0;
    for block in text.split("```").skip(1).step_by(2) {
        let (language, code) = block.split_once('\n').expect("a fence's language");
        let program = match language {
            "sql" => format!("import duckdb\nprint(duckdb.sql({code:?}))"),
            "python" => format!("{code}\nassert table.num_rows == {}", filled.truth.len()),
            // Its commands run where those of all documents do.
            "text" | "sh" => continue,
            other => panic!("docs/lake.md has code in `{other}`, which this test cannot run"),
        };
        let out = finished(Command::new(python).args(["-c", &program]).current_dir(filled.sandbox.path()));
        assert!(language != "sql" || out.contains("2026-10-2"), "{code}\n{out}");
        run += 1;
    }
    assert_eq!(run, 2, "the document's pieces of code");
}
