use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};

use super::*;
use crate::error::ErrorKind;
use crate::pipeline::Missing;
use crate::pipeline::schema::instant_type;
use crate::time::Window;
use crate::unit::UnitKey;

mod folding;
mod versions;

/// account, campaign, clicks, minute in which it was first seen
type Plain = (&'static str, &'static str, i64, i64);

fn shape() -> Shape {
    let schema = Schema::new(vec![
        Field::new("account_id", DataType::Utf8, false),
        Field::new("campaign_id", DataType::Utf8, false),
        Field::new("hour", instant_type(), false),
        Field::new("clicks", DataType::Int64, true),
        Field::new("seen_at", instant_type(), false),
    ]);
    Shape::new(Arc::new(schema), &["hour", "account_id", "campaign_id"].map(str::to_owned)).expect("a shape")
}

fn hour() -> Instant {
    "2026-11-20T05:00:00Z".parse().expect("an instant")
}

fn minute(minute: i64) -> Instant {
    hour() + chrono::Duration::minutes(minute)
}

fn rows(plain: &[Plain]) -> RecordBatch {
    let instants = |values: Vec<Instant>| -> ArrayRef {
        let micros = values.iter().map(Instant::timestamp_micros);
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(plain.iter().map(|row| row.0))),
        Arc::new(StringArray::from_iter_values(plain.iter().map(|row| row.1))),
        instants(vec![hour(); plain.len()]),
        Arc::new(Int64Array::from_iter_values(plain.iter().map(|row| row.2))),
        instants(plain.iter().map(|row| minute(row.3)).collect()),
    ];
    RecordBatch::try_new(shape().schema().clone(), columns).expect("rows")
}

type Owned = (String, String, i64, i64);

fn plain(rows: &RecordBatch) -> Vec<Owned> {
    let text = |column: usize, row: usize| rows.column(column).as_string::<i32>().value(row).to_owned();
    let seen = rows.column(4).as_primitive::<TimestampMicrosecondType>();
    let clicks = rows.column(3).as_primitive::<Int64Type>();
    let seen = |row: usize| (seen.value(row) - hour().timestamp_micros()) / 60_000_000;
    (0..rows.num_rows()).map(|row| (text(0, row), text(1, row), clicks.value(row), seen(row))).collect()
}

fn claim(fetched: i64, accounts: &[&str], missing: Missing) -> Claim {
    Claim {
        key: UnitKey::from_stored(format!("unit-{fetched}")),
        fetched_at: minute(fetched),
        accounts: accounts.iter().map(|id| (*id).to_owned()).collect(),
        window: Window::new(hour(), minute(60)).expect("a window"),
        missing,
    }
}

/// Merges slices, given as claim and rows in the order of the claims.
fn merge(old: &[Plain], slices: &[(Claim, &[Plain])]) -> (Option<Vec<Owned>>, HourMerge, Vec<Tally>) {
    let shape = shape();
    let claims = Claims::new(slices.iter().map(|(claim, _)| claim.clone()).collect());
    let arrivals: Vec<Arrival> = slices
        .iter()
        .enumerate()
        .filter(|(_, (_, brought))| !brought.is_empty())
        .map(|(claim, (_, brought))| Arrival { claim, rows: rows(brought) })
        .collect();
    let mut tallies = vec![Tally::default(); slices.len()];
    let old = rows(old);
    let read = ReadBefore::default();
    let merged = merge_hour(&shape, hour(), Some(&old), &arrivals, &claims, &read, &mut tallies).expect("merged");
    (merged.rows.as_ref().map(plain), merged, tallies)
}

fn owned(plain: &[Plain]) -> Option<Vec<Owned>> {
    Some(plain.iter().map(|row| (row.0.to_owned(), row.1.to_owned(), row.2, row.3)).collect())
}

const DROP: Missing = Missing::Drop { max_share: 1.0 };

#[test]
fn equal_values_keep_the_old_row_and_others_replace_it() {
    let old = [("a", "1", 10, 0), ("a", "2", 20, 0)];
    let (found, merged, _) = merge(&old, &[(claim(5, &["a"], DROP), &[("a", "1", 10, 5), ("a", "2", 20, 5)])]);
    assert_eq!((found, merged.changed), (None, 0));
    let (found, merged, _) = merge(&old, &[(claim(5, &["a"], DROP), &[("a", "1", 10, 5), ("a", "2", 21, 5)])]);
    assert_eq!(found, owned(&[("a", "1", 10, 0), ("a", "2", 21, 5)]));
    assert_eq!((merged.added, merged.changed, merged.removed), (0, 1, 0));
    assert_eq!(merged.accounts_changed, ["a"]);
}

