//! What is removed when it is due, what is not, and that the rest still proves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, SystemTime};

use portcullis_audit::payloads::{Keep, Side};
use portcullis_audit::retention::{self, FLOOR, Hold, Policy, Undone};
use portcullis_audit::verify::Kind as Wrong;
use portcullis_audit::{Event, Kind, Log, Mode, Phase, Record, Settings};
use portcullis_model::{Journal, Unavailable};

use crate::fixture::{
    Between, Copy, Make, event, fill, keyring, open, segments, settings, signer, trusting, verified,
};

const DAY: Duration = Duration::from_hours(24);

fn by() -> Event {
    Event::new(Kind::Truncation)
}

fn days(number: u32) -> SystemTime {
    SystemTime::now() + DAY * number
}

#[tokio::test]
async fn what_is_due_is_removed_and_the_rest_is_proved_also_after_a_restart() {
    is_removed(&segments).await;
}

pub(crate) async fn is_removed(make: Make<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let log = open(make(folder.path()), folder.path());
    let old = fill(&log, 700, &[100, 512]).await;
    assert_eq!(
        retention::apply(&log, &Policy::default(), days(183), by()).await.unwrap(),
        (0, 0),
        "too early"
    );
    assert_eq!(retention::apply(&log, &Policy::default(), days(185), by()).await.unwrap().0, 512);
    fill(&log, 100, &[]).await;
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && report.first == 512, "{report:?}");
    assert!(report.checkpoints >= 3 && report.before_first == 1, "{report:?}");
    assert!(
        log.journal().read(0, 1).unwrap().iter().all(|entry| entry.seq >= 512),
        "what was removed is gone"
    );
    let proof = log.prove_consistency(512, 801).unwrap();
    assert!(!proof.is_empty());
    log.close();
    drop(log);
    let log = open(make(folder.path()), folder.path());
    fill(&log, 300, &[]).await;
    assert_eq!(retention::apply(&log, &Policy::default(), days(190), by()).await.unwrap().0, 512);
    log.close();
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && report.first == 1024, "{report:?}");
    assert_eq!(old[0].size, 100);
}

#[tokio::test]
async fn what_was_removed_is_not_removed_again_up_to_an_earlier_number() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 1100, &[]).await;
    log.truncate(1024, by()).await.unwrap();
    for before in [512, 1024] {
        assert!(log.truncate(before, by()).await.is_err(), "{before}");
    }
    log.close();
    drop(log);
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 10, &[]).await;
    log.close();
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && report.first == 1024, "{report:?}");
}

#[tokio::test]
async fn a_removal_that_was_not_completed_is_completed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    let failing = fails.clone();
    let journal = Between::them(segments(folder.path()), move |asked| {
        let fails = asked == "remove_before" && failing.load(Ordering::SeqCst);
        if fails { Err(Unavailable("not now".to_owned())) } else { Ok(()) }
    });
    let log = open(journal, folder.path());
    fill(&log, 600, &[]).await;
    assert!(retention::apply(&log, &Policy::default(), days(185), by()).await.is_err());
    fails.store(false, Ordering::SeqCst);
    assert_eq!(retention::apply(&log, &Policy::default(), days(185), by()).await.unwrap(), (0, 0));
    log.close();
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && report.first == 512 && report.before_first == 0, "{report:?}");
}

#[tokio::test]
async fn who_erases_and_who_holds_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 10, &[]).await;
    let person = event(1).who.person.unwrap();
    let kept = Hold { person: Some(person.clone()), reason: "case 4".to_owned(), ..Hold::default() };
    tokio::try_join!(
        retention::erase(&log, &person, "asked", Event::new(Kind::Erasure)),
        retention::hold(&log, "case-4", &kept, Event::new(Kind::Hold)),
    )
    .unwrap();
    log.close();
    let records = Copy::of(&*log.journal()).entries;
    let kinds = records.iter().map(|entry| Record::parse(&entry.record).unwrap().event.kind);
    let acts: Vec<Kind> = kinds.filter(|kind| matches!(kind, Kind::Hold | Kind::Erasure)).collect();
    let erased_first = [Kind::Erasure, Kind::Erasure, Kind::Hold];
    assert_eq!(acts, erased_first, "nobody is erased who is held by then");
}

