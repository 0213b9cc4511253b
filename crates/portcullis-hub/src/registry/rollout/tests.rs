//! Shares of callers, and what is in use while versions are rolled out and back.

use std::sync::Arc;

use portcullis_model::ServerId;
use portcullis_store::Memory;
use serde_json::json;

use super::super::{Document, Finding, Move, Offer, Scan};
use super::*;

fn reviewed(version: &str, at: u64) -> Entry {
    let document = Document::made("local/files", None, "Files.", version).expect("well-formed");
    let slug = ServerId::parse("files").expect("a slug");
    let mut entry = Entry::submitted(&document, &slug, json!({ "command": "files" }), "ann", at);
    entry.scanned(Scan { at, ..Scan::default() }, "ann").expect("scanned");
    entry.take(Move::Review, "ben", at, None).expect("reviewed");
    entry
}

fn approved(version: &str, at: u64) -> Entry {
    let mut entry = reviewed(version, at);
    entry.take(Move::Approve, "ben", at, None).expect("approved");
    entry
}

fn word(at: u64) -> Word<'static> {
    Word { by: "ben", at, note: None }
}

fn share(percent: u8) -> Share {
    Share::new(percent).expect("a share")
}

async fn registry(entries: &[Entry]) -> Registry {
    let registry = Registry::new(Arc::new(Memory::default()));
    for entry in entries {
        assert!(registry.add(entry).await.expect("kept"));
    }
    registry
}

/// What callers have: the version of most, and that of some.
async fn had(registry: &Registry) -> (String, Option<(String, u8)>) {
    let all: Vec<_> = registry.all().await.expect("read").into_iter().map(|it| it.entry).collect();
    let found = in_use(&all);
    assert!(found.len() <= 1);
    let Some(now) = found.first() else { return (String::new(), None) };
    let next = now.next.map(|(entry, share)| (entry.version().to_owned(), share.percent()));
    (now.entry.version().to_owned(), next)
}

#[test]
fn shares_are_read_as_people_write_them() {
    for (text, percent) in [("10%", 10), (" 1 ", 1), ("100 %", 100)] {
        assert_eq!(text.parse(), Ok(share(percent)));
    }
    for text in ["", "%", "0", "0%", "101", "-1", "ten", "1.5%"] {
        assert!(text.parse::<Share>().expect_err(text).to_string().contains("1% to 100%"));
    }
    assert_eq!(share(7).to_string(), "7%");
}

#[test]
fn a_caller_keeps_its_place_and_shares_are_as_large_as_they_say() {
    let places: Vec<_> = (0..20_000).map(|who| place("files", "2.0.0", &format!("user:{who}"))).collect();
    for percent in [1, 10, 50, 99] {
        let in_it = places.iter().filter(|place| share(percent).has(**place)).count();
        let expected = 200 * usize::from(percent);
        assert!(in_it.abs_diff(expected) < 300, "{percent}%: {in_it}");
    }
    assert!(places.iter().all(|place| Share::ALL.has(*place)));
    // The same everywhere and always: a release that had another would move everybody.
    assert_eq!(place("files", "2.0.0", "anonymous"), place("files", "2.0.0", "anonymous"));
    assert_ne!(place("file", "s2.0.0", "a"), place("files", "2.0.0", "a"), "parts are kept apart");
    let other: Vec<_> = (0..1_000).map(|who| place("files", "2.0.1", &format!("user:{who}"))).collect();
    let both = other.iter().zip(&places).filter(|(one, two)| share(10).has(**one) && share(10).has(**two));
    assert!(both.count() < 40, "with another version others come first");
}

