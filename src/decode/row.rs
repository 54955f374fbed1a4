//! One record: whose it is, which hour it is of, and its columns' values, appended to the rows.

use std::borrow::Cow;

use xxhash_rust::xxh3::Xxh3;

use super::cell::{Value, mark_text};
use super::column::{ColumnPlan, Declared};
use super::hour::{HourPlan, Placed, Places, Reading};
use super::identity::{Asked, IdPlan};
use super::list::ListPlan;
use super::position::{Spread, Uneven};
use super::rows::Rows;
use super::tree::Tree;
use super::walk::SEVERAL;
use super::{DecodeError, PageContext, PageFacts};
use crate::pipeline::schema::STANDARD;
use crate::pipeline::{ColumnKind, JsonPath, Pipeline};
use crate::time::Instant;
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
    /// The list in a record each element of which makes a row.
    each: Option<String>,
    /// Rows without anything in their numbers are left away.
    skip_empty: bool,
}

/// Why a record cannot be kept; its number is added by whoever counts them.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) column: String,
    pub(super) path: String,
    pub(super) found: String,
    pub(super) expected: String,
}

/// What a record cannot be kept for.
pub(super) enum Stop {
    /// It itself.
    Row(Refused),
    /// Something that makes the whole page unbelievable.
    Page(Refused),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        Stop::Row(refused)
    }
}

impl RowPlan {
    /// Compiles the pipeline's columns; their paths become slots of `record`.
    pub(super) fn new(pipeline: &Pipeline, record: &mut Tree) -> RowPlan {
        let identity = &pipeline.identity;
        let mut id = |path: &Option<JsonPath>, column, after: &Option<String>| {
            path.as_ref().map(|path| IdPlan::new(path, column, after.as_ref(), record))
        };
        let account = id(&identity.account, "account_id", &identity.account_after);
        let campaign = id(&identity.campaign, "campaign_id", &identity.campaign_after);
        let campaign_name = id(&identity.campaign_name, "campaign_name", &None);
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
            each: pipeline.shape.each.as_ref().map(JsonPath::to_string),
            skip_empty: pipeline.shape.skip_empty,
        }
    }
}

/// Reads a page's records one by one.
pub(super) struct RowReader<'d> {
    plan: &'d RowPlan,
    context: &'d PageContext<'d>,
    rows: &'d mut Rows,
    accounts: Asked<'d>,
    /// The hours that were asked for, where a record holds them all.
    hours: Vec<Instant>,
    places: Places,
    hash: Xxh3,
    mark: Vec<u8>,
    records: usize,
    /// The number of the element at hand, where each element of a list makes a row.
    element: Option<usize>,
    outside: usize,
}

/// A row to be: its hour is known, its values are not yet read.
struct Found<'f, 'a> {
    account: &'f Account,
    campaign: &'f str,
    placed: Placed,
    slots: &'f [Option<&'a str>],
    picked: &'f [Option<&'a str>],
}

