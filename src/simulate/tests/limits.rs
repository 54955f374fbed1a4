//! Token, quotas and idempotency.

use std::time::Duration;

use serde_json::json;

use super::*;

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().expect("ascii").to_owned())
}

#[tokio::test]
async fn the_token_is_asked_for_under_v1_only() {
    let sandbox = Sandbox::start(Options { token: Some("open sesame".to_owned()), ..options() }).await;
    let refused = sandbox.send("/v1/accounts").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.text().await.expect("a body").contains("UNAUTHORIZED"));
    for (token, status) in [("wrong", 401), ("open sesame", 200)] {
        let request = sandbox.client.get(sandbox.address("/v1/accounts")).bearer_auth(token);
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), status);
    }
    assert_eq!(sandbox.get("/sim/stats").await["by_status"], json!({"200": 1, "401": 2}));
}

#[tokio::test]
async fn a_violation_is_told_in_headers_and_punished() {
    let mut options = options();
    options.quotas.app = vec!["3/1m".parse().expect("a limit")];
    options.quotas.penalty = Duration::from_secs(90);
    let sandbox = Sandbox::start(options).await;
    for remaining in ["2", "1", "0"] {
        let response = sandbox.send("/v1/accounts").await;
        assert_eq!(header(&response, "x-ratelimit-remaining").as_deref(), Some(remaining));
        assert_eq!(header(&response, "x-ratelimit-limit").as_deref(), Some("3"));
    }
    let refused = sandbox.send("/v1/accounts").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after").as_deref(), Some("90"));
    assert_eq!(header(&refused, "x-ratelimit-reset").as_deref(), Some("90"));
    let usage: Value = serde_json::from_str(&header(&refused, "x-usage").expect("usage")).expect("json");
    assert_eq!(usage["app"], json!({"percent": 100, "regain_seconds": 90}));
    assert_eq!(refused.text().await.expect("a body").matches("RATE_LIMITED").count(), 1);
    let stats = sandbox.get("/sim/stats").await;
    assert_eq!(stats["refused_429"], 1);
    assert_eq!(stats["highest_use"]["app"], json!([{"limit": "3/1m", "arrived": 4, "counted": 3}]));
}

#[tokio::test]
async fn who_waits_as_told_is_admitted() {
    let mut options = options();
    options.quotas.app = vec!["2/1s".parse().expect("a limit")];
    let sandbox = Sandbox::start(options).await;
    for _ in 0..2 {
        assert_eq!(sandbox.send("/v1/accounts").await.status(), StatusCode::OK);
    }
    let refused = sandbox.send("/v1/accounts").await;
    let wait = header(&refused, "retry-after").expect("a time").parse().expect("seconds");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(sandbox.send("/v1/accounts").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn accounts_have_quotas_of_their_own_which_can_be_changed() {
    let sandbox = Sandbox::start(options()).await;
    let (_, body) = sandbox.post("/sim/quotas", json!({"account": ["1/1h"]})).await;
    assert_eq!(body["account"], json!(["1/1h"]));
    let ids = sandbox.account_ids().await;
    let path = |ids: &[String]| format!("/v1/metrics?account_ids={}&from=2026-11-19T00:00:00Z&to={NOW}", ids.join(","));
    let first = sandbox.send(&path(&ids[..2])).await;
    assert_eq!(first.status(), StatusCode::OK);
    let usage: Value = serde_json::from_str(&header(&first, "x-usage").expect("usage")).expect("json");
    assert_eq!(usage["account"][&ids[1]], json!({"percent": 100}));
    assert_eq!(sandbox.send(&path(&ids[1..3])).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(sandbox.send(&path(&ids[2..3])).await.status(), StatusCode::OK);
    sandbox.post("/sim/quotas", json!({"account": []})).await;
    assert_eq!(sandbox.send(&path(&ids[1..3])).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_key_makes_one_report_however_often_it_is_sent() {
    let sandbox = Sandbox::start(Options { report_polls: 3, ..options() }).await;
    let id = sandbox.account_in("UTC").await;
    let body = json!({"account_ids": [id], "from": "2026-11-19T00:00:00Z", "to": "2026-11-20T00:00:00Z"});
    let create = async |key: &str, body: &Value| {
        let request = sandbox.client.post(sandbox.address("/v1/reports")).header("Idempotency-Key", key);
        request.body(body.to_string()).send().await
    };
    // The first answer is lost, with a 500 or with the connection; the report is made all the same.
    sandbox.fault("lost").await;
    if let Ok(lost) = create("unit-1", &body).await {
        assert_eq!(lost.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let again = create("unit-1", &body).await.expect("an answer");
    assert_eq!(again.status(), StatusCode::ACCEPTED);
    assert_eq!(header(&again, "idempotent-replayed").as_deref(), Some("true"));
    let report: Value = serde_json::from_str(&again.text().await.expect("a body")).expect("json");

    let mut other = body.clone();
    other["to"] = json!("2026-11-20T01:00:00Z");
    let reused = create("unit-1", &other).await.expect("an answer");
    assert_eq!(reused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(reused.text().await.expect("a body").contains("IDEMPOTENCY_KEY_REUSED"));

    let address = format!("/v1/reports/{}", text(&report["report_id"]));
    assert_eq!(sandbox.send(&format!("{address}/rows")).await.status(), StatusCode::CONFLICT);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(text(&sandbox.get(&address).await["status"]));
    }
    assert_eq!(seen, ["pending", "running", "done"]);
    let rows = sandbox.walk(&format!("{address}/rows?limit=11")).await;
    assert_eq!(
        rows,
        sandbox.truth(&format!("account_ids={id}&from=2026-11-19T00:00:00Z&to=2026-11-20T00:00:00Z")).await
    );
    let reports = sandbox.get("/sim/stats").await["reports"].clone();
    assert_eq!(reports["created"], 1);
    assert_eq!(
        (&reports["most_per_key"], &reports["replayed"], &reports["reuse_refused"]),
        (&json!(1), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn reports_can_fail() {
    let sandbox = Sandbox::start(Options { report_fail_share: 1.0, report_polls: 1, ..options() }).await;
    let id = sandbox.account_in("UTC").await;
    let body = json!({"account_ids": [id], "from": "2026-11-19T00:00:00Z", "to": "2026-11-20T00:00:00Z"});
    let (_, report) = sandbox.post("/v1/reports", body).await;
    let poll = sandbox.get(&format!("/v1/reports/{}", text(&report["report_id"]))).await;
    assert_eq!((&poll["status"], code(&poll).as_str()), (&json!("failed"), "REPORT_FAILED"));
    assert_eq!(sandbox.post("/v1/reports", json!({"account_ids": "1"})).await.0, StatusCode::BAD_REQUEST);
}
