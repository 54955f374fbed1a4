//! One JSON scalar as a typed value of a column.

use std::borrow::Cow;

use super::moment::{self, Said};
use super::number::{self, NumberError};
use crate::pipeline::ColumnKind;

/// A JSON value that stands alone. Numbers keep their digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    /// A list, an object, or text whose escapes are broken.
    Other,
}

impl<'a> Scalar<'a> {
    /// Reads the text of a JSON value that is known to be well-formed.
    pub(super) fn of(raw: &'a str) -> Scalar<'a> {
        match raw.as_bytes().first() {
            Some(b'"') => Scalar::text(raw),
            Some(b'n') => Scalar::Null,
            Some(b't') => Scalar::Bool(true),
            Some(b'f') => Scalar::Bool(false),
            Some(b'-' | b'0'..=b'9') => Scalar::Number(raw),
            _ => Scalar::Other,
        }
    }

    fn text(raw: &'a str) -> Scalar<'a> {
        if raw.contains('\\') {
            // Half of a surrogate pair passes for JSON but is no text.
            return serde_json::from_str(raw).map_or(Scalar::Other, |text| Scalar::Text(Cow::Owned(text)));
        }
        match raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
            Some(text) => Scalar::Text(Cow::Borrowed(text)),
            None => Scalar::Other,
        }
    }

    /// Null in place of a text that the pipeline declares to mean null.
    pub(super) fn or_null(self, nulls: &[String]) -> Scalar<'a> {
        match &self {
            Scalar::Text(text) if nulls.iter().any(|null| null == text) => Scalar::Null,
            _ => self,
        }
    }

    /// Text, number or truth value as text; `None` for null and what does not stand alone.
    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Scalar::Text(text) => Some(text),
            Scalar::Number(number) => Some(Cow::Borrowed(number)),
            Scalar::Bool(true) => Some(Cow::Borrowed("true")),
            Scalar::Bool(false) => Some(Cow::Borrowed("false")),
            Scalar::Null | Scalar::Other => None,
        }
    }
}

/// A value as the lake keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    /// Also microseconds since 1970.
    Int(i64),
    /// Without its point.
    Decimal(i128),
    Float(f64),
    Bool(bool),
}

impl Value<'_> {
    /// The same value without its own text.
    pub(super) fn borrowed(&self) -> Value<'_> {
        match self {
            Value::Null => Value::Null,
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            Value::Int(value) => Value::Int(*value),
            Value::Decimal(value) => Value::Decimal(*value),
            Value::Float(value) => Value::Float(*value),
            Value::Bool(value) => Value::Bool(*value),
        }
    }

    /// The same value owning its text.
    pub(super) fn owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Int(value) => Value::Int(value),
            Value::Decimal(value) => Value::Decimal(value),
            Value::Float(value) => Value::Float(value),
            Value::Bool(value) => Value::Bool(value),
        }
    }

    /// Adds bytes that differ for different values.
    pub(super) fn mark(&self, bytes: &mut Vec<u8>) {
        match self {
            Value::Null => bytes.push(0),
            Value::Text(text) => {
                bytes.push(1);
                mark_text(text, bytes);
            }
            Value::Int(value) => {
                bytes.push(2);
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            Value::Decimal(value) => {
                bytes.push(3);
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            Value::Float(value) => {
                bytes.push(4);
                bytes.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            Value::Bool(value) => bytes.extend_from_slice(&[5, u8::from(*value)]),
        }
    }
}

/// Adds a text's length and bytes.
pub(super) fn mark_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&text.len().to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// A scalar as a decimal, its digits beyond `scale` rounded half to even; `Err` says what was expected.
pub(super) fn read_rounded<'a>(precision: u8, scale: i8, scalar: Scalar<'a>) -> Result<Value<'a>, String> {
    let kind = ColumnKind::Decimal { precision, scale };
    let text = match &scalar {
        Scalar::Number(number) => *number,
        Scalar::Text(text) => text.trim(),
        Scalar::Null | Scalar::Bool(_) | Scalar::Other => return read(kind, scalar),
    };
    if text.is_empty() {
        return Ok(Value::Null);
    }
    number::rounded(text, precision, scale).map(Value::Decimal).map_err(|error| expected(kind, error))
}

