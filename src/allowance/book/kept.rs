//! What of a book outlives it: tallies as they are written down, and put in again.

use std::collections::HashSet;

use super::{Book, TallyKey};
use crate::allowance::Moment;
use crate::allowance::tally::Tally;
use crate::usage::Whose;

impl Book {
    /// Puts in what was kept of a tally. Requests of this process that it has under way stay under way.
    pub fn restore(&mut self, key: &TallyKey, bytes: &[u8], holder: &str, now: Moment) {
        let Some(limit) = self.limits.get(key.0) else { return };
        let mut tally = Tally::from_kept(limit, bytes, now);
        let known = self.tallies.get(key);
        if known.is_some_and(|known| known.restored) {
            // Those of ours that are written down are open here, or were answered since.
            tally.others.retain(|others| others.holder != holder);
        } else {
            tally.settle_lost(limit, holder, now);
        }
        if let Some(known) = known {
            tally.take_over(known, limit, self.changed.contains(key));
        }
        tally.restored = true;
        self.tallies.insert(key.clone(), tally);
    }

    /// What was kept of the tally is put in; nothing, where it has not been by now.
    pub fn set_restored(&mut self, key: &TallyKey) {
        let Some(limit) = self.limits.get(key.0) else { return };
        self.tallies.entry(key.clone()).or_insert_with(|| Tally::new(limit)).restored = true;
    }

    /// The tallies into which what was kept has been put, of the limits that others draw from too.
    pub fn shared(&self) -> Vec<TallyKey> {
        let shared = |index: usize| self.limits.get(index).is_some_and(|limit| limit.shared);
        let restored = self.tallies.iter().filter(|(key, tally)| tally.restored && shared(key.0));
        restored.map(|(key, _)| key.clone()).collect()
    }

    /// What changed since this was asked last, as it is to be kept: the limit's name, whose, and the bytes.
    pub fn keep(&mut self, holder: &str) -> Vec<(String, Whose, Vec<u8>)> {
        let mut kept = Vec::new();
        for key in self.changed.drain() {
            let (Some(limit), Some(tally)) = (self.limits.get(key.0), self.tallies.get_mut(&key)) else { continue };
            tally.unkept.clear();
            kept.push((limit.name.clone(), key.1, tally.keep(holder)));
        }
        kept
    }

    /// Whether something changed that is not kept.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// The tallies that the waiting requests need or that are to be kept, and into which what was kept has not been put.
    pub fn unrestored(&self) -> HashSet<TallyKey> {
        let waiting = self.waiting.values().flat_map(|waiting| waiting.takes.iter().map(|(key, _)| key));
        let unknown = |key: &&TallyKey| !self.tallies.get(*key).is_some_and(|tally| tally.restored);
        waiting.chain(&self.changed).filter(unknown).cloned().collect()
    }

    /// Forgets what the platform said about all of them; to be kept.
    pub fn forget_said(&mut self) {
        for (key, tally) in &mut self.tallies {
            if let Some(limit) = self.limits.get(key.0) {
                tally.forget_said(limit);
                self.changed.insert(key.clone());
            }
        }
    }
}
