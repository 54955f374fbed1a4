//! What was known at earlier moments, compared with what the lake answered then.

use arrow::array::AsArray;
use chrono::Duration;
use proptest::prelude::*;

use super::restated::{DROP, Restated, Row, at};
use crate::pipeline::{Missing, PartitionBy};
use crate::query::rows;

/// Four readings: a first one, values that change, a row that goes and one that comes late, and the row again.
fn readings() -> Vec<(&'static str, Vec<Row>)> {
    let first = vec![
        ("a", "x", "05:00", Some(1), 1_000_001, Some(0.1), Some("Shoes")),
        ("a", "y", "05:00", None, 5_000_000, None, None),
        ("b", "x", "2026-11-19T23:00:00Z", Some(9), 9_000_000, Some(1.5), Some("Hats")),
    ];
    let mut second = first.clone();
    second[0].3 = None;
    second[0].5 = Some(0.30000000000000004);
    second[1].6 = Some("Boots");
    let mut third = second.clone();
    third[0].4 = 2_000_002;
    third.remove(1);
    third.push(("b", "z", "2026-11-19T23:00:00Z", Some(3), 3, None, None));
    let mut fourth = third.clone();
    fourth.insert(1, ("a", "y", "05:00", Some(7), 7_000_000, Some(0.5), None));
    fourth.remove(2);
    vec![("09:00", first), ("11:00", second), ("13:00", third), ("15:00", fourth)]
}

