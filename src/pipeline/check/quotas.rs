//! Quotas, those of `hourmark.toml` among them.

use std::time::Duration;

use chrono_tz::Tz;
use indexmap::IndexMap;

use super::super::problem::{KeyPath, Problems, expected_one_of, shown};
use super::super::shared::SharedQuotas;
use super::super::tree::Node;
use super::super::{Counting, Endpoint, Quota, Scope, Weights, raw};
use super::Checker;

const DAY: Duration = Duration::from_secs(86_400);
/// Quotas of longer periods let everything go at once where the file does not say.
const LONGEST_EVEN: Duration = Duration::from_secs(10);

/// The quotas of `hourmark.toml`, which `tree` was read from, by name. What is wrong goes to `problems`.
pub(in super::super) fn shared_quotas(
    file: &raw::SharedFile,
    tree: &Node,
    problems: &mut Problems,
) -> IndexMap<String, Quota> {
    let silent = problems.parts();
    let mut checker = Checker { tree, problems, silent };
    let mut checked = IndexMap::new();
    for (name, quota) in &file.quotas {
        let path = KeyPath::root().key("quotas").key(name);
        checker.identifier(&path, name);
        if let Some(quota) = checker.limit(&path, quota) {
            checked.insert(name.clone(), Quota { name: name.clone(), shared: true, ..quota });
        }
    }
    checked
}

impl Checker<'_> {
    pub(super) fn quotas(&mut self, quotas: &[raw::Quota], shared: &SharedQuotas) -> Option<Vec<Quota>> {
        let mut checked: Vec<Quota> = Vec::new();
        let mut good = true;
        for (index, quota) in quotas.iter().enumerate() {
            let path = KeyPath::root().key("quotas").index(index);
            let (key, name) = named(quota);
            if name.is_some_and(|name| quotas[..index].iter().any(|earlier| named(earlier).1 == Some(name))) {
                let found = shown(name.unwrap_or_default());
                self.wrong(&path.key(key), format!("is {found} a second time: expected another name"));
                good = false;
                continue;
            }
            let one = match &quota.shared {
                Some(name) => self.shared_quota(&path, quota, name, shared),
                None => self.own_quota(&path, quota),
            };
            good &= one.is_some();
            checked.extend(one);
        }
        good.then_some(checked)
    }

    /// A quota that stands in the pipeline's own file.
    fn own_quota(&mut self, path: &KeyPath, quota: &raw::Quota) -> Option<Quota> {
        let name = match &quota.name {
            Some(name) => self.identifier(&path.key("name"), name),
            None => {
                let key = path.key("name");
                let expected = "expected a text in quotes, or `shared` instead of `name`, `requests` and `per`";
                self.report(path, format!("missing key `{key}`: {expected}"));
                None
            }
        };
        let limit = self.limit(path, quota);
        Some(Quota { name: name?, ..limit? })
    }

    /// The quota `name` of `hourmark.toml`, with what this pipeline's requests count for.
    fn shared_quota(&mut self, path: &KeyPath, quota: &raw::Quota, name: &str, shared: &SharedQuotas) -> Option<Quota> {
        let others = [
            ("name", quota.name.is_some()),
            ("requests", quota.requests.is_some()),
            ("per", quota.per.is_some()),
            ("scope", quota.scope.is_some()),
            ("window", quota.window.is_some()),
            ("zone", quota.zone.is_some()),
            ("burst", quota.burst.is_some()),
            ("safety", quota.safety.is_some()),
            ("adapt", quota.adapt.is_some()),
            ("strict", quota.strict.is_some()),
        ];
        let file = shared.file();
        let mut good = true;
        for (key, _) in others.into_iter().filter(|(_, given)| *given) {
            let message =
                format!("cannot stand beside `shared`: expected it in `{file}`, or `endpoints` and `weights` only");
            self.wrong(&path.key(key), message);
            good = false;
        }
        let endpoints = self.endpoints(&path.key("endpoints"), quota.endpoints.as_deref());
        let Some(known) = shared.get(name) else {
            let names = shared.names();
            let there = if names.is_empty() {
                format!("`{file}` has no quotas")
            } else {
                format!("`{file}` has no such quota, {}", expected_one_of(name, &names))
            };
            let table = KeyPath::root().key("quotas").key(name);
            self.wrong(&path.key("shared"), format!("is {}: {there}; a table `[{table}]` there makes it", shown(name)));
            return None;
        };
        let mut checked = known.clone();
        if quota.endpoints.is_some() {
            checked.endpoints = endpoints?;
        }
        if let Some(weights) = &quota.weights {
            checked.weights = weights_of(weights);
        }
        good &= self.heaviest_fits(path, &checked);
        good.then_some(checked)
    }

    /// All of a quota but its name.
    fn limit(&mut self, path: &KeyPath, quota: &raw::Quota) -> Option<Quota> {
        let units = self.given(path, "requests", "an integer", quota.requests.as_ref()).copied();
        let per = self.given(path, "per", "a text in quotes", quota.per.as_ref());
        let per = per.and_then(|text| self.period(&path.key("per"), text));
        let counting = self.counting(path, quota, per);
        let endpoints = self.endpoints(&path.key("endpoints"), quota.endpoints.as_deref());
        if let (Some(burst), Some(units)) = (quota.burst, units)
            && burst > units
        {
            self.wrong(&path.key("burst"), format!("is {burst}: expected at most `requests`, {units}"));
        }
        let safety = quota.safety.unwrap_or(1.0);
        if safety <= 0.0 {
            self.wrong(&path.key("safety"), format!("is {safety}: expected a share above 0 and up to 1"));
            return None;
        }
        let (units, per) = (units?, per?);
        let checked = Quota {
            name: String::new(),
            shared: false,
            units,
            per,
            counting: counting?,
            scope: scope_of(quota.scope.unwrap_or_default()),
            endpoints: endpoints?,
            weights: quota.weights.as_ref().map_or_else(Weights::default, weights_of),
            burst: quota.burst.unwrap_or(if per <= LONGEST_EVEN { 1 } else { units }),
            safety,
            adapt: quota.adapt.unwrap_or(false),
            strict: quota.strict.unwrap_or(false),
        };
        self.heaviest_fits(path, &checked).then_some(checked)
    }

    /// A value that must be there unless the quota is a shared one.
    fn given<'q, T>(&mut self, path: &KeyPath, key: &str, expected: &str, value: Option<&'q T>) -> Option<&'q T> {
        if value.is_none() {
            self.report(path, format!("missing key `{}`: expected {expected}", path.key(key)));
        }
        value
    }

    fn period(&mut self, path: &KeyPath, text: &str) -> Option<Duration> {
        let per = self.duration(path, text)?;
        if per < Duration::from_secs(1) || per > DAY {
            self.wrong(path, format!("is {}: expected 1s to 1d", shown(text)));
            return None;
        }
        Some(per)
    }

    fn counting(&mut self, path: &KeyPath, quota: &raw::Quota, per: Option<Duration>) -> Option<Counting> {
        if quota.window.unwrap_or_default() == raw::Counting::Sliding {
            if quota.zone.is_some() {
                self.wrong(&path.key("zone"), "has a meaning only with `window = \"fixed\"`");
                return None;
            }
            return Some(Counting::Sliding);
        }
        let zone = match &quota.zone {
            Some(text) => self.zone(&path.key("zone"), text),
            None => Some(Tz::UTC),
        };
        if !DAY.as_millis().is_multiple_of(per?.as_millis()) {
            let found = shown(quota.per.as_deref().unwrap_or_default());
            let expected = "expected a part of a day such as 1s, 15m or 6h, because `window` is \"fixed\"";
            self.wrong(&path.key("per"), format!("is {found}: {expected}"));
            return None;
        }
        Some(Counting::Fixed(zone?))
    }

    fn endpoints(&mut self, path: &KeyPath, words: Option<&[raw::Endpoint]>) -> Option<Vec<Endpoint>> {
        let Some(words) = words else { return Some(Vec::new()) };
        if words.is_empty() {
            self.wrong(path, "is empty, so that nothing counts: expected kinds of requests, or no such key for all");
            return None;
        }
        let mut endpoints = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let endpoint = endpoint_of(*word);
            if endpoints.contains(&endpoint) {
                self.wrong(
                    &path.index(index),
                    format!("is {} a second time: expected each kind once", shown(endpoint.word())),
                );
                return None;
            }
            endpoints.push(endpoint);
        }
        Some(endpoints)
    }

    /// Whether the largest batch can go at all: each request in it counts.
    pub(super) fn batch_fits(&mut self, batch: Option<&raw::Batch>, quotas: &[Quota]) {
        let Some(batch) = batch else { return };
        for quota in quotas.iter().filter(|quota| quota.scope != Scope::Account) {
            let counts = quota.endpoints.is_empty() || quota.endpoints.contains(&Endpoint::Metrics);
            let most =
                (f64::from(quota.units) * quota.safety).floor() / f64::from(quota.weights.of(Endpoint::Metrics).max(1));
            if counts && f64::from(batch.size) > most {
                let message = format!(
                    "is {}, more than the quota `{}` lets go: expected at most {most:.0}",
                    batch.size, quota.name
                );
                self.wrong(&KeyPath::root().key("request").key("batch").key("size"), message);
            }
        }
    }

    /// Whether each request that counts can go at all.
    fn heaviest_fits(&mut self, path: &KeyPath, quota: &Quota) -> bool {
        let most = (f64::from(quota.units) * quota.safety).floor().max(1.0) as u32;
        let mut good = true;
        for endpoint in Endpoint::ALL {
            let weight = quota.weights.of(endpoint);
            let counts = quota.endpoints.is_empty() || quota.endpoints.contains(&endpoint);
            if counts && weight > most {
                let expected = format!("expected at most {most}, `requests` times `safety`, or no such request can go");
                self.wrong(&path.key("weights").key(endpoint.word()), format!("is {weight}: {expected}"));
                good = false;
            }
        }
        good
    }
}

