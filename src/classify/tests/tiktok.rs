//! Every code of `platforms/tiktok.md`: the status is 200 whatever happens.

use super::bench::Means::{Again, Fail, Page, Skip};
use super::bench::*;
use crate::pipeline::Fault::{Config, Platform, Us};
use crate::pipeline::ResponseRule;
use crate::pipeline::Scope::{Account, App, Endpoint};

const AUTH: [&str; 14] = [
    "40101", "40102", "40103", "40104", "40105", "40106", "40107", "40108", "40109", "40110", "40112", "40113",
    "40115", "40116",
];
const PERMISSION: [&str; 6] = ["40001", "40118", "40119", "40124", "40125", "41000"];
const OURS: [&str; 15] = [
    "40000", "40002", "40006", "40007", "40008", "40009", "40010", "40011", "40013", "40014", "40050", "40051",
    "40117", "41001", "41002",
];

fn rules() -> Vec<ResponseRule> {
    let waits = || vec![steps(&[1, 60, 300])];
    vec![
        when().any_of("code", &["40016", "40100"]).throttled(App, waits()),
        when().any_of("code", &["40133"]).throttled(Account, waits()),
        when().any_of("code", &["40132"]).throttled(Endpoint, waits()),
        when().any_of("code", &["60001"]).throttled(App, vec![steps(&[900, 3600])]),
        when().any_of("code", &["20001", "40200", "40201", "40202", "40700", "50000", "50002", "51305"]).again(),
        when().any_of("code", &["40300", "40301"]).skip(),
        when().any_of("code", &AUTH).fail(Config),
        when().any_of("code", &PERMISSION).fail(Config),
        when().between("code", 40_000, 49_999).fail(Us),
        when().between("code", 50_000, 59_999).again(),
        when().none_of("code", &["0"]).fail(Platform),
    ]
}

fn body(code: &str, message: &str) -> String {
    format!(r#"{{"code":{code},"message":"{message}","request_id":"2026","data":{{}}}}"#)
}

#[test]
fn codes() {
    let mut table = vec![
        ("0", Page),
        ("40016", wait(App, 1)),
        ("40100", wait(App, 1)),
        ("40132", wait(Endpoint, 1)),
        ("40133", wait(Account, 1)),
        ("50000", Again),
        ("50002", Again),
        ("51305", Again),
        ("59999", Again),
        ("60001", wait(App, 900)),
        ("40200", Again),
        ("40201", Again),
        ("40202", Again),
        ("40700", Again),
        ("40300", Skip),
        ("40301", Skip),
        ("20001", Again),
        ("49999", Fail(Some(Us))),
        ("70000", Fail(Some(Platform))),
    ];
    table.extend(AUTH.map(|code| (code, Fail(Some(Config)))));
    table.extend(PERMISSION.map(|code| (code, Fail(Some(Config)))));
    table.extend(OURS.map(|code| (code, Fail(Some(Us)))));
    for (code, expected) in table {
        // As a number and as text: both are met.
        check(&rules(), &[(200, &[], &body(code, "no"), expected.clone())]);
        check(&rules(), &[(200, &[], &body(&format!("\"{code}\""), "no"), expected)]);
    }
}

#[test]
fn statuses_mean_that_the_api_was_not_reached() {
    let rows: &[Row<'_>] = &[
        (404, &[], "404 page not found", Fail(None)),
        (500, &[], "", Again),
        (502, &[], "<html></html>", Again),
        (504, &[], "", Again),
        (200, &[], "\u{feff}\"stat_time_hour\",\"spend\"\n", Page),
    ];
    check(&rules(), rows);
}

#[test]
fn refusals_wait_longer_each_time_because_the_code_does_not_tell_which_limit_it_was() {
    let limited = body("40100", "Due to too many requests, requests from App 7 are temporarily restricted.");
    for (refusals, seconds) in [(0, 1), (1, 60), (2, 300), (3, 300), (99, 300)] {
        assert_eq!(meaning(judge_after(refusals, &rules(), 200, &[], &limited)), wait(App, seconds), "{refusals}");
    }
}
