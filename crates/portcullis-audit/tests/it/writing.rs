//! Writing: receipts, restarts, crashes, and a journal that fails.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use portcullis_audit::{Event, Kind, Log, Mode, OpenError, Phase, Record, Refused, Settings, Signer};
use portcullis_model::{Journal, Search, Unavailable};

use crate::fixture::{
    Between, Copy, Make, event, fill, keyring, open, segments, settings, signer, trusting, verified,
};

fn records(journal: &dyn Journal) -> Vec<Record> {
    let copy = Copy::of(journal);
    copy.entries.iter().map(|entry| Record::parse(&entry.record).unwrap()).collect()
}

#[tokio::test]
async fn numbers_have_no_gap_across_restarts_and_the_tree_goes_on() {
    goes_on(&segments).await;
}

pub(crate) async fn goes_on(make: Make<'_>) {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let log = open(make(folder.path()), folder.path());
        fill(&log, 300, &[]).await;
        log.close();
        let journal = log.journal();
        let report = verified(&*journal, &trusting(folder.path()));
        assert!(report.is_good(), "{report:?}");
        assert_eq!((report.next, report.covered), (300 * (round + 1), 300 * (round + 1)));
    }
    let journal = make(folder.path());
    let numbers: Vec<u64> = records(&*journal).iter().map(|record| record.chain.seq).collect();
    assert_eq!(numbers, (0..900).collect::<Vec<_>>());
    assert_eq!(journal.tiles().unwrap().len(), 3, "hashes over 256 are kept");
}

#[tokio::test]
async fn a_receipt_tells_the_number_when_the_event_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    for number in 0..5 {
        assert_eq!(log.append(event(number)).durable().await, Ok(number));
        assert_eq!(log.journal().extent().unwrap().next, number + 1);
    }
    log.record(event(5)).await.unwrap();
    assert_eq!(log.health().durable, 6);
    log.close();
    assert_eq!(log.append(event(6)).durable().await, Err(Refused::Closed));
}

#[tokio::test]
async fn after_a_crash_it_goes_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    let mut intent = event(0);
    intent.phase = Some(Phase::Intent);
    let mut done = event(1);
    done.phase = Some(Phase::Intent);
    let mut outcome = event(2);
    (outcome.phase, outcome.parent) = (Some(Phase::Outcome), Some(done.id));
    for event in [intent.clone(), done, outcome] {
        log.append(event).durable().await.unwrap();
    }
    // What a crash leaves: no last checkpoint, and half an entry.
    let copy = Copy::of(&*log.journal());
    let crashed = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("test.key"), crashed.path().join("test.key")).unwrap();
    copy.put_into(&*segments(crashed.path()));
    let file = crashed.path().join("log/00000000000000000000.log");
    let torn = [std::fs::read(&file).unwrap(), vec![9, 9, 9]].concat();
    std::fs::write(&file, torn).unwrap();

    let log = open(segments(crashed.path()), crashed.path());
    log.append(event(3)).durable().await.unwrap();
    log.close();
    let records = records(&*log.journal());
    let kinds: Vec<Kind> = records[3..].iter().map(|record| record.event.kind).collect();
    assert_eq!(kinds[..2], [Kind::Recovery, Kind::Exchange]);
    assert_eq!(records[3].event.detail["intents_without_outcome"], "1");
    assert_eq!(records[4].event.parent.as_ref(), Some(&intent.id));
    assert_eq!(records[4].event.result.status.as_deref(), Some("unknown"));
    let report = verified(&*log.journal(), &trusting(crashed.path()));
    assert!(report.is_good() && report.open_intents == 0, "{report:?}");
}

#[tokio::test]
async fn what_was_altered_is_not_written_on() {
    is_not_written_on(&segments).await;
}

pub(crate) async fn is_not_written_on(make: Make<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let log = open(make(folder.path()), folder.path());
    fill(&log, 10, &[]).await;
    log.close();
    let whole = Copy::of(&*log.journal());
    drop(log);
    let key = || Signer::parse(&std::fs::read_to_string(folder.path().join("test.key")).unwrap()).unwrap();
    let opened = |copy: &Copy, signer| {
        let folder = tempfile::tempdir().unwrap();
        let journal = make(folder.path());
        copy.put_into(&*journal);
        Log::open(journal, signer, keyring(), Settings::default()).map(drop)
    };
    opened(&whole, key()).unwrap();
    let mut altered = whole.clone();
    altered.set_record(4, &whole.record(4).replace("tool-1", "tool-2"));
    assert!(matches!(opened(&altered, key()), Err(OpenError::Altered(_))));
    let mut cut = whole.clone();
    cut.entries.truncate(9);
    assert!(matches!(opened(&cut, key()), Err(OpenError::Altered(_))));
    let stranger = Signer::generate("gw.example/audit/two").unwrap();
    assert!(matches!(opened(&whole, stranger), Err(OpenError::Foreign(_))));
}

