//! A run's report as text.

use std::time::Duration;

use crate::error::Outcome;
use crate::plan::Ask;
use crate::quota::Use;
use crate::run::{CampaignsFollowed, RunReport};

use super::quarantine;

/// Limits of longer periods are shown.
const LASTING: Duration = Duration::from_secs(60);
/// Failed units shown with their reasons.
const FAILURES_SHOWN: usize = 10;

/// Several lines: what was done, what failed and why, and when to come back.
pub(super) fn table(report: &RunReport) -> String {
    let mut lines = vec![line(report)];
    let mut fact = |label: &str, text: String| lines.push(format!("  {label:<10} {text}"));
    let leftovers = match report.leftovers {
        0 => String::new(),
        some => format!(" ({some} staged by an earlier run, which spared {} requests)", report.spared),
    };
    fact(
        "units",
        format!("{} published{leftovers}, {} failed, of {} planned", report.published, report.failed, report.planned),
    );
    fact(
        "rows",
        format!(
            "{} read, {} new, {} changed, {} taken back",
            report.rows, report.added, report.changed, report.removed
        ),
    );
    fact(
        "requests",
        format!("{}, of them {} repeated, {} refused for a limit", report.requests, report.retries, report.throttled),
    );
    fact(
        "partitions",
        format!(
            "{} written, {} encoded, {} carried over",
            report.partitions,
            size(report.bytes_written),
            size(report.bytes_spliced)
        ),
    );
    if let Some(line) = campaigns(&report.campaigns) {
        fact("campaigns", line);
    }
    if report.outside > 0 {
        fact("left away", format!("{} rows of hours that were not asked for or not over", report.outside));
    }
    if report.postponed > 0 {
        let units = report.postponed;
        fact("postponed", format!("{units} units of hours that may have moved: they come when the limits have room"));
    }
    if report.beyond_retention > 0 {
        fact("too old", format!("{} account-hours are older than the platform answers", report.beyond_retention));
    }
    if !report.unknown_fields.is_empty() {
        fact("unknown", format!("fields that no column names: {}", report.unknown_fields));
    }
    if report.cassettes_lost > 0 {
        let lost = report.cassettes_lost;
        fact("not kept", format!("the responses of {lost} units: `hourmark replay` cannot read them again"));
    }
    for failure in report.failures.iter().take(FAILURES_SHOWN) {
        fact("failed", format!("{}: {}", failure.unit, failure.reason));
    }
    if report.failed > FAILURES_SHOWN as u64 {
        fact(
            "failed",
            format!("... and {} more; `hourmark gaps` lists them all", report.failed - FAILURES_SHOWN as u64),
        );
    }
    for line in quarantine::report_lines(report) {
        fact("quarantine", line);
    }
    for skipped in report.skipped.iter().take(FAILURES_SHOWN) {
        fact("left out", format!("account {}: {}", skipped.account, skipped.reason));
    }
    if report.skipped.len() > FAILURES_SHOWN {
        let more = report.skipped.len() - FAILURES_SHOWN;
        fact("left out", format!("... and {more} more accounts; `hourmark status` lists them all"));
    }
    for used in fullest(&report.quotas) {
        fact("quota", used);
    }
    if let Some((until, reason)) = &report.resume {
        fact("waiting", format!("come back at {}: {reason}", until.format("%Y-%m-%d %H:%M:%SZ")));
    }
    lines.join("\n")
}

/// What was made of campaigns' attributes; nothing where none were read.
fn campaigns(followed: &CampaignsFollowed) -> Option<String> {
    let CampaignsFollowed { accounts, begun, ended, unread, why } = followed;
    let missed = why.as_ref().map(|why| match unread {
        1 => why.clone(),
        more => format!("{why}, and {} more accounts", more - 1),
    });
    let read = format!("{begun} versions begun, {ended} ended, of {accounts} accounts");
    match (accounts, missed) {
        (0, None) => None,
        (0, Some(missed)) => Some(format!("not read: {missed}")),
        (_, None) => Some(read),
        (_, Some(missed)) => Some(format!("{read}; not read: {missed}")),
    }
}

