//! A log that gets another key.

use portcullis_audit::handover::{NotHandedOver, hand_over};
use portcullis_audit::verify::{Demands, Kind};
use portcullis_audit::{Checkpoint, Log, Mode, OpenError, Signer, bundle};

use crate::fixture::{Copy, ORIGIN, fill, keyring, open, segments, settings, signer, trusting, verified};

fn another() -> Signer {
    Signer::generate(ORIGIN).unwrap()
}

fn open_with(folder: &std::path::Path, signer: &Signer) -> Result<Log, OpenError> {
    let signer = Signer::parse(&signer.to_secret()).unwrap();
    Log::open(segments(folder), signer, keyring(), settings(Mode::Strict))
}

#[tokio::test]
async fn whoever_trusts_the_first_key_follows_to_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 10, &[3]).await;
    log.close();
    drop(log);
    let (first, second, third) = (signer(folder.path()), another(), another());
    assert!(
        matches!(open_with(folder.path(), &second), Err(OpenError::Foreign(_))),
        "it was not handed over"
    );
    for (old, new, more) in [(&first, &second, 300), (&second, &third, 20)] {
        let handover = hand_over(&*segments(folder.path()), old, new).unwrap();
        assert_eq!((&handover.old, &handover.new), (&old.log_key(), &new.log_key()));
        assert!(matches!(open_with(folder.path(), &another()), Err(OpenError::Foreign(_))));
        let log = open_with(folder.path(), new).unwrap();
        fill(&log, more, &[]).await;
        log.close();
    }
    let journal = segments(folder.path());
    let newest = Demands { keys: vec![third.log_key()], ..Demands::default() };
    for demands in [trusting(folder.path()), newest, Demands::default()] {
        let report = verified(&*journal, &demands);
        assert!(report.is_good(), "{report:?}");
        // Each took over with an event that says so.
        assert_eq!((report.handovers, report.covered), (2, 332));
    }
    let told = Copy::of(&*journal).record(10);
    assert!(
        told.contains("the key that signs this log changed") && told.contains(&second.log_key().to_string())
    );
    let entries = journal.read(320, 3).unwrap();
    let packed = bundle::pack(&*journal, &entries).unwrap();
    assert!(bundle::verify(&packed, &trusting(folder.path())).is_good());
    let stranger = Demands { keys: vec![another().log_key()], ..Demands::default() };
    assert!(!bundle::verify(&packed, &stranger).is_good());
    assert!(!verified(&*journal, &stranger).is_good());
}

#[tokio::test]
async fn a_key_that_was_handed_over_signs_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 10, &[3]).await;
    log.close();
    drop(log);
    let (first, second) = (signer(folder.path()), another());
    hand_over(&*segments(folder.path()), &first, &second).unwrap();
    let log = open_with(folder.path(), &second).unwrap();
    fill(&log, 20, &[]).await;
    log.close();
    drop(log);
    let copy = Copy::of(&*segments(folder.path()));
    let newest = Checkpoint::parse_unverified(&copy.note(31)).unwrap();

    let altered = |change: &dyn Fn(&mut Copy)| {
        let mut copy = copy.clone();
        change(&mut copy);
        let place = tempfile::tempdir().unwrap();
        let journal = segments(place.path());
        copy.put_into(&*journal);
        let report = verified(&*journal, &trusting(folder.path()));
        report.problems.iter().map(|problem| problem.kind).collect::<Vec<_>>()
    };
    assert_eq!(altered(&|_| {}), []);
    // The old key signs what came after it.
    let by_old = altered(&|copy| {
        copy.remove("checkpoint", |name| !name.ends_with("31"));
        copy.beside.push(("checkpoint", format!("{:020}", 31), newest.sign(&first).into_bytes()));
    });
    assert_eq!(by_old, [Kind::Checkpoint]);
    // The handover is away, or is none.
    assert!(altered(&|copy| copy.remove("handover", |_| false)).contains(&Kind::Checkpoint));
    let mangled = altered(&|copy| {
        let handover = copy.beside.iter_mut().find(|(kind, _, _)| *kind == "handover").unwrap();
        handover.2[ORIGIN.len() + 12] ^= 1;
    });
    assert!(mangled.contains(&Kind::Key), "{mangled:?}");
    // A stranger hands over to a stranger.
    let strangers = altered(&|copy| {
        let place = tempfile::tempdir().unwrap();
        let other = segments(place.path());
        hand_over(&*other, &another(), &another()).unwrap();
        let note = other.list("handover", "").unwrap().remove(0).1;
        copy.beside.push(("handover", format!("{:020}", 0), note));
    });
    assert!(strangers.contains(&Kind::Key), "{strangers:?}");
    let wrong = |old: &Signer, new: &Signer| hand_over(&*segments(folder.path()), old, new).unwrap_err();
    assert!(matches!(wrong(&first, &another()), NotHandedOver::Wrong(_)), "it is not the log's any more");
    assert!(matches!(wrong(&second, &second), NotHandedOver::Wrong(_)));
    assert!(matches!(wrong(&second, &Signer::generate("other").unwrap()), NotHandedOver::Wrong(_)));
}
