//! Quality rules as they are written.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// Rules that a unit's rows must keep, or the unit is put into quarantine instead of the lake.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Quality {
    /// The share of a unit's rows (0 to 1) that may break `not_null`, `min` or `max` and are kept all the same; they are
    /// counted and warned of.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_reject_share: f64,
    /// Rules by the name of the declared column that they are about.
    pub columns: IndexMap<String, ColumnRules>,
}

/// The rules of one column.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ColumnRules {
    /// Every row has a value.
    pub not_null: bool,
    /// No value is smaller, compared exactly in the column's type as it is in the lake (a `micros` column in whole units
    /// of the currency).
    pub min: Option<Limit>,
    /// No value is greater.
    pub max: Option<Limit>,
    /// A value that is read again is not smaller than the one in the lake, as of a counter.
    pub not_falling: bool,
}

/// A number, or a text where a number would not be exact enough; kept as the digits that were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit(pub String);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
        deserializer.deserialize_any(LimitVisitor)
    }
}

struct LimitVisitor;

impl Visitor<'_> for LimitVisitor {
    type Value = Limit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text")
    }

    fn visit_str<E>(self, value: &str) -> Result<Limit, E> {
        Ok(Limit(value.to_owned()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Limit, E> {
        Ok(Limit(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Limit, E> {
        Ok(Limit(value.to_string()))
    }

    /// The shortest digits that mean this float: those that were written, unless they were more than a float holds.
    fn visit_f64<E>(self, value: f64) -> Result<Limit, E> {
        Ok(Limit(value.to_string()))
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, or a text with one; for a timestamp an RFC 3339 moment or unix seconds.",
            "type": ["string", "integer", "number"],
        })
    }
}
