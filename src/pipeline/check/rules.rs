//! Windows and retries.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::problem::{KeyPath, shown};
use super::super::{Align, Raw, Retry, WindowRules, raw};
use super::Checker;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Ages at which an hour is asked for again, where the file does not say.
const REFRESH: [Duration; 6] = [
    HOUR,
    Duration::from_secs(3 * 3_600),
    DAY,
    Duration::from_secs(3 * 86_400),
    DAY.saturating_mul(7),
    DAY.saturating_mul(28),
];

/// How many hours or days one request asks for.
pub(super) fn window_size(window: &raw::Window) -> u32 {
    window.size.unwrap_or(match window.align {
        raw::Align::Hour => 24,
        raw::Align::AccountDay | raw::Align::UtcDay => 1,
    })
}

impl Checker<'_> {
    pub(super) fn window(&mut self, window: &raw::Window) -> Option<WindowRules> {
        let path = KeyPath::root().key("window");
        let settle = self.duration(&path.key("settle"), &window.settle);
        let lookback = self.duration(&path.key("lookback"), &window.lookback);
        let history = self.waiting_time(&path.key("history"), &window.history);
        let retention = match &window.retention {
            Some(text) => self.waiting_time(&path.key("retention"), text).map(Some),
            None => Some(None),
        };
        let limit = retention.flatten();
        let refresh = self.refresh(&path.key("refresh"), window.refresh.as_deref(), limit);
        let account_refresh = self.account_refresh(&path.key("account_refresh"), window, limit);
        let mut good = true;
        for (key, text, age) in [("lookback", &window.lookback, lookback), ("history", &window.history, history)] {
            if let (Some(age), Some(limit)) = (age, limit)
                && age > limit
            {
                let message = format!("is {}, which is more than `window.retention`: such hours are gone", shown(text));
                self.wrong(&path.key(key), message);
                good = false;
            }
        }
        if !good {
            return None;
        }
        Some(WindowRules {
            align: match window.align {
                raw::Align::Hour => Align::Hour,
                raw::Align::AccountDay => Align::AccountDay,
                raw::Align::UtcDay => Align::UtcDay,
            },
            size: window_size(window),
            settle: settle?,
            refresh: refresh?,
            account_refresh: account_refresh?,
            learn: window.learn,
            lookback: lookback?,
            history: history?,
            retention: retention?,
        })
    }

    /// `Some(None)` where responses are not kept.
    pub(super) fn raw(&mut self, age: &str, size: &str) -> Option<Option<Raw>> {
        let root = KeyPath::root();
        let age = self.duration(&root.key("raw"), age);
        let size = self.size(&root.key("raw_max_size"), size);
        let (age, size) = (age?, size?);
        Some((!age.is_zero()).then_some(Raw { age, size }))
    }

    fn account_refresh(
        &mut self,
        path: &KeyPath,
        window: &raw::Window,
        retention: Option<Duration>,
    ) -> Option<BTreeMap<String, Vec<Duration>>> {
        let mut all = BTreeMap::new();
        let mut good = true;
        for (id, marks) in &window.account_refresh {
            match self.refresh(&path.key(id), Some(marks.as_slice()), retention) {
                Some(ages) => drop(all.insert(id.clone(), ages)),
                None => good = false,
            }
        }
        good.then_some(all)
    }

    fn refresh(
        &mut self,
        path: &KeyPath,
        marks: Option<&[String]>,
        retention: Option<Duration>,
    ) -> Option<Vec<Duration>> {
        let within = |age: Duration| retention.is_none_or(|limit| age <= limit);
        let Some(marks) = marks else {
            return Some(REFRESH.into_iter().filter(|age| within(*age)).collect());
        };
        let mut ages: Vec<Duration> = Vec::new();
        let mut good = true;
        for (index, text) in marks.iter().enumerate() {
            let path = path.index(index);
            let Some(age) = self.waiting_time(&path, text) else {
                good = false;
                continue;
            };
            if ages.last().is_some_and(|earlier| *earlier >= age) {
                self.wrong(&path, format!("is {}: expected ages in ascending order", shown(text)));
                good = false;
            } else if !within(age) {
                let message = format!("is {}, which is more than `window.retention`: such hours are gone", shown(text));
                self.wrong(&path, message);
                good = false;
            }
            ages.push(age);
        }
        good.then_some(ages)
    }

    pub(super) fn retry(&mut self, retry: &raw::Retry) -> Option<Retry> {
        let path = KeyPath::root().key("retry");
        let total = self.waiting_time(&path.key("total"), &retry.total);
        let base = self.waiting_time(&path.key("base"), &retry.base);
        let cap = self.waiting_time(&path.key("cap"), &retry.cap);
        let max_wait = self.duration(&path.key("max_wait"), &retry.max_wait);
        let (total, base, cap) = (total?, base?, cap?);
        if base > cap {
            self.wrong(&path.key("base"), format!("is {}: expected at most `cap`, {}", shown(&retry.base), retry.cap));
            return None;
        }
        if total < base {
            let message = format!("is {}: expected at least `base`, {}", shown(&retry.total), retry.base);
            self.wrong(&path.key("total"), message);
            return None;
        }
        Some(Retry { attempts: retry.attempts, total, base, cap, max_wait: max_wait? })
    }
}