/// Whether the last event of a journal is of this kind.
fn ends_with(journal: &dyn Journal, kind: Kind) -> bool {
    let last = journal.extent().unwrap().next - 1;
    Record::parse(&journal.read(last, 1).unwrap()[0].record).unwrap().event.kind == kind
}

/// A log with payloads of five persons, whose keys are only destroyed after the last event was of this kind.
async fn sealed(folder: &Path, before_keys_go: Kind) -> Log {
    let inner = segments(folder);
    let seen = inner.clone();
    let journal = Between::them(inner, move |asked| {
        assert!(asked != "remove" || ends_with(&*seen, before_keys_go), "a key goes that nothing tells of");
        Ok(())
    });
    let settings = Settings { payloads: Keep::Encrypted, ..settings(Mode::Strict) };
    let log = Log::open(journal, signer(folder), keyring(), settings).unwrap();
    for number in 0..10 {
        let mut event = event(number);
        log.attach(&mut event, Side::Input, b"what was asked");
        log.append(event).durable().await.unwrap();
    }
    log
}

fn keys(log: &Log) -> usize {
    log.journal().list("data-key", "").unwrap().len()
}

#[tokio::test]
async fn keys_of_payloads_expire_with_their_class_and_only_when_that_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let log = sealed(folder.path(), Kind::Truncation).await;
    let hold = Hold { person: event(1).who.person, reason: "case 4".to_owned(), ..Hold::default() };
    retention::hold(&log, "case-4", &hold, Event::new(Kind::Hold)).await.unwrap();
    assert_eq!(retention::apply(&log, &Policy::default(), days(150), by()).await.unwrap(), (0, 0));
    assert_eq!(keys(&log), 5);
    // A class is kept from the end of the month on, and these are fewer than 256 events.
    assert_eq!(retention::apply(&log, &Policy::default(), days(250), by()).await.unwrap(), (0, 4));
    assert_eq!(keys(&log), 1, "the held person's");
    assert_eq!(retention::apply(&log, &Policy::default(), days(250), by()).await.unwrap(), (0, 0));
    let events = Copy::of(&*log.journal()).entries;
    let events = events.iter().map(|entry| Record::parse(&entry.record).unwrap().event);
    let told: Vec<_> = events.filter(|event| event.kind == Kind::Truncation).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].detail["expired_keys"], "4");
    log.close();
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && report.payloads == 10, "{report:?}");
}

#[tokio::test]
async fn that_a_person_is_about_to_be_erased_is_on_record_before_a_key_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let log = sealed(folder.path(), Kind::Erasure).await;
    let person = event(1).who.person.unwrap();
    let erased = retention::erase(&log, &person, "asked", Event::new(Kind::Erasure)).await.unwrap();
    assert_eq!((erased, keys(&log)), (1, 4));
    let events = Copy::of(&*log.journal()).entries;
    let events = events.iter().map(|entry| Record::parse(&entry.record).unwrap().event);
    let told: Vec<_> = events.filter(|event| event.kind == Kind::Erasure).collect();
    let [intent, outcome] = &told[..] else { panic!("{told:?}") };
    assert_eq!((intent.phase, outcome.phase), (Some(Phase::Intent), Some(Phase::Outcome)));
    assert_eq!(outcome.parent.as_ref(), Some(&intent.id));
    assert_eq!((intent.detail.get("keys"), &*outcome.detail["keys"]), (None, "1"));
    log.close();
}

