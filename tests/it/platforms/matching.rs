//! Which exchange a request is, or how it differs from the nearest. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use url::form_urlencoded;

use super::scenario::Exchange;

/// Fits anything.
const ANY: &str = "*";

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Arrived {
    pub method: String,
    /// As it was sent.
    pub path: String,
    /// As it was sent.
    pub query: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Arrived {
    /// `GET /v5/accounts?page_size=250`
    pub fn title(&self) -> String {
        let separator = if self.query.is_empty() { "" } else { "?" };
        format!("{} {}{separator}{}", self.method, self.path, self.query)
    }
}

/// Every way in which `arrived` is not `exchange`, a line each; none where it is.
pub fn differences(exchange: &Exchange, arrived: &Arrived) -> Vec<String> {
    let mut lines = Vec::new();
    if exchange.method != arrived.method {
        lines.push(format!("method: expected {}, sent {}", exchange.method, arrived.method));
    }
    if exchange.path != arrived.path && exchange.path != decoded(&arrived.path) {
        lines.push(format!("path: expected `{}`, sent `{}`", exchange.path, arrived.path));
    }
    lines.extend(pairs("query", &exchange.query, &parsed(&arrived.query)));
    for (name, value) in &exchange.headers {
        lines.extend(header(name, value, arrived.headers.get(&name.to_ascii_lowercase())));
    }
    lines.extend(body(exchange, arrived));
    lines
}

/// The exchanges that `arrived` is, by their places.
pub fn fitting(exchanges: &[Exchange], arrived: &Arrived) -> Vec<usize> {
    (0..exchanges.len()).filter(|place| differences(&exchanges[*place], arrived).is_empty()).collect()
}

/// What is said of a request that is none of `exchanges`.
pub fn unmatched(exchanges: &[Exchange], arrived: &Arrived) -> String {
    let mut said = format!("no exchange fits {}", arrived.title());
    let nearest = exchanges.iter().enumerate().map(|(place, exchange)| (place, differences(exchange, arrived)));
    // Another path or method weighs more than everything else.
    let weight = |lines: &[String]| {
        let heavy = |line: &&String| line.starts_with("path") || line.starts_with("method");
        lines.len() + 100 * lines.iter().filter(heavy).count()
    };
    match nearest.min_by_key(|(_, lines)| weight(lines)) {
        Some((place, lines)) => {
            said.push_str(&format!("\n  the nearest is exchange {} ({}):", place + 1, exchanges[place].title()));
            for line in lines {
                said.push_str(&format!("\n    {line}"));
            }
        }
        None => said.push_str("\n  there are no exchanges"),
    }
    said
}

fn header(name: &str, expected: &str, sent: Option<&String>) -> Option<String> {
    match (expected, sent) {
        ("", None) | (ANY, Some(_)) => None,
        ("", Some(sent)) => Some(format!("header {name}: must be absent, sent `{sent}`")),
        (_, None) => Some(format!("header {name}: expected `{expected}`, not sent")),
        (expected, Some(sent)) if expected == sent => None,
        (expected, Some(sent)) => Some(format!("header {name}: expected `{expected}`, sent `{sent}`")),
    }
}

/// Two lists of parameters, whatever their order.
fn pairs(what: &str, expected: &[(String, String)], sent: &[(String, String)]) -> Vec<String> {
    let mut left: Vec<&(String, String)> = sent.iter().collect();
    let mut missing = Vec::new();
    // Those that say something first, so that one of any value does not take their place.
    let (open, exact): (Vec<_>, Vec<_>) = expected.iter().partition(|(_, value)| value == ANY);
    for pair in exact.into_iter().chain(open) {
        let fits = |other: &&(String, String)| other.0 == pair.0 && same_text(&pair.1, &other.1);
        match left.iter().position(fits) {
            Some(place) => {
                left.remove(place);
            }
            None => missing.push(pair),
        }
    }
    missing.sort();
    left.sort();
    let absent = missing.into_iter().map(|(name, value)| format!("{what}: not sent: {name} = `{value}`"));
    let more = left.into_iter().map(|(name, value)| format!("{what}: not expected: {name} = `{value}`"));
    absent.chain(more).collect()
}

/// Whether a value fits; JSON in it whatever its spaces and the order of its keys.
fn same_text(expected: &str, sent: &str) -> bool {
    if expected == ANY || expected == sent {
        return true;
    }
    let document =
        |text: &str| serde_json::from_str::<Value>(text).ok().filter(|value| value.is_object() || value.is_array());
    match (document(expected), document(sent)) {
        (Some(expected), Some(sent)) => json("", &expected, &sent).is_empty(),
        _ => false,
    }
}

fn body(exchange: &Exchange, arrived: &Arrived) -> Vec<String> {
    match (&exchange.json, &exchange.form) {
        (Some(expected), _) => match serde_json::from_str::<Value>(&arrived.body) {
            Ok(sent) => json("", expected, &sent),
            Err(_) => vec![format!("body: expected JSON, sent `{}`", arrived.body)],
        },
        (None, Some(expected)) => pairs("form", expected, &parsed(&arrived.body)),
        (None, None) if arrived.body.is_empty() => Vec::new(),
        (None, None) => vec![format!("body: expected none, sent `{}`", arrived.body)],
    }
}

/// Where two documents differ.
fn json(at: &str, expected: &Value, sent: &Value) -> Vec<String> {
    let place = if at.is_empty() { "the body" } else { at };
    let below = |key: &dyn std::fmt::Display| if at.is_empty() { key.to_string() } else { format!("{at}.{key}") };
    match (expected, sent) {
        (Value::String(any), _) if any == ANY => Vec::new(),
        (Value::Object(expected), Value::Object(sent)) => {
            let mut lines = Vec::new();
            for (key, value) in expected {
                match sent.get(key) {
                    Some(found) => lines.extend(json(&below(key), value, found)),
                    None => lines.push(format!("json: not sent: {} = {value}", below(key))),
                }
            }
            let more = sent.iter().filter(|(key, _)| !expected.contains_key(*key));
            lines.extend(more.map(|(key, value)| format!("json: not expected: {} = {value}", below(key))));
            lines
        }
        (Value::Array(expected), Value::Array(sent)) if expected.len() == sent.len() => {
            let both = expected.iter().zip(sent).enumerate();
            both.flat_map(|(number, (expected, sent))| json(&below(&number), expected, sent)).collect()
        }
        (expected, sent) if expected == sent => Vec::new(),
        (expected, sent) => vec![format!("json: {place}: expected {expected}, sent {sent}")],
    }
}

fn parsed(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// A path without percent signs for letters.
fn decoded(path: &str) -> String {
    let safe = path.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    parsed(&safe).into_iter().next().map(|(name, _)| name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(text: &str) -> Exchange {
        toml::from_str(&format!("{text}\nanswers = []")).expect("an exchange")
    }

    fn get(path: &str, query: &str) -> Arrived {
        Arrived { method: "GET".into(), path: path.into(), query: query.into(), ..Arrived::default() }
    }

    #[test]
    fn parameters_fit_in_any_order_and_each_once() {
        let asked = exchange(
            "method = \"GET\"\npath = \"/a\"\nquery = [[\"id\", \"1\"], [\"id\", \"2\"], [\"at\", \"*\"], [\"t\", \"a b\"]]",
        );
        assert_eq!(differences(&asked, &get("/a", "t=a+b&id=2&at=x&id=1")), Vec::<String>::new());
        assert_eq!(
            differences(&asked, &get("/a", "t=a+b&id=1&at=x&id=1&more=1")),
            ["query: not sent: id = `2`", "query: not expected: id = `1`", "query: not expected: more = `1`"]
        );
        assert_eq!(differences(&asked, &get("/a", "t=a%2Bb&id=2&at=x&id=1")).len(), 2);
    }

    #[test]
    fn paths_fit_as_they_are_and_decoded() {
        let asked = exchange("method = \"GET\"\npath = \"/a/urn:li:x(1)\"");
        assert!(differences(&asked, &get("/a/urn:li:x(1)", "")).is_empty());
        assert!(differences(&asked, &get("/a/urn%3Ali%3Ax(1)", "")).is_empty());
        assert_eq!(differences(&asked, &get("/b", "")), ["path: expected `/a/urn:li:x(1)`, sent `/b`"]);
    }

    #[test]
    fn documents_are_compared_value_by_value() {
        let asked = exchange(
            "method = \"GET\"\npath = \"/a\"\njson = { from = \"*\", list = [1, { x = true }], limit = 10, gone = 1 }",
        );
        let body = r#"{"list":[1,{"x":false}],"limit":"10","from":"now","more":{}}"#;
        let lines = differences(&asked, &Arrived { body: body.into(), ..get("/a", "") });
        assert_eq!(
            lines,
            [
                "json: list.1.x: expected true, sent false",
                "json: limit: expected 10, sent \"10\"",
                "json: not sent: gone = 1",
                "json: not expected: more = {}",
            ]
        );
        let unasked = exchange("method = \"GET\"\npath = \"/a\"");
        let lines = differences(&unasked, &Arrived { body: "{}".into(), ..get("/a", "") });
        assert_eq!(lines, ["body: expected none, sent `{}`"]);
    }

    #[test]
    fn headers_are_there_absent_or_of_a_value() {
        let asked = exchange("method = \"GET\"\npath = \"/a\"\nheaders = { A = \"1\", B = \"*\", C = \"\" }");
        let with = |pairs: &[(&str, &str)]| Arrived {
            headers: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..get("/a", "")
        };
        assert!(differences(&asked, &with(&[("a", "1"), ("b", "x"), ("d", "any")])).is_empty());
        assert_eq!(
            differences(&asked, &with(&[("a", "2"), ("c", "x")])),
            [
                "header A: expected `1`, sent `2`",
                "header B: expected `*`, not sent",
                "header C: must be absent, sent `x`"
            ]
        );
    }

    #[test]
    fn forms_with_documents_in_them_fit_whatever_the_spaces() {
        let asked = exchange("method = \"POST\"\npath = \"/\"\nform = [[\"batch\", '[{\"b\": 1, \"a\": \"*\"}]']]");
        let body = "batch=%5B%7B%22a%22%3A%22x%22%2C%22b%22%3A1%7D%5D".to_owned();
        let arrived = Arrived { method: "POST".into(), path: "/".into(), body, ..Arrived::default() };
        assert!(differences(&asked, &arrived).is_empty(), "{:?}", differences(&asked, &arrived));
    }
}
