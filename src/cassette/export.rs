//! One plain file for a bug report. Pure.
//!
//! A [`Disguise`] puts a short hash in the place of every account's id and name and every campaign's name and id that
//! the cassette knows of: the same everywhere in the file. Ids of digits become other digits, so that a number in a body
//! stays a number.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use url::form_urlencoded;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::format::{Exchange, Header, Line};
use crate::decode::cells_of;
use crate::pipeline::{JsonPath, Pipeline};

/// Shorter ids are parts of everything: they are replaced only where quotes, `/`, `=` or `,` enclose them.
const SHORTEST: usize = 4;

/// What stands for which name.
#[derive(Debug, Default)]
pub struct Disguise {
    /// The longest first, so that no name is torn apart by another that it holds.
    words: Vec<(String, String)>,
}

impl Disguise {
    /// For everything that the header and the parts of a cassette name, and for `campaigns`. Another `seed` gives other
    /// hashes, which nobody can guess back.
    pub fn new(header: &Header, lines: &[Line], campaigns: &BTreeSet<String>, seed: u64) -> Disguise {
        let mut words: BTreeMap<String, String> = BTreeMap::new();
        let mut add = |word: &str, kind: &str| {
            if !word.is_empty() {
                words.entry(word.to_owned()).or_insert_with(|| replacement(word, kind, seed));
            }
        };
        for account in &header.accounts {
            add(&account.id, "account");
            add(&account.name, "account");
        }
        for gone in &header.gone {
            add(&gone.account, "account");
        }
        for line in lines {
            let Line::Part(part) = line else { continue };
            for id in &part.accounts {
                add(id, "account");
            }
            for (id, name) in &part.campaign_names {
                add(id, "campaign");
                add(name, "campaign");
            }
            for id in part.campaign_currencies.keys() {
                add(id, "campaign");
            }
        }
        for word in campaigns {
            add(word, "campaign");
        }
        let mut words: Vec<(String, String)> = words.into_iter().collect();
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        Disguise { words }
    }

    /// `text` with every known name replaced, in plain text, in JSON, in comma-separated values and in URLs.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, replacement) in &self.words {
            text = replaced(&text, word, replacement);
            let encoded: String = form_urlencoded::byte_serialize(word.as_bytes()).collect();
            let escaped = serde_json::Value::from(word.as_str()).to_string();
            let escaped = &escaped[1..escaped.len() - 1];
            let quoted = word.replace('"', "\"\"");
            for form in [encoded.replace('+', "%20"), encoded, escaped.to_owned(), escaped.replace('/', "\\/"), quoted]
            {
                if form != *word {
                    text = replaced(&text, &form, replacement);
                }
            }
        }
        text
    }

    /// The header in disguise.
    pub fn header(&self, header: &Header) -> Header {
        let mut header = header.clone();
        for account in &mut header.accounts {
            (account.id, account.name) = (self.whole(&account.id), self.whole(&account.name));
        }
        if let Some(unit) = &mut header.unit {
            unit.key = self.text(&unit.key);
        }
        for gone in &mut header.gone {
            (gone.account, gone.why) = (self.whole(&gone.account), self.text(&gone.why));
        }
        if let Some(failed) = &mut header.failed {
            failed.reason = self.text(&failed.reason);
        }
        header
    }

    /// A line in disguise.
    pub fn line(&self, line: &Line) -> Line {
        let mut line = line.clone();
        match &mut line {
            Line::Part(part) => {
                for id in &mut part.accounts {
                    *id = self.whole(id);
                }
                let names = std::mem::take(&mut part.campaign_names);
                part.campaign_names = names.iter().map(|(id, name)| (self.whole(id), self.whole(name))).collect();
                let currencies = std::mem::take(&mut part.campaign_currencies);
                part.campaign_currencies = currencies.into_iter().map(|(id, it)| (self.whole(&id), it)).collect();
            }
            Line::Exchange(exchange) => self.exchange(exchange),
            Line::Pipeline { text, .. } => *text = self.text(text),
            Line::Dropped { .. } | Line::End { .. } => {}
        }
        line
    }

    fn exchange(&self, exchange: &mut Exchange) {
        exchange.url = self.text(&exchange.url);
        for (_, value) in exchange.request_headers.iter_mut().chain(&mut exchange.headers) {
            *value = self.text(value);
        }
        for text in [&mut exchange.request_body, &mut exchange.body, &mut exchange.error].into_iter().flatten() {
            *text = self.text(text);
        }
        // What is no text cannot be looked through.
        if exchange.body_base64.take().is_some() {
            exchange.body = Some("[not text: left out]".to_owned());
        }
    }

    /// What stands for a text that is a name as a whole.
    fn whole(&self, text: &str) -> String {
        match self.words.iter().find(|(word, _)| word == text) {
            Some((_, replacement)) => replacement.clone(),
            None => text.to_owned(),
        }
    }
}

/// The ids and names of campaigns in the pages of a cassette, where this pipeline file says that they are.
pub fn campaigns_in(lines: &[Line], pipeline: &Pipeline) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let identity = &pipeline.identity;
    let places = [(&identity.campaign, identity.campaign_after.as_deref()), (&identity.campaign_name, None)];
    for line in lines {
        let Line::Exchange(exchange) = line else { continue };
        let Some(body) = exchange.body.as_deref() else { continue };
        for (place, after) in &places {
            let Some(place) = place else { continue };
            for text in texts_at(place, body, pipeline) {
                // What stands before the id is the platform's and stays, or the page could not be read any more.
                let text = after.and_then(|after| text.split_once(after)).map_or(text.as_str(), |(_, id)| id);
                found.insert(text.to_owned());
            }
        }
    }
    found
}

