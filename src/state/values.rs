//! How values are stored: moments as whole seconds, counts as 64-bit integers, accounts as JSON text.

use chrono::DateTime;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::trouble::Trouble;
use crate::error::Error;
use crate::time::{Instant, Window};
use crate::unit::Account;

/// Whole seconds since 1970, cut towards the past.
pub(super) fn seconds(moment: Instant) -> i64 {
    moment.timestamp()
}

/// The moment that was stored as `seconds`.
pub(super) fn moment(seconds: i64) -> Result<Instant, Trouble> {
    DateTime::from_timestamp(seconds, 0)
        .ok_or_else(|| Error::storage(format!("{seconds} is not a moment in seconds since 1970")).into())
}

/// The window that was stored as two moments.
pub(super) fn window(from: i64, to: i64) -> Result<Window, Trouble> {
    Window::new(moment(from)?, moment(to)?)
        .ok_or_else(|| Error::storage(format!("the window from {from} to {to} is empty")).into())
}

/// A count as the database has it; counts beyond 2^63 do not occur.
pub(super) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as it was [`stored`].
pub(super) fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// A small count as it was [`stored`].
pub(super) fn small_count(stored: i64) -> u32 {
    u32::try_from(stored.max(0)).unwrap_or(u32::MAX)
}

/// Values as a JSON list, for `IN (SELECT value FROM json_each(..))`.
pub(super) fn list_text(values: Vec<impl Into<serde_json::Value>>) -> String {
    serde_json::Value::from(values).to_string()
}

#[derive(Serialize, Deserialize)]
struct StoredAccount {
    id: String,
    name: String,
    time_zone: String,
    currency: String,
    /// Units of before there were parents have none.
    #[serde(default)]
    parent: String,
}

/// A unit's accounts as JSON, in their order.
pub(super) fn accounts_text(accounts: &[Account]) -> Result<String, Trouble> {
    let stored: Vec<StoredAccount> = accounts
        .iter()
        .map(|account| StoredAccount {
            id: account.id.clone(),
            name: account.name.clone(),
            time_zone: account.time_zone.name().to_owned(),
            currency: account.currency.clone(),
            parent: account.parent.clone(),
        })
        .collect();
    serde_json::to_string(&stored)
        .map_err(|error| Error::internal("a unit's accounts cannot be written as JSON").because(error).into())
}

/// The accounts that [`accounts_text`] wrote.
pub(super) fn accounts_from(text: &str) -> Result<Vec<Account>, Trouble> {
    let stored: Vec<StoredAccount> = serde_json::from_str(text)
        .map_err(|error| Error::storage("a unit's accounts are not the JSON that was written").because(error))?;
    stored
        .into_iter()
        .map(|account| {
            let known = new_account(account.id, account.name, &account.time_zone, account.currency)?;
            Ok(Account { parent: account.parent, ..known })
        })
        .collect()
}

/// An account as it was stored, without its parent.
pub(super) fn new_account(id: String, name: String, zone: &str, currency: String) -> Result<Account, Trouble> {
    let time_zone = zone_of(&id, zone)?;
    Ok(Account { id, name, time_zone, currency, parent: String::new() })
}

/// The stored zone of the account `id`; the error names the account.
pub(super) fn zone_of(id: &str, zone: &str) -> Result<Tz, Trouble> {
    zone.parse().map_err(|_| {
        Error::storage(format!("account {id} has the time zone `{zone}`, which this program does not know"))
            .hint("use the hourmark that wrote it, or a newer one")
            .into()
    })
}
