//! Clocks: restatement by age, days with 23 and 25 hours, the movable now.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

/// The values of the truth by (campaign, hour), without what describes them.
async fn values(sandbox: &Sandbox, query: &str) -> BTreeMap<(String, String), String> {
    let rows = sandbox.truth(&format!("{query}&fields=impressions,clicks,spend,conversions")).await;
    rows.into_iter().map(|row| ((text(&row["campaign_id"]), text(&row["hour"])), row.to_string())).collect()
}

#[tokio::test]
async fn values_change_at_the_marks_and_only_there() {
    let sandbox = Sandbox::start(Options { campaigns: 60, ..options() }).await;
    let hour = "from=2026-11-01T10:00:00Z&to=2026-11-01T11:00:00Z&clock=utc";
    assert!(values(&sandbox, &format!("{hour}&asof=2026-11-01T09:59:59Z")).await.is_empty());
    let pieces = [
        ("2026-11-01T10:00:00Z", "2026-11-01T10:59:59Z"),
        ("2026-11-01T11:00:00Z", "2026-11-01T12:59:59Z"),
        ("2026-11-01T13:00:00Z", "2026-11-02T09:59:59Z"),
        ("2026-11-02T10:00:00Z", "2026-11-04T09:59:59Z"),
        ("2026-11-04T10:00:00Z", "2026-11-08T09:59:59Z"),
        ("2026-11-08T10:00:00Z", "2026-11-29T09:59:59Z"),
        ("2026-11-29T10:00:00Z", "2027-11-29T10:00:00Z"),
    ];
    let mut before = BTreeMap::new();
    for (first, last) in pieces {
        let at_first = values(&sandbox, &format!("{hour}&asof={first}")).await;
        assert_eq!(at_first, values(&sandbox, &format!("{hour}&asof={last}")).await, "{first} to {last}");
        assert_ne!(at_first, before, "something changes at {first}");
        before = at_first;
    }
}

#[tokio::test]
async fn rows_appear_late_and_are_taken_back() {
    let sandbox = Sandbox::start(Options { campaigns: 200, ..options() }).await;
    let day = "from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z";
    let early = values(&sandbox, &format!("{day}&asof=2026-11-02T00:30:00Z")).await;
    let later = values(&sandbox, &format!("{day}&asof=2026-11-02T12:00:00Z")).await;
    let last = values(&sandbox, &format!("{day}&asof=2026-12-31T00:00:00Z")).await;
    assert!(later.keys().any(|key| !early.contains_key(key)));
    assert!(early.keys().all(|key| later.contains_key(key)));
    assert!(later.keys().any(|key| !last.contains_key(key)));
}

#[tokio::test]
async fn the_clock_can_be_set_advanced_and_given_back() {
    let sandbox = Sandbox::start(options()).await;
    assert_eq!(sandbox.get("/sim/clock").await, json!({"now": NOW, "fixed": true}));
    let (_, body) = sandbox.post("/sim/clock", json!({"advance": "90m"})).await;
    assert_eq!(body["now"], "2026-11-20T13:30:00Z");
    sandbox.set_clock("2026-11-20T10:30:00Z").await;
    let rows = sandbox.truth("from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z&clock=utc").await;
    assert_eq!(rows.iter().map(|row| text(&row["hour"])).max().as_deref(), Some("2026-11-20T10:00:00Z"));
    assert_eq!(sandbox.post("/sim/clock", json!({"system": true})).await.1["fixed"], false);
    assert_eq!(sandbox.post("/sim/clock", json!({"advance": "soon"})).await.0, StatusCode::BAD_REQUEST);
}

