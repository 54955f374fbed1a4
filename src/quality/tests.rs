use std::sync::Arc;

use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use proptest::prelude::*;

use super::*;
use crate::pipeline::Limit;

fn batch(name: &str, column: ArrayRef) -> RecordBatch {
    let schema = Schema::new(vec![Field::new(name, column.data_type().clone(), true)]);
    RecordBatch::try_new(Arc::new(schema), vec![column]).expect("rows")
}

fn limit(text: &str, value: LimitValue) -> Option<Limit> {
    Some(Limit { text: text.to_owned(), value })
}

fn rules(column: &str, not_null: bool, min: Option<Limit>, max: Option<Limit>) -> Quality {
    let rows = vec![RowRules { column: column.to_owned(), not_null, min, max }];
    Quality { max_reject_share: 0.0, rows, not_falling: Arc::default() }
}

fn broken(rows: &RecordBatch, rules: &Quality) -> Vec<usize> {
    let mut judge = Judge::new(rules);
    judge.add(rows).expect("judged");
    judge.offences().iter().map(|offence| offence.row).collect()
}

#[test]
fn a_breach_says_what_how_often_and_where() {
    let rows = batch("clicks", Arc::new(Int64Array::from(vec![Some(1), None, Some(-3), Some(12), Some(10)])));
    let zero_to_ten = (limit("0", LimitValue::Int(0)), limit("10", LimitValue::Int(10)));
    let mut rules = rules("clicks", true, zero_to_ten.0, zero_to_ten.1);
    let Verdict::Broken { reason } = judge(&rows, &rules).expect("judged") else { panic!("three rows break a rule") };
    insta::assert_snapshot!(reason, @"3 of 5 rows break a rule: `clicks` is not there in 1, `clicks` is below 0 in 1, `clicks` is above 10 in 1");
    // In one go or row by row: a row's place is that among all.
    let mut judge = Judge::new(&rules);
    (0..rows.num_rows()).for_each(|row| judge.add(&rows.slice(row, 1)).expect("judged"));
    let offences: Vec<String> = judge.offences().iter().map(|found| format!("{}: {}", found.row, found.said)).collect();
    assert_eq!(judge.verdict(), Verdict::Broken { reason });
    insta::assert_snapshot!(offences.join("\n"), @r"
    1: clicks is not there
    2: clicks -3 is below 0
    3: clicks 12 is above 10
    ");
    rules.max_reject_share = 0.59;
    let Verdict::Broken { reason } = self::judge(&rows, &rules).expect("judged") else { panic!("more than may") };
    assert!(reason.ends_with("; no more than 59 % may"), "{reason}");
    rules.max_reject_share = 0.6;
    let Verdict::Passed { rejected, remark } = self::judge(&rows, &rules).expect("judged") else {
        panic!("just as many")
    };
    assert_eq!(rejected, 3);
    assert!(remark.starts_with("3 of 5 rows break a rule: "), "{remark}");
}

#[test]
fn no_rows_and_no_rules_pass() {
    let nothing = Verdict::Passed { rejected: 0, remark: String::new() };
    let rows = batch("clicks", Arc::new(Int64Array::from(vec![None, Some(1)])));
    assert_eq!(judge(&rows, &Quality::default()).expect("judged"), nothing);
    let strict = rules("clicks", true, None, None);
    assert_eq!(judge(&rows.slice(1, 1), &strict).expect("judged"), nothing);
    assert_eq!(judge(&rows.slice(0, 0), &strict).expect("judged"), nothing);
}

#[test]
fn a_row_counts_once_and_nulls_are_within_limits() {
    let rows = batch("clicks", Arc::new(Int64Array::from(vec![Some(5), None])));
    let both = rules("clicks", false, limit("6", LimitValue::Int(6)), limit("4", LimitValue::Int(4)));
    assert_eq!(broken(&rows, &both), [0]);
}

#[test]
fn texts_floats_and_moments() {
    let texts = batch("name", Arc::new(StringArray::from(vec![Some("a"), None])));
    assert_eq!(broken(&texts, &rules("name", true, None, None)), [1]);
    let floats = batch("rate", Arc::new(Float64Array::from(vec![0.5, f64::NAN, 0.500_000_000_000_000_1, -0.0])));
    let half = rules("rate", false, limit("0", LimitValue::Float(0.0)), limit("0.5", LimitValue::Float(0.5)));
    assert_eq!(broken(&floats, &half), [1, 2]);
    let moments = TimestampMicrosecondArray::from(vec![999_999, 1_000_000]).with_timezone("UTC");
    let second = limit("1", LimitValue::Moment(chrono::DateTime::from_timestamp(1, 0).expect("a moment")));
    assert_eq!(broken(&batch("at", Arc::new(moments)), &rules("at", false, second, None)), [0]);
    let wrong = rules("rate", false, limit("1", LimitValue::Int(1)), None);
    assert_eq!(judge(&floats, &wrong).expect_err("another type").kind(), crate::error::ErrorKind::Internal);
}

proptest! {
    #[test]
    fn whole_numbers_are_judged_exactly(limit_at: i64, near in -2i64..=2, any: i64) {
        for value in [limit_at.saturating_add(near), any] {
            let rows = batch("clicks", Arc::new(Int64Array::from(vec![value])));
            let least = rules("clicks", false, limit("", LimitValue::Int(limit_at)), None);
            prop_assert_eq!(broken(&rows, &least).len(), usize::from(value < limit_at));
            let most = rules("clicks", false, None, limit("", LimitValue::Int(limit_at)));
            prop_assert_eq!(broken(&rows, &most).len(), usize::from(value > limit_at));
        }
    }

    #[test]
    fn decimals_are_judged_exactly(limit_at in -10i128.pow(37)..10i128.pow(37), near in -2i128..=2) {
        let value = limit_at + near;
        let column = Decimal128Array::from(vec![value]).with_precision_and_scale(38, 6).expect("a decimal");
        let rows = batch("spend", Arc::new(column));
        let least = rules("spend", false, limit("", LimitValue::Decimal(limit_at)), None);
        prop_assert_eq!(broken(&rows, &least).len(), usize::from(near < 0));
        let most = rules("spend", false, None, limit("", LimitValue::Decimal(limit_at)));
        prop_assert_eq!(broken(&rows, &most).len(), usize::from(near > 0));
    }

    /// A share of hundredths allows just so many rows of a hundred.
    #[test]
    fn shares_are_exact(hundredths in 0u32..=100, bad in 0usize..=100) {
        let values: Vec<Option<i64>> = (0..100).map(|row| (row >= bad).then_some(1)).collect();
        let rows = batch("clicks", Arc::new(Int64Array::from(values)));
        let share: f64 = format!("{}.{:02}", hundredths / 100, hundredths % 100).parse().expect("a share");
        let rules = Quality { max_reject_share: share, ..rules("clicks", true, None, None) };
        let passed = matches!(judge(&rows, &rules).expect("judged"), Verdict::Passed { .. });
        prop_assert_eq!(passed, bad <= hundredths as usize);
    }
}
