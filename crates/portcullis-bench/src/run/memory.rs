//! Resident memory: idle, and for each idle legacy session.
//!
//! The gateway is started afresh, so that nothing that load left behind can hide the cost of sessions. An idle
//! session is one that finished its handshake on the aggregate endpoint and then keeps quiet; no stream is
//! held open for it.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::gateway::{self, Gateway};
use super::proc::usage;
use super::scale::Scale;
use super::service::await_first_answer;
use crate::client::Endpoint;
use crate::client::blocking::Connection;
use crate::wire::Era;

/// Connections over which the sessions are opened; sessions are not tied to connections.
const CONNECTIONS: u32 = 8;

/// Time that the gateway gets to finish what it does in the background before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// What the memory test found.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Resident bytes after one call in either era and a rest.
    pub(crate) idle: u64,
    /// Legacy sessions that were then opened.
    pub(crate) sessions: u32,
    /// Resident bytes with all of them open.
    pub(crate) loaded: u64,
    /// Time that opening them took.
    pub(crate) opening: Duration,
}

impl Memory {
    /// Resident bytes for each session.
    pub(crate) fn per_session(&self) -> u64 {
        self.loaded.saturating_sub(self.idle) / u64::from(self.sessions)
    }
}

/// Starts the gateway, opens the sessions and compares.
pub(crate) fn measure(
    program: &Path,
    scratch: &Path,
    upstream: &Endpoint,
    scale: &Scale,
) -> anyhow::Result<Memory> {
    eprintln!("memory: {} legacy sessions", scale.sessions);
    let gateway = Gateway::start(program, scratch, &gateway::either_era(upstream))?;
    await_first_answer(&gateway.server("up"), Era::Modern)?;
    await_first_answer(&gateway.server("old"), Era::Legacy)?;
    std::thread::sleep(SETTLE);
    let idle = usage(gateway.pid()).resident;

    let begun = Instant::now();
    let ids = open_sessions(&gateway.aggregate(), scale.sessions).context("opening legacy sessions")?;
    let opening = begun.elapsed();
    ensure!(ids.len() == scale.sessions as usize, "only {} session ids are distinct", ids.len());
    std::thread::sleep(SETTLE);
    Ok(Memory { idle, sessions: scale.sessions, loaded: usage(gateway.pid()).resident, opening })
}

fn open_sessions(endpoint: &Endpoint, count: u32) -> anyhow::Result<HashSet<String>> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(endpoint)?);
    }
    let mut ids = HashSet::new();
    for number in 0..count {
        let connection = &mut connections[(number % CONNECTIONS) as usize];
        let speaker = connection.handshake(Era::Legacy, endpoint)?;
        ids.insert(speaker.session.context("initialize was answered without a session id")?);
    }
    Ok(ids)
}
