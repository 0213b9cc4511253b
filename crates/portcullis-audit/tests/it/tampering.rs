//! Whoever owns the disk, and even whoever owns the key, changes the log: each change is found, and the event named.
//!
//! A change is made to a copy of all that a journal holds, which is put into another journal: that is as much as an owner of the
//! disk can do, whatever kind of journal it is.

use std::fs;

use portcullis_audit::payloads::{Keep, Side};
use portcullis_audit::verify::{Demands, Kind, Report};
use portcullis_audit::witness::{Request, Witness, accept};
use portcullis_audit::{Checkpoint, Log, Mode, Settings, Signer, merkle};
use portcullis_model::Marks;

use crate::fixture::{
    Copy, Make, ORIGIN, event, fill, keyring, open, segments, settings, signer, trusting, verified,
};

/// 40 events, every fourth with a sealed payload, and checkpoints over 10, 20, 30 and 40, all signed by a witness but the last.
pub(crate) struct Genuine {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) copy: Copy,
    witness: Witness,
}

pub(crate) async fn genuine(make: Make<'_>) -> Genuine {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { payloads: Keep::Encrypted, ..settings(Mode::Strict) };
    let log = Log::open(make(folder.path()), signer(folder.path()), keyring(), settings).unwrap();
    let witness =
        Witness::new(Signer::generate("witness.example/w1").unwrap(), vec![signer(folder.path()).log_key()]);
    let mut last: Option<Checkpoint> = None;
    for size in [10, 20, 30, 40] {
        for number in size - 10..size {
            let mut event = event(number);
            if number % 4 == 2 {
                log.attach(&mut event, Side::Input, format!("what {number} asked").as_bytes());
            }
            log.append(event);
        }
        log.checkpoint().await.unwrap();
        let note = log.checkpoints().borrow().clone().unwrap();
        if size == 40 {
            break;
        }
        let old = last.as_ref().map_or(0, |last| last.size);
        let request = Request {
            old,
            proof: log.prove_consistency(old, size).unwrap(),
            checkpoint: Checkpoint::parse_unverified(&note).unwrap(),
            note: note.to_string(),
        };
        let answer = witness.cosign(&request, last.as_ref(), 1_800_000_000 + size).unwrap();
        log.cosigned(size, accept(&note, &answer, &[witness.key()]).unwrap());
        last = Some(request.checkpoint);
    }
    log.close();
    let copy = Copy::of(&*log.journal());
    Genuine { folder, copy, witness }
}

fn hex(hash: merkle::Hash) -> String {
    hash.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Writes the log anew after a change, with the writer's own key: all links, the tree, and all checkpoints.
fn sign_again(copy: &mut Copy, signer: &Signer) {
    let mut prev: Option<merkle::Hash> = None;
    let (mut tree, mut roots) = (merkle::Frontier::default(), vec![merkle::empty()]);
    for (place, entry) in copy.entries.iter_mut().enumerate() {
        let text = String::from_utf8(entry.record.clone()).unwrap();
        let (_, event) = text.split_once("},").unwrap();
        let link = prev.map(hex).unwrap_or_default();
        entry.record =
            format!("{{\"chain\":{{\"log\":\"{ORIGIN}\",\"prev\":\"{link}\",\"seq\":{place}}},{event}")
                .into_bytes();
        let leaf = merkle::leaf(&entry.record);
        prev = Some(leaf);
        tree.push(leaf);
        roots.push(tree.root());
    }
    let sizes: Vec<usize> = [10, 20, 30, 40].into_iter().filter(|size| *size < roots.len()).collect();
    copy.remove("checkpoint", |_| false);
    for size in sizes {
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: size as u64, root: roots[size] };
        copy.beside.push(("checkpoint", format!("{size:020}"), checkpoint.sign(signer).into_bytes()));
    }
}

struct Case {
    name: &'static str,
    change: fn(&mut Copy, &Genuine),
    /// Beyond the log's key.
    demand: fn(&mut Demands, &Genuine),
    /// What is found, and with which events.
    finds: (Kind, (u64, u64)),
}

