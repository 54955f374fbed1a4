//! The API over real HTTP.

mod broken;
mod daily;
mod limits;
mod lists;
mod paging;
mod reports;
mod time;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use super::{Clock, Options, Simulator};

/// A running simulator; it ends with the test's runtime.
struct Sandbox {
    base: String,
    client: Client,
}

/// A Friday at noon.
const NOW: &str = "2026-11-20T12:00:00Z";

fn options() -> Options {
    Options { clock: NOW.parse::<Clock>().expect("an instant"), ..Options::default() }
}

impl Sandbox {
    async fn start(options: Options) -> Self {
        Self::serve(Simulator::bind(options).await.expect("a free port"))
    }

    fn serve(simulator: Simulator) -> Self {
        let base = simulator.base_url();
        tokio::spawn(simulator.serve(std::future::pending()));
        // A fresh connection each time: a client must not repeat a request by itself when a kept one was reset.
        let client = Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        Self { base, client }
    }

    async fn send(&self, path: &str) -> Response {
        self.client.get(self.address(path)).send().await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.send(path).await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).expect("json")
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self.client.post(self.address(path)).body(body.to_string()).send().await.expect("an answer");
        let status = response.status();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).expect("json"))
    }

    fn address(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) }
    }

    async fn account_ids(&self) -> Vec<String> {
        let accounts = self.get("/v1/accounts").await;
        rows(&accounts).iter().map(|account| text(&account["id"])).collect()
    }

    /// The id of the account in a zone.
    async fn account_in(&self, zone: &str) -> String {
        let accounts = self.get("/v1/accounts").await;
        let account = rows(&accounts).into_iter().find(|account| account["timezone"] == zone);
        text(&account.expect("the zone is there")["id"])
    }

    async fn truth(&self, query: &str) -> Vec<Value> {
        let body = self.send(&format!("/sim/truth?{query}")).await.text().await.expect("a body");
        body.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
    }

    /// All rows from `path` on, following the `next` links.
    async fn walk(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let page = self.get(&path).await;
            all.extend(rows(&page));
            next = page["paging"]["next"].as_str().map(str::to_owned);
        }
        all
    }

    async fn fault(&self, kind: &str) {
        let (status, _) = self.post("/sim/faults", json!({"next": [kind], "stall": "300ms"})).await;
        assert_eq!(status, StatusCode::OK);
    }

    async fn set_clock(&self, now: &str) {
        assert_eq!(self.post("/sim/clock", json!({"now": now})).await.0, StatusCode::OK);
    }
}

/// The rows of a page; none where they are null.
fn rows(page: &Value) -> Vec<Value> {
    page["data"].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn code(body: &Value) -> String {
    text(&body["error"]["code"])
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).map(|value| value.to_str().expect("ascii").to_owned())
}

async fn body(response: Response) -> Value {
    serde_json::from_str(&response.text().await.expect("a body")).expect("json")
}
