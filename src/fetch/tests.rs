use std::path::Path;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::*;
use crate::pipeline::{
    Auth, CampaignList, JsonPath, Listing, PaginationKind, Records, ResponseAction, ResponseRule, Scope, ValueTest,
};
use crate::request::tests::{account, at, pages, path, pipeline, texts, window};
use crate::secret::SecretSource;
use crate::telemetry::Count;
use crate::unit::{Lane, UnitKey};

mod attributes;
mod batches;
mod credentials;
mod faults;
mod gone;
mod limits;
mod lists;
mod paging;
mod parents;
mod reports;
pub(crate) mod server;
mod shapes;
mod signing_in;
mod sizes;
mod tapes;

use server::{Reply, Server};

/// Stands in every fixture's credentials, and in no text that is shown.
const SECRET: &str = "hunter2-token";

/// A pipeline that runs against a scripted server.
struct Bench {
    server: Server,
    pipeline: Pipeline,
    folder: tempfile::TempDir,
    clock: Clock,
}

impl Bench {
    async fn new(script: Vec<Reply>) -> Bench {
        Bench::with(Server::start(script).await)
    }

    fn with(server: Server) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let mut pipeline = pipeline(&server.base());
        let token = folder.path().join("token");
        std::fs::write(&token, SECRET).expect("a token");
        pipeline.auth = Auth::Bearer { token: SecretSource::File(token), proof: None };
        Bench { server, pipeline, folder, clock: Clock::Fixed(at("2026-11-20T12:34:56Z")) }
    }

    async fn fetch(&self) -> Fetch {
        let state = State::open(&self.folder.path().join("state.sqlite")).await.expect("a state");
        let pipeline = Arc::new(self.pipeline.clone());
        Fetch::new(pipeline, state, self.clock, Arc::default()).expect("a fetch")
    }

    /// As a run has it: with the lease, and with what earlier runs left. The run before it must have gone.
    async fn opened(&self) -> Fetch {
        let fetch = self.fetch().await;
        let acquired = fetch.state.acquire("test", "a test", self.clock.now()).await.expect("a lease");
        let crate::state::Acquired::Held(lease) = acquired else { panic!("{acquired:?}") };
        fetch.open(Arc::new(lease)).await.expect("opened");
        fetch
    }

    /// What came of `unit` in a run of its own.
    async fn run(&self, unit: &Unit) -> Result<Slice, UnitFailure> {
        let fetch = self.opened().await;
        let before = self.server.requests().len();
        let result = fetch.unit(unit, &CancellationToken::new()).await;
        let sent = self.server.requests().len() - before;
        assert_eq!(fetch.quotas().granted() as usize, sent, "one permit for every sending");
        if let Ok(slice) = &result {
            assert_eq!(slice.requests as usize, sent);
        }
        result
    }

    /// Fetches the unit of account 1, 08:00 to 10:00, and checks that nothing shown holds the secret.
    async fn unit(&self) -> Result<Slice, UnitFailure> {
        let fetch = self.fetch().await;
        let result = fetch.unit(&unit(&[account("1", "UTC")]), &CancellationToken::new()).await;
        assert_eq!(fetch.quotas().granted() as usize, self.server.requests().len(), "one permit for every sending");
        assert_eq!(fetch.meter.get(Count::Requests) as usize, self.server.requests().len());
        if let Err(failure) = &result {
            assert!(!format!("{failure} {failure:?}").contains("hunter2"), "{failure}");
        }
        result
    }

    async fn reason(&self) -> String {
        self.unit().await.expect_err("a failure").to_string()
    }
}

fn unit(accounts: &[Account]) -> Unit {
    let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let key = UnitKey::new("test", accounts, window, None);
    Unit { key, lane: Lane::Hourly, accounts: accounts.to_vec(), window }
}

fn row(campaign: &str, clicks: u32) -> String {
    format!(r#"{{"campaign":"{campaign}","hour":"2026-11-20T08:00:00Z","clicks":{clicks}}}"#)
}

/// A page of rows and what follows it.
fn page(rows: &[(&str, u32)], next: &str) -> String {
    let rows: Vec<String> = rows.iter().map(|(campaign, clicks)| row(campaign, *clicks)).collect();
    format!(r#"{{"rows":[{}],"next":"{next}"}}"#, rows.join(","))
}

fn clicks(slice: &Slice) -> Vec<(String, i64)> {
    let campaigns = slice.rows.column_by_name("campaign_id").expect("campaigns").as_string::<i32>().clone();
    let clicks = slice.rows.column_by_name("clicks").expect("clicks").as_primitive::<Int64Type>().clone();
    campaigns.iter().zip(clicks.iter()).map(|(id, n)| (id.expect("id").to_owned(), n.expect("clicks"))).collect()
}

/// The unit of `accounts` in `window`.
fn unit_of(accounts: &[Account], window: Window) -> Unit {
    Unit { key: UnitKey::new("test", accounts, window, None), lane: Lane::Hourly, accounts: accounts.to_vec(), window }
}

fn rule(statuses: &[u16], code: &str, action: ResponseAction) -> ResponseRule {
    let path = (!code.is_empty()).then(|| (path("code"), ValueTest::AnyOf(vec![code.into()])));
    ResponseRule { statuses: statuses.to_vec(), header: None, path, action }
}

/// (account, campaign, hour), sorted.
fn keys(slice: &Slice) -> Vec<(String, String, Instant)> {
    let text = |name: &str| slice.rows.column_by_name(name).expect("a column").as_string::<i32>().clone();
    let hours = slice.rows.column_by_name("hour").expect("hours").as_primitive::<TimestampMicrosecondType>().clone();
    let (accounts, campaigns) = (text("account_id"), text("campaign_id"));
    let key = |row: usize| {
        let hour = chrono::DateTime::from_timestamp_micros(hours.value(row)).expect("an hour");
        (accounts.value(row).to_owned(), campaigns.value(row).to_owned(), hour)
    };
    let mut keys: Vec<_> = (0..slice.rows.num_rows()).map(key).collect();
    keys.sort();
    keys
}

/// A list of campaigns of which nothing is kept.
fn for_ids(list: Listing) -> CampaignList {
    CampaignList { list, currency: None, columns: Vec::new() }
}

fn one_row() -> Reply {
    Reply::ok(&page(&[("a", 1)], ""))
}

#[test]
fn failures_as_people_read_them() {
    let failed = |attempts| UnitFailure::Failed { reason: "HTTP 500".into(), attempts, fatal: false }.to_string();
    assert_eq!((failed(1), failed(3)), ("HTTP 500".into(), "HTTP 500 (after 3 attempts)".into()));
    let come_back = UnitFailure::ComeBack { until: at("2026-11-20T12:00:00Z"), reason: "HTTP 429".into() };
    assert_eq!(come_back.to_string(), "HTTP 429: come back at 2026-11-20T12:00Z");
}