#[test]
fn of_several_slices_the_newest_wins_and_the_newest_drop_counts() {
    let old = [("a", "1", 10, 0), ("a", "2", 20, 0), ("b", "1", 5, 0)];
    let first: &[Plain] = &[("a", "1", 11, 3), ("a", "3", 30, 3)];
    let second: &[Plain] = &[("a", "1", 12, 4)];
    // The second does not bring campaigns 2 and 3 of `a`; `b` was not asked for.
    let (found, merged, tallies) = merge(&old, &[(claim(3, &["a"], DROP), first), (claim(4, &["a"], DROP), second)]);
    assert_eq!(found, owned(&[("a", "1", 12, 4), ("b", "1", 5, 0)]));
    assert_eq!((merged.added, merged.changed, merged.removed), (0, 1, 1));
    assert_eq!(tallies[0], Tally { brought: 2, held: 2, gone: 1 });
    assert_eq!(tallies[1], Tally { brought: 1, held: 2, gone: 1 });
    let keep = Missing::Keep;
    let (found, ..) = merge(&old, &[(claim(3, &["a"], DROP), first), (claim(4, &["a"], keep), second)]);
    assert_eq!(found, owned(&[("a", "1", 12, 4), ("a", "3", 30, 3), ("b", "1", 5, 0)]));
}

#[test]
fn slices_of_one_moment_are_ordered_by_their_digests() {
    let claims = |order: [usize; 2]| {
        let mut both = [claim(3, &["a"], DROP), claim(3, &["a"], DROP)];
        both[1].key = UnitKey::from_stored("another");
        Claims::new(order.map(|index| both[index].clone()).into())
    };
    assert_eq!(claims([0, 1]).list(), claims([1, 0]).list());
    let digests: Vec<String> = claims([0, 1]).list().iter().map(|claim| claim.key.digest()).collect();
    assert!(digests[0] < digests[1]);
}

#[test]
fn what_was_seen_after_a_slice_was_fetched_stays() {
    let old = [("a", "1", 10, 30), ("a", "2", 20, 0)];
    let (found, merged, tallies) = merge(&old, &[(claim(10, &["a"], DROP), &[("a", "2", 22, 10)])]);
    assert_eq!(found, owned(&[("a", "1", 10, 30), ("a", "2", 22, 10)]));
    assert_eq!((merged.changed, merged.removed, tallies[0].gone), (1, 0, 0));
    let (found, ..) = merge(&old, &[(claim(10, &["a"], DROP), &[("a", "1", 9, 10), ("a", "2", 20, 10)])]);
    assert_eq!(found, None);
}

#[test]
fn the_guard_asks_for_a_total_only_where_it_matters() {
    let claim = claim(1, &["a"], Missing::Drop { max_share: 0.1 });
    let tally = |brought, held, gone| Tally { brought, held, gone };
    assert_eq!(guard(&claim, &tally(90, 100, 10), None), Guard::Pass);
    assert_eq!(guard(&claim, &tally(89, 100, 11), None), Guard::NeedsTotal);
    assert_eq!(guard(&claim, &tally(89, 100, 11), Some(110)), Guard::Pass);
    assert!(matches!(guard(&claim, &tally(89, 100, 11), Some(109)), Guard::Refuse(_)));
    assert!(matches!(guard(&claim, &tally(0, 2, 2), Some(1_000)), Guard::Refuse(_)));
    assert_eq!(guard(&claim, &tally(0, 1, 1), Some(1_000)), Guard::Pass);
    assert!(matches!(guard(&claim, &tally(0, 1, 1), Some(9)), Guard::Refuse(_)));
    assert_eq!(guard(&claim, &tally(0, 0, 0), None), Guard::Pass);
    let keep = Claim { missing: Missing::Keep, ..claim.clone() };
    assert_eq!(guard(&keep, &tally(0, 9, 9), None), Guard::Pass);
    let all = Claim { missing: DROP, ..claim };
    assert_eq!(guard(&all, &tally(0, 9, 9), None), Guard::Pass);
}

fn sorted(rows: &RecordBatch, page_starts: &[usize]) -> (RecordBatch, u64) {
    match shape().sort_unique(rows.clone(), page_starts).expect("sorted") {
        Sorted::Unique { rows, doubles } => (rows, doubles),
        Sorted::Undeclared(undeclared) => panic!("{undeclared}"),
    }
}

fn undeclared(rows: &RecordBatch, page_starts: &[usize]) -> Undeclared {
    match shape().sort_unique(rows.clone(), page_starts).expect("sorted") {
        Sorted::Unique { rows, .. } => panic!("{rows:?}"),
        Sorted::Undeclared(undeclared) => undeclared,
    }
}

