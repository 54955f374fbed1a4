//! Lists of accounts and campaigns, revoked accounts and holes.

use serde_json::json;

use super::*;

#[tokio::test]
async fn an_unchanged_list_is_not_sent_again() {
    let sandbox = Sandbox::start(options()).await;
    let first = sandbox.send("/v1/accounts").await;
    let tag = first.headers()["etag"].clone();
    assert_eq!(first.headers()["cache-control"], "private, max-age=60");
    let again = async || {
        let request = sandbox.client.get(sandbox.address("/v1/accounts")).header("If-None-Match", tag.clone());
        request.send().await.expect("an answer")
    };
    let unchanged = again().await;
    assert_eq!((unchanged.status(), unchanged.headers()["etag"].clone()), (StatusCode::NOT_MODIFIED, tag.clone()));
    assert!(unchanged.bytes().await.expect("no body").is_empty());
    let id = sandbox.account_in("UTC").await;
    sandbox.post(&format!("/sim/accounts/{id}"), json!({"revoked": true})).await;
    assert_eq!(again().await.status(), StatusCode::OK);
    assert_eq!(sandbox.get("/sim/stats").await["not_modified_304"], 1);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let sandbox = Sandbox::start(Options { accounts: 25, campaigns: 12, ..options() }).await;
    let ids = sandbox.account_ids().await;
    assert_eq!(ids.len(), 25);
    for list in ["/v1/accounts".to_owned(), format!("/v1/accounts/{}/campaigns", ids[3])] {
        let whole = rows(&sandbox.get(&list).await);
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = sandbox.get(&format!("{list}?limit=6{cursor}")).await;
            paged.extend(rows(&page));
            match page["paging"]["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(paged, whole);
    }
}

#[tokio::test]
async fn campaigns_are_set_anew_once_a_week() {
    let sandbox = Sandbox::start(Options { accounts: 1, campaigns: 20, ..options() }).await;
    let path = format!("/v1/accounts/{}/campaigns", sandbox.account_ids().await[0]);
    let first = rows(&sandbox.get(&path).await);
    assert_eq!(rows(&sandbox.get(&path).await), first, "the same moment, the same list");
    sandbox.set_clock("2026-11-27T12:00:00Z").await;
    let later = rows(&sandbox.get(&path).await);
    for (before, after) in first.iter().zip(&later) {
        assert_eq!(
            (&before["id"], &before["name"], &before["objective"]),
            (&after["id"], &after["name"], &after["objective"])
        );
        let updated = after["updated_at"].as_str().expect("a moment");
        assert!(("2026-11-20T12:00:00Z".."2026-11-27T12:00:01Z").contains(&updated), "{updated}");
    }
    let changed = |key: &str| first.iter().zip(&later).filter(|(before, after)| before[key] != after[key]).count();
    assert!(changed("daily_budget_micros") > 15 && (1..15).contains(&changed("status")));
}

#[tokio::test]
async fn a_revoked_account_is_refused_and_others_are_not() {
    let sandbox = Sandbox::start(options()).await;
    let ids = sandbox.account_ids().await;
    sandbox.post(&format!("/sim/accounts/{}", ids[0]), json!({"revoked": true})).await;
    let path = |id: &str| format!("/v1/metrics?account_ids={id}&from=2026-11-19T00:00:00Z&to={NOW}");
    let refused = sandbox.send(&path(&format!("{},{}", ids[0], ids[1]))).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let body = refused.text().await.expect("a body");
    assert!(body.contains("ACCOUNT_REVOKED") && body.contains(&ids[0]) && !body.contains(&ids[1]), "{body}");
    assert_eq!(sandbox.send(&path(&ids[1])).await.status(), StatusCode::OK);
    sandbox.post(&format!("/sim/accounts/{}", ids[0]), json!({"revoked": false})).await;
    assert_eq!(sandbox.send(&path(&ids[0])).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_hole_hides_its_hours_until_it_closes() {
    let sandbox = Sandbox::start(Options { dense: true, ..options() }).await;
    let id = sandbox.account_in("UTC").await;
    let hole = json!({"from": "2026-11-19T05:00:00Z", "to": "2026-11-19T08:00:00Z", "until": "2026-11-20T18:00:00Z"});
    sandbox.post(&format!("/sim/accounts/{id}"), json!({"holes": [hole]})).await;
    let path = format!("/v1/metrics?account_ids={id}&from=2026-11-19T00:00:00Z&to=2026-11-20T00:00:00Z");
    assert_eq!(sandbox.get(&path).await["paging"]["total"], 21 * 5);
    sandbox.set_clock("2026-11-20T18:00:00Z").await;
    assert_eq!(sandbox.get(&path).await["paging"]["total"], 24 * 5);
}

#[tokio::test]
async fn the_guide_is_served() {
    let sandbox = Sandbox::start(options()).await;
    assert_eq!(sandbox.send("/").await.text().await.expect("a body"), super::super::GUIDE);
}
