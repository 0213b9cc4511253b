//! Logs in databases: all that those in files do, and what somebody does to them who owns the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_audit::verify::Kind;
use portcullis_audit::{Log, Mode, Refused, Settings};
use portcullis_model::Journal;
use portcullis_store::{Access, SqliteJournal};

use crate::fixture::{
    Copy, Make, event, fill, keyring, open, postgres, settings, signer, sqlite, trusting, verified,
};
use crate::server::Server;
use crate::tampering::{assert_named, genuine};
use crate::{payloads, retention, tampering, writing};

async fn everything(make: Make<'_>) {
    tampering::suite(make).await;
    writing::goes_on(make).await;
    writing::is_not_written_on(make).await;
    writing::finds(make).await;
    retention::is_removed(make).await;
    payloads::suite(make).await;
}

#[tokio::test]
async fn every_change_is_found_in_sqlite() {
    everything(&sqlite).await;
    sql(&sqlite, &|folder, sql| {
        let connection = rusqlite::Connection::open(folder.join("log.db")).unwrap();
        let changed = "CAST(replace(CAST(record AS TEXT), 'tool-1', 'tool-2') AS BLOB)";
        let sql =
            sql.replace("{log}", "TRUE").replace("{logs}", "portcullis_log").replace("{changed}", changed);
        connection.execute_batch(&sql).unwrap();
    })
    .await;
}

/// One server for all of it.
#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_found_in_postgresql() {
    let mut server = Server::start();
    let make = postgres(&server);
    everything(&make).await;
    sql(&make, &|folder, sql| {
        let log = format!("log = (SELECT log FROM portcullis_logs WHERE name = '{}')", folder.display());
        let changed = "convert_to(replace(convert_from(record, 'UTF8'), 'tool-1', 'tool-2'), 'UTF8')";
        let sql =
            sql.replace("{log}", &log).replace("{logs}", "portcullis_logs").replace("{changed}", changed);
        server.psql("portcullis", &sql).unwrap();
    })
    .await;
    waits_for_the_disk_where_it_is_not_usual(&make, &server).await;
    drop(make);
    a_database_that_goes_away_refuses_and_loses_nothing(&mut server).await;
}

/// Statements, and what is found of them.
type Change = (&'static str, (Kind, (u64, u64)));

/// What whoever owns the database writes there.
const CHANGES: &[Change] = &[
    ("UPDATE portcullis_events SET record = {changed} WHERE {log} AND seq = 13", (Kind::Altered, (13, 14))),
    ("DELETE FROM portcullis_events WHERE {log} AND seq = 17", (Kind::Missing, (17, 18))),
    ("DELETE FROM portcullis_events WHERE {log} AND seq < 3", (Kind::Missing, (0, 3))),
    ("DELETE FROM portcullis_events WHERE {log} AND seq >= 36", (Kind::RolledBack, (36, 40))),
    ("DELETE FROM portcullis_events WHERE {log}", (Kind::RolledBack, (0, 40))),
    ("DELETE FROM {logs} WHERE {log}", (Kind::RolledBack, (0, 40))),
    ("UPDATE {logs} SET first = 10 WHERE {log}", (Kind::Missing, (0, 10))),
    ("UPDATE {logs} SET first = 1000 WHERE {log}", (Kind::Missing, (0, 1000))),
    ("UPDATE portcullis_events SET seq = 1000 WHERE {log} AND seq = 12", (Kind::Missing, (12, 13))),
    (
        "UPDATE portcullis_events SET seq = -1 WHERE {log} AND seq = 5;
         UPDATE portcullis_events SET seq = 5 WHERE {log} AND seq = 6;
         UPDATE portcullis_events SET seq = 6 WHERE {log} AND seq = -1",
        (Kind::Misplaced, (5, 6)),
    ),
    ("UPDATE portcullis_events SET seq = -9 WHERE {log} AND seq = 21", (Kind::Missing, (21, 22))),
    ("UPDATE portcullis_events SET person = NULL WHERE {log} AND seq = 9", (Kind::Index, (9, 10))),
    ("UPDATE portcullis_events SET ended = 0 WHERE {log} AND seq = 9", (Kind::Index, (9, 10))),
    ("UPDATE portcullis_events SET findings = NULL WHERE {log} AND seq = 9", (Kind::Index, (9, 10))),
    ("UPDATE portcullis_events SET verdict = tool WHERE {log} AND seq = 10", (Kind::Index, (10, 11))),
    ("UPDATE portcullis_events SET payload = NULL WHERE {log} AND seq = 14", (Kind::Payload, (14, 15))),
    (
        "UPDATE portcullis_events SET payload =
           (SELECT payload FROM portcullis_events WHERE {log} AND seq = 18) WHERE {log} AND seq = 14",
        (Kind::Payload, (14, 15)),
    ),
    ("UPDATE portcullis_events SET payload = record WHERE {log} AND seq = 18", (Kind::Payload, (18, 19))),
];

async fn sql(make: Make<'_>, change: &dyn Fn(&std::path::Path, &str)) {
    let genuine = genuine(make).await;
    for (statements, finds) in CHANGES {
        let folder = tempfile::tempdir().unwrap();
        let journal = make(folder.path());
        genuine.copy.put_into(&*journal);
        change(folder.path(), statements);
        let report = verified(&*journal, &trusting(genuine.folder.path()));
        assert_named(&report, *finds, statements);
    }
    // Hashes that are kept to spare reading are made again when they do not fit.
    let folder = tempfile::tempdir().unwrap();
    let log = open(make(folder.path()), folder.path());
    fill(&log, 600, &[]).await;
    log.close();
    drop(log);
    change(
        folder.path(),
        "UPDATE portcullis_events SET tile = (SELECT tile FROM portcullis_events WHERE {log} AND seq = 511)
         WHERE {log} AND seq = 255",
    );
    let log = open(make(folder.path()), folder.path());
    fill(&log, 300, &[]).await;
    log.close();
    assert!(verified(&*log.journal(), &trusting(folder.path())).is_good());
}

#[tokio::test]
async fn a_file_with_any_byte_changed_is_told_of_or_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(sqlite(folder.path()), folder.path());
    fill(&log, 6, &[]).await;
    log.close();
    let (genuine, demands) = (Copy::of(&*log.journal()), trusting(folder.path()));
    drop(log);
    let path = folder.path().join("log.db");
    let whole = std::fs::read(&path).unwrap();
    let mut told = 0;
    for place in (0..whole.len()).step_by(41) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(&path, &bytes).unwrap();
        let opened = SqliteJournal::open(&path, Access::Read);
        let read = opened.map_err(|error| error.to_string()).and_then(|journal| {
            let report = portcullis_audit::verify::verify(&journal, &demands).map_err(|error| error.0)?;
            Ok((report, Copy::of(&journal)))
        });
        match read {
            Ok((report, copy)) if report.is_good() => {
                assert!(copy.entries == genuine.entries, "byte {place}");
            }
            _ => told += 1,
        }
    }
    assert!(told > 100, "{told}");
}

