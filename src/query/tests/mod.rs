//! Queries over small lakes: values, the view, the state's tables, and what a wrong query is told.

mod as_of;
mod campaigns;
mod changes;
mod formats;
mod lake;
mod pruning;
mod restated;
mod snapshots;

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use super::{QueryInput, rows};
use crate::error::{Error, ErrorKind};
use lake::{Lake, Row, full_day};

async fn error(input: QueryInput, sql: &str) -> Error {
    rows(input, sql).await.expect_err("must be refused")
}

#[tokio::test]
async fn counts_and_sums_are_exact() {
    let lake = Lake::with_two_pipelines();
    let table = lake.table("select count(*) as rows, sum(impressions) as shown, sum(spend) as spend from demo").await;
    insta::assert_snapshot!(table, @r"
    +------+-------+-------------+
    | rows | shown | spend       |
    +------+-------+-------------+
    | 216  | 25056 | 2505.600432 |
    +------+-------+-------------+
    ");
    let sql = "select date, count(distinct hour) as hours, round(max(spend), 2) as most from demo group by date order by date";
    insta::assert_snapshot!(lake.table(sql).await, @r"
    +------------+-------+-------+
    | date       | hours | most  |
    +------------+-------+-------+
    | 2026-11-18 | 24    | 23.20 |
    | 2026-11-19 | 24    | 23.20 |
    | 2026-11-20 | 24    | 23.20 |
    +------------+-------+-------+
    ");
}

#[tokio::test]
async fn the_view_holds_every_pipeline_once_and_no_restatements() {
    let lake = Lake::with_two_pipelines();
    let sql =
        "select pipeline, count(*) as rows, sum(impressions) as shown, sum(clicks) as clicks, sum(spend) as spend,
               sum(conversions) as conversions, min(hour) as first, max(date) as last
               from campaign_hours group by pipeline order by pipeline";
    insta::assert_snapshot!(lake.table(sql).await, @r"
    +----------+------+-------+--------+----------------+-------------+----------------------+------------+
    | pipeline | rows | shown | clicks | spend          | conversions | first                | last       |
    +----------+------+-------+--------+----------------+-------------+----------------------+------------+
    | demo     | 216  | 25056 | 2484   | 2505.600432000 | null        | 2026-11-18T00:00:00Z | 2026-11-20 |
    | shop-ads | 4    | 20    | null   | 0.000000004    | 1.0         | 2026-11-19T09:00:00Z | 2026-11-20 |
    +----------+------+-------+--------+----------------+-------------+----------------------+------------+
    ");
}

#[tokio::test]
async fn a_fresh_lake_has_an_empty_view_with_the_same_columns() {
    let describe = "describe campaign_hours";
    let fresh = Lake::empty();
    insta::assert_snapshot!(fresh.table(describe).await, @r#"
    +--------------------+----------------------+-------------+
    | column_name        | data_type            | is_nullable |
    +--------------------+----------------------+-------------+
    | pipeline           | Utf8View             | YES         |
    | platform           | Utf8View             | YES         |
    | account_id         | Utf8View             | YES         |
    | account_name       | Utf8View             | YES         |
    | account_timezone   | Utf8View             | YES         |
    | currency           | Utf8View             | YES         |
    | campaign_id        | Utf8View             | YES         |
    | campaign_name      | Utf8View             | YES         |
    | hour               | Timestamp(µs, "UTC") | YES         |
    | local_hour         | Timestamp(µs)        | YES         |
    | utc_offset_minutes | Int16                | YES         |
    | hours_covered      | Int8                 | YES         |
    | impressions        | Int64                | YES         |
    | clicks             | Int64                | YES         |
    | spend              | Decimal128(38, 6)    | YES         |
    | conversions        | Float64              | YES         |
    | seen_at            | Timestamp(µs, "UTC") | YES         |
    | date               | Date32               | YES         |
    +--------------------+----------------------+-------------+
    "#);
    insta::assert_snapshot!(fresh.table("select count(*) as rows, sum(spend) as spend from campaign_hours").await, @r"
    +------+-------+
    | rows | spend |
    +------+-------+
    | 0    | null  |
    +------+-------+
    ");
    let mut described = Lake::empty();
    described.describe("demo", &["date"], &[("impressions", DataType::Int64)]);
    assert_eq!(described.table("select count(*) as rows from demo").await.lines().nth(3), Some("| 0    |"));
}

#[tokio::test]
async fn an_older_file_without_a_newer_column_or_with_a_narrower_type_is_read() {
    let mut lake = Lake::empty();
    let metrics = [("impressions", DataType::Int64), ("spend", DataType::Decimal128(18, 6))];
    lake.describe("demo", &["date"], &metrics);
    lake.publish("demo", "2026-11-19", &full_day());
    let metrics =
        [("impressions", DataType::Int64), ("spend", DataType::Decimal128(30, 6)), ("conversions", DataType::Float64)];
    lake.describe("demo", &["date"], &metrics);
    lake.publish("demo", "2026-11-20", &full_day());
    let sql = "select date, count(*) as rows, count(conversions) as known, sum(conversions) as conversions, sum(spend) as spend
               from campaign_hours where conversions is null or conversions > 0 group by date order by date";
    insta::assert_snapshot!(lake.table(sql).await, @r"
    +------------+------+-------+-------------+------------+
    | date       | rows | known | conversions | spend      |
    +------------+------+-------+-------------+------------+
    | 2026-11-19 | 72   | 0     | null        | 835.200144 |
    | 2026-11-20 | 72   | 72    | 18.0        | 835.200144 |
    +------------+------+-------+-------------+------------+
    ");
}

#[tokio::test]
async fn a_text_under_a_metrics_name_is_null_in_the_view_only() {
    let mut lake = Lake::empty();
    lake.describe("odd", &["date"], &[("clickers", DataType::Utf8), ("conversions", DataType::Utf8)]);
    let table =
        lake.table("select arrow_typeof(conversions) as type from campaign_hours union all select 'none'").await;
    assert!(!table.contains("Utf8"), "{table}");
    assert!(lake.table("describe odd").await.contains("| conversions        | Utf8"), "its own table has it");
}

#[tokio::test]
async fn the_states_tables_join_the_lakes() {
    let lake = Lake::with_two_pipelines();
    let names: ArrayRef = Arc::new(StringArray::from(vec!["demo", "shop-ads", "gone"]));
    let runs = RecordBatch::try_from_iter([("pipeline", names)]).expect("runs");
    let input = QueryInput { state_tables: vec![("runs".into(), runs)], ..lake.input() };
    let sql = "select runs.pipeline, count(hour) as hours from runs left join campaign_hours using (pipeline)
               group by runs.pipeline order by hours";
    let (text, summary) = lake::written(input, sql, super::Format::Csv).await;
    assert_eq!(String::from_utf8(text).expect("text"), "pipeline,hours\ngone,0\nshop-ads,4\ndemo,216\n");
    assert_eq!(summary.rows, 3);
}

#[tokio::test]
async fn only_reading_is_possible() {
    let lake = Lake::with_two_pipelines();
    for sql in [
        "create table a as select 1",
        "create view a as select 1",
        "create external table a stored as parquet location '/tmp'",
        "drop table demo",
        "delete from demo",
        "insert into demo select * from demo",
        "copy demo to 'x.parquet'",
        "explain analyze copy demo to 'x.parquet'",
        "set datafusion.execution.batch_size = 1",
        "select 1; select 2",
    ] {
        let error = error(lake.input(), sql).await;
        assert_eq!(error.kind(), ErrorKind::BadInput, "{sql}: {error:?}");
    }
    let report = error(lake.input(), "drop table demo").await.report();
    insta::assert_snapshot!(report, @r"
    a query only reads: DDL not supported: DropTable
      hint: SELECT, EXPLAIN, DESCRIBE and SHOW are possible; `--output FILE` keeps a result
    ");
    for sql in ["show tables", "explain select * from demo", "describe demo", "show columns from demo"] {
        assert!(rows(lake.input(), sql).await.is_ok(), "{sql}");
    }
}

#[tokio::test]
async fn a_wrong_query_is_told_what_there_is() {
    let lake = Lake::with_two_pipelines();
    insta::assert_snapshot!(error(lake.input(), "select spend from demos").await.report(), @r#"
    no table is named `demos`
      hint: tables: demo, demo__restatements, "shop-ads", "shop-ads__restatements", campaign_hours, campaigns
    "#);
    insta::assert_snapshot!(error(lake.input(), "select spent from demo").await.report(), @r"
    no column is named `spent`
      hint: columns: account_id, account_name, account_timezone, campaign_id, campaign_name, clicks, currency, date, hour, hours_covered, impressions, local_hour, platform, seen_at, spend, utc_offset_minutes
    ");
    insta::assert_snapshot!(error(lake.input(), "selct spend from demo").await.report(),
        @"not a query: Expected: an SQL statement, found: selct at Line: 1, Column: 1");
    insta::assert_snapshot!(error(lake.input(), "select 1 / (impressions - impressions) from demo").await.report(),
        @"the query failed: Divide by zero error");
    // Other files of the machine are no tables.
    let file = lake.path().join("demo/date=2026-11-20/bucket-00.parquet");
    let error = error(lake.input(), &format!("select * from '{}'", file.display())).await;
    assert_eq!(error.kind(), ErrorKind::BadInput, "{error:?}");
}

#[tokio::test]
async fn a_lake_that_cannot_be_used_is_named() {
    let lake = Lake::empty();
    let missing = error(QueryInput::new("no/such/lake"), "select 1").await;
    assert_eq!(missing.kind(), ErrorKind::BadInput);
    insta::assert_snapshot!(missing.report(), @r"
    no lake at `no/such/lake`
      hint: `hourmark run` makes it; name another place with `--lake`
    ");
    let folder = lake.path().join("demo");
    std::fs::create_dir(&folder).expect("folder");
    let record = |format: u32, partition_by: &str, data_type: &str| {
        format!(
            r#"{{"format":{format},"pipeline":"demo","partition_by":["{partition_by}"],"buckets":1,"schema_version":1,
            "key":[],"columns":[{{"name":"spend","type":"{data_type}","nullable":true}}]}}"#
        )
    };
    for (text, expected) in [
        ("{".to_owned(), "demo/_hourmark.json`: EOF while parsing"),
        (record(2, "date", "Int64"), "demo/_hourmark.json` has format 2, this program knows up to 1"),
        (record(1, "week", "Int64"), "demo` is partitioned by `week`"),
        (record(1, "date", "Money"), "the column `spend` of the dataset `demo` has an unknown type Money"),
    ] {
        std::fs::write(folder.join("_hourmark.json"), text).expect("description");
        let error = error(lake.input(), "select 1").await;
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.report().contains(expected), "{error:?}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_a_storage_error_that_names_it() {
    let lake = Lake::with_two_pipelines();
    let file = lake.path().join("demo/date=2026-11-20/bucket-00.parquet");
    std::fs::write(&file, b"PAR1 and no more").expect("damage");
    let error = error(lake.input(), "select count(spend) from demo").await;
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    let named = format!("cannot read the lake's `{}`", file.display());
    assert!(error.report().starts_with(&named), "{error:?}");
}

#[tokio::test]
async fn memory_is_bounded() {
    let lake = Lake::with_two_pipelines();
    let input = QueryInput { memory_limit: 10_000, ..lake.input() };
    let sql =
        "select count(*) from demo a join demo b on a.campaign_id = b.campaign_id and a.impressions < b.impressions";
    let error = error(input, sql).await;
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(error.report().starts_with("the query needs more memory than it may use"), "{error:?}");
}

#[tokio::test]
async fn a_dataset_named_as_a_state_table_is_refused() {
    let mut lake = Lake::empty();
    lake.describe("campaign_hours", &["date"], &[]);
    let error = error(lake.input(), "select 1").await;
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(error.report().contains("lake/campaign_hours` has the name of one of the query's own tables"), "{error:?}");
}

#[tokio::test]
async fn rows_of_one_hour_are_found_by_its_partition() {
    let lake = Lake::with_two_pipelines();
    lake.publish_hour("shop-ads", "2026-11-20", Row { hour: 9, campaign: 7, impressions: 1000, spend: 1 });
    let sql = r#"select utc_hour, sum(impressions) as shown from "shop-ads" where utc_hour = 9 group by utc_hour"#;
    insta::assert_snapshot!(lake.table(sql).await, @r"
    +----------+-------+
    | utc_hour | shown |
    +----------+-------+
    | 9        | 1005  |
    +----------+-------+
    ");
    let sql = r#"select count(*) as rows from "shop-ads" where date = '2026-11-20' and 9 = utc_hour"#;
    assert_eq!(lake.table(sql).await.lines().nth(3), Some("| 1    |"));
}
