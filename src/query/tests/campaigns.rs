//! What is known of campaigns, as tables.

use std::time::Duration;

use arrow::datatypes::DataType;

use super::lake::{Lake, Row};
use crate::decode::{ListedCampaign, attributes};
use crate::merge::CampaignReading;
use crate::pipeline::schema::versions_schema;
use crate::pipeline::{
    Body, CampaignList, Column, ColumnKind, JsonPath, Listing, Method, Pagination, PaginationKind, Parameters, Records,
};
use crate::query::QueryInput;
use crate::time::Instant;
use crate::unit::Account;

fn at(text: &str) -> Instant {
    format!("2026-11-20T{text}:00Z").parse().expect("an instant")
}

fn list(columns: &[(&str, ColumnKind)]) -> CampaignList {
    let path = |text: &str| JsonPath::parse(text).expect("a path");
    let column = |(name, kind): &(&str, ColumnKind)| Column {
        name: (*name).to_owned(),
        from: path(name),
        kind: *kind,
        pick: None,
        default: None,
        required: false,
        manner: Default::default(),
    };
    let list = Listing {
        method: Method::Get,
        secrets: Vec::new(),
        body: Body::None,
        server: None,
        id_after: None,
        path: "/campaigns".into(),
        query: Parameters::default(),
        pagination: Pagination { kind: PaginationKind::None, page_size: 0, page_size_param: None, max_pages: 1 },
        records: Records { path: path("data"), absent_is_empty: false, nulls: Vec::new() },
        id: path("id"),
        name: None,
        every: Duration::ZERO,
        verbatim: true,
    };
    CampaignList { list, currency: None, columns: columns.iter().map(column).collect() }
}

/// The lake follows the list of account `1` of `pipeline`: ids, and the texts of the items.
async fn follow(lake: &Lake, pipeline: &str, columns: &[(&str, ColumnKind)], moment: &str, items: &[(&str, &str)]) {
    let list = list(columns);
    let account = Account {
        id: "1".into(),
        name: "Shop".into(),
        time_zone: chrono_tz::Tz::UTC,
        currency: "EUR".into(),
        parent: String::new(),
    };
    let listed: Vec<ListedCampaign<'_>> =
        items.iter().map(|(id, text)| ListedCampaign { id, name: "N", currency: "", text }).collect();
    let rows = attributes(&list, pipeline, &account, &listed, at(moment)).expect("attributes");
    let opened = crate::lake::Lake::open(&lake.path()).await.expect("a lake");
    let versions = opened.versions(pipeline, &versions_schema(&list.columns), 1).await.expect("versions");
    let reading = CampaignReading { account: "1".into(), rows, read_at: at(moment) };
    versions.follow(0, vec![reading], 1).await.expect("followed");
}

const DEMO: [(&str, ColumnKind); 3] =
    [("status", ColumnKind::Text), ("objective", ColumnKind::Text), ("daily_budget", ColumnKind::Micros)];

