//! `status`: per pipeline and account how far it is, and a picture of its hours.

use std::collections::HashMap;

use chrono::Duration;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::error::{Error, Outcome, Result};
use crate::ledger::{AccountLedger, Found, day_of};
use crate::pipeline::Pipeline;
use crate::refresh::{Grid, HourState, Refresh};
use crate::run::refresh_of;
use crate::state::{AttributeReading, FailedUnit, KnownAccount, Quarantined, RunRecord, Skip, State};
use crate::time::{Instant, Window, short, slot, slot_start};

use super::arguments::{ListFormat, StatusArguments};
use super::heatmap::Heatmap;
use super::quarantine;
use super::report::span;
use super::screen::Screen;
use super::settings::Settings;
use super::why::Why;

/// Accounts listed as text; all of them are in the JSON.
const ACCOUNTS_SHOWN: usize = 30;

pub(super) async fn status(settings: &Settings, screen: &Screen, arguments: &StatusArguments) -> Result<Outcome> {
    let pipelines = settings.pipelines(&arguments.pipelines)?;
    let Some(state) = settings.known_state().await? else {
        return Err(Error::bad_input(format!("nothing has run yet: there is no state `{}`", settings.state.display()))
            .hint("`hourmark run` or `hourmark demo` begins one; --state names another"));
    };
    let mut documents = Vec::new();
    for pipeline in &pipelines {
        let refresh = refresh_of(Some(&state), pipeline.clone()).await?;
        let why = match arguments.why {
            true => Some(Why::read(&state, &refresh).await?),
            false => None,
        };
        let facts = Facts::read(&state, &refresh, settings.clock.now(), i64::from(arguments.days)).await?;
        match (arguments.format, why) {
            (ListFormat::Text, None) => screen.result(&facts.text()),
            (ListFormat::Text, Some(why)) => screen.result(&why.text()),
            (ListFormat::Json, why) => {
                let mut document = facts.json();
                document["why"] = why.map_or(Value::Null, |why| why.json());
                documents.push(document);
            }
        }
    }
    if arguments.format == ListFormat::Json {
        screen.result(&Value::from(documents).to_string());
    }
    Ok(Outcome::Done)
}

/// What is shown of one pipeline.
pub(super) struct Facts<'a> {
    pipeline: &'a Pipeline,
    refresh: &'a Refresh,
    accounts: Vec<AccountFacts>,
    heatmap: Heatmap,
    last_run: Option<RunRecord>,
    failed: Vec<FailedUnit>,
    quarantined: Vec<Quarantined>,
    skipped: Vec<Skip>,
    /// The last reading of each account's campaigns' attributes.
    attributes: HashMap<String, AttributeReading>,
    now: Instant,
    days: i64,
}

struct AccountFacts {
    known: KnownAccount,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    missing: u32,
    provisional: u32,
    settling: u32,
    end: u32,
    suspicious: u32,
}

impl<'a> Facts<'a> {
    pub(super) async fn read(state: &State, refresh: &'a Refresh, now: Instant, days: i64) -> Result<Facts<'a>> {
        let pipeline = refresh.pipeline();
        let from = slot_start(slot(now) - days * 24);
        let ledgers = state.ledgers(&pipeline.name, from - Duration::days(1), now).await?;
        let mut facts = Facts {
            pipeline,
            refresh,
            accounts: Vec::new(),
            heatmap: Heatmap::default(),
            last_run: state.last_runs(&pipeline.name, 1).await?.into_iter().next(),
            failed: state.failed_units(&pipeline.name).await?,
            quarantined: state.quarantined(&pipeline.name).await?,
            skipped: state.skipped(&pipeline.name).await?,
            attributes: state.attribute_readings(&pipeline.name).await?,
            now,
            days,
        };
        let mut grid = Grid::default();
        for known in state.accounts(&pipeline.name).await? {
            facts.count(known, from, &ledgers, &mut grid);
        }
        Ok(facts)
    }

    fn count(&mut self, known: KnownAccount, from: Instant, ledgers: &HashMap<String, AccountLedger>, grid: &mut Grid) {
        let nothing = AccountLedger::default();
        let ledger = ledgers.get(&known.account.id).unwrap_or(&nothing);
        let mut counts = Counts::default();
        let Some(shown) = Window::new(from, self.now) else { return };
        for day in day_of(slot(from))..=day_of(slot(self.now)) {
            for hour in grid.day(self.pipeline, &known.account, day).iter() {
                let cell = ledger.cell(slot(hour.begin));
                // An hour that nobody has asked for yet is missing only once it was due.
                let due = hour.end + self.pipeline.window.settle <= self.now && hour.begin >= known.started;
                if !shown.contains(hour.begin) || hour.end > self.now || (cell.is_none() && !due) {
                    continue;
                }
                let state = self.refresh.state(&known.account.id, hour, cell.as_ref(), self.now);
                let at = slot_start(slot(hour.begin)).naive_utc();
                self.heatmap.add(at.date(), chrono::Timelike::hour(&at) as usize, state);
                counts.suspicious += u32::from(cell.is_some_and(|cell| cell.found == Found::Suspicious));
                match state {
                    HourState::Missing => counts.missing += 1,
                    HourState::Provisional => counts.provisional += 1,
                    HourState::Settling => counts.settling += 1,
                    HourState::Final => counts.end += 1,
                }
            }
        }
        self.accounts.push(AccountFacts { known, counts });
    }

    fn lag(&self, known: &KnownAccount) -> std::time::Duration {
        (self.now - known.watermark).to_std().unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("{} ({})", self.pipeline.name, self.pipeline.platform)];
        lines.push(match &self.last_run {
            None => "  last run     never".to_owned(),
            Some(run) => format!("  last run     {}", run_line(run)),
        });
        if self.accounts.is_empty() {
            lines.push("  no account is known yet".to_owned());
            return lines.join("\n");
        }
        lines.push(self.table());
        let suspicious: u32 = self.accounts.iter().map(|facts| facts.counts.suspicious).sum();
        if suspicious > 0 {
            lines.push(format!(
                "  suspicious   {suspicious} account-hours without a row where there usually are some: `hourmark gaps`"
            ));
        }
        lines.extend(self.campaigns());
        for skip in self.skipped.iter().take(ACCOUNTS_SHOWN) {
            lines.push(format!(
                "  left out     account {} since {}: {}",
                skip.account_id,
                short(skip.since),
                skip.reason
            ));
        }
        for failed in self.failed.iter().take(5) {
            lines.push(format!("  failed       {}: {}", failed.unit, failed.reason));
        }
        lines.extend(quarantine::lines(&self.quarantined));
        lines.push(self.picture());
        lines.join("\n")
    }

