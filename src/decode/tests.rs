//! One pipeline for all tests, changed by each test where it matters, and a way to look at rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::pipeline::Parameters;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;

use super::*;
use crate::pipeline::{
    Accounts, Align, Api, Auth, Body, Column, ColumnKind, HourSource, Identity, Join, JsonPath, LakeLayout, Manner,
    Missing, Pagination, PartitionBy, Pick, Pipeline, RecordShape, Records, RepeatedHour, RequestTemplate, Retry,
    TimeFormat, TimeText, WindowRules, ZoneRule,
};
use crate::time::Instant;

mod attributes;
mod contracts;
mod cost;
mod counts;
mod csv;
mod each;
mod hours;
mod manners;
mod pages;
mod positions;
mod properties;
mod values;
mod wrapped;
mod zones;

fn path(text: &str) -> JsonPath {
    JsonPath::parse(text).expect("a path")
}

fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

fn account(id: &str, zone: &str) -> Account {
    Account {
        id: id.to_owned(),
        name: format!("Shop {id}"),
        time_zone: zone.parse().expect("a zone"),
        currency: "EUR".to_owned(),
        parent: String::new(),
    }
}

fn column(name: &str, kind: ColumnKind) -> Column {
    Column {
        name: name.to_owned(),
        from: path(name),
        kind,
        pick: None,
        default: None,
        required: false,
        manner: Manner::Plain,
    }
}

fn picked(name: &str, equals: &str) -> Column {
    let pick = Pick { by: "type".to_owned(), equals: equals.to_owned(), value: "value".to_owned() };
    Column { from: path("actions"), pick: Some(pick), ..column(name, ColumnKind::Int) }
}

/// Rows at `data`, `account`, `campaign` and `hour` (an instant) in each, a cursor at `paging.next`; no columns.
fn pipeline(columns: Vec<Column>) -> Pipeline {
    let millisecond = Duration::from_millis(1);
    Pipeline {
        raw: None,
        digest: String::new(),
        report: None,
        reconcile: None,
        usage: Vec::new(),
        name: "shop".to_owned(),
        platform: "shop_ads".to_owned(),
        description: String::new(),
        api: Api {
            base_url: "https://ads.example".parse().expect("a URL"),
            servers: vec![],
            headers: Vec::new(),
            hosts: Vec::new(),
            conditional: true,
            connect_timeout: millisecond,
            first_byte_timeout: millisecond,
            stall_timeout: millisecond,
            max_body: 1 << 20,
        },
        auth: Auth::None,
        accounts: Accounts::List(Vec::new()),
        campaigns: None,
        request: RequestTemplate {
            server: None,
            batch: None,
            creates: None,
            method: crate::pipeline::Method::Get,
            path: "/rows".to_owned(),
            query: Parameters::default(),
            body: Body::None,
            accounts_per_request: 1,
            campaigns_per_request: 1,
            join: Join::Comma,
            time: TimeText { format: TimeFormat::Date, zone: ZoneRule::Utc, end_inclusive: false },
        },
        pagination: Pagination {
            kind: PaginationKind::Cursor { next: path("paging.next"), more: None, param: "cursor".to_owned() },
            page_size: 10,
            page_size_param: None,
            max_pages: 10,
        },
        records: Records { path: path("data"), absent_is_empty: false, nulls: vec!["-".to_owned()] },
        shape: RecordShape::default(),
        identity: Identity { account: Some(path("account")), campaign: Some(path("campaign")), ..Identity::default() },
        hour: HourSource::Instant { from: path("hour"), zone: ZoneRule::Account, repeated: RepeatedHour::Folded },
        columns,
        dimensions: Vec::new(),
        quality: crate::pipeline::Quality::default(),
        window: WindowRules {
            align: Align::Hour,
            size: 1,
            settle: millisecond,
            refresh: Vec::new(),
            account_refresh: Default::default(),
            learn: false,
            lookback: millisecond,
            history: millisecond,
            retention: None,
        },
        quotas: Vec::new(),
        retry: Retry { attempts: 1, total: millisecond, base: millisecond, cap: millisecond, max_wait: millisecond },
        responses: Vec::new(),
        missing: Missing::Keep,
        schedule: "5 * * * *".to_owned(),
        lake: LakeLayout { partition_by: PartitionBy::Date, buckets: 1 },
    }
}