/// How much is used of each limit that lasts, by whoever used the most of it. Limits of a few seconds are empty again.
fn fullest(uses: &[Use]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut by_share: Vec<(u64, &Use, u32, Duration)> = Vec::new();
    for used in uses {
        if let Some((units, per)) = used.limit.filter(|(_, per)| *per > LASTING) {
            by_share.push((u64::from(used.used) * 1_000_000 / u64::from(units.max(1)), used, units, per));
        }
    }
    by_share.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.whose.cmp(&b.1.whose)));
    for (_, used, units, per) in by_share {
        if seen.contains(&used.quota.as_str()) {
            continue;
        }
        seen.push(&used.quota);
        let refused = if used.refused > 0 { format!(", {} refused", used.refused) } else { String::new() };
        lines.push(format!(
            "{}: {} of {units} in {} used by {}{refused}",
            used.quota,
            used.used,
            span(per),
            used.whose
        ));
    }
    lines
}

/// One line for logs and schedules.
pub(super) fn line(report: &RunReport) -> String {
    let what = match (report.errand, report.ask) {
        (Some(word), _) => word.to_owned(),
        (None, Ask::Due) => "hourly run".to_owned(),
        (None, Ask::Repair) => "repair".to_owned(),
        (None, Ask::Backfill { from, to, .. }) => format!("backfill {from} to {to}"),
    };
    let how = outcome(report.outcome());
    let rate = report.rows as f64 / report.elapsed.as_secs_f64().max(0.001);
    format!(
        "{}: {what} {how} in {} ({} accounts, {} units, {} rows, {:.0} rows/s)",
        report.pipeline,
        span(report.elapsed),
        report.accounts,
        report.published,
        report.rows,
        rate
    )
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::PartlyFailed => "partly failed",
        Outcome::Waiting => "waits for quota",
        Outcome::GapsFound => "found gaps",
        Outcome::Differs => "found differences",
        Outcome::Stopped => "stopped, all done work is kept",
        Outcome::Failed(_) => "failed",
    }
}

/// `1.2 MB`: decimal units, as disks have them.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// `2h 5m`, `12.3s`: two parts at most.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 if time.subsec_nanos() == 0 => format!("{seconds}s"),
        0..60 => format!("{:.1}s", time.as_secs_f64()),
        60..3600 => two_parts(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two_parts(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two_parts(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn two_parts(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit} {small}{small_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn campaigns_take_one_line() {
        let followed = |accounts, begun, ended, unread, why: Option<&str>| {
            let why = why.map(str::to_owned);
            campaigns(&CampaignsFollowed { accounts, begun, ended, unread, why }).unwrap_or_default()
        };
        assert_eq!(followed(0, 0, 0, 0, None), "");
        assert_eq!(followed(3, 2, 1, 0, None), "2 versions begun, 1 ended, of 3 accounts");
        assert_eq!(followed(0, 0, 0, 1, Some("account 7: HTTP 500")), "not read: account 7: HTTP 500");
        assert_eq!(
            followed(2, 0, 0, 3, Some("account 7: HTTP 500")),
            "0 versions begun, 0 ended, of 2 accounts; not read: account 7: HTTP 500, and 2 more accounts"
        );
    }

    #[test]
    fn sizes_and_spans_read_well() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_234_567), "1.2 MB");
        assert_eq!(span(Duration::from_millis(12_340)), "12.3s");
        assert_eq!(span(Duration::from_secs(7_500)), "2h 5m");
        assert_eq!(span(Duration::from_secs(1_800)), "30m");
        assert_eq!(span(Duration::from_secs(1)), "1s");
        assert_eq!(span(Duration::from_secs(90_061)), "1d 1h");
    }
}
