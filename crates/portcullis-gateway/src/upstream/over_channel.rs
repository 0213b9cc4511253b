//! A call on a channel that all calls share: a child's, for one.

use std::sync::Arc;

use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{Notification, Response};
use portcullis_model::ErrorKind;
use tokio::sync::mpsc;

use super::channel::{Channel, Ticket, Wants};
use super::connection::{Connection, Sent, Stale, encode};
use super::incoming::{outcome, relevant};
use super::outgoing::Outgoing;
use crate::call::{Event, Exchange, LogLevel, Outcome, Refusal};

impl Connection {
    pub(super) async fn exchange_channel(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        id: u64,
        out: &Outgoing,
    ) -> Sent {
        let message = encode(id, &out.method, self.params(id, out).as_ref());
        let wants = Wants { progress: out.progress_token.is_some(), logs: self.log_level(out).is_some() };
        let mut ticket = match channel.begin(id, message, wants).await {
            Ok(ticket) => ticket,
            Err(why) => return Sent::Stale(Stale::Gone(why)),
        };
        let Some(notes) = ticket.notes.take() else {
            let answer = ticket.answer().await;
            return Sent::Answered(Exchange::done(self.channel_outcome(answer)));
        };
        let stream = ChannelStream {
            connection: self.clone(),
            ticket,
            notes,
            id,
            progress_token: out.progress_token.clone(),
            log_level: self.log_level(out),
            over: false,
        };
        let events = futures_util::stream::unfold(stream, |mut stream| async {
            stream.next().await.map(|event| (event, stream))
        });
        Sent::Answered(Exchange::live(events, false))
    }

    fn channel_outcome(&self, answer: Result<Response, String>) -> Outcome {
        self.touch();
        match answer {
            Ok(response) => outcome(self.era(), response),
            Err(why) => {
                Refusal::new(ErrorKind::UpstreamClosed, format!("server `{}`: {why}", self.server)).into()
            }
        }
    }
}

struct ChannelStream {
    connection: Arc<Connection>,
    ticket: Ticket,
    notes: mpsc::Receiver<Notification>,
    id: u64,
    progress_token: Option<Raw>,
    log_level: Option<LogLevel>,
    over: bool,
}

impl ChannelStream {
    async fn next(&mut self) -> Option<Event> {
        while !self.over {
            tokio::select! {
                // What the server said before its answer stands before it.
                biased;
                Some(note) = self.notes.recv() => {
                    if let Some(note) = relevant(note, self.id, self.progress_token.as_ref(), self.log_level) {
                        return Some(Event::Notification(note));
                    }
                }
                answer = self.ticket.answer() => {
                    self.over = true;
                    return Some(Event::Done(self.connection.channel_outcome(answer)));
                }
            }
        }
        None
    }
}
