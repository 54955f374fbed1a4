//! Whether a unit's rows keep the rules of its pipeline: a pure function of both.
//!
//! Rules about a row by itself (`not_null`, `min`, `max`) are judged here, once, before the unit is staged. That values
//! do not fall is judged where old and new rows meet, in [`merge`](crate::merge).

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};

use crate::error::{Error, Result};
use crate::merge::value_text;
use crate::pipeline::{LimitValue, Quality, RowRules};

/// So many rows that break a rule are told of one by one.
const TOLD: usize = 10;

/// What the rules say of a unit's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They may go into the lake.
    Passed {
        /// Rows that break a rule, and are not more than may.
        rejected: u64,
        /// What they break; empty where there are none.
        remark: String,
    },
    /// They may not.
    Broken {
        /// How many rows break which rules, and how many may.
        reason: String,
    },
}

/// A row that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// Its place among the rows.
    pub row: usize,
    /// The columns and what is wrong with their values.
    pub said: String,
}

/// Judges `rows` by the row rules of `rules`: see [`Judge`].
///
/// # Errors
/// An internal error where a column is not there or has another type than its limit.
pub fn judge(rows: &RecordBatch, rules: &Quality) -> Result<Verdict> {
    let mut judge = Judge::new(rules);
    judge.add(rows)?;
    Ok(judge.verdict())
}

/// Judges a unit's rows, some after the other. A row counts once, however many rules it breaks. A value that is not there
/// breaks `not_null` and no other rule. Limits belong to what is allowed.
#[derive(Debug, Clone)]
pub struct Judge {
    rules: Quality,
    rows: usize,
    rejected: u64,
    /// How many values break each test of each rule.
    counts: Vec<Vec<u64>>,
    /// The first rows that break a rule.
    offences: Vec<Offence>,
}

impl Judge {
    /// One that has not seen a row.
    pub fn new(rules: &Quality) -> Judge {
        let counts = rules.rows.iter().map(|rule| vec![0; tests_of(rule).len()]).collect();
        Judge { rules: rules.clone(), rows: 0, rejected: 0, counts, offences: Vec::new() }
    }

    /// Judges further rows.
    ///
    /// # Errors
    /// An internal error where a column is not there or has another type than its limit.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut broken = vec![false; if self.rules.rows.is_empty() { 0 } else { rows.num_rows() }];
        for (rule, counts) in self.rules.rows.iter().zip(&mut self.counts) {
            let column = column(rows, rule)?;
            for (test, count) in tests_of(rule).iter().zip(counts) {
                for (row, broken) in broken.iter_mut().enumerate() {
                    if !test.holds(column, row)? {
                        *broken = true;
                        *count += 1;
                    }
                }
            }
        }
        self.rejected += broken.iter().filter(|broken| **broken).count() as u64;
        let room = TOLD - self.offences.len();
        for (row, _) in broken.iter().enumerate().filter(|(_, broken)| **broken).take(room) {
            self.offences.push(Offence { row: self.rows + row, said: complaints(rows, row, &self.rules)? });
        }
        self.rows += rows.num_rows();
        Ok(())
    }

    /// How many rows were judged so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The first rows so far that break a rule; each one's place is that among all rows.
    pub fn offences(&self) -> &[Offence] {
        &self.offences
    }

    /// What the rules say of all rows.
    pub fn verdict(self) -> Verdict {
        let Judge { rules, rows, rejected, counts, .. } = self;
        if rejected == 0 {
            return Verdict::Passed { rejected: 0, remark: String::new() };
        }
        let mut broken = Vec::new();
        for (rule, counts) in rules.rows.iter().zip(&counts) {
            for (test, count) in tests_of(rule).iter().zip(counts).filter(|(_, count)| **count > 0) {
                broken.push(format!("`{}` {} in {count}", rule.column, test.words()));
            }
        }
        let remark = format!("{rejected} of {rows} rows break a rule: {}", broken.join(", "));
        // One division: a share that is written in decimals equals the quotient that it means.
        if rejected as f64 / rows as f64 <= rules.max_reject_share {
            return Verdict::Passed { rejected, remark };
        }
        let reason = match rules.max_reject_share {
            0.0 => remark,
            share => format!("{remark}; no more than {} % may", (share * 1e8).round() / 1e6),
        };
        Verdict::Broken { reason }
    }
}

