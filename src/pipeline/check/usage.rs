//! Where answers tell how much of the limits is used.

use super::super::problem::{KeyPath, expected_one_of, shown};
use super::super::shared::SharedQuotas;
use super::super::{JsonPath, Scope, UsageRule, UsageSource, WaitUnit, raw};
use super::Checker;
use super::quotas::{named, scope_of};
use super::responses::wait_unit;

/// Stands for an account's id in a place.
const ACCOUNT: &str = "{account}";

impl Checker<'_> {
    pub(super) fn usage(
        &mut self,
        rules: &[raw::Usage],
        quotas: &[raw::Quota],
        shared: &SharedQuotas,
    ) -> Option<Vec<UsageRule>> {
        let mut declared = Vec::new();
        for quota in quotas {
            let scope = match &quota.shared {
                Some(name) => shared.get(name).map(|known| known.scope),
                None => Some(scope_of(quota.scope.unwrap_or_default())),
            };
            declared.extend(named(quota).1.zip(scope));
        }
        let mut checked = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let path = KeyPath::root().key("usage").index(index);
            checked.extend(self.usage_rule(&path, rule, &declared));
        }
        (checked.len() == rules.len()).then_some(checked)
    }

    fn usage_rule(&mut self, path: &KeyPath, rule: &raw::Usage, declared: &[(&str, Scope)]) -> Option<UsageRule> {
        let (scope, quota) = match rule {
            raw::Usage::Headers { scope, quota, .. }
            | raw::Usage::RateLimit { scope, quota, .. }
            | raw::Usage::Json { scope, quota, .. } => (scope_of(*scope), quota),
        };
        let good_quota = match quota {
            Some(name) => self.quota_of_scope(&path.key("quota"), name, scope, declared),
            None => Some(()),
        };
        let source = self.usage_source(path, rule);
        good_quota?;
        Some(UsageRule { scope, quota: quota.clone(), source: source? })
    }

    fn usage_source(&mut self, path: &KeyPath, rule: &raw::Usage) -> Option<UsageSource> {
        match rule {
            raw::Usage::Headers { limit, remaining, reset, reset_as, .. } => {
                let good = self.named_headers(path, [("limit", limit), ("remaining", remaining), ("reset", reset)]);
                let unit = self.unit(path, ("reset", "reset_as"), reset.is_some(), *reset_as);
                good?;
                let reset = reset.clone().zip(Some(unit?));
                Some(UsageSource::Headers { limit: limit.clone(), remaining: remaining.clone(), reset })
            }
            raw::Usage::RateLimit { header, policy, .. } => {
                self.header_name(&path.key("header"), header)?;
                Some(UsageSource::RateLimit { header: header.clone(), policy: policy.clone() })
            }
            raw::Usage::Json { header, percent, wait, wait_as, .. } => {
                let unit = self.unit(path, ("wait", "wait_as"), wait.is_some(), *wait_as);
                let source = self.json_header(path, header, percent, wait.as_deref().zip(unit));
                unit?;
                source
            }
        }
    }

    fn named_headers(&mut self, path: &KeyPath, names: [(&str, &Option<String>); 3]) -> Option<()> {
        if names.iter().all(|(_, name)| name.is_none()) {
            self.report(path, format!("`{path}` tells nothing: expected `limit`, `remaining` or `reset`"));
            return None;
        }
        let mut good = true;
        for (key, name) in names {
            if let Some(name) = name {
                good &= self.header_name(&path.key(key), name).is_some();
            }
        }
        good.then_some(())
    }

    fn json_header(
        &mut self,
        path: &KeyPath,
        header: &str,
        percent: &[String],
        wait: Option<(&str, WaitUnit)>,
    ) -> Option<UsageSource> {
        let good_name = self.header_name(&path.key("header"), header);
        let mut places = Vec::new();
        for (index, text) in percent.iter().enumerate() {
            places.extend(self.place_in_header(&path.key("percent").index(index), text));
        }
        if percent.is_empty() && wait.is_none() {
            self.report(path, format!("`{path}` tells nothing: expected `percent` or `wait`"));
            return None;
        }
        let good = good_name.is_some() && places.len() == percent.len();
        let wait = match wait {
            Some((text, unit)) => Some((self.place_in_header(&path.key("wait"), text)?, unit)),
            None => None,
        };
        good.then(|| UsageSource::Json { header: header.to_owned(), percent: places, wait })
    }

    /// One place or several; `{account}` may be in its keys.
    fn place_in_header(&mut self, path: &KeyPath, text: &str) -> Option<JsonPath> {
        if text.replace(ACCOUNT, "").contains(['{', '}']) {
            self.wrong(path, format!("is {}: expected no other placeholder than {ACCOUNT}", shown(text)));
            return None;
        }
        self.places(path, text)
    }

    /// How the value under the first of `keys` is written, as the second says.
    fn unit(
        &mut self,
        path: &KeyPath,
        keys: (&str, &str),
        there: bool,
        word: Option<raw::WaitUnit>,
    ) -> Option<WaitUnit> {
        if word.is_some() && !there {
            self.wrong(&path.key(keys.1), format!("says how `{}` is written: expected `{}` beside it", keys.0, keys.0));
            return None;
        }
        Some(wait_unit(word.unwrap_or_default()))
    }

    fn quota_of_scope(&mut self, path: &KeyPath, name: &str, scope: Scope, declared: &[(&str, Scope)]) -> Option<()> {
        let names: Vec<&str> =
            declared.iter().filter(|(_, counted)| *counted == scope).map(|(name, _)| *name).collect();
        if names.contains(&name) {
            return Some(());
        }
        let (found, word) = (shown(name), scope.word());
        let message = match declared.iter().find(|(other, _)| *other == name) {
            Some((_, other)) => format!("is {found}, which is counted by {}: expected `scope` to say so", other.word()),
            None if names.is_empty() => format!("is {found}: there is no quota with `scope = \"{word}\"`"),
            None => format!("is {found}: no quota by {word} has this name, {}", expected_one_of(name, &names)),
        };
        self.wrong(path, message);
        None
    }
}
