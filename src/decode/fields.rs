//! The fields of one record, cut out of its text.
//!
//! A parser has found the text well-formed, so nothing is checked here again: a value ends where its quotes or brackets
//! do. Records of a page are alike, so a key is first compared with the one that was at its place in the record before.
//! Asking the parser for each key and value takes longer.

use super::tree::Node;
use super::walk::{Record, SEVERAL};

/// Where there was no object, and what was there.
type Wrong<'d> = (&'d str, &'static str);

/// Takes the wanted values of `text`, a well-formed JSON value that stands at `node`, into `record`. Of a key that comes
/// twice the last value counts.
///
/// # Errors
/// Where there was no object, and what was there.
pub(super) fn take<'d, 'de>(text: &'de str, node: &'d Node, record: &mut Record<'d, 'de>) -> Result<(), Wrong<'d>> {
    let mut place = node;
    let unwrapped = node.slot_unwrapped();
    if node.slot.is_some() || unwrapped.is_some() {
        if let Some(slot) = node.slot {
            record.slots[slot] = Some(text);
        }
        if let (Some(slot), Some(wrapped)) = (unwrapped, node.one_or_each.as_deref())
            && !text.starts_with('[')
        {
            record.slots[slot] = Some(text);
            place = wrapped;
        }
        if place.children.is_empty() && place.one_or_each.is_none() {
            return Ok(());
        }
    }
    match text.as_bytes().first() {
        Some(b'{') => object(text, place, record),
        Some(b'[') => one_element(text, place, record),
        Some(b'n') if place.is_row() => Err((&place.path, "null")),
        Some(b'n') => {
            // A null object has none of its values, and forgets those of the same key before.
            record.forget(place);
            Ok(())
        }
        Some(b'"') => Err((&place.path, "text")),
        Some(b't' | b'f') => Err((&place.path, "true or false")),
        _ => Err((&place.path, "a number")),
    }
}

fn object<'d, 'de>(text: &'de str, node: &'d Node, record: &mut Record<'d, 'de>) -> Result<(), Wrong<'d>> {
    if let Some(wrapped) = node.one_or_each.as_deref() {
        return object(text, wrapped, record);
    }
    record.forget(node);
    let mut rest = Rest::inside(text);
    while rest.peek() == b'"' {
        let child = match record.guessed(node, rest.ahead()) {
            Some((child, length)) => {
                rest.at += length;
                Some(child)
            }
            None => {
                let key = rest.value();
                record.child(node, &key[1..key.len() - 1])
            }
        };
        rest.pass(b':');
        let value = rest.value();
        if let Some(child) = child {
            take(value, child, record)?;
        }
        rest.pass(b',');
    }
    Ok(())
}

/// A place that may be wrapped in an array of one element.
fn one_element<'d, 'de>(text: &'de str, node: &'d Node, record: &mut Record<'d, 'de>) -> Result<(), Wrong<'d>> {
    let Some(wrapped) = node.one_or_each.as_deref() else { return Err((&node.path, "an array")) };
    record.forget(node);
    let mut rest = Rest::inside(text);
    let Some(element) = rest.element() else { return Ok(()) };
    take(element, wrapped, record)?;
    if rest.element().is_none() { Ok(()) } else { Err((&wrapped.path, SEVERAL)) }
}

/// What follows in a well-formed text.
pub(super) struct Rest<'de> {
    text: &'de str,
    at: usize,
}

impl<'de> Rest<'de> {
    /// What is within the brackets of an object or a list.
    pub(super) fn inside(text: &'de str) -> Rest<'de> {
        Rest { text, at: 1 }
    }

    /// Whether a list goes on.
    pub(super) fn has_element(&mut self) -> bool {
        !matches!(self.peek(), b']' | 0)
    }

    /// Goes into the next element of a list, where that is an object.
    pub(super) fn enter_object(&mut self) -> bool {
        let is_object = self.peek() == b'{';
        self.at += usize::from(is_object);
        is_object
    }

    /// Leaves the object whose fields have all been read.
    pub(super) fn leave_object(&mut self) {
        self.pass(b'}');
        self.pass(b',');
    }

    /// A list's next element; `None` at its end.
    fn element(&mut self) -> Option<&'de str> {
        if !self.has_element() {
            return None;
        }
        let element = self.value();
        self.pass(b',');
        Some(element)
    }

    /// An object's next key, as it is written between its quotes, and its value; `None` at the end.
    pub(super) fn field(&mut self) -> Option<(&'de str, &'de str)> {
        if self.peek() != b'"' {
            return None;
        }
        let key = self.value();
        self.pass(b':');
        let value = self.value();
        self.pass(b',');
        Some((&key[1..key.len() - 1], value))
    }

