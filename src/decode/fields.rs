//! The fields of one record, cut out of its text.
//!
//! A parser has found the text well-formed, so nothing is checked here again: a value ends where its quotes or brackets
//! do. Records of a page are alike, so a key is first compared with the one that was at its place in the record before.
//! Both together cost half of what asking the parser for each key and value costs, and this is a third of all that is
//! done with a row.

use memchr::memchr2;

use super::tree::Node;
use super::walk::{Record, SEVERAL};

/// Where there was no object, and what was there.
type Wrong<'d> = (&'d str, &'static str);

/// Takes the wanted values of `text`, a well-formed JSON value that stands at `node`, into `record`. Of a key that comes
/// twice the last value counts.
///
/// # Errors
/// Where there was no object, and what was there.
pub(super) fn take<'d, 'de>(
    text: &'de str,
    node: &'d Node,
    record: &mut Record<'d, 'de>,
) -> Result<(), Wrong<'d>> {
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
    let mut rest = Rest { text, at: 1 };
    while rest.peek() == b'"' {
        let key = rest.value();
        rest.pass(b':');
        let value = rest.value();
        if let Some(child) = record.child(node, &key[1..key.len() - 1]) {
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
    let mut rest = Rest { text, at: 1 };
    if rest.peek() == b']' {
        return Ok(());
    }
    let element = rest.value();
    take(element, wrapped, record)?;
    rest.pass(b',');
    if rest.peek() == b']' { Ok(()) } else { Err((&wrapped.path, SEVERAL)) }
}

/// What follows in a well-formed text.
struct Rest<'de> {
    text: &'de str,
    at: usize,
}

impl<'de> Rest<'de> {
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

/// Where the text that begins with a quote at `begin` ends, its last quote included.
fn end_of_text(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
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
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':') || *byte <= b' ';
    bytes[begin..].iter().position(ends).map_or(bytes.len(), |length| begin + length)
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
            let mut rest = Rest { text: &whole, at: 1 };
            for (key, value) in &expected {
                prop_assert_eq!(rest.value(), serde_json::to_string(key).expect("a text"));
                rest.pass(b':');
                prop_assert_eq!(rest.value(), value.get());
                rest.pass(b',');
            }
            prop_assert_eq!(rest.peek(), b'}');
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
