//! The restatement log: each event once, whatever is cut off.

use std::fs;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use proptest::prelude::*;

use super::fixture::{Place, Row, at, batch, day, files, metadata, read, row, slice, spec};
use crate::lake::commit::Prepared;
use crate::lake::{DatasetSpec, StagedSlice, intent, log, publish};
use crate::merge::ReadBefore;
use crate::pipeline::Missing;
use crate::time::slot;

const DROP: Missing = Missing::Drop { max_share: 1.0 };

/// hour, account, campaign, metric, old, new, change
type Line = [String; 7];

fn lines(rows: &RecordBatch) -> Vec<Line> {
    let column = |name: &str| rows.column_by_name(name).unwrap_or_else(|| panic!("no column `{name}`"));
    let text = |name: &str, row: usize| {
        let texts = column(name).as_string::<i32>();
        if texts.is_valid(row) { texts.value(row).to_owned() } else { "-".to_owned() }
    };
    let hour = |row: usize| column("hour").as_primitive::<TimestampMicrosecondType>().value_as_datetime(row);
    let line = |row: usize| {
        let hour = hour(row).expect("an hour").format("%H:%M").to_string();
        let [account, campaign, metric, old, new, change] =
            ["account_id", "campaign_id", "metric", "old", "new", "change"].map(|name| text(name, row));
        [hour, account, campaign, metric, old, new, change]
    };
    (0..rows.num_rows()).map(line).collect()
}

fn log_files(place: &Place) -> Vec<std::path::PathBuf> {
    files(&place.root().join("shop__restatements"), "parquet")
}

fn logged(place: &Place) -> Vec<Line> {
    log_files(place).iter().flat_map(|file| lines(&read(file))).collect()
}

fn intents(place: &Place) -> usize {
    files(&place.root().join("_staged/shop__restatements"), "").len()
}

/// Both accounts' hours of the day had been read.
fn all_read() -> ReadBefore {
    let mut read = ReadBefore::default();
    for hour in 0..24 {
        for account in ["a", "b"] {
            read.insert(account, slot(at("00:00")) + hour);
        }
    }
    read
}

async fn publish_read(place: &Place, slices: &[StagedSlice]) {
    place.dataset.publish(day(), slices, &all_read(), 1).await.expect("published");
}

async fn prepare(place: &Place, slices: &[StagedSlice]) -> Prepared {
    publish::prepare(&place.dataset, day(), slices, Some(&all_read())).await.expect("prepared")
}

/// Rows as they were first read, and as they were read an hour later: one changed, one gone, one late.
async fn restated(place: &Place, missing: Missing) -> Vec<StagedSlice> {
    let first =
        [row("05:00", "a", "x", 1), row("05:00", "a", "y", 2), row("06:00", "b", "x", 3), row("07:00", "b", "x", 4)];
    let slice = place.stage(0, missing, &first).await;
    place.publish(&[slice]).await;
    assert_eq!(log_files(place), [] as [std::path::PathBuf; 0], "a first reading is no restatement");
    let mut second =
        [row("05:00", "a", "x", 10), row("06:00", "b", "x", 3), row("06:00", "b", "z", 5), row("07:00", "b", "x", 4)];
    for row in &mut second {
        row.seen_at += chrono::Duration::hours(1);
    }
    vec![place.stage(60, missing, &second).await]
}

fn line(words: &str) -> Line {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    words.try_into().expect("seven words")
}

fn expected(missing: Missing) -> Vec<Line> {
    let mut lines = vec![line("05:00 a x clicks 1 10 changed"), line("05:00 a x spend 0.250000 2.500000 changed")];
    match missing {
        Missing::Keep => lines.push(["05:00", "a", "y", "", "-", "-", "kept"].map(str::to_owned)),
        Missing::Drop { .. } => {
            lines.extend([line("05:00 a y clicks 2 - removed"), line("05:00 a y spend 0.500000 - removed")]);
        }
    }
    lines.extend([line("06:00 b z clicks - 5 added"), line("06:00 b z spend - 1.250000 added")]);
    lines
}

