//! The desk on a real clock and a real file: no timing is asserted, only counts and orders.

use std::time::Duration;

use tokio::task::JoinSet;

use super::*;
use crate::pipeline::{Endpoint, Quota};
use crate::request::tests::pipeline;
use crate::unit::Lane;
use crate::usage::Said;

/// So many units in `per`, all of them at once.
fn quota(name: &str, units: u32, per: Duration, scope: Scope) -> Quota {
    Quota { burst: units, ..crate::request::tests::quota(name, units, per, scope) }
}

fn with(name: &str, quotas: &[Quota], max_wait: Duration) -> Pipeline {
    let mut pipeline = pipeline("http://127.0.0.1:9");
    pipeline.name = name.to_owned();
    pipeline.quotas = quotas.to_vec();
    pipeline.retry.max_wait = max_wait;
    pipeline
}

fn needs(accounts: &[&str]) -> Needs {
    let accounts = accounts.iter().map(|id| (*id).to_owned()).collect();
    Needs { endpoint: Endpoint::Metrics, accounts, lane: Lane::Hourly, calls: 1 }
}

async fn take(quotas: &Quotas, accounts: &[&str]) {
    quotas.permit(&needs(accounts)).await.expect("a permit").answered();
}

async fn wait_told(quotas: &Quotas, accounts: &[&str]) -> (Duration, String) {
    match quotas.permit(&needs(accounts)).await {
        Err(Unpermitted::TooLong { wait, why }) => (wait, why),
        other => panic!("{other:?}"),
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn no_limit_is_no_wait() {
    let quotas = Quotas::new(&with("p", &[], SECOND));
    for _ in 0..1000 {
        take(&quotas, &["a"]).await;
    }
    assert_eq!((quotas.granted(), quotas.last_minute()), (1000, 1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_share_what_there_is() {
    let quotas = Quotas::new(&with("p", &[quota("hour", 40, HOUR, Scope::App)], SECOND));
    let mut workers = JoinSet::new();
    for _ in 0..16 {
        let quotas = quotas.clone();
        workers.spawn(async move {
            let mut taken = 0;
            while let Ok(permit) = quotas.permit(&needs(&["a"])).await {
                permit.answered();
                taken += 1;
            }
            taken
        });
    }
    let taken: u32 = workers.join_all().await.into_iter().sum();
    assert_eq!((taken, quotas.granted()), (40, 40));
    let (wait, why) = wait_told(&quotas, &["a"]).await;
    assert!(wait > HOUR - Duration::from_secs(60), "{wait:?}");
    assert_eq!(why, "the quota `hour` of app, 40 in 1h, is used up");
}

#[tokio::test]
async fn an_account_that_must_wait_leaves_the_others_alone() {
    let quotas = Quotas::new(&with("p", &[quota("account", 1, HOUR, Scope::Account)], SECOND));
    take(&quotas, &["a"]).await;
    wait_told(&quotas, &["a"]).await;
    wait_told(&quotas, &["a", "b"]).await;
    take(&quotas, &["b"]).await;
    assert_eq!(quotas.wait_of(&needs(&["c"])), Some(Duration::ZERO));
    assert!(quotas.wait_of(&needs(&["b"])).is_some_and(|wait| wait > SECOND));
}

#[tokio::test]
async fn who_stops_waiting_takes_nothing() {
    let quotas = Quotas::new(&with("p", &[quota("hour", 2, Duration::from_secs(300), Scope::App)], HOUR));
    take(&quotas, &[]).await;
    take(&quotas, &[]).await;
    for _ in 0..5 {
        let wanted = needs(&[]);
        let waiting = quotas.permit(&wanted);
        assert!(tokio::time::timeout(Duration::from_millis(5), waiting).await.is_err());
    }
    assert_eq!(quotas.inner.shelf().book.waiting(), 0);
    assert_eq!(quotas.granted(), 2);
}

#[tokio::test]
async fn a_refusal_closes_its_scope_at_once_for_those_who_wait_too() {
    let quotas = Quotas::new(&with("p", &[], SECOND));
    let wanted = needs(&["a"]);
    quotas.refused(&wanted, Scope::Account, HOUR, "HTTP 429");
    assert_eq!(wait_told(&quotas, &["a"]).await.1, "HTTP 429");
    assert_eq!(quotas.closed(), None);
    take(&quotas, &["b"]).await;
    quotas.refused(&wanted, Scope::App, HOUR, "HTTP 429: app");
    assert_eq!(wait_told(&quotas, &["b"]).await.1, "HTTP 429: app");
    assert_eq!(quotas.closed().map(|(_, why)| why).as_deref(), Some("HTTP 429: app"));
}

#[tokio::test]
async fn what_answers_tell_is_shown() {
    let quotas = Quotas::new(&with("p", &[quota("app", 100, HOUR, Scope::App)], SECOND));
    take(&quotas, &[]).await;
    let said = Said { limit: Some(30), ..Said::default() };
    quotas.told(&[Told { scope: Whose::App, quota: None, said }]);
    let uses = quotas.uses();
    assert_eq!(uses.len(), 1);
    assert_eq!((uses[0].limit, uses[0].used, uses[0].sent, uses[0].refused), (Some((30, HOUR)), 1, 1, 0));
    assert_eq!(quotas.describe(), "1 requests in the last minute (app 100/1h by app)");
}

/// A folder with a state.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    async fn state(&self) -> State {
        State::open(&self.folder.path().join("state.db")).await.expect("a state")
    }

    /// The quotas of a pipeline in a process of its own.
    async fn process(&self, name: &str, quotas: &[Quota]) -> Quotas {
        let quotas = Quotas::new(&with(name, quotas, SECOND));
        quotas.open(&self.state().await).await.expect("the file of quota use");
        quotas
    }
}

#[tokio::test]
async fn processes_one_after_the_other_draw_from_one_quota() {
    let place = Place::new();
    let limits = [quota("hour", 10, HOUR, Scope::App)];
    for _ in 0..3 {
        let quotas = place.process("p", &limits).await;
        for _ in 0..3 {
            take(&quotas, &["a"]).await;
        }
        quotas.close(&place.state().await).await.expect("written");
    }
    let quotas = place.process("p", &limits).await;
    take(&quotas, &["a"]).await;
    wait_told(&quotas, &["a"]).await;
    // Another pipeline has a quota of the same name for itself.
    take(&place.process("q", &limits).await, &["a"]).await;
}

#[tokio::test]
async fn a_process_that_is_killed_has_used_what_it_took() {
    let place = Place::new();
    let limits = [quota("hour", 4, HOUR, Scope::App)];
    let killed = place.process("p", &limits).await;
    let answered = killed.permit(&needs(&[])).await.expect("a permit");
    answered.answered();
    let _under_way = killed.permit(&needs(&[])).await.expect("a permit");
    // Nothing is closed and nothing dropped: the next process sees what was written before each sending.
    let next = place.process("p", &limits).await;
    take(&next, &[]).await;
    take(&next, &[]).await;
    wait_told(&next, &[]).await;
}

#[tokio::test]
async fn a_refusal_outlives_the_process() {
    let place = Place::new();
    let first = place.process("p", &[]).await;
    take(&first, &["a"]).await;
    first.refused(&needs(&["a"]), Scope::Account, HOUR, "HTTP 429");
    first.close(&place.state().await).await.expect("written");
    let next = place.process("p", &[]).await;
    assert_eq!(wait_told(&next, &["a"]).await.1, "HTTP 429");
    take(&next, &["b"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_at_the_same_time_draw_from_a_shared_quota() {
    let place = Place::new();
    let limits = [Quota { shared: true, ..quota("both", 60, HOUR, Scope::App) }];
    let mut workers = JoinSet::new();
    for name in ["p", "q", "r"] {
        let quotas = place.process(name, &limits).await;
        for _ in 0..4 {
            let quotas = quotas.clone();
            workers.spawn(async move {
                let mut taken = 0;
                while let Ok(permit) = quotas.permit(&needs(&[])).await {
                    tokio::task::yield_now().await;
                    permit.answered();
                    taken += 1;
                }
                taken
            });
        }
    }
    let taken: Vec<u32> = workers.join_all().await;
    assert_eq!(taken.iter().sum::<u32>(), 60, "{taken:?}");
}

#[tokio::test]
async fn what_is_known_can_be_shown_without_a_run() {
    let place = Place::new();
    let limits = [quota("hour", 10, HOUR, Scope::App)];
    let pipeline = with("p", &limits, SECOND);
    let quotas = place.process("p", &limits).await;
    for _ in 0..7 {
        take(&quotas, &["a"]).await;
    }
    quotas.close(&place.state().await).await.expect("written");
    let book = known_book(&pipeline, Some(&place.state().await), chrono::Utc::now()).await.expect("a book");
    let uses = show::uses(&book, Moment::from_instant(chrono::Utc::now()));
    assert_eq!(uses.iter().map(|used| (used.quota.as_str(), used.used)).collect::<Vec<_>>(), [("hour", 7)]);
}

/// An answer may tell of a limit that no request of this process has needed yet.
#[tokio::test]
async fn what_is_told_never_takes_the_place_of_what_was_used() {
    let place = Place::new();
    let metrics_only = Quota { endpoints: vec![Endpoint::Metrics], ..quota("hour", 3, HOUR, Scope::Account) };
    let limits = [metrics_only];
    let first = place.process("p", &limits).await;
    take(&first, &["a"]).await;
    // One more is under way when the process dies.
    let _under_way = first.permit(&needs(&["a"])).await.expect("a permit");
    let second = place.process("p", &limits).await;
    let list = Needs { endpoint: Endpoint::Campaigns, ..needs(&["a"]) };
    second.permit(&list).await.expect("a permit").answered();
    let said = Said { percent: Some(50.0), ..Said::default() };
    second.told(&[Told { scope: Whose::Account("a".into()), quota: None, said }]);
    second.close(&place.state().await).await.expect("written");
    let third = place.process("p", &limits).await;
    take(&third, &["a"]).await;
    wait_told(&third, &["a"]).await;
}

#[tokio::test]
async fn a_reset_forgets_what_was_said_and_not_what_was_used() {
    let place = Place::new();
    let limits = [quota("hour", 3, HOUR, Scope::App)];
    let pipeline = with("p", &limits, SECOND);
    let first = place.process("p", &limits).await;
    take(&first, &[]).await;
    first.refused(&needs(&[]), Scope::App, HOUR, "HTTP 429");
    wait_told(&first, &[]).await;
    first.close(&place.state().await).await.expect("written");
    forget_said(&pipeline, &place.state().await, chrono::Utc::now()).await.expect("forgotten");
    let next = place.process("p", &limits).await;
    take(&next, &[]).await;
    take(&next, &[]).await;
    assert_eq!(wait_told(&next, &[]).await.1, "the quota `hour` of app, 3 in 1h, is used up");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_said_with_its_file_and_nothing_goes() {
    let place = Place::new();
    let quotas = place.process("p", &[quota("hour", 3, HOUR, Scope::App)]).await;
    take(&quotas, &[]).await;
    let path = place.folder.path().join("state.db.quotas");
    // Another program spoils the file under us.
    let made = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.expect("the file");
    sqlx::query("DROP TABLE tallies").execute(&made).await.expect("dropped");
    match quotas.permit(&needs(&[])).await {
        Err(Unpermitted::Broken(error)) => {
            assert_ne!(error.kind(), crate::error::ErrorKind::Platform, "{}", error.report());
            assert!(error.report().contains("state.db.quotas"), "{}", error.report());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(quotas.uses()[0].under_way, 0);
}
