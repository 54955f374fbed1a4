//! A pipeline's table as it was known at an earlier moment, from the lake and the restatement log.
//!
//! The first thing that was told of a row after the moment says what it was at the moment: its `old_seen_at` whether it
//! was there, and the first `old` of each column what it held. So a row is one of three:
//!
//! | told of it after the moment | now in the lake | at the moment |
//! |---|---|---|
//! | nothing | yes | the row as it is, if it was seen by then |
//! | something, and removing was not the last | yes | each column's first `old`, or what it is now where nothing was told of it |
//! | something, and removing was the last | no | each column's first `old`, or null |
//!
//! Where the first thing was told of values that were themselves seen after the moment, the row was not there yet.
//!
//! The table is a view, written as SQL over the two tables. Conditions on its key and date reach the lake's files: the
//! first two branches take these columns from the lake.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::datasource::ViewTable;
use datafusion::prelude::SessionContext;

use super::dataset::Dataset;
use crate::error;
use crate::lake::Lake;
use crate::pipeline::schema::{HOUR, SEEN_AT, VALID_FROM, VALID_TO, instant_type};
use crate::time::Instant;

/// Orders what was told of one row: by moment; within one moment (two readings that the clock does not tell apart) first
/// what was told of values from before it.
pub(super) const IN_ORDER: &str = "seen_at, place";
/// What `place` stands for.
pub(super) const PLACE: &str =
    "case when old_seen_at < seen_at then 0 when old_seen_at is null then 1 else 2 end as place";

/// `dataset`, whose table is `now` and whose restatements are `log`, as it was known at `moment`.
pub(super) async fn view(
    dataset: &Dataset,
    now: Arc<dyn TableProvider>,
    log: Arc<dyn TableProvider>,
    moment: Instant,
) -> Result<ViewTable> {
    // A session of its own, so that no query can see these two tables by these names.
    let context = SessionContext::new();
    context.register_table("now", now)?;
    context.register_table("log", log)?;
    let sql = sql(dataset, moment);
    let plan = context.state().create_logical_plan(&sql).await?;
    Ok(ViewTable::new(plan, Some(sql)))
}

/// `dataset`, whose table `now` holds versions of campaigns, as it was known at `moment`: versions that had begun, and of
/// those that had not ended the present ones.
pub(super) async fn versions_view(
    dataset: &Dataset,
    now: Arc<dyn TableProvider>,
    moment: Instant,
) -> Result<ViewTable> {
    let context = SessionContext::new();
    context.register_table("now", now)?;
    let moment = moment_literal(moment);
    let columns: Vec<String> = columns(dataset, |name| match name {
        VALID_TO => format!("case when {VALID_TO} <= {moment} then {VALID_TO} end"),
        name => ident(name),
    })
    .collect();
    let sql = format!("select {} from now where {VALID_FROM} <= {moment}", columns.join(", "));
    let plan = context.state().create_logical_plan(&sql).await?;
    Ok(ViewTable::new(plan, Some(sql)))
}

/// Says so where publishes of these datasets have changed rows, or are about to, that the log does not tell of yet.
pub(super) async fn warn_of_pending(lake: &Path, datasets: &[Dataset]) -> error::Result<()> {
    let lake = Lake::open_existing(lake).await?;
    for dataset in datasets.iter().filter(|dataset| dataset.holds_hours()) {
        let untold = lake.untold_publishes(&dataset.name).await?;
        if untold > 0 {
            tracing::warn!(
                dataset = dataset.name,
                untold,
                "a run publishes right now or was cut off: its last changes are not in the restatement log yet, so rows \
                 that they concern may be missing; ask again after the run, or after the next one"
            );
        }
    }
    Ok(())
}

/// `name` as an identifier.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `expression` in the type `data_type`, whatever it is.
pub(super) fn cast(expression: &str, data_type: &DataType) -> String {
    format!("arrow_cast({expression}, {})", literal(&data_type.to_string()))
}

/// `moment` as a literal.
pub(super) fn moment_literal(moment: Instant) -> String {
    cast(&literal(&moment.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()), &instant_type())
}

