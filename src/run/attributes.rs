//! After the rows: what is known of campaigns is read anew where it is due, and followed in the lake.
//!
//! Nothing here is worth failing a run for: a list that cannot be read is told and asked for again in the next run. What
//! cannot be written fails it as rows would.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use futures::StreamExt;

use super::{Run, RunReport};
use crate::cassette::{RecordedAccount, Tape};
use crate::error::{Error, Result};
use crate::fetch::UnitFailure;
use crate::lake::Versions;
use crate::merge::{CampaignReading, Followed};
use crate::pipeline::Pipeline;
use crate::pipeline::schema::versions_schema;
use crate::plan::Ask;
use crate::state::{AttributeReading, KnownAccount};
use crate::time::Instant;
use crate::unit::Account;

/// So many accounts' lists are read before they are followed: what a cut costs, against how often a file is written.
const AT_ONCE: usize = 500;

/// What a run made of campaigns' attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CampaignsFollowed {
    /// Accounts whose campaigns were read and followed.
    pub accounts: u64,
    /// Versions that began.
    pub begun: u64,
    /// Versions that ended.
    pub ended: u64,
    /// Accounts whose campaigns could not be read, or told an empty list though some are known: they stay as they are.
    pub unread: u64,
    /// Why, of the first of them.
    pub why: Option<String>,
}

/// The accounts whose campaigns' attributes are to be read: in a run for what is due those that were read as long ago as the
/// pipeline says, in any run those that never were. The longest unread come first.
pub fn attributes_due<'k>(
    pipeline: &Pipeline,
    readings: &HashMap<String, AttributeReading>,
    known: &'k [KnownAccount],
    ask: Ask,
    now: Instant,
) -> Vec<&'k Account> {
    let Some(list) = pipeline.campaigns.as_ref().filter(|list| !list.columns.is_empty()) else { return Vec::new() };
    let every = TimeDelta::from_std(list.list.every).unwrap_or(TimeDelta::MAX);
    let read_at = |account: &Account| readings.get(&account.id).map(|reading| reading.read_at);
    let is_due = |account: &&Account| match read_at(account) {
        None => true,
        Some(read_at) => ask == Ask::Due && now - read_at >= every,
    };
    let mut due: Vec<&Account> = known.iter().map(|known| &known.account).filter(is_due).collect();
    due.sort_by_key(|account| read_at(account));
    due
}

/// What came of reading some accounts' lists.
#[derive(Default)]
struct ReadLists {
    readings: Vec<CampaignReading>,
    /// No other list can be read in this run.
    is_over: bool,
}

