//! Payloads: sealed, read, swapped, erased.

use std::path::Path;

use portcullis_audit::payloads::{Keep, Side, Unreadable, open as open_payload};
use portcullis_audit::verify::Kind;
use portcullis_audit::{Event, Keyring, Log, Mode, Record, Settings, bundle, retention};

use crate::fixture::{Copy, Make, event, keyring, segments, settings, signer, trusting, verified};
use crate::tampering::found;

fn with_payloads(log: &Log, number: u64) -> Event {
    let mut event = event(number);
    log.attach(&mut event, Side::Input, format!("{{\"name\":\"person {number}\"}}").as_bytes());
    log.attach(&mut event, Side::Output, b"an answer");
    event
}

fn read(log: &Log, keyring: &Keyring, seq: u64, side: Side) -> Result<Vec<u8>, Unreadable> {
    let journal = log.journal();
    let entry = journal.read(seq, 1).unwrap().remove(0);
    let event = Record::parse(&entry.record).unwrap().event;
    open_payload(&*journal, keyring, &event, side, entry.payload.as_deref())
}

async fn log(make: Make<'_>, folder: &Path) -> Log {
    let settings = Settings { payloads: Keep::Encrypted, ..settings(Mode::Strict) };
    let log = Log::open(make(folder), signer(folder), keyring(), settings).unwrap();
    for number in 0..10 {
        log.append(with_payloads(&log, number)).durable().await.unwrap();
    }
    log.checkpoint().await.unwrap();
    log
}

/// What is so of payloads in journals of every kind.
pub(crate) async fn suite(make: Make<'_>) {
    are_read_with_the_secret_alone(make).await;
    swapped_or_removed_are_found(make).await;
    are_erased_with_their_person(make).await;
}

#[tokio::test]
async fn payloads_in_files_are_read_with_the_secret_swapped_removed_and_erased() {
    suite(&segments).await;
}

async fn are_read_with_the_secret_alone(make: Make<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let log = log(make, folder.path()).await;
    assert_eq!(read(&log, &keyring(), 3, Side::Input).unwrap(), b"{\"name\":\"person 3\"}");
    assert_eq!(read(&log, &keyring(), 3, Side::Output).unwrap(), b"an answer");
    let stranger = Keyring::derive(b"another secret, of another gateway");
    assert!(matches!(read(&log, &stranger, 3, Side::Input), Err(Unreadable::Sealed)));
    log.close();
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && report.payloads == 20, "{report:?}");
}

#[tokio::test]
async fn payloads_are_in_no_file_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    log(&segments, folder.path()).await.close();
    let mut folders = vec![folder.path().join("log")];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if file.is_dir() {
                folders.push(file);
            } else {
                let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
                assert!(!text.contains("person 3") && !text.contains("an answer"), "{}", file.display());
            }
        }
    }
}

#[tokio::test]
async fn digests_alone_are_kept_unless_payloads_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let log =
        Log::open(segments(folder.path()), signer(folder.path()), keyring(), settings(Mode::Strict)).unwrap();
    log.append(with_payloads(&log, 0)).durable().await.unwrap();
    let entry = log.journal().read(0, 1).unwrap().remove(0);
    let input = Record::parse(&entry.record).unwrap().event.input.unwrap();
    assert_eq!(entry.payload, None);
    assert_eq!((input.digest, input.size), (keyring().digest(b"{\"name\":\"person 0\"}").digest, 19));
    assert_ne!(
        input.digest,
        Keyring::derive(b"another secret, of another gateway").digest(b"{\"name\":\"person 0\"}").digest
    );
    log.close();
}

/// Both sides of the event are named.
async fn swapped_or_removed_are_found(make: Make<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let log = log(make, folder.path()).await;
    log.close();
    let mut copy = Copy::of(&*log.journal());
    let other = copy.entries[7].payload.clone();
    copy.entries[7].payload = std::mem::replace(&mut copy.entries[2].payload, other);
    copy.entries[4].payload = None;
    let other = tempfile::tempdir().unwrap();
    let journal = make(other.path());
    copy.put_into(&*journal);
    let report = verified(&*journal, &trusting(folder.path()));
    let named = [2, 2, 4, 4, 7, 7].map(|seq| (Kind::Payload, (seq, seq + 1)));
    assert_eq!(found(&report), named, "{report:?}");
    assert_eq!(report.payloads, 14);
}

/// A person's payloads are destroyed and nothing else, and proofs still verify.
async fn are_erased_with_their_person(make: Make<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let log = log(make, folder.path()).await;
    let person = event(3).who.person.unwrap();
    let erased = retention::erase(&log, &person, "request 17", Event::new(portcullis_audit::Kind::Erasure))
        .await
        .unwrap();
    assert_eq!(erased, 1);
    for number in [3, 8] {
        assert!(
            matches!(read(&log, &keyring(), number, Side::Input), Err(Unreadable::Erased(_))),
            "{number}"
        );
    }
    assert!(read(&log, &keyring(), 4, Side::Input).is_ok());
    // What comes later has a key of its own: the running log has forgotten the destroyed one.
    let seq = log.append(with_payloads(&log, 13)).durable().await.unwrap();
    assert_eq!(read(&log, &keyring(), seq, Side::Input).unwrap(), b"{\"name\":\"person 13\"}");
    log.close();
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && report.payloads == 22, "{report:?}");
    let slice: Vec<_> = [3, 8].map(|seq| log.journal().read(seq, 1).unwrap().remove(0)).into();
    let packed = bundle::pack(&*log.journal(), &slice).unwrap();
    let report = bundle::verify(&packed, &trusting(folder.path()));
    assert!(report.is_good(), "{report:?}");
    let tombstone = Copy::of(&*log.journal())
        .entries
        .into_iter()
        .map(|entry| Record::parse(&entry.record).unwrap().event);
    let tombstone =
        tombstone.into_iter().rfind(|event| event.kind == portcullis_audit::Kind::Erasure).unwrap();
    assert_eq!((&*tombstone.detail["person"], &*tombstone.detail["basis"]), (&*person, "request 17"));
}
