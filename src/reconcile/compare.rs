//! The two sums of each day beside each other. Exact: whole numbers in units of each metric's last digit.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type};
use chrono::NaiveDate;

use super::days::{AccountDays, Settled};
use super::report::{Compared, Day, DayState, Reconciled};
use crate::pipeline::{Metric, Reconcile};
use crate::time::day;
use crate::unit::Unit;

/// The sums of one day, one for each metric, in units of its last digit; `None` where there is none.
pub(super) type Sums = Vec<Option<i128>>;
/// An account's id and a date on its clock.
pub(super) type AccountDay = (String, NaiveDate);
/// The sums of days.
pub(super) type SumsByDay = HashMap<AccountDay, Sums>;

/// The sums in the rows of the daily report. `Err` says why they cannot be taken for sums.
pub(super) fn sums_of(rows: &RecordBatch, metrics: &[Metric]) -> Result<SumsByDay, String> {
    let column = |name: &str| rows.column_by_name(name).ok_or_else(|| format!("the report's rows have no `{name}`"));
    let columns: Vec<&ArrayRef> = metrics.iter().map(|metric| column(&metric.column)).collect::<Result<_, _>>()?;
    let mut found = SumsByDay::new();
    for (key, sums) in days_of(column("account_id")?, column("local_hour")?, &columns, metrics)? {
        // The last row of a page may come again as the first of the next.
        if found.get(&key).is_some_and(|known| *known != sums) {
            let (account, date) = key;
            return Err(format!(
                "two rows of account {account} on {date} with different values: is a part of it asked for?"
            ));
        }
        found.insert(key, sums);
    }
    Ok(found)
}

/// Rows as account, date and sums. `dates` may be moments on the account's clock.
pub(super) fn days_of(
    accounts: &ArrayRef,
    dates: &ArrayRef,
    columns: &[&ArrayRef],
    metrics: &[Metric],
) -> Result<Vec<(AccountDay, Sums)>, String> {
    let as_type = |array: &ArrayRef, data_type: &DataType| cast(array, data_type).map_err(|error| error.to_string());
    let accounts = as_type(accounts, &DataType::Utf8)?;
    let dates = as_type(dates, &DataType::Date32)?;
    let (accounts, dates) = (accounts.as_string::<i32>(), dates.as_primitive::<Date32Type>());
    let mut values = Vec::new();
    for (array, metric) in columns.iter().zip(metrics) {
        // Never fewer digits than it has, so nothing is rounded; too many digits before the point become null.
        let scale = i8::try_from(metric.scale).unwrap_or(i8::MAX);
        let cast = as_type(array, &DataType::Decimal128(38, scale))?;
        if cast.null_count() != array.null_count() {
            return Err(format!("`{}` is too large to be compared", metric.column));
        }
        values.push(cast);
    }
    let values: Vec<_> = values.iter().map(|array| array.as_primitive::<Decimal128Type>()).collect();
    let mut days = Vec::with_capacity(accounts.len());
    for row in 0..accounts.len() {
        let Some(date) = dates.value_as_date(row) else { continue };
        let sums = values.iter().map(|array| array.is_valid(row).then(|| array.value(row))).collect();
        days.push(((accounts.value(row).to_owned(), date), sums));
    }
    Ok(days)
}

/// Compares the days of `wanted` that `read` units answered for.
pub(super) fn compare(
    rules: &Reconcile,
    wanted: &Settled,
    read: &[Unit],
    lake: &SumsByDay,
    platform: &SumsByDay,
    report: &mut Reconciled,
) {
    let mut answered: HashSet<(&str, NaiveDate)> = HashSet::new();
    let dates: HashMap<&str, &Vec<NaiveDate>> =
        wanted.accounts.iter().map(|days| (days.account.id.as_str(), &days.dates)).collect();
    for unit in read {
        for account in &unit.accounts {
            let inside = |date: &&NaiveDate| unit.window.contains(day(**date, account.time_zone).from());
            let dates = dates.get(account.id.as_str()).into_iter().flat_map(|dates| dates.iter());
            answered.extend(dates.filter(inside).map(|date| (account.id.as_str(), *date)));
        }
    }
    for AccountDays { account, dates } in &wanted.accounts {
        for date in dates {
            if !answered.contains(&(account.id.as_str(), *date)) {
                report.unread += 1;
                continue;
            }
            let key = (account.id.clone(), *date);
            let differing = differing(rules, lake.get(&key), platform.get(&key));
            if differing.is_empty() {
                report.same += 1;
            } else {
                report.add(Day { account: key.0, date: *date, state: DayState::Differs(differing) });
            }
        }
    }
}

/// The metrics of a day whose sums are further apart than they may. A day without rows has sums of zero.
fn differing(rules: &Reconcile, lake: Option<&Sums>, platform: Option<&Sums>) -> Vec<Compared> {
    let mut differing = Vec::new();
    for (place, metric) in rules.metrics.iter().enumerate() {
        let sum = |sums: Option<&Sums>| sums.and_then(|sums| sums.get(place).copied().flatten());
        let (in_lake, told) = (sum(lake), sum(platform));
        let (ours, theirs) = (in_lake.unwrap_or(0), told.unwrap_or(0));
        if !metric.tolerance.allows(ours.abs_diff(theirs), theirs.unsigned_abs()) {
            differing.push(Compared { metric: place, lake: in_lake, platform: told });
        }
    }
    differing
}
