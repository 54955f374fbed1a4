//! An answer file as the bytes that are sent.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::packed;

/// Stands for the scripted server's address.
pub const SERVER: &str = "{server}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Kept as it is written: numbers would lose digits.
    body: Option<Box<RawValue>>,
    text: Option<String>,
    file: Option<String>,
    pack: Option<Pack>,
    batch: Option<Vec<Option<String>>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Pack {
    Zip,
    Gzip,
}

fn ok() -> u16 {
    200
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The answers that it is made of, where it is one to several sub-requests.
    pub parts: Vec<Answer>,
}

/// Reads the answer file `name` of `folder`; `server` is the scripted server's address.
pub fn read(folder: &Path, name: &str, server: &str) -> Result<Answer, String> {
    let path = folder.join(name);
    let said = |error: &dyn std::fmt::Display| format!("`{}`: {error}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| said(&error))?.replace(SERVER, server);
    let file: File = serde_json::from_str(&text).map_err(|error| said(&error))?;
    let mut headers: Vec<(String, String)> = file.headers.into_iter().collect();
    let mut parts = Vec::new();
    let plain = match (file.body, file.text, file.file.as_ref(), file.batch) {
        (Some(body), None, None, None) => {
            default_type(&mut headers);
            body.get().as_bytes().to_vec()
        }
        (None, Some(text), None, None) => text.into_bytes(),
        (None, None, Some(beside), None) => std::fs::read(folder.join(beside)).map_err(|error| said(&error))?,
        (None, None, None, Some(names)) => {
            default_type(&mut headers);
            let whole = batch(folder, &names, server, &mut parts)?;
            whole.to_string().into_bytes()
        }
        (None, None, None, None) => Vec::new(),
        _ => return Err(said(&"more than one of `body`, `text`, `file`, `batch`")),
    };
    let body = match file.pack {
        None => plain,
        Some(Pack::Gzip) => packed::gzip(&plain),
        Some(Pack::Zip) => packed::zip(file.file.as_deref().unwrap_or("report.txt"), &plain),
    };
    Ok(Answer { status: file.status, headers, body, parts })
}

fn default_type(headers: &mut Vec<(String, String)>) {
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
}

/// The array of sub-answers.
fn batch(folder: &Path, names: &[Option<String>], server: &str, parts: &mut Vec<Answer>) -> Result<Value, String> {
    let mut all = Vec::new();
    for name in names {
        let Some(name) = name else {
            all.push(Value::Null);
            continue;
        };
        let part = read(folder, name, server)?;
        let headers = part.headers.iter().map(|(name, value)| json!({ "name": name, "value": value }));
        let text = String::from_utf8_lossy(&part.body).into_owned();
        all.push(json!({ "code": part.status, "headers": headers.collect::<Vec<_>>(), "body": text }));
        parts.push(part);
    }
    Ok(Value::from(all))
}
