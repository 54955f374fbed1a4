//! The JSON Schema of a pipeline file, for editors and for `validate`.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

use super::raw::{PipelineFile, SharedFile};

/// The JSON Schema of a pipeline file (draft 2020-12). It is kept in the repository as `pipelines/pipeline.schema.json`.
pub fn json_schema() -> Json {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<PipelineFile>();
    let mut schema = schema.to_value();
    simplify(&mut schema);
    schema
}

/// The JSON Schema of the settings file's quotas. They are named by their tables, and share themselves with nobody.
pub(super) fn shared_schema() -> Json {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<SharedFile>();
    let mut schema = schema.to_value();
    simplify(&mut schema);
    if let Some(keys) = schema.pointer_mut("/$defs/Quota/properties").and_then(Json::as_object_mut) {
        keys.shift_remove("name");
        keys.shift_remove("shared");
    }
    schema
}

/// TOML has no null, so an optional key is one that may be left out and never one that may be null. Descriptions lose
/// the line breaks of the comments they come from.
fn simplify(schema: &mut Json) {
    match schema {
        Json::Array(list) => list.iter_mut().for_each(simplify),
        Json::Object(object) => {
            drop_null(object);
            if let Some(Json::String(text)) = object.get_mut("description") {
                *text = join_lines(text);
            }
            object.values_mut().for_each(simplify);
        }
        _ => {}
    }
}

fn drop_null(object: &mut Map<String, Json>) {
    if object.get("default") == Some(&Json::Null) {
        object.shift_remove("default");
    }
    if let Some(Json::Array(types)) = object.get_mut("type") {
        types.retain(|word| word != "null");
        if types.len() == 1 {
            let only = types.remove(0);
            object.insert("type".to_owned(), only);
        }
    }
    let Some(Json::Array(choices)) = object.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|word| word != "null"));
    if choices.len() == 1
        && let Json::Object(only) = choices.remove(0)
    {
        object.shift_remove("anyOf");
        object.extend(only);
    }
}

/// One line per paragraph.
fn join_lines(text: &str) -> String {
    let paragraphs: Vec<String> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    paragraphs.join("\n\n")
}
