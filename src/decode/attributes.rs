//! What is kept of campaigns, read out of the items of their list by the rules that hold for rows.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::DecodeError;
use super::cell::Value;
use super::columns::Declared;
use super::row::Refused;
use super::rows::Growing;
use super::tree::Tree;
use super::walk::{self, Record};
use crate::pipeline::schema::versions_schema;
use crate::pipeline::{CampaignList, JsonPath, Step};
use crate::time::Instant;
use crate::unit::Account;

/// A campaign as it was listed.
#[derive(Debug, Clone, Copy)]
pub struct ListedCampaign<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name; empty where it has none.
    pub name: &'a str,
    /// Its own currency; empty where the list tells none.
    pub currency: &'a str,
    /// The JSON text of its item, from which attributes are read.
    pub text: &'a str,
}

/// The present version of each listed campaign of `account`, in the columns of [`versions_schema`], since `read_at`; in the
/// list's order.
///
/// # Errors
/// [`DecodeError::Row`] for the first attribute that cannot be kept.
pub fn attributes(
    list: &CampaignList,
    platform: &str,
    account: &Account,
    listed: &[ListedCampaign<'_>],
    read_at: Instant,
) -> Result<RecordBatch, DecodeError> {
    let schema = versions_schema(&list.columns);
    let mut tree = Tree::default();
    let declared = Declared::new(&list.columns, &[], &mut tree);
    let mut columns: Vec<Growing> = schema.fields().iter().map(|field| Growing::new(field.data_type())).collect();
    let mut record = Record::new(&tree);
    for (index, campaign) in listed.iter().enumerate() {
        let numbered = |refused| numbered(index + 1, refused);
        walk::record(campaign.text, &tree, &mut record).map_err(|(path, found)| numbered(no_object(path, found)))?;
        let currency = if campaign.currency.is_empty() { &account.currency } else { campaign.currency };
        let mut values = vec![
            Value::Text(Cow::Borrowed(platform)),
            Value::Text(Cow::Borrowed(&account.id)),
            text_or_null(&account.name),
            Value::Text(Cow::Borrowed(campaign.id)),
            text_or_null(campaign.name),
            text_or_null(currency),
        ];
        let mut picked = vec![None; declared.picked];
        for wanted in &declared.lists {
            wanted.pick(record.slots[wanted.slot], &list.list.records.nulls, &mut picked).map_err(numbered)?;
        }
        for column in &declared.columns {
            values.push(column.read(&record.slots, &picked, &list.list.records.nulls, currency).map_err(numbered)?);
        }
        values.extend([Value::Int(read_at.timestamp_micros()), Value::Null]);
        for ((column, value), field) in columns.iter_mut().zip(values).zip(schema.fields()) {
            column.push(value).ok_or_else(|| numbered(full(field.name())))?;
        }
    }
    let arrays = columns.into_iter().map(Growing::finish).collect();
    // The columns were made from this schema's types, and none of those that may not be null was given a null.
    Ok(RecordBatch::try_new(schema, arrays).expect("columns made from the schema fit it"))
}

/// The JSON texts of a list's items: what is at `records` in `body`, lists taken apart. Nothing where the body is no JSON.
pub fn item_texts<'b>(body: &'b [u8], records: &JsonPath) -> Vec<&'b str> {
    let Ok(whole) = serde_json::from_slice::<&RawValue>(body) else { return Vec::new() };
    let mut found = vec![whole];
    for step in &records.0 {
        let mut deeper = Vec::new();
        for raw in found {
            match step {
                Step::Key(key) => deeper.extend(fields(raw).swap_remove(key)),
                Step::OneOrEach if !raw.get().starts_with('[') => deeper.push(raw),
                Step::Each | Step::OneOrEach => deeper.extend(elements(raw)),
            }
        }
        found = deeper;
    }
    let lists = found.into_iter().filter(|raw| raw.get() != "null");
    lists
        .flat_map(|raw| if raw.get().starts_with('[') { elements(raw) } else { vec![raw] })
        .map(RawValue::get)
        .collect()
}

/// The fields of an object, none of anything else; of a key that comes twice the last value.
fn fields(raw: &RawValue) -> IndexMap<String, &RawValue> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// The elements of an array, or the values of an object in their order.
fn elements(raw: &RawValue) -> Vec<&RawValue> {
    match raw.get().starts_with('[') {
        true => serde_json::from_str(raw.get()).unwrap_or_default(),
        false => fields(raw).into_values().collect(),
    }
}

fn text_or_null(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Null } else { Value::Text(Cow::Borrowed(text)) }
}

fn numbered(record: usize, refused: Refused) -> DecodeError {
    let Refused { column, path, found, expected } = refused;
    DecodeError::Row { record, column, path, found, expected }
}

fn no_object(path: &str, found: &str) -> Refused {
    let path = if path.is_empty() { "the record itself" } else { path };
    let (column, found, expected) = ("record".to_owned(), found.to_owned(), "an object".to_owned());
    Refused { column, path: path.to_owned(), found, expected }
}

/// An Arrow text column ends at 2 GiB.
fn full(column: &str) -> Refused {
    Refused {
        column: column.to_owned(),
        path: "the list".to_owned(),
        found: "more than 2 GiB of text".to_owned(),
        expected: "less".to_owned(),
    }
}
