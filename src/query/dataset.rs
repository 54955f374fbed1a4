//! The datasets of a lake as its folders describe themselves, in `_hourmark.json`.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::texts::within;
use crate::error::{Error, Result};
use crate::lake::{DatasetRecord, Lake};
use crate::merge::{Shape, log_schema};
use crate::pipeline::PartitionBy;
use crate::pipeline::schema::{CAMPAIGNS, HOUR, KEY, RESTATEMENTS, SEEN_AT, VERSION_KEY};

/// One folder of the lake: a table.
#[derive(Debug, Clone)]
pub(super) struct Dataset {
    /// The folder's name, and the table's.
    pub(super) name: String,
    /// The columns inside the files, as the engine has them. Everything but the key may be null, because older files lack newer columns.
    pub(super) schema: SchemaRef,
    /// The columns that the folders hold, outermost first.
    pub(super) partitions: Vec<(String, DataType)>,
    /// What the folder says of itself, where there is one.
    pub(super) record: Option<DatasetRecord>,
    /// By what the files are sorted; empty where that is not known.
    pub(super) sorted_by: Vec<String>,
    /// What makes a row unique.
    pub(super) key: Vec<String>,
}

impl Dataset {
    /// Whether its rows are campaigns' hours, rather than the record of how such rows changed or what campaigns were.
    pub(super) fn holds_hours(&self) -> bool {
        !self.name.ends_with(RESTATEMENTS) && !self.holds_versions()
    }

    /// Whether its rows are versions of what is known of campaigns.
    pub(super) fn holds_versions(&self) -> bool {
        self.name.ends_with(CAMPAIGNS)
    }

    /// The name of the table that records how its rows changed.
    pub(super) fn log_name(&self) -> String {
        format!("{}{RESTATEMENTS}", self.name)
    }

    /// The column whose UTC date is that of a file's folder; `None` where there are no folders of dates.
    pub(super) fn dated_by(&self) -> Option<&'static str> {
        match self.holds_versions() {
            true => None,
            false => Some(if self.holds_hours() { HOUR } else { SEEN_AT }),
        }
    }
}

/// All datasets of `lake`, by name.
///
/// Errors: bad input where there is no lake, storage where a description cannot be read or understood.
pub(super) async fn find(lake: &Path) -> Result<Vec<Dataset>> {
    if !lake.is_dir() {
        return Err(Error::bad_input(format!("no lake at `{}`", lake.display()))
            .hint("`hourmark run` makes it; name another place with `--lake`"));
    }
    let records = Lake::open_existing(lake).await?.datasets().await?;
    let mut datasets = records.iter().map(|record| read(lake, record)).collect::<Result<Vec<Dataset>>>()?;
    for record in &records {
        complete_log(&mut datasets, record)?;
    }
    datasets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(datasets)
}

/// Gives the dataset of `record` a log where it has none yet, and the log the columns that only the dataset has yet: it
/// is written when something changes first.
fn complete_log(datasets: &mut Vec<Dataset>, record: &DatasetRecord) -> Result<()> {
    let Some(main) = datasets.iter().find(|dataset| dataset.name == record.pipeline && dataset.holds_hours()) else {
        return Ok(());
    };
    let Ok(shape) = Shape::new(record.schema()?, &record.key) else { return Ok(()) };
    let (name, wanted) = (main.log_name(), log_schema(&shape));
    let key = record.key.clone();
    let place = datasets.iter().position(|dataset| dataset.name == name).unwrap_or_else(|| {
        let partitions = vec![("date".to_owned(), DataType::Date32)];
        let schema = Arc::new(Schema::empty());
        datasets.push(Dataset { name, schema, partitions, record: None, sorted_by: Vec::new(), key });
        datasets.len() - 1
    });
    let log = &mut datasets[place];
    let mut fields = log.schema.fields().to_vec();
    for field in wanted.fields() {
        if log.schema.index_of(field.name()).is_err() {
            fields.push(Arc::new(within(field).with_nullable(true)));
        }
    }
    log.schema = Arc::new(Schema::new(fields));
    Ok(())
}

fn read(lake: &Path, record: &DatasetRecord) -> Result<Dataset> {
    let name = record.pipeline.clone();
    let date = ("date".to_owned(), DataType::Date32);
    let partitions = match record.partition_by() {
        None if name.ends_with(CAMPAIGNS) && record.partition_by.is_empty() => Vec::new(),
        Some(PartitionBy::Date) => vec![date],
        Some(PartitionBy::DateHour) => vec![date, ("utc_hour".to_owned(), DataType::Int8)],
        None => {
            let folder = lake.join(&name);
            let found = record.partition_by.join(", ");
            return Err(Error::storage(format!("`{}` is partitioned by `{found}`", folder.display()))
                .hint("a newer hourmark wrote it: query it with that one"));
        }
    };
    let recorded = record.schema()?;
    let fields = recorded.fields().iter().map(|field| {
        let name_of_field = field.name().as_str();
        let key = match partitions.is_empty() {
            true => VERSION_KEY.contains(&name_of_field),
            false => KEY.contains(&name_of_field),
        };
        within(field).with_nullable(!key)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    let sorted_by = sorted_by(&name, &record.key, &schema);
    Ok(Dataset { name, schema, partitions, record: Some(record.clone()), sorted_by, key: record.key.clone() })
}

/// A pipeline's files are sorted by the key's first three columns; nothing is promised of other datasets.
fn sorted_by(name: &str, key: &[String], schema: &Schema) -> Vec<String> {
    let promised = !name.ends_with(RESTATEMENTS)
        && !name.ends_with(CAMPAIGNS)
        && key.len() >= KEY.len()
        && KEY.iter().zip(key).all(|(expected, found)| expected == found && schema.index_of(found).is_ok());
    if promised { KEY.iter().map(|column| (*column).to_owned()).collect() } else { Vec::new() }
}
