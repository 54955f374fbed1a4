//! Attributes of campaigns, and how old lists may be.

use insta::assert_snapshot;

use super::*;

const CAMPAIGNS: &str = r#"
[campaigns]
path = "/accounts/{account}/campaigns"
records = "data"
id = "id"
name = "name"
currency = "currency"
every = "6h"

[campaigns.columns]
status = { type = "text", from = "status" }
daily_budget = { type = "micros", from = "budget.daily_micros" }
spend_cap = { type = "decimal", precision = 18, scale = 2, from = "spend_cap", default = 0 }
start_time = { type = "timestamp", from = "start" }
"#;

#[test]
fn attributes_are_columns_of_the_list() {
    let pipeline = good(&format!("{SMALL}{CAMPAIGNS}"), &[]);
    let list = pipeline.campaigns.expect("a list");
    assert_eq!(list.list.every, Duration::from_secs(6 * 3600));
    assert!(list.list.verbatim);
    assert_eq!(list.currency.as_ref().map(ToString::to_string).as_deref(), Some("currency"));
    let shown: Vec<String> = schema::versions_schema(&list.columns)
        .fields()
        .iter()
        .map(|field| format!("{} {}{}", field.name(), field.data_type(), if field.is_nullable() { "?" } else { "" }))
        .collect();
    assert_snapshot!(shown.join("\n"), @r#"
    platform Utf8
    account_id Utf8
    account_name Utf8?
    campaign_id Utf8
    campaign_name Utf8?
    currency Utf8?
    status Utf8?
    daily_budget Decimal128(18, 6)?
    spend_cap Decimal128(18, 2)?
    start_time Timestamp(µs, "UTC")?
    valid_from Timestamp(µs, "UTC")
    valid_to Timestamp(µs, "UTC")?
    "#);
}

#[test]
fn a_list_without_attributes_is_for_ids_and_names() {
    let (list, _) = CAMPAIGNS.split_once("\n[campaigns.columns]").expect("two tables");
    let pipeline = good(&format!("{SMALL}{}", list.replace("every = \"6h\"\n", "")), &[]);
    let list = pipeline.campaigns.expect("a list");
    assert!(list.columns.is_empty() && !list.list.verbatim && list.list.every.is_zero());
}

#[test]
fn what_is_no_attribute_is_refused() {
    let text = format!(
        "{SMALL}{CAMPAIGNS}{}",
        r#"campaign_id = { from = "id" }
campaign_name = { type = "text", from = "name" }
currency = { type = "text", from = "money" }
valid_to = { type = "timestamp", from = "end" }
Objective = { type = "text", from = "objective" }
budget = { type = "decimal", from = "budget" }
kind = { from = "kind" }
paused = { type = "bool", from = "paused", default = "perhaps" }
"#
    );
    assert_snapshot!(problems(&text, &["campaigns.every=soon"]), @r#"
    9 problems in `pipelines/acme.toml`
    pipelines/acme.toml:41: `campaigns.columns.campaign_id` is no attribute: expected its place as `campaigns.id`
    pipelines/acme.toml:42: `campaigns.columns.campaign_name` is no attribute: expected its place as `campaigns.name`
    pipelines/acme.toml:43: `campaigns.columns.currency` is a column that every dataset of campaigns has: expected its place as `campaigns.currency`
    pipelines/acme.toml:44: `campaigns.columns.valid_to` is a column that every dataset of campaigns has: expected another name
    pipelines/acme.toml:45: `campaigns.columns.Objective` is "Objective": expected lower-case letters, digits and underscores, a letter first, 63 at most
    pipelines/acme.toml:46: `campaigns.columns.budget` is a decimal: expected `precision` and `scale` beside `type`
    pipelines/acme.toml:47: missing key `campaigns.columns.kind.type`: expected one of text, int, decimal, micros, cents, float, bool, timestamp
    pipelines/acme.toml:48: `campaigns.columns.paused.default` is "perhaps": expected true or false
    pipelines/acme.toml: --set: `campaigns.every` is "soon": expected a length of time such as 500ms, 30s, 5m, 2h or 3d
    "#);
}

#[test]
fn how_old_a_list_of_accounts_may_be() {
    let endpoint = "path = \"/accounts\"\nrecords = \"data\"\nid = \"id\"\ntime_zone = \"zone\"";
    let listed = small_with("list = [{ id = \"1\", time_zone = \"Asia/Kolkata\" }]", endpoint);
    let every = |settings: &[&str]| match good(&listed, settings).accounts {
        Accounts::Endpoint(accounts) => accounts.list.every,
        Accounts::List(_) => panic!("an endpoint"),
    };
    assert_eq!(every(&[]), Duration::ZERO);
    assert_eq!(every(&["accounts.every=1h"]), Duration::from_secs(3600));
    assert_snapshot!(problems(SMALL, &["accounts.every=1h"]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `accounts.every` cannot stand beside `accounts.list`: it belongs to an endpoint
    "#);
}

#[test]
fn a_pipeline_cannot_take_the_names_of_campaigns_tables() {
    for name in ["campaigns", "acme__campaigns"] {
        let error = parse(&format!("pipelines/{name}.toml"), SMALL, &[], &SharedQuotas::default());
        let error = error.expect_err("a name that is taken").report();
        assert!(error.contains("which hourmark uses itself"), "{error}");
    }
}
