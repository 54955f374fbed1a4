//! What slices say about themselves, in the order in which they overwrite each other, and what was read before them.

use std::collections::{HashMap, HashSet};

use crate::pipeline::Missing;
use crate::time::{Instant, Window, slot};
use crate::unit::UnitKey;

/// What a staged slice says about itself: whose hours it brings, and what becomes of rows that it does not bring.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The unit's key.
    pub key: UnitKey,
    /// When the platform gave these values; later wins.
    pub fetched_at: Instant,
    /// Whose rows were asked for.
    pub accounts: Vec<String>,
    /// Which hours were asked for.
    pub window: Window,
    /// What becomes of rows of these accounts and hours that the slice does not bring.
    pub missing: Missing,
}

/// Claims in the order in which they overwrite each other: by `fetched_at`, then by the key's digest.
#[derive(Debug, Clone)]
pub struct Claims {
    list: Vec<Claim>,
    /// The claims that asked for an account, in order.
    asking: HashMap<String, Vec<usize>>,
}

impl Claims {
    /// Orders `claims`; the order in which they are given does not matter.
    pub fn new(mut claims: Vec<Claim>) -> Claims {
        claims.sort_by_cached_key(|claim| (claim.fetched_at, claim.key.digest(), claim.key.clone()));
        let mut asking: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, claim) in claims.iter().enumerate() {
            for account in &claim.accounts {
                asking.entry(account.clone()).or_default().push(index);
            }
        }
        Claims { list: claims, asking }
    }

    /// The claims, oldest first. [`Arrival::claim`](super::Arrival::claim) is an index into it.
    pub fn list(&self) -> &[Claim] {
        &self.list
    }

    /// Whether any claim asked for `hour`, so that an hour without arrivals may have something to tell as well.
    pub fn asked(&self, hour: Instant) -> bool {
        self.list.iter().any(|claim| claim.window.contains(hour))
    }

    /// Whether any claim asked for an hour from `from` to `to`, both included.
    pub fn asked_within(&self, from: Instant, to: Instant) -> bool {
        self.list.iter().any(|claim| claim.window.from() <= to && from < claim.window.to())
    }

    /// The claims that asked for this account and hour, oldest first.
    pub(super) fn asking(&self, account: &str, hour: Instant) -> Vec<usize> {
        let Some(indices) = self.asking.get(account) else { return Vec::new() };
        indices.iter().copied().filter(|index| self.list[*index].window.contains(hour)).collect()
    }

    pub(super) fn drops(&self, claim: usize) -> bool {
        matches!(self.list[claim].missing, Missing::Drop { .. })
    }
}

/// Which hours of which accounts had been read before the slices at hand: only there a new row is a late one. First
/// readings are not logged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadBefore {
    slots: HashMap<String, HashSet<i64>>,
}

impl ReadBefore {
    /// The account's hour in the UTC clock hour `slot` had been read.
    pub fn insert(&mut self, account: &str, slot: i64) {
        match self.slots.get_mut(account) {
            Some(slots) => drop(slots.insert(slot)),
            None => drop(self.slots.insert(account.to_owned(), HashSet::from([slot]))),
        }
    }

    /// Whether the account's hour that begins at `hour` had been read.
    pub fn contains(&self, account: &str, hour: Instant) -> bool {
        self.slots.get(account).is_some_and(|slots| slots.contains(&slot(hour)))
    }
}
