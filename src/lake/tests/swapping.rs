//! Layouts over time: there and back, and cut off anywhere between.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::fixture::{Place, Row, batch, files, read, row, spec, unbatch, window};
use crate::error::ErrorKind;
use crate::lake::rewrite::Work;
use crate::lake::store::Swap;
use crate::lake::{DatasetSpec, Lake, Recovered, RewriteEnd, RewriteOrder, StagedSlice, Totals};
use crate::merge::ReadBefore;
use crate::pipeline::{Missing, PartitionBy};
use crate::unit::{Account, UnitKey};

const ACCOUNTS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

fn layout(partition_by: PartitionBy, buckets: u16) -> DatasetSpec {
    DatasetSpec { partition_by, buckets, ..spec() }
}

async fn rewrite(lake: &Lake, spec: &DatasetSpec) -> RewriteEnd {
    lake.rewrite(spec, &RewriteOrder::default(), &CancellationToken::new()).await.expect("rewritten")
}

/// Stages and publishes `rows` in the dataset of `spec`.
async fn publish(lake: &Lake, spec: DatasetSpec, rows: &[Row]) {
    let dataset = lake.dataset(spec).await.expect("a dataset");
    let key = UnitKey::from_stored("all");
    let proven = dataset.prove(batch(rows), (0..rows.len()).collect()).await.expect("rows").expect("keys");
    let staged = dataset.stage(&key, proven, 1).await.expect("staged");
    let slice = StagedSlice {
        key: key.clone(),
        accounts: ACCOUNTS.map(str::to_owned).into(),
        window: window("2026-11-19T00:00:00Z", "2026-11-23T00:00:00Z"),
        rows: staged.rows,
        ..super::fixture::slice(0, Missing::Keep, 0)
    };
    let accounts = ACCOUNTS.map(|id| Account {
        id: id.into(),
        name: String::new(),
        time_zone: chrono_tz::UTC,
        currency: String::new(),
        parent: String::new(),
    });
    for partition in dataset.partitions(&accounts, slice.window) {
        dataset.publish(partition, std::slice::from_ref(&slice), &ReadBefore::default(), 1).await.expect("published");
    }
    dataset.discard(&key).await.expect("discarded");
}

/// Every file of the lake with its bytes.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let found = files(root, "");
    found
        .into_iter()
        .map(|path| (path.strip_prefix(root).expect("below").to_owned(), fs::read(&path).expect("bytes")))
        .collect()
}

fn rows_of(folder: &Path) -> Vec<Row> {
    let mut rows: Vec<Row> = files(folder, "parquet").iter().flat_map(|file| unbatch(&read(file))).collect();
    rows.sort();
    rows
}

fn some_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (place, account) in ACCOUNTS.iter().enumerate() {
        for hour in ["2026-11-19T23:30:00Z", "00:00", "05:00", "23:00", "2026-11-22T07:00:00Z"] {
            for campaign in ["x", "y"] {
                rows.push(row(hour, account, campaign, place as i64 * 10));
            }
        }
    }
    rows
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn layouts() -> impl Strategy<Value = DatasetSpec> {
    let partition_by = prop_oneof![Just(PartitionBy::Date), Just(PartitionBy::DateHour)];
    (partition_by, prop::sample::select(vec![1u16, 2, 3, 4, 8])).prop_map(|(by, buckets)| layout(by, buckets))
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let one = (0..3i64, 0..24i64, any::<bool>(), 0..ACCOUNTS.len(), 0..3u8, 0..100i64);
    let rows = one.prop_map(|(day, hour, half, account, campaign, clicks)| {
        let minute = if half { "30" } else { "00" };
        let hour = format!("2026-11-{:02}T{hour:02}:{minute}:00Z", 20 + day);
        row(&hour, ACCOUNTS[account], &campaign.to_string(), clicks)
    });
    prop::collection::vec(rows, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A layout that was reached by a rewrite cannot be told from one that was there from the beginning.
    #[test]
    fn a_rewritten_layout_has_the_bytes_of_one_that_was_always_there(
        one in layouts(), other in layouts(), rows in rows()
    ) {
        run(async {
            let (moved, always) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
            let (lake, reference) = (Lake::open(moved.path()).await?, Lake::open(always.path()).await?);
            publish(&lake, one.clone(), &rows).await;
            publish(&reference, other.clone(), &rows).await;
            let before = contents(moved.path());
            for (spec, expected) in [(&other, contents(always.path())), (&one, before)] {
                let end = rewrite(&lake, spec).await;
                let found = contents(moved.path());
                let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
                assert_eq!(names(&found), names(&expected));
                assert!(found == expected, "other bytes after {one:?} -> {other:?}");
                if one == other {
                    assert_eq!(end, RewriteEnd::NothingToDo);
                }
            }
            Ok::<(), crate::error::Error>(())
        }).expect("a lake");
    }
}

#[tokio::test]
async fn a_report_counts_what_was_there_and_what_is_there_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::open(folder.path()).await.expect("a lake");
    publish(&lake, spec(), &some_rows()).await;
    let size =
        |folder: &Path| files(folder, "parquet").iter().map(|file| fs::metadata(file).expect("a file").len()).sum();
    let bytes: u64 = size(folder.path());

    let check = RewriteOrder { extent: crate::lake::Extent::Check, ..RewriteOrder::default() };
    let (wanted, before) = (layout(PartitionBy::DateHour, 2), contents(folder.path()));
    let checked = lake.rewrite(&wanted, &check, &CancellationToken::new()).await.expect("checked");
    assert!(contents(folder.path()) == before, "a check changed something");
    let RewriteEnd::Checked(checked) = checked else { panic!("{checked:?}") };
    assert_eq!(checked[0].before, Totals { partitions: 3, rows: 70, bytes });
    assert_eq!(checked[0].after, Totals { partitions: 10, rows: 70, bytes: 0 });

    let RewriteEnd::Swapped(swapped) = rewrite(&lake, &wanted).await else { panic!("swapped") };
    assert_eq!(swapped[0].changes, ["partition_by: date -> date, hour", "buckets: 1 -> 2"]);
    assert_eq!((swapped[0].before, swapped[0].after.partitions), (checked[0].before, 10));
    assert_eq!(swapped[0].after.bytes, size(folder.path()));
    let mut expected = some_rows();
    expected.sort();
    assert_eq!(rows_of(folder.path()), expected);
}