impl<'d> RowReader<'d> {
    pub(super) fn new(plan: &'d RowPlan, context: &'d PageContext<'d>, rows: &'d mut Rows) -> RowReader<'d> {
        RowReader {
            plan,
            context,
            rows,
            accounts: Asked::new(context.accounts),
            hours: if plan.hour.is_position() { context.asked_hours() } else { Vec::new() },
            places: Places::new(),
            hash: Xxh3::new(),
            mark: Vec::new(),
            records: 0,
            element: None,
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
    pub(super) fn take(&mut self, slots: &[Option<&str>]) -> Result<(), DecodeError> {
        self.begin_record();
        self.row(slots)
    }

    /// The next record follows.
    pub(super) fn begin_record(&mut self) {
        self.records += 1;
        self.element = None;
    }

    /// The element with this number of the record's list follows.
    pub(super) fn begin_element(&mut self, number: usize) {
        self.element = Some(number);
    }

    /// The record at hand makes no rows; the page's fingerprint tells it from others all the same.
    pub(super) fn without_rows(&mut self, slots: &[Option<&str>]) {
        self.mark.clear();
        for place in [&self.plan.account, &self.plan.campaign] {
            mark_text(place.as_ref().and_then(|place| place.raw(slots)).unwrap_or_default(), &mut self.mark);
        }
        self.hash.update(&self.mark);
    }

    /// Refuses the record at hand, because at `path` there is no object.
    pub(super) fn wrong_shape(&self, path: &str, found: &str) -> DecodeError {
        let beneath = |column: &&ColumnPlan| column.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        let column = self.plan.columns.iter().find(beneath).map_or("record", |column| &column.name);
        let path = if path.is_empty() { "the record itself" } else { path };
        let expected = if found == SEVERAL { "one element at most" } else { "an object" };
        self.numbered(Refused {
            column: column.to_owned(),
            path: path.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        })
    }

    /// Refuses the record at hand, because there is no list whose elements make rows.
    pub(super) fn no_list(&self, path: &str, found: String) -> DecodeError {
        let (column, expected) = ("record".to_owned(), "a list, each element of which makes a row".to_owned());
        self.numbered(Refused { column, path: path.to_owned(), found, expected })
    }

    fn numbered(&self, refused: Refused) -> DecodeError {
        let Refused { column, path, found, expected } = refused;
        let path = match (&self.plan.each, self.element) {
            (Some(list), Some(number)) => path.replace(&format!("{list}.*"), &format!("{list}.{number}")),
            _ => path,
        };
        DecodeError::Row { record: self.records, column, path, found, expected }
    }

    /// Takes a row of the record at hand: all of it, or an element of its list.
    pub(super) fn row(&mut self, slots: &[Option<&str>]) -> Result<(), DecodeError> {
        self.rows_of(slots).map_err(|stop| match stop {
            Stop::Row(refused) => self.numbered(refused),
            Stop::Page(refused) => DecodeError::Unreadable(self.numbered(refused).to_string()),
        })
    }

    fn rows_of(&mut self, slots: &[Option<&str>]) -> Result<(), Stop> {
        let plan = self.plan;
        let mut picked = vec![None; plan.picked];
        for list in &plan.lists {
            list.pick(slots[list.slot], &plan.nulls, &mut picked)?;
        }
        let position = self.accounts.position(plan.account.as_ref(), slots, &plan.nulls)?;
        let account = self.accounts.at(position);
        let campaign = match &plan.campaign {
            Some(place) => place.read(slots, &plan.nulls)?.ok_or_else(|| place.refused(slots, "a campaign's id"))?,
            None => Cow::Borrowed(""),
        };
        let (account, campaign) = (account, campaign.as_ref());
        if let Some(reading) = plan.hour.read(slots)? {
            let placed = self.placed(position, reading, slots)?;
            return Ok(self.one(&Found { account, campaign, placed, slots, picked: &picked })?);
        }
        let spread = self.spread(slots, &picked)?;
        let (mut slots, mut picked) = (slots.to_vec(), picked);
        for number in 0..self.hours.len() {
            spread.put(number, &mut slots, &mut picked);
            let placed = self.placed(position, Reading::At(self.hours[number]), &slots)?;
            self.one(&Found { account, campaign, placed, slots: &slots, picked: &picked })?;
        }
        Ok(())
    }

    /// The columns' values by hour.
    fn spread<'a>(&self, slots: &[Option<&'a str>], picked: &[Option<&'a str>]) -> Result<Spread<'a>, Stop> {
        let hours = self.hours.len();
        let mut spread = Spread::new();
        for column in &self.plan.columns {
            let raw = column.raw(slots, picked);
            let may_be_one = column.key || column.kind == ColumnKind::Text;
            let added = spread.add(column.source, raw, may_be_one, hours, &self.plan.nulls);
            added.map_err(|uneven| match uneven {
                Uneven::NoList => Stop::Row(column.refused(raw, "a list of one value for each hour".to_owned())),
                Uneven::Values(count) => Stop::Page(Refused {
                    found: format!("a list of {count}"),
                    ..column.refused(raw, format!("one value for each of the {hours} hours that were asked for"))
                }),
            })?;
        }
        Ok(spread)
    }

    /// Takes one row.
    fn one(&mut self, found: &Found<'_, '_>) -> Result<(), Refused> {
        let plan = self.plan;
        self.mark(found)?;
        if !found.placed.inside {
            self.outside += 1;
            return Ok(());
        }
        self.push_standard(found)?;
        let mut anything = !plan.skip_empty;
        for (index, column) in plan.columns.iter().enumerate() {
            let value = column.read(found.slots, found.picked, &plan.nulls, &found.account.currency)?;
            anything |= column.counts(&value);
            self.rows.push(STANDARD.len() + index, value).ok_or_else(|| full(&column.name))?;
        }
        if anything {
            self.rows.end_row();
        } else {
            self.rows.truncate(self.rows.len());
        }
        Ok(())
    }

    fn placed(&mut self, position: usize, reading: Reading, slots: &[Option<&str>]) -> Result<Placed, Refused> {
        let (hour, window) = (&self.plan.hour, self.context.window);
        let zone = self.accounts.at(position).time_zone;
        let placed = self.places.get(position, reading, || hour.place(reading, zone, window));
        placed.map_err(|expected| hour.refused(slots, expected))
    }

    /// Adds the row's key to the page's fingerprint.
    fn mark(&mut self, found: &Found<'_, '_>) -> Result<(), Refused> {
        self.mark.clear();
        mark_text(&found.account.id, &mut self.mark);
        mark_text(found.campaign, &mut self.mark);
        self.mark.extend_from_slice(&found.placed.hour.to_le_bytes());
        for dimension in &self.plan.dimensions {
            let column = &self.plan.columns[*dimension];
            let value = column.read(found.slots, found.picked, &self.plan.nulls, &found.account.currency)?;
            value.mark(&mut self.mark);
        }
        self.hash.update(&self.mark);
        Ok(())
    }

    /// Appends the columns of [`STANDARD`], in their order.
    fn push_standard(&mut self, found: &Found<'_, '_>) -> Result<(), Refused> {
        let Found { account, campaign, placed, .. } = found;
        let named = match &self.plan.campaign_name {
            Some(place) => place.read(found.slots, &self.plan.nulls)?,
            None => None,
        };
        let known = || self.context.campaign_names.get(*campaign).map(|name| Cow::Borrowed(name.as_str()));
        let name = named.or_else(known).map_or(Value::Null, Value::Text);
        let values = [
            text(&self.plan.platform),
            text(&account.id),
            text_or_null(&account.name),
            text(account.time_zone.name()),
            text_or_null(&account.currency),
            text(campaign),
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
