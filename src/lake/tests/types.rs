//! Every type that a pipeline can declare survives staging, encoding and splicing.

use std::fs;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int8Array, Int16Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::fixture::{at, day, read, slice, spec};
use crate::lake::{DatasetSpec, Lake, StagedSlice};
use crate::merge::ReadBefore;
use crate::pipeline::Missing;
use crate::pipeline::schema::instant_type;
use crate::unit::UnitKey;

fn all_types() -> DatasetSpec {
    let schema = Schema::new(vec![
        Field::new("account_id", DataType::Utf8, false),
        Field::new("campaign_id", DataType::Utf8, false),
        Field::new("hour", instant_type(), false),
        Field::new("local_hour", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("utc_offset_minutes", DataType::Int16, false),
        Field::new("hours_covered", DataType::Int8, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("active", DataType::Boolean, true),
        Field::new("rate", DataType::Float64, true),
        Field::new("wide", DataType::Decimal128(38, 9), true),
        Field::new("small", DataType::Decimal128(9, 2), true),
    ]);
    DatasetSpec { schema: Arc::new(schema), ..spec() }
}

/// One row per hour from 00:00 on; those of hour 1 are nothing but nulls and NaN.
fn rows(hours: std::ops::Range<i64>, wide: i128) -> RecordBatch {
    let micros = |hour: i64| at("00:00").timestamp_micros() + hour * 3_600_000_000;
    let instants = TimestampMicrosecondArray::from_iter_values(hours.clone().map(micros));
    let present = |hour: &i64| *hour != 1;
    let decimal = |value: i128, precision: u8, scale: i8| -> ArrayRef {
        let values = hours.clone().map(|hour| present(&hour).then_some(value - i128::from(hour)));
        let values = Decimal128Array::from_iter(values).with_precision_and_scale(precision, scale);
        Arc::new(values.expect("a decimal"))
    };
    let count = hours.clone().count();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["a"; count])),
        Arc::new(StringArray::from(vec!["c"; count])),
        Arc::new(instants.clone().with_timezone("UTC")),
        Arc::new(instants),
        Arc::new(Int16Array::from(vec![-570; count])),
        Arc::new(Int8Array::from(vec![1; count])),
        Arc::new(StringArray::from_iter(hours.clone().map(|hour| present(&hour).then(|| format!("Größe {hour}"))))),
        Arc::new(BooleanArray::from_iter(hours.clone().map(|hour| present(&hour).then_some(hour % 2 == 0)))),
        Arc::new(Float64Array::from_iter_values(
            hours.clone().map(|hour| if present(&hour) { -0.5 * hour as f64 } else { f64::NAN }),
        )),
        decimal(wide, 38, 9),
        decimal(1_234_567, 9, 2),
    ];
    RecordBatch::try_new(all_types().schema, columns).expect("rows")
}

#[tokio::test]
async fn spliced_columns_of_every_type_are_those_that_were_encoded() {
    const WIDE: i128 = 12_345_678_901_234_567_890_123_456_789;
    let mut files = Vec::new();
    for parts in [vec![rows(0..3, WIDE), rows(3..5, WIDE)], vec![rows(0..5, WIDE)]] {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(folder.path()).await.expect("a lake");
        let dataset = lake.dataset(all_types()).await.expect("a dataset");
        for (minute, part) in parts.into_iter().enumerate() {
            let key = UnitKey::from_stored(format!("part-{minute}"));
            let proven = dataset.prove(part, Vec::new()).await.expect("rows").expect("keys");
            let staged = dataset.stage(&key, proven, 1).await.expect("staged");
            let slice = StagedSlice { key, rows: staged.rows, ..slice(minute as i64, Missing::Keep, 0) };
            let published = dataset
                .publish(day(), std::slice::from_ref(&slice), &ReadBefore::default(), 1)
                .await
                .expect("published");
            assert!(published.written);
            let again = dataset.publish(day(), &[slice], &ReadBefore::default(), 1).await.expect("published");
            assert!(!again.written, "NaN and null are equal to themselves");
        }
        let file = folder.path().join("shop").join(day().to_string());
        let found = read(&file);
        assert_eq!(found.schema().fields(), all_types().schema.fields());
        // NaN is not equal to itself, its text is.
        assert_eq!(format!("{found:?}"), format!("{:?}", rows(0..5, WIDE).with_schema(found.schema()).expect("rows")));
        files.push(fs::read(file).expect("bytes"));
    }
    assert!(files[0] == files[1], "the file tells how it came to be");
}
