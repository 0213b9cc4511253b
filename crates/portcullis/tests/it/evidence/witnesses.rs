//! Two gateways: one keeps a log, the other is its witness.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use portcullis_audit::witness::Request;
use portcullis_audit::{Checkpoint, Signer};
use portcullis_model::{Record, Records as _};
use portcullis_store::{Access, Sqlite};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::databases::server::Server;
use super::{events_in, until};
use crate::harness::{Fake, Gateway, Modern, Upstream, signal, within};

const LOG: &str = "gw.example/audit";

/// The gateways' folders, and their keys in files.
struct Scene {
    upstream: Upstream,
    log: Signer,
    witness: Signer,
}

impl Scene {
    async fn new() -> Self {
        let upstream = Fake::modern().start().await;
        Self {
            upstream,
            log: Signer::generate(LOG).unwrap(),
            witness: Signer::generate("witness.example").unwrap(),
        }
    }

    fn witness(&self, folder: TempDir) -> Gateway {
        self.witness_with(folder, &json!({"node": "w"}))
    }

    fn witness_with(&self, folder: TempDir, audit: &Value) -> Gateway {
        std::fs::write(folder.path().join("witness.key"), self.witness.to_secret()).unwrap();
        let config = json!({
            "servers": {},
            "store": {"kind": "sqlite"},
            "witness": {"key": {"file": "witness.key"}, "logs": [self.log.log_key().to_string()]},
            "audit": audit,
        });
        Gateway::start_in(folder, &config, &[])
    }

    /// What the log signs as its first event: with another number, another history.
    fn first(&self, root: u8) -> Request {
        let checkpoint = Checkpoint { origin: LOG.to_owned(), size: 1, root: [root; 32] };
        Request { old: 0, proof: Vec::new(), note: checkpoint.sign(&self.log), checkpoint }
    }

    fn gateway(&self, folder: TempDir, witness: &str) -> Gateway {
        std::fs::write(folder.path().join("log.key"), self.log.to_secret()).unwrap();
        let config = json!({
            "servers": {"x": self.upstream.config()},
            "audit": {
                "node": "gw", "key": {"file": "log.key"}, "checkpoint_interval": "50ms",
                "witnesses": [{"url": format!("{witness}/witness/"), "key": self.witness.witness_key().to_string()}],
            },
        });
        Gateway::start_in(folder, &config, &[])
    }

    fn verify(&self, folder: &Path, also: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["audit", "verify"]).arg(folder.join("audit"));
        for key in [self.log.log_key(), self.witness.witness_key()] {
            command.arg("--trusted-key").arg(key.to_string());
        }
        command.args(["--require-witness", "1", "--json"]).args(also).output().unwrap()
    }
}

fn base(gateway: &Gateway) -> String {
    format!("http://{}", gateway.address)
}

async fn metric(gateway: &Gateway, name: &str) -> i64 {
    let text = gateway.get("/metrics").await.text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{anchor=\"witness.example\"}}")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(-1)
}