    /// How much is known of campaigns, and as of when; nothing where nothing was read.
    fn campaigns(&self) -> Option<String> {
        let oldest = self.attributes.values().map(|reading| reading.read_at).min()?;
        let versions: u64 = self.attributes.values().map(|reading| reading.versions).sum();
        let accounts = self.attributes.len();
        Some(format!("  campaigns    {versions} versions, of {accounts} accounts read since {}", short(oldest)))
    }

    /// The heatmap alone.
    pub(super) fn picture(&self) -> String {
        self.heatmap.draw()
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let days = format!("final ({}d)", self.days);
        table.set_header(["  account", "time zone", "watermark", "lag", "missing", "provisional", "settling", &days]);
        for facts in self.accounts.iter().take(ACCOUNTS_SHOWN) {
            let Counts { missing, provisional, settling, end, .. } = facts.counts;
            table.add_row([
                format!("  {}", facts.known.account.id),
                facts.known.account.time_zone.name().to_owned(),
                short(facts.known.watermark).to_string(),
                span(self.lag(&facts.known)),
                missing.to_string(),
                provisional.to_string(),
                settling.to_string(),
                end.to_string(),
            ]);
        }
        for column in 4..8 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let text = table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
        match self.accounts.len().checked_sub(ACCOUNTS_SHOWN) {
            Some(more @ 1..) => format!("{text}\n  ... and {more} more accounts; --format json has them all"),
            _ => text,
        }
    }

    fn json(&self) -> Value {
        let accounts: Vec<Value> = self
            .accounts
            .iter()
            .map(|facts| {
                json!({
                    "account_id": facts.known.account.id,
                    "name": facts.known.account.name,
                    "time_zone": facts.known.account.time_zone.name(),
                    "currency": facts.known.account.currency,
                    "watermark": facts.known.watermark,
                    "lag_seconds": self.lag(&facts.known).as_secs(),
                    "missing": facts.counts.missing,
                    "provisional": facts.counts.provisional,
                    "settling": facts.counts.settling,
                    "final": facts.counts.end,
                    "suspicious": facts.counts.suspicious,
                    "campaigns_read": self.attributes.get(&facts.known.account.id).map(|reading| reading.read_at),
                    "campaign_versions": self.attributes.get(&facts.known.account.id).map(|reading| reading.versions),
                })
            })
            .collect();
        let skipped: Vec<Value> = self
            .skipped
            .iter()
            .map(|skip| json!({
                "account_id": skip.account_id, "since": skip.since, "last_tried": skip.last_tried, "reason": skip.reason,
            }))
            .collect();
        let failed: Vec<Value> = self
            .failed
            .iter()
            .map(|failed| json!({"unit": failed.unit.key.as_str(), "reason": failed.reason, "at": failed.at}))
            .collect();
        json!({
            "pipeline": self.pipeline.name,
            "platform": self.pipeline.platform,
            "last_run": self.last_run.as_ref().map(|run| json!({
                "kind": run.kind.word(), "started": run.started_at, "outcome": run.outcome(),
                "resume_at": run.resume_at(), "note": run.summary().map(|summary| &summary.note),
            })),
            "accounts": accounts,
            "failed": failed,
            "quarantined": quarantine::documents(&self.quarantined),
            "skipped": skipped,
        })
    }
}

fn run_line(run: &RunRecord) -> String {
    let mut line = format!("{} at {}: {}", run.kind.word(), short(run.started_at), run.outcome());
    if let Some(until) = run.resume_at() {
        line.push_str(&format!(", come back at {}", until.format("%Y-%m-%d %H:%M:%SZ")));
    }
    let note = run.summary().and_then(|summary| summary.note.lines().next());
    if let Some(note) = note {
        line.push_str(&format!(" ({note})"));
    }
    line
}
