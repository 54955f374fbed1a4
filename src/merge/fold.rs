//! The fold over one hour: for each key the row in the lake, then the claims, oldest first.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use arrow::array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, interleave_record_batch};

use super::events::{Change, Event, events_batch};
use super::order::{Heads, KeyOrder, Next, first_not};
use super::shape::{RowsEqual, fault};
use super::{Arrival, Claims, HourMerge, ReadBefore, Shape, Tally};
use crate::error::Result;
use crate::time::Instant;

/// Stretches of rows that are this long on average are copied as stretches, shorter ones row by row.
const LONG: usize = 16;

/// Where a row is: the batch's place among the sources and the row's place in it.
pub(super) type Place = (usize, usize);

/// The sources of one hour: the old rows first, where there are any, then the arrivals.
pub(super) struct Merge<'a> {
    shape: &'a Shape,
    hour: Instant,
    claims: &'a Claims,
    read_before: &'a ReadBefore,
    sources: Vec<Source<'a>>,
    /// Comparisons of the values of two sources, made when they are needed first.
    comparisons: HashMap<(usize, usize), RowsEqual>,
}

struct Source<'a> {
    rows: &'a RecordBatch,
    accounts: &'a StringArray,
    /// `None`: the lake's old rows.
    claim: Option<usize>,
    /// When each row's values were first seen.
    seen_at: Option<&'a TimestampMicrosecondArray>,
}

/// What concerns all keys of one account in the hour.
#[derive(Default)]
struct Asked {
    account: String,
    /// The claims that asked for it, oldest first.
    by: Vec<usize>,
    read_before: bool,
}

/// What the fold has come to.
#[derive(Default)]
struct Outcome {
    /// The rows that stay, in order.
    kept: Vec<Stretch>,
    events: Vec<Event>,
    untraced: BTreeSet<usize>,
}

/// Adjacent rows of one source.
struct Stretch {
    source: usize,
    rows: Range<usize>,
}

impl Outcome {
    fn keep(&mut self, source: usize, rows: Range<usize>) {
        match self.kept.last_mut() {
            Some(last) if last.source == source && last.rows.end == rows.start => last.rows.end = rows.end,
            _ => self.kept.push(Stretch { source, rows }),
        }
    }
}

