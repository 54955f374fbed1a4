//! What goes wrong leaves the lake as it was, and is said so that a person can act.

use std::fs;
use std::io::Write;

use super::fixture::{Place, day, row, slice};
use crate::error::{Error, ErrorKind};
use crate::lake::Lake;
use crate::merge::ReadBefore;
use crate::pipeline::Missing;
use crate::unit::UnitKey;

/// The report with the folder's own name replaced.
fn report(place: &std::path::Path, error: &Error) -> String {
    assert_eq!(error.kind(), ErrorKind::Storage);
    error.report().replace(&place.display().to_string(), "LAKE")
}

#[tokio::test]
async fn a_lake_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lake");
    fs::write(&file, "text").expect("a file");
    let error = Lake::open(&file).await.expect_err("a file");
    insta::assert_snapshot!(report(folder.path(), &error), @r"
    the lake `LAKE/lake` cannot be a folder: `LAKE/lake` is a file
      hint: move the file away, or choose another folder with `--lake`
    ");
    let error = Lake::open(&file.join("below")).await.expect_err("below a file");
    insta::assert_snapshot!(report(folder.path(), &error), @r"
    the lake `LAKE/lake/below` cannot be a folder: `LAKE/lake` is a file
      hint: move the file away, or choose another folder with `--lake`
    ");
    let error = Lake::open_existing(&folder.path().join("none")).await.expect_err("nothing");
    assert!(report(folder.path(), &error).starts_with("cannot open the lake `LAKE/none`"), "{error:?}");
}

#[tokio::test]
async fn a_failed_publish_leaves_the_file_and_can_be_repeated() {
    let place = Place::new().await;
    let first = place.stage(0, Missing::Keep, &[row("05:00", "a", "c", 1)]).await;
    place.publish(&[first]).await;
    let before = fs::read(place.file(day())).expect("bytes");
    let second = place.stage(1, Missing::Keep, &[row("05:00", "a", "c", 2)]).await;
    // A folder where the file should be: everything works but the rename.
    fs::remove_file(place.file(day())).expect("removed");
    fs::create_dir(place.file(day())).expect("a folder");
    let error = place
        .dataset
        .publish(day(), std::slice::from_ref(&second), &ReadBefore::default(), 1)
        .await
        .expect_err("no rename");
    assert!(
        report(place.root(), &error).starts_with("cannot write `LAKE/shop/date=2026-11-20/bucket-00.parquet`"),
        "{error:?}"
    );
    assert!(!place.staged_files().iter().any(|name| name.ends_with("tmp")), "the temporary is removed");
    fs::remove_dir(place.file(day())).expect("removed");
    fs::write(place.file(day()), before).expect("restored");
    assert_eq!(place.publish(&[second]).await.changed, 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_said_with_a_way_out() {
    let place = Place::new().await;
    let store = place.dataset.store().clone();
    let mut draft = store.draft("shop", "publish", "shop/x.parquet").expect("a draft");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("the full device");
    draft.replace_file(full);
    let error = draft.write_all(b"rows").expect_err("a full disk");
    let error = crate::lake::store::failed(&draft.said(), parquet::errors::ParquetError::from(error));
    insta::assert_snapshot!(report(place.root(), &error), @r"
    cannot write `LAKE/shop/x.parquet`: No space left on device (os error 28)
      hint: free some space and run the same command again: nothing that was published is harmed
    ");
    drop(draft);
    assert_eq!(place.staged_files(), [] as [String; 0]);
    assert!(!place.root().join("shop/x.parquet").exists());
}

#[tokio::test]
async fn leftovers_are_swept_and_what_lives_stays() {
    let place = Place::new().await;
    let live = place.stage(0, Missing::Keep, &[row("05:00", "a", "c", 1)]).await;
    let dead = place.stage(1, Missing::Keep, &[row("05:00", "a", "c", 1)]).await;
    let folder = place.root().join("_staged/shop");
    fs::write(folder.join("publish-1-0.tmp"), "half a file").expect("a leftover");
    let writing = place.dataset.store().draft("shop", "publish", "shop/x.parquet").expect("a draft");
    assert_eq!(place.dataset.sweep(std::slice::from_ref(&live.key)).await.expect("swept"), 2);
    assert_eq!(place.staged_files().len(), 2, "a live unit and a live temporary");
    drop(writing);
    assert_eq!(place.dataset.sweep(&[live.key.clone(), dead.key.clone()]).await.expect("swept"), 0);
    assert_eq!(place.staged_files(), [format!("{}.arrow", live.key.digest())]);

    let error = place.dataset.publish(day(), &[dead], &ReadBefore::default(), 1).await.expect_err("a missing file");
    insta::with_settings!({ filters => vec![("[0-9a-f]{16}", "DIGEST")] }, {
        insta::assert_snapshot!(report(place.root(), &error), @r"
        the staged file `LAKE/_staged/shop/DIGEST.arrow` of unit `shop/a/1` is missing
          hint: run the same command again: the unit is fetched again
        ");
    });
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_refused() {
    let place = Place::new().await;
    fs::create_dir_all(place.file(day()).parent().expect("a folder")).expect("a folder");
    fs::write(place.file(day()), "PAR1 but not really").expect("a file");
    let slice = place.stage(0, Missing::Keep, &[row("05:00", "a", "c", 1)]).await;
    let error = place.dataset.publish(day(), &[slice], &ReadBefore::default(), 1).await.expect_err("not ours");
    assert!(
        report(place.root(), &error).starts_with("cannot use `LAKE/shop/date=2026-11-20/bucket-00.parquet`"),
        "{error:?}"
    );
    assert_eq!(fs::read(place.file(day())).expect("bytes"), b"PAR1 but not really");

    let broken = slice_of(&place).await;
    let staged = place.root().join("_staged/shop").join(format!("{}.arrow", broken.key.digest()));
    let bytes = fs::read(&staged).expect("bytes");
    fs::write(&staged, &bytes[..bytes.len() / 2]).expect("cut");
    let error = place.dataset.publish(day(), &[broken], &ReadBefore::default(), 1).await.expect_err("broken");
    assert_eq!(error.kind(), ErrorKind::Storage);
}

async fn slice_of(place: &Place) -> crate::lake::StagedSlice {
    fs::remove_file(place.file(day())).expect("removed");
    let slice = crate::lake::StagedSlice { key: UnitKey::from_stored("cut"), ..slice(0, Missing::Keep, 1) };
    place.stage_rows(&slice.key, super::fixture::batch(&[row("05:00", "a", "c", 1)])).await;
    slice
}

#[tokio::test]
async fn a_file_replaced_by_somebody_else_is_not_overwritten() {
    let place = Place::new().await;
    let store = place.dataset.store();
    let first = place.stage(0, Missing::Keep, &[row("05:00", "a", "c", 1)]).await;
    place.publish(&[first]).await;
    let path = place.dataset.path(day());
    let seen = store.stat(&path).await.expect("looked").expect("a file");
    let second = place.stage(1, Missing::Keep, &[row("05:00", "a", "c", 22_222)]).await;
    place.publish(&[second]).await;
    let error = store.read_range(&path, &seen, 0..4).await.expect_err("replaced");
    assert_eq!(error.kind(), ErrorKind::Busy);
}
