//! What the tests of whole runs share: flags, counts as the API saw them, and processes that are stopped halfway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::sandbox::{Api, Ran, Rows, Sandbox};

/// The moment at which both clocks stand in most tests.
pub const NOW: &str = "2026-11-20T12:00:00Z";
/// Hours that begin before this have ended and settled at [`NOW`], in whole-hour and in half-hour zones.
pub const SETTLED: &str = "2026-11-20T11:00:00Z";
/// Where a first run at [`NOW`] begins.
pub const FIRST: &str = "2026-11-17T00:00:00Z";

/// One account in a request, no pace worth the name, and short waits.
pub const QUICK: &[&str] =
    &["--set", "quotas.0.requests=5000", "--set", "request.accounts_per_request=1", "--set", "retry.base=10ms"];

/// `first` and then [`QUICK`].
pub fn quick<'a>(first: &[&'a str]) -> Vec<&'a str> {
    first.iter().chain(QUICK).copied().collect()
}

/// An API whose clock stands at [`NOW`].
pub fn api(arguments: &[&str]) -> Api {
    let all: Vec<&str> = ["--clock", NOW].iter().chain(arguments).copied().collect();
    Api::start(&all)
}

/// How many requests for an endpoint arrived, whatever became of them.
pub fn requests(api: &Api, endpoint: &str) -> u64 {
    api.stats()["by_endpoint"][endpoint].as_u64().unwrap_or(0)
}

/// Requests for metrics.
pub fn metrics(api: &Api) -> u64 {
    requests(api, "metrics")
}

/// The truth of whole dates on each account's own clock, as `backfill --from --to` means them.
pub fn truth_of_dates(api: &Api, accounts: &[(&str, &str)], from: &str, to: &str) -> Rows {
    let mut rows = Rows::new();
    for (id, zone) in accounts {
        let zone: chrono_tz::Tz = zone.parse().expect("a zone");
        let midnight = |date: &str| {
            let date: chrono::NaiveDate = date.parse().expect("a date");
            let local = date.and_time(chrono::NaiveTime::MIN).and_local_timezone(zone).earliest().expect("midnight");
            local.with_timezone(&chrono::Utc).format("%Y-%m-%dT%H:%M:%SZ").to_string()
        };
        rows.extend(api.truth(&midnight(from), &format!("{}&account_ids={id}", midnight(to))));
    }
    rows
}

/// The numbers in the line of a report that begins with `label`, in their order.
#[track_caller]
pub fn numbers(ran: &Ran, label: &str) -> Vec<u64> {
    let line = ran.err.lines().find(|line| line.trim_start().starts_with(&format!("{label} ")));
    let line = line.unwrap_or_else(|| panic!("no line `{label}` in\n{}", ran.err));
    line.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).map(|n| n.parse().expect("n")).collect()
}

/// `status --format json` of the demo's pipeline.
pub fn status(sandbox: &Sandbox) -> Value {
    let ran = sandbox.run(&["status", "demo", "--format", "json"]).expect_code(0);
    let mut all: Value = serde_json::from_str(&ran.out).expect("JSON");
    all[0].take()
}

/// Each account's watermark, as text.
pub fn watermarks(sandbox: &Sandbox) -> Vec<String> {
    let status = status(sandbox);
    let accounts = status["accounts"].as_array().expect("accounts").clone();
    accounts.iter().map(|account| account["watermark"].as_str().expect("a watermark").to_owned()).collect()
}

