//! Rows whose hour is the place of their values: `[1200, 0, 310]` is what three hours have, one after the other.

use serde_json::value::RawValue;

use super::PageContext;
use super::cell::{Scalar, excerpt};
use super::column::Source;
use super::moment::{self, Said};
use super::number;
use crate::time::Instant;

/// Where a body tells which hours its values are of: slots of its values and their paths.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) start: Option<(usize, String)>,
    pub(super) length: Option<(usize, String)>,
}

impl Told {
    /// Whether the page is of the hours that were asked for; `Err` says what is not. Of a page without records nothing
    /// needs to be told.
    pub(super) fn agree(
        &self,
        captures: &[Option<&str>],
        context: &PageContext<'_>,
        records: usize,
    ) -> Result<(), String> {
        if let Some((slot, path)) = &self.start {
            let (told, from) = (captures[*slot].filter(|raw| *raw != "null"), context.asked.from());
            let good = told.map_or(records == 0, |raw| moment(raw) == Some(from));
            if !good {
                return Err(differs(path, told, &format!("{}, which was asked for", from.format("%FT%TZ"))));
            }
        }
        if let Some((slot, path)) = &self.length
            && records > 0
        {
            let (told, hours) = (captures[*slot].filter(|raw| *raw != "null"), context.asked_hours().len());
            let length = told.and_then(|raw| Scalar::of(raw).into_text()).and_then(|text| number::integer(&text).ok());
            if length.and_then(|length| usize::try_from(length).ok()) != Some(hours) {
                return Err(differs(path, told, &format!("{hours}, the hours that were asked for")));
            }
        }
        Ok(())
    }
}

/// The moment that a JSON text names; without an offset it is one in UTC.
fn moment(raw: &str) -> Option<Instant> {
    let text = Scalar::of(raw).into_text()?;
    match moment::read(text.trim()) {
        Some(Said::Moment(moment)) => Some(moment),
        Some(Said::Shown(shown)) => Some(shown.and_utc()),
        Some(Said::Date(_)) => None,
        None => moment::unix(text.trim()),
    }
}

fn differs(path: &str, told: Option<&str>, expected: &str) -> String {
    let found = told.map_or_else(|| "nothing".to_owned(), excerpt);
    format!("`{path}` holds {found}, expected {expected}")
}

/// A record's values by hour.
pub(super) struct Spread<'a> {
    arrays: Vec<(Source, Vec<&'a RawValue>)>,
}

/// Why a column's values are not those of the hours.
pub(super) enum Uneven {
    /// There is no list.
    NoList,
    /// There are so many.
    Values(usize),
}

impl<'a> Spread<'a> {
    pub(super) fn new() -> Spread<'a> {
        Spread { arrays: Vec::new() }
    }

    /// Takes apart the array `raw`, which must have a value for each of so many `hours`. Null is null for all hours, and
    /// one value is for all hours where it `may_be_one`.
    pub(super) fn add(
        &mut self,
        source: Source,
        raw: Option<&'a str>,
        may_be_one: bool,
        hours: usize,
        nulls: &[String],
    ) -> Result<(), Uneven> {
        let known = self.arrays.iter().any(|(other, _)| *other == source);
        let Some(raw) = raw.filter(|_| !known) else { return Ok(()) };
        if !raw.starts_with('[') {
            let good = may_be_one || Scalar::of(raw).or_null(nulls) == Scalar::Null;
            return if good { Ok(()) } else { Err(Uneven::NoList) };
        }
        let values: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| Uneven::NoList)?;
        if values.len() != hours {
            return Err(Uneven::Values(values.len()));
        }
        self.arrays.push((source, values));
        Ok(())
    }

    /// Puts the values of the hour with this number into their places.
    pub(super) fn put(&self, hour: usize, slots: &mut [Option<&'a str>], picked: &mut [Option<&'a str>]) {
        for (source, values) in &self.arrays {
            let value = values.get(hour).map(|value| value.get());
            match *source {
                Source::Slot(slot) => slots[slot] = value,
                Source::Picked(index) => picked[index] = value,
            }
        }
    }
}
