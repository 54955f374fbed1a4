//! The accounts and campaigns that there are. They follow from the seed and never change, but for a campaign's status and
//! budget, which follow from the moment too; an account keeps its campaigns and values when others are added.

use std::collections::HashMap;

use chrono::{NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;

use super::dice;
use super::options::Options;
use super::values::{Profile, Rules};

/// A currency and the digits after its decimal point.
#[derive(Debug)]
pub(super) struct Currency {
    pub(super) code: &'static str,
    pub(super) decimals: u32,
}

const CURRENCIES: [Currency; 8] = [
    Currency { code: "EUR", decimals: 2 },
    Currency { code: "USD", decimals: 2 },
    Currency { code: "INR", decimals: 2 },
    Currency { code: "JPY", decimals: 0 },
    Currency { code: "AUD", decimals: 2 },
    Currency { code: "GBP", decimals: 2 },
    Currency { code: "KWD", decimals: 3 },
    Currency { code: "MXN", decimals: 2 },
];

/// An ad account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) zone: Tz,
    pub(super) currency: &'static Currency,
    number: u64,
    key: u64,
    phase: i64,
}

/// A campaign, made when it is asked for.
#[derive(Debug)]
pub(super) struct Campaign {
    pub(super) id: String,
    /// Quoted and escaped as JSON.
    pub(super) name_json: String,
    pub(super) objective: &'static str,
    pub(super) profile: Profile,
    key: u64,
    epoch: i64,
}

/// What somebody sets of a campaign, and changes from time to time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) status: &'static str,
    pub(super) daily_budget_micros: u64,
    /// Since when, in seconds since 1970.
    pub(super) updated_at: i64,
}

/// A campaign's settings change once in so many seconds, each at its own moment of the week.
const SETTINGS_STAY: i64 = 7 * 86_400;

impl Campaign {
    /// Its settings at `now`.
    pub(super) fn settings(&self, now: i64) -> Settings {
        let draw = |what: u64, below: u64| dice::below(dice::mix(self.key, what), below);
        let first = self.epoch + draw(10, SETTINGS_STAY as u64) as i64;
        // Nothing was changed before the first time.
        let times = u64::try_from((now - first).div_euclid(SETTINGS_STAY) + 1).unwrap_or(0);
        let updated_at = if times == 0 { self.epoch } else { first + (times as i64 - 1) * SETTINGS_STAY };
        Settings {
            status: ["ACTIVE", "ACTIVE", "ACTIVE", "PAUSED"][draw(dice::mix(4, times), 4) as usize],
            daily_budget_micros: (20 + draw(dice::mix(6, times), 5_000)) * 1_000_000,
            updated_at,
        }
    }
}

/// Everything that the seed decides.
#[derive(Debug)]
pub(super) struct World {
    /// Sorted by the text of their ids.
    pub(super) accounts: Vec<Account>,
    pub(super) campaigns: usize,
    pub(super) rules: Rules,
    by_id: HashMap<String, usize>,
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        let mut accounts: Vec<Account> = (0..options.accounts).map(|number| account(options, number)).collect();
        accounts.sort_by(|left, right| left.id.cmp(&right.id));
        let by_id = accounts.iter().enumerate().map(|(index, account)| (account.id.clone(), index)).collect();
        let rules = Rules { quiet_share: options.quiet_share, dense: options.dense, epoch: options.epoch.timestamp() };
        Self { accounts, campaigns: options.campaigns, rules, by_id }
    }

    /// The place of an account in [`World::accounts`].
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The campaign of that number in that account; their ids sort as their numbers do.
    pub(super) fn campaign(&self, account: usize, number: usize) -> Campaign {
        let account = &self.accounts[account];
        let key = dice::mix(account.key, number as u64);
        let draw = |what: u64, below: u64| dice::below(dice::mix(key, what), below);
        // One campaign in sixteen is so large that an hour's spend in micros does not fit 32 bits.
        let level = if draw(1, 16) == 0 { 100_000 + draw(2, 200_000) } else { 40 + draw(2, 4_000) };
        let unit = 10_u64.pow(account.currency.decimals);
        let theme = ["Brand", "Spring \"Sale\"", "Läufer, Herbst", "Retargeting", "新商品", "App | Install"];
        let name = format!("{} {}", theme[draw(3, theme.len() as u64) as usize], number + 1);
        Campaign {
            id: (230_000_000_000_000_000 + account.number * 100_000 + number as u64).to_string(),
            name_json: serde_json::Value::from(name).to_string(),
            objective: ["SALES", "TRAFFIC", "LEADS", "AWARENESS"][draw(5, 4) as usize],
            key,
            epoch: self.rules.epoch,
            profile: Profile {
                key: dice::mix(key, 7),
                level,
                click_rate: 5 + draw(8, 36),
                price: 2 * unit + draw(9, 14) * unit,
                phase: account.phase,
            },
        }
    }
}

fn account(options: &Options, number: usize) -> Account {
    let zone = options.zones[number % options.zones.len()];
    // Every fourth id is above 2^53: it survives only as text.
    let id = if number % 4 == 3 { 9_007_199_254_740_993 + number as u64 } else { 100_001 + number as u64 };
    let id = id.to_string();
    Account {
        name: format!("Account {} ({})", number + 1, zone.name()),
        zone,
        currency: &CURRENCIES[number % CURRENCIES.len()],
        number: number as u64,
        key: dice::of_text(options.seed, &id),
        phase: winter_offset_hours(zone),
        id,
    }
}

/// Whole hours by which the zone is ahead of UTC in January: near enough for the shape of a day.
fn winter_offset_hours(zone: Tz) -> i64 {
    let january = NaiveDate::from_ymd_opt(2026, 1, 15).unwrap_or_default();
    i64::from(zone.offset_from_utc_date(&january).fix().local_minus_utc()).div_euclid(3_600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_world_and_another_seed_another() {
        let options = Options::default();
        let (one, two) = (World::new(&options), World::new(&options));
        assert_eq!(format!("{:?}", one.campaign(3, 2)), format!("{:?}", two.campaign(3, 2)));
        let other = World::new(&Options { seed: 2, ..Options::default() });
        assert_ne!(one.campaign(3, 2).profile.key, other.campaign(3, 2).profile.key);
    }

    #[test]
    fn an_account_stays_the_same_when_others_are_added() {
        let few = World::new(&Options::default());
        let many = World::new(&Options { accounts: 100, ..Options::default() });
        let id = &few.accounts[2].id;
        let place = many.find(id).expect("still there");
        assert_eq!(format!("{:?}", few.campaign(2, 1)), format!("{:?}", many.campaign(place, 1)));
    }

    #[test]
    fn ids_are_unique_sorted_and_partly_beyond_floats() {
        let world = World::new(&Options { accounts: 50, ..Options::default() });
        assert!(world.accounts.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!(world.accounts.iter().any(|account| account.id.len() == 16));
        assert!(world.campaign(0, 3).id < world.campaign(0, 4).id);
        let decimals: Vec<u32> = world.accounts.iter().map(|account| account.currency.decimals).collect();
        assert!(decimals.contains(&0) && decimals.contains(&3));
    }
}
