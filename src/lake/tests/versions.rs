//! Versions of campaigns in the lake: whole files, replaced in one step or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;

use super::fixture::{at, files, read};
use crate::error::ErrorKind;
use crate::lake::{Lake, Versions};
use crate::merge::{CampaignReading, Followed};
use crate::pipeline::schema::versions_schema;
use crate::pipeline::{Column, ColumnKind, JsonPath};

fn column(name: &str, kind: ColumnKind) -> Column {
    let from = JsonPath::parse(name).expect("a path");
    Column { name: name.to_owned(), from, kind, pick: None, default: None, required: false, manner: Default::default() }
}

fn status() -> Vec<Column> {
    vec![column("status", ColumnKind::Text)]
}

/// Campaigns with their status, as `account` lists them at `moment`.
fn reading(account: &str, moment: &str, listed: &[(&str, &str)]) -> CampaignReading {
    let schema = versions_schema(&status());
    let texts = |pick: &dyn Fn(&(&str, &str)) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(listed.iter().map(pick)))
    };
    let columns = vec![
        texts(&|_| "shop_ads".to_owned()),
        texts(&|_| account.to_owned()),
        texts(&|_| format!("Shop {account}")),
        texts(&|(id, _)| (*id).to_owned()),
        texts(&|(id, _)| format!("Campaign {id}")),
        texts(&|_| "EUR".to_owned()),
        texts(&|(_, status)| (*status).to_owned()),
        Arc::new(
            arrow::array::TimestampMicrosecondArray::from(vec![at(moment).timestamp_micros(); listed.len()])
                .with_timezone("UTC"),
        ),
        new_null_array(&crate::pipeline::schema::instant_type(), listed.len()),
    ];
    let rows = RecordBatch::try_new(schema, columns).expect("rows");
    CampaignReading { account: account.to_owned(), rows, read_at: at(moment) }
}

/// The same with a column more, or another, after the status.
fn with(reading: CampaignReading, name: &str, kind: ColumnKind, values: ArrayRef) -> CampaignReading {
    let schema = versions_schema(&[status(), vec![column(name, kind)]].concat());
    let mut columns = reading.rows.columns().to_vec();
    columns.insert(7, values);
    CampaignReading { rows: RecordBatch::try_new(schema, columns).expect("rows"), ..reading }
}

async fn versions(root: &Path, columns: &[Column], buckets: u16) -> Versions {
    let lake = Lake::open(root).await.expect("a lake");
    lake.versions("shop", &versions_schema(columns), buckets).await.expect("versions")
}

async fn follow(versions: &Versions, reading: CampaignReading) -> (bool, Followed, u64) {
    let bucket = versions.bucket_of(&reading.account);
    let published = versions.follow(bucket, vec![reading], 1).await.expect("followed");
    (published.written, published.accounts[0].followed, published.accounts[0].versions)
}

fn file(root: &Path, bucket: u16) -> PathBuf {
    root.join(format!("shop__campaigns/bucket-{bucket:02}.parquet"))
}

/// Account, campaign, the columns after its currency, and from when to when.
fn shown(rows: &RecordBatch) -> Vec<String> {
    let schema = rows.schema();
    let line = |row: usize| {
        let mut words = Vec::new();
        for (place, field) in schema.fields().iter().enumerate() {
            let column = rows.column(place);
            let text = match column.as_primitive_opt::<TimestampMicrosecondType>() {
                _ if column.is_null(row) => "-".to_owned(),
                Some(moments) => moments.value_as_datetime(row).expect("a moment").format("%H:%M").to_string(),
                None => array_value_to_string(column, row).expect("a text"),
            };
            if !["platform", "account_name", "campaign_name", "currency"].contains(&field.name().as_str()) {
                words.push(text);
            }
        }
        words.join(" ")
    };
    (0..rows.num_rows()).map(line).collect()
}

fn bytes(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files(root, "").into_iter().map(|file| (file.clone(), fs::read(file).expect("a file"))).collect()
}