/// A journal that takes nothing while it is told so.
fn failing(folder: &Path, fails: &Arc<AtomicBool>) -> Arc<dyn Journal> {
    let fails = fails.clone();
    Between::them(segments(folder), move |asked| {
        let full = asked == "append" && fails.load(Ordering::SeqCst);
        if full { Err(Unavailable("no space left on device".to_owned())) } else { Ok(()) }
    })
}

#[tokio::test]
async fn a_full_disk_refuses_in_strict_mode_and_what_was_taken_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let log = open(failing(folder.path(), &fails), folder.path());
    log.record(event(0)).await.unwrap();
    fails.store(true, Ordering::SeqCst);
    let refused = log.record(event(1)).await;
    assert!(matches!(&refused, Err(Refused::Unavailable(why)) if why.contains("no space")), "{refused:?}");
    assert!(log.health().trouble.is_some());
    fails.store(false, Ordering::SeqCst);
    log.record(event(2)).await.unwrap();
    assert_eq!((log.health().durable, log.health().trouble), (3, None));
    log.close();
    assert!(verified(&*log.journal(), &trusting(folder.path())).is_good());
}

#[tokio::test]
async fn what_finds_no_place_in_normal_mode_is_counted_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    let settings =
        Settings { queue_bytes: 4096, patience: Duration::from_millis(10), ..settings(Mode::Normal) };
    let journal = failing(folder.path(), &fails);
    let log = Log::open(journal, signer(folder.path()), keyring(), settings).unwrap();
    for number in 0..20 {
        log.record(event(number)).await.unwrap();
    }
    let lost = log.health().lost;
    assert!(lost > 0);
    let full: Vec<Event> = (20..30).map(event).collect();
    let mut refused = 0;
    for event in full {
        refused += u64::from(matches!(log.append(event).durable().await, Err(Refused::Full)));
    }
    assert_eq!((refused, log.health().lost), (10, lost + 10));
    fails.store(false, Ordering::SeqCst);
    let mut health = log.watch();
    health.wait_for(|health| health.durable > 20 - lost).await.unwrap();
    log.close();
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && report.lost == lost + 10, "{report:?}");
}

/// More than one batch has, while the journal does not take the first: none of it is left out, and its order stays.
#[tokio::test]
async fn what_waits_is_written_in_as_many_batches_as_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    let journal = failing(folder.path(), &fails);
    let log = Log::open(journal, signer(folder.path()), keyring(), settings(Mode::Normal)).unwrap();
    log.tell(event(0));
    log.watch().wait_for(|health| health.trouble.is_some()).await.unwrap();
    (1..10_000).for_each(|number| log.tell(event(number)));
    fails.store(false, Ordering::SeqCst);
    log.watch().wait_for(|health| health.durable == 10_000).await.unwrap();
    log.close();
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && report.lost == 0, "{report:?}");
    let tools = records(&*log.journal()).into_iter().map(|record| record.event.tool.name.unwrap());
    assert!(tools.eq((0..10_000).map(|number| event(number).tool.name.unwrap())));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_left_at_the_end_has_one_patience() {
    let folder = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    let patience = Duration::from_secs(4);
    let settings = Settings { queue_bytes: 4096, patience, ..settings(Mode::Normal) };
    let journal = failing(folder.path(), &fails);
    let log = Log::open(journal, signer(folder.path()), keyring(), settings).unwrap();
    log.tell(event(0));
    log.watch().wait_for(|health| health.trouble.is_some()).await.unwrap();
    // Some wait behind that one, and some find no place, which is to be told as well.
    (1..10).for_each(|number| log.tell(event(number)));
    assert!(log.health().lost > 0);
    let began = Instant::now();
    tokio::task::block_in_place(|| log.close());
    assert!(began.elapsed() < patience * 2, "{:?}", began.elapsed());
    assert!(log.health().lost >= 10, "{:?}", log.health());
}

