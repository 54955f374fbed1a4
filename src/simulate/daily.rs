//! `/v1/daily`: the sums of an account's rows over each day of its own clock.

use axum::http::StatusCode;
use chrono::NaiveDate;

use super::cursor;
use super::faults::FaultKind;
use super::hours;
use super::json::{daily_row, push};
use super::reply::Reply;
use super::scan::Moment;
use super::state::Shared;
use super::values::{self, Values};

/// Which days of which accounts are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Days {
    /// Places in `World::accounts`, in the order asked for.
    pub(super) accounts: Vec<usize>,
    pub(super) from: NaiveDate,
    /// The last of them.
    pub(super) to: NaiveDate,
}

/// Where a walk over pages of days stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DayPosition {
    /// Days of all accounts before this one.
    pub(super) place: usize,
    /// When the cursor was given out, in seconds since 1970 on the simulator's clock.
    pub(super) created: i64,
    /// Pages before this one.
    pub(super) step: u64,
    /// Pages just before this one that were empty by fault.
    pub(super) blanks: u32,
}

/// What the daily report says beyond the sums of the truth: a lever, so that the two can be made to differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extra {
    pub(super) account: usize,
    pub(super) date: NaiveDate,
    pub(super) impressions: i64,
    pub(super) clicks: i64,
    /// In the currency's smallest unit.
    pub(super) spend: i64,
}

impl Days {
    /// How many days of one account are asked for.
    pub(super) fn length(&self) -> usize {
        usize::try_from((self.to - self.from).num_days() + 1).unwrap_or(0)
    }

    /// The account and the date at a place.
    fn at(&self, place: usize) -> Option<(usize, NaiveDate)> {
        let account = *self.accounts.get(place / self.length().max(1))?;
        let date = self.from.iter_days().nth(place % self.length().max(1))?;
        Some((account, date))
    }

    /// The cursor to `at`, which carries its query.
    pub(super) fn seal(&self, at: &DayPosition, seed: u64) -> String {
        let accounts: Vec<String> = self.accounts.iter().map(usize::to_string).collect();
        let (accounts, from, to) = (accounts.join("."), self.from, self.to);
        let DayPosition { place, created, step, blanks } = at;
        cursor::seal(seed, &format!("daily;{accounts};{from};{to};{place};{created};{step};{blanks}"))
    }

    /// Reads a cursor back; none unless it is one of days that was sealed with this seed.
    pub(super) fn open(seed: u64, sealed: &str) -> Option<(Days, DayPosition)> {
        let text = cursor::open(seed, sealed)?;
        let parts: Vec<&str> = text.split(';').collect();
        let ["daily", accounts, from, to, place, created, step, blanks] = parts[..] else { return None };
        let accounts = accounts.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<usize>>>()?;
        let days = Days { accounts, from: from.parse().ok()?, to: to.parse().ok()? };
        let at = DayPosition {
            place: place.parse().ok()?,
            created: created.parse().ok()?,
            step: step.parse().ok()?,
            blanks: blanks.parse().ok()?,
        };
        Some((days, at))
    }
}

/// A walk over days as of a moment.
pub(super) struct DayWalk<'a> {
    pub(super) shared: &'a Shared,
    pub(super) days: Days,
    pub(super) moment: Moment,
    pub(super) extras: &'a [Extra],
    /// The simulator's now, from which the next cursor's life is counted.
    pub(super) now: i64,
}

impl DayWalk<'_> {
    /// One page of days with any rows. `shape` may ask for one of the faults that change pages; the answer tells with
    /// `bool` whether it could be committed.
    pub(super) fn page(&self, at: DayPosition, limit: usize, shape: Option<FaultKind>) -> (Reply, bool) {
        let blank = matches!(shape, Some(FaultKind::EmptyPage | FaultKind::NullData));
        if blank && at.blanks < self.shared.fault_streak() && self.find(at.place).is_some() {
            let next = DayPosition { step: at.step + 1, blanks: at.blanks + 1, created: self.now, ..at };
            let rows = if shape == Some(FaultKind::NullData) { "null" } else { "[]" };
            let body = format!(r#"{{"data":{rows},{}}}"#, self.paging(limit, Some(next)));
            return (Reply::json(StatusCode::OK, body), true);
        }
        let mut body = String::from(r#"{"data":["#);
        let (mut place, mut count, mut last) = (at.place, 0, at.place);
        while count < limit
            && let Some((found, sums)) = self.find(place)
        {
            if count > 0 {
                body.push(',');
            }
            self.push_row(&mut body, found, &sums);
            (place, last) = (found + 1, found);
            count += 1;
        }
        // The last row again is only harmless where each page still brings something new.
        let repeats = shape == Some(FaultKind::DuplicateRows) && count >= 2;
        let after = self.find(place).map(|(found, _)| if repeats { last } else { found });
        let next = after.map(|place| DayPosition { place, created: self.now, step: at.step + 1, blanks: 0 });
        push(&mut body, format_args!("],{}}}", self.paging(limit, next)));
        (Reply::json(StatusCode::OK, body), repeats && next.is_some())
    }

    fn paging(&self, limit: usize, next: Option<DayPosition>) -> String {
        let Some(at) = next else { return r#""paging":{"cursor":null,"next":null}"#.to_owned() };
        let cursor = self.days.seal(&at, self.shared.options.seed);
        let base = self.shared.base_url();
        format!(r#""paging":{{"cursor":"{cursor}","next":"{base}/v1/daily?limit={limit}&cursor={cursor}"}}"#)
    }

    /// The first day with any rows at or after `place`, and its sums.
    fn find(&self, mut place: usize) -> Option<(usize, Values)> {
        loop {
            let (account, date) = self.days.at(place)?;
            if let Some(sums) = self.sums(account, date) {
                return Some((place, sums));
            }
            place += 1;
        }
    }

    /// The sums over an account's day; none where it has no row.
    fn sums(&self, account: usize, date: NaiveDate) -> Option<Values> {
        let world = &self.shared.world;
        let mut sums = Values::default();
        let mut any = false;
        let hours = hours::of_day(world.accounts[account].zone, date);
        for number in 0..world.campaigns {
            let campaign = world.campaign(account, number);
            for hour in &hours {
                if let Some(stage) = self.moment.stage(world, account, campaign.profile.key, hour.start) {
                    sums.add(values::at(&world.rules, &campaign.profile, hour.start, stage).unwrap_or_default());
                    any = true;
                }
            }
        }
        for extra in self.extras.iter().filter(|extra| (extra.account, extra.date) == (account, date)) {
            sums.impressions = sums.impressions.saturating_add_signed(extra.impressions);
            sums.clicks = sums.clicks.saturating_add_signed(extra.clicks);
            sums.spend = sums.spend.saturating_add_signed(extra.spend);
            any = true;
        }
        any.then_some(sums)
    }

    fn push_row(&self, body: &mut String, place: usize, sums: &Values) {
        if let Some((account, date)) = self.days.at(place) {
            daily_row(body, &self.shared.world.accounts[account], date, sums);
        }
    }
}
