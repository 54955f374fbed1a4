//! What is done with a column's value before it is kept: rounded, cut out of a longer text, counted in another unit.

use std::borrow::Cow;

use super::cell::{self, Scalar, Value};
use crate::pipeline::{ColumnKind, Manner};

/// Cents in a whole unit.
const CENTS: i128 = 100;
/// A column of cents has 20 digits.
const MOST_CENTS: i128 = 10i128.pow(20);

/// A scalar as a value of `kind`, in this `manner`; `Err` says what was expected.
pub(super) fn read<'a>(kind: ColumnKind, manner: &Manner, scalar: Scalar<'a>) -> Result<Value<'a>, String> {
    match (manner, kind) {
        (Manner::Rounded, ColumnKind::Decimal { precision, scale }) => cell::read_rounded(precision, scale, scalar),
        (Manner::After(before), _) => match cell::read(kind, scalar)? {
            Value::Text(text) => after(before, text).map(Value::Text),
            other => Ok(other),
        },
        (Manner::Plain | Manner::Rounded | Manner::Whole(_), _) => cell::read(kind, scalar),
    }
}

/// What follows `before` in `text`.
pub(super) fn after<'a>(before: &str, text: Cow<'a, str>) -> Result<Cow<'a, str>, String> {
    let wrong = || format!("a text in which something follows `{before}`");
    let begin = text.find(before).ok_or_else(wrong)? + before.len();
    if begin == text.len() {
        return Err(wrong());
    }
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[begin..]),
        Cow::Owned(text) => Cow::Owned(text[begin..].to_owned()),
    })
}

/// The value as hundredths, in an account with this `currency`; `Err` says what was expected.
pub(super) fn in_currency<'a>(manner: &Manner, value: Value<'a>, currency: &str) -> Result<Value<'a>, String> {
    let (Manner::Whole(whole), Value::Decimal(cents)) = (manner, &value) else { return Ok(value) };
    if *cents == 0 {
        return Ok(value);
    }
    if currency.is_empty() {
        return Err("an account whose currency is known, since it decides whether these are cents".to_owned());
    }
    if !whole.iter().any(|code| code == currency) {
        return Ok(value);
    }
    match cents.checked_mul(CENTS).filter(|cents| cents.abs() < MOST_CENTS) {
        Some(cents) => Ok(Value::Decimal(cents)),
        None => Err(format!("an integer of whole {currency} with at most 18 digits")),
    }
}
