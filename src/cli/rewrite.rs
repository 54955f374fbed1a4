//! `rewrite`: a pipeline's files in the form that its file has now.

use tokio_util::sync::CancellationToken;

use crate::error::{Outcome, Result};
use crate::lake::{Extent, Recovered, RewriteEnd, RewriteOrder, Rewritten};
use crate::rewrite::{self, RewriteReport};

use super::arguments::RewriteArguments;
use super::report::{size, span};
use super::screen::Screen;
use super::settings::Settings;

pub(super) async fn rewrite(
    settings: &Settings,
    screen: &Screen,
    arguments: &RewriteArguments,
    stop: CancellationToken,
) -> Result<Outcome> {
    let pipeline = settings.pipeline(&arguments.pipeline)?;
    let environment = settings.environment().await?;
    let order = RewriteOrder {
        fill: arguments.fill.clone(),
        drop: arguments.drop.clone(),
        extent: if arguments.dry_run { Extent::Check } else { Extent::Swap },
    };
    let report = rewrite::rewrite(&environment, &pipeline, &order, &stop).await?;
    let free = environment.lake.free_space().filter(|_| arguments.dry_run);
    screen.result(&text(&report, free));
    Ok(report.outcome())
}

fn text(report: &RewriteReport, free: Option<u64>) -> String {
    let (name, time) = (&report.pipeline, span(report.elapsed));
    let mut lines = match report.recovered {
        Recovered::Nothing => Vec::new(),
        Recovered::Undone => vec![format!("{name}: what a rewrite that was cut off had left is removed")],
        Recovered::Finished => vec![format!("{name}: a rewrite that was cut off is brought to its end")],
    };
    match &report.end {
        RewriteEnd::NothingToDo => lines.push(format!("{name}: nothing to rewrite, its files are in this form")),
        RewriteEnd::Stopped => lines.push(format!("{name}: stopped, everything is as it was")),
        RewriteEnd::Checked(datasets) => {
            lines.push(format!("{name}: would be rewritten, every value fits (checked in {time})"));
            lines.extend(datasets.iter().flat_map(facts));
            let needed: u64 = datasets.iter().map(|dataset| dataset.before.bytes).sum();
            let free = free.map_or_else(String::new, |free| format!(", {} are free", size(free)));
            lines.push(format!("  {:<10} about {}{free}", "needs", size(needed)));
        }
        RewriteEnd::Swapped(datasets) => {
            lines.push(format!("{name}: rewritten in {time}"));
            lines.extend(datasets.iter().flat_map(facts));
        }
    }
    lines.join("\n")
}

fn facts(dataset: &Rewritten) -> Vec<String> {
    let (before, after) = (&dataset.before, &dataset.after);
    let mut lines = vec![format!("  {:<10} {}", "dataset", dataset.dataset)];
    lines.extend(dataset.changes.iter().map(|change| format!("  {:<10} {change}", "change")));
    lines.push(format!("  {:<10} {} -> {}", "partitions", before.partitions, after.partitions));
    lines.push(format!("  {:<10} {}", "rows", after.rows));
    if after.bytes > 0 || before.bytes == 0 {
        lines.push(format!("  {:<10} {} -> {}", "size", size(before.bytes), size(after.bytes)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lake::Totals;

    fn report(end: RewriteEnd) -> RewriteReport {
        RewriteReport { pipeline: "demo".into(), recovered: Recovered::Undone, end, elapsed: Duration::from_secs(2) }
    }

    #[test]
    fn a_report_says_what_changed_and_how_much_there_is() {
        let dataset = |bytes| Rewritten {
            dataset: "demo".into(),
            changes: vec!["buckets: 1 -> 8".into(), "column `clicks`: int -> decimal(9, 0)".into()],
            before: Totals { partitions: 4, rows: 1200, bytes: 50_000 },
            after: Totals { partitions: 32, rows: 1200, bytes },
        };
        insta::assert_snapshot!(text(&report(RewriteEnd::Swapped(vec![dataset(61_000)])), None), @r"
        demo: what a rewrite that was cut off had left is removed
        demo: rewritten in 2s
          dataset    demo
          change     buckets: 1 -> 8
          change     column `clicks`: int -> decimal(9, 0)
          partitions 4 -> 32
          rows       1200
          size       50.0 kB -> 61.0 kB
        ");
        insta::assert_snapshot!(text(&report(RewriteEnd::Checked(vec![dataset(0)])), Some(7_000_000)), @r"
        demo: what a rewrite that was cut off had left is removed
        demo: would be rewritten, every value fits (checked in 2s)
          dataset    demo
          change     buckets: 1 -> 8
          change     column `clicks`: int -> decimal(9, 0)
          partitions 4 -> 32
          rows       1200
          needs      about 50.0 kB, 7.0 MB are free
        ");
    }
}
