//! Every kind of fault does what it says.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::simulate::FaultOptions;

const PAGE: &str = "from=2026-11-19T00:00:00Z&to=2026-11-20T12:00:00Z&limit=50";

async fn page_path(sandbox: &Sandbox) -> String {
    format!("/v1/metrics?account_ids={}&{PAGE}", sandbox.account_in("UTC").await)
}

#[tokio::test]
async fn server_errors_are_answered_as_each_kind_says() {
    let sandbox = Sandbox::start(options()).await;
    let path = page_path(&sandbox).await;
    let cases = [
        ("500", 500, "INTERNAL"),
        ("502", 502, "<html>"),
        ("503", 503, "UNAVAILABLE"),
        ("bare-429", 429, "RATE_LIMITED"),
        ("error-in-200", 200, "TRANSIENT"),
    ];
    for (kind, status, expected) in cases {
        sandbox.fault(kind).await;
        let response = sandbox.send(&path).await;
        let headers = response.headers().clone();
        let bare = ["502", "bare-429"].contains(&kind);
        assert_eq!(headers.contains_key("x-usage"), !bare, "{kind}");
        assert_eq!(headers.contains_key("retry-after"), kind == "503", "{kind}");
        assert_eq!(response.status().as_u16(), status, "{kind}");
        assert!(response.text().await.expect("a body").contains(expected), "{kind}");
    }
    assert_eq!(sandbox.send(&path).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn connections_break_where_they_should() {
    let sandbox = Sandbox::start(options()).await;
    let path = page_path(&sandbox).await;
    sandbox.fault("reset").await;
    let error = sandbox.client.get(sandbox.address(&path)).send().await.expect_err("no answer");
    let text = format!("{error:?}");
    assert!(text.contains("ConnectionReset") || text.contains("IncompleteMessage"), "{text}");
    for kind in ["reset-body", "short-body", "stall"] {
        sandbox.fault(kind).await;
        let begun = Instant::now();
        let response = sandbox.send(&path).await;
        assert_eq!(response.status(), StatusCode::OK, "{kind}");
        assert!(response.headers().contains_key("content-length"), "{kind}");
        assert!(response.bytes().await.is_err(), "{kind}");
        assert_eq!(begun.elapsed() >= Duration::from_millis(300), kind == "stall", "{kind}");
    }
    let stats = sandbox.get("/sim/stats").await;
    assert_eq!(stats["faults"], json!({"reset": 1, "reset-body": 1, "short-body": 1, "stall": 1}));
    assert_eq!(stats["by_status"]["none"], 1);
}

#[tokio::test]
async fn truncated_json_arrives_whole_and_does_not_parse() {
    let sandbox = Sandbox::start(options()).await;
    let path = page_path(&sandbox).await;
    sandbox.fault("truncated-json").await;
    let body = sandbox.send(&path).await.text().await.expect("a body");
    assert!(body.starts_with(r#"{"data":[{"#) && serde_json::from_str::<Value>(&body).is_err());
}

#[tokio::test]
async fn a_row_comes_twice_over_a_page_boundary() {
    let sandbox = Sandbox::start(options()).await;
    let path = page_path(&sandbox).await;
    sandbox.fault("duplicate-rows").await;
    let first = sandbox.get(&path).await;
    let second = sandbox.get(first["paging"]["next"].as_str().expect("more")).await;
    assert_eq!(rows(&first).last(), rows(&second).first());
    let mut walked = sandbox.walk(&path).await;
    walked.dedup();
    assert_eq!(walked.len() as u64, first["paging"]["total"].as_u64().expect("a number"));
}

#[tokio::test]
async fn pages_can_be_empty_or_null_and_still_go_on() {
    let sandbox = Sandbox::start(options()).await;
    let path = page_path(&sandbox).await;
    let whole = sandbox.walk(&path).await;
    for (kind, data) in [("empty-page", json!([])), ("null-data", Value::Null)] {
        sandbox.fault(kind).await;
        let page = sandbox.get(&path).await;
        assert_eq!(page["data"], data);
        assert_eq!(sandbox.walk(page["paging"]["next"].as_str().expect("more")).await, whole);
    }
}

/// Whatever is drawn, a client that tries each request five times gets everything, once.
#[tokio::test]
async fn five_attempts_are_always_enough() {
    for rate in [0.3, 1.0] {
        let faults = FaultOptions { rate, kinds: Vec::new(), ..options().faults };
        let sandbox = Sandbox::start(Options { faults, ..options() }).await;
        let all = sandbox.truth("from=2026-11-19T00:00:00Z&to=2026-11-20T12:00:00Z").await;
        let id = text(&all[0]["account_id"]);
        let truth: Vec<Value> = all.into_iter().filter(|row| row["account_id"] == *id).collect();
        let mut next = Some(format!("/v1/metrics?account_ids={id}&{}", PAGE.replace("limit=50", "limit=5")));
        let (mut walked, mut pages) = (Vec::new(), 0);
        while let Some(path) = next {
            let page = persistent(&sandbox, &path).await;
            walked.extend(rows(&page));
            next = page["paging"]["next"].as_str().map(str::to_owned);
            pages += 1;
            assert!(pages < 400, "the walk ends");
        }
        walked.dedup();
        assert_eq!(walked, truth);
        assert_ne!(sandbox.get("/sim/stats").await["faults"], json!({}));
    }
}

async fn persistent(sandbox: &Sandbox, path: &str) -> Value {
    for _ in 0..5 {
        let Ok(response) = sandbox.client.get(sandbox.address(path)).send().await else {
            continue;
        };
        if response.status() != StatusCode::OK {
            continue;
        }
        let Ok(body) = response.text().await else {
            continue;
        };
        match serde_json::from_str::<Value>(&body) {
            Ok(page) if page.get("error").is_none() => return page,
            _ => {}
        }
    }
    panic!("five attempts were not enough for {path}");
}

#[tokio::test]
async fn a_server_that_is_asked_to_stop_does_not_wait_for_its_stalls() {
    let simulator = Simulator::bind(options()).await.expect("a free port");
    let base = simulator.base_url();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(simulator.serve(async move { drop(stopped.await) }));
    let sandbox = Sandbox { base, client: Client::new() };
    let path = page_path(&sandbox).await;
    sandbox.post("/sim/faults", json!({"next": ["stall"], "stall": "1h"})).await;
    let response = sandbox.send(&path).await;
    stop.send(()).expect("the server listens");
    let ended = tokio::time::timeout(Duration::from_secs(5), server).await;
    assert!(ended.expect("in time").expect("no panic").is_ok());
    assert!(response.bytes().await.is_err());
}
