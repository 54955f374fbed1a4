//! Columns and keys over time: what a rewrite converts, and what it refuses with the row shown.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema};
use tokio_util::sync::CancellationToken;

use super::fixture::{Place, Row, at, day, files, read, row, spec};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{DatasetSpec, Extent, Partition, RewriteEnd, RewriteOrder, bucket_of};
use crate::pipeline::Missing;
use crate::pipeline::schema::instant_type;

/// The fixture's dataset with one column of another type; a type of `None` leaves it out.
fn retyped(name: &str, data_type: Option<DataType>) -> DatasetSpec {
    let mut fields: Vec<Field> = spec().schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    let place = fields.iter().position(|field| field.name() == name);
    match (place, data_type) {
        (Some(place), Some(data_type)) => fields[place] = fields[place].clone().with_data_type(data_type),
        (Some(place), None) => drop(fields.remove(place)),
        (None, data_type) => fields.insert(5, Field::new(name, data_type.expect("a type"), true)),
    }
    DatasetSpec { schema: Arc::new(Schema::new(fields)), ..spec() }
}

/// The same with a column in the key, which is never null then.
fn keyed(mut spec: DatasetSpec, name: &str) -> DatasetSpec {
    let fields = spec.schema.fields().iter().map(|field| {
        let nullable = field.is_nullable() && field.name() != name;
        field.as_ref().clone().with_nullable(nullable)
    });
    spec.schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    spec.key.push(name.to_owned());
    spec
}

fn order(fill: &[(&str, &str)], drop: &[&str]) -> RewriteOrder {
    RewriteOrder {
        fill: fill.iter().map(|(column, value)| ((*column).to_owned(), (*value).to_owned())).collect(),
        drop: drop.iter().map(|column| (*column).to_owned()).collect(),
        extent: Extent::Swap,
    }
}

/// A lake with `rows`, rewritten.
async fn place_with(rows: &[Row]) -> Place {
    let place = Place::new().await;
    let slice = place.stage(0, Missing::Keep, rows).await;
    place.publish(std::slice::from_ref(&slice)).await;
    place.dataset.discard(&slice.key).await.expect("discarded");
    place
}

async fn rewrite(place: &Place, spec: &DatasetSpec, order: &RewriteOrder) -> Result<Vec<String>> {
    let end = place.lake().await.rewrite(spec, order, &CancellationToken::new()).await?;
    match end {
        RewriteEnd::Swapped(datasets) => Ok(datasets.into_iter().flat_map(|dataset| dataset.changes).collect()),
        RewriteEnd::NothingToDo => Ok(Vec::new()),
        end => panic!("{end:?}"),
    }
}

/// What is said of a rewrite that is refused; the lake must be as it was, whether it was asked for or only checked.
async fn refused(place: &Place, spec: &DatasetSpec, order: &RewriteOrder) -> Error {
    let before: Vec<_> =
        files(place.root(), "").into_iter().map(|file| (std::fs::read(&file).expect("bytes"), file)).collect();
    let check = RewriteOrder { extent: Extent::Check, ..order.clone() };
    let checked = rewrite(place, spec, &check).await.expect_err("a check finds it");
    let error = rewrite(place, spec, order).await.expect_err("refused");
    assert_eq!(checked.report(), error.report());
    let after: Vec<_> =
        files(place.root(), "").into_iter().map(|file| (std::fs::read(&file).expect("bytes"), file)).collect();
    assert!(before == after, "a refused rewrite changed something");
    error
}

fn said(place: &Place, error: &Error) -> String {
    error.report().replace(&place.root().display().to_string(), "LAKE")
}

fn rows_of(root: &Path) -> RecordBatch {
    read(&root.join("shop").join(day().to_string()))
}

