//! A publish in the middle of a query, and what becomes of the links.

use std::path::PathBuf;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::StreamExt;

use super::lake::{Lake, Row};
use crate::error::{ErrorKind, Result};
use crate::query::engine::Engine;
use crate::query::rows;
use crate::query::snapshot::Snapshot;

const SUM: &str = "select sum(impressions) from demo where impressions >= 0";
const BEFORE: i64 = 25056;

async fn sum(engine: &Engine, publish: impl FnOnce()) -> std::result::Result<i64, String> {
    let mut stream = engine.stream(SUM).await.expect("a plan");
    publish();
    let mut sums = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| error.to_string())?;
        sums.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
    }
    Ok(sums[0])
}

fn publish_other_days(lake: &Lake) {
    for date in ["2026-11-18", "2026-11-19", "2026-11-20"] {
        lake.publish("demo", date, &[Row { hour: 1, campaign: 1, impressions: 1, spend: 1 }]);
    }
}

/// Holds fast all files of `demo`.
fn pinned(snapshot: &Snapshot) -> Result<()> {
    let files = snapshot.files("demo", &["date".to_owned()])?;
    snapshot.pin("demo", &files)
}

fn links(lake: &Lake) -> PathBuf {
    lake.path().join("_snapshots")
}

/// What a snapshot holds, as the engine finds it.
fn held(snapshot: &Snapshot) -> Vec<String> {
    snapshot.below(None).iter().map(|meta| meta.location.to_string()).collect()
}

/// Where a snapshot reads a day of `demo`.
fn place(snapshot: &Snapshot, day: &str) -> PathBuf {
    snapshot.place_of(&format!("demo/date={day}/bucket-00.parquet").into()).expect("held")
}

#[tokio::test]
async fn a_publish_in_the_middle_changes_nothing_for_a_query_that_runs() {
    let lake = Lake::with_two_pipelines();
    let engine = Engine::open(&lake.input()).await.expect("engine");
    assert_eq!(sum(&engine, || publish_other_days(&lake)).await, Ok(BEFORE));
    engine.verify().expect("one version of each file");
    drop(engine);
    assert!(!links(&lake).exists(), "nothing is left");
    let engine = Engine::open(&lake.input()).await.expect("engine");
    assert_eq!(sum(&engine, || ()).await, Ok(3), "the next query sees what was published");
}

#[tokio::test]
async fn a_removed_partition_stays_for_a_query_that_runs() {
    let lake = Lake::with_two_pipelines();
    let engine = Engine::open(&lake.input()).await.expect("engine");
    let remove = || std::fs::remove_dir_all(lake.path().join("demo")).expect("remove");
    assert_eq!(sum(&engine, remove).await, Ok(BEFORE));
}

#[tokio::test]
async fn without_links_a_replaced_file_is_an_error_and_a_quiet_lake_is_read() {
    let lake = Lake::with_two_pipelines();
    // A file where the folder should be: no links can be made.
    std::fs::write(links(&lake), "").expect("file");
    assert_eq!(
        rows(lake.input(), SUM).await.expect("read in place")[0].column(0).as_primitive::<Int64Type>().value(0),
        BEFORE
    );
    let sql = r#"select count(*) from "shop-ads" where utc_hour = 9 and date = '2026-11-20'"#;
    assert_eq!(
        rows(lake.input(), sql).await.expect("read in place")[0].column(0).as_primitive::<Int64Type>().value(0),
        1
    );

    let engine = Engine::open(&lake.input()).await.expect("engine");
    let _ = sum(&engine, || publish_other_days(&lake)).await;
    let error = engine.verify().expect_err("replaced");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.report().contains("was replaced while it was read"), "{error:?}");
}

#[tokio::test]
async fn only_what_a_query_reads_is_linked() {
    let lake = Lake::with_two_pipelines();
    rows(lake.input(), "select 1").await.expect("query");
    assert!(!links(&lake).exists());
    let engine = Engine::open(&lake.input()).await.expect("engine");
    let _one = engine.stream("select spend from demo where date = '2026-11-19'").await.expect("plan");
    assert_eq!(held(engine.snapshot()), ["demo/date=2026-11-19/bucket-00.parquet"]);
    let _more = engine.stream("select spend from demo where hour < '2026-11-19T00:00:00Z'").await.expect("plan");
    let days = ["demo/date=2026-11-18/bucket-00.parquet", "demo/date=2026-11-19/bucket-00.parquet"];
    assert_eq!(held(engine.snapshot()), days);
    let sql = r#"select spend from "shop-ads" where utc_hour = 9 and date >= '2026-11-20'"#;
    let _hours = engine.stream(sql).await.expect("plan");
    let hour = "shop-ads/date=2026-11-20/utc_hour=09/bucket-00.parquet";
    assert_eq!(held(engine.snapshot()), [&days[..], &[hour]].concat());
    let mine = links(&lake).join(format!("{}-0", std::process::id()));
    let mut names: Vec<_> = std::fs::read_dir(mine).expect("snapshot").flatten().map(|link| link.file_name()).collect();
    names.sort();
    assert_eq!(names, ["0.pinned", "1.pinned", "2.pinned", "lock"]);
}

#[tokio::test]
async fn each_scan_of_a_query_finds_its_own_days() {
    let lake = Lake::with_two_pipelines();
    let all: Vec<(i64, i64)> = answers(&lake, "select date, impressions from demo").await;
    let by_parts = "select date, impressions from demo where date = '2026-11-18' union all \
                    select date, impressions from demo where date = '2026-11-19' union all \
                    select date, impressions from demo where date > '2026-11-19'";
    assert!(all.iter().map(|(day, _)| day).collect::<std::collections::BTreeSet<_>>().len() > 1, "{all:?}");
    assert_eq!(answers(&lake, by_parts).await, all);
}

