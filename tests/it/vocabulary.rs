//! `docs/vocabulary.md`: every word of the pipeline file, and which of the shipped files use it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

const BEGIN: &str = "# The vocabulary, and who uses it

The words of a pipeline file are a closed list: there are no expressions and no scripts, so what a file can say is what stands
here. [`pipeline-file.md`](pipeline-file.md) says what each means. A test holds this page current, so a word
that no shipped file needs shows at its end.

";

/// A word's place in the file, with `NAME` for names that a file chooses, and the files that use it.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Walks a file along the schema.
struct Walk<'a> {
    definitions: &'a Map<String, Value>,
    order: Vec<String>,
    uses: Uses,
}

impl<'a> Walk<'a> {
    fn new(schema: &'a Value) -> Walk<'a> {
        let definitions = schema["$defs"].as_object().expect("definitions");
        let mut walk = Walk { definitions, order: Vec::new(), uses: Uses::new() };
        walk.list(schema, "");
        walk
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(link) => &self.definitions[link.rsplit('/').next().expect("a name")],
            None => schema,
        }
    }

    fn word(&mut self, word: String) {
        if self.uses.insert(word.clone(), BTreeSet::new()).is_none() {
            self.order.push(word);
        }
    }

    /// Notes every word there is.
    fn list(&mut self, schema: &'a Value, path: &str) {
        let schema = self.resolve(schema);
        for (key, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let at = joined(path, key);
            match inner.get("const").and_then(Value::as_str) {
                Some(kind) => self.word(format!("{at} = \"{kind}\"")),
                None => {
                    self.word(at.clone());
                    self.list(inner, &at);
                }
            }
        }
        for choice in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
            match choice.get("const").and_then(Value::as_str) {
                Some(word) => self.word(format!("{path} = \"{word}\"")),
                None => self.list(choice, path),
            }
        }
        if let Some(inner) = schema.get("items") {
            self.list(inner, path);
        }
        if let Some(inner) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
            self.list(inner, &joined(path, "NAME"));
        }
    }

    /// Notes what `value` of the file `name` uses.
    fn read(&mut self, schema: &'a Value, value: &Value, path: &str, name: &str) {
        let schema = self.resolve(schema);
        if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
            let wanted = value.as_str().or_else(|| value.get("kind").and_then(Value::as_str));
            let fits = |choice: &&Value| {
                let tag = choice.get("const").or_else(|| choice.pointer("/properties/kind/const"));
                tag.and_then(Value::as_str) == wanted
            };
            match choices.iter().find(fits) {
                Some(choice) if choice.get("const").is_some() => {
                    self.used(format!("{path} = \"{}\"", wanted.unwrap_or_default()), name);
                }
                Some(choice) => self.read(choice, value, path, name),
                None => {}
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|inner| inner.is_object());
        for (key, inner) in value.as_object().into_iter().flatten() {
            let known = properties.and_then(|properties| properties.get(key));
            match (known, others) {
                (Some(known), _) if known.get("const").is_some() => {
                    self.used(format!("{} = \"{}\"", joined(path, key), inner.as_str().unwrap_or_default()), name);
                }
                (Some(known), _) => {
                    self.used(joined(path, key), name);
                    self.read(known, inner, &joined(path, key), name);
                }
                (None, Some(others)) => self.read(others, inner, &joined(path, "NAME"), name),
                (None, None) => {}
            }
        }
        if let Some(items) = schema.get("items") {
            for item in value.as_array().into_iter().flatten() {
                self.read(items, item, path, name);
            }
        }
    }

    fn used(&mut self, word: String, name: &str) {
        self.uses.entry(word).or_default().insert(name.to_owned());
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// `docs/vocabulary.md`, and the words that no shipped file uses.
pub fn page(schema: &Value, pipelines: &Path) -> (String, Vec<String>) {
    let mut walk = Walk::new(schema);
    let mut files: Vec<_> =
        std::fs::read_dir(pipelines).expect("pipelines").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "toml")) {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file).expect("a file");
        let value: Value = toml::from_str(&text).expect("TOML");
        walk.read(schema, &value, "", &name);
    }
    let unused: Vec<String> = walk.order.iter().filter(|word| walk.uses[*word].is_empty()).cloned().collect();
    let mut text = BEGIN.to_owned();
    let used = walk.order.len() - unused.len();
    write!(text, "{} words, {used} of them in a shipped file.\n\n| word | used by |\n|---|---|\n", walk.order.len())
        .expect("a text");
    for word in walk.order.iter().filter(|word| !unused.contains(word)) {
        let names: Vec<&str> = walk.uses[word].iter().map(String::as_str).collect();
        writeln!(text, "| `{word}` | {} |", names.join(", ")).expect("a text");
    }
    text.push_str("\n## In no shipped file\n\nDefaults that nobody changes, and words for platforms of your own.\n\n");
    for word in &unused {
        writeln!(text, "- `{word}`").expect("a text");
    }
    (text, unused)
}
