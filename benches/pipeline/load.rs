//! The workloads that go over HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{Days, NaiveDate};
use serde_json::Value;
use tempfile::TempDir;

use super::Order;
use super::floor::Floor;
use super::measure::{Cost, run as measured};
use super::platform::{NOW, Platform, hourmark};
use super::table::{Line, print};

const PIPELINE: &str = include_str!("bench.toml");
/// The first day after the last: old enough for no hour to be due again.
const END: &str = "2026-10-01";

/// What is there to be fetched, and how.
pub(crate) struct Workload {
    pub(crate) title: &'static str,
    pub(crate) accounts: usize,
    pub(crate) campaigns: usize,
    pub(crate) days: u64,
    /// Accounts in a request.
    pub(crate) batch: usize,
    pub(crate) latency: &'static str,
}

impl Workload {
    pub(crate) fn rows(&self) -> u64 {
        self.accounts as u64 * self.campaigns as u64 * 24 * self.days
    }

    pub(crate) fn to(&self) -> NaiveDate {
        END.parse().expect("a date")
    }

    fn from(&self) -> NaiveDate {
        self.to() - Days::new(self.days)
    }

    /// With so many days that there are about `millions` of rows.
    pub(crate) fn of_millions(self, millions: f64) -> Workload {
        let a_day = (self.accounts * self.campaigns * 24) as f64;
        Workload { days: (millions * 1e6 / a_day).ceil().max(1.0) as u64, ..self }
    }
}

pub(crate) fn run(order: &Order) {
    let millions = order.rows.unwrap_or(1.0);
    if order.wants("load") {
        let load = Workload {
            title: "first load: 40 accounts of 50 campaigns, 10 in a request",
            accounts: 40,
            campaigns: 50,
            days: 0,
            batch: 10,
            latency: "0s",
        };
        compare(&load.of_millions(millions), order);
    }
    if order.wants("big-units") {
        let load = Workload {
            title: "first load of large units: 40 accounts of 500 campaigns, 120,000 rows in a unit",
            accounts: 40,
            campaigns: 500,
            days: 0,
            batch: 10,
            latency: "0s",
        };
        compare(&load.of_millions(order.rows.unwrap_or(2.0)), order);
    }
    if order.wants("latency") {
        let chains = Workload {
            title: "latency-bound: 120 ms a request, chains of 5 pages, 8 at a time",
            accounts: 16,
            campaigns: 104,
            days: 4,
            batch: 1,
            latency: "120ms",
        };
        compare(&chains, order);
    }
    if order.wants("growth") {
        growth(order);
    }
    if order.wants("batches") {
        batches();
    }
    if order.wants("unchanged") {
        unchanged();
    }
}

/// About as many rows of one account over years, and of thousands of accounts in a day.
fn growth(order: &Order) {
    let shapes = [
        ("1 account of 50 campaigns, three years", 1, 50, 1095),
        ("40 accounts of 50 campaigns, 27 days", 40, 50, 27),
        ("1,000 accounts of 50 campaigns, a day", 1000, 50, 1),
        ("10,000 accounts of 5 campaigns, a day", 10_000, 5, 1),
    ];
    for (title, accounts, campaigns, days) in shapes {
        compare(&Workload { title, accounts, campaigns, days, batch: 10, latency: "0s" }, order);
    }
}

/// The program and the floor client, in turns, on the same platform; the best of each counts.
fn compare(workload: &Workload, order: &Order) {
    let mut best: [Option<(Cost, f64)>; 2] = [None, None];
    let platform = Platform::start(workload.accounts, workload.campaigns, &["--latency", workload.latency]);
    let floor = Floor {
        url: platform.url.clone(),
        workers: 8,
        page: 500,
        batch: workload.batch,
        from: workload.from(),
        to: workload.to(),
    };
    for _ in 0..order.rounds {
        for (place, best) in best.iter_mut().enumerate() {
            let platform_before = platform.cpu();
            let cost = if place == 0 {
                let mut command = Command::new(std::env::current_exe().expect("this program"));
                let cost = measured(command.args(floor.arguments()));
                assert_eq!(cost.output.trim(), format!("{} rows", workload.rows()), "the floor client's rows");
                cost
            } else {
                let place = Place::new(workload.batch);
                let cost = measured(&mut place.backfill(&platform, workload, &[]));
                assert_eq!(place.rows(), workload.rows(), "the lake's rows");
                cost
            };
            let beside = (platform.cpu() - platform_before).as_secs_f64();
            if best.as_ref().is_none_or(|(known, _)| cost.cpu < known.cpu) {
                *best = Some((cost, beside));
            }
        }
    }
    let [Some((floor, floor_beside)), Some((ours, ours_beside))] = best else { unreachable!("there was a round") };
    let line = |who, cost, platform_cpu, floor| Line { who, rows: workload.rows(), cost, platform_cpu, floor };
    print(
        workload.title,
        &[line("floor client", &floor, floor_beside, None), line("hourmark", &ours, ours_beside, Some(&floor))],
    );
    if order.memory {
        memory_over_time(&ours);
    }
}

