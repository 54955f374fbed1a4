//! The JSON Schema: current, described, and within what `validate` understands.

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::*;

#[test]
fn the_schema_in_the_repository_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/pipeline.schema.json");
    let current = format!("{:#}\n", json_schema());
    if std::env::var_os("HOURMARK_BLESS").is_some() {
        std::fs::write(&file, &current).expect("the schema can be written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == current, "pipelines/pipeline.schema.json is not current: run this test with HOURMARK_BLESS=1");
}

#[test]
fn every_key_and_word_is_described() {
    let schema = json_schema();
    let mut bare = Vec::new();
    let mut keys = 0;
    visit(&schema, &mut |object| {
        for (key, property) in object.get("properties").and_then(Json::as_object).into_iter().flatten() {
            keys += 1;
            // The word of a tagged table is described by its table.
            if property.get("const").is_none() && !described(property) {
                bare.push(key.clone());
            }
        }
        for choice in object.get("oneOf").and_then(Json::as_array).into_iter().flatten() {
            if !described(choice) {
                bare.push(choice.to_string());
            }
        }
    });
    assert_eq!(bare, Vec::<String>::new());
    assert!(keys > 100, "{keys}");
}

fn described(schema: &Json) -> bool {
    schema.get("description").and_then(Json::as_str).is_some_and(|text| text.len() > 3)
}

#[test]
fn every_key_stands_in_the_starter() {
    let starter = starter("acme");
    let mut absent = Vec::new();
    visit(&json_schema(), &mut |object| {
        for key in object.get("properties").and_then(Json::as_object).into_iter().flatten().map(|(key, _)| key) {
            let shown = [format!("{key} ="), format!("[{key}]"), format!("[[{key}]]"), format!(".{key}]")];
            if !shown.iter().any(|text| starter.contains(text)) {
                absent.push(key.clone());
            }
        }
    });
    assert_eq!(absent, Vec::<String>::new());
}

/// `validate` would pass over any other word in silence.
#[test]
fn the_schema_uses_only_what_is_validated() {
    const VALIDATED: [&str; 11] = [
        "$ref",
        "additionalProperties",
        "const",
        "items",
        "maximum",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "type",
        "$defs",
    ];
    // Of these, "format" says no more than the minimum and maximum that every number has (checked below), or that an
    // integer is one of TOML's.
    const SAYING_NOTHING: [&str; 5] = ["$schema", "title", "description", "default", "format"];
    visit(&json_schema(), &mut |object| {
        for word in object.keys() {
            assert!(
                VALIDATED.contains(&word.as_str()) || SAYING_NOTHING.contains(&word.as_str()),
                "{word}: {object:?}"
            );
        }
        if object.get("format").is_some_and(|format| format != "int64") {
            assert!(object.contains_key("minimum") && object.contains_key("maximum"), "{object:?}");
        }
    });
}

/// Calls `act` for every schema in `schema`: not for tables of schemas, and not for defaults.
fn visit(schema: &Json, act: &mut dyn FnMut(&Map<String, Json>)) {
    let Some(object) = schema.as_object() else { return };
    act(object);
    for word in ["properties", "$defs"] {
        for (_, inner) in object.get(word).and_then(Json::as_object).into_iter().flatten() {
            visit(inner, act);
        }
    }
    for word in ["items", "additionalProperties"] {
        if let Some(inner) = object.get(word) {
            visit(inner, act);
        }
    }
    for inner in object.get("oneOf").and_then(Json::as_array).into_iter().flatten() {
        visit(inner, act);
    }
}
