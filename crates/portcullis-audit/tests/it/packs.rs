//! The pack for AI systems: what it counts of a log that has everything, and what it counts once.

use std::collections::BTreeMap;

use portcullis_audit::pack::{Line, Listed, Pack, collect};
use portcullis_audit::{Event, EventId, Finding, Kind, Log, Phase, bundle};

use crate::fixture::{open, segments, trusting, verified};

const SYSTEM: &str = "hiring";

fn of_system(kind: Kind, person: &str) -> Event {
    let mut event = Event::new(kind);
    event.system.id = Some(SYSTEM.to_owned());
    event.system.risk = Some("high".to_owned());
    event.data.categories = vec!["applications".to_owned()];
    event.server.id = Some("ats".to_owned());
    event.tool.name = Some("reject".to_owned());
    event.who.person = Some(person.to_owned());
    event
}

fn decided(mut event: Event, by: &str, decision: &str, waited_ms: u64) -> Event {
    event.human.approver = Some(by.to_owned()).filter(|by| !by.is_empty());
    event.human.decision = Some(decision.to_owned());
    event.human.waited_ms = waited_ms;
    event
}

fn detailed(mut event: Event, detail: &[(&str, &str)]) -> Event {
    event.detail = detail.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    event
}

/// A call in strict mode that waits for two people: what it says of them is said by the votes as well, and is one thing.
fn approved_call(log: &Log) {
    let asked = decided(of_system(Kind::Exchange, "p-bob"), "", "asked", 0);
    let mut intent = decided(of_system(Kind::Exchange, "p-bob"), "p-ann p-zoe", "approved", 4000);
    intent.phase = Some(Phase::Intent);
    let mut outcome = decided(of_system(Kind::Exchange, "p-bob"), "p-ann p-zoe", "approved", 4000);
    outcome.phase = Some(Phase::Outcome);
    outcome.parent = Some(intent.id);
    outcome.guard.findings =
        vec![Finding { rule: "EMAIL".to_owned(), action: "mask".to_owned(), count: 2, side: None }];
    let votes = [("p-ann", 1000), ("p-zoe", 4000)];
    let votes = votes.map(|(by, waited)| decided(of_system(Kind::Approval, by), by, "approved", waited));
    for event in [asked].into_iter().chain(votes).chain([intent, outcome]) {
        log.append(event);
    }
}

fn everything(log: &Log) {
    approved_call(log);
    // Refused by one of the two; what waited had one yes when its time was over.
    log.append(decided(of_system(Kind::Approval, "p-ann"), "p-ann", "refused", 2000));
    let mut denied = decided(of_system(Kind::Denial, "p-eve"), "p-ann", "refused", 2000);
    denied.decision.verdict = Some("refused".to_owned());
    log.append(denied);
    log.append(decided(of_system(Kind::Approval, "p-bob"), "p-max", "expired", 600_000));
    // A server's question, which a user answers: nobody oversees anything.
    log.append(decided(of_system(Kind::Question, "p-bob"), "", "accept", 3000));
    let held = detailed(Event::new(Kind::Catalogue), &[("what", "held back"), ("kind", "tool")]);
    log.append(held);
    log.append(detailed(Event::new(Kind::Catalogue), &[("what", "trusted at first use")]));
    for (what, decision, test) in [
        ("halted", "halted", false),
        ("no longer halted", "lifted", false),
        ("halted", "halted", true),
        ("no longer halted", "lifted", true),
    ] {
        let mut detail = vec![("what", what), ("target", "server:ats")];
        detail.extend(test.then_some(("test", "true")));
        log.append(decided(detailed(Event::new(Kind::Gateway), &detail), "p-ann", decision, 0));
    }
    log.append(detailed(Event::new(Kind::Gateway), &[("what", "started")]));
    log.append(detailed(Event::new(Kind::Incident), &[("what", "a witness speaks against this log")]));
    log.append(detailed(Event::new(Kind::Loss), &[("events", "3")]));
    log.append(Event::new(Kind::Policy));
    log.append(Event::new(Kind::Audit));
    let mut failed = of_system(Kind::Exchange, "p-eve");
    failed.result.error = Some("upstream_timeout".to_owned());
    log.append(failed);
}

