//! The ledger of many accounts and a year: its size on disk, and how long planning an hourly run and `status` take.
//!
//! `cargo bench --bench ledger [ACCOUNTS] [DAYS]` writes a state as an hourly schedule would have left it (the last 29 days
//! in motion, each hour with moments of its own, everything before them final), then plans with it and runs the program
//! on it. The platform is not asked for anything.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant as Moment;

use chrono::TimeDelta;
use hourmark::ledger::{AccountLedger, Cell, DayLedger, Found, day_of};
use hourmark::pipeline::{SharedQuotas, parse};
use hourmark::plan::{Ask, Subject, plan};
use hourmark::refresh::{Grid, Learned, Refresh};
use hourmark::state::{Acquired, State};
use hourmark::time::{Instant, slot, slot_start};
use hourmark::unit::Account;
use sqlx::Connection;

const NOW: &str = "2026-11-20T12:35:00Z";
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"];
const IN_MOTION: i64 = 29;

fn account(number: usize) -> Account {
    Account {
        id: format!("{}", 1_000_000_000 + number * 7919),
        name: format!("Shop {number}"),
        time_zone: ZONES[number % ZONES.len()].parse().expect("a zone"),
        currency: "EUR".to_owned(),
        parent: String::new(),
    }
}

/// A day as an hourly schedule leaves it: each hour first read 35 minutes after its end, later all together.
fn day(number: i64, account: usize, now: Instant) -> DayLedger {
    let mut day = DayLedger::default();
    let jitter = TimeDelta::seconds((account % 240) as i64);
    for place in 0..24 {
        let end = slot_start(number * 24 + place as i64 + 1);
        let first = end + TimeDelta::minutes(35) + jitter;
        if first > now {
            break;
        }
        let block_end = slot_start((number + 1) * 24);
        let ages = [TimeDelta::days(1), TimeDelta::days(3), TimeDelta::days(7), TimeDelta::days(28)];
        let own = [TimeDelta::hours(1), TimeDelta::hours(3)];
        let mut confirmed = first;
        let moments = own.iter().map(|age| end + *age).chain(ages.iter().map(|age| block_end + *age));
        for moment in moments.map(|moment| moment + TimeDelta::minutes(35) + jitter) {
            if moment <= now {
                confirmed = confirmed.max(moment);
            }
        }
        let changed = if place % 3 == 0 { first } else { confirmed };
        day.set(place, Cell { first, confirmed, changed, found: Found::Rows });
    }
    day
}

async fn fill(path: &Path, refresh: &Refresh, accounts: usize, days: i64, now: Instant) {
    let state = State::open(path).await.expect("a state");
    let all: Vec<Account> = (0..accounts).map(account).collect();
    let today = day_of(slot(now));
    let started = slot_start((today - days + 1) * 24);
    state.upsert_accounts("demo", &all, started, now).await.expect("accounts");
    let Acquired::Held(lease) = state.acquire("demo", "bench", now).await.expect("an answer") else {
        panic!("nobody else is here")
    };
    state.follow_rules(&lease, refresh, now).await.expect("the rules");
    state.release(&lease).await.expect("released");
    state.close().await;

    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the file");
    let mut transaction = connection.begin().await.expect("a transaction");
    let mut grid = Grid::default();
    for (number, account) in all.iter().enumerate() {
        let first_day = today - IN_MOTION + 1;
        sqlx::query("INSERT INTO finals VALUES ('demo', $1, $2, $3, $4, $5, $5, $5, $6)")
            .bind(&account.id)
            .bind((today - days + 1) * 24)
            .bind(first_day * 24)
            .bind(29 * 86_400)
            .bind(now.timestamp() - 86_400)
            .bind((days - IN_MOTION) * 24)
            .execute(&mut *transaction)
            .await
            .expect("a stretch");
        let mut ledger = AccountLedger::default();
        for day_number in first_day..=today {
            ledger.insert_day(day_number, day(day_number, number, now - TimeDelta::hours(1)));
        }
        for (day_number, cells) in ledger.days() {
            let due = refresh.day_due(account, &ledger, day_number, started, &mut grid, now);
            sqlx::query("INSERT INTO ledger (pipeline, day, account_id, cells, due) VALUES ('demo', $1, $2, $3, $4)")
                .bind(day_number)
                .bind(&account.id)
                .bind(cells.encode())
                .bind(due.map_or(i64::MAX, |due| due.timestamp()))
                .execute(&mut *transaction)
                .await
                .expect("a day");
        }
    }
    let watermark = slot_start(slot(now) - 1).timestamp();
    sqlx::query("UPDATE accounts SET watermark = $1").bind(watermark).execute(&mut *transaction).await.expect("marks");
    transaction.commit().await.expect("committed");
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.expect("one file");
    connection.close().await.expect("closed");
}

fn timed(folder: &Path, arguments: &[&str]) {
    let began = Moment::now();
    let output = Command::new(env!("CARGO_BIN_EXE_hourmark"))
        .current_dir(folder)
        .args(arguments)
        .args(["--now", NOW, "--state", "state.db"])
        .output()
        .expect("hourmark runs");
    println!(
        "{:<44} {:>6.2} s (exit {}, {} bytes)",
        format!("hourmark {}", arguments.join(" ")),
        began.elapsed().as_secs_f64(),
        output.status.code().unwrap_or(-1),
        output.stdout.len()
    );
}

fn main() {
    // `cargo test --benches` only asks whether it is there.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<i64>().ok());
    let (accounts, days) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(365));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let pipelines = folder.path().join("pipelines");
    std::fs::create_dir(&pipelines).expect("a folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/demo.toml");
    let text = std::fs::read_to_string(&demo).expect("the demo's pipeline");
    std::fs::write(pipelines.join("demo.toml"), &text).expect("a pipeline");
    let pipeline = parse("demo.toml", &text, &[], &SharedQuotas::default()).expect("a pipeline");
    let refresh = Refresh::new(Arc::new(pipeline), &Learned::default());
    let now: Instant = NOW.parse().expect("a moment");

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        fill(&path, &refresh, accounts as usize, days, now).await;
        let bytes = std::fs::metadata(&path).expect("the file").len();
        println!("{accounts} accounts, {days} days: {:.1} MB", bytes as f64 / 1e6);
        println!("{:.1} bytes an account-day", bytes as f64 / (accounts * days) as f64);
        let state = State::open(&path).await.expect("a state");
        let began = Moment::now();
        let known = state.accounts("demo").await.expect("accounts");
        let ledgers = state.due_ledgers(&refresh, &known, now).await.expect("ledgers");
        let loaded = began.elapsed();
        let nothing = AccountLedger::default();
        let subjects: Vec<Subject<'_>> = known
            .iter()
            .map(|known| Subject {
                account: &known.account,
                started: known.started,
                watermark: known.watermark,
                ledger: ledgers.get(&known.account.id).unwrap_or(&nothing),
            })
            .collect();
        let planned = plan(&refresh, &subjects, Ask::Due, now);
        println!(
            "planning an hourly run: {:.2} s, of them {:.2} s loading {} days; {} units, {} account-hours",
            began.elapsed().as_secs_f64(),
            loaded.as_secs_f64(),
            ledgers.values().map(|ledger| ledger.days().count()).sum::<usize>(),
            planned.units.len(),
            planned.hours
        );
        state.close().await;
    });
    timed(folder.path(), &["plan", "demo"]);
    timed(folder.path(), &["status", "demo"]);
    timed(folder.path(), &["status", "demo", "--days", "30"]);
    timed(folder.path(), &["gaps", "demo"]);
}