#[tokio::test]
async fn what_changed_is_logged_by_the_date_on_which_it_was_seen() {
    let place = Place::new().await;
    let slices = restated(&place, DROP).await;
    publish_read(&place, &slices).await;
    assert_eq!(logged(&place), expected(DROP));
    let file = place.root().join("shop__restatements/date=2026-11-21/bucket-00.parquet");
    assert_eq!(log_files(&place), std::slice::from_ref(&file));
    assert_eq!(intents(&place), 0);

    let rows = read(&file);
    let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let key = ["hour", "account_id", "campaign_id"];
    assert_eq!(names[..3], key.map(str::to_owned));
    assert_eq!(names[3..], ["metric", "old", "new", "change", "seen_at", "old_seen_at", "age_seconds"]);
    let ages: Vec<i64> = rows["age_seconds"].as_primitive::<arrow::datatypes::Int64Type>().values().to_vec();
    // From 06:00 and 07:00 to 13:00 of the next day.
    assert_eq!(ages, [31 * 3600, 31 * 3600, 31 * 3600, 31 * 3600, 30 * 3600, 30 * 3600]);
    let moments = |name: &str| rows[name].as_primitive::<TimestampMicrosecondType>().clone();
    assert!(moments("seen_at").values().iter().all(|seen| *seen == at("2026-11-21T13:00:00Z").timestamp_micros()));
    let before = moments("old_seen_at");
    assert_eq!((before.value(0), before.null_count()), (at("2026-11-21T12:00:00Z").timestamp_micros(), 2));

    let record = place.lake().await.datasets().await.expect("records").pop().expect("the log's");
    assert_eq!(
        (record.pipeline.as_str(), record.partition_by.as_slice()),
        ("shop__restatements", &["date".into()][..])
    );
    assert_eq!(record.schema().expect("a schema").fields(), rows.schema().fields());
}

#[tokio::test]
async fn nothing_is_written_where_nothing_is_told() {
    let place = Place::new().await;
    let rows = [row("05:00", "a", "x", 1)];
    for minute in [0, 60] {
        let slice = place.stage(minute, DROP, &rows).await;
        publish_read(&place, &[slice]).await;
    }
    // The late row of the first publish is told, for the ledger is said to have known its hour; the second told nothing.
    assert_eq!(logged(&place).len(), 2);
    let file = log_files(&place).remove(0);
    let (bytes, modified) =
        (fs::read(&file).expect("bytes"), fs::metadata(&file).expect("a file").modified().expect("a time"));
    let slice = place.stage(120, DROP, &rows).await;
    publish_read(&place, &[slice]).await;
    assert!(bytes == fs::read(&file).expect("bytes"));
    assert_eq!(fs::metadata(&file).expect("a file").modified().expect("a time"), modified);
    assert!(
        !place.root().join("_staged/shop__restatements").read_dir().is_ok_and(|mut entries| entries.next().is_some())
    );
}

#[tokio::test]
async fn a_crash_after_any_step_leaves_each_event_once() {
    for missing in [DROP, Missing::Keep] {
        for steps in 0..=5 {
            let place = Place::new().await;
            let slices = restated(&place, missing).await;
            let before = place.rows();
            let mut prepared = prepare(&place, &slices).await;
            let path = intent::path(&place.dataset, day());
            let store = place.dataset.store().clone();
            if steps > 0 {
                assert!(prepared.intend().await.expect("intended"));
            }
            if steps > 1 {
                prepared.replace().await.expect("replaced");
            }
            if steps > 2 {
                let intent = intent::Intent::open(&store, &path).await.expect("opened").expect("an intent");
                log::append(&place.dataset, &intent).await.expect("appended");
                if steps > 3 {
                    log::append(&place.dataset, &intent).await.expect("appended twice");
                }
            }
            if steps > 4 {
                prepared.log().await.expect("logged");
            }
            assert_eq!(place.rows() == before, steps < 2);
            drop(prepared);
            // The next run: what is halfway is settled, then the staged slices are published again.
            let settled = place.dataset.settle_restatements().await.expect("settled");
            assert_eq!(settled, usize::from((2..5).contains(&steps)), "{steps} steps");
            assert_eq!(intents(&place), 0);
            assert_eq!(logged(&place), if steps < 2 { Vec::new() } else { expected(missing) }, "{steps} steps");
            place.dataset.sweep(&[slices[0].key.clone()]).await.expect("swept");
            publish_read(&place, &slices).await;
            publish_read(&place, &slices).await;
            assert_eq!(logged(&place), expected(missing), "{steps} steps");
            assert_eq!(place.staged_files().len(), 1, "nothing is left but the slice");
        }
    }
}

