//! What each claim does to a key, and what is told of it.

use std::collections::BTreeMap;

use arrow::array::{Array, BooleanArray, Decimal128Array, Float64Array, Int8Array, Int16Array, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::UInt32Type;
use proptest::prelude::*;

use super::*;
use crate::time::slot;

/// campaign, metric, old, new, change, minute seen, minute seen before, claim
type Told = (String, String, Option<String>, Option<String>, String, i64, Option<i64>, u32);

fn told(events: Option<&RecordBatch>) -> Vec<Told> {
    let Some(events) = events else { return Vec::new() };
    let text = |name: &str, row: usize| {
        let column = events.column_by_name(name).expect("a column").as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let minutes = |name: &str, row: usize| {
        let column = events.column_by_name(name).expect("a column").as_primitive::<TimestampMicrosecondType>();
        column.is_valid(row).then(|| (column.value(row) - hour().timestamp_micros()) / 60_000_000)
    };
    let claims = events.column_by_name("claim").expect("a column").as_primitive::<UInt32Type>();
    let all = (0..events.num_rows()).map(|row| {
        (
            text("campaign_id", row).expect("a campaign"),
            text("metric", row).expect("a metric"),
            text("old", row),
            text("new", row),
            text("change", row).expect("a change"),
            minutes("seen_at", row).expect("a moment"),
            minutes("old_seen_at", row),
            claims.value(row),
        )
    });
    all.collect()
}

fn fold(old: &[Plain], slices: &[(Claim, Vec<Plain>)], read_before: &ReadBefore) -> HourMerge {
    let claims = Claims::new(slices.iter().map(|(claim, _)| claim.clone()).collect());
    let mut arrivals = Vec::new();
    for (claim, (_, brought)) in slices.iter().enumerate() {
        if !brought.is_empty() {
            arrivals.push(Arrival { claim, rows: rows(brought) });
        }
    }
    let mut tallies = vec![Tally::default(); slices.len()];
    merge_hour(&shape(), hour(), Some(&rows(old)), &arrivals, &claims, read_before, &mut tallies).expect("merged")
}

/// The hour of account `a` had been read.
fn read() -> ReadBefore {
    let mut read = ReadBefore::default();
    read.insert("a", slot(hour()));
    read
}

fn event(campaign: &str, old: Option<&str>, new: Option<&str>, change: Change, seen: (i64, Option<i64>)) -> Told {
    let metric = if change == Change::Kept { "" } else { "clicks" };
    let (old, new) = (old.map(str::to_owned), new.map(str::to_owned));
    (campaign.into(), metric.into(), old, new, change.word().into(), seen.0, seen.1, 0)
}

#[test]
fn every_step_is_told_with_its_values_and_moments() {
    let old = [("a", "1", 10, 0), ("a", "2", 20, 1), ("a", "4", 40, 2), ("b", "1", 5, 0)];
    let brought = vec![("a", "1", 11, 90), ("a", "3", 30, 90), ("a", "4", 40, 90)];
    let merged = fold(&old, &[(claim(90, &["a"], DROP), brought.clone())], &read());
    let expected = [
        event("1", Some("10"), Some("11"), Change::Changed, (90, Some(0))),
        event("2", Some("20"), None, Change::Removed, (90, Some(1))),
        event("3", None, Some("30"), Change::Added, (90, None)),
    ];
    assert_eq!(told(merged.events.as_ref()), expected);
    assert!(merged.untraced.is_empty());
    let events = merged.events.expect("events");
    let ages = events.column_by_name("age_seconds").expect("ages").as_primitive::<Int64Type>();
    assert_eq!(ages.values(), &[1800; 3], "half an hour after the hour's end");

    // A first reading is no restatement, and a row that is kept is told without values.
    let merged = fold(&old, &[(claim(90, &["a"], Missing::Keep), brought)], &ReadBefore::default());
    let expected = [
        event("1", Some("10"), Some("11"), Change::Changed, (90, Some(0))),
        event("2", None, None, Change::Kept, (90, Some(1))),
    ];
    assert_eq!(told(merged.events.as_ref()), expected);
    assert_eq!((merged.added, merged.changed, merged.removed), (1, 1, 0));
    assert_eq!(merged.untraced.into_iter().collect::<Vec<_>>(), [0]);
    assert_eq!(*merged.events.expect("events").schema(), *event_schema(&shape()));
}

#[test]
fn an_earlier_slice_of_the_same_publish_counts_as_read_and_keeps_its_moment() {
    let slices = [
        (claim(3, &["a"], DROP), vec![("a", "1", 1, 3)]),
        (claim(4, &["a"], DROP), vec![("a", "1", 1, 4), ("a", "2", 2, 4)]),
        (claim(5, &["a"], DROP), vec![("a", "1", 1, 5)]),
        (claim(6, &["a"], DROP), vec![("a", "1", 9, 6), ("a", "2", 2, 6)]),
    ];
    let merged = fold(&[], &slices[..2], &ReadBefore::default());
    assert_eq!(merged.rows.as_ref().map(plain), owned(&[("a", "1", 1, 3), ("a", "2", 2, 4)]), "the first moment");
    assert_eq!(told(merged.events.as_ref()).len(), 1, "only what was late");
    let merged = fold(&[], &slices[..3], &ReadBefore::default());
    assert_eq!(merged.rows.as_ref().map(plain), owned(&[("a", "1", 1, 3)]));
    let changes: Vec<(String, u32)> = told(merged.events.as_ref()).into_iter().map(|told| (told.4, told.7)).collect();
    assert_eq!(changes, [("added".to_owned(), 1), ("removed".to_owned(), 2)]);
    assert_eq!(merged.untraced.into_iter().collect::<Vec<_>>(), [1, 2], "nothing shows that it was there");
    let merged = fold(&[], &slices, &ReadBefore::default());
    assert_eq!(merged.rows.as_ref().map(plain), owned(&[("a", "1", 9, 6), ("a", "2", 2, 6)]));
    assert!(merged.untraced.is_empty());
}

#[test]
fn slices_of_one_moment_merged_again_tell_nothing() {
    let mut slices = [(claim(3, &["a"], DROP), vec![]), (claim(3, &["a"], DROP), vec![])];
    slices[1].0.key = UnitKey::from_stored("another");
    slices.sort_by_key(|slice| slice.0.key.digest());
    slices[0].1 = vec![("a", "1", 1, 3)];
    slices[1].1 = vec![("a", "1", 2, 3)];
    let first = fold(&[], &slices, &ReadBefore::default());
    assert_eq!(first.rows.as_ref().map(plain), owned(&[("a", "1", 2, 3)]));
    let again = fold(&[("a", "1", 2, 3)], &slices, &read());
    assert!(again.rows.is_none() && again.events.is_none(), "{:?}", told(again.events.as_ref()));
}

/// Columns of every type with the values that are most easily lost.
fn delicate() -> Vec<ArrayRef> {
    let moments = || vec![i64::from(i32::MAX) * 1_000_003, -1, 0, 1_763_625_600_000_000];
    let decimals = Decimal128Array::from(vec![10_i128.pow(37), -1, 0, 123_456_789]);
    vec![
        Arc::new(Float64Array::from(vec![0.1 + 0.2, -0.0, 5e-324, f64::MAX])),
        Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, 0, 9_007_199_254_740_993])),
        Arc::new(Int16Array::from(vec![i16::MIN, 345, 0, 1])),
        Arc::new(Int8Array::from(vec![i8::MIN, 2, 1, 0])),
        Arc::new(decimals.with_precision_and_scale(38, 6).expect("decimals")),
        Arc::new(BooleanArray::from(vec![true, false, true, false])),
        Arc::new(StringArray::from(vec!["", "a,\"b\"", "ü", "null"])),
        Arc::new(TimestampMicrosecondArray::from(moments()).with_timezone("UTC")),
        Arc::new(TimestampMicrosecondArray::from(moments())),
    ]
}

