//! What reading a page takes from the heap: counted, because times depend on the machine and these do not.

use allocation_counter::measure;

use super::*;

const ROWS: usize = 12_000;
const PAGE: usize = 500;

fn body(from: usize) -> String {
    let row = |number: usize| {
        format!(
            r#"{{"account":"1","campaign":"{}","hour":"2026-11-20T{:02}:00:00Z","clicks":{number},"spend":"12.50","other":"x"}}"#,
            number / 24,
            number % 24
        )
    };
    let rows: Vec<String> = (from..from + PAGE).map(row).collect();
    format!(r#"{{"data":[{}]}}"#, rows.join(","))
}

/// Each page places its 24 hours anew, on the account's clock. Beyond that rows take nothing but the growth of their
/// columns, which doubles.
#[test]
fn rows_take_almost_nothing_from_the_heap() {
    let mut pipeline = pipeline(vec![
        column("clicks", ColumnKind::Int),
        column("spend", ColumnKind::Decimal { precision: 18, scale: 2 }),
    ]);
    pipeline.records.path = path("data");
    let (decoder, accounts, nothing) = (Decoder::new(&pipeline), [account("1", "UTC")], HashMap::new());
    let context = PageContext {
        accounts: &accounts,
        campaign_names: &nothing,
        campaign_currencies: &nothing,
        window: year(),
        asked: year(),
    };
    let pages: Vec<String> = (0..ROWS / PAGE).map(|page| body(page * PAGE)).collect();
    let mut rows = decoder.rows();
    let taken = measure(|| {
        for page in &pages {
            decoder.page(page.as_bytes(), &context, &mut rows).expect("a page");
        }
    });
    assert_eq!(rows.len(), ROWS);
    let most = (ROWS / PAGE) as u64 * 160;
    assert!(taken.count_total <= most, "{} allocations for {ROWS} rows, expected {most} at most", taken.count_total);
    let held = rows.bytes() as u64;
    assert!(taken.bytes_current.unsigned_abs() <= 2 * held, "{} bytes for {held}", taken.bytes_current);

    // The next unit's rows have as much room from the beginning: what grows is the list of its hours.
    let mut again = decoder.rows();
    again.reserve(&rows.room());
    let grown = measure(|| {
        for page in &pages {
            decoder.page(page.as_bytes(), &context, &mut again).expect("a page");
        }
    });
    assert_eq!(again.finish(Instant::UNIX_EPOCH), rows.finish(Instant::UNIX_EPOCH));
    assert!(grown.bytes_current.unsigned_abs() <= 8 * 1024, "{} bytes", grown.bytes_current);
}
