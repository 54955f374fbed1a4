//! From a file to a [`Pipeline`]: read, lay `--set` over it, validate the shape, check the meaning.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use xxhash_rust::xxh3::xxh3_64;

use super::json_schema::json_schema;
use super::overrides::{Override, apply};
use super::problem::Problems;
use super::{Pipeline, SharedQuotas, check, mend, raw, tree, validate};
use crate::error::{Error, Result};

/// Reads and checks the pipeline file at `path`, with the values of `overrides` in place of its own and
/// the quotas of `shared` to draw from.
///
/// # Errors
/// [`BadInput`](crate::error::ErrorKind::BadInput): the file cannot be read, or everything that is wrong with it, one
/// problem a line.
pub fn load(path: &Path, overrides: &[Override], shared: &SharedQuotas) -> Result<Pipeline> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::bad_input(format!("cannot read the pipeline file `{}`", path.display()))
            .because(error)
            .hint("`hourmark new NAME` writes a new one to start from")
    })?;
    parse(&path.display().to_string(), &text, overrides, shared)
}

/// Checks the pipeline file's `text`, as [`load`] does. `file_name` stands in messages, and its stem is the pipeline's name.
///
/// # Errors
/// [`BadInput`](crate::error::ErrorKind::BadInput): everything that is wrong with the text, one problem a line with file,
/// line, key, what was found and what was expected. Never a value that may be a secret.
pub fn parse(file_name: &str, text: &str, overrides: &[Override], shared: &SharedQuotas) -> Result<Pipeline> {
    let mut problems = Problems::new(file_name);
    let mut tree = tree::read(text, &mut problems);
    if !problems.is_empty() {
        return Err(problems.into_error());
    }
    let schema = json_schema();
    apply(&mut tree, overrides, &mut problems);
    validate::validate(&tree, &schema, &mut problems);
    let file = deserialize(file_name, mend::mend(&tree, &schema))?;
    let name = Path::new(file_name).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let pipeline = check::check(&name, file, shared, &tree, &mut problems);
    if !problems.is_empty() {
        return Err(problems.into_error());
    }
    let mut pipeline =
        pipeline.ok_or_else(|| Error::internal(format!("`{file_name}` is refused, but without a reason")))?;
    pipeline.digest = format!("{:016x}", xxh3_64(text.as_bytes()));
    Ok(pipeline)
}

/// Serde's own message is left away: it may repeat a value of the file.
fn deserialize(file_name: &str, tree: Json) -> Result<raw::PipelineFile> {
    serde_json::from_value(tree)
        .map_err(|_| Error::internal(format!("`{file_name}` fits the JSON Schema, but not the types it was made from")))
}

/// Reads and checks every `*.toml` file of `folder` as [`load`] does, by name. A file that is wrong does not hold back the others: its
/// error is in the second list, as is that of a folder that cannot be read.
pub fn load_folder(folder: &Path, overrides: &[Override], shared: &SharedQuotas) -> (Vec<Pipeline>, Vec<Error>) {
    let mut pipelines = Vec::new();
    let mut errors = Vec::new();
    match files_of(folder) {
        Ok(files) => {
            for file in files {
                match load(&file, overrides, shared) {
                    Ok(pipeline) => pipelines.push(pipeline),
                    Err(error) => errors.push(error),
                }
            }
        }
        Err(error) => errors.push(
            Error::bad_input(format!("cannot read the pipelines folder `{}`", folder.display()))
                .because(error)
                .hint("name the folder with --pipelines, or write a first pipeline with `hourmark new NAME`"),
        ),
    }
    (pipelines, errors)
}

fn files_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
