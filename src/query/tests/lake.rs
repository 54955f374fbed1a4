//! Small lakes in temporary folders, laid out as the real ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int8Array, Int16Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde_json::json;
use tempfile::TempDir;

use crate::pipeline::schema::instant_type;
use crate::query::{Format, Output, QueryInput, QuerySummary, run};

/// One row: the hour of the day, the campaign's number, impressions, and money in the metric's smallest part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) hour: u32,
    pub(super) campaign: u32,
    pub(super) impressions: i64,
    pub(super) spend: i128,
}

/// Three campaigns in each hour of a day: 72 rows.
pub(super) fn full_day() -> Vec<Row> {
    let mut rows = Vec::new();
    for hour in 0..24 {
        for campaign in 0..3 {
            let spend = i128::from(hour) * 1_000_000 + i128::from(campaign) * 100_001 + 1;
            rows.push(Row { hour, campaign, impressions: i64::from(hour * 10 + campaign), spend });
        }
    }
    rows
}

/// A lake in a temporary folder.
pub(super) struct Lake {
    folder: TempDir,
    schemas: BTreeMap<String, Arc<Schema>>,
}

impl Lake {
    pub(super) fn empty() -> Lake {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(folder.path().join("lake")).expect("lake");
        Lake { folder, schemas: BTreeMap::new() }
    }

    /// `demo`: three full days, `date` only. `shop-ads`: two days of two hours, `date` and `utc_hour`, no clicks, money
    /// with nine digits. And a record of restatements.
    pub(super) fn with_two_pipelines() -> Lake {
        let mut lake = Lake::empty();
        let money = DataType::Decimal128(18, 6);
        let metrics = [("impressions", DataType::Int64), ("clicks", DataType::Int64), ("spend", money)];
        lake.describe("demo", &["date"], &metrics);
        for date in ["2026-11-18", "2026-11-19", "2026-11-20"] {
            lake.publish("demo", date, &full_day());
        }
        let money = DataType::Decimal128(20, 9);
        let metrics = [("impressions", DataType::Int64), ("spend", money), ("conversions", DataType::Float64)];
        lake.describe("shop-ads", &["date", "hour"], &metrics);
        for date in ["2026-11-19", "2026-11-20"] {
            for hour in [9, 10] {
                lake.publish_hour("shop-ads", date, Row { hour, campaign: 7, impressions: 5, spend: 1 });
            }
        }
        lake.describe("demo__restatements", &["date"], &[("old", DataType::Float64)]);
        lake.publish("demo__restatements", "2026-11-20", &full_day());
        lake
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// A path outside the lake.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn input(&self) -> QueryInput {
        QueryInput::new(self.path())
    }

    pub(super) fn describe(&mut self, name: &str, partition_by: &[&str], metrics: &[(&str, DataType)]) {
        let schema = schema(metrics);
        let columns: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| {
                json!({"name": field.name(), "type": field.data_type().to_string(), "nullable": field.is_nullable()})
            })
            .collect();
        let description = json!({
            "format": 1, "pipeline": name, "partition_by": partition_by, "buckets": 1, "schema_version": 1,
            "key": ["hour", "account_id", "campaign_id"], "columns": columns,
        });
        let folder = self.path().join(name);
        std::fs::create_dir_all(&folder).expect("dataset's folder");
        std::fs::write(folder.join("_hourmark.json"), description.to_string()).expect("description");
        self.schemas.insert(name.to_owned(), schema);
    }

    /// Replaces a day's file as a publish does: by renaming a complete one over it.
    pub(super) fn publish(&self, name: &str, date: &str, rows: &[Row]) {
        let folder = self.path().join(name).join(format!("date={date}"));
        write(&folder, &batch(&self.schemas[name], date, rows));
    }

    pub(super) fn publish_hour(&self, name: &str, date: &str, row: Row) {
        let folder = self.path().join(name).join(format!("date={date}/utc_hour={:02}", row.hour));
        write(&folder, &batch(&self.schemas[name], date, &[row]));
    }

    /// The rows as a person sees them.
    pub(super) async fn table(&self, sql: &str) -> String {
        let (text, _) = written(self.input(), sql, Format::Table).await;
        String::from_utf8(text).expect("text")
    }
}

