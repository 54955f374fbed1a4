//! Token and quotas.

use std::time::Duration;

use serde_json::json;

use super::*;

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
async fn endpoints_have_quotas_of_their_own_with_weights_and_fixed_windows() {
    let mut options = options();
    // Windows of 10000 days: one begins in 2024, the next in 2052.
    options.quotas.endpoint = vec!["insights=2/10000d@fixed".parse().expect("a limit")];
    let sandbox = Sandbox::start(options).await;
    let id = sandbox.account_in("UTC").await;
    let path = format!("/v1/accounts/{id}/insights?date=2026-11-19");
    let response = sandbox.send(&path).await;
    let usage: Value = serde_json::from_str(&header(&response, "x-usage").expect("usage")).expect("json");
    assert_eq!(usage["endpoint"], json!({"insights": {"percent": 50}}));
    assert_eq!(header(&response, "x-ratelimit-remaining").as_deref(), Some("1"));
    sandbox.send(&path).await;
    let (status, body) = sandbox.post("/sim/quotas", json!({"refusal": "in-200"})).await;
    assert_eq!((status, &body["refusal"]), (StatusCode::OK, &json!("in-200")));
    let refused = sandbox.get(&path).await;
    assert_eq!((code(&refused).as_str(), &refused["error"]["scope"]), ("RATE_LIMITED_ENDPOINT", &json!("endpoint")));
    assert_eq!(sandbox.send(&format!("/v1/accounts/{id}/campaigns")).await.status(), StatusCode::OK);
    let stats = sandbox.get("/sim/stats").await;
    assert_eq!(stats["highest_use"]["endpoint"][0]["counted"], 2);
    assert_eq!(stats["highest_use"]["endpoint"][0]["arrived"], 3);
    assert_eq!(stats["refusals"]["endpoint"][0]["endpoint"], "insights");
    assert_eq!(stats["refusals"]["endpoint"][0]["refused"], 1);
    assert_eq!((&stats["refusals"]["requests"], &stats["refused_429"]), (&json!(1), &json!(0)));

    let limits = json!({"endpoint": ["rows=60/1m@fixed", "create=5/15m"], "weight": ["create=3"]});
    let (_, body) = sandbox.post("/sim/quotas", limits).await;
    assert_eq!(body["endpoint"], json!(["report_rows=60/1m@fixed", "create_report=5/15m"]));
    assert_eq!(body["weight"], json!(["create_report=3"]));
    let report = json!({"account_ids": [id], "from": "2026-11-19T00:00:00Z", "to": "2026-11-20T00:00:00Z"});
    assert_eq!(sandbox.post("/v1/reports", report.clone()).await.0, StatusCode::ACCEPTED);
    let (_, refused) = sandbox.post("/v1/reports", report).await;
    assert_eq!(refused["error"]["scope"], "endpoint", "3 of 5 are used, 3 do not fit");
    for wrong in [json!({"weight": ["create=6"]}), json!({"endpoint": ["rows"]}), json!({"refusal": "polite"})] {
        assert_eq!(sandbox.post("/sim/quotas", wrong.clone()).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(sandbox.get("/sim/quotas").await["weight"], json!(["create_report=3"]));
}

#[tokio::test]
async fn the_first_scope_that_refuses_is_named_and_each_limit_s_refusals_are_counted() {
    let mut options = options();
    options.quotas.account = vec!["1/1h".parse().expect("a limit")];
    options.quotas.penalty = Duration::from_secs(600);
    let sandbox = Sandbox::start(options).await;
    let ids = sandbox.account_ids().await;
    let campaigns = async |id: &str| sandbox.send(&format!("/v1/accounts/{id}/campaigns")).await;
    for id in [&ids[0], &ids[0], &ids[0], &ids[1], &ids[1], &ids[2]] {
        campaigns(id).await;
    }
    sandbox.post("/sim/quotas", json!({"app": ["1/1h"]})).await;
    campaigns(&ids[3]).await;
    let refused = body(campaigns(&ids[0]).await).await;
    assert_eq!(refused["error"]["scope"], "app", "before the account");
    let refusals = sandbox.get("/sim/stats").await["refusals"].clone();
    assert_eq!(
        refusals,
        json!({
            "requests": 4, "violations": 3, "accounts_refused": 2,
            "app": [{"limit": "1/1h", "refused": 1, "violations": 1}],
            "account": [{"limit": "1/1h", "refused": 4, "violations": 2}],
            "endpoint": [],
        })
    );
    let request = sandbox.client.delete(sandbox.address("/sim/stats"));
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(sandbox.get("/sim/stats").await["refusals"]["requests"], 0);
}

#[tokio::test]
async fn headers_about_quotas_tell_the_moment_of_counting_or_nothing() {
    let mut options = options();
    options.quotas.app = vec!["20/1h".parse().expect("a limit")];
    options.latency = "0ms..20ms".parse().expect("a latency");
    options.counted_at = 0.3;
    let sandbox = Sandbox::start(options).await;
    let responses = futures::future::join_all((0..20).map(|_| sandbox.send("/v1/accounts"))).await;
    let mut told: Vec<(u64, u64)> = Vec::new();
    for response in &responses {
        let usage: Value = serde_json::from_str(&header(response, "x-usage").expect("usage")).expect("json");
        let remaining = header(response, "x-ratelimit-remaining").expect("a number").parse().expect("a number");
        told.push((remaining, usage["app"]["percent"].as_u64().expect("a number")));
    }
    told.sort_unstable();
    let expected: Vec<(u64, u64)> = (0..20).map(|remaining| (remaining, (20 - remaining) * 5)).collect();
    assert_eq!(told, expected);

    sandbox.post("/sim/quotas", json!({"app": ["1/1h"], "usage_headers": false})).await;
    for status in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
        let response = sandbox.send("/v1/accounts").await;
        let names: Vec<&str> = response.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(response.status(), status);
        assert!(!names.iter().any(|name| name.starts_with("x-")), "{names:?}");
        assert_eq!(names.contains(&"retry-after"), status == StatusCode::TOO_MANY_REQUESTS);
    }
}

#[tokio::test]
async fn who_waits_as_any_style_tells_is_admitted() {
    let styles = ["date", "reset", "text", "usage", "ietf", "in-200"];
    futures::future::join_all(styles.map(admitted_after_its_wait)).await;
}

async fn admitted_after_its_wait(style: &str) {
    let mut options = options();
    options.quotas.app = vec!["1/900ms".parse().expect("a limit")];
    let sandbox = Sandbox::start(options).await;
    assert_eq!(sandbox.post("/sim/quotas", json!({"refusal": style})).await.0, StatusCode::OK);
    sandbox.send("/v1/accounts").await;
    let refused = sandbox.send("/v1/accounts").await;
    assert_eq!(header(&refused, "x-usage").is_some(), style == "usage", "{style}");
    assert_eq!(header(&refused, "x-ratelimit-limit"), None, "{style}");
    let told = |name: &str| header(&refused, name).expect("a header");
    let instant = match style {
        "date" => {
            let date = chrono::DateTime::parse_from_rfc2822(&told("retry-after")).expect("a date");
            Some(date.timestamp().cast_unsigned())
        }
        "reset" => Some(told("x-ratelimit-reset").parse().expect("seconds")),
        _ => None,
    };
    let wait = match instant {
        Some(seconds) => {
            let instant = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            instant.duration_since(std::time::SystemTime::now()).unwrap_or_default()
        }
        None => Duration::from_secs(1),
    };
    // The simulator has read the system's clock once, at its start: instants may be apart by what that took.
    tokio::time::sleep(wait + Duration::from_millis(20)).await;
    assert_eq!(code_of(sandbox.send("/v1/accounts").await).await, None, "{style}");
}

async fn code_of(response: Response) -> Option<String> {
    body(response).await["error"]["code"].as_str().map(str::to_owned)
}

/// A request is counted when its share of the latency has passed, not before.
#[tokio::test]
async fn counting_waits_for_its_share_of_the_latency() {
    for (counted_at, counted) in [(0.0, 1), (1.0, 0)] {
        let latency = "1h".parse().expect("a latency");
        let simulator = Simulator::bind(Options { latency, counted_at, ..options() }).await.expect("a free port");
        let shared = simulator.shared.clone();
        let sandbox = Sandbox::serve(simulator);
        let request = sandbox.client.get(sandbox.address("/v1/accounts")).send();
        tokio::spawn(request);
        while shared.state().arrivals == 0 || sandbox.get("/sim/stats").await["requests"] != counted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(sandbox.get("/sim/stats").await["requests"], counted);
    }
}

#[tokio::test]
async fn a_request_whose_caller_is_gone_is_counted_and_done() {
    let latency = "200ms".parse().expect("a latency");
    let simulator = Simulator::bind(Options { latency, counted_at: 1.0, ..options() }).await.expect("a free port");
    let shared = simulator.shared.clone();
    let sandbox = Sandbox::serve(simulator);
    let id = shared.world.accounts[0].id.clone();
    let report = json!({"account_ids": [id], "from": "2026-11-19T00:00:00Z", "to": "2026-11-20T00:00:00Z"});
    let request = sandbox.client.post(sandbox.address("/v1/reports")).body(report.to_string()).send();
    let caller = tokio::spawn(request);
    while shared.state().arrivals == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    caller.abort();
    while sandbox.get("/sim/stats").await["reports"]["created"] != 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(sandbox.get("/sim/stats").await["requests"], 1);
}
