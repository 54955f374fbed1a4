//! Pages of metrics against the truth.

use serde_json::json;

use super::*;

const DAY: &str = "from=2026-11-19T00:00:00Z&to=2026-11-20T12:00:00Z";

#[tokio::test]
async fn pages_of_any_size_give_exactly_the_truth() {
    let sandbox = Sandbox::start(options()).await;
    let ids = sandbox.account_ids().await.join(",");
    let truth = sandbox.truth(DAY).await;
    assert!(truth.len() > 1_000, "{}", truth.len());
    for limit in [7, 100, 499, 500] {
        let path = format!("/v1/metrics?account_ids={ids}&{DAY}&limit={limit}");
        assert_eq!(sandbox.get(&path).await["paging"]["total"], truth.len());
        assert_eq!(sandbox.walk(&path).await, truth, "pages of {limit}");
    }
}

#[tokio::test]
async fn a_full_last_page_has_no_cursor() {
    let sandbox = Sandbox::start(Options { dense: true, campaigns: 4, ..options() }).await;
    let id = sandbox.account_in("UTC").await;
    let path = format!("/v1/metrics?account_ids={id}&from=2026-11-19T00:00:00Z&to=2026-11-20T00:00:00Z&limit=96");
    let page = sandbox.get(&path).await;
    assert_eq!((rows(&page).len(), &page["paging"]["next"]), (96, &Value::Null));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes_on_any_server() {
    let (one, two) = (Sandbox::start(options()).await, Sandbox::start(options()).await);
    let other = Sandbox::start(Options { seed: 9, ..options() }).await;
    assert_eq!(one.truth(DAY).await, two.truth(DAY).await);
    assert_ne!(one.truth(DAY).await, other.truth(DAY).await);
}

#[tokio::test]
async fn cursors_expire_and_belong_to_their_query() {
    let sandbox = Sandbox::start(options()).await;
    let id = sandbox.account_in("UTC").await;
    let page = sandbox.get(&format!("/v1/metrics?account_ids={id}&{DAY}&limit=5")).await;
    let cursor = text(&page["paging"]["cursor"]);
    let other = sandbox.account_in("Asia/Kolkata").await;
    let (same, foreign) = (
        format!("/v1/metrics?account_ids={id}&{DAY}&limit=5&cursor={cursor}"),
        format!("/v1/metrics?account_ids={other}&{DAY}&limit=5&cursor={cursor}"),
    );
    assert_eq!(sandbox.send(&same).await.status(), StatusCode::OK);
    for (path, expected) in [(foreign, "CURSOR_MISMATCH"), ("/v1/metrics?cursor=abc".to_owned(), "CURSOR_INVALID")] {
        let body = sandbox.send(&path).await.text().await.expect("a body");
        assert!(body.contains(expected), "{body}");
    }
    sandbox.post("/sim/clock", json!({"advance": "3h"})).await;
    let response = sandbox.send(&same).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(response.text().await.expect("a body").contains("CURSOR_EXPIRED"));
}

#[tokio::test]
async fn wrong_requests_are_told_why() {
    let sandbox = Sandbox::start(Options { row_cap: Some(50), ..options() }).await;
    let id = sandbox.account_in("UTC").await;
    let cases = [
        ("/v1/metrics".to_owned(), 400, "MISSING_PARAMETER"),
        (format!("/v1/metrics?account_ids={id}&{DAY}&colour=red"), 400, "UNKNOWN_PARAMETER"),
        (format!("/v1/metrics?account_ids={id}&{DAY}&fields=clicks,kicks"), 400, "UNKNOWN_FIELD"),
        (format!("/v1/metrics?account_ids={id}&{DAY}&limit=501"), 400, "BAD_PARAMETER"),
        (format!("/v1/metrics?account_ids={id}&{DAY}"), 400, "TOO_MUCH_DATA"),
        (format!("/v1/metrics?account_ids={id}&from={NOW}&to={NOW}"), 400, "BAD_RANGE"),
        (format!("/v1/metrics?account_ids={id}&from=2026-01-01T00:00:00Z&to={NOW}"), 400, "RANGE_TOO_LARGE"),
        (format!("/v1/metrics?account_ids={id}&from=2026-11-20T00:00:00+01:00&to={NOW}"), 400, "%2B"),
        (format!("/v1/metrics?account_ids={}&{DAY}", vec![id.clone(); 51].join(",")), 400, "TOO_MANY_ACCOUNTS"),
        (format!("/v1/metrics?account_ids=5&{DAY}"), 404, "ACCOUNT_UNKNOWN"),
        ("/v1/nothing".to_owned(), 404, "NOT_FOUND"),
        ("/elsewhere".to_owned(), 404, "NOT_FOUND"),
    ];
    for (path, status, expected) in cases {
        let response = sandbox.send(&path).await;
        let found = response.status().as_u16();
        let body = response.text().await.expect("a body");
        assert!(found == status && body.contains(expected), "{path}: {found} {body}");
    }
    assert_eq!(sandbox.post("/v1/metrics", json!({})).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn fields_can_be_chosen() {
    let sandbox = Sandbox::start(options()).await;
    let id = sandbox.account_in("UTC").await;
    let page = sandbox.get(&format!("/v1/metrics?account_ids={id}&{DAY}&limit=1&fields=hour,clicks,spend")).await;
    let names: Vec<&String> = page["data"][0].as_object().expect("a row").keys().collect();
    assert_eq!(names, ["account_id", "campaign_id", "hour", "clicks", "spend"]);
}

/// A million rows are a matter of their own pages: the last page costs what the first does.
#[tokio::test]
async fn a_late_page_is_as_quick_as_the_first() {
    let sandbox = Sandbox::start(Options { dense: true, accounts: 50, campaigns: 100, ..options() }).await;
    let ids = sandbox.account_ids().await.join(",");
    let path = format!("/v1/metrics?account_ids={ids}&from=2026-11-10T00:00:00Z&to=2026-11-18T08:00:00Z");
    let first = sandbox.get(&path).await;
    assert_eq!(first["paging"]["total"], 1_000_000);
    let mut next = text(&first["paging"]["next"]);
    for _ in 0..20 {
        next = text(&sandbox.get(&next).await["paging"]["next"]);
    }
}