/// A scalar as a value of `kind`; `Err` says what was expected. Empty text is null but for text columns.
pub(super) fn read<'a>(kind: ColumnKind, scalar: Scalar<'a>) -> Result<Value<'a>, String> {
    if kind == ColumnKind::Text {
        if scalar == Scalar::Null {
            return Ok(Value::Null);
        }
        return scalar.into_text().map(Value::Text).ok_or_else(|| "text, a number, true or false".to_owned());
    }
    match scalar {
        Scalar::Null => Ok(Value::Null),
        Scalar::Bool(value) if kind == ColumnKind::Bool => Ok(Value::Bool(value)),
        Scalar::Bool(_) | Scalar::Other => Err(expected(kind, NumberError::NotANumber)),
        Scalar::Number(number) => typed(kind, number),
        Scalar::Text(text) => match text.trim() {
            "" => Ok(Value::Null),
            text => typed(kind, text),
        },
    }
}

fn typed<'a>(kind: ColumnKind, text: &str) -> Result<Value<'a>, String> {
    let value = match kind {
        ColumnKind::Text => return Ok(Value::Text(Cow::Owned(text.to_owned()))),
        ColumnKind::Int => number::integer(text).map(Value::Int),
        ColumnKind::Decimal { precision, scale } => number::decimal(text, precision, scale).map(Value::Decimal),
        ColumnKind::Micros => number::decimal(text, 18, 0).map(Value::Decimal),
        ColumnKind::Cents => number::decimal(text, 20, 0).map(Value::Decimal),
        ColumnKind::Float => float(text).map(Value::Float),
        ColumnKind::Bool => truth(text).map(Value::Bool).ok_or(NumberError::NotANumber),
        ColumnKind::Timestamp => timestamp(text).map(Value::Int).ok_or(NumberError::NotANumber),
    };
    value.map_err(|error| expected(kind, error))
}

fn float(text: &str) -> Result<f64, NumberError> {
    // Rust also reads `inf` and `nan`: no platform means them.
    if !number::is_number(text) {
        return Err(NumberError::NotANumber);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(NumberError::TooLarge),
    }
}

fn truth(text: &str) -> Option<bool> {
    if text == "1" || text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text == "0" || text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn timestamp(text: &str) -> Option<i64> {
    let moment = match moment::read(text) {
        Some(Said::Moment(moment)) => moment,
        Some(Said::Shown(_) | Said::Date(_)) => return None,
        None => moment::unix(text)?,
    };
    Some(moment.timestamp_micros())
}

fn expected(kind: ColumnKind, error: NumberError) -> String {
    match (kind, error) {
        (ColumnKind::Text, _) => "text".to_owned(),
        (ColumnKind::Int, NumberError::TooLarge) => "an integer within 64 bits".to_owned(),
        (ColumnKind::Int, _) => "an integer".to_owned(),
        (ColumnKind::Decimal { scale, .. }, NumberError::TooPrecise) => {
            format!("a number with at most {scale} digits after the point")
        }
        (ColumnKind::Decimal { precision, scale }, NumberError::TooLarge) => {
            format!("a number with at most {} digits before the point", i16::from(precision) - i16::from(scale))
        }
        (ColumnKind::Decimal { .. }, NumberError::NotANumber) => "a number".to_owned(),
        (ColumnKind::Micros, NumberError::TooLarge) => "an integer of millionths with at most 18 digits".to_owned(),
        (ColumnKind::Micros, _) => "an integer of millionths".to_owned(),
        (ColumnKind::Cents, NumberError::TooLarge) => "an integer of hundredths with at most 20 digits".to_owned(),
        (ColumnKind::Cents, _) => "an integer of hundredths".to_owned(),
        (ColumnKind::Float, NumberError::TooLarge) => "a number within 64-bit floats".to_owned(),
        (ColumnKind::Float, _) => "a number".to_owned(),
        (ColumnKind::Bool, _) => "true or false".to_owned(),
        (ColumnKind::Timestamp, _) => "a moment with its offset (RFC 3339), unix seconds or milliseconds".to_owned(),
    }
}

/// At most 80 characters of a JSON value, in backticks.
pub(super) fn excerpt(raw: &str) -> String {
    match raw.char_indices().nth(80) {
        None => format!("`{raw}`"),
        Some((end, _)) => format!("`{}`...", &raw[..end]),
    }
}
