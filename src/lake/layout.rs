//! Where rows are: partitions, buckets and the paths of their files. Pure.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{Duration, NaiveDate, NaiveTime, Timelike};
use xxhash_rust::xxh3::xxh3_64;

use crate::pipeline::PartitionBy;
use crate::time::{Instant, Window};

/// The folder beside the datasets that holds what is not visible yet.
pub(super) const STAGED: &str = "_staged";
/// The folder beside the datasets that holds rows which broke a quality rule.
pub(super) const QUARANTINE: &str = "_quarantine";
/// The file in a dataset's folder that records its layout.
pub(super) const RECORD: &str = "_hourmark.json";

/// One file of a dataset. Its `Display` is the file's path inside the dataset's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The UTC date on which its hours begin.
    pub date: NaiveDate,
    /// The UTC hour in which its hours begin; `None` where a file holds a whole day.
    pub hour: Option<u8>,
    /// Which share of the accounts it holds.
    pub bucket: u16,
}

impl Partition {
    /// The instants that belong into it.
    pub fn window(&self) -> Window {
        let midnight = self.date.and_time(NaiveTime::MIN).and_utc();
        let (from, length) = match self.hour {
            None => (midnight, Duration::days(1)),
            Some(hour) => (midnight + Duration::hours(i64::from(hour)), Duration::hours(1)),
        };
        Window::new(from, from + length).expect("a day and an hour are longer than nothing")
    }

    /// The partition of a moment.
    pub(super) fn at(moment: Instant, partition_by: PartitionBy, bucket: u16) -> Partition {
        let hour = match partition_by {
            PartitionBy::Date => None,
            PartitionBy::DateHour => u8::try_from(moment.hour()).ok(),
        };
        Partition { date: moment.date_naive(), hour, bucket }
    }
}

impl Partition {
    /// The partition whose file is at `path` inside the dataset's folder; `None` where hourmark would name no file so.
    pub(super) fn parse(path: &str, partition_by: PartitionBy) -> Option<Partition> {
        let mut parts = path.split('/');
        let date = parts.next()?.strip_prefix("date=")?.parse().ok()?;
        let hour = match partition_by {
            PartitionBy::Date => None,
            PartitionBy::DateHour => {
                Some(parts.next()?.strip_prefix("utc_hour=")?.parse().ok().filter(|hour| *hour < 24)?)
            }
        };
        let bucket = parts.next()?.strip_prefix("bucket-")?.strip_suffix(".parquet")?.parse().ok()?;
        let partition = Partition { date, hour, bucket };
        // One spelling only: `bucket-0.parquet` is somebody else's.
        (partition.to_string() == path).then_some(partition)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "date={}/", self.date)?;
        if let Some(hour) = self.hour {
            write!(f, "utc_hour={hour:02}/")?;
        }
        write!(f, "bucket-{:02}.parquet", self.bucket)
    }
}

/// The bucket of an account: the same for ever, on every machine.
pub fn bucket_of(account_id: &str, buckets: u16) -> u16 {
    (xxh3_64(account_id.as_bytes()) % u64::from(buckets.max(1))) as u16
}

/// All partitions that rows of these accounts with hours in `window` can belong to, in order.
pub(super) fn partitions<'a>(
    accounts: impl Iterator<Item = &'a str>,
    window: Window,
    partition_by: PartitionBy,
    buckets: u16,
) -> Vec<Partition> {
    let used: BTreeSet<u16> = accounts.map(|account| bucket_of(account, buckets)).collect();
    let mut found = Vec::new();
    let mut moment = window.from();
    while moment < window.to() {
        let whole = Partition::at(moment, partition_by, 0);
        found.extend(used.iter().map(|bucket| Partition { bucket: *bucket, ..whole }));
        moment = whole.window().to();
    }
    found
}

/// The word for a layout in `_hourmark.json` and in messages, as pipelines write it.
pub(super) fn words(partition_by: PartitionBy) -> Vec<String> {
    let words: &[&str] = match partition_by {
        PartitionBy::Date => &["date"],
        PartitionBy::DateHour => &["date", "hour"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, to: &str) -> Window {
        Window::new(from.parse().expect("from"), to.parse().expect("to")).expect("a window")
    }

    fn paths(found: &[Partition]) -> Vec<String> {
        found.iter().map(Partition::to_string).collect()
    }

    #[test]
    fn a_day_of_a_half_hour_zone_touches_two_dates() {
        let day = window("2026-11-19T18:30:00Z", "2026-11-20T18:30:00Z");
        let found = partitions(["a"].into_iter(), day, PartitionBy::Date, 1);
        assert_eq!(paths(&found), ["date=2026-11-19/bucket-00.parquet", "date=2026-11-20/bucket-00.parquet"]);
    }

    #[test]
    fn hours_have_their_own_folders() {
        let two = window("2026-11-20T08:30:00Z", "2026-11-20T10:00:00Z");
        let found = partitions(["a"].into_iter(), two, PartitionBy::DateHour, 1);
        assert_eq!(
            paths(&found),
            ["date=2026-11-20/utc_hour=08/bucket-00.parquet", "date=2026-11-20/utc_hour=09/bucket-00.parquet"]
        );
        assert_eq!(found[0].window(), window("2026-11-20T08:00:00Z", "2026-11-20T09:00:00Z"));
    }

    #[test]
    fn only_a_partitions_own_path_is_read_as_one() {
        let partition = Partition { date: "2026-11-20".parse().expect("a date"), hour: None, bucket: 7 };
        for (partition, partition_by) in [
            (partition, PartitionBy::Date),
            (Partition { hour: Some(9), bucket: 130, ..partition }, PartitionBy::DateHour),
        ] {
            assert_eq!(Partition::parse(&partition.to_string(), partition_by), Some(partition));
        }
        for (path, partition_by) in [
            ("date=2026-11-20/bucket-7.parquet", PartitionBy::Date),
            ("date=2026-11-20/bucket-07.parquet.tmp", PartitionBy::Date),
            ("date=2026-11-20/bucket-07.parquet/x", PartitionBy::Date),
            ("date=2026-11-20/bucket-07.parquet", PartitionBy::DateHour),
            ("date=2026-11-20/utc_hour=09/bucket-07.parquet", PartitionBy::Date),
            ("date=2026-11-20/utc_hour=24/bucket-07.parquet", PartitionBy::DateHour),
            ("_hourmark.json", PartitionBy::Date),
        ] {
            assert_eq!(Partition::parse(path, partition_by), None, "{path}");
        }
    }

    #[test]
    fn buckets_never_move() {
        // These values are a promise: files of existing lakes are found by them.
        let ids = ["act_1", "act_2", "9007199254740993", "ünïcode"];
        let found: Vec<u16> = ids.iter().map(|id| bucket_of(id, 64)).collect();
        assert_eq!(found, [30, 60, 1, 7]);
        assert_eq!(bucket_of("act_1", 1), 0);
    }
}
