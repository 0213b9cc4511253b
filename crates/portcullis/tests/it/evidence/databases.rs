//! Evidence that is kept in SQLite and in PostgreSQL: in strict mode what was answered is in the log, once, whether the gateway
//! is killed under load, its disk is full, or its database ends and starts again; and it is read from outside.
//!
//! The short form is an ordinary test. The long one (`make evidence-kills`) is the same with more kills, and prints what it found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_audit::verify::{Demands, verify};
use portcullis_audit::{Record, Signer};
use portcullis_model::{Journal, Search};
use portcullis_store::{Access, PostgresJournal, SqliteJournal};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::kills::{moment, seed};
use crate::harness::fake::{text, tool};
use crate::harness::{Connection, Fake, Gateway, Modern, Upstream, signal, until};
use server::Server;

#[path = "../../../../portcullis-store/tests/it/server.rs"]
#[allow(dead_code, reason = "the store's tests ask more of it")]
pub(super) mod server;

const CLIENTS: usize = 6;
/// Between a call that was refused and the next.
const REST: Duration = Duration::from_millis(20);
/// How long a disk is full, or a database away.
const AWAY: Duration = Duration::from_millis(600);

/// Where a gateway keeps its evidence, and what can happen there.
enum Kept {
    Sqlite,
    Postgres(Server),
}

impl Kept {
    /// A gateway that keeps its evidence there. Its files can be limited: it is told, instead of ended, when it writes too much.
    fn start(&self, folder: TempDir, servers: &Value) -> Gateway {
        self.start_as("strict", folder, servers)
    }

    fn start_as(&self, mode: &str, folder: TempDir, servers: &Value) -> Gateway {
        let log = match self {
            Self::Sqlite => json!({"kind": "sqlite"}),
            Self::Postgres(server) => {
                std::fs::write(folder.path().join("url"), server.url()).unwrap();
                json!({"kind": "postgres", "url_file": "url"})
            }
        };
        let config = json!({
            "listen": "127.0.0.1:0", "servers": servers, "telemetry": {"log": {"filter": "info"}},
            "audit": {"mode": mode, "node": "gw", "log": log},
        });
        std::fs::write(folder.path().join("portcullis.json"), config.to_string()).unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg("trap '' XFSZ; exec \"$0\" serve --config portcullis.json");
        command.arg(env!("CARGO_BIN_EXE_portcullis"));
        Gateway::spawn(folder, command)
    }

    fn journal(&self, folder: &Path) -> Arc<dyn Journal> {
        match self {
            Self::Sqlite => {
                Arc::new(SqliteJournal::open(&folder.join("audit/log.db"), Access::Read).unwrap())
            }
            Self::Postgres(server) => {
                let log = Some("portcullis/audit/gw");
                Arc::new(PostgresJournal::open(&server.url(), server.trusting(), log, Access::Read).unwrap())
            }
        }
    }

    fn records(&self, folder: &Path) -> Vec<Value> {
        let journal = self.journal(folder);
        let (next, mut all) = (journal.extent().unwrap().next, Vec::new());
        while (all.len() as u64) < next {
            for entry in journal.read(all.len() as u64, 1000).unwrap() {
                assert_eq!(entry.seq, all.len() as u64);
                let record = Record::parse(&entry.record).unwrap();
                all.push(serde_json::to_value(&record.event).unwrap());
            }
        }
        all
    }

    /// The disk takes nothing more, or there is no database.
    fn away(&mut self, gateway: &Gateway) {
        match self {
            Self::Sqlite => files_end_at(gateway, Some(0)),
            Self::Postgres(server) => block_in_place(|| server.stop()),
        }
    }

    fn back(&mut self, gateway: &Gateway) {
        match self {
            Self::Sqlite => files_end_at(gateway, None),
            Self::Postgres(server) => block_in_place(|| server.start_again()),
        }
    }
}

