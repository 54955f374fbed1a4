//! What is kept of an account's campaigns, out of the list that tells their ids and names too.
//!
//! The list is read once per run, by whoever needs it first. An attribute that cannot be kept is no reason to do without
//! ids and names: it is told to those alone who ask for attributes.

use std::collections::HashMap;
use std::sync::PoisonError;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::listing::Item;
use super::send::Halt;
use super::{Fetch, Gone, UnitFailure};
use crate::cassette::Tape;
use crate::decode::{ListedCampaign, attributes};
use crate::merge::CampaignReading;
use crate::pipeline::Pipeline;
use crate::time::Instant;
use crate::unit::Account;

/// The attributes that a list told, or why they cannot be kept.
pub(super) type Kept = Result<CampaignReading, String>;

/// Reads the attributes of `items`; `None` where the pipeline keeps none.
pub(super) fn kept(
    pipeline: &Pipeline,
    account: &Account,
    items: &[Item],
    currencies: &HashMap<String, String>,
    read_at: Instant,
) -> Option<Kept> {
    let list = pipeline.campaigns.as_ref().filter(|list| !list.columns.is_empty())?;
    let listed: Vec<ListedCampaign<'_>> = items
        .iter()
        .map(|item| ListedCampaign {
            id: &item.id,
            name: &item.name,
            currency: currencies.get(&item.id).map_or("", String::as_str),
            text: &item.text,
        })
        .collect();
    let rows = attributes(list, &pipeline.platform, account, &listed, read_at);
    Some(match rows {
        Ok(rows) => Ok(CampaignReading { account: account.id.clone(), rows, read_at }),
        Err(error) => Err(error.to_string()),
    })
}

impl Fetch {
    /// Whether this run has listed the account's campaigns already and nobody has taken their attributes.
    pub fn has_attributes(&self, account: &str) -> bool {
        let cells = self.campaigns.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = cells.get(account).and_then(|cell| cell.get());
        listed.is_some_and(|listed| listed.kept.lock().unwrap_or_else(PoisonError::into_inner).is_some())
    }

    /// Takes the attributes of an account's campaigns; lists them where this run has not done so. `None` where they were
    /// taken before, or the pipeline keeps none.
    ///
    /// # Errors
    /// [`UnitFailure`]; an account that this run found gone is not asked for again.
    pub async fn take_attributes(
        &self,
        account: &Account,
        stop: &CancellationToken,
        tape: &Tape,
    ) -> Result<Option<CampaignReading>, UnitFailure> {
        let Some(list) = &self.pipeline.campaigns else { return Ok(None) };
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner).get(&account.id).cloned();
        if let Some(why) = gone {
            return Err(gone_account(account, why));
        }
        let span = tracing::info_span!("campaigns", account = account.id);
        let listed = self.campaigns(list, account, stop, tape, &mut 0).instrument(span).await;
        let listed = listed.map_err(|halt| match halt {
            Halt::Gone { why } => gone_account(account, why),
            halt => self.failure(halt),
        })?;
        let kept = listed.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.transpose().map_err(|reason| UnitFailure::Failed { reason, attempts: 1, fatal: false })
    }
}

fn gone_account(account: &Account, why: String) -> UnitFailure {
    UnitFailure::Gone(vec![Gone { account: account.id.clone(), why }])
}