/// Names of what is staged, temporaries included.
pub fn staged(sandbox: &Sandbox) -> Vec<String> {
    let Ok(entries) = fs::read_dir(sandbox.lake_path().join("_staged/demo")) else { return Vec::new() };
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// The published files of the demo's pipeline; none where it has no folder yet.
pub fn published(sandbox: &Sandbox) -> Vec<PathBuf> {
    if sandbox.lake_path().join("demo").is_dir() { sandbox.files("demo") } else { Vec::new() }
}

/// Each published file, relative to the lake, with its bytes.
pub fn contents(sandbox: &Sandbox) -> Vec<(PathBuf, Vec<u8>)> {
    let relative = |path: &Path| path.strip_prefix(sandbox.lake_path()).expect("in the lake").to_owned();
    published(sandbox).iter().map(|path| (relative(path), fs::read(path).expect("a file"))).collect()
}

/// Copies a folder and everything in it over another.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Looks again and again until it is so. Gives up after a minute, which no test comes near unless something hangs.
#[track_caller]
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The program while it runs; killed when it is dropped.
pub struct Running {
    process: Option<Child>,
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { process: Some(command.spawn().expect("the program starts")) }
    }

    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// `kill -9`; gives what it printed before.
    pub fn kill(mut self) -> Ran {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("it is killed");
        ran(process.wait_with_output().expect("its end"))
    }

    /// Asks it to stop (SIGTERM) and goes on at once.
    pub fn stop(&self) {
        let told = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().expect("`kill` runs");
        assert!(told.success(), "the signal was not sent");
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        ran(self.process.take().expect("it runs").wait_with_output().expect("its end"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone = process.kill();
            let _reaped = process.wait();
        }
    }
}

fn ran(output: Output) -> Ran {
    Ran::of(output)
}

/// The demo's only quota, as its file has it.
const QUOTA: &str = "[[quotas]]                                  # 20 requests in any second\nname = \"app\"\nrequests = 20\n\
                     per = \"1s\"\n";

/// Declares `limits` instead of the demo's only quota: name, scope, requests, period, and further lines.
pub fn declare(sandbox: &Sandbox, limits: &[(&str, &str, u32, &str, &str)]) {
    let mut text = String::new();
    for (name, scope, requests, per, more) in limits {
        let limit = format!("name = \"{name}\"\nscope = \"{scope}\"\nrequests = {requests}\nper = \"{per}\"\n{more}\n");
        text.push_str(&format!("[[quotas]]\n{limit}\n"));
    }
    sandbox.edit(QUOTA, &text);
}

/// Adds tables to the demo's file, before the rules that it has.
pub fn add(sandbox: &Sandbox, tables: &str) {
    sandbox.edit("\n[[responses]]", &format!("\n{tables}\n[[responses]]"));
}

/// One account in a request.
pub fn one_each(arguments: &[&'static str]) -> Vec<&'static str> {
    [arguments, &["--set", "request.accounts_per_request=1"]].concat()
}

/// A backfill of one day in UTC, one account in a request.
pub fn day(arguments: &[&'static str]) -> Vec<&'static str> {
    let day = ["backfill", "demo", "--from", "2026-11-18", "--to", "2026-11-19"];
    one_each(&[&day[..], arguments].concat())
}

/// What is true of that day.
pub fn truth_of_day(api: &Api) -> Rows {
    api.truth("2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z")
}

/// Requests that the quotas refused, in whatever way, and those of them that were not in a penalty.
pub fn refusals(api: &Api) -> (u64, u64) {
    let stats = api.stats();
    let count = |name: &str| stats["refusals"][name].as_u64().expect("a count");
    (count("requests"), count("violations"))
}

/// The most that arrived in any window of each limit of a scope.
pub fn highest(api: &Api, scope: &str) -> Vec<u64> {
    let stats = api.stats();
    let limits = stats["highest_use"][scope].as_array().expect("limits").clone();
    limits.iter().map(|limit| limit["arrived"].as_u64().expect("a count")).collect()
}

/// Asserts that the server refused nothing and saw no more than `most` in any window of the app's limits.
#[track_caller]
pub fn assert_kept(api: &Api, most: &[u64]) {
    assert_eq!(refusals(api), (0, 0), "{}", api.stats());
    let seen = highest(api, "app");
    assert_eq!(seen.len(), most.len());
    assert!(seen.iter().zip(most).all(|(seen, most)| seen <= most), "{}", api.stats());
}
