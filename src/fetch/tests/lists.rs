//! Accounts and campaigns: paged, cached, listed once.

use super::*;
use crate::fetch::Unlisted;
use crate::pipeline::{AccountList, Body, Method};
use tokio_util::sync::CancellationToken;

fn listing(place: &str) -> Listing {
    Listing {
        method: Method::Get,
        secrets: vec![],
        body: Body::None,
        server: None,
        id_after: None,
        path: place.into(),
        query: texts(&[]),
        pagination: pages(PaginationKind::Cursor { next: path("next"), more: None, param: "after".into() }),
        records: Records { path: path("items"), absent_is_empty: false, nulls: vec![] },
        id: path("id"),
        name: Some(path("name")),
        every: Duration::ZERO,
        verbatim: false,
    }
}

pub(super) fn account_list(list: Listing) -> AccountList {
    AccountList {
        list,
        parents: None,
        parent: None,
        time_zone: Some(path("zone")),
        time_zone_default: None,
        time_zones: Default::default(),
        time_zone_names: Default::default(),
        currency: Some(path("money.code")),
    }
}

pub(super) async fn with_accounts(script: Vec<Reply>) -> Bench {
    let mut bench = Bench::new(script).await;
    bench.pipeline.accounts = Accounts::Endpoint(Box::new(account_list(listing("/accounts"))));
    bench
}

fn ids(accounts: &[Account]) -> Vec<&str> {
    accounts.iter().map(|account| account.id.as_str()).collect()
}

const TWO: &str = r#"{"items":[
    {"id":"1","name":"One","zone":"Europe/Berlin","money":{"code":"EUR"}},
    {"id":9007199254740993,"zone":"UTC"}], "next":"p2"}"#;

#[tokio::test]
async fn accounts_are_listed_page_by_page_and_each_once() {
    let last = r#"{"items":[{"id":"1","zone":"UTC"},{"id":"3","zone":"Asia/Kolkata"}],"next":null}"#;
    let bench = with_accounts(vec![Reply::ok(TWO), Reply::status(500), Reply::ok(last)]).await;
    let accounts = bench.fetch().await.accounts(&CancellationToken::new()).await.expect("accounts");
    assert_eq!(ids(&accounts), ["1", "9007199254740993", "3"]);
    let one = Account { name: "One".into(), ..account("1", "Europe/Berlin") };
    assert_eq!(accounts[0], one);
    assert_eq!(accounts[1].currency, "");
    assert_eq!(bench.server.targets(), ["/accounts", "/accounts?after=p2", "/accounts?after=p2"]);
}

