//! Versions of what is known of campaigns: what they become when an account's campaigns are listed anew.
//!
//! | so far | listed | from there on |
//! |---|---|---|
//! | no present version | campaign | a version begins |
//! | present version | same values | nothing changes |
//! | present version | other values | the present version ends, another begins |
//! | present version | not there | the present version ends, unless nothing at all is listed |
//!
//! A version is valid from the moment at which it was read, up to the moment at which something else was. So the versions of
//! a campaign never overlap, and a list that tells nothing new changes nothing. A list that is no newer than the last
//! change is a late one: nothing of it is taken, because what it says was true before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::row::{Row, RowConverter, Rows, SortField};

use super::shape::{conform, fault};
use crate::error::{Error, Result};
use crate::pipeline::schema::{VALID_FROM, VALID_TO, VERSION_KEY};
use crate::time::Instant;

/// All campaigns of an account as they were listed.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignReading {
    /// The account's id.
    pub account: String,
    /// A row for each campaign, in the columns of [`versions_schema`](crate::pipeline::schema::versions_schema). Of one that
    /// is there twice the last row counts.
    pub rows: RecordBatch,
    /// When the platform said so.
    pub read_at: Instant,
}

/// A version of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'a, V> {
    /// The campaign's id.
    pub campaign: &'a str,
    /// What is known of it.
    pub values: V,
    /// The first moment at which that is known, in microseconds since 1970.
    pub valid_from: i64,
    /// The first moment at which it is not true any more; `None` of the present version.
    pub valid_to: Option<i64>,
}

/// What a list did to an account's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// Nothing: it told what was known.
    Unchanged,
    /// So many versions began and ended.
    Changed {
        /// Versions that began.
        begun: u64,
        /// Versions that ended.
        ended: u64,
    },
    /// Nothing: something newer was known.
    Late,
    /// Nothing: no campaign was listed, though some are known.
    Empty,
}

/// What became of an account's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFollowed {
    /// The account's id.
    pub account: String,
    /// What the list did.
    pub followed: Followed,
    /// How many versions there are of the account's campaigns now.
    pub versions: u64,
}

/// What became of the versions in one file.
#[derive(Debug, Clone)]
pub struct VersionsMerge {
    /// All of them from now on, by account, campaign and beginning; `None` where nothing changed.
    pub rows: Option<RecordBatch>,
    /// One for each reading, in their order.
    pub accounts: Vec<AccountFollowed>,
}

/// Follows an account's list. `known` are its versions by campaign and beginning, and stay so.
pub fn follow<'a, V: PartialEq + Copy>(
    known: &mut Vec<Version<'a, V>>,
    listed: &BTreeMap<&'a str, V>,
    read_at: i64,
) -> Followed {
    let is_present = |version: &Version<'a, V>| version.valid_to.is_none();
    if listed.is_empty() && known.iter().any(is_present) {
        return Followed::Empty;
    }
    let is_listed = |version: &Version<'a, V>| listed.get(version.campaign) == Some(&version.values);
    let mut new = listed.clone();
    for version in known.iter().filter(|version| is_present(version) && is_listed(version)) {
        new.remove(version.campaign);
    }
    let ended = known.iter().filter(|version| is_present(version) && !is_listed(version)).count() as u64;
    if new.is_empty() && ended == 0 {
        return Followed::Unchanged;
    }
    if known.iter().any(|version| read_at <= version.valid_to.unwrap_or(version.valid_from)) {
        return Followed::Late;
    }
    for version in known.iter_mut().filter(|version| is_present(version) && !is_listed(version)) {
        version.valid_to = Some(read_at);
    }
    let begun = new.len() as u64;
    let begin = |(campaign, values)| Version { campaign, values, valid_from: read_at, valid_to: None };
    known.extend(new.into_iter().map(begin));
    known.sort_by_key(|version| (version.campaign, version.valid_from));
    Followed::Changed { begun, ended }
}

