//! The folder in which a rewrite works, and the steps by which its results take the place of what they replace.
//!
//! | step | in `_staged/<pipeline>/rewrite/` | killed after it, the next command |
//! |---|---|---|
//! | copy | `<dataset>/`, growing | removes the folder: nothing had changed |
//! | complete | `<dataset>/` with its record and the file `_rewritten` | removes the folder |
//! | decide | `swap.json` names the datasets | does the steps below |
//! | swap | each `<dataset>/` with `_rewritten` changes places with the one in the lake | does those that are left |
//! | tidy | `_rewritten` is removed, then `swap.json`, then the folder | goes on removing |
//!
//! A folder that holds `_rewritten` is a new one: so what was swapped already can be told from what was not, however
//! often these steps are cut off. All of them need the pipeline's lease.

use serde::{Deserialize, Serialize};

use super::super::layout::{RECORD, STAGED};
use super::super::record::DatasetRecord;
use super::super::store::{Store, Swap};
use crate::error::{Error, Result};

/// The file that says that a folder is a new one.
const MARK: &str = "_rewritten";
/// The file that says that the folders are complete and must be swapped.
const JOURNAL: &str = "swap.json";
/// The number of that file's format.
const FORMAT: u32 = 1;

/// The folder in which the datasets of one pipeline are rewritten. All methods block, but for the reading of the journal.
#[derive(Debug, Clone)]
pub(in crate::lake) struct Work {
    store: Store,
    pipeline: String,
    swap: Swap,
}

#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    format: u32,
    datasets: Vec<String>,
}

impl Work {
    pub(in crate::lake) fn new(store: &Store, pipeline: &str, swap: Swap) -> Work {
        Work { store: store.clone(), pipeline: pipeline.to_owned(), swap }
    }

    /// The folder to come of a dataset.
    pub(in crate::lake) fn target(&self, dataset: &str) -> String {
        format!("{}/{dataset}", self.folder())
    }

    /// Writes what a dataset's folder needs beside its files.
    pub(in crate::lake) fn complete(&self, record: &DatasetRecord) -> Result<()> {
        let target = self.target(&record.pipeline);
        self.store.create_folder(&target)?;
        self.write(&format!("{target}/{RECORD}"), &record.text()?)?;
        self.write(&format!("{target}/{MARK}"), b"")
    }

    /// Decides that the folders are swapped: from here on there is no way back.
    pub(in crate::lake) fn decide(&self, datasets: &[String]) -> Result<()> {
        let journal = Journal { format: FORMAT, datasets: datasets.to_vec() };
        let text = serde_json::to_vec(&journal)
            .map_err(|error| Error::internal("cannot write down what is swapped").because(error))?;
        self.write(&self.journal(), &text)
    }

    /// What was decided and is not through; `None` where nothing was.
    pub(in crate::lake) async fn decided(&self) -> Result<Option<Vec<String>>> {
        let path = self.journal();
        let Some(text) = self.store.read(&path).await? else { return Ok(None) };
        let shown = self.store.shown(&path);
        let journal: Journal = serde_json::from_slice(&text).map_err(|error| {
            Error::storage(format!("cannot read `{shown}`"))
                .because(error)
                .hint("it is written by hourmark only: restore it from a copy of the lake")
        })?;
        if journal.format != FORMAT {
            return Err(Error::storage(format!(
                "`{shown}` has format {}, this program knows {FORMAT}",
                journal.format
            ))
            .hint("use the newer hourmark that wrote it"));
        }
        Ok(Some(journal.datasets))
    }

    /// Puts a dataset's new folder in its place, unless that is done already.
    pub(in crate::lake) fn swap(&self, dataset: &str) -> Result<()> {
        let target = self.target(dataset);
        if !self.store.has(&format!("{target}/{MARK}"))? {
            return Ok(());
        }
        self.store.swap_folders(&target, dataset, &format!("{target}.before"), self.swap)
    }

    /// Whether a dataset's folder was not touched yet.
    pub(in crate::lake) fn is_untouched(&self, dataset: &str) -> Result<bool> {
        Ok(self.store.has(dataset)? && self.store.has(&format!("{}/{MARK}", self.target(dataset)))?)
    }

    /// Removes what is left of a rewrite that is through.
    pub(in crate::lake) fn tidy(&self, datasets: &[String]) -> Result<()> {
        for dataset in datasets {
            self.store.remove(&format!("{dataset}/{MARK}"))?;
        }
        self.store.remove(&self.journal())?;
        self.undo().map(|_| ())
    }

    /// Removes what is left of a rewrite that was not decided. Whether there was anything.
    pub(in crate::lake) fn undo(&self) -> Result<bool> {
        self.store.remove_folder(&self.folder())
    }

    /// All that follows a decision.
    pub(in crate::lake) fn carry_out(&self, datasets: &[String]) -> Result<()> {
        for dataset in datasets {
            self.swap(dataset)?;
        }
        self.tidy(datasets)
    }

    fn folder(&self) -> String {
        format!("{STAGED}/{}/rewrite", self.pipeline)
    }

    fn journal(&self) -> String {
        format!("{}/{JOURNAL}", self.folder())
    }

    fn write(&self, path: &str, text: &[u8]) -> Result<()> {
        self.store.write(&self.pipeline, "rewrite", path, text)
    }
}
