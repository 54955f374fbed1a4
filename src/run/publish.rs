//! Which partition may be published when, and which unit is through when. Pure bookkeeping, no I/O.
//!
//! A partition is published once, when every planned unit that touches it has ended (staged or failed): one file is
//! written once instead of once per unit. A unit is through when all of its partitions are published.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::lake::{Partition, Published, Refused, StagedSlice};
use crate::pipeline::Missing;
use crate::state::{PublishedUnit, StagedUnit};
use crate::time::Instant;
use crate::unit::UnitKey;

/// The open partitions and units of one run.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    partitions: BTreeMap<Partition, Waiting>,
    units: HashMap<UnitKey, Open>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Planned units that have not ended.
    pending: usize,
    slices: Vec<StagedSlice>,
}

#[derive(Debug)]
struct Open {
    staged: StagedUnit,
    left: usize,
    changed: Vec<(String, Instant)>,
    refused: Option<Refused>,
}

/// How a unit's rows go into the lake.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// What becomes of rows that it does not bring.
    pub(super) missing: Missing,
    /// Columns whose values may not be smaller than the lake's.
    pub(super) not_falling: Arc<[String]>,
}

/// A unit whose partitions are all published.
#[derive(Debug)]
pub(super) enum Through {
    /// To be recorded.
    Published(PublishedUnit),
    /// It was refused by a partition; to be recorded as failed, or quarantined.
    Refused(StagedUnit, Refused),
}

impl Publisher {
    /// A unit is planned that touches `partitions`.
    pub(super) fn expect(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.partitions.entry(*partition).or_default().pending += 1;
        }
    }

    /// The most units that are expected of one partition.
    pub(super) fn most_together(&self) -> usize {
        self.partitions.values().map(|waiting| waiting.pending).max().unwrap_or(0)
    }

    /// An expected unit ended without rows to publish.
    pub(super) fn gave_up(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            if let Some(waiting) = self.partitions.get_mut(partition) {
                waiting.pending = waiting.pending.saturating_sub(1);
            }
        }
    }

    /// An expected unit is staged. `touched` are the partitions of its closed window, a part of what was expected.
    pub(super) fn staged(&mut self, staged: StagedUnit, expected: &[Partition], touched: &[Partition], terms: &Terms) {
        self.gave_up(expected);
        for partition in touched {
            let waiting = self.partitions.entry(*partition).or_default();
            waiting.slices.push(slice(&staged, terms));
        }
        let key = staged.unit.key.clone();
        self.units.insert(key, Open { staged, left: touched.len(), changed: Vec::new(), refused: None });
    }

    /// Takes the partitions out that nobody is expected for any more, newest first, with their slices.
    pub(super) fn ready(&mut self) -> Vec<(Partition, Vec<StagedSlice>)> {
        let done: Vec<Partition> = self
            .partitions
            .iter()
            .filter(|(_, waiting)| waiting.pending == 0)
            .map(|(partition, _)| *partition)
            .collect();
        self.take(done)
    }

    /// Takes all partitions out that hold slices, whoever is still expected: a run that ends early publishes what it has.
    pub(super) fn rest(&mut self) -> Vec<(Partition, Vec<StagedSlice>)> {
        let all: Vec<Partition> = self.partitions.keys().copied().collect();
        self.take(all)
    }

    fn take(&mut self, partitions: Vec<Partition>) -> Vec<(Partition, Vec<StagedSlice>)> {
        let mut taken = Vec::new();
        for partition in partitions.into_iter().rev() {
            if let Some(waiting) = self.partitions.remove(&partition)
                && !waiting.slices.is_empty()
            {
                taken.push((partition, waiting.slices));
            }
        }
        taken
    }

    /// A partition was published with `slices`: the units that are through now.
    pub(super) fn published(&mut self, published: &Published, slices: &[StagedSlice]) -> Vec<Through> {
        let mut through = Vec::new();
        let mut changed: HashMap<&str, Vec<Instant>> = HashMap::new();
        for (account, hour) in &published.account_hours_changed {
            changed.entry(account).or_default().push(*hour);
        }
        for slice in slices {
            let Some(open) = self.units.get_mut(&slice.key) else { continue };
            open.left = open.left.saturating_sub(1);
            for account in &slice.accounts {
                let hours = changed.get(account.as_str()).into_iter().flatten();
                let own = hours.filter(|hour| slice.window.contains(**hour));
                open.changed.extend(own.map(|hour| (account.clone(), *hour)));
            }
            if let Some(refused) = published.refused.iter().find(|refused| refused.key == slice.key) {
                open.refused = Some(refused.clone());
            }
            if open.left == 0
                && let Some(open) = self.units.remove(&slice.key)
            {
                through.push(end(open));
            }
        }
        through
    }

    /// Units that touch no partition at all (no hour of their window was over): through at once.
    pub(super) fn empty(&mut self) -> Vec<Through> {
        let keys: Vec<UnitKey> =
            self.units.iter().filter(|(_, open)| open.left == 0).map(|(key, _)| key.clone()).collect();
        keys.iter().filter_map(|key| self.units.remove(key)).map(end).collect()
    }
}

fn slice(staged: &StagedUnit, terms: &Terms) -> StagedSlice {
    StagedSlice {
        key: staged.unit.key.clone(),
        accounts: staged.unit.accounts.iter().map(|account| account.id.clone()).collect(),
        window: staged.window,
        missing: terms.missing,
        fetched_at: staged.fetched_at,
        rows: staged.rows,
        not_falling: terms.not_falling.clone(),
    }
}

fn end(open: Open) -> Through {
    match open.refused {
        Some(refused) => Through::Refused(open.staged, refused),
        None => Through::Published(PublishedUnit {
            key: open.staged.unit.key,
            accounts: open.staged.unit.accounts,
            window: open.staged.window,
            fetched_at: open.staged.fetched_at,
            changed: open.changed,
            empty: open.staged.empty,
        }),
    }
}