fn sql(dataset: &Dataset, moment: Instant) -> String {
    let key: Vec<String> = dataset.key.iter().map(|name| ident(name)).collect();
    let compared: Vec<(&str, &DataType)> = compared(dataset);
    let moment = moment_literal(moment);
    let on: Vec<String> = key.iter().map(|name| format!("now.{name} = later.{name}")).collect();
    let on = on.join(" and ");
    let as_now: Vec<String> = columns(dataset, |name| format!("now.{}", ident(name))).collect();
    let changed = columns(dataset, |name| match place(&compared, name) {
        Some((index, data_type)) => {
            let old = cast(&format!("later.old_{index}"), data_type);
            format!("case when later.told_{index} then {old} else now.{} end", ident(name))
        }
        None if name == SEEN_AT => "later.known_since".to_owned(),
        None => format!("now.{}", ident(name)),
    });
    let removed = columns(dataset, |name| match place(&compared, name) {
        Some((index, data_type)) => cast(&format!("later.old_{index}"), data_type),
        None if name == SEEN_AT => "later.known_since".to_owned(),
        None => of_folder(name).unwrap_or_else(|| format!("later.{}", ident(name))),
    });
    let (changed, removed): (Vec<String>, Vec<String>) = (changed.collect(), removed.collect());
    format!(
        "with later as ({later})\n\
         select {as_now} from now left anti join later on {on} where now.seen_at <= {moment}\n\
         union all\n\
         select {changed} from now join later on {on} where later.known_since <= {moment} and later.last <> 'removed'\n\
         union all\n\
         select {removed} from later where later.known_since <= {moment} and later.last = 'removed'",
        later = later(&key, &compared, &moment),
        as_now = as_now.join(", "),
        changed = changed.join(", "),
        removed = removed.join(", "),
    )
}

/// For each key of which something was told after the moment: when the values at the moment had been seen, what was told
/// last, and for each column whether anything was told of it and what it was before.
fn later(key: &[String], compared: &[(&str, &DataType)], moment: &str) -> String {
    let key = key.join(", ");
    let mut facts = vec![
        format!("first_value(old_seen_at order by {IN_ORDER}) as known_since"),
        format!("last_value(change order by {IN_ORDER}) as last"),
    ];
    for (index, (name, _)) in compared.iter().enumerate() {
        let name = literal(name);
        facts.push(format!("bool_or(metric = {name}) as told_{index}"));
        facts.push(format!("first_value(old order by {IN_ORDER}) filter (where metric = {name}) as old_{index}"));
    }
    format!(
        "select {key}, {} from (select *, {PLACE} from log where seen_at > {moment} and change <> 'kept') group by {key}",
        facts.join(", ")
    )
}

/// The columns that restatements tell of, with their types.
fn compared(dataset: &Dataset) -> Vec<(&str, &DataType)> {
    let fields = dataset.schema.fields().iter();
    let values = fields.filter(|field| field.name() != SEEN_AT && !dataset.key.contains(field.name()));
    values.map(|field| (field.name().as_str(), field.data_type())).collect()
}

fn place<'a>(compared: &[(&str, &'a DataType)], name: &str) -> Option<(usize, &'a DataType)> {
    let index = compared.iter().position(|(compared, _)| *compared == name)?;
    Some((index, compared[index].1))
}

/// All columns of the table, in order, each as `expression` says.
fn columns(dataset: &Dataset, expression: impl Fn(&str) -> String) -> impl Iterator<Item = String> {
    let inside = dataset.schema.fields().iter().map(|field| field.name().as_str());
    let names = inside.chain(dataset.partitions.iter().map(|(name, _)| name.as_str()));
    names.map(move |name| format!("{} as {}", expression(name), ident(name)))
}

/// A folder's column, of a row that is in no folder.
fn of_folder(name: &str) -> Option<String> {
    match name {
        "date" => Some(cast(&format!("later.{HOUR}"), &DataType::Date32)),
        "utc_hour" => Some(cast(&format!("date_part('hour', later.{HOUR})"), &DataType::Int8)),
        _ => None,
    }
}
