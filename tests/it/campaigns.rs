//! What campaigns were when: the lake against what the platform listed at each moment.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::outside::{finished, python};
use super::sandbox::{Api, Ran, Sandbox, TOKEN, block_on};
use super::story::*;

/// The moments at which runs take place; each campaign is set anew once a week.
const MOMENTS: [&str; 4] = [NOW, "2026-11-22T12:00:00Z", "2026-11-25T12:00:00Z", "2026-11-29T12:00:00Z"];
const ACCOUNTS: [&str; 3] = ["100001", "100002", "100003"];

/// (account, campaign) and its status, objective and budget.
type Campaigns = BTreeMap<(String, String), String>;

/// What the platform lists now.
fn listed(api: &Api) -> Campaigns {
    let mut campaigns = Campaigns::new();
    for account in ACCOUNTS {
        let url = format!("{}/v1/accounts/{account}/campaigns", api.url);
        let body = block_on(async move {
            let request = reqwest::Client::new().get(&url).bearer_auth(TOKEN);
            request.send().await.expect("an answer").text().await.expect("a body")
        });
        let body: Value = serde_json::from_str(&body).expect("JSON");
        for campaign in body["data"].as_array().expect("campaigns") {
            let text = |key: &str| campaign[key].as_str().expect("a text").to_owned();
            let budget = campaign["daily_budget_micros"].as_u64().expect("a budget") / 1_000_000;
            let values = format!("{},{},{budget}.000000", text("status"), text("objective"));
            campaigns.insert((account.to_owned(), text("id")), values);
        }
    }
    campaigns
}

/// What the lake says that campaigns were, known at `as_of`; those that are present then.
fn known(sandbox: &Sandbox, as_of: &str) -> Campaigns {
    let sql =
        "select account_id, campaign_id, status, objective, daily_budget from demo__campaigns where valid_to is null";
    let ran = sandbox.run(&["query", sql, "--as-of", as_of, "--format", "csv"]).expect_code(0);
    let mut campaigns = Campaigns::new();
    for line in ran.out.lines().skip(1) {
        let (account, rest) = line.split_once(',').expect("an account");
        let (campaign, values) = rest.split_once(',').expect("a campaign");
        let before = campaigns.insert((account.to_owned(), campaign.to_owned()), values.to_owned());
        assert_eq!(before, None, "two versions are present: {line}");
    }
    campaigns
}

fn run_at(sandbox: &Sandbox, moment: &str, arguments: &[&str]) -> Ran {
    sandbox.run(&[&["run", "demo", "--now", moment], arguments].concat()).expect_code(0)
}

