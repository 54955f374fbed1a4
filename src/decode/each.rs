//! Records that hold a list each element of which makes a row: what the list says, beside what the record says.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use super::DecodeError;
use super::cell::{Scalar, excerpt};
use super::row::RowReader;
use super::tree::Node;
use super::walk::{Record, RecordAt};

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
        let mut rows = Rows { node: self.node, record, reader, count: 0, failure: None };
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
        for slot in self.node.slot.iter().chain(&self.node.beneath) {
            self.record.slots[*slot] = None;
        }
        let walked = RecordAt { node: self.node, record: &mut *self.record }.deserialize(deserializer);
        let taken = match self.record.wrong.take() {
            Some((path, found)) => Err(self.reader.wrong_shape(path, found)),
            None => {
                walked?;
                self.reader.row(&self.record.slots)
            }
        };
        taken.map_err(|failure| {
            self.failure = Some(failure);
            D::Error::custom("refused row")
        })
    }
}
