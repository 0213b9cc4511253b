//! Whom the policies take a caller for, kept with the caller: to look it up by all that is vouched for costs more than a decision.

use std::fmt;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use portcullis_model::Principal;
use portcullis_policy::Subject;

use super::gate::InForce;

/// It counts for the policies that it was found out for, and for whoever has the very same vouched for them.
#[derive(Default)]
pub(crate) struct Recognised(ArcSwapOption<Found>);

struct Found {
    under: Weak<InForce>,
    principal: Principal,
    subject: Arc<Subject>,
}

impl Recognised {
    pub(super) fn subject(&self, in_force: &Arc<InForce>, principal: &Principal) -> Arc<Subject> {
        if let Some(found) = &*self.0.load()
            && std::ptr::eq(found.under.as_ptr(), Arc::as_ptr(in_force))
            && found.principal.is_vouched_as(principal)
        {
            return found.subject.clone();
        }
        let subject = in_force.policies.subject(principal);
        let (under, principal) = (Arc::downgrade(in_force), principal.clone());
        self.0.store(Some(Arc::new(Found { under, principal, subject: subject.clone() })));
        subject
    }
}

impl fmt::Debug for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recognised")
    }
}
