//! "Too much data": asked for less until it works, and remembered.

use std::collections::BTreeSet;

use super::*;
use crate::pipeline::{Align, Body, Listing, Method};

/// What the platform gives at once.
#[derive(Clone, Copy)]
struct Most {
    accounts: usize,
    hours: i64,
    campaigns: usize,
}

const CAMPAIGNS: [&str; 4] = ["a", "b", "c", "d"];

/// A platform with a row for each account, hour and campaign that is asked for, within limits.
async fn bench(most: Most) -> Bench {
    let mut bench = Bench::with(Server::answering(move |request| answer(request, most)).await);
    let campaign = if most.campaigns < CAMPAIGNS.len() { "{campaigns}" } else { "a,b,c,d" };
    bench.pipeline.request.path = "/rows".into();
    bench.pipeline.request.query =
        texts(&[("accounts", "{accounts}"), ("from", "{from}"), ("to", "{to}"), ("campaigns", campaign)]);
    bench.pipeline.request.accounts_per_request = 10;
    bench.pipeline.request.campaigns_per_request = 4;
    bench.pipeline.identity.account = Some(path("account"));
    bench.pipeline.responses = vec![rule(&[400], "TOO_MUCH", ResponseAction::Split)];
    if campaign == "{campaigns}" {
        let list = Listing {
            method: Method::Get,
            secrets: vec![],
            body: Body::None,
            server: None,
            id_after: None,
            path: "/accounts/{account}/campaigns".into(),
            query: texts(&[]),
            pagination: pages(PaginationKind::None),
            records: Records { path: path("items"), absent_is_empty: false, nulls: vec![] },
            id: path("id"),
            name: None,
            every: Duration::ZERO,
            verbatim: false,
        };
        bench.pipeline.campaigns = Some(for_ids(list));
    }
    bench
}

