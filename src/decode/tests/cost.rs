//! What a long page costs. Nothing is asserted: run it by hand, with optimisation, and look.
//!
//! `cargo test --release --no-default-features --lib -- --ignored --nocapture what_a_long_page_costs`

use std::time::{Duration, Instant as Moment};

use reqwest::header::HeaderMap;

use super::*;
use crate::classify::{Outcome, Reading, Verdict, classify};
use crate::pipeline::{Fault, ResponseAction, ResponseRule, ValueTest};

const ROUNDS: u32 = 20;

fn mean(mut work: impl FnMut()) -> Duration {
    work();
    let begin = Moment::now();
    (0..ROUNDS).for_each(|_| work());
    begin.elapsed() / ROUNDS
}

#[test]
#[ignore = "a measurement, not a test"]
#[allow(clippy::print_stdout)]
fn what_a_long_page_costs() {
    let row = |number: usize| {
        format!(
            r#"{{"account":"1","campaign":"{number}","hour":"2026-11-20T{:02}:00:00Z","metrics":{{"clicks":"12","impressions":"3456","spend":"9120000"}},"other":{{"name":"campaigns/{number}","list":[1,2,3]}}}}"#,
            number % 24
        )
    };
    let rows: Vec<String> = (0..27_000).map(row).collect();
    let body = format!(r#"[{{"results":[{}]}},{{"results":[]}}]"#, rows.join(","));
    let nested = |name: &str| Column { from: path(&format!("metrics.{name}")), ..column(name, ColumnKind::Int) };
    let mut pipeline = pipeline(["clicks", "impressions", "spend"].map(nested).to_vec());
    pipeline.records.path = path("?.results");
    let (decoder, accounts, names) = (Decoder::new(&pipeline), [account("1", "UTC")], HashMap::new());
    let context = PageContext {
        accounts: &accounts,
        campaign_names: &names,
        campaign_currencies: &HashMap::new(),
        window: year(),
        asked: year(),
    };
    let decoded = mean(|| {
        let facts = decoder.page(body.as_bytes(), &context, &mut decoder.rows()).expect("a page");
        assert_eq!(facts.records, rows.len());
    });
    let rule = |place: &str| ResponseRule {
        statuses: vec![200],
        header: None,
        path: Some((path(place), ValueTest::Present)),
        action: ResponseAction::Fail { fault: Fault::Us },
    };
    let rules = [rule("?.error.code"), rule("?.error.details.?.errors.?.errorCode"), rule("errors.?.code")];
    let headers = HeaderMap::new();
    let judged = mean(|| {
        let reading = Reading { rules: &rules, secrets: &[], now: at("2026-11-20T12:00:00Z"), refusals: 0 };
        let outcome = Outcome::Answer { status: 200, headers: &headers, body: body.as_bytes() };
        assert_eq!(classify(&outcome, &reading), Verdict::Ok);
    });
    let built = mean(|| drop(serde_json::from_slice::<serde_json::Value>(body.as_bytes()).expect("JSON")));
    println!("{} bytes: decoded in {decoded:?}, looked through in {judged:?}, built whole in {built:?}", body.len());
    println!("looking through it costs {:.0} % of decoding it", 100.0 * judged.as_secs_f64() / decoded.as_secs_f64());
}
