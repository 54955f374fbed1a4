//! `docs/add-a-platform.md`, followed word by word: its commands run and its files are written in their order, against a
//! server that plays the invented API.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::extract::{Path as Below, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::platforms::harness;
use crate::platforms::lake::{Table, differences};
use crate::platforms::scenario::{cases, fixtures};
use crate::platforms::verdicts;
use crate::sandbox::Ran;

const PAGE: &str = "docs/add-a-platform.md";
const TOKEN: &str = "kestrel-live-token";
/// Noon after a night in which Berlin's clock was set back.
const NOW: &str = "2026-10-26T12:00:00Z";
/// The day that has rows.
const DAY: &str = "2026-10-25";

/// The invented API on a thread of its own.
struct Kestrel {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

type Asked = Arc<Mutex<Vec<String>>>;
type Parameters = Query<std::collections::HashMap<String, String>>;
type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

impl Kestrel {
    fn start() -> Kestrel {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}/v2", listener.local_addr().expect("an address"));
        let asked = Asked::default();
        let router = Router::new()
            .route("/v2/accounts", get(accounts))
            .route("/v2/accounts/{id}/hourly", get(hourly))
            .with_state(asked.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Kestrel { url, asked, _runtime: runtime }
    }
}

fn welcome(headers: &HeaderMap) -> Result<(), (StatusCode, Json<Value>)> {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    if token == Some(&format!("Bearer {TOKEN}")) {
        return Ok(());
    }
    Err((StatusCode::UNAUTHORIZED, Json(json!({ "error": { "code": "who_are_you" } }))))
}

/// Two pages of one account each.
async fn accounts(State(asked): State<Asked>, Query(query): Parameters, headers: HeaderMap) -> Answer {
    welcome(&headers)?;
    asked.lock().expect("asked").push("accounts".to_owned());
    Ok(Json(match query.get("cursor").map(String::as_str) {
        None => json!({
            "items": [{ "id": "ka-1", "title": "Hats, \"Berlin\"", "zone": "Europe/Berlin", "currency": "EUR" }],
            "cursor": "more"
        }),
        Some(_) => json!({
            "items": [{ "id": "ka-2", "title": "Tea", "zone": "Asia/Kolkata", "currency": "INR" }], "cursor": null
        }),
    }))
}

/// Two pages for the day that has rows.
async fn hourly(
    State(asked): State<Asked>,
    Below(id): Below<String>,
    Query(query): Parameters,
    headers: HeaderMap,
) -> Answer {
    welcome(&headers)?;
    asked.lock().expect("asked").push(format!("{id} {}", query["from_day"]));
    let refused = |code: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": { "code": code } })));
    if query["from_day"] != query["to_day"] || query["limit"] != "500" {
        return Err(refused("bad_day"));
    }
    if query["from_day"] != DAY {
        return Ok(Json(json!({ "rows": [], "cursor": null })));
    }
    let half = match query.get("cursor").map(String::as_str) {
        None => 0..12,
        Some("noon") => 12..24,
        Some(_) => return Err(refused("bad_cursor")),
    };
    let cursor = if half.start == 0 { json!("noon") } else { Value::Null };
    let rows: Vec<Value> = half.map(|hour| row(&id, hour)).collect();
    Ok(Json(json!({ "rows": rows, "cursor": cursor })))
}

fn row(account: &str, hour: u32) -> Value {
    let mut row = json!({
        "campaign": { "id": format!("{account}-k"), "title": "Autumn, warm" },
        "day": DAY, "hour": hour, "shown": 100 + hour, "cost_micros": 1_000_000 + u64::from(hour) * 10_001,
        "orders": f64::from(hour) / 8.0
    });
    if hour.is_multiple_of(2) {
        row["clicked"] = json!(hour);
    }
    row
}

/// The rows of account ka-1, worked out from what the API says and from Berlin's clock of that night.
fn expected() -> Table {
    let mut text = "account_id,campaign_id,hour,local_hour,utc_offset_minutes,hours_covered,currency,campaign_name,\
                    impressions,clicks,spend,conversions\n"
        .to_owned();
    for hour in 0..24_u32 {
        // Summer time until three, which is two again; the row of two holds both hours.
        let (offset, covered) = if hour < 3 { (2, if hour == 2 { 2 } else { 1 }) } else { (1, 1) };
        let utc = i64::from(hour) - offset;
        let (date, utc) = if utc < 0 { ("2026-10-24", utc + 24) } else { (DAY, utc) };
        let clicks = if hour.is_multiple_of(2) { hour } else { 0 };
        let spend = format!("{}.{:06}", 1 + hour * 10_001 / 1_000_000, hour * 10_001 % 1_000_000);
        text.push_str(&format!(
            "ka-1,ka-1-k,{date}T{utc:02}:00:00Z,{DAY}T{hour:02}:00:00,{},{covered},EUR,\"Autumn, warm\",{},{clicks},{spend},{:.6}\n",
            offset * 60,
            100 + hour,
            f64::from(hour) / 8.0
        ));
    }
    Table::parse(&text)
}

/// A block of the page: the words behind its fence, and what is in it.
struct Block {
    language: String,
    file: Option<String>,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut before = String::new();
    for (number, piece) in page.split("\n```").enumerate() {
        if number % 2 == 0 {
            before = piece.to_owned();
            continue;
        }
        let (fence, text) = piece.split_once('\n').expect("a fence");
        let (language, file) = fence.split_once(' ').map_or((fence, None), |(language, file)| (language, Some(file)));
        if let Some(file) = file.filter(|file| !file.starts_with("pipelines/")) {
            // What stands behind the fence is not shown to readers.
            assert!(before.contains(&format!("`{file}`")), "the text before the block does not name {file}");
        }
        blocks.push(Block { language: language.to_owned(), file: file.map(str::to_owned), text: text.to_owned() });
    }
    blocks
}

/// The folder in which the page is followed.
struct Walk {
    folder: tempfile::TempDir,
    api: Kestrel,
    token: Option<String>,
    /// What the run with `--record` named.
    unit: Option<String>,
    written: Vec<String>,
}

impl Walk {
    fn write(&mut self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        // The first part takes the place of the copy, the next ones follow it.
        let before = match self.written.iter().any(|known| known == file) {
            true => std::fs::read_to_string(&path).expect("its parts so far") + "\n",
            false => String::new(),
        };
        std::fs::write(&path, format!("{before}{text}\n")).expect("a file");
        self.written.push(file.to_owned());
    }

