//! What this gateway has asked about, until it is decided or over: so that the evidence log has each yes and no when it is seen, and
//! what nobody answered.
//!
//! Only where evidence is kept. Each gateway writes down what it asked about itself, whoever decides, and wherever.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use portcullis_audit::EventId;
use portcullis_model::{Records, Unavailable};
use portcullis_oversight::{Approval, now_ms};

use crate::record::Evidence;

/// Things that are watched; of more, the events of their calls say that they were asked about.
const MOST: usize = 10_000;

#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<String, Watched>>);

struct Watched {
    /// As it was seen last.
    approval: Approval,
    /// The event of the call that it was asked for.
    asked_in: Option<EventId>,
}

impl Waiting {
    /// Somebody was asked.
    pub(super) fn asked(&self, approval: &Approval, asked_in: Option<EventId>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST {
            all.insert(approval.id.clone(), Watched { approval: approval.clone(), asked_in });
        }
    }

    /// It is seen how something stands; what is new of it goes on record. `over` when that is used up.
    pub(super) fn seen(&self, evidence: &Evidence, approval: &Approval, over: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of one that was asked about anew, nothing is known.
        let known = all.get_mut(&approval.id).filter(|known| known.approval.nonce == approval.nonce);
        let (votes, ruled, asked_in) = known.as_ref().map_or((0, false, None), |known| {
            (known.approval.votes.len(), known.approval.ruling.is_some(), known.asked_in)
        });
        for vote in approval.votes.iter().skip(votes).chain(approval.ruling.iter().filter(|_| !ruled)) {
            evidence.voted(approval, vote, asked_in);
        }
        if over {
            all.remove(&approval.id);
        } else if let Some(known) = known {
            known.approval = approval.clone();
        }
    }

    /// Looks what others have decided, and what is over.
    ///
    /// # Errors
    /// The store does not answer.
    pub(super) async fn look(&self, evidence: &Evidence, records: &dyn Records) -> Result<(), Unavailable> {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(());
        }
        let found = Approval::all(records).await?;
        for approval in &found {
            let watched = self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&approval.id);
            if watched {
                self.seen(evidence, approval, false);
            }
        }
        let now = now_ms();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, gone) in all.extract_if(|_, watched| watched.approval.until <= now) {
            if gone.approval.ruling.is_none() {
                evidence.expired(&gone.approval, gone.asked_in);
            }
        }
        Ok(())
    }
}
