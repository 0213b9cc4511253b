//! What every journal in a database does: asked of one that writes, and one that reads meanwhile.

use std::sync::Arc;

use portcullis_model::{Batch, Entry, Extent, Hashes, Journal, Marks, Search};
use portcullis_store::{Access, OpenError, PostgresJournal, SqliteJournal};

use crate::server::Server;

type Log = Arc<dyn Journal>;

#[test]
fn a_file_keeps_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, access| -> Log {
        Arc::new(SqliteJournal::open(&folder.path().join(format!("{name}.db")), access).unwrap())
    };
    suite(&open);
}

/// One server for all of it.
#[test]
fn a_database_keeps_logs_apart() {
    let mut server = Server::start();
    let url = server.url();
    let nothing = PostgresJournal::open(&url, server.trusting(), None, Access::Read);
    assert!(matches!(nothing.err(), Some(OpenError::NotReady { found: 0, .. })));
    let opened = |name: &str, access| PostgresJournal::open(&url, server.trusting(), Some(name), access);
    let open = |name: &str, access| -> Log { Arc::new(opened(name, access).unwrap()) };
    suite(&open);

    let one = open("one", Access::Serve);
    let other = open("other", Access::Serve);
    one.append(&mut added(&entries(0, 3))).unwrap();
    other.append(&mut added(&entries(0, 2))).unwrap();
    one.put("state", "key", b"one's").unwrap();
    other.remove("state", "key").unwrap();
    assert_eq!((one.extent().unwrap().next, other.extent().unwrap().next), (3, 2));
    assert_eq!(one.get("state", "key").unwrap().as_deref(), Some(&b"one's"[..]));
    assert_eq!(other.find(&Search::default(), 9).unwrap().len(), 2);
    let Err(error) = opened("none", Access::Read) else { panic!("there is none") };
    assert!(error.to_string().contains("one, other"), "{error}");
    let Err(error) = PostgresJournal::open(&url, server.trusting(), None, Access::Read) else {
        panic!("there are many")
    };
    assert!(error.to_string().contains("has to be said"), "{error}");

    let Err(error) = opened("one", Access::Serve) else { panic!("it is written to") };
    assert!(error.to_string().contains("another gateway writes"), "{error}");
    drop(one);
    let one = opened("one", Access::Serve).unwrap();

    who_lists_waits_for_nobody_who_writes(&server, &one, &entries(3, 4));

    server.stop();
    assert!(one.append(&mut added(&entries(4, 5))).is_err());
    assert!(one.extent().is_err());
    server.start_again();
    // The first may still meet the old connection.
    while one.extent().is_err() {}
    assert_eq!(one.extent().unwrap().next, 4);
    one.append(&mut added(&entries(4, 5))).unwrap();
    assert_eq!(one.read(0, 9).unwrap().len(), 5);
}

/// Somebody else keeps the table, so that an entry that is being added waits for them.
fn who_lists_waits_for_nobody_who_writes(server: &Server, log: &PostgresJournal, entries: &[Entry]) {
    let is_so = |condition: &str| {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE {condition}");
        server.psql("postgres", &sql).unwrap().trim() != "0"
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let keep = "BEGIN; LOCK TABLE portcullis_events IN EXCLUSIVE MODE; SELECT pg_sleep(60) AS kept";
            server.psql("portcullis", keep).unwrap_err()
        });
        while !is_so("wait_event = 'PgSleep'") {}
        let adding = scope.spawn(|| log.append(&mut added(entries)));
        while !is_so("wait_event_type = 'Lock'") {}
        assert_eq!(log.list("state", "").unwrap().len(), 1);
        assert!(!adding.is_finished(), "it had to wait for what is added");
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        server.psql("postgres", sql).unwrap();
        adding.join().unwrap().unwrap();
    });
}