/// Days and impressions, in order.
async fn answers(lake: &Lake, sql: &str) -> Vec<(i64, i64)> {
    let sql = format!("select cast(cast(date as int) as bigint), impressions from ({sql})");
    let mut found = Vec::new();
    for batch in rows(lake.input(), &sql).await.expect("an answer") {
        let column = |place: usize| batch.column(place).as_primitive::<Int64Type>().values().to_vec();
        found.extend(column(0).into_iter().zip(column(1)));
    }
    found.sort_unstable();
    found
}

#[test]
fn what_was_held_first_stays_when_more_is_held() {
    let lake = Lake::with_two_pipelines();
    let snapshot = Snapshot::new(&lake.path());
    snapshot.pin("demo", &["date=2026-11-19/bucket-00.parquet".into()]).expect("links");
    let link = |day: &str| std::fs::read(place(&snapshot, day)).expect("a link");
    let before = link("2026-11-19");
    publish_other_days(&lake);
    pinned(&snapshot).expect("links");
    assert_eq!(link("2026-11-19"), before);
    let published = |day: &str| std::fs::read(lake.path().join(format!("demo/date={day}/bucket-00.parquet")));
    assert_ne!(published("2026-11-19").expect("a file"), before);
    assert_eq!(published("2026-11-18").expect("a file"), link("2026-11-18"));
    snapshot.verify().expect("one version of each file");
}

#[test]
fn files_that_are_gone_do_not_keep_others_from_being_linked() {
    let lake = Lake::with_two_pipelines();
    let snapshot = Snapshot::new(&lake.path());
    let days = ["2026-11-17", "2026-11-19"].map(|day| format!("date={day}/bucket-00.parquet").into());
    snapshot.pin("demo", &days).expect("a link");
    pinned(&snapshot).expect("links");
    for day in ["2026-11-18", "2026-11-19", "2026-11-20"] {
        assert!(place(&snapshot, day).starts_with(links(&lake)), "{day}");
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_looked_at_is_an_error_and_not_left_out() {
    let lake = Lake::with_two_pipelines();
    let day = lake.path().join("demo/date=2026-11-21");
    std::fs::create_dir(&day).expect("folder");
    let file = day.join("bucket-00.parquet");
    std::os::unix::fs::symlink(&file, &file).expect("a link to itself");
    let error = pinned(&Snapshot::new(&lake.path())).expect_err("no file");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.report().contains(&format!("cannot look at `{}`", file.display())), "{}", error.report());
}

#[test]
fn what_an_ended_query_left_is_removed_and_a_living_ones_links_are_not() {
    let lake = Lake::with_two_pipelines();
    let dead = links(&lake).join("999999-0");
    std::fs::create_dir_all(dead.join("demo")).expect("folder");
    std::fs::write(dead.join("demo/bucket-00.pinned"), "").expect("link");
    std::fs::write(dead.join("lock"), "").expect("lock");
    let beginning = links(&lake).join("999999-1");
    std::fs::create_dir(&beginning).expect("folder");

    let first = Snapshot::new(&lake.path());
    pinned(&first).expect("links");
    assert!(!dead.exists() && !beginning.exists());
    let second = Snapshot::new(&lake.path());
    pinned(&second).expect("links");
    let [one, other] = [&first, &second].map(|snapshot| place(snapshot, "2026-11-19"));
    assert_ne!(one, other);
    assert!(one.is_file() && other.is_file());
    drop(second);
    assert!(one.is_file() && !other.exists());
    drop(first);
    assert!(!links(&lake).exists());
}

#[test]
fn a_dataset_that_was_rewritten_since_the_query_began_is_not_read() {
    let lake = Lake::with_two_pipelines();
    let path = lake.path().join("demo/_hourmark.json");
    let text = std::fs::read_to_string(&path).expect("a record");
    let record = serde_json::from_str(&text).expect("a record");
    let pinned_with = |text: String| {
        let snapshot = Snapshot::new(&lake.path());
        snapshot.expect(&record);
        std::fs::write(&path, text).expect("a record");
        pinned(&snapshot)
    };
    pinned_with(text.clone()).expect("the same form");
    assert!(text.contains("\"buckets\":1"), "{text}");
    let error = pinned_with(text.replace("\"buckets\":1", "\"buckets\":8")).expect_err("another form");
    insta::assert_snapshot!(error.report(), @r"
    the dataset `demo` was rewritten while it was read
      hint: run the query again
    ");
}

#[test]
fn temporary_and_foreign_files_are_not_linked() {
    let lake = Lake::with_two_pipelines();
    let day = lake.path().join("demo/date=2026-11-19");
    for name in ["_x.parquet", ".x.parquet", "bucket-00.parquet.tmp", "notes.txt"] {
        std::fs::write(day.join(name), "").expect("file");
    }
    std::fs::write(lake.path().join("demo/bucket-00.parquet"), "").expect("file");
    let snapshot = Snapshot::new(&lake.path());
    pinned(&snapshot).expect("links");
    let days = ["2026-11-18", "2026-11-19", "2026-11-20"].map(|day| format!("demo/date={day}/bucket-00.parquet"));
    assert_eq!(held(&snapshot), days);
}