/// Where a rewrite of two datasets is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    HalfCopied,
    Complete,
    Decided,
    /// Only by renames: the old folder is aside, the new one not yet in its place.
    BetweenTheRenames,
    OneSwapped,
    BothSwapped,
    HalfTidied,
    JournalGone,
}

const CUTS: [Cut; 8] = [
    Cut::HalfCopied,
    Cut::Complete,
    Cut::Decided,
    Cut::BetweenTheRenames,
    Cut::OneSwapped,
    Cut::BothSwapped,
    Cut::HalfTidied,
    Cut::JournalGone,
];

/// Rewrites as far as `cut`, by the steps that a rewrite takes.
async fn rewrite_until(lake: &Lake, specs: &[DatasetSpec], swap: Swap, cut: Cut) {
    let (root, order, stop) = (lake.root(), RewriteOrder::default(), CancellationToken::new());
    let work = Work::new(&lake.store, "shop", swap);
    let jobs = lake.jobs(&specs[0], &order).await.expect("jobs");
    lake.copy_beside(&jobs, &work, &stop).await.expect("copied").expect("not stopped");
    let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
    let target = |name: &str| root.join(work.target(name));
    if cut == Cut::HalfCopied {
        fs::remove_dir_all(target(&names[1])).expect("removed");
        fs::write(root.join("_staged/shop/rewrite-1-0.tmp"), "half a file").expect("a leftover");
    }
    if cut >= Cut::Decided {
        work.decide(&names).expect("decided");
    }
    if cut == Cut::BetweenTheRenames {
        fs::rename(root.join(&names[0]), root.join(format!("{}.before", work.target(&names[0])))).expect("aside");
    }
    if cut >= Cut::OneSwapped {
        work.swap(&names[0]).expect("swapped");
    }
    if cut >= Cut::BothSwapped {
        work.swap(&names[1]).expect("swapped");
    }
    if cut >= Cut::HalfTidied {
        fs::remove_file(root.join(&names[0]).join("_rewritten")).expect("removed");
    }
    if cut >= Cut::JournalGone {
        fs::remove_file(root.join(&names[1]).join("_rewritten")).expect("removed");
        fs::remove_file(root.join("_staged/shop/rewrite/swap.json")).expect("removed");
        fs::remove_file(target(&names[0]).join("_hourmark.json"))
            .or_else(|_| fs::remove_file(root.join(format!("{}.before/_hourmark.json", work.target(&names[0])))))
            .expect("half removed");
    }
}

