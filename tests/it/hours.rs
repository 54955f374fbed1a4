//! Every zone's hours: days of 23 and 25 hours, half-hour zones, and days that are given by label.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int8Type, Int16Type, TimestampMicrosecondType};
use chrono::{DateTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::sandbox::{Api, Key, Rows, Sandbox, assert_same};
use super::story::*;

const ZONES: &str =
    "Europe/Berlin,America/New_York,Asia/Kolkata,Pacific/Apia,Australia/Lord_Howe,UTC,Asia/Kathmandu,America/St_Johns";
const ACCOUNTS: &[(&str, &str)] = &[
    ("100001", "Europe/Berlin"),
    ("100002", "America/New_York"),
    ("100003", "Asia/Kolkata"),
    ("9007199254740996", "Pacific/Apia"),
    ("100005", "Australia/Lord_Howe"),
    ("100006", "UTC"),
    ("100007", "Asia/Kathmandu"),
    ("9007199254741000", "America/St_Johns"),
];

/// What a row says about its hour.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    /// What the account's clock shows, as text.
    local: String,
    offset: i16,
    covered: i8,
}

/// How the rows of a pipeline are placed.
fn placed(sandbox: &Sandbox, pipeline: &str) -> BTreeMap<Key, Placed> {
    let mut all = BTreeMap::new();
    for path in sandbox.files(pipeline) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).expect("a file")).expect("Parquet");
        for batch in reader.build().expect("Parquet") {
            let batch = batch.expect("rows");
            let column = |name: &str| batch.column_by_name(name).expect("a column").clone();
            let (accounts, campaigns, hours) = (column("account_id"), column("campaign_id"), column("hour"));
            let (locals, offsets) = (column("local_hour"), column("utc_offset_minutes"));
            let covered = column("hours_covered");
            for row in 0..batch.num_rows() {
                let micros = |column: &dyn Array| column.as_primitive::<TimestampMicrosecondType>().value(row);
                let key = (
                    accounts.as_string::<i32>().value(row).to_owned(),
                    campaigns.as_string::<i32>().value(row).to_owned(),
                    micros(&hours) / 1_000_000,
                );
                let local = DateTime::from_timestamp_micros(micros(&locals)).expect("a time");
                let value = Placed {
                    local: local.format("%Y-%m-%dT%H:%M").to_string(),
                    offset: offsets.as_primitive::<Int16Type>().value(row),
                    covered: covered.as_primitive::<Int8Type>().value(row),
                };
                assert!(all.insert(key, value).is_none());
            }
        }
    }
    all
}