#[tokio::test]
async fn a_publish_settles_what_was_left_halfway_before_it_changes_anything() {
    let place = Place::new().await;
    let slices = restated(&place, DROP).await;
    let mut prepared = prepare(&place, &slices).await;
    prepared.intend().await.expect("intended");
    prepared.replace().await.expect("replaced");
    drop(prepared);
    let mut third = row("07:00", "b", "x", 44);
    third.seen_at = at("2026-11-22T01:00:00Z");
    let third = place.stage(13 * 60, Missing::Keep, &[third]).await;
    publish_read(&place, &[third]).await;
    let mut told = logged(&place);
    told.retain(|line| line[6] != "kept");
    let later = [line("07:00 b x clicks 4 44 changed"), line("07:00 b x spend 1.000000 11.000000 changed")];
    assert_eq!(told, [expected(DROP), later.to_vec()].concat());
    let names: Vec<String> = log_files(&place).iter().map(|file| file.display().to_string()).collect();
    assert!(names[0].contains("date=2026-11-21/") && names[1].contains("date=2026-11-22/"), "{names:?}");
    assert_eq!(intents(&place), 0);
}

#[tokio::test]
async fn an_emptied_partition_is_known_to_be_replaced() {
    let place = Place::new().await;
    let first = place.stage(0, DROP, &[row("05:00", "a", "x", 1)]).await;
    place.publish(&[first]).await;
    let mut prepared = prepare(&place, &[slice(60, DROP, 0)]).await;
    prepared.intend().await.expect("intended");
    prepared.replace().await.expect("removed");
    assert!(!place.file(day()).exists());
    drop(prepared);
    assert_eq!(place.dataset.settle_restatements().await.expect("settled"), 1);
    let changes: Vec<String> = logged(&place).into_iter().map(|line| line[6].clone()).collect();
    assert_eq!(changes, ["removed", "removed"]);
}

#[tokio::test]
async fn old_row_groups_of_the_log_keep_their_bytes() {
    let place = Place::new().await;
    let slices = restated(&place, DROP).await;
    publish_read(&place, &slices).await;
    let file = log_files(&place).remove(0);
    let (old_bytes, old) = (fs::read(&file).expect("bytes"), metadata(&file));
    let mut again = row("07:00", "b", "x", 9);
    again.seen_at += chrono::Duration::hours(2);
    let again = place.stage(120, Missing::Keep, &[again]).await;
    publish_read(&place, &[again]).await;
    let (new_bytes, new) = (fs::read(&file).expect("bytes"), metadata(&file));
    assert_eq!((old.num_row_groups(), new.num_row_groups()), (1, 2));
    for column in 0..old.row_group(0).num_columns() {
        let (start, length) = old.row_group(0).column(column).byte_range();
        let range = start as usize..(start + length) as usize;
        assert!(old_bytes[range.clone()] == new_bytes[range], "column {column}");
    }
    assert_eq!(logged(&place)[..6], expected(DROP));
}

