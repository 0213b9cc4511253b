//! Exports over HTTP that take more than one reading of the log: all of it, bit by bit, or visibly broken off.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_audit::retention::{self, Hold};
use portcullis_audit::{Event, Keyring, Kind, Log, Segments, Settings, Signer, Time};
use serde_json::{Value, json};

use super::until;
use crate::harness::{Fake, Gateway};

/// More than the gateway reads at once, twice.
pub(super) const EVENTS: u64 = 1300;

/// A gateway that anybody may read, on a log that has as many events already.
async fn scene() -> Gateway {
    let upstream = Fake::modern().start().await;
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("audit"), Duration::ZERO, None).await;
    let config = json!({
        "listen": "127.0.0.1:0", "servers": {"x": upstream.config()},
        "audit": {"node": "gw", "allow": {"principals": ["anonymous"]}},
    });
    Gateway::start_in(folder, &config, &[])
}

/// Writes a log of the gateway `gw`, with a key, of events that are this old, and puts a hold on it.
pub(super) async fn fill(folder: &Path, age: Duration, hold: Option<&str>) {
    std::fs::create_dir(folder).unwrap();
    let signer = Signer::generate("portcullis/audit/gw").unwrap();
    let mut file = OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600).open(folder.join("signing-key")).unwrap();
    file.write_all_at(format!("{}\n", signer.to_secret()).as_bytes(), 0).unwrap();
    let keyring = Keyring::derive(b"a secret that is only in tests...");
    let journal = Arc::new(Segments::open(folder).unwrap());
    let log = Log::open(journal, signer, keyring, Settings::default()).unwrap();
    for number in 0..EVENTS {
        let mut event = Event::new(Kind::Exchange);
        event.time = Time::between(SystemTime::now() - age, Duration::ZERO);
        event.tool.name = Some(format!("tool-{number}"));
        log.append(event);
    }
    log.checkpoint().await.unwrap();
    if let Some(name) = hold {
        let all = Hold { reason: "court".to_owned(), ..Hold::default() };
        retention::hold(&log, name, &all, Event::new(Kind::Hold)).await.unwrap();
    }
    log.close();
}

/// What comes of an export, in how many parts, and whether that was all.
async fn export(gateway: &Gateway, query: &str) -> (String, usize, bool) {
    let mut connection = gateway.connect().await;
    connection.request("GET", &format!("/api/v1/audit/export?{query}"), &[], b"").await;
    let head = connection.head().await.expect("an answer");
    assert_eq!(head.status, 200);
    let (mut body, mut text, mut parts) = (connection.into_lines(&head), Vec::new(), 0);
    while let Some(part) = body.bytes().await {
        text.extend(part);
        parts += 1;
    }
    (String::from_utf8(text).unwrap(), parts, body.is_complete())
}

#[tokio::test]
async fn a_long_export_is_whole_and_none_of_it_comes_twice() {
    let gateway = scene().await;
    let (text, parts, complete) = export(&gateway, "format=jsonl&kind=exchange").await;
    assert!(complete && parts >= 3, "{parts} parts");
    let seqs: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["chain"]["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, (0..EVENTS).collect::<Vec<_>>());
    let (text, _, complete) = export(&gateway, "format=csv&kind=exchange&from=1290").await;
    assert!(complete && text.lines().count() == 11, "{text}");
    // What was taken away is on record.
    let reads = until(&gateway, "both reads", 2, |event| event["kind"] == "audit").await;
    let wanted: Vec<_> =
        reads.iter().map(|event| event["detail"]["for"].as_str().unwrap().to_owned()).collect();
    assert_eq!(wanted, ["kind=exchange format=jsonl", "kind=exchange from=1290 format=csv"]);
}

#[tokio::test]
async fn an_export_of_what_cannot_be_read_is_broken_off_and_not_ended() {
    let gateway = scene().await;
    let path = gateway.folder().join("audit/00000000000000000000.log");
    let bytes = std::fs::read(&path).unwrap();
    let at = |word: &[u8]| bytes.windows(word.len()).position(|window| window == word).unwrap();
    // Within its record, whose length stays.
    let place = at(b"\"tool-700\"");
    OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"{", place as u64).unwrap();
    let (text, _, complete) = export(&gateway, "format=csv").await;
    assert!(!complete, "an end that says that this was all");
    assert!(text.contains("tool-499") && !text.contains("tool-701"), "what was before it was sent already");
    // As the bytes that are there it can be had.
    let (text, _, complete) = export(&gateway, "kind=exchange").await;
    assert!(complete && text.lines().count() == 1300);
}