/// The events of removing four rows with `columns` beside their keys.
fn removed(columns: &[ArrayRef]) -> RecordBatch {
    let mut fields = shape().schema().fields()[..3].to_vec();
    for (index, column) in columns.iter().enumerate() {
        fields.push(Arc::new(Field::new(format!("m{index}"), column.data_type().clone(), true)));
    }
    let key = ["hour", "account_id", "campaign_id"].map(str::to_owned);
    let shape = Shape::new(Arc::new(Schema::new(fields)), &key).expect("a shape");
    let keys = rows(&[("a", "1", 0, 0), ("a", "2", 0, 0), ("a", "3", 0, 0), ("a", "4", 0, 0)]);
    let all: Vec<ArrayRef> = keys.columns()[..3].iter().chain(columns).cloned().collect();
    let old = RecordBatch::try_new(shape.schema().clone(), all).expect("rows");
    let claims = Claims::new(vec![claim(5, &["a"], DROP)]);
    let mut tallies = [Tally::default()];
    let merged = merge_hour(&shape, hour(), Some(&old), &[], &claims, &read(), &mut tallies).expect("merged");
    merged.events.expect("events")
}

#[test]
fn texts_give_the_values_back() {
    let columns = delicate();
    let events = removed(&columns);
    assert_eq!(events.num_rows(), 4 * columns.len());
    let texts = events.column_by_name("old").expect("old");
    for (index, column) in columns.iter().enumerate() {
        let places = (0..4).map(|row| row * columns.len() as u32 + index as u32);
        let text = take(texts, &UInt32Array::from_iter_values(places), None).expect("taken");
        let back = match column.data_type() {
            // Without time zone data, text is read as a moment by its offset.
            DataType::Timestamp(unit, Some(_)) => {
                let back = cast(&text, &DataType::Timestamp(*unit, Some("+00:00".into()))).expect("a cast");
                let moments = back.as_primitive::<TimestampMicrosecondType>().clone();
                Arc::new(moments.with_timezone("UTC")) as ArrayRef
            }
            other => cast(&text, other).expect("a cast"),
        };
        assert_eq!(&back, column, "{}", column.data_type());
    }
}

