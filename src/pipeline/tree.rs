//! The file's text as a tree of values, each of which knows its line.

use indexmap::IndexMap;
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{KeyPath, Origin, Problems};

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// A TOML value. Dates are kept as text, because no key of the format takes one.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    Date(String),
    List(Vec<Node>),
    Table(IndexMap<String, Node>),
}

impl Node {
    /// Where the value at `path` was written, or the nearest table around it.
    pub(super) fn origin_at(&self, path: &KeyPath) -> Origin {
        let mut node = self;
        for key in path.segments() {
            let inner = match &node.value {
                Value::Table(table) => table.get(key),
                Value::List(list) => key.parse().ok().and_then(|index: usize| list.get(index)),
                _ => None,
            };
            match inner {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node.origin
    }

    /// The same value without lines.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Text(text) | Value::Date(text) => Json::from(text.as_str()),
            Value::Int(number) => Json::from(*number),
            Value::Float(number) => Json::from(*number),
            Value::Bool(yes) => Json::from(*yes),
            Value::List(list) => Json::Array(list.iter().map(Node::to_json).collect()),
            Value::Table(table) => {
                Json::Object(table.iter().map(|(key, node)| (key.clone(), node.to_json())).collect())
            }
        }
    }
}

/// Reads a whole file. Syntax errors go to `problems`, each with its line; the text around them does not, because it may
/// hold a secret that was written into the file.
pub(super) fn read(text: &str, problems: &mut Problems) -> Node {
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map_or(1, |span| lines.line_at(span.start));
        let message = format!("not TOML: {}{}", error.message(), repeated_key(error, text));
        problems.add(Origin::Line(line), &KeyPath::root(), message);
    }
    let reader = Reader { lines: Some(&lines) };
    Node { origin: Origin::Line(1), value: reader.table(table.get_ref(), &KeyPath::root(), problems) }
}

/// ` `key``, where the error is about a key that stands twice. Of no other error is the text shown.
fn repeated_key(error: &toml::de::Error, text: &str) -> String {
    let place = error.span().and_then(|span| text.get(span)).unwrap_or_default();
    let bare = !place.is_empty() && place.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if error.message() == "duplicate key" && bare { format!(" `{place}`") } else { String::new() }
}

/// Reads one value of the command line: a TOML value, or else the text as it is.
pub(super) fn read_value(text: &str, path: &KeyPath, problems: &mut Problems) -> Node {
    let reader = Reader { lines: None };
    let value = match DeValue::parse(text) {
        Ok(value) => reader.value(value.get_ref(), Origin::Set, path, problems),
        Err(_) => Value::Text(text.to_owned()),
    };
    Node { origin: Origin::Set, value }
}

struct Reader<'a> {
    /// Absent for values of the command line.
    lines: Option<&'a Lines>,
}

impl Reader<'_> {
    fn origin<T>(&self, spanned: &Spanned<T>) -> Origin {
        match self.lines {
            Some(lines) => Origin::Line(lines.line_at(spanned.span().start)),
            None => Origin::Set,
        }
    }

    fn table(&self, table: &DeTable<'_>, path: &KeyPath, problems: &mut Problems) -> Value {
        let mut entries = IndexMap::new();
        for (key, value) in table {
            let origin = self.origin(key);
            let name = key.get_ref().to_string();
            let value = self.value(value.get_ref(), origin, &path.key(&name), problems);
            entries.insert(name, Node { origin, value });
        }
        Value::Table(entries)
    }

    fn value(&self, value: &DeValue<'_>, origin: Origin, path: &KeyPath, problems: &mut Problems) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => return Value::Int(number),
                    Err(_) => problems.add(origin, path, format!("`{path}` is not a 64-bit integer")),
                }
                Value::Int(0)
            }
            DeValue::Float(number) => {
                match number.as_str().parse::<f64>() {
                    Ok(number) if number.is_finite() => return Value::Float(number),
                    _ => problems.add(origin, path, format!("`{path}` is not a finite number")),
                }
                Value::Float(0.0)
            }
            DeValue::Boolean(yes) => Value::Bool(*yes),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(list) => {
                let mut nodes = Vec::with_capacity(list.len());
                for (index, item) in list.iter().enumerate() {
                    let origin = self.origin(item);
                    let value = self.value(item.get_ref(), origin, &path.index(index), problems);
                    nodes.push(Node { origin, value });
                }
                Value::List(nodes)
            }
            DeValue::Table(table) => self.table(table, path, problems),
        }
    }
}

/// Where each line begins.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Lines {
        let mut starts = vec![0];
        for (index, byte) in text.bytes().enumerate() {
            if byte == b'\n' {
                starts.push(index + 1);
            }
        }
        Lines { starts }
    }

    /// The line, from 1, that holds the byte at `offset`.
    fn line_at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }
}