#[tokio::test]
async fn a_version_is_rolled_out_in_steps_and_replaces_the_other_with_the_last() {
    let registry = registry(&[approved("1.0.0", 1), reviewed("2.0.0", 2)]).await;
    let roll = async |version: &'static str, percent, at| {
        registry.roll_out("files", version, share(percent), word(at), |_| Ok(())).await
    };
    roll("2.0.0", 10, 3).await.expect("rolled out");
    assert_eq!(had(&registry).await, ("1.0.0".into(), Some(("2.0.0".into(), 10))));
    roll("2.0.0", 50, 4).await.expect("further");
    assert_eq!(had(&registry).await, ("1.0.0".into(), Some(("2.0.0".into(), 50))));
    let entry = roll("2.0.0", 100, 5).await.expect("to all");
    assert_eq!(had(&registry).await, ("2.0.0".into(), None));
    let steps: Vec<_> = entry.history().iter().filter_map(|change| change.share).collect();
    assert_eq!(steps, [10, 50, 100]);
    assert!(matches!(roll("2.0.0", 100, 6).await, Err(NotRolled::Nothing(why)) if why.contains("already")));
    // Back to the one before.
    registry.roll_back("files", word(7)).await.expect("rolled back");
    assert_eq!(had(&registry).await, ("1.0.0".into(), None));
    roll("2.0.0", 5, 8).await.expect("again");
    assert_eq!(had(&registry).await, ("1.0.0".into(), Some(("2.0.0".into(), 5))));
}

#[tokio::test]
async fn a_roll_out_is_taken_back_and_what_cannot_be_says_why() {
    let registry = registry(&[approved("1.0.0", 1), reviewed("2.0.0", 2), reviewed("3.0.0", 2)]).await;
    let roll = async |version: &'static str, at| {
        registry.roll_out("files", version, share(10), word(at), |_| Ok(())).await
    };
    let why = |rolled: Result<Entry, NotRolled>| rolled.expect_err("refused").to_string();
    let only = why(registry.roll_back("files", word(3)).await);
    assert!(only.contains("only version"), "{only}");
    let none = why(registry.roll_back("other", word(3)).await);
    assert!(none.contains("no version of `other`"), "{none}");
    assert!(why(roll("9.0.0", 3).await).contains("which has"));
    assert!(why(roll("1.0.0", 3).await).contains("already"));
    roll("2.0.0", 3).await.expect("rolled out");
    assert!(why(roll("3.0.0", 4).await).contains("2.0.0 of `files` is rolled out to 10%"));
    assert!(why(roll("1.0.0", 4).await).contains("rollback"));
    let held =
        registry.roll_out("files", "2.0.0", share(20), word(4), |_| Err("not let in".to_owned())).await;
    assert_eq!(why(held), "not let in");
    let back = registry.roll_back("files", word(5)).await.expect("rolled back");
    assert!(back.is_rolled_back() && back.version() == "2.0.0");
    assert_eq!(back.history().last().and_then(|change| change.share), Some(0));
    assert_eq!(had(&registry).await, ("1.0.0".into(), None));
    assert!(registry.step_back("files", "2.0.0", word(6)).await.expect("asked").is_none(), "it is back");
}

#[tokio::test]
async fn what_nobody_reviewed_is_not_rolled_out_and_findings_are_answered_for() {
    let found =
        Scan { findings: vec![Finding { at: "tool a".into(), what: "odd".into() }], ..Scan::default() };
    let mut odd = reviewed("3.0.0", 2);
    odd.scanned(found, "ann").expect("scanned");
    let scanned = odd.clone();
    let registry = registry(&[approved("1.0.0", 1), scanned]).await;
    let roll = async |word| registry.roll_out("files", "3.0.0", share(10), word, |_| Ok(())).await;
    let early = roll(word(3)).await.expect_err("refused").to_string();
    assert!(early.contains("review"), "{early}");
    let mut shelved = registry.get("local/files", "3.0.0").await.expect("asked").expect("there");
    shelved.entry.take(Move::Review, "ben", 4, None).expect("reviewed");
    assert!(registry.change(&shelved).await.expect("kept"));
    let silent = roll(word(5)).await.expect_err("refused").to_string();
    assert!(silent.contains("with a note"), "{silent}");
    roll(Word { note: Some("it is meant so".into()), ..word(6) }).await.expect("rolled out");
    assert_eq!(had(&registry).await, ("1.0.0".into(), Some(("3.0.0".into(), 10))));
    // The next step answers for nothing new.
    roll(word(7)).await.expect("further");
}

