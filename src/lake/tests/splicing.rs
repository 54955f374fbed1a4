//! Unchanged hours are taken over as bytes, and nobody can tell.

use std::fs;

use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::file::metadata::PageIndexPolicy;

use super::fixture::{Place, Row, batch, day, metadata, row, slice, unbatch};
use crate::merge::ReadBefore;
use crate::pipeline::Missing;

/// Rows of each hour of the day: accounts `a` and `b`, many campaigns. They are more than share a row group, and the
/// halves of the day are less.
fn full_day() -> Vec<Row> {
    let mut rows = Vec::new();
    for hour in 0..24 {
        for campaign in 0..350 {
            for account in ["a", "b"] {
                rows.push(row(&format!("{hour:02}:00"), account, &format!("c{campaign:03}"), hour * 100 + campaign));
            }
        }
    }
    rows
}

#[tokio::test]
async fn other_row_groups_keep_their_bytes_and_their_page_indexes() {
    let place = Place::new().await;
    let first = place.stage(0, Missing::Keep, &full_day()).await;
    place.publish(&[first]).await;
    let file = place.file(day());
    let (old_bytes, old) = (fs::read(&file).expect("bytes"), metadata(&file));

    let second = place.stage(1, Missing::Keep, &[row("05:00", "b", "c007", 9_999)]).await;
    let published = place.publish(&[second]).await;
    assert_eq!((published.changed, published.added, published.removed), (1, 0, 0));
    assert_eq!(published.account_hours_changed, [("b".to_owned(), super::fixture::at("05:00"))]);

    let (new_bytes, new) = (fs::read(&file).expect("bytes"), metadata(&file));
    assert_eq!((old.num_row_groups(), new.num_row_groups()), (2, 2));
    let mut spliced = 0;
    for group in 1..2 {
        for column in 0..6 {
            let chunk =
                |bytes: &[u8], (start, length): (u64, u64)| bytes[start as usize..(start + length) as usize].to_vec();
            let (before, after) = (old.row_group(group).column(column), new.row_group(group).column(column));
            assert_eq!(chunk(&old_bytes, before.byte_range()), chunk(&new_bytes, after.byte_range()));
            assert_eq!(before.statistics(), after.statistics());
            assert_eq!(before.encodings_mask(), after.encodings_mask());
            assert_eq!(before.page_encoding_stats_mask(), after.page_encoding_stats_mask());
            let columns = [&old, &new].map(|file| file.column_index().expect("indexes")[group][column].clone());
            assert_eq!(columns[0], columns[1]);
            let pages = [(&old, before), (&new, after)].map(|(file, chunk)| {
                let index = &file.offset_index().expect("indexes")[group][column];
                let relative = |page: &i64| page - chunk.byte_range().0 as i64;
                index.page_locations().iter().map(|page| relative(&page.offset)).collect::<Vec<i64>>()
            });
            assert_eq!(pages[0], pages[1]);
            spliced += after.byte_range().1;
        }
    }
    assert_eq!((published.bytes_spliced, published.bytes_written), (spliced, new_bytes.len() as u64));
}

#[tokio::test]
async fn a_spliced_file_is_the_one_that_encoding_everything_gives() {
    let mut rows = full_day();
    let spliced = Place::new().await;
    let first = spliced.stage(0, Missing::Keep, &rows).await;
    spliced.publish(&[first]).await;
    let changed = row("05:00", "b", "c007", 9_999);
    let second = spliced.stage(1, Missing::Keep, std::slice::from_ref(&changed)).await;
    spliced.publish(&[second]).await;

    let encoded = Place::new().await;
    let same_key =
        |row: &&mut Row| (row.hour, &row.account, &row.campaign) == (changed.hour, &changed.account, &changed.campaign);
    *rows.iter_mut().find(same_key).expect("the row") = changed.clone();
    let all = encoded.stage(0, Missing::Keep, &rows).await;
    encoded.publish(&[all]).await;

    let [one, other] = [&spliced, &encoded].map(|place| fs::read(place.file(day())).expect("bytes"));
    assert!(one == other, "the file tells how it came to be");
}

