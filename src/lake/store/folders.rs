//! Whole folders of the lake: listed, moved, exchanged and removed. Blocking, but for the listing.

use std::fs;
use std::io;
use std::path::Path;

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore};

use super::{Store, create_folders, failed, object_path, sync_folder};
use crate::error::{Error, Result};

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lake) struct Listed {
    /// Its path below the folder that was listed.
    pub(in crate::lake) path: String,
    /// Bytes.
    pub(in crate::lake) size: u64,
}

/// How two folders change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lake) enum Swap {
    /// In one step where the system can, otherwise as by [`Swap::Renames`].
    Exchange,
    /// In two steps, between which there is no folder where the old one was.
    Renames,
}

impl Store {
    /// The folders and the files right in a folder, each sorted; nothing where there is no such folder.
    pub(in crate::lake) async fn entries(&self, folder: &str) -> Result<(Vec<String>, Vec<Listed>)> {
        let path = object_path(folder)?;
        let listed = self.objects.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|error| self.unreadable(folder, error))?;
        let names = listed.common_prefixes.iter().filter_map(|path| Some(path.filename()?.to_owned()));
        let mut folders: Vec<String> = names.collect();
        folders.sort();
        Ok((folders, below(folder, listed.objects)))
    }

    /// All files in and below a folder, sorted; nothing where there is no such folder.
    pub(in crate::lake) async fn tree(&self, folder: &str) -> Result<Vec<Listed>> {
        let listed = self.objects.list(Some(&object_path(folder)?)).try_collect::<Vec<_>>().await;
        Ok(below(folder, listed.map_err(|error| self.unreadable(folder, error))?))
    }

    /// Whether there is anything of this name.
    pub(in crate::lake) fn has(&self, path: &str) -> Result<bool> {
        let path = self.root.join(path);
        path.try_exists().map_err(|error| failed(&format!("cannot look at `{}`", path.display()), error))
    }

    /// Whether the name stands for a folder elsewhere.
    pub(in crate::lake) fn is_link(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root.join(path)).is_ok_and(|metadata| metadata.is_symlink())
    }

    /// Removes a folder with everything in it. Whether it was there.
    pub(in crate::lake) fn remove_folder(&self, path: &str) -> Result<bool> {
        let full = self.root.join(path);
        let said = || format!("cannot remove `{}`", full.display());
        match fs::remove_dir_all(&full) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed(&said(), error)),
            Ok(()) => {}
        }
        full.parent().map_or(Ok(()), sync_folder).map_err(|error| failed(&said(), error))?;
        Ok(true)
    }

    /// Puts the folder `new` where `live` is, and `live` where `new` was or, in two steps, at `aside`. Where the two
    /// steps were cut off before the second, doing it again does the second.
    pub(in crate::lake) fn swap_folders(&self, new: &str, live: &str, aside: &str, swap: Swap) -> Result<()> {
        let [new, live, aside] = [new, live, aside].map(|path| self.root.join(path));
        let work = || {
            if !live.try_exists()? {
                fs::rename(&new, &live)?;
            } else if swap == Swap::Renames || !exchange(&new, &live)? {
                fs::rename(&live, &aside)?;
                // Durable in this order: a folder that is nowhere would be lost.
                sync_both(&live, &aside)?;
                fs::rename(&new, &live)?;
            }
            sync_both(&live, &new)
        };
        work().map_err(|error: io::Error| {
            failed(&format!("cannot put `{}` in the place of `{}`", new.display(), live.display()), error)
        })
    }

    /// The bytes that are free on the lake's disk, where the system says so.
    pub(in crate::lake) fn free_space(&self) -> Option<u64> {
        free_space(&self.root)
    }

    /// Creates a folder, durably.
    pub(in crate::lake) fn create_folder(&self, path: &str) -> Result<()> {
        let path = self.root.join(path);
        create_folders(&path).map_err(|error| failed(&format!("cannot create `{}`", path.display()), error))
    }

    /// An error that says that a folder of the lake leads elsewhere.
    pub(in crate::lake) fn is_elsewhere(&self, path: &str) -> Error {
        Error::storage(format!("`{}` is a link to a folder elsewhere, which cannot be replaced", self.shown(path)))
            .hint("put the folder itself there, or link the whole lake")
    }
}

fn below(folder: &str, objects: Vec<ObjectMeta>) -> Vec<Listed> {
    let relative = |object: &ObjectMeta| {
        let path = object.location.as_ref().strip_prefix(folder)?.strip_prefix('/')?;
        Some(Listed { path: path.to_owned(), size: object.size })
    };
    let mut listed: Vec<Listed> = objects.iter().filter_map(relative).collect();
    listed.sort_by(|one, other| one.path.cmp(&other.path));
    listed
}

fn sync_both(one: &Path, other: &Path) -> io::Result<()> {
    for path in [one, other] {
        path.parent().map_or(Ok(()), sync_folder)?;
    }
    Ok(())
}

/// Exchanges two folders in one step; `false` where the system or the file system cannot.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos"))]
fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
fn exchange(_one: &Path, _other: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(not(unix))]
fn free_space(_folder: &Path) -> Option<u64> {
    None
}
