//! Counting who wants what, with a clock of the test's own.

use std::cell::RefCell;

use super::*;

type Plain = Interests<&'static str, &'static str>;

fn uri(text: &str) -> Arc<str> {
    text.into()
}

fn wanted(interests: &Plain) -> Vec<String> {
    let mut wanted: Vec<_> = interests.wanted().map(ToString::to_string).collect();
    wanted.sort();
    wanted
}

fn told(interests: &Plain, updated: &str) -> Vec<&'static str> {
    let told = RefCell::new(Vec::new());
    interests.tell(updated, |watcher| told.borrow_mut().push(*watcher));
    told.into_inner()
}

#[test]
fn a_uri_is_wanted_until_its_last_watcher_has_been_gone_for_a_while() {
    let (mut interests, start) = (Plain::default(), Instant::now());
    interests.add(&uri("a:1"), 1, "ann", start).unwrap();
    interests.add(&uri("a:1"), 2, "bob", start).unwrap();
    interests.settle("a:1", Status::Carried, start, |_| panic!("nothing was missed"));
    interests.remove("a:1", 1, start);
    assert_eq!(interests.sweep(start + 2 * LINGER), None, "bob still watches");
    interests.remove("a:1", 2, start);
    assert!(!interests.is_watched());
    assert_eq!(interests.sweep(start), Some(start + LINGER));
    assert_eq!(wanted(&interests), ["a:1"], "it lingers");
    interests.add(&uri("a:1"), 3, "cem", start).unwrap();
    assert_eq!(interests.status("a:1"), Some(&Status::Carried), "nobody has to ask again");
    interests.remove("a:1", 3, start);
    assert_eq!(interests.sweep(start + LINGER), None);
    assert!(wanted(&interests).is_empty() && interests.status("a:1").is_none());
}

#[test]
fn what_was_never_carried_does_not_linger_at_the_server() {
    let (mut interests, start) = (Plain::default(), Instant::now());
    interests.add(&uri("a:1"), 1, "ann", start).unwrap();
    assert_eq!(wanted(&interests), ["a:1"]);
    interests.remove("a:1", 1, start);
    assert!(wanted(&interests).is_empty());
}

#[test]
fn a_refusal_stands_for_a_moment_and_is_then_asked_about_again() {
    let (mut interests, start) = (Plain::default(), Instant::now());
    interests.add(&uri("a:1"), 1, "ann", start).unwrap();
    interests.settle("a:1", Status::Refused("no"), start, |_| {});
    interests.remove("a:1", 1, start);
    assert!(wanted(&interests).is_empty());
    interests.add(&uri("a:1"), 2, "ann", start + REFUSED / 2).unwrap();
    assert_eq!(interests.status("a:1"), Some(&Status::Refused("no")));
    interests.remove("a:1", 2, start);
    interests.add(&uri("a:1"), 3, "ann", start + REFUSED).unwrap();
    assert_eq!(interests.status("a:1"), Some(&Status::Asked));
    assert_eq!(wanted(&interests), ["a:1"]);
}

#[test]
fn a_refusal_is_not_lost_with_the_connection_before_it_was_heard() {
    let (mut interests, start) = (Plain::default(), Instant::now());
    interests.add(&uri("a:1"), 1, "ann", start).unwrap();
    interests.settle("a:1", Status::Refused("no"), start, |_| {});
    interests.lose(start);
    assert_eq!(interests.status("a:1"), Some(&Status::Refused("no")));
    interests.lose(start + REFUSED);
    assert_eq!(interests.status("a:1"), Some(&Status::Asked), "another connection may say something else");
}

#[test]
fn what_was_missed_is_told_once_the_server_is_back() {
    let (mut interests, start) = (Plain::default(), Instant::now());
    for (name, id) in [("a:1", 1), ("a:2", 2), ("a:3", 3)] {
        interests.add(&uri(name), id, "ann", start).unwrap();
        interests.settle(name, Status::Carried, start, |_| {});
    }
    interests.remove("a:3", 3, start);
    interests.lose(start);
    assert_eq!(wanted(&interests), ["a:1", "a:2"], "what only lingered is gone with the connection");
    let told = RefCell::new(0);
    interests.settle("a:1", Status::Carried, start, |_| *told.borrow_mut() += 1);
    interests.settle("a:1", Status::Carried, start, |_| *told.borrow_mut() += 1);
    interests.settle("a:2", Status::Refused("no"), start, |_| *told.borrow_mut() += 1);
    assert_eq!(*told.borrow(), 1);
}

#[test]
fn updates_reach_the_watchers_of_the_resource_and_of_what_it_is_part_of() {
    let (mut interests, start) = (Plain::default(), Instant::now());
    interests.add(&uri("db://a"), 1, "whole", start).unwrap();
    interests.add(&uri("db://a/b"), 2, "part", start).unwrap();
    assert_eq!(told(&interests, "db://a/b"), ["part", "whole"]);
    assert_eq!(told(&interests, "db://a/b/c?x"), ["part", "whole"]);
    assert_eq!(told(&interests, "db://a"), ["whole"]);
    assert!(told(&interests, "db://ab").is_empty() && told(&interests, "other:").is_empty());
    interests.remove("db://a", 1, start);
    assert_eq!(told(&interests, "db://a/b"), ["part"]);
}

#[test]
fn interests_are_bounded_and_lingering_ones_make_room() {
    let (mut interests, start) = (Plain { most: 2, ..Plain::default() }, Instant::now());
    interests.add(&uri("a:1"), 1, "ann", start).unwrap();
    interests.add(&uri("a:2"), 2, "ann", start).unwrap();
    assert_eq!(interests.add(&uri("a:3"), 3, "ann", start), Err(Full));
    interests.add(&uri("a:2"), 4, "bob", start).unwrap();
    interests.remove("a:1", 1, start);
    interests.add(&uri("a:3"), 5, "ann", start).unwrap();
    assert_eq!(wanted(&interests), ["a:2", "a:3"]);
}
