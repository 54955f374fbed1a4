//! The lake's files: the only place that knows what they are kept on.
//!
//! Reads and lists go through [`ObjectStore`]. Writes do not: its local backend does not flush to the disk, so durable
//! replacement (temporary, fsync, rename, fsync of the folder) is done here, and a conditional PUT for object storage
//! will stand beside it in [`Draft::commit`].

mod folders;

use std::error::Error as StdError;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use xxhash_rust::xxh3::Xxh3;

pub(super) use folders::{Listed, Swap};

use super::layout::STAGED;
use crate::error::{Error, ErrorKind, Result};

/// The extension of files that are still being written.
const TEMPORARY: &str = "tmp";

/// So many bytes are in memory while a file is digested.
const DIGEST_STEP: u64 = 4 * 1024 * 1024;

/// The files below one folder. Paths are relative to it, with `/` between their parts.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
    objects: Arc<dyn ObjectStore>,
}

/// A file as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    /// Bytes.
    pub(super) size: u64,
    /// Changes with every replacement.
    version: Option<String>,
}

impl Store {
    /// The files below `root`, which is there.
    pub(super) fn open(root: &Path) -> Result<Store> {
        let objects = LocalFileSystem::new_with_prefix(root)
            .map_err(|error| failed(&format!("cannot open the lake `{}`", root.display()), error))?;
        Ok(Store { root: root.to_owned(), objects: Arc::new(objects) })
    }

    /// Creates the folder and checks that files can be written there.
    pub(super) fn create(root: &Path) -> Result<Store> {
        if let Some(file) = root.ancestors().find(|path| path.is_file()) {
            return Err(Error::storage(format!("the lake `{}` cannot be a folder", root.display()))
                .because(format!("`{}` is a file", file.display()))
                .hint("move the file away, or choose another folder with `--lake`"));
        }
        let said = format!("cannot create the lake `{}`", root.display());
        create_folders(root).map_err(|error| failed(&said, error))?;
        let store = Store::open(root)?;
        drop(store.draft("", "writable", "")?);
        Ok(store)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The path as people know it.
    pub(super) fn shown(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    /// The path of a file of the lake as this store knows it.
    pub(super) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Looks at a file; `None` where there is none.
    pub(super) async fn stat(&self, path: &str) -> Result<Option<Stat>> {
        match self.objects.head(&object_path(path)?).await {
            Ok(meta) => Ok(Some(Stat { size: meta.size, version: meta.e_tag })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.unreadable(path, error)),
        }
    }

    /// Reads a whole small file; `None` where there is none.
    pub(super) async fn read(&self, path: &str) -> Result<Option<Bytes>> {
        let found = match self.objects.get(&object_path(path)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.unreadable(path, error)),
        };
        found.bytes().await.map(Some).map_err(|error| self.unreadable(path, error))
    }

    /// The digest of a file's bytes; `None` where there is no file.
    pub(super) async fn digest(&self, path: &str) -> Result<Option<u128>> {
        let Some(stat) = self.stat(path).await? else { return Ok(None) };
        let mut digest = Xxh3::new();
        let mut begin = 0;
        while begin < stat.size {
            let end = stat.size.min(begin + DIGEST_STEP);
            digest.update(&self.read_range(path, &stat, begin..end).await?);
            begin = end;
        }
        Ok(Some(digest.digest128()))
    }

    /// Reads a part of the file that was looked at; if it has been replaced since, that is an error.
    pub(super) async fn read_range(&self, path: &str, stat: &Stat, range: Range<u64>) -> Result<Bytes> {
        let expected = range.end - range.start;
        let options = GetOptions { range: Some(range.into()), if_match: stat.version.clone(), ..GetOptions::default() };
        let found = match self.objects.get_opts(&object_path(path)?, options).await {
            Ok(found) => found,
            Err(object_store::Error::Precondition { .. }) => return Err(self.replaced(path)),
            Err(error) => return Err(self.unreadable(path, error)),
        };
        let bytes = found.bytes().await.map_err(|error| self.unreadable(path, error))?;
        if bytes.len() as u64 != expected {
            let (shown, found) = (self.shown(path), bytes.len());
            return Err(Error::storage(format!("`{shown}` ends early: {found} of {expected} bytes are there")));
        }
        Ok(bytes)
    }

    /// Opens a file for reading from its beginning. Blocking.
    pub(super) fn reader(&self, path: &str) -> Result<File> {
        let full = self.root.join(path);
        File::open(&full).map_err(|error| failed(&format!("cannot read `{}`", full.display()), error))
    }

    /// The names of the files in a folder, sorted; none where there is no such folder.
    pub(super) async fn files(&self, folder: &str) -> Result<Vec<String>> {
        let listed: Vec<_> = match self.objects.list(Some(&object_path(folder)?)).try_collect().await {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(self.unreadable(folder, error)),
        };
        let mut names: Vec<String> =
            listed.iter().filter_map(|meta| Some(meta.location.filename()?.to_owned())).collect();
        names.sort();
        Ok(names)
    }

    /// The names of the folders at the top, sorted.
    pub(super) async fn folders(&self) -> Result<Vec<String>> {
        let listed = self.objects.list_with_delimiter(None).await.map_err(|error| self.unreadable("", error))?;
        let mut names: Vec<String> =
            listed.common_prefixes.iter().filter_map(|path| Some(path.filename()?.to_owned())).collect();
        names.sort();
        Ok(names)
    }

    /// Begins to write a file that will be at `target`. `dataset` says whose temporary it is. Blocking.
    pub(super) fn draft(&self, dataset: &str, purpose: &str, target: &str) -> Result<Draft> {
        let folder = self.root.join(STAGED).join(dataset);
        let target = self.root.join(target);
        let said = || cannot_write(&target);
        create_folders(&folder).map_err(|error| failed(&said(), error))?;
        for attempt in 0.. {
            let name = format!("{purpose}-{}-{attempt}.{TEMPORARY}", std::process::id());
            let temporary = folder.join(name);
            match File::create_new(&temporary) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(&said(), error)),
                Ok(file) => {
                    // The lock says that this temporary's writer lives; file systems without locks do without.
                    file.try_lock().ok();
                    return Ok(Draft { file, temporary, target, renamed: false });
                }
            }
        }
        Err(Error::internal(said()))
    }

    /// Replaces a small file whole. Blocking.
    pub(super) fn write(&self, dataset: &str, purpose: &str, target: &str, bytes: &[u8]) -> Result<()> {
        let mut draft = self.draft(dataset, purpose, target)?;
        draft.write_all(bytes).map_err(|error| failed(&draft.said(), error))?;
        draft.commit()
    }

    /// Removes a file, so that it is gone after a power loss too. Whether it was there. Blocking.
    pub(super) fn remove(&self, path: &str) -> Result<bool> {
        let path = self.root.join(path);
        let said = || format!("cannot remove `{}`", path.display());
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(&said(), error)),
            Ok(()) => {}
        }
        path.parent().map_or(Ok(()), sync_folder).map_err(|error| failed(&said(), error))?;
        Ok(true)
    }

    /// Removes a temporary unless its writer lives. Whether it was removed. Blocking.
    pub(super) fn remove_abandoned(&self, path: &str) -> Result<bool> {
        let full = self.root.join(path);
        match File::open(&full).map(|file| file.try_lock()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Ok(Err(fs::TryLockError::WouldBlock)) => Ok(false),
            _ => self.remove(path),
        }
    }

    pub(super) fn replaced(&self, path: &str) -> Error {
        Error::new(ErrorKind::Busy, format!("`{}` was replaced while it was read", self.shown(path)))
            .hint("another run publishes into this lake: wait until it has ended")
    }

    fn unreadable(&self, path: &str, error: object_store::Error) -> Error {
        failed(&format!("cannot read `{}`", self.shown(path)), error)
    }
}

