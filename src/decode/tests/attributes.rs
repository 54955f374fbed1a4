//! What is kept of campaigns.

use super::*;
use crate::pipeline::{CampaignList, Listing, PaginationKind};

fn list(columns: Vec<Column>) -> CampaignList {
    let listing = Listing {
        method: crate::pipeline::Method::Get,
        secrets: vec![],
        body: crate::pipeline::Body::None,
        server: None,
        id_after: None,
        path: "/campaigns".to_owned(),
        query: Parameters::default(),
        pagination: Pagination { kind: PaginationKind::None, page_size: 0, page_size_param: None, max_pages: 1 },
        records: Records { path: path("data"), absent_is_empty: false, nulls: vec!["NONE".to_owned()] },
        id: path("id"),
        name: Some(path("name")),
        every: Duration::ZERO,
        verbatim: true,
    };
    CampaignList { list: listing, currency: None, columns }
}

fn campaign<'a>(id: &'a str, currency: &'a str, text: &'a str) -> ListedCampaign<'a> {
    ListedCampaign { id, name: "", currency, text }
}

fn read(columns: Vec<Column>, listed: &[ListedCampaign<'_>]) -> Result<RecordBatch, DecodeError> {
    attributes(&list(columns), "shop_ads", &account("1", "UTC"), listed, at("2026-11-20T12:00:00.25Z"))
}

#[test]
fn an_item_becomes_a_version() {
    let mut budget = column("daily_budget", ColumnKind::Micros);
    budget.from = path("budget.daily");
    let columns = vec![column("status", ColumnKind::Text), budget, picked("cap", "spend")];
    let item = r#"{"id":"7","status":"NONE","budget":{"daily":9007199254740993000000},
        "actions":[{"type":"spend","value":"3"}],"other":[1,{}]}"#;
    let listed = [
        campaign("7", "JPY", r#"{"status":"ACTIVE","budget":{"daily":"12500000"}}"#),
        ListedCampaign { name: "Läufer", ..campaign("8", "", r#"{"actions":[{"type":"spend","value":"3"}]}"#) },
    ];
    let batch = read(columns.clone(), &listed).expect("versions");
    let shown: Vec<String> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{} = {}", field.name(), texts(&batch, field.name()).join(" | ")))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    platform = shop_ads | shop_ads
    account_id = 1 | 1
    account_name = Shop 1 | Shop 1
    campaign_id = 7 | 8
    campaign_name = null | Läufer
    currency = JPY | EUR
    status = ACTIVE | null
    daily_budget = 12.500000 | null
    cap = null | 3
    valid_from = 2026-11-20T12:00:00.250Z | 2026-11-20T12:00:00.250Z
    valid_to = null | null
    ");
    // No float on the way: a number that does not fit is refused, not rounded.
    let error = read(columns, &[campaign("7", "", r#"{"status":"A"}"#), campaign("8", "", item)]);
    assert_eq!(
        error.expect_err("too large").to_string(),
        "record 2: `daily_budget` at `budget.daily` holds `9007199254740993000000`, expected an integer of millionths \
         with at most 18 digits"
    );
}

#[test]
fn numbers_keep_their_digits() {
    let decimal = ColumnKind::Decimal { precision: 38, scale: 10 };
    let columns = vec![column("exact", decimal), column("shown", ColumnKind::Text)];
    let batch = read(columns, &[campaign("7", "", r#"{"exact":12345678901234567890.0123456789,"shown":1.10}"#)]);
    let batch = batch.expect("a version");
    assert_eq!(texts(&batch, "exact"), ["12345678901234567890.0123456789"]);
    assert_eq!(texts(&batch, "shown"), ["1.10"]);
}

#[test]
fn what_cannot_be_kept_is_named() {
    let told =
        |column: Column, text: &str| read(vec![column], &[campaign("7", "", text)]).expect_err("refused").to_string();
    let required = Column { required: true, ..column("status", ColumnKind::Text) };
    insta::assert_snapshot!(told(required, r#"{"id":"7"}"#), @"record 1: `status` at `status` holds nothing, expected a value");
    let paused = column("paused", ColumnKind::Bool);
    insta::assert_snapshot!(told(paused, r#"{"paused":"maybe"}"#), @r#"record 1: `paused` at `paused` holds `"maybe"`, expected true or false"#);
    let mut deep = column("budget", ColumnKind::Int);
    deep.from = path("budget.amount");
    insta::assert_snapshot!(told(deep, r#"{"budget":[1]}"#), @"record 1: `record` at `budget` holds an array, expected an object");
}

#[test]
fn the_texts_of_items_are_those_of_the_body() {
    let body = br#"{"data": {"x": [{"id": 1.50}, {"id":2}], "y": [ {"id":"3"} ], "z": null}, "id": {"a": 1}}"#;
    let texts = |place: &str| item_texts(body, &path(place));
    assert_eq!(texts("data.x"), [r#"{"id": 1.50}"#, r#"{"id":2}"#]);
    assert_eq!(texts("data.*"), [r#"{"id": 1.50}"#, r#"{"id":2}"#, r#"{"id":"3"}"#]);
    assert_eq!(texts("id"), [r#"{"a": 1}"#]);
    assert_eq!((texts("none").len(), texts("id.a.b").len(), item_texts(b"[1", &path("x")).len()), (0, 0, 0));
}