fn suite(open: &dyn Fn(&str, Access) -> Log) {
    what_was_appended_is_read_again(open);
    what_is_large_is_given_in_parts(&*open("large", Access::Serve));
    old_entries_are_removed_and_all_of_them_can_be(open);
    what_is_looked_for_is_found(&*open("found", Access::Serve));
    whatever_a_caller_chose_can_be_kept(&*open("hostile", Access::Serve));
    what_lies_beside_is_replaced_listed_and_removed(open);
}

fn entry(seq: u64) -> Entry {
    Entry {
        seq,
        record: format!("{{\"seq\":{seq}}}").into_bytes(),
        payload: (seq % 2 == 1).then(|| vec![7; 5]),
        marks: marks(seq),
    }
}

fn marks(seq: u64) -> Marks {
    let text = |text: &str| Some(text.to_owned());
    Marks {
        time: i64::try_from(seq).unwrap() * 10,
        kind: if seq.is_multiple_of(7) { "denial" } else { "exchange" }.to_owned(),
        person: text(["ann", "bob", "\u{e9}v\u{e9}"][usize::try_from(seq % 3).unwrap()]),
        server: text("files"),
        tool: (!seq.is_multiple_of(5)).then(|| format!("tool-{}", seq % 4)),
        decision: text(if seq.is_multiple_of(7) { "deny" } else { "allow" }),
        findings: if seq == 4 { vec!["IBAN".to_owned(), "NAME".to_owned()] } else { Vec::new() },
    }
}

fn entries(from: u64, to: u64) -> Vec<Entry> {
    (from..to).map(entry).collect()
}

fn added(entries: &[Entry]) -> Batch {
    Batch::of(entries, |_| Hashes::default())
}

fn what_was_appended_is_read_again(open: &dyn Fn(&str, Access) -> Log) {
    let journal = open("appended", Access::Serve);
    assert_eq!(journal.extent().unwrap(), Extent { first: 0, next: 0 });
    assert_eq!(journal.read(0, 9).unwrap(), []);
    journal.append(&mut added(&entries(0, 3))).unwrap();
    let reading = open("appended", Access::Read);
    journal.append(&mut added(&entries(3, 10))).unwrap();
    journal.append(&mut Batch::default()).unwrap();
    for (from, to) in [(3, 4), (11, 12), (0, 1)] {
        let refused = journal.append(&mut added(&entries(from, to))).unwrap_err();
        assert!(refused.0.contains("cannot follow 10 events"), "{refused}");
    }
    for journal in [&journal, &reading] {
        assert_eq!(journal.extent().unwrap(), Extent { first: 0, next: 10 });
        assert_eq!(journal.read(0, 100).unwrap(), entries(0, 10));
        assert_eq!(journal.read(4, 2).unwrap(), entries(4, 6));
        assert_eq!(journal.read(10, 2).unwrap(), []);
        assert_eq!(journal.read(u64::MAX, 2).unwrap(), []);
    }
    assert!(reading.append(&mut added(&entries(10, 11))).is_err());
    assert!(reading.put("state", "key", b"").is_err());
    assert!(reading.remove("state", "key").is_err());
    assert!(reading.remove_before(1).is_err());
    assert_eq!(journal.extent().unwrap(), Extent { first: 0, next: 10 });
    drop(journal);
    let again = open("appended", Access::Serve);
    again.append(&mut added(&entries(10, 11))).unwrap();
    assert_eq!(reading.extent().unwrap().next, 11);
}

fn what_is_large_is_given_in_parts(journal: &dyn Journal) {
    let mut large = entries(0, 5);
    for entry in &mut large {
        entry.payload = Some(vec![9; 3 << 20]);
    }
    journal.append(&mut added(&large)).unwrap();
    assert_eq!(journal.read(0, 5).unwrap(), large[..3]);
    assert_eq!(journal.read(3, 5).unwrap(), large[3..]);
    let found = journal.find(&Search::default(), 5).unwrap();
    assert!(found.len() == 5 && found.iter().all(|entry| entry.payload.is_none()));
}

