//! What a query reads stays what it was when the query began, though a run may publish meanwhile.
//!
//! A publish replaces a file by renaming a new one over it. The engine opens a file by its path several times: to list
//! it, for its footer, for each column's bytes. Between two of these the name can come to stand for another file, and
//! the old footer's offsets would then be read out of the new bytes: an error at best, wrong values at worst. The
//! engine does not notice, since it never compares sizes or ETags after the listing.
//!
//! So before a dataset is read, each of its files that the question can want gets a second name (a hard link) in
//! `<lake>/_snapshots/<process>-<number>/`, and the engine reads there (`held`). A link costs no space and a few microseconds,
//! names one version of a file whatever becomes of the first name, and keeps that version's bytes until it is removed.
//! Links are numbers in one folder: folders like those of the lake would cost many times what the links do. They end in
//! `.pinned`, so that another engine's glob over the whole lake does not see rows twice.
//!
//! Whoever made such a folder holds a lock on the file `lock` in it, which the system lets go when the process ends in
//! any way; the next query removes folders whose lock it can take. Ages and process numbers would be weaker: a query
//! may be long, and a container sees no other's processes.
//!
//! A rewrite puts another folder in a dataset's place, with other files and perhaps another layout. What `_hourmark.json`
//! said when the query began is compared with what it says once the links are made: a difference is an error, because
//! some files may be the old ones and some the new.
//!
//! Where links cannot be made (a read-only lake, some network file systems), the files are read in place, and at the
//! end their sizes and times are compared with those at the beginning: a difference is an error.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;
use object_store::path::Path as Location;
use parquet::file::metadata::ParquetMetaDataReader;

use crate::error::{Error, ErrorKind, Result};
use crate::lake::DatasetRecord;

/// The ending of files in the lake.
pub(super) const PUBLISHED: &str = ".parquet";
/// The ending of links.
const PINNED: &str = "pinned";

/// The folder of all snapshots; the underscore says that it is no dataset.
const FOLDER: &str = "_snapshots";
const LOCK: &str = "lock";
/// So many names are tried for a snapshot's folder: each live query of this process number has one.
const NAMES: u32 = 64;

/// The versions of files that one query reads. Removes its links when dropped.
#[derive(Debug)]
pub(super) struct Snapshot {
    lake: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    folder: Folder,
    /// What the datasets' records said when the query began.
    records: HashMap<String, DatasetRecord>,
    /// By what the engine calls them.
    held: BTreeMap<Location, Held>,
}

#[derive(Debug, Default)]
enum Folder {
    #[default]
    NotTried,
    Locked(LockedFolder),
    Impossible,
}

/// A file in the version that this query reads.
#[derive(Debug, Clone)]
struct Held {
    published: PathBuf,
    /// A link, or the published file itself.
    read: PathBuf,
    meta: ObjectMeta,
}

impl Held {
    /// `None` where the file is gone again. One that cannot be looked at is an error: without it rows would be missing.
    fn now(location: Location, published: PathBuf, read: PathBuf) -> io::Result<Option<Held>> {
        let metadata = match std::fs::metadata(&read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let (size, last_modified) = (metadata.len(), modified(&metadata));
        let meta = ObjectMeta { location, last_modified, size, e_tag: None, version: None };
        Ok(Some(Held { published, read, meta }))
    }

    /// A file where it was published.
    fn in_place(location: Location, published: PathBuf) -> Result<Option<Held>> {
        Held::now(location, published.clone(), published.clone()).map_err(|error| {
            Error::storage(format!("cannot look at `{}`", published.display()))
                .because(error)
                .hint("is it readable for this user?")
        })
    }

    /// Whether the file is the one that it was at first.
    fn is_unchanged(&self) -> bool {
        self.read != self.published
            || std::fs::metadata(&self.read).is_ok_and(|metadata| {
                metadata.len() == self.meta.size && modified(&metadata) == self.meta.last_modified
            })
    }
}

fn modified(metadata: &Metadata) -> DateTime<Utc> {
    metadata.modified().map_or(DateTime::UNIX_EPOCH, DateTime::from)
}

impl Snapshot {
    /// A snapshot of nothing yet.
    pub(super) fn new(lake: &Path) -> Snapshot {
        // Whatever the lake is called, a file's place is needed from the root on.
        let lake = std::path::absolute(lake).unwrap_or_else(|_| lake.to_owned());
        Snapshot { lake, state: Mutex::default() }
    }

