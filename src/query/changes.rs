//! What moved most since a moment: sums by campaign and UTC day, from the restatement log.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use chrono::NaiveDate;
use futures::StreamExt;

use super::QueryInput;
use super::as_of::{IN_ORDER, PLACE, cast, ident, literal, moment_literal};
use super::dataset::Dataset;
use super::engine::Engine;
use crate::error::{Error, Result};
use crate::pipeline::schema::STANDARD;
use crate::time::Instant;

/// What [`changes`] is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Names of pipelines; all of the lake where none is given.
    pub pipelines: Vec<String>,
    /// What was seen after this moment counts.
    pub since: Instant,
    /// Only this metric.
    pub metric: Option<String>,
    /// So many lines, the weightiest.
    pub top: usize,
}

/// What changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// By pipeline.
    pub totals: Vec<Totals>,
    /// The weightiest first.
    pub moved: Vec<Moved>,
}

/// How many rows (keys) of a pipeline something was told of. One that was changed and later removed counts in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// The pipeline.
    pub pipeline: String,
    /// Rows with other values.
    pub restated: u64,
    /// Rows in hours that had been read without them.
    pub added: u64,
    /// Rows that are gone.
    pub removed: u64,
    /// Rows that a re-fetch did not bring and that stayed.
    pub kept: u64,
}

/// One metric of one campaign on one UTC day, over the rows of which something was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// The pipeline.
    pub pipeline: String,
    /// The account's id.
    pub account: String,
    /// The campaign's id.
    pub campaign: String,
    /// The UTC date of the hours.
    pub day: NaiveDate,
    /// The metric's column.
    pub metric: String,
    /// The sum before, as an exact number; a row that was not there counts nothing.
    pub old: String,
    /// The sum now.
    pub new: String,
    /// The new sum less the old one.
    pub difference: String,
    /// How many hours these rows are of.
    pub hours: u64,
    /// How long the hour that was restated last had been over then, in seconds.
    pub last_age_seconds: i64,
    /// The size of the difference as a share of all that the pipeline's restated rows hold of the metric, before or now,
    /// whichever is more: 0 to 1.
    pub weight: f64,
}

/// Sums up what was restated after a moment. Lines are sorted by weight, so that metrics of different units can be
/// compared, then by pipeline, metric, day, account and campaign; sums that came out the same are left out.
///
/// Errors: bad input for a pipeline or a metric that is not there, and as [`run`](super::run).
pub async fn changes(input: QueryInput, asked: &Asked) -> Result<Changes> {
    let engine = Engine::open(&QueryInput { as_of: None, ..input }).await?;
    let datasets = chosen(engine.datasets(), &asked.pipelines)?;
    let mut totals = Vec::new();
    for dataset in &datasets {
        totals.push(totals_of(&engine, dataset, asked.since).await?);
    }
    let mut selects = Vec::new();
    for dataset in &datasets {
        for (metric, data_type) in metrics(dataset) {
            if asked.metric.as_ref().is_none_or(|only| only == metric) {
                selects.push(moved_sql(dataset, metric, data_type, asked.since));
            }
        }
    }
    if selects.is_empty() {
        return match &asked.metric {
            Some(metric) => Err(no_metric(metric, &datasets)),
            None => Ok(Changes { totals, moved: Vec::new() }),
        };
    }
    let order = "weight desc, pipeline, metric, day, account_id, campaign_id";
    let sql = format!("select * from ({}) order by {order} limit {}", selects.join("\nunion all\n"), asked.top);
    let mut moved = Vec::new();
    for batch in rows(&engine, &sql).await? {
        for row in 0..batch.num_rows() {
            moved.push(moved_of(&batch, row)?);
        }
    }
    engine.verify()?;
    Ok(Changes { totals, moved })
}

fn chosen<'a>(datasets: &'a [Dataset], names: &[String]) -> Result<Vec<&'a Dataset>> {
    let all: Vec<&Dataset> = datasets.iter().filter(|dataset| dataset.holds_hours()).collect();
    if let Some(name) = names.iter().find(|name| !all.iter().any(|dataset| dataset.name == **name)) {
        let known: Vec<&str> = all.iter().map(|dataset| dataset.name.as_str()).collect();
        return Err(Error::bad_input(format!("the lake has no pipeline `{name}`"))
            .hint(format!("there are: {}", known.join(", "))));
    }
    Ok(all.into_iter().filter(|dataset| names.is_empty() || names.contains(&dataset.name)).collect())
}

/// The numbers that a pipeline declares.
fn metrics(dataset: &Dataset) -> impl Iterator<Item = (&str, &DataType)> {
    let fields = dataset.schema.fields().iter();
    let numbers = fields.filter(|field| field.data_type().is_numeric());
    let declared = numbers.filter(|field| !STANDARD.contains(&field.name().as_str()));
    let values = declared.filter(|field| !dataset.key.contains(field.name()));
    values.map(|field| (field.name().as_str(), field.data_type()))
}