#[tokio::test]
async fn an_account_without_a_usable_zone_is_named() {
    let bench = with_accounts(vec![Reply::ok(r#"{"items":[{"id":"7","zone":"Mars/Base"}]}"#)]).await;
    let error = bench.fetch().await.accounts(&CancellationToken::new()).await.expect_err("no zone");
    assert_eq!(error.to_string(), "account `7` is in the time zone `Mars/Base`, which is not an IANA name");
    let bench = with_accounts(vec![Reply::ok(r#"{"items":[{"id":"7"}]}"#)]).await;
    let error = bench.fetch().await.accounts(&CancellationToken::new()).await.expect_err("no zone");
    assert_eq!(error.to_string(), "account `7` has no time zone");
}

#[tokio::test]
async fn a_list_that_has_not_changed_is_not_sent_again() {
    let etag = [("etag", "\"v1\"")];
    let one = r#"{"items":[{"id":"1","zone":"UTC"}]}"#;
    let script = vec![
        Reply::new(200, &etag, one.as_bytes()),
        Reply::new(304, &[("etag", "\"v1\""), ("cache-control", "max-age=60")], b""),
    ];
    let bench = with_accounts(script).await;
    let fetch = bench.fetch().await;
    for _ in 0..4 {
        assert_eq!(ids(&fetch.accounts(&CancellationToken::new()).await.expect("accounts")), ["1"]);
    }
    let requests = bench.server.requests();
    assert_eq!(requests.len(), 2, "fresh for a minute after the 304, on a clock that stands still");
    assert!(!requests[0].contains("if-none-match"), "{}", requests[0]);
    assert!(requests[1].contains("if-none-match: \"v1\"\r\n"), "{}", requests[1]);
    assert_eq!(fetch.meter.get(Count::NotModified), 1);
    assert_eq!(fetch.quotas().granted(), 2);
}

#[tokio::test]
async fn where_the_platform_takes_no_conditions_none_is_sent() {
    let one = Reply::new(200, &[("etag", "\"v1\"")], br#"{"items":[{"id":"1","zone":"UTC"}]}"#);
    let two = Reply::new(200, &[("etag", "\"v2\"")], br#"{"items":[{"id":"2","zone":"UTC"}]}"#);
    let mut bench = with_accounts(vec![one, two]).await;
    bench.pipeline.api.conditional = false;
    let fetch = bench.fetch().await;
    for id in ["1", "2"] {
        assert_eq!(ids(&fetch.accounts(&CancellationToken::new()).await.expect("accounts")), [id]);
    }
    assert!(!bench.server.requests()[1].contains("if-none-match"), "{}", bench.server.requests()[1]);
}

#[tokio::test]
async fn a_list_that_repeats_the_token_is_not_kept() {
    let body = format!(r#"{{"items":[{{"id":"1","zone":"UTC"}}],"paging":"/accounts?access_token={SECRET}"}}"#);
    let etag = [("etag", "\"v1\"")];
    let bench =
        with_accounts(vec![Reply::new(200, &etag, body.as_bytes()), Reply::new(200, &etag, body.as_bytes())]).await;
    let fetch = bench.fetch().await;
    fetch.accounts(&CancellationToken::new()).await.expect("accounts");
    fetch.accounts(&CancellationToken::new()).await.expect("accounts");
    assert!(!bench.server.requests()[1].contains("if-none-match"));
    fetch.state.close().await;
    assert!(!holds(bench.folder.path(), "state", SECRET), "the token is not in the state");
}

fn holds(folder: &Path, prefix: &str, text: &str) -> bool {
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let files = files.filter(|file| file.file_name().to_string_lossy().starts_with(prefix));
    let contents: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.path()).expect("a file")).collect();
    assert!(!contents.is_empty());
    contents.iter().any(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
}

#[tokio::test]
async fn refused_credentials_name_their_source() {
    let bench = with_accounts(vec![Reply::status(401)]).await;
    let error = bench.fetch().await.accounts(&CancellationToken::new()).await.expect_err("refused");
    let Unlisted::Failed(error) = error else { panic!("{error}") };
    assert_eq!(error.kind(), ErrorKind::Platform);
    let report = error.report();
    assert!(
        report.starts_with("cannot list the accounts of `test`: HTTP 401\n  hint: the platform does not"),
        "{report}"
    );
    assert!(!report.contains(SECRET));
}

#[tokio::test]
async fn items_without_an_id_are_refused_and_lists_without_items_are_asked_for_again() {
    let bench = with_accounts(vec![Reply::ok(r#"{"items":[{"zone":"UTC"}]}"#)]).await;
    let error = bench.fetch().await.accounts(&CancellationToken::new()).await.expect_err("no id");
    assert!(error.to_string().ends_with("an item of `/accounts` has no id at `id`"), "{error}");
    let bench = with_accounts(vec![Reply::ok("{}"), Reply::ok("[1"), Reply::ok(r#"{"items":null}"#)]).await;
    assert_eq!(bench.fetch().await.accounts(&CancellationToken::new()).await.expect("none").len(), 0);
    assert_eq!(bench.server.requests().len(), 3);
}

#[tokio::test]
async fn campaigns_are_listed_once_and_asked_for_in_chunks() {
    let script = vec![
        Reply::ok(r#"{"items":[{"id":"a","name":"Autumn"},{"id":"b"}],"next":"2"}"#),
        Reply::ok(r#"{"items":[{"id":"b"},{"id":"c","name":"Winter"}]}"#),
        Reply::ok(&page(&[("a", 1), ("b", 2)], "")),
        Reply::ok(&page(&[("c", 3)], "")),
        Reply::ok(&page(&[("a", 4)], "")),
        Reply::ok(&page(&[], "")),
    ];
    let mut bench = Bench::new(script).await;
    bench.pipeline.campaigns = Some(for_ids(listing("/accounts/{account}/campaigns")));
    bench.pipeline.request.query = texts(&[("ids", "{campaigns}")]);
    let fetch = bench.fetch().await;
    let (unit, stop) = (unit(&[account("1", "UTC")]), CancellationToken::new());
    let slice = fetch.unit(&unit, &stop).await.expect("a slice");
    assert_eq!(clicks(&slice), [("a".into(), 1), ("b".into(), 2), ("c".into(), 3)]);
    assert_eq!((slice.requests, slice.pages), (4, 2));
    let names = slice.rows.column_by_name("campaign_name").expect("names").as_string::<i32>().clone();
    assert_eq!(names.iter().collect::<Vec<_>>(), [Some("Autumn"), None, Some("Winter")]);
    assert_eq!(fetch.unit(&unit, &stop).await.expect("a slice").requests, 2);
    let targets = bench.server.targets();
    assert_eq!(targets[0], "/accounts/1/campaigns");
    assert_eq!(targets[2..4], ["/accounts/1/rows?ids=a%2Cb", "/accounts/1/rows?ids=c"]);
}

#[tokio::test]
async fn an_account_without_campaigns_is_an_empty_slice() {
    let mut bench = Bench::new(vec![Reply::ok(r#"{"items":[]}"#)]).await;
    bench.pipeline.campaigns = Some(for_ids(listing("/accounts/{account}/campaigns")));
    bench.pipeline.request.query = texts(&[("ids", "{campaigns}")]);
    let slice = bench.unit().await.expect("a slice");
    assert_eq!((slice.rows.num_rows(), slice.requests, slice.pages), (0, 1, 0));
}
