//! `kill -9` under load, in strict mode: what was answered is in the log, once, and the log is whole and goes on. In every third
//! life the disk takes nothing more for a while before, from the middle of an event on; in half of those it does not come back.
//!
//! The short form is an ordinary test. The long one (`make evidence-kills`) is the same with `KILLS=200`, and prints what it
//! found.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_audit::verify::{Demands, verify};
use portcullis_audit::{Segments, Signer};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::events_from;
use super::strict::{files_end_at, start_in};
use crate::harness::fake::{text, tool};
use crate::harness::{Connection, Fake, Gateway, Legacy, Modern, signal};

/// How long the disk takes nothing.
const FULL: Duration = Duration::from_millis(40);
/// How long a client rests that was refused.
const REST: Duration = Duration::from_millis(5);
/// Clients that call at the same time; every other one is of an older revision.
const CLIENTS: usize = 6;

/// What clients were answered, over all lives of the gateway.
#[derive(Default)]
struct Answered {
    ids: Mutex<BTreeSet<String>>,
    count: AtomicUsize,
    /// Calls that were refused because their events could not be kept.
    refused: AtomicUsize,
    more: Notify,
}

impl Answered {
    fn add(&self, id: String) {
        assert!(self.ids.lock().unwrap().insert(id), "answered twice");
        self.count.fetch_add(1, Ordering::SeqCst);
        self.more.notify_waiters();
    }

    /// Waits until so many have been answered in all.
    async fn reach(&self, count: usize) {
        loop {
            let more = self.more.notified();
            if self.count.load(Ordering::SeqCst) >= count {
                return;
            }
            more.await;
        }
    }
}

/// A client, with its connection; of older revisions, with its session.
type Client = (usize, Connection, Option<Legacy>);

async fn client(gateway: &Gateway, number: usize) -> Client {
    let modern = number.is_multiple_of(2);
    let session = if modern { None } else { Some(Legacy::open_at(gateway, "/mcp/s/x", "2025-11-25").await) };
    (number, gateway.connect().await, session)
}

/// Calls until the gateway is gone. What came whole was answered.
async fn call_on((client, mut connection, session): Client, life: usize, answered: Arc<Answered>) {
    for number in 0.. {
        // Half of the tools change something, and are told of before they are called.
        let name = if number % 2 == 0 { "change" } else { "look" };
        let id = json!(format!("{life}-{client}-{number}"));
        let params = json!({"name": name, "arguments": {"n": number}});
        match &session {
            None => {
                let modern = Modern::at("/mcp/s/x");
                let mut body = modern.body("tools/call", params);
                body["id"] = id.clone();
                modern.write(&mut connection, &body, &[]).await;
            }
            Some(session) => {
                let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
                session.write(&mut connection, &call).await;
            }
        }
        let Some(head) = connection.head().await else { return };
        let body = connection.body(&head).await;
        // Half an answer is none.
        let Ok(answer) = serde_json::from_slice::<Value>(&body) else { return };
        assert_eq!(answer["id"], id, "{answer}");
        if answer["error"]["data"]["reason"] == "evidence_unavailable" {
            answered.refused.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(REST).await;
            continue;
        }
        assert_eq!((head.status, answer["result"].is_object()), (200, true), "{answer}");
        answered.add(id.to_string());
    }
}