fn no_metric(metric: &str, datasets: &[&Dataset]) -> Error {
    let mut known: Vec<&str> = datasets.iter().flat_map(|dataset| metrics(dataset).map(|(name, _)| name)).collect();
    known.sort_unstable();
    known.dedup();
    Error::bad_input(format!("no pipeline has the metric `{metric}`")).hint(format!("metrics: {}", known.join(", ")))
}

async fn totals_of(engine: &Engine, dataset: &Dataset, since: Instant) -> Result<Totals> {
    let key: Vec<String> = dataset.key.iter().map(|name| ident(name)).collect();
    let sql = format!(
        "select change, count(*) as rows from (select distinct change, {} from {} where seen_at > {}) group by change",
        key.join(", "),
        ident(&dataset.log_name()),
        moment_literal(since),
    );
    let mut totals = Totals { pipeline: dataset.name.clone(), ..Totals::default() };
    for batch in rows(engine, &sql).await? {
        for row in 0..batch.num_rows() {
            let count = u64::try_from(whole(&batch, "rows", row)?).unwrap_or(0);
            match text(&batch, "change", row)?.as_str() {
                "changed" => totals.restated = count,
                "added" => totals.added = count,
                "removed" => totals.removed = count,
                _ => totals.kept = count,
            }
        }
    }
    Ok(totals)
}

/// The lines of one metric of one pipeline: each row's value before the first restatement and after the last, summed up.
fn moved_sql(dataset: &Dataset, metric: &str, data_type: &DataType, since: Instant) -> String {
    let key: Vec<String> = dataset.key.iter().map(|name| ident(name)).collect();
    let key = key.join(", ");
    let log = ident(&dataset.log_name());
    let (name, metric, since) = (literal(&dataset.name), literal(metric), moment_literal(since));
    let sum = |column: &str| format!("sum(coalesce({}, {}))", cast(column, data_type), cast("0", data_type));
    let shown = |expression: &str| cast(expression, &DataType::Utf8);
    let float = |expression: &str| cast(expression, &DataType::Float64);
    format!(
        "select {name} as pipeline, account_id, campaign_id, day, {metric} as metric, {old} as old, {new} as new, \
         {difference} as difference, hours, age, \
         {moved} / nullif(greatest({all_old}, {all_new}), 0) as weight \
         from (select account_id, campaign_id, {day} as day, {sum_old} as old, {sum_new} as new, \
         count(distinct hour) as hours, last_value(age order by at, age) as age \
         from (select {key}, first_value(old order by {IN_ORDER}) as old, last_value(new order by {IN_ORDER}) as new, \
         max(seen_at) as at, last_value(age_seconds order by {IN_ORDER}) as age \
         from (select *, {PLACE} from {log} where seen_at > {since} and metric = {metric}) group by {key}) \
         group by account_id, campaign_id, {day}) where new <> old",
        old = shown("old"),
        new = shown("new"),
        difference = shown("new - old"),
        moved = float("abs(new - old)"),
        all_old = float("sum(abs(old)) over ()"),
        all_new = float("sum(abs(new)) over ()"),
        day = cast("hour", &DataType::Date32),
        sum_old = sum("old"),
        sum_new = sum("new"),
    )
}

async fn rows(engine: &Engine, sql: &str) -> Result<Vec<RecordBatch>> {
    let mut stream = engine.stream(sql).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch.map_err(|error| engine.explain(error))?);
    }
    Ok(batches)
}

fn moved_of(batch: &RecordBatch, row: usize) -> Result<Moved> {
    let day = column(batch, "day")?.as_primitive_opt::<Date32Type>().and_then(|days| days.value_as_date(row));
    let weight = column(batch, "weight")?.as_primitive_opt::<Float64Type>();
    Ok(Moved {
        pipeline: text(batch, "pipeline", row)?,
        account: text(batch, "account_id", row)?,
        campaign: text(batch, "campaign_id", row)?,
        day: day.ok_or_else(|| unexpected("day"))?,
        metric: text(batch, "metric", row)?,
        old: text(batch, "old", row)?,
        new: text(batch, "new", row)?,
        difference: text(batch, "difference", row)?,
        hours: u64::try_from(whole(batch, "hours", row)?).unwrap_or(0),
        last_age_seconds: whole(batch, "age", row)?,
        weight: weight.filter(|weight| weight.is_valid(row)).map_or(0.0, |weight| weight.value(row)),
    })
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
    batch.column_by_name(name).map(AsRef::as_ref).ok_or_else(|| unexpected(name))
}

fn text(batch: &RecordBatch, name: &str, row: usize) -> Result<String> {
    let column = column(batch, name)?;
    let found = match column.data_type() {
        DataType::Utf8View => column.as_string_view_opt().map(|texts| texts.value(row)),
        _ => column.as_string_opt::<i32>().map(|texts| texts.value(row)),
    };
    found.map(str::to_owned).ok_or_else(|| unexpected(name))
}

fn whole(batch: &RecordBatch, name: &str, row: usize) -> Result<i64> {
    let column = column(batch, name)?.as_primitive_opt::<Int64Type>();
    column.map(|numbers| numbers.value(row)).ok_or_else(|| unexpected(name))
}

fn unexpected(name: &str) -> Error {
    Error::internal(format!("the column `{name}` of a query's result is not what was asked for"))
}