fn answer(request: &str, most: Most) -> Reply {
    let target = request.split(' ').nth(1).expect("a target");
    let url: url::Url = format!("http://test{target}").parse().expect("a URL");
    if url.path().ends_with("/campaigns") {
        let items: Vec<String> = CAMPAIGNS.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
        return Reply::ok(&format!(r#"{{"items":[{}]}}"#, items.join(",")));
    }
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).expect("a parameter").1.into_owned();
    let (accounts, campaigns) = (value("accounts"), value("campaigns"));
    let (accounts, campaigns) = (accounts.split(',').collect::<Vec<_>>(), campaigns.split(',').collect::<Vec<_>>());
    let (from, to) = (at(&value("from")), at(&value("to")));
    if accounts.len() > most.accounts || (to - from).num_hours() > most.hours || campaigns.len() > most.campaigns {
        return Reply::new(400, &[], br#"{"code":"TOO_MUCH","message":"ask for less"}"#);
    }
    let mut rows = Vec::new();
    for account in &accounts {
        for campaign in &campaigns {
            for hour in 0..(to - from).num_hours() {
                let hour = (from + chrono::Duration::hours(hour)).to_rfc3339();
                rows.push(format!(r#"{{"account":"{account}","campaign":"{campaign}","hour":"{hour}","clicks":1}}"#));
            }
        }
    }
    Reply::ok(&format!(r#"{{"rows":[{}]}}"#, rows.join(",")))
}

fn expected(accounts: &[Account], window: Window) -> Vec<(String, String, Instant)> {
    let mut all = BTreeSet::new();
    for account in accounts {
        for campaign in CAMPAIGNS {
            for hour in crate::time::hours_in(window, chrono_tz::Tz::UTC) {
                all.insert((account.id.clone(), campaign.to_owned(), hour));
            }
        }
    }
    all.into_iter().collect()
}

const ENOUGH: Most = Most { accounts: 9, hours: 999, campaigns: 4 };

fn eight_hours() -> Window {
    window("2026-11-20T02:00:00Z", "2026-11-20T10:00:00Z")
}

#[tokio::test]
async fn hours_are_halved_until_it_works_and_the_next_run_begins_there() {
    let mut bench = bench(Most { hours: 3, ..ENOUGH }).await;
    let accounts = [account("1", "UTC")];
    let slice = bench.run(&unit_of(&accounts, eight_hours())).await.expect("a slice");
    assert_eq!(keys(&slice), expected(&accounts, eight_hours()));
    assert_eq!(slice.requests, 2 + 4, "eight and four were too much, two were not");

    let slice = bench.run(&unit_of(&accounts, eight_hours())).await.expect("a slice");
    assert_eq!((keys(&slice), slice.requests), (expected(&accounts, eight_hours()), 4), "nothing was refused");
    let nine = window("2026-11-20T01:00:00Z", "2026-11-20T10:00:00Z");
    let slice = bench.run(&unit_of(&accounts, nine)).await.expect("a slice");
    assert_eq!((keys(&slice), slice.requests), (expected(&accounts, nine), 5));
    let other = [account("2", "UTC")];
    let slice = bench.run(&unit_of(&other, eight_hours())).await.expect("a slice");
    assert_eq!(slice.requests, 2 + 4, "nothing is known of another account");

    bench.clock = Clock::Fixed(at("2026-11-27T12:34:57Z"));
    let slice = bench.run(&unit_of(&accounts, eight_hours())).await.expect("a slice");
    assert_eq!(slice.requests, 2 + 4, "after a week more is tried again");
}

#[tokio::test]
async fn a_batch_is_halved_before_its_hours() {
    let bench = bench(Most { accounts: 2, ..ENOUGH }).await;
    let accounts = ["1", "2", "3", "4", "5"].map(|id| account(id, "UTC"));
    let slice = bench.run(&unit_of(&accounts, eight_hours())).await.expect("a slice");
    assert_eq!((keys(&slice), slice.requests), (expected(&accounts, eight_hours()), 1 + 3));
    assert_eq!(slice.unit.accounts, accounts);
    assert_eq!(bench.run(&slice.unit).await.expect("a slice").requests, 3);
}

#[tokio::test]
async fn whole_days_are_never_cut() {
    let mut bench = bench(Most { hours: 24, ..ENOUGH }).await;
    bench.pipeline.window.align = Align::UtcDay;
    let accounts = [account("1", "UTC")];
    let days = window("2026-11-15T00:00:00Z", "2026-11-20T00:00:00Z");
    let slice = bench.run(&unit_of(&accounts, days)).await.expect("a slice");
    assert_eq!((keys(&slice), slice.requests), (expected(&accounts, days), 2 + 5), "five days, two, then one at once");
    let mut bench = self::bench(Most { hours: 23, ..ENOUGH }).await;
    bench.pipeline.window.align = Align::UtcDay;
    let failure = bench.run(&unit_of(&accounts, days)).await.expect_err("too much");
    assert!(failure.to_string().ends_with("it cannot be asked for less at once"), "{failure}");
    assert_eq!(bench.server.requests().len(), 3);
}

#[tokio::test]
async fn campaigns_are_halved_at_last() {
    let bench = bench(Most { hours: 1, campaigns: 1, ..ENOUGH }).await;
    let accounts = [account("1", "UTC")];
    let two = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let slice = bench.run(&unit_of(&accounts, two)).await.expect("a slice");
    assert_eq!(keys(&slice), expected(&accounts, two));
    assert_eq!(slice.requests, 1 + 3 + 8, "the list; two hours, one, two campaigns; each campaign's hour");
    assert_eq!(bench.run(&unit_of(&accounts, two)).await.expect("a slice").requests, 1 + 8);
}

#[tokio::test]
async fn an_hour_of_a_campaign_that_is_too_much_fails_the_unit_alone() {
    let bench = bench(Most { hours: 0, campaigns: 1, ..ENOUGH }).await;
    let failure = bench.run(&unit_of(&[account("1", "UTC")], eight_hours())).await.expect_err("too much");
    let UnitFailure::Failed { reason, attempts: 1, fatal: false } = failure else { panic!("{failure}") };
    assert!(reason.contains("ask for less") && reason.ends_with("it cannot be asked for less at once"), "{reason}");
}
