//! Compares a file's tree with the format's JSON Schema and reports every difference.
//!
//! Serde stops at the first wrong key and does not know lines; this walk does neither. It understands just what schemars
//! makes of the types in `raw`: `$ref`, `type`, `properties`, `required`, `additionalProperties`, `items`, `oneOf` of
//! words or of tables with a tag, `minimum` and `maximum` (a test holds the schema to that list).

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::problem::{KeyPath, Origin, Problems, expected_one_of, shown};
use super::tree::{Node, Value};

/// Reports everything in `tree` that `schema` does not allow.
pub(super) fn validate(tree: &Node, schema: &Json, problems: &mut Problems) {
    let walk = Walk { root: schema };
    walk.value(tree, &KeyPath::root(), schema, problems);
}

/// The key that says which keys a table has.
const TAG: &str = "kind";
/// Where a table's schema says which word of [`TAG`] it is for.
const TAG_WORD: &str = "/properties/kind/const";

struct Walk<'s> {
    root: &'s Json,
}

impl<'s> Walk<'s> {
    fn value(&self, node: &Node, path: &KeyPath, schema: &'s Json, problems: &mut Problems) {
        let Some(schema) = resolve(self.root, schema) else { return };
        if let Some(choices) = schema.get("oneOf").and_then(Json::as_array) {
            return match words(choices) {
                Some(words) => self.word(node, path, &words, problems),
                None => self.tagged(node, path, choices, problems),
            };
        }
        match &node.value {
            Value::Table(table) if allows(schema, "object") => {
                self.table(Table { origin: node.origin, entries: table, kind: None }, path, schema, problems);
            }
            Value::List(list) if allows(schema, "array") => {
                let Some(items) = schema.get("items") else { return };
                for (index, item) in list.iter().enumerate() {
                    self.value(item, &path.index(index), items, problems);
                }
            }
            Value::Int(number) if allows(schema, "integer") || allows(schema, "number") => {
                range(*number as f64, node.origin, path, schema, problems);
            }
            Value::Float(number) if allows(schema, "number") => {
                range(*number, node.origin, path, schema, problems);
            }
            Value::Text(_) if allows(schema, "string") => {}
            Value::Bool(_) if allows(schema, "boolean") => {}
            _ if !schema.contains_key("type") => {}
            _ => problems.add(node.origin, path, mismatch(node, path, &kinds(schema))),
        }
    }

    fn table(&self, table: Table<'_>, path: &KeyPath, schema: &'s Map<String, Json>, problems: &mut Problems) {
        let no_keys = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties");
        for (key, node) in table.entries {
            let path = path.key(key);
            match (properties.and_then(|properties| properties.get(key)), others) {
                (Some(schema), _) => self.value(node, &path, schema, problems),
                (None, Some(Json::Bool(false))) => {
                    let known: Vec<&str> = properties.unwrap_or(&no_keys).keys().map(String::as_str).collect();
                    let with = table.kind.map(|kind| format!(" with kind \"{kind}\"")).unwrap_or_default();
                    let expected = expected_one_of(key, &known);
                    problems.add(node.origin, &path, format!("unknown key `{path}`{with}: {expected}"));
                }
                (None, Some(schema)) => self.value(node, &path, schema, problems),
                (None, None) => {}
            }
        }
        let required = schema.get("required").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        for key in required.iter().filter_map(Json::as_str) {
            if table.entries.contains_key(key) {
                continue;
            }
            let expected = properties.and_then(|properties| properties.get(key)).map(|schema| self.expected(schema));
            let expected = expected.unwrap_or_default();
            problems.add(table.origin, &path.key(key), format!("missing key `{}`: expected {expected}", path.key(key)));
        }
    }

    /// A closed list of words.
    fn word(&self, node: &Node, path: &KeyPath, words: &[&str], problems: &mut Problems) {
        match &node.value {
            Value::Text(text) if words.contains(&text.as_str()) => {}
            Value::Text(text) => {
                problems.add(
                    node.origin,
                    path,
                    format!("`{path}` is {}: {}", shown(text), expected_one_of(text, words)),
                );
            }
            _ => problems.add(node.origin, path, mismatch(node, path, &format!("one of {}", words.join(", ")))),
        }
    }

