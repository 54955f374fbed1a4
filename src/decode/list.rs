//! Columns picked out of lists of `{type, value}` pairs: `[{"action_type": "click", "value": "3"}, ..]`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::cell::{Scalar, excerpt};
use super::row::Refused;

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
        let mut pairs = Pairs { plan: self, picked, twice: None };
        let mut deserializer = serde_json::Deserializer::from_str(raw);
        let read = deserializer.deserialize_seq(&mut pairs);
        if let Some((wanted, value)) = pairs.twice {
            return Err(Refused {
                column: wanted.column.clone(),
                path: self.path.clone(),
                found: format!("a second `{}` with another value, {}", wanted.equals, excerpt(value)),
                expected: "one of each (is there a dimension that is not declared?)".to_owned(),
            });
        }
        read.map_err(|_| self.no_list(raw))
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

/// Takes a list's elements.
struct Pairs<'p, 's, 'de> {
    plan: &'p ListPlan,
    picked: &'s mut [Option<&'de str>],
    /// A type that came twice, with its second value.
    twice: Option<(&'p Wanted, &'de str)>,
}

impl<'de> Pairs<'_, '_, 'de> {
    /// Keeps a pair where it is wanted; `false` where it contradicts one before.
    fn keep(&mut self, by: Option<&'de str>, value: Option<&'de str>) -> bool {
        let Some(kind) = by.and_then(|by| Scalar::of(by).into_text()) else { return true };
        let Some(value) = value.filter(|value| *value != "null") else { return true };
        for wanted in &self.plan.wanted {
            if wanted.equals != kind {
                continue;
            }
            match self.picked[wanted.picked] {
                None => self.picked[wanted.picked] = Some(value),
                Some(before) if before == value => {}
                Some(before) => {
                    let (one, other) = (Scalar::of(before).into_text(), Scalar::of(value).into_text());
                    if one.is_none() || one != other {
                        self.twice = Some((wanted, value));
                        return false;
                    }
                }
            }
        }
        true
    }
}

impl<'de> Visitor<'de> for &mut Pairs<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some((by, value)) = seq.next_element_seed(Pair { plan: self.plan })? {
            if !self.keep(by, value) {
                return Err(A::Error::custom("twice"));
            }
        }
        Ok(())
    }
}

/// Takes one element: the JSON text of its type and of its value.
struct Pair<'p> {
    plan: &'p ListPlan,
}

impl<'de> DeserializeSeed<'de> for Pair<'_> {
    type Value = (Option<&'de str>, Option<&'de str>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_> {
    type Value = (Option<&'de str>, Option<&'de str>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut by, mut value) = (None, None);
        while let Some(key) = map.next_key_seed(PairKey { plan: self.plan })? {
            match key {
                Part::By => by = Some(map.next_value::<&RawValue>()?.get()),
                Part::Value => value = Some(map.next_value::<&RawValue>()?.get()),
                Part::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok((by, value))
    }
}

enum Part {
    By,
    Value,
    Other,
}

struct PairKey<'p> {
    plan: &'p ListPlan,
}

impl<'de> DeserializeSeed<'de> for PairKey<'_> {
    type Value = Part;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for PairKey<'_> {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Part, E> {
        if key == self.plan.by {
            Ok(Part::By)
        } else if key == self.plan.value {
            Ok(Part::Value)
        } else {
            Ok(Part::Other)
        }
    }
}
