//! Units that are too large to be held: whatever chunks their rows came in, the lake is the same.

use std::fs;

use super::fixture::{Place, Row, batch, day, row, slice};
use crate::lake::{Chunk, StagedSlice};
use crate::merge::{Sorted, Undeclared};
use crate::pipeline::Missing;

/// Six hours of two accounts, by account as platforms give them.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for account in ["b", "a"] {
        for campaign in 0..30 {
            for hour in 0..6 {
                rows.push(row(&format!("{hour:02}:00"), account, &format!("c{campaign:03}"), hour * 100 + campaign));
            }
        }
    }
    rows
}

async fn aside(place: &Place, rows: &[Row], pages: Vec<usize>) -> Result<Chunk, Undeclared> {
    let key = slice(0, Missing::Keep, 0).key;
    place.dataset.put_aside(&key, batch(rows), pages).await.expect("put aside")
}

/// Stages `rows` in chunks of so many.
async fn staged_in_chunks(place: &Place, rows: &[Row], length: usize) -> (StagedSlice, Vec<Row>, u64) {
    let mut chunks = Vec::new();
    for part in rows.chunks(length) {
        chunks.push(aside(place, part, (0..part.len()).collect()).await.expect("keys"));
    }
    let slice = slice(0, Missing::Keep, 0);
    let (file, seen) = place
        .dataset
        .stage_chunks(&slice.key, &chunks, Vec::new(), |seen, rows| {
            seen.extend(super::fixture::unbatch(rows));
            Ok(())
        })
        .await
        .expect("staged");
    (StagedSlice { rows: file.rows, ..slice }, seen, file.doubles)
}

#[tokio::test]
async fn the_lake_is_the_same_in_whatever_chunks_rows_came() {
    let whole = Place::new().await;
    let slice = whole.stage(0, Missing::Keep, &rows()).await;
    whole.publish(&[slice]).await;
    let expected = fs::read(whole.file(day())).expect("bytes");
    for length in [1_000, 200, 97, 7] {
        let place = Place::new().await;
        let (slice, seen, doubles) = staged_in_chunks(&place, &rows(), length).await;
        assert_eq!((slice.rows, doubles), (360, 0));
        let mut sorted = rows();
        sorted.sort();
        assert_eq!(seen, sorted, "all rows go by, in order");
        assert_eq!(place.staged_files().len(), 1, "the chunks have gone: {:?}", place.staged_files());
        place.publish(&[slice]).await;
        assert_eq!(fs::read(place.file(day())).expect("bytes"), expected, "chunks of {length}");
    }
}

#[tokio::test]
async fn of_a_key_in_two_chunks_the_later_row_counts() {
    let place = Place::new().await;
    let again = [row("05:00", "a", "c007", 9_999), row("05:00", "a", "c030", 1)];
    let all: Vec<Row> = rows().into_iter().chain(again).collect();
    let (slice, seen, doubles) = staged_in_chunks(&place, &all, 360).await;
    assert_eq!((slice.rows, doubles), (361, 1));
    let of_key = |row: &&Row| row.campaign == "c007" && row.account == "a" && row.hour == super::fixture::at("05:00");
    assert_eq!(seen.iter().filter(of_key).map(|row| row.clicks).collect::<Vec<_>>(), [Some(9_999)]);
    place.publish(&[slice]).await;
    assert_eq!(place.rows().len(), 361);
}

/// What one response says twice and differently is found out in a chunk as it is in a whole unit.
#[tokio::test]
async fn a_chunk_proves_its_keys() {
    let place = Place::new().await;
    let twice = [row("05:00", "a", "c1", 1), row("05:00", "a", "c1", 2)];
    let undeclared = aside(&place, &twice, vec![0]).await.expect_err("two rows of one response");
    let Sorted::Undeclared(expected) = place.dataset.shape().sort_unique(batch(&twice), &[0]).expect("sorted") else {
        panic!("they differ")
    };
    assert_eq!(undeclared, expected);
    assert_eq!(place.staged_files(), Vec::<String>::new());
}
