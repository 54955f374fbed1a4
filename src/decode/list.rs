//! Columns picked out of lists of `{type, value}` pairs: `[{"action_type": "click", "value": "3"}, ..]`.

use super::cell::{Scalar, excerpt};
use super::fields::Rest;
use super::row::Refused;
use super::walk::is_key;

/// One list of a record and the columns that are taken out of it.
#[derive(Debug)]
pub(super) struct ListPlan {
    /// The list's slot in the record.
    pub(super) slot: usize,
    /// Where the list is, for messages.
    pub(super) path: String,
    /// The key under which each element names its type.
    pub(super) by: String,
    /// The key under which each element holds its value.
    pub(super) value: String,
    /// Both keys as they are mostly written, with quotes.
    pub(super) quoted: [String; 2],
    /// The types wanted.
    pub(super) wanted: Vec<Wanted>,
}

/// An element that a column is taken from.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The type.
    pub(super) equals: String,
    /// Where its value is put.
    pub(super) picked: usize,
    /// The column's name, for messages.
    pub(super) column: String,
}

impl ListPlan {
    /// Puts the wanted elements' values, as JSON text, into `picked`.
    pub(super) fn pick<'de>(
        &self,
        raw: Option<&'de str>,
        nulls: &[String],
        picked: &mut [Option<&'de str>],
    ) -> Result<(), Refused> {
        let Some(raw) = raw else { return Ok(()) };
        if !raw.starts_with('[') {
            return match Scalar::of(raw).or_null(nulls) {
                Scalar::Null => Ok(()),
                Scalar::Text(text) if text.is_empty() => Ok(()),
                _ => Err(self.no_list(raw)),
            };
        }
        let mut rest = Rest::inside(raw);
        while rest.has_element() {
            if !rest.enter_object() {
                return Err(self.no_list(raw));
            }
            let (mut by, mut value) = (None, None);
            while let Some((key, text)) = rest.field() {
                if is_key(key, &self.by) {
                    by = Some(text);
                } else if is_key(key, &self.value) {
                    value = Some(text);
                }
            }
            rest.leave_object();
            self.keep(by, value, picked)?;
        }
        Ok(())
    }

    /// Keeps a pair where it is wanted, unless it contradicts one before.
    pub(super) fn keep<'de>(
        &self,
        by: Option<&'de str>,
        value: Option<&'de str>,
        picked: &mut [Option<&'de str>],
    ) -> Result<(), Refused> {
        let Some(kind) = by.and_then(|by| Scalar::of(by).into_text()) else { return Ok(()) };
        let Some(value) = value.filter(|value| *value != "null") else { return Ok(()) };
        for wanted in self.wanted.iter().filter(|wanted| wanted.equals == kind) {
            match picked[wanted.picked] {
                None => picked[wanted.picked] = Some(value),
                Some(before) if before == value => {}
                Some(before) => {
                    let (one, other) = (Scalar::of(before).into_text(), Scalar::of(value).into_text());
                    if one.is_none() || one != other {
                        return Err(self.twice(wanted, value));
                    }
                }
            }
        }
        Ok(())
    }

    fn twice(&self, wanted: &Wanted, value: &str) -> Refused {
        Refused {
            column: wanted.column.clone(),
            path: self.path.clone(),
            found: format!("a second `{}` with another value, {}", wanted.equals, excerpt(value)),
            expected: "one of each (is there a dimension that is not declared?)".to_owned(),
        }
    }

    fn no_list(&self, raw: &str) -> Refused {
        Refused {
            column: self.wanted.first().map(|wanted| wanted.column.clone()).unwrap_or_default(),
            path: self.path.clone(),
            found: excerpt(raw),
            expected: format!("a list of objects with `{}` and `{}`", self.by, self.value),
        }
    }
}