#[tokio::test]
async fn files_of_the_log_from_before_a_wider_key_are_read_and_kept() {
    let place = Place::new().await;
    let slices = restated(&place, DROP).await;
    publish_read(&place, &slices).await;
    // Another lake's dataset with a further dimension takes the log's file over, as after a change of the key.
    let mut fields: Vec<Field> = spec().schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.insert(2, Field::new("device", DataType::Utf8, false));
    let mut key = spec().key;
    key.push("device".into());
    let wide = Place::with(DatasetSpec { schema: Arc::new(Schema::new(fields)), key, ..spec() }).await;
    let from = log_files(&place).remove(0);
    let to = wide.root().join("shop__restatements/date=2026-11-21/bucket-00.parquet");
    fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    fs::copy(&from, &to).expect("a copy");
    fs::copy(
        place.root().join("shop__restatements/_hourmark.json"),
        wide.root().join("shop__restatements/_hourmark.json"),
    )
    .expect("a copy");
    for (minute, clicks) in [(120, 1), (121, 2)] {
        let plain = batch(&[row("05:00", "a", "x", clicks)]);
        let device: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["phone"]));
        let mut columns = plain.columns().to_vec();
        columns.insert(2, device);
        let rows = RecordBatch::try_new(wide.dataset.schema().clone(), columns).expect("rows");
        let slice = slice(minute, Missing::Keep, 1);
        wide.stage_rows(&slice.key, rows).await;
        wide.publish(&[slice]).await;
    }
    let rows = read(&to);
    assert_eq!(rows.num_rows(), 6 + 2);
    assert_eq!(rows["device"].null_count(), 6);
    assert_eq!(lines(&rows)[..6], expected(DROP));
    let record = wide.lake().await.datasets().await.expect("records").pop().expect("the log's");
    assert_eq!(
        (record.schema_version, record.key.join(",")),
        (2, "hour,account_id,campaign_id,device,metric,seen_at".into())
    );
}

/// The values of four keys in one re-fetch; none where a key is not brought.
fn fetches() -> impl Strategy<Value = Vec<[Option<i64>; 4]>> {
    prop::collection::vec(prop::array::uniform4(prop::option::of(0i64..3)), 1..6)
}

async fn stage_all(place: &Place, fetches: &[[Option<i64>; 4]], missing: Missing) -> Vec<StagedSlice> {
    let mut staged = Vec::new();
    for (index, values) in fetches.iter().enumerate() {
        let minute = 10 * index as i64;
        let mut rows: Vec<Row> = Vec::new();
        for (place, clicks) in values.iter().enumerate() {
            let Some(clicks) = clicks else { continue };
            let mut row = row(["05:00", "06:00"][place / 2], ["a", "b"][place % 2], "x", *clicks);
            row.seen_at += chrono::Duration::minutes(minute);
            rows.push(row);
        }
        staged.push(place.stage(minute, missing, &rows).await);
    }
    staged
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn one_at_a_time_or_all_at_once_or_cut_off_the_log_is_the_same(
        fetches in fetches(), keep in any::<bool>(), cut in 0usize..5,
    ) {
        let missing = if keep { Missing::Keep } else { DROP };
        let (mut once, mut each, mut torn) = run(async {
            let together = Place::new().await;
            let slices = stage_all(&together, &fetches, missing).await;
            publish_read(&together, &slices).await;

            let single = Place::new().await;
            for slice in stage_all(&single, &fetches, missing).await {
                publish_read(&single, &[slice]).await;
            }

            // A publish of some is cut off, then all that is still staged is published at once.
            let torn = Place::new().await;
            let slices = stage_all(&torn, &fetches, missing).await;
            let mut prepared = prepare(&torn, &slices[..slices.len().min(cut + 1)]).await;
            if prepared.file.is_some() || prepared.events.is_some() {
                let intended = cut > 0 && prepared.intend().await.expect("intended");
                if cut > 1 {
                    prepared.replace().await.expect("replaced");
                    if cut > 2 && intended {
                        prepared.log().await.expect("logged");
                    }
                }
            }
            drop(prepared);
            torn.dataset.settle_restatements().await.expect("settled");
            publish_read(&torn, &slices).await;
            assert_eq!(torn.rows(), together.rows());
            (logged(&together), logged(&single), logged(&torn))
        });
        for lines in [&mut once, &mut each, &mut torn] {
            lines.sort();
        }
        prop_assert_eq!(&once, &each);
        prop_assert_eq!(&once, &torn);
    }
}
