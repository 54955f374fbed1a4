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
    insta::assert_snapshot!(shown(&all), @r#"
    Totals { pipeline: "shop", restated: 2, added: 1, removed: 1, kept: 1 }
    shop a x 2026-11-20 clicks: 150 -> 181 (31), 2 h, 25200 s, 0.1667
    shop a y 2026-11-20 spend: 1.000000 -> 0.000000 (-1.000000), 1 h, 25200 s, 0.0909
    shop a y 2026-11-20 clicks: 10 -> 0 (-10), 1 h, 25200 s, 0.0538
    shop a x 2026-11-20 spend: 10.000000 -> 10.500000 (0.500000), 1 h, 25200 s, 0.0455
    shop a z 2026-11-20 clicks: 0 -> 5 (5), 1 h, 25200 s, 0.0269
    shop a z 2026-11-20 spend: 0.000000 -> 0.250000 (0.250000), 1 h, 25200 s, 0.0227
    "#);
    let later = changes(lake.input(None), &asked("10:00")).await.expect("changes");
    insta::assert_snapshot!(shown(&later), @r#"
    Totals { pipeline: "shop", restated: 2, added: 1, removed: 1, kept: 1 }
    shop a x 2026-11-20 clicks: 160 -> 181 (21), 2 h, 25200 s, 0.1129
    shop a y 2026-11-20 spend: 1.000000 -> 0.000000 (-1.000000), 1 h, 25200 s, 0.0909
    shop a y 2026-11-20 clicks: 10 -> 0 (-10), 1 h, 25200 s, 0.0538
    shop a x 2026-11-20 spend: 10.000000 -> 10.500000 (0.500000), 1 h, 25200 s, 0.0455
    shop a z 2026-11-20 clicks: 0 -> 5 (5), 1 h, 25200 s, 0.0269
    shop a z 2026-11-20 spend: 0.000000 -> 0.250000 (0.250000), 1 h, 25200 s, 0.0227
    "#);
    let none = changes(lake.input(None), &asked("14:00")).await.expect("changes");
    insta::assert_snapshot!(shown(&none), @r#"Totals { pipeline: "shop", restated: 0, added: 0, removed: 0, kept: 0 }"#);
}

#[tokio::test]
async fn one_metric_and_few_lines_can_be_asked_for() {
    let lake = restated().await;
    let only = Asked { metric: Some("spend".into()), top: 1, pipelines: vec!["shop".into()], ..asked("09:00") };
    let found = changes(lake.input(None), &only).await.expect("changes");
    insta::assert_snapshot!(shown(&found), @r#"
    Totals { pipeline: "shop", restated: 2, added: 1, removed: 1, kept: 1 }
    shop a y 2026-11-20 spend: 1.000000 -> 0.000000 (-1.000000), 1 h, 25200 s, 0.0909
    "#);
    let wrong = Asked { metric: Some("clik".into()), ..asked("09:00") };
    let error = changes(lake.input(None), &wrong).await.expect_err("no metric");
    assert_eq!(error.kind(), ErrorKind::BadInput);
    insta::assert_snapshot!(error.report(), @r#"
    no pipeline has the metric `clik`
      hint: metrics: clicks, share, spend
    "#);
    let wrong = Asked { pipelines: vec!["shoes".into()], ..asked("09:00") };
    let error = changes(lake.input(None), &wrong).await.expect_err("no pipeline");
    insta::assert_snapshot!(error.report(), @r#"
    the lake has no pipeline `shoes`
      hint: there are: shop
    "#);
}
