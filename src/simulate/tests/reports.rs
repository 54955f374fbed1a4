//! Reports: made once for a key, told apart or answered again, and gone after their life.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::simulate::Duplicates;

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

async fn create(sandbox: &Sandbox, key: Option<&str>, report: &Value) -> (StatusCode, Value) {
    let mut request = sandbox.client.post(sandbox.address("/v1/reports"));
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let response = request.body(report.to_string()).send().await.expect("an answer");
    (response.status(), body(response).await)
}

async fn day(sandbox: &Sandbox, day: u32) -> Value {
    let id = sandbox.account_in("UTC").await;
    json!({"account_ids": [id], "from": format!("2026-11-{day}T00:00:00Z"), "to": "2026-11-20T00:00:00Z"})
}

#[tokio::test]
async fn a_duplicate_can_be_told_so() {
    let sandbox = Sandbox::start(Options { duplicate_reports: Duplicates::Conflict, ..options() }).await;
    let (one, other) = (day(&sandbox, 18).await, day(&sandbox, 19).await);
    let (status, report) = create(&sandbox, Some("unit-1"), &one).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let id = text(&report["report_id"]);
    for key in [Some("unit-1"), None] {
        let (status, body) = create(&sandbox, key, &one).await;
        assert_eq!((status, code(&body).as_str()), (StatusCode::CONFLICT, "DUPLICATE"), "{key:?}");
        assert_eq!(body["error"]["message"], format!("duplicate of {id}"));
        assert_eq!(body["error"]["report_id"], json!(id));
    }
    assert_eq!(create(&sandbox, Some("unit-1"), &other).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(create(&sandbox, None, &other).await.0, StatusCode::ACCEPTED);
    assert_eq!(create(&sandbox, Some("unit-2"), &one).await.0, StatusCode::ACCEPTED, "another key is another report");
    sandbox.get(&format!("/v1/reports/{id}")).await;
    let expected = json!({
        "created": 3, "replayed": 0, "conflicts": 2, "reuse_refused": 1, "without_key": 1, "polls": 1,
        "most_per_key": 1, "most_per_body": 2,
    });
    assert_eq!(sandbox.get("/sim/stats").await["reports"], expected);
}

#[tokio::test]
async fn without_a_key_every_request_makes_a_report() {
    let sandbox = Sandbox::start(options()).await;
    let body = day(&sandbox, 19).await;
    let (first, second) = (create(&sandbox, None, &body).await, create(&sandbox, None, &body).await);
    assert_eq!((first.0, second.0), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    assert_ne!(first.1, second.1);
    assert_eq!(sandbox.get("/sim/stats").await["reports"]["most_per_body"], 2);
}

#[tokio::test]
async fn a_report_expires_and_its_key_stays_known() {
    let life = Duration::from_millis(1);
    let duplicate_reports = Duplicates::Conflict;
    let options = Options { report_life: Some(life), report_polls: 0, duplicate_reports, ..options() };
    let sandbox = Sandbox::start(options).await;
    let body = day(&sandbox, 19).await;
    let (_, report) = create(&sandbox, Some("unit-1"), &body).await;
    tokio::time::sleep(life).await;
    let address = format!("/v1/reports/{}", text(&report["report_id"]));
    assert_eq!(sandbox.get(&address).await, json!({"report_id": report["report_id"], "status": "expired"}));
    let rows = sandbox.send(&format!("{address}/rows")).await;
    assert_eq!(rows.status(), StatusCode::GONE);
    assert_eq!(code(&super::body(rows).await), "REPORT_EXPIRED");
    assert_eq!(create(&sandbox, None, &body).await.0, StatusCode::ACCEPTED, "no such report exists any more");
    assert_eq!(create(&sandbox, Some("unit-1"), &body).await.0, StatusCode::CONFLICT);
}