/// Everything that is wrong with one row.
fn complaints(rows: &RecordBatch, row: usize, rules: &Quality) -> Result<String> {
    let mut said = Vec::new();
    for rule in &rules.rows {
        let column = column(rows, rule)?;
        for test in tests_of(rule) {
            if !test.holds(column, row)? {
                said.push(format!("{} {}", rule.column, test.complaint(column, row)?));
            }
        }
    }
    Ok(said.join(", "))
}

fn column<'a>(rows: &'a RecordBatch, rule: &RowRules) -> Result<&'a ArrayRef> {
    let column = rows.column_by_name(&rule.column);
    column.ok_or_else(|| Error::internal(format!("there is no column `{}` to judge", rule.column)))
}

/// One test of one value.
enum Test<'a> {
    NotNull,
    AtLeast(&'a str, LimitValue),
    AtMost(&'a str, LimitValue),
}

fn tests_of(rule: &RowRules) -> Vec<Test<'_>> {
    let mut tests = Vec::new();
    if rule.not_null {
        tests.push(Test::NotNull);
    }
    tests.extend(rule.min.as_ref().map(|limit| Test::AtLeast(&limit.text, limit.value)));
    tests.extend(rule.max.as_ref().map(|limit| Test::AtMost(&limit.text, limit.value)));
    tests
}

impl Test<'_> {
    fn holds(&self, column: &ArrayRef, row: usize) -> Result<bool> {
        if column.is_null(row) {
            return Ok(!matches!(self, Test::NotNull));
        }
        Ok(match self {
            Test::NotNull => true,
            // A float that is no number is within no limits.
            Test::AtLeast(_, limit) => {
                matches!(compare(column, row, limit)?, Some(Ordering::Equal | Ordering::Greater))
            }
            Test::AtMost(_, limit) => matches!(compare(column, row, limit)?, Some(Ordering::Equal | Ordering::Less)),
        })
    }

    /// What is wrong with many values.
    fn words(&self) -> String {
        match self {
            Test::NotNull => "is not there".to_owned(),
            Test::AtLeast(limit, _) => format!("is below {limit}"),
            Test::AtMost(limit, _) => format!("is above {limit}"),
        }
    }

    /// What is wrong with one.
    fn complaint(&self, column: &ArrayRef, row: usize) -> Result<String> {
        if matches!(self, Test::NotNull) {
            return Ok(self.words());
        }
        Ok(format!("{} {}", value_text(column, row)?, self.words()))
    }
}

/// How a value that is there stands to a limit; `None` where it is no number.
fn compare(column: &ArrayRef, row: usize, limit: &LimitValue) -> Result<Option<Ordering>> {
    let other = || Error::internal(format!("a column of {} cannot be compared with {limit:?}", column.data_type()));
    Ok(match limit {
        LimitValue::Int(limit) => {
            let column = column.as_primitive_opt::<Int64Type>().ok_or_else(other)?;
            Some(column.value(row).cmp(limit))
        }
        LimitValue::Decimal(limit) => {
            let column = column.as_primitive_opt::<Decimal128Type>().ok_or_else(other)?;
            Some(column.value(row).cmp(limit))
        }
        LimitValue::Float(limit) => {
            let column = column.as_primitive_opt::<Float64Type>().ok_or_else(other)?;
            column.value(row).partial_cmp(limit)
        }
        LimitValue::Moment(limit) => {
            let column = column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(other)?;
            Some(column.value(row).cmp(&limit.timestamp_micros()))
        }
    })
}

#[cfg(test)]
mod tests;
