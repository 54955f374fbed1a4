//! One record: whose it is, which hour it is of, and its columns' values, appended to the rows.

use std::borrow::Cow;

use xxhash_rust::xxh3::Xxh3;

use super::cell::{Value, mark_text};
use super::columns::{ColumnPlan, Declared, Source};
use super::hour::{HourPlan, Placed, Places, Reading};
use super::identity::{Asked, IdPlan};
use super::list::ListPlan;
use super::moment::LastMoment;
use super::position::{Spread, Uneven};
use super::rows::{Owner, Rows};
use super::tree::Tree;
use super::walk::SEVERAL;
use super::{DecodeError, PageContext, PageFacts};
use crate::pipeline::{ColumnKind, JsonPath, Pipeline};
use crate::time::Instant;
use crate::unit::Account;

/// The columns of the campaign, before the declared ones.
const CAMPAIGN_COLUMNS: [&str; 2] = ["campaign_id", "campaign_name"];
/// So many values picked out of lists are held without asking for memory.
const FEW: usize = 8;

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
    /// Slots that one list is in and of which no column reads anything else.
    only_lists: Vec<usize>,
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
        let ids = [&account, &campaign, &campaign_name];
        let is_read = |slot: usize| {
            columns.iter().any(|column| column.source == Source::Slot(slot))
                || ids.iter().any(|id| id.as_ref().is_some_and(|id| id.slot() == slot))
        };
        let is_alone = |slot: &usize| lists.iter().filter(|list| list.slot == *slot).count() == 1 && !is_read(*slot);
        let only_lists = lists.iter().map(|list| list.slot).filter(is_alone).collect();
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
            only_lists,
            picked,
            nulls: pipeline.records.nulls.clone(),
            each: pipeline.shape.each.as_ref().map(JsonPath::to_string),
            skip_empty: pipeline.shape.skip_empty,
        }
    }

    /// The value of the column `platform`.
    pub(super) fn platform(&self) -> &str {
        &self.platform
    }

    /// The list in this slot, where nothing else is read of the slot.
    pub(super) fn list_at(&self, slot: usize) -> Option<&ListPlan> {
        self.lists.iter().find(|list| list.slot == slot).filter(|_| self.only_lists.contains(&slot))
    }

    /// How many values are picked out of lists.
    pub(super) fn picked(&self) -> usize {
        self.picked
    }
}

/// Reads a page's records one by one.
pub(super) struct RowReader<'d> {
    plan: &'d RowPlan,
    context: &'d PageContext<'d>,
    rows: &'d mut Rows,
    accounts: Asked<'d>,
    /// By the account's position: its currency in the row before, and its number among the rows' owners with that.
    owners: Vec<Option<(&'d str, u32)>>,
    /// The hours that were asked for, where a record holds them all.
    hours: Vec<Instant>,
    places: Places,
    /// By the column's place: the moment that it held last.
    moments: Vec<LastMoment>,
    hash: Xxh3,
    mark: Vec<u8>,
    records: usize,
    /// The number of the element at hand, where each element of a list makes a row.
    element: Option<usize>,
    outside: usize,
}

/// A row to be: its hour is known, its values are not yet read.
struct Found<'f, 'a> {
    /// The account's position among those asked for.
    position: usize,
    account: &'f Account,
    campaign: &'f str,
    placed: Placed,
    /// The number of the hour among those of the rows.
    hour: u32,
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
            owners: vec![None; context.accounts.len()],
            hours: if plan.hour.is_position() { context.asked_hours() } else { Vec::new() },
            places: Places::new(),
            moments: vec![LastMoment::default(); plan.columns.len()],
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