/// Waits until the witness holds all that is there.
async fn witnessed(gateway: &Gateway, least: i64) -> i64 {
    within("a witness's signature", async {
        loop {
            let size = metric(gateway, "portcullis_audit_anchored").await;
            if size >= least {
                return size;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

fn stop(mut gateway: Gateway) -> TempDir {
    signal(gateway.pid(), Signal::TERM);
    assert!(gateway.process().wait().unwrap().success());
    taken(&gateway)
}

/// A copy of a gateway's folder.
fn taken(gateway: &Gateway) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let status = Command::new("cp").arg("-r").arg(gateway.folder().join(".")).arg(copy.path()).status();
    assert!(status.unwrap().success());
    copy
}

async fn call(gateway: &Gateway, times: usize) {
    for number in 0..times {
        Modern::new().call(gateway, "x__echo", json!({"n": number})).await;
    }
}

#[tokio::test]
async fn a_gateway_is_witnessed_by_another_over_the_restart_of_both() {
    let scene = Scene::new().await;
    let witness = scene.witness(tempfile::tempdir().unwrap());
    let gateway = scene.gateway(tempfile::tempdir().unwrap(), &base(&witness));
    call(&gateway, 3).await;
    let first = witnessed(&gateway, 4).await;
    assert_eq!(metric(&gateway, "portcullis_audit_anchor_behind_seconds").await, 0);
    let witness = scene.witness(stop(witness));
    let gateway = scene.gateway(stop(gateway), &base(&witness));
    call(&gateway, 3).await;
    witnessed(&gateway, first + 3).await;
    let folder = stop(gateway);
    let output = scene.verify(folder.path(), &[]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    assert_eq!(report["witnesses"], json!(["witness.example"]));
    assert!(report["witnessed"].as_i64().unwrap() > first);
    let demanded = scene.verify(folder.path(), &["--require-witness", "2"]);
    assert!(!demanded.status.success(), "a witness counts once");
}

#[tokio::test]
async fn a_witness_does_not_sign_another_history_and_both_say_so() {
    let scene = Scene::new().await;
    let witness = scene.witness(tempfile::tempdir().unwrap());
    let gateway = scene.gateway(tempfile::tempdir().unwrap(), &base(&witness));
    call(&gateway, 1).await;
    witnessed(&gateway, 2).await;
    // Whoever has the disk and the key goes back to here.
    let before = stop(gateway);
    let rolled_back = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-r").arg(before.path().join(".")).arg(rolled_back.path()).status();
    assert!(copied.unwrap().success());
    let gateway = scene.gateway(before, &base(&witness));
    call(&gateway, 5).await;
    let seen = witnessed(&gateway, 9).await;
    drop(stop(gateway));
    let other = scene.gateway(rolled_back, &base(&witness));
    // Shorter than what the witness saw, and then longer.
    let against = |event: &Value| event["detail"]["what"] == "a witness speaks against this log";
    let told = until(&other, "that the witness saw more", 1, against).await;
    assert_eq!(
        (&told[0]["kind"], &told[0]["detail"]["witness"]),
        (&json!("incident"), &json!("witness.example"))
    );
    call(&other, 12).await;
    other.logged("a checkpoint is not where it should be").await;
    assert_ne!(metric(&other, "portcullis_audit_anchor_behind_seconds").await, -1);
    assert!(metric(&other, "portcullis_audit_anchored").await < seen);
    let forged = stop(other);
    let report = scene.verify(forged.path(), &[]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert!(report["witnessed"].as_i64().unwrap() < seen, "nothing of it is witnessed: {report}");

    // Two checkpoints of one length are proof, and kept. It says what it signed last.
    let another = |size: u64| {
        let fork = Checkpoint { origin: LOG.to_owned(), size, root: [7; 32] };
        Request { old: size, proof: Vec::new(), note: fork.sign(&scene.log), checkpoint: fork }
    };
    let answer = witness.post("/witness/add-checkpoint", another(1).to_body()).await;
    let request = another(answer.text().trim_end().parse().unwrap());
    assert!(i64::try_from(request.old).unwrap() >= seen);
    for _ in 0..2 {
        let answer = witness.post("/witness/add-checkpoint", request.to_body()).await;
        assert_eq!(answer.status(), 409);
        assert_eq!(answer.header("content-type"), Some("text/x.tlog.size"));
        assert_eq!(answer.text(), format!("{}\n", request.old));
    }
    let told = until(&witness, "that the log was forked", 1, |event| event["kind"] == "incident").await;
    assert_eq!((told.len(), &told[0]["detail"]["log"]), (1, &json!(LOG)));
    assert_eq!(told[0]["detail"]["events"], request.old.to_string());
}

async fn kept(store: &Sqlite, kind: &'static str, key: &str) -> Option<Record> {
    store.get(kind, key).await.unwrap()
}

#[tokio::test]
async fn a_witness_keeps_what_the_log_signed_once_and_nothing_that_others_wrote() {
    let scene = Scene::new().await;
    let witness = scene.witness(tempfile::tempdir().unwrap());
    let own = scene.first(1).note;
    // A line of somebody else is under it.
    let other = Signer::generate("other.example").unwrap();
    let theirs = scene.first(1).checkpoint.sign(&other);
    let note = format!("{own}{}", theirs.rsplit_once("\n\n").unwrap().1);
    let request = Request { note, ..scene.first(1) };
    assert_eq!(witness.post("/witness/add-checkpoint", request.to_body()).await.status(), 200);
    let store = Sqlite::open(&witness.folder().join("portcullis.db"), Access::Serve).unwrap();
    let first = kept(&store, "witnessed", LOG).await.unwrap();
    assert_eq!(String::from_utf8(first.value.clone()).unwrap(), own);
    let again = Request { old: 1, ..request };
    let answer = witness.post("/witness/add-checkpoint", again.to_body()).await;
    assert_eq!((answer.status(), answer.text().starts_with("— witness.example ")), (200, true));
    assert_eq!(kept(&store, "witnessed", LOG).await.unwrap().version, first.version, "it was kept already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_histories_are_on_record_before_anything_is_said_of_them() {
    let scene = Scene::new().await;
    let mut database = Server::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("url"), database.url()).unwrap();
    let log = json!({"kind": "postgres", "url_file": "url"});
    let witness = scene.witness_with(folder, &json!({"node": "w", "mode": "strict", "log": log}));
    let ask =
        async |request: &Request| witness.post("/witness/add-checkpoint", request.to_body()).await.status();
    assert_eq!(ask(&scene.first(1)).await, 200);
    let fork = Request { old: 1, ..scene.first(2) };
    let store = Sqlite::open(&witness.folder().join("portcullis.db"), Access::Serve).unwrap();
    tokio::task::block_in_place(|| database.stop());
    assert_eq!(ask(&fork).await, 503, "it cannot be put on record");
    assert_eq!(kept(&store, "fork", &format!("{LOG} 1")).await.map(|it| it.value), None);
    tokio::task::block_in_place(|| database.start_again());
    within("the record of two histories", async {
        while ask(&fork).await != 409 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let both = kept(&store, "fork", &format!("{LOG} 1")).await.unwrap().value;
    assert_eq!(String::from_utf8(both).unwrap(), format!("{}\n{}", scene.first(1).note, fork.note));
    let found = database.psql("portcullis", "SELECT count(*) FROM portcullis_events WHERE kind = 'incident'");
    assert_ne!(found.unwrap().trim(), "0");
}

#[tokio::test]
async fn of_those_who_ask_at_the_same_time_one_history_is_signed() {
    let scene = Scene::new().await;
    let witness = scene.witness(tempfile::tempdir().unwrap());
    let asked = (0..8_u8).map(|root| {
        let (body, witness) = (scene.first(root).to_body(), &witness);
        async move { witness.post("/witness/add-checkpoint", body).await.status() }
    });
    let (one, two, three, four) = {
        let mut asked = asked;
        let mut next = || asked.next().unwrap();
        tokio::join!(next(), next(), next(), next())
    };
    let mut answers = [one, two, three, four];
    answers.sort_unstable();
    assert_eq!(answers, [200, 409, 409, 409]);
    let stranger = Signer::generate(LOG).unwrap();
    let unknown = Signer::generate("other.example").unwrap();
    for (signer, origin, status) in [(&stranger, LOG, 403), (&unknown, "other.example", 404)] {
        let made_up = Checkpoint { origin: origin.to_owned(), size: 9, root: [1; 32] };
        let request = Request { old: 0, proof: Vec::new(), note: made_up.sign(signer), checkpoint: made_up };
        assert_eq!(witness.post("/witness/add-checkpoint", request.to_body()).await.status(), status);
    }
    assert_eq!(witness.post("/witness/add-checkpoint", "old 0\n").await.status(), 400);
    assert_eq!(witness.post("/witness/add-checkpoint", vec![b'a'; 70_000]).await.status(), 413);
    assert_eq!(witness.get("/witness/add-checkpoint").await.status(), 405);
    assert!(events_in(&witness.folder().join("audit")).iter().all(|event| event["kind"] != "exchange"));
}
