//! `--set KEY=VALUE`: values of the command line that stand in for those of the file.

use indexmap::IndexMap;

use super::problem::{KeyPath, Origin, Problems};
use super::tree::{Node, Value, read_value};
use crate::error::{Error, Result};

/// One `--set KEY=VALUE`: a key path such as `api.base_url` or `quotas.0.requests`, and a TOML value or plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    path: Vec<String>,
    value: String,
}

/// Deeper than any key of the format, and too shallow to overflow a stack.
const DEEPEST: usize = 16;

impl Override {
    /// Reads `KEY=VALUE`. The value's text is not looked at before it meets a file.
    ///
    /// # Errors
    /// Without `=`, or with a key path that has an empty or more than 16 parts. The text is not repeated: it may be a
    /// secret.
    pub fn parse(text: &str) -> Result<Override> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Error::bad_input("`--set` has no `=`").hint("write --set KEY=VALUE, as in --set window.size=6"));
        };
        let path: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
        if path.len() > DEEPEST || path.iter().any(String::is_empty) {
            return Err(Error::bad_input("`--set` has a key that is not a path of names joined by dots")
                .hint("write --set KEY=VALUE, as in --set quotas.0.requests=20"));
        }
        Ok(Override { path, value: value.trim().to_owned() })
    }
}

/// Puts the values of `overrides` into `tree`, later ones over earlier ones. Tables and lists that are not there
/// are made; an element of a list must be there, or be the next one.
pub(super) fn apply(tree: &mut Node, overrides: &[Override], problems: &mut Problems) {
    for entry in overrides {
        set(tree, entry, problems);
    }
}

fn set(tree: &mut Node, entry: &Override, problems: &mut Problems) {
    let mut node = tree;
    let mut path = KeyPath::root();
    for (depth, key) in entry.path.iter().enumerate() {
        let parent = path;
        path = parent.key(key);
        node = match &mut node.value {
            Value::Table(table) => table.entry(key.clone()).or_insert_with(|| made(entry.path.get(depth + 1))),
            Value::List(list) => {
                let length = list.len();
                let Some(index) = key.parse::<usize>().ok().filter(|index| *index <= length) else {
                    let message = format!("`{path}` is not there: `{parent}` is a list of {length}, counted from 0");
                    return problems.add(Origin::Set, &path, message);
                };
                if index == length {
                    list.push(made(entry.path.get(depth + 1)));
                }
                &mut list[index]
            }
            _ => {
                let message = format!("`{path}` cannot be set: `{parent}` is not a table");
                return problems.add(Origin::Set, &path, message);
            }
        };
    }
    *node = read_value(&entry.value, &path, problems);
}

/// What holds `next`: a list where that is a number, else a table.
fn made(next: Option<&String>) -> Node {
    let value = match next {
        Some(next) if next.chars().all(|c| c.is_ascii_digit()) => Value::List(Vec::new()),
        _ => Value::Table(IndexMap::new()),
    };
    Node { origin: Origin::Set, value }
}
