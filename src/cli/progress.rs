//! How far a run is: bars on a terminal, a line now and then otherwise.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use crate::run::Progress;
use crate::telemetry::{Meter, Reading};

use super::screen::Screen;

/// Between two drawings of a bar.
const REDRAW: Duration = Duration::from_millis(200);
/// Before the first plain line: a sign of life where something is slow.
const FIRST_LINE: Duration = Duration::from_secs(4);
/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Follows one run until [`Display::end`].
#[derive(Debug)]
pub(super) struct Display {
    task: Option<JoinHandle<()>>,
    bar: Option<ProgressBar>,
}

impl Display {
    pub(super) fn start(screen: Screen, name: &str, meter: Arc<Meter>, progress: Arc<Progress>) -> Display {
        if screen.draws() {
            let bar = bar(name);
            let task = tokio::spawn(draw(bar.clone(), meter, progress));
            Display { task: Some(task), bar: Some(bar) }
        } else if screen.talks() {
            Display { task: Some(tokio::spawn(lines(screen, name.to_owned(), meter, progress))), bar: None }
        } else {
            Display { task: None, bar: None }
        }
    }

    pub(super) fn end(self) {
        if let Some(task) = self.task {
            task.abort();
        }
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix} {bar:28} {pos}/{len} units  {msg}  ETA {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_prefix(name.to_owned());
    bar
}

async fn draw(bar: ProgressBar, meter: Arc<Meter>, progress: Arc<Progress>) {
    let began = Instant::now();
    loop {
        bar.set_length(progress.planned.load(Ordering::Relaxed));
        bar.set_position(progress.ended.load(Ordering::Relaxed));
        bar.set_message(facts(&meter, &progress, began.elapsed()));
        tokio::time::sleep(REDRAW).await;
    }
}

async fn lines(screen: Screen, name: String, meter: Arc<Meter>, progress: Arc<Progress>) {
    let began = Instant::now();
    let mut pause = FIRST_LINE;
    loop {
        tokio::time::sleep(pause).await;
        pause = LINE_EVERY;
        let (ended, planned) = (progress.ended.load(Ordering::Relaxed), progress.planned.load(Ordering::Relaxed));
        let elapsed = began.elapsed();
        let eta = eta(ended, planned, elapsed).map(|left| format!(", about {} left", super::report::span(left)));
        let text = facts(&meter, &progress, elapsed);
        screen.remark(&format!("{name}: {ended}/{planned} units, {text}{}", eta.unwrap_or_default()));
    }
}

/// What is left at the pace so far; nothing before the first unit has ended.
fn eta(ended: u64, planned: u64, elapsed: Duration) -> Option<Duration> {
    let left = planned.checked_sub(ended)?;
    (ended > 0).then(|| elapsed.mul_f64(left as f64 / ended as f64))
}

fn facts(meter: &Meter, progress: &Progress, elapsed: Duration) -> String {
    let Reading { requests, rows, waiting, longest, .. } = meter.read();
    let failed = progress.failed.load(Ordering::Relaxed);
    let pace = requests as f64 / elapsed.as_secs_f64().max(0.001);
    let mut text = format!("{rows} rows, {requests} requests ({pace:.1}/s)");
    if let Some(quotas) = progress.quotas.get() {
        text.push_str(&format!(", quota: {}", quotas.describe()));
    }
    if failed > 0 {
        text.push_str(&format!(", {failed} failed"));
    }
    if let Some(wait) = longest {
        text.push_str(&format!(", {waiting} waiting: {}", wait.reason));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_pace() {
        let minute = Duration::from_secs(60);
        assert_eq!(eta(0, 10, minute), None);
        assert_eq!(eta(5, 10, minute), Some(minute));
        assert_eq!(eta(10, 10, minute), Some(Duration::ZERO));
    }
}
