//! Layout, schema and staging over time.

use std::fs;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema};

use super::fixture::{Place, at, batch, day, read, row, schema, spec, window};
use crate::lake::{DatasetSpec, Partition, StagedFile, StagedSlice, bucket_of};
use crate::merge::ReadBefore;
use crate::pipeline::{Missing, PartitionBy};
use crate::time::Instant;
use crate::unit::{Account, UnitKey};

#[tokio::test]
async fn a_layout_is_recorded_and_a_changed_one_is_refused() {
    let place = Place::new().await;
    let lake = place.lake().await;
    let text = fs::read_to_string(place.root().join("shop/_hourmark.json")).expect("a record");
    let expected = serde_json::json!({
        "format": 1,
        "pipeline": "shop",
        "partition_by": ["date"],
        "buckets": 1,
        "key": ["hour", "account_id", "campaign_id"],
        "schema_version": 1,
        "columns": [
            {"name": "account_id", "type": "Utf8", "nullable": false},
            {"name": "campaign_id", "type": "Utf8", "nullable": false},
            {"name": "hour", "type": "Timestamp(µs, \"UTC\")", "nullable": false},
            {"name": "clicks", "type": "Int64", "nullable": true},
            {"name": "spend", "type": "Decimal128(18, 6)", "nullable": false},
            {"name": "seen_at", "type": "Timestamp(µs, \"UTC\")", "nullable": false},
        ],
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("a record"), expected);
    let records = lake.datasets().await.expect("records");
    assert_eq!(records, [place.dataset.record().clone()]);
    assert_eq!(records[0].schema().expect("a schema"), schema());
    assert_eq!(records[0].partition_by(), Some(PartitionBy::Date));

    let hourly = DatasetSpec { partition_by: PartitionBy::DateHour, ..spec() };
    let error = lake.dataset(hourly).await.expect_err("another layout");
    insta::assert_snapshot!(error.report(), @r"
    the dataset `shop` has `partition_by = date`, the pipeline now says `date, hour`
      hint: set it back to `date`, or bring the files into the new form with `hourmark rewrite shop`
    ");
    let error = lake.dataset(DatasetSpec { buckets: 8, ..spec() }).await.expect_err("other buckets");
    insta::assert_snapshot!(error.report(), @r"
    the dataset `shop` has `buckets = 1`, the pipeline now says `8`
      hint: set it back to `1`, or bring the files into the new form with `hourmark rewrite shop`
    ");
    let narrow = with_types(DataType::Int32, DataType::Decimal128(18, 6));
    let error = lake.dataset(narrow).await.expect_err("a narrower type");
    insta::assert_snapshot!(error.report(), @r"
    the column `clicks` of the dataset `shop` is int, the pipeline now says Int32
      hint: a type may only widen: set it back to int, or have every value converted with `hourmark rewrite shop`
    ");
    let mut fields = schema().fields().to_vec();
    fields.remove(3);
    let fewer = DatasetSpec { schema: Arc::new(Schema::new(fields)), ..spec() };
    let error = lake.dataset(fewer).await.expect_err("a column less");
    insta::assert_snapshot!(error.report(), @r"
    the dataset `shop` has the column `clicks`, the pipeline does not
      hint: declare the column again, or take it out of every file with `hourmark rewrite shop --drop clicks`
    ");
    assert_eq!(lake.datasets().await.expect("records"), records, "a refused change is not recorded");
}

/// The dataset with other types for clicks and spend.
fn with_types(clicks: DataType, spend: DataType) -> DatasetSpec {
    let mut fields: Vec<Field> = schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[3] = Field::new("clicks", clicks, true);
    fields[4] = Field::new("spend", spend, false);
    DatasetSpec { schema: Arc::new(Schema::new(fields)), ..spec() }
}

fn recast(rows: &RecordBatch, spec: &DatasetSpec) -> RecordBatch {
    let fields = spec.schema.fields().iter();
    let columns = fields.zip(rows.columns()).map(|(field, column)| cast(column, field.data_type()).expect("a cast"));
    RecordBatch::try_new(spec.schema.clone(), columns.collect()).expect("rows")
}

#[tokio::test]
async fn files_from_before_a_wider_schema_are_read_and_rewritten_with_nulls() {
    let narrow = with_types(DataType::Int32, DataType::Decimal128(10, 2));
    let place = Place::with(narrow.clone()).await;
    let rows = recast(&batch(&[row("05:00", "a", "c", 5), row("06:00", "a", "c", 6)]), &narrow);
    let slice = super::fixture::slice(0, Missing::Keep, 2);
    place.stage_rows(&slice.key, rows.clone()).await;
    place.publish(std::slice::from_ref(&slice)).await;

    let mut wide = spec();
    let mut fields = wide.schema.fields().to_vec();
    fields.insert(5, Arc::new(Field::new("orders", DataType::Int64, false)));
    wide.schema = Arc::new(Schema::new(fields));
    let dataset = place.lake().await.dataset(wide).await.expect("a wider schema");
    assert_eq!(dataset.record().schema_version, 2);
    assert!(dataset.schema().field_with_name("orders").expect("a column").is_nullable());
    assert_eq!(place.lake().await.datasets().await.expect("records"), [dataset.record().clone()]);

    // What was staged before says the same in the wider types, so nothing is written.
    let again =
        dataset.publish(day(), std::slice::from_ref(&slice), &ReadBefore::default(), 1).await.expect("published");
    assert!(!again.written);
    let mut later = super::fixture::slice(1, Missing::Keep, 1);
    later.key = UnitKey::from_stored("later");
    let changed = recast(&batch(&[row("06:00", "a", "c", 7)]), &narrow);
    place.stage_rows(&later.key, changed).await;
    let published = dataset.publish(day(), &[later], &ReadBefore::default(), 1).await.expect("published");
    assert_eq!((published.changed, published.rows, published.bytes_spliced), (1, 2, 0));

    let found = read(&place.file(day()));
    assert_eq!(found.schema().fields(), dataset.schema().fields());
    assert_eq!(found["clicks"].as_primitive::<Int64Type>().values(), &[5, 7]);
    assert_eq!(found["spend"].as_primitive::<Decimal128Type>().values(), &[1_250_000, 1_750_000]);
    assert_eq!(found["orders"].null_count(), 2);
}

#[tokio::test]
async fn rows_are_in_the_utc_date_of_their_instant() {
    let place = Place::new().await;
    let rows = [row("2026-11-19T23:30:00Z", "a", "c", 1), row("00:30", "a", "c", 2), row("00:00", "b", "c", 3)];
    let slice = place.stage(0, Missing::Keep, &rows).await;
    let account = |id: &str| Account {
        id: id.into(),
        name: String::new(),
        time_zone: chrono_tz::Asia::Kolkata,
        currency: "INR".into(),
        parent: String::new(),
    };
    let touched = place.dataset.partitions(&[account("a"), account("b")], window("2026-11-19T18:30:00Z", "18:30"));
    let mut counts = Vec::new();
    for partition in touched {
        let published = place
            .dataset
            .publish(partition, std::slice::from_ref(&slice), &ReadBefore::default(), 1)
            .await
            .expect("published");
        counts.push((partition.to_string(), published.rows));
    }
    let expected = [("date=2026-11-19/bucket-00.parquet", 1), ("date=2026-11-20/bucket-00.parquet", 2)];
    assert_eq!(counts, expected.map(|(path, rows)| (path.to_owned(), rows)));
    let hours: Vec<Instant> = place.rows().iter().map(|row| row.hour).collect();
    assert_eq!(hours, [at("2026-11-19T23:30:00Z"), at("00:00"), at("00:30")], "half past is an hour of its own");
    let later = place.stage(9, Missing::Keep, &[row("00:30", "a", "c", 4)]).await;
    assert_eq!(place.publish(&[later]).await.hours_changed, [at("00:30")]);
}

#[tokio::test]
async fn each_bucket_and_each_hour_has_its_file() {
    let place = Place::with(DatasetSpec { partition_by: PartitionBy::DateHour, buckets: 4, ..spec() }).await;
    let accounts = ["a", "b", "c", "d", "e", "f"];
    let rows: Vec<_> = accounts.iter().flat_map(|id| [row("05:00", id, "c", 1), row("06:30", id, "c", 1)]).collect();
    let mut slice = place.stage(0, Missing::Keep, &rows).await;
    slice.accounts = accounts.map(str::to_owned).into();
    for bucket in 0..4 {
        let here = accounts.iter().filter(|id| bucket_of(id, 4) == bucket).count() as u64;
        for (hour, expected) in [(4, 0), (5, here), (6, here)] {
            let partition = Partition { hour: Some(hour), bucket, ..day() };
            let published = place
                .dataset
                .publish(partition, std::slice::from_ref(&slice), &ReadBefore::default(), 1)
                .await
                .expect("published");
            assert_eq!(published.rows, expected, "{partition}");
            assert_eq!(place.file(partition).exists(), expected > 0, "{partition}");
        }
    }
    let mut found = place.rows();
    found.sort();
    let mut expected = rows;
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn staging_sorts_counts_doubles_and_replaces() {
    let place = Place::new().await;
    let rows =
        [row("06:00", "a", "c", 1), row("05:00", "a", "c", 2), row("06:00", "a", "c", 3), row("06:00", "a", "b", 4)];
    let slice = super::fixture::slice(0, Missing::Keep, 3);
    let StagedFile { rows: kept, doubles, bytes } = place.stage_rows(&slice.key, batch(&rows)).await;
    assert_eq!((kept, doubles), (3, 1));
    let staged = place.root().join("_staged/shop").join(format!("{}.arrow", slice.key.digest()));
    assert_eq!(fs::metadata(&staged).expect("a file").len(), bytes);
    assert_eq!(place.rows(), [], "what is staged is not visible");
    place.publish(std::slice::from_ref(&slice)).await;
    assert_eq!(place.rows(), [rows[1].clone(), rows[3].clone(), rows[2].clone()], "the later double stays");

    place.stage_rows(&slice.key, batch(&[row("07:00", "a", "c", 5)])).await;
    assert_eq!(place.publish(std::slice::from_ref(&slice)).await.rows, 4);
    let none = place.stage_rows(&slice.key, batch(&[])).await;
    assert_eq!(none, StagedFile { rows: 0, doubles: 0, bytes: 0 });
    assert!(!staged.exists(), "an empty unit has no file");
    let empty = StagedSlice { rows: 0, ..slice.clone() };
    assert!(!place.publish(&[empty]).await.written);
    place.dataset.discard(&slice.key).await.expect("discarded");
    place.dataset.discard(&slice.key).await.expect("discarded twice");
}

#[tokio::test]
async fn a_large_staged_file_is_read_by_hours() {
    let place = Place::new().await;
    // Texts that do not compress, so that the file is above the size that is read at once.
    let text = |n: u64| format!("{:016x}{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n.wrapping_mul(0xC2B2_AE3D));
    let rows: Vec<_> = (0..60_000).map(|n| row(&format!("{:02}:00", n % 3), "a", &text(n), n as i64)).collect();
    let key = UnitKey::from_stored("large");
    let staged = place.stage_rows(&key, batch(&rows)).await;
    assert!(staged.bytes > 1024 * 1024, "{} bytes", staged.bytes);
    let slice = StagedSlice { key, rows: staged.rows, ..super::fixture::slice(0, Missing::Keep, 0) };
    let published = place.publish(&[slice]).await;
    assert_eq!((published.rows, published.hours_changed.len()), (60_000, 3));
    assert_eq!(published.hours_changed[0], at("00:00"));
    let mut expected = rows;
    expected.sort();
    assert!(place.rows() == expected, "other rows came back");
}
