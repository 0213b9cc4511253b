//! The session of a legacy host.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::message::{Id, Request, write_notification, write_request};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;

use super::relay::{Ended, HERE, read_answer};
use super::rest::{Patience, Rest};
use super::{Bridge, DEPTH, MESSAGE, Mark};
use crate::upstream::{Answer, EventStream, Head, Media};

/// Most subscriptions that are made again in a new session.
const MOST_SUBSCRIBED: usize = 1024;

/// What was agreed, and how to agree on it again.
#[derive(Default)]
pub(super) struct Session {
    state: Mutex<State>,
    opening: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct State {
    id: Option<HeaderValue>,
    revision: Option<Revision>,
    /// The host's `initialize`, to be said again to an endpoint that has forgotten the session.
    initialize: Option<Raw>,
    /// Counts sessions.
    number: u32,
    /// What the host is subscribed to.
    subscribed: BTreeSet<String>,
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the host has said `initialize`.
    pub(super) fn is_open(&self) -> bool {
        self.state().initialize.is_some()
    }

    /// Whether the host may say several messages in one.
    pub(super) fn has_batches(&self) -> bool {
        self.state().revision == Some(Revision::V2025_03_26)
    }

    /// Takes the revision from the result of `initialize`.
    pub(super) fn agreed(&self, result: &Raw) {
        self.state().revision =
            result.find_string("protocolVersion").and_then(|version| Revision::parse(&version));
    }
}

impl Session {
    /// A subscription was accepted or ended.
    pub(super) fn subscribed(&self, request: &Request) {
        let Some(uri) = request.params.as_ref().and_then(|params| params.find_string("uri")) else { return };
        let mut state = self.state();
        if request.method == Method::ResourcesUnsubscribe {
            state.subscribed.remove(&uri);
        } else if state.subscribed.len() < MOST_SUBSCRIBED {
            state.subscribed.insert(uri);
        }
    }
}

impl State {
    fn head(&self) -> Head<'_> {
        let revision = self.revision.filter(|revision| *revision >= Revision::V2025_06_18);
        Head { revision, session: self.id.as_ref(), ..Head::default() }
    }
}

impl Bridge {
    /// A request of a legacy host.
    pub(super) async fn legacy_request(
        self: &Arc<Self>,
        request: &Request,
        raw: &Raw,
        mark: &Mark,
    ) -> Result<(), String> {
        let opening = self.session.opening.lock().await;
        if request.method == Method::Initialize {
            *self.session.state() = State { initialize: Some(raw.clone()), ..State::default() };
            // Held until it is answered: a host may go on talking before it knows what was agreed.
            let sent = self.send_in_session(request, raw, mark).await;
            drop(opening);
            return sent;
        }
        drop(opening);
        self.send_in_session(request, raw, mark).await
    }

    async fn send_in_session(
        self: &Arc<Self>,
        request: &Request,
        raw: &Raw,
        mark: &Mark,
    ) -> Result<(), String> {
        for attempt in 0..2 {
            let state = self.session.state().clone();
            let reply = self
                .link
                .post(HERE, state.head(), raw.bytes().clone())
                .await
                .map_err(|error| error.to_string())?;
            // 404 to a session means that it is over (2025-11-25, session management).
            if reply.status() == 404 && state.id.is_some() && attempt == 0 {
                self.reopen(state.number).await?;
                continue;
            }
            if request.method == Method::Initialize {
                self.session.state().id = reply.session().cloned();
            }
            if reply.media() == Media::EventStream {
                return self.stream_with_resumes(reply.into_body(), request, mark).await;
            }
            let status = reply.status();
            let answer = read_answer(reply).await?;
            return self.hand_over(request, status, answer).await;
        }
        Err("the endpoint forgets every session at once".to_owned())
    }

    async fn stream_with_resumes(&self, body: Answer, request: &Request, mark: &Mark) -> Result<(), String> {
        let mut ended = self.stream(body, request, Rest::default()).await;
        let mut patience = Patience::default();
        loop {
            let rest = match ended {
                Ended::Answered => return Ok(()),
                Ended::Broken(_) if mark.is_cancelled() => return Ok(()),
                Ended::Broken(rest) => rest,
            };
            let last = rest.last.as_deref().filter(|_| patience.lasts(&rest));
            let last = last.ok_or_else(|| "the connection broke before the answer".to_owned())?;
            tokio::time::sleep(rest.pause()).await;
            let state = self.session.state().clone();
            let head = Head { last_event_id: HeaderValue::try_from(last).ok(), ..state.head() };
            ended = match self.link.get(HERE, head).await {
                Ok(reply) if reply.media() == Media::EventStream => {
                    self.stream(reply.into_body(), request, rest).await
                }
                Ok(reply) => {
                    return Err(format!("the answer broke off and cannot be resumed ({})", reply.status()));
                }
                Err(_) => Ended::Broken(Rest { polls: false, alive: false, ..rest }),
            };
        }
    }

