//! A dataset as a table: datafusion's own listing of Parquet files, over what the snapshot holds of them, with two things added.
//!
//! - A condition on the moment by which the folders are dated (`hour`, or `seen_at` of restatements) becomes one on
//!   `date` too, so that other days' files are not even opened. Statistics alone would leave them out as well, but only
//!   after reading each file's footer.
//! - `utc_hour = 9` becomes a range: of an equality datafusion makes the folder's name, `utc_hour=9`, and would find
//!   nothing, because the folder is `utc_hour=09`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Date32Type, SchemaRef, TimeUnit};
use async_trait::async_trait;
use chrono::DateTime;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::logical_expr::expr::{BinaryExpr, Cast, TryCast};
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType, ident, lit};
use datafusion::physical_plan::ExecutionPlan;
use url::Url;

use super::dataset::Dataset;
use super::folders;
use super::snapshot::{PUBLISHED, Snapshot};
use crate::error::Error;

/// Where the engine finds what is held of the lake.
pub(super) const STORE: &str = "lake://held/";

/// One dataset, readable by the engine. The snapshot holds fast what a scan can want of it when the scan is planned.
#[derive(Debug)]
pub(super) struct LakeTable {
    name: String,
    partitions: Vec<(String, DataType)>,
    dated_by: Option<&'static str>,
    snapshot: Arc<Snapshot>,
    files: ListingTable,
}

impl LakeTable {
    /// A table over `dataset`, whose files `snapshot` will hold.
    pub(super) fn new(dataset: &Dataset, snapshot: Arc<Snapshot>) -> Result<LakeTable> {
        if let Some(record) = &dataset.record {
            snapshot.expect(record);
        }
        Ok(LakeTable {
            name: dataset.name.clone(),
            partitions: dataset.partitions.clone(),
            dated_by: dataset.dated_by(),
            snapshot,
            files: listing(dataset)?,
        })
    }

    /// Holds fast the files that can have rows for which `filters` hold.
    async fn pin(&self, filters: &[Expr]) -> Result<()> {
        let (snapshot, name, partitions) = (Arc::clone(&self.snapshot), self.name.clone(), self.partitions.clone());
        let filters = filters.to_vec();
        let external = |error: Error| DataFusionError::External(Box::new(error));
        tokio::task::spawn_blocking(move || {
            let names: Vec<String> = partitions.iter().map(|(name, _)| name.clone()).collect();
            let files = snapshot.files(&name, &names).map_err(external)?;
            let files = folders::wanted(files, &partitions, &filters)?;
            snapshot.pin(&name, &files).map_err(external)
        })
        .await
        .map_err(|error| DataFusionError::External(Box::new(error)))?
    }
}

fn listing(dataset: &Dataset) -> Result<ListingTable> {
    let url = Url::parse(STORE)
        .and_then(|root| root.join(&format!("{}/", dataset.name)))
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    let sorted_by: Vec<_> = dataset.sorted_by.iter().map(|name| ident(name).sort(true, false)).collect();
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()))
        .with_file_extension(PUBLISHED)
        .with_table_partition_cols(dataset.partitions.clone())
        .with_file_sort_order(if sorted_by.is_empty() { Vec::new() } else { vec![sorted_by] });
    let config = ListingTableConfig::new(ListingTableUrl::try_new(url, None)?)
        .with_listing_options(options)
        .with_schema(Arc::clone(&dataset.schema));
    ListingTable::try_new(config)
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        self.files.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.files.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut all = Vec::with_capacity(filters.len() + 1);
        for filter in filters {
            all.push(equality_of_utc_hour_as_range(filter)?);
            all.extend(self.dated_by.and_then(|dated_by| implied_for_date(filter, dated_by)));
        }
        self.pin(&all).await?;
        self.files.scan(state, projection, &all, limit).await
    }
}

/// What `filter`, a condition on the moment `dated_by`, says of `date`; `None` where it says nothing.
fn implied_for_date(filter: &Expr, dated_by: &str) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    match op {
        Operator::And => match (implied_for_date(left, dated_by), implied_for_date(right, dated_by)) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        },
        // Either side may hold, so nothing is known unless both sides say something.
        Operator::Or => Some(implied_for_date(left, dated_by)?.or(implied_for_date(right, dated_by)?)),
        _ => match (left.as_ref(), right.as_ref()) {
            (moment, Expr::Literal(value, _)) if is_moment(moment, dated_by) => bound_for_date(*op, value),
            (Expr::Literal(value, _), moment) if is_moment(moment, dated_by) => bound_for_date(op.swap()?, value),
            _ => None,
        },
    }
}

/// The column itself, or in another unit or written with another zone: its order and its moments stay the same.
fn is_moment(expr: &Expr, dated_by: &str) -> bool {
    match expr {
        Expr::Column(column) => column.name == dated_by,
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            matches!(field.data_type(), DataType::Timestamp(_, zone) if is_utc(zone.as_deref()))
                && is_moment(expr, dated_by)
        }
        _ => false,
    }
}

fn is_utc(zone: Option<&str>) -> bool {
    matches!(zone, None | Some("UTC" | "+00:00" | "Z"))
}

