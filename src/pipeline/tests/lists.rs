//! Lists: under parents, by POST, on other servers; batches and reports behind a URL.

use insta::assert_snapshot;

use super::*;

/// [`SMALL`] with accounts that the platform lists, under what `more` says.
fn listed(accounts: &str) -> String {
    small_with("list = [{ id = \"1\", time_zone = \"Asia/Kolkata\" }]\n", accounts)
}

const UNDER_PARENTS: &str = r#"
path = "/organisations/{parent}/accounts"
records = "data"
id = "id"
id_after = "account:"
parent = "organisation.id"
time_zone = "zone"
time_zones = { "12" = "Asia/Tokyo" }
time_zone_names = { Pacific = "America/Los_Angeles" }

[accounts.parents]
method = "POST"
path = "/organisations/search"
server = "hub"
json = { page = { size = "{page_size}" } }
secrets = { app_secret = "env:ACME_APP_SECRET" }
records = "organisations"
id = ""
absent_is_empty = true

[accounts.parents.pagination]
kind = "offset"
param = "page.offset"
page_size = 100
"#;

#[test]
fn accounts_under_parents() {
    let text = listed(UNDER_PARENTS);
    let pipeline = good(&text, &["api.servers.hub=https://hub.example.com/v2/"]);
    assert_eq!(pipeline.api.servers, [("hub".to_owned(), "https://hub.example.com/v2".parse().expect("a URL"))]);
    let Accounts::Endpoint(accounts) = pipeline.accounts else { panic!("an endpoint") };
    assert_eq!(accounts.list.id_after.as_deref(), Some("account:"));
    assert_eq!(accounts.time_zones["12"], chrono_tz::Asia::Tokyo);
    assert_eq!(accounts.time_zone_names["Pacific"], chrono_tz::America::Los_Angeles);
    let parents = accounts.parents.expect("parents");
    assert_eq!((parents.per_request, parents.list.method), (1, Method::Post));
    assert_eq!(parents.list.server.as_ref().map(Url::as_str), Some("https://hub.example.com/v2"));
    assert_eq!(parents.list.secrets, [("app_secret".to_owned(), SecretSource::Env("ACME_APP_SECRET".into()))]);
    assert_eq!((parents.list.id, parents.list.records.absent_is_empty), (JsonPath::default(), true));
}

