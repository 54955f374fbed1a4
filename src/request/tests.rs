use std::time::Duration;

use crate::pipeline::Parameters;
use chrono_tz::Tz;
use serde_json::json;

use super::fill::{begin_text, end_text};
use super::*;
use crate::page::PageAt;
use crate::pipeline::{
    Accounts, Align, Auth, Column, ColumnKind, Counting, HourSource, Identity, JsonPath, LakeLayout, Missing,
    Pagination, PaginationKind, PartitionBy, Quota, Records, RepeatedHour, Retry, Scope, Weights, WindowRules,
};
use crate::time::Instant;

/// A path that is known to be well formed.
pub(crate) fn path(text: &str) -> JsonPath {
    JsonPath::parse(text).expect("a path")
}

pub(crate) fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

pub(crate) fn window(from: &str, to: &str) -> Window {
    Window::new(at(from), at(to)).expect("a window")
}

pub(crate) fn account(id: &str, zone: &str) -> Account {
    let time_zone = zone.parse().expect("a zone");
    Account { id: id.into(), name: String::new(), time_zone, currency: "EUR".into(), parent: String::new() }
}

pub(crate) fn texts(pairs: &[(&str, &str)]) -> Parameters {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// So many units in any `per`, one at a time.
pub(crate) fn quota(name: &str, units: u32, per: Duration, scope: Scope) -> Quota {
    Quota {
        name: name.into(),
        shared: false,
        units,
        per,
        counting: Counting::Sliding,
        scope,
        endpoints: Vec::new(),
        weights: Weights::default(),
        burst: 1,
        safety: 1.0,
        adapt: false,
        strict: false,
    }
}

/// A pipeline against `base`: one account per request, a cursor in the body, two rows a page, three quick attempts.
pub(crate) fn pipeline(base: &str) -> Pipeline {
    Pipeline {
        raw: None,
        digest: String::new(),
        report: None,
        reconcile: None,
        usage: Vec::new(),
        name: "test".into(),
        platform: "test".into(),
        description: String::new(),
        api: Api {
            base_url: base.parse().expect("a URL"),
            servers: vec![],
            headers: vec![],
            hosts: vec![],
            conditional: true,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(20),
            max_body: 1 << 20,
        },
        auth: Auth::None,
        accounts: Accounts::List(vec![account("1", "UTC")]),
        campaigns: None,
        request: RequestTemplate {
            server: None,
            batch: None,
            creates: None,
            method: Method::Get,
            path: "/accounts/{account}/rows".into(),
            query: texts(&[("from", "{from}"), ("to", "{to}")]),
            body: Body::None,
            accounts_per_request: 1,
            campaigns_per_request: 2,
            join: Join::Comma,
            time: TimeText { format: TimeFormat::Rfc3339, zone: ZoneRule::Utc, end_inclusive: false },
        },
        pagination: pages(PaginationKind::Cursor { next: path("next"), more: None, param: "after".into() }),
        records: Records { path: path("rows"), absent_is_empty: false, nulls: vec![] },
        shape: Default::default(),
        identity: Identity { campaign: Some(path("campaign")), ..Identity::default() },
        hour: HourSource::Instant { from: path("hour"), zone: ZoneRule::Utc, repeated: RepeatedHour::First },
        columns: vec![Column {
            name: "clicks".into(),
            from: path("clicks"),
            kind: ColumnKind::Int,
            pick: None,
            default: None,
            required: true,
            manner: Default::default(),
        }],
        dimensions: vec![],
        quality: crate::pipeline::Quality::default(),
        window: WindowRules {
            align: Align::Hour,
            size: 1,
            settle: Duration::ZERO,
            refresh: vec![],
            account_refresh: Default::default(),
            learn: false,
            lookback: Duration::ZERO,
            history: Duration::from_secs(86_400),
            retention: None,
        },
        quotas: vec![],
        retry: Retry {
            total: Duration::from_secs(900),
            attempts: 3,
            base: Duration::from_millis(1),
            cap: Duration::from_millis(5),
            max_wait: Duration::from_secs(600),
        },
        responses: vec![],
        missing: Missing::Keep,
        schedule: "5 * * * *".into(),
        lake: LakeLayout { partition_by: PartitionBy::Date, buckets: 1 },
    }
}

/// Two rows a page, at most ten pages.
pub(crate) fn pages(kind: PaginationKind) -> Pagination {
    Pagination { kind, page_size: 2, page_size_param: None, max_pages: 10 }
}

fn first(pipeline: &Pipeline) -> PageCursor {
    PageCursor::first(&pipeline.pagination)
}

fn shown(pipeline: &Pipeline, accounts: &[Account], campaigns: Option<&[String]>) -> String {
    let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    metrics_request(pipeline, accounts, window, campaigns, &first(pipeline)).expect("a request").to_string()
}

fn url_of(pipeline: &Pipeline, accounts: &[Account]) -> String {
    shown(pipeline, accounts, None).lines().next().expect("a line").replace("GET https://api.test/v1/", "")
}

#[test]
fn a_first_request_as_check_prints_it() {
    let mut pipeline = pipeline("https://api.test/v1");
    pipeline.api.headers = vec![
        ("X-Version".into(), HeaderText::Literal("7".into())),
        ("X-Key".into(), HeaderText::Secret(crate::secret::SecretSource::Env("KEY".into()))),
    ];
    pipeline.pagination.page_size_param = Some("limit".into());
    let fields = ("fields".to_owned(), "clicks,a b".to_owned());
    let query = pipeline.request.query.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    pipeline.request.query = query.chain([fields]).collect();
    insta::assert_snapshot!(shown(&pipeline, &[account("act/7 ö", "UTC")], None), @r"
    GET https://api.test/v1/accounts/act%2F7%20%C3%B6/rows?from=2026-11-20T08%3A00%3A00Z&to=2026-11-20T10%3A00%3A00Z&fields=clicks%2Ca+b&limit=2
    accept: application/json
    x-version: 7
    ");
}

#[test]
fn ids_are_joined_as_declared() {
    let mut pipeline = pipeline("https://api.test/v1/");
    pipeline.request.path = "rows".into();
    let accounts = [account("1", "UTC"), account("2", "UTC")];
    let cases = [
        (Join::Comma, "{accounts}", "rows?ids=1%2C2"),
        (Join::Repeat, "act_{accounts}", "rows?ids=act_1&ids=act_2"),
        (Join::Array, "{accounts}", "rows?ids=%5B%221%22%2C%222%22%5D"),
        (
            Join::Array,
            r#"{"a":{accounts},"x":{y}}"#,
            "rows?ids=%7B%22a%22%3A%5B%221%22%2C%222%22%5D%2C%22x%22%3A%7By%7D%7D",
        ),
    ];
    for (join, text, expected) in cases {
        pipeline.request.join = join;
        pipeline.request.query = texts(&[("ids", text)]);
        assert_eq!(url_of(&pipeline, &accounts), expected, "{join:?}");
    }
    pipeline.request.path = "rows/{accounts}".into();
    pipeline.request.query = texts(&[]);
    assert_eq!(url_of(&pipeline, &accounts), "rows/1,2");
}

#[test]
fn a_json_body_is_typed() {
    let mut pipeline = pipeline("https://api.test");
    pipeline.request.method = Method::Post;
    pipeline.request.path = "/report".into();
    pipeline.request.query = texts(&[]);
    pipeline.request.join = Join::Array;
    pipeline.request.time.format = TimeFormat::UnixSeconds;
    pipeline.request.body = Body::Json(json!({
        "accounts": "{accounts}", "range": ["{from}", "{to}"], "text": "from {from}", "size": "{page_size}",
        "filter": [{"campaigns": "{campaigns}"}], "zone": "{time_zone}", "deep": true, "n": 1.5, "none": null,
    }));
    let campaigns = ["10".to_owned(), "9007199254740993".to_owned()];
    insta::assert_snapshot!(shown(&pipeline, &[account("1", "Asia/Kolkata")], Some(&campaigns)), @r#"
    POST https://api.test/report
    accept: application/json
    content-type: application/json

    {
      "accounts": [
        "1"
      ],
      "range": [
        1795161600,
        1795168800
      ],
      "text": "from 1795161600",
      "size": 2,
      "filter": [
        {
          "campaigns": [
            "10",
            "9007199254740993"
          ]
        }
      ],
      "zone": "Asia/Kolkata",
      "deep": true,
      "n": 1.5,
      "none": null
    }
    "#);
    assert!(uses(&pipeline.request, Placeholder::Campaigns));
    assert!(!uses(&pipeline.request, Placeholder::Account));
}

#[test]
fn a_page_is_asked_for_where_the_parameters_are() {
    let mut pipeline = pipeline("https://api.test");
    pipeline.request.path = "/report".into();
    pipeline.request.query = texts(&[("page", "1")]);
    let number = PageCursor { number: 2, at: PageAt::Number { param: "page".into(), number: 2 }, size: None };
    let token = PageAt::Token { param: "after".into(), token: "abc".into() };
    let token = PageCursor { number: 2, at: token, size: Some(("limit".into(), 2)) };
    let ask = |pipeline: &Pipeline, page: &PageCursor| {
        let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
        metrics_request(pipeline, &[account("1", "UTC")], window, None, page).expect("a request")
    };
    assert_eq!(ask(&pipeline, &number).full_url().as_str(), "https://api.test/report?page=2");
    let by_token = ask(&pipeline, &token);
    assert_eq!(by_token.full_url().as_str(), "https://api.test/report?page=1&limit=2&after=abc");
    assert_eq!(by_token.redacted_url(), "https://api.test/report?page=1&limit=2&after=…");
    pipeline.request.method = Method::Post;
    pipeline.request.body = Body::Json(json!({"page": 1}));
    assert_eq!(ask(&pipeline, &number).body, RequestBody::Json(json!({"page": 2})));
    assert_eq!(ask(&pipeline, &token).body, RequestBody::Json(json!({"page": 1, "limit": 2, "after": "abc"})));
    pipeline.request.body = Body::Form(texts(&[("a", "1")]));
    assert!(ask(&pipeline, &token).to_string().ends_with("\n\na=1&limit=2&after=…"));
}

#[test]
fn a_link_is_asked_for_as_it_is_and_shown_without_its_values() {
    let pipeline = pipeline("https://api.test");
    let url = "https://api.test/x?access_token=hunter2&after=a%20b".parse().expect("a URL");
    let page = PageCursor { number: 2, at: PageAt::Link(url), size: None };
    let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let request = metrics_request(&pipeline, &[account("1", "UTC")], window, None, &page).expect("a request");
    assert_eq!(request.full_url().as_str(), "https://api.test/x?access_token=hunter2&after=a%20b");
    assert_eq!(request.redacted_url(), "https://api.test/x?access_token=…&after=…");
    assert!(!request.to_string().contains("hunter2"));
}

#[test]
fn times_in_every_notation() {
    let berlin_day = window("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    let (utc, account) = (ZoneRule::Utc, ZoneRule::Account);
    let cases = [
        (TimeFormat::Date, account, false, "2026-10-25", "2026-10-26"),
        (TimeFormat::Date, account, true, "2026-10-25", "2026-10-25"),
        (TimeFormat::Date, utc, true, "2026-10-24", "2026-10-25"),
        (TimeFormat::Date, utc, false, "2026-10-24", "2026-10-26"),
        (TimeFormat::Rfc3339, utc, false, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        (TimeFormat::Rfc3339, account, false, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        (TimeFormat::Rfc3339, account, true, "2026-10-25T00:00:00+02:00", "2026-10-25T23:59:59+01:00"),
        (TimeFormat::Naive, account, true, "2026-10-25T00:00:00", "2026-10-25T23:59:59"),
        (TimeFormat::Naive, ZoneRule::Fixed(Tz::Asia__Kolkata), false, "2026-10-25T03:30:00", "2026-10-26T04:30:00"),
        (TimeFormat::UnixSeconds, utc, true, "1792879200", "1792969199"),
        (TimeFormat::UnixMilliseconds, utc, true, "1792879200000", "1792969199999"),
        (TimeFormat::UnixMilliseconds, utc, false, "1792879200000", "1792969200000"),
    ];
    for (format, zone, end_inclusive, from, to) in cases {
        let time = TimeText { format, zone, end_inclusive };
        let written =
            (begin_text(berlin_day, time, Tz::Europe__Berlin), end_text(berlin_day, time, Tz::Europe__Berlin));
        assert_eq!(written, (from.to_owned(), to.to_owned()), "{time:?}");
    }
}

#[test]
fn a_date_that_ends_within_a_day_still_covers_it() {
    let time = |end_inclusive| TimeText { format: TimeFormat::Date, zone: ZoneRule::Utc, end_inclusive };
    let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    assert_eq!(end_text(window, time(false), Tz::UTC), "2026-11-21");
    assert_eq!(end_text(window, time(true), Tz::UTC), "2026-11-20");
}

#[test]
fn an_id_cannot_climb_out_of_its_path() {
    let pipeline = pipeline("https://api.test/v1");
    let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let ask = |id: &str| metrics_request(&pipeline, &[account(id, "UTC")], window, None, &first(&pipeline));
    assert!(ask("..").is_err());
    let request = ask("../../admin?x=1#").expect("a request");
    assert_eq!(request.url.path(), "/v1/accounts/..%2F..%2Fadmin%3Fx%3D1%23/rows");
}

#[test]
fn a_list_of_an_account() {
    let pipeline = pipeline("https://api.test");
    let list = Listing {
        method: Method::Get,
        secrets: vec![],
        body: Body::None,
        server: None,
        id_after: None,
        path: "/accounts/{account}/campaigns".into(),
        query: texts(&[("limit", "{page_size}")]),
        pagination: pages(PaginationKind::Offset { param: "offset".into(), total: None }),
        records: Records { path: path("items"), absent_is_empty: false, nulls: vec![] },
        id: path("id"),
        name: None,
        every: std::time::Duration::ZERO,
        verbatim: false,
    };
    let page = PageCursor::first(&list.pagination);
    let request =
        listing_request(&pipeline.api, &list, Whose::Account(&account("7", "UTC")), &page).expect("a request");
    assert_eq!(request.full_url().as_str(), "https://api.test/accounts/7/campaigns?limit=2&offset=0");
}

#[test]
fn dates_come_in_parts_and_as_numbers_where_they_stand_alone() {
    let mut pipeline = pipeline("https://api.test");
    pipeline.request.method = Method::Post;
    pipeline.request.path = "/reports".into();
    pipeline.request.query = texts(&[("day", "{from_day}.{from_month}.{from_year}")]);
    pipeline.request.time =
        TimeText { format: TimeFormat::Date, zone: ZoneRule::Fixed(chrono_tz::Europe::London), end_inclusive: true };
    pipeline.request.body = Body::Json(json!({
        "From": {"Year": "{from_year}", "Month": "{from_month}", "Day": "{from_day}"},
        "To": {"Year": "{to_year}", "Month": "{to_month}", "Day": "{to_day}"},
        "Text": "{from_year}-{to_day}",
    }));
    // A summer's day in UTC ends on the next day in London.
    let window = window("2026-06-09T00:00:00Z", "2026-06-10T00:00:00Z");
    let request =
        metrics_request(&pipeline, &[account("1", "UTC")], window, None, &first(&pipeline)).expect("a request");
    assert_eq!(request.full_url().as_str(), "https://api.test/reports?day=9.6.2026");
    let expected = json!({
        "From": {"Year": 2026, "Month": 6, "Day": 9},
        "To": {"Year": 2026, "Month": 6, "Day": 10},
        "Text": "2026-10",
    });
    assert_eq!(request.body, RequestBody::Json(expected));
}

#[test]
fn a_page_goes_to_its_place_in_the_body() {
    let mut pipeline = pipeline("https://api.test");
    pipeline.request.method = Method::Post;
    pipeline.request.body = Body::Json(json!({"selector": {"pagination": {"offset": 0, "limit": 2}, "orderBy": []}}));
    let at = PageAt::Number { param: "selector.pagination.offset".into(), number: 40 };
    let page = PageCursor { number: 2, at, size: Some(("selector.pagination.limit".into(), 20)) };
    let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let request = metrics_request(&pipeline, &[account("1", "UTC")], window, None, &page).expect("a request");
    let expected = json!({"selector": {"pagination": {"offset": 40, "limit": 20}, "orderBy": []}});
    assert_eq!(request.body, RequestBody::Json(expected));
    // In a query a dot is part of the name.
    pipeline.request.body = Body::None;
    let request = metrics_request(&pipeline, &[account("1", "UTC")], window, None, &page).expect("a request");
    assert!(request.full_url().as_str().ends_with("&selector.pagination.limit=20&selector.pagination.offset=40"));
}

#[test]
fn a_header_that_names_an_account_goes_only_where_there_is_one() {
    let mut pipeline = pipeline("https://api.test");
    let literal = |name: &str, text: &str| (name.to_owned(), HeaderText::Literal(text.to_owned()));
    pipeline.api.headers =
        vec![literal("X-Org", "id={account}"), literal("X-Under", "{parent}"), literal("X-App", "h")];
    let whom = Account { parent: "900".into(), ..account("7", "UTC") };
    let window = window("2026-11-20T08:00:00Z", "2026-11-20T10:00:00Z");
    let headers = |request: Request| request.headers.into_iter().filter(|(name, _)| name.starts_with("x-")).collect();
    let about: Vec<(String, String)> =
        headers(metrics_request(&pipeline, &[whom], window, None, &first(&pipeline)).expect("a request"));
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(about, [pair("x-org", "id=7"), pair("x-under", "900"), pair("x-app", "h")]);
    let nobody: Vec<(String, String)> =
        headers(metrics_request(&pipeline, &[account("", "UTC")], window, None, &first(&pipeline)).expect("a request"));
    assert_eq!(nobody, [pair("x-app", "h")]);
}