#[tokio::test]
async fn lists_are_followed_and_nothing_is_written_for_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let shop = versions(root, &status(), 1).await;
    let first = reading("1", "09:00", &[("b", "ACTIVE"), ("a", "ACTIVE")]);
    assert_eq!(follow(&shop, first.clone()).await, (true, Followed::Changed { begun: 2, ended: 0 }, 2));
    follow(&shop, reading("0", "09:30", &[("z", "PAUSED")])).await;
    let before = bytes(root);
    let same = reading("1", "10:00", &[("a", "ACTIVE"), ("b", "ACTIVE")]);
    assert_eq!(follow(&shop, same).await, (false, Followed::Unchanged, 2));
    assert_eq!(follow(&shop, reading("1", "10:00", &[])).await, (false, Followed::Empty, 2));
    assert_eq!(follow(&shop, reading("1", "08:00", &[("a", "X")])).await, (false, Followed::Late, 2));
    assert_eq!(follow(&shop, first).await, (false, Followed::Unchanged, 2), "once more");
    assert_eq!(bytes(root), before, "the same bytes");

    let next = reading("1", "11:00", &[("a", "PAUSED"), ("c", "ACTIVE")]);
    assert_eq!(follow(&shop, next).await, (true, Followed::Changed { begun: 2, ended: 2 }, 4));
    assert_eq!(
        shown(&read(&file(root, 0))),
        [
            "0 z PAUSED 09:30 -",
            "1 a ACTIVE 09:00 11:00",
            "1 a PAUSED 11:00 -",
            "1 b ACTIVE 09:00 11:00",
            "1 c ACTIVE 11:00 -"
        ]
    );
    let names: Vec<String> =
        files(root, "").iter().map(|path| path.strip_prefix(root).expect("it").display().to_string()).collect();
    assert_eq!(names, ["shop__campaigns/_hourmark.json", "shop__campaigns/bucket-00.parquet"], "no temporaries");
}

#[tokio::test]
async fn a_name_or_a_currency_is_a_change_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = versions(folder.path(), &status(), 1).await;
    follow(&shop, reading("1", "09:00", &[("a", "ACTIVE")])).await;
    for (minute, place) in [("10", 2), ("20", 4), ("30", 5)] {
        let mut renamed = reading("1", &format!("09:{minute}"), &[("a", "ACTIVE")]);
        let mut columns = renamed.rows.columns().to_vec();
        columns[place] = Arc::new(StringArray::from(vec![minute]));
        renamed.rows = RecordBatch::try_new(renamed.rows.schema(), columns).expect("rows");
        assert_eq!(follow(&shop, renamed).await.1, Followed::Changed { begun: 1, ended: 1 }, "column {place}");
    }
}

#[tokio::test]
async fn accounts_have_their_buckets_and_keep_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let shop = versions(root, &status(), 64).await;
    follow(&shop, reading("act_1", "09:00", &[("a", "ACTIVE")])).await;
    follow(&shop, reading("act_2", "09:00", &[("a", "ACTIVE")])).await;
    assert!(file(root, 30).exists() && file(root, 60).exists());
    // The rows may be rewritten into other buckets: versions stay where they are.
    let later = versions(root, &status(), 1).await;
    assert_eq!(later.bucket_of("act_1"), 30);
    assert_eq!(follow(&later, reading("act_1", "10:00", &[("a", "PAUSED")])).await.2, 2);
    assert_eq!(shown(&read(&file(root, 60))), ["act_2 a ACTIVE 09:00 -"]);
}

