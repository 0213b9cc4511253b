//! One connection of the generator: the call on it, and what a client says in the course of that call.
//!
//! Most calls are one request and its answer. A call that asks has more: a modern client makes it again with the word, on
//! the same connection; a legacy client reads the question from the call's stream and posts the word on a second
//! connection, for the first one is busy. Such a call has ended when it is answered and the word is accepted; what counts
//! as its time is the time until the answer.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll;

use super::Plan;
use crate::client::answer::{self, WrongAnswer};
use crate::client::blocking::Connection;
use crate::client::question::{self, Round};
use crate::client::request::{CallTemplate, Speaker, second_id};
use crate::client::response::{self, Response};
use crate::echo::Arguments;
use crate::wire::Era;

/// The two connections that a slot may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    /// Calls and their answers.
    Calls,
    /// What a legacy client answers when it is asked.
    Words,
}

/// A connection and the call on it.
pub(super) struct Slot {
    era: Era,
    calls: Line,
    words: Option<Line>,
    template: CallTemplate,
    arguments: Arguments,
    /// When the call in flight was due; `None` when the connection is free.
    pub(super) due: Option<Instant>,
    /// `None` when the tool asks nothing.
    dialogue: Option<Dialogue>,
}

struct Line {
    stream: TcpStream,
    received: Vec<u8>,
}

/// Where a call stands that asks.
#[derive(Debug, Default)]
struct Dialogue {
    asked: bool,
    /// A word was posted and is not accepted yet.
    posted: bool,
    /// The answer, while the word is not accepted.
    ended: Option<Ended>,
}

/// A call has been answered.
#[derive(Debug)]
pub(super) struct Ended {
    /// When the answer was complete.
    pub(super) at: Instant,
    pub(super) verdict: Result<(), WrongAnswer>,
    /// The server closes the connection.
    pub(super) close: bool,
}

/// What came of reading.
pub(super) enum Progress {
    /// The call goes on.
    Waiting,
    /// It has ended.
    Ended(Ended),
    /// Bytes came that belong to no call.
    Surplus,
}

/// Marks a slot's connection for epoll.
pub(super) fn mark(index: usize, leg: Leg) -> u64 {
    u64::try_from(index).expect("a slot index") << 1 | u64::from(leg == Leg::Words)
}

/// The slot and the connection of a mark.
pub(super) fn marked(mark: u64) -> (usize, Leg) {
    let leg = if mark & 1 == 0 { Leg::Calls } else { Leg::Words };
    (usize::try_from(mark >> 1).expect("marks are slot indices"), leg)
}

impl Slot {
    /// Connects, and opens a session where the era has one.
    pub(super) fn connect(plan: &Plan, epoll: &OwnedFd, index: usize) -> anyhow::Result<Self> {
        let mut connection = Connection::open(&plan.endpoint)?;
        let speaker = Speaker::new(plan.era, plan.endpoint.clone());
        let speaker =
            connection.handshake_of(if plan.asks { speaker.declaring_elicitation() } else { speaker })?;
        let calls = Line::new(connection.into_stream(), epoll, mark(index, Leg::Calls))?;
        let has_words = plan.asks && plan.era == Era::Legacy;
        let words = has_words.then(|| Line::new(plan.endpoint.connect()?, epoll, mark(index, Leg::Words)));
        Ok(Self {
            era: plan.era,
            calls,
            words: words.transpose()?,
            template: speaker.call_template(&plan.tool),
            arguments: Arguments::numbered(0).asking_for(plan.bytes),
            due: None,
            dialogue: plan.asks.then(Dialogue::default),
        })
    }

    /// Sends call number `serial`; `request` is scratch space.
    pub(super) fn send(&mut self, serial: u64, due: Instant, request: &mut Vec<u8>) -> std::io::Result<()> {
        self.arguments.renumber(serial);
        self.due = Some(due);
        if let Some(dialogue) = &mut self.dialogue {
            *dialogue = Dialogue::default();
        }
        self.template.write(&self.arguments, request);
        self.calls.send(request)
    }

    /// Takes what has arrived, and says what comes next in the course of the call.
    ///
    /// # Errors
    /// Why the connection is of no use any more.
    pub(super) fn receive(
        &mut self,
        leg: Leg,
        request: &mut Vec<u8>,
        scratch: &mut String,
    ) -> Result<Progress, String> {
        match leg {
            Leg::Calls => self.receive_call(request, scratch),
            Leg::Words => self.receive_accepted(),
        }
    }

