//! The evidence log as the gateway uses it: events go in, and answers wait for them where they have to.
//!
//! The log itself is `portcullis-audit`'s, and so is what an event is. Here is what its modes mean for a call: in `strict`
//! nothing is answered before its event is durable, and no call begins while events cannot be kept; in `normal` an answer waits
//! for a place among what is to be written at the most, and what finds none is counted, told, and raises an alarm.

use std::borrow::BorrowMut;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_audit::payloads::Side;
use portcullis_audit::retention::Policy;
use portcullis_audit::{Event, Health, Kind, Log, Mode, Recording, Refused, Word};
use portcullis_model::{ErrorKind, Principal};
use tokio::sync::watch;

use super::anchors::Anchors;
use super::names::Names;
use super::systems::{self, Systems};
use super::throttle::Throttle;
use super::written;
use crate::call::{Caller, Refusal};

/// When a client may try again whose call could not be put on record.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The log, and what is needed to write to it.
pub struct Evidence {
    log: Log,
    health: watch::Receiver<Health>,
    throttle: Throttle,
    persons: Names,
    fingerprints: Names,
    anchors: Arc<Anchors>,
    systems: Systems,
    retention: Policy,
}

/// An event that goes on record. It was handed over already.
#[must_use = "in `strict` nothing may be answered before this is done"]
pub(crate) struct Pending(Result<Recording, Box<Refusal>>);

impl Pending {
    /// Waits for as long as the mode asks.
    ///
    /// # Errors
    /// In `strict`, it is not on the disk.
    pub(crate) async fn done(self) -> Result<(), Refusal> {
        let recording = self.0.map_err(|refusal| *refusal)?;
        recording.await.map_err(|refused| refuse(&refused))
    }
}

/// Where a request was refused that became no call.
#[derive(Clone, Copy, Default)]
pub(crate) struct Where<'a> {
    pub(crate) path: Option<&'a str>,
    pub(crate) http_method: Option<&'a str>,
    /// What was wrong with a credential, in words of ours.
    pub(crate) credential: Option<&'a str>,
}

impl Evidence {
    /// Writes to a log from now on, as the settings say.
    pub fn new(log: Log, settings: &portcullis_config::Audit) -> Arc<Self> {
        let health = log.watch();
        Arc::new(Self {
            log,
            health,
            throttle: Throttle::default(),
            persons: Names::default(),
            fingerprints: Names::default(),
            anchors: Arc::default(),
            systems: Systems::of(settings),
            retention: systems::policy(settings),
        })
    }

    /// How long events are kept.
    pub fn retention(&self) -> &Policy {
        &self.retention
    }

    /// An event of somebody who does something to the log.
    pub(crate) fn by(&self, kind: Kind, principal: &Principal, peer: Option<IpAddr>) -> Event {
        Event { who: written::of_principal(self, principal, peer), ..Event::new(kind) }
    }

    /// Somebody as the log calls them: a pseudonym stays, `ISSUER#SUBJECT` becomes one.
    pub(crate) fn person(&self, text: &str) -> Option<String> {
        self.log.keyring().person(text)
    }

    /// The log, for whoever reads it.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How far those hold the log who are not its writer.
    pub fn anchors(&self) -> &Arc<Anchors> {
        &self.anchors
    }

    /// Whether answers wait for their events.
    pub(crate) fn is_strict(&self) -> bool {
        self.log.mode() == Mode::Strict
    }

