//! A mailbox is a set with a pace, and never grows beyond what was asked for.

use super::*;

fn uris(due: Due) -> Vec<String> {
    match due {
        Due::Now(batch) => batch.uris.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_told_often_is_told_once_and_not_at_once_again() {
    let (mut pending, start) = (Pending::default(), Instant::now());
    let subscribed: Arc<str> = "a:1".into();
    for _ in 0..1000 {
        pending.put_uri("a:1", &subscribed);
        pending.lists |= Lists::TOOLS;
    }
    let expected = Batch { lists: Lists::TOOLS, uris: vec![subscribed.clone()], tasks: Vec::new() };
    assert_eq!(pending.take(start), Due::Now(expected));
    assert_eq!(pending.take(start), Due::Nothing);
    pending.put_uri("a:1", &subscribed);
    assert_eq!(pending.take(start + PAUSE / 2), Due::Later(start + PAUSE));
    assert_eq!(uris(pending.take(start + PAUSE)), ["a:1"]);
}

#[test]
fn updates_keep_their_order_and_come_in_batches() {
    let (mut pending, start) = (Pending::default(), Instant::now());
    let all: Vec<Arc<str>> = (0..BATCH + 3).map(|n| format!("a:{n}").into()).collect();
    for uri in &all {
        pending.put_uri(uri, uri);
    }
    assert_eq!(uris(pending.take(start)).len(), BATCH);
    assert_eq!(uris(pending.take(start + PAUSE)), ["a:64", "a:65", "a:66"]);
}

#[test]
fn parts_without_end_become_the_whole() {
    let (mut pending, start) = (Pending::default(), Instant::now());
    let (one, two): (Arc<str>, Arc<str>) = ("a://1".into(), "a://2".into());
    for n in 0..100_000 {
        pending.put_uri(&format!("a://1/{n}"), &one);
        pending.put_uri(&format!("a://2/{n}"), &two);
    }
    assert_eq!(pending.uris.len(), MOST_PARTS + 2);
    let mut told = Vec::new();
    let mut now = start;
    loop {
        match pending.take(now) {
            Due::Now(batch) => told.extend(batch.uris),
            Due::Later(at) => now = at,
            Due::Nothing => break,
        }
    }
    assert!(told.contains(&one) && told.contains(&two) && told.len() == MOST_PARTS + 2);
    assert!(pending.known.is_empty());
}

#[tokio::test]
async fn lists_that_were_not_asked_for_are_not_told() {
    let mailbox = Mailbox::new(Lists::PROMPTS);
    mailbox.put_lists(Lists::TOOLS);
    assert_eq!(mailbox.lock().take(Instant::now()), Due::Nothing);
    let waiting = async { mailbox.next().await };
    let telling = async { mailbox.put_lists(Lists::ALL) };
    let (batch, ()) = tokio::join!(waiting, telling);
    assert_eq!(batch, Batch { lists: Lists::PROMPTS, uris: Vec::new(), tasks: Vec::new() });
    let messages: Vec<_> = batch.messages(None).collect();
    assert_eq!(messages, [b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/prompts/list_changed\"}"]);
}

#[test]
fn of_a_task_only_how_it_stands_now_is_told_and_so_many_wait() {
    let mailbox = Mailbox::new(Lists::NONE);
    for n in 0..1000 {
        mailbox.put_task(&"a".into(), Raw::trusted(n.to_string()));
        mailbox.put_task(&format!("b{n}").into(), Raw::from_static("{}"));
    }
    let Due::Now(batch) = mailbox.lock().take(Instant::now()) else { panic!("nothing to tell") };
    assert_eq!((batch.tasks.len(), batch.tasks[0].as_str()), (MOST_TASKS, "999"));
    assert_eq!(mailbox.lock().take(Instant::now()), Due::Nothing);
}