/// What `run` writes to a stream.
pub(super) async fn written(input: QueryInput, sql: &str, format: Format) -> (Vec<u8>, QuerySummary) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("out");
    let file = File::create(&path).expect("file");
    let summary = run(input, sql, format, Output::Writer(Box::new(file))).await.expect("query");
    let bytes = std::fs::read(path).expect("output");
    assert_eq!(summary.bytes, bytes.len() as u64);
    (bytes, summary)
}

fn schema(metrics: &[(&str, DataType)]) -> Arc<Schema> {
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    let mut fields = vec![
        text("platform", false),
        text("account_id", false),
        text("account_name", true),
        text("account_timezone", false),
        text("currency", true),
        text("campaign_id", false),
        text("campaign_name", true),
        Field::new("hour", instant_type(), false),
        Field::new("local_hour", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("utc_offset_minutes", DataType::Int16, false),
        Field::new("hours_covered", DataType::Int8, false),
    ];
    fields.extend(metrics.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)));
    fields.push(Field::new("seen_at", instant_type(), false));
    Arc::new(Schema::new(fields))
}

fn batch(schema: &Arc<Schema>, date: &str, rows: &[Row]) -> RecordBatch {
    let columns = schema.fields().iter().map(|field| column(field, date, rows)).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).expect("rows")
}

fn column(field: &Field, date: &str, rows: &[Row]) -> ArrayRef {
    let day: NaiveDate = date.parse().expect("date");
    let midnight: DateTime<Utc> = day.and_hms_opt(0, 0, 0).expect("midnight").and_utc();
    let hour = |row: &Row| (midnight + TimeDelta::hours(i64::from(row.hour))).timestamp_micros();
    let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows.len()])) };
    match field.name().as_str() {
        "account_timezone" => texts("UTC"),
        "currency" => texts("EUR"),
        "campaign_id" => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("c{}", row.campaign)))),
        "campaign_name" => texts("Shoes, \"red\""),
        "hour" => Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(hour)).with_timezone("UTC")),
        "local_hour" => Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(hour))),
        "seen_at" => Arc::new(TimestampMicrosecondArray::from(vec![0; rows.len()]).with_timezone("UTC")),
        "utc_offset_minutes" => Arc::new(Int16Array::from(vec![0; rows.len()])),
        "hours_covered" => Arc::new(Int8Array::from(vec![1; rows.len()])),
        "impressions" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.impressions))),
        "clicks" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.impressions / 10))),
        "spend" if *field.data_type() == DataType::Int64 => {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.spend as i64)))
        }
        "spend" => Arc::new(
            Decimal128Array::from_iter_values(rows.iter().map(|row| row.spend))
                .with_data_type(field.data_type().clone()),
        ),
        "conversions" | "old" => {
            let quarters: ArrayRef = Arc::new(Float64Array::from(vec![0.25; rows.len()]));
            arrow::compute::cast(&quarters, field.data_type()).expect("a number")
        }
        name => texts(name),
    }
}

/// One row group for each hour, with statistics and page indexes.
fn write(folder: &Path, rows: &RecordBatch) {
    std::fs::create_dir_all(folder).expect("partition");
    let temporary = folder.join(".bucket-00.part");
    let properties = WriterProperties::builder().set_statistics_enabled(EnabledStatistics::Page).build();
    let file = File::create(&temporary).expect("file");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).expect("writer");
    let hours = rows.column_by_name("hour").expect("hour");
    for range in arrow::compute::partition(std::slice::from_ref(hours)).expect("partition").ranges() {
        writer.write(&rows.slice(range.start, range.len())).expect("row group");
        writer.flush().expect("row group");
    }
    writer.close().expect("footer");
    std::fs::rename(temporary, folder.join("bucket-00.parquet")).expect("publish");
}