#[test]
fn sorting_keeps_the_later_of_two_rows_of_two_pages() {
    let (sorted, doubles) = sorted(&rows(&[("b", "1", 1, 0), ("a", "1", 2, 0), ("b", "1", 3, 0)]), &[0, 2]);
    assert_eq!((Some(plain(&sorted)), doubles), (owned(&[("a", "1", 2, 0), ("b", "1", 3, 0)]), 1));
    let hours = shape().hours(&sorted).expect("hours");
    assert_eq!(hours, [(hour(), 0..2)]);
}

#[test]
fn two_different_rows_of_one_page_are_shown() {
    let found = rows(&[("b", "1", 1, 0), ("a", "1", 2, 0), ("b", "1", 3, 0)]);
    for page_starts in [&[0][..], &[], &[0, 3], &[0, 0, 3, 3]] {
        let undeclared = undeclared(&found, page_starts);
        insta::allow_duplicates! {
            insta::assert_snapshot!(undeclared, @"two rows of one response have the key account b, campaign 1, hour 2026-11-20T05:00Z and differ: clicks 1 and 3");
        }
    }
    let fields = ["device", "placement"].map(str::to_owned).into();
    insta::assert_snapshot!(undeclared(&found, &[0]).reason(&fields), @"two rows of one response have the key account b, campaign 1, hour 2026-11-20T05:00Z and differ: clicks 1 and 3: something that is not in the key sets them apart; declare it as a column and name it in `key` (fields that no column names: device, placement)");
    // Two pages that each end well, and a third with two versions of what both had.
    let more = rows(&[("b", "1", 1, 0), ("b", "1", 3, 0), ("b", "1", 3, 0), ("b", "1", 4, 0)]);
    assert_eq!(undeclared(&more, &[0, 1, 2]).differing, [("clicks".to_owned(), "3".to_owned(), "4".to_owned())]);
}

#[test]
fn equal_rows_of_one_page_are_doubles() {
    // `seen_at` says when a row came, not what it is.
    let (sorted, doubles) = sorted(&rows(&[("b", "1", 1, 0), ("b", "1", 1, 5), ("b", "1", 1, 0)]), &[0]);
    assert_eq!((plain(&sorted).len(), doubles), (1, 2));
}

/// What of a slice fetched in minute 100 fell against the lake's `old` rows.
fn fallen(old: &[Plain], new: &[Plain]) -> Fallen {
    let claim = claim(100, &["a", "b"], Missing::Keep);
    let arrival = Arrival { claim: 0, rows: rows(new) };
    let mut fallen = Fallen::default();
    let columns = ["clicks".to_owned()];
    find_fallen(&shape(), &rows(old), &arrival, &claim, &columns, &mut fallen).expect("compared");
    fallen
}

#[test]
fn only_what_is_smaller_than_before_has_fallen() {
    let old = [("a", "1", 10, 0), ("a", "2", 10, 0), ("b", "1", 10, 0)];
    let nothing = Fallen::default();
    assert_eq!(fallen(&old, &old), nothing);
    assert_eq!(fallen(&old, &[("a", "1", 11, 0), ("b", "2", 0, 0)]), nothing, "a new key has nothing to fall from");
    assert_eq!(fallen(&old, &[]), nothing, "what is not brought again is the guard's matter");
    let two = fallen(&old, &[("a", "0", 1, 0), ("a", "1", 9, 0), ("a", "2", 10, 0), ("b", "1", -1, 0)]);
    assert_eq!(two.rows, 2);
    insta::assert_snapshot!(two.told.join("\n"), @r"
    account a, campaign 1, hour 2026-11-20T05:00Z: clicks fell from 10 to 9
    account b, campaign 1, hour 2026-11-20T05:00Z: clicks fell from 10 to -1
    ");
    assert_eq!(fallen(&[("a", "1", 10, 101)], &[("a", "1", 9, 0)]), nothing, "the lake has seen it later");
}

#[test]
fn a_key_that_does_not_fit_is_refused() {
    let schema = shape().schema().clone();
    for (key, said) in [
        (vec!["account_id", "hour"], "a key begins with `hour, account_id`, found `account_id, hour`"),
        (vec!["hour", "account_id", "ad_id"], "the key column `ad_id` is not in the schema"),
    ] {
        let key: Vec<String> = key.into_iter().map(str::to_owned).collect();
        let error = Shape::new(schema.clone(), &key).expect_err("refused");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::BadInput, said));
    }
}