#[tokio::test]
async fn attributes_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let shop = versions(root, &status(), 1).await;
    follow(&shop, reading("1", "09:00", &[("a", "ACTIVE"), ("b", "ACTIVE")])).await;
    follow(&shop, reading("2", "09:00", &[("z", "ACTIVE")])).await;

    // Added: null before, and a version begins where it is read.
    let int = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let wider = versions(root, &[status(), vec![column("budget", ColumnKind::Int)]].concat(), 1).await;
    let listed = reading("1", "10:00", &[("a", "ACTIVE"), ("b", "ACTIVE")]);
    follow(&wider, with(listed, "budget", ColumnKind::Int, int(vec![Some(5), None]))).await;
    let now = shown(&read(&file(root, 0)));
    assert_eq!(
        now,
        ["1 a ACTIVE - 09:00 10:00", "1 a ACTIVE 5 10:00 -", "1 b ACTIVE - 09:00 -", "2 z ACTIVE - 09:00 -"]
    );

    // Wider: the same values are the same.
    let money = ColumnKind::Decimal { precision: 25, scale: 2 };
    let decimal = versions(root, &[status(), vec![column("budget", money)]].concat(), 1).await;
    let values = |cents: Vec<Option<i128>>| {
        Arc::new(Decimal128Array::from(cents).with_precision_and_scale(25, 2).expect("a decimal")) as ArrayRef
    };
    let listed = || reading("1", "11:00", &[("a", "ACTIVE"), ("b", "ACTIVE")]);
    let same = with(listed(), "budget", money, values(vec![Some(500), None]));
    assert_eq!(follow(&decimal, same).await.1, Followed::Unchanged);
    let other = with(listed(), "budget", money, values(vec![Some(550), None]));
    assert_eq!(follow(&decimal, other).await.1, Followed::Changed { begun: 1, ended: 1 });
    assert_eq!(
        shown(&read(&file(root, 0)))[..3],
        ["1 a ACTIVE - 09:00 10:00", "1 a ACTIVE 5.00 10:00 11:00", "1 a ACTIVE 5.50 11:00 -"]
    );

    // Taken out: it stays in the file, is not compared, and is null from then on.
    let without = versions(root, &status(), 1).await;
    let listed = reading("1", "12:00", &[("a", "ACTIVE"), ("b", "PAUSED")]);
    assert_eq!(follow(&without, listed).await.1, Followed::Changed { begun: 1, ended: 1 });
    let rows = read(&file(root, 0));
    assert_eq!(rows.schema().field(9).name(), "budget");
    assert_eq!(shown(&rows)[2..5], ["1 a ACTIVE 11:00 - 5.50", "1 b ACTIVE 09:00 12:00 -", "1 b PAUSED 12:00 - -"]);

    let narrower = versions_schema(&[status(), vec![column("budget", ColumnKind::Int)]].concat());
    let lake = Lake::open(root).await.expect("a lake");
    let error = lake.versions("shop", &narrower, 1).await.expect_err("a narrower type");
    insta::assert_snapshot!(error.report(), @r"
    the attribute `budget` of the dataset `shop__campaigns` is decimal(25, 2), the pipeline now says int
      hint: a type may only widen: set it back to decimal(25, 2), or give the attribute another name: what `budget` was stays in its own column
    ");
}

#[tokio::test]
async fn several_accounts_are_followed_at_once_and_a_full_disk_leaves_all_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let shop = versions(root, &status(), 1).await;
    let both = vec![reading("2", "09:00", &[("z", "ACTIVE")]), reading("1", "09:00", &[("a", "ACTIVE")])];
    let published = shop.follow(0, both, 1).await.expect("followed");
    let accounts: Vec<&str> = published.accounts.iter().map(|end| end.account.as_str()).collect();
    assert_eq!(accounts, ["2", "1"]);
    let before = bytes(root);
    // A folder stands where the temporaries go.
    fs::remove_dir_all(root.join("_staged/shop")).expect("the temporaries' folder");
    fs::write(root.join("_staged/shop"), "").expect("a file in its place");
    let error = shop.follow(0, vec![reading("1", "10:00", &[("a", "PAUSED")])], 1).await.expect_err("no place");
    assert_eq!(error.kind(), ErrorKind::Storage);
    fs::remove_file(root.join("_staged/shop")).expect("away again");
    assert_eq!(bytes(root), before);
    assert_eq!(follow(&shop, reading("1", "10:00", &[("a", "PAUSED")])).await.2, 2);
}

#[tokio::test]
async fn it_is_recorded_like_every_dataset() {
    let folder = tempfile::tempdir().expect("a folder");
    versions(folder.path(), &status(), 2).await;
    let record = Lake::open(folder.path()).await.expect("a lake").datasets().await.expect("records").remove(0);
    assert_eq!((record.pipeline.as_str(), record.buckets), ("shop__campaigns", 2));
    assert_eq!(record.partition_by, Vec::<String>::new());
    assert_eq!(record.key, ["account_id", "campaign_id", "valid_from"]);
    assert_eq!(record.schema().expect("a schema").field(6).data_type(), &DataType::Utf8);
}