fn nothing_more(_: &mut Demands, _: &Genuine) {}

fn a_witness(demands: &mut Demands, genuine: &Genuine) {
    demands.keys.push(genuine.witness.key());
    demands.witnesses = 1;
}

fn older_checkpoint(demands: &mut Demands, genuine: &Genuine) {
    demands.since.push(genuine.copy.note(30));
}

const CASES: &[Case] = &[
    Case {
        name: "an event is altered",
        change: |copy, _| copy.set_record(13, &copy.record(13).replace("tool-1", "tool-2")),
        demand: nothing_more,
        finds: (Kind::Altered, (13, 14)),
    },
    Case {
        name: "the first event is altered",
        change: |copy, _| copy.set_record(0, &copy.record(0).replace("files", "other")),
        demand: nothing_more,
        finds: (Kind::Altered, (0, 1)),
    },
    Case {
        name: "the last event is altered",
        change: |copy, _| copy.set_record(39, &copy.record(39).replace("files", "other")),
        demand: nothing_more,
        finds: (Kind::Altered, (30, 40)),
    },
    Case {
        name: "a link is altered",
        change: |copy, _| {
            let record = copy.record(21);
            let at = record.find("\"prev\":\"").unwrap() + 8;
            let other = if record.as_bytes()[at] == b'0' { "1" } else { "0" };
            copy.set_record(21, &format!("{}{other}{}", &record[..at], &record[at + 1..]));
        },
        demand: nothing_more,
        finds: (Kind::Altered, (21, 22)),
    },
    Case {
        name: "an event is dropped",
        change: |copy, _| drop(copy.entries.remove(17)),
        demand: nothing_more,
        finds: (Kind::Missing, (17, 18)),
    },
    Case {
        name: "an event is inserted twice",
        change: |copy, _| copy.entries.insert(18, copy.entries[17].clone()),
        demand: nothing_more,
        finds: (Kind::Misplaced, (17, 18)),
    },
    Case {
        name: "two events change places",
        change: |copy, _| copy.entries.swap(5, 6),
        demand: nothing_more,
        finds: (Kind::Misplaced, (5, 6)),
    },
    Case {
        name: "the end is cut off",
        change: |copy, _| copy.entries.truncate(36),
        demand: nothing_more,
        finds: (Kind::RolledBack, (36, 40)),
    },
    Case {
        name: "the beginning is cut off",
        change: |copy, _| drop(copy.entries.drain(..3)),
        demand: nothing_more,
        finds: (Kind::Missing, (0, 3)),
    },
    Case {
        name: "the end and its checkpoints are cut off, and somebody has kept one",
        change: |copy, _| {
            copy.entries.truncate(20);
            copy.remove("checkpoint", |name| name.ends_with("10") || name.ends_with("20"));
        },
        demand: older_checkpoint,
        finds: (Kind::RolledBack, (20, 30)),
    },
    Case {
        name: "an event is altered and all is signed again, and somebody has kept a checkpoint",
        change: |copy, genuine| {
            copy.set_record(24, &copy.record(24).replace("deny", "allow"));
            sign_again(copy, &signer(genuine.folder.path()));
        },
        demand: older_checkpoint,
        finds: (Kind::Fork, (20, 30)),
    },
    Case {
        name: "an event is altered and all is signed again, and a witness is demanded",
        change: |copy, genuine| {
            copy.set_record(24, &copy.record(24).replace("deny", "allow"));
            sign_again(copy, &signer(genuine.folder.path()));
        },
        demand: a_witness,
        finds: (Kind::Unwitnessed, (0, 40)),
    },
    Case {
        name: "an event is altered and all is signed again, but for what the witness signed",
        change: |copy, genuine| {
            copy.set_record(24, &copy.record(24).replace("deny", "allow"));
            sign_again(copy, &signer(genuine.folder.path()));
            copy.remove("checkpoint", |name| name.ends_with("40"));
            for size in [10, 20, 30] {
                copy.beside.push(("checkpoint", format!("{size:020}"), genuine.copy.note(size).into_bytes()));
            }
        },
        demand: a_witness,
        finds: (Kind::Altered, (20, 30)),
    },
    Case {
        name: "another key signs",
        change: |copy, _| sign_again(copy, &Signer::generate(ORIGIN).unwrap()),
        demand: nothing_more,
        finds: (Kind::Checkpoint, (9, 10)),
    },
    Case {
        name: "a signature is altered",
        change: |copy, genuine| {
            let note = genuine.copy.note(20);
            let at = note.len() - 10;
            let other = if note.as_bytes()[at] == b'A' { "B" } else { "A" };
            let note = format!("{}{other}{}", &note[..at], &note[at + 1..]);
            copy.remove("checkpoint", |name| !name.ends_with("20"));
            copy.beside.push(("checkpoint", format!("{:020}", 20), note.into_bytes()));
        },
        demand: |demands, genuine| demands.keys.push(genuine.witness.key()),
        finds: (Kind::Checkpoint, (19, 20)),
    },
    Case {
        name: "a checkpoint is put in another's place",
        change: |copy, genuine| {
            copy.remove("checkpoint", |name| !name.ends_with("40"));
            copy.beside.push(("checkpoint", format!("{:020}", 40), genuine.copy.note(30).into_bytes()));
        },
        demand: nothing_more,
        finds: (Kind::Checkpoint, (30, 40)),
    },
    Case {
        name: "an event of another log is put in",
        change: |copy, _| copy.set_record(8, &copy.record(8).replace("audit/one", "audit/two")),
        demand: nothing_more,
        finds: (Kind::Foreign, (8, 9)),
    },
    Case {
        name: "an event is no event any more",
        change: |copy, _| copy.set_record(8, "{}"),
        demand: nothing_more,
        finds: (Kind::Unreadable, (8, 9)),
    },
    Case {
        name: "a payload is put in another's place",
        change: |copy, _| copy.entries[14].payload = copy.entries[18].payload.clone(),
        demand: nothing_more,
        finds: (Kind::Payload, (14, 15)),
    },
    Case {
        name: "a payload is altered",
        change: |copy, _| copy.entries[18].payload.as_mut().unwrap()[20] ^= 1,
        demand: nothing_more,
        finds: (Kind::Payload, (18, 19)),
    },
    Case {
        name: "a payload is removed",
        change: |copy, _| copy.entries[22].payload = None,
        demand: nothing_more,
        finds: (Kind::Payload, (22, 23)),
    },
    Case {
        name: "a payload is cut short",
        change: |copy, _| copy.entries[22].payload.as_mut().unwrap().truncate(20),
        demand: nothing_more,
        finds: (Kind::Payload, (22, 23)),
    },
];

