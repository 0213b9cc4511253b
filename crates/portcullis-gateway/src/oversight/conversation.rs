//! Whose reading counts for a call: its principal's, or that of the one conversation that it belongs to.
//!
//! With `flow.per: session`, a legacy client's session is a conversation. A client of 2026-07-28 has none, so each result gives it a
//! handle in `_meta`, and a request that hands one back belongs to that conversation. The handle is sealed for the principal and holds
//! what the conversation had read by then; what it reads later is known by its id, so an older handle of it is worth no more
//! than a newer. Whoever hands nothing back is taken by the principal, whose window has everything that any conversation
//! reads: to leave a handle out, or to bring one that does not open, gains nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_mcp::json::{Change, Object, Raw};
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_model::Unavailable;
use portcullis_oversight::flow::{Labels, Who};

use super::Oversight;
use super::leave::{Rules, can_wait};
use crate::call::{Call, Caller};
use crate::gateway::Gateway;
use crate::seal::{Purpose, Sealer, random_id};

/// The member of `_meta` that holds the handle.
const HANDLE: &str = "io.portcullis/conversation";
/// What a handle may hold, in bytes; of a conversation that has read more, only the next handle-less call knows.
const LONGEST: usize = 4 << 10;
/// Conversations that one principal may begin while what is read counts; of more, each call is the principal's.
const MOST_BEGUN: usize = 1_000;
/// Principals of whom that is counted.
const MOST_COUNTED: usize = 50_000;

/// A conversation of a client that has no sessions, as its handle says: its id, and what it had read when the handle was given.
type Conversation = (String, Labels);

/// How many conversations principals have begun, and until when that counts.
#[derive(Default)]
pub(super) struct Begun(Mutex<HashMap<String, (usize, Instant)>>);

impl Begun {
    /// Whether one more may begin.
    fn one(&self, principal: &str, window: Duration) -> bool {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_COUNTED {
            all.retain(|_, (_, until)| *until > now);
        }
        if all.len() >= MOST_COUNTED && !all.contains_key(principal) {
            return false;
        }
        let (count, until) = all.entry(principal.to_owned()).or_insert((0, now + window));
        if *until <= now {
            (*count, *until) = (0, now + window);
        }
        *count += 1;
        *count <= MOST_BEGUN
    }
}

/// Whose reading counts.
pub(super) struct Window {
    /// The principal's.
    all: String,
    /// The conversation's, and what is known of it without looking.
    own: Option<(String, Labels)>,
}

impl Rules {
    /// Whose reading counts for a caller that names no conversation but its session.
    pub(super) fn window_of(&self, caller: &Caller) -> Window {
        let all = caller.principal.id();
        let is_own = self.per_session && caller.revision.era() == Era::Legacy;
        let own = is_own.then(|| (format!("{all} {}", caller.conversation), Labels::default()));
        Window { all, own }
    }

    /// The same for a call.
    pub(super) fn window(&self, sealer: &Sealer, call: &Call) -> Window {
        let mut window = self.window_of(&call.caller);
        if let Some((id, labels)) = self.conversation(sealer, call) {
            window.own = Some((format!("{} conversation {id}", window.all), labels));
        }
        window
    }

    fn conversation(&self, sealer: &Sealer, call: &Call) -> Option<Conversation> {
        let handle =
            call.params.as_ref().filter(|_| self.gives_handles(call))?.find_path(&["_meta", HANDLE])?;
        let principal = &call.caller.principal;
        let content = sealer.open_in_time(Purpose::Conversation, principal, &handle.string()?).ok()?;
        serde_json::from_slice(&content).ok()
    }

    fn gives_handles(&self, call: &Call) -> bool {
        self.per_session && !self.flow.is_empty() && call.caller.revision.era() == Era::Modern
    }
}

impl Window {
    /// What counts as read.
    ///
    /// # Errors
    /// The store does not answer.
    pub(super) async fn labels(&self, oversight: &Oversight) -> Result<Labels, Unavailable> {
        let mut labels = oversight.windows.of(&*oversight.records, self.who()).await?;
        if let Some((_, given)) = &self.own {
            labels.join(given);
        }
        Ok(labels)
    }

    /// Whose that is.
    pub(super) fn who(&self) -> Who<'_> {
        Who { principal: &self.all, conversation: self.own.as_ref().map(|(key, _)| key.as_str()) }
    }
}

/// Whether a caller has read nothing that flows keep apart; where that cannot be found out, they may have.
pub(crate) async fn has_read_nothing(gateway: &Gateway, call: &Call) -> bool {
    let oversight = &gateway.env.oversight;
    let Some(rules) = oversight.rules.load_full().filter(|rules| !rules.flow.is_empty()) else { return true };
    let window = rules.window(&gateway.sealer, call);
    window.labels(oversight).await.is_ok_and(|labels| labels.is_empty())
}

/// A result with the handle of its conversation, where the client is to have one.
pub(crate) async fn handing(gateway: &Gateway, call: &Call, payload: Payload) -> Payload {
    let oversight = &gateway.env.oversight;
    let Some(rules) = oversight.rules.load_full() else { return payload };
    if !rules.gives_handles(call) || !can_wait(&call.method) {
        return payload;
    }
    let window = rules.window(&gateway.sealer, call);
    let Ok(labels) = window.labels(oversight).await else { return payload };
    let known = rules.conversation(&gateway.sealer, call);
    if known.is_none() && !oversight.begun.one(&call.caller.principal.id(), rules.flow.window) {
        return payload;
    }
    let conversation: Conversation = (known.map_or_else(random_id, |(id, _)| id), labels);
    let content = serde_json::to_vec(&conversation).expect("a conversation prints");
    if content.len() > LONGEST {
        return payload;
    }
    let principal = &call.caller.principal;
    let handle = gateway.sealer.seal_for(rules.flow.window, Purpose::Conversation, principal, &content);
    let handle = Raw::from_text(&handle);
    let result = payload.result.raw().map_member("_meta", |meta| {
        let meta = meta.unwrap_or_else(|| Raw::from_static("{}"));
        meta.with(&[(HANDLE, Change::Set(handle.as_bytes()))])
    });
    Payload { result: result.into(), era: payload.era }
}

/// The params without a handle, which is nothing to servers; `None` when there is none in them.
pub(super) fn without_handle(params: &Object) -> Option<Raw> {
    params.find_path(&["_meta", HANDLE])?;
    let meta = params.find("_meta")?.with(&[(HANDLE, Change::Remove)]);
    Some(params.with(&[("_meta", Change::Set(meta.as_bytes()))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_principal_begins_so_many_conversations() {
        let (begun, hour) = (Begun::default(), Duration::from_hours(1));
        assert!((0..MOST_BEGUN).all(|_| begun.one("key:a", hour)));
        assert!(!begun.one("key:a", hour));
        assert!(begun.one("key:b", hour), "and takes nobody else's");
        assert!(
            (0..MOST_BEGUN * 2).all(|_| begun.one("key:c", Duration::ZERO)),
            "what is over does not count"
        );
    }
}