    /// What is wrong with the log now.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.health.borrow().trouble.clone()
    }

    /// Whether a call may begin.
    ///
    /// # Errors
    /// Its event could not be kept, and no answer may leave without one.
    pub(crate) fn may_begin(&self) -> Result<(), Refusal> {
        if self.is_strict() && self.health.borrow().trouble.is_some() {
            return Err(unavailable());
        }
        Ok(())
    }

    /// Puts an event on record, as far as the mode asks; see [`Pending`].
    pub(super) fn record<'a, S: Word + From<&'a str>>(
        &'a self,
        mut event: impl BorrowMut<Event<S>>,
    ) -> Pending {
        let event: &mut Event<S> = event.borrow_mut();
        self.systems.tag(event);
        Pending(match self.may_begin() {
            Ok(()) => Ok(self.log.record(event)),
            Err(refusal) => {
                // It is known not to come soon; it is written when it can be.
                self.log.tell(event);
                Err(Box::new(refusal))
            }
        })
    }

    /// Puts an event on record for which nobody waits.
    pub(super) fn append<'a, S: Word + From<&'a str>>(&'a self, mut event: impl BorrowMut<Event<S>>) {
        let event: &mut Event<S> = event.borrow_mut();
        self.systems.tag(event);
        self.log.tell(event);
    }

    /// Says in an event what went in or out: as a digest, and sealed where that is wanted. Whose it is, is said before.
    pub(super) fn attach<'a, S: Word + From<&'a str>>(
        &'a self,
        event: &mut Event<S>,
        side: Side,
        bytes: &[u8],
    ) {
        // What it is sealed with goes by the system.
        self.systems.tag(event);
        self.log.attach(event, side, bytes);
    }

    /// What somebody is called in the log.
    pub(super) fn pseudonym(&self, issuer: &str, subject: &str) -> String {
        self.persons.of(issuer, subject, || self.log.keyring().pseudonym(issuer, subject))
    }

    /// What tells a small value from others without saying it.
    pub(super) fn fingerprint(&self, value: &str) -> String {
        self.fingerprints.of("", value, || self.log.keyring().fingerprint(value))
    }

    /// A request was refused before it was a call. Of those whom nobody knows, many in a moment are counted only, and told by
    /// [`Evidence::tell_counted`].
    ///
    /// # Errors
    /// As [`Evidence::record`].
    pub(crate) async fn denied(
        &self,
        kind: ErrorKind,
        principal: &Principal,
        peer: Option<IpAddr>,
        place: Where<'_>,
    ) -> Result<(), Refusal> {
        let reason = kind.as_str();
        if principal.is_anonymous() && !self.throttle.take(reason, Instant::now()) {
            return Ok(());
        }
        let mut event = Event::new(Kind::Denial);
        event.who = written::of_principal(self, principal, peer);
        event.request.endpoint = place.path.map(written::path);
        event.detail.extend(place.http_method.map(|method| ("http".to_owned(), written::shortened(method))));
        event.detail.extend(place.credential.map(|why| ("credential".to_owned(), why.to_owned())));
        event.decision.verdict = Some("refused".to_owned());
        event.decision.reasons = vec![reason.to_owned()];
        event.result.status = Some("refused".to_owned());
        event.result.error = Some(reason.to_owned());
        self.record(event).done().await
    }

    /// Something changed that is no exchange: the configuration, policies, a key, a login. `detail` is words of ours.
    ///
    /// # Errors
    /// When strict mode cannot keep the event.
    pub async fn changed(&self, kind: Kind, detail: &[(&str, String)]) -> Result<(), Refusal> {
        self.record(change(kind, detail)).done().await
    }

    /// The same, done by somebody.
    pub(crate) async fn changed_by(
        &self,
        kind: Kind,
        principal: &Principal,
        peer: Option<IpAddr>,
        detail: &[(&str, String)],
    ) -> Result<(), Refusal> {
        let who = written::of_principal(self, principal, peer);
        self.record(Event { who, ..change(kind, detail) }).done().await
    }

    /// Puts a step of a login at the gateway's own authorization server on record, with whom it is about where that is certain.
    /// Other steps anybody can take who reaches it; they are counted only when there are many in a moment.
    ///
    /// # Errors
    /// As [`Evidence::record`].
    pub(crate) async fn login(
        &self,
        whom: &Principal,
        peer: Option<IpAddr>,
        detail: &[(&str, String)],
    ) -> Result<(), Refusal> {
        if whom.is_anonymous() && !self.throttle.take("login_step", Instant::now()) {
            return Ok(());
        }
        self.changed_by(Kind::Login, whom, peer, detail).await
    }

    /// Puts on record that a login at the gateway's own authorization server, `issuer`, ended before its time: whose, where that
    /// is known, and why.
    pub(crate) fn login_ended(&self, issuer: &str, subject: Option<&str>, why: &'static str) {
        let whose = subject.map_or(Principal::Anonymous, |subject| Principal::of(issuer, subject));
        let mut event = change(Kind::Login, &[("what", "ended".to_owned()), ("reason", why.to_owned())]);
        event.who = written::of_principal(self, &whose, None);
        self.append(event);
    }

    /// Puts on record that a principal, by its id, is on the operator's list of those who are not let in, or is not any more.
    ///
    /// # Errors
    /// When strict mode cannot keep the event.
    pub async fn listed(&self, id: &str, revoked: bool) -> Result<(), Refusal> {
        let what = if revoked { "a principal was revoked" } else { "a principal is not revoked any more" };
        let mut event = change(Kind::Key, &[("what", what.to_owned())]);
        let names = match id.split_once(':') {
            Some(("user", of_issuer)) => of_issuer.split_once('#'),
            Some(("spiffe", _)) => Some(("spiffe", id)),
            other => other,
        };
        event.who.person = names.map(|(issuer, subject)| self.pseudonym(issuer, subject));
        self.record(event).done().await
    }

    /// Puts on record what became of a session, or of a stream of it.
    pub(crate) fn session(&self, caller: &Caller, id: &str, what: &'static str) {
        let mut event = change(Kind::Subscription, &[("what", what.to_owned())]);
        event.who = written::of_principal(self, &caller.principal, caller.peer);
        event.request.session = Some(self.fingerprint(id));
        event.request.protocol = Some(caller.revision.as_str().to_owned());
        self.append(event);
    }

    /// Puts on record how many refusals were only counted.
    pub(crate) fn tell_counted(&self) {
        let counted = self.throttle.counted();
        if counted.is_empty() {
            return;
        }
        let mut event = Event::new(Kind::Denial);
        event.decision.verdict = Some("refused".to_owned());
        event.decision.reasons = counted.keys().map(|reason| (*reason).to_owned()).collect();
        event.detail =
            counted.into_iter().map(|(reason, count)| (reason.to_owned(), count.to_string())).collect();
        event.detail.insert("what".to_owned(), "counted".to_owned());
        event.who.proof = Some("anonymous".to_owned());
        self.append(event);
    }

    /// Writes what waits and signs a last checkpoint. Blocks for it.
    pub fn close(&self) {
        self.tell_counted();
        self.log.close();
    }
}

fn change(kind: Kind, detail: &[(&str, String)]) -> Event {
    let mut event = Event::new(kind);
    event.detail =
        detail.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<BTreeMap<_, _>>();
    event
}

fn refuse(refused: &Refused) -> Refusal {
    tracing::error!(%refused, "an answer was withheld, for its event could not be kept");
    unavailable()
}

fn unavailable() -> Refusal {
    let message = "what happens here has to be put on record, and cannot be now; try again later";
    let refusal = Refusal::new(ErrorKind::EvidenceUnavailable, message);
    Refusal { retry_after: Some(TRY_AGAIN), ..refusal }
}

/// Bytes in lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(half + if half < 10 { b'0' } else { b'a' - 10 });
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}
