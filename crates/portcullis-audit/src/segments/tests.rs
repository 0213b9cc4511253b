//! Files, as a crash leaves them.

use std::fs;

use portcullis_model::{Batch, Entry, Extent, Hashes, Journal as _, Marks, Search};

use super::Segments;
use crate::merkle;

fn entry(seq: u64) -> Entry {
    let record = format!("{{\"chain\":{{\"log\":\"l\",\"prev\":\"\",\"seq\":{seq}}},\"kind\":\"exchange\"}}");
    Entry {
        seq,
        record: record.into_bytes(),
        payload: (seq % 2 == 1).then(|| vec![7; 5]),
        marks: Marks::default(),
    }
}

fn added(entries: &[Entry]) -> Batch {
    Batch::of(entries, |entry| Hashes { leaf: merkle::leaf(&entry.record), tile: None })
}

fn entries(from: u64, to: u64) -> Vec<Entry> {
    (from..to).map(entry).collect()
}

#[test]
fn what_was_appended_is_read_again_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Segments::open(folder.path()).unwrap();
    assert_eq!(journal.extent().unwrap(), Extent { first: 0, next: 0 });
    journal.append(&mut added(&entries(0, 3))).unwrap();
    journal.append(&mut added(&entries(3, 10))).unwrap();
    assert!(journal.append(&mut added(&entries(3, 4))).is_err(), "somebody else's number");
    assert_eq!(journal.read(0, 100).unwrap(), entries(0, 10));
    assert_eq!(journal.read(4, 2).unwrap(), entries(4, 6));
    assert_eq!(Segments::read_only(folder.path()).unwrap().read(9, 5).unwrap(), entries(9, 10));
}

#[test]
fn one_process_writes_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = Segments::open(folder.path()).unwrap();
    assert!(Segments::open(folder.path()).is_err());
    drop(first);
    assert!(Segments::open(folder.path()).is_ok());
}

#[test]
fn a_file_that_ends_at_any_byte_is_whole_up_to_its_last_whole_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000000000000000000.log");
    Segments::open(folder.path()).unwrap().append(&mut added(&entries(0, 3))).unwrap();
    let whole = fs::read(&path).unwrap();
    let mut ends = vec![0];
    ends.extend((0..3).scan(0, |end, seq| {
        *end += added(&[entry(seq)]).bytes().len();
        Some(*end)
    }));
    for length in 0..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let journal = Segments::open(folder.path()).unwrap();
        let there = ends.iter().filter(|end| **end <= length).count() as u64 - 1;
        assert_eq!(journal.extent().unwrap().next, there, "cut at {length}");
        journal.append(&mut added(&[entry(there)])).unwrap();
        drop(journal);
        let again = Segments::open(folder.path()).unwrap();
        assert_eq!(again.read(0, 100).unwrap(), entries(0, there + 1), "cut at {length}");
        let torn = length - ends[usize::try_from(there).unwrap()];
        let kept = again.get("torn", &format!("{there:020}")).unwrap();
        assert_eq!(kept.map_or(0, |torn| torn.len()), torn, "cut at {length}");
        again.remove("torn", &format!("{there:020}")).unwrap();
    }
}

#[test]
fn what_is_damaged_before_the_end_is_not_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000000000000000000.log");
    Segments::open(folder.path()).unwrap().append(&mut added(&entries(0, 6))).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[super::frame::HEAD + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let Err(error) = Segments::open(folder.path()) else { panic!("it was opened") };
    assert!(error.0.contains("event 0 is damaged"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn old_entries_are_removed_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Segments::open(folder.path()).unwrap();
    journal.append(&mut added(&entries(0, 600))).unwrap();
    journal.remove_before(256).unwrap();
    assert_eq!(journal.extent().unwrap(), Extent { first: 256, next: 600 });
    assert_eq!(journal.read(0, 10).unwrap(), []);
    journal.append(&mut added(&entries(600, 601))).unwrap();
    drop(journal);
    let journal = Segments::open(folder.path()).unwrap();
    assert_eq!(journal.read(256, 1000).unwrap(), entries(256, 601));
    assert!(!folder.path().join("00000000000000000000.log").exists());
}

#[test]
fn what_is_looked_for_is_found_from_either_end() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Segments::open(folder.path()).unwrap();
    let mut all = entries(0, 9);
    for (seq, entry) in (0..).zip(&mut all) {
        let (person, time) = (["ann", "bob", "\u{e9}v\u{e9}"][seq % 3], seq);
        entry.record = format!(
            "{{\"kind\":\"denial\",\"time\":{{\"end_us\":{time},\"start_us\":0}},\"who\":{{\"person\":\"{person}\"}}}}"
        )
        .into_bytes();
    }
    journal.append(&mut added(&all)).unwrap();
    let found = |search: &Search, most| {
        journal.find(search, most).unwrap().iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    let bob = Search { person: Some("bob".to_owned()), ..Search::default() };
    assert_eq!(found(&bob, 9), [1, 4, 7]);
    assert_eq!(found(&Search { newest_first: true, ..bob.clone() }, 2), [7, 4]);
    assert_eq!(found(&Search { newest_first: true, from: Some(4), ..bob.clone() }, 2), [1]);
    assert_eq!(found(&Search { since: Some(2), until: Some(7), ..bob }, 9), [4]);
    assert_eq!(
        found(&Search { person: Some("\u{e9}v\u{e9}".to_owned()), ..Search::default() }, 9),
        [2, 5, 8]
    );
    assert_eq!(found(&Search { kind: Some("exchange".to_owned()), ..Search::default() }, 9), [0_u64; 0]);
}

#[test]
fn what_lies_beside_is_replaced_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Segments::open(folder.path()).unwrap();
    for (name, value) in [("a.2", "x"), ("a.1", "y"), ("b", "z"), ("a.2", "again")] {
        journal.put("things", name, value.as_bytes()).unwrap();
    }
    let listed = journal.list("things", "a.").unwrap();
    assert_eq!(listed, [("a.1".to_owned(), b"y".to_vec()), ("a.2".to_owned(), b"again".to_vec())]);
    journal.remove("things", "a.1").unwrap();
    journal.remove("things", "a.1").unwrap();
    assert_eq!(journal.get("things", "a.1").unwrap(), None);
    assert!(journal.put("things", "../escape", b"").is_err());
}