/// Twenty moments of a run.
fn memory_over_time(cost: &Cost) {
    let step = (cost.memory.len() / 20).max(1);
    for (second, bytes) in cost.memory.iter().step_by(step) {
        println!("{second:>8.1} s {:>8.1} MB", *bytes as f64 / 1e6);
    }
}

/// With more accounts in a request, requests fall by as much.
fn batches() {
    println!("\nrequests for 40 accounts of one page each, 4 days, by accounts in a request");
    let mut alone = 0;
    for batch in [1, 10, 40] {
        let workload = Workload { title: "", accounts: 40, campaigns: 20, days: 4, batch, latency: "0s" };
        // Pages as large as the batch's rows, or the pages and not the batches would be counted.
        let platform = Platform::start(workload.accounts, workload.campaigns, &["--page-size-max", "50000"]);
        let place = Place::new(batch);
        measured(&mut place.backfill(&platform, &workload, &["--set", "pagination.page_size=50000"]));
        assert_eq!(place.rows(), workload.rows());
        let stats: Value = serde_json::from_str(&get(&platform, "/sim/stats")).expect("JSON");
        let requests = stats["by_endpoint"]["metrics"].as_u64().expect("a number");
        alone = if batch == 1 { requests } else { alone };
        println!("{batch:>4} in a request: {requests:>4} requests, {:.1} times fewer", alone as f64 / requests as f64);
    }
}

/// A second reading of everything that finds nothing new.
fn unchanged() {
    let workload = Workload { title: "", accounts: 40, campaigns: 50, days: 10, batch: 10, latency: "0s" };
    let platform = Platform::start(workload.accounts, workload.campaigns, &[]);
    let place = Place::new(workload.batch);
    let first = measured(&mut place.backfill(&platform, &workload, &[]));
    let before = place.files();
    let second = measured(&mut place.backfill(&platform, &workload, &["--again"]));
    let untouched = place.files() == before;
    println!("\nreading {} rows again, nothing changed", workload.rows());
    println!(
        "Parquet in the lake: {} bytes in {} files, {}",
        before.values().map(|(size, _, _)| size).sum::<u64>(),
        before.len(),
        if untouched { "none of them written again" } else { "SOME WRITTEN AGAIN" }
    );
    for (word, cost) in [("first", first), ("again", second)] {
        println!(
            "{word:>6}: {:.2} s, {:.2} CPU s, {:.1} MB peak, {:.1} MB written",
            cost.wall.as_secs_f64(),
            cost.cpu.as_secs_f64(),
            cost.peak as f64 / 1e6,
            cost.written as f64 / 1e6
        );
    }
}

/// A folder with a pipeline, a lake and a state.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new(batch: usize) -> Place {
        let folder = tempfile::Builder::new().prefix("hourmark-bench-").tempdir().expect("a folder");
        fs::create_dir(folder.path().join("pipelines")).expect("a folder");
        let text = PIPELINE.replace("accounts_per_request = 10", &format!("accounts_per_request = {batch}"));
        fs::write(folder.path().join("pipelines/bench.toml"), text).expect("a pipeline");
        Place { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn backfill(&self, platform: &Platform, workload: &Workload, more: &[&str]) -> Command {
        let mut command = hourmark();
        command
            .current_dir(self.folder.path())
            .args(["backfill", "bench", "--now", NOW, "--quiet", "--workers", "8"])
            .args(["--lake", "lake", "--state", "state.db", "--pipelines", "pipelines"])
            .args(["--from", &workload.from().to_string(), "--to", &workload.to().to_string()])
            .args(["--set", &format!("api.base_url={}", platform.url)])
            .args(more);
        command
    }

    /// Rows in the lake's Parquet, by the files' own footers.
    pub(crate) fn rows(&self) -> u64 {
        self.parquet().iter().map(|path| rows_of(path)).sum()
    }

    /// Size, inode and time of each Parquet file.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, (u64, u64, i64)> {
        let mut files = BTreeMap::new();
        for path in self.parquet() {
            let metadata = fs::metadata(&path).expect("a file");
            files.insert(
                path,
                (metadata.len(), metadata.ino(), metadata.mtime_nsec() + metadata.mtime() * 1_000_000_000),
            );
        }
        files
    }

    fn parquet(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().join("lake")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|extension| extension == "parquet") {
                    found.push(entry);
                }
            }
        }
        found
    }
}

fn rows_of(path: &Path) -> u64 {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(fs::File::open(path).expect("a file")).expect("Parquet");
    reader.metadata().file_metadata().num_rows().unsigned_abs()
}

fn get(platform: &Platform, path: &str) -> String {
    let url = format!("{}{path}", platform.url);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move { reqwest::get(url).await.expect("an answer").text().await.expect("text") })
}
