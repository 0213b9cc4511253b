//! A call on a channel that all calls share: a child's, for one.

use std::sync::Arc;

use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{Notification, code};
use portcullis_mcp::revision::Era;
use tokio::sync::mpsc;

use super::channel::{Channel, Lost, Ticket, Wants};
use super::connection::{Connection, Sent, Stale, encode};
use super::incoming::{outcome, relevant};
use super::outgoing::Outgoing;
use crate::call::{Event, Exchange, LogLevel, Outcome};

impl Connection {
    pub(super) async fn exchange_channel(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        id: u64,
        out: &Outgoing,
    ) -> Sent {
        let message = encode(id, &out.method, self.params(id, out).as_ref());
        let logs = self.log_level(out).is_some();
        let wants = Wants { progress: out.progress_token.is_some(), logs, strict: out.strict };
        let mut ticket = match channel.begin(id, message, wants).await {
            Ok(ticket) => ticket,
            Err(lost) => return self.lost(lost),
        };
        let Some(notes) = ticket.notes.take() else {
            return match ticket.answer().await {
                Ok(response) => {
                    self.touch();
                    answered(outcome(self.era(), response))
                }
                Err(lost) => self.lost(lost),
            };
        };
        let mut stream = ChannelStream {
            connection: self.clone(),
            ticket,
            notes,
            id,
            progress_token: out.progress_token.clone(),
            log_level: self.log_level(out),
            over: false,
        };
        // That the request could not be delivered shows first of all, and then it may be sent elsewhere.
        let first = match stream.next().await {
            Some(Ok(Event::Done(outcome))) => return answered(outcome),
            Some(Ok(first)) => first,
            Some(Err(lost)) => return self.lost(lost),
            None => Event::Done(self.refusal(Lost::Broke("the server broke off".to_owned()))),
        };
        let events = futures_util::stream::unfold((Some(first), stream), |(first, mut stream)| async {
            if let Some(first) = first {
                return Some((first, (None, stream)));
            }
            let event = match stream.next().await? {
                Ok(event) => event,
                Err(lost) => Event::Done(stream.connection.refusal(lost)),
            };
            Some((event, (None, stream)))
        });
        Sent::Answered(Exchange::live(events, false))
    }

    fn lost(&self, lost: Lost) -> Sent {
        self.touch();
        match lost {
            Lost::Unsent(why) => Sent::Stale(Stale::Gone(why)),
            lost => Sent::Answered(Exchange::done(self.refusal(lost))),
        }
    }

    fn refusal(&self, lost: Lost) -> Outcome {
        lost.into_refusal(&self.server).into()
    }
}

/// The answer to a call, unless a modern server says with it that it no longer speaks this revision: then it has done
/// nothing, and is asked anew what it speaks.
fn answered(outcome: Outcome) -> Sent {
    match outcome {
        Outcome::Failed { error, era: Era::Modern } if error.code() == code::UNSUPPORTED_VERSION => {
            Sent::Stale(Stale::Era(error.message()))
        }
        outcome => Sent::Answered(Exchange::done(outcome)),
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
    async fn next(&mut self) -> Option<Result<Event, Lost>> {
        while !self.over {
            tokio::select! {
                // What the server said before its answer stands before it.
                biased;
                Some(note) = self.notes.recv() => {
                    if let Some(note) = relevant(note, self.id, self.progress_token.as_ref(), self.log_level) {
                        return Some(Ok(Event::Notification(note)));
                    }
                }
                answer = self.ticket.answer() => {
                    self.over = true;
                    self.connection.touch();
                    return Some(answer.map(|response| Event::Done(outcome(self.connection.era(), response))));
                }
            }
        }
        None
    }
}
