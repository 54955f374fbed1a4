//! Which accounts a run is about, and what changed about them.

use std::collections::{HashMap, HashSet};

use chrono::Duration;

use super::{Order, Run, RunReport};
use crate::error::{Error, Result};
use crate::plan::Ask;
use crate::refresh::grid_zone;
use crate::state::KnownAccount;
use crate::time::{Instant, date_at, day, offset_seconds};
use crate::unit::Account;

/// An account that the platform no longer gives is tried again after so long.
const SKIPPED_HOURS: i64 = 24;

impl Run<'_> {
    /// Remembers the listed accounts and gives those that the order is about, without those that were lately found to
    /// be gone.
    pub(super) async fn know(
        &self,
        listed: Vec<Account>,
        order: &Order,
        report: &mut RunReport,
    ) -> Result<Vec<KnownAccount>> {
        let now = self.environment.clock.now();
        let start = first_hour(self.pipeline.window.history, now);
        // Before they are remembered: a crash in between must not lose the change.
        self.follow_zones(&listed, now).await?;
        self.environment.state.upsert_accounts(&self.pipeline.name, &listed, start, now).await?;
        let known = self.environment.state.accounts(&self.pipeline.name).await?;
        let listed: HashSet<&str> = listed.iter().map(|account| account.id.as_str()).collect();
        if let Some(unknown) = order.accounts.iter().find(|id| !listed.contains(id.as_str())) {
            return Err(Error::bad_input(format!("pipeline `{}` has no account `{unknown}`", self.pipeline.name))
                .hint("`hourmark status` lists the accounts"));
        }
        let wanted =
            |id: &str| listed.contains(id) && (order.accounts.is_empty() || order.accounts.iter().any(|a| a == id));
        let mut known: Vec<KnownAccount> = known.into_iter().filter(|known| wanted(&known.account.id)).collect();
        for skip in self.environment.state.skipped(&self.pipeline.name).await? {
            let named = order.accounts.contains(&skip.account_id) || order.ask == Ask::Repair;
            let lately = skip.last_tried + Duration::hours(SKIPPED_HOURS) > now;
            if !known.iter().any(|known| known.account.id == skip.account_id) {
                continue;
            }
            if named || !lately {
                // Tried again; if it is still gone, that is written down anew.
                self.environment.state.unskip(&self.lease, &skip.account_id).await?;
            } else {
                known.retain(|known| known.account.id != skip.account_id);
                report.skip(skip.account_id, skip.reason);
            }
        }
        Ok(known)
    }

    /// Accounts whose time zone is another one now. Where its hours begin at another minute, those in motion are read
    /// anew: their rows are of hours that the account no longer has.
    async fn follow_zones(&self, listed: &[Account], now: Instant) -> Result<()> {
        let before = self.environment.state.accounts(&self.pipeline.name).await?;
        let before: HashMap<&str, &KnownAccount> =
            before.iter().map(|known| (known.account.id.as_str(), known)).collect();
        for account in listed {
            let Some(known) = before.get(account.id.as_str()) else { continue };
            let (old, new) = (known.account.time_zone, account.time_zone);
            if old == new {
                continue;
            }
            tracing::warn!(
                account = account.id,
                "its time zone was {old} and is {new}: hours are cut by that from now on"
            );
            let minute = |account: &Account| offset_seconds(now, grid_zone(&self.pipeline, account)).rem_euclid(3600);
            if minute(&known.account) != minute(account) {
                let after = KnownAccount { account: account.clone(), ..(*known).clone() };
                self.environment.state.unsettle(&self.lease, &self.refresh, &after, now).await?;
            }
        }
        Ok(())
    }
}

/// Where the history of an account that is seen first begins: at the start of a UTC day, so that the first day is whole.
pub fn first_hour(history: std::time::Duration, now: Instant) -> Instant {
    day(date_at(now - history, chrono_tz::Tz::UTC), chrono_tz::Tz::UTC).from()
}
