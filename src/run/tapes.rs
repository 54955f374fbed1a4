//! What a run writes at the head of its cassettes.

use super::Run;
use crate::cassette::{Failure, GoneAccount, Header, RecordedAccount, Recording};
use crate::fetch::{Slice, Unlisted};
use crate::pipeline::Accounts;
use crate::time::Instant;
use crate::unit::{Account, Unit};

/// The header of a unit that was read to its end.
pub(super) fn of_slice(recording: &Recording, slice: &Slice) -> Header {
    let gone = slice.gone.iter();
    Header {
        closed: Some(slice.window.into()),
        requests: slice.requests,
        gone: gone.map(|gone| GoneAccount { account: gone.account.clone(), why: gone.why.clone() }).collect(),
        ..of_unit(recording, &slice.unit, slice.fetched_at)
    }
}

/// The header of a unit that failed.
pub(super) fn of_failed(
    recording: &Recording,
    unit: &Unit,
    began: Instant,
    reason: &str,
    attempts: u32,
    at: Instant,
) -> Header {
    let failed = Some(Failure { reason: reason.to_owned(), attempts, at });
    Header { failed, ..of_unit(recording, unit, began) }
}

fn of_unit(recording: &Recording, unit: &Unit, fetched_at: Instant) -> Header {
    Header {
        unit: Some(unit.into()),
        accounts: unit.accounts.iter().map(RecordedAccount::from).collect(),
        ..recording.header(fetched_at)
    }
}

impl Run<'_> {
    /// The accounts as the platform lists them, on a cassette of their own.
    pub(super) async fn list_accounts(&self) -> Result<Vec<Account>, Unlisted> {
        let began = self.environment.clock.now();
        let tape = self.recording.tape();
        let listed = self.fetch.accounts_on(&self.stop, &tape).await;
        if matches!(self.pipeline.accounts, Accounts::Endpoint { .. }) {
            let accounts = listed.as_ref().map(Vec::as_slice).unwrap_or_default();
            let accounts = accounts.iter().map(RecordedAccount::from).collect();
            let header = Header { accounts, ..self.recording.header(began) };
            self.recording.keep(tape, header).await;
        }
        listed
    }
}