async fn with_versions() -> Lake {
    let lake = Lake::with_two_pipelines();
    let on = r#"{"status":"ON","objective":"SALES","daily_budget":20000000}"#;
    let off = r#"{"status":"OFF","objective":"SALES","daily_budget":20000000}"#;
    follow(&lake, "demo", &DEMO, "09:00", &[("1", on), ("2", on)]).await;
    follow(&lake, "demo", &DEMO, "11:00", &[("1", off)]).await;
    let coarse = [("status", ColumnKind::Int), ("daily_budget", ColumnKind::Decimal { precision: 20, scale: 9 })];
    follow(&lake, "shop-ads", &coarse, "10:00", &[("7", r#"{"status":3,"daily_budget":"1.000000001"}"#)]).await;
    lake
}

const VIEW: &str = "select * exclude (platform, account_id, campaign_name) from campaigns order by 1, 2, valid_from";

#[tokio::test]
async fn versions_are_a_table_and_a_view_of_all_pipelines() {
    let lake = with_versions().await;
    let sql = "select account_name, currency, campaign_id, status, daily_budget, valid_to is null as now
               from demo__campaigns order by campaign_id, valid_from";
    insta::assert_snapshot!(lake.table(sql).await, @r"
    +--------------+----------+-------------+--------+--------------+-------+
    | account_name | currency | campaign_id | status | daily_budget | now   |
    +--------------+----------+-------------+--------+--------------+-------+
    | Shop         | EUR      | 1           | ON     | 20.000000    | false |
    | Shop         | EUR      | 1           | OFF    | 20.000000    | true  |
    | Shop         | EUR      | 2           | ON     | 20.000000    | false |
    +--------------+----------+-------------+--------+--------------+-------+
    ");
    insta::assert_snapshot!(lake.table(VIEW).await, @r"
    +----------+-------------+--------+-----------+--------------+----------------------+----------------------+
    | pipeline | campaign_id | status | objective | daily_budget | valid_from           | valid_to             |
    +----------+-------------+--------+-----------+--------------+----------------------+----------------------+
    | demo     | 1           | ON     | SALES     | 20.000000000 | 2026-11-20T09:00:00Z | 2026-11-20T11:00:00Z |
    | demo     | 1           | OFF    | SALES     | 20.000000000 | 2026-11-20T11:00:00Z | null                 |
    | demo     | 2           | ON     | SALES     | 20.000000000 | 2026-11-20T09:00:00Z | 2026-11-20T11:00:00Z |
    | shop-ads | 7           | null   | null      | 1.000000001  | 2026-11-20T10:00:00Z | null                 |
    +----------+-------------+--------+-----------+--------------+----------------------+----------------------+
    ");
    // The version that was valid at an hour, beside the hour's row.
    let sql = "select c.status, count(*) as hours from demo h join demo__campaigns c on c.campaign_id = '1'
               and h.hour >= c.valid_from and (h.hour < c.valid_to or c.valid_to is null)
               where h.date = '2026-11-20' and h.campaign_id like '%1' group by 1 order by 1";
    let joined = lake.table(sql).await;
    assert!(joined.contains("| ON     | 2     |"), "{joined}");
}

#[tokio::test]
async fn what_was_known_at_a_moment() {
    let lake = with_versions().await;
    let asked = async |moment: &str| {
        let input = QueryInput { as_of: Some(at(moment)), ..lake.input() };
        let sql = "select campaign_id, status, valid_to from demo__campaigns order by 1, 2";
        let (text, _) = super::lake::written(input, sql, crate::query::Format::Csv).await;
        String::from_utf8(text).expect("text")
    };
    assert_eq!(asked("08:59").await, "campaign_id,status,valid_to\n");
    assert_eq!(asked("10:59").await, "campaign_id,status,valid_to\n1,ON,\n2,ON,\n");
    let now = "campaign_id,status,valid_to\n1,OFF,\n1,ON,2026-11-20T11:00:00Z\n2,ON,2026-11-20T11:00:00Z\n";
    assert_eq!(asked("11:00").await, now);
}

#[tokio::test]
async fn without_versions_the_view_is_empty() {
    let lake = Lake::with_two_pipelines();
    let table = lake.table("select count(*) as n, max(daily_budget) as most from campaigns").await;
    assert!(table.contains("| 0 |"), "{table}");
}

#[tokio::test]
async fn money_and_conversions_of_every_type_are_the_same_money() {
    let mut lake = Lake::empty();
    let types = [
        ("cents", DataType::Decimal128(20, 2), DataType::Decimal128(18, 6)),
        ("decimals", DataType::Decimal128(18, 4), DataType::Decimal128(18, 4)),
        ("micros", DataType::Decimal128(18, 6), DataType::Float64),
        ("whole", DataType::Int64, DataType::Int64),
    ];
    for (name, spend, conversions) in types {
        let metrics = [("impressions", DataType::Int64), ("spend", spend), ("conversions", conversions)];
        lake.describe(name, &["date"], &metrics);
        lake.publish(name, "2026-11-20", &[Row { hour: 9, campaign: 1, impressions: 1, spend: 1_234_500 }]);
    }
    let sql = "select pipeline, spend, conversions from campaign_hours order by pipeline";
    insta::assert_snapshot!(lake.table(sql).await, @r"
    +----------+----------------+-------------+
    | pipeline | spend          | conversions |
    +----------+----------------+-------------+
    | cents    | 12345.000000   | 0.25        |
    | decimals | 123.450000     | 0.25        |
    | micros   | 1.234500       | 0.25        |
    | whole    | 1234500.000000 | 0.0         |
    +----------+----------------+-------------+
    ");
}
