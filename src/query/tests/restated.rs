//! A lake that is filled as runs fill it: slices are staged and published, and the log grows with them.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;

use crate::lake::{Dataset, DatasetSpec, Lake, StagedSlice, partitions_of};
use crate::merge::ReadBefore;
use crate::pipeline::schema::{KEY, instant_type};
use crate::pipeline::{LakeLayout, Missing, PartitionBy};
use crate::query::{QueryInput, rows};
use crate::time::{Instant, Window, slot};
use crate::unit::{Account, UnitKey};

/// account, campaign, hour, clicks, spend in millionths, share, name
pub(super) type Row = (&'static str, &'static str, &'static str, Option<i64>, i128, Option<f64>, Option<&'static str>);

pub(super) const DROP: Missing = Missing::Drop { max_share: 1.0 };

/// A short way to say a moment of 2026-11-20, or a whole one.
pub(super) fn at(text: &str) -> Instant {
    let full = if text.len() == 5 { format!("2026-11-20T{text}:00Z") } else { text.to_owned() };
    full.parse().expect("an instant")
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("account_id", DataType::Utf8, false),
        Field::new("campaign_id", DataType::Utf8, false),
        Field::new("campaign_name", DataType::Utf8, true),
        Field::new("hour", instant_type(), false),
        Field::new("clicks", DataType::Int64, true),
        Field::new("spend", DataType::Decimal128(18, 6), false),
        Field::new("share", DataType::Float64, true),
        Field::new("seen_at", instant_type(), false),
    ]))
}

fn batch(rows: &[Row], seen_at: Instant) -> RecordBatch {
    let instants = |values: Vec<Instant>| -> ArrayRef {
        let micros = values.iter().map(Instant::timestamp_micros);
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    let spend = Decimal128Array::from_iter_values(rows.iter().map(|row| row.4));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.6))),
        instants(rows.iter().map(|row| at(row.2)).collect()),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.3))),
        Arc::new(spend.with_precision_and_scale(18, 6).expect("decimals")),
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.5))),
        instants(vec![seen_at; rows.len()]),
    ];
    RecordBatch::try_new(schema(), columns).expect("rows")
}

pub(super) struct Restated {
    folder: tempfile::TempDir,
    dataset: Dataset,
    layout: LakeLayout,
    read_before: ReadBefore,
}

impl Restated {
    pub(super) async fn new(partition_by: PartitionBy, buckets: u16) -> Restated {
        let folder = tempfile::tempdir().expect("a folder");
        let lake = Lake::open(folder.path()).await.expect("a lake");
        let spec = DatasetSpec {
            name: "shop".into(),
            schema: schema(),
            key: KEY.map(str::to_owned).into(),
            partition_by,
            buckets,
        };
        let dataset = lake.dataset(spec).await.expect("a dataset");
        Restated { folder, dataset, layout: LakeLayout { partition_by, buckets }, read_before: ReadBefore::default() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Publishes what was read at `seen_at` of the accounts `a` and `b` from the 19th to the 21st.
    pub(super) async fn publish(&mut self, seen_at: Instant, missing: Missing, rows: &[Row]) {
        let window = Window::new(at("2026-11-19T00:00:00Z"), at("2026-11-22T00:00:00Z")).expect("a window");
        let accounts = ["a", "b"].map(|id| Account {
            id: id.into(),
            name: String::new(),
            time_zone: chrono_tz::UTC,
            currency: String::new(),
            parent: String::new(),
        });
        let key = UnitKey::from_stored(format!("shop/{seen_at}"));
        let proven = self.dataset.prove(batch(rows, seen_at), (0..rows.len()).collect()).await;
        let staged = self.dataset.stage(&key, proven.expect("rows").expect("keys"), 1).await.expect("staged");
        let slice = StagedSlice {
            not_falling: Default::default(),
            key,
            accounts: accounts.iter().map(|account| account.id.clone()).collect(),
            window,
            missing,
            fetched_at: seen_at,
            rows: staged.rows,
        };
        for partition in partitions_of(&accounts, window, &self.layout) {
            let slices = std::slice::from_ref(&slice);
            self.dataset.publish(partition, slices, &self.read_before, 1).await.expect("published");
        }
        for slot in slot(window.from())..slot(window.to()) {
            ["a", "b"].iter().for_each(|account| self.read_before.insert(account, slot));
        }
    }

    pub(super) fn input(&self, as_of: Option<Instant>) -> QueryInput {
        QueryInput { as_of, ..QueryInput::new(self.path()) }
    }

    /// The rows as a person sees them.
    pub(super) async fn table(&self, as_of: Option<Instant>, sql: &str) -> String {
        let batches = rows(self.input(as_of), sql).await.expect("query");
        pretty_format_batches(&batches).expect("a table").to_string()
    }

    /// Everything in the pipeline's table.
    pub(super) async fn all(&self, as_of: Option<Instant>) -> String {
        self.table(as_of, "select * from shop order by hour, account_id, campaign_id").await
    }
}