fn old_entries_are_removed_and_all_of_them_can_be(open: &dyn Fn(&str, Access) -> Log) {
    let journal = open("removed", Access::Serve);
    let tile =
        |seq| [(255, [1; 32]), (511, [2; 32])].into_iter().find_map(|(at, tile)| (at == seq).then_some(tile));
    let hashes = |entry: &Entry| Hashes { tile: tile(entry.seq), ..Hashes::default() };
    journal.append(&mut Batch::of(&entries(0, 600), hashes)).unwrap();
    assert_eq!(journal.tiles().unwrap(), [[1; 32], [2; 32]]);
    journal.remove_before(256).unwrap();
    journal.remove_before(100).unwrap();
    assert!(journal.remove_before(601).is_err());
    assert_eq!(journal.extent().unwrap(), Extent { first: 256, next: 600 });
    assert_eq!(journal.tiles().unwrap(), [[2; 32]]);
    assert_eq!(journal.read(0, 1).unwrap(), entries(256, 257));
    assert_eq!(journal.find(&Search::default(), 1).unwrap()[0].seq, 256);
    journal.remove_before(600).unwrap();
    assert_eq!(journal.extent().unwrap(), Extent { first: 600, next: 600 });
    drop(journal);
    let journal = open("removed", Access::Serve);
    journal.append(&mut added(&entries(600, 601))).unwrap();
    assert_eq!(journal.extent().unwrap(), Extent { first: 600, next: 601 });
    // A hole ends what is known.
    assert_eq!(journal.tiles().unwrap(), [[0; 32]; 0]);
}

