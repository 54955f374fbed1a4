//! Quality rules: about declared columns, of a kind that can keep them.

use chrono::{DateTime, Utc};

use super::super::problem::{KeyPath, expected_one_of, shown};
use super::super::{Column, ColumnKind, Limit, LimitValue, Quality, RowRules, raw};
use super::Checker;
use super::columns::{expected_value, fits};

/// Kinds of column whose values are smaller or greater than others.
const ORDERED: &str = "a column of type int, decimal, micros, float or timestamp";

impl Checker<'_> {
    /// `columns` are the declared ones; `None` where one of them is wrong.
    pub(super) fn quality(&mut self, file: &raw::PipelineFile, columns: Option<&[Column]>) -> Option<Quality> {
        let path = KeyPath::root().key("quality").key("columns");
        let columns = columns?;
        let before = self.problems.count();
        let mut rows = Vec::new();
        let mut not_falling = Vec::new();
        for (name, rules) in &file.quality.columns {
            let path = path.key(name);
            let Some(column) = columns.iter().find(|column| column.name == *name) else {
                let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                self.wrong(&path, format!("is not a declared column: {}", expected_one_of(name, &names)));
                continue;
            };
            let [min, max] = self.limits(&path, column.kind, rules);
            if rules.not_null || min.is_some() || max.is_some() {
                rows.push(RowRules { column: name.clone(), not_null: rules.not_null, min, max });
            }
            if rules.not_falling && self.may_fall(&path.key("not_falling"), column, &file.key) {
                not_falling.push(name.clone());
            }
            let says_nothing = raw::ColumnRules::default();
            if (rules.not_null, rules.not_falling, &rules.min, &rules.max)
                == (says_nothing.not_null, says_nothing.not_falling, &None, &None)
            {
                self.wrong(&path, "has no rule: expected `not_null`, `min`, `max` or `not_falling`");
            }
        }
        if self.problems.count() > before {
            return None;
        }
        Some(Quality { max_reject_share: file.quality.max_reject_share, rows, not_falling: not_falling.into() })
    }

    fn limits(&mut self, path: &KeyPath, kind: ColumnKind, rules: &raw::ColumnRules) -> [Option<Limit>; 2] {
        let min = rules.min.as_ref().and_then(|limit| self.column_limit(&path.key("min"), kind, limit));
        let max = rules.max.as_ref().and_then(|limit| self.column_limit(&path.key("max"), kind, limit));
        if let (Some(min), Some(max)) = (&min, &max)
            && min.value.is_above(&max.value)
        {
            self.wrong(&path.key("min"), format!("is {}: expected at most `max`, {}", min.text, max.text));
        }
        [min, max]
    }

    fn column_limit(&mut self, path: &KeyPath, kind: ColumnKind, limit: &raw::Limit) -> Option<Limit> {
        // In the lake a column of millionths or hundredths is a decimal, and that is what is compared.
        let kind = match kind {
            ColumnKind::Micros => ColumnKind::Decimal { precision: 18, scale: 6 },
            ColumnKind::Cents => ColumnKind::Decimal { precision: 20, scale: 2 },
            kind => kind,
        };
        if matches!(kind, ColumnKind::Text | ColumnKind::Bool) {
            self.wrong(path, format!("cannot be chosen for this column: expected {ORDERED}"));
            return None;
        }
        let text = &limit.0;
        let value = match kind {
            _ if !fits(kind, text) => None,
            ColumnKind::Int => text.parse().ok().map(LimitValue::Int),
            ColumnKind::Decimal { scale, .. } => unscaled(text, scale).map(LimitValue::Decimal),
            ColumnKind::Float => text.parse().ok().map(LimitValue::Float),
            ColumnKind::Timestamp => moment(text).map(LimitValue::Moment),
            ColumnKind::Text | ColumnKind::Bool | ColumnKind::Micros | ColumnKind::Cents => None,
        };
        match value {
            Some(value) => Some(Limit { text: text.clone(), value }),
            None => {
                self.wrong(path, format!("is {}: expected {}", shown(text), expected_value(kind)));
                None
            }
        }
    }

    fn may_fall(&mut self, path: &KeyPath, column: &Column, key: &[String]) -> bool {
        if key.contains(&column.name) {
            self.wrong(path, "cannot be chosen for this column: it belongs to the key, and a key does not fall");
            return false;
        }
        if matches!(column.kind, ColumnKind::Text | ColumnKind::Bool) {
            self.wrong(path, format!("cannot be chosen for this column: expected {ORDERED}"));
            return false;
        }
        true
    }
}

/// A plain decimal text of at most `scale` digits after the point, times 10 to the power of `scale`.
fn unscaled(text: &str, scale: i8) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let zeros = usize::try_from(scale).ok()?.checked_sub(fraction.len())?;
    format!("{whole}{fraction}{}", "0".repeat(zeros)).parse().ok()
}

/// An RFC 3339 moment, or unix seconds.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    match text.parse::<i64>() {
        Ok(seconds) => DateTime::from_timestamp(seconds, 0),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.with_timezone(&Utc)),
    }
}

#[cfg(test)]
mod tests {
    use super::unscaled;

    #[test]
    fn limits_are_exact() {
        assert_eq!(unscaled("0.1", 6), Some(100_000));
        assert_eq!(unscaled("-0.05", 2), Some(-5));
        assert_eq!(unscaled("12.3400", 2), Some(1_234));
        assert_eq!(unscaled("7", 0), Some(7));
        assert_eq!(unscaled("0.001", 2), None);
        assert_eq!(unscaled("99999999999999999999999999999999999.999", 3), Some(10i128.pow(38) - 1));
    }
}