    fn receive_call(&mut self, request: &mut Vec<u8>, scratch: &mut String) -> Result<Progress, String> {
        if !self.calls.fill()? {
            return Ok(Progress::Waiting);
        }
        let Self { era, calls, arguments, dialogue, template, .. } = self;
        let received = response::parse(&calls.received).map_err(|error| error.to_string())?;
        let Some(response) = received else { return self.answer_question(request) };
        let at = Instant::now();
        if self.due.is_none() || response.length < calls.received.len() {
            return Ok(Progress::Surplus);
        }
        let close = response.close;
        let verdict = match dialogue {
            None => answer::check(&response, *era, arguments.serial, arguments, scratch),
            Some(dialogue) if *era == Era::Modern && !dialogue.asked && response.status == 200 => {
                match Round::read(&response.message, arguments) {
                    Ok(Some(round)) => {
                        dialogue.asked = true;
                        template.write_again(arguments, round.key(), round.request_state, request);
                        if close {
                            return Err("the connection was closed in the middle of a call".to_owned());
                        }
                        calls.received.clear();
                        calls.send(request).map_err(|error| format!("cannot send: {error}"))?;
                        return Ok(Progress::Waiting);
                    }
                    Ok(None) => Err(unasked(&response, *era, arguments, scratch)),
                    Err(wrong) => Err(wrong),
                }
            }
            Some(Dialogue { asked: false, .. }) => Err(unasked(&response, *era, arguments, scratch)),
            Some(_) => {
                let id = if *era == Era::Modern { second_id(arguments.serial) } else { arguments.serial };
                answer::check(&response, *era, id, &arguments.with_word(&arguments.word()), scratch)
            }
        };
        calls.received.clear();
        Ok(self.end(Ended { at, verdict, close }))
    }

    /// Posts the word once the question is there.
    fn answer_question(&mut self, request: &mut Vec<u8>) -> Result<Progress, String> {
        let (Some(words), Some(dialogue)) = (&mut self.words, &mut self.dialogue) else {
            return Ok(Progress::Waiting);
        };
        if dialogue.asked {
            return Ok(Progress::Waiting);
        }
        let events = response::events_so_far(&self.calls.received).map_err(|error| error.to_string())?;
        let question = question::find(&events, &self.arguments).map_err(|error| error.to_string())?;
        if let Some(id) = question {
            (dialogue.asked, dialogue.posted) = (true, true);
            self.template.write_answer(&self.arguments, &id, request);
            words.send(request).map_err(|error| format!("cannot send the word: {error}"))?;
        }
        Ok(Progress::Waiting)
    }

    /// Reads that a word was accepted.
    fn receive_accepted(&mut self) -> Result<Progress, String> {
        let (Some(words), Some(dialogue)) = (&mut self.words, &mut self.dialogue) else {
            return Ok(Progress::Waiting);
        };
        if !words.fill()? {
            return Ok(Progress::Waiting);
        }
        let Some(response) = response::parse(&words.received).map_err(|error| error.to_string())? else {
            return Ok(Progress::Waiting);
        };
        if response.status != 202 || response.close || !dialogue.posted {
            return Err(format!("a word was answered with status {}", response.status));
        }
        words.received.clear();
        dialogue.posted = false;
        Ok(dialogue.ended.take().map_or(Progress::Waiting, Progress::Ended))
    }

    fn end(&mut self, ended: Ended) -> Progress {
        match &mut self.dialogue {
            Some(dialogue) if dialogue.posted => {
                dialogue.ended = Some(ended);
                Progress::Waiting
            }
            _ => Progress::Ended(ended),
        }
    }
}

/// What is wrong with an answer that came without a question.
fn unasked(response: &Response<'_>, era: Era, arguments: &Arguments, scratch: &mut String) -> WrongAnswer {
    // An error says more than that nothing was asked.
    let verdict = answer::check(response, era, arguments.serial, arguments, scratch);
    match verdict {
        Err(wrong @ (WrongAnswer::Status { .. } | WrongAnswer::Failed(_))) => wrong,
        _ => WrongAnswer::NotAsked(arguments.serial),
    }
}

impl Line {
    fn new(stream: TcpStream, epoll: &OwnedFd, mark: u64) -> anyhow::Result<Self> {
        stream.set_nonblocking(true)?;
        epoll::add(epoll, &stream, epoll::EventData::new_u64(mark), epoll::EventFlags::IN)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// The only request in flight is far smaller than the socket's buffer, so this never blocks.
    fn send(&mut self, request: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(request)
    }

    /// Takes what has arrived; `false` when nothing has.
    fn fill(&mut self) -> Result<bool, String> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err("the connection ended".to_owned()),
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(format!("cannot receive: {error}")),
        }
    }
}

#[cfg(test)]
mod tests;
