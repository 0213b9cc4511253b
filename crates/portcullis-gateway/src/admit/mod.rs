//! May this call be carried out now? Only what comes out of here can be sent on.
//!
//! Two questions, one after the other. [`admit`] asks for a place: so many calls in the whole process, so many for one
//! client. [`Admitted::permit`] asks the policies (`gate`), once it is known what the call is about, and then the limits of
//! whom and what it is about (`quota`); that is asked anew for every attempt of a call. The types say that nothing passes by:
//! only what is [`Permitted`] can be sent on.

mod gate;
mod quota;
mod recognised;
mod ruling;
mod share;
mod step_up;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_config::Limits;
use portcullis_mcp::json::Object;
use portcullis_model::ErrorKind;

use crate::call::{Call, Refusal};

pub use gate::are_there;
pub(crate) use gate::{Act, Gate, InForce, Pass};
pub use gate::{policies, policy_schema};
use quota::Taken;
pub(crate) use quota::{Quotas, Target};
pub(crate) use recognised::Recognised;
pub(crate) use ruling::Ruled;
pub use ruling::{beside_policies, policy_revision};
pub(crate) use share::{Share, Shares};
pub(crate) use step_up::settings as step_up;

/// A call that has a place. Made by [`admit`] alone.
pub(crate) struct Admitted {
    call: Arc<Call>,
    places: Places,
}

/// A call that may be carried out. Made by [`Admitted::permit`] alone.
pub(crate) struct Permitted {
    call: Arc<Call>,
    places: Places,
    /// What the policies said, where there are any.
    ruled: Option<Ruled>,
}

/// The call's place among those under way; given back when dropped.
pub(crate) struct Places {
    _all: Place,
    _client: Place,
    #[allow(dead_code, reason = "held, not read")]
    taken: Option<Taken>,
}

/// One of a counted number.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Place {
    /// A place, if one is left.
    pub(crate) fn take(counter: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let place = Self(counter.clone());
        (counter.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }
}

impl Deref for Admitted {
    type Target = Call;
    fn deref(&self) -> &Call {
        &self.call
    }
}

impl Deref for Permitted {
    type Target = Call;
    fn deref(&self) -> &Call {
        &self.call
    }
}

impl Admitted {
    /// The call and its place, for what is sent on by a handle that has been held against the policies itself.
    pub(crate) fn into_parts(self) -> (Arc<Call>, Places) {
        (self.call, self.places)
    }

    /// The call with other params.
    #[must_use]
    pub(crate) fn with_params(mut self, change: impl FnOnce(&Object) -> Object) -> Self {
        let call = Arc::make_mut(&mut self.call);
        call.params = call.params.as_ref().map(change);
        self
    }

    /// Holds the call against the policies and the limits, if there are any. What is denied comes back without a reason, to
    /// be answered as what is not there, unless the caller's token lacks nothing but scopes; only what is there can be used up.
    pub(crate) fn permit<'a>(
        mut self,
        pass: Option<&Pass>,
        act: impl FnOnce(&Call) -> Option<Act<'a>>,
        quotas: &Quotas,
        (server, tool): (&str, Option<&str>),
    ) -> Result<Permitted, Box<(Self, Option<Refusal>)>> {
        let mut said = None;
        if let Some(pass) = pass {
            let ruled = pass.rule(&self.call.caller, act(&self.call).as_ref());
            let allowed = ruled.allowed();
            self.call.record.ruled(ruled.clone());
            said = Some(ruled);
            if !allowed {
                let step_up = said.as_ref().and_then(Ruled::step_up);
                return Err(Box::new((self, step_up)));
            }
        }
        match quotas.take(&Target { principal: &self.call.caller.principal, server, tool }) {
            Ok(taken) => self.places.taken = taken,
            Err(refusal) => return Err(Box::new((self, Some(refusal)))),
        }
        Ok(Permitted { call: self.call, places: self.places, ruled: said })
    }
}

impl Permitted {
    /// The call, to be kept.
    pub(crate) fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// By which policies, where there are any.
    pub(crate) fn ruled(&self) -> Option<&Ruled> {
        self.ruled.as_ref()
    }

    /// The call, and its place, to be held until it has been answered.
    pub(crate) fn into_parts(self) -> (Arc<Call>, Places) {
        (self.call, self.places)
    }
}

/// Lets a call in.
///
/// # Errors
/// Too much is under way, here or for this client, or what happens cannot be kept as it has to be; the call comes back, to be
/// recorded.
pub(crate) fn admit(
    call: Arc<Call>,
    under_way: &Arc<AtomicUsize>,
    limits: &Limits,
) -> Result<Admitted, (Arc<Call>, Refusal)> {
    if let Err(refusal) = call.record.may_begin() {
        return Err((call, refusal));
    }
    let Some(all) = Place::take(under_way, limits.concurrent_calls) else {
        let message =
            format!("the gateway is busy with {} calls; try again shortly", limits.concurrent_calls);
        return Err((call, Refusal::new(ErrorKind::Overloaded, message)));
    };
    let Some(client) = Place::take(&call.caller.under_way, limits.concurrent_per_client) else {
        let limit = limits.concurrent_per_client;
        let message = format!("this client has {limit} calls under way; wait for one to end");
        return Err((call, Refusal::new(ErrorKind::TooManyRequests, message)));
    };
    Ok(Admitted { call, places: Places { _all: all, _client: client, taken: None } })
}

#[cfg(test)]
mod tests;
