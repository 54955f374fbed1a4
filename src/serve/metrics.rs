//! The board as OpenMetrics text. Names and labels are in docs/running.md.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{Board, Seen};
use crate::allowance::Moment;
use crate::quota::Use;
use crate::time::Instant;
use crate::usage::Whose;

/// Accounts have no limit in number; so many of each quota are shown by themselves, the fullest.
const ACCOUNTS_SHOWN: usize = 50;

type Labels = Vec<(&'static str, String)>;
/// One line of a metric.
type Line = (Labels, f64);

/// A metric's name, what it says, its kind, and its lines.
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    lines: Vec<Line>,
}

/// The board's text.
///
/// # Errors
/// Never by itself: writing to a text does not fail.
pub(super) fn text(board: &Board, now: Instant) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(metrics(board, now))));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

struct Snapshot(Vec<Metric>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Snapshot").field(&self.0.len()).finish()
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for metric in self.0.iter().filter(|metric| !metric.lines.is_empty()) {
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
            for (labels, value) in &metric.lines {
                line(&mut family, labels, metric.kind, *value)?;
            }
        }
        Ok(())
    }
}

fn line(family: &mut MetricEncoder<'_>, labels: &Labels, kind: MetricType, value: f64) -> Result<(), fmt::Error> {
    let mut one = family.encode_family(labels)?;
    match kind {
        MetricType::Counter => one.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        _ => one.encode_gauge(&value),
    }
}

fn metrics(board: &Board, now: Instant) -> Vec<Metric> {
    let all = board.seen();
    let per_pipeline = |name, help, kind, value: &dyn Fn(&Seen) -> Option<f64>| Metric {
        name,
        help,
        kind,
        lines: all.iter().filter_map(|(name, seen)| Some((of(name), value(seen)?))).collect(),
    };
    let total = |place: usize| move |seen: &Seen| Some(seen.totals()[place] as f64);
    let ago = |at: Option<Instant>| at.map(|at| (now - at).num_milliseconds() as f64 / 1000.0);
    let mut metrics = vec![
        per_pipeline("hourmark_requests", "Requests sent, retries included", MetricType::Counter, &total(0)),
        per_pipeline("hourmark_retries", "Requests sent again after a failure", MetricType::Counter, &total(1)),
        per_pipeline("hourmark_throttled", "Requests refused because of a limit", MetricType::Counter, &total(2)),
        per_pipeline("hourmark_rows", "Rows read", MetricType::Counter, &total(3)),
        per_pipeline("hourmark_running", "Whether a run is under way", MetricType::Gauge, &|seen| {
            Some(f64::from(u8::from(seen.running.is_some())))
        }),
        per_pipeline("hourmark_units_planned", "Units of the run under way", MetricType::Gauge, &|seen| {
            Some(seen.units().0 as f64)
        }),
        per_pipeline("hourmark_units_ended", "Units of it that are staged or failed", MetricType::Gauge, &|seen| {
            Some(seen.units().1 as f64)
        }),
        per_pipeline("hourmark_tick_age_seconds", "Since the schedule was last answered", MetricType::Gauge, &|seen| {
            ago(seen.ticked)
        }),
        per_pipeline("hourmark_run_age_seconds", "Since the last run ended", MetricType::Gauge, &|seen| {
            ago(seen.last_ended)
        }),
        per_pipeline(
            "hourmark_waiting_seconds",
            "Until a run that waits for a limit comes back",
            MetricType::Gauge,
            &|seen| Some(ago(seen.resume).map_or(0.0, |ago| (-ago).max(0.0))),
        ),
        per_pipeline(
            "hourmark_lag_seconds",
            "How long the oldest unpublished hour is over",
            MetricType::Gauge,
            &|seen| seen.lag.map(|lag| lag.as_secs_f64()),
        ),
        per_pipeline(
            "hourmark_accounts_skipped",
            "Accounts that the platform no longer gives",
            MetricType::Gauge,
            &|seen| Some(seen.skipped as f64),
        ),
    ];
    let ended = all.iter().flat_map(|(name, seen)| {
        seen.ended
            .iter()
            .map(move |(outcome, count)| ([of(name), vec![("outcome", outcome.clone())]].concat(), *count as f64))
    });
    let lines = ended.collect();
    metrics.push(Metric { name: "hourmark_runs", help: "Runs by how they ended", kind: MetricType::Counter, lines });
    let uses: Vec<(Labels, Use)> = all
        .iter()
        .flat_map(|(name, seen)| {
            shown(seen.quotas()).into_iter().map(move |(scope, used)| (quota_labels(name, &scope, &used), used))
        })
        .collect();
    metrics.extend(of_quotas(&uses, now));
    metrics
}

