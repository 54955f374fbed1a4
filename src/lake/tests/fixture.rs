//! A small dataset, its rows as plain values, and what a lake holds as plain values.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use chrono::{DateTime, Duration};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::lake::{Dataset, DatasetSpec, Lake, Partition, StagedFile, StagedSlice};
use crate::merge::ReadBefore;
use crate::pipeline::schema::instant_type;
use crate::pipeline::{Missing, PartitionBy};
use crate::time::{Instant, Window};
use crate::unit::UnitKey;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) hour: Instant,
    pub(super) account: String,
    pub(super) campaign: String,
    pub(super) clicks: Option<i64>,
    /// Millionths.
    pub(super) spend: i128,
    pub(super) seen_at: Instant,
}

pub(super) fn at(text: &str) -> Instant {
    let full = if text.len() == 5 { format!("2026-11-20T{text}:00Z") } else { text.to_owned() };
    full.parse().expect("an instant")
}

pub(super) fn window(from: &str, to: &str) -> Window {
    Window::new(at(from), at(to)).expect("a window")
}

pub(super) fn day() -> Partition {
    Partition { date: "2026-11-20".parse().expect("a date"), hour: None, bucket: 0 }
}

/// A row first seen at noon of the next day.
pub(super) fn row(hour: &str, account: &str, campaign: &str, clicks: i64) -> Row {
    Row {
        hour: at(hour),
        account: account.into(),
        campaign: campaign.into(),
        clicks: Some(clicks),
        spend: i128::from(clicks) * 250_000,
        seen_at: at("2026-11-21T12:00:00Z"),
    }
}

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("account_id", DataType::Utf8, false),
        Field::new("campaign_id", DataType::Utf8, false),
        Field::new("hour", instant_type(), false),
        Field::new("clicks", DataType::Int64, true),
        Field::new("spend", DataType::Decimal128(18, 6), false),
        Field::new("seen_at", instant_type(), false),
    ]))
}

pub(super) fn spec() -> DatasetSpec {
    DatasetSpec {
        name: "shop".into(),
        schema: schema(),
        key: ["hour", "account_id", "campaign_id"].map(str::to_owned).into(),
        partition_by: PartitionBy::Date,
        buckets: 1,
    }
}

pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let instants = |pick: fn(&Row) -> Instant| -> ArrayRef {
        let values = rows.iter().map(|row| pick(row).timestamp_micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
    };
    let spend = Decimal128Array::from_iter_values(rows.iter().map(|row| row.spend));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.account))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.campaign))),
        instants(|row| row.hour),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.clicks))),
        Arc::new(spend.with_precision_and_scale(18, 6).expect("a decimal")),
        instants(|row| row.seen_at),
    ];
    RecordBatch::try_new(schema(), columns).expect("rows")
}

pub(super) fn unbatch(batch: &RecordBatch) -> Vec<Row> {
    let column = |name: &str| batch.column_by_name(name).expect("a column");
    let text = |name: &str, row: usize| column(name).as_string::<i32>().value(row).to_owned();
    let instant = |name: &str, row: usize| {
        DateTime::from_timestamp_micros(column(name).as_primitive::<TimestampMicrosecondType>().value(row))
            .expect("an instant")
    };
    let clicks = column("clicks").as_primitive::<Int64Type>();
    let row = |row: usize| Row {
        hour: instant("hour", row),
        account: text("account_id", row),
        campaign: text("campaign_id", row),
        clicks: clicks.is_valid(row).then(|| clicks.value(row)),
        spend: column("spend").as_primitive::<Decimal128Type>().value(row),
        seen_at: instant("seen_at", row),
    };
    (0..batch.num_rows()).map(row).collect()
}

/// A dataset in a folder of its own.
pub(super) struct Place {
    folder: tempfile::TempDir,
    pub(super) dataset: Dataset,
}

impl Place {
    pub(super) async fn new() -> Place {
        Place::with(spec()).await
    }

    pub(super) async fn with(spec: DatasetSpec) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(folder.path()).await.expect("a lake");
        let dataset = lake.dataset(spec).await.expect("a dataset");
        Place { folder, dataset }
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(super) async fn lake(&self) -> Lake {
        Lake::open(self.root()).await.expect("a lake")
    }

    /// Stages `rows` of accounts `a` and `b` for the whole day, fetched `minute` minutes after noon of the next day.
    pub(super) async fn stage(&self, minute: i64, missing: Missing, rows: &[Row]) -> StagedSlice {
        let slice = slice(minute, missing, rows.len() as u64);
        let staged = self.stage_rows(&slice.key, batch(rows)).await;
        StagedSlice { rows: staged.rows, ..slice }
    }

    /// Proves and stages rows of which each came in a response of its own.
    pub(super) async fn stage_rows(&self, key: &UnitKey, rows: RecordBatch) -> StagedFile {
        let page_starts = (0..rows.num_rows()).collect();
        let proven = self.dataset.prove(rows, page_starts).await.expect("rows").expect("keys");
        self.dataset.stage(key, proven, 1).await.expect("staged")
    }

    pub(super) async fn publish(&self, slices: &[StagedSlice]) -> crate::lake::Published {
        self.dataset.publish(day(), slices, &ReadBefore::default(), 1).await.expect("published")
    }

    pub(super) fn file(&self, partition: Partition) -> PathBuf {
        self.root().join("shop").join(partition.to_string())
    }

    /// All rows of the lake, in the order in which they stand in the files.
    pub(super) fn rows(&self) -> Vec<Row> {
        files(&self.root().join("shop"), "parquet").iter().flat_map(|file| unbatch(&read(file))).collect()
    }

    pub(super) fn staged_files(&self) -> Vec<String> {
        let found = files(&self.root().join("_staged"), "");
        found.iter().map(|file| file.file_name().expect("a name").to_string_lossy().into_owned()).collect()
    }
}

pub(super) fn slice(minute: i64, missing: Missing, rows: u64) -> StagedSlice {
    StagedSlice {
        key: UnitKey::from_stored(format!("shop/a/{minute}")),
        accounts: vec!["a".into(), "b".into()],
        window: window("00:00", "2026-11-21T00:00:00Z"),
        missing,
        fetched_at: at("2026-11-21T12:00:00Z") + Duration::minutes(minute),
        rows,
        not_falling: Arc::default(),
    }
}

/// Files below a folder with an extension (any where it is empty), sorted.
pub(super) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if extension.is_empty() || path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Reads a Parquet file as any other program would: by parquet's own reader, with page indexes.
pub(super) fn read(file: &Path) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let file = File::open(file).expect("a file");
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).expect("a footer");
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().expect("a reader").map(|batch| batch.expect("a batch")).collect();
    arrow::compute::concat_batches(&schema, &batches).expect("batches")
}

pub(super) fn metadata(file: &Path) -> ParquetMetaData {
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&File::open(file).expect("a file"))
        .expect("a footer")
}
