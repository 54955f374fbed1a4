//! Rules that a unit's rows must keep.

use std::sync::Arc;

use crate::time::Instant;

/// Rules that a unit's rows must keep, or the unit is put into quarantine instead of the lake.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quality {
    /// The share of a unit's rows (0 to 1) that may break a row rule and are kept all the same.
    pub max_reject_share: f64,
    /// Rules that each row keeps or breaks by itself, in the file's order.
    pub rows: Vec<RowRules>,
    /// Columns whose values may not be smaller than the lake's when they are read again.
    pub not_falling: Arc<[String]>,
}

/// What a row's value in one column must be.
#[derive(Debug, Clone, PartialEq)]
pub struct RowRules {
    /// The declared column.
    pub column: String,
    /// There is a value.
    pub not_null: bool,
    /// It is not smaller.
    pub min: Option<Limit>,
    /// It is not greater.
    pub max: Option<Limit>,
}

/// The least or the greatest value of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// As it was written.
    pub text: String,
    /// In the column's type.
    pub value: LimitValue,
}

/// A limit in its column's type, so that it is compared without rounding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LimitValue {
    /// Of a column of whole numbers.
    Int(i64),
    /// Of a decimal column (or one of millionths or hundredths): the value times 10 to the power of the column's scale.
    Decimal(i128),
    /// Of a column of floats.
    Float(f64),
    /// Of a column of moments.
    Moment(Instant),
}

impl LimitValue {
    /// Whether this limit lies above `other`, which is one of the same column.
    pub(crate) fn is_above(&self, other: &LimitValue) -> bool {
        match (self, other) {
            (LimitValue::Int(one), LimitValue::Int(other)) => one > other,
            (LimitValue::Decimal(one), LimitValue::Decimal(other)) => one > other,
            (LimitValue::Float(one), LimitValue::Float(other)) => one > other,
            (LimitValue::Moment(one), LimitValue::Moment(other)) => one > other,
            _ => false,
        }
    }
}
