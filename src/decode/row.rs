//! One record: whose it is, which hour it is of, and its columns' values, appended to the rows.

use std::borrow::Cow;
use std::collections::HashMap;

use indexmap::IndexMap;
use xxhash_rust::xxh3::Xxh3;

use super::cell::{self, Scalar, Value, excerpt, mark_text};
use super::hour::{HourPlan, Placed, Places};
use super::list::{ListPlan, Wanted};
use super::rows::Rows;
use super::tree::Tree;
use super::{DecodeError, PageContext, PageFacts};
use crate::pipeline::schema::STANDARD;
use crate::pipeline::{Column, ColumnKind, JsonPath, Pipeline};
use crate::unit::Account;

/// A pipeline's columns, with slots for paths.
#[derive(Debug)]
pub(super) struct RowPlan {
    platform: String,
    account: Option<IdPlan>,
    campaign: Option<IdPlan>,
    campaign_name: Option<IdPlan>,
    hour: HourPlan,
    columns: Vec<ColumnPlan>,
    /// Positions in `columns`.
    dimensions: Vec<usize>,
    lists: Vec<ListPlan>,
    picked: usize,
    nulls: Vec<String>,
}

/// Where one of the identity's texts is.
#[derive(Debug)]
struct IdPlan {
    slot: usize,
    path: String,
    column: &'static str,
}

/// Declared columns, with slots for paths.
pub(super) struct Declared {
    pub(super) columns: Vec<ColumnPlan>,
    pub(super) lists: Vec<ListPlan>,
    /// How many values are picked out of lists.
    pub(super) picked: usize,
}

/// A declared column.
#[derive(Debug)]
pub(super) struct ColumnPlan {
    pub(super) name: String,
    path: String,
    source: Source,
    kind: ColumnKind,
    /// Refused without a value: it is required or belongs to the key.
    required: bool,
    default: Default,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    /// A slot of the record.
    Slot(usize),
    /// A value picked out of a list.
    Picked(usize),
}

#[derive(Debug)]
enum Default {
    None,
    Value(Value<'static>),
    /// The pipeline's check should have refused it; a row that needs it is.
    Broken {
        text: String,
        expected: String,
    },
}

/// Why a record cannot be kept; its number is added by whoever counts them.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) column: String,
    pub(super) path: String,
    pub(super) found: String,
    pub(super) expected: String,
}

impl RowPlan {
    /// Compiles the pipeline's columns; their paths become slots of `record`.
    pub(super) fn new(pipeline: &Pipeline, record: &mut Tree) -> RowPlan {
        let mut id = |path: &JsonPath, column| IdPlan { slot: record.want(path), path: path.to_string(), column };
        let account = pipeline.identity.account.as_ref().map(|path| id(path, "account_id"));
        let campaign = pipeline.identity.campaign.as_ref().map(|path| id(path, "campaign_id"));
        let campaign_name = pipeline.identity.campaign_name.as_ref().map(|path| id(path, "campaign_name"));
        let hour = HourPlan::new(&pipeline.hour, record);
        let Declared { columns, lists, picked } = Declared::new(&pipeline.columns, &pipeline.dimensions, record);
        let dimensions = pipeline.dimensions.iter();
        let dimensions = dimensions.filter_map(|name| columns.iter().position(|column| column.name == *name)).collect();
        RowPlan {
            platform: pipeline.platform.clone(),
            account,
            campaign,
            campaign_name,
            hour,
            columns,
            dimensions,
            lists,
            picked,
            nulls: pipeline.records.nulls.clone(),
        }
    }
}

impl Declared {
    /// Compiles declared columns; their paths become slots of `record`. Those named by `key` may not be null.
    pub(super) fn new(declared: &[Column], key: &[String], record: &mut Tree) -> Declared {
        let mut lists: IndexMap<(usize, String, String), ListPlan> = IndexMap::new();
        let mut picked = 0;
        let mut columns = Vec::new();
        for column in declared {
            let slot = record.want(&column.from);
            let source = match &column.pick {
                None => Source::Slot(slot),
                Some(pick) => {
                    let list = lists.entry((slot, pick.by.clone(), pick.value.clone())).or_insert_with(|| ListPlan {
                        slot,
                        path: column.from.to_string(),
                        by: pick.by.clone(),
                        value: pick.value.clone(),
                        wanted: Vec::new(),
                    });
                    list.wanted.push(Wanted { equals: pick.equals.clone(), picked, column: column.name.clone() });
                    picked += 1;
                    Source::Picked(picked - 1)
                }
            };
            columns.push(ColumnPlan::new(column, source, key.contains(&column.name)));
        }
        Declared { columns, lists: lists.into_values().collect(), picked }
    }
}

