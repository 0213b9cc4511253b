//! What is known of a client before it has said anything, its connection; and, with that, who makes a request.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderName;
use portcullis_identity::outbound::SubjectToken;
use portcullis_identity::{Familiar, Mark, Verified};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Raw;
use portcullis_mcp::revision::Revision;
use portcullis_mcp::translate::key;
use portcullis_model::{ErrorKind, Principal};
use portcullis_telemetry::TraceContext;
use tokio_util::sync::CancellationToken;

use super::fields::Fields;
use super::shown::Shown;
use crate::admit::{Place, Recognised, Share};
use crate::call::{Caller, Endpoint, Refusal, Worker};
use crate::gateway::Gateway;
use crate::identity::Form;
use crate::record::Where;

const PARENT: HeaderName = HeaderName::from_static(key::TRACEPARENT);
const STATE: HeaderName = HeaderName::from_static(key::TRACESTATE);

/// One client connection, or one request on it that says itself who makes it.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) worker: Worker,
    pub(crate) principal: Principal,
    /// The address at the other end.
    pub(crate) peer: Option<IpAddr>,
    /// Names the conversation of stateless clients where servers are not shared: the principal.
    pub(crate) conversation: Arc<str>,
    /// What it holds: for each principal, or for each connection where nobody knows whose it is.
    pub(crate) share: Share,
    /// Whom the policies take it for.
    pub(crate) recognised: Arc<Recognised>,
    /// The client certificate of the connection.
    pub(crate) shown: Option<Arc<Shown>>,
    /// The token or key that the request was made with.
    pub(crate) verified: Option<Arc<Verified>>,
    /// That token, where a server wants one in exchange.
    pub(crate) subject: Option<Arc<SubjectToken>>,
    /// Of a connection: who made the last request on it that said so itself.
    familiar: Option<Arc<Familiar<Arc<Made>>>>,
    /// Of a connection: for whom it is counted.
    held: Option<Arc<Held>>,
    /// Its own: a number that is given once.
    pub(super) connection: u64,
}

/// For whom a connection is counted: whoever made the last request on it. Behind a proxy that changes.
#[derive(Default)]
struct Held {
    by: Mutex<Option<(Arc<str>, Place)>>,
    /// It is to be closed after the answer.
    over: CancellationToken,
}

/// What a request with a credential was for, and what was made of it.
struct Made {
    endpoint: Endpoint,
    form: Form,
    context: Arc<Context>,
}

