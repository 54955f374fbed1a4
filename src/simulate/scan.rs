//! Walks the grid (account, campaign, hour) of a query from any place, so that a page costs its own rows and not those
//! before it.

use std::sync::Arc;

use chrono_tz::Tz;

use super::hours::{self, Hour};
use super::values::{self, Values};
use super::world::{Account, Campaign, World};

/// Which clock cuts the hours of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HourClock {
    Account,
    Utc,
}

/// What a metrics request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// Places in [`World::accounts`], in the order asked for.
    pub(super) accounts: Vec<usize>,
    /// Seconds since 1970, half-open, over the beginnings of hours.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) clock: HourClock,
    /// Bits of [`super::json::FIELDS`].
    pub(super) fields: u32,
}

/// Hours of an account that the API says nothing about for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) account: usize,
    pub(super) from: i64,
    pub(super) to: i64,
    /// When the rows come back; never where this is absent.
    pub(super) until: Option<i64>,
}

/// A cell of a query's grid: the account's place in the query, the campaign's number, the hour's place in the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) account: usize,
    pub(super) campaign: usize,
    pub(super) hour: usize,
}

/// The moment at which the world is looked at, with the holes it has then.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) as_of: i64,
    pub(super) holes: Arc<Vec<Hole>>,
}

impl Moment {
    /// The stage of a row that is there at this moment; none if it is not.
    pub(super) fn stage(&self, world: &World, account: usize, campaign: u64, start: i64) -> Option<usize> {
        let stage = values::stage(start, self.as_of)?;
        if !values::present(&world.rules, campaign, start, stage) {
            return None;
        }
        let hidden = self.holes.iter().any(|hole| {
            hole.account == account
                && (hole.from..hole.to).contains(&start)
                && hole.until.is_none_or(|until| self.as_of < until)
        });
        (!hidden).then_some(stage)
    }
}

/// A row on its way out.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) account: &'a Account,
    pub(super) campaign: &'a Campaign,
    pub(super) hour: Hour,
    pub(super) values: Values,
    /// When the values last changed, in seconds since 1970.
    pub(super) updated: i64,
}

/// A walk over the present rows of a query, in its order: account, campaign, hour.
#[derive(Debug)]
pub(super) struct Scan {
    world: Arc<World>,
    query: Arc<Query>,
    moment: Moment,
    place: Place,
    /// The hours of the account at `place`, and the clock they were cut by.
    hours: Vec<Hour>,
    hours_clock: Option<Tz>,
    campaign: Option<Campaign>,
}

impl Scan {
    /// A walk whose first row is the first present one at or after `place`.
    pub(super) fn new(world: Arc<World>, query: Arc<Query>, moment: Moment, place: Place) -> Self {
        Self { world, query, moment, place, hours: Vec::new(), hours_clock: None, campaign: None }
    }

    /// Goes to the next present row at or after the current place and tells where it is.
    pub(super) fn find(&mut self) -> Option<(Place, usize)> {
        loop {
            let account = *self.query.accounts.get(self.place.account)?;
            if self.place.campaign >= self.world.campaigns {
                self.place = Place { account: self.place.account + 1, campaign: 0, hour: 0 };
                continue;
            }
            self.load_hours(account);
            let key = self.campaign(account).profile.key;
            while let Some(hour) = self.hours.get(self.place.hour) {
                if let Some(stage) = self.moment.stage(&self.world, account, key, hour.start) {
                    return Some((self.place, stage));
                }
                self.place.hour += 1;
            }
            self.place = Place { campaign: self.place.campaign + 1, hour: 0, ..self.place };
            self.campaign = None;
        }
    }

    /// Steps past the row that [`Scan::find`] stopped at.
    pub(super) fn step(&mut self) {
        self.place.hour += 1;
    }

    /// The row that [`Scan::find`] stopped at, given the stage it told.
    pub(super) fn row(&mut self, stage: usize) -> Row<'_> {
        let account = self.query.accounts[self.place.account];
        let hour = self.hours[self.place.hour];
        self.campaign(account);
        let (world, campaign) = (&*self.world, self.campaign.as_ref().expect("just loaded"));
        let since = values::changed_at(&world.rules, &campaign.profile, hour.start, stage);
        Row {
            account: &world.accounts[account],
            campaign,
            hour,
            values: values::at(&world.rules, &campaign.profile, hour.start, stage).unwrap_or_default(),
            updated: hour.start + values::MARKS[since],
        }
    }

    /// How many rows there are from here on.
    pub(super) fn count(mut self) -> u64 {
        let mut count = 0;
        while self.find().is_some() {
            count += 1;
            self.step();
        }
        count
    }

    fn load_hours(&mut self, account: usize) {
        let clock = match self.query.clock {
            HourClock::Account => self.world.accounts[account].zone,
            HourClock::Utc => Tz::UTC,
        };
        if self.hours_clock != Some(clock) {
            self.hours = hours::beginning_in(clock, self.query.from, self.query.to);
            self.hours_clock = Some(clock);
        }
    }

    /// The campaign at the current place; loaded once, forgotten by [`Scan::find`] when it moves on.
    fn campaign(&mut self, account: usize) -> &Campaign {
        let number = self.place.campaign;
        self.campaign.get_or_insert_with(|| self.world.campaign(account, number))
    }
}