fn files_end_at(gateway: &Gateway, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

async fn upstream() -> Upstream {
    let look =
        json!({"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
    Fake::modern()
        .tools(vec![look, tool("change")])
        .on("tools/call", |_, answer| async move { answer.result(text("done")).await })
        .start()
        .await
}

/// What clients were answered and refused, over all lives of the gateway.
#[derive(Default)]
struct Answered {
    ids: Mutex<BTreeSet<String>>,
    count: AtomicUsize,
    refused: AtomicUsize,
}

impl Answered {
    async fn reach(&self, more: usize) {
        let count = self.count.load(Ordering::SeqCst) + more;
        until("answers", async || self.count.load(Ordering::SeqCst) >= count).await;
    }
}

/// Calls until the gateway is gone. What came whole was answered.
async fn call_on(mut connection: Connection, name: String, answered: Arc<Answered>) {
    let client = Modern::at("/mcp/s/x");
    for number in 0.. {
        let tool = if number % 2 == 0 { "change" } else { "look" };
        let mut body = client.body("tools/call", json!({"name": tool, "arguments": {}}));
        body["id"] = json!(format!("{name}-{number}"));
        client.write(&mut connection, &body, &[]).await;
        let Some(head) = connection.head().await else { return };
        let Ok(answer) = serde_json::from_slice::<Value>(&connection.body(&head).await) else { return };
        if head.status == 503 {
            assert_eq!(answer["error"]["data"]["reason"], "evidence_unavailable", "{answer}");
            answered.refused.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(REST).await;
            continue;
        }
        assert_eq!((head.status, answer["result"].is_object()), (200, true), "{answer}");
        let id = body["id"].to_string();
        assert!(answered.ids.lock().unwrap().insert(id), "answered twice");
        answered.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// How often each call ended, and how many that were begun did not.
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

fn moved(gateway: &Gateway) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::rename(gateway.folder().join("audit"), folder.path().join("audit")).unwrap();
    folder
}

async fn kills(what: &str, mut kept: Kept) {
    let kills: usize = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(3);
    let upstream = upstream().await;
    let servers = json!({"x": upstream.config()});
    let (answered, mut place) = (Arc::new(Answered::default()), tempfile::tempdir().unwrap());
    let (mut unknown, seed) = (0, seed());
    for life in 0..kills {
        let gateway = kept.start(place, &servers);
        let mut calling = Vec::new();
        for client in 0..CLIENTS {
            let connection = gateway.connect().await;
            calling.push(tokio::spawn(call_on(connection, format!("{life}-{client}"), answered.clone())));
        }
        let (answers, later) = moment(seed, life);
        answered.reach(answers).await;
        tokio::time::sleep(later).await;
        let goes_away = life % 3 == 1;
        if goes_away {
            kept.away(&gateway);
            let refused = answered.refused.load(Ordering::SeqCst);
            until("a refusal", async || answered.refused.load(Ordering::SeqCst) > refused).await;
            tokio::time::sleep(AWAY).await;
            if life % 2 == 1 {
                kept.back(&gateway);
                answered.reach(10).await;
            }
        }
        signal(gateway.pid(), Signal::KILL);
        for call in calling {
            call.await.expect("each client found what it should");
        }
        place = moved(&gateway);
        if goes_away && life % 2 == 0 {
            kept.back(&gateway);
        }
        let events = kept.records(place.path());
        let (ends, open) = tally(&events);
        for id in answered.ids.lock().unwrap().iter() {
            assert_eq!(ends.get(id.as_str()), Some(&1), "{id} in life {life}");
        }
        assert!(ends.values().all(|count| *count == 1), "something is counted twice: {ends:?}");
        unknown += open;
    }
    let mut last = kept.start(place, &servers);
    signal(last.pid(), Signal::TERM);
    last.process().wait().unwrap();
    let events = kept.records(last.folder());
    let (ends, open) = tally(&events);
    assert_eq!(open, 0, "calls that were begun have an end, if only an unknown one");
    assert!(ends.values().all(|count| *count == 1));
    let of_unknown = events.iter().filter(|event| event["result"]["status"] == "unknown").count();
    assert_eq!(of_unknown, unknown);
    let key = std::fs::read_to_string(last.folder().join("audit/signing-key")).unwrap();
    let demands = Demands { keys: vec![Signer::parse(&key).unwrap().log_key()], ..Demands::default() };
    let report = verify(&*kept.journal(last.folder()), &demands).unwrap();
    assert!(report.is_good() && report.next == events.len() as u64, "{report:?}");
    let count = answered.count.load(Ordering::SeqCst);
    let refused = answered.refused.load(Ordering::SeqCst);
    println!(
        "kills with {what}: {kills}; answered calls: {count}; in the log, once: {count}; refused meanwhile: {refused}; \
         events: {}; calls of unknown end: {unknown}",
        events.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_in_sqlite_once_whatever_happens() {
    kills("SQLite", Kept::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_in_postgresql_once_whatever_happens() {
    kills("PostgreSQL", Kept::Postgres(Server::start())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn normal_goes_on_without_its_database_and_writes_all_of_it_later() {
    const CALLS: usize = 20;
    let upstream = upstream().await;
    let servers = json!({"x": upstream.config()});
    for mut kept in [Kept::Sqlite, Kept::Postgres(Server::start())] {
        let gateway = kept.start_as("normal", tempfile::tempdir().unwrap(), &servers);
        let client = Modern::at("/mcp/s/x");
        client.call(&gateway, "look", json!({})).await;
        let metric = async |name: &str| -> u64 {
            let all = gateway.get("/metrics").await.text();
            let value = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.unwrap_or_else(|| panic!("{name}: {all}")).parse().unwrap()
        };
        until("the first event", async || metric("portcullis_audit_events").await >= 2).await;
        kept.away(&gateway);
        for _ in 0..CALLS {
            client.call(&gateway, "look", json!({})).await;
        }
        until("an alarm", async || metric("portcullis_audit_trouble").await == 1).await;
        let ready = gateway.get("/readyz").await;
        assert_eq!((ready.status(), &ready.json()["status"]), (200, &json!("degraded")));
        tokio::time::sleep(AWAY).await;
        kept.back(&gateway);
        until("the end of the alarm", async || metric("portcullis_audit_trouble").await == 0).await;
        let calls = || {
            let all = kept.records(gateway.folder());
            all.into_iter().filter(|event| event["request"]["method"] == "tools/call").count()
        };
        until("all events", async || calls() == CALLS + 1).await;
        assert_eq!(metric("portcullis_audit_lost").await, 0);
        // How long the last of them waited is told: as long as there was no database at the least.
        let delay = metric("portcullis_audit_delay_microseconds").await;
        assert!(u128::from(delay) >= AWAY.as_micros(), "{delay}");
    }
}

fn audit(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("audit").args(arguments).current_dir(folder).env("AUDIT_URL_NOBODY_SET", "");
    command.env_remove("AUDIT_URL_NOBODY_SET");
    if let Ok(url) = std::fs::read_to_string(folder.join("url")) {
        command.env("AUDIT_URL", url);
    }
    let done = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_in_a_database_is_searched_verified_exported_and_proved() {
    let upstream = upstream().await;
    let servers = json!({"x": upstream.config()});
    for kept in [Kept::Sqlite, Kept::Postgres(Server::start())] {
        let mut gateway = kept.start(tempfile::tempdir().unwrap(), &servers);
        let client = Modern::at("/mcp/s/x");
        for _ in 0..3 {
            client.call(&gateway, "change", json!({})).await;
        }
        let place: &[&str] = match kept {
            Kept::Sqlite => &["audit"],
            Kept::Postgres(_) => &["--url-env", "AUDIT_URL"],
        };
        let ask = |verb: &str, more: &[&str]| {
            let (code, out, err) = audit(gateway.folder(), &[&[verb], place, more].concat());
            assert_eq!(code, Some(0), "{verb}: {out}{err}");
            out
        };
        // While the gateway writes, too.
        let found = ask("search", &["--tool", "change", "--json"]);
        assert_eq!(found.lines().count(), 6, "{found}");
        assert_eq!(ask("search", &["--tool", "look"]), "");
        let all = ask("export", &[]);
        assert_eq!(all.lines().count(), kept.records(gateway.folder()).len());
        signal(gateway.pid(), Signal::TERM);
        gateway.process().wait().unwrap();
        let ask = |verb: &str, more: &[&str]| audit(gateway.folder(), &[&[verb], place, more].concat());
        let (code, out, _) = ask("verify", &[]);
        assert!(code == Some(0) && out.ends_with("whole and unaltered\n"), "{out}");
        let (code, _, err) = ask("prove", &["--kind", "exchange", "--out", "packed"]);
        assert_eq!(code, Some(0), "{err}");
        let (code, out, _) = audit(gateway.folder(), &["verify", "packed"]);
        assert_eq!(code, Some(0), "{out}");
        match &kept {
            Kept::Sqlite => {
                let (code, _, err) = audit(gateway.folder(), &["verify", "audit/log.db"]);
                assert_eq!(code, Some(0), "{err}");
            }
            Kept::Postgres(server) => {
                for (more, says) in [
                    (&["--url-env", "AUDIT_URL_NOBODY_SET"][..], "is not set"),
                    (&["--url-env", "AUDIT_URL", "--log", "none"], "there are: portcullis/audit/gw"),
                    (&["--url-env", "AUDIT_URL", "audit"], "cannot be used with"),
                    (&[], "required"),
                ] {
                    let (code, _, err) = audit(gateway.folder(), &[&["verify"], more].concat());
                    assert!(code != Some(0) && err.contains(says), "{err}");
                }
                // Hidden from who looks for it, and found out.
                server.psql("portcullis", "UPDATE portcullis_events SET tool = NULL WHERE seq = 3").unwrap();
                let (code, out, _) = ask("verify", &[]);
                assert!(code == Some(1) && out.contains("index [3, 4)"), "{out}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_with_a_log_of_another_kind_is_left_alone() {
    let upstream = upstream().await;
    let servers = json!({"x": upstream.config()});
    let first = Kept::Sqlite.start(tempfile::tempdir().unwrap(), &servers);
    let kept = moved(&first);
    drop(first);
    assert_eq!(Kept::Sqlite.journal(kept.path()).find(&Search::default(), 1).unwrap().len(), 1);
    let config = json!({"listen": "127.0.0.1:0", "servers": servers, "audit": {}});
    std::fs::write(kept.path().join("portcullis.json"), config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["serve", "--config", "portcullis.json"]).current_dir(kept.path());
    let ended = command.output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(2) && told.contains("log of another kind"), "{told}");
}