    fn ahead(&self) -> &'de [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The next character that is no space; 0 at the end, where no well-formed text leads.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if *byte > b' ' {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    /// Passes over `sign`, where it comes next.
    fn pass(&mut self, sign: u8) {
        if self.peek() == sign {
            self.at += 1;
        }
    }

    /// The text of the next value, or of the next key with its quotes.
    fn value(&mut self) -> &'de str {
        let first = self.peek();
        let (bytes, begin) = (self.text.as_bytes(), self.at);
        self.at = match first {
            b'"' => end_of_text(bytes, begin),
            b'{' | b'[' => end_of_brackets(bytes, begin),
            _ => end_of_word(bytes, begin),
        };
        &self.text[begin..self.at]
    }
}

const EVERY: u64 = u64::from_ne_bytes([1; 8]);
const QUOTES: u64 = EVERY * b'"' as u64;
const BACKSLASHES: u64 = EVERY * b'\\' as u64;

/// Not 0 where a byte of `word` is 0: then the lowest bit is in the first of them.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(EVERY) & !word & (EVERY << 7)
}

/// Not 0 where a byte of `word` is a quote, a backslash or a control character: then the lowest bit is in the first.
pub(super) fn signs(word: u64) -> u64 {
    let controls = word.wrapping_sub(EVERY * b' ' as u64) & !word & (EVERY << 7);
    zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES) | controls
}

/// Where the text that begins with a quote at `begin` ends, its last quote included. Eight characters are looked at at a
/// time: most texts are so short that calling anything would take longer.
fn end_of_text(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = bytes.get(at) {
        if let Some(eight) = bytes[at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*eight);
            let found = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES);
            if found == 0 {
                at += 8;
                continue;
            }
            at += found.trailing_zeros() as usize / 8;
        } else if !matches!(byte, b'"' | b'\\') {
            at += 1;
            continue;
        }
        if bytes[at] == b'"' {
            return at + 1;
        }
        // What follows a backslash belongs to it.
        at += 2;
    }
    bytes.len()
}

fn end_of_brackets(bytes: &[u8], begin: usize) -> usize {
    let (mut at, mut depth) = (begin, 0usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_text(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Numbers, `true`, `false` and `null` end before what cannot belong to them.
fn end_of_word(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin;
    while bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'+')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;
    use crate::decode::tree::Tree;
    use crate::pipeline::JsonPath;

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "[a-c\"\\\\,:\\[\\]{}é\n ]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec(("[a-c\"\\\\]{0,2}", inner), 0..4)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Each value of an object is cut out as the parser would cut it out, whatever is in it.
        #[test]
        fn values_are_cut_out_as_the_parser_does(fields in prop::collection::vec(("[a-c\"\\\\]{0,2}", any_json()), 0..5), pretty: bool) {
            let object: serde_json::Map<String, serde_json::Value> = fields.into_iter().collect();
            let whole = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
            let whole = whole.expect("JSON");
            let expected: indexmap::IndexMap<String, &RawValue> = serde_json::from_str(&whole).expect("an object");
            let mut rest = Rest::inside(&whole);
            for (key, value) in &expected {
                let found = rest.field().expect("a field");
                prop_assert_eq!(format!("\"{}\"", found.0), serde_json::to_string(key).expect("a text"));
                prop_assert_eq!(found.1, value.get());
            }
            prop_assert_eq!(rest.field(), None);
        }

        #[test]
        fn wanted_values_are_those_of_a_parsed_document(value in any_json()) {
            let paths = ["a", "b.a", "b.c", "c"].map(|path| JsonPath::parse(path).expect("a path"));
            let mut tree = Tree::default();
            for path in &paths {
                tree.want(path);
            }
            let whole = value.to_string();
            let mut record = Record::new(&tree);
            record.begin();
            if take(&whole, &tree.root, &mut record).is_err() {
                return Ok(());
            }
            for (path, found) in paths.iter().zip(&record.slots) {
                let expected = path.values_in(&value).first().map(|value| value.to_string());
                prop_assert_eq!(found.map(str::to_owned), expected, "{}", path);
            }
        }
    }

    #[test]
    fn a_key_written_with_escapes_is_the_same_key() {
        let mut tree = Tree::default();
        tree.want(&JsonPath::parse("clicks").expect("a path"));
        let mut record = Record::new(&tree);
        for text in [r#"{"clicks":1}"#, r#"{"\u0063licks":1}"#, r#"{ "x" : [ {"clicks":2} ] , "clicks" : 1 }"#] {
            record.begin();
            take(text, &tree.root, &mut record).expect("an object");
            assert_eq!(record.slots, [Some("1")], "{text}");
        }
    }
}
