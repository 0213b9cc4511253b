//! The aggregate `tools/list` over many servers.
//!
//! A list counts as one when all its pages have arrived. Only the time between sending a page's request and
//! its last byte is counted, not the bench's own reading of it, and every list must hold every tool.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use super::gateway::{self, Gateway};
use super::scale::Scale;
use crate::client::Endpoint;
use crate::client::blocking::Connection;
use crate::client::request::Speaker;
use crate::load::Latencies;
use crate::wire::Era;

/// Servers behind the aggregate.
pub(crate) const SERVERS: usize = 100;

/// Tools that they have together, at the upstream's default of 20 each.
pub(crate) const TOOLS: usize = SERVERS * 20;

/// How long the gateway may take to know all servers.
const WARM: Duration = Duration::from_mins(1);

/// More pages than any sensible page size needs: a cursor that leads in circles ends here.
const PAGES: usize = TOOLS;

/// What was found for one era.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Wire form of the client.
    pub(crate) era: Era,
    /// Time of each complete list.
    pub(crate) times: Latencies,
    /// Pages of a list.
    pub(crate) pages: usize,
    /// Bytes of a list's messages.
    pub(crate) bytes: usize,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    result: Option<Page<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    tools: Vec<Tool<'a>>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// One complete list.
#[derive(Default)]
struct List {
    names: HashSet<String>,
    waited: Duration,
    pages: usize,
    bytes: usize,
}

/// Starts the gateway in front of all servers of `upstream` and times its list in both eras.
pub(crate) fn measure(
    program: &Path,
    scratch: &Path,
    upstream: &Endpoint,
    scale: &Scale,
) -> anyhow::Result<Vec<Lists>> {
    let gateway = Gateway::start(program, scratch, &gateway::many(upstream, SERVERS))?;
    let mut found = Vec::new();
    for era in [Era::Modern, Era::Legacy] {
        eprintln!("aggregate list: {era} era");
        let lists = time_lists(&gateway.aggregate(), era, scale.lists);
        found.push(lists.with_context(|| format!("aggregate tools/list, {era} era"))?);
    }
    Ok(found)
}

fn time_lists(endpoint: &Endpoint, era: Era, count: usize) -> anyhow::Result<Lists> {
    let mut connection = Connection::open(endpoint)?;
    let speaker = connection.handshake(era, endpoint)?;
    let warm = warm_up(&mut connection, &speaker)?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let list = fetch(&mut connection, &speaker)?;
        ensure!(list.names.len() == TOOLS, "{} of {TOOLS} tools in a warm list", list.names.len());
        times.push(list.waited);
    }
    Ok(Lists { era, times: times.into_iter().collect(), pages: warm.pages, bytes: warm.bytes })
}

/// Lists until all servers have been found.
fn warm_up(connection: &mut Connection, speaker: &Speaker) -> anyhow::Result<List> {
    let deadline = Instant::now() + WARM;
    loop {
        let list = fetch(connection, speaker)?;
        if list.names.len() == TOOLS {
            return Ok(list);
        }
        if Instant::now() > deadline {
            bail!("{} of {TOOLS} tools after {WARM:?}", list.names.len());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn fetch(connection: &mut Connection, speaker: &Speaker) -> anyhow::Result<List> {
    let mut list = List::default();
    let mut cursor = None;
    for id in 1..=PAGES as u64 {
        let request = speaker.list_tools(id, cursor.as_deref());
        let sent = Instant::now();
        let response = connection.exchange(&request)?;
        list.waited += sent.elapsed();
        list.pages += 1;
        list.bytes += response.message.len();
        ensure!(response.status == 200, "status {}", response.status);
        let message: Message<'_> = serde_json::from_slice(&response.message)?;
        let Some(page) = message.result else {
            bail!("an error: {}", String::from_utf8_lossy(&response.message));
        };
        list.names.extend(page.tools.into_iter().map(|tool| tool.name.into_owned()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(list);
        }
    }
    bail!("more than {PAGES} pages")
}
