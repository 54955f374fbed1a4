//! Three simulated weeks of hourly runs, and whether the lake was true all the time.
//!
//! `cargo bench --bench truth [DAYS] [ACCOUNTS]` runs the program against `hourmark simulate`, each run and the API in
//! processes of their own, both clocks moved on by an hour each time. In the middle an account is revoked, an hour is
//! absent for a day, and the scheduler is down for nine hours. At each moment that is checked every row of the lake is
//! compared with what the API said of its hour at the moment at which the ledger says that it was last read; the rows as
//! they were are kept, and at the end `query --as-of` has to give them again. What it cost is compared with reading 28
//! days every hour, and with the fewest requests that could have brought the same rows.

#![allow(clippy::print_stdout)]

mod api;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, TimeDelta, Utc};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

const TOKEN: &str = "bench-token";
const ZONES: &str = "UTC,Europe/Berlin,America/New_York,Asia/Kolkata,Asia/Tokyo,America/Los_Angeles,Pacific/Auckland,Australia/Adelaide";
/// The first run.
const START: &str = "2026-10-05T00:35:00Z";
const CAMPAIGNS: usize = 4;
const PAGE: u64 = 500;
const BATCH: u64 = 10;
/// So many runs are left out in a row.
const DOWN: i64 = 9;

/// Account, campaign, hour in unix seconds.
type Key = (String, String, i64);
/// Impressions, clicks, spend in micros, conversions in thousandths.
type Values = (i64, i64, i128, i64);

struct Platform {
    process: Child,
    url: String,
}

impl Platform {
    fn start(accounts: usize) -> Platform {
        let (accounts, campaigns) = (accounts.to_string(), CAMPAIGNS.to_string());
        let (process, url) = api::start(&[
            "--token",
            TOKEN,
            "--zones",
            ZONES,
            "--clock",
            START,
            "--accounts",
            &accounts,
            "--campaigns",
            &campaigns,
        ]);
        Platform { process, url }
    }

    fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.url);
        block_on(async move { reqwest::get(url).await.expect("an answer").text().await.expect("text") })
    }

    fn post(&self, path: &str, body: String) {
        let url = format!("{}{path}", self.url);
        let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body);
        let status = block_on(async move { request.send().await.expect("an answer").status() });
        assert!(status.is_success(), "{path}: {status}");
    }

    /// Requests for metrics so far.
    fn metrics(&self) -> u64 {
        let stats: Value = serde_json::from_str(&self.get("/sim/stats")).expect("JSON");
        stats["by_endpoint"]["metrics"].as_u64().unwrap_or(0)
    }

    /// The ids of all accounts.
    fn accounts(&self, now: i64) -> Vec<String> {
        let rows = self.truth(now - 86_400, now, now);
        let ids: BTreeSet<String> = rows.into_keys().map(|key| key.0).collect();
        ids.into_iter().collect()
    }

    /// The rows of `[from, to)` as they were at `as_of`.
    fn truth(&self, from: i64, to: i64, as_of: i64) -> BTreeMap<Key, Values> {
        let path = format!("/sim/truth?from={}&to={}&asof={}", text(from), text(to), text(as_of));
        let mut rows = BTreeMap::new();
        for line in self.get(&path).lines() {
            let row: Value = serde_json::from_str(line).expect("a row");
            let hour: DateTime<Utc> = row["hour"].as_str().expect("hour").parse().expect("hour");
            let word = |name: &str| row[name].as_str().expect("text").to_owned();
            let values = (
                word("impressions").parse().expect("impressions"),
                row["clicks"].as_i64().expect("clicks"),
                i128::from(row["spend_micros"].as_i64().expect("spend")),
                (row["conversions"].as_f64().expect("conversions") * 1000.0).round() as i64,
            );
            rows.insert((word("account_id"), word("campaign_id"), hour.timestamp()), values);
        }
        rows
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn hourmark() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hourmark"))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn text(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).expect("a moment").format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A folder with the demo's pipeline, a quota that is never in the way, and a rule for accounts that are gone.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/demo.toml");
    let mut pipeline = std::fs::read_to_string(demo).expect("the demo's pipeline");
    pipeline.push_str("\n[[responses]]\nstatus = 403\npath = \"error.code\"\nequals = \"ACCOUNT_REVOKED\"\naction = \"skip_account\"\n");
    std::fs::create_dir(folder.path().join("pipelines")).expect("a folder");
    std::fs::write(folder.path().join("pipelines/demo.toml"), pipeline).expect("a pipeline");
    folder
}