    /// Remembers what a dataset's record says: its files are held fast only while it says the same.
    pub(super) fn expect(&self, record: &DatasetRecord) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.records.insert(record.pipeline.clone(), record.clone());
    }

    /// The published files of `dataset`, whose folders are named `<partition>=<value>`, `partitions` deep; relative to it.
    /// Blocks on the file system.
    pub(super) fn files(&self, dataset: &str, partitions: &[String]) -> Result<Vec<PathBuf>> {
        let (root, mut files) = (self.lake.join(dataset), Vec::new());
        list(&root, Path::new(""), partitions, &mut files)
            .map_err(|error| Error::storage(format!("cannot list `{}`", root.display())).because(error))?;
        Ok(files)
    }

    /// Holds fast `files` of `dataset`. What an earlier call has held stays in that version. Blocks on the file system.
    pub(super) fn pin(&self, dataset: &str, files: &[PathBuf]) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let location = |file: &PathBuf| {
            let parts = file.iter().map(|part| part.to_string_lossy().into_owned());
            Location::from_iter(std::iter::once(dataset.to_owned()).chain(parts))
        };
        let all = files.iter().map(|file| (location(file), self.lake.join(dataset).join(file)));
        let new: Vec<(Location, PathBuf)> = all.filter(|(location, _)| !state.held.contains_key(location)).collect();
        let held: Vec<Held> = match self.link(&mut state.folder, &new) {
            Ok(links) => links,
            Err(error) => {
                tracing::debug!(dataset, %error, "no links can be made here: reading the lake in place");
                let in_place = |(location, published)| Held::in_place(location, published).transpose();
                new.into_iter().filter_map(in_place).collect::<Result<_>>()?
            }
        };
        if let Some(record) = state.records.get(dataset)
            && !self.is_recorded(record)
        {
            return Err(Error::new(
                ErrorKind::Busy,
                format!("the dataset `{dataset}` was rewritten while it was read"),
            )
            .hint("run the query again"));
        }
        state.held.extend(held.into_iter().map(|held| (held.meta.location.clone(), held)));
        Ok(())
    }

    /// What is held below `prefix`, in order.
    pub(super) fn below(&self, prefix: Option<&Location>) -> Vec<ObjectMeta> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_below = |held: &&Held| prefix.is_none_or(|prefix| held.meta.location.prefix_matches(prefix));
        state.held.values().filter(is_below).map(|held| held.meta.clone()).collect()
    }

    /// Where what the engine calls `location` is read.
    pub(super) fn place_of(&self, location: &Location) -> Option<PathBuf> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held.get(location).map(|held| held.read.clone())
    }

    fn is_recorded(&self, record: &DatasetRecord) -> bool {
        let text = std::fs::read(record.path_in(&self.lake)).unwrap_or_default();
        serde_json::from_slice::<DatasetRecord>(&text).is_ok_and(|found| found == *record)
    }

    /// Makes a link to each of `files`.
    fn link(&self, folder: &mut Folder, files: &[(Location, PathBuf)]) -> io::Result<Vec<Held>> {
        if let Folder::NotTried = folder {
            *folder = match LockedFolder::create(&self.lake.join(FOLDER)) {
                Ok(locked) => Folder::Locked(locked),
                Err(error) => {
                    tracing::debug!(%error, "no snapshot folder");
                    Folder::Impossible
                }
            };
        }
        let Folder::Locked(locked) = folder else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut held = Vec::with_capacity(files.len());
        for (location, published) in files {
            match locked.link(published) {
                // Taken out of the lake since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                link => held.extend(Held::now(location.clone(), published.clone(), link?)?),
            }
        }
        Ok(held)
    }

    /// Whether everything that was read was one version of each file. Links always are; a file that was read in place
    /// and has been replaced since is a storage error.
    pub(super) fn verify(&self) -> Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.held.values().find(|held| !held.is_unchanged()) {
            None => Ok(()),
            Some(held) => Err(Error::storage(format!("`{}` was replaced while it was read", held.published.display()))
                .hint("run the query again; it reads in place because no hard links can be made in this lake")),
        }
    }

    /// The first file that is no Parquet, for an error that the engine gave without a name. Blocks on the file system.
    pub(super) fn damaged(&self) -> Option<PathBuf> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let damaged = state.held.values().find(|held| {
            File::open(&held.read).is_ok_and(|file| ParquetMetaDataReader::new().parse_and_finish(&file).is_err())
        });
        damaged.map(|held| held.published.clone())
    }
}

