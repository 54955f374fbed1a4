//! Accounts that are found under something, lists by POST, and what later requests say of both.

use tokio_util::sync::CancellationToken;

use super::lists::account_list;
use super::*;
use crate::pipeline::{Body, HeaderText, Join, Method, Parents};

fn listing(place: &str, records: &str) -> Listing {
    Listing {
        method: Method::Get,
        path: place.into(),
        query: texts(&[]),
        secrets: vec![],
        body: Body::None,
        server: None,
        pagination: pages(PaginationKind::None),
        records: Records { path: path(records), absent_is_empty: false, nulls: vec![] },
        id: path("id"),
        id_after: None,
        name: None,
        every: Duration::ZERO,
        verbatim: false,
    }
}

/// `GET /orgs`, then `GET /orgs/{parent}/accounts` for each.
async fn bench(script: Vec<Reply>) -> Bench {
    let mut bench = Bench::new(script).await;
    let mut rules = account_list(listing("/orgs/{parent}/accounts", "items"));
    rules.time_zone_default = Some(chrono_tz::Tz::UTC);
    rules.parents = Some(Parents { list: listing("/orgs", "orgs"), per_request: 1, join: Join::Comma });
    bench.pipeline.accounts = Accounts::Endpoint(Box::new(rules));
    bench
}

fn rules(bench: &mut Bench) -> &mut crate::pipeline::AccountList {
    let Accounts::Endpoint(rules) = &mut bench.pipeline.accounts else { panic!("an endpoint") };
    rules
}

async fn listed(bench: &Bench) -> Vec<(String, String)> {
    let accounts = bench.fetch().await.accounts(&CancellationToken::new()).await.expect("accounts");
    accounts.into_iter().map(|account| (account.id, account.parent)).collect()
}

fn pair(id: &str, parent: &str) -> (String, String) {
    (id.to_owned(), parent.to_owned())
}

