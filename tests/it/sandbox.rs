//! A folder of its own, a simulated API as a process of its own, and the built program between them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// The token of the simulated API and of `pipelines/demo.toml` in these tests.
pub const TOKEN: &str = "it-token-5f2c";

/// (account, campaign, hour in unix seconds)
pub type Key = (String, String, i64);
/// (impressions, clicks, spend in micros, conversions)
pub type Values = (i64, i64, i128, String);
/// What is in a lake, or true.
pub type Rows = BTreeMap<Key, Values>;

/// A simulated API as a process; killed when it is dropped.
pub struct Api {
    process: Child,
    pub url: String,
}

impl Api {
    pub fn start(arguments: &[&str]) -> Api {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hourmark"))
            .args(["simulate", "--listen", "127.0.0.1:0", "--token", TOKEN])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the simulated API starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("standard output");
        BufReader::new(output).read_line(&mut line).expect("its first line");
        let url = line.trim().rsplit(' ').next().expect("an address").to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Api { process, url }
    }

    /// A GET of `/sim/...`.
    pub fn get(&self, path: &str) -> String {
        let url = format!("{}{path}", self.url);
        block_on(async move {
            let response = reqwest::get(&url).await.expect("the simulated API answers");
            let status = response.status();
            let text = response.text().await.expect("a body");
            assert!(status.is_success(), "{url}: {status} {text}");
            text
        })
    }

    /// A POST of JSON to `/sim/...`.
    pub fn post(&self, path: &str, body: &str) {
        let (url, body) = (format!("{}{path}", self.url), body.to_owned());
        block_on(async move {
            let request = reqwest::Client::new().post(&url).header("content-type", "application/json").body(body);
            let response = request.send().await.expect("the simulated API answers");
            let status = response.status();
            assert!(status.is_success(), "{url}: {status} {}", response.text().await.unwrap_or_default());
        });
    }

    pub fn stats(&self) -> Value {
        serde_json::from_str(&self.get("/sim/stats")).expect("JSON")
    }

    /// What is true in `[from, to)` at the API's present moment.
    pub fn truth(&self, from: &str, to: &str) -> Rows {
        let text = self.get(&format!("/sim/truth?from={from}&to={to}"));
        let mut rows = Rows::new();
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).expect("a row");
            let hour: chrono::DateTime<chrono::FixedOffset> =
                row["hour"].as_str().expect("hour").parse().expect("hour");
            let key = (text_of(&row["account_id"]), text_of(&row["campaign_id"]), hour.timestamp());
            let values = (
                text_of(&row["impressions"]).parse().expect("impressions"),
                row["clicks"].as_i64().expect("clicks"),
                i128::from(row["spend_micros"].as_i64().expect("spend")),
                format!("{:.3}", row["conversions"].as_f64().expect("conversions")),
            );
            assert!(rows.insert(key, values).is_none(), "the truth holds a key twice");
        }
        rows
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Runs one future on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// A working folder with `pipelines/demo.toml` that points at an API.
pub struct Sandbox {
    folder: tempfile::TempDir,
    now: Option<String>,
    url: String,
}

impl Sandbox {
    /// `now` fixes the program's clock.
    pub fn new(api: &Api, now: Option<&str>) -> Sandbox {
        Sandbox::at(&api.url, now)
    }

    /// The same with the API at any address.
    pub fn at(url: &str, now: Option<&str>) -> Sandbox {
        let folder = tempfile::tempdir().expect("a folder");
        let pipelines = folder.path().join("pipelines");
        std::fs::create_dir(&pipelines).expect("a folder");
        std::fs::write(pipelines.join("demo.toml"), without_campaigns(&demo())).expect("the demo's pipeline");
        Sandbox { folder, now: now.map(str::to_owned), url: url.to_owned() }
    }

    /// The demo's pipeline as it is. Elsewhere its lists of campaigns are left out, so that requests are those of rows.
    pub fn with_campaigns(self) -> Sandbox {
        std::fs::write(self.path().join("pipelines/demo.toml"), demo()).expect("the demo's pipeline");
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn lake_path(&self) -> PathBuf {
        self.path().join("data/lake")
    }

    /// Changes `pipelines/demo.toml` by replacing text that must be there.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path().join("pipelines/demo.toml");
        let text = std::fs::read_to_string(&path).expect("the pipeline");
        assert!(text.contains(from), "`{from}` is not in the demo's pipeline");
        std::fs::write(&path, text.replace(from, to)).expect("the pipeline");
    }

