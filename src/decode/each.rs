//! Records that hold a list each element of which makes a row: what the list says, beside what the record says.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::DecodeError;
use super::cell::{Scalar, excerpt};
use super::fields;
use super::row::RowReader;
use super::tree::Node;
use super::walk::Record;

/// The list in a record.
#[derive(Clone, Copy)]
pub(super) struct Elements<'d> {
    /// Where its JSON text is kept.
    pub(super) slot: usize,
    /// Where the list is, for messages.
    pub(super) path: &'d str,
    /// The place of its elements.
    pub(super) node: &'d Node,
}

impl<'d> Elements<'d> {
    /// Makes a row of each element. The list is the last that is read of a record, wherever it stands in it.
    pub(super) fn take<'de>(self, record: &mut Record<'d, 'de>, reader: &mut RowReader<'d>) -> Result<(), DecodeError> {
        reader.begin_record();
        let raw = record.slots[self.slot].unwrap_or("null");
        if !raw.starts_with('[') {
            return match Scalar::of(raw) {
                Scalar::Null => {
                    reader.without_rows(&record.slots);
                    Ok(())
                }
                _ => Err(reader.no_list(self.path, excerpt(raw))),
            };
        }
        let keys = record.keys;
        let mut rows = Rows { node: self.node, record, reader, keys, count: 0, failure: None };
        let read = serde_json::Deserializer::from_str(raw).deserialize_seq(&mut rows);
        match (rows.failure.take(), read) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(DecodeError::Unreadable(error.to_string())),
            (None, Ok(())) => {
                if rows.count == 0 {
                    rows.reader.without_rows(&rows.record.slots);
                }
                Ok(())
            }
        }
    }
}

struct Rows<'r, 'd, 'de> {
    node: &'d Node,
    record: &'r mut Record<'d, 'de>,
    reader: &'r mut RowReader<'d>,
    /// Keys of the record before the list: elements are as alike as records are.
    keys: usize,
    count: usize,
    /// Why the list was given up.
    failure: Option<DecodeError>,
}

impl<'de> Visitor<'de> for &mut Rows<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Rows<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.count += 1;
        self.reader.begin_element(self.count);
        let text = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        self.record.keys = self.keys;
        self.record.forget(self.node);
        if let Some(slot) = self.node.slot {
            self.record.slots[slot] = None;
        }
        let taken = match fields::take(text, self.node, self.record) {
            Err((path, found)) => Err(self.reader.wrong_shape(path, found)),
            Ok(()) => self.reader.row(&self.record.slots, &self.record.picked),
        };
        taken.map_err(|failure| {
            self.failure = Some(failure);
            D::Error::custom("refused row")
        })
    }
}