/// Asks for the year 2026 of the accounts.
fn decode(pipeline: &Pipeline, accounts: &[Account], body: &str) -> Result<(RecordBatch, PageFacts), DecodeError> {
    let (batch, facts) = decode_bytes(pipeline, accounts, year(), body.as_bytes())?;
    let one_row_each = pipeline.shape == RecordShape::default();
    assert!(!one_row_each || facts.records == batch.num_rows() + facts.outside);
    Ok((batch, facts))
}

fn year() -> Window {
    between("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
}

fn between(from: &str, to: &str) -> Window {
    Window::new(at(from), at(to)).expect("a window")
}

/// Asks for `window` of the accounts.
fn decode_bytes(
    pipeline: &Pipeline,
    accounts: &[Account],
    window: Window,
    body: &[u8],
) -> Result<(RecordBatch, PageFacts), DecodeError> {
    decode_ended(pipeline, accounts, window, window, body)
}

/// Asks for `asked` of the accounts, of which `window` has ended.
fn decode_ended(
    pipeline: &Pipeline,
    accounts: &[Account],
    asked: Window,
    window: Window,
    body: &[u8],
) -> Result<(RecordBatch, PageFacts), DecodeError> {
    let decoder = Decoder::new(pipeline);
    let names = HashMap::from([("7".to_owned(), "Spring".to_owned())]);
    let mut rows = decoder.rows();
    let currencies = HashMap::new();
    let context = PageContext { accounts, campaign_names: &names, campaign_currencies: &currencies, window, asked };
    let read = decoder.page(body, &context, &mut rows);
    let batch = rows.finish(at("2026-11-20T12:00:00Z"));
    assert_eq!(batch.schema(), *decoder.schema());
    // Whatever a test asks, the general way through the page says what the quick one says.
    let general = Decoder { quick: false, ..Decoder::new(pipeline) };
    let mut again = general.rows();
    assert_eq!(general.page(body, &context, &mut again), read);
    assert_eq!(again.finish(at("2026-11-20T12:00:00Z")), batch);
    let facts = read?;
    Ok((batch, facts))
}

/// The pipeline `shop` as a file says it: from `[records]` on, after what all of them have.
fn of_file(rest: &str) -> Pipeline {
    let text = format!(
        r#"
        platform = "shop_ads"
        [api]
        base_url = "https://ads.example"
        max_body = "1MB"
        [auth]
        kind = "none"
        [accounts]
        list = [{{ id = "1", time_zone = "UTC" }}]
        [request]
        path = "/rows"
        query = {{ account = "{{account}}", from = "{{from}}", to = "{{to}}" }}
        {rest}"#
    );
    crate::pipeline::parse("pipelines/shop.toml", &text, &[], &Default::default())
        .unwrap_or_else(|error| panic!("{}", error.report()))
}

/// Some of a page's columns, a line for each row: `1 | 7 | 2026-11-20T09:00:00Z`.
fn table(batch: &RecordBatch, columns: &str) -> Vec<String> {
    let columns: Vec<Vec<String>> = columns.split_whitespace().map(|name| texts(batch, name)).collect();
    let line = |row: usize| columns.iter().map(|column| column[row].clone()).collect::<Vec<String>>().join(" | ");
    (0..batch.num_rows()).map(line).collect()
}

/// One row of account 1 (UTC), campaign 7, 2026-11-20T09:00Z with these further members.
fn record(members: &str) -> String {
    format!(r#"{{"account":"1","campaign":"7","hour":"2026-11-20T09:00:00Z",{members}}}"#)
}

/// The only row's value in the only column `v`, as the lake shows it, or the error's found and expected parts.
fn value(kind: ColumnKind, json: &str) -> Result<String, String> {
    let members = if json.is_empty() { r#""other":1"#.to_owned() } else { format!(r#""v":{json}"#) };
    let body = format!(r#"{{"data":[{}]}}"#, record(&members));
    match decode(&pipeline(vec![column("v", kind)]), &[account("1", "UTC")], &body) {
        Ok((batch, _)) => Ok(texts(&batch, "v").remove(0)),
        Err(DecodeError::Row { record: 1, column, path, found, expected }) if column == "v" && path == "v" => {
            Err(format!("{found}: {expected}"))
        }
        Err(error) => panic!("{error}"),
    }
}

/// A column's values as text.
fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let mut array = batch.column_by_name(column).expect("the column").clone();
    if let DataType::Timestamp(_, Some(_)) = array.data_type() {
        // Arrow shows zones by name only with a feature that nothing else needs.
        array = Arc::new(array.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("+00:00"));
    }
    let text = |index| match array.is_null(index) {
        true => "null".to_owned(),
        false => array_value_to_string(&array, index).expect("text"),
    };
    (0..array.len()).map(text).collect()
}
