//! A large day in which one hour changed: what is read and written, against a plain copy of what did not change.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, Decimal128Array, Int8Array, Int16Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, SchemaRef};
use chrono::{DateTime, TimeDelta, Utc};
use hourmark::lake::{Dataset, DatasetSpec, Lake, Partition, Published, StagedSlice};
use hourmark::merge::ReadBefore;
use hourmark::pipeline::{Missing, Pipeline, SharedQuotas, parse};
use hourmark::time::Window;
use hourmark::unit::{Account, UnitKey};

use super::Order;

const PIPELINE: &str = include_str!("bench.toml");
const ACCOUNTS: usize = 40;
/// One row in so many has other values when its hour is read again.
const RESTATED: usize = 100;
const DAY: &str = "2026-09-30T00:00:00Z";

pub(crate) fn run(order: &Order) {
    if !order.wants("republish") {
        return;
    }
    let rows = (order.rows.unwrap_or(24.0) * 1e6) as usize;
    let folder = tempfile::Builder::new().prefix("hourmark-bench-").tempdir().expect("a folder");
    let pipeline = parse("bench.toml", PIPELINE, &[], &SharedQuotas::default()).expect("a pipeline");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(republish(folder.path(), &pipeline, rows / 24));
}

async fn republish(folder: &Path, pipeline: &Pipeline, rows_an_hour: usize) {
    let lake = Lake::open(folder).await.expect("a lake");
    let dataset = lake.dataset(DatasetSpec::of(pipeline)).await.expect("a dataset");
    let day: DateTime<Utc> = DAY.parse().expect("a day");
    let mut slices = Vec::new();
    for hour in 0..24 {
        slices.push(stage(&dataset, day + TimeDelta::hours(hour), rows_an_hour, 0).await);
    }
    let partition = Partition { date: day.date_naive(), hour: None, bucket: 0 };
    let began = Instant::now();
    let first = publish(&dataset, partition, &slices).await;
    let file = folder.join("bench/date=2026-09-30/bucket-00.parquet");
    let size = fs::metadata(&file).expect("the file").len();
    println!(
        "\na day of {} rows, {:.1} MB: published in {:.2} s",
        first.rows,
        size as f64 / 1e6,
        began.elapsed().as_secs_f64()
    );

    let again = vec![stage(&dataset, day + TimeDelta::hours(13), rows_an_hour, 1).await];
    let (before, began) = (io(), Instant::now());
    let published = publish(&dataset, partition, &again).await;
    let (took, after) = (began.elapsed(), io());
    let unchanged = published.bytes_spliced;
    let moved = (after.0 - before.0) + (after.1 - before.1);
    let copied = copy_of(&file, unchanged);
    println!("one hour of it changed: {} rows, published in {:.3} s", published.changed, took.as_secs_f64());
    println!(
        "  {:.1} MB of {:.1} MB taken over as bytes, {:.1} MB encoded",
        unchanged as f64 / 1e6,
        published.bytes_written as f64 / 1e6,
        (published.bytes_written - unchanged) as f64 / 1e6
    );
    println!(
        "  {:.1} MB read and {:.1} MB written: {:.2} times the {:.1} MB of copying what did not change ({:.3} s)",
        (after.0 - before.0) as f64 / 1e6,
        (after.1 - before.1) as f64 / 1e6,
        moved as f64 / (2 * unchanged) as f64,
        (2 * unchanged) as f64 / 1e6,
        copied.as_secs_f64()
    );
    let untouched = vec![stage(&dataset, day + TimeDelta::hours(13), rows_an_hour, 1).await];
    let (before, began) = (io(), Instant::now());
    let published = publish(&dataset, partition, &untouched).await;
    println!(
        "the same hour again, nothing changed: {:.3} s, {} bytes of Parquet written, {:.1} MB read",
        began.elapsed().as_secs_f64(),
        published.bytes_written,
        (io().0 - before.0) as f64 / 1e6
    );
}

async fn publish(dataset: &Dataset, partition: Partition, slices: &[StagedSlice]) -> Published {
    dataset.publish(partition, slices, &ReadBefore::default(), 1).await.expect("published")
}

