//! The lake's sums by account and local date.

use std::path::Path;

use chrono::NaiveDate;

use super::compare::SumsByDay;
use crate::error::{Error, Result};
use crate::pipeline::{Pipeline, Reconcile};

/// More accounts than this are not named in the query: reading the others' rows too costs less.
#[cfg(feature = "query")]
const NAMED: usize = 100;

/// The sums of all metrics over the days from the first to the last, exactly.
#[cfg(feature = "query")]
pub(super) async fn of_lake(
    lake: &Path,
    pipeline: &Pipeline,
    rules: &Reconcile,
    accounts: &[&str],
    days: (NaiveDate, NaiveDate),
) -> Result<SumsByDay> {
    use super::compare::days_of;
    use crate::query::{QueryInput, rows};

    let sql = sql(pipeline, rules, accounts, days);
    let mut sums = SumsByDay::new();
    for batch in rows(QueryInput::new(lake), &sql).await? {
        let columns: Vec<_> = batch.columns().iter().skip(2).collect();
        let days = days_of(batch.column(0), batch.column(1), &columns, &rules.metrics);
        let days =
            days.map_err(|why| Error::storage(format!("cannot sum up the lake's `{}`: {why}", pipeline.name)))?;
        sums.extend(days);
    }
    Ok(sums)
}

#[cfg(not(feature = "query"))]
pub(super) async fn of_lake(
    _: &Path,
    _: &Pipeline,
    _: &Reconcile,
    _: &[&str],
    _: (NaiveDate, NaiveDate),
) -> Result<SumsByDay> {
    Err(Error::bad_input("this build has no SQL engine, with which the lake is summed up")
        .hint("build with the default feature `query`"))
}

/// Account, date, and the sum of each metric, as decimals of all digits: whole numbers of 64 bits could overflow.
#[cfg(feature = "query")]
fn sql(pipeline: &Pipeline, rules: &Reconcile, accounts: &[&str], days: (NaiveDate, NaiveDate)) -> String {
    use arrow::datatypes::DataType;

    use crate::pipeline::schema::lake_schema;

    let schema = lake_schema(pipeline);
    let mut sums = String::new();
    for metric in &rules.metrics {
        let scale = match schema.field_with_name(&metric.column).map(|field| field.data_type()) {
            Ok(DataType::Decimal128(_, scale)) => *scale,
            _ => 0,
        };
        sums.push_str(&format!(", sum(cast(\"{}\" as decimal(38, {scale})))", metric.column));
    }
    let (first, last) = days;
    // The folders hold dates of UTC, of which those of all clocks are at most a day away.
    let span = chrono::Duration::days(2);
    let (from, to) = (first - span, last + span);
    let mut named = String::new();
    if accounts.len() <= NAMED {
        let ids: Vec<String> = accounts.iter().map(|id| format!("'{}'", id.replace('\'', "''"))).collect();
        named = format!(" and account_id in ({})", ids.join(", "));
    }
    format!(
        "select account_id, cast(local_hour as date) as day{sums} from \"{}\" \
         where date between date '{from}' and date '{to}' \
         and cast(local_hour as date) between date '{first}' and date '{last}'{named} \
         group by account_id, cast(local_hour as date)",
        pipeline.name
    )
}
