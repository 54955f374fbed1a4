//! The least that any program must do for the same rows: ask for the same pages, and parse each into typed rows that
//! borrow from it. Nothing is kept, sorted, proven or written.

use std::borrow::Cow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use tokio::sync::Mutex;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<Row<'a>>,
    paging: Paging,
}

#[derive(Deserialize)]
struct Paging {
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Row<'a> {
    account_id: &'a str,
    campaign_id: &'a str,
    hour: &'a str,
    #[serde(borrow)]
    campaign_name: Cow<'a, str>,
    impressions: &'a str,
    clicks: i64,
    spend_micros: i64,
    conversions: f64,
    #[serde(borrow, default)]
    actions: Vec<Action<'a>>,
    updated_at: &'a str,
}

#[derive(Deserialize)]
struct Action<'a> {
    action_type: &'a str,
    value: &'a str,
}

#[derive(Deserialize)]
struct Listed {
    data: Vec<ListedAccount>,
    paging: ListPaging,
}

#[derive(Deserialize)]
struct ListPaging {
    next: Option<String>,
}

#[derive(Deserialize)]
struct ListedAccount {
    id: String,
}

/// One chain of pages: the accounts and the window of a unit.
type Chain = String;

/// The command line of the floor client: where the platform is, how many at once, page size, and the chains.
#[derive(Debug, Clone)]
pub(crate) struct Floor {
    pub(crate) url: String,
    pub(crate) workers: usize,
    pub(crate) page: usize,
    /// Accounts in each request.
    pub(crate) batch: usize,
    /// The first day and the first after the last.
    pub(crate) from: chrono::NaiveDate,
    pub(crate) to: chrono::NaiveDate,
}

impl Floor {
    pub(crate) fn arguments(&self) -> Vec<String> {
        vec![
            "floor".to_owned(),
            self.url.clone(),
            self.workers.to_string(),
            self.page.to_string(),
            self.batch.to_string(),
            self.from.to_string(),
            self.to.to_string(),
        ]
    }

    fn parse(arguments: impl Iterator<Item = String>) -> Option<Floor> {
        let words: Vec<String> = arguments.collect();
        let [url, workers, page, batch, from, to] = words.as_slice() else { return None };
        Some(Floor {
            url: url.clone(),
            workers: workers.parse().ok()?,
            page: page.parse().ok()?,
            batch: batch.parse().ok()?,
            from: from.parse().ok()?,
            to: to.parse().ok()?,
        })
    }

    fn chains(&self, accounts: &[String]) -> Vec<Chain> {
        let mut chains = Vec::new();
        for day in self.from.iter_days().take_while(|day| *day < self.to) {
            let next = day.succ_opt().expect("a day");
            for accounts in accounts.chunks(self.batch) {
                let fields = "campaign_name,impressions,clicks,spend_micros,conversions,actions,updated_at";
                chains.push(format!(
                    "{}/v1/metrics?account_ids={}&from={day}T00:00:00Z&to={next}T00:00:00Z&fields={fields}&limit={}",
                    self.url,
                    accounts.join(","),
                    self.page
                ));
            }
        }
        chains.reverse();
        chains
    }
}

pub(crate) fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let Some(floor) = Floor::parse(arguments) else { return ExitCode::from(2) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let rows = runtime.block_on(download(floor));
    println!("{rows} rows");
    ExitCode::SUCCESS
}

async fn download(floor: Floor) -> u64 {
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
    // Whoever asks for metrics has to know of which accounts.
    let first = format!("{}/v1/accounts?limit=500", floor.url);
    let (mut url, mut accounts) = (first.clone(), Vec::new());
    loop {
        let listed = client.get(&url).send().await.expect("an answer").bytes().await.expect("a body");
        let listed: Listed = serde_json::from_slice(&listed).expect("accounts");
        accounts.extend(listed.data.into_iter().map(|account| account.id));
        match listed.paging.next {
            Some(next) => url = format!("{first}&cursor={next}"),
            None => break,
        }
    }
    let chains = Arc::new(Mutex::new(floor.chains(&accounts)));
    let rows = Arc::new(AtomicU64::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..floor.workers {
        let (client, chains, rows) = (client.clone(), chains.clone(), rows.clone());
        workers.spawn(async move {
            loop {
                let next = chains.lock().await.pop();
                let Some(chain) = next else { return };
                let mut url = chain.clone();
                loop {
                    let body = client.get(&url).send().await.expect("an answer").bytes().await.expect("a body");
                    let page: Page<'_> = serde_json::from_slice(&body).expect("a page");
                    rows.fetch_add(page.data.iter().map(weigh).sum::<u64>(), Ordering::Relaxed);
                    match page.paging.cursor {
                        Some(cursor) => url = format!("{chain}&cursor={cursor}"),
                        None => break,
                    }
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.expect("a worker");
    }
    rows.load(Ordering::Relaxed)
}

/// Looks at every value, so that none of them is optimised away.
fn weigh(row: &Row<'_>) -> u64 {
    let numbers = row.impressions.parse::<i64>().expect("a number").unsigned_abs()
        + row.clicks.unsigned_abs()
        + row.spend_micros.unsigned_abs()
        + row.conversions.to_bits()
        + row.actions.iter().map(|action| action.value.parse::<u64>().expect("a number")).sum::<u64>();
    let texts = [row.account_id, row.campaign_id, row.hour, &row.campaign_name, row.updated_at];
    let length: usize = texts.iter().map(|text| text.len()).sum();
    let kinds: usize = row.actions.iter().map(|action| action.action_type.len()).sum();
    std::hint::black_box((numbers, length + kinds));
    1
}
