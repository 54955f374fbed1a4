//! Files of the right shape that mean nothing, or two things at once.

use insta::assert_snapshot;

use super::*;

#[test]
fn schedules() {
    let at = |cron: &str| problems(&format!("schedule = \"{cron}\"\n{SMALL}"), &[]);
    assert_snapshot!(at("61 25 * * *"), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: `schedule` is "61 25 * * *": its minute is "61", expected 0 to 59, `*`, a list, a range or a step
    pipelines/acme.toml:1: `schedule` is "61 25 * * *": its hour is "25", expected 0 to 23, `*`, a list, a range or a step
    "#);
    assert_snapshot!(at("0 5 * * * *"), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:1: `schedule` is "0 5 * * * *": expected five fields (minute, hour, day of month, month, day of week) as in 5 * * * *
    "#);
    assert_snapshot!(at("@hourly"), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:1: `schedule` is "@hourly": expected five fields (minute, hour, day of month, month, day of week) as in 5 * * * *
    "#);
}

#[test]
fn kept_responses() {
    let raw = |text: &str| good(&format!("{text}{SMALL}"), &[]).raw;
    assert_eq!(raw(""), None);
    assert_eq!(raw("raw = \"0s\"\n"), None);
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(raw("raw = \"7d\"\n"), Some(Raw { age: week, size: 1_000_000_000 }));
    assert_eq!(raw("raw = \"7d\"\nraw_max_size = \"20MB\"\n"), Some(Raw { age: week, size: 20_000_000 }));
    assert_snapshot!(problems(&format!("raw = \"a week\"\nraw_max_size = \"0GB\"\n{SMALL}"), &[]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: `raw` is "a week": expected a length of time such as 500ms, 30s, 5m, 2h or 3d
    pipelines/acme.toml:2: `raw_max_size` is "0GB": expected a size such as 500KB, 64MB or 1GB
    "#);
}

#[test]
fn zones_and_accounts() {
    let text = small_with(
        "[{ id = \"1\", time_zone = \"Asia/Kolkata\" }]",
        "[{ id = \"1\", time_zone = \"Asia/Kalkutta\", currency = \"eur\" },\n  { id = \"1\", time_zone = \"UTC\" }]\npath = \"/a\"",
    );
    assert_snapshot!(problems(&text, &["hour.zone=Europe/Berlín"]), @r#"
    5 problems in `pipelines/acme.toml`
    pipelines/acme.toml:11: `accounts.list.0.time_zone` is "Asia/Kalkutta": expected an IANA time zone such as Europe/Berlin (did you mean "Asia/Calcutta"?)
    pipelines/acme.toml:11: `accounts.list.0.currency` is "eur": expected an ISO 4217 code of three capital letters such as EUR
    pipelines/acme.toml:12: `accounts.list.1.id` is empty or given twice: expected each account once
    pipelines/acme.toml:13: `accounts.path` cannot stand beside `accounts.list`: it belongs to an endpoint
    pipelines/acme.toml: --set: `hour.zone` is "Europe/Berlín": expected utc, account, or an IANA time zone such as Europe/Berlin (did you mean "Europe/Berlin"?)
    "#);
}

#[test]
fn placeholders() {
    let text = small_with("\"{account}\"", "\"{acount}\", b = \"{a\", c = [\"x}\", \"{campaigns}\"]");
    assert_snapshot!(problems(&text, &["request.accounts_per_request=3"]), @r#"
    7 problems in `pipelines/acme.toml`
    pipelines/acme.toml:13: `request` names {campaigns}, but nothing lists them: expected a table `[campaigns]`
    pipelines/acme.toml:15: `request.query.account` holds the unknown placeholder {acount}: expected one of {account}, {accounts}, {campaigns}, {from}, {to}, {time_zone}, {page_size}, {parent}, {from_year}, {from_month}, {from_day}, {to_year}, {to_month}, {to_day} (did you mean "{account}"?)
    pipelines/acme.toml:15: `request.query.b` is "{a": it has a brace without its partner
    pipelines/acme.toml:15: `request.query.c` is "x}": it has a brace without its partner
    pipelines/acme.toml:24: missing key `columns.account_id`: a request has several accounts, so its rows must say whose they are
    pipelines/acme.toml: --set: `request.accounts_per_request` is 3, but the request does not name them: expected {accounts} in it
    pipelines/acme.toml: --set: `request.accounts_per_request` must be 1 where the request names {campaigns}: they are one account's
    "#);
    let fixed = small_with("from = \"{from}\", to = \"{to}\"", "size = \"{page_size}\"");
    assert_snapshot!(problems(&fixed, &[]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: missing key `pagination.page_size`: the request holds {page_size}
    pipelines/acme.toml:13: `request` does not say where its window begins: expected {from} in it
    "#);
}

#[test]
fn bodies_and_paging() {
    let text = format!(
        "{}\n[pagination]\nkind = \"offset\"\nparam = \"from\"\npage_size = 0\npage_size_param = \"to\"\n",
        small_with("[records]", "json = { a = 1 }\nform = { ids = \"{accounts}\" }\n[records]")
    );
    assert_snapshot!(problems(&text, &[]), @r#"
    4 problems in `pipelines/acme.toml`
    pipelines/acme.toml:17: `request.json` is a body, which a GET does not have: expected `method = "POST"`
    pipelines/acme.toml:18: `request.form` is a body, which a GET does not have: expected `method = "POST"`
    pipelines/acme.toml:18: `request.form` cannot stand beside `request.json`: a request has one body
    pipelines/acme.toml:33: `pagination.page_size` is 0: expected 1 to 1000000
    "#);
    assert_snapshot!(problems(&text, &["pagination.page_size=10", "request.join=repeat"]), @r#"
    5 problems in `pipelines/acme.toml`
    pipelines/acme.toml:17: `request.json` is a body, which a GET does not have: expected `method = "POST"`
    pipelines/acme.toml:18: `request.form` is a body, which a GET does not have: expected `method = "POST"`
    pipelines/acme.toml:18: `request.form` cannot stand beside `request.json`: a request has one body
    pipelines/acme.toml:32: `pagination.param` is "from", which the request sends already: expected it in one place
    pipelines/acme.toml:34: `pagination.page_size_param` is "to", which the request sends already: expected it in one place
    "#);
}

#[test]
fn a_key_column_named_as_one_of_the_restatements() {
    let text = small_with("clicks = {", "metric = { type = \"text\", from = \"x\" }\nclicks = {");
    assert_snapshot!(problems(&format!("key = [\"metric\"]\n{text}"), &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:1: `key.0` is "metric": restatements have a column of that name beside the key
    "#);
}

#[test]
fn columns() {
    let text = small_with(
        "clicks = {",
        r#"campaign_name = { type = "text", from = "c.*" }
Spend = { type = "decimal", precision = 4, scale = 5, from = "a..b" }
date = { type = "text", from = "" }
hour = { type = "text", from = "x" }
price = { type = "decimal", precision = 4, scale = 2, from = "x", default = "123.4" }
rate = { from = "x" }
flag = { type = "bool", from = "x", default = "yes", precision = 3 }
clicks = {"#,
    );
    let text = format!("key = [\"click\", \"price\"]\n{}", text.replace("campaign_id =", "campaign ="));
    assert_snapshot!(problems(&text, &[]), @r#"
    16 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: `key.0` is "click": a key is a declared text, int or bool column, expected one of campaign_name, date, hour, flag, clicks (did you mean "clicks"?)
    pipelines/acme.toml:1: `key.1` is "price": a key is a declared text, int or bool column, expected one of campaign_name, date, hour, flag, clicks
    pipelines/acme.toml:25: missing key `columns.campaign_id`: expected `{ from = "..." }`
    pipelines/acme.toml:26: missing key `columns.campaign.type`: expected one of text, int, decimal, micros, cents, float, bool, timestamp
    pipelines/acme.toml:27: `columns.campaign_name.type` cannot be chosen: this column is always text and takes nothing but `from`
    pipelines/acme.toml:27: `columns.campaign_name.from` is "c.*": expected one place, as keys joined by dots without `*`
    pipelines/acme.toml:28: `columns.Spend` is "Spend": expected lower-case letters, digits and underscores, a letter first, 63 at most
    pipelines/acme.toml:28: `columns.Spend.from` is "a..b": expected keys joined by dots such as data.items
    pipelines/acme.toml:28: `columns.Spend.scale` is 5: expected at most `precision`, 4
    pipelines/acme.toml:29: `columns.date` is a column that every lake has: expected another name
    pipelines/acme.toml:29: `columns.date.from` is "": expected one place, as keys joined by dots without `*`
    pipelines/acme.toml:30: `columns.hour` is a column that every lake has: expected another name
    pipelines/acme.toml:31: `columns.price.default` is "123.4": expected a number of 4 digits, 2 of them after the point
    pipelines/acme.toml:32: missing key `columns.rate.type`: expected one of text, int, decimal, micros, cents, float, bool, timestamp
    pipelines/acme.toml:33: `columns.flag.precision` has a meaning only with `type = "decimal"`
    pipelines/acme.toml:33: `columns.flag.default` is "yes": expected true or false
    "#);
}

#[test]
fn windows_and_quotas() {
    let text = format!(
        r#"max_dropped_share = 0.1
{SMALL}
[request.time]
format = "date"
[window]
settle = "30 minutes"
refresh = ["3h", "1h", "9d"]
history = "9d"
retention = "8d"
[[quotas]]
name = "app"
requests = 5
per = "2d"
[[quotas]]
name = "app"
requests = 5
per = "1s"
[[quotas]]
name = "b"
requests = 5
per = "1s"
burst = 6
safety = 0.0
[[quotas]]
name = "c"
requests = 0
per = "1s"
"#
    );
    assert_snapshot!(problems(&text, &[]), @r#"
    7 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: `max_dropped_share` has a meaning only with `missing = "drop"`
    pipelines/acme.toml:30: `request.time.format` is "date", which names whole days: expected `window.align = "account_day"` with `zone = "account"`, or "utc_day" with "utc" or an IANA name
    pipelines/acme.toml:32: `window.settle` is "30 minutes": expected a length of time such as 500ms, 30s, 5m, 2h or 3d
    pipelines/acme.toml:33: `window.refresh.1` is "1h": expected ages in ascending order
    pipelines/acme.toml:33: `window.refresh.2` is "9d", which is more than `window.retention`: such hours are gone
    pipelines/acme.toml:34: `window.history` is "9d", which is more than `window.retention`: such hours are gone
    pipelines/acme.toml:52: `quotas.3.requests` is 0: expected 1 to 1000000
    "#);
    assert_snapshot!(problems(&text, &["quotas.3.requests=1"]), @r#"
    10 problems in `pipelines/acme.toml`
    pipelines/acme.toml:1: `max_dropped_share` has a meaning only with `missing = "drop"`
    pipelines/acme.toml:30: `request.time.format` is "date", which names whole days: expected `window.align = "account_day"` with `zone = "account"`, or "utc_day" with "utc" or an IANA name
    pipelines/acme.toml:32: `window.settle` is "30 minutes": expected a length of time such as 500ms, 30s, 5m, 2h or 3d
    pipelines/acme.toml:33: `window.refresh.1` is "1h": expected ages in ascending order
    pipelines/acme.toml:33: `window.refresh.2` is "9d", which is more than `window.retention`: such hours are gone
    pipelines/acme.toml:34: `window.history` is "9d", which is more than `window.retention`: such hours are gone
    pipelines/acme.toml:39: `quotas.0.per` is "2d": expected 1s to 1d
    pipelines/acme.toml:41: `quotas.1.name` is "app" a second time: expected another name
    pipelines/acme.toml:48: `quotas.2.burst` is 6: expected at most `requests`, 5
    pipelines/acme.toml:49: `quotas.2.safety` is 0: expected a share above 0 and up to 1
    "#);
}

#[test]
fn retries_responses_and_the_lake() {
    let text = format!(
        "{SMALL}\n[retry]\nbase = \"2m\"\n[[responses]]\naction = \"retry\"\n[[responses]]\nequals = 5\nstatus = 200\naction = \"ok\"\n[lake]\npartition_by = [\"hour\"]\n"
    );
    assert_snapshot!(problems(&text, &[]), @r#"
    4 problems in `pipelines/acme.toml`
    pipelines/acme.toml:29: `retry.base` is "2m": expected at most `cap`, 60s
    pipelines/acme.toml:30: `responses.0` fits every answer: expected `status`, `header` or `path`
    pipelines/acme.toml:33: `responses.1.equals` needs the place to compare: expected `path` beside it
    pipelines/acme.toml:37: `lake.partition_by` does not fit: expected ["date"] or ["date", "hour"]
    "#);
}

#[test]
fn names_of_files() {
    for file in ["pipelines/Acme-1.toml", "units.toml", "a__restatements.toml", ".toml", ""] {
        let error = parse(file, SMALL, &[], &SharedQuotas::default()).expect_err(file);
        assert!(error.report().contains("the file's name makes the pipeline's name"), "{}", error.report());
    }
    let error = parse("pipelines/Acme-1.toml", SMALL, &[], &SharedQuotas::default()).expect_err("a capital letter");
    assert_snapshot!(error.report(), @r#"
    1 problem in `pipelines/Acme-1.toml`
    pipelines/Acme-1.toml:1: the file's name makes the pipeline's name "Acme-1": expected lower-case letters, digits and underscores, a letter first
    "#);
}
