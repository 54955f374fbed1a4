//! The sample pages of `data/sample` are what `pipelines/demo.toml` reads.

use std::collections::HashMap;
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Decimal128Type, Int16Type, Int64Type};
use hourmark::decode::{Decoder, PageContext};
use hourmark::time::Window;
use hourmark::unit::Account;

fn account(id: &str, zone: &str) -> Account {
    let time_zone = zone.parse().expect("a zone");
    Account { id: id.into(), name: String::new(), time_zone, currency: String::new(), parent: String::new() }
}

#[test]
fn the_sample_page_becomes_rows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pipeline = hourmark::pipeline::load(&root.join("pipelines/demo.toml"), &[], &Default::default())
        .expect("the demo's pipeline");
    let page = std::fs::read(root.join("data/sample/metrics.json")).expect("the sample page");
    let accounts = [account("100001", "Europe/Berlin"), account("100003", "Asia/Kolkata")];
    let at = |text: &str| text.parse().expect("an instant");
    let window = Window::new(at("2026-11-20T06:00:00Z"), at("2026-11-20T09:00:00Z")).expect("a window");
    let decoder = Decoder::new(&pipeline);
    let mut rows = decoder.rows();
    let context = PageContext {
        accounts: &accounts,
        campaign_names: &HashMap::new(),
        campaign_currencies: &HashMap::new(),
        window,
        asked: window,
    };
    let facts = decoder.page(&page, &context, &mut rows).expect("a page");
    assert_eq!((facts.records, facts.outside, facts.next), (11, 0, None));
    let batch = rows.finish(at("2026-11-20T12:30:00Z"));
    let column = |name: &str| batch.column_by_name(name).expect("a column").clone();
    let impressions: i64 = column("impressions").as_primitive::<Int64Type>().values().iter().sum();
    let spend: i128 = column("spend").as_primitive::<Decimal128Type>().values().iter().sum();
    assert_eq!((impressions, spend), (19_535, 204_000_000));
    let offsets = column("utc_offset_minutes");
    let offsets = offsets.as_primitive::<Int16Type>();
    assert_eq!((offsets.value(0), offsets.value(10)), (60, 330));
}
