//! The file in which a refresh token is kept that a platform gave in the place of another.
//!
//! Whoever reads it holds the lock of a second file beside it until what came of the token is written, or two processes
//! would both spend the same token and one of the new ones would be lost. The new text is written beside the old one,
//! made durable and put into its place by one rename.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::secret::Secret;

/// The file, held for this process alone.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    /// Dropped, it is unlocked.
    _lock: File,
    /// Where the next token will be written: made before the old one is spent, so that a folder nobody may write to is
    /// found out in time.
    next: Option<File>,
}

impl Kept {
    /// Makes the folder where there is none and takes the lock; `None` where another process has it.
    ///
    /// # Errors
    /// [`Storage`](crate::error::ErrorKind::Storage): the folder or the files in it cannot be made.
    pub fn open(path: &Path) -> Result<Option<Kept>> {
        let opened = || {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                folders(folder)?;
            }
            let lock = private().truncate(false).open(beside(path, ".lock"))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            Ok(Some((lock, new_file(&beside(path, ".new"))?)))
        };
        let opened = opened().map_err(|error| unusable("cannot write beside", path, error))?;
        Ok(opened.map(|(lock, next)| Kept { path: path.to_owned(), _lock: lock, next: Some(next) }))
    }

    /// The token that is kept, if one is.
    ///
    /// # Errors
    /// [`Storage`](crate::error::ErrorKind::Storage): the file is there and cannot be read.
    pub fn read(&self) -> Result<Option<Secret>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Ok(Some(Secret::new(text.trim()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable("cannot read", &self.path, error)),
        }
    }

    /// Puts `token` into the place of what is kept. When this returns, it is there for good.
    ///
    /// # Errors
    /// [`Storage`](crate::error::ErrorKind::Storage): what was kept is still there.
    pub fn write(&mut self, token: &Secret) -> Result<()> {
        let next = beside(&self.path, ".new");
        let mut written = || {
            let mut file = match self.next.take() {
                Some(file) => file,
                None => new_file(&next)?,
            };
            file.write_all(token.expose().as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            drop(file);
            std::fs::rename(&next, &self.path)?;
            durable_folder(&self.path)
        };
        written().map_err(|error| unusable("cannot write", &self.path, error))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.next.take().is_some() {
            // Empty: nothing was to be written. Left behind it would only be overwritten.
            let _removed = std::fs::remove_file(beside(&self.path, ".new"));
        }
    }
}

/// An empty file that only this user reads, in the place of whatever a killed process left there.
fn new_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    private().create_new(true).open(path)
}

/// For writing, and for this user's eyes only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn folders(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the rename durable, where folders can be opened.
fn durable_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

fn unusable(what: &str, path: &Path, error: io::Error) -> Error {
    Error::storage(format!("{what} the kept refresh token `{}` (`auth.keep`)", path.display()))
        .because(error)
        .hint("its folder must be one that this user may write to, on a disk with room")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_is_read_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secrets/acme");
        let mut kept = Kept::open(&path).expect("opened").expect("free");
        assert!(kept.read().expect("read").is_none());
        for token in ["first", "second"] {
            kept.write(&Secret::new(token)).expect("written");
            assert_eq!(kept.read().expect("read").expect("a token").expose(), token);
        }
        drop(kept);
        assert_eq!(names(&folder.path().join("secrets")), ["acme", "acme.lock"]);
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "second\n");
        let kept = Kept::open(&path).expect("opened").expect("free");
        drop(kept);
        assert_eq!(names(&folder.path().join("secrets")), ["acme", "acme.lock"], "reading leaves nothing");
    }

    #[cfg(unix)]
    #[test]
    fn only_this_user_reads_it_whatever_a_killed_process_left() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("acme");
        let left = folder.path().join("acme.new");
        std::fs::write(&left, "half a tok").expect("a file");
        std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o644)).expect("readable for all");
        Kept::open(&path).expect("opened").expect("free").write(&Secret::new("token")).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "token\n");
        for name in ["acme", "acme.lock"] {
            let mode = std::fs::metadata(folder.path().join(name)).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("acme");
        let first = Kept::open(&path).expect("opened").expect("free");
        assert!(Kept::open(&path).expect("no error").is_none(), "another has it");
        drop(first);
        assert!(Kept::open(&path).expect("opened").is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_is_told_before_anything_is_spent() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("file"), "").expect("a file");
        let error = Kept::open(&folder.path().join("file/acme")).expect_err("no folder").report();
        assert!(error.contains("`auth.keep`") && error.contains("file/acme"), "{error}");
    }
}