#[tokio::test]
async fn waiting_for_the_journal_holds_up_no_other_task() {
    let folder = tempfile::tempdir().unwrap();
    let (runtime, running): (ThreadId, _) = (std::thread::current().id(), Arc::new(AtomicBool::new(false)));
    let asking = running.clone();
    let journal = Between::them(segments(folder.path()), move |asked| {
        let here = std::thread::current().id() == runtime && asking.load(Ordering::SeqCst);
        assert!(!here, "{asked} is asked on the thread of the tasks");
        Ok(())
    });
    let log = open(journal, folder.path());
    fill(&log, 600, &[]).await;
    let person = event(1).who.person.unwrap();
    running.store(true, Ordering::SeqCst);
    let hold = Hold { reason: "case 4".to_owned(), ..Hold::default() };
    retention::hold(&log, "case-4", &hold, Event::new(Kind::Hold)).await.unwrap();
    retention::release(&log, "case-4", Event::new(Kind::Hold)).await.unwrap();
    retention::erase(&log, &person, "asked", Event::new(Kind::Erasure)).await.unwrap();
    assert_eq!(retention::apply(&log, &Policy::default(), days(185), by()).await.unwrap().0, 512);
    running.store(false, Ordering::SeqCst);
    log.close();
}

#[tokio::test]
async fn tagged_systems_and_long_classes_and_holds_keep_what_is_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 300, &[]).await;
    let short = Policy { default: DAY, classes: [("finance".to_owned(), DAY * 3650)].into() };
    let journal = log.journal();
    assert_eq!(retention::due(&*journal, &short, days(2)).unwrap(), 256);
    let mut tagged = event(0);
    tagged.system.id = Some("triage".to_owned());
    assert_eq!(short.keeps(&tagged), FLOOR);
    log.append(tagged).durable().await.unwrap();
    fill(&log, 300, &[]).await;
    assert_eq!(retention::due(&*journal, &short, days(2)).unwrap(), 256, "held by the tagged one");
    assert_eq!(retention::due(&*journal, &short, days(185)).unwrap(), 512);
    let person = event(1).who.person;
    let hold = Hold { person: person.clone(), reason: "case 4".to_owned(), ..Hold::default() };
    retention::hold(&log, "case-4", &hold, Event::new(Kind::Hold)).await.unwrap();
    assert_eq!(retention::due(&*journal, &short, days(185)).unwrap(), 0, "held");
    let erased = retention::erase(&log, &person.unwrap(), "asked", Event::new(Kind::Erasure)).await;
    assert!(matches!(erased, Err(Undone::Held(_))));
    retention::release(&log, "case-4", Event::new(Kind::Hold)).await.unwrap();
    assert_eq!(retention::due(&*journal, &short, days(185)).unwrap(), 512);
    assert!(matches!(
        retention::release(&log, "case-4", Event::new(Kind::Hold)).await,
        Err(Undone::NoSuchHold(_))
    ));
    log.close();
    let holds = Copy::of(&*journal).entries.into_iter().map(|entry| Record::parse(&entry.record).unwrap());
    assert_eq!(holds.filter(|record| record.event.kind == Kind::Hold).count(), 2);
}

#[tokio::test]
async fn a_beginning_that_was_removed_by_hand_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 600, &[]).await;
    log.close();
    log.journal().remove_before(256).unwrap();
    let report = verified(&*log.journal(), &trusting(folder.path()));
    let found = report.problems.iter().any(|it| it.kind == Wrong::Missing && it.events == Some((0, 256)));
    assert!(found, "{report:?}");
    // Even with roots that fit, but that nothing in the log tells of.
    let other = tempfile::tempdir().unwrap();
    let log = open(segments(other.path()), other.path());
    fill(&log, 600, &[]).await;
    retention::apply(&log, &Policy::default(), days(200), by()).await.unwrap();
    log.close();
    let base = log.journal().get("state", "base").unwrap().unwrap();
    let forged = String::from_utf8(base).unwrap().replacen("512", "256", 1);
    log.journal().put("state", "base", forged.as_bytes()).unwrap();
    let report = verified(&*log.journal(), &trusting(other.path()));
    assert!(!report.is_good(), "{report:?}");
}
