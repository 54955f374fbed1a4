//! `replay`: a lake from its cassettes.

use tokio_util::sync::CancellationToken;

use crate::error::{Outcome, Result};
use crate::run::{self, ReplayOrder, ReplayReport};

use super::arguments::ReplayArguments;
use super::report::span;
use super::screen::Screen;
use super::settings::Settings;

/// Failed units and unreadable cassettes shown with their reasons.
const SHOWN: usize = 10;

pub(super) async fn replay(
    settings: &Settings,
    screen: &Screen,
    arguments: &ReplayArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    let pipeline = settings.pipeline(&arguments.pipeline)?;
    let environment = settings.environment().await?;
    let order = ReplayOrder { from: arguments.from, to: arguments.to, accounts: arguments.accounts.clone() };
    let report = run::replay(&environment, &pipeline, &order, stop).await?;
    screen.remark(&text(&report, &order));
    Ok(report.outcome())
}

fn text(report: &ReplayReport, order: &ReplayOrder) -> String {
    let how = match report.outcome() {
        Outcome::Done => "done",
        Outcome::Stopped => "stopped, the lake is as it was",
        _ => "done but for what cannot be read",
    };
    let (from, to, took) = (order.from, order.to, span(report.elapsed));
    let mut lines = vec![format!("{}: replay {from} to {to} {how} in {took}", report.pipeline)];
    let mut fact = |label: &str, text: String| lines.push(format!("  {label:<10} {text}"));
    let older = match report.older {
        0 => String::new(),
        some => format!(", {some} of them recorded with another pipeline file"),
    };
    fact("units", format!("{} played{older}", report.units));
    let (new, changed, gone) = (report.added, report.changed, report.removed);
    fact("rows", format!("{} read, {new} new, {changed} changed, {gone} gone", report.rows));
    fact("partitions", format!("{} looked at, {} written", report.partitions, report.written));
    if report.left > 0 {
        let hours = report.left;
        fact("left", format!("{hours} account-hours differ and stay: some of their readings are not on cassettes"));
    }
    for failure in report.failures.iter().take(SHOWN) {
        fact("failed", format!("{}: {}", failure.unit, failure.reason));
    }
    if report.failed > SHOWN as u64 {
        fact("failed", format!("... and {} more, as when they were recorded", report.failed - SHOWN as u64));
    }
    for (path, why) in report.unreadable.iter().take(SHOWN) {
        fact("left out", format!("`{}`: {why}", path.display()));
    }
    if report.unreadable.len() > SHOWN {
        fact("left out", format!("... and {} more cassettes", report.unreadable.len() - SHOWN));
    }
    lines.join("\n")
}