#[tokio::test]
async fn a_rewrite_that_is_cut_off_anywhere_is_finished_or_undone() {
    let both = |spec: DatasetSpec| [spec.clone(), DatasetSpec { name: "shop__restatements".into(), ..spec }];
    let (old, new) = (both(spec()), both(layout(PartitionBy::Date, 4)));
    let mut expected = some_rows();
    expected.sort();
    for swap in [Swap::Exchange, Swap::Renames] {
        for cut in CUTS {
            let place = tempfile::tempdir().expect("a folder");
            let lake = Lake::open(place.path()).await.expect("a lake");
            for spec in &old {
                publish(&lake, spec.clone(), &some_rows()).await;
            }
            rewrite_until(&lake, &new, swap, cut).await;
            for spec in old.iter().filter(|_| cut != Cut::BetweenTheRenames) {
                assert_eq!(rows_of(&place.path().join(&spec.name)), expected, "{swap:?} {cut:?}: before recovery");
            }
            let recovered = lake.recover("shop").await.expect("recovered");
            let (finished, specs) = match cut {
                Cut::HalfCopied | Cut::Complete => (Recovered::Undone, &old),
                // The swap is through: nothing is left to do but to remove what it left.
                Cut::JournalGone => (Recovered::Undone, &new),
                _ => (Recovered::Finished, &new),
            };
            assert_eq!(recovered, finished, "{swap:?} {cut:?}");
            assert_eq!(lake.recover("shop").await.expect("recovered"), Recovered::Nothing);
            for spec in specs {
                assert_eq!(rows_of(&place.path().join(&spec.name)), expected, "{swap:?} {cut:?}");
                let dataset = lake.dataset(spec.clone()).await.expect("in this form");
                dataset.sweep(&[]).await.expect("swept");
            }
            assert_eq!(files(&place.path().join("_staged"), ""), [] as [PathBuf; 0], "{swap:?} {cut:?}");
            assert!(!place.path().join("shop/_rewritten").exists());
            assert!(rewrite(&lake, &new[0]).await != RewriteEnd::Stopped);
            assert_eq!(rows_of(&place.path().join("shop__restatements")), expected);
        }
    }
}

#[tokio::test]
async fn what_is_not_ours_is_not_thrown_away() {
    let place = Place::new().await;
    let slice = place.stage(0, Missing::Keep, &[row("05:00", "a", "c", 1)]).await;
    place.publish(&[slice]).await;
    let lake = place.lake().await;
    let wanted = layout(PartitionBy::Date, 2);
    for path in ["notes.txt", "date=2026-11-20/more.parquet", "extra/x.parquet", "date=2026-11-20/bucket-01.parquet"] {
        let stranger = place.root().join("shop").join(path);
        fs::create_dir_all(stranger.parent().expect("a folder")).expect("a folder");
        fs::write(&stranger, "somebody's").expect("a file");
        let order = RewriteOrder::default();
        let ended = lake.rewrite(&wanted, &order, &CancellationToken::new()).await;
        let error = ended.expect_err("a stranger");
        assert_eq!(error.kind(), ErrorKind::Storage);
        let shown = stranger.display();
        let name = stranger.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(
            error.report(),
            format!(
                "`{shown}` is not hourmark's, and would be lost: a rewrite replaces the whole folder\n  \
                 hint: move `{name}` out of the dataset's folder"
            )
        );
        assert_eq!(fs::read(&stranger).expect("the file"), b"somebody's");
        fs::remove_file(&stranger).expect("removed");
    }
    assert!(matches!(rewrite(&lake, &wanted).await, RewriteEnd::Swapped(_)));
    assert_eq!(place.rows(), [row("05:00", "a", "c", 1)]);
}

#[tokio::test]
async fn a_stopped_rewrite_leaves_no_trace() {
    let place = Place::new().await;
    let slice = place.stage(0, Missing::Keep, &[row("05:00", "a", "c", 1)]).await;
    place.publish(std::slice::from_ref(&slice)).await;
    let (lake, stop, before) = (place.lake().await, CancellationToken::new(), contents(place.root()));
    stop.cancel();
    let wanted = layout(PartitionBy::Date, 2);
    let end = lake.rewrite(&wanted, &RewriteOrder::default(), &stop).await.expect("stopped");
    assert_eq!(end, RewriteEnd::Stopped);
    assert!(contents(place.root()) == before);
    assert!(!place.root().join("_staged/shop/rewrite").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_dataset_that_is_a_link_is_refused() {
    let place = Place::new().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    fs::rename(place.root().join("shop"), elsewhere.path().join("shop")).expect("moved");
    std::os::unix::fs::symlink(elsewhere.path().join("shop"), place.root().join("shop")).expect("a link");
    let (lake, wanted, order) = (place.lake().await, layout(PartitionBy::Date, 2), RewriteOrder::default());
    let error = lake.rewrite(&wanted, &order, &CancellationToken::new()).await.expect_err("a link");
    assert!(error.report().contains("is a link to a folder elsewhere, which cannot be replaced"), "{error:?}");
}