fn of(pipeline: &str) -> Labels {
    vec![("pipeline", pipeline.to_owned())]
}

fn quota_labels(pipeline: &str, scope: &str, used: &Use) -> Labels {
    vec![("pipeline", pipeline.to_owned()), ("quota", used.quota.clone()), ("scope", scope.to_owned())]
}

fn of_quotas(uses: &[(Labels, Use)], now: Instant) -> Vec<Metric> {
    let now = Moment::from_instant(now);
    let each = |name, help, kind, value: &dyn Fn(&Use) -> Option<f64>| Metric {
        name,
        help,
        kind,
        lines: uses.iter().filter_map(|(labels, used)| Some((labels.clone(), value(used)?))).collect(),
    };
    vec![
        each("hourmark_quota_limit", "Units of a limit in its period", MetricType::Gauge, &|used| {
            used.limit.map(|(units, _)| f64::from(units))
        }),
        each("hourmark_quota_period_seconds", "The period of a limit", MetricType::Gauge, &|used| {
            used.limit.map(|(_, per)| per.as_secs_f64())
        }),
        each("hourmark_quota_used", "Units that count now", MetricType::Gauge, &|used| Some(f64::from(used.used))),
        each("hourmark_quota_under_way", "Units of requests under way", MetricType::Gauge, &|used| {
            Some(f64::from(used.under_way))
        }),
        each("hourmark_quota_sent", "Requests that counted for a limit", MetricType::Counter, &|used| {
            Some(used.sent as f64)
        }),
        each("hourmark_quota_refused", "Requests refused because of it", MetricType::Counter, &|used| {
            Some(used.refused as f64)
        }),
        each("hourmark_quota_next_seconds", "Until the next request may go", MetricType::Gauge, &|used| {
            used.next.map(|at| at.since(now).as_secs_f64())
        }),
        each("hourmark_quota_closed", "Whether the platform lets nothing go", MetricType::Gauge, &|used| {
            Some(f64::from(u8::from(used.closed.is_some())))
        }),
    ]
}

/// Each use with its scope's text; of many accounts the fullest, and the rest in one.
fn shown(uses: Vec<Use>) -> Vec<(String, Use)> {
    let mut shown = Vec::new();
    let mut accounts: Vec<Use> = Vec::new();
    for used in uses {
        match used.whose {
            Whose::Account(_) => accounts.push(used),
            Whose::App | Whose::Endpoint(_) => shown.push((used.whose.to_string(), used)),
        }
    }
    accounts.sort_by(|a, b| (&a.quota, b.used, &a.whose).cmp(&(&b.quota, a.used, &b.whose)));
    let mut count = 0;
    let mut rest: Option<Use> = None;
    let mut quota = String::new();
    for used in accounts {
        if used.quota != quota {
            quota.clone_from(&used.quota);
            count = 0;
            shown.extend(rest.take().map(|rest| ("other accounts".to_owned(), rest)));
        }
        count += 1;
        if count <= ACCOUNTS_SHOWN {
            shown.push((used.whose.to_string(), used));
        } else {
            rest = Some(rest.map_or(used.clone(), |rest| together(rest, &used)));
        }
    }
    shown.extend(rest.map(|rest| ("other accounts".to_owned(), rest)));
    shown
}

fn together(all: Use, used: &Use) -> Use {
    Use {
        used: all.used.saturating_add(used.used),
        under_way: all.under_way.saturating_add(used.under_way),
        sent: all.sent + used.sent,
        refused: all.refused + used.refused,
        next: all.next.min(used.next),
        closed: all.closed.or_else(|| used.closed.clone()),
        ..all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn used(account: usize, used: u32) -> Use {
        Use {
            quota: "hour".into(),
            whose: Whose::Account(format!("{account:03}")),
            limit: Some((200, Duration::from_secs(3600))),
            used,
            under_way: 1,
            sent: 10,
            refused: 0,
            next: Some(Moment::default()),
            closed: None,
            pace: None,
        }
    }

    #[test]
    fn of_many_accounts_the_fullest_are_shown_and_the_rest_summed_up() {
        let shown = shown((0..60).map(|account| used(account, account as u32)).collect());
        assert_eq!(shown.len(), 51);
        assert_eq!((shown[0].0.as_str(), shown[0].1.used), ("account 059", 59));
        assert_eq!((shown[50].0.as_str(), shown[50].1.used, shown[50].1.sent), ("other accounts", 45, 100));
    }

    #[test]
    fn an_empty_board_is_text_that_ends_well() {
        let board = Board::new(["demo"]);
        let text = text(&board, chrono::Utc::now()).expect("text");
        assert!(text.contains("hourmark_requests_total{pipeline=\"demo\"} 0"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
