//! The files of cassettes below a lake: written whole, listed by the moment in their names, removed by age and size.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use super::format::{Header, Line};
use crate::error::{Error, Result};
use crate::time::Instant;

/// The folder of all cassettes in a lake.
pub const RAW: &str = "_raw";
/// How a file's name begins: the moment of its first request.
const MOMENT: &str = "%Y%m%dT%H%M%SZ";
/// How the name of a cassette of campaigns' lists goes on.
pub(super) const CAMPAIGNS: &str = "campaigns";
const COMPRESSED: &str = ".jsonl.zst";
const PLAIN: &str = ".jsonl";
const TEMPORARY: &str = ".tmp";

/// The cassettes of one pipeline. Its functions block.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

/// A file on the shelf.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// When its first request was sent, in whole seconds, as its name says.
    pub moment: Instant,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Kept {
    /// Whether it holds lists of campaigns that were read for themselves.
    pub fn is_of_campaigns(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(&format!("-{CAMPAIGNS}-"))
    }
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Shelf {
    /// That of `pipeline` in the lake at `root`.
    pub fn new(root: &Path, pipeline: &str) -> Shelf {
        Shelf { folder: root.join(RAW).join(pipeline) }
    }

    /// The names of the pipelines that have cassettes in the lake at `root`, sorted.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn pipelines(root: &Path) -> Result<Vec<String>> {
        let folder = root.join(RAW);
        let mut names = Vec::new();
        for entry in entries(&folder)? {
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a cassette so that it is there whole or not at all; `name` says what it is of. Gives its path.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write(&self, fetched_at: Instant, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let folder = self.folder.join(fetched_at.date_naive().to_string());
        let path = folder.join(format!("{}-{name}{COMPRESSED}", fetched_at.format(MOMENT)));
        let temporary = folder.join(format!("{}-{name}{TEMPORARY}", fetched_at.format(MOMENT)));
        let work = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        if let Err(error) = work() {
            // What is left of it is removed with its day at the latest.
            fs::remove_file(&temporary).ok();
            return Err(Error::storage(format!("cannot write the cassette `{}`", path.display())).because(error));
        }
        Ok(path)
    }

    /// All cassettes, oldest first.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn list(&self) -> Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for day in self.days()? {
            kept.extend(cassettes_in(&self.folder.join(day.to_string()))?);
        }
        kept.sort();
        Ok(kept)
    }

    fn days(&self) -> Result<Vec<NaiveDate>> {
        let mut days: Vec<NaiveDate> = Vec::new();
        for entry in entries(&self.folder)? {
            days.extend(entry.file_name().to_str().and_then(|name| name.parse::<NaiveDate>().ok()));
        }
        days.sort();
        Ok(days)
    }

    /// Removes the folders of days that ended more than `age` before `now`, and then the oldest files until no more than
    /// `size` bytes are left.
    ///
    /// # Errors
    /// Names the file that cannot be removed; what was removed before is gone.
    pub fn sweep(&self, now: Instant, age: Duration, size: u64) -> Result<Swept> {
        let mut swept = Swept::default();
        let oldest = TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age));
        for day in self.days()? {
            let folder = self.folder.join(day.to_string());
            let end = day.succ_opt().map(|next| next.and_time(chrono::NaiveTime::MIN).and_utc());
            if let (Some(end), Some(oldest)) = (end, oldest)
                && end <= oldest
            {
                for file in cassettes_in(&folder)? {
                    swept.files += 1;
                    swept.bytes += file.bytes;
                }
                fs::remove_dir_all(&folder).map_err(|error| unremovable(&folder, error))?;
            }
        }
        let kept = self.list()?;
        let mut total: u64 = kept.iter().map(|file| file.bytes).sum();
        for file in kept {
            if total <= size {
                break;
            }
            fs::remove_file(&file.path).map_err(|error| unremovable(&file.path, error))?;
            total -= file.bytes;
            swept.files += 1;
            swept.bytes += file.bytes;
        }
        Ok(swept)
    }
}

fn unremovable(path: &Path, error: io::Error) -> Error {
    Error::storage(format!("cannot remove `{}`", path.display())).because(error)
}

/// The cassettes in `folder` and below it, or the file itself, oldest first; plain ones as well.
///
/// # Errors
/// A path that cannot be read.
pub fn find(path: &Path) -> Result<Vec<Kept>> {
    let mut found = Vec::new();
    if path.is_dir() {
        for entry in entries(path)? {
            found.extend(match entry.path() {
                folder if folder.is_dir() => find(&folder)?,
                file => of_file(&file)?.into_iter().collect(),
            });
        }
    } else {
        let stat = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        let moment = moment_of(path).unwrap_or_default();
        found.push(Kept { moment, path: path.to_owned(), bytes: stat.len() });
    }
    found.sort();
    Ok(found)
}

fn cassettes_in(folder: &Path) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for entry in entries(folder)? {
        kept.extend(of_file(&entry.path())?);
    }
    Ok(kept)
}

fn of_file(path: &Path) -> Result<Option<Kept>> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if !name.ends_with(COMPRESSED) && !name.ends_with(PLAIN) {
        return Ok(None);
    }
    match fs::metadata(path) {
        Ok(stat) => {
            Ok(Some(Kept { moment: moment_of(path).unwrap_or_default(), path: path.to_owned(), bytes: stat.len() }))
        }
        // A run's sweep came first.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn moment_of(path: &Path) -> Option<Instant> {
    let name = path.file_name()?.to_str()?;
    let (moment, _) = name.split_once('-')?;
    Some(NaiveDateTime::parse_from_str(moment, MOMENT).ok()?.and_utc())
}