    /// The pipeline's columns.
    pub(super) fn plan(&self) -> &'d RowPlan {
        self.plan
    }

    /// Takes the next record, given its slots' JSON text, and what was picked out of lists already.
    pub(super) fn take<'a>(
        &mut self,
        slots: &[Option<&'a str>],
        picked: &[Option<&'a str>],
    ) -> Result<(), DecodeError> {
        self.begin_record();
        self.row(slots, picked)
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
    pub(super) fn row<'a>(&mut self, slots: &[Option<&'a str>], picked: &[Option<&'a str>]) -> Result<(), DecodeError> {
        self.rows_of(slots, picked).map_err(|stop| match stop {
            Stop::Row(refused) => self.numbered(refused),
            Stop::Page(refused) => DecodeError::Unreadable(self.numbered(refused).to_string()),
        })
    }

    fn rows_of<'a>(&mut self, slots: &[Option<&'a str>], before: &[Option<&'a str>]) -> Result<(), Stop> {
        let plan = self.plan;
        // Nearly all pipelines pick a few values or none: those need no memory of their own.
        let (mut few, mut many) = ([None; FEW], Vec::new());
        let picked = match few.get_mut(..plan.picked) {
            Some(few) => few,
            None => {
                many.resize(plan.picked, None);
                &mut many[..]
            }
        };
        for (picked, before) in picked.iter_mut().zip(before) {
            *picked = *before;
        }
        for list in &plan.lists {
            list.pick(slots[list.slot], &plan.nulls, picked)?;
        }
        let position = self.accounts.position(plan.account.as_ref(), slots, &plan.nulls)?;
        let account = self.accounts.at(position);
        let campaign = match &plan.campaign {
            Some(place) => place.read(slots, &plan.nulls)?.ok_or_else(|| place.refused(slots, "a campaign's id"))?,
            None => Cow::Borrowed(""),
        };
        let (account, campaign) = (account, campaign.as_ref());
        let text = plan.hour.slot().and_then(|slot| slots[slot]);
        let known = text.and_then(|text| self.places.of_text(position, text));
        let placed = match known {
            Some(known) => Some(known),
            None => match plan.hour.read(slots)? {
                Some(reading) => Some(self.placed(position, reading, slots)?),
                None => None,
            },
        };
        if let Some((placed, hour)) = placed {
            if let Some(text) = text.filter(|_| known.is_none()) {
                self.places.note_text(position, text, (placed, hour));
            }
            return Ok(self.one(&Found { position, account, campaign, placed, hour, slots, picked })?);
        }
        let spread = self.spread(slots, picked)?;
        let (mut slots, mut picked) = (slots.to_vec(), picked.to_vec());
        for number in 0..self.hours.len() {
            spread.put(number, &mut slots, &mut picked);
            let (placed, hour) = self.placed(position, Reading::At(self.hours[number]), &slots)?;
            self.one(&Found { position, account, campaign, placed, hour, slots: &slots, picked: &picked })?;
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
        let context = self.context;
        let currency = context.currency_of(self.accounts.at(found.position), found.campaign);
        self.begin(found, currency)?;
        let mut anything = !plan.skip_empty;
        for (index, column) in plan.columns.iter().enumerate() {
            let raw = column.raw(found.slots, found.picked);
            let value = match self.moments.get(index).and_then(|last| last.of(raw?)) {
                Some(micros) => Value::Int(micros),
                None => column.read(found.slots, found.picked, &plan.nulls, currency)?,
            };
            if let (ColumnKind::Timestamp, Some(raw), Value::Int(micros)) = (column.kind, raw, &value) {
                self.moments[index].note(raw, *micros);
            }
            anything |= column.counts(&value);
            self.rows.push(CAMPAIGN_COLUMNS.len() + index, value).ok_or_else(|| full(&column.name))?;
        }
        if anything {
            self.rows.end_row();
        } else {
            self.rows.truncate(self.rows.len());
        }
        Ok(())
    }

    fn placed(&mut self, position: usize, reading: Reading, slots: &[Option<&str>]) -> Result<(Placed, u32), Refused> {
        let (hour, window) = (&self.plan.hour, self.context.window);
        let (zone, rows) = (self.accounts.at(position).time_zone, &mut *self.rows);
        let placed = self.places.get(position, reading, || {
            let placed = hour.place(reading, zone, window)?;
            Ok((placed, rows.hour(placed.columns)))
        });
        placed.map_err(|expected| hour.refused(slots, expected))
    }

    /// Adds the row's key to the page's fingerprint.
    fn mark(&mut self, found: &Found<'_, '_>) -> Result<(), Refused> {
        self.mark.clear();
        mark_text(&found.account.id, &mut self.mark);
        mark_text(found.campaign, &mut self.mark);
        self.mark.extend_from_slice(&found.placed.columns.hour.to_le_bytes());
        for dimension in &self.plan.dimensions {
            let column = &self.plan.columns[*dimension];
            let value = column.read(found.slots, found.picked, &self.plan.nulls, &found.account.currency)?;
            value.mark(&mut self.mark);
        }
        self.hash.update(&self.mark);
        Ok(())
    }

    /// Begins the row: whose it is, which hour, which campaign.
    fn begin(&mut self, found: &Found<'_, '_>, currency: &'d str) -> Result<(), Refused> {
        let owner = self.owner(found.position, currency);
        self.rows.begin_row(owner, found.hour).ok_or_else(|| full("account_name"))?;
        let named = match &self.plan.campaign_name {
            Some(place) => place.read(found.slots, &self.plan.nulls)?,
            None => None,
        };
        let known = || self.context.campaign_names.get(found.campaign).map(|name| Cow::Borrowed(name.as_str()));
        let name = named.or_else(known).map_or(Value::Null, Value::Text);
        let values = [Value::Text(Cow::Borrowed(found.campaign)), name];
        for (index, value) in values.into_iter().enumerate() {
            self.rows.push(index, value).ok_or_else(|| full(CAMPAIGN_COLUMNS[index]))?;
        }
        Ok(())
    }

    /// The number of the account at `position`, with this currency, among the rows' owners.
    fn owner(&mut self, position: usize, currency: &'d str) -> u32 {
        match self.owners[position] {
            Some((known, number)) if known == currency => number,
            _ => {
                let account = self.accounts.at(position);
                let number = self.rows.owner(Owner {
                    account: account.id.clone(),
                    name: account.name.clone(),
                    zone: account.time_zone.name(),
                    currency: currency.to_owned(),
                });
                self.owners[position] = Some((currency, number));
                number
            }
        }
    }
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
