//! Rules as pipeline files say them, and tables of answers with what they mean.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName};

use super::super::{Outcome, Reading, Verdict, classify};
use crate::pipeline::{Fault, IdSource, ResponseAction, ResponseRule, Scope, ValueTest, WaitSource, WaitUnit};
use crate::request::tests::{at, path};
use crate::secret::Secret;

pub(super) type Pairs<'a> = &'a [(&'static str, &'a str)];

/// A row of a table: a status, headers, a body, and what they mean.
pub(super) type Row<'a> = (u16, Pairs<'a>, &'a str, Means);

/// When the answers of all tables come.
pub(super) const NOW: &str = "2026-11-20T10:00:00Z";

/// A verdict without its words.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Means {
    Page,
    Again,
    Wait(Option<Scope>, Option<Duration>),
    SignIn,
    Split,
    Skip,
    Adopt(&'static str),
    Fail(Option<Fault>),
}

/// Refused for so many seconds.
pub(super) fn wait(scope: impl Into<Option<Scope>>, seconds: u64) -> Means {
    Means::Wait(scope.into(), Some(Duration::from_secs(seconds)))
}

/// Refused without a word on how long.
pub(super) fn refused(scope: impl Into<Option<Scope>>) -> Means {
    Means::Wait(scope.into(), None)
}

pub(super) fn headers(pairs: Pairs<'_>) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header")));
    pairs.collect()
}

pub(super) fn judge_after(refusals: u32, rules: &[ResponseRule], status: u16, pairs: Pairs<'_>, body: &str) -> Verdict {
    let (headers, secrets) = (headers(pairs), [Secret::new("hunter2")]);
    let outcome = Outcome::Answer { status, headers: &headers, body: body.as_bytes() };
    classify(&outcome, &Reading { rules, secrets: &secrets, now: at(NOW), refusals })
}

pub(super) fn judge_by(rules: &[ResponseRule], status: u16, pairs: Pairs<'_>, body: &str) -> Verdict {
    judge_after(0, rules, status, pairs, body)
}

/// What a verdict means; its words must be short and there.
pub(super) fn meaning(verdict: Verdict) -> Means {
    let why = match &verdict {
        Verdict::Ok => return Means::Page,
        Verdict::NotModified | Verdict::Unreadable { .. } => panic!("{verdict:?}"),
        Verdict::Adopt { id } => return Means::Adopt(id.clone().leak()),
        Verdict::Retry { why }
        | Verdict::Throttled { why, .. }
        | Verdict::Reauthorise { why }
        | Verdict::Split { why }
        | Verdict::SkipAccount { why }
        | Verdict::Fail { why, .. } => why,
    };
    assert!(why.starts_with("HTTP ") && why.chars().count() <= 160, "{why}");
    match verdict {
        Verdict::Retry { .. } => Means::Again,
        Verdict::Throttled { wait, scope, .. } => Means::Wait(scope, wait),
        Verdict::Reauthorise { .. } => Means::SignIn,
        Verdict::Split { .. } => Means::Split,
        Verdict::SkipAccount { .. } => Means::Skip,
        Verdict::Fail { fault, .. } => Means::Fail(fault),
        _ => unreachable!("answered above"),
    }
}

/// Holds a table against `rules`.
pub(super) fn check(rules: &[ResponseRule], rows: &[Row<'_>]) {
    for (status, pairs, body, expected) in rows {
        let verdict = judge_by(rules, *status, pairs, body);
        let shown = format!("{verdict:?}");
        assert_eq!(meaning(verdict), *expected, "{status} {pairs:?} {body}: {shown}");
    }
}

/// A rule that fits everything, to be narrowed.
pub(super) fn when() -> When {
    let action = ResponseAction::Ok;
    When(ResponseRule { statuses: Vec::new(), header: None, path: None, action })
}

/// A rule that is being written.
pub(super) struct When(ResponseRule);

impl When {
    pub(super) fn status(self, statuses: &[u16]) -> When {
        When(ResponseRule { statuses: statuses.to_vec(), ..self.0 })
    }

    pub(super) fn header(self, name: &str, part: Option<&str>) -> When {
        When(ResponseRule { header: Some((name.to_owned(), part.map(str::to_owned))), ..self.0 })
    }

    fn value(self, place: &str, test: ValueTest) -> When {
        When(ResponseRule { path: Some((path(place), test)), ..self.0 })
    }

    pub(super) fn present(self, place: &str) -> When {
        self.value(place, ValueTest::Present)
    }

    pub(super) fn any_of(self, place: &str, texts: &[&str]) -> When {
        self.value(place, ValueTest::AnyOf(texts.iter().map(|text| (*text).to_owned()).collect()))
    }

    pub(super) fn none_of(self, place: &str, texts: &[&str]) -> When {
        self.value(place, ValueTest::NoneOf(texts.iter().map(|text| (*text).to_owned()).collect()))
    }

    pub(super) fn holds(self, place: &str, part: &str) -> When {
        self.value(place, ValueTest::Contains(part.to_owned()))
    }

    pub(super) fn between(self, place: &str, from: i64, to: i64) -> When {
        self.value(place, ValueTest::Between(from, to))
    }

    pub(super) fn then(self, action: ResponseAction) -> ResponseRule {
        ResponseRule { action, ..self.0 }
    }

    pub(super) fn page(self) -> ResponseRule {
        self.then(ResponseAction::Ok)
    }

    pub(super) fn again(self) -> ResponseRule {
        self.then(ResponseAction::Retry)
    }

    pub(super) fn throttled(self, scope: impl Into<Option<Scope>>, wait: Vec<WaitSource>) -> ResponseRule {
        self.then(ResponseAction::Throttled { scope: scope.into(), wait })
    }

    pub(super) fn sign_in(self) -> ResponseRule {
        self.then(ResponseAction::Reauthorise)
    }

    pub(super) fn split(self) -> ResponseRule {
        self.then(ResponseAction::Split)
    }

    pub(super) fn skip(self) -> ResponseRule {
        self.then(ResponseAction::SkipAccount)
    }

    pub(super) fn adopt_after(self, place: &str, after: &str) -> ResponseRule {
        self.then(ResponseAction::Adopt { id: IdSource::Text { path: path(place), after: after.to_owned() } })
    }

    pub(super) fn fail(self, fault: Fault) -> ResponseRule {
        self.then(ResponseAction::Fail { fault })
    }
}

pub(super) fn in_header(name: &str, unit: WaitUnit) -> WaitSource {
    WaitSource::Header { name: name.to_owned(), unit }
}

pub(super) fn in_body(place: &str, unit: WaitUnit) -> WaitSource {
    WaitSource::Body { path: path(place), unit }
}

pub(super) fn in_text(place: &str, after: &str, unit: WaitUnit) -> WaitSource {
    WaitSource::Text { path: path(place), after: after.to_owned(), unit }
}

pub(super) fn steps(seconds: &[u64]) -> WaitSource {
    WaitSource::Steps(seconds.iter().copied().map(Duration::from_secs).collect())
}
