//! Which of a pipeline's rules fits an answer, and by what.

use serde_json::Value;

use super::answer::{Answer, one_line};
use crate::pipeline::{JsonPath, ResponseRule, ValueTest};
use crate::usage::text_of;
use crate::usage::wait::number;

/// So many characters of a value are repeated.
const MAX_VALUE: usize = 40;

/// What made a rule fit.
#[derive(Debug)]
pub(super) enum Reason<'a> {
    /// The status alone.
    Status,
    /// A header of this name.
    Header(&'a str),
    /// A value in the body.
    Value { path: &'a JsonPath, test: &'a ValueTest, value: &'a Value },
}

impl Reason<'_> {
    /// For people, with a space before it; nothing where the status shows it already.
    pub(super) fn shown(&self) -> String {
        match self {
            Reason::Status => String::new(),
            Reason::Header(name) => format!(" (header `{name}`)"),
            Reason::Value { path, test: ValueTest::Present, .. } => format!(" (`{path}` is there)"),
            Reason::Value { path, test: ValueTest::Contains(text), .. } => {
                format!(" (`{path}` holds \"{}\")", cut(text, MAX_VALUE))
            }
            Reason::Value { path, value, .. } => {
                let value = one_line(&text_of(value).unwrap_or_default());
                format!(" (`{path}` is {})", cut(&value, MAX_VALUE))
            }
        }
    }
}

/// The first rule that fits, and why.
pub(super) fn first<'a>(rules: &'a [ResponseRule], answer: &'a Answer<'_>) -> Option<(&'a ResponseRule, Reason<'a>)> {
    rules.iter().find_map(|rule| Some((rule, fits(rule, answer)?)))
}

fn fits<'a>(rule: &'a ResponseRule, answer: &'a Answer<'_>) -> Option<Reason<'a>> {
    if !rule.statuses.is_empty() && !rule.statuses.contains(&answer.status) {
        return None;
    }
    let mut reason = Reason::Status;
    if let Some((name, part)) = &rule.header {
        let part = part.as_deref().unwrap_or_default();
        let mut values = answer.headers.get_all(name).iter();
        values.find(|value| holds(&String::from_utf8_lossy(value.as_bytes()), part))?;
        reason = Reason::Header(name);
    }
    if let Some((path, test)) = &rule.path {
        if !answer.may_hold(path) {
            return None;
        }
        let value = path.values_in(answer.document()?).into_iter().find(|value| passes(value, test))?;
        reason = Reason::Value { path, test, value };
    }
    Some(reason)
}

fn passes(value: &Value, test: &ValueTest) -> bool {
    let text = text_of(value);
    match (test, text) {
        (ValueTest::Present, _) => !value.is_null(),
        (_, None) => false,
        (ValueTest::AnyOf(wanted), Some(text)) => wanted.contains(&text),
        (ValueTest::NoneOf(unwanted), Some(text)) => !unwanted.contains(&text),
        (ValueTest::Contains(part), Some(text)) => holds(&text, part),
        (ValueTest::Between(from, to), Some(text)) => match text.trim().parse::<i64>() {
            Ok(whole) => (*from..=*to).contains(&whole),
            Err(_) => number(&text).is_some_and(|number| (*from as f64..=*to as f64).contains(&number)),
        },
    }
}

/// Whether `text` holds `part`, whatever the case.
fn holds(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

/// At most so many characters, the last of them `…` where some are left out.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}