/// What is in a folder; nothing where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder).and_then(Iterator::collect) {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unreadable(folder, error)),
    }
}

fn unreadable(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::storage(format!("cannot read `{}`", path.display())).because(error)
}

/// An open cassette.
#[derive(Debug)]
pub struct Cassette {
    /// Its first line.
    pub header: Header,
    /// The others.
    pub lines: Lines,
}

/// The lines after the header, one after the other; the last is [`Line::End`], or an error.
pub struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    ended: bool,
}

impl Cassette {
    /// Opens a file, compressed or plain, and reads its header.
    ///
    /// # Errors
    /// Names the file that cannot be read or is no cassette.
    pub fn open(path: &Path) -> Result<Cassette> {
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        let compressed = path.extension().is_some_and(|extension| extension == "zst");
        let mut reader: Box<dyn BufRead + Send> = if compressed {
            let decoder = zstd::stream::read::Decoder::new(file).map_err(|error| unreadable(path, error))?;
            Box::new(BufReader::new(decoder))
        } else {
            Box::new(BufReader::new(file))
        };
        let mut line = String::new();
        reader.read_line(&mut line).map_err(|error| unreadable(path, error))?;
        let header = Header::parse(&line).map_err(|error| unreadable(path, error.report()))?;
        Ok(Cassette { header, lines: Lines { path: path.to_owned(), reader, ended: false } })
    }
}

impl Lines {
    fn read(&mut self) -> Result<Line> {
        let mut text = String::new();
        let read = self.reader.read_line(&mut text).map_err(|error| unreadable(&self.path, error))?;
        if read == 0 {
            return Err(unreadable(&self.path, "it was cut off: its last line is missing"));
        }
        serde_json::from_str(&text).map_err(|error| unreadable(&self.path, error))
    }
}

impl Iterator for Lines {
    type Item = Result<Line>;

    fn next(&mut self) -> Option<Result<Line>> {
        if self.ended {
            return None;
        }
        let line = self.read();
        self.ended = matches!(line, Ok(Line::End { .. }) | Err(_));
        Some(line)
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    fn at(text: &str) -> Instant {
        text.parse().expect("an instant")
    }

    fn shelf(folder: &tempfile::TempDir, moments: &[&str]) -> Shelf {
        let shelf = Shelf::new(folder.path(), "demo");
        for (number, moment) in moments.iter().enumerate() {
            shelf.write(at(moment), &format!("{number:016x}"), &[0; 100]).expect("written");
        }
        shelf
    }

    fn days(shelf: &Shelf) -> Vec<String> {
        shelf.list().expect("a list").iter().map(|kept| kept.moment.format("%dT%H").to_string()).collect()
    }

    #[test]
    fn names_hold_the_moment_and_the_oldest_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = shelf(&folder, &["2026-11-20T12:00:01.9Z", "2026-11-19T23:59:59Z"]);
        let paths: Vec<String> = shelf
            .list()
            .expect("a list")
            .iter()
            .map(|kept| kept.path.strip_prefix(folder.path()).expect("inside").display().to_string())
            .collect();
        assert_eq!(
            paths,
            [
                "_raw/demo/2026-11-19/20261119T235959Z-0000000000000001.jsonl.zst",
                "_raw/demo/2026-11-20/20261120T120001Z-0000000000000000.jsonl.zst"
            ]
        );
        assert_eq!(Shelf::pipelines(folder.path()).expect("names"), ["demo"]);
    }

    #[test]
    fn a_day_goes_when_all_of_it_is_too_old() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = shelf(&folder, &["2026-11-18T00:00:00Z", "2026-11-19T23:00:00Z", "2026-11-20T01:00:00Z"]);
        let day = Duration::from_secs(24 * HOUR);
        let sweep = |now: &str| shelf.sweep(at(now), day, u64::MAX).expect("swept").files;
        assert_eq!(sweep("2026-11-19T23:59:59Z"), 0);
        assert_eq!(sweep("2026-11-20T00:00:00Z"), 1);
        assert_eq!(days(&shelf), ["19T23", "20T01"]);
        assert_eq!(sweep("2027-01-01T00:00:00Z"), 2);
        assert!(!shelf.folder().join("2026-11-20").exists());
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = shelf(&folder, &["2026-11-20T03:00:00Z", "2026-11-20T01:00:00Z", "2026-11-20T02:00:00Z"]);
        let sweep = |size| shelf.sweep(at("2026-11-20T12:00:00Z"), Duration::from_secs(HOUR), size).expect("swept");
        assert_eq!(sweep(300), Swept::default());
        assert_eq!(sweep(299), Swept { files: 1, bytes: 100 });
        assert_eq!(days(&shelf), ["20T02", "20T03"]);
    }

    #[test]
    fn what_cannot_be_read_says_which_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.jsonl.zst");
        std::fs::write(&path, b"no zstd").expect("a file");
        let error = Cassette::open(&path).expect_err("broken").report();
        assert!(error.contains("x.jsonl.zst"), "{error}");
    }
}
