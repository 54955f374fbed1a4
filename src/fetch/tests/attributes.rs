//! What is kept of campaigns, out of the list that names them.

use super::*;
use crate::merge::CampaignReading;
use crate::pipeline::{Column, ColumnKind};

const LISTED: &str =
    r#"{"items":[{"id":"a","name":"Autumn","status":"ACTIVE","money":"JPY"},{"id":"b","status":"PAUSED"}]}"#;

fn kept_list(every: Duration) -> CampaignList {
    let list = Listing {
        method: crate::pipeline::Method::Get,
        secrets: vec![],
        body: crate::pipeline::Body::None,
        server: None,
        id_after: None,
        path: "/accounts/{account}/campaigns".into(),
        query: texts(&[]),
        pagination: pages(PaginationKind::Cursor { next: path("next"), more: None, param: "after".into() }),
        records: Records { path: path("items"), absent_is_empty: false, nulls: vec![] },
        id: path("id"),
        name: Some(path("name")),
        every,
        verbatim: true,
    };
    let column = |name: &str, kind| Column {
        name: name.into(),
        from: path(name),
        kind,
        pick: None,
        default: None,
        required: false,
        manner: Default::default(),
    };
    CampaignList { list, currency: Some(path("money")), columns: vec![column("status", ColumnKind::Text)] }
}

async fn bench(script: Vec<Reply>, every: Duration) -> Bench {
    let mut bench = Bench::new(script).await;
    bench.pipeline.campaigns = Some(kept_list(every));
    bench
}

fn column(rows: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = rows.column_by_name(name).expect("a column").as_string::<i32>().clone();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

async fn take(fetch: &Fetch, account: &Account) -> Result<Option<CampaignReading>, UnitFailure> {
    fetch.take_attributes(account, &CancellationToken::new(), &Tape::off()).await
}

fn texts_of(all: &[&str]) -> Vec<Option<String>> {
    all.iter().map(|text| Some((*text).to_owned()).filter(|text| !text.is_empty())).collect()
}

#[tokio::test]
async fn the_list_that_names_campaigns_tells_their_attributes_too() {
    let rows = page(&[("a", 1), ("b", 2)], "");
    let bench = bench(vec![Reply::ok(LISTED), Reply::ok(&rows)], Duration::ZERO).await;
    let fetch = bench.fetch().await;
    let mut one = account("1", "UTC");
    one.currency = String::new();
    assert!(!fetch.has_attributes("1"));
    let slice = fetch.unit(&unit(std::slice::from_ref(&one)), &CancellationToken::new()).await.expect("a slice");
    assert_eq!(
        column(&slice.rows, "currency"),
        texts_of(&["JPY", ""]),
        "the campaign's where the account's is not known"
    );
    assert_eq!(column(&slice.rows, "campaign_name"), texts_of(&["Autumn", ""]));
    assert!(fetch.has_attributes("1"));
    let kept = take(&fetch, &one).await.expect("attributes").expect("attributes");
    assert_eq!((kept.account.as_str(), kept.read_at), ("1", bench.clock.now()));
    assert_eq!(column(&kept.rows, "status"), texts_of(&["ACTIVE", "PAUSED"]));
    assert_eq!(column(&kept.rows, "currency"), texts_of(&["JPY", ""]));
    assert!(!fetch.has_attributes("1"));
    assert_eq!(take(&fetch, &one).await.expect("nothing more"), None);
    assert_eq!(bench.server.requests().len(), 2, "no request of its own");
}

#[tokio::test]
async fn rows_do_not_wait_for_a_list_that_is_there_for_attributes_alone() {
    let mut bench = bench(vec![one_row()], Duration::ZERO).await;
    bench.pipeline.identity.campaign_name = Some(path("name"));
    bench.unit().await.expect("a slice");
    assert_eq!(bench.server.requests().len(), 1);
}

#[tokio::test]
async fn an_attribute_that_cannot_be_kept_does_no_harm_to_rows() {
    let listed = LISTED.replace("\"PAUSED\"", "[]");
    let bench = bench(vec![Reply::ok(&listed), one_row()], Duration::ZERO).await;
    let fetch = bench.fetch().await;
    let one = account("1", "UTC");
    fetch.unit(&unit(std::slice::from_ref(&one)), &CancellationToken::new()).await.expect("a slice");
    let failure = take(&fetch, &one).await.expect_err("no attributes");
    assert_eq!(
        failure.to_string(),
        "record 2: `status` at `status` holds `[]`, expected text, a number, true or false"
    );
}

#[tokio::test]
async fn failures_are_told_and_a_gone_account_is_asked_for_once() {
    let mut bench = bench(vec![Reply::status(403), Reply::status(404)], Duration::ZERO).await;
    bench.pipeline.responses = vec![rule(&[404], "", ResponseAction::SkipAccount)];
    let fetch = bench.fetch().await;
    assert_eq!(take(&fetch, &account("1", "UTC")).await.expect_err("refused").to_string(), "HTTP 403");
    let gone = |failure: UnitFailure| matches!(failure, UnitFailure::Gone(all) if all[0].account == "2");
    assert!(gone(take(&fetch, &account("2", "UTC")).await.expect_err("gone")));
    fetch.gone.lock().expect("gone").insert("3".into(), "HTTP 404".into());
    assert!(take(&fetch, &account("3", "UTC")).await.is_err());
    assert_eq!(bench.server.requests().len(), 2);
}

#[tokio::test]
async fn a_list_is_asked_for_at_most_so_often() {
    let script = vec![Reply::ok(LISTED), Reply::ok(LISTED)];
    let mut bench = bench(script, Duration::from_secs(3600)).await;
    let one = account("1", "UTC");
    let began = bench.clock.now();
    for (minutes, requests, read_at) in [(0, 1, 0), (59, 1, 0), (61, 2, 61), (119, 2, 61)] {
        bench.clock = Clock::Fixed(began + chrono::TimeDelta::minutes(minutes));
        let kept = take(&bench.fetch().await, &one).await.expect("attributes").expect("attributes");
        assert_eq!(bench.server.requests().len(), requests, "after {minutes} minutes");
        assert_eq!(kept.read_at, began + chrono::TimeDelta::minutes(read_at), "as old as what was read");
    }
}

#[tokio::test]
async fn a_list_comes_from_the_cache_as_a_whole_or_not_at_all() {
    let first = |next: &str| format!(r#"{{"items":[{{"id":"a","status":"ACTIVE"}}],"next":"{next}"}}"#);
    let last = r#"{"items":[{"id":"b","status":"ACTIVE"}]}"#;
    // The second page's token dies before it is read; the next run must not come back to it by the kept first page.
    let script = vec![Reply::ok(&first("dead")), Reply::status(400), Reply::ok(&first("alive")), Reply::ok(last)];
    let bench = bench(script, Duration::from_secs(3600)).await;
    let one = account("1", "UTC");
    take(&bench.fetch().await, &one).await.expect_err("a dead token");
    for _ in 0..2 {
        let kept = take(&bench.fetch().await, &one).await.expect("attributes").expect("attributes");
        assert_eq!(column(&kept.rows, "campaign_id"), texts_of(&["a", "b"]));
    }
    let place = "/accounts/1/campaigns";
    let all = [place.to_owned(), format!("{place}?after=dead"), place.to_owned(), format!("{place}?after=alive")];
    assert_eq!(bench.server.targets(), all);
}
