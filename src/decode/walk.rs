//! One pass over a body: wanted values are kept as borrowed JSON text, records are handed on one by one, everything
//! else is skipped without being built.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::DecodeError;
use super::row::RowReader;
use super::tree::{Node, RowsAt, Tree};
use super::unknown::Noted;

/// A page while it is read.
pub(super) struct Page<'d, 'de> {
    /// The wanted places of a record.
    pub(super) tree: &'d Tree,
    /// JSON text of the envelope's wanted values.
    pub(super) captures: Vec<Option<&'de str>>,
    /// Whether the way to the records ended early somewhere.
    pub(super) absent: bool,
    /// The record at hand.
    pub(super) record: Record<'d, 'de>,
    /// Takes records.
    pub(super) reader: RowReader<'d, 'de>,
    /// Why the walk was given up, where that was not the JSON's fault.
    pub(super) failure: Option<DecodeError>,
}

/// A record's wanted values as JSON text, reused from record to record.
pub(super) struct Record<'d, 'de> {
    pub(super) slots: Vec<Option<&'de str>>,
    /// What no column names.
    pub(super) unknown: Noted<'d>,
    /// Where there was no object: the place, and what was there.
    wrong: Option<(&'d str, &'static str)>,
}

impl<'d, 'de> Record<'d, 'de> {
    pub(super) fn new(tree: &'d Tree) -> Record<'d, 'de> {
        Record { slots: vec![None; tree.slots()], unknown: Noted::default(), wrong: None }
    }
}

/// Walks `text` along `tree`. What is found is left in `page`.
pub(super) fn body<'d, 'de>(text: &'de str, tree: &'d Tree, page: &mut Page<'d, 'de>) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    BodyAt { node: &tree.root, page }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Walks one record's `text` along `tree`; its wanted values are left in `record`.
///
/// # Errors
/// Where there was no object, and what was there.
pub(super) fn record<'d, 'de>(
    text: &'de str,
    tree: &'d Tree,
    record: &mut Record<'d, 'de>,
) -> Result<(), (&'d str, &'static str)> {
    record.slots.fill(None);
    record.unknown.begin_record();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let walked = RecordAt { node: &tree.root, record: &mut *record }.deserialize(&mut deserializer);
    match record.wrong.take() {
        Some(wrong) => Err(wrong),
        None => walked.map_err(|_| (tree.root.path.as_str(), "no JSON")),
    }
}

/// A place of the envelope.
struct BodyAt<'p, 'd, 'de> {
    node: &'d Node,
    page: &'p mut Page<'d, 'de>,
}

impl<'de> DeserializeSeed<'de> for BodyAt<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Some(slot) = self.node.slot else {
            return deserializer.deserialize_any(self);
        };
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
        self.page.captures[slot] = Some(raw.get());
        if self.node.is_leaf() {
            return Ok(());
        }
        let mut again = serde_json::Deserializer::from_str(raw.get());
        again.deserialize_any(self).map_err(D::Error::custom)
    }
}

impl BodyAt<'_, '_, '_> {
    fn here(&self) -> &str {
        if self.node.path.is_empty() { "the top" } else { &self.node.path }
    }

    /// Nothing wanted is here.
    fn nothing<E>(self) -> Result<(), E> {
        self.page.absent |= self.node.leads_to_rows;
        Ok(())
    }

    fn wrong<E: serde::de::Error>(&self, found: &str) -> Result<(), E> {
        let expected = match self.node.rows {
            Some(_) => "an array of records",
            None => "an object",
        };
        Err(E::custom(format_args!("{found} at `{}`, expected {expected}", self.here())))
    }
}

