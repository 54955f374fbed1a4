//! The steps of a row's way one by one, without network: `cargo bench --bench steps`.
//!
//! Whole runs, with their memory and beside a client that only downloads and parses, are measured by
//! `cargo bench --bench pipeline`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hourmark::allowance::Needs;
use hourmark::decode::{Decoder, PageContext};
use hourmark::lake::{Dataset, DatasetSpec, Lake, Partition, StagedSlice};
use hourmark::ledger::AccountLedger;
use hourmark::merge::{Arrival, Claim, Claims, ReadBefore, Shape, Sorted, Tally, merge_hour};
use hourmark::pipeline::schema::{key_columns, lake_schema};
use hourmark::pipeline::{Endpoint, Missing, Pipeline, SharedQuotas, parse};
use hourmark::plan::{Ask, Subject, plan};
use hourmark::quota::Quotas;
use hourmark::refresh::{Learned, Refresh};
use hourmark::time::Window;
use hourmark::unit::{Account, Lane, UnitKey};
use tokio::runtime::Runtime;

const PIPELINE: &str = include_str!("pipeline/bench.toml");
const ACCOUNTS: usize = 10;
const CAMPAIGNS: usize = 50;
const ROWS: usize = ACCOUNTS * CAMPAIGNS * 24;
const PAGE: usize = 500;

fn pipeline(text: &str) -> Pipeline {
    parse("bench.toml", text, &[], &SharedQuotas::default()).expect("a pipeline")
}

fn day() -> DateTime<Utc> {
    "2026-09-30T00:00:00Z".parse().expect("a moment")
}

fn accounts(count: usize) -> Vec<Account> {
    let account = |number: usize| Account {
        id: (100_001 + number).to_string(),
        name: format!("Account {number} (UTC)"),
        time_zone: chrono_tz::Tz::UTC,
        currency: "EUR".to_owned(),
        parent: String::new(),
    };
    (0..count).map(account).collect()
}

