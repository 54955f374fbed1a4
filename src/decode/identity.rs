//! Whose a row is.

use std::borrow::Cow;
use std::collections::HashMap;

use super::cell::{Scalar, excerpt};
use super::manner::after;
use super::row::Refused;
use super::tree::Tree;
use crate::pipeline::JsonPath;
use crate::unit::Account;

/// Where one of the identity's texts is.
#[derive(Debug)]
pub(super) struct IdPlan {
    slot: usize,
    path: String,
    column: &'static str,
    /// The id is what follows this text.
    after: Option<String>,
}

impl IdPlan {
    pub(super) fn new(path: &JsonPath, column: &'static str, after: Option<&String>, record: &mut Tree) -> IdPlan {
        IdPlan { slot: record.want(path), path: path.to_string(), column, after: after.cloned() }
    }

    /// The text at its place; `None` where there is none, or an empty one.
    pub(super) fn read<'a>(
        &self,
        slots: &[Option<&'a str>],
        nulls: &[String],
    ) -> Result<Option<Cow<'a, str>>, Refused> {
        let text = match slots[self.slot].map_or(Scalar::Null, Scalar::of).or_null(nulls) {
            Scalar::Null => return Ok(None),
            Scalar::Text(text) if text.is_empty() => return Ok(None),
            Scalar::Text(text) => text,
            Scalar::Number(number) => Cow::Borrowed(number),
            Scalar::Bool(_) | Scalar::Other => return Err(self.refused(slots, "text or a number")),
        };
        match &self.after {
            None => Ok(Some(text)),
            Some(before) => after(before, text).map(Some).map_err(|expected| self.refused(slots, &expected)),
        }
    }

    /// Its slot.
    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    /// The JSON text at its place, whatever it is.
    pub(super) fn raw<'a>(&self, slots: &[Option<&'a str>]) -> Option<&'a str> {
        slots[self.slot]
    }

    pub(super) fn refused(&self, slots: &[Option<&str>], expected: &str) -> Refused {
        Refused {
            column: self.column.to_owned(),
            path: self.path.clone(),
            found: slots[self.slot].map_or_else(|| "nothing".to_owned(), excerpt),
            expected: expected.to_owned(),
        }
    }
}

/// The accounts asked for, found by their ids.
pub(super) struct Asked<'d> {
    accounts: &'d [Account],
    positions: HashMap<&'d str, usize>,
    /// Rows of one account usually follow each other.
    last: usize,
}

impl<'d> Asked<'d> {
    pub(super) fn new(accounts: &'d [Account]) -> Asked<'d> {
        let positions = accounts.iter().enumerate().map(|(position, account)| (account.id.as_str(), position));
        Asked { accounts, positions: positions.collect(), last: 0 }
    }

    /// The account at `position`.
    pub(super) fn at(&self, position: usize) -> &'d Account {
        &self.accounts[position]
    }

    /// The position of the record's account.
    pub(super) fn position(
        &mut self,
        place: Option<&IdPlan>,
        slots: &[Option<&str>],
        nulls: &[String],
    ) -> Result<usize, Refused> {
        let Some(place) = place else {
            if self.accounts.len() == 1 {
                return Ok(0);
            }
            return Err(Refused {
                column: "account_id".to_owned(),
                path: "identity.account".to_owned(),
                found: "no path".to_owned(),
                expected: format!("one, since {} accounts were asked for at once", self.accounts.len()),
            });
        };
        let id = place.read(slots, nulls)?;
        let id = id.ok_or_else(|| place.refused(slots, "an account's id"))?;
        if self.accounts.get(self.last).is_some_and(|account| account.id == id) {
            return Ok(self.last);
        }
        match self.positions.get(id.as_ref()) {
            Some(position) => {
                self.last = *position;
                Ok(*position)
            }
            None => Err(place.refused(slots, "an account that was asked for")),
        }
    }
}