    /// A table whose `kind` says which keys it has. With a wrong kind its other keys cannot be judged.
    fn tagged(&self, node: &Node, path: &KeyPath, choices: &'s [Json], problems: &mut Problems) {
        let Value::Table(entries) = &node.value else {
            return problems.add(node.origin, path, mismatch(node, path, "a table"));
        };
        let mut kinds = Vec::new();
        for choice in choices {
            kinds.extend(choice.pointer(TAG_WORD).and_then(Json::as_str));
        }
        let path_of_tag = path.key(TAG);
        let Some(tag) = entries.get(TAG) else {
            let message = format!("missing key `{path_of_tag}`: expected one of {}", kinds.join(", "));
            return problems.add(node.origin, path, message);
        };
        let before = problems.count();
        self.word(tag, &path_of_tag, &kinds, problems);
        let Value::Text(kind) = &tag.value else { return };
        if problems.count() > before {
            return;
        }
        if let Some(choice) = choice_of(choices, kind) {
            self.table(Table { origin: node.origin, entries, kind: Some(kind) }, path, choice, problems);
        }
    }

    /// What a value of `schema` looks like, for people.
    fn expected(&self, schema: &'s Json) -> String {
        let Some(schema) = resolve(self.root, schema) else { return "a value".to_owned() };
        match schema.get("oneOf").and_then(Json::as_array) {
            Some(choices) => match words(choices) {
                Some(words) => format!("one of {}", words.join(", ")),
                None => "a table".to_owned(),
            },
            None => kinds(schema),
        }
    }
}

/// A table that is being compared.
struct Table<'a> {
    origin: Origin,
    entries: &'a IndexMap<String, Node>,
    /// The word that chose its keys, where there is one.
    kind: Option<&'a str>,
}

/// The schema itself, or the definition in `root` that it refers to. `None`: everything is allowed.
pub(super) fn resolve<'s>(root: &'s Json, schema: &'s Json) -> Option<&'s Map<String, Json>> {
    let mut schema = schema.as_object()?;
    while let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
        schema = root.pointer(reference.strip_prefix('#')?)?.as_object()?;
    }
    Some(schema)
}

/// The table among `choices` whose tag is `kind`.
pub(super) fn choice_of<'s>(choices: &'s [Json], kind: &str) -> Option<&'s Map<String, Json>> {
    let fits = |choice: &&Json| choice.pointer(TAG_WORD).and_then(Json::as_str) == Some(kind);
    choices.iter().find(fits).and_then(Json::as_object)
}

/// The words of a closed list; `None` where the choices are tables.
pub(super) fn words(choices: &[Json]) -> Option<Vec<&str>> {
    choices.iter().map(|choice| choice.get("const").and_then(Json::as_str)).collect()
}

pub(super) fn allows(schema: &Map<String, Json>, kind: &str) -> bool {
    match schema.get("type") {
        Some(Json::String(only)) => only == kind,
        Some(Json::Array(several)) => several.iter().any(|word| word == kind),
        _ => false,
    }
}

/// The kinds of value that `schema` allows, for people.
fn kinds(schema: &Map<String, Json>) -> String {
    const NAMES: [(&str, &str); 6] = [
        ("string", "a text in quotes"),
        ("integer", "an integer"),
        ("number", "a number"),
        ("boolean", "true or false"),
        ("array", "a list"),
        ("object", "a table"),
    ];
    let mut names = Vec::new();
    for (kind, name) in NAMES {
        // Every integer is a number.
        let said_by_number = kind == "integer" && allows(schema, "number");
        if allows(schema, kind) && !said_by_number {
            names.push(name);
        }
    }
    names.join(" or ")
}

fn range(number: f64, origin: Origin, path: &KeyPath, schema: &Map<String, Json>, problems: &mut Problems) {
    if in_range(number, schema) {
        return;
    }
    let limits = match limits(schema) {
        (Some(minimum), Some(maximum)) => format!("{minimum} to {maximum}"),
        (Some(minimum), None) => format!("at least {minimum}"),
        (None, Some(maximum)) => format!("at most {maximum}"),
        (None, None) => return,
    };
    problems.add(origin, path, format!("`{path}` is {number}: expected {limits}"));
}

/// Whether `number` is within the schema's `minimum` and `maximum`.
pub(super) fn in_range(number: f64, schema: &Map<String, Json>) -> bool {
    let (minimum, maximum) = limits(schema);
    minimum.is_none_or(|minimum| number >= minimum) && maximum.is_none_or(|maximum| number <= maximum)
}

fn limits(schema: &Map<String, Json>) -> (Option<f64>, Option<f64>) {
    let limit = |word: &str| schema.get(word).and_then(Json::as_f64);
    (limit("minimum"), limit("maximum"))
}

fn mismatch(node: &Node, path: &KeyPath, expected: &str) -> String {
    let found = match &node.value {
        Value::Text(text) if path.may_hold_secret() || text.is_empty() => "a text".to_owned(),
        Value::Int(_) | Value::Float(_) if path.may_hold_secret() => "a number".to_owned(),
        Value::Text(text) => shown(text),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        Value::Date(date) => format!("the date {date}"),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    };
    format!("`{path}` is {found}: expected {expected}")
}