/// Runs the program at `now`; gives its exit code and what it printed.
fn run(place: &Path, url: &str, now: i64, arguments: &[&str]) -> (i32, String, String) {
    let output = hourmark()
        .current_dir(place)
        .args(arguments)
        .args(["--now", &text(now), "--set", &format!("api.base_url={url}"), "--set", "quotas.0.requests=100000"])
        .env("HOURMARK_DEMO_TOKEN", TOKEN)
        .output()
        .expect("hourmark runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), said(&output.stdout), said(&output.stderr))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
}

fn read(path: &Path, rows: &mut BTreeMap<Key, Values>) {
    let file = std::fs::File::open(path).expect("a file");
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet") {
        let batch = batch.expect("rows");
        let column = |name: &str| batch.column_by_name(name).expect("a column").clone();
        let (accounts, campaigns, hours) = (column("account_id"), column("campaign_id"), column("hour"));
        let texts = |array: &arrow::array::ArrayRef| -> Vec<String> {
            let array = arrow::compute::cast(array, &arrow::datatypes::DataType::Utf8).expect("text");
            array.as_string::<i32>().iter().map(|text| text.expect("text").to_owned()).collect()
        };
        let (accounts, campaigns) = (texts(&accounts), texts(&campaigns));
        let hours = hours.as_primitive::<TimestampMicrosecondType>();
        let (impressions, clicks) = (column("impressions"), column("clicks"));
        let (spend, conversions) = (column("spend"), column("conversions"));
        for row in 0..batch.num_rows() {
            let key = (accounts[row].clone(), campaigns[row].clone(), hours.value(row) / 1_000_000);
            let values = (
                impressions.as_primitive::<Int64Type>().value(row),
                clicks.as_primitive::<Int64Type>().value(row),
                spend.as_primitive::<Decimal128Type>().value(row),
                // Four digits after the point.
                (conversions.as_primitive::<Decimal128Type>().value(row) / 10) as i64,
            );
            assert!(rows.insert(key.clone(), values).is_none(), "{key:?} is there twice");
        }
    }
}

fn lake(place: &Path) -> BTreeMap<Key, Values> {
    let mut paths = Vec::new();
    files(&place.join("data/lake/demo"), &mut paths);
    let mut rows = BTreeMap::new();
    for path in paths {
        read(&path, &mut rows);
    }
    rows
}

/// When each (account, hour) was last read.
fn ledger(place: &Path, url: &str, now: i64) -> HashMap<(String, i64), i64> {
    let sql = "select account_id, to_unixtime(hour) h, to_unixtime(confirmed_at) c from ledger";
    let (code, out, err) = run(place, url, now, &["query", sql, "--format", "csv"]);
    assert_eq!(code, 0, "{err}");
    let mut known = HashMap::new();
    for line in out.lines().skip(1) {
        let mut parts = line.split(',');
        let mut next = || parts.next().expect("three columns");
        let (id, hour, confirmed) = (next().to_owned(), next().parse().expect("h"), next().parse().expect("c"));
        known.insert((id, hour), confirmed);
    }
    known
}

/// What a check found.
#[derive(Debug, Default)]
struct Checked {
    rows: usize,
    /// Rows that are what the API says at this very moment.
    current: usize,
}

/// Compares every row with what was true when its hour was last read.
fn check(platform: &Platform, place: &Path, now: i64) -> (Checked, BTreeMap<Key, Values>) {
    let rows = lake(place);
    let ledger = ledger(place, &platform.url, now);
    let mut groups: BTreeMap<(i64, i64), (i64, i64)> = BTreeMap::new();
    for ((_, hour), confirmed) in &ledger {
        let range = groups.entry((*confirmed, hour.div_euclid(86_400))).or_insert((*hour, *hour));
        *range = (range.0.min(*hour), range.1.max(*hour));
    }
    let mut expected = BTreeMap::new();
    for ((confirmed, _), (first, last)) in groups {
        for (key, values) in platform.truth(first, last + 1, confirmed) {
            if ledger.get(&(key.0.clone(), key.2)) == Some(&confirmed) {
                expected.insert(key, values);
            }
        }
    }
    let wrong: Vec<_> = expected.iter().filter(|(key, values)| rows.get(*key) != Some(values)).take(3).collect();
    let extra: Vec<_> = rows.iter().filter(|(key, _)| !expected.contains_key(*key)).take(3).collect();
    assert!(wrong.is_empty() && extra.is_empty(), "{}: not in the lake {wrong:?}, only there {extra:?}", text(now));
    let (first, last) = (rows.keys().map(|key| key.2).min(), rows.keys().map(|key| key.2).max());
    let truth = platform.truth(first.unwrap_or(now), last.unwrap_or(now) + 1, now);
    let current = rows.iter().filter(|(key, values)| truth.get(*key) == Some(values)).count();
    (Checked { rows: rows.len(), current }, rows)
}