    /// Opens a session again that the endpoint has lost; once for all who noticed.
    async fn reopen(self: &Arc<Self>, lost: u32) -> Result<(), String> {
        let _opening = self.session.opening.lock().await;
        let state = self.session.state().clone();
        let Some(initialize) = state.initialize.filter(|_| state.number == lost) else { return Ok(()) };
        let reply = self.link.post(HERE, Head::default(), initialize.bytes().clone()).await;
        let reply = reply.map_err(|error| error.to_string())?;
        if !reply.status().is_success() {
            return Err(format!("the session ended and a new one was refused ({})", reply.status()));
        }
        self.session.state().id = reply.session().cloned();
        self.session.state().number += 1;
        let _ = read_answer(reply).await;
        let mut initialized = Vec::new();
        write_notification(&mut initialized, &Method::Initialized, None);
        let state = self.session.state().clone();
        let _ = self.link.post(HERE, state.head(), initialized.into()).await;
        for uri in &state.subscribed {
            self.subscribe_again(&state, uri).await;
        }
        self.listen();
        Ok(())
    }

    async fn subscribe_again(&self, state: &State, uri: &str) {
        let params = Raw::from_static("{}").with(&[("uri", Change::Set(Raw::from_text(uri).as_bytes()))]);
        let id = Id::from_raw(&Raw::from_static("\"portcullis-subscribe\"")).expect("a string is an id");
        let mut message = Vec::new();
        write_request(&mut message, &id, &Method::ResourcesSubscribe, Some(&params));
        if let Ok(reply) = self.link.post(HERE, state.head(), message.into()).await {
            let _ = read_answer(reply).await;
        }
    }

    /// A notification of a legacy host. With `initialized` begins the standalone stream.
    pub(super) async fn notify(self: &Arc<Self>, method: &Method, raw: &Raw) {
        drop(self.session.opening.lock().await);
        if !self.session.is_open() {
            return;
        }
        self.post_in_session(raw).await;
        if *method == Method::Initialized {
            self.listen();
        }
    }

    /// Posts what gets no answer.
    pub(super) async fn post_in_session(&self, raw: &Raw) {
        let state = self.session.state().clone();
        let _ = self.link.post(HERE, state.head(), raw.bytes().clone()).await;
    }

    /// Follows the standalone stream for as long as the session and the bridge live.
    fn listen(self: &Arc<Self>) {
        let (bridge, number) = (Arc::downgrade(self), self.session.state().number);
        tokio::spawn(async move {
            let mut rest = Rest::default();
            while let Some(bridge) = bridge.upgrade() {
                let state = bridge.session.state().clone();
                if state.number != number || !bridge.follow(&state, &mut rest).await {
                    return;
                }
                drop(bridge);
                tokio::time::sleep(rest.pause()).await;
            }
        });
    }

    /// Hands over one standalone stream, from after the last event of the one before; says whether there is a point in
    /// another.
    async fn follow(&self, state: &State, rest: &mut Rest) -> bool {
        let last_event_id = rest.last.as_deref().and_then(|id| HeaderValue::try_from(id).ok());
        let resumed = last_event_id.is_some();
        let mut events = match self.link.get(HERE, Head { last_event_id, ..state.head() }).await {
            Ok(reply) if reply.media() == Media::EventStream => EventStream::new(reply.into_body(), MESSAGE),
            // What was to be read on is not kept any more; a stream from now on may be.
            Ok(reply) => {
                rest.last = None;
                return resumed || reply.status().is_server_error();
            }
            Err(_) => return true,
        };
        loop {
            // The host has closed its end: nobody reads any more, and the bridge is about to go.
            let event = tokio::select! {
                event = events.next() => event,
                () = self.host.closed() => return false,
            };
            rest.retry = events.retry().or(rest.retry);
            let Ok(event) = event else { return true };
            rest.last = events.last_event_id().map(str::to_owned).or(rest.last.take());
            if let Ok(message) = Raw::parse(event.data, DEPTH) {
                self.tell(message).await;
            }
        }
    }

    /// Ends the session at the endpoint.
    pub(super) async fn end_session(&self) {
        let state = self.session.state().clone();
        if state.id.is_some() {
            let delete = self.link.delete(HERE, state.head());
            let _ = tokio::time::timeout(Duration::from_secs(2), delete).await;
        }
    }
}
