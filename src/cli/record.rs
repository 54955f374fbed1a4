//! `run --record`: responses are kept whatever the pipeline file says, and what can be done with them is said.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cassette::{Cassette, Shelf};
use crate::error::Result;
use crate::pipeline::{Pipeline, Raw};
use crate::time::Instant;
use crate::unit::UnitKey;

use super::report::size;
use super::screen::Screen;

/// As `raw = "7d"` and the size that goes with it by default.
const KEPT: Raw = Raw { age: Duration::from_secs(7 * 24 * 3600), size: 1_000_000_000 };
/// So many units are shown with the command that exports them.
const SHOWN: usize = 3;

/// The pipeline with its responses kept for at least a week.
pub(super) fn recorded(pipeline: &Arc<Pipeline>) -> Arc<Pipeline> {
    let mut recorded = Pipeline::clone(pipeline);
    let known = pipeline.raw.unwrap_or(KEPT);
    recorded.raw = Some(Raw { age: known.age.max(KEPT.age), size: known.size.max(KEPT.size) });
    Arc::new(recorded)
}

/// Says where the responses of the run that began at `since` are, and how to look at them.
pub(super) fn tell(screen: &Screen, lake: &Path, pipeline: &str, since: Instant) -> Result<()> {
    let shelf = Shelf::new(lake, pipeline);
    let begun = since.timestamp();
    let mut kept = shelf.list()?;
    kept.retain(|file| file.moment.timestamp() >= begun);
    let bytes: u64 = kept.iter().map(|file| file.bytes).sum();
    let mut lines = vec![format!(
        "  responses  {} cassettes, {}, in `{}`, without secrets",
        kept.len(),
        size(bytes),
        shelf.folder().display()
    )];
    lines.push(format!("    hourmark cassette list {pipeline}"));
    let mut shown = 0;
    for file in &kept {
        let Ok(Cassette { header, .. }) = Cassette::open(&file.path) else { continue };
        let Some(unit) = header.unit else { continue };
        if shown < SHOWN {
            let digest = UnitKey::from_stored(&unit.key).digest();
            lines.push(format!("    hourmark cassette export {digest} --fixtures tests/fixtures/{pipeline}"));
        }
        shown += 1;
    }
    if shown > SHOWN {
        lines.push(format!("    ... and {} more units", shown - SHOWN));
    }
    screen.remark(&lines.join("\n"));
    Ok(())
}