#[tokio::test]
async fn a_large_hour_has_several_row_groups_and_pages_that_can_be_skipped() {
    const ROWS: usize = 128 * 1024 + 10;
    let place = Place::new().await;
    let mut rows: Vec<Row> = (0..ROWS).map(|n| row("07:00", "a", &format!("c{n:07}"), n as i64)).collect();
    rows.push(row("09:00", "a", "c", 1));
    let first = place.stage(0, Missing::Keep, &rows).await;
    assert_eq!(place.publish(&[first]).await.rows, ROWS as u64 + 1);
    let second = place.stage(1, Missing::Keep, &[row("09:00", "a", "c", 2)]).await;
    let published = place.publish(&[second]).await;
    assert_eq!((published.changed, published.rows), (1, ROWS as u64 + 1));
    rows[ROWS].clicks = Some(2);
    rows[ROWS].spend = 500_000;

    let groups: Vec<i64> = metadata(&place.file(day())).row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [128 * 1024, 10, 1]);
    // Rows from the middle of a spliced row group and the last one, with the pages between skipped by their index.
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let file = fs::File::open(place.file(day())).expect("a file");
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).expect("a footer");
    let selection = RowSelection::from(vec![
        RowSelector::skip(70_000),
        RowSelector::select(3),
        RowSelector::skip(ROWS - 70_003),
        RowSelector::select(1),
    ]);
    let batches = reader.with_row_selection(selection).build().expect("a reader");
    let found: Vec<Row> = batches.flat_map(|batch| unbatch(&batch.expect("a batch"))).collect();
    let expected = [&rows[70_000..70_003], &rows[ROWS..]].concat();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn nothing_is_written_where_nothing_changed() {
    let place = Place::new().await;
    let rows = full_day();
    let first = place.stage(0, Missing::Keep, &rows).await;
    let before = place.publish(std::slice::from_ref(&first)).await;
    assert!(before.written);
    let file = place.file(day());
    let look = || (fs::metadata(&file).expect("a file").modified().expect("a time"), fs::read(&file).expect("bytes"));
    let seen = look();

    let mut confirmed = rows.clone();
    for row in &mut confirmed {
        row.seen_at += chrono::Duration::hours(3);
    }
    let second = place.stage(180, Missing::Drop { max_share: 0.1 }, &confirmed).await;
    for slices in [vec![first.clone()], vec![second.clone()], vec![second, first], vec![slice(9, Missing::Keep, 0)]] {
        let after = place.publish(&slices).await;
        assert_eq!((after.written, after.rows), (false, before.rows));
        assert_eq!((after.changed, after.bytes_written, after.hours_changed.len()), (0, 0, 0));
        assert!(look() == seen, "the file was touched");
    }
    assert_eq!(
        place.rows(),
        {
            let mut sorted = rows;
            sorted.sort();
            sorted
        },
        "the old `seen_at` stays"
    );
}

#[tokio::test]
async fn the_footer_tells_pipeline_key_and_schema() {
    let place = Place::new().await;
    let first = place.stage(0, Missing::Keep, &[row("05:00", "a", "c", 1)]).await;
    place.publish(&[first]).await;
    let metadata = metadata(&place.file(day()));
    let entries = metadata.file_metadata().key_value_metadata().expect("entries");
    let text: Vec<String> =
        entries.iter().map(|entry| format!("{}={}", entry.key, entry.value.as_deref().unwrap_or("-"))).collect();
    assert_eq!(
        text,
        ["hourmark.pipeline=shop", "hourmark.key=hour,account_id,campaign_id", "hourmark.schema_version=1"]
    );
    let sorting: Vec<i32> =
        metadata.row_group(0).sorting_columns().expect("an order").iter().map(|c| c.column_idx).collect();
    assert_eq!(sorting, [2, 0, 1]);
}

fn group_rows(place: &Place) -> Vec<i64> {
    metadata(&place.file(day())).row_groups().iter().map(|group| group.num_rows()).collect()
}

#[tokio::test]
async fn which_hours_share_a_row_group_depends_on_the_rows_alone() {
    let rows = full_day();
    let of_hour = |hour: usize| &rows[hour * 700..(hour + 1) * 700];
    let at_once = Place::new().await;
    let all = at_once.stage(0, Missing::Keep, &rows).await;
    at_once.publish(&[all]).await;
    assert_eq!(group_rows(&at_once), [12 * 700, 12 * 700]);

    let one_by_one = Place::new().await;
    let mut groups = Vec::new();
    for hour in [0, 1, 2, 23, 22, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 3, 4, 5, 6, 7, 8, 9, 10, 11] {
        let slice = one_by_one.stage(hour as i64, Missing::Keep, of_hour(hour)).await;
        let published = one_by_one.publish(&[slice]).await;
        assert_eq!((published.added, published.hours_changed.len()), (700, 1), "{hour}");
        groups.push(group_rows(&one_by_one).len());
    }
    assert_eq!(groups, [vec![1; 23], vec![2]].concat(), "as few as there can be, at any time");
    let [one, other] = [&at_once, &one_by_one].map(|place| fs::read(place.file(day())).expect("bytes"));
    assert!(one == other, "the file tells how it came to be");
    let mut sorted = rows.clone();
    sorted.sort();
    assert_eq!(one_by_one.rows(), sorted);
}

