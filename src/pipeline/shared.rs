//! The quotas of `hourmark.toml`: limits that several pipelines draw from.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::json_schema::shared_schema;
use super::problem::Problems;
use super::{Quota, check, mend, raw, tree, validate};
use crate::error::{Error, Result};

/// The tables `[quotas.NAME]` of the settings file, checked. A pipeline draws from one with `shared = "NAME"` in its
/// `[[quotas]]`. The default: none.
#[derive(Debug, Clone)]
pub struct SharedQuotas {
    file: String,
    quotas: IndexMap<String, Quota>,
}

impl Default for SharedQuotas {
    fn default() -> SharedQuotas {
        SharedQuotas { file: "hourmark.toml".to_owned(), quotas: IndexMap::new() }
    }
}

impl SharedQuotas {
    /// Reads and checks the tables `[quotas.NAME]` of a settings file's `text`; what else stands there is left alone.
    /// `file_name` stands in messages.
    ///
    /// # Errors
    /// [`BadInput`](crate::error::ErrorKind::BadInput): everything that is wrong with them, one problem a line with file,
    /// line, key, what was found and what was expected.
    pub fn parse(file_name: &str, text: &str) -> Result<SharedQuotas> {
        let mut problems = Problems::new(file_name);
        let tree = tree::read(text, &mut problems);
        if !problems.is_empty() {
            return Err(problems.into_error());
        }
        let schema = shared_schema();
        validate::validate(&tree, &schema, &mut problems);
        let file = deserialize(file_name, mend::mend(&tree, &schema))?;
        let quotas = check::shared_quotas(&file, &tree, &mut problems);
        if !problems.is_empty() {
            return Err(problems.into_error());
        }
        Ok(SharedQuotas { file: file_name.to_owned(), quotas })
    }

    /// The quota of this name.
    pub fn get(&self, name: &str) -> Option<&Quota> {
        self.quotas.get(name)
    }

    /// All names, in the file's order.
    pub fn names(&self) -> Vec<&str> {
        self.quotas.keys().map(String::as_str).collect()
    }

    /// The settings file's name, for messages.
    pub(super) fn file(&self) -> &str {
        &self.file
    }
}

/// Serde's own message is left away: it may repeat a value of the file.
fn deserialize(file_name: &str, tree: Json) -> Result<raw::SharedFile> {
    serde_json::from_value(tree)
        .map_err(|_| Error::internal(format!("`{file_name}` fits its schema, but not the types it was made from")))
}