/// The number after which `word` stands in the line of a report that begins with `label`.
fn number(report: &str, label: &str) -> u64 {
    let line = report.lines().find(|line| line.trim_start().starts_with(label)).unwrap_or_default();
    let digits = line.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn main() {
    // `cargo test --benches` only asks whether it is there.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<i64>().ok());
    let (days, accounts) = (numbers.next().unwrap_or(21), numbers.next().unwrap_or(300) as usize);
    let start = START.parse::<DateTime<Utc>>().expect("a moment").timestamp();
    let platform = Platform::start(accounts);
    let ids = platform.accounts(start);
    // One account is revoked, of another an hour is absent.
    let (revoked, holed) = (&ids[ids.len() / 3], &ids[ids.len() / 2]);
    let folder = folder();
    let place = folder.path();
    let (runs, down_from) = (days * 24, days * 24 * 2 / 3);
    let (hole_at, revoked_at) = (days * 8, days * 12);
    let began = Instant::now();
    let (mut done, mut fewest, mut snapshots, mut longest) = (0, 0, Vec::new(), Duration::ZERO);
    println!("{:<22} {:>10} {:>12} {:>10}  gaps by kind: accounts, hours", "moment", "rows", "as last read", "as now");
    for step in 0..runs {
        let now = start + step * 3600;
        if (down_from..down_from + DOWN).contains(&step) {
            continue;
        }
        platform.post("/sim/clock", format!(r#"{{"now":"{}"}}"#, text(now)));
        if step == hole_at {
            let hour = now - now.rem_euclid(3600) - 3600;
            let hole = format!(
                r#"{{"holes":[{{"from":"{}","to":"{}","until":"{}"}}]}}"#,
                text(hour),
                text(hour + 3600),
                text(hour + 86_400)
            );
            platform.post(&format!("/sim/accounts/{holed}"), hole);
        }
        if step == revoked_at {
            platform.post(&format!("/sim/accounts/{revoked}"), r#"{"revoked":true}"#.to_owned());
        }
        let began = Instant::now();
        let (code, _, err) = run(place, &platform.url, now, &["run", "demo"]);
        longest = longest.max(began.elapsed());
        assert_eq!(code, 0, "{}: {err}", text(now));
        done += 1;
        fewest += (accounts as u64).div_ceil(BATCH).max(number(&err, "rows").div_ceil(PAGE));
        // Six checks, at different hours of the day, and whenever something has just happened.
        let special = [hole_at, hole_at + 30, revoked_at + 1, down_from + DOWN, runs - 1].contains(&step);
        if special || step % (runs / 6) == runs / 12 {
            let (checked, rows) = check(&platform, place, now);
            let (_, out, _) = run(place, &platform.url, now, &["gaps", "demo", "--format", "json"]);
            let gaps: Value = serde_json::from_str(&out).expect("JSON");
            let mut kinds: BTreeMap<String, (BTreeSet<String>, u64)> = BTreeMap::new();
            for gap in gaps.as_array().expect("gaps") {
                let word = |name: &str| gap[name].as_str().expect("text").to_owned();
                let kind = kinds.entry(word("kind")).or_default();
                kind.0.insert(word("account_id"));
                kind.1 += gap["hours"].as_u64().expect("hours");
            }
            let whose: BTreeMap<_, _> =
                kinds.iter().map(|(kind, (accounts, hours))| (kind, (accounts.len(), hours))).collect();
            if step == hole_at + 30 {
                let still = kinds.get("suspicious").is_some_and(|(accounts, _)| accounts.contains(holed));
                assert!(!still, "the rows of {holed} have come");
            }
            println!("{:<22} {:>10} {:>12} {:>10}  {whose:?}", text(now), checked.rows, checked.rows, checked.current);
            snapshots.push((now, rows));
        }
    }
    let last = start + (runs - 1) * 3600;
    let requests = platform.metrics();
    println!("{done} runs in {:.0} s, the longest {:.2} s", began.elapsed().as_secs_f64(), longest.as_secs_f64());

    for (then, before) in &snapshots {
        let file = place.join("asof.parquet");
        let sql = "select account_id, campaign_id, hour, impressions, clicks, spend, conversions from demo";
        let name = file.to_string_lossy().into_owned();
        let arguments = ["query", sql, "--as-of", &text(*then), "--format", "parquet", "--output", &name];
        let (code, _, err) = run(place, &platform.url, last, &arguments);
        assert_eq!(code, 0, "{err}");
        let mut rows = BTreeMap::new();
        read(&file, &mut rows);
        let differ = before.iter().filter(|(key, values)| rows.get(*key) != Some(values)).take(3).collect::<Vec<_>>();
        assert!(
            differ.is_empty() && rows.len() == before.len(),
            "{}: {} rows, {} before, {differ:?}",
            text(*then),
            rows.len(),
            before.len()
        );
        println!("as of {}: {} rows, all as they were then", text(*then), rows.len());
    }

    let other = self::folder();
    let to = DateTime::from_timestamp(last, 0).expect("a moment").date_naive();
    let from = to - TimeDelta::days(28);
    let sent = platform.metrics();
    platform.post(&format!("/sim/accounts/{revoked}"), r#"{"revoked":false}"#.to_owned());
    let arguments = ["backfill", "demo", "--from", &from.to_string(), "--to", &to.to_string()];
    let (code, _, err) = run(other.path(), &platform.url, last, &arguments);
    assert_eq!(code, 0, "{err}");
    let lookback = (platform.metrics() - sent) * done;
    println!("requests for metrics: {requests}");
    println!("reading 28 days every hour: {lookback} ({:.1} times as many)", lookback as f64 / requests as f64);
    println!("the fewest that could bring the same rows: {fewest} ({:.2} times that)", requests as f64 / fewest as f64);
}