/// How events are hidden, and what does it.
type Hiding = (&'static str, fn(&mut Marks));

/// What databases find events by is no part of what is hashed; changing it hides events from whoever looks for them.
const HIDING: &[Hiding] = &[
    ("from its person", |marks| marks.person = None),
    ("under another person", |marks| marks.person = Some("p-somebody".to_owned())),
    ("in time", |marks| marks.time += 1),
    ("as another kind", |marks| "list".clone_into(&mut marks.kind)),
    ("as allowed", |marks| marks.decision = None),
    ("from what was found", |marks| marks.findings.clear()),
    ("from its tool", |marks| marks.tool = Some(String::new())),
    ("from its server", |marks| marks.server = Some("files ".to_owned())),
];

/// What is wrong, and with which events.
pub(crate) fn found(report: &Report) -> Vec<(Kind, (u64, u64))> {
    report.problems.iter().map(|problem| (problem.kind, problem.events.unwrap_or_default())).collect()
}

/// This is found, and whatever else is found is about the same events or the ones beside them: no innocent one is accused. Of
/// checkpoints, each that is none is told of; of a database, each row behind a change that has another event's number by now.
pub(crate) fn assert_named(report: &Report, finds: (Kind, (u64, u64)), of: &str) {
    let (_, (from, to)) = finds;
    let found = found(report);
    assert!(found.contains(&finds), "{of}: {:#?}", report.problems);
    let innocent = found.iter().find(|(kind, events)| match kind {
        Kind::Checkpoint => false,
        Kind::Index => events.0 < from,
        _ => events.0 > to || events.1 < from,
    });
    assert_eq!(innocent, None, "{of}: {:#?}", report.problems);
}

/// Every change on journals that `make` makes.
pub(crate) async fn suite(make: Make<'_>) {
    let genuine = genuine(make).await;
    let path = genuine.folder.path();
    for demand in [nothing_more, older_checkpoint, a_witness] {
        let folder = tempfile::tempdir().unwrap();
        let journal = make(folder.path());
        genuine.copy.put_into(&*journal);
        let mut demands = trusting(path);
        demand(&mut demands, &genuine);
        let report = verified(&*journal, &demands);
        assert!(report.is_good() && report.covered == 40 && report.checkpoints == 4, "{report:?}");
    }
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let mut copy = genuine.copy.clone();
        (case.change)(&mut copy, &genuine);
        let journal = make(folder.path());
        copy.put_into(&*journal);
        let mut demands = trusting(path);
        (case.demand)(&mut demands, &genuine);
        let report = verified(&*journal, &demands);
        assert_named(&report, case.finds, case.name);
    }
    for (name, hide) in HIDING {
        let folder = tempfile::tempdir().unwrap();
        let mut copy = genuine.copy.clone();
        hide(&mut copy.entries[17].marks);
        let journal = make(folder.path());
        if !journal.has_marks() {
            return;
        }
        copy.put_into(&*journal);
        let report = verified(&*journal, &trusting(path));
        assert_eq!(found(&report), [(Kind::Index, (17, 18))], "hidden {name}");
    }
}