#[tokio::test]
async fn hours_that_lost_their_rows_let_the_rest_share_a_row_group() {
    let place = Place::new().await;
    let rows = full_day();
    let first = place.stage(0, Missing::Keep, &rows).await;
    place.publish(&[first]).await;
    let (before, mut fewer) = (place.rows().len(), rows);
    fewer.retain(|row| row.hour != super::fixture::at("05:00"));
    let second = place.stage(1, Missing::Drop { max_share: 0.5 }, &fewer).await;
    let published = place.publish(&[second]).await;
    assert_eq!((published.removed, published.hours_changed), (700, vec![super::fixture::at("05:00")]));
    assert_eq!((place.rows().len(), group_rows(&place)), (before - 700, vec![23 * 700]));
}

/// Earlier versions wrote a row group for each hour.
#[tokio::test]
async fn row_groups_of_one_hour_each_are_joined_where_something_changes() {
    let rows = full_day();
    let place = Place::new().await;
    let mut writer = place.dataset.begin(day()).expect("a file");
    let mut sorted = rows.clone();
    sorted.sort();
    for hour in sorted.chunks(700) {
        writer.encode(&batch(hour)).expect("a row group");
    }
    writer.finish().expect("a file").commit().expect("in its place");
    assert_eq!(group_rows(&place), [700; 24]);

    let mut changed = rows.clone();
    let last = changed.last_mut().expect("a row");
    (last.clicks, last.spend) = (Some(7), 1_750_000);
    let hour = place.stage(1, Missing::Keep, &changed[23 * 700..]).await;
    let published = place.publish(&[hour]).await;
    assert_eq!((published.changed, published.added, published.rows), (1, 0, 24 * 700));
    let encoded = Place::new().await;
    let all = encoded.stage(0, Missing::Keep, &changed).await;
    encoded.publish(&[all]).await;
    let [one, other] = [&place, &encoded].map(|place| fs::read(place.file(day())).expect("bytes"));
    assert!(one == other, "the file tells how it came to be");
}

#[tokio::test]
async fn a_file_whose_rows_are_in_no_order_is_refused_and_stays() {
    let place = Place::new().await;
    let mut writer = place.dataset.begin(day()).expect("a file");
    let mixed = [row("05:00", "a", "c", 1), row("04:00", "a", "c", 1), row("06:00", "a", "c", 1)];
    writer.encode(&batch(&mixed)).expect("a row group");
    writer.finish().expect("a file").commit().expect("in its place");
    let before = fs::read(place.file(day())).expect("bytes");
    let slice = place.stage(1, Missing::Keep, &[row("05:00", "a", "c", 2)]).await;
    let error = place.dataset.publish(day(), &[slice], &ReadBefore::default(), 1).await.expect_err("not in order");
    let said = error.report();
    assert!(said.contains("bucket-00.parquet") && said.contains("not in the order of their hours"), "{said}");
    assert!(fs::read(place.file(day())).expect("bytes") == before, "the file was touched");
}

/// How staged files are cut depends on what else is published with them; the lake's file does not.
#[tokio::test]
async fn how_a_unit_was_staged_cannot_be_seen_in_the_lake() {
    let mut found = Vec::new();
    for beside in [1, 100, 100_000] {
        let place = Place::new().await;
        let slice = slice(0, Missing::Keep, 24 * 700);
        let proven = place.dataset.prove(batch(&full_day()), Vec::new()).await.expect("rows").expect("keys");
        let staged = place.dataset.stage(&slice.key, proven, beside).await.expect("staged");
        assert_eq!(staged.rows, slice.rows);
        place.publish(&[slice]).await;
        found.push((staged.bytes, fs::read(place.file(day())).expect("bytes")));
    }
    assert!(found[0].0 < found[1].0 && found[1].0 == found[2].0, "an hour of 700 rows has a batch of its own");
    assert!(found[0].1 == found[1].1 && found[1].1 == found[2].1, "the file tells how it came to be");
}

/// With so many slices, of a large one only some hours are read at once.
#[tokio::test]
async fn many_slices_are_published_together() {
    let place = Place::new().await;
    let mut rows = full_day();
    let large = slice(0, Missing::Keep, rows.len() as u64);
    let proven = place.dataset.prove(batch(&rows), Vec::new()).await.expect("rows").expect("keys");
    let staged = place.dataset.stage(&large.key, proven, 1).await.expect("staged");
    let mut slices = vec![large];
    for number in 1..600 {
        let small = row("05:00", "a", &format!("z{number:03}"), number);
        slices.push(place.stage(number, Missing::Keep, std::slice::from_ref(&small)).await);
        rows.push(small);
    }
    assert!(staged.bytes > 3 * 8 * 1024 * 1024 / 600, "{} bytes are read at once", staged.bytes);
    let published = place.publish(&slices).await;
    assert_eq!((published.added, published.hours_changed.len()), (rows.len() as u64, 24));
    rows.sort();
    assert_eq!(place.rows(), rows);
}
