//! A call in whose course the server may ask its client something, over any transport.
//!
//! Questions that came for the call on a channel or on the standalone stream are put among its events. They may come before
//! the server has begun to answer the call, so the sending itself goes on inside the exchange then.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use portcullis_model::ErrorKind;

use super::connection::{Connection, Sent, Stale};
use super::outgoing::Outgoing;
use super::questions::Floor;
use crate::call::{Event, Exchange, Outcome, Question, Refusal};

impl Connection {
    /// Sends a call that has the floor.
    pub(super) async fn exchange_asked(self: &Arc<Self>, id: u64, out: &Outgoing, mut floor: Floor) -> Sent {
        let (connection, out) = (self.clone(), out.clone());
        let mut sending = async move { connection.send(id, &out).await }.boxed();
        let first = tokio::select! {
            biased;
            sent = &mut sending => match sent {
                Sent::Answered(exchange) if exchange.is_ready() => {
                    floor.answered(exchange.ready());
                    return Sent::Answered(exchange);
                }
                Sent::Answered(exchange) => {
                    let streamed = exchange.is_streamed();
                    let asked = Asked { source: Source::Open(exchange), floor, first: None };
                    return Sent::Answered(Exchange::live(asked.into_events(), streamed));
                }
                stale @ Sent::Stale(_) => {
                    floor.answered(None);
                    return stale;
                }
            },
            question = floor.asked() => question,
        };
        let asked = Asked { source: Source::Sending(sending), floor, first: Some(first) };
        Sent::Answered(Exchange::live(asked.into_events(), true))
    }
}

enum Source {
    Sending(BoxFuture<'static, Sent>),
    Open(Exchange),
}

struct Asked {
    source: Source,
    floor: Floor,
    first: Option<Question>,
}

impl Asked {
    fn into_events(self) -> impl futures_util::Stream<Item = Event> + Send {
        futures_util::stream::unfold(self, |mut asked| async {
            asked.next().await.map(|event| (event, asked))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        let event = match self.first.take() {
            Some(question) => Some(Event::Asked(question)),
            None => self.event().await,
        };
        match &event {
            Some(Event::Asked(question)) => self.floor.note(question),
            Some(Event::Done(outcome)) => self.floor.answered(Some(outcome)),
            None => self.floor.answered(None),
            Some(Event::Notification(_) | Event::Paused { .. }) => {}
        }
        event
    }

    async fn event(&mut self) -> Option<Event> {
        loop {
            let sent = match &mut self.source {
                Source::Sending(sending) => tokio::select! {
                    biased;
                    question = self.floor.asked() => return Some(Event::Asked(question)),
                    sent = sending => sent,
                },
                Source::Open(exchange) => {
                    return tokio::select! {
                        biased;
                        question = self.floor.asked() => Some(Event::Asked(question)),
                        event = exchange.next() => event,
                    };
                }
            };
            self.source = Source::Open(match sent {
                Sent::Answered(exchange) => exchange,
                Sent::Stale(stale) => Exchange::done(lost(stale)),
            });
        }
    }
}

/// The server had asked something already, so the call may have been carried out in part: it is not sent again.
fn lost(stale: Stale) -> Outcome {
    match stale {
        Stale::Headers(outcome) => outcome,
        Stale::Gone(why) | Stale::Era(why) => {
            Refusal::new(ErrorKind::UpstreamClosed, format!("the server broke off: {why}")).into()
        }
    }
}