impl<'a> Merge<'a> {
    pub(super) fn new(
        shape: &'a Shape,
        hour: Instant,
        old: Option<&'a RecordBatch>,
        arrivals: &'a [Arrival],
        claims: &'a Claims,
        read_before: &'a ReadBefore,
    ) -> Result<Merge<'a>> {
        let old = old.filter(|rows| rows.num_rows() > 0).map(|rows| (None, rows));
        let new = arrivals.iter().map(|arrival| (Some(arrival.claim), &arrival.rows));
        let mut sources = Vec::with_capacity(arrivals.len() + 1);
        for (claim, rows) in old.into_iter().chain(new) {
            let (accounts, seen_at) = (shape.accounts(rows)?, shape.seen_at(rows)?);
            sources.push(Source { rows, accounts, claim, seen_at });
        }
        Ok(Merge { shape, hour, claims, read_before, sources, comparisons: HashMap::new() })
    }

    pub(super) fn run(mut self, tallies: &mut [Tally]) -> Result<HourMerge> {
        let batches: Vec<&RecordBatch> = self.sources.iter().map(|source| source.rows).collect();
        let order = KeyOrder::new(&batches, self.shape.key_in_hour())?;
        let mut merged = HourMerge::default();
        let mut outcome = Outcome::default();
        let mut asked = Asked::default();
        for next in Heads::new(&order) {
            match next {
                Next::Same(places) => {
                    self.ask(places[0], &mut asked);
                    self.key(&places, &asked, &mut outcome, &mut merged, tallies)?;
                }
                Next::Alone(source, rows) => {
                    self.alone(source, rows, &mut asked, &mut outcome, &mut merged, tallies)?;
                }
            }
        }
        if merged.added + merged.changed + merged.removed > 0 {
            merged.rows = Some(self.take(&batches, &outcome.kept)?);
        }
        if !outcome.events.is_empty() {
            merged.events = Some(events_batch(self.shape, self.hour, &batches, &outcome.events)?);
            merged.untraced = outcome.untraced;
        }
        Ok(merged)
    }

    /// Rows with keys that no other source has, account by account: where nobody has anything to say of an account's rows
    /// they stay as they are, without a look at each.
    fn alone(
        &mut self,
        source: usize,
        rows: Range<usize>,
        asked: &mut Asked,
        outcome: &mut Outcome,
        merged: &mut HourMerge,
        tallies: &mut [Tally],
    ) -> Result<()> {
        let accounts = self.sources[source].accounts;
        let mut begin = rows.start;
        while begin < rows.end {
            let account = accounts.value(begin);
            let end = first_not(begin, rows.end, |row| accounts.value(row) == account);
            self.ask((source, begin), asked);
            if self.nothing_is_said(source, asked) {
                outcome.keep(source, begin..end);
                if self.sources[source].claim.is_some() {
                    merged.added += (end - begin) as u64;
                    changed(merged, account);
                }
            } else {
                for row in begin..end {
                    self.key(&[(source, row)], asked, outcome, merged, tallies)?;
                }
            }
            begin = end;
        }
        Ok(())
    }

    /// Whether rows of one source alone stay as they are: the lake's, where nobody asked for their account; those of a
    /// slice, where nobody else did and the hour was never read before.
    fn nothing_is_said(&self, source: usize, asked: &Asked) -> bool {
        match self.sources[source].claim {
            None => asked.by.is_empty(),
            Some(own) => !asked.read_before && asked.by.iter().all(|claim| *claim == own),
        }
    }

    /// Learns what concerns the account of `place`, where it is another one than before.
    fn ask(&self, place: Place, asked: &mut Asked) {
        let account = self.account(place);
        if account != asked.account || asked.account.is_empty() {
            let read_before = self.read_before.contains(account, self.hour);
            *asked = Asked { account: account.to_owned(), by: self.claims.asking(account, self.hour), read_before };
        }
    }

    /// All rows of one key.
    fn key(
        &mut self,
        places: &[Place],
        asked: &Asked,
        outcome: &mut Outcome,
        merged: &mut HourMerge,
        tallies: &mut [Tally],
    ) -> Result<()> {
        self.count(places, &asked.by, tallies);
        let old = places.iter().copied().find(|place| self.claim_of(*place).is_none());
        let last = self.fold(places, old, asked, outcome)?;
        if let Some((source, row)) = last {
            outcome.keep(source, row..row + 1);
        }
        match (old, last) {
            (None, None) => return Ok(()),
            (None, Some(_)) => merged.added += 1,
            (Some(old), Some(last)) if old == last => return Ok(()),
            (Some(_), Some(_)) => merged.changed += 1,
            (Some(_), None) => merged.removed += 1,
        }
        changed(merged, &asked.account);
        Ok(())
    }

    fn account(&self, (source, row): Place) -> &'a str {
        self.sources[source].accounts.value(row)
    }

    fn claim_of(&self, (source, _): Place) -> Option<usize> {
        self.sources[source].claim
    }

    fn seen_at(&self, (source, row): Place) -> Option<i64> {
        let seen_at = self.sources[source].seen_at?;
        seen_at.is_valid(row).then(|| seen_at.value(row))
    }

    /// Whether a row's values were first seen after `claim` was fetched.
    fn seen_after(&self, place: Place, claim: usize) -> bool {
        self.seen_at(place).is_some_and(|seen_at| seen_at > self.fetched_at(claim))
    }

    fn fetched_at(&self, claim: usize) -> i64 {
        self.claims.list()[claim].fetched_at.timestamp_micros()
    }

    /// Counts an old row for each slice that drops and asked for it: held, and gone where it is not brought.
    fn count(&self, run: &[Place], asked: &[usize], tallies: &mut [Tally]) {
        let Some(old) = run.iter().find(|place| self.claim_of(**place).is_none()) else { return };
        for claim in asked.iter().filter(|claim| self.claims.drops(**claim)) {
            tallies[*claim].held += 1;
            let brought = run.iter().any(|place| self.claim_of(*place) == Some(*claim));
            if !brought && !self.seen_after(*old, *claim) {
                tallies[*claim].gone += 1;
            }
        }
    }

    /// The row that stays of all rows of one key, after what each claim does to it.
    fn fold(
        &mut self,
        run: &[Place],
        old: Option<Place>,
        asked: &Asked,
        outcome: &mut Outcome,
    ) -> Result<Option<Place>> {
        let begin = outcome.events.len();
        let mut row = old;
        for (claim, brought) in self.steps(run, &asked.by) {
            let change = match (row, brought) {
                (None, None) => continue,
                (Some(held), _) if self.seen_after(held, claim) => continue,
                (Some(held), Some(brought)) if self.equal(held, brought)? => continue,
                (Some(_), Some(_)) => Change::Changed,
                (Some(_), None) if self.claims.drops(claim) => Change::Removed,
                (Some(_), None) => Change::Kept,
                (None, Some(brought)) => {
                    let read_before = asked.read_before || asked.by.first().is_some_and(|first| *first < claim);
                    if !read_before {
                        row = Some(brought);
                        continue;
                    }
                    Change::Added
                }
            };
            let seen_at = brought.and_then(|brought| self.seen_at(brought)).unwrap_or(self.fetched_at(claim));
            let old_seen_at = row.and_then(|held| self.seen_at(held));
            outcome.events.push(Event { change, claim, old: row, new: brought, seen_at, old_seen_at });
            match change {
                Change::Changed | Change::Added => row = brought,
                Change::Removed => row = None,
                Change::Kept => {}
            }
        }
        if let (Some(first), Some(last)) = (old, row)
            && first != last
            && self.seen_at(first) == self.seen_at(last)
            && self.equal(first, last)?
        {
            // Slices of one and the same moment that led back to where it began: they were merged here before.
            let happened = outcome.events.split_off(begin);
            outcome.events.extend(happened.into_iter().filter(|event| event.change == Change::Kept));
            row = old;
        }
        let passing = old.is_none() && row.is_none();
        let untraced = outcome.events[begin..].iter().filter(|event| passing || event.change == Change::Kept);
        outcome.untraced.extend(untraced.map(|event| event.claim));
        Ok(row)
    }

    /// The claims that asked for a key or bring it, oldest first, each with what it brings.
    fn steps(&self, run: &[Place], asked: &[usize]) -> Vec<(usize, Option<Place>)> {
        let mut steps: Vec<(usize, Option<Place>)> = Vec::with_capacity(asked.len());
        let mut brought = run.iter().filter_map(|place| Some((self.claim_of(*place)?, *place))).peekable();
        for claim in asked {
            while let Some((by, place)) = brought.next_if(|(by, _)| by < claim) {
                steps.push((by, Some(place)));
            }
            steps.push((*claim, brought.next_if(|(by, _)| by == claim).map(|(_, place)| place)));
        }
        steps.extend(brought.map(|(by, place)| (by, Some(place))));
        steps
    }

    /// Whether two rows are the same in all columns but the key and `seen_at`.
    fn equal(&mut self, one: Place, other: Place) -> Result<bool> {
        let pair = (one.0, other.0);
        if let Some(rows_equal) = self.comparisons.get(&pair) {
            return Ok(rows_equal.test(one.1, other.1));
        }
        let rows_equal = self.shape.rows_equal(self.sources[one.0].rows, self.sources[other.0].rows)?;
        let equal = rows_equal.test(one.1, other.1);
        self.comparisons.insert(pair, rows_equal);
        Ok(equal)
    }

    fn take(&self, batches: &[&RecordBatch], kept: &[Stretch]) -> Result<RecordBatch> {
        let rows: usize = kept.iter().map(|stretch| stretch.rows.len()).sum();
        if rows >= kept.len() * LONG {
            let slice = |stretch: &Stretch| batches[stretch.source].slice(stretch.rows.start, stretch.rows.len());
            let slices: Vec<RecordBatch> = kept.iter().map(slice).collect();
            return match slices.as_slice() {
                [only] => Ok(only.clone()),
                several => concat_batches(self.shape.schema(), several).map_err(fault),
            };
        }
        let places = kept.iter().flat_map(|stretch| stretch.rows.clone().map(|row| (stretch.source, row)));
        interleave_record_batch(batches, &places.collect::<Vec<Place>>()).map_err(fault)
    }
}

/// Something of `account` is other than before; accounts come in order.
fn changed(merged: &mut HourMerge, account: &str) {
    if merged.accounts_changed.last().is_none_or(|last| last != account) {
        merged.accounts_changed.push(account.to_owned());
    }
}