/// Whether a file's name is that of a temporary.
pub(super) fn is_temporary(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension == TEMPORARY)
}

/// A file that is being written where nobody looks. Dropping it removes it; [`Draft::commit`] makes it the target.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    renamed: bool,
}

impl Draft {
    /// Replaces the target in one step that survives a power loss, with folders created where they are missing.
    /// Blocking.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.replace().map_err(|error| failed(&cannot_write(&self.target), error))
    }

    fn replace(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let folder = self.target.parent().unwrap_or(Path::new("."));
        create_folders(folder)?;
        fs::rename(&self.temporary, &self.target)?;
        self.renamed = true;
        sync_folder(folder)
    }

    /// Goes on writing into another file, such as one of a full disk.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        self.file = file;
    }

    /// Where it is until it is committed.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// What is said when a library fails to write into this draft: see [`failed`].
    pub(super) fn said(&self) -> String {
        cannot_write(&self.target)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename the name is free and may already be another draft's. Whatever is left over, `sweep` removes.
        if !self.renamed {
            fs::remove_file(&self.temporary).ok();
        }
    }
}

/// Passes bytes on and remembers their digest.
pub(super) struct Digesting<W> {
    inner: W,
    digest: Xxh3,
}

impl<W> Digesting<W> {
    pub(super) fn new(inner: W) -> Digesting<W> {
        Digesting { inner, digest: Xxh3::new() }
    }

    /// The digest of everything that was written.
    pub(super) fn digest(&self) -> u128 {
        self.digest.digest128()
    }

    pub(super) fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn cannot_write(target: &Path) -> String {
    format!("cannot write `{}`", target.display())
}

/// An error that names the file, with the way out that the operating system's own error suggests.
pub(super) fn failed(said: &str, error: impl StdError + Send + Sync + 'static) -> Error {
    let Some(io) = io_error(&error) else { return Error::storage(said).because(error) };
    // What libraries wrap around it adds nothing for a reader.
    let failure = Error::storage(said).because(io.to_string());
    match hint(io.kind()) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The operating system's error among the causes.
fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // An `io::Error` that wraps another one says `Other`.
            if io.kind() != io::ErrorKind::Other {
                return Some(io);
            }
        }
        cause = error.source();
    }
    None
}

fn hint(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space and run the same command again: nothing that was published is harmed")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("give this user the right to write there, or choose another folder with `--lake`")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            Some("there is a file where a folder belongs: move it away, or choose another folder with `--lake`")
        }
        _ => None,
    }
}

/// Creates a folder and those above it, each one durably.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folders(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(above),
    }
}

/// Makes the names in a folder durable; only Unix has the means and the need.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn object_path(path: &str) -> Result<ObjectPath> {
    ObjectPath::parse(path).map_err(|error| Error::internal(format!("`{path}` is no path in a lake")).because(error))
}
