//! `docs/pipeline-file.md` and `docs/simulator.md`, made from what the program itself says.

use std::fmt::Write;

use serde_json::{Map, Value};

/// What stands before the tables: how to read them, and the few words that are not keys.
const BEGIN: &str = r#"# The pipeline file

A pipeline is one TOML file, `pipelines/NAME.toml`; `NAME` is the pipeline's name in the lake, in SQL and on the command
line. `hourmark new NAME` writes one that shows every key, `hourmark check FILE` says everything that is wrong with it,
and `--set key.of.it=VALUE` replaces a value for one command. Editors complete and check the file with
[`pipelines/pipeline.schema.json`](../pipelines/pipeline.schema.json), which its first line names. This page is made from
that schema.

- **Places** in an answer are keys with dots between: `data.items`, `metrics.spend`. `*` stands for every element of an
  array or every value of an object. The empty text is the whole answer.
- **Durations** are written `30m`, `1h`, `3d`, `1h 30m`.
- **Secrets** are never in the file: it says `env:NAME` (a variable) or `file:PATH` (a file that holds nothing else).
- **Placeholders** stand in the request's path, parameters and body:

| placeholder | what is sent |
|---|---|
| `{account}` | the one account's id |
| `{accounts}` | the ids of the accounts of one request, joined as `join` says |
| `{campaigns}` | the ids of some of the account's campaigns, joined likewise |
| `{parent}` | what the account was found under: an organisation, a manager |
| `{parents}` | in `[accounts]`: the ids of several parents, joined as its `join` says |
| `{from}`, `{to}` | the window's beginning and end, as `[request.time]` says |
| `{from_year}`, `{from_month}`, `{from_day}`, `{to_year}`, `{to_month}`, `{to_day}` | their dates in parts, without zeros before them; a JSON text that is nothing but one of them becomes a number |
| `{time_zone}` | the account's time zone, an IANA name |
| `{page_size}` | the page size |
| `{report}` | the report's id, in the paths, parameters and body of `[report.poll]` and `[report.rows]` |

`{account}` and `{parent}` may also stand in `api.headers`.

In the tables a key in **bold** must be given.
"#;

/// `docs/pipeline-file.md`.
pub fn pipeline_file(schema: &Value) -> String {
    let page = Page { definitions: schema["$defs"].as_object().expect("definitions") };
    let top = schema["properties"].as_object().expect("properties");
    let (tables, single): (Vec<_>, Vec<_>) = top.iter().partition(|(_, about)| page.is_table(about));
    let mut text = BEGIN.to_owned();
    text.push_str("\n## At the top\n");
    page.keys(&mut text, single, &required(schema));
    for (name, about) in tables {
        page.section(&mut text, name, about, 2);
    }
    text
}

/// `docs/simulator.md`: how to begin, and the API's own description.
pub fn simulator(guide: &str) -> String {
    let (title, rest) = guide.split_once('\n').expect("a title");
    let begin = "
`hourmark simulate` serves it on loopback, over real HTTP: a sandbox for pipelines, and what `hourmark demo` and the tests run
against. Its first line of output is its address; `GET /` answers with this page.

```sh
hourmark simulate --listen 127.0.0.1:8787 --accounts 200 --app-quota 20/1s --penalty 5s --fault-rate 0.1
```

Or at a moment that stands still, so that two runs can be compared:

```sh
hourmark simulate --listen 127.0.0.1:8787 --token demo-token --clock 2026-11-20T12:00:00Z
HOURMARK_DEMO_TOKEN=demo-token hourmark run demo --now 2026-11-20T12:00:00Z
```

`hourmark simulate --help` lists the settings.

## What it does
";
    format!("{title}\n{begin}{rest}")
}

struct Page<'a> {
    definitions: &'a Map<String, Value>,
}