/// Clicks by label of a day: from the insights, and summed up from the truth.
async fn clicks_by_label(sandbox: &Sandbox, zone: &str, date: &str) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let id = sandbox.account_in(zone).await;
    let mut shown = BTreeMap::new();
    let mut pages = 1;
    let mut page = 1;
    while page <= pages {
        let body = sandbox.get(&format!("/v1/accounts/{id}/insights?date={date}&limit=50&page={page}")).await;
        pages = body["page_info"]["total_page"].as_u64().expect("a number");
        for row in rows(&body) {
            assert_eq!(row["date"], *date);
            let clicks: u64 = text(&row["clicks"]).parse().expect("digits");
            let label = format!("{} {}", text(&row["campaign_id"]), text(&row["hour_range"]));
            assert_eq!(shown.insert(label, clicks), None, "one row for each label");
        }
        page += 1;
    }
    // From where the day begins first on Earth to where it ends last.
    let rows = sandbox.truth(&format!("account_ids={id}&from={date}T00:00:00%2B14:00&to={date}T23:59:59-14:00")).await;
    let mut summed = BTreeMap::new();
    for row in rows.iter().filter(|row| row["date"] == *date) {
        let label = format!("{} {}", text(&row["campaign_id"]), text(&row["hour_range"]));
        *summed.entry(label).or_default() += row["clicks"].as_u64().expect("a number");
    }
    (shown, summed)
}

#[tokio::test]
async fn insights_fold_the_repeated_hour_and_lack_the_skipped_one() {
    let sandbox = Sandbox::start(Options { dense: true, ..options() }).await;
    sandbox.set_clock("2027-06-01T00:00:00Z").await;
    let days = [
        ("Europe/Berlin", "2026-10-25", 24),
        ("Europe/Berlin", "2027-03-28", 23),
        ("Europe/Berlin", "2026-11-20", 24),
        ("Australia/Lord_Howe", "2026-10-04", 24),
        ("Australia/Lord_Howe", "2027-04-04", 24),
        ("Pacific/Apia", "2026-11-20", 24),
        ("Asia/Kathmandu", "2026-11-20", 24),
        ("America/Los_Angeles", "2026-11-01", 24),
    ];
    for (zone, date, labels) in days {
        let (shown, summed) = clicks_by_label(&sandbox, zone, date).await;
        assert_eq!(shown.len(), labels * 5, "{zone} {date}");
        assert_eq!(shown, summed, "{zone} {date}");
    }
}

#[tokio::test]
async fn instants_in_half_hour_and_far_zones_are_right() {
    let sandbox = Sandbox::start(Options { dense: true, ..options() }).await;
    for (zone, first) in [
        ("Asia/Kolkata", "2026-11-19T06:00:00+05:30"),
        ("Pacific/Apia", "2026-11-19T13:00:00+13:00"),
        ("Asia/Kathmandu", "2026-11-19T06:00:00+05:45"),
        ("Europe/Berlin", "2026-11-19T01:00:00+01:00"),
    ] {
        let id = sandbox.account_in(zone).await;
        let path = format!("/v1/metrics?account_ids={id}&from=2026-11-19T00:00:00Z&to=2026-11-20T00:00:00Z&limit=1");
        let hour = text(&sandbox.get(&path).await["data"][0]["hour"]);
        assert_eq!(hour, first, "{zone}");
    }
}

#[tokio::test]
async fn a_page_past_the_end_is_empty_or_clamped() {
    for clamp_pages in [false, true] {
        let sandbox = Sandbox::start(Options { dense: true, clamp_pages, ..options() }).await;
        let id = sandbox.account_in("UTC").await;
        let last = sandbox.get(&format!("/v1/accounts/{id}/insights?date=2026-11-19&limit=50&page=3")).await;
        let past = sandbox.get(&format!("/v1/accounts/{id}/insights?date=2026-11-19&limit=50&page=4")).await;
        assert_eq!(last["page_info"]["total_number"], 120);
        assert_eq!(rows(&past).len(), if clamp_pages { rows(&last).len() } else { 0 });
        assert_eq!(past["page_info"]["page"], if clamp_pages { 3 } else { 4 });
    }
}