fn what_is_looked_for_is_found(journal: &dyn Journal) {
    journal.append(&mut added(&entries(0, 30))).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let found = |search: &Search, most| {
        let found = journal.find(search, most).unwrap();
        assert!(found.iter().all(|entry| search.matches(&entry.marks)));
        found.iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    let bob = Search { person: text("bob"), ..Search::default() };
    assert_eq!(found(&bob, 4), [1, 4, 7, 10]);
    assert_eq!(found(&Search { newest_first: true, ..bob.clone() }, 2), [28, 25]);
    assert_eq!(found(&Search { newest_first: true, from: Some(4), ..bob.clone() }, 2), [1]);
    assert_eq!(found(&Search { from: Some(25), ..bob.clone() }, 9), [25, 28]);
    assert_eq!(found(&Search { since: Some(20), until: Some(70), ..bob.clone() }, 9), [4]);
    assert_eq!(found(&Search { kind: text("denial"), ..bob.clone() }, 9), [7, 28]);
    assert_eq!(found(&Search { person: text("\u{e9}v\u{e9}"), decision: text("deny"), ..bob }, 9), [14]);
    let any = Search::default();
    assert_eq!(found(&Search { decision: text("allow"), ..any.clone() }, 2), [1, 2]);
    assert_eq!(found(&Search { kind: text("exchange"), tool: text("tool-1"), ..any.clone() }, 2), [1, 9]);
    assert_eq!(found(&Search { server: text("files"), newest_first: true, ..any.clone() }, 1), [29]);
    assert_eq!(found(&Search { server: text("other"), ..any.clone() }, 1), [0_u64; 0]);
    for rule in ["IBAN", "NAME"] {
        assert_eq!(found(&Search { finding: text(rule), ..any.clone() }, 9), [4]);
    }
    assert_eq!(found(&Search { finding: text("IBA"), ..any.clone() }, 9), [0_u64; 0]);
    assert_eq!(found(&Search { kind: text("' OR 1 = 1"), ..any }, 9), [0_u64; 0]);
}

/// What no text of a database and no index could take would otherwise stop a log for good.
fn whatever_a_caller_chose_can_be_kept(journal: &dyn Journal) {
    let long = "x".repeat(100_000);
    let hostile = ["\0", "a\0b", "", "\u{ffff}", "'", "\\", "%", &long];
    let mut all = entries(0, 8);
    for (entry, text) in all.iter_mut().zip(hostile) {
        let text = || Some(text.to_owned());
        let findings = text().into_iter().collect();
        entry.marks =
            Marks { person: text(), server: text(), tool: text(), decision: text(), findings, ..marks(1) };
    }
    journal.append(&mut added(&all)).unwrap();
    for (entry, text) in all.iter().zip(hostile) {
        let read = journal.read(entry.seq, 1).unwrap();
        assert_eq!(read[0].marks, entry.marks.bounded());
        for by in 0..3 {
            let text = || Some(text.to_owned());
            let mut search = Search::default();
            match by {
                0 => search.tool = text(),
                1 => search.person = text(),
                _ => search.finding = text(),
            }
            let found = journal.find(&search, 9).unwrap();
            assert_eq!(found.iter().map(|it| it.seq).collect::<Vec<_>>(), [entry.seq]);
        }
    }
}

fn what_lies_beside_is_replaced_listed_and_removed(open: &dyn Fn(&str, Access) -> Log) {
    let journal = open("beside", Access::Serve);
    for (name, value) in [("a.2", "x"), ("a.1", "y"), ("b", "z"), ("a.2", "again"), ("a/", "later")] {
        journal.put("things", name, value.as_bytes()).unwrap();
    }
    journal.put("other things", "a.1", b"apart").unwrap();
    let listed = journal.list("things", "a.").unwrap();
    assert_eq!(listed, [("a.1".to_owned(), b"y".to_vec()), ("a.2".to_owned(), b"again".to_vec())]);
    assert_eq!(journal.list("things", "").unwrap().len(), 4);
    journal.remove("things", "a.1").unwrap();
    journal.remove("things", "a.1").unwrap();
    assert_eq!(journal.get("things", "a.1").unwrap(), None);
    assert_eq!(open("beside", Access::Read).get("things", "b").unwrap().as_deref(), Some(&b"z"[..]));
}

#[test]
fn one_process_writes_to_a_file_and_what_is_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    assert!(SqliteJournal::open(&path, Access::Read).is_err());
    assert!(!path.exists());
    let first = SqliteJournal::open(&path, Access::Serve).unwrap();
    let Err(error) = SqliteJournal::open(&path, Access::Serve) else { panic!("it is written to") };
    assert!(error.to_string().contains("another process writes here"), "{error}");
    drop(first);
    assert!(SqliteJournal::is_one(&path));
    drop(SqliteJournal::open(&path, Access::Serve).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    for access in [Access::Serve, Access::Read] {
        assert!(matches!(SqliteJournal::open(&path, access), Err(OpenError::Newer { found: 99, .. })));
    }
    let store = folder.path().join("store.db");
    drop(portcullis_store::Sqlite::open(&store, Access::Serve).unwrap());
    // It is closed on a thread of its own, which then takes away what lies beside it.
    while folder.path().join("store.db-wal").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database at all, whatever it is called".repeat(99)).unwrap();
    assert!(!SqliteJournal::is_one(&text));
    for path in [&store, &text] {
        let before = std::fs::read(path).unwrap();
        for access in [Access::Serve, Access::Read] {
            assert!(matches!(SqliteJournal::open(path, access), Err(OpenError::File { .. })));
        }
        assert_eq!(std::fs::read(path).unwrap(), before);
    }
}

#[test]
fn a_copy_that_nobody_can_write_to_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("log.db"), folder.path().join("copy 100%?#.db"));
    let journal = SqliteJournal::open(&path, Access::Serve).unwrap();
    journal.append(&mut added(&entries(0, 3))).unwrap();
    drop(journal);
    std::fs::copy(&path, &copy).unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
    let read = SqliteJournal::open(&copy, Access::Read).unwrap().read(0, 9);
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(read.unwrap(), entries(0, 3));
}

#[test]
fn what_is_erased_is_in_no_file_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("log.db"), Access::Serve).unwrap();
    let key = b"a wrapped key that is nowhere else";
    journal.put("data-key", "person", key).unwrap();
    let files_with_it = || {
        let files = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.filter(|bytes| bytes.windows(key.len()).any(|window| window == key)).count()
    };
    assert_eq!(files_with_it(), 1);
    journal.remove("data-key", "person").unwrap();
    assert_eq!(files_with_it(), 0);
}