#[tokio::test]
async fn accounts_are_asked_for_under_each_parent_and_each_once() {
    let script = vec![
        Reply::ok(r#"{"orgs":[{"id":"o1"},{"id":"o2"},{"id":"o1"}]}"#),
        Reply::ok(r#"{"items":[{"id":"1"},{"id":"2"}]}"#),
        Reply::ok(r#"{"items":[{"id":"2"},{"id":"3"}]}"#),
    ];
    let bench = bench(script).await;
    assert_eq!(listed(&bench).await, [pair("1", "o1"), pair("2", "o1"), pair("3", "o2")]);
    assert_eq!(bench.server.targets(), ["/orgs", "/orgs/o1/accounts", "/orgs/o2/accounts"]);
}

#[tokio::test]
async fn a_parent_may_be_one_object_or_a_bare_text_with_something_before_it() {
    let script = vec![Reply::ok(r#"{"User":{"id":77}}"#), Reply::ok(r#"{"items":[{"id":"1","Of":"900"}]}"#)];
    let mut one = bench(script).await;
    rules(&mut one).parent = Some(path("Of"));
    rules(&mut one).parents.as_mut().expect("parents").list.records.path = path("User");
    assert_eq!(listed(&one).await, [pair("1", "900")], "the item's own word counts");

    let script = vec![
        Reply::ok(r#"{"names":["customers/12","customers/34"]}"#),
        Reply::ok(r#"{"items":[{"id":"1"}]}"#),
        Reply::ok(r#"{"items":[]}"#),
    ];
    let mut bare = bench(script).await;
    let list = &mut rules(&mut bare).parents.as_mut().expect("parents").list;
    (list.records.path, list.id, list.id_after) = (path("names"), JsonPath::default(), Some("customers/".into()));
    assert_eq!(listed(&bare).await, [pair("1", "12")]);
    assert_eq!(bare.server.targets()[1..], ["/orgs/12/accounts", "/orgs/34/accounts"]);
}

#[tokio::test]
async fn several_parents_go_into_one_request_as_an_array() {
    let script = vec![
        Reply::ok(r#"{"orgs":[{"id":"1"},{"id":"2"},{"id":"3"}]}"#),
        Reply::ok(r#"{"items":[{"id":"1"},{"id":"2"}]}"#),
        Reply::ok(r#"{"items":[{"id":"3"}]}"#),
    ];
    let mut bench = bench(script).await;
    let rules = rules(&mut bench);
    rules.list.path = "/info/".into();
    rules.list.query = texts(&[("ids", "{parents}")]);
    let parents = rules.parents.as_mut().expect("parents");
    (parents.per_request, parents.join) = (2, Join::Array);
    assert_eq!(listed(&bench).await.len(), 3);
    let asked = ["/orgs", "/info/?ids=%5B%221%22%2C%222%22%5D", "/info/?ids=%5B%223%22%5D"];
    assert_eq!(bench.server.targets(), asked);
}

#[tokio::test]
async fn a_list_by_post_has_its_page_inside_the_body() {
    let script = vec![
        Reply::ok(r#"{"orgs":[{"id":"o1"}]}"#),
        Reply::ok(r#"{"items":[{"id":"1"},{"id":"2"}]}"#),
        Reply::ok(r#"{"items":[{"id":"3"}]}"#),
    ];
    let mut bench = bench(script).await;
    let list = &mut rules(&mut bench).list;
    list.method = Method::Post;
    list.path = "/search".into();
    list.body = Body::Json(serde_json::json!({"PageInfo": {"Size": "{page_size}"}, "Of": "{parent}"}));
    let kind = PaginationKind::PageNumber { param: "PageInfo.Index".into(), first: 0, total_pages: None };
    list.pagination = pages(kind);
    assert_eq!(listed(&bench).await.len(), 3);
    let bodies: Vec<String> = bench.server.requests()[1..]
        .iter()
        .map(|request| request.split_once("\r\n\r\n").expect("a body").1.to_owned())
        .collect();
    assert_eq!(
        bodies,
        [r#"{"PageInfo":{"Size":2,"Index":0},"Of":"o1"}"#, r#"{"PageInfo":{"Size":2,"Index":1},"Of":"o1"}"#]
    );
}

#[tokio::test]
async fn headers_name_the_account_and_what_it_was_found_under() {
    let script = vec![Reply::ok(r#"{"orgs":[{"id":"o1"}]}"#), Reply::ok(r#"{"items":[{"id":"1"}]}"#), one_row()];
    let mut bench = bench(script).await;
    let header = |name: &str, text: &str| (name.to_owned(), HeaderText::Literal(text.to_owned()));
    bench.pipeline.api.headers = vec![header("X-Context", "org={account}"), header("X-Manager", "{parent}")];
    let fetch = bench.fetch().await;
    let accounts = fetch.accounts(&CancellationToken::new()).await.expect("accounts");
    fetch.unit(&unit(&accounts), &CancellationToken::new()).await.expect("a slice");
    assert_eq!(bench.server.headers("x-context"), ["org=1"], "only with the request about the account");
    assert_eq!(bench.server.headers("x-manager"), ["o1", "o1"], "also with the list under it");
}

#[tokio::test]
async fn a_zone_that_the_platform_calls_otherwise_is_looked_up() {
    let items = r#"{"items":[{"id":"1","zone":"PacificTime"},{"id":"2","zone":"Etc/GMT+8"},{"id":"3","zone":"UTC"}]}"#;
    let mut bench = bench(vec![Reply::ok(r#"{"orgs":[{"id":"o1"}]}"#), Reply::ok(items)]).await;
    let rules = rules(&mut bench);
    rules.time_zone_names.insert("PacificTime".into(), chrono_tz::America::Los_Angeles);
    rules.time_zones.insert("3".into(), chrono_tz::Asia::Tokyo);
    let accounts = bench.fetch().await.accounts(&CancellationToken::new()).await.expect("accounts");
    let zones: Vec<&str> = accounts.iter().map(|account| account.time_zone.name()).collect();
    assert_eq!(zones, ["America/Los_Angeles", "Etc/GMT+8", "Asia/Tokyo"]);
}

#[tokio::test]
async fn a_closed_door_does_not_shut_the_others() {
    let script = vec![
        Reply::ok(r#"{"orgs":[{"id":"o1"},{"id":"o2"}]}"#),
        Reply::status(403),
        Reply::ok(r#"{"items":[{"id":"3"}]}"#),
    ];
    let mut bench = bench(script).await;
    bench.pipeline.responses = vec![rule(&[403], "", ResponseAction::SkipAccount)];
    assert_eq!(listed(&bench).await, [pair("3", "o2")]);
}

#[tokio::test]
async fn which_of_several_is_closed_is_found_out_one_by_one() {
    let script = vec![
        Reply::ok(r#"{"orgs":[{"id":"o1"},{"id":"o2"},{"id":"o3"}]}"#),
        Reply::status(403),
        Reply::ok(r#"{"items":[{"id":"1"}]}"#),
        Reply::status(403),
        Reply::ok(r#"{"items":[{"id":"3"}]}"#),
    ];
    let mut bench = bench(script).await;
    rules(&mut bench).list.path = "/info/{parents}".into();
    rules(&mut bench).parents.as_mut().expect("parents").per_request = 2;
    bench.pipeline.responses = vec![rule(&[403], "", ResponseAction::SkipAccount)];
    assert_eq!(listed(&bench).await, [pair("1", "o1"), pair("3", "o3")]);
    assert_eq!(bench.server.targets(), ["/orgs", "/info/o1,o2", "/info/o1", "/info/o2", "/info/o3"]);
}

#[tokio::test]
async fn a_list_on_another_server_goes_there() {
    let other = Server::start(vec![Reply::ok(r#"{"orgs":[{"id":"o1"}]}"#)]).await;
    let mut bench = bench(vec![Reply::ok(r#"{"items":[{"id":"1"}]}"#)]).await;
    let url: url::Url = other.base().parse().expect("a URL");
    bench.pipeline.api.servers = vec![("hub".into(), url.clone())];
    rules(&mut bench).parents.as_mut().expect("parents").list.server = Some(url);
    assert_eq!(listed(&bench).await, [pair("1", "o1")]);
    assert_eq!((other.targets(), bench.server.targets()), (vec!["/orgs".into()], vec!["/orgs/o1/accounts".into()]));
}
