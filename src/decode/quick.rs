//! The quick way through a page that is built as nearly all are: an object, along plain keys to an array of records.
//!
//! The general way (`walk`) has the parser look at each character; then the records' fields are cut out of the text, which
//! looks at each character again. This way looks once. It knows all of JSON's rules and takes nothing that breaks one, but
//! it finds no words either: whatever it does not understand, and every row that is refused, it leaves to the general way,
//! which begins again.

use super::fields;
use super::list::ListPlan;
use super::row::RowPlan;
use super::tree::{Node, RowsAt, Tree};
use super::walk::{Page, Record};

/// Objects and lists within each other; the parser goes a little deeper.
const DEEPEST: usize = 100;

/// Whether all wanted places are reached by plain keys, so that the quick way knows them.
pub(super) fn knows(envelope: &Tree, record: &Tree) -> bool {
    fn plain(node: &Node) -> bool {
        let children = node.children.iter().all(|(_, child)| plain(child));
        node.each.is_none() && node.one_or_each.is_none() && node.rows != Some(RowsAt::Each) && children
    }
    plain(&envelope.root) && plain(&record.root)
}

/// Walks `text` along `tree`, as [`walk::body`](super::walk::body) does. `None`: what was done is to be forgotten, and
/// the general way must be gone.
pub(super) fn body<'d, 'de>(text: &'de str, tree: &'d Tree, page: &mut Page<'d, 'de>) -> Option<()> {
    let mut scan = Scan { text, at: 0 };
    let mut rows_found = false;
    scan.space();
    envelope(&mut scan, &tree.root, page, &mut rows_found, 0)?;
    scan.space();
    (scan.at == text.len()).then_some(())
}

/// A place of the envelope, whose value comes next.
fn envelope<'d, 'de>(
    scan: &mut Scan<'de>,
    node: &'d Node,
    page: &mut Page<'d, 'de>,
    rows_found: &mut bool,
    depth: usize,
) -> Option<()> {
    if node.rows.is_some() {
        // A second array of records would be added to the first.
        let is_first = !std::mem::replace(rows_found, true);
        return (is_first && node.slot.is_none()).then(|| records(scan, page))?;
    }
    let begin = scan.at;
    if node.children.is_empty() || (scan.peek() == b'n' && !node.leads_to_rows) {
        scan.value(depth)?;
    } else {
        let mut met = 0u64;
        let mut goes_on = scan.enter(b'{', b'}')?;
        while goes_on {
            let key = scan.key()?;
            match node.children.iter().position(|(name, _)| name == key) {
                // An escaped key may be a wanted one.
                None if key.contains('\\') => return None,
                None => scan.value(depth + 1)?,
                Some(index) => {
                    // Of a key that comes twice the last value counts: the general way knows how.
                    let bit = 1u64.checked_shl(index as u32).filter(|bit| met & bit == 0)?;
                    met |= bit;
                    envelope(scan, &node.children[index].1, page, rows_found, depth + 1)?;
                }
            }
            goes_on = scan.goes_on(b'}')?;
        }
        let leads =
            |(index, (_, child)): (usize, &(String, Node))| child.leads_to_rows && index < 64 && met >> index & 1 == 1;
        page.absent |= node.leads_to_rows && !node.children.iter().enumerate().any(leads);
    }
    if let Some(slot) = node.slot {
        page.captures[slot] = Some(&scan.text[begin..scan.at]);
    }
    Some(())
}

fn records<'d, 'de>(scan: &mut Scan<'de>, page: &mut Page<'d, 'de>) -> Option<()> {
    let (tree, plan) = (page.tree, page.reader.plan());
    let mut goes_on = scan.enter(b'[', b']')?;
    while goes_on {
        page.record.begin();
        record(scan, plan, &tree.root, &mut page.record, 0)?;
        page.reader.take(&page.record.slots, &page.record.picked).ok()?;
        goes_on = scan.goes_on(b']')?;
    }
    Some(())
}

/// A place of the record at hand, whose value comes next.
fn record<'d, 'de>(
    scan: &mut Scan<'de>,
    plan: &'d RowPlan,
    node: &'d Node,
    hand: &mut Record<'d, 'de>,
    depth: usize,
) -> Option<()> {
    if let Some(slot) = node.slot {
        if let Some(list) = plan.list_at(slot).filter(|_| depth == 1 && node.children.is_empty()) {
            if hand.slots[slot].is_some() {
                // Of a key that comes twice the last value counts: the general way knows how.
                return None;
            }
            if scan.peek() == b'[' {
                hand.slots[slot] = Some(NOTHING_LEFT);
                hand.picked.resize(plan.picked(), None);
                return pairs(scan, list, &mut hand.picked, depth);
            }
        }
        let begin = scan.at;
        scan.value(depth)?;
        let value = &scan.text[begin..scan.at];
        if node.children.is_empty() {
            hand.slots[slot] = Some(value);
            return Some(());
        }
        // Both the value and what is in it are wanted.
        return fields::take(value, node, hand).ok();
    }
    hand.forget(node);
    if scan.peek() == b'n' && !node.is_row() {
        return scan.value(depth);
    }
    let mut goes_on = scan.enter(b'{', b'}')?;
    while goes_on {
        let child = match hand.guessed(node, scan.ahead()) {
            Some((child, length)) => {
                scan.at += length;
                scan.colon()?;
                Some(child)
            }
            None => {
                let key = scan.key()?;
                hand.child(node, key)
            }
        };
        match child {
            Some(child) => record(scan, plan, child, hand, depth + 1)?,
            None => scan.value(depth + 1)?,
        }
        goes_on = scan.goes_on(b'}')?;
    }
    Some(())
}

