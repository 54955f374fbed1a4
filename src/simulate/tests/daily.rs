//! Sums over days against the truth.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

/// (impressions, clicks, spend in micros, conversions) of each account and date, from rows of either kind.
fn sums(rows: &[Value]) -> BTreeMap<(String, String), (i64, i64, i64, f64)> {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok()).expect("a number");
    let mut sums: BTreeMap<(String, String), (i64, i64, i64, f64)> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry((text(&row["account_id"]), text(&row["date"]))).or_default();
        sum.0 += number(&row["impressions"]);
        sum.1 += number(&row["clicks"]);
        sum.2 += number(&row["spend_micros"]);
        sum.3 += row["conversions"].as_f64().expect("conversions");
    }
    sums
}

#[tokio::test]
async fn days_are_the_sums_of_the_truth_on_each_account_s_clock() {
    let zones = ["Europe/Berlin", "Asia/Kolkata", "Pacific/Apia", "UTC"];
    let zones = zones.iter().map(|zone| zone.parse().expect("a zone")).collect();
    let sandbox = Sandbox::start(Options { zones, accounts: 4, campaigns: 3, ..options() }).await;
    let ids = sandbox.account_ids().await.join(",");
    // Berlin's day of 25 hours is among them.
    let truth = sandbox.truth("from=2026-10-23T00:00:00Z&to=2026-10-28T00:00:00Z").await;
    let mut expected = sums(&truth);
    expected.retain(|(_, date), _| ("2026-10-24".."2026-10-27").contains(&date.as_str()));
    assert_eq!(expected.len(), 12);
    for limit in [1, 5, 500] {
        let path = format!("/v1/daily?account_ids={ids}&from_date=2026-10-24&to_date=2026-10-26&limit={limit}");
        let rows = sandbox.walk(&path).await;
        assert_eq!((rows.len(), sums(&rows)), (12, expected.clone()), "pages of {limit}");
    }
    let future = sandbox.get(&format!("/v1/daily?account_ids={ids}&from_date=2026-11-25&to_date=2026-11-26")).await;
    assert_eq!(rows(&future).len(), 0, "days that have not begun");
}

#[tokio::test]
async fn a_day_can_be_made_to_differ() {
    let sandbox = Sandbox::start(options()).await;
    let id = sandbox.account_in("UTC").await;
    let path = format!("/v1/daily?account_ids={id}&from_date=2026-11-10&to_date=2026-11-11");
    let before = rows(&sandbox.get(&path).await);
    let extra = |micros: i64| json!({"daily_extra": [{"date": "2026-11-10", "spend_micros": micros, "clicks": -1}]});
    sandbox.post(&format!("/sim/accounts/{id}"), extra(3_000_000)).await;
    let after = rows(&sandbox.get(&path).await);
    let spend = |row: &Value| row["spend_micros"].as_i64().expect("spend");
    assert_eq!(spend(&after[0]) - spend(&before[0]), 3_000_000);
    assert_eq!(after[0]["clicks"].as_i64(), before[0]["clicks"].as_i64().map(|clicks| clicks - 1));
    assert_eq!(after[1], before[1]);
    let (status, body) = sandbox.post(&format!("/sim/accounts/{id}"), extra(1)).await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("BAD_BODY")));
    sandbox.post(&format!("/sim/accounts/{id}"), json!({"daily_extra": []})).await;
    assert_eq!(rows(&sandbox.get(&path).await), before);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let sandbox = Sandbox::start(options()).await;
    let (id, other) = (sandbox.account_in("UTC").await, sandbox.account_in("Asia/Kolkata").await);
    let dates = "from_date=2026-11-10&to_date=2026-11-12";
    let page = sandbox.get(&format!("/v1/daily?account_ids={id}&{dates}&limit=1")).await;
    let cursor = text(&page["paging"]["cursor"]);
    let hourly = format!("/v1/metrics?account_ids={id}&from=2026-11-10T00:00:00Z&to=2026-11-11T00:00:00Z&limit=1");
    let hourly = text(&sandbox.get(&hourly).await["paging"]["cursor"]);
    let cases = [
        (format!("account_ids={id}&from_date=2026-11-10"), "MISSING_PARAMETER"),
        (format!("account_ids={id}&from_date=2026-11-10&to_date=2026-11-09"), "BAD_RANGE"),
        (format!("account_ids={id}&from_date=2026-01-10&to_date=2026-11-09"), "RANGE_TOO_LARGE"),
        (format!("account_ids={id}&from_date=10.11.2026&to_date=2026-11-09"), "BAD_PARAMETER"),
        (format!("account_ids={other}&{dates}&cursor={cursor}"), "CURSOR_MISMATCH"),
        (format!("cursor={hourly}"), "CURSOR_INVALID"),
    ];
    for (query, code) in cases {
        let body = sandbox.send(&format!("/v1/daily?{query}")).await.text().await.expect("a body");
        assert!(body.contains(code), "{query}: {body}");
    }
    assert_eq!(sandbox.send(&format!("/v1/daily?cursor={cursor}")).await.status(), StatusCode::OK);
    sandbox.post("/sim/clock", json!({"advance": "3h"})).await;
    let body = sandbox.send(&format!("/v1/daily?cursor={cursor}")).await.text().await.expect("a body");
    assert!(body.contains("CURSOR_EXPIRED"), "{body}");
}

#[tokio::test]
async fn pages_may_be_empty_or_repeat_a_row() {
    let faults = crate::simulate::FaultOptions { rate: 1.0, ..options().faults };
    for (kind, extra) in [("empty-page", 0), ("null-data", 0), ("duplicate-rows", 4)] {
        let kinds = vec![<crate::simulate::FaultKind as clap::ValueEnum>::from_str(kind, false).expect("a kind")];
        let faults = crate::simulate::FaultOptions { kinds, ..faults.clone() };
        let sandbox = Sandbox::start(Options { faults, ..options() }).await;
        let id = "100001";
        let path = format!("/v1/daily?account_ids={id}&from_date=2026-11-10&to_date=2026-11-15&limit=2");
        let found = sandbox.walk(&path).await;
        let days: std::collections::BTreeSet<String> = found.iter().map(|row| text(&row["date"])).collect();
        assert_eq!((days.len(), found.len()), (6, 6 + extra), "{kind}");
    }
}
