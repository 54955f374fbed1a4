//! One pass over a body: wanted values are kept as borrowed JSON text, records are handed on one by one, everything
//! else is skipped without being built.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::DecodeError;
use super::each::Elements;
use super::fields;
use super::row::RowReader;
use super::tree::{Node, Tree};
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
    /// Values that were picked out of lists already; empty where none were.
    pub(super) picked: Vec<Option<&'de str>>,
    /// What no column names.
    pub(super) unknown: Noted<'d>,
    /// Which child each key of the record before named, in the order in which the keys came.
    guesses: Vec<usize>,
    /// Keys of this record so far. Whoever goes on with something that is alike may set it back.
    pub(super) keys: usize,
}

impl<'d, 'de> Record<'d, 'de> {
    pub(super) fn new(tree: &'d Tree) -> Record<'d, 'de> {
        let slots = vec![None; tree.slots()];
        Record { slots, picked: Vec::new(), unknown: Noted::default(), guesses: Vec::new(), keys: 0 }
    }

    /// The next record follows.
    pub(super) fn begin(&mut self) {
        self.slots.fill(None);
        self.picked.clear();
        self.unknown.begin_record();
        self.keys = 0;
    }

    /// Forgets what is wanted beneath `node`.
    pub(super) fn forget(&mut self, node: &Node) {
        for slot in &node.beneath {
            self.slots[*slot] = None;
        }
    }

    /// The place that the next key names, and the key's length with its quotes, where `ahead` begins with the key that was
    /// at its place in the record before.
    pub(super) fn guessed(&mut self, node: &'d Node, ahead: &[u8]) -> Option<(&'d Node, usize)> {
        let (_, child) = node.children.get(*self.guesses.get(self.keys)?)?;
        if !ahead.starts_with(child.quoted.as_bytes()) {
            return None;
        }
        self.keys += 1;
        Some((child, child.quoted.len()))
    }

    /// The place that `key`, as it is written between its quotes, names in `node`; one that no column names is noted.
    pub(super) fn child(&mut self, node: &'d Node, key: &str) -> Option<&'d Node> {
        let place = self.keys;
        self.keys += 1;
        let key = unescaped(key);
        let Some(index) = node.child(&key) else {
            self.unknown.note(&node.path, &key);
            return None;
        };
        // A guess is compared with what is written, so what was written with escapes is none.
        if let Cow::Borrowed(_) = key {
            self.guesses.resize(self.guesses.len().max(place + 1), usize::MAX);
            self.guesses[place] = index;
        }
        Some(&node.children[index].1)
    }
}

/// Whether a key, as it is written between its quotes, is this one.
pub(super) fn is_key(written: &str, key: &str) -> bool {
    written == key || (written.contains('\\') && unescaped(written) == key)
}

/// The key itself. Of one whose escapes mean no text nothing is known, and it is taken as it is written.
fn unescaped(key: &str) -> Cow<'_, str> {
    if key.contains('\\') {
        return serde_json::from_str(&format!("\"{key}\"")).map_or(Cow::Borrowed(key), Cow::Owned);
    }
    Cow::Borrowed(key)
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
    record.begin();
    let whole = serde_json::from_str::<&RawValue>(text).map_err(|_| (tree.root.path.as_str(), "no JSON"))?;
    fields::take(whole.get(), &tree.root, record)
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
        if node.slot.is_none() && unwrapped.is_none() && !node.object_is_record() {
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
        if raw.starts_with('{') && place.object_is_record() {
            return page.take(raw);
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
        if node.rows.is_some() {
            return BodyAt { node, page }.wrong("an object");
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
        let text = <&RawValue as serde::Deserialize>::deserialize(deserializer)?.get();
        self.page.take(text)
    }
}

impl<'de> Page<'_, 'de> {
    /// Takes the next record, whose text is well-formed.
    fn take<E: serde::de::Error>(&mut self, text: &'de str) -> Result<(), E> {
        self.record.begin();
        let taken = match fields::take(text, &self.tree.root, &mut self.record) {
            Err((path, found)) => {
                self.reader.begin_record();
                Err(self.reader.wrong_shape(path, found))
            }
            Ok(()) => match self.elements {
                None => self.reader.take(&self.record.slots, &self.record.picked),
                Some(elements) => elements.take(&mut self.record, &mut self.reader),
            },
        };
        taken.map_err(|failure| {
            self.failure = Some(failure);
            E::custom("refused row")
        })
    }
}

/// What is found where one element is expected at most.
pub(super) const SEVERAL: &str = "several elements";

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