/// More than one batch is lost at the end, and then the journal works again: what is said of them follows what is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_at_the_end_is_told_if_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let known = Arc::new(OnceLock::<Log>::new());
    let log = known.clone();
    let journal = Between::them(segments(folder.path()), move |asked| {
        let works = log.get().is_some_and(|log| log.health().lost > 0);
        if asked == "append" && !works { Err(Unavailable("full".to_owned())) } else { Ok(()) }
    });
    let settings = Settings { patience: Duration::from_millis(300), ..settings(Mode::Normal) };
    let log = Log::open(journal, signer(folder.path()), keyring(), settings).unwrap();
    assert!(known.set(log.clone()).is_ok());
    log.tell(event(0));
    log.watch().wait_for(|health| health.trouble.is_some()).await.unwrap();
    (1..5000).for_each(|number| log.tell(event(number)));
    tokio::task::block_in_place(|| log.close());
    assert_eq!(log.health().lost, 5000);
    let report = verified(&*log.journal(), &trusting(folder.path()));
    assert!(report.is_good() && (report.next, report.lost) == (1, 5000), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_while_it_is_closed_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let known = Arc::new(OnceLock::<Log>::new());
    let (asks, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let log = known.clone();
    let journal = Between::them(segments(folder.path()), move |wanted| {
        if let Some(log) = log.get().filter(|_| wanted == "append") {
            let log = log.clone();
            let mut ask = Box::pin(async move { log.checkpoint().await });
            // It has asked when it was polled once.
            assert!(ask.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            asks.send(ask).unwrap();
        }
        Ok(())
    });
    let log = Log::open(journal, signer(folder.path()), keyring(), settings(Mode::Normal)).unwrap();
    assert!(known.set(log.clone()).is_ok());
    log.tell(event(0));
    tokio::task::block_in_place(|| log.close());
    let answer = tokio::time::timeout(Duration::from_secs(10), asked.recv().await.unwrap()).await;
    assert_eq!(answer.expect("nobody is left waiting"), Err(Refused::Closed));
}

#[tokio::test]
async fn when_the_thread_that_writes_fails_nobody_is_left_waiting() {
    for mode in [Mode::Strict, Mode::Normal] {
        let folder = tempfile::tempdir().unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let failing = fails.clone();
        let journal = Between::them(segments(folder.path()), move |asked| {
            assert!(asked != "append" || !failing.load(Ordering::SeqCst), "nothing was prepared for this");
            Ok(())
        });
        let settings = Settings { queue_bytes: 2048, ..settings(mode) };
        let log = Log::open(journal, signer(folder.path()), keyring(), settings).unwrap();
        log.append(event(0)).durable().await.unwrap();
        fails.store(true, Ordering::SeqCst);
        let (one, two, signed) = tokio::join!(log.record(event(1)), log.record(event(2)), log.checkpoint());
        assert_eq!((one.is_err(), two.is_err()), (mode == Mode::Strict, mode == Mode::Strict));
        assert_eq!(signed, Err(Refused::Closed));
        log.watch().wait_for(|health| health.trouble.is_some()).await.unwrap();
        let lost = log.health().lost;
        assert_eq!(lost, 2, "what was in its hands, and what waited");
        assert_eq!(log.record(event(3)).await.is_err(), mode == Mode::Strict);
        assert!(log.append(event(4)).durable().await.is_err());
        assert_eq!(log.checkpoint().await, Err(Refused::Closed));
        assert_eq!(log.health().lost, lost + 2, "what came later is counted");
        log.close();
        drop(log);
        let log = open(segments(folder.path()), folder.path());
        log.close();
        assert!(verified(&*log.journal(), &trusting(folder.path())).is_good());
    }
}

#[tokio::test]
async fn searching_finds_by_person_tool_time_decision_and_finding() {
    finds(&segments).await;
}

pub(crate) async fn finds(make: Make<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let log = open(make(folder.path()), folder.path());
    fill(&log, 70, &[]).await;
    let found = |search: Search| log.journal().find(&search, 100).unwrap().len();
    let person = Some(keyring().pseudonym("https://idp.example", "user-2"));
    assert_eq!(found(Search { person: person.clone(), ..Search::default() }), 14);
    assert_eq!(found(Search { person, decision: Some("deny".to_owned()), ..Search::default() }), 2);
    assert_eq!(found(Search { tool: Some("tool-0".to_owned()), ..Search::default() }), 24);
    assert_eq!(found(Search { finding: Some("IBAN".to_owned()), ..Search::default() }), 18);
    assert_eq!(found(Search { kind: Some("denial".to_owned()), ..Search::default() }), 10);
    assert_eq!(found(Search { server: Some("files".to_owned()), ..Search::default() }), 70);
    assert_eq!(found(Search { server: Some("file".to_owned()), ..Search::default() }), 0);
    assert_eq!(found(Search { until: Some(0), ..Search::default() }), 0);
    // From the time of the 41st on, and before it.
    let records = log.journal().read(0, 100).unwrap();
    let times: Vec<i64> =
        records.iter().map(|entry| Record::parse(&entry.record).unwrap().event.time.end_us).collect();
    let at = times[40];
    let later = times.iter().filter(|time| **time >= at).count();
    assert_eq!(found(Search { since: Some(at), ..Search::default() }), later);
    assert_eq!(found(Search { until: Some(at), ..Search::default() }), 70 - later);
    log.close();
}
