//! What is not opened: files by `date`, files by what `hour` says of `date`, row groups by `hour`.

use arrow::array::AsArray;

use super::lake::Lake;
use crate::query::rows;

/// The scans of a query that was run, one line each.
async fn scans(lake: &Lake, sql: &str) -> Vec<String> {
    let batches = rows(lake.input(), &format!("explain analyze {sql}")).await.expect("query");
    let mut scans = Vec::new();
    for batch in &batches {
        for text in batch.column_by_name("plan").expect("plan").as_string::<i32>().iter().flatten() {
            scans.extend(text.lines().filter(|line| line.contains("DataSourceExec")).map(str::to_owned));
        }
    }
    scans
}

/// The dates of the files of a scan, without repetition.
fn dates(scan: &str) -> Vec<&str> {
    let mut dates: Vec<&str> = scan.split("date=").skip(1).map(|rest| &rest[..10]).collect();
    dates.sort_unstable();
    dates.dedup();
    dates
}

/// `(all, read)` row groups of a scan.
fn row_groups(scan: &str) -> (u32, u32) {
    let rest = scan.split("row_groups_pruned_statistics=").nth(1).expect("metric");
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let mut next = || numbers.next().expect("number").parse().expect("number");
    (next(), next())
}

#[tokio::test]
async fn a_date_opens_its_own_files() {
    let lake = Lake::with_two_pipelines();
    let scans = scans(&lake, "select sum(impressions) from demo where date = '2026-11-19'").await;
    assert_eq!(scans.len(), 1, "{scans:?}");
    assert_eq!(dates(&scans[0]), ["2026-11-19"]);
    assert_eq!(row_groups(&scans[0]), (24, 24));
}

#[tokio::test]
async fn hours_open_their_dates_files_and_row_groups() {
    let lake = Lake::with_two_pipelines();
    for (condition, expected_dates, expected_groups) in [
        ("hour >= '2026-11-20T20:00:00Z'", vec!["2026-11-20"], (24, 4)),
        ("hour < '2026-11-18T01:00:00Z'", vec!["2026-11-18"], (24, 1)),
        ("hour < '2026-11-19'", vec!["2026-11-18"], (24, 24)),
        ("hour = timestamp '2026-11-19T05:00:00'", vec!["2026-11-19"], (24, 1)),
        // 23:30 UTC: later than every hour of the day's file, so that is not read either.
        ("hour = '2026-11-19T05:00:00+05:30'", vec!["2026-11-18"], (0, 0)),
        ("hour between '2026-11-18T22:00:00Z' and '2026-11-19T01:00:00Z'", vec!["2026-11-18", "2026-11-19"], (48, 4)),
        ("'2026-11-19T22:00:00Z' < hour and clicks > 1", vec!["2026-11-19", "2026-11-20"], (48, 23)),
        ("hour = '2026-11-18T05:00:00Z' or hour = '2026-11-20T05:00:00Z'", vec!["2026-11-18", "2026-11-20"], (48, 2)),
    ] {
        let scans = scans(&lake, &format!("select sum(impressions) from demo where {condition}")).await;
        assert_eq!(scans.len(), 1, "{condition}: {scans:?}");
        assert_eq!(dates(&scans[0]), expected_dates, "{condition}");
        assert_eq!(row_groups(&scans[0]), expected_groups, "{condition}");
    }
}

#[tokio::test]
async fn the_view_prunes_as_its_tables_do_and_drops_other_pipelines() {
    let lake = Lake::with_two_pipelines();
    let sql = "select sum(spend) from campaign_hours where hour >= '2026-11-20T10:00:00Z'";
    let both = scans(&lake, sql).await;
    assert_eq!(both.len(), 2, "{both:?}");
    for scan in &both {
        assert_eq!(dates(scan), ["2026-11-20"]);
    }
    let one = scans(&lake, &format!("{sql} and pipeline = 'shop-ads'")).await;
    assert_eq!(one.len(), 1, "{one:?}");
    assert!(one[0].contains("shop-ads/date=2026-11-20/utc_hour=10"), "{one:?}");
}

#[tokio::test]
async fn an_hour_partition_opens_its_own_files() {
    let lake = Lake::with_two_pipelines();
    let scans = scans(&lake, r#"select sum(impressions) from "shop-ads" where utc_hour = 9"#).await;
    assert!(scans[0].contains("utc_hour=09") && !scans[0].contains("utc_hour=10"), "{scans:?}");
}

#[tokio::test]
async fn the_files_order_is_used() {
    let lake = Lake::with_two_pipelines();
    let batches = rows(lake.input(), "explain select hour, spend from demo order by hour").await.expect("query");
    let plans = batches[0].column_by_name("plan").expect("plan").as_string::<i32>().value(1).to_owned();
    assert!(!plans.contains("SortExec"), "{plans}");
    let hours = lake.table("select hour from demo order by hour limit 1 offset 72").await;
    assert_eq!(hours.lines().nth(3), Some("| 2026-11-19T00:00:00Z |"));
}
