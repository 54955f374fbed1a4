//! What particular answers mean.

use super::super::problem::{KeyPath, shown};
use super::super::{Fault, IdSource, JsonPath, ResponseAction, ResponseRule, ValueTest, WaitSource, WaitUnit, raw};
use super::Checker;
use super::quotas::scope_of;

impl Checker<'_> {
    pub(super) fn responses(&mut self, file: &raw::PipelineFile) -> Option<Vec<ResponseRule>> {
        let mut checked = Vec::new();
        for (index, rule) in file.responses.iter().enumerate() {
            let path = KeyPath::root().key("responses").index(index);
            checked.extend(self.response(&path, rule, file.request.creates));
        }
        (checked.len() == file.responses.len()).then_some(checked)
    }

    fn response(&mut self, path: &KeyPath, rule: &raw::Response, creates: bool) -> Option<ResponseRule> {
        let before = self.problems.count();
        if rule.status.is_none() && rule.header.is_none() && rule.path.is_none() {
            self.report(path, format!("`{path}` fits every answer: expected `status`, `header` or `path`"));
        }
        let statuses = rule.status.as_ref().map(|statuses| statuses.0.clone());
        if statuses.as_ref().is_some_and(Vec::is_empty) {
            self.wrong(&path.key("status"), "is empty: expected at least one status");
        }
        let header = self.response_header(path, rule);
        let test = self.value_test(path, rule);
        let place = self.answer_place(&path.key("path"), rule.path.as_deref());
        self.keys_of_action(path, rule);
        let action = self.action(path, rule, creates);
        if self.problems.count() > before {
            return None;
        }
        let path = match place? {
            Some(place) => Some((place, test?)),
            None => None,
        };
        Some(ResponseRule { statuses: statuses.unwrap_or_default(), header: header?, path, action: action? })
    }

    /// Where a rule looks; with `*` at several places, of which one must fit.
    fn answer_place(&mut self, path: &KeyPath, text: Option<&str>) -> Option<Option<JsonPath>> {
        let Some(text) = text else { return Some(None) };
        if text.is_empty() {
            self.wrong(path, "is empty: expected a place in the body, as keys joined by dots");
            return None;
        }
        self.places(path, text).map(Some)
    }

    fn response_header(&mut self, path: &KeyPath, rule: &raw::Response) -> Option<Option<(String, Option<String>)>> {
        let Some(name) = &rule.header else {
            if rule.header_contains.is_some() {
                let message = "needs the header to look into: expected `header` beside it";
                self.wrong(&path.key("header_contains"), message);
            }
            return Some(None);
        };
        self.header_name(&path.key("header"), name)?;
        self.not_empty(&path.key("header_contains"), rule.header_contains.as_deref())?;
        Some(Some((name.to_ascii_lowercase(), rule.header_contains.clone())))
    }

    /// What the value at `path` must be: what one of the keys beside it says, or anything but null.
    fn value_test(&mut self, path: &KeyPath, rule: &raw::Response) -> Option<ValueTest> {
        let tests = [
            ("equals", rule.equals.is_some()),
            ("not_equals", rule.not_equals.is_some()),
            ("contains", rule.contains.is_some()),
            ("from", rule.from.is_some()),
            ("to", rule.to.is_some() && rule.from.is_none()),
        ];
        let mut first = None;
        for (key, _) in tests.into_iter().filter(|(_, given)| *given) {
            if rule.path.is_none() {
                self.wrong(&path.key(key), "needs the place to compare: expected `path` beside it");
                return None;
            }
            if let Some(first) = first {
                self.wrong(&path.key(key), format!("cannot stand beside `{first}`: a rule compares in one way"));
                return None;
            }
            first = Some(key);
        }
        for (key, values) in [("equals", &rule.equals), ("not_equals", &rule.not_equals)] {
            if values.as_ref().is_some_and(|values| values.0.is_empty()) {
                self.wrong(&path.key(key), "is empty: expected at least one value");
                return None;
            }
        }
        self.not_empty(&path.key("contains"), rule.contains.as_deref())?;
        if let Some(values) = &rule.equals {
            return Some(ValueTest::AnyOf(values.0.clone()));
        }
        if let Some(values) = &rule.not_equals {
            return Some(ValueTest::NoneOf(values.0.clone()));
        }
        if let Some(text) = &rule.contains {
            return Some(ValueTest::Contains(text.clone()));
        }
        match (rule.from, rule.to) {
            (None, None) => Some(ValueTest::Present),
            (Some(from), Some(to)) if from <= to => Some(ValueTest::Between(from, to)),
            (Some(from), Some(to)) => {
                self.wrong(&path.key("to"), format!("is {to}: expected at least `from`, {from}"));
                None
            }
            (Some(_), None) => {
                self.wrong(&path.key("from"), "begins a range that does not end: expected `to` beside it");
                None
            }
            (None, Some(_)) => {
                self.wrong(&path.key("to"), "ends a range that does not begin: expected `from` beside it");
                None
            }
        }
    }

    /// Reports the keys that belong to another action.
    fn keys_of_action(&mut self, path: &KeyPath, rule: &raw::Response) {
        let keys = [
            ("scope", rule.scope.is_some(), raw::Action::Throttled, "throttled"),
            ("wait", !rule.wait.is_empty(), raw::Action::Throttled, "throttled"),
            ("id", rule.id.is_some(), raw::Action::Adopt, "adopt"),
            ("after", rule.after.is_some(), raw::Action::Adopt, "adopt"),
            ("fault", rule.fault.is_some(), raw::Action::Fail, "fail"),
        ];
        for (key, given, action, word) in keys {
            if given && rule.action != action {
                self.wrong(&path.key(key), format!("has a meaning only with `action = \"{word}\"`"));
            }
        }
    }

    fn action(&mut self, path: &KeyPath, rule: &raw::Response, creates: bool) -> Option<ResponseAction> {
        match rule.action {
            raw::Action::Ok => Some(ResponseAction::Ok),
            raw::Action::Retry => Some(ResponseAction::Retry),
            raw::Action::Throttled => {
                let mut wait = Vec::new();
                for (index, source) in rule.wait.iter().enumerate() {
                    wait.extend(self.wait(&path.key("wait").index(index), source));
                }
                let scope = rule.scope.map(scope_of);
                (wait.len() == rule.wait.len()).then_some(ResponseAction::Throttled { scope, wait })
            }
            raw::Action::Reauthorise => Some(ResponseAction::Reauthorise),
            raw::Action::Split => Some(ResponseAction::Split),
            raw::Action::SkipAccount => Some(ResponseAction::SkipAccount),
            raw::Action::Adopt => self.adopt(path, rule, creates),
            raw::Action::Fail => {
                let fault = match rule.fault {
                    Some(raw::Fault::Config) => Fault::Config,
                    Some(raw::Fault::Us) => Fault::Us,
                    Some(raw::Fault::Platform) | None => Fault::Platform,
                };
                Some(ResponseAction::Fail { fault })
            }
        }
    }

    fn adopt(&mut self, path: &KeyPath, rule: &raw::Response, creates: bool) -> Option<ResponseAction> {
        // Where the request is broken nobody knows whether it creates.
        if !creates && !self.silent.contains("request") {
            let message = "is \"adopt\", but the request creates nothing: expected `request.creates = true`";
            self.wrong(&path.key("action"), message);
        }
        let Some(id) = &rule.id else {
            let id = path.key("id");
            self.report(path, format!("missing key `{id}`: expected the place of the id of what is there already"));
            return None;
        };
        let place = self.place(&path.key("id"), id)?;
        self.not_empty(&path.key("after"), rule.after.as_deref())?;
        let id = match rule.after.clone() {
            Some(after) => IdSource::Text { path: place, after },
            None => IdSource::Path(place),
        };
        Some(ResponseAction::Adopt { id })
    }

    fn wait(&mut self, path: &KeyPath, wait: &raw::Wait) -> Option<WaitSource> {
        let sources = [
            ("header", wait.header.is_some()),
            ("path", wait.path.is_some()),
            ("steps", wait.steps.is_some()),
            ("midnight", wait.midnight.is_some()),
        ];
        let given: Vec<&str> = sources.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        let [source] = given[..] else {
            let message = match given[..] {
                [first, second, ..] => format!("`{path}` has both `{first}` and `{second}`: a wait is in one place"),
                _ => format!("`{path}` says nowhere: expected `header`, `path`, `steps` or `midnight`"),
            };
            self.report(path, message);
            return None;
        };
        let before = self.problems.count();
        if wait.unit.is_some() && !["header", "path"].contains(&source) {
            self.wrong(&path.key("as"), "has a meaning only with `header` or `path`");
        }
        if wait.after.is_some() && source != "path" {
            self.wrong(&path.key("after"), "has a meaning only with `path`");
        }
        let checked = self.wait_source(path, wait);
        if self.problems.count() > before { None } else { checked }
    }

    fn wait_source(&mut self, path: &KeyPath, wait: &raw::Wait) -> Option<WaitSource> {
        let unit = wait_unit(wait.unit.unwrap_or(raw::WaitUnit::Auto));
        if let Some(name) = &wait.header {
            self.header_name(&path.key("header"), name)?;
            return Some(WaitSource::Header { name: name.to_ascii_lowercase(), unit });
        }
        if let Some(zone) = &wait.midnight {
            return Some(WaitSource::Midnight(self.zone(&path.key("midnight"), zone)?));
        }
        if let Some(steps) = &wait.steps {
            return self.steps(&path.key("steps"), steps);
        }
        let place = self.place_of_wait(path, wait)?;
        self.not_empty(&path.key("after"), wait.after.as_deref())?;
        let Some(after) = wait.after.clone() else { return Some(WaitSource::Body { path: place, unit }) };
        if unit == WaitUnit::Date {
            self.wrong(&path.key("as"), "is \"date\", but what follows a text is read as a number: expected another");
            return None;
        }
        Some(WaitSource::Text { path: place, after, unit })
    }

    fn place_of_wait(&mut self, path: &KeyPath, wait: &raw::Wait) -> Option<JsonPath> {
        self.answer_place(&path.key("path"), Some(wait.path.as_deref()?))?
    }

    fn steps(&mut self, path: &KeyPath, steps: &[String]) -> Option<WaitSource> {
        if steps.is_empty() {
            self.wrong(path, "is empty: expected at least one length of time");
            return None;
        }
        let mut waits = Vec::new();
        for (index, text) in steps.iter().enumerate() {
            waits.extend(self.waiting_time(&path.index(index), text));
        }
        (waits.len() == steps.len()).then_some(WaitSource::Steps(waits))
    }

    /// A text that is looked for: the empty one would be found everywhere.
    pub(super) fn not_empty(&mut self, path: &KeyPath, text: Option<&str>) -> Option<()> {
        if text == Some("") {
            self.wrong(path, format!("is {}: expected a text to look for", shown("")));
            return None;
        }
        Some(())
    }
}

pub(super) fn wait_unit(word: raw::WaitUnit) -> WaitUnit {
    match word {
        raw::WaitUnit::Auto => WaitUnit::Auto,
        raw::WaitUnit::Milliseconds => WaitUnit::Milliseconds,
        raw::WaitUnit::Seconds => WaitUnit::Seconds,
        raw::WaitUnit::Minutes => WaitUnit::Minutes,
        raw::WaitUnit::Epoch => WaitUnit::Epoch,
        raw::WaitUnit::Date => WaitUnit::Date,
    }
}
