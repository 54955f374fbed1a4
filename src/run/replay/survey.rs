//! Which cassettes a replay plays, in which order.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use super::Replay;
use crate::cassette::{Cassette, RecordedRun, Shelf};
use crate::error::{Error, Result};
use crate::lake::{Dataset, Partition};
use crate::time::{Instant, Window};

/// A cassette that is to be played: some hundred bytes of it.
#[derive(Debug, Clone)]
pub(super) struct Taped {
    pub(super) path: PathBuf,
    pub(super) fetched_at: Instant,
    pub(super) key: String,
    /// What of its hours lies in the dates.
    pub(super) window: Window,
    /// The partitions of the dates that its rows can belong to.
    pub(super) partitions: Vec<Partition>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The cassettes of each run, in the order of the runs and of the moments in a run. No key comes twice in a run.
    pub(super) runs: Vec<Vec<Taped>>,
    /// Those whose header cannot be read.
    pub(super) unreadable: Vec<(PathBuf, String)>,
}

impl Replay<'_> {
    pub(super) async fn survey(&self) -> Result<Survey> {
        let shelf = Shelf::new(self.environment.lake.root(), &self.pipeline.name);
        let (dates, accounts, dataset) = (self.window, self.order.accounts.clone(), self.dataset.clone());
        let surveyed = tokio::task::spawn_blocking(move || survey(&shelf, dates, &accounts, &dataset));
        surveyed.await.map_err(|error| Error::internal("looking through the cassettes was cut off").because(error))?
    }
}

/// Blocking.
fn survey(shelf: &Shelf, dates: Window, accounts: &[String], dataset: &Dataset) -> Result<Survey> {
    let mut runs: BTreeMap<RecordedRun, Vec<Taped>> = BTreeMap::new();
    let mut unreadable = Vec::new();
    // Hours are read after they have ended.
    let kept = shelf.list()?;
    let mut empty = true;
    for file in kept.into_iter().filter(|file| file.moment >= dates.from()) {
        empty = false;
        match look(&file.path, dates, accounts, dataset) {
            Ok(Some((run, taped))) => runs.entry(run).or_default().push(taped),
            Ok(None) => {}
            Err(error) => unreadable.push((file.path, error.report())),
        }
    }
    if empty {
        let folder = shelf.folder().display();
        return Err(Error::bad_input(format!(
            "`{folder}` holds no cassette that was recorded since {}",
            dates.from().date_naive()
        ))
        .hint("with `raw = \"7d\"` in the pipeline file, runs keep their responses from then on"));
    }
    Ok(Survey { runs: runs.into_values().flat_map(in_order).collect(), unreadable })
}

fn look(
    path: &std::path::Path,
    dates: Window,
    accounts: &[String],
    dataset: &Dataset,
) -> Result<Option<(RecordedRun, Taped)>> {
    let header = Cassette::open(path)?.header;
    let Some(unit) = header.unit()? else { return Ok(None) };
    let whole = match header.closed {
        Some(closed) => closed.window()?,
        None => unit.window,
    };
    let wanted = accounts.is_empty() || unit.accounts.iter().any(|account| accounts.contains(&account.id));
    let Some(window) = whole.intersect(&dates).filter(|_| wanted) else { return Ok(None) };
    let partitions = dataset.partitions(&unit.accounts, window);
    let key = unit.key.as_str().to_owned();
    Ok(Some((header.run, Taped { path: path.to_owned(), fetched_at: header.fetched_at, key, window, partitions })))
}

/// A run's cassettes by their moments, in pieces in which no key comes twice.
fn in_order(mut taped: Vec<Taped>) -> Vec<Vec<Taped>> {
    taped.sort_by(|one, other| (one.fetched_at, &one.key).cmp(&(other.fetched_at, &other.key)));
    let mut pieces: Vec<Vec<Taped>> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    for taped in taped {
        if pieces.is_empty() || !seen.insert(taped.key.clone()) {
            pieces.push(Vec::new());
            seen = HashSet::from([taped.key.clone()]);
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(taped);
        }
    }
    pieces
}
