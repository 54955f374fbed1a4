//! The guard before rows are erased because a re-fetch did not bring them again.

use super::Claim;
use crate::pipeline::Missing;

/// An empty re-fetch looks like a platform in trouble, whatever share of the day it would erase. A single row is
/// another matter: small accounts have one campaign in an hour, and platforms take such rows back.
const EMPTY_MAY_ERASE: u64 = 1;

/// What merging counted for one slice in one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that the slice brings for the partition.
    pub brought: u64,
    /// Rows in the lake of the accounts and hours that the slice asked for.
    pub held: u64,
    /// Those of them that the slice does not bring.
    pub gone: u64,
}

/// Whether a slice may erase what it did not bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// It may.
    Pass,
    /// It may not, for this reason. Nothing of the slice may be merged.
    Refuse(String),
    /// That depends on how many rows these accounts have in the partition outside of the slice's window: ask again
    /// with the total.
    NeedsTotal,
}

/// Judges one slice in one partition. `total` counts the rows in the lake of the slice's accounts in the whole
/// partition; without it only the rows of the window are known, which often is enough.
pub fn guard(claim: &Claim, tally: &Tally, total: Option<u64>) -> Guard {
    let Missing::Drop { max_share } = claim.missing else { return Guard::Pass };
    if tally.gone == 0 || max_share >= 1.0 {
        return Guard::Pass;
    }
    if tally.brought == 0 && tally.gone > EMPTY_MAY_ERASE {
        return Guard::Refuse(format!("the re-fetch is empty where the lake has {} rows", tally.held));
    }
    if within(tally.gone, tally.held, max_share) {
        return Guard::Pass;
    }
    match total {
        None => Guard::NeedsTotal,
        Some(total) if within(tally.gone, total, max_share) => Guard::Pass,
        Some(total) => Guard::Refuse(format!(
            "the re-fetch would erase {} of {total} rows, and no more than {:.1} % may go at once",
            tally.gone,
            max_share * 100.0
        )),
    }
}

/// Shares of a row count: exact enough as floats, counts are far below 2^53.
fn within(gone: u64, total: u64, max_share: f64) -> bool {
    gone as f64 <= total as f64 * max_share
}