#[tokio::test]
async fn every_change_is_found_in_files() {
    suite(&segments).await;
}

#[tokio::test]
async fn a_log_that_was_signed_again_agrees_with_itself() {
    // Why witnesses: without anything from elsewhere, this is not found, and the documentation says so.
    let genuine = genuine(&segments).await;
    let mut copy = genuine.copy.clone();
    copy.set_record(24, &copy.record(24).replace("deny", "allow"));
    sign_again(&mut copy, &signer(genuine.folder.path()));
    let folder = tempfile::tempdir().unwrap();
    let journal = segments(folder.path());
    copy.put_into(&*journal);
    assert!(verified(&*journal, &trusting(genuine.folder.path())).is_good());
}

#[tokio::test]
async fn every_bit_of_a_small_log_is_guarded() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 4, &[]).await;
    log.close();
    drop(log);
    let demands = trusting(folder.path());
    let path = folder.path().join("log/00000000000000000000.log");
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        let found = portcullis_audit::Segments::read_only(&folder.path().join("log"))
            .and_then(|journal| portcullis_audit::verify::verify(&journal, &demands));
        assert!(found.is_err() || found.is_ok_and(|report| !report.is_good()), "byte {place}");
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let journal = portcullis_audit::Segments::read_only(&folder.path().join("log")).unwrap();
        let report = verified(&journal, &demands);
        assert!(report.problems.iter().any(|problem| problem.kind == Kind::RolledBack), "cut at {length}");
    }
}

#[tokio::test]
async fn two_histories_of_one_log_are_told_of() {
    let genuine = genuine(&segments).await;
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::copy(genuine.folder.path().join("test.key"), other.path().join("test.key")).unwrap();
    // The same key writes another log up to the same size.
    let log =
        Log::open(segments(other.path()), signer(other.path()), keyring(), settings(Mode::Strict)).unwrap();
    for number in 100..140 {
        log.append(event(number));
    }
    log.checkpoint().await.unwrap();
    let theirs = log.checkpoints().borrow().clone().unwrap();
    log.close();
    let journal = segments(folder.path());
    genuine.copy.put_into(&*journal);
    let mut demands = trusting(genuine.folder.path());
    demands.since.push(theirs.to_string());
    let report = verified(&*journal, &demands);
    assert!(report.problems.iter().any(|problem| problem.kind == Kind::Fork), "{report:?}");
}