#[test]
fn a_row_without_any_value_is_told_once() {
    let nothing: ArrayRef = Arc::new(Int64Array::from(vec![None, None, None, None]));
    let events = removed(&[nothing]);
    let told = told(Some(&events));
    assert_eq!((told.len(), told[0].4.as_str(), told[0].1.as_str()), (4, "removed", ""));
}

/// A slice: whether it drops, and a value for each of four campaigns, where it brings one.
type Drawn = (bool, [Option<i64>; 4]);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let values = prop::array::uniform4(prop::option::of(0i64..3));
    prop::collection::vec((any::<bool>(), values), 1..7)
}

const CAMPAIGNS: [&str; 4] = ["1", "2", "3", "4"];

fn slices_of(drawn: &[Drawn]) -> Vec<(Claim, Vec<Plain>)> {
    let mut slices = Vec::new();
    for (index, (drops, values)) in drawn.iter().enumerate() {
        let minute = 10 + index as i64;
        let missing = if *drops { DROP } else { Missing::Keep };
        let brought = CAMPAIGNS.iter().zip(values).filter_map(|(id, value)| Some(("a", *id, (*value)?, minute)));
        slices.push((claim(minute, &["a"], missing), brought.collect()));
    }
    slices
}

fn borrowed(held: &[Owned]) -> Vec<Plain> {
    let campaign = |id: &str| CAMPAIGNS.iter().find(|known| **known == id).copied().expect("a campaign");
    held.iter().map(|row| ("a", campaign(&row.1), row.2, row.3)).collect()
}

fn held(merged: &HourMerge) -> Vec<Owned> {
    merged.rows.as_ref().map(plain).unwrap_or_default()
}

/// Without the claim, whose place depends on what is merged at once.
fn unplaced(events: Option<&RecordBatch>) -> Vec<Told> {
    told(events).into_iter().map(|told| (told.0, told.1, told.2, told.3, told.4, told.5, told.6, 0)).collect()
}

proptest! {
    #[test]
    fn any_grouping_gives_the_same_rows_and_events(drawn in drawn(), cuts in prop::collection::vec(any::<bool>(), 7)) {
        let slices = slices_of(&drawn);
        let once = fold(&[], &slices, &ReadBefore::default());
        let (mut rows, mut events, mut read_before) = (Vec::new(), Vec::new(), ReadBefore::default());
        let mut begin = 0;
        for end in 1..=slices.len() {
            if end < slices.len() && !cuts[end] {
                continue;
            }
            let merged = fold(&borrowed(&rows), &slices[begin..end], &read_before);
            if merged.rows.is_some() {
                rows = held(&merged);
            }
            events.extend(unplaced(merged.events.as_ref()));
            read_before = read();
            begin = end;
        }
        prop_assert_eq!(rows, held(&once));
        // By key, then by moment, as one publish tells them.
        events.sort_by(|one, other| (&one.0, one.5).cmp(&(&other.0, other.5)));
        prop_assert_eq!(events, unplaced(once.events.as_ref()));
    }

    #[test]
    fn what_is_merged_again_tells_only_what_is_listed(drawn in drawn()) {
        let slices = slices_of(&drawn);
        let first = fold(&[], &slices, &ReadBefore::default());
        let again = fold(&borrowed(&held(&first)), &slices, &ReadBefore::default());
        prop_assert!(again.rows.is_none(), "rows changed");
        for told in told(again.events.as_ref()) {
            prop_assert!(first.untraced.contains(&(told.7 as usize)), "{:?} is not listed", told);
        }
    }

    #[test]
    fn events_lead_from_the_first_reading_to_the_rows(drawn in drawn()) {
        let slices = slices_of(&drawn);
        let merged = fold(&[], &slices, &ReadBefore::default());
        let first = held(&fold(&[], &slices[..1], &ReadBefore::default()));
        let mut values: BTreeMap<String, i64> = first.into_iter().map(|row| (row.1, row.2)).collect();
        for (campaign, metric, old, new, ..) in told(merged.events.as_ref()) {
            if metric.is_empty() {
                prop_assert!(values.contains_key(&campaign), "{} is kept and was not there", campaign);
                continue;
            }
            prop_assert_eq!(values.get(&campaign).map(i64::to_string), old);
            match new {
                Some(new) => drop(values.insert(campaign, new.parse().expect("a number"))),
                None => drop(values.remove(&campaign)),
            }
        }
        let found: Vec<(String, i64)> = held(&merged).into_iter().map(|row| (row.1, row.2)).collect();
        prop_assert_eq!(values.into_iter().collect::<Vec<_>>(), found);
    }
}