fn move_to(api: &Api, moment: &str) {
    api.post("/sim/clock", &format!(r#"{{"now":"{moment}"}}"#));
}

fn files(sandbox: &Sandbox) -> Vec<Vec<u8>> {
    sandbox.files("demo__campaigns").iter().map(|file| std::fs::read(file).expect("a file")).collect()
}

#[test]
fn the_lake_knows_what_campaigns_were_at_each_moment() {
    let api = api(&["--accounts", "3", "--campaigns", "7"]);
    let sandbox = Sandbox::new(&api, None).with_campaigns();
    let mut told = Vec::new();
    for (number, moment) in MOMENTS.into_iter().enumerate() {
        move_to(&api, moment);
        let lists = requests(&api, "campaigns");
        let ran = run_at(&sandbox, moment, &[]);
        let [begun, ended, accounts] = numbers(&ran, "campaigns")[..] else { panic!("{}", ran.err) };
        assert_eq!((accounts, requests(&api, "campaigns") - lists), (3, 3));
        assert_eq!(ended, if number == 0 { 0 } else { begun }, "{}", ran.err);
        told.push((moment, listed(&api)));
        // Once more: neither asked for nor written.
        let (before, lists) = (files(&sandbox), requests(&api, "campaigns"));
        let ran = run_at(&sandbox, moment, &[]);
        assert!(!ran.err.contains("  campaigns "), "{}", ran.err);
        assert_eq!((files(&sandbox), requests(&api, "campaigns")), (before, lists));
    }
    for (moment, campaigns) in &told {
        assert_eq!(known(&sandbox, moment), *campaigns, "{moment}");
    }
    assert!(known(&sandbox, "2026-11-20T11:59:59Z").is_empty());
    assert_ne!(told[0].1, told[3].1, "nothing was changed: the test proves nothing");
    let status = sandbox.run(&["status", "demo", "--now", MOMENTS[3]]).expect_code(0);
    let versions = told.len() as u64;
    assert!(status.out.contains("  campaigns    ") && versions > 1, "{}", status.out);

    let Some(python) = python("what campaigns were, read by DuckDB") else { return };
    let program = "import duckdb\n\
        lake = \"read_parquet('data/lake/demo__campaigns/*.parquet')\"\n\
        overlap = f'select count(*) from {lake} a join {lake} b using (account_id, campaign_id) where \
        a.valid_from < b.valid_from and (a.valid_to is null or a.valid_to > b.valid_from)'\n\
        present = f'select count(*), count(distinct campaign_id) from {lake} where valid_to is null'\n\
        print(duckdb.sql(overlap).fetchall(), duckdb.sql(present).fetchall())";
    let told = finished(Command::new(python).args(["-c", program]).current_dir(sandbox.path()));
    assert_eq!(told.trim(), "[(0,)] [(21, 21)]");
}

#[test]
fn a_run_that_is_killed_among_the_lists_leaves_nothing_half_known() {
    let api = api(&["--accounts", "3", "--campaigns", "5", "--latency", "40ms"]);
    let whole = Sandbox::new(&api, None).with_campaigns();
    let one = ["--workers", "1"];
    run_at(&whole, NOW, &one);
    for after in [1, 3] {
        let sandbox = Sandbox::new(&api, None).with_campaigns();
        let before = requests(&api, "campaigns");
        let running = Running::start(sandbox.command(&["run", "demo", "--now", NOW, "--workers", "1"]));
        wait_until("the lists are being read", || requests(&api, "campaigns") - before >= after);
        running.kill();
        run_at(&sandbox, NOW, &one);
        assert_eq!(files(&sandbox), files(&whole), "killed after {after} lists");
    }
}

#[test]
fn a_list_that_cannot_be_read_is_told_and_fails_nothing() {
    let api = api(&["--accounts", "3", "--campaigns", "4"]);
    let sandbox = Sandbox::new(&api, None).with_campaigns();
    let wrong = "daily_budget = { type = \"int\", from = \"objective\" }";
    sandbox.edit("daily_budget = { type = \"micros\", from = \"daily_budget_micros\" }", wrong);
    let ran = run_at(&sandbox, NOW, &[]);
    let line = ran.err.lines().find(|line| line.contains("  campaigns ")).expect("a line").trim().to_owned();
    assert!(line.starts_with("campaigns  not read: account 10000"), "{line}");
    assert!(line.ends_with(", expected an integer, and 2 more accounts"), "{line}");
    assert_eq!(sandbox.lake("demo").len(), api.truth(FIRST, SETTLED).len());
}

#[test]
fn other_commands_leave_the_versions_alone() {
    let api = api(&["--accounts", "3", "--campaigns", "4"]);
    let sandbox = Sandbox::new(&api, Some(NOW)).with_campaigns();
    sandbox.run(&["run", "demo", "--set", "raw=7d"]).expect_code(0);
    let before = files(&sandbox);
    sandbox.edit("buckets = 1", "buckets = 4");
    sandbox.run(&["rewrite", "demo"]).expect_code(0);
    sandbox.run(&["gaps", "demo"]).expect_code(0);
    sandbox.run(&["replay", "demo", "--from", "2026-11-18", "--to", "2026-11-20"]).expect_code(0);
    sandbox.run(&["repair", "demo"]).expect_code(0);
    sandbox.run(&["changes", "demo", "--since", "2026-11-18"]).expect_code(0);
    assert_eq!(files(&sandbox), before);
    let kept = sandbox.run(&["cassette", "list"]).expect_code(0).out;
    assert!(kept.contains("the lists of the campaigns of 3 accounts"), "{kept}");
    let counted = "select count(*) as n from campaigns join campaign_hours using (pipeline, account_id, campaign_id)";
    let ran = sandbox.run(&["query", counted, "--format", "csv"]).expect_code(0);
    assert_eq!(ran.out.lines().nth(1), Some(sandbox.lake("demo").len().to_string().as_str()));
}