fn about(listed: &Listed) -> Vec<(u64, &str, Option<&str>)> {
    let line = |line: &Line| (line.seq, line.kind, line.decision.clone());
    let lines: Vec<_> = listed.listed.iter().map(line).collect();
    assert_eq!(listed.more, 0);
    lines.into_iter().map(|(seq, kind, decision)| (seq, kind, decision.map(|it| &*it.leak()))).collect()
}

fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[tokio::test]
async fn what_people_decided_is_counted_once_and_stops_and_their_tests_apart() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    everything(&log);
    log.checkpoint().await.unwrap();
    let journal = log.journal();
    let (pack, proved) = collect(&*journal, 0, i64::MAX).unwrap();

    assert_eq!((pack.events, pack.untagged, pack.reads), (21, 11, 1));
    let oversight = &pack.oversight;
    assert_eq!(oversight.decisions, counts([("approved", 2), ("refused", 1), ("expired", 1)]));
    assert_eq!(oversight.people, 2, "who voted for what expired decided nothing");
    assert_eq!(oversight.waited_ms, Some((2000, 4000)));
    assert_eq!(
        about(&oversight.each),
        [
            (1, "approval", Some("approved")),
            (2, "approval", Some("approved")),
            (5, "approval", Some("refused")),
            (7, "approval", Some("expired")),
        ]
    );
    assert_eq!(about(&pack.halts), [(11, "gateway", Some("halted")), (12, "gateway", Some("lifted"))]);
    assert_eq!(about(&pack.halt_tests), [(13, "gateway", Some("halted")), (14, "gateway", Some("lifted"))]);
    assert_eq!(about(&pack.incidents), [(16, "incident", None), (17, "loss", None)]);
    assert_eq!(about(&pack.held_back), [(9, "catalogue", None)]);
    assert_eq!(
        pack.changes.iter().map(|(kind, count)| (*kind, *count)).collect::<Vec<_>>(),
        [("catalogue", 2), ("policy", 1)]
    );
    let system = &pack.systems[SYSTEM];
    assert_eq!((system.exchanges, system.denied, system.failed, system.persons), (3, 1, 1, 4));
    assert_eq!(system.findings, counts([("EMAIL mask", 2)]));
    assert_eq!(system.risk.as_deref(), Some("high"));

    // What is listed is proved, and nothing else.
    let seqs: Vec<u64> = proved.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [1, 2, 5, 7, 9, 11, 12, 13, 14, 16, 17]);
    let packed = bundle::pack(&*journal, &proved).unwrap();
    assert!(bundle::verify(&packed, &trusting(folder.path())).is_good());
    log.close();
    let verification = Some(verified(&*journal, &trusting(folder.path())));
    let report = Pack { verification, ..pack }.to_markdown();
    for said in [
        "Decisions: approved 2, expired 1, refused 1; by 2 people.",
        "They took 2000 ms at the median, and nine of ten no more than 4000 ms.",
        "### Tests of the stop",
        "whole and unaltered",
    ] {
        assert!(report.contains(said), "{said}: {report}");
    }
}

#[tokio::test]
async fn a_span_has_what_ended_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    for at in [10, 20, 30] {
        let mut event = decided(of_system(Kind::Approval, "p-ann"), "p-ann", "approved", 5);
        event.time.end_us = at;
        event.parent = Some(EventId::new());
        log.append(event);
    }
    log.checkpoint().await.unwrap();
    let (pack, proved) = collect(&*log.journal(), 20, 30).unwrap();
    assert_eq!((pack.events, proved.len(), proved[0].seq), (1, 1, 1));
    assert_eq!(pack.oversight.decisions, counts([("approved", 1)]));
    log.close();
}