/// In place of a list whose wanted values have been picked.
const NOTHING_LEFT: &str = "[]";

/// A list of pairs: what is wanted of it is picked while it is looked at.
fn pairs<'de>(scan: &mut Scan<'de>, list: &ListPlan, picked: &mut [Option<&'de str>], depth: usize) -> Option<()> {
    let mut goes_on = scan.enter(b'[', b']')?;
    while goes_on {
        // The type and the value of the pair.
        let mut found = [None, None];
        let mut has_more = scan.enter(b'{', b'}')?;
        while has_more {
            let place = scan.one_of(&list.quoted);
            let key = scan.key()?;
            // An escaped key may be a wanted one.
            if place.is_none() && key.contains('\\') {
                return None;
            }
            let begin = scan.at;
            scan.value(depth + 2)?;
            if let Some(place) = place {
                found[place] = Some(&scan.text[begin..scan.at]);
            }
            has_more = scan.goes_on(b'}')?;
        }
        let [by, value] = found;
        list.keep(by, value, picked).ok()?;
        goes_on = scan.goes_on(b']')?;
    }
    Some(())
}

/// What follows in a text of which nothing is known yet. `None` is what is no JSON.
struct Scan<'de> {
    text: &'de str,
    at: usize,
}

impl<'de> Scan<'de> {
    fn ahead(&self) -> &'de [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The next character; 0 at the end.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Which of two texts follows.
    fn one_of(&self, texts: &[String; 2]) -> Option<usize> {
        texts.iter().position(|text| self.ahead().starts_with(text.as_bytes()))
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn pass(&mut self, sign: u8) -> Option<()> {
        (self.peek() == sign).then(|| self.at += 1)
    }

    /// Goes into brackets; whether anything is in them.
    fn enter(&mut self, open: u8, close: u8) -> Option<bool> {
        self.pass(open)?;
        self.space();
        Some(self.pass(close).is_none())
    }

    /// After an element: whether another one follows.
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        self.space();
        let comma = self.pass(b',').is_some();
        if comma {
            self.space();
        } else {
            self.pass(close)?;
        }
        Some(comma)
    }

    /// A key, as it is written between its quotes, and its colon.
    fn key(&mut self) -> Option<&'de str> {
        let begin = self.at + 1;
        self.string()?;
        let key = &self.text[begin..self.at - 1];
        self.colon()?;
        Some(key)
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.pass(b':')?;
        self.space();
        Some(())
    }

    /// Any value.
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek() {
            b'"' => self.string(),
            b'{' if depth < DEEPEST => {
                let mut goes_on = self.enter(b'{', b'}')?;
                while goes_on {
                    self.key()?;
                    self.value(depth + 1)?;
                    goes_on = self.goes_on(b'}')?;
                }
                Some(())
            }
            b'[' if depth < DEEPEST => {
                let mut goes_on = self.enter(b'[', b']')?;
                while goes_on {
                    self.value(depth + 1)?;
                    goes_on = self.goes_on(b']')?;
                }
                Some(())
            }
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.ahead().starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        let _minus = self.pass(b'-');
        if self.pass(b'0').is_none() {
            self.digits()?;
        }
        if self.pass(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            let _sign = self.pass(b'+').or_else(|| self.pass(b'-'));
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let begin = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        (self.at > begin).then_some(())
    }

    /// A text with its quotes. Eight characters are looked at at a time.
    fn string(&mut self) -> Option<()> {
        self.pass(b'"')?;
        let bytes = self.text.as_bytes();
        loop {
            if let Some(eight) = bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
                let signs = fields::signs(u64::from_le_bytes(*eight));
                self.at += signs.trailing_zeros() as usize / 8;
                if signs == 0 {
                    continue;
                }
            }
            match bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.escape()?,
                0..b' ' => return None,
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.ahead() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [_, b'u', code @ ..] if code.len() >= 4 && code[..4].iter().all(u8::is_ascii_hexdigit) => self.at += 6,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts that are JSON, and such as are nearly.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just("\"a\""),
            Just("\"\\u00e9\\n\""),
            Just("\"\\u00g0\""),
            Just("\"\t\""),
            Just("-0.5e+10"),
            Just("01"),
            Just("1."),
            Just("-"),
            Just("12345678"),
            Just("true"),
            Just("nul"),
            Just("null"),
            Just(" "),
            Just("\n"),
            Just("\"long enough for two words\""),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        /// Exactly what the parser takes is taken, and as far as the parser goes.
        #[test]
        fn what_is_json_is_what_the_parser_says(text in nearly_json()) {
            let mut scan = Scan { text: &text, at: 0 };
            scan.space();
            let ours = scan.value(0).is_some() && {
                scan.space();
                scan.at == text.len()
            };
            prop_assert_eq!(ours, serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_left_to_the_parser() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for (depth, expected) in [(DEEPEST, true), (DEEPEST + 1, false), (100_000, false)] {
            let text = nested(depth);
            assert_eq!(Scan { text: &text, at: 0 }.value(0).is_some(), expected, "{depth}");
        }
    }
}