/// A database whose commits do not wait for its disk is told to wait for those of a log: seen by a trigger, in the writer's
/// own session.
async fn waits_for_the_disk_where_it_is_not_usual(make: Make<'_>, server: &Server) {
    let sql = |sql: &str| server.psql("portcullis", sql);
    sql("ALTER DATABASE portcullis SET synchronous_commit = off;
         CREATE TABLE seen (setting text);
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
         CREATE TRIGGER see AFTER INSERT ON portcullis_events FOR EACH STATEMENT EXECUTE FUNCTION see()")
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = open(make(folder.path()), folder.path());
    fill(&log, 3, &[]).await;
    log.close();
    assert_eq!(sql("SELECT DISTINCT setting FROM seen").unwrap().trim(), "on");
    sql("DROP TRIGGER see ON portcullis_events; ALTER DATABASE portcullis RESET synchronous_commit").unwrap();
}

/// Its server is ended in the middle of writing, and started again.
async fn a_database_that_goes_away_refuses_and_loses_nothing(server: &mut Server) {
    let make = postgres(server);
    let folder = tempfile::tempdir().unwrap();
    let patience = Duration::from_millis(300);
    let settings = Settings { patience, ..settings(Mode::Strict) };
    let log = Log::open(make(folder.path()), signer(folder.path()), keyring(), settings).unwrap();
    let (taken, stop) = (Arc::new(std::sync::Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let writing = {
        let (log, taken, stop) = (log.clone(), taken.clone(), stop.clone());
        tokio::spawn(async move {
            let mut refused = 0_u64;
            for number in 0_u64.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let event = event(number);
                let id = event.id;
                match log.record(event).await {
                    Ok(()) => taken.lock().unwrap().push(id),
                    Err(Refused::Unavailable(_) | Refused::Late) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            refused
        })
    };
    let at_least = async |count: usize| {
        while taken.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    for round in 1..=2 {
        at_least(50 * round).await;
        tokio::task::block_in_place(|| server.stop());
        let before = taken.lock().unwrap().len();
        let mut health = log.watch();
        health.wait_for(|health| health.trouble.is_some()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        // One may have been on the disk already, and told of late.
        assert!(taken.lock().unwrap().len() <= before + 1, "what is not there cannot be on its disk");
        tokio::task::block_in_place(|| server.start_again());
        health.wait_for(|health| health.trouble.is_none()).await.unwrap();
    }
    at_least(200).await;
    stop.store(true, Ordering::SeqCst);
    assert!(writing.await.unwrap() > 0);
    log.close();
    let journal: Arc<dyn Journal> = log.journal();
    assert!(verified(&*journal, &trusting(folder.path())).is_good());
    let records = Copy::of(&*journal).entries;
    let ids = records.iter().map(|entry| portcullis_audit::Record::parse(&entry.record).unwrap().event.id);
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "nothing is there twice");
    for id in taken.lock().unwrap().iter() {
        assert!(ids.contains(id), "{id:?} was taken");
    }
}