/// `moment <operator> value`, weakened to `date`.
fn bound_for_date(operator: Operator, value: &ScalarValue) -> Option<Expr> {
    match value.data_type() {
        DataType::Timestamp(_, zone) if is_utc(zone.as_deref()) => {}
        _ => return None,
    }
    let micros = value.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, None)).ok()?;
    let ScalarValue::TimestampMicrosecond(Some(moment), _) = micros else { return None };
    let is_exact = micros.cast_to(&value.data_type()).is_ok_and(|back| back == *value);
    let date = ident("date");
    match operator {
        Operator::Eq => Some(date.eq(date_of(moment)?)),
        Operator::Gt | Operator::GtEq => Some(date.gt_eq(date_of(moment)?)),
        // Hours before a midnight are the day before's; but of a midnight and some nanoseconds, the midnight is left.
        Operator::Lt if is_exact => Some(date.lt_eq(date_of(moment.checked_sub(1)?)?)),
        Operator::Lt | Operator::LtEq => Some(date.lt_eq(date_of(moment)?)),
        _ => None,
    }
}

/// The UTC date of a moment given in microseconds since 1970.
fn date_of(moment: i64) -> Option<Expr> {
    let date = DateTime::from_timestamp_micros(moment)?.date_naive();
    Some(lit(ScalarValue::Date32(Some(Date32Type::from_naive_date(date)))))
}

/// `filter` with every `utc_hour = x` written as `utc_hour >= x and utc_hour <= x`.
fn equality_of_utc_hour_as_range(filter: &Expr) -> Result<Expr> {
    let is_utc_hour = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == "utc_hour");
    let rewritten = filter.clone().transform(|expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_utc_hour(&left) || is_utc_hour(&right) => {
            Ok(Transformed::yes(left.clone().gt_eq(*right.clone()).and(left.lt_eq(*right))))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{binary_expr, cast};
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::schema::HOUR;

    const DAY: i64 = 86_400_000_000;

    /// Whether `expr` holds for a row of the hour `hour`, in microseconds.
    fn holds(expr: &Expr, hour: i64) -> bool {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { panic!("{expr}") };
        match op {
            Operator::And => return holds(left, hour) && holds(right, hour),
            Operator::Or => return holds(left, hour) || holds(right, hour),
            _ => {}
        }
        let number = |side: &Expr| match side {
            Expr::Column(column) if column.name == "date" => i128::from(hour.div_euclid(DAY)),
            Expr::Literal(ScalarValue::Date32(Some(days)), _) => i128::from(*days),
            Expr::Literal(ScalarValue::TimestampMicrosecond(Some(moment), _), _) => i128::from(*moment) * 1000,
            Expr::Literal(ScalarValue::TimestampNanosecond(Some(moment), _), _) => i128::from(*moment),
            _ => i128::from(hour) * 1000,
        };
        let (left, right) = (number(left), number(right));
        match op {
            Operator::Eq => left == right,
            Operator::Gt => left > right,
            Operator::GtEq => left >= right,
            Operator::Lt => left < right,
            Operator::LtEq => left <= right,
            other => panic!("{other}"),
        }
    }

    fn condition() -> impl Strategy<Value = Expr> {
        let operators = vec![Operator::Eq, Operator::Gt, Operator::GtEq, Operator::Lt, Operator::LtEq];
        let near_midnight = (-3i64..3, -2i64..3).prop_map(|(day, nanoseconds)| day * DAY * 1000 + nanoseconds);
        let moment = prop_oneof![near_midnight, -3 * DAY * 1000..3 * DAY * 1000];
        (prop::sample::select(operators), moment, any::<bool>(), any::<bool>()).prop_map(
            |(operator, at, fine, swap)| {
                let (hour, value) = if fine {
                    let data_type = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
                    (cast(ident(HOUR), data_type), ScalarValue::TimestampNanosecond(Some(at), Some("UTC".into())))
                } else {
                    (ident(HOUR), ScalarValue::TimestampMicrosecond(Some(at.div_euclid(1000)), None))
                };
                if swap { binary_expr(lit(value), operator, hour) } else { binary_expr(hour, operator, lit(value)) }
            },
        )
    }

    proptest! {
        #[test]
        fn no_row_is_lost_by_what_is_implied(
            one in condition(), other in condition(), both in any::<bool>(), hour in -80i64..80, exact in any::<bool>()
        ) {
            let filter = if both { one.clone().and(other) } else { one.clone().or(other) };
            let implied = implied_for_date(&filter, HOUR).expect("each side says something of the date");
            let mut hours = vec![hour * DAY / 24];
            if exact && let Expr::BinaryExpr(BinaryExpr { left, right, .. }) = &one {
                // The moment that is asked for, where rows are lost most easily.
                for side in [left, right] {
                    if let Expr::Literal(value, _) = side.as_ref()
                        && let Ok(ScalarValue::TimestampMicrosecond(Some(moment), _)) =
                            value.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, None))
                    {
                        hours.push(moment);
                    }
                }
            }
            for hour in hours {
                prop_assert!(!holds(&filter, hour) || holds(&implied, hour), "{filter} but not {implied} at {hour}");
            }
        }
    }

    #[test]
    fn what_says_nothing_of_the_hour_implies_nothing() {
        let moment = lit(ScalarValue::TimestampMicrosecond(Some(0), None));
        let berlin = cast(ident(HOUR), DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())));
        for filter in [
            ident("seen_at").gt(moment.clone()),
            ident(HOUR).not_eq(moment.clone()),
            ident(HOUR).gt(moment.clone()).or(ident("clicks").gt(lit(1))),
            berlin.gt(moment.clone()),
            ident(HOUR).gt(ident("seen_at")),
            ident(HOUR).gt(lit(ScalarValue::TimestampMicrosecond(None, None))),
        ] {
            assert_eq!(implied_for_date(&filter, HOUR), None, "{filter}");
        }
    }
}