/// The published files below `root`, relative to it: exactly `partitions` folders deep, as every engine sees them.
fn list(root: &Path, inner: &Path, partitions: &[String], files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match std::fs::read_dir(root.join(inner)) {
        // A partition, or the dataset, taken out meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        match partitions {
            [] if name.ends_with(PUBLISHED) && !name.starts_with(['_', '.']) => files.push(inner.join(name)),
            [partition, deeper @ ..] if name.split_once('=').is_some_and(|(word, _)| word == partition) => {
                list(root, &inner.join(name), deeper, files)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A snapshot's folder, and the lock that keeps others from removing it.
#[derive(Debug)]
struct LockedFolder {
    path: PathBuf,
    /// The number of the next link.
    next: usize,
    // Let go when the process ends, however it ends.
    _lock: File,
}

impl LockedFolder {
    /// Removes what ended queries left below `parent`, then makes a folder of its own there.
    fn create(parent: &Path) -> io::Result<LockedFolder> {
        sweep(parent);
        for number in 0..NAMES {
            // Each time, because the last snapshot to go takes `parent` with it.
            std::fs::create_dir_all(parent)?;
            let path = parent.join(format!("{}-{number}", std::process::id()));
            match std::fs::create_dir(&path).and_then(|()| lock(&path, OpenOptions::new().create_new(true))) {
                Ok(Some(lock)) => return Ok(LockedFolder { path, next: 0, _lock: lock }),
                // A sweep came between the folder and its lock, or another query has the name.
                Ok(None) => continue,
                Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
                Err(error) => {
                    let _ = std::fs::remove_dir_all(&path);
                    return Err(error);
                }
            }
        }
        Err(io::Error::other(format!("{NAMES} snapshots of process {} exist", std::process::id())))
    }

    /// Makes a link to `file`. No number is tried twice, whatever became of the link.
    fn link(&mut self, file: &Path) -> io::Result<PathBuf> {
        let link = self.path.join(format!("{}.{PINNED}", self.next));
        self.next += 1;
        std::fs::hard_link(file, &link).map(|()| link)
    }
}

impl Drop for LockedFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "a snapshot's folder stays for the next query to remove");
        }
        if let Some(parent) = self.path.parent() {
            // Fails while other queries have theirs in it.
            let _ = std::fs::remove_dir(parent);
        }
    }
}

/// Removes the snapshots of queries that have ended without doing it. Whoever holds a folder's lock owns it: a folder
/// that has no lock file yet is only removed after making and locking one, which makes its creator choose another.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if let Ok(Some(_lock)) = lock(&path, OpenOptions::new().create(true).truncate(false)) {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Locks the folder `path`; `None` where somebody else holds the lock.
fn lock(path: &Path, options: &mut OpenOptions) -> io::Result<Option<File>> {
    let file = options.write(true).open(path.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}