    fn shell(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["export", assignment] => {
                let value = assignment.strip_prefix("KESTREL_ACCESS_TOKEN=").expect(line);
                self.token = Some(value.to_owned());
            }
            ["hourmark", words @ ..] => self.hourmark(words),
            ["cargo", "test", "--test", "it", "platforms"] => self.tests(),
            _ => panic!("this test does not know how to run `{line}`"),
        }
    }

    fn hourmark(&mut self, words: &[&str]) {
        let words: Vec<&str> = words
            .iter()
            .map(|word| if *word == "UNIT" { self.unit.as_deref().expect("a unit") } else { word })
            .collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hourmark"));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).args(&words).args(["--now", NOW]);
        command.args(["--set", &format!("api.base_url={}", self.api.url)]);
        for name in ["HOURMARK_LAKE", "HOURMARK_STATE", "HOURMARK_CONFIG", "HOURMARK_PIPELINES", "HOURMARK_WORKERS"] {
            command.env_remove(name);
        }
        match &self.token {
            Some(token) => command.env("KESTREL_ACCESS_TOKEN", token),
            None => command.env_remove("KESTREL_ACCESS_TOKEN"),
        };
        let ran = Ran::of(command.output().expect("the program runs")).expect_code(0);
        match words.as_slice() {
            ["check", _] => assert!(self.api.asked.lock().expect("asked").is_empty(), "check asked something"),
            ["check", _, "--live"] => {
                assert!(ran.out.contains("all is well: 1 account on the first page"), "{}", ran.out);
                assert_eq!(*self.api.asked.lock().expect("asked"), ["accounts"]);
            }
            ["run", ..] => self.unit = Some(unit_of(&ran)),
            _ => {}
        }
    }

    /// What `cargo test` does with the folder that the page has made.
    fn tests(&self) {
        let root = self.folder.path();
        let [kestrel] =
            fixtures(&root.join("pipelines"), &root.join("tests/fixtures")).try_into().expect("one platform");
        assert_eq!(verdicts::problems(&kestrel), Vec::<String>::new());
        let all = cases(&kestrel);
        assert_eq!(all.len(), 2, "{all:?}");
        for case in all {
            assert_eq!(harness::run(&case).join("\n"), "", "{}", case.name());
        }
    }
}

/// The first unit that the run has named: its accounts are in the order of the list, so it is of the first.
fn unit_of(ran: &Ran) -> String {
    let line = ran.err.lines().find(|line| line.contains("cassette export")).unwrap_or_else(|| panic!("{}", ran.err));
    line.split_whitespace().nth(3).expect("a unit").to_owned()
}

#[test]
fn the_page_about_adding_a_platform_is_followed_to_its_end() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).expect("the page");
    let mut walk = Walk {
        folder: tempfile::tempdir().expect("a folder"),
        api: Kestrel::start(),
        token: None,
        unit: None,
        written: Vec::new(),
    };
    let mut commands = 0;
    for block in blocks(&page) {
        match (block.language.as_str(), &block.file) {
            ("sh", None) => {
                for line in block.text.lines().filter(|line| !line.trim().is_empty()) {
                    walk.shell(line.trim());
                    commands += 1;
                }
            }
            (_, Some(file)) => walk.write(file, &block.text),
            (language, None) => panic!("a block of `{language}` names no file"),
        }
    }
    assert!(commands >= 9, "{commands} commands");

    let rows = walk.folder.path().join("data/lake/kestrel");
    let mut wrong = differences(&rows, &with_tea(expected()));
    wrong.retain(|line| !line.is_empty());
    assert_eq!(wrong.join("\n"), "");
    let day = std::fs::read_to_string(walk.folder.path().join("tests/fixtures/kestrel/day.csv")).expect("rows");
    let mut found = Table::parse(&day);
    let mut right = expected();
    found.sort_columns(&right.columns);
    right.rows.sort();
    found.rows.sort();
    assert_eq!(found, right);
}

/// And the rows of account ka-2, half an hour off and without a change of clocks.
fn with_tea(mut table: Table) -> Table {
    for hour in 0..24_u32 {
        let minutes = i64::from(hour) * 60 - 330;
        let (date, minutes) = if minutes < 0 { ("2026-10-24", minutes + 24 * 60) } else { (DAY, minutes) };
        let clicks = if hour.is_multiple_of(2) { hour } else { 0 };
        table.rows.push(vec![
            "ka-2".to_owned(),
            "ka-2-k".to_owned(),
            format!("{date}T{:02}:{:02}:00Z", minutes / 60, minutes % 60),
            format!("{DAY}T{hour:02}:00:00"),
            "330".to_owned(),
            "1".to_owned(),
            "INR".to_owned(),
            "Autumn, warm".to_owned(),
            (100 + hour).to_string(),
            clicks.to_string(),
            format!("{}.{:06}", 1 + hour * 10_001 / 1_000_000, hour * 10_001 % 1_000_000),
            format!("{:.6}", f64::from(hour) / 8.0),
        ]);
    }
    table
}
