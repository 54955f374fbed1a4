//! The order in which units arrive does not matter.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::fixture::{Place, Row, day, row};
use crate::lake::StagedSlice;
use crate::pipeline::Missing;
use crate::time::Instant;

const MINUTES: i64 = 6;

/// For each slice, which of 12 keys it brings.
fn slices() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(0u16..1 << 12, 2..MINUTES as usize)
}

/// The rows of a slice: values that no other slice brings, first seen when it was fetched.
fn rows_of(minute: i64, keys: u16) -> Vec<Row> {
    let mut rows = Vec::new();
    for bit in (0..12).filter(|bit| keys & (1 << bit) != 0).rev() {
        let hour = ["03:00", "03:30", "04:00"][bit / 4];
        let mut row = row(hour, ["a", "b"][bit % 2], &format!("c{}", bit / 2 % 2), minute * 100 + bit as i64);
        row.seen_at += chrono::Duration::minutes(minute);
        rows.push(row);
    }
    rows
}

fn key(row: &Row) -> (Instant, String, String) {
    (row.hour, row.account.clone(), row.campaign.clone())
}

/// What the lake must hold after the slices have been published in the order in which they were fetched.
fn truth(slices: &[u16], missing: Missing) -> Vec<Row> {
    let mut held = BTreeMap::new();
    for (minute, keys) in slices.iter().enumerate() {
        if missing != Missing::Keep {
            held.clear();
        }
        held.extend(rows_of(minute as i64, *keys).into_iter().map(|row| (key(&row), row)));
    }
    held.into_values().collect()
}

async fn stage_all(place: &Place, slices: &[u16], missing: Missing) -> Vec<StagedSlice> {
    let mut staged = Vec::new();
    for (minute, keys) in slices.iter().enumerate() {
        staged.push(place.stage(minute as i64, missing, &rows_of(minute as i64, *keys)).await);
    }
    staged
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn kept_rows_are_the_newest_in_any_order_and_grouping(
        slices in slices(),
        shuffle in prop::collection::vec(any::<u32>(), MINUTES as usize),
        group in 1usize..4,
    ) {
        let found = run(async {
            let place = Place::new().await;
            let mut staged = stage_all(&place, &slices, Missing::Keep).await;
            staged.sort_by_key(|slice| shuffle[slice.fetched_at.timestamp() as usize / 60 % shuffle.len()]);
            for group in staged.chunks(group) {
                place.publish(group).await;
            }
            place.rows()
        });
        prop_assert_eq!(found, truth(&slices, Missing::Keep));
    }

    #[test]
    fn dropped_rows_are_those_that_the_newest_slice_lacks(slices in slices(), group in 1usize..4) {
        let missing = Missing::Drop { max_share: 1.0 };
        let (once, backwards, grouped) = run(async {
            let place = Place::new().await;
            let mut staged = stage_all(&place, &slices, missing).await;
            for group in staged.chunks(group) {
                place.publish(group).await;
            }
            let grouped = place.rows();
            let mut bytes = Vec::new();
            for _ in 0..2 {
                let other = Place::new().await;
                stage_all(&other, &slices, missing).await;
                other.publish(&staged).await;
                bytes.push((other.rows(), fs::read(other.file(day())).ok()));
                staged.reverse();
            }
            (bytes[0].clone(), bytes[1].clone(), grouped)
        });
        prop_assert_eq!(&grouped, &truth(&slices, missing));
        prop_assert_eq!(&once.0, &grouped);
        prop_assert!(once.1 == backwards.1, "the same slices gave other bytes");
    }
}