/// Time to copy so many bytes of a file into another one, durably.
fn copy_of(file: &Path, bytes: u64) -> Duration {
    use std::io::Read;
    let target = file.with_extension("copy");
    let began = Instant::now();
    let mut from = fs::File::open(file).expect("the file").take(bytes);
    let mut to = fs::File::create(&target).expect("a copy");
    std::io::copy(&mut from, &mut to).expect("copied");
    to.sync_all().expect("durable");
    let took = began.elapsed();
    fs::remove_file(target).expect("removed");
    took
}

/// Bytes that this process got from read calls and passed to write calls so far.
fn io() -> (u64, u64) {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
    };
    (number("rchar:"), number("wchar:"))
}

/// Stages an hour of all accounts, in some of whose values `version` shows.
async fn stage(dataset: &Dataset, hour: DateTime<Utc>, rows: usize, version: i64) -> StagedSlice {
    let accounts: Vec<Account> = (0..ACCOUNTS).map(account).collect();
    let window = Window::new(hour, hour + TimeDelta::hours(1)).expect("a window");
    let fetched_at = hour + TimeDelta::days(40 + version);
    let key = UnitKey::new("bench", &accounts, window, Some(fetched_at));
    let batch = hour_of(dataset.schema(), hour, rows, version, fetched_at);
    let proven = dataset.prove(batch, vec![0]).await.expect("sorted").expect("unique");
    let staged = dataset.stage(&key, proven, 24).await.expect("staged");
    StagedSlice {
        key,
        accounts: accounts.into_iter().map(|account| account.id).collect(),
        window,
        missing: Missing::Drop { max_share: 0.5 },
        fetched_at,
        rows: staged.rows,
        not_falling: Arc::from([]),
    }
}

fn account(number: usize) -> Account {
    Account {
        id: (100_001 + number).to_string(),
        name: format!("Account {number} (UTC)"),
        time_zone: chrono_tz::Tz::UTC,
        currency: "EUR".to_owned(),
        parent: String::new(),
    }
}

/// An hour's rows, in the order of the key.
fn hour_of(schema: &SchemaRef, hour: DateTime<Utc>, rows: usize, version: i64, seen: DateTime<Utc>) -> RecordBatch {
    let each = rows / ACCOUNTS;
    let of = |row: usize| (row / each.max(1)).min(ACCOUNTS - 1);
    let number = |row: usize, below: u64| {
        let mixed = (row as u64 ^ hour.timestamp() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as i64 % below as i64
    };
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            let texts = |text: &dyn Fn(usize) -> String| -> ArrayRef {
                Arc::new(StringArray::from_iter_values((0..rows).map(text)))
            };
            match (field.name().as_str(), field.data_type()) {
                ("account_id", _) => texts(&|row| account(of(row)).id),
                ("account_name", _) => texts(&|row| account(of(row)).name),
                ("campaign_id", _) => texts(&|row| (230_000_000_000_000_000 + row).to_string()),
                ("campaign_name", _) => texts(&|row| format!("Campaign {row}")),
                ("hour" | "local_hour", DataType::Timestamp(_, zone)) => {
                    let all = TimestampMicrosecondArray::from_value(hour.timestamp_micros(), rows);
                    Arc::new(all.with_timezone_opt(zone.clone()))
                }
                (name @ ("seen_at" | "updated_at"), DataType::Timestamp(_, zone)) => {
                    let moment = if name == "seen_at" { seen } else { hour + TimeDelta::hours(3) };
                    let all = TimestampMicrosecondArray::from_value(moment.timestamp_micros(), rows);
                    Arc::new(all.with_timezone_opt(zone.clone()))
                }
                ("utc_offset_minutes", _) => Arc::new(Int16Array::from_value(0, rows)),
                ("hours_covered", _) => Arc::new(Int8Array::from_value(1, rows)),
                (_, DataType::Int64) => {
                    let restated = |row: usize| if row.is_multiple_of(RESTATED) { version } else { 0 };
                    Arc::new(Int64Array::from_iter_values((0..rows).map(|row| number(row, 5_000) + restated(row))))
                }
                (_, DataType::Decimal128(precision, scale)) => {
                    let values = (0..rows).map(|row| i128::from(number(row, 90_000) * 10_000));
                    let values = Decimal128Array::from_iter_values(values);
                    Arc::new(values.with_precision_and_scale(*precision, *scale).expect("a decimal"))
                }
                _ => texts(&|_| "UTC".to_owned()),
            }
        })
        .collect();
    RecordBatch::try_new(schema.clone(), columns).expect("rows of the schema")
}
