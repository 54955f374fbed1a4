//! One pass over a body: wanted values are kept as borrowed JSON text, records are handed on one by one, everything
//! else is skipped without being built.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::DecodeError;
use super::each::Elements;
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
    /// The list in a record each element of which makes a row, where there is one.
    pub(super) elements: Option<Elements<'d>>,
    /// Takes records.
    pub(super) reader: RowReader<'d>,
    /// Why the walk was given up, where that was not the JSON's fault.
    pub(super) failure: Option<DecodeError>,
}

/// A record's wanted values as JSON text, reused from record to record.
pub(super) struct Record<'d, 'de> {
    pub(super) slots: Vec<Option<&'de str>>,
    /// What no column names.
    pub(super) unknown: Noted<'d>,
    /// Where there was no object: the place, and what was there.
    pub(super) wrong: Option<(&'d str, &'static str)>,
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
        let BodyAt { node, page } = self;
        let unwrapped = node.slot_unwrapped();
        if node.slot.is_none() && unwrapped.is_none() {
            return deserializer.deserialize_any(BodyAt { node, page });
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        if let Some(slot) = node.slot {
            page.captures[slot] = Some(raw);
        }
        let mut place = node;
        if let (Some(slot), Some(wrapped)) = (unwrapped, node.one_or_each.as_deref())
            && !raw.starts_with('[')
        {
            page.captures[slot] = Some(raw);
            place = wrapped;
        }
        if place.is_leaf() {
            return Ok(());
        }
        let mut again = serde_json::Deserializer::from_str(raw);
        again.deserialize_any(BodyAt { node: place, page }).map_err(D::Error::custom)
    }
}

impl<'de> BodyAt<'_, '_, 'de> {
    /// Each element of an array is this place. Of a wanted value that is in several of them the first counts.
    fn elements<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let BodyAt { node, page } = self;
        let mut first: Vec<(usize, &'de str)> = Vec::new();
        while seq.next_element_seed(BodyAt { node, page: &mut *page })?.is_some() {
            for slot in node.slot.iter().chain(&node.beneath) {
                let kept = first.iter().any(|(known, _)| known == slot);
                if let Some(raw) = page.captures[*slot].take_if(|raw| !matches!(*raw, "null" | "\"\""))
                    && !kept
                {
                    first.push((*slot, raw));
                }
            }
        }
        for (slot, raw) in first {
            page.captures[slot] = Some(raw);
        }
        Ok(())
    }

    fn here(&self) -> &str {
        if self.node.path.is_empty() { "the top" } else { &self.node.path }
    }

    /// Nothing wanted is here.
    fn nothing<E>(self) -> Result<(), E> {
        self.page.absent |= self.node.leads_to_rows;
        Ok(())
    }

    fn wrong<E: serde::de::Error>(&self, found: &str) -> Result<(), E> {
        let expected = if self.node.holds_rows() { "an array of records" } else { "an object" };
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
        if let Some(wrapped) = node.one_or_each.as_deref() {
            return BodyAt { node: wrapped, page }.visit_map(map);
        }
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
        if let Some(wrapped) = node.one_or_each.as_deref() {
            return BodyAt { node: wrapped, page }.elements(seq);
        }
        // Some languages write an empty object as an empty array.
        match seq.next_element::<IgnoredAny>()? {
            None => BodyAt { node, page }.nothing(),
            Some(_) => BodyAt { node, page }.wrong("an array"),
        }
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        // A null array is an empty page; a null on the way to it is not.
        if self.node.holds_rows() { Ok(()) } else { self.nothing() }
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
            Some((path, found)) => {
                page.reader.begin_record();
                Err(page.reader.wrong_shape(path, found))
            }
            None => {
                walked?;
                match page.elements {
                    None => page.reader.take(&page.record.slots),
                    Some(elements) => elements.take(&mut page.record, &mut page.reader),
                }
            }
        };
        taken.map_err(|failure| {
            page.failure = Some(failure);
            D::Error::custom("refused row")
        })
    }
}

/// What is found where one element is expected at most.
pub(super) const SEVERAL: &str = "several elements";

/// A place of a record.
pub(super) struct RecordAt<'p, 'd, 'de> {
    pub(super) node: &'d Node,
    pub(super) record: &'p mut Record<'d, 'de>,
}

impl<'de> DeserializeSeed<'de> for RecordAt<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let RecordAt { node, record } = self;
        let unwrapped = node.slot_unwrapped();
        if node.slot.is_none() && unwrapped.is_none() {
            return deserializer.deserialize_any(RecordAt { node, record });
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        if let Some(slot) = node.slot {
            record.slots[slot] = Some(raw);
        }
        let mut place = node;
        if let (Some(slot), Some(wrapped)) = (unwrapped, node.one_or_each.as_deref())
            && !raw.starts_with('[')
        {
            record.slots[slot] = Some(raw);
            place = wrapped;
        }
        if place.children.is_empty() && place.one_or_each.is_none() {
            return Ok(());
        }
        let mut again = serde_json::Deserializer::from_str(raw);
        again.deserialize_any(RecordAt { node: place, record }).map_err(D::Error::custom)
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
        if let Some(wrapped) = node.one_or_each.as_deref() {
            return RecordAt { node: wrapped, record }.visit_map(map);
        }
        for slot in &node.beneath {
            record.slots[*slot] = None;
        }
        while let Some(key) = map.next_key_seed(RecordKey { node, record: &mut *record })? {
            let Key::Known(index) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(RecordAt { node: &node.children[index].1, record: &mut *record })?;
        }
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if self.node.is_row() {
            return self.wrong("null");
        }
        // A null object has none of its values, and forgets those of the same key before.
        for slot in &self.node.beneath {
            self.record.slots[*slot] = None;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let RecordAt { node, record } = self;
        let Some(wrapped) = node.one_or_each.as_deref() else { return RecordAt { node, record }.wrong("an array") };
        for slot in &node.beneath {
            record.slots[*slot] = None;
        }
        if seq.next_element_seed(RecordAt { node: wrapped, record: &mut *record })?.is_none() {
            return Ok(());
        }
        match seq.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => RecordAt { node: wrapped, record }.wrong(SEVERAL),
        }
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
