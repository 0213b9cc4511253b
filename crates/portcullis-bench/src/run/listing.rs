//! The aggregate `tools/list` over many servers.
//!
//! A list counts as one when all its pages have arrived. Only the time between sending a page's request and
//! its last byte is counted, not the bench's own reading of it, and every list must hold every tool.
//!
//! It is taken twice: by anybody, and with a token, of which the policies show half of the servers. What is shown is remembered for
//! as long as policies, principal and context stay, and that is what a warm list costs.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use super::gateway::{self, Gateway};
use super::layers::{Issuer, POLICIES};
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

/// Servers that the policies show to the caller with a token.
const SHOWN: usize = SERVERS / 2;

/// How long the gateway may take to know all servers.
const WARM: Duration = Duration::from_mins(1);

/// More pages than any sensible page size needs: a cursor that leads in circles ends here.
const PAGES: usize = TOOLS;

/// What was found for one era.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Wire form of the client.
    pub(crate) era: Era,
    /// Whether it comes with a token, and policies say what it is shown.
    pub(crate) guarded: bool,
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
    let servers = gateway::many(upstream, SERVERS);
    let mut found = Vec::new();
    let gateway = Gateway::start(program, scratch, &servers)?;
    let mut take = |endpoint: &Endpoint, guarded| -> anyhow::Result<()> {
        for era in [Era::Modern, Era::Legacy] {
            eprintln!(
                "aggregate list: {era} era{}",
                if guarded { ", with a token and policies" } else { "" }
            );
            let lists = time_lists(endpoint, era, guarded, scale.lists);
            found.push(lists.with_context(|| format!("aggregate tools/list, {era} era"))?);
        }
        Ok(())
    };
    take(&gateway.aggregate(), false)?;
    drop(gateway);
    let (issuer, folder) = (Issuer::start()?, scratch.join("listed"));
    std::fs::create_dir(&folder)?;
    let policies = folder.join("policies.cedar");
    std::fs::write(&policies, policies_text())?;
    let (identity, policy) = (issuer.identity(), json!({"files": [policies]}));
    let guarded =
        Gateway::start(program, &folder, &format!("{servers}identity: {identity}\npolicy: {policy}\n"))?;
    let authorization = Some(format!("Bearer {}", issuer.token()).into());
    take(&Endpoint { authorization, ..guarded.aggregate() }, true)?;
    Ok(found)
}

/// As many policies as calls are held against: some show the caller half of the servers, the others are about other groups.
fn policies_text() -> String {
    let mut text = String::new();
    for number in 0..POLICIES {
        let server = format!("resource in Server::\"s{}\"", number % SERVERS + 1);
        let _ = match number {
            _ if number < SHOWN && number % 2 == 0 => {
                writeln!(text, "permit (principal in Group::\"g2\", action in Action::\"use\", {server});")
            }
            _ if number < SHOWN => writeln!(
                text,
                "permit (principal in Group::\"g7\", action == Action::\"tools/call\", {server}) unless {{ resource.name \
                 like \"*_delete\" }};"
            ),
            _ if number % 9 == 0 => writeln!(
                text,
                "forbid (principal in Group::\"other\", action == Action::\"tools/call\", {server}) when {{ resource.name \
                 like \"*_{number}\" }};"
            ),
            _ => writeln!(
                text,
                "permit (principal in Group::\"h{}\", action in Action::\"use\", {server});",
                number % 25
            ),
        };
    }
    text
}

fn time_lists(endpoint: &Endpoint, era: Era, guarded: bool, count: usize) -> anyhow::Result<Lists> {
    let tools = if guarded { TOOLS / SERVERS * SHOWN } else { TOOLS };
    let mut connection = Connection::open(endpoint)?;
    let speaker = connection.handshake(era, endpoint)?;
    let warm = warm_up(&mut connection, &speaker, tools)?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let list = fetch(&mut connection, &speaker)?;
        ensure!(list.names.len() == tools, "{} of {tools} tools in a warm list", list.names.len());
        times.push(list.waited);
    }
    Ok(Lists { era, guarded, times: times.into_iter().collect(), pages: warm.pages, bytes: warm.bytes })
}

/// Lists until all servers have been found.
fn warm_up(connection: &mut Connection, speaker: &Speaker, tools: usize) -> anyhow::Result<List> {
    let deadline = Instant::now() + WARM;
    loop {
        let list = fetch(connection, speaker)?;
        if list.names.len() == tools {
            return Ok(list);
        }
        if Instant::now() > deadline {
            bail!("{} of {tools} tools after {WARM:?}", list.names.len());
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