impl Run<'_> {
    /// Opens what is known of the pipeline's campaigns; `None` where it keeps nothing of them.
    pub(super) async fn open_versions(&self) -> Result<Option<Versions>> {
        let Some(list) = self.pipeline.campaigns.as_ref().filter(|list| !list.columns.is_empty()) else {
            return Ok(None);
        };
        let (name, buckets) = (&self.pipeline.name, self.pipeline.lake.buckets);
        self.environment.lake.versions(name, &versions_schema(&list.columns), buckets).await.map(Some)
    }

    /// Reads the attributes that are due, and those that came with lists which this run has read anyway, and follows them
    /// in the lake.
    pub(super) async fn follow_campaigns(
        &self,
        versions: Option<&Versions>,
        known: &[KnownAccount],
        ask: Ask,
        report: &mut RunReport,
    ) -> Result<()> {
        let Some(versions) = versions.filter(|_| report.fatal.is_none()) else { return Ok(()) };
        let read_before = self.environment.state.attribute_readings(&self.pipeline.name).await?;
        let now = self.environment.clock.now();
        // Those that cost no request come first, and are all there is where the platform has said to wait.
        let (mut accounts, mut due): (Vec<&Account>, Vec<&Account>) = (Vec::new(), Vec::new());
        accounts.extend(known.iter().map(|known| &known.account).filter(|it| self.fetch.has_attributes(&it.id)));
        if !report.waits {
            due = attributes_due(&self.pipeline, &read_before, known, ask, now);
            due.retain(|account| !self.fetch.has_attributes(&account.id));
        }
        accounts.extend(due);
        for some in accounts.chunks(AT_ONCE) {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let ReadLists { readings, is_over } = self.read_lists(some, report).await?;
            self.publish_versions(versions, readings, &read_before, report).await?;
            if is_over {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the lists of `accounts`, on a cassette of their own.
    async fn read_lists(&self, accounts: &[&Account], report: &mut RunReport) -> Result<ReadLists> {
        let asked: Vec<_> = accounts.iter().filter(|it| !self.fetch.has_attributes(&it.id)).collect();
        let recorded: Vec<RecordedAccount> = asked.into_iter().map(|account| RecordedAccount::from(*account)).collect();
        let (tape, began) = (self.recording.tape(), self.environment.clock.now());
        let read = self.read_on(&tape, accounts, report).await;
        if !recorded.is_empty() {
            let header = crate::cassette::Header { accounts: recorded, ..self.recording.header(began) };
            self.recording.keep_campaigns(tape, header).await;
        }
        read
    }

    async fn read_on(&self, tape: &Tape, accounts: &[&Account], report: &mut RunReport) -> Result<ReadLists> {
        // What ends the reading for all ends it for those under way too, in good order.
        let halt = self.stop.child_token();
        let take = |account: Account| {
            let halt = halt.clone();
            async move {
                let taken = self.fetch.take_attributes(&account, &halt, tape).await;
                (account, taken)
            }
        };
        let workers = self.environment.workers.max(1);
        let accounts: Vec<Account> = accounts.iter().map(|account| (*account).clone()).collect();
        let mut all = futures::stream::iter(accounts).map(take).buffer_unordered(workers);
        let mut lists = ReadLists::default();
        let mut broken = None;
        while let Some((account, taken)) = all.next().await {
            match taken {
                Ok(reading) => lists.readings.extend(reading),
                // Its rows tell that it is gone.
                Err(UnitFailure::Gone(_)) => {}
                Err(UnitFailure::Stopped) => lists.is_over = true,
                Err(UnitFailure::Broken { kind, report }) => {
                    halt.cancel();
                    broken.get_or_insert(Error::new(kind, report));
                }
                Err(failure) => {
                    lists.is_over |= self.ends_all(&failure);
                    if lists.is_over {
                        halt.cancel();
                    }
                    report.campaigns.miss(&account.id, &failure.to_string());
                }
            }
        }
        broken.map_or(Ok(lists), Err)
    }

    /// Whether no other list fares better.
    fn ends_all(&self, failure: &UnitFailure) -> bool {
        match failure {
            UnitFailure::Failed { fatal, .. } => *fatal,
            UnitFailure::ComeBack { .. } => {
                self.fetch.quotas().closed().is_some_and(|(wait, _)| wait > self.pipeline.retry.patience())
            }
            UnitFailure::Broken { .. } | UnitFailure::Stopped => true,
            UnitFailure::Gone(_) => false,
        }
    }

    /// Follows what was read, one bucket's file after the other, and then remembers that it was read.
    async fn publish_versions(
        &self,
        versions: &Versions,
        readings: Vec<CampaignReading>,
        read_before: &HashMap<String, AttributeReading>,
        report: &mut RunReport,
    ) -> Result<()> {
        let mut buckets: BTreeMap<u16, Vec<CampaignReading>> = BTreeMap::new();
        for reading in readings {
            // A list from the cache may be the one that was followed already.
            let is_new = |before: &AttributeReading| reading.read_at.timestamp() > before.read_at.timestamp();
            if read_before.get(&reading.account).is_none_or(is_new) {
                buckets.entry(versions.bucket_of(&reading.account)).or_default().push(reading);
            }
        }
        for (bucket, readings) in buckets {
            let moments: Vec<Instant> = readings.iter().map(|reading| reading.read_at).collect();
            let published = versions.follow(bucket, readings, self.lease.token().unsigned_abs()).await?;
            let mut read = Vec::with_capacity(moments.len());
            for (end, read_at) in published.accounts.into_iter().zip(moments) {
                report.campaigns.count(&end.account, end.followed);
                if end.followed != Followed::Late {
                    read.push((end.account, AttributeReading { read_at, versions: end.versions }));
                }
            }
            self.environment.state.record_attributes(&self.lease, &read).await?;
        }
        Ok(())
    }
}

impl CampaignsFollowed {
    fn count(&mut self, account: &str, followed: Followed) {
        match followed {
            Followed::Unchanged => self.accounts += 1,
            Followed::Changed { begun, ended } => {
                self.accounts += 1;
                self.begun += begun;
                self.ended += ended;
            }
            Followed::Late => tracing::warn!(account, "its list of campaigns is older than what is known of them"),
            Followed::Empty => {
                self.miss(account, "the list of its campaigns is empty: those that are known stay as they are")
            }
        }
    }

    fn miss(&mut self, account: &str, why: &str) {
        tracing::warn!(account, "attributes of its campaigns were not read: {why}");
        self.unread += 1;
        self.why.get_or_insert_with(|| format!("account {account}: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pipeline::{CampaignList, Column, ColumnKind, Listing};
    use crate::request::tests::{account, at, pages, path, pipeline, texts};

    #[test]
    fn what_was_read_longest_ago_is_due_first_and_what_was_never_read_is_due_in_every_run() {
        let mut acme = pipeline("https://api.test");
        let now = at("2026-11-20T12:00:00Z");
        let known: Vec<KnownAccount> = ["1", "2", "3", "4"]
            .map(|id| KnownAccount {
                account: account(id, "UTC"),
                watermark: now,
                started: now,
                first_seen: now,
                last_listed: now,
            })
            .to_vec();
        let reading = |moment: &str| AttributeReading { read_at: at(moment), versions: 1 };
        let readings = HashMap::from([
            ("1".to_owned(), reading("2026-11-20T11:00:00Z")),
            ("2".to_owned(), reading("2026-11-20T11:00:01Z")),
            ("4".to_owned(), reading("2026-11-20T09:00:00Z")),
        ]);
        let due = |pipeline: &Pipeline, ask| -> Vec<String> {
            attributes_due(pipeline, &readings, &known, ask, now).into_iter().map(|it| it.id.clone()).collect()
        };
        assert!(due(&acme, Ask::Due).is_empty(), "no list at all");
        let list = Listing {
            method: crate::pipeline::Method::Get,
            secrets: vec![],
            body: crate::pipeline::Body::None,
            server: None,
            id_after: None,
            path: "/campaigns".into(),
            query: texts(&[]),
            pagination: pages(crate::pipeline::PaginationKind::None),
            records: acme.records.clone(),
            id: path("id"),
            name: None,
            every: Duration::from_secs(3600),
            verbatim: true,
        };
        acme.campaigns = Some(CampaignList { list, currency: None, columns: Vec::new() });
        assert!(due(&acme, Ask::Due).is_empty(), "a list without attributes");
        let (name, from, kind) = ("status".to_owned(), path("status"), ColumnKind::Text);
        let status =
            Column { name, from, kind, pick: None, default: None, required: false, manner: Default::default() };
        acme.campaigns.as_mut().expect("a list").columns.push(status);
        assert_eq!(due(&acme, Ask::Due), ["3", "4", "1"]);
        assert_eq!(due(&acme, Ask::Repair), ["3"]);
        acme.campaigns.as_mut().expect("a list").list.every = Duration::ZERO;
        assert_eq!(due(&acme, Ask::Due), ["3", "4", "1", "2"]);
    }
}
