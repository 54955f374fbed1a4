//! A broken file's values with stand-ins for what the schema does not allow, so that the rest can still be checked and
//! all problems are reported at once. A file that is right comes out as it is.

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::tree::{Node, Value};
use super::validate::{allows, choice_of, in_range, resolve, words};

/// `tree` as JSON that `schema` allows. Stand-ins are empty or the smallest; nobody gets to see them, because the file is
/// refused and nothing more is said about its broken parts.
pub(super) fn mend(tree: &Node, schema: &Json) -> Json {
    Mender { root: schema }.value(Some(tree), schema)
}

struct Mender<'s> {
    root: &'s Json,
}

impl<'s> Mender<'s> {
    /// `node`, or a stand-in where it is absent or wrong.
    fn value(&self, node: Option<&Node>, schema: &'s Json) -> Json {
        let Some(schema) = resolve(self.root, schema) else { return node.map_or(Json::Null, Node::to_json) };
        if let Some(choices) = schema.get("oneOf").and_then(Json::as_array) {
            return self.choice(node, choices);
        }
        if let Some(word) = schema.get("const") {
            return word.clone();
        }
        if !schema.contains_key("type") {
            return node.map_or(Json::Null, Node::to_json);
        }
        match node.map(|node| &node.value) {
            Some(Value::Table(table)) if allows(schema, "object") => self.table(table, schema),
            Some(Value::List(list)) if allows(schema, "array") => {
                let items = schema.get("items").unwrap_or(&Json::Null);
                Json::Array(list.iter().map(|item| self.value(Some(item), items)).collect())
            }
            Some(Value::Text(text)) if allows(schema, "string") => Json::from(text.as_str()),
            Some(Value::Bool(yes)) if allows(schema, "boolean") => Json::from(*yes),
            Some(Value::Int(number)) if allows(schema, "integer") && in_range(*number as f64, schema) => {
                Json::from(*number)
            }
            Some(Value::Int(number)) if allows(schema, "number") && in_range(*number as f64, schema) => {
                Json::from(*number as f64)
            }
            Some(Value::Float(number)) if allows(schema, "number") && in_range(*number, schema) => Json::from(*number),
            _ => self.stand_in(schema),
        }
    }

    fn choice(&self, node: Option<&Node>, choices: &'s [Json]) -> Json {
        if let Some(words) = words(choices) {
            let found = match node.map(|node| &node.value) {
                Some(Value::Text(text)) => words.iter().find(|word| *word == text),
                _ => None,
            };
            return found.or(words.first()).map_or(Json::Null, |word| Json::from(*word));
        }
        let no_keys = IndexMap::new();
        let table = match node.map(|node| &node.value) {
            Some(Value::Table(table)) => table,
            _ => &no_keys,
        };
        let kind = match table.get("kind").map(|node| &node.value) {
            Some(Value::Text(kind)) => kind.as_str(),
            _ => "",
        };
        let chosen = choice_of(choices, kind).or_else(|| choices.first().and_then(Json::as_object));
        chosen.map_or(Json::Null, |chosen| self.table(table, chosen))
    }

    fn table(&self, table: &IndexMap<String, Node>, schema: &'s Map<String, Json>) -> Json {
        let properties = schema.get("properties").and_then(Json::as_object);
        let mut mended = Map::new();
        for (key, node) in table {
            let property = properties.and_then(|properties| properties.get(key));
            match property.or(schema.get("additionalProperties")) {
                Some(Json::Bool(false)) => {}
                Some(property) => {
                    mended.insert(key.clone(), self.value(Some(node), property));
                }
                None => {
                    mended.insert(key.clone(), node.to_json());
                }
            }
        }
        let required = schema.get("required").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        for key in required.iter().filter_map(Json::as_str) {
            if let Some(property) = properties.and_then(|properties| properties.get(key))
                && !mended.contains_key(key)
            {
                mended.insert(key.to_owned(), self.value(None, property));
            }
        }
        Json::Object(mended)
    }

    fn stand_in(&self, schema: &'s Map<String, Json>) -> Json {
        if allows(schema, "string") {
            return Json::from("");
        }
        if allows(schema, "integer") || allows(schema, "number") {
            return schema.get("minimum").cloned().unwrap_or(Json::from(0));
        }
        if allows(schema, "boolean") {
            return Json::from(false);
        }
        if allows(schema, "array") {
            return Json::Array(Vec::new());
        }
        self.table(&IndexMap::new(), schema)
    }
}