/// Follows the lists of some accounts in one file of versions. `old` are its rows in the dataset's schema, sorted; they may
/// have columns that are not read any more: those are not compared, and null in versions that begin.
///
/// # Errors
/// An internal error where rows have other columns than they must.
pub fn merge_versions(old: &RecordBatch, readings: &[CampaignReading]) -> Result<VersionsMerge> {
    let schema = old.schema();
    let mut batches = vec![old.clone()];
    for reading in readings {
        batches.push(conform(&reading.rows, &schema)?);
    }
    let converted = Converted::new(&batches, readings)?;
    let mut accounts: BTreeMap<&str, Vec<Version<'_, Values<'_>>>> = BTreeMap::new();
    let (ids, campaigns) = (texts(old, VERSION_KEY[0])?, texts(old, VERSION_KEY[1])?);
    let (from, to) = (instants(old, VALID_FROM)?, instants(old, VALID_TO)?);
    for row in 0..old.num_rows() {
        accounts.entry(ids.value(row)).or_default().push(Version {
            campaign: campaigns.value(row),
            values: converted.values(0, row),
            valid_from: from.value(row),
            valid_to: to.is_valid(row).then(|| to.value(row)),
        });
    }
    let mut ends = Vec::with_capacity(readings.len());
    for (place, reading) in readings.iter().enumerate() {
        let campaigns = texts(&batches[place + 1], VERSION_KEY[1])?;
        let listed = (0..campaigns.len()).map(|row| (campaigns.value(row), converted.values(place + 1, row))).collect();
        let versions = accounts.entry(&reading.account).or_default();
        let followed = follow(versions, &listed, reading.read_at.timestamp_micros());
        let versions = versions.len() as u64;
        ends.push(AccountFollowed { account: reading.account.clone(), followed, versions });
    }
    let changed = ends.iter().any(|end| matches!(end.followed, Followed::Changed { .. }));
    let rows = if changed { Some(put_together(&batches, accounts.into_values().flatten())?) } else { None };
    Ok(VersionsMerge { rows, accounts: ends })
}

/// What is compared of a row, and where the row is.
#[derive(Debug, Clone, Copy)]
struct Values<'a> {
    compared: Row<'a>,
    batch: usize,
    row: usize,
}

impl PartialEq for Values<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.compared == other.compared
    }
}

/// The compared columns of each batch.
struct Converted {
    rows: Vec<Rows>,
}

impl Converted {
    /// All columns are compared that a reading has, but the key and the moments.
    fn new(batches: &[RecordBatch], readings: &[CampaignReading]) -> Result<Converted> {
        let schema = batches[0].schema();
        let aside = [VERSION_KEY[0], VERSION_KEY[1], VALID_FROM, VALID_TO];
        let is_read = |name: &str| readings.iter().any(|reading| reading.rows.schema_ref().index_of(name).is_ok());
        let fields = schema.fields().iter().enumerate();
        let compared = fields.filter(|(_, field)| is_read(field.name()) && !aside.contains(&field.name().as_str()));
        let (places, sorts): (Vec<usize>, Vec<SortField>) =
            compared.map(|(place, field)| (place, SortField::new(field.data_type().clone()))).unzip();
        let converter = RowConverter::new(sorts).map_err(fault)?;
        let mut rows = Vec::with_capacity(batches.len());
        for batch in batches {
            let columns: Vec<ArrayRef> = places.iter().map(|place| batch.column(*place).clone()).collect();
            rows.push(converter.convert_columns(&columns).map_err(fault)?);
        }
        Ok(Converted { rows })
    }

    fn values(&self, batch: usize, row: usize) -> Values<'_> {
        Values { compared: self.rows[batch].row(row), batch, row }
    }
}

/// The rows of `versions` in their order, with their own moments.
fn put_together<'a>(
    batches: &[RecordBatch],
    versions: impl Iterator<Item = Version<'a, Values<'a>>>,
) -> Result<RecordBatch> {
    let (mut places, mut from, mut to) = (Vec::new(), Vec::new(), Vec::new());
    for version in versions {
        places.push((version.values.batch, version.values.row));
        from.push(version.valid_from);
        to.push(version.valid_to);
    }
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let rows = interleave_record_batch(&batches, &places).map_err(fault)?;
    let (from, to) = (TimestampMicrosecondArray::from(from), TimestampMicrosecondArray::from(to));
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| match field.name().as_str() {
        VALID_FROM => Arc::new(from.clone().with_timezone("UTC")) as ArrayRef,
        VALID_TO => Arc::new(to.clone().with_timezone("UTC")),
        _ => column.clone(),
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).map_err(fault)
}

fn texts<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    let column = rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    column.ok_or_else(|| lacking(name))
}

fn instants<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a TimestampMicrosecondArray> {
    let column = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    column.ok_or_else(|| lacking(name))
}

fn lacking(name: &str) -> Error {
    Error::internal(format!("versions of campaigns lack the column `{name}`"))
}