#[tokio::test]
async fn a_narrower_type_takes_what_fits_and_refuses_what_does_not() {
    let small = [row("05:00", "a", "c", 7), Row { clicks: None, ..row("06:00", "a", "c", 0) }];
    for (name, data_type, change) in [
        ("clicks", DataType::Decimal128(9, 0), "column `clicks`: int -> decimal(9, 0)"),
        ("clicks", DataType::Float64, "column `clicks`: int -> float"),
        ("clicks", DataType::Utf8, "column `clicks`: int -> text"),
        ("spend", DataType::Decimal128(9, 2), "column `spend`: decimal(18, 6) -> decimal(9, 2)"),
    ] {
        let place = place_with(&small).await;
        let wanted = retyped(name, Some(data_type.clone()));
        assert_eq!(rewrite(&place, &wanted, &order(&[], &[])).await.expect("rewritten"), [change]);
        assert_eq!(*rows_of(place.root()).column_by_name(name).expect("the column").data_type(), data_type);
        // The way back is one too, and nothing is lost on it.
        rewrite(&place, &spec(), &order(&[], &[])).await.expect("rewritten");
        assert_eq!(place.rows(), small, "{change}");
        assert_eq!(place.lake().await.datasets().await.expect("records")[0].schema_version, 3);
    }

    let place = place_with(&[row("05:00", "a", "c", 7), row("05:00", "b", "d", 1_234_567_890)]).await;
    let error = refused(&place, &retyped("clicks", Some(DataType::Decimal128(9, 0))), &order(&[], &[])).await;
    insta::assert_snapshot!(said(&place, &error), @r"
    `LAKE/shop/date=2026-11-20/bucket-00.parquet`: the column `clicks` holds 1234567890 at hour = 2026-11-20T05:00:00Z, account_id = `b`, campaign_id = `d`, which does not fit: expected decimal(9, 0)
      hint: nothing was changed: leave the column int, or give it a type that holds this value
    ");
    let error = refused(&place, &retyped("spend", Some(DataType::Decimal128(18, 1))), &order(&[], &[])).await;
    insta::assert_snapshot!(said(&place, &error), @r"
    `LAKE/shop/date=2026-11-20/bucket-00.parquet`: the column `spend` holds 1.750000 at hour = 2026-11-20T05:00:00Z, account_id = `a`, campaign_id = `c`, which does not fit: expected decimal(18, 1)
      hint: nothing was changed: leave the column decimal(18, 6), or give it a type that holds this value
    ");
    let error = refused(&place, &retyped("clicks", Some(DataType::Boolean)), &order(&[], &[])).await;
    assert_eq!(error.kind(), ErrorKind::BadInput);
    insta::assert_snapshot!(said(&place, &error), @r"
    the column `clicks` of the dataset `shop` is int, which cannot become bool
      hint: declare it under another name; `--drop clicks` then takes the old column out of every file
    ");
}

#[tokio::test]
async fn text_becomes_numbers_as_text_in_an_answer_does() {
    let place = place_with(&[row("05:00", "a", "1007", 7), row("05:00", "b", "x", 8)]).await;
    let names = retyped("campaign_id", Some(DataType::Int64));
    let error = refused(&place, &names, &order(&[], &[])).await;
    insta::assert_snapshot!(said(&place, &error), @r"
    `LAKE/shop/date=2026-11-20/bucket-00.parquet`: the column `campaign_id` holds `x` at hour = 2026-11-20T05:00:00Z, account_id = `b`, campaign_id = `x`, which does not fit: expected an integer
      hint: nothing was changed: leave the column text, or give it a type that holds this value
    ");
    let place = place_with(&[row("05:00", "a", "1007", 7), row("05:00", "a", "20", 8)]).await;
    rewrite(&place, &names, &order(&[], &[])).await.expect("rewritten");
    let found = rows_of(place.root());
    // Sorted by the number now.
    assert_eq!(found["campaign_id"].as_primitive::<Int64Type>().values(), &[20, 1007]);
    assert_eq!(found["clicks"].as_primitive::<Int64Type>().values(), &[8, 7]);
}

#[tokio::test]
async fn a_key_gains_a_column_if_every_row_has_a_value_for_it() {
    let rows = [row("05:00", "a", "c", 7), row("06:00", "b", "c", 8)];
    let place = place_with(&rows).await;
    let wanted = keyed(retyped("device", Some(DataType::Utf8)), "device");
    let lake = place.lake().await;
    let error = lake.dataset(wanted.clone()).await.expect_err("another key");
    insta::assert_snapshot!(said(&place, &error), @r"
    the dataset `shop` has `key = hour, account_id, campaign_id`, the pipeline now says `hour, account_id, campaign_id, device`
      hint: set it back to `hour, account_id, campaign_id`, or bring the files into the new form with `hourmark rewrite shop`
    ");
    let error = refused(&place, &wanted, &order(&[], &[])).await;
    insta::assert_snapshot!(said(&place, &error), @r"
    `LAKE/shop/date=2026-11-20/bucket-00.parquet`: the column `device` is null at hour = 2026-11-20T05:00:00Z, account_id = `a`, campaign_id = `c`, and a key must not be null
      hint: nothing was changed: `--fill device=VALUE` gives rows without a value one
    ");

    let changes = rewrite(&place, &wanted, &order(&[("device", "unknown")], &[])).await.expect("rewritten");
    insta::assert_snapshot!(changes.join("\n"), @r"
    key: hour, account_id, campaign_id -> hour, account_id, campaign_id, device
    column `device`: new, `unknown` in rows from before
    ");
    let dataset = lake.dataset(wanted.clone()).await.expect("in this form");
    assert!(!dataset.schema().field_with_name("device").expect("the column").is_nullable());
    let found = rows_of(place.root());
    let devices: Vec<_> = found["device"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(devices, ["unknown", "unknown"]);
    assert_eq!(place.rows(), rows);

    // The way back gives the column up: nothing is lost that was not named.
    let error = refused(&place, &spec(), &order(&[], &[])).await;
    insta::assert_snapshot!(said(&place, &error), @r"
    the dataset `shop` has the column `device`, the pipeline does not
      hint: declare the column again, or take it out of every file with `--drop device`
    ");
    rewrite(&place, &spec(), &order(&[], &["device"])).await.expect("rewritten");
    assert_eq!(place.rows(), rows);
}

#[tokio::test]
async fn a_key_loses_a_column_unless_two_rows_become_one() {
    let place = place_with(&[row("05:00", "a", "c", 7), row("05:00", "a", "d", 8), row("06:00", "a", "c", 9)]).await;
    let fewer = DatasetSpec { key: ["hour", "account_id"].map(str::to_owned).into(), ..spec() };
    let error = refused(&place, &fewer, &order(&[], &[])).await;
    insta::assert_snapshot!(said(&place, &error), @r"
    `LAKE/shop/date=2026-11-20/bucket-00.parquet`: two rows would have the key hour = 2026-11-20T05:00:00Z, account_id = `a`: one with campaign_id = `c`, clicks = 7, spend = 1.750000, one with campaign_id = `d`, clicks = 8, spend = 2.000000
      hint: nothing was changed: leave in the key what tells them apart
    ");

    let rows = [row("05:00", "a", "c", 7), row("06:00", "a", "c", 9)];
    let place = place_with(&rows).await;
    let changes = rewrite(&place, &fewer, &order(&[], &[])).await.expect("rewritten");
    assert_eq!(changes, ["key: hour, account_id, campaign_id -> hour, account_id"]);
    assert_eq!(place.rows(), rows);
}

#[tokio::test]
async fn columns_are_filled_where_they_are_null_and_taken_out_where_they_are_named() {
    let rows = [row("05:00", "a", "c", 7), Row { clicks: None, ..row("06:00", "a", "c", 0) }];
    let place = place_with(&rows).await;
    let changes = rewrite(&place, &spec(), &order(&[("clicks", "3")], &[])).await.expect("rewritten");
    assert_eq!(changes, ["column `clicks`: 3 where it was null"]);
    assert_eq!(place.rows(), [rows[0].clone(), Row { clicks: Some(3), ..rows[1].clone() }]);

    let wanted = retyped("rate", Some(DataType::Decimal128(9, 2)));
    rewrite(&place, &wanted, &order(&[("rate", "1.50")], &[])).await.expect("rewritten");
    assert_eq!(rows_of(place.root())["rate"].as_primitive::<Decimal128Type>().values(), &[150, 150]);

    let mistakes = [
        order(&[("nothing", "1")], &[]),
        order(&[("spend", "1")], &[]),
        order(&[("clicks", "many")], &[]),
        order(&[("clicks", "")], &[]),
        order(&[], &["clicks"]),
        order(&[], &["nothing"]),
    ];
    let mut reports = Vec::new();
    for mistake in mistakes {
        let error = refused(&place, &wanted, &mistake).await;
        assert_eq!(error.kind(), ErrorKind::BadInput);
        reports.push(said(&place, &error));
    }
    insta::assert_snapshot!(reports.join("\n"), @r"
    --fill names the column `nothing`, which the pipeline does not have
      hint: its columns: account_id, campaign_id, hour, clicks, spend, rate, seen_at
    --fill names the column `spend`, which is never null
      hint: only rows without a value are given one
    --fill gives `clicks` the value `many`
      hint: expected an integer
    --fill gives `clicks` the value ``
      hint: expected a value
    --drop names the column `clicks`, which the pipeline declares
      hint: take it out of the pipeline's file first
    --drop names the column `nothing`, which the dataset `shop` does not have
    ");
}

#[tokio::test]
async fn files_from_before_a_column_are_brought_up_to_it() {
    let place = place_with(&[row("05:00", "a", "c", 7)]).await;
    let wanted = retyped("orders", Some(DataType::Int64));
    let lake = place.lake().await;
    lake.dataset(wanted.clone()).await.expect("a further column");
    assert!(rows_of(place.root()).column_by_name("orders").is_none());
    let changes = rewrite(&place, &wanted, &order(&[], &[])).await.expect("rewritten");
    assert_eq!(changes, ["columns: 1 of 1 files are from before their last change"]);
    let found = rows_of(place.root());
    assert_eq!(found["orders"].null_count(), 1);
    assert_eq!(rewrite(&place, &wanted, &order(&[], &[])).await.expect("nothing to do"), [] as [String; 0]);
}

#[tokio::test]
async fn a_lake_without_the_dataset_has_nothing_to_rewrite() {
    let place = Place::new().await;
    let other = DatasetSpec { name: "other".into(), ..spec() };
    let error = rewrite(&place, &other, &order(&[], &[])).await.expect_err("no dataset");
    insta::assert_snapshot!(said(&place, &error), @r"
    the lake has no dataset `other`
      hint: nothing was published yet: `hourmark run` begins it in the pipeline's present form
    ");
    let buckets = DatasetSpec { buckets: 2, ..spec() };
    let changes = rewrite(&place, &buckets, &order(&[], &[])).await.expect("an empty dataset is rewritten too");
    assert_eq!(changes, ["buckets: 1 -> 2"]);
}

/// The restatements of the fixture's dataset: in the order of their writing, hours in any order.
fn log(key: &[&str]) -> DatasetSpec {
    let mut fields: Vec<Field> = key.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    for (place, name) in ["hour", "account_id", "campaign_id"].into_iter().enumerate() {
        let data_type = if name == "hour" { instant_type() } else { DataType::Utf8 };
        fields.insert(place, Field::new(name, data_type, false));
    }
    fields.push(Field::new("metric", DataType::Utf8, false));
    fields.push(Field::new("seen_at", instant_type(), false));
    let names = fields.iter().map(|field| field.name().clone());
    DatasetSpec {
        name: "shop__restatements".into(),
        key: names.collect(),
        schema: Arc::new(Schema::new(fields)),
        ..spec()
    }
}

#[tokio::test]
async fn restatements_follow_the_key_and_the_buckets_and_keep_their_dates_and_order() {
    let told: Vec<(&str, &str)> = vec![("07:00", "b"), ("05:00", "a"), ("06:00", "b"), ("05:00", "c"), ("05:00", "a")];
    let place = place_with(&[row("05:00", "a", "c", 7)]).await;
    let dataset = place.lake().await.dataset(log(&[])).await.expect("restatements");
    // Hours of one date, seen on another: the folder is that of the latter.
    let later = Partition { date: "2026-12-01".parse().expect("a date"), ..day() };
    let texts = |text: fn(&(&str, &str)) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(told.iter().map(text)))
    };
    let moments = |text: fn(&str) -> String| -> ArrayRef {
        let moments = told.iter().map(|(hour, _)| at(&text(hour)).timestamp_micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(moments).with_timezone("UTC"))
    };
    let columns = vec![
        moments(|hour| hour.to_owned()),
        texts(|(_, account)| (*account).to_owned()),
        texts(|_| "c".to_owned()),
        texts(|(hour, account)| format!("{account} at {hour}")),
        moments(|hour| format!("2026-12-01T{hour}:00Z")),
    ];
    let rows = RecordBatch::try_new(dataset.schema().clone(), columns).expect("rows");
    let mut writer = dataset.begin(later).expect("a file");
    writer.encode(&rows.slice(0, 3)).expect("written");
    writer.encode(&rows.slice(3, 2)).expect("written");
    writer.finish().expect("written").commit().expect("written");

    let mut wanted = keyed(retyped("device", Some(DataType::Utf8)), "device");
    wanted.buckets = 2;
    let waiting = place.root().join("_staged/shop__restatements/0123456789abcdef.arrow");
    std::fs::create_dir_all(waiting.parent().expect("a folder")).expect("a folder");
    std::fs::write(&waiting, "told").expect("an intent");
    let error = refused(&place, &wanted, &order(&[("device", "unknown")], &[])).await;
    insta::assert_snapshot!(said(&place, &error), @r"
    a publish that was cut off has not told `shop__restatements` all that it changed
      hint: `hourmark run shop` brings it to its end, with the pipeline's file in its old form
    ");
    std::fs::remove_file(waiting).expect("removed");

    let changes = rewrite(&place, &wanted, &order(&[("device", "unknown")], &[])).await.expect("rewritten");
    insta::assert_snapshot!(changes.join("\n"), @r"
    buckets: 1 -> 2
    key: hour, account_id, campaign_id -> hour, account_id, campaign_id, device
    column `device`: new, `unknown` in rows from before
    buckets: 1 -> 2
    key: hour, account_id, campaign_id, metric, seen_at -> hour, account_id, campaign_id, device, metric, seen_at
    column `device`: new, `unknown` in rows from before
    ");
    let follows = DatasetSpec { buckets: 2, ..log(&["device"]) };
    let dataset = place.lake().await.dataset(follows).await.expect("in this form");
    let mut found = Vec::new();
    for bucket in 0..2 {
        let path = place.root().join(dataset.path(Partition { bucket, ..later }));
        let rows = if path.exists() { read(&path) } else { continue };
        let texts = |name: &str| rows[name].as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>();
        assert!(texts("account_id").iter().all(|account| bucket_of(account, 2) == bucket));
        assert!(texts("device").iter().all(|device| device == "unknown"));
        found.push(texts("metric"));
    }
    let of_bucket = |bucket| {
        let told = told.iter().filter(move |(_, account)| bucket_of(account, 2) == bucket);
        told.map(|(hour, account)| format!("{account} at {hour}")).collect::<Vec<_>>()
    };
    let expected: Vec<Vec<String>> = (0..2).map(of_bucket).filter(|rows| !rows.is_empty()).collect();
    assert_eq!(found, expected);
}
