//! The usual questions, asked of `hourmark query` and of DuckDB over the same files.
//!
//! DuckDB comes from the Python that `HOURMARK_TEST_PYTHON` names. Its time is that of the question alone, inside a process
//! that has started; the program's is that of a whole process: start, listing the lake, reading footers, answering.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use super::Order;
use super::load::{Place, Workload};
use super::measure::{Cost, run as measured};
use super::platform::{Platform, hourmark};

const ACCOUNTS: usize = 400;
const CAMPAIGNS: usize = 50;
const DUCKDB: &str = include_str!("queries_duckdb.py");

/// What people ask: a title for it, and the question in words of SQL that both engines know.
struct Question {
    title: &'static str,
    sql: String,
}

pub(crate) fn run(order: &Order) {
    if !order.wants("queries") {
        return;
    }
    let Some(python) = std::env::var_os("HOURMARK_TEST_PYTHON") else {
        println!("\nqueries: left out, `HOURMARK_TEST_PYTHON` does not name a Python with DuckDB");
        return;
    };
    let load = Workload { title: "", accounts: ACCOUNTS, campaigns: CAMPAIGNS, days: 0, batch: 10, latency: "0s" };
    let load = load.of_millions(order.rows.unwrap_or(10.0));
    let place = Place::new(load.batch);
    let first = {
        let platform = Platform::start(load.accounts, load.campaigns, &[]);
        measured(&mut place.backfill(&platform, &load, &[]))
    };
    assert_eq!(place.rows(), load.rows(), "the lake's rows");
    let bytes: u64 = place.files().values().map(|(size, ..)| size).sum();
    println!(
        "\na lake of {} rows, {:.1} MB in {} files, loaded in {:.1} s with {:.1} CPU s and {:.1} MB at most",
        load.rows(),
        bytes as f64 / 1e6,
        place.files().len(),
        first.wall.as_secs_f64(),
        first.cpu.as_secs_f64(),
        first.peak as f64 / 1e6
    );
    let questions = questions(place.folder(), &load);
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["question", "rows", "hourmark s", "CPU s", "peak MB", "DuckDB s", "ratio"]);
    for question in &questions {
        let (mut ours, mut theirs): (Option<Cost>, Option<Duration>) = (None, None);
        for _ in 0..order.rounds {
            let cost = measured(&mut query(place.folder(), &question.sql));
            let (answer, took) = duckdb(&python, place.folder(), &question.sql);
            assert_eq!(cost.output.lines().count() - 1, answer, "rows of: {}", question.title);
            theirs = Some(theirs.map_or(took, |best| best.min(took)));
            ours = Some(ours.filter(|best| best.wall <= cost.wall).unwrap_or(cost));
        }
        let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
        table.add_row([
            question.title.to_owned(),
            (ours.output.lines().count() - 1).to_string(),
            format!("{:.3}", ours.wall.as_secs_f64()),
            format!("{:.3}", ours.cpu.as_secs_f64()),
            format!("{:.1}", ours.peak as f64 / 1e6),
            format!("{:.3}", theirs.as_secs_f64()),
            format!("{:.2}", ours.wall.as_secs_f64() / theirs.as_secs_f64()),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}\nwhat was left unread, by `explain analyze`");
    for question in &questions {
        println!("{}: {}", question.title, pruned(place.folder(), &question.sql));
    }
}

fn questions(folder: &Path, load: &Workload) -> Vec<Question> {
    let day = |before: u64| load.to() - chrono::Days::new(before);
    let some = "select account_id, campaign_id from bench where hour = (select max(hour) from bench) \
                order by account_id, campaign_id limit 1";
    let output = measured(&mut query(folder, some)).output;
    let line = output.lines().nth(1).expect("a campaign");
    let (account, campaign) = line.split_once(',').expect("two columns");
    vec![
        Question {
            title: "spend by platform and day",
            sql: "select platform, date, sum(spend) from bench group by platform, date order by platform, date"
                .to_owned(),
        },
        Question {
            title: "one campaign's last 7 days",
            sql: format!(
                "select hour, impressions, clicks, spend from bench where account_id = '{account}' and \
                 campaign_id = '{campaign}' and hour >= '{}T00:00:00Z' order by hour",
                day(7)
            ),
        },
        Question {
            title: "top movers of a day",
            sql: format!(
                "select account_id, campaign_id, sum(case when date = '{today}' then spend else -spend end) as moved \
                 from bench where date in ('{before}', '{today}') group by account_id, campaign_id \
                 order by abs(moved) desc, account_id, campaign_id limit 10",
                today = day(1),
                before = day(2)
            ),
        },
        Question {
            title: "top 10 campaigns of all time",
            sql: "select account_id, campaign_id, sum(spend) as spent, sum(clicks) as clicks from bench \
                  group by account_id, campaign_id order by spent desc, account_id, campaign_id limit 10"
                .to_owned(),
        },
    ]
}

fn query(folder: &Path, sql: &str) -> Command {
    let mut command = hourmark();
    command.current_dir(folder).args(["query", sql, "--format", "csv", "--quiet"]);
    command.args(["--lake", "lake", "--state", "state.db", "--pipelines", "pipelines"]);
    command
}

/// How many rows DuckDB answers, and how long it took.
fn duckdb(python: &std::ffi::OsStr, folder: &Path, sql: &str) -> (usize, Duration) {
    let output = measured(Command::new(python).current_dir(folder).args(["-c", DUCKDB, "lake/bench", sql])).output;
    let mut words = output.split_whitespace();
    let rows = words.next().and_then(|word| word.parse().ok()).expect("rows");
    let seconds = words.next().and_then(|word| word.parse().ok()).expect("seconds");
    (rows, Duration::from_secs_f64(seconds))
}

/// What the scans of a question say that they left out.
fn pruned(folder: &Path, sql: &str) -> String {
    let output = measured(&mut query(folder, &format!("explain analyze {sql}"))).output;
    let metrics = ["files_ranges_pruned_statistics", "row_groups_pruned_statistics", "page_index_rows_pruned"];
    let mut told = vec![format!("{} files named", output.matches(".parquet").count())];
    for name in metrics {
        for rest in output.split(name).skip(1) {
            let value = rest.trim_start_matches('=').split([']', '\n']).next().unwrap_or_default();
            let value = value.split(", ").next().unwrap_or_default();
            told.push(format!("{name} {value}"));
        }
    }
    told.join("; ")
}
