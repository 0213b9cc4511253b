//! What a player stands on: a transport, and what both sides of a pair share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use super::setting::Policies;
use super::text::Side;

/// What came in.
#[derive(Debug)]
pub(super) enum Heard {
    Message {
        message: Value,
        /// Of an answer over HTTP.
        status: Option<u16>,
        /// Of a request over HTTP.
        headers: Vec<(String, String)>,
        /// Where the answer goes.
        way: Option<Way>,
    },
    /// A request was ended by closing its connection.
    Left { id: Value },
    /// The stream for what belongs to no request has ended.
    Ended,
}

/// The stream of a request, or the channel that all share.
pub(super) type Way = mpsc::UnboundedSender<Out>;

/// What goes on it.
#[derive(Debug)]
pub(super) enum Out {
    Event(Value),
    Answer(Value),
    /// Breaks off.
    End,
}

/// Where a message goes.
#[derive(Clone, Debug)]
pub(super) enum Where {
    /// On the stream of a request, or the channel that it came on.
    On(Way),
    /// On the standalone stream of the session of a request.
    Beside(String),
    /// On every channel and standalone stream.
    Aside,
}

/// A transport under a player.
pub(super) trait Wire {
    /// Says a message, with other headers than the right ones.
    async fn say(&mut self, message: Value, place: Where, notes: &[(String, String)]);
    /// Says that the answer to its own request is not wanted any more.
    async fn cancel(&mut self, id: &Value);
    /// The next thing that comes in.
    async fn hear(&mut self) -> Heard;
    /// What has come in already.
    fn heard(&mut self) -> Option<Heard>;
    /// Answers a method with a result from now on.
    fn always(&mut self, method: &str, result: Value);
    /// Goes away without a word.
    async fn leave(&mut self);
}

/// What the sides of a pair share: who has signalled what, and what was said and heard so far.
#[derive(Default)]
pub(super) struct Scene {
    /// Where policies can be changed.
    pub(super) policies: Option<Arc<Policies>>,
    signals: Mutex<HashSet<String>>,
    signalled: Notify,
    trail: Mutex<Vec<String>>,
}

impl Scene {
    pub(super) fn new(policies: Option<Arc<Policies>>) -> Self {
        Self { policies, ..Self::default() }
    }

    pub(super) fn note(&self, side: Side, line: &str) {
        let side = match side {
            Side::Client => "client",
            Side::Other => "other",
            Side::Server => "server",
        };
        self.trail.lock().unwrap().push(format!("    {side} {line}"));
    }

    /// What was said and heard, in order.
    pub(super) fn trail(&self) -> String {
        self.trail.lock().unwrap().join("\n")
    }

    pub(super) fn signal(&self, name: &str) {
        self.signals.lock().unwrap().insert(name.to_owned());
        self.signalled.notify_waiters();
    }

    pub(super) async fn wait(&self, name: &str) {
        loop {
            let signalled = self.signalled.notified();
            tokio::pin!(signalled);
            signalled.as_mut().enable();
            if self.signals.lock().unwrap().contains(name) {
                return;
            }
            signalled.await;
        }
    }
}