#[test]
fn lists_that_contradict_themselves() {
    let text = listed(UNDER_PARENTS)
        .replace("/organisations/{parent}/accounts", "/accounts")
        .replace("method = \"POST\"", "method = \"GET\"")
        .replace("id_after = \"account:\"", "id_after = \"\"")
        .replace("Asia/Tokyo", "Asia/Tokio")
        .replace("env:ACME_APP_SECRET", "s3cret");
    assert_snapshot!(problems(&text, &["accounts.parents_per_request=5"]), @r#"
    5 problems in `pipelines/acme.toml`
    pipelines/acme.toml:15: `accounts.id_after` is empty: expected the text before the id
    pipelines/acme.toml:18: `accounts.time_zones.12` is "Asia/Tokio": expected an IANA time zone such as Europe/Berlin (did you mean "Asia/Tokyo"?)
    pipelines/acme.toml:24: `accounts.parents.server` is "hub", which `api.servers` does not name: expected a table `[api.servers]` that names it
    pipelines/acme.toml:25: `accounts.parents.json` is a body, which a GET does not have: expected `method = "POST"`
    pipelines/acme.toml:26: `accounts.parents.secrets.app_secret` is not a secret's whereabouts: expected env:NAME or file:PATH, never the secret itself
    "#);
    assert_snapshot!(problems(SMALL, &["accounts.parents_per_request=5", "accounts.method=POST"]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `accounts.method` cannot stand beside `accounts.list`: it belongs to an endpoint
    ");
    let campaigns = "[campaigns]\npath = \"/campaigns\"\nrecords = \"\"\nid = \"id\"\n\n[records]";
    let text = listed("path = \"/accounts\"\nrecords = \"\"\nid = \"id\"\ntime_zone_default = \"UTC\"\n");
    assert_snapshot!(problems(&text.replace("[records]", campaigns), &["accounts.parents_per_request=5"]), @"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:20: `campaigns` asks the same for every account: expected {account} in its path, query or json, or in a header
    pipelines/acme.toml: --set: `accounts.parents_per_request` has a meaning only with a table `[accounts.parents]`
    ");
    // Where a header says whose list it is, the path need not.
    good(&text.replace("[records]", campaigns), &["api.headers.X-Org=id={account}"]);
    assert_snapshot!(problems(SMALL, &["api.headers.X-Org=id={campaigns}", "request.server=hub"]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `api.headers.X-Org` holds {campaigns}, which cannot stand here: expected one of {account}, {parent}
    pipelines/acme.toml: --set: `request.server` is "hub", which `api.servers` does not name: expected a table `[api.servers]` that names it
    "#);
}

#[test]
fn a_batch_and_what_it_cannot_be() {
    let batch = "[request.batch]\npath = \"/\"\nsize = 50\n\n[records]";
    let account = "[columns]\naccount_id = { from = \"account.id\" }";
    let text = SMALL.replace("[records]", batch).replace("[columns]", account);
    let pipeline = good(&text, &["request.accounts_per_request=50"]);
    assert_eq!(pipeline.request.batch, Some(Batch { path: "/".into(), size: 50, param: "batch".into() }));
    let quota = "\n[[quotas]]\nname = \"app\"\nrequests = 40\nper = \"1h\"\n";
    assert_snapshot!(problems(&format!("{text}{quota}"), &["request.method=POST", "pagination.kind=link_header"]), @r#"
    3 problems in `pipelines/acme.toml`
    pipelines/acme.toml:17: `request.batch` holds GET requests only: expected `method = "GET"` in `[request]`
    pipelines/acme.toml:17: `request.batch` cannot follow links: expected a `pagination.kind` with a parameter
    pipelines/acme.toml:19: `request.batch.size` is 50, more than the quota `app` lets go: expected at most 40
    "#);
}

#[test]
fn more_is_a_place() {
    let paging = "[pagination]\nkind = \"cursor\"\nnext = \"paging.after\"\nmore = \"paging.next\"\nparam = \"after\"\n\n[records]";
    let pipeline = good(&SMALL.replace("[records]", paging), &[]);
    let PaginationKind::Cursor { more, .. } = pipeline.pagination.kind else { panic!("a cursor") };
    assert_eq!(more, JsonPath::parse("paging.next"));
}

const REPORT: &str = r#"
[report]
id = "Id"

[report.poll]
method = "POST"
path = "/poll"
json = { Id = "{report}" }
status = "Status"
done = "Success"

[report.rows]
url = "Url"
"#;

#[test]
fn a_report_behind_a_url() {
    let text = small_with("[request]\n", "[request]\nmethod = \"POST\"\ncreates = true\nno_key = true\n");
    let report = good(&format!("{text}{REPORT}"), &[]).report.expect("a report");
    assert_eq!(report.poll.method, Method::Post);
    assert!(matches!(report.rows, ReportRows::Url(place) if place == JsonPath::parse("Url").expect("a place")));
    let without = REPORT.replace("{report}", "7").replace("url = \"Url\"", "query = { a = \"b\" }");
    assert_snapshot!(problems(&format!("{text}{without}"), &[]), @"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:34: `report.poll` does not say which report: expected {report} in its path, query or json
    pipelines/acme.toml:41: `report.rows` must say where the rows are: expected one of `path` and `url`
    ");
    let both = REPORT.replace("url = \"Url\"", "url = \"Url\"\npath = \"/rows/{report}\"");
    assert_snapshot!(problems(&format!("{text}{both}"), &[]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:41: `report.rows` must say where the rows are: expected one of `path` and `url`
    ");
    assert_snapshot!(problems(&format!("{text}{REPORT}"), &["report.rows.query.a=b", "pagination.kind=link_header"]), @"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `report.rows.query` has a meaning only with `path`: a URL is asked for as it is
    pipelines/acme.toml: --set: `pagination` is for rows at an endpoint: a file that a URL leads to has one page
    ");
}

#[test]
fn dates_of_another_clock_may_cover_utc_days() {
    let text = small_with(
        "[records]",
        "[request.time]\nformat = \"date\"\nzone = \"Europe/London\"\nend = \"inclusive\"\n\n[window]\nalign = \"utc_day\"\n\n[records]",
    );
    let pipeline = good(&text, &[]);
    assert_eq!(pipeline.request.time.zone, ZoneRule::Fixed(chrono_tz::Europe::London));
    let parts = text.replace(
        "from = \"{from}\", to = \"{to}\"",
        "y = \"{from_year}\", m = \"{from_month}\", d = \"{from_day}\", t = \"{to_day}\"",
    );
    good(&parts, &["window.size=3"]);
}
