//! Files of a wrong shape, and everything that is said about each.

use insta::assert_snapshot;

use super::*;

#[test]
fn syntax() {
    assert_snapshot!(problems("platform = \"acme\"\n[api\nbase_url = \"x\" y\ntoken = hunter2\n", &[]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:2: not TOML: unclosed table, expected `]`
    pipelines/acme.toml:3: not TOML: unexpected key or value, expected newline, `#`
    "#);
}

#[test]
fn a_key_twice() {
    assert_snapshot!(problems(&small_with("[records]", "[api]\n[records]"), &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:17: not TOML: duplicate key `api`
    "#);
}

#[test]
fn unknown_keys() {
    let text = small_with("base_url", "base_ulr").replace("[records]", "[record]\nfoo = 1\n[records]");
    assert_snapshot!(problems(&text, &[]), @r#"
    3 problems in `pipelines/acme.toml`
    pipelines/acme.toml:3: missing key `api.base_url`: expected a text in quotes
    pipelines/acme.toml:4: unknown key `api.base_ulr`: expected one of base_url, headers, servers, hosts, conditional, connect_timeout, first_byte_timeout, stall_timeout, max_body (did you mean "base_url"?)
    pipelines/acme.toml:17: unknown key `record`: expected one of platform, description, schedule, missing, max_dropped_share, raw, raw_max_size, key, api, auth, accounts, campaigns, request, pagination, records, hour, columns, quality, window, report, reconcile, quotas, usage, retry, responses, lake (did you mean "records"?)
    "#);
}

#[test]
fn wrong_types() {
    let text = SMALL
        .replace("\"acme\"", "5")
        .replace("from = \"clicks\"", "from = 2026-11-20, required = \"yes\"")
        .replace("[records]", "[records]\nnulls = \"-\"\nabsent_is_empty = 1\n[[quotas]]\nname = \"app\"\nrequests = \"20\"\nper = 1\n[lake]\nbuckets = 300\n[x]")
        .replace("[x]\npath = \"data\"\n", "");
    assert_snapshot!(problems(&text, &[]), @r#"
    9 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: `platform` is 5: expected a text in quotes
    pipelines/acme.toml:17: missing key `records.path`: expected a text in quotes
    pipelines/acme.toml:18: `records.nulls` is "-": expected a list
    pipelines/acme.toml:19: `records.absent_is_empty` is 1: expected true or false
    pipelines/acme.toml:22: `quotas.0.requests` is "20": expected an integer
    pipelines/acme.toml:23: `quotas.0.per` is 1: expected a text in quotes
    pipelines/acme.toml:25: `lake.buckets` is 300: expected 1 to 256
    pipelines/acme.toml:33: `columns.clicks.from` is the date 2026-11-20: expected a text in quotes
    pipelines/acme.toml:33: `columns.clicks.required` is "yes": expected true or false
    "#);
}

#[test]
fn wrong_words() {
    let text = format!(
        "{SMALL}\n[pagination]\nkind = \"curser\"\nnext = 5\n\n[window]\nalign = \"day\"\n[request.time]\nformat = 1\n"
    );
    assert_snapshot!(problems(&text, &[]), @r#"
    3 problems in `pipelines/acme.toml`
    pipelines/acme.toml:29: `pagination.kind` is "curser": expected one of none, cursor, next_link, link_header, page_number, offset (did you mean "cursor"?)
    pipelines/acme.toml:33: `window.align` is "day": expected one of hour, account_day, utc_day
    pipelines/acme.toml:35: `request.time.format` is 1: expected one of date, rfc3339, naive, unix_seconds, unix_milliseconds
    "#);
}

#[test]
fn keys_of_another_kind() {
    let text =
        format!("{SMALL}\n[pagination]\nkind = \"link_header\"\nnext = \"a\"\n").replace("kind = \"bearer\"\n", "");
    assert_snapshot!(problems(&text, &[]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:6: missing key `auth.kind`: expected one of none, bearer, header, query, basic, oauth2, oauth1
    pipelines/acme.toml:29: unknown key `pagination.next` with kind "link_header": expected one of kind, page_size, page_size_param, max_pages
    "#);
}

#[test]
fn missing_keys() {
    assert_snapshot!(problems("platform = \"acme\"\n\n[api]\n\n[accounts]\n\n[columns]\nx = {}\n", &[]), @r#"
    6 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: missing key `request`: expected a table
    pipelines/acme.toml:1: missing key `records`: expected a table
    pipelines/acme.toml:1: missing key `hour`: expected a table
    pipelines/acme.toml:3: missing key `api.base_url`: expected a text in quotes
    pipelines/acme.toml:5: `accounts` says neither which accounts nor where they are: expected `list` or `path`
    pipelines/acme.toml:8: missing key `columns.x.from`: expected a text in quotes
    "#);
}

#[test]
fn an_empty_file() {
    assert_snapshot!(problems("", &[]), @r#"
    7 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: missing key `platform`: expected a text in quotes
    pipelines/acme.toml:1: missing key `api`: expected a table
    pipelines/acme.toml:1: missing key `accounts`: expected a table
    pipelines/acme.toml:1: missing key `request`: expected a table
    pipelines/acme.toml:1: missing key `records`: expected a table
    pipelines/acme.toml:1: missing key `hour`: expected a table
    pipelines/acme.toml:1: missing key `columns`: expected a table
    "#);
}

#[test]
fn settings() {
    let settings = ["quotas.1.requests=5", "platform.name=x", "window.size=many", "api.base_url=ftp://x", "nonsense=1"];
    assert_snapshot!(problems(SMALL, &settings), @r#"
    5 problems in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `quotas.1` is not there: `quotas` is a list of 0, counted from 0
    pipelines/acme.toml: --set: `platform.name` cannot be set: `platform` is not a table
    pipelines/acme.toml: --set: `window.size` is "many": expected an integer
    pipelines/acme.toml: --set: unknown key `nonsense`: expected one of platform, description, schedule, missing, max_dropped_share, raw, raw_max_size, key, api, auth, accounts, campaigns, request, pagination, records, hour, columns, quality, window, report, reconcile, quotas, usage, retry, responses, lake
    pipelines/acme.toml: --set: `api.base_url` is not an http or https URL: expected one such as https://api.example.com/v1
    "#);
}

#[test]
fn a_file_that_is_not_there() {
    let error = load(std::path::Path::new("pipelines/absent.toml"), &[], &SharedQuotas::default()).expect_err("absent");
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(error.report().contains("`pipelines/absent.toml`"), "{}", error.report());
}

/// Whoever wrote a secret into the file sees where, and nobody sees it in a log.
#[test]
fn secrets_are_not_repeated() {
    let texts = [
        small_with("env:ACME_TOKEN", "hunter2"),
        small_with("\"env:ACME_TOKEN\"", "[\"hunter2\"]"),
        small_with(
            "kind = \"bearer\"\ntoken = \"env:ACME_TOKEN\"",
            "kind = \"basic\"\nusername = \"hunter2\"\npassword = \"hunter2\"",
        ),
        small_with("[auth]\nkind = \"bearer\"\ntoken = \"env:ACME_TOKEN\"", "")
            .replace("[api]", "auth = \"hunter2\"\n[api]"),
        small_with("https://api", "https://me:hunter2@api"),
        small_with("https://api", "htp://me:hunter2@api"),
        small_with(
            "[api]",
            "[api]\nheaders = { Authorization = \"hunter2\", x-api-key = \"hunter2\", a = \"env:hunter 2\" }",
        ),
        small_with("[api]", "[api]\nheaders = \"hunter2\""),
        small_with("{ account", "{ access_token = \"hunter2\", account"),
        small_with("{ account", "{ access_token = \"hunter2{\", account"),
        small_with("[records]", "json = { access_token = \"hunter2\", a = { password = \"hunter2{\" } }\n[records]"),
        small_with("\"/metrics\"", "\"/metrics?access_token=hunter2\""),
        small_with("token = \"env:ACME_TOKEN\"", "token = hunter2"),
        small_with("token = \"env:ACME_TOKEN\"", "token = \"hunter2"),
    ];
    for text in &texts {
        let said = problems(text, &[]);
        assert!(!said.contains("hunter"), "{said}");
    }
    for setting in ["auth.token=hunter2", "auth.token=7", "auth=hunter2", "api.base_url=http://a:hunter2@b"] {
        let said = problems(SMALL, &[setting]);
        assert!(!said.contains("hunter"), "{said}");
    }
    assert_snapshot!(problems(&texts[0], &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:8: `auth.token` is not a secret's whereabouts: expected env:NAME or file:PATH, never the secret itself
    "#);
    assert_snapshot!(problems(&texts[6], &[]), @r#"
    3 problems in `pipelines/acme.toml`
    pipelines/acme.toml:4: `api.headers.Authorization` usually holds a secret: expected env:NAME or file:PATH, never the secret itself
    pipelines/acme.toml:4: `api.headers.x-api-key` usually holds a secret: expected env:NAME or file:PATH, never the secret itself
    pipelines/acme.toml:4: `api.headers.a` is not a secret's whereabouts: expected env:NAME or file:PATH, never the secret itself
    "#);
    assert_snapshot!(problems(&texts[8], &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:15: `request.query.access_token` usually holds a secret: expected it in `[auth]`, as env:NAME or file:PATH, never in the file
    "#);
}

/// A wrong shape in one part does not hide what is wrong in the others, nor invents anything.
#[test]
fn shape_and_meaning_at_once() {
    let text = format!(
        "schedule = \"hourly\"\nkey = [\"clicks\"]\n{SMALL}[window]\nsettle = \"soon\"\n[retry]\nattempts = 0\n"
    );
    let text = text.replace("[records]\npath", "[records]\npaht").replace("type = \"int\"", "type = \"integer\"");
    assert_snapshot!(problems(&text, &["request.path=metrics"]), @r#"
    7 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: `schedule` is "hourly": expected five fields (minute, hour, day of month, month, day of week) as in 5 * * * *
    pipelines/acme.toml:19: missing key `records.path`: expected a text in quotes
    pipelines/acme.toml:20: unknown key `records.paht`: expected one of path, absent_is_empty, nulls, each, format, csv_header, csv_footers, skip_empty (did you mean "path"?)
    pipelines/acme.toml:28: `columns.clicks.type` is "integer": expected one of text, int, decimal, micros, cents, float, bool, timestamp (did you mean "int"?)
    pipelines/acme.toml:30: `window.settle` is "soon": expected a length of time such as 500ms, 30s, 5m, 2h or 3d
    pipelines/acme.toml:32: `retry.attempts` is 0: expected 1 to 100
    pipelines/acme.toml: --set: `request.path` is not a path: expected one such as /v1/metrics, without a query (that is `query`)
    "#);
}