/// Which of [`ACCOUNTS`], the date, its hours, and the labels that come twice with their offsets.
type Day = (usize, &'static str, usize, &'static [(&'static str, i16)]);

#[test]
fn days_have_as_many_hours_as_the_account_s_clock_shows() {
    let api = Api::start(&[
        "--accounts",
        "8",
        "--campaigns",
        "2",
        "--zones",
        ZONES,
        "--dense",
        "--clock",
        "2026-12-20T12:00:00Z",
    ]);
    let sandbox = Sandbox::new(&api, Some("2026-12-20T12:00:00Z"));
    let days: &[Day] = &[
        (0, "2026-03-29", 23, &[]),
        (0, "2026-10-25", 25, &[("2026-10-25T02:00", 120), ("2026-10-25T02:00", 60)]),
        (1, "2026-03-08", 23, &[]),
        (1, "2026-11-01", 25, &[("2026-11-01T01:00", -240), ("2026-11-01T01:00", -300)]),
        (2, "2026-10-25", 24, &[]),
        (3, "2026-10-25", 24, &[]),
        (4, "2026-04-05", 24, &[]),
        (4, "2026-10-04", 24, &[]),
        (6, "2026-10-25", 24, &[]),
        (7, "2026-03-08", 23, &[]),
        (7, "2026-11-01", 25, &[("2026-11-01T01:00", -150), ("2026-11-01T01:00", -210)]),
    ];
    let mut expected = Rows::new();
    for (account, date, hours, twice) in days {
        let (id, zone) = ACCOUNTS[*account];
        let next = date.parse::<chrono::NaiveDate>().expect("a date").succ_opt().expect("a date").to_string();
        let backfill = ["backfill", "demo", "--from", date, "--to", &next, "--accounts", id];
        sandbox.run(&quick(&backfill)).expect_code(0);
        let of_day = truth_of_dates(&api, &[ACCOUNTS[*account]], date, &next);
        assert_eq!(of_day.len(), hours * 2, "{zone} {date}: the truth");
        expected.extend(of_day.clone());
        assert_same(&sandbox.lake("demo"), &expected);

        let placed = placed(&sandbox, "demo");
        let of_day: Vec<&Placed> = of_day.keys().map(|key| &placed[key]).collect();
        assert!(of_day.iter().all(|row| row.local.starts_with(date) && row.covered == 1), "{zone} {date}: {of_day:?}");
        let labels: BTreeSet<&str> = of_day.iter().map(|row| row.local.as_str()).collect();
        assert_eq!(labels.len(), hours - twice.len() / 2, "{zone} {date}");
        for (label, offset) in *twice {
            let found = of_day.iter().filter(|row| row.local == *label && row.offset == *offset).count();
            assert_eq!(found, 2, "{zone} {label} {offset}: one row for each campaign");
        }
    }
}

#[test]
fn runs_around_the_shifts_see_the_truth_of_every_zone() {
    // Just after Berlin's repeated and skipped hours, Lord Howe's two half-hour shifts, and New York's repeated hour.
    let moments = [
        ("2026-10-25T03:00:00Z", "2026-10-22T00:00:00Z", "2026-10-25T02:00:00Z"),
        ("2026-03-29T03:00:00Z", "2026-03-26T00:00:00Z", "2026-03-29T02:00:00Z"),
        ("2026-04-04T17:00:00Z", "2026-04-01T00:00:00Z", "2026-04-04T16:00:00Z"),
        ("2026-10-03T18:00:00Z", "2026-09-30T00:00:00Z", "2026-10-03T17:00:00Z"),
        ("2026-11-01T08:00:00Z", "2026-10-29T00:00:00Z", "2026-11-01T07:00:00Z"),
    ];
    for (now, from, to) in moments {
        let api = Api::start(&["--accounts", "8", "--campaigns", "2", "--zones", ZONES, "--clock", now]);
        let sandbox = Sandbox::new(&api, Some(now));
        sandbox.run(&quick(&["run", "demo"])).expect_code(0);
        assert_same(&sandbox.lake("demo"), &api.truth(from, to));
        let sent = metrics(&api);
        sandbox.run(&quick(&["run", "demo"])).expect_code(0);
        assert_eq!(metrics(&api), sent, "{now}: nothing is due twice");
        sandbox.run(&["gaps", "demo"]).expect_code(0);
    }
}

#[test]
fn hours_settle_on_the_account_s_clock() {
    // At 11:40 Kolkata's hour of 10:30 is over and has not settled; UTC's of 10:00 has.
    let now = "2026-11-20T11:40:00Z";
    let api = Api::start(&["--accounts", "2", "--campaigns", "3", "--zones", "UTC,Asia/Kolkata", "--clock", now]);
    let sandbox = Sandbox::new(&api, Some(now));
    sandbox.run(&quick(&["run", "demo"])).expect_code(0);
    let mut expected = api.truth(FIRST, "2026-11-20T11:00:00Z&account_ids=100001");
    expected.extend(api.truth(FIRST, "2026-11-20T10:30:00Z&account_ids=100002"));
    assert_same(&sandbox.lake("demo"), &expected);
    assert_eq!(watermarks(&sandbox), ["2026-11-20T11:00:00Z", "2026-11-20T10:30:00Z"]);
    assert_eq!(numbers(&sandbox.run(&quick(&["run", "demo"])).expect_code(0), "units")[0], 0);
}

#[test]
fn a_platform_that_knows_only_utc_has_utc_s_hours_everywhere() {
    let now = "2026-11-20T11:40:00Z";
    let zones = "UTC,Asia/Kolkata,Asia/Kathmandu,America/St_Johns";
    let api = Api::start(&["--accounts", "4", "--campaigns", "3", "--zones", zones, "--clock", now]);
    for align in ["hour", "utc_day"] {
        let sandbox = Sandbox::new(&api, Some(now));
        sandbox.edit("to = \"{to}\"\n", "to = \"{to}\"\nclock = \"utc\"\n");
        sandbox.edit("from = \"hour\"\nzone = \"account\"", "from = \"hour\"\nzone = \"utc\"    ");
        let align_is = format!("window.align={align}");
        let size = if align == "hour" { "window.size=24" } else { "window.size=1" };
        let run = quick(&["run", "demo", "--set", &align_is, "--set", size]);
        sandbox.run(&run).expect_code(0);
        // UTC's hour of 11 is not over, whatever the account's clock shows.
        let truth = api.truth(FIRST, "2026-11-20T11:00:00Z&clock=utc");
        assert_same(&sandbox.lake("demo"), &truth);
        assert_eq!(watermarks(&sandbox), ["2026-11-20T11:00:00Z"; 4], "{align}");
        assert_eq!(numbers(&sandbox.run(&run).expect_code(0), "units")[0], 0, "{align}");
        let gaps = ["gaps", "demo", "--set", &align_is, "--set", size];
        sandbox.run(&gaps).expect_code(0);
    }
}

/// The truth as a platform tells it that gives days by label: hours of one label are one row, at the first of them.
fn folded(truth: &Rows) -> (Rows, BTreeSet<Key>) {
    let mut firsts: BTreeMap<(String, String, String), Key> = BTreeMap::new();
    let (mut rows, mut both) = (Rows::new(), BTreeSet::new());
    for ((account, campaign, hour), values) in truth {
        let (_, zone) = ACCOUNTS.iter().find(|(id, _)| id == account).expect("an account");
        let zone: Tz = zone.parse().expect("a zone");
        let local = zone.from_utc_datetime(&DateTime::<Utc>::from_timestamp(*hour, 0).expect("an hour").naive_utc());
        let label = format!("{} {}", local.date_naive(), local.hour());
        let key = (account.clone(), campaign.clone(), *hour);
        let first = firsts.entry((account.clone(), campaign.clone(), label)).or_insert_with(|| key.clone());
        if *first == key {
            rows.insert(key, values.clone());
            continue;
        }
        both.insert(first.clone());
        let sum = rows.get_mut(first).expect("the first of them");
        let conversions: f64 = [&sum.3, &values.3].iter().map(|text| text.parse::<f64>().expect("a number")).sum();
        *sum = (sum.0 + values.0, sum.1 + values.1, sum.2 + values.2, format!("{conversions:.3}"));
    }
    (rows, both)
}

#[test]
fn days_by_label_fold_the_repeated_hour_and_lack_the_skipped_one() {
    let now = "2026-12-20T12:00:00Z";
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/insights.toml");
    let arguments = ["--accounts", "8", "--campaigns", "3", "--zones", ZONES, "--dense", "--clock", now];
    for (clamp, by_number) in [(false, false), (true, true)] {
        let api = Api::start(&[&arguments[..], if clamp { &["--clamp-pages"] } else { &[] }].concat());
        let sandbox = Sandbox::new(&api, Some(now));
        let mut text = std::fs::read_to_string(&fixture).expect("the fixture");
        if by_number {
            let range = "kind = \"date_range\"\ndate = \"date\"\nrange = \"hour_range\"";
            assert!(text.contains(range));
            text = text.replace(range, "kind = \"date_hour\"\ndate = \"date\"\nhour = \"hour_of_day\"");
            text = text.replace("total_pages = \"page_info.total_page\"\n", "");
        }
        std::fs::write(sandbox.path().join("pipelines/insights.toml"), text).expect("a pipeline");
        let mut days = vec![("2026-10-24", "2026-10-26"), ("2026-03-29", "2026-03-30")];
        if by_number {
            days.extend([("2026-11-01", "2026-11-02"), ("2026-04-05", "2026-04-06"), ("2026-10-04", "2026-10-05")]);
        }
        let mut truth = Rows::new();
        for (from, to) in days {
            sandbox.run(&["backfill", "insights", "--from", from, "--to", to]).expect_code(0);
            truth.extend(truth_of_dates(&api, ACCOUNTS, from, to));
        }
        let (expected, both) = folded(&truth);
        assert_same(&sandbox.lake("insights"), &expected);
        // Berlin in October, New York and St. John's in November: three campaigns each.
        assert_eq!(both.len(), if by_number { 3 * 3 } else { 3 });
        let placed = placed(&sandbox, "insights");
        for (key, row) in &placed {
            assert_eq!(row.covered == 2, both.contains(key), "{key:?} {row:?}");
        }
        let of_autumn = placed.iter().filter(|(key, row)| key.0 == "100001" && row.local.starts_with("2026-10-25"));
        assert_eq!(of_autumn.count(), 24 * 3);
        let of_spring = placed.iter().filter(|(key, row)| key.0 == "100001" && row.local.starts_with("2026-03-29"));
        assert_eq!(of_spring.count(), 23 * 3);
    }
}

#[test]
fn whole_days_are_asked_for_again_until_they_are_over() {
    let api = Api::start(&["--accounts", "8", "--campaigns", "3", "--zones", ZONES, "--clock", NOW]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/insights.toml");
    std::fs::copy(fixture, sandbox.path().join("pipelines/insights.toml")).expect("a pipeline");
    sandbox.run(&["run", "insights"]).expect_code(0);
    let found = sandbox.lake("insights");
    let expected = api.truth("2026-11-18T00:00:00Z", SETTLED);
    // Days are fetched whole: hours that have ended and not settled, and those of the first day's beginning, come along.
    for (key, values) in &expected {
        assert_eq!(found.get(key), Some(values), "{key:?}");
    }
    let all = api.truth("2026-11-17T00:00:00Z", "2026-11-20T11:31:00Z");
    for (key, values) in &found {
        assert_eq!(all.get(key), Some(values), "{key:?}");
    }
    let sent = requests(&api, "insights");
    assert_eq!(numbers(&sandbox.run(&["run", "insights"]).expect_code(0), "units")[0], 0);
    assert_eq!(requests(&api, "insights"), sent);
}
