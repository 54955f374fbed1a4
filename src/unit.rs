//! The words every layer shares: accounts, lanes, units and their keys.

use std::fmt;

use chrono_tz::Tz;
use xxhash_rust::xxh3::xxh3_64;

use crate::time::{Instant, Window, short};

/// An ad account, whatever its platform calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// The platform's id, as text: ids are beyond 2^53 on several platforms.
    pub id: String,
    /// A name for people; empty where the platform gives none.
    pub name: String,
    /// The clock by which the account's days and hours run.
    pub time_zone: Tz,
    /// The ISO 4217 code of the account's money; empty where it is not known.
    pub currency: String,
    /// What the account was found under (a manager, an organisation), as later requests name it; empty where its platform
    /// lists accounts by themselves.
    pub parent: String,
}

/// Who goes first when requests wait for a permit. The order of the variants is the order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// What a schedule's tick asks for first: new hours.
    Hourly,
    /// Hours that are missing though they were due.
    Repair,
    /// Hours whose values may have moved since they were read: what the limits have to spare.
    Refresh,
    /// What a person asked for by dates.
    Backfill,
}

impl Lane {
    /// All of them, in the order of precedence.
    pub const ALL: [Lane; 4] = [Lane::Hourly, Lane::Repair, Lane::Refresh, Lane::Backfill];

    /// The word for it, as in the state and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Lane::Hourly => "hourly",
            Lane::Repair => "repair",
            Lane::Refresh => "refresh",
            Lane::Backfill => "backfill",
        }
    }

    /// The lane that `word` names.
    pub fn parse(word: &str) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| lane.word() == word)
    }
}

/// A unit's name and idempotency key: stable text that survives retries and restarts, and changes once the unit's
/// window has been recorded, so that a later re-fetch of the same window is a new unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitKey(String);

impl UnitKey {
    /// The key of `accounts` x `window`, whose hours were last recorded at `confirmed` (never: `None`).
    pub fn new(pipeline: &str, accounts: &[Account], window: Window, confirmed: Option<Instant>) -> UnitKey {
        let batch = match accounts {
            [only] => only.id.clone(),
            many => {
                let ids: Vec<&str> = many.iter().map(|account| account.id.as_str()).collect();
                format!("{}-accounts-{:016x}", many.len(), xxh3_64(ids.join("\n").as_bytes()))
            }
        };
        let after = confirmed.map(|at| format!("/after-{}", at.format("%Y%m%dT%H%M%SZ"))).unwrap_or_default();
        UnitKey(format!("{pipeline}/{batch}/{window}{after}"))
    }

    /// A key as it was stored.
    pub fn from_stored(text: impl Into<String>) -> UnitKey {
        UnitKey(text.into())
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// 16 hexadecimal digits for file names.
    pub fn digest(&self) -> String {
        format!("{:016x}", xxh3_64(self.0.as_bytes()))
    }
}

impl fmt::Display for UnitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The smallest thing fetched, committed and retried whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name and idempotency key.
    pub key: UnitKey,
    /// Who goes first.
    pub lane: Lane,
    /// The accounts of one request, in the order in which they are sent.
    pub accounts: Vec<Account>,
    /// What is asked for. Its end may lie in the future where the platform gives whole days only.
    pub window: Window,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.accounts.as_slice() {
            [only] => write!(f, "account {}", only.id)?,
            many => write!(f, "{} accounts", many.len())?,
        }
        write!(f, ", {} to {}", short(self.window.from()), short(self.window.to()))
    }
}
