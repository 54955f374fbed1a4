//! What is known of campaigns, followed after the rows.

use std::sync::Mutex;

use arrow::array::{Array, AsArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::error::Outcome;
use crate::pipeline::{CampaignList, Column, ColumnKind, Listing, PaginationKind, Records};
use crate::request::tests::pages;

/// What the platform says of each account's campaigns: a body, or a status.
type Said = Arc<Mutex<BTreeMap<&'static str, Result<String, u16>>>>;

/// Two accounts of which each has campaigns; rows carry names, so that nothing but attributes needs the lists.
async fn scene(said: &Said) -> Scene {
    let said = said.clone();
    let server = Server::answering(move |request| {
        let account = request.split('/').nth(2).unwrap_or_default();
        if !request.contains("/campaigns") {
            let row = r#"{"campaign":"a","name":"Autumn","hour":"2026-11-20T08:00:00Z","clicks":1}"#;
            return Reply::ok(&format!(r#"{{"rows":[{row}]}}"#));
        }
        match said.lock().expect("it").get(account) {
            Some(Ok(body)) => Reply::ok(body),
            Some(Err(status)) => Reply::new(*status, &[("retry-after", "4000")], b"{}"),
            None => Reply::status(418),
        }
    });
    let mut scene = Scene::new(server.await);
    scene.pipeline.accounts = Accounts::List(["1", "2"].map(|id| account(id, "UTC")).to_vec());
    scene.pipeline.identity.campaign_name = Some(path("name"));
    let list = Listing {
        method: crate::pipeline::Method::Get,
        secrets: vec![],
        body: crate::pipeline::Body::None,
        server: None,
        id_after: None,
        path: "/accounts/{account}/campaigns".into(),
        query: texts(&[]),
        pagination: pages(PaginationKind::None),
        records: Records { path: path("items"), absent_is_empty: false, nulls: vec![] },
        id: path("id"),
        name: Some(path("name")),
        every: Wait::from_secs(7200),
        verbatim: true,
    };
    let (name, from, kind) = ("status".to_owned(), path("status"), ColumnKind::Text);
    let columns =
        vec![Column { name, from, kind, pick: None, default: None, required: false, manner: Default::default() }];
    scene.pipeline.campaigns = Some(CampaignList { list, currency: None, columns });
    scene
}

fn listed(campaigns: &[(&str, &str)]) -> Result<String, u16> {
    let items = campaigns.iter().map(|(id, status)| format!(r#"{{"id":"{id}","name":"N","status":"{status}"}}"#));
    Ok(format!(r#"{{"items":[{}]}}"#, items.collect::<Vec<_>>().join(",")))
}

impl Scene {
    /// Account, campaign, status and whether it is the present one, of each version.
    fn versions(&self) -> Vec<String> {
        let path = self.folder.path().join("lake/test__campaigns/bucket-00.parquet");
        let Ok(file) = std::fs::File::open(path) else { return Vec::new() };
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet");
        let mut found = Vec::new();
        for rows in reader.map(|rows| rows.expect("rows")) {
            let text =
                |name: &str, row| rows.column_by_name(name).expect("it").as_string::<i32>().value(row).to_owned();
            let ends = rows.column_by_name("valid_to").expect("ends");
            for row in 0..rows.num_rows() {
                let is_over = if ends.is_null(row) { "" } else { " over" };
                let words = ["account_id", "campaign_id", "status"].map(|name| text(name, row));
                found.push(format!("{}{is_over}", words.join(" ")));
            }
        }
        found
    }

    async fn run_at(&mut self, now: &str, ask: Ask) -> RunReport {
        self.now = at(now);
        let environment = self.environment().await;
        let order = Order { ask, accounts: Vec::new() };
        let (pipeline, stop) = (Arc::new(self.pipeline.clone()), CancellationToken::new());
        run(&environment, pipeline, &order, Arc::default(), Arc::default(), stop).await.expect("a run")
    }

    fn lists(&self) -> usize {
        self.server.targets().iter().filter(|target| target.ends_with("/campaigns")).count()
    }
}

#[tokio::test]
async fn attributes_are_followed_where_they_are_due() {
    let said = Said::default();
    said.lock().expect("it").extend([("1", listed(&[("a", "ON"), ("b", "ON")])), ("2", listed(&[("z", "ON")]))]);
    let mut scene = scene(&said).await;
    let report = scene.run_at("2026-11-20T12:30:00Z", Ask::Due).await;
    let CampaignsFollowed { accounts, begun, ended, unread, .. } = report.campaigns;
    assert_eq!((accounts, begun, ended, unread, scene.lists()), (2, 3, 0, 0, 2));
    assert_eq!(scene.versions(), ["1 a ON", "1 b ON", "2 z ON"]);

    said.lock().expect("it").insert("1", listed(&[("a", "OFF")]));
    let report = scene.run_at("2026-11-20T14:00:00Z", Ask::Due).await;
    assert_eq!((report.campaigns.accounts, scene.lists()), (0, 2), "not yet due");
    let report = scene.run_at("2026-11-20T14:30:00Z", Ask::Due).await;
    assert_eq!((report.campaigns.accounts, report.campaigns.begun, report.campaigns.ended), (2, 1, 2));
    assert_eq!(scene.versions(), ["1 a ON over", "1 a OFF", "1 b ON over", "2 z ON"]);
    assert_eq!(scene.lists(), 4);
    let report = scene.run_at("2026-11-20T20:30:00Z", Ask::Repair).await;
    assert_eq!((report.campaigns.accounts, scene.lists()), (0, 4), "a repair is for rows");
    let readings = scene.state().await.attribute_readings("test").await.expect("readings");
    assert_eq!((readings["1"].versions, readings["2"].versions), (3, 1));
}

#[tokio::test]
async fn what_was_never_read_is_read_in_any_run() {
    let said = Said::default();
    said.lock().expect("it").extend([("1", listed(&[("a", "ON")])), ("2", listed(&[("z", "ON")]))]);
    let mut scene = scene(&said).await;
    let (from, to) = ("2026-11-18".parse().expect("a date"), "2026-11-19".parse().expect("a date"));
    let backfill = Ask::Backfill { from, to, again: false };
    assert_eq!(scene.run_at("2026-11-20T12:30:00Z", backfill).await.campaigns.accounts, 2);
    assert_eq!(scene.run_at("2026-11-20T18:30:00Z", backfill).await.campaigns.accounts, 0);
}

#[tokio::test]
async fn a_list_that_rows_need_is_not_asked_for_twice() {
    let said = Said::default();
    said.lock().expect("it").extend([("1", listed(&[("a", "ON")])), ("2", listed(&[("z", "ON")]))]);
    let mut scene = scene(&said).await;
    scene.pipeline.identity.campaign_name = None;
    scene.pipeline.campaigns.as_mut().expect("a list").list.every = Wait::ZERO;
    let report = scene.run_at("2026-11-20T12:30:00Z", Ask::Due).await;
    assert_eq!((report.published, report.campaigns.accounts, scene.lists()), (2, 2, 2));
    assert_eq!(scene.versions(), ["1 a ON", "2 z ON"]);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_fails_nothing() {
    let said = Said::default();
    said.lock().expect("it").extend([("1", Err(403)), ("2", listed(&[("z", "ON")]))]);
    let mut scene = scene(&said).await;
    let report = scene.run_at("2026-11-20T12:30:00Z", Ask::Due).await;
    assert_eq!((report.outcome(), report.published), (Outcome::Done, 2));
    assert_eq!((report.campaigns.accounts, report.campaigns.unread), (1, 1));
    assert_eq!(report.campaigns.why.as_deref(), Some("account 1: HTTP 403"));
    assert_eq!(scene.versions(), ["2 z ON"]);
    said.lock().expect("it").insert("1", listed(&[]));
    let report = scene.run_at("2026-11-20T13:30:00Z", Ask::Due).await;
    assert_eq!(
        (report.campaigns.accounts, report.campaigns.unread),
        (1, 0),
        "asked for again before the others are due"
    );
    said.lock().expect("it").insert("2", listed(&[]));
    let report = scene.run_at("2026-11-20T15:30:00Z", Ask::Due).await;
    assert_eq!((report.outcome(), report.campaigns.unread), (Outcome::Done, 1));
    let why = "account 2: the list of its campaigns is empty: those that are known stay as they are";
    assert_eq!(report.campaigns.why.as_deref(), Some(why));
    assert_eq!(scene.versions(), ["2 z ON"]);
}

#[tokio::test]
async fn a_long_wait_ends_the_reading_of_attributes_alone() {
    let said = Said::default();
    said.lock().expect("it").extend([("1", Err(429)), ("2", listed(&[("z", "ON")]))]);
    let mut scene = scene(&said).await;
    let report = scene.run_at("2026-11-20T12:30:00Z", Ask::Due).await;
    assert_eq!((report.outcome(), report.published, report.resume), (Outcome::Done, 2, None));
    assert!(report.campaigns.unread >= 1, "{:?}", report.campaigns);
    assert!(report.campaigns.why.expect("a reason").starts_with("account 1: HTTP 429"));
}

#[tokio::test]
async fn an_account_that_is_gone_is_not_asked_for_its_campaigns() {
    let said = Said::default();
    said.lock().expect("it").extend([("1", Err(404)), ("2", listed(&[("z", "ON")]))]);
    let mut scene = scene(&said).await;
    scene.pipeline.responses =
        vec![ResponseRule { statuses: vec![404], header: None, path: None, action: ResponseAction::SkipAccount }];
    let report = scene.run_at("2026-11-20T12:30:00Z", Ask::Due).await;
    assert_eq!((report.campaigns.accounts, report.campaigns.unread, report.campaigns.why), (1, 0, None));
}

#[tokio::test]
async fn a_narrower_attribute_is_refused_before_anything_is_asked_for() {
    let said = Said::default();
    said.lock().expect("it").extend([("1", listed(&[("a", "ON")])), ("2", listed(&[("z", "ON")]))]);
    let mut scene = scene(&said).await;
    scene.run_at("2026-11-20T12:30:00Z", Ask::Due).await;
    let sent = scene.server.requests().len();
    scene.pipeline.campaigns.as_mut().expect("a list").columns[0].kind = ColumnKind::Int;
    let environment = scene.environment().await;
    let order = Order { ask: Ask::Due, accounts: Vec::new() };
    let (pipeline, stop) = (Arc::new(scene.pipeline.clone()), CancellationToken::new());
    let error = run(&environment, pipeline, &order, Arc::default(), Arc::default(), stop).await.expect_err("refused");
    assert!(
        error.to_string().starts_with("the attribute `status` of the dataset `test__campaigns` is text"),
        "{error}"
    );
    assert_eq!(scene.server.requests().len(), sent);
}

#[tokio::test]
async fn what_was_published_and_not_remembered_is_read_once_more_and_changes_nothing() {
    let said = Said::default();
    said.lock().expect("it").extend([("1", listed(&[("a", "ON")])), ("2", listed(&[("z", "ON")]))]);
    let mut scene = scene(&said).await;
    scene.run_at("2026-11-20T12:30:00Z", Ask::Due).await;
    let file = scene.folder.path().join("lake/test__campaigns/bucket-00.parquet");
    let before = std::fs::read(&file).expect("a file");
    // As after a kill between the publish and the state.
    let place = format!("sqlite://{}", scene.folder.path().join("state.sqlite").display());
    let database = sqlx::SqlitePool::connect(&place).await.expect("the state");
    sqlx::query("DELETE FROM attribute_readings").execute(&database).await.expect("forgotten");
    sqlx::query("DELETE FROM responses").execute(&database).await.expect("forgotten");
    database.close().await;
    let report = scene.run_at("2026-11-20T12:40:00Z", Ask::Due).await;
    assert_eq!((report.campaigns.accounts, report.campaigns.begun, scene.lists()), (2, 0, 4));
    assert_eq!(std::fs::read(&file).expect("a file"), before);
}