impl<'de> Visitor<'de> for BodyAt<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let BodyAt { node, page } = self;
        match node.rows {
            Some(RowsAt::Each) => return OneRecord { page }.deserialize(MapAccessDeserializer::new(map)),
            Some(RowsAt::Array) => return BodyAt { node, page }.wrong("an object"),
            None => {}
        }
        for slot in &node.beneath {
            page.captures[*slot] = None;
        }
        let mut found = node.each.is_some();
        while let Some(key) = map.next_key_seed(KeyOf { node })? {
            let next = match key {
                Key::Known(index) => Some(&node.children[index].1),
                Key::Unknown => node.each.as_deref(),
            };
            let Some(next) = next else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            found |= next.leads_to_rows;
            map.next_value_seed(BodyAt { node: next, page: &mut *page })?;
        }
        page.absent |= node.leads_to_rows && !found;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let BodyAt { node, page } = self;
        if node.rows.is_some() {
            while seq.next_element_seed(OneRecord { page: &mut *page })?.is_some() {}
            return Ok(());
        }
        if let Some(each) = node.each.as_deref() {
            while seq.next_element_seed(BodyAt { node: each, page: &mut *page })?.is_some() {}
            return Ok(());
        }
        // Some languages write an empty object as an empty array.
        match seq.next_element::<IgnoredAny>()? {
            None => BodyAt { node, page }.nothing(),
            Some(_) => BodyAt { node, page }.wrong("an array"),
        }
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        // A null array is an empty page; a null on the way to it is not.
        if self.node.rows.is_some() { Ok(()) } else { self.nothing() }
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.wrong("true or false")
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.wrong("a number")
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.wrong("a number")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.wrong("a number")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.wrong("text")
    }
}

/// One element of the records: read whole, then handed on.
struct OneRecord<'p, 'd, 'de> {
    page: &'p mut Page<'d, 'de>,
}

impl<'de> DeserializeSeed<'de> for OneRecord<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let page = self.page;
        page.record.slots.fill(None);
        page.record.unknown.begin_record();
        let walked = RecordAt { node: &page.tree.root, record: &mut page.record }.deserialize(deserializer);
        let taken = match page.record.wrong.take() {
            Some((path, found)) => Err(page.reader.wrong_shape(path, found)),
            None => {
                walked?;
                page.reader.take(&page.record.slots)
            }
        };
        taken.map_err(|failure| {
            page.failure = Some(failure);
            D::Error::custom("refused row")
        })
    }
}

/// A place of a record.
struct RecordAt<'p, 'd, 'de> {
    node: &'d Node,
    record: &'p mut Record<'d, 'de>,
}

impl<'de> DeserializeSeed<'de> for RecordAt<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl RecordAt<'_, '_, '_> {
    fn wrong<E: serde::de::Error>(self, found: &'static str) -> Result<(), E> {
        self.record.wrong = Some((&self.node.path, found));
        Err(E::custom(found))
    }
}

impl<'de> Visitor<'de> for RecordAt<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let RecordAt { node, record } = self;
        for slot in &node.beneath {
            record.slots[*slot] = None;
        }
        while let Some(key) = map.next_key_seed(RecordKey { node, record: &mut *record })? {
            let Key::Known(index) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let child = &node.children[index].1;
            let Some(slot) = child.slot else {
                map.next_value_seed(RecordAt { node: child, record: &mut *record })?;
                continue;
            };
            let raw = map.next_value::<&RawValue>()?.get();
            record.slots[slot] = Some(raw);
            if !child.is_leaf() {
                let mut again = serde_json::Deserializer::from_str(raw);
                RecordAt { node: child, record: &mut *record }.deserialize(&mut again).map_err(A::Error::custom)?;
            }
        }
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if self.node.path.is_empty() {
            return self.wrong("null");
        }
        // A null object has none of its values, and forgets those of the same key before.
        for slot in &self.node.beneath {
            self.record.slots[*slot] = None;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.wrong("an array")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.wrong("true or false")
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.wrong("a number")
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.wrong("a number")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.wrong("a number")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.wrong("text")
    }
}

/// An object's key, compared where it stands.
enum Key {
    /// The number of the child it names.
    Known(usize),
    Unknown,
}

struct KeyOf<'d> {
    node: &'d Node,
}

impl<'de> DeserializeSeed<'de> for KeyOf<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Key, E> {
        Ok(self.node.child(key).map_or(Key::Unknown, Key::Known))
    }
}

/// A record's key; those that no column names are noted.
struct RecordKey<'p, 'd, 'de> {
    node: &'d Node,
    record: &'p mut Record<'d, 'de>,
}

impl<'de> DeserializeSeed<'de> for RecordKey<'_, '_, 'de> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for RecordKey<'_, '_, 'de> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Key, E> {
        match self.node.child(key) {
            Some(index) => Ok(Key::Known(index)),
            None => {
                self.record.unknown.note(&self.node.path, key);
                Ok(Key::Unknown)
            }
        }
    }
}