impl<'a> Page<'a> {
    /// The definition that `about` refers to, or `about` itself.
    fn resolve(&self, about: &'a Value) -> &'a Value {
        match about.get("$ref").and_then(Value::as_str) {
            Some(link) => &self.definitions[link.rsplit('/').next().expect("a name")],
            None => about,
        }
    }

    /// What a key holds one or many of.
    fn inner(&self, about: &'a Value) -> &'a Value {
        let about = self.resolve(about);
        match about.get("type").and_then(Value::as_str) {
            Some("array") => self.resolve(&about["items"]),
            Some("object") if about.get("additionalProperties").is_some_and(Value::is_object) => {
                self.resolve(&about["additionalProperties"])
            }
            _ => about,
        }
    }

    /// Whether a key has keys of its own that the file's words name.
    fn is_table(&self, about: &'a Value) -> bool {
        let inner = self.inner(about);
        let variants = inner.get("oneOf").and_then(Value::as_array);
        inner.get("properties").is_some() || variants.is_some_and(|all| all[0].get("properties").is_some())
    }

    fn section(&self, text: &mut String, path: &str, about: &'a Value, depth: usize) {
        let resolved = self.resolve(about);
        let (heading, inner) = match resolved.get("type").and_then(Value::as_str) {
            Some("array") => (format!("`[[{path}]]`"), self.inner(about)),
            Some("object") if resolved.get("properties").is_none() => (format!("`[{path}]`"), self.inner(about)),
            _ => (format!("`[{path}]`"), resolved),
        };
        let said = |about: &'a Value| about.get("description").and_then(Value::as_str).unwrap_or_default();
        let description = match (said(about), said(inner)) {
            (short, long) if long.len() > short.len() && long.starts_with(short) => long.to_owned(),
            (short, long) if long.len() > short.len() + 20 => format!("{short} {long}"),
            (short, _) => short.to_owned(),
        };
        write!(text, "\n{} {heading}\n\n{description}\n", "#".repeat(depth)).expect("a text");
        let Some(variants) = inner.get("oneOf").and_then(Value::as_array) else {
            let properties = inner["properties"].as_object().expect("properties");
            self.keys(text, properties.iter().collect(), &required(inner));
            for (name, about) in properties.iter().filter(|(_, about)| self.is_table(about)) {
                let path = if heading.starts_with("`[columns") { "columns.NAME" } else { path };
                let path = format!("{path}.{name}");
                if name == "pagination" {
                    let description = about["description"].as_str().unwrap_or_default();
                    let heading = "#".repeat(depth + 1);
                    write!(
                        text,
                        "\n{heading} `[{path}]`\n\n{description} Its keys are those of [`[pagination]`](#pagination).\n"
                    )
                    .expect("a text");
                } else {
                    self.section(text, &path, about, depth + 1);
                }
            }
            return;
        };
        for variant in variants {
            let kind = variant["properties"]["kind"]["const"].as_str().expect("a kind");
            let description = variant["description"].as_str().unwrap_or_default();
            write!(text, "\n**`kind = \"{kind}\"`**: {description}\n").expect("a text");
            let properties = variant["properties"].as_object().expect("properties");
            let others: Vec<_> = properties.iter().filter(|(name, _)| *name != "kind").collect();
            if !others.is_empty() {
                self.keys(text, others, &required(variant));
            }
        }
    }

    fn keys(&self, text: &mut String, keys: Vec<(&'a String, &'a Value)>, required: &[&str]) {
        text.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
        for (name, about) in keys {
            let shown = if required.contains(&name.as_str()) { format!("**`{name}`**") } else { format!("`{name}`") };
            let default = match about.get("default") {
                Some(default) if !is_empty(default) => format!("`{default}`"),
                _ => String::new(),
            };
            let cells = [self.kind(about), default, self.meaning(about)].map(|cell| cell.replace('|', "\\|"));
            writeln!(text, "| {shown} | {} |", cells.join(" | ")).expect("a text");
        }
    }

    /// What may be written, in words.
    fn kind(&self, about: &'a Value) -> String {
        let about = self.resolve(about);
        if let Some(words) = words(about) {
            return words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ");
        }
        if self.is_table(about) {
            return if about["type"] == "array" { "tables, see below" } else { "table, see below" }.to_owned();
        }
        match about.get("type") {
            Some(Value::String(kind)) => match kind.as_str() {
                "string" => "text".to_owned(),
                "integer" => format!("integer{}", bounds(about)),
                "number" => format!("number{}", bounds(about)),
                "boolean" => "true or false".to_owned(),
                "array" => format!("list of {}", plural(&self.kind(&about["items"]))),
                "object" => "keys and values".to_owned(),
                other => other.to_owned(),
            },
            Some(Value::Array(kinds)) if kinds.iter().all(|kind| kind != "string") => {
                format!("integer{} or list", bounds(about))
            }
            Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "array") => {
                "text, integer, bool or list".to_owned()
            }
            Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "number") => "text or number".to_owned(),
            _ => "text, integer or bool".to_owned(),
        }
    }

    /// The description, and what each word means where there is a choice of them.
    fn meaning(&self, about: &'a Value) -> String {
        let resolved = self.resolve(about);
        let told = about.get("description").or_else(|| resolved.get("description"));
        let mut text = told.and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let listed = resolved.get("items").map(|items| self.resolve(items));
        for (word, description) in words(resolved).or_else(|| listed.and_then(words)).unwrap_or_default() {
            write!(text, " `{word}`: {description}").expect("a text");
        }
        text
    }
}

fn required(schema: &Value) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A closed choice of texts, with what each means.
fn words(about: &Value) -> Option<Vec<(&str, &str)>> {
    let variants = about.get("oneOf")?.as_array()?;
    variants.iter().map(|variant| Some((variant.get("const")?.as_str()?, variant["description"].as_str()?))).collect()
}

fn bounds(about: &Value) -> String {
    let text = |key: &str| about.get(key).and_then(Value::as_f64).map(|bound| bound.to_string());
    match (text("minimum"), text("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", {least} or more"),
        _ => String::new(),
    }
}

fn plural(kind: &str) -> String {
    if kind == "text" { "texts".to_owned() } else { kind.to_owned() }
}

fn is_empty(default: &Value) -> bool {
    match default {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
