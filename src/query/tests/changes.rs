//! What moved most.

use super::restated::{DROP, Restated, Row, at};
use crate::error::ErrorKind;
use crate::pipeline::{Missing, PartitionBy};
use crate::query::{Asked, Changes, changes};

fn asked(since: &str) -> Asked {
    Asked { pipelines: Vec::new(), since: at(since), metric: None, top: 20 }
}

async fn restated() -> Restated {
    let mut lake = Restated::new(PartitionBy::Date, 1).await;
    let row =
        |campaign, hour, clicks, spend| -> Row { ("a", campaign, hour, Some(clicks), spend, None, Some("Shoes")) };
    let first =
        [row("x", "05:00", 100, 10_000_000), row("x", "06:00", 50, 5_000_000), row("y", "05:00", 10, 1_000_000)];
    lake.publish(at("09:00"), DROP, &first).await;
    // Up and up again: one difference, from the first to the last.
    let second =
        [row("x", "05:00", 110, 10_000_000), row("x", "06:00", 50, 5_000_000), row("y", "05:00", 10, 1_000_000)];
    lake.publish(at("10:00"), DROP, &second).await;
    let third = [row("x", "05:00", 130, 10_500_000), row("x", "06:00", 51, 5_000_000), row("z", "05:00", 5, 250_000)];
    lake.publish(at("13:00"), DROP, &third).await;
    let fourth = [row("x", "05:00", 130, 10_500_000), row("z", "05:00", 5, 250_000)];
    lake.publish(at("14:00"), Missing::Keep, &fourth).await;
    lake
}

fn shown(changes: &Changes) -> String {
    let mut lines: Vec<String> = changes.totals.iter().map(|totals| format!("{totals:?}")).collect();
    for moved in &changes.moved {
        lines.push(format!(
            "{} {} {} {} {}: {} -> {} ({}), {} h, {} s, {:.4}",
            moved.pipeline,
            moved.account,
            moved.campaign,
            moved.day,
            moved.metric,
            moved.old,
            moved.new,
            moved.difference,
            moved.hours,
            moved.last_age_seconds,
            moved.weight
        ));
    }
    lines.join("\n")
}

#[tokio::test]
async fn sums_are_over_restated_rows_from_the_first_value_to_the_last() {
    let lake = restated().await;
    let all = changes(lake.input(None), &asked("09:00")).await.expect("changes");
    insta::assert_snapshot!(shown(&all), @"");
    let later = changes(lake.input(None), &asked("10:00")).await.expect("changes");
    insta::assert_snapshot!(shown(&later), @"");
    let none = changes(lake.input(None), &asked("14:00")).await.expect("changes");
    insta::assert_snapshot!(shown(&none), @"");
}

#[tokio::test]
async fn one_metric_and_few_lines_can_be_asked_for() {
    let lake = restated().await;
    let only = Asked { metric: Some("spend".into()), top: 1, pipelines: vec!["shop".into()], ..asked("09:00") };
    let found = changes(lake.input(None), &only).await.expect("changes");
    insta::assert_snapshot!(shown(&found), @"");
    let wrong = Asked { metric: Some("clik".into()), ..asked("09:00") };
    let error = changes(lake.input(None), &wrong).await.expect_err("no metric");
    assert_eq!(error.kind(), ErrorKind::BadInput);
    insta::assert_snapshot!(error.report(), @"");
    let wrong = Asked { pipelines: vec!["shoes".into()], ..asked("09:00") };
    let error = changes(lake.input(None), &wrong).await.expect_err("no pipeline");
    insta::assert_snapshot!(error.report(), @"");
}