#[tokio::test]
async fn whatever_else_is_approved_or_taken_away_ends_a_roll_out() {
    let registry = registry(&[approved("1.0.0", 1), reviewed("2.0.0", 2), approved("3.0.0", 0)]).await;
    registry.roll_out("files", "2.0.0", share(10), word(3), |_| Ok(())).await.expect("rolled out");
    let change = async |version, step, at| {
        let mut shelved = registry.get("local/files", version).await.expect("asked").expect("there");
        shelved.entry.take(step, "ben", at, None).expect("taken");
        assert!(registry.change(&shelved).await.expect("kept"));
    };
    change("1.0.0", Move::Deprecate, 4).await;
    assert_eq!(had(&registry).await, ("1.0.0".into(), Some(("2.0.0".into(), 10))), "it goes on");
    change("3.0.0", Move::Approve, 5).await;
    assert_eq!(had(&registry).await, ("3.0.0".into(), None), "all have what was approved for all later");
    change("3.0.0", Move::Retire, 6).await;
    change("1.0.0", Move::Retire, 6).await;
    assert_eq!(had(&registry).await, ("2.0.0".into(), None), "it is all that is left");
    change("2.0.0", Move::Approve, 7).await;
    let entry = registry.get("local/files", "2.0.0").await.expect("asked").expect("there").entry;
    assert_eq!(entry.share(), None);
}

/// Takes a step with a version, which everybody may have or nobody.
async fn step(registry: &Registry, version: &str, step: Move, at: u64) {
    let mut shelved = registry.get("local/files", version).await.expect("asked").expect("there");
    shelved.entry.take(step, "ben", at, None).expect("taken");
    assert!(registry.change(&shelved).await.expect("kept"));
}

#[tokio::test]
async fn a_roll_out_that_has_ended_stays_so() {
    // Another was approved for all, and is rolled back.
    let one = registry(&[approved("1.0.0", 1), reviewed("2.0.0", 2), reviewed("3.0.0", 2)]).await;
    one.roll_out("files", "2.0.0", share(10), word(3), |_| Ok(())).await.expect("rolled out");
    step(&one, "3.0.0", Move::Approve, 5).await;
    assert_eq!(had(&one).await, ("3.0.0".into(), None));
    one.roll_back("files", word(6)).await.expect("rolled back");
    assert_eq!(had(&one).await, ("1.0.0".into(), None));
    // The one beside which it was is retired, and an older one takes its place.
    let two = registry(&[approved("0.9.0", 0), approved("1.0.0", 1), reviewed("2.0.0", 2)]).await;
    two.roll_out("files", "2.0.0", share(10), word(3), |_| Ok(())).await.expect("rolled out");
    step(&two, "1.0.0", Move::Retire, 4).await;
    assert_eq!(had(&two).await, ("0.9.0".into(), None));
    assert!(two.step_back("files", "2.0.0", word(5)).await.expect("asked").is_none(), "it is over");
    // Another was approved for all, and retired.
    let three = registry(&[approved("1.0.0", 1), reviewed("2.0.0", 2), reviewed("3.0.0", 2)]).await;
    three.roll_out("files", "2.0.0", share(10), word(3), |_| Ok(())).await.expect("rolled out");
    step(&three, "3.0.0", Move::Approve, 5).await;
    step(&three, "3.0.0", Move::Retire, 6).await;
    assert_eq!(had(&three).await, ("1.0.0".into(), None));
    // Whoever wants it goes on from the start.
    three.roll_out("files", "2.0.0", share(20), word(7), |_| Ok(())).await.expect("rolled out");
    assert_eq!(had(&three).await, ("1.0.0".into(), Some(("2.0.0".into(), 20))));
}

#[tokio::test]
async fn a_roll_out_that_begins_again_is_answered_for_again() {
    let finding = || vec![Finding { at: "tool a".into(), what: "odd".into() }];
    let mut odd = reviewed("2.0.0", 2);
    odd.scanned(Scan { findings: finding(), ..Scan::default() }, "ann").expect("scanned");
    odd.take(Move::Review, "ben", 2, None).expect("reviewed");
    let registry = registry(&[approved("1.0.0", 1), odd, reviewed("3.0.0", 2)]).await;
    let roll = async |word| registry.roll_out("files", "2.0.0", share(10), word, |_| Ok(())).await;
    roll(Word { note: Some("it is meant so".into()), ..word(3) }).await.expect("rolled out");
    step(&registry, "3.0.0", Move::Approve, 5).await;
    let silent = roll(word(6)).await.expect_err("refused").to_string();
    assert!(silent.contains("with a note"), "{silent}");
    roll(Word { note: Some("still".into()), ..word(7) }).await.expect("rolled out");
    assert_eq!(had(&registry).await, ("3.0.0".into(), Some(("2.0.0".into(), 10))));
}

