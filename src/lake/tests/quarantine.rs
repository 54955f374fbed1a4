//! Rows in quarantine, and slices whose values fall.

use std::fs;

use super::fixture::{Place, Row, at, batch, day, files, row, unbatch};
use crate::error::ErrorKind;
use crate::lake::{Proven, Refusal, StagedSlice};
use crate::merge::ReadBefore;
use crate::pipeline::Missing;
use crate::unit::UnitKey;

fn names(place: &Place) -> Vec<String> {
    let found = files(&place.root().join("_quarantine/shop"), "");
    found.iter().map(|file| file.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

async fn proven(place: &Place, rows: &[Row]) -> Proven {
    place.dataset.prove(batch(rows), Vec::new()).await.expect("rows").expect("keys")
}

#[tokio::test]
async fn rows_go_into_quarantine_and_come_back_as_they_were() {
    let place = Place::new().await;
    let (key, fetched) = (UnitKey::from_stored("shop/a"), at("12:00"));
    let rows = [row("05:00", "a", "c", 1), row("06:00", "a", "c", 2), row("06:00", "a", "d", 3)];
    place.dataset.quarantine(&key, fetched, proven(&place, &rows).await).await.expect("quarantined");
    assert_eq!(names(&place), [format!("{}-{}.arrow", key.digest(), fetched.timestamp())]);
    assert_eq!(place.staged_files(), [""; 0]);
    let lake = place.lake().await;
    let read = async |most: usize| lake.quarantined_rows("shop", &key, fetched, most).await.expect("rows");
    assert_eq!(unbatch(&read(10).await.expect("a file")), rows);
    assert_eq!(unbatch(&read(2).await.expect("a file")), rows[..2]);
    assert!(lake.quarantined_rows("shop", &key, at("12:01"), 10).await.expect("an answer").is_none());

    place.dataset.restage(&key, fetched).await.expect("staged");
    place.dataset.sweep_quarantine(&[]).await.expect("swept");
    assert_eq!(names(&place), [""; 0]);
    let slice = StagedSlice { key: key.clone(), ..super::fixture::slice(0, Missing::Keep, 3) };
    place.publish(&[slice]).await;
    assert_eq!(place.rows(), rows);

    place.dataset.quarantine_staged(&key, fetched).await.expect("quarantined");
    assert_eq!(unbatch(&read(10).await.expect("a file")), rows);
}

#[tokio::test]
async fn only_what_is_known_outlives_a_sweep() {
    let place = Place::new().await;
    let key = UnitKey::from_stored("shop/a");
    for minute in ["12:00", "12:01"] {
        let rows = proven(&place, &[row("05:00", "a", "c", 1)]).await;
        place.dataset.quarantine(&key, at(minute), rows).await.expect("quarantined");
    }
    let removed = place.dataset.sweep_quarantine(&[(key.clone(), at("12:01"))]).await.expect("swept");
    assert_eq!((removed, names(&place).len()), (1, 1));
    assert_eq!(place.dataset.sweep(&[]).await.expect("swept"), 0, "that is of staged files alone");
    assert_eq!(names(&place), [format!("{}-{}.arrow", key.digest(), at("12:01").timestamp())]);
}

#[tokio::test]
async fn rows_that_are_gone_or_broken_are_not_staged() {
    let place = Place::new().await;
    let (key, fetched) = (UnitKey::from_stored("shop/a"), at("12:00"));
    let rows = proven(&place, &[row("05:00", "a", "c", 1)]).await;
    place.dataset.quarantine(&key, fetched, rows).await.expect("quarantined");
    let file = place.root().join("_quarantine/shop").join(&names(&place)[0]);
    let bytes = fs::read(&file).expect("bytes");
    fs::write(&file, &bytes[..bytes.len() / 2]).expect("cut");
    for _ in 0..2 {
        let error = place.dataset.restage(&key, fetched).await.expect_err("nothing to stage");
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.report().contains("quarantine refetch"), "{}", error.report());
        assert_eq!(place.staged_files(), [""; 0]);
        fs::remove_file(&file).ok();
    }
}

#[tokio::test]
async fn a_slice_in_which_values_fall_is_refused_alone() {
    let place = Place::new().await;
    let old = [row("05:00", "a", "c", 10), row("05:00", "b", "c", 10), row("06:00", "a", "c", 10)];
    let first = place.stage(0, Missing::Keep, &old).await;
    let strict = |slice: StagedSlice| StagedSlice { not_falling: ["clicks".to_owned()].into(), ..slice };
    assert_eq!(place.publish(&[strict(first)]).await.refused, []);
    let less = strict(place.stage(1, Missing::Keep, &[row("05:00", "a", "c", 11), row("06:00", "a", "c", 9)]).await);
    let more = strict(place.stage(2, Missing::Keep, &[row("05:00", "b", "c", 11)]).await);
    let published = place.publish(&[more, less.clone()]).await;
    assert_eq!((published.changed, published.refused.len()), (1, 1), "the other slice goes in");
    let refused = &published.refused[0];
    assert_eq!(refused.key, less.key);
    assert_eq!(refused.message, "1 rows of 2026-11-20 have values below the lake's that may not fall");
    let Refusal::Falls(rows) = &refused.why else { panic!("{refused:?}") };
    assert_eq!(rows, &["account a, campaign c, hour 2026-11-20T06:00Z: clicks fell from 10 to 9"]);
    assert_eq!(place.rows().iter().map(|row| row.clicks).collect::<Vec<_>>(), [Some(10), Some(11), Some(10)]);
    // Without the rule the same slice is published.
    let lenient = StagedSlice { not_falling: Default::default(), ..less };
    let published = place.dataset.publish(day(), &[lenient], &ReadBefore::default(), 1).await.expect("published");
    assert_eq!((published.changed, published.refused.len()), (2, 0));
}