impl ColumnPlan {
    fn new(column: &Column, source: Source, key: bool) -> ColumnPlan {
        let default = match &column.default {
            None => Default::None,
            Some(text) => match cell::read(column.kind, Scalar::Text(Cow::Borrowed(text))) {
                Ok(value) => Default::Value(value.owned()),
                Err(expected) => Default::Broken { text: text.clone(), expected },
            },
        };
        let required = column.required || key;
        let path = match &column.pick {
            None => column.from.to_string(),
            Some(pick) => format!("{}[{}={}]", column.from, pick.by, pick.equals),
        };
        ColumnPlan { name: column.name.clone(), path, source, kind: column.kind, required, default }
    }

    /// The column's value in a record.
    pub(super) fn read<'a>(
        &'a self,
        slots: &[Option<&'a str>],
        picked: &[Option<&'a str>],
        nulls: &[String],
    ) -> Result<Value<'a>, Refused> {
        let raw = match self.source {
            Source::Slot(slot) => slots[slot],
            Source::Picked(index) => picked[index],
        };
        let scalar = raw.map_or(Scalar::Null, Scalar::of).or_null(nulls);
        let value = cell::read(self.kind, scalar).map_err(|expected| self.refused(raw, expected))?;
        if value != Value::Null {
            return Ok(value);
        }
        match &self.default {
            Default::Value(value) if *value != Value::Null => Ok(value.borrowed()),
            Default::Broken { text, expected } => Err(Refused {
                column: self.name.clone(),
                path: "default".to_owned(),
                found: excerpt(text),
                expected: expected.clone(),
            }),
            _ if self.required => Err(self.refused(raw, "a value".to_owned())),
            _ => Ok(Value::Null),
        }
    }

    fn refused(&self, raw: Option<&str>, expected: String) -> Refused {
        let found = raw.map_or_else(|| "nothing".to_owned(), excerpt);
        Refused { column: self.name.clone(), path: self.path.clone(), found, expected }
    }
}

impl IdPlan {
    /// The text at its place; `None` where there is none, or an empty one.
    fn read<'a>(&self, slots: &[Option<&'a str>], nulls: &[String]) -> Result<Option<Cow<'a, str>>, Refused> {
        match slots[self.slot].map_or(Scalar::Null, Scalar::of).or_null(nulls) {
            Scalar::Null => Ok(None),
            Scalar::Text(text) => Ok((!text.is_empty()).then_some(text)),
            Scalar::Number(number) => Ok(Some(Cow::Borrowed(number))),
            Scalar::Bool(_) | Scalar::Other => Err(self.refused(slots, "text or a number")),
        }
    }

    fn refused(&self, slots: &[Option<&str>], expected: &str) -> Refused {
        Refused {
            column: self.column.to_owned(),
            path: self.path.clone(),
            found: slots[self.slot].map_or_else(|| "nothing".to_owned(), excerpt),
            expected: expected.to_owned(),
        }
    }
}

/// Reads a page's records one by one.
pub(super) struct RowReader<'d, 'de> {
    plan: &'d RowPlan,
    context: &'d PageContext<'d>,
    rows: &'d mut Rows,
    /// Positions of the accounts asked for, by id.
    accounts: HashMap<&'d str, usize>,
    last_account: usize,
    picked: Vec<Option<&'de str>>,
    places: Places,
    hash: Xxh3,
    mark: Vec<u8>,
    records: usize,
    outside: usize,
}

impl<'d, 'de> RowReader<'d, 'de> {
    pub(super) fn new(plan: &'d RowPlan, context: &'d PageContext<'d>, rows: &'d mut Rows) -> RowReader<'d, 'de> {
        let mut accounts = HashMap::with_capacity(context.accounts.len());
        for (position, account) in context.accounts.iter().enumerate() {
            accounts.insert(account.id.as_str(), position);
        }
        RowReader {
            plan,
            context,
            rows,
            accounts,
            last_account: 0,
            picked: vec![None; plan.picked],
            places: Places::new(),
            hash: Xxh3::new(),
            mark: Vec::new(),
            records: 0,
            outside: 0,
        }
    }

    /// What was read so far.
    pub(super) fn facts(&self) -> PageFacts {
        PageFacts {
            records: self.records,
            outside: self.outside,
            fingerprint: (self.records > 0).then(|| self.hash.digest()),
            ..PageFacts::default()
        }
    }

