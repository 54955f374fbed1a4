//! The datasets of a lake as its folders describe themselves, in `_hourmark.json`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::pipeline::schema::KEY;

/// The file that makes a folder of the lake a dataset.
const DESCRIPTION: &str = "_hourmark.json";

/// The newest description that this program understands.
const FORMAT: u32 = 1;

/// What the restatements of a pipeline's rows are called.
const RESTATEMENTS: &str = "__restatements";

/// One folder of the lake: a table.
#[derive(Debug, Clone)]
pub(super) struct Dataset {
    /// The folder's name, and the table's.
    pub(super) name: String,
    /// The columns inside the files. Everything but the key may be null, because older files lack newer columns.
    pub(super) schema: SchemaRef,
    /// The columns that the folders hold, outermost first.
    pub(super) partitions: Vec<(String, DataType)>,
    /// By what the files are sorted; empty where that is not known.
    pub(super) sorted_by: Vec<String>,
}

impl Dataset {
    /// Whether its rows are campaigns' hours, rather than the record of how such rows changed.
    pub(super) fn holds_hours(&self) -> bool {
        !self.name.ends_with(RESTATEMENTS)
    }
}

/// Mirrors the description's text. Keys that are not needed here are left to the lake's own reader.
#[derive(Debug, Deserialize)]
struct Description {
    format: u32,
    partition_by: Vec<String>,
    key: Vec<String>,
    columns: Vec<ColumnText>,
}

#[derive(Debug, Deserialize)]
struct ColumnText {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

/// All datasets of `lake`, by name. Folders whose names begin with `_` or `.` and folders without a description are
/// none.
///
/// Errors: bad input where there is no lake, storage where a description cannot be read or understood.
pub(super) fn find(lake: &Path) -> Result<Vec<Dataset>> {
    if !lake.is_dir() {
        return Err(Error::bad_input(format!("no lake at `{}`", lake.display()))
            .hint("`hourmark run` makes it; name another place with `--lake`"));
    }
    let unreadable = |error| Error::storage(format!("cannot list the lake `{}`", lake.display())).because(error);
    let mut datasets = Vec::new();
    for entry in std::fs::read_dir(lake).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(['_', '.']) {
            continue;
        }
        let path = entry.path().join(DESCRIPTION);
        if path.is_file() {
            datasets.push(read(name, path)?);
        }
    }
    datasets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(datasets)
}

fn read(name: String, path: PathBuf) -> Result<Dataset> {
    let wrong = |what: String| Error::storage(format!("`{}`: {what}", path.display()));
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::storage(format!("cannot read `{}`", path.display())).because(error))?;
    let description: Description = serde_json::from_str(&text)
        .map_err(|error| wrong("not a description of a dataset".to_owned()).because(error))?;
    if description.format > FORMAT {
        return Err(wrong(format!("format {} is newer than {FORMAT}", description.format))
            .hint("a newer hourmark wrote this lake: query it with that one"));
    }

    let mut fields = Vec::with_capacity(description.columns.len());
    for column in &description.columns {
        let data_type: DataType = column
            .data_type
            .parse()
            .map_err(|error| wrong(format!("column `{}` is of an unknown type", column.name)).because(error))?;
        fields.push(Field::new(&column.name, data_type, !KEY.contains(&column.name.as_str())));
    }
    let mut partitions = Vec::new();
    for word in &description.partition_by {
        match word.as_str() {
            "date" => partitions.push(("date".to_owned(), DataType::Date32)),
            "hour" => partitions.push(("utc_hour".to_owned(), DataType::Int8)),
            other => return Err(wrong(format!("partitioned by `{other}`, expected `date` or `hour`"))),
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let sorted_by = sorted_by(&name, &description.key, &schema);
    Ok(Dataset { name, schema, partitions, sorted_by })
}

/// A pipeline's files are sorted by the key's first three columns; nothing is promised of other datasets.
fn sorted_by(name: &str, key: &[String], schema: &Schema) -> Vec<String> {
    let promised = !name.ends_with(RESTATEMENTS)
        && key.len() >= KEY.len()
        && KEY.iter().zip(key).all(|(expected, found)| expected == found && schema.index_of(found).is_ok());
    if promised { KEY.iter().map(|column| (*column).to_owned()).collect() } else { Vec::new() }
}