async fn with_readings(partition_by: PartitionBy, buckets: u16) -> (Restated, Vec<(&'static str, String, String)>) {
    let mut lake = Restated::new(partition_by, buckets).await;
    let mut snapshots = Vec::new();
    for (seen_at, rows) in readings() {
        lake.publish(at(seen_at), DROP, &rows).await;
        let view = lake.table(None, VIEW).await;
        snapshots.push((seen_at, lake.all(None).await, view));
    }
    (lake, snapshots)
}

const VIEW: &str = "select * from campaign_hours order by hour, account_id, campaign_id";

#[tokio::test]
async fn every_earlier_answer_is_given_again() {
    for (partition_by, buckets) in [(PartitionBy::Date, 1), (PartitionBy::DateHour, 3)] {
        let (lake, snapshots) = with_readings(partition_by, buckets).await;
        for (seen_at, all, view) in &snapshots {
            for moment in [at(seen_at), at(seen_at) + Duration::minutes(119)] {
                assert_eq!(lake.all(Some(moment)).await, *all, "{moment}");
                assert_eq!(lake.table(Some(moment), VIEW).await, *view, "{moment}");
            }
        }
        let nothing = lake.table(Some(at("08:59")), "select count(*) as n from shop").await;
        assert!(nothing.contains("| 0 |"), "{nothing}");
        let future = Some(at("2030-01-01T00:00:00Z"));
        assert_eq!(lake.all(future).await, lake.all(None).await);
        let folders = "select date, hour from shop where date <> arrow_cast(hour, 'Date32')";
        assert!(!lake.table(Some(at("09:30")), folders).await.contains("2026"));
    }
}

#[tokio::test]
async fn values_and_types_are_exact() {
    let (lake, _) = with_readings(PartitionBy::DateHour, 1).await;
    insta::assert_snapshot!(lake.all(Some(at("12:00"))).await, @r#"
    +------------+-------------+---------------+----------------------+--------+----------+---------------------+----------------------+------------+----------+
    | account_id | campaign_id | campaign_name | hour                 | clicks | spend    | share               | seen_at              | date       | utc_hour |
    +------------+-------------+---------------+----------------------+--------+----------+---------------------+----------------------+------------+----------+
    | b          | x           | Hats          | 2026-11-19T23:00:00Z | 9      | 9.000000 | 1.5                 | 2026-11-20T09:00:00Z | 2026-11-19 | 23       |
    | a          | x           | Shoes         | 2026-11-20T05:00:00Z |        | 1.000001 | 0.30000000000000004 | 2026-11-20T11:00:00Z | 2026-11-20 | 5        |
    | a          | y           | Boots         | 2026-11-20T05:00:00Z |        | 5.000000 |                     | 2026-11-20T11:00:00Z | 2026-11-20 | 5        |
    +------------+-------------+---------------+----------------------+--------+----------+---------------------+----------------------+------------+----------+
    "#);
    let types =
        "select distinct arrow_typeof(clicks) as clicks, arrow_typeof(spend) as spend, arrow_typeof(hour) as hour,
        arrow_typeof(date) as date, arrow_typeof(utc_hour) as utc_hour, arrow_typeof(campaign_name) as name from shop";
    assert_eq!(lake.table(Some(at("12:00")), types).await, lake.table(None, types).await);
    let describe = "select column_name, data_type from information_schema.columns where table_name = 'shop'";
    assert_eq!(lake.table(Some(at("12:00")), describe).await, lake.table(None, describe).await);
}

#[tokio::test]
async fn a_query_may_ask_anything_of_it() {
    let (lake, _) = with_readings(PartitionBy::Date, 2).await;
    let sql =
        "select account_id, count(*) as n, sum(spend) as spend from shop where date = '2026-11-20' group by account_id";
    insta::assert_snapshot!(lake.table(Some(at("12:00")), sql).await, @r#"
    +------------+---+----------+
    | account_id | n | spend    |
    +------------+---+----------+
    | a          | 2 | 6.000001 |
    +------------+---+----------+
    "#);
    insta::assert_snapshot!(lake.table(None, sql).await, @r#"
    +------------+---+----------+
    | account_id | n | spend    |
    +------------+---+----------+
    | a          | 2 | 9.000002 |
    +------------+---+----------+
    "#);
    // Restatements are as they are, whatever the moment.
    let told = "select change, count(*) as n from shop__restatements group by change order by change";
    assert_eq!(lake.table(Some(at("09:00")), told).await, lake.table(None, told).await);
    insta::assert_snapshot!(lake.table(None, told).await, @r#"
    +---------+---+
    | change  | n |
    +---------+---+
    | added   | 5 |
    | changed | 4 |
    | removed | 6 |
    +---------+---+
    "#);
}

#[tokio::test]
async fn files_of_other_days_are_not_opened() {
    let (lake, _) = with_readings(PartitionBy::Date, 1).await;
    for (condition, date) in [
        ("date = '2026-11-19'", "2026-11-19"),
        ("hour >= '2026-11-20T01:00:00Z'", "2026-11-20"),
        ("hour = '2026-11-20T05:00:00Z' and account_id = 'a'", "2026-11-20"),
    ] {
        let explain = format!("explain analyze select sum(spend) from shop where {condition}");
        let batches = rows(lake.input(Some(at("12:00"))), &explain).await.expect("query");
        let plans = batches.iter().map(|batch| batch.column_by_name("plan").expect("plan").as_string::<i32>());
        let text: Vec<String> = plans.flat_map(|texts| texts.iter().flatten().map(str::to_owned)).collect();
        let scans: Vec<&str> =
            text.iter().flat_map(|text| text.lines()).filter(|l| l.contains("DataSourceExec")).collect();
        let of_lake: Vec<&&str> = scans.iter().filter(|scan| scan.contains("[shop/")).collect();
        assert_eq!(of_lake.len(), 2, "{condition}: {scans:#?}");
        for scan in of_lake {
            let dates: Vec<&str> = scan.split("date=").skip(1).map(|rest| &rest[..10]).collect();
            assert!(dates.iter().all(|found| *found == date) && !dates.is_empty(), "{condition}: {scan}");
        }
    }
}

#[tokio::test]
async fn a_lake_without_restatements_answers_too() {
    let mut lake = Restated::new(PartitionBy::Date, 1).await;
    assert!(lake.table(Some(at("12:00")), "select count(*) as n from shop").await.contains("| 0 |"));
    lake.publish(at("09:00"), DROP, &readings()[0].1).await;
    assert_eq!(lake.all(Some(at("09:00"))).await, lake.all(None).await);
    assert!(lake.table(Some(at("08:00")), "select count(*) as n from shop").await.contains("| 0 |"));
    let log = lake.table(None, "select count(*) as n from shop__restatements").await;
    assert!(log.contains("| 0 |"), "{log}");
}

/// For each of four keys, whether it is brought, and its clicks and whether it has a name.
type Drawn = [Option<(Option<i64>, bool)>; 4];

/// Readings, and whether each one drops what it does not bring.
fn drawn() -> impl Strategy<Value = Vec<(bool, Drawn)>> {
    let values = prop::array::uniform4(prop::option::weighted(0.7, (prop::option::of(0i64..3), any::<bool>())));
    prop::collection::vec((any::<bool>(), values), 1..6)
}

fn rows_of(values: &Drawn) -> Vec<Row> {
    const KEYS: [(&str, &str, &str); 4] =
        [("a", "x", "05:00"), ("a", "y", "05:00"), ("b", "x", "05:30"), ("b", "x", "2026-11-19T23:30:00Z")];
    let mut rows = Vec::new();
    for (key, drawn) in KEYS.iter().zip(values) {
        let Some((clicks, named)) = drawn else { continue };
        let spend = i128::from(clicks.unwrap_or(5)) * 333_333;
        rows.push((
            key.0,
            key.1,
            key.2,
            *clicks,
            spend,
            clicks.map(|n| n as f64 / 3.0),
            named.then_some("Shoes, \"red\""),
        ));
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_history_can_be_asked_for(drawn in drawn()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut lake = Restated::new(PartitionBy::Date, 2).await;
            let mut snapshots = Vec::new();
            for (index, (drops, values)) in drawn.iter().enumerate() {
                // Every second reading is of the next day, so that the log has files of several dates.
                let moment = at("09:00") + Duration::hours(13 * index as i64);
                lake.publish(moment, if *drops { DROP } else { Missing::Keep }, &rows_of(values)).await;
                snapshots.push((moment, lake.all(None).await));
            }
            for (moment, snapshot) in &snapshots {
                assert_eq!(lake.all(Some(*moment)).await, *snapshot, "{moment}");
            }
        });
    }
}