impl Context {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        worker: Worker,
        principal: Principal,
        shown: Option<Arc<Shown>>,
        peer: Option<IpAddr>,
    ) -> Self {
        let conversation: Arc<str> = principal.to_string().into();
        let share =
            if principal.is_anonymous() { Share::default() } else { gateway.shares.of(&conversation) };
        let (familiar, held) = (Some(Arc::default()), Some(Arc::default()));
        let connection = gateway.env.number();
        Self {
            connection,
            gateway,
            worker,
            principal,
            peer,
            conversation,
            share,
            recognised: Arc::default(),
            shown,
            verified: None,
            subject: None,
            familiar,
            held,
        }
    }

    /// The connection with somebody on it whose credential was verified.
    pub(super) fn of(&self, verified: Arc<Verified>, subject: Option<Arc<SubjectToken>>) -> Self {
        let (principal, conversation) = (verified.principal.clone(), verified.id.clone());
        let share = self.gateway.shares.of(&conversation);
        let verified = Some(verified);
        let (familiar, held, recognised) = (None, None, Arc::default());
        Self { principal, conversation, share, recognised, verified, subject, familiar, held, ..self.clone() }
    }

    /// Counts the connection for whoever makes a request on it.
    ///
    /// # Errors
    /// They have as many as they may. One that was nobody's yet is closed after the answer.
    pub(super) fn hold(&self, who: &Self) -> Result<(), Refusal> {
        let Some(held) = self.held.as_ref().filter(|_| !who.principal.is_anonymous()) else { return Ok(()) };
        let mut by = held.by.lock().unwrap_or_else(PoisonError::into_inner);
        if by.as_ref().is_some_and(|(by, _)| *by == who.conversation) {
            return Ok(());
        }
        let most = self.gateway.env.limits().connections_per_principal;
        if let Some(place) = Place::take(&who.share.connections, most) {
            *by = Some((who.conversation.clone(), place));
            return Ok(());
        }
        if by.is_none() {
            held.over.cancel();
        }
        let message =
            format!("you have {most} connections open (limits.connections_per_principal); close some");
        Err(Refusal::new(ErrorKind::TooManyRequests, message))
    }

    /// Whether the connection is to be closed after the answer that is under way.
    pub(super) fn is_over(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.over.is_cancelled())
    }

    /// Ends when the connection is to be closed.
    pub(super) fn over(&self) -> impl Future<Output = ()> + use<> {
        let over = self.held.as_ref().map(|held| held.over.clone());
        async move {
            match over {
                Some(over) => over.cancelled().await,
                None => std::future::pending().await,
            }
        }
    }

    /// The connection with whoever showed the very same credential at the same endpoint before, while that counts.
    pub(super) fn recall(&self, endpoint: &Endpoint, form: Form, credential: &[u8]) -> Option<Arc<Self>> {
        let made = self.familiar.as_ref()?.recall(&self.gateway.identity, credential)?;
        (made.form == form && made.endpoint == *endpoint).then(|| made.context.clone())
    }

    /// Keeps it for the next request.
    pub(super) fn keep(
        &self,
        mark: Mark,
        (endpoint, form): (&Endpoint, Form),
        credential: &[u8],
        made: &Arc<Self>,
    ) {
        if let (Some(familiar), Some(verified)) = (&self.familiar, &made.verified) {
            let made = Made { endpoint: endpoint.clone(), form, context: made.clone() };
            familiar.keep(mark, credential, verified, Arc::new(made));
        }
    }

    /// Whether the certificate that the connection was opened with, if it was, lets its holder in still.
    pub(super) fn certificate_counts(&self) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.counts())
            && !self.gateway.identity.is_revoked(&self.principal)
    }

    /// Who calls in a session: whoever opened it, with what is vouched for about them now, from where they are now.
    pub(super) fn caller(&self, opened: &Arc<Caller>) -> Arc<Caller> {
        if opened.peer == self.peer
            && self.subject.is_none()
            && opened.principal.is_vouched_as(&self.principal)
        {
            return opened.clone();
        }
        let (principal, subject) = (self.principal.clone(), self.subject.clone());
        let recognised = self.recognised.clone();
        Arc::new(Caller { principal, subject, peer: self.peer, recognised, ..Caller::clone(opened) })
    }

    /// Ends when the credential that the request was made with does not count any more, or its holder is stopped; what was asked for with it and
    /// has no end of its own ends then.
    pub(super) fn until_over(&self) -> impl Future<Output = ()> + Send + 'static {
        let (gateway, verified, principal) =
            (self.gateway.clone(), self.verified.clone(), self.principal.clone());
        let shown = self.shown.clone();
        async move {
            let over = async {
                match verified {
                    Some(verified) => gateway.identity.until_over(&verified).await,
                    None => certificate_over(&gateway, &principal, shown.as_deref()).await,
                }
            };
            tokio::select! {
                () = over => {}
                _ = gateway.env.oversight.until_stopped(&principal, None, None) => {}
            }
        }
    }

    /// Whoever calls, before it has said what it speaks.
    pub(super) fn stranger(&self) -> Arc<Caller> {
        Arc::new(Caller {
            principal: self.principal.clone(),
            subject: None,
            peer: self.peer,
            revision: Revision::NEWEST_LEGACY,
            caps: ClientCaps::NONE,
            client: None,
            conversation: self.conversation.clone(),
            under_way: self.share.calls.clone(),
            recognised: self.recognised.clone(),
            connection: self.connection,
            held_to: None,
        })
    }

    /// Puts a refusal on record that ends a request before it is a call, and says what the client is told: where answers wait
    /// for their events, and one cannot be kept, something else.
    pub(super) async fn denied(&self, refusal: Refusal) -> Refusal {
        let Some(evidence) = &self.gateway.evidence else { return refusal };
        let kept = evidence.denied(refusal.kind, &self.principal, self.peer, Where::default()).await;
        kept.err().unwrap_or(refusal)
    }

    /// A place for one more session of whoever calls.
    ///
    /// # Errors
    /// It has as many as it may.
    pub(super) fn take_session(&self) -> Result<Place, Refusal> {
        let most = self.gateway.env.limits().sessions_per_principal;
        Place::take(&self.share.sessions, most).ok_or_else(|| {
            let message = format!("you have {most} sessions open (limits.sessions_per_principal); end some");
            Refusal::new(ErrorKind::TooManyRequests, message)
        })
    }

    /// New work is refused when the gateway is about to stop, where what is under way may still be answered, and while an
    /// operator has stopped whoever asks, or everything.
    ///
    /// # Errors
    /// It is about to stop, or stopped.
    pub(super) fn refuse_when_stopping(&self) -> Result<(), Refusal> {
        if self.gateway.draining.is_cancelled() {
            return Err(Refusal::new(ErrorKind::Overloaded, "this gateway is stopping; connect again"));
        }
        self.gateway.env.oversight.stopped(&self.principal, None, None).map_or(Ok(()), Err)
    }
}

/// Ends when somebody who proved who they are by a certificate, or not at all, is not let in any more.
pub(super) async fn certificate_over(gateway: &Gateway, principal: &Principal, shown: Option<&Shown>) {
    let untrusted = async {
        match shown {
            Some(shown) => shown.until_over().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = gateway.identity.until_revoked(principal) => {}
        () = untrusted => {}
    }
}

/// Where a request stands in a trace: `traceparent` and `tracestate` of `_meta` first (SEP-414), for they are the
/// call's own; else the HTTP headers.
pub(super) fn trace_context(fields: &Fields, in_meta: [Option<Raw>; 2]) -> Option<TraceContext> {
    let [parent, state] = in_meta;
    let parsed = parent.and_then(|parent| {
        let state = state.as_ref().and_then(Raw::string);
        TraceContext::parse(&parent.string()?, state.as_deref()).ok()
    });
    parsed.or_else(|| TraceContext::parse(fields.text(&PARENT)?, fields.text(&STATE)).ok())
}