/// A unit's pages as the simulator gives them: by account, campaign, hour.
fn pages(step: i64) -> Vec<String> {
    let mut rows = Vec::with_capacity(ROWS);
    for account in accounts(ACCOUNTS) {
        for campaign in 0..CAMPAIGNS {
            for hour in 0..24 {
                let number = (campaign as i64 * 7919 + hour * 104_729) % 9_973 + step;
                rows.push(format!(
                    r#"{{"account_id":"{}","campaign_id":"2300000000000{}{campaign:05}","hour":"2026-09-30T{hour:02}:00:00Z","campaign_name":"Brand {campaign}","impressions":"{number}","clicks":{},"spend_micros":{},"conversions":{}.5,"actions":[{{"action_type":"link_click","value":"{}"}},{{"action_type":"purchase","value":"3"}}],"updated_at":"2026-10-28T{hour:02}:00:00Z"}}"#,
                    account.id, account.id, number / 50, number * 10_000, number / 900, number / 50
                ));
            }
        }
    }
    let page = |rows: &[String]| {
        let mut body = String::from(r#"{"data":["#);
        body.push_str(&rows.join(","));
        let _infallible = write!(body, r#"],"paging":{{"cursor":"abc","next":null,"total":{ROWS}}}}}"#);
        body
    };
    rows.chunks(PAGE).map(page).collect()
}

fn decoded(decoder: &Decoder, pages: &[String]) -> RecordBatch {
    let (accounts, names, currencies) = (accounts(ACCOUNTS), HashMap::new(), HashMap::new());
    let window = Window::new(day(), day() + TimeDelta::days(1)).expect("a window");
    let context = PageContext {
        accounts: &accounts,
        campaign_names: &names,
        campaign_currencies: &currencies,
        window,
        asked: window,
    };
    let mut rows = decoder.rows();
    for page in pages {
        decoder.page(page.as_bytes(), &context, &mut rows).expect("a page");
    }
    rows.finish(day() + TimeDelta::days(30))
}

fn shape(pipeline: &Pipeline) -> Shape {
    Shape::new(lake_schema(pipeline), &key_columns(pipeline)).expect("a shape")
}

fn sorted(shape: &Shape, rows: &RecordBatch) -> RecordBatch {
    match shape.sort_unique(rows.clone(), &[0]).expect("sorted") {
        Sorted::Unique { rows, .. } => rows,
        Sorted::Undeclared(undeclared) => panic!("{undeclared}"),
    }
}

fn decode(criterion: &mut Criterion) {
    let decoder = Decoder::new(&pipeline(PIPELINE));
    let pages = pages(0);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("a unit of 24 pages", |bencher| bencher.iter(|| decoded(&decoder, black_box(&pages))));
    group.finish();
}

fn merge(criterion: &mut Criterion) {
    let pipeline = pipeline(PIPELINE);
    let (shape, decoder) = (shape(&pipeline), Decoder::new(&pipeline));
    let unsorted = decoded(&decoder, &pages(0));
    let rows = sorted(&shape, &unsorted);
    let newer = sorted(&shape, &decoded(&decoder, &pages(1)));
    let hours = shape.hours(&rows).expect("hours");
    let (hour, range) = hours[13].clone();
    let of_hour = |rows: &RecordBatch| rows.slice(range.start, range.len());
    let claims = claims(&accounts(ACCOUNTS));
    let merged = |old: Option<&RecordBatch>, new: RecordBatch| {
        let arrivals = [Arrival { claim: 0, rows: new }];
        let (read, mut tallies) = (ReadBefore::default(), [Tally::default()]);
        merge_hour(&shape, hour, old, &arrivals, &claims, &read, &mut tallies).expect("merged")
    };
    let mut group = criterion.benchmark_group("merge");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("sort a unit by key", |bencher| bencher.iter(|| sorted(&shape, black_box(&unsorted))));
    group.throughput(Throughput::Elements(range.len() as u64));
    group.bench_function("a new hour", |bencher| bencher.iter(|| merged(None, of_hour(&rows))));
    let old = of_hour(&rows);
    group.bench_function("the same again", |bencher| bencher.iter(|| merged(Some(&old), of_hour(&rows))));
    group.bench_function("all values changed", |bencher| bencher.iter(|| merged(Some(&old), of_hour(&newer))));
    group.finish();
}

fn claims(accounts: &[Account]) -> Claims {
    let window = Window::new(day(), day() + TimeDelta::days(1)).expect("a window");
    Claims::new(vec![Claim {
        key: UnitKey::new("bench", accounts, window, None),
        fetched_at: day() + TimeDelta::days(30),
        accounts: accounts.iter().map(|account| account.id.clone()).collect(),
        window,
        missing: Missing::Keep,
    }])
}

/// A dataset with one staged unit.
struct Place {
    dataset: Dataset,
    _folder: tempfile::TempDir,
}

fn place(runtime: &Runtime, pipeline: &Pipeline) -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let dataset = runtime.block_on(async {
        let lake = Lake::open(folder.path()).await.expect("a lake");
        lake.dataset(DatasetSpec::of(pipeline)).await.expect("a dataset")
    });
    Place { dataset, _folder: folder }
}

async fn staged(dataset: &Dataset, rows: &RecordBatch, days: i64) -> StagedSlice {
    let accounts = accounts(ACCOUNTS);
    let window = Window::new(day(), day() + TimeDelta::days(1)).expect("a window");
    let fetched_at = day() + TimeDelta::days(days);
    let key = UnitKey::new("bench", &accounts, window, Some(fetched_at));
    let proven = dataset.prove(rows.clone(), vec![0]).await.expect("sorted").expect("unique");
    let staged = dataset.stage(&key, proven, 1).await.expect("staged");
    StagedSlice {
        key,
        accounts: accounts.into_iter().map(|account| account.id).collect(),
        window,
        missing: Missing::Keep,
        fetched_at,
        rows: staged.rows,
        not_falling: Arc::from([]),
    }
}

fn publish(criterion: &mut Criterion) {
    let pipeline = pipeline(PIPELINE);
    let decoder = Decoder::new(&pipeline);
    let rows = sorted(&shape(&pipeline), &decoded(&decoder, &pages(0)));
    let runtime = Runtime::new().expect("a runtime");
    let partition = Partition { date: day().date_naive(), hour: None, bucket: 0 };
    let read = ReadBefore::default();
    let mut group = criterion.benchmark_group("publish");
    group.sample_size(20).throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("stage a unit", |bencher| {
        let place = place(&runtime, &pipeline);
        bencher.iter(|| runtime.block_on(staged(&place.dataset, &rows, 30)));
    });
    group.bench_function("a new day", |bencher| {
        let fresh = || {
            let place = place(&runtime, &pipeline);
            let slice = runtime.block_on(staged(&place.dataset, &rows, 30));
            (place, slice)
        };
        let publish = |(place, slice): (Place, StagedSlice)| {
            let published = runtime.block_on(place.dataset.publish(partition, &[slice], &read, 1)).expect("published");
            (place, published)
        };
        bencher.iter_batched(fresh, publish, BatchSize::PerIteration);
    });
    group.bench_function("the same again", |bencher| {
        let place = place(&runtime, &pipeline);
        let slice = runtime.block_on(staged(&place.dataset, &rows, 30));
        runtime.block_on(place.dataset.publish(partition, &[slice], &read, 1)).expect("published");
        let again = [runtime.block_on(staged(&place.dataset, &rows, 31))];
        bencher.iter(|| runtime.block_on(place.dataset.publish(partition, &again, &read, 1)).expect("published"));
    });
    group.finish();
}

fn plans(criterion: &mut Criterion) {
    let pipeline = pipeline(PIPELINE);
    let refresh = Refresh::new(Arc::new(pipeline), &Learned::default());
    let (accounts, nothing) = (accounts(1_000), AccountLedger::default());
    let now = day() + TimeDelta::hours(12);
    let subject = |account| Subject { account, started: day(), watermark: day(), ledger: &nothing };
    let subjects: Vec<Subject<'_>> = accounts.iter().map(subject).collect();
    let mut group = criterion.benchmark_group("plan");
    group.throughput(Throughput::Elements(subjects.len() as u64));
    let backfill =
        Ask::Backfill { from: (day() - TimeDelta::days(31)).date_naive(), to: day().date_naive(), again: false };
    group.bench_function("1,000 accounts, due", |bencher| bencher.iter(|| plan(&refresh, &subjects, Ask::Due, now)));
    group.sample_size(10);
    group.bench_function("1,000 accounts, 31 days back", |bencher| {
        bencher.iter(|| plan(&refresh, &subjects, backfill, now));
    });
    group.finish();
}

fn quota(criterion: &mut Criterion) {
    let limited = format!("{PIPELINE}\n[[quotas]]\nname = \"app\"\nrequests = 1000000000\nper = \"1h\"\n");
    let runtime = Runtime::new().expect("a runtime");
    let needs = Needs {
        endpoint: Endpoint::Metrics,
        accounts: accounts(ACCOUNTS).into_iter().map(|account| account.id).collect(),
        lane: Lane::Hourly,
        calls: 1,
    };
    let mut group = criterion.benchmark_group("quota");
    group.throughput(Throughput::Elements(1));
    for (name, text) in [("no limit", PIPELINE), ("one limit", limited.as_str())] {
        let quotas = runtime.block_on(async { Quotas::new(&pipeline(text)) });
        group.bench_function(format!("a permit, {name}"), |bencher| {
            bencher.iter(|| {
                let permit = runtime.block_on(quotas.permit(&needs)).map_err(|_| "no permit").expect("a permit");
                permit.answered();
            });
        });
    }
    group.finish();
}

criterion_group!(steps, decode, merge, publish, plans, quota);
criterion_main!(steps);
