//! One connection, one request at a time: for handshakes, lists and whatever needs no load.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::Endpoint;
use super::request::Speaker;
use super::response::{self, Response};
use crate::wire::Era;

/// How long an answer may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// Bytes of `received` that the previous response took.
    spent: usize,
}

impl Connection {
    /// Connects to `endpoint`.
    pub(crate) fn open(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let stream =
            endpoint.connect().with_context(|| format!("cannot connect to {}", endpoint.authority))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new(), spent: 0 })
    }

    /// Sends `request` and waits for its whole response.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Response<'_>> {
        self.received.drain(..self.spent);
        self.stream.write_all(request)?;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            if let Some(response) = response::parse(&self.received)? {
                self.spent = response.length;
                break;
            }
            let count = self.stream.read(&mut chunk).context("no answer")?;
            ensure!(count > 0, "the connection ended before the answer did");
            self.received.extend_from_slice(&chunk[..count]);
        }
        // Parsed again because a response that borrows from the buffer cannot leave the loop that fills it.
        response::parse(&self.received)?.context("the response was complete a moment ago")
    }

    /// Opens a session where the era has one, and returns the client that goes with it.
    pub(crate) fn handshake(&mut self, era: Era, endpoint: &Endpoint) -> anyhow::Result<Speaker> {
        self.handshake_of(Speaker::new(era, endpoint.clone()))
    }

    /// The same for a client that has something to declare.
    pub(crate) fn handshake_of(&mut self, mut speaker: Speaker) -> anyhow::Result<Speaker> {
        if speaker.era == Era::Modern {
            return Ok(speaker);
        }
        let hello = self.exchange(&speaker.initialize(0)).context("initialize")?;
        let body = String::from_utf8_lossy(&hello.message).into_owned();
        if hello.status != 200 || !body.contains("\"result\"") {
            bail!("initialize was answered with status {}: {body}", hello.status);
        }
        speaker.session = hello.session.map(str::to_owned);
        let status = self.exchange(&speaker.initialized()).context("notifications/initialized")?.status;
        ensure!(status == 202, "notifications/initialized was answered with status {status}");
        Ok(speaker)
    }

    /// The bare stream, for a caller that does its own reading. Nothing may be left unread.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}