/// The key that names a quota, and the name.
pub(super) fn named(quota: &raw::Quota) -> (&'static str, Option<&str>) {
    match &quota.shared {
        Some(name) => ("shared", Some(name)),
        None => ("name", quota.name.as_deref()),
    }
}

/// The scope of a word.
pub(super) fn scope_of(word: raw::Scope) -> Scope {
    match word {
        raw::Scope::App => Scope::App,
        raw::Scope::Account => Scope::Account,
        raw::Scope::Endpoint => Scope::Endpoint,
    }
}

fn endpoint_of(word: raw::Endpoint) -> Endpoint {
    match word {
        raw::Endpoint::Accounts => Endpoint::Accounts,
        raw::Endpoint::Campaigns => Endpoint::Campaigns,
        raw::Endpoint::Metrics => Endpoint::Metrics,
        raw::Endpoint::Create => Endpoint::Create,
        raw::Endpoint::Poll => Endpoint::Poll,
        raw::Endpoint::Download => Endpoint::Download,
    }
}

fn weights_of(weights: &raw::Weights) -> Weights {
    Weights::default()
        .with(Endpoint::Accounts, weights.accounts)
        .with(Endpoint::Campaigns, weights.campaigns)
        .with(Endpoint::Metrics, weights.metrics)
        .with(Endpoint::Create, weights.create)
        .with(Endpoint::Poll, weights.poll)
        .with(Endpoint::Download, weights.download)
}