/// The texts at a `place` of each record in a body.
fn texts_at(place: &JsonPath, body: &str, pipeline: &Pipeline) -> Vec<String> {
    let mut found = cells_of(body, &pipeline.shape.format, &[&place.to_string()]);
    let Ok(document) = serde_json::from_str::<Value>(body) else { return found };
    for records in pipeline.records.path.values_in(&document) {
        for record in records.as_array().map_or(std::slice::from_ref(records), Vec::as_slice) {
            for value in place.values_in(record) {
                match value {
                    Value::String(text) => found.push(text.clone()),
                    Value::Number(number) => found.push(number.to_string()),
                    _ => {}
                }
            }
        }
    }
    found
}

/// Digits for digits, else the kind and a hash.
fn replacement(word: &str, kind: &str, seed: u64) -> String {
    let hash = xxh3_64_with_seed(word.as_bytes(), seed);
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        // Never a zero in front: a number would become shorter.
        let digits = format!("{hash:020}{:020}", hash.rotate_left(32));
        let first = char::from(b'1' + (hash % 9) as u8);
        return std::iter::once(first).chain(digits.chars().rev()).take(word.len()).collect();
    }
    format!("{kind}-{:08x}", hash as u32)
}

/// `text` with every `word` in it replaced that is not a part of a longer word or number.
fn replaced(text: &str, word: &str, replacement: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(word) {
        let (before, after) = (&rest[..place], &rest[place + word.len()..]);
        out.push_str(before);
        let alone = encloses(left_of(&out), word) && encloses(after.chars().next(), word);
        out.push_str(if alone { replacement } else { word });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The character before a word; that which `%2C` stands for, where it is so written.
fn left_of(text: &str) -> Option<char> {
    let encoded = text.len().checked_sub(3).and_then(|begin| text.get(begin..)).filter(|end| end.starts_with('%'));
    match encoded.and_then(|end| u8::from_str_radix(&end[1..], 16).ok()) {
        Some(byte) => Some(char::from(byte)),
        None => text.chars().next_back(),
    }
}

/// Whether a word may end at this neighbour.
fn encloses(neighbour: Option<char>, word: &str) -> bool {
    match neighbour {
        None => true,
        Some(found) if word.len() < SHORTEST => matches!(found, '"' | '/' | '=' | ',' | '?' | '&' | '%'),
        Some(found) => !found.is_alphanumeric(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::RecordFormat;

    fn disguise(words: &[&str]) -> Disguise {
        let words = words.iter().map(|word| ((*word).to_owned(), replacement(word, "account", 7))).collect();
        Disguise { words }
    }

    #[test]
    fn names_are_replaced_everywhere_and_in_the_same_way() {
        let disguise = disguise(&["Shoes & \"Söhne\"", "100001"]);
        let name = replacement("Shoes & \"Söhne\"", "account", 7);
        let number = replacement("100001", "account", 7);
        let url = disguise.text("/a/100001?n=Shoes+%26+%22S%C3%B6hne%22&ids=2%2C100001");
        assert_eq!(url, format!("/a/{number}?n={name}&ids=2%2C{number}"));
        assert_eq!(
            disguise.text(r#"{"id":100001,"name":"Shoes & \"Söhne\"","spend":1000017}"#),
            format!(r#"{{"id":{number},"name":"{name}","spend":1000017}}"#)
        );
        assert!(number.len() == 6 && number != "100001" && number.parse::<u64>().is_ok(), "{number}");
    }

    #[test]
    fn names_in_comma_separated_values_are_found_and_replaced() {
        let body =
            "\u{feff}\"Rows: 2\"\n\n\"hour\",\"campaign\",\"name\"\n\"9\",\"urn:c:4200011\",\"Shoes, \"\"A\"\"\"\n";
        let mut pipeline = crate::request::tests::pipeline("http://api.test");
        pipeline.identity.campaign_after = Some("urn:c:".into());
        pipeline.identity.campaign_name = JsonPath::parse("name");
        pipeline.shape.format = RecordFormat::Csv { header: "campaign".into(), footers: Vec::new() };
        let exchange = Exchange { body: Some(body.into()), ..Exchange::default() };
        let campaigns = campaigns_in(&[Line::Exchange(Box::new(exchange))], &pipeline);
        assert_eq!(campaigns.iter().map(String::as_str).collect::<Vec<_>>(), ["4200011", "Shoes, \"A\""]);
        let disguise = disguise(&["4200011", "Shoes, \"A\""]);
        let (id, name) = (replacement("4200011", "account", 7), replacement("Shoes, \"A\"", "account", 7));
        let expected =
            format!("\u{feff}\"Rows: 2\"\n\n\"hour\",\"campaign\",\"name\"\n\"9\",\"urn:c:{id}\",\"{name}\"\n");
        assert_eq!(disguise.text(body), expected);
    }

    #[test]
    fn short_ids_are_replaced_only_where_they_stand_alone() {
        let disguise = disguise(&["12"]);
        let number = replacement("12", "account", 7);
        let text = r#"{"id":"12","clicks": 12,"at":"2026-12-12"} /a/12?x=12"#;
        let expected = format!(r#"{{"id":"{number}","clicks": 12,"at":"2026-12-12"}} /a/{number}?x={number}"#);
        assert_eq!(disguise.text(text), expected);
    }

    #[test]
    fn another_seed_gives_other_words() {
        assert_ne!(replacement("100001", "account", 1), replacement("100001", "account", 2));
        assert_eq!(replacement("act_1", "account", 1).len(), "account-".len() + 8);
    }
}