    /// The program, ready to run in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hourmark"));
        command.current_dir(self.path()).args(arguments).args(["--set", &format!("api.base_url={}", self.url)]);
        command.env("HOURMARK_DEMO_TOKEN", TOKEN).stdin(Stdio::null());
        for name in ["HOURMARK_LAKE", "HOURMARK_STATE", "HOURMARK_CONFIG", "HOURMARK_PIPELINES", "HOURMARK_WORKERS"] {
            command.env_remove(name);
        }
        if let Some(now) = &self.now {
            command.args(["--now", now]);
        }
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("the program runs"))
    }

    /// All rows of the pipeline's files; panics where a key is there twice.
    pub fn lake(&self, pipeline: &str) -> Rows {
        let mut rows = Rows::new();
        for path in self.files(pipeline) {
            read_file(&path, &mut rows);
        }
        rows
    }

    /// The pipeline's Parquet files, sorted.
    pub fn files(&self, pipeline: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.lake_path().join(pipeline)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("the lake's folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "parquet") {
                    files.push(path);
                }
            }
        }
        files.sort();
        files
    }
}

fn demo() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/demo.toml");
    std::fs::read_to_string(path).expect("the demo's pipeline")
}

fn without_campaigns(text: &str) -> String {
    let begin = text.find("# GET /v1/accounts/100001/campaigns").expect("the list of campaigns");
    let end = text.find("# GET /v1/metrics?").expect("the metrics request");
    format!("{}{}", &text[..begin], &text[end..])
}

fn read_file(path: &Path, rows: &mut Rows) {
    let file = std::fs::File::open(path).expect("a file of the lake");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet");
    for batch in reader {
        let batch = batch.expect("rows");
        let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("no column `{name}`")).clone();
        let (accounts, campaigns) = (column("account_id"), column("campaign_id"));
        let (accounts, campaigns) = (accounts.as_string::<i32>(), campaigns.as_string::<i32>());
        let hours = column("hour");
        let hours = hours.as_primitive::<TimestampMicrosecondType>();
        let (impressions, clicks) = (column("impressions"), column("clicks"));
        let (impressions, clicks) = (impressions.as_primitive::<Int64Type>(), clicks.as_primitive::<Int64Type>());
        let (spend, conversions) = (column("spend"), column("conversions"));
        let spend = spend.as_primitive::<Decimal128Type>();
        for row in 0..batch.num_rows() {
            let key = (accounts.value(row).to_owned(), campaigns.value(row).to_owned(), hours.value(row) / 1_000_000);
            let conversions = match conversions.as_primitive_opt::<Float64Type>() {
                Some(floats) => format!("{:.3}", floats.value(row)),
                None => {
                    let decimals = conversions.as_primitive::<Decimal128Type>();
                    let exact: f64 = decimals.value_as_string(row).parse().expect("a decimal");
                    format!("{exact:.3}")
                }
            };
            let values = (impressions.value(row), clicks.value(row), spend.value(row), conversions);
            assert!(rows.insert(key.clone(), values).is_none(), "{key:?} is in the lake twice");
        }
    }
}

/// What a run of the program left on its streams.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        let ran = Ran {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        for text in [&ran.out, &ran.err] {
            assert!(!text.contains(TOKEN), "the token was printed: {text}");
        }
        ran
    }

    /// Panics with everything printed unless the exit code is `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// Asserts that two sets of rows are the same, and shows a few differences where they are not.
#[track_caller]
pub fn assert_same(found: &Rows, expected: &Rows) {
    let missing: Vec<_> = expected.iter().filter(|(key, _)| !found.contains_key(*key)).take(3).collect();
    let extra: Vec<_> = found.iter().filter(|(key, _)| !expected.contains_key(*key)).take(3).collect();
    let differ: Vec<_> = expected
        .iter()
        .filter_map(|(key, values)| found.get(key).filter(|other| *other != values).map(|other| (key, values, other)))
        .take(3)
        .collect();
    assert!(
        found == expected,
        "{} rows found, {} expected\nmissing: {missing:?}\nextra: {extra:?}\ndifferent (expected, found): {differ:?}",
        found.len(),
        expected.len()
    );
}