/// What a whole log says: how often each call ended, and intents without an end.
fn tally(events: &[Value]) -> (BTreeMap<&str, usize>, usize) {
    let calls = || events.iter().filter(|event| event["request"]["method"] == "tools/call");
    let mut ends = BTreeMap::new();
    for event in calls().filter(|event| event["phase"] != "intent") {
        *ends.entry(event["request"]["id"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let closed: BTreeSet<_> = events.iter().filter_map(|event| event["parent"].as_str()).collect();
    let intents = calls().filter(|event| event["phase"] == "intent");
    (ends, intents.filter(|event| !closed.contains(event["id"].as_str().unwrap())).count())
}

fn check(folder: &Path) -> u64 {
    let key = std::fs::read_to_string(folder.join("signing-key")).unwrap();
    let demands = Demands { keys: vec![Signer::parse(&key).unwrap().log_key()], ..Demands::default() };
    let report = verify(&Segments::read_only(folder).unwrap(), &demands).unwrap();
    assert!(report.is_good(), "{report:?}");
    report.next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_answered_before_a_kill_is_in_the_log_once() {
    let kills: usize = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(6);
    let look =
        json!({"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
    let upstream = Fake::modern()
        .tools(vec![look, tool("change")])
        .on("tools/call", |_, answer| async move { answer.result(text("done")).await })
        .start()
        .await;
    let servers = json!({"x": upstream.config()});
    let (answered, mut place) = (Arc::new(Answered::default()), tempfile::tempdir().unwrap());
    let seed = seed();
    let (mut events, mut unknown) = (Vec::new(), 0);
    for life in 0..kills {
        let gateway = start_in(place, "strict", &servers);
        let clients = {
            let mut all = Vec::new();
            for number in 0..CLIENTS {
                all.push(client(&gateway, number).await);
            }
            all
        };
        let calling = clients.into_iter().map(|client| tokio::spawn(call_on(client, life, answered.clone())));
        let calling: Vec<_> = calling.collect();
        let now = || answered.count.load(Ordering::SeqCst);
        let (answers, later) = moment(seed, life);
        answered.reach(now() + answers).await;
        tokio::time::sleep(later).await;
        if life % 3 == 2 {
            files_end_at(&gateway, Some(length_of_last(&gateway.folder().join("audit")) + 700));
            tokio::time::sleep(FULL).await;
            if life % 6 == 5 {
                files_end_at(&gateway, None);
                answered.reach(now() + 10).await;
            }
        }
        signal(gateway.pid(), Signal::KILL);
        for call in calling {
            call.await.expect("each client found what it should");
        }
        place = moved(&gateway);
        events.extend(events_from(&place.path().join("audit"), events.len() as u64));
        let (ends, open) = tally(&events);
        for id in answered.ids.lock().unwrap().iter() {
            assert_eq!(ends.get(id.as_str()), Some(&1), "{id} in life {life}");
        }
        assert!(ends.values().all(|count| *count == 1), "something is counted twice: {ends:?}");
        // Those of earlier lives were ended when the next began.
        unknown += open;
    }
    let mut last = start_in(place, "strict", &servers);
    signal(last.pid(), Signal::TERM);
    last.process().wait().unwrap();
    let folder = last.folder().join("audit");
    events.extend(events_from(&folder, events.len() as u64));
    let (ends, open) = tally(&events);
    assert_eq!(open, 0, "calls that were begun have an end, if only an unknown one");
    assert!(ends.values().all(|count| *count == 1));
    let of_unknown = events.iter().filter(|event| event["result"]["status"] == "unknown").count();
    assert_eq!(of_unknown, unknown);
    let whole = check(&folder);
    assert_eq!(whole, events.len() as u64);
    let count = answered.count.load(Ordering::SeqCst);
    let refused = answered.refused.load(Ordering::SeqCst);
    println!(
        "kills: {kills}; answered calls: {count}; in the log, once: {count}; calls refused while the disk was full: {refused}; \
         events: {whole}; calls of unknown end: {unknown}"
    );
}

/// What the moments of the kills follow from: `SEED`, or another one each time, which is printed.
pub(super) fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| std::hash::RandomState::new().hash_one(0));
    println!("SEED={seed}");
    seed
}

/// When the gateway of a life is killed: after so many answers, and then within the time that a few more take.
pub(super) fn moment(seed: u64, life: usize) -> (usize, Duration) {
    // SplitMix64.
    let mut mixed = seed.wrapping_add((life as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let answers = usize::try_from(mixed % 60).unwrap_or_default();
    (answers, Duration::from_micros((mixed >> 32) % 10_000))
}

/// How long the file is that is written to.
fn length_of_last(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let last =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap();
    std::fs::metadata(last).unwrap().len()
}

/// What a killed gateway left, in a folder of another one.
fn moved(gateway: &Gateway) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::rename(gateway.folder().join("audit"), folder.path().join("audit")).unwrap();
    folder
}
