//! What an earlier run staged and did not publish.

use super::publish::Publisher;
use super::{Run, RunReport};
use crate::error::Result;
use crate::state::{FailedUnit, StagedUnit};

impl Run<'_> {
    /// Publishes what an earlier run staged and did not publish, before anything is planned: those hours are paid for.
    pub(super) async fn publish_leftovers(&self, report: &mut RunReport) -> Result<()> {
        self.dataset.settle_restatements().await?;
        let leftovers = self.intact_leftovers().await?;
        let keys: Vec<_> = leftovers.iter().map(|staged| staged.unit.key.clone()).collect();
        self.dataset.sweep(&keys).await?;
        self.sweep_quarantine().await?;
        if leftovers.is_empty() {
            return Ok(());
        }
        let released = self.environment.state.released(&self.pipeline.name).await?;
        report.leftovers += leftovers.len() as u64;
        report.spared += leftovers.iter().map(|staged| u64::from(staged.requests)).sum::<u64>();
        let mut publisher = Publisher::default();
        for staged in leftovers {
            let touched = self.dataset.partitions(&staged.unit.accounts, staged.window);
            let terms = if released.contains(&staged.unit.key) { self.lenient() } else { self.terms() };
            publisher.staged(staged, &[], &touched, &terms);
        }
        let through = publisher.empty();
        self.record(through, report).await?;
        let rest = publisher.rest();
        self.publish(&mut publisher, rest, report).await
    }

    /// The units that an earlier run left staged. One whose file somebody removed or a disk spoilt is forgotten: its
    /// hours are still unread in the ledger, so they are fetched again.
    async fn intact_leftovers(&self) -> Result<Vec<StagedUnit>> {
        let mut intact = Vec::new();
        for staged in self.environment.state.staged_units(&self.pipeline.name).await? {
            if staged.rows == 0 || self.dataset.is_staged(&staged.unit.key).await? {
                intact.push(staged);
                continue;
            }
            let reason = "its staged file is gone or broken: it must be fetched again".to_owned();
            tracing::warn!(unit = %staged.unit.key, "{reason}");
            let failed =
                FailedUnit { unit: staged.unit, reason, attempts: staged.requests, at: self.environment.clock.now() };
            self.environment.state.record_failed(&self.lease, &failed).await?;
        }
        Ok(intact)
    }
}
