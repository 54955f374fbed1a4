//! Rewriting a pipeline's datasets into the form that its file asks for now: the way out where a changed layout, key or
//! type is refused.
//!
//! It works under the pipeline's lease, so no run meets it, and needs nothing of the platform. Rows that are staged
//! and not published are rows of the old form: they must be published first.

use std::time::Duration;
use std::time::Instant as Moment;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Outcome, Result};
use crate::lake::{DatasetRecord, DatasetSpec, Extent, Recovered, RewriteEnd, RewriteOrder};
use crate::pipeline::Pipeline;
use crate::run::{Environment, acquire};

/// What a rewrite came to.
#[derive(Debug)]
pub struct RewriteReport {
    /// The pipeline.
    pub pipeline: String,
    /// What was found of an earlier rewrite that was killed.
    pub recovered: Recovered,
    /// How it ended.
    pub end: RewriteEnd,
    /// How long it took.
    pub elapsed: Duration,
}

impl RewriteReport {
    /// How the command ends.
    pub fn outcome(&self) -> Outcome {
        match self.end {
            RewriteEnd::Stopped => Outcome::Stopped,
            RewriteEnd::NothingToDo | RewriteEnd::Checked(_) | RewriteEnd::Swapped(_) => Outcome::Done,
        }
    }
}

/// Rewrites what the lake holds of `pipeline`, or checks that it could be.
///
/// # Errors
/// [`ErrorKind::Busy`](crate::error::ErrorKind::Busy) where the pipeline is being run;
/// [`ErrorKind::Storage`](crate::error::ErrorKind::Storage) where units wait to be published, and see
/// [`Lake::rewrite`](crate::lake::Lake::rewrite).
pub async fn rewrite(
    environment: &Environment,
    pipeline: &Pipeline,
    order: &RewriteOrder,
    stop: &CancellationToken,
) -> Result<RewriteReport> {
    let began = Moment::now();
    let lease = acquire(environment, &pipeline.name, environment.clock.now()).await?;
    let worked = work(environment, pipeline, order, stop).await;
    let released = environment.state.release(&lease).await;
    // What went wrong in the work says more than that its end could not be recorded either.
    let (recovered, end) = worked?;
    released?;
    Ok(RewriteReport { pipeline: pipeline.name.clone(), recovered, end, elapsed: began.elapsed() })
}

async fn work(
    environment: &Environment,
    pipeline: &Pipeline,
    order: &RewriteOrder,
    stop: &CancellationToken,
) -> Result<(Recovered, RewriteEnd)> {
    let recovered = environment.lake.recover(&pipeline.name).await?;
    if order.extent == Extent::Swap {
        let waiting = environment.state.staged_units(&pipeline.name).await?.len();
        if waiting > 0 {
            let recorded = environment.lake.recorded(&pipeline.name).await?;
            return Err(unpublished(pipeline, waiting, recorded.as_ref()));
        }
    }
    let end = environment.lake.rewrite(&DatasetSpec::of(pipeline), order, stop).await?;
    Ok((recovered, end))
}

/// Staged rows must be published in the form that they were staged for. A run does that, if the pipeline's file says
/// what the dataset is like: a changed layout can be set back for one run by flags.
fn unpublished(pipeline: &Pipeline, waiting: usize, recorded: Option<&DatasetRecord>) -> Error {
    let name = &pipeline.name;
    let mut flags = String::new();
    if let Some(recorded) = recorded {
        if recorded.partition_by() != Some(pipeline.lake.partition_by) {
            let words: Vec<String> = recorded.partition_by.iter().map(|word| format!("\"{word}\"")).collect();
            flags.push_str(&format!(" --set 'lake.partition_by=[{}]'", words.join(", ")));
        }
        if recorded.buckets != pipeline.lake.buckets {
            flags.push_str(&format!(" --set lake.buckets={}", recorded.buckets));
        }
    }
    let units = if waiting == 1 { "1 unit is".to_owned() } else { format!("{waiting} units are") };
    Error::storage(format!("{units} staged for pipeline `{name}` and not published")).hint(format!(
        "publish first: `hourmark run {name}{flags}`, with the key and the types in its file as the dataset has them"
    ))
}