    /// Takes the next record, given its slots' JSON text.
    pub(super) fn take(&mut self, slots: &[Option<&'de str>]) -> Result<(), DecodeError> {
        self.records += 1;
        self.row(slots).map_err(|refused| self.numbered(refused))
    }

    /// Refuses the next record, because at `path` there is no object.
    pub(super) fn wrong_shape(&mut self, path: &str, found: &str) -> DecodeError {
        self.records += 1;
        let beneath = |column: &&ColumnPlan| column.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        let column = self.plan.columns.iter().find(beneath).map_or("record", |column| &column.name);
        let path = if path.is_empty() { "the record itself" } else { path };
        self.numbered(Refused {
            column: column.to_owned(),
            path: path.to_owned(),
            found: found.to_owned(),
            expected: "an object".to_owned(),
        })
    }

    fn numbered(&self, refused: Refused) -> DecodeError {
        let Refused { column, path, found, expected } = refused;
        DecodeError::Row { record: self.records, column, path, found, expected }
    }

    fn row(&mut self, slots: &[Option<&'de str>]) -> Result<(), Refused> {
        let plan = self.plan;
        self.picked.fill(None);
        for list in &plan.lists {
            list.pick(slots[list.slot], &plan.nulls, &mut self.picked)?;
        }
        let position = self.account(slots)?;
        let account = &self.context.accounts[position];
        let campaign = match &plan.campaign {
            Some(place) => place.read(slots, &plan.nulls)?.ok_or_else(|| place.refused(slots, "a campaign's id"))?,
            None => Cow::Borrowed(""),
        };
        let placed = self.placed(position, account, slots)?;
        self.mark(account, &campaign, &placed, slots)?;
        if !placed.inside {
            self.outside += 1;
            return Ok(());
        }
        self.push_standard(account, campaign, &placed, slots)?;
        for (index, column) in plan.columns.iter().enumerate() {
            let value = column.read(slots, &self.picked, &plan.nulls)?;
            self.rows.push(STANDARD.len() + index, value).ok_or_else(|| full(&column.name))?;
        }
        self.rows.end_row();
        Ok(())
    }

    /// The position of the record's account among those asked for.
    fn account(&mut self, slots: &[Option<&'de str>]) -> Result<usize, Refused> {
        let Some(place) = &self.plan.account else {
            if self.context.accounts.len() == 1 {
                return Ok(0);
            }
            return Err(Refused {
                column: "account_id".to_owned(),
                path: "identity.account".to_owned(),
                found: "no path".to_owned(),
                expected: format!("one, since {} accounts were asked for at once", self.context.accounts.len()),
            });
        };
        let id = place.read(slots, &self.plan.nulls)?;
        let id = id.ok_or_else(|| place.refused(slots, "an account's id"))?;
        if self.context.accounts.get(self.last_account).is_some_and(|account| account.id == id) {
            return Ok(self.last_account);
        }
        match self.accounts.get(id.as_ref()) {
            Some(position) => {
                self.last_account = *position;
                Ok(*position)
            }
            None => Err(place.refused(slots, "an account that was asked for")),
        }
    }

    fn placed(&mut self, position: usize, account: &Account, slots: &[Option<&'de str>]) -> Result<Placed, Refused> {
        let hour = &self.plan.hour;
        let reading = hour.read(slots)?;
        let window = self.context.window;
        let placed = self.places.get(position, reading, || hour.place(reading, account.time_zone, window));
        placed.map_err(|expected| hour.refused(slots, expected))
    }

    /// Adds the record's key to the page's fingerprint.
    fn mark(
        &mut self,
        account: &Account,
        campaign: &str,
        placed: &Placed,
        slots: &[Option<&'de str>],
    ) -> Result<(), Refused> {
        self.mark.clear();
        mark_text(&account.id, &mut self.mark);
        mark_text(campaign, &mut self.mark);
        self.mark.extend_from_slice(&placed.hour.to_le_bytes());
        for dimension in &self.plan.dimensions {
            let column = &self.plan.columns[*dimension];
            column.read(slots, &self.picked, &self.plan.nulls)?.mark(&mut self.mark);
        }
        self.hash.update(&self.mark);
        Ok(())
    }

    /// Appends the columns of [`STANDARD`], in their order.
    fn push_standard(
        &mut self,
        account: &Account,
        campaign: Cow<'de, str>,
        placed: &Placed,
        slots: &[Option<&'de str>],
    ) -> Result<(), Refused> {
        let named = match &self.plan.campaign_name {
            Some(place) => place.read(slots, &self.plan.nulls)?,
            None => None,
        };
        let known = || self.context.campaign_names.get(campaign.as_ref()).map(|name| Cow::Borrowed(name.as_str()));
        let name = named.or_else(known).map_or(Value::Null, Value::Text);
        let currency = match account.currency.as_str() {
            "" => self.context.campaign_currencies.get(campaign.as_ref()).map_or("", String::as_str),
            known => known,
        };
        let values = [
            text(&self.plan.platform),
            text(&account.id),
            text_or_null(&account.name),
            text(account.time_zone.name()),
            text_or_null(currency),
            text(&campaign),
            name,
            Value::Int(placed.hour),
            Value::Int(placed.local),
            Value::Int(placed.offset),
            Value::Int(placed.covered),
        ];
        for (index, value) in values.into_iter().enumerate() {
            self.rows.push(index, value).ok_or_else(|| full(STANDARD[index]))?;
        }
        Ok(())
    }
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn text_or_null(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Null } else { Value::Text(Cow::Borrowed(text)) }
}

/// An Arrow text column ends at 2 GiB.
fn full(column: &str) -> Refused {
    Refused {
        column: column.to_owned(),
        path: "the unit".to_owned(),
        found: "more than 2 GiB of text".to_owned(),
        expected: "less: make the pipeline's window smaller".to_owned(),
    }
}