#[tokio::test]
async fn whose_clock_is_behind_rolls_out_all_the_same() {
    let registry = registry(&[approved("1.0.0", 1_000), reviewed("2.0.0", 2)]).await;
    registry.roll_out("files", "2.0.0", share(10), word(3), |_| Ok(())).await.expect("rolled out");
    assert_eq!(had(&registry).await, ("1.0.0".into(), Some(("2.0.0".into(), 10))));
}

#[tokio::test]
async fn a_version_is_rolled_out_beside_one_that_only_some_had() {
    let registry = registry(&[approved("1.0.0", 1), reviewed("2.0.0", 2), reviewed("3.0.0", 2)]).await;
    registry.roll_out("files", "2.0.0", share(10), word(3), |_| Ok(())).await.expect("rolled out");
    step(&registry, "1.0.0", Move::Retire, 4).await;
    registry.roll_out("files", "3.0.0", share(20), word(5), |_| Ok(())).await.expect("rolled out");
    assert_eq!(had(&registry).await, ("2.0.0".into(), Some(("3.0.0".into(), 20))));
    registry.roll_out("files", "3.0.0", Share::ALL, word(6), |_| Ok(())).await.expect("to all");
    assert_eq!(had(&registry).await, ("3.0.0".into(), None));
}

#[tokio::test]
async fn a_roll_out_that_was_kept_before_it_said_beside_what_goes_on() {
    let registry = registry(&[approved("1.0.0", 1), reviewed("2.0.0", 2)]).await;
    registry.roll_out("files", "2.0.0", share(10), word(3), |_| Ok(())).await.expect("rolled out");
    let mut shelved = registry.get("local/files", "2.0.0").await.expect("asked").expect("there");
    let mut value = serde_json::to_value(&shelved.entry).expect("written");
    assert!(value.as_object_mut().expect("an object").remove("beside").is_some());
    shelved.entry = serde_json::from_value(value).expect("read");
    assert!(registry.change(&shelved).await.expect("kept"));
    assert_eq!(had(&registry).await, ("1.0.0".into(), Some(("2.0.0".into(), 10))));
    let entry = registry.roll_out("files", "2.0.0", share(20), word(4), |_| Ok(())).await.expect("further");
    assert!(entry.beside.is_some(), "and says it with its next step");
    assert_eq!(had(&registry).await, ("1.0.0".into(), Some(("2.0.0".into(), 20))));
}

#[test]
fn a_scan_of_what_is_in_use_changes_nothing_in_what_was_approved() {
    let offer = |digest: &str| Offer { kind: "tool".into(), name: "read".into(), digest: digest.into() };
    let scan = |at, digest: &str| Scan { at, offers: vec![offer(digest)], ..Scan::default() };
    let document = Document::made("local/files", None, "Files.", "1.0.0").expect("well-formed");
    let slug = ServerId::parse("files").expect("a slug");
    let mut entry = Entry::submitted(&document, &slug, json!({ "command": "files" }), "ann", 1);
    entry.scanned(scan(2, "one"), "ann").expect("scanned");
    entry.take(Move::Review, "ben", 3, None).expect("reviewed");
    entry.take(Move::Approve, "ben", 4, None).expect("approved");
    for (at, digest) in [(5, "two"), (6, "three")] {
        entry.scanned(scan(at, digest), "eve").expect("scanned");
        assert_eq!(entry.offers(), [offer("one")]);
    }
    entry.take(Move::Approve, "ben", 7, None).expect("approved as it is now");
    assert_eq!(entry.offers(), [offer("three")]);
}

#[test]
fn what_was_kept_before_there_were_shares_is_for_all() {
    let mut value = serde_json::to_value(approved("1.0.0", 1)).expect("written");
    assert!(value.get("given").is_none(), "and is kept as before");
    value.as_object_mut().expect("an object").remove("given");
    let entry: Entry = serde_json::from_value(value).expect("read");
    assert!(entry.is_given() && entry.share().is_none());
}
