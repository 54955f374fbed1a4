//! Rows that a re-fetch does not bring again, and the guard.

use super::fixture::{Place, Row, at, day, row, slice, window};
use crate::lake::StagedSlice;
use crate::pipeline::Missing;

const TENTH: Missing = Missing::Drop { max_share: 0.1 };

/// Ten campaigns of account `a` at each of two hours.
fn twenty() -> Vec<Row> {
    let hours = ["05:00", "06:00"];
    hours.iter().flat_map(|hour| (0..10).map(move |n| row(hour, "a", &format!("c{n}"), n))).collect()
}

async fn with_twenty() -> Place {
    let place = Place::new().await;
    let first = place.stage(0, TENTH, &twenty()).await;
    assert_eq!(place.publish(&[first]).await.rows, 20);
    place
}

#[tokio::test]
async fn absent_rows_stay_or_go_as_the_pipeline_says() {
    let place = with_twenty().await;
    let kept = place.stage(1, Missing::Keep, &twenty()[1..]).await;
    assert_eq!(place.publish(&[kept]).await.rows, 20);
    let dropped = place.stage(2, TENTH, &twenty()[1..]).await;
    let published = place.publish(&[dropped]).await;
    assert_eq!((published.rows, published.removed, published.refused.len()), (19, 1, 0));
    assert_eq!(published.account_hours_changed, [("a".to_owned(), at("05:00"))]);
    assert_eq!(place.rows(), twenty()[1..]);
}

#[tokio::test]
async fn rows_of_other_accounts_and_hours_stay() {
    let place = with_twenty().await;
    let other = place.stage(1, Missing::Keep, &[row("05:00", "z", "c", 1)]).await;
    place.publish(&[other]).await;
    let all = Missing::Drop { max_share: 1.0 };
    let early =
        StagedSlice { window: window("05:00", "06:00"), ..place.stage(2, all, &[row("05:00", "a", "c0", 0)]).await };
    let published = place.publish(&[early]).await;
    assert_eq!((published.removed, published.rows, published.refused.len()), (9, 12, 0));
}

#[tokio::test]
async fn too_many_absent_rows_refuse_that_slice_alone() {
    let place = with_twenty().await;
    let mut less = twenty()[3..].to_vec();
    less[0].clicks = Some(77);
    let refused = place.stage(1, TENTH, &less).await;
    let mut other = place.stage(2, TENTH, &[row("05:00", "z", "c", 1)]).await;
    other.accounts = vec!["z".into()];
    let published = place.publish(&[refused.clone(), other]).await;
    assert_eq!((published.added, published.changed, published.removed), (1, 0, 0));
    assert_eq!(published.refused.len(), 1);
    assert_eq!(published.refused[0].key, refused.key);
    let message = &published.refused[0].message;
    assert!(message.contains("date=2026-11-20/bucket-00.parquet"), "{message}");
    assert!(
        message.ends_with("the re-fetch would erase 3 of 20 rows, and no more than 10.0 % may go at once"),
        "{message}"
    );
    assert_eq!(place.rows().len(), 21);
    assert!(!place.staged_files().iter().any(|name| name.ends_with("tmp")));
}

#[tokio::test]
async fn the_share_is_that_of_the_whole_partition() {
    let place = with_twenty().await;
    // Two of the ten rows of the window, but two of the twenty of the day.
    let rows = &twenty()[2..10];
    let slice = StagedSlice { window: window("05:00", "06:00"), ..place.stage(1, TENTH, rows).await };
    let published = place.publish(&[slice]).await;
    assert_eq!((published.removed, published.refused.len()), (2, 0));
}

#[tokio::test]
async fn an_empty_slice_erases_nothing_unless_everything_may_go() {
    let place = with_twenty().await;
    let published = place.publish(&[slice(1, Missing::Drop { max_share: 0.99 }, 0)]).await;
    assert_eq!((published.refused.len(), published.written, published.rows), (1, false, 20));
    assert!(published.refused[0].message.ends_with("the re-fetch is empty where the lake has 20 rows"));
    let published = place.publish(&[slice(2, Missing::Drop { max_share: 1.0 }, 0)]).await;
    assert_eq!((published.removed, published.rows, published.written), (20, 0, true));
    assert!(!place.file(day()).exists(), "an empty partition has no file");
    let published = place.publish(&[slice(3, TENTH, 0)]).await;
    assert_eq!((published.refused.len(), published.rows), (0, 0));
}

#[tokio::test]
async fn rows_seen_later_than_a_slice_was_fetched_stay() {
    let place = Place::new().await;
    let mut newer = row("05:00", "a", "c", 2);
    newer.seen_at = at("2026-11-21T12:30:00Z");
    let second = place.stage(30, TENTH, std::slice::from_ref(&newer)).await;
    place.publish(&[second]).await;
    let first = place.stage(1, Missing::Drop { max_share: 1.0 }, &[row("05:00", "a", "c", 1)]).await;
    let published = place.publish(&[first]).await;
    assert!(!published.written);
    assert!(!place.publish(&[slice(2, Missing::Drop { max_share: 1.0 }, 0)]).await.written);
    assert_eq!(place.rows(), [newer]);
}
