//! What each answer means: the beginning of its file's name says it, and the pipeline's rules must say the same.

use std::collections::{BTreeSet, HashMap};

use hourmark::classify::{Outcome, Reading, Verdict, classify};
use hourmark::decode::{Decoder, PageContext};
use hourmark::pipeline::{self, Accounts, Pipeline, SharedQuotas};
use hourmark::time::{Instant, Window};
use hourmark::unit::Account;

use super::answer::{self, Answer};
use super::scenario::{Fixtures, with_ending};

/// Where the scripted server would be.
const NOWHERE: &str = "http://127.0.0.1:9";

/// What each beginning of a name means. Longer ones before those that they begin with.
const MEANINGS: &[(&str, Means)] = &[
    ("accounts", Means::Ok),
    ("parents", Means::Ok),
    ("campaigns", Means::Ok),
    ("metrics", Means::Ok),
    ("last_page", Means::Ok),
    ("empty", Means::Ok),
    ("token", Means::Token),
    ("report_", Means::Ok),
    ("throttled", Means::Throttled),
    ("transient", Means::Retry),
    ("permanent", Means::Fail),
    ("expired_token", Means::Reauthorise),
    ("gone", Means::SkipAccount),
    ("too_much", Means::Split),
    ("partial", Means::NotWhole),
];

/// Every platform shows these, as far as it has such requests.
const REQUIRED: [&str; 10] = [
    "accounts",
    "campaigns",
    "metrics",
    "last_page",
    "empty",
    "throttled",
    "transient",
    "permanent",
    "expired_token",
    "partial",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Ok,
    /// An answer of a token endpoint: no rule is asked.
    Token,
    Throttled,
    Retry,
    Fail,
    Reauthorise,
    SkipAccount,
    Split,
    /// Anything but a page with all its rows.
    NotWhole,
}

/// What is wrong with the answers of a platform.
pub fn problems(fixtures: &Fixtures) -> Vec<String> {
    let pipeline = match pipeline::load(&fixtures.pipeline, &[], &SharedQuotas::default()) {
        Ok(pipeline) => pipeline,
        Err(error) => return vec![error.report()],
    };
    let mut problems = Vec::new();
    let mut shown = BTreeSet::new();
    for path in with_ending(&fixtures.folder, "json") {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((beginning, means)) = MEANINGS.iter().find(|(beginning, _)| name.starts_with(beginning)) else {
            let known: Vec<&str> = MEANINGS.iter().map(|(beginning, _)| *beginning).collect();
            problems.push(format!("`{name}` begins with no word that is known: {}", known.join(", ")));
            continue;
        };
        shown.insert(*beginning);
        match answer::read(&fixtures.folder, &name, NOWHERE) {
            Ok(answer) => problems.extend(wrong(&pipeline, &answer, *means).map(|said| format!("`{name}`: {said}"))),
            Err(said) => problems.push(said),
        }
    }
    let required = REQUIRED.iter().filter(|kind| match **kind {
        "accounts" => matches!(pipeline.accounts, Accounts::Endpoint(_)),
        "campaigns" => pipeline.campaigns.is_some(),
        _ => true,
    });
    let absent = required.filter(|kind| !shown.contains(*kind));
    problems.extend(absent.map(|kind| format!("no answer `{kind}*.json`")));
    problems
}

fn wrong(pipeline: &Pipeline, answer: &Answer, means: Means) -> Option<String> {
    let verdict = verdict(pipeline, answer);
    let right = match means {
        Means::Token => (200..300).contains(&answer.status),
        Means::Ok => verdict == Verdict::Ok,
        Means::Throttled => matches!(verdict, Verdict::Throttled { .. }),
        Means::Retry => matches!(verdict, Verdict::Retry { .. }),
        Means::Fail => matches!(verdict, Verdict::Fail { .. }),
        Means::Reauthorise => matches!(verdict, Verdict::Reauthorise { .. }),
        Means::SkipAccount => matches!(verdict, Verdict::SkipAccount { .. }),
        Means::Split => matches!(verdict, Verdict::Split { .. }),
        Means::NotWhole => verdict != Verdict::Ok || part_failed(pipeline, answer) || !decodes(pipeline, answer),
    };
    (!right).then(|| format!("the pipeline's rules say {verdict:?}, and its name means {means:?}"))
}

fn verdict(pipeline: &Pipeline, answer: &Answer) -> Verdict {
    let mut headers = reqwest::header::HeaderMap::new();
    for (name, value) in &answer.headers {
        let name: reqwest::header::HeaderName = name.parse().expect("a header's name");
        headers.append(name, value.parse().expect("a header's value"));
    }
    let outcome = Outcome::Answer { status: answer.status, headers: &headers, body: &answer.body };
    let now: Instant = "2026-11-02T12:00:00Z".parse().expect("a moment");
    classify(&outcome, &Reading { rules: &pipeline.responses, secrets: &[], now, refusals: 0 })
}

fn part_failed(pipeline: &Pipeline, answer: &Answer) -> bool {
    answer.parts.iter().any(|part| verdict(pipeline, part) != Verdict::Ok)
}

/// Whether the body is read as a page of a made-up account.
fn decodes(pipeline: &Pipeline, answer: &Answer) -> bool {
    let account = Account {
        id: "1".into(),
        name: String::new(),
        time_zone: chrono_tz::UTC,
        currency: "USD".into(),
        parent: String::new(),
    };
    let moment = |text: &str| -> Instant { text.parse().expect("a moment") };
    let window = Window::new(moment("2026-11-01T00:00:00Z"), moment("2026-11-02T00:00:00Z")).expect("a window");
    let names = HashMap::new();
    let currencies = HashMap::new();
    let context = PageContext {
        accounts: &[account],
        campaign_names: &names,
        campaign_currencies: &currencies,
        window,
        asked: window,
    };
    let decoder = Decoder::new(pipeline);
    decoder.page(&answer.body, &context, &mut decoder.rows()).is_ok()
}
