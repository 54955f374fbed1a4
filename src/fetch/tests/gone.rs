//! Accounts that the platform no longer gives: left out, and everybody else goes on.

use super::*;
use crate::pipeline::{Body, Method};

/// A platform that gave account 2 away; each other account has a row.
async fn bench() -> Bench {
    let answer = |request: &str| {
        let target = request.split(' ').nth(1).expect("a target");
        let url: url::Url = format!("http://test{target}").parse().expect("a URL");
        let accounts = url.query_pairs().find(|(key, _)| key == "accounts").expect("accounts").1.into_owned();
        if accounts.split(',').any(|account| account == "2") {
            return Reply::new(403, &[], br#"{"code":"REVOKED","message":"access to 2 was revoked"}"#);
        }
        let row = |account| row("a", 1).replace('{', &format!(r#"{{"account":"{account}","#));
        let rows: Vec<String> = accounts.split(',').map(row).collect();
        Reply::ok(&format!(r#"{{"rows":[{}],"items":[{{"id":"a"}}]}}"#, rows.join(",")))
    };
    let mut bench = Bench::with(Server::answering(answer).await);
    bench.pipeline.request.path = "/rows".into();
    bench.pipeline.request.query = texts(&[("accounts", "{accounts}")]);
    bench.pipeline.identity.account = Some(path("account"));
    bench.pipeline.responses = vec![rule(&[403], "REVOKED", ResponseAction::SkipAccount)];
    bench
}

fn three() -> [Account; 3] {
    ["1", "2", "3"].map(|id| account(id, "UTC"))
}

fn accounts_of(slice: &Slice) -> Vec<String> {
    keys(slice).into_iter().map(|(account, _, _)| account).collect()
}

#[tokio::test]
async fn the_others_of_a_batch_are_read() {
    let bench = bench().await;
    let (fetch, stop) = (bench.opened().await, CancellationToken::new());
    let slice = fetch.unit(&unit(&three()), &stop).await.expect("a slice");
    assert_eq!(accounts_of(&slice), ["1", "3"]);
    assert_eq!(slice.unit.accounts, [account("1", "UTC"), account("3", "UTC")], "only these are in the ledger then");
    assert_eq!(slice.unit.key, unit(&three()).key);
    let [gone] = &slice.gone[..] else { panic!("{:?}", slice.gone) };
    assert_eq!(gone.account, "2");
    assert!(gone.why.contains("access to 2 was revoked"), "{}", gone.why);

    let before = bench.server.requests().len();
    let again = fetch.unit(&unit(&three()), &stop).await.expect("a slice");
    assert_eq!((accounts_of(&again), &again.gone), (vec!["1".to_owned(), "3".to_owned()], &slice.gone));
    let Err(UnitFailure::Gone(all)) = fetch.unit(&unit(&[account("2", "UTC")]), &stop).await else { panic!("gone") };
    assert_eq!(all, slice.gone);
    assert_eq!(bench.server.requests().len(), before + 1, "who is gone is not asked for again");
}

#[tokio::test]
async fn a_unit_of_nobody_else_is_gone() {
    let bench = bench().await;
    let failure = bench.run(&unit(&[account("2", "UTC")])).await.expect_err("gone");
    assert!(failure.to_string().starts_with("account 2: HTTP 403: access to 2 was revoked"), "{failure}");
    assert_eq!(bench.server.requests().len(), 1);
}

#[tokio::test]
async fn a_list_of_campaigns_may_tell_it_too() {
    let mut bench = bench().await;
    let list = Listing {
        method: Method::Get,
        secrets: vec![],
        body: Body::None,
        server: None,
        id_after: None,
        path: "/campaigns".into(),
        query: texts(&[("accounts", "{account}")]),
        pagination: pages(PaginationKind::None),
        records: Records { path: path("items"), absent_is_empty: false, nulls: vec![] },
        id: path("id"),
        name: None,
        every: Duration::ZERO,
        verbatim: false,
    };
    bench.pipeline.campaigns = Some(for_ids(list));
    let slice = bench.run(&unit(&three())).await.expect("a slice");
    assert_eq!((accounts_of(&slice), slice.gone.len()), (vec!["1".to_owned(), "3".to_owned()], 1));
    assert_eq!(slice.requests, 3 + 1, "three lists, and one request for those who are left");
}
