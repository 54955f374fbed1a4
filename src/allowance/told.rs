//! What the platform says, by refusing or by telling: it wins over what was declared, for the one it speaks of.

use std::time::Duration;

use super::Moment;
use super::book::{Book, Needs};
use super::limit::Limit;
use super::tally::Tally;
use crate::pipeline::Scope;
use crate::usage::{Said, Whose};

/// From this share of a limit on, in percent, the pace is cut.
const SLOW_FROM: f64 = 90.0;

impl Book {
    /// A request about `needs` was refused because of a limit of `scope`: nothing of the same scope goes for `wait`.
    pub fn refuse(&mut self, needs: &Needs, scope: Scope, wait: Duration, why: &str, now: Moment) {
        let declared = self
            .limits
            .iter()
            .any(|limit| limit.scope == scope && limit.allowed.is_some() && limit.units(needs.endpoint) > 0);
        for (key, _) in self.takes(needs) {
            let Some(limit) = self.limits.get(key.0).filter(|limit| limit.scope == scope) else { continue };
            let tally = self.tallies.entry(key.clone()).or_insert_with(|| Tally::new(limit));
            tally.close(now + wait, why);
            // The pace to cut is that of the declared limits, where there are any.
            tally.refuse(limit, now, declared == limit.allowed.is_some());
            self.changed.insert(key);
        }
    }

    /// The platform told something about the limits of `whose` (of the one labelled `quota`, where that is said).
    pub fn tell(&mut self, whose: &Whose, quota: Option<&str>, said: &Said, now: Moment) {
        let ours = |limit: &Limit| limit.scope == whose.scope() && quota.is_none_or(|name| limit.label == name);
        let declared = self.limits.iter().filter(|limit| ours(limit) && limit.allowed.is_some()).count();
        for index in 0..self.limits.len() {
            let limit = &self.limits[index];
            if !ours(limit) || (declared > 0) != limit.allowed.is_some() {
                continue;
            }
            let key = (index, whose.clone());
            let tally = self.tallies.entry(key.clone()).or_insert_with(|| Tally::new(limit));
            // Which of several limits a number means cannot be known.
            if let Some(units) = said.limit.filter(|_| declared == 1) {
                tally.learn(units);
            }
            if let Some(remaining) = said.remaining {
                tally.tell(limit, remaining, said.wait, now);
            }
            match said.percent {
                Some(percent) if percent >= 100.0 => {
                    tally.close(now + said.wait.unwrap_or(limit.tempo()), &format!("{percent} % of a limit is used"));
                    tally.slow_down(limit, now);
                }
                Some(percent) if percent >= SLOW_FROM => tally.slow_down(limit, now),
                _ => {}
            }
            self.changed.insert(key);
        }
    }
}
