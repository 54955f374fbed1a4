//! Declared columns: where their values are in a record, and how they are read.

use std::borrow::Cow;

use indexmap::IndexMap;

use super::cell::{self, Scalar, Value, excerpt};
use super::list::{ListPlan, Wanted};
use super::manner;
use super::number;
use super::row::Refused;
use super::tree::Tree;
use crate::pipeline::{Column, ColumnKind, Manner};

/// Declared columns, with slots for paths.
pub(super) struct Declared {
    pub(super) columns: Vec<ColumnPlan>,
    pub(super) lists: Vec<ListPlan>,
    /// How many values are picked out of lists.
    pub(super) picked: usize,
}

/// A declared column.
#[derive(Debug)]
pub(super) struct ColumnPlan {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) source: Source,
    pub(super) kind: ColumnKind,
    manner: Manner,
    /// Whether it belongs to the key.
    pub(super) key: bool,
    /// Refused without a value: it is required or belongs to the key.
    required: bool,
    default: Default,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A slot of the record.
    Slot(usize),
    /// A value picked out of a list.
    Picked(usize),
}

#[derive(Debug)]
enum Default {
    None,
    Value(Value<'static>),
    /// The pipeline's check should have refused it; a row that needs it is.
    Broken {
        text: String,
        expected: String,
    },
}

impl Declared {
    /// Compiles declared columns; their paths become slots of `record`. Those named by `key` may not be null.
    pub(super) fn new(declared: &[Column], key: &[String], record: &mut Tree) -> Declared {
        let mut lists: IndexMap<(usize, String, String), ListPlan> = IndexMap::new();
        let mut picked = 0;
        let mut columns = Vec::new();
        for column in declared {
            let slot = record.want(&column.from);
            let source = match &column.pick {
                None => Source::Slot(slot),
                Some(pick) => {
                    let list = lists.entry((slot, pick.by.clone(), pick.value.clone())).or_insert_with(|| ListPlan {
                        slot,
                        path: column.from.to_string(),
                        by: pick.by.clone(),
                        value: pick.value.clone(),
                        quoted: [&pick.by, &pick.value].map(|key| format!("\"{key}\"")),
                        wanted: Vec::new(),
                    });
                    list.wanted.push(Wanted { equals: pick.equals.clone(), picked, column: column.name.clone() });
                    picked += 1;
                    Source::Picked(picked - 1)
                }
            };
            columns.push(ColumnPlan::new(column, source, key.contains(&column.name)));
        }
        Declared { columns, lists: lists.into_values().collect(), picked }
    }
}

impl ColumnPlan {
    fn new(column: &Column, source: Source, key: bool) -> ColumnPlan {
        let default = match &column.default {
            None => Default::None,
            Some(text) => match cell::read(column.kind, Scalar::Text(Cow::Borrowed(text))) {
                Ok(value) => Default::Value(value.owned()),
                Err(expected) => Default::Broken { text: text.clone(), expected },
            },
        };
        let required = column.required || key;
        let path = match &column.pick {
            None => column.from.to_string(),
            Some(pick) => format!("{}[{}={}]", column.from, pick.by, pick.equals),
        };
        let (name, manner) = (column.name.clone(), column.manner.clone());
        ColumnPlan { name, path, source, kind: column.kind, manner, key, required, default }
    }

    /// The JSON text of the column's value in a record.
    pub(super) fn raw<'a>(&self, slots: &[Option<&'a str>], picked: &[Option<&'a str>]) -> Option<&'a str> {
        match self.source {
            Source::Slot(slot) => slots[slot],
            Source::Picked(index) => picked[index],
        }
    }

    /// Whether `value` says that something happened.
    pub(super) fn counts(&self, value: &Value<'_>) -> bool {
        use ColumnKind::{Cents, Decimal, Int, Micros};
        let is_number = matches!(self.kind, Int | Decimal { .. } | Micros | Cents) && !self.key;
        is_number && !matches!(value, Value::Null | Value::Int(0) | Value::Decimal(0))
    }

    /// The column's value in a record of an account with this `currency`.
    pub(super) fn read<'a>(
        &'a self,
        slots: &[Option<&'a str>],
        picked: &[Option<&'a str>],
        nulls: &[String],
        currency: &str,
    ) -> Result<Value<'a>, Refused> {
        let raw = self.raw(slots, picked);
        if let Some(value) = raw.and_then(|raw| self.read_plain(raw, nulls)) {
            return Ok(value);
        }
        let scalar = raw.map_or(Scalar::Null, Scalar::of).or_null(nulls);
        let value = manner::read(self.kind, &self.manner, scalar).map_err(|expected| self.refused(raw, expected))?;
        let value = if value == Value::Null { self.default_value(raw)? } else { value };
        manner::in_currency(&self.manner, value, currency).map_err(|expected| self.refused(raw, expected))
    }

    /// A number that is written plainly, as nearly all of them are, in or without quotes; `None` says nothing of the value.
    fn read_plain(&self, raw: &str, nulls: &[String]) -> Option<Value<'static>> {
        if !matches!(self.manner, Manner::Plain | Manner::Rounded) {
            return None;
        }
        let text = match raw.strip_prefix('"') {
            // A text may stand for null.
            Some(quoted) if nulls.is_empty() => quoted.strip_suffix('"')?,
            Some(_) => return None,
            None => raw,
        };
        match self.kind {
            ColumnKind::Int => number::short(text, 0).map(Value::Int),
            ColumnKind::Micros => number::short(text, 0).map(|value| Value::Decimal(value.into())),
            ColumnKind::Decimal { precision, scale } => {
                let value = number::short(text, scale)?;
                number::fits(value.into(), precision).then_some(Value::Decimal(value.into()))
            }
            _ => None,
        }
    }

    /// The value of a record that has none.
    fn default_value(&self, raw: Option<&str>) -> Result<Value<'_>, Refused> {
        match &self.default {
            Default::Value(value) if *value != Value::Null => Ok(value.borrowed()),
            Default::Broken { text, expected } => Err(Refused {
                column: self.name.clone(),
                path: "default".to_owned(),
                found: excerpt(text),
                expected: expected.clone(),
            }),
            _ if self.required => Err(self.refused(raw, "a value".to_owned())),
            _ => Ok(Value::Null),
        }
    }

    pub(super) fn refused(&self, raw: Option<&str>, expected: String) -> Refused {
        let found = raw.map_or_else(|| "nothing".to_owned(), excerpt);
        Refused { column: self.name.clone(), path: self.path.clone(), found, expected }
    }
}
