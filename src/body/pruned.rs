//! Of a JSON body only what some places name. The rest is skipped and never built, so that a long page costs little when
//! somebody asks whether there is an error at its end.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::message::PLACES;
use super::{is_document, without_mark};
use crate::pipeline::{JsonPath, Step};

/// Places that are kept of a document: some of a pipeline's, and those at which platforms put their messages.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    root: Node,
}

/// One place and those beneath it.
#[derive(Debug, Default)]
struct Node {
    keys: Vec<(String, Node)>,
    /// Every element or value.
    each: Option<Box<Node>>,
    /// The value itself, or every element where it is an array.
    one_or_each: Option<Box<Node>>,
    /// The first element.
    first: Option<Box<Node>>,
    /// Whether a place ends here.
    end: bool,
}

impl Wanted {
    /// The places in `paths` and the messages' ones.
    pub(crate) fn new<'p>(paths: impl Iterator<Item = &'p JsonPath>) -> Wanted {
        let mut wanted = Wanted::default();
        for path in paths {
            path.0.iter().fold(&mut wanted.root, Node::step).end = true;
        }
        for pointer in PLACES {
            let node = pointer.split('/').skip(1).fold(&mut wanted.root, |node, word| match word {
                "0" => node.first.get_or_insert_default(),
                key => node.key(key),
            });
            node.end = true;
        }
        wanted
    }
}

impl Node {
    fn step(&mut self, step: &Step) -> &mut Node {
        match step {
            Step::Key(key) => self.key(key),
            Step::Each => self.each.get_or_insert_default(),
            Step::OneOrEach => self.one_or_each.get_or_insert_default(),
        }
    }

    fn key(&mut self, key: &str) -> &mut Node {
        let index = match self.keys.iter().position(|(name, _)| name == key) {
            Some(index) => index,
            None => {
                self.keys.push((key.to_owned(), Node::default()));
                self.keys.len() - 1
            }
        };
        &mut self.keys[index].1
    }
}

/// What holds no place whatever the path: neither a value at its end nor one on its way.
const NOTHING: Value = Value::Array(Vec::new());

/// The body as JSON, with nothing in it but what is `wanted`: of texts and numbers there the values, of lists and objects
/// that they are there. `None` where the body is no object and no list, or not well-formed to its end.
pub(crate) fn pruned(body: &[u8], wanted: &Wanted) -> Option<Value> {
    if !is_document(body) {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(without_mark(body));
    let kept = At(vec![&wanted.root]).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(kept.unwrap_or(NOTHING))
}

/// A value and the places that it is, several where paths cross.
struct At<'w>(Vec<&'w Node>);

impl<'w> At<'w> {
    /// The places with those that a value which is no list is besides.
    fn of_itself(mut self) -> At<'w> {
        let mut next = 0;
        while let Some(node) = self.0.get(next) {
            self.0.extend(node.one_or_each.as_deref());
            next += 1;
        }
        self
    }

    fn is_end(&self) -> bool {
        self.0.iter().any(|node| node.end)
    }

    fn of_key(&self, key: &str) -> At<'w> {
        let mut next = Vec::new();
        for node in &self.0 {
            next.extend(node.keys.iter().find(|(name, _)| name == key).map(|(_, node)| node));
            next.extend(node.each.as_deref());
        }
        At(next)
    }

    fn of_element(&self, index: usize) -> At<'w> {
        let mut next = Vec::new();
        for node in &self.0 {
            next.extend(node.each.as_deref());
            next.extend(node.one_or_each.as_deref());
            next.extend(node.first.as_deref().filter(|_| index == 0));
        }
        At(next)
    }

    fn scalar(self, value: Value) -> Option<Value> {
        self.of_itself().is_end().then_some(value)
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| None);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let here = self.of_itself();
        let mut kept = Map::new();
        while let Some((key, next)) = map.next_key_seed(KeyAt(&here))? {
            let wanted = !next.0.is_empty();
            match map.next_value_seed(next)? {
                // Of a key that comes twice the last value counts.
                Some(value) => kept.insert(key, value),
                None if wanted => kept.shift_remove(&key),
                None => None,
            };
        }
        Ok((here.is_end() || !kept.is_empty()).then_some(Value::Object(kept)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        // Where a place names the first element, that one stays the first.
        let first_named = self.0.iter().any(|node| node.first.is_some());
        let mut kept = Vec::new();
        let mut index = 0;
        while let Some(value) = seq.next_element_seed(self.of_element(index))? {
            match value {
                Some(value) => kept.push(value),
                None if index == 0 && first_named => kept.push(NOTHING),
                None => {}
            }
            index += 1;
        }
        Ok((self.is_end() || !kept.is_empty()).then_some(Value::Array(kept)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.scalar(Value::Null))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(self.scalar(Value::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(self.scalar(Value::Number(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.scalar(Value::Number(number.into())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(self.scalar(Number::from_f64(number).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.of_itself().is_end().then(|| Value::String(text.to_owned())))
    }
}

/// An object's key and what its value is; the key only where its value is wanted.
struct KeyAt<'k, 'w>(&'k At<'w>);

impl<'de, 'w> DeserializeSeed<'de> for KeyAt<'_, 'w> {
    type Value = (String, At<'w>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'w> Visitor<'_> for KeyAt<'_, 'w> {
    type Value = (String, At<'w>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let next = self.0.of_key(key);
        let key = if next.0.is_empty() { String::new() } else { key.to_owned() };
        Ok((key, next))
    }
}

#[cfg(test)]
mod tests;
