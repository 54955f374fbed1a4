//! `campaign_hours` and `campaigns`: the rows of every pipeline, and what is known of its campaigns, in the columns that
//! pipelines have in common.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::TableReference;
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};
use datafusion::prelude::SessionContext;

use super::dataset::Dataset;
use super::texts::TEXT;
use crate::pipeline::schema::{CAMPAIGNS, HOUR, SEEN_AT, VALID_FROM, VALID_TO, instant_type};

/// The view's name.
pub(super) const NAME: &str = "campaign_hours";
/// The name of the view over versions of campaigns.
pub(super) const VERSIONS_NAME: &str = "campaigns";

/// Digits after the point of money, where no pipeline has more.
const MONEY_SCALE: i8 = 6;

/// Makes the view over `datasets`, which are registered under their names. Without any, it is empty and has the same
/// columns.
pub(super) async fn over(context: &SessionContext, datasets: &[Dataset]) -> Result<ViewTable> {
    let datasets: Vec<&Dataset> = datasets.iter().filter(|dataset| dataset.holds_hours()).collect();
    let columns = columns(money_type(&datasets, "spend"));
    union(context, &datasets, &columns).await
}

/// The view over all versions of campaigns, of `datasets`, in the columns that they have in common.
pub(super) async fn over_versions(context: &SessionContext, datasets: &[Dataset]) -> Result<ViewTable> {
    let datasets: Vec<&Dataset> = datasets.iter().filter(|dataset| dataset.holds_versions()).collect();
    let columns = vec![
        ("platform", TEXT),
        ("account_id", TEXT),
        ("campaign_id", TEXT),
        ("campaign_name", TEXT),
        ("status", TEXT),
        ("objective", TEXT),
        ("daily_budget", money_type(&datasets, "daily_budget")),
        (VALID_FROM, instant_type()),
        (VALID_TO, instant_type()),
    ];
    union(context, &datasets, &columns).await
}

/// One table over `datasets`, in `columns` and their pipeline's name.
async fn union(
    context: &SessionContext,
    datasets: &[&Dataset],
    columns: &[(&'static str, DataType)],
) -> Result<ViewTable> {
    let mut all: Option<LogicalPlanBuilder> = None;
    for dataset in datasets {
        let table = context.table(TableReference::bare(dataset.name.as_str())).await?;
        let branch = table.select(branch(dataset, columns)?)?.logical_plan().clone();
        all = Some(match all {
            Some(before) => before.union(branch)?,
            None => LogicalPlanBuilder::from(branch),
        });
    }
    let plan: LogicalPlan = match all {
        Some(all) => all.build()?,
        None => LogicalPlanBuilder::empty(false).project(nothing(columns)?)?.build()?,
    };
    Ok(ViewTable::new(plan, None))
}

/// The view's columns after `pipeline`, and what every pipeline's column of that name is turned into.
///
/// Counts of things shown and clicked are whole; conversions are fractions on platforms that divide one among several
/// ads, so they are floats; money is exact and wide enough for every pipeline's.
fn columns(spend: DataType) -> Vec<(&'static str, DataType)> {
    vec![
        ("platform", TEXT),
        ("account_id", TEXT),
        ("account_name", TEXT),
        ("account_timezone", TEXT),
        ("currency", TEXT),
        ("campaign_id", TEXT),
        ("campaign_name", TEXT),
        (HOUR, instant_type()),
        ("local_hour", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("utc_offset_minutes", DataType::Int16),
        ("hours_covered", DataType::Int8),
        ("impressions", DataType::Int64),
        ("clicks", DataType::Int64),
        ("spend", spend),
        ("conversions", DataType::Float64),
        (SEEN_AT, instant_type()),
        ("date", DataType::Date32),
    ]
}

/// A decimal with as many digits after the point as the most exact pipeline has, and at least six.
fn money_type(datasets: &[&Dataset], column: &str) -> DataType {
    let scales = datasets.iter().filter_map(|dataset| match dataset.schema.field_with_name(column).ok()?.data_type() {
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    });
    DataType::Decimal128(38, scales.fold(MONEY_SCALE, i8::max))
}

fn branch(dataset: &Dataset, columns: &[(&'static str, DataType)]) -> Result<Vec<Expr>> {
    let pipeline = dataset.name.strip_suffix(CAMPAIGNS).unwrap_or(&dataset.name);
    let pipeline = ScalarValue::Utf8View(Some(pipeline.to_owned()));
    let mut expressions = vec![lit(pipeline).alias("pipeline")];
    for (name, wanted) in columns {
        let expression = match found_type(dataset, name) {
            Some(found) if found == *wanted => ident(*name),
            Some(found) if is_widened(&found, wanted) => cast(ident(*name), wanted.clone()).alias(*name),
            // A pipeline may call something else by that name; its own table has it as it is.
            _ => null(wanted)?.alias(*name),
        };
        expressions.push(expression);
    }
    Ok(expressions)
}

fn found_type(dataset: &Dataset, name: &str) -> Option<DataType> {
    if let Some((_, data_type)) = dataset.partitions.iter().find(|(partition, _)| partition == name) {
        return Some(data_type.clone());
    }
    dataset.schema.field_with_name(name).ok().map(|field| field.data_type().clone())
}

/// Numbers become numbers. A text that holds a number does not: one bad row would make the view unreadable.
fn is_widened(found: &DataType, wanted: &DataType) -> bool {
    found.is_numeric() && wanted.is_numeric()
}

fn nothing(columns: &[(&'static str, DataType)]) -> Result<Vec<Expr>> {
    let mut expressions = vec![null(&TEXT)?.alias("pipeline")];
    for (name, wanted) in columns {
        expressions.push(null(wanted)?.alias(*name));
    }
    Ok(expressions)
}

fn null(data_type: &DataType) -> Result<Expr> {
    Ok(lit(ScalarValue::try_from(data_type)?))
}
