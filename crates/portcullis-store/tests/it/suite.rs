//! What every store does, whichever keeps it: asked of two handles to the same records, as two gateways have them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_model::{Expected, Put, Record, Records};
use portcullis_store::Memory;

type Store = Arc<dyn Records>;

/// All of it. What one case leaves is of a kind that no other looks at.
pub(crate) async fn run(one: Store, other: Store) {
    what_two_write_is_told_apart(&one, &other).await;
    what_is_taken_is_gone(&one, &other).await;
    what_ends_is_not_there_and_is_swept(&one, &other).await;
    lists_are_pages_of_one_prefix_in_order(&one, &other).await;
    whoever_races_has_one_winner(&one, &other).await;
    what_is_too_large_is_refused(&one).await;
}

#[tokio::test]
async fn memory_does_what_every_store_does() {
    let store: Store = Arc::new(Memory::default());
    run(store.clone(), store).await;
}

async fn what_two_write_is_told_apart(one: &Store, other: &Store) {
    let first = kept(one.put("apart", "k", b"1".to_vec(), None, Expected::Absent).await.unwrap());
    assert_eq!(other.put("apart", "k", b"2".to_vec(), None, Expected::Absent).await, Ok(Put::Conflict));
    let second = kept(other.put("apart", "k", b"2".to_vec(), None, Expected::Version(first)).await.unwrap());
    assert!(second > first);
    assert_eq!(one.put("apart", "k", b"3".to_vec(), None, Expected::Version(first)).await, Ok(Put::Conflict));
    let there = one.get("apart", "k").await.unwrap().unwrap();
    assert_eq!((there.value.as_slice(), there.version), (&b"2"[..], second));
    assert_eq!(one.get("another kind", "k").await, Ok(None), "kinds are apart");
    assert_eq!(one.put("apart", "none", Vec::new(), None, Expected::Version(first)).await, Ok(Put::Conflict));
    // A version of what was there before is none of what is there now.
    one.take("apart", "k").await.unwrap();
    let third = kept(one.put("apart", "k", b"4".to_vec(), None, Expected::Absent).await.unwrap());
    assert!(third > second);
    let any = kept(one.put("apart", "k", b"\0\xff".to_vec(), None, Expected::Any).await.unwrap());
    assert!(any > third);
    assert_eq!(other.get("apart", "k").await.unwrap().unwrap().value, b"\0\xff");
}

async fn what_is_taken_is_gone(one: &Store, other: &Store) {
    one.put("taken", "k", b"v".to_vec(), None, Expected::Any).await.unwrap();
    assert_eq!(other.take("taken", "k").await.unwrap().unwrap().value, b"v");
    assert_eq!(one.take("taken", "k").await, Ok(None));
    assert_eq!(one.get("taken", "k").await, Ok(None));
}

async fn what_ends_is_not_there_and_is_swept(one: &Store, other: &Store) {
    let (past, future) = (from_now(-1), from_now(3600));
    for key in ["a", "b", "c"] {
        one.put("ends", key, b"1".to_vec(), Some(past), Expected::Any).await.unwrap();
    }
    one.put("ends", "stays", b"1".to_vec(), Some(future), Expected::Any).await.unwrap();
    assert_eq!(other.get("ends", "a").await, Ok(None));
    assert_eq!(other.take("ends", "b").await, Ok(None), "what has ended is nobody's any more");
    assert_eq!(keys(&other.list("ends", "", "", 9).await.unwrap()), ["stays"]);
    assert_eq!(one.put("ends", "a", Vec::new(), None, Expected::Version(1)).await, Ok(Put::Conflict));
    assert_ne!(one.put("ends", "a", b"2".to_vec(), None, Expected::Absent).await, Ok(Put::Conflict));
    assert_eq!(other.get("ends", "a").await.unwrap().unwrap().expires, None);
    let there = other.get("ends", "stays").await.unwrap().unwrap();
    assert_eq!(there.expires, Some(future));
    assert_eq!(one.sweep().await, Ok(1), "`c` alone: `a` is another now, `b` was taken away");
    assert_eq!(other.sweep().await, Ok(0));
    assert_eq!(keys(&one.list("ends", "", "", 9).await.unwrap()), ["a", "stays"]);
}

async fn lists_are_pages_of_one_prefix_in_order(one: &Store, other: &Store) {
    // In the order of bytes: what a language thinks of them is nothing to go by.
    for key in ["a/2", "a/1", "a/3", "b/1", "a", "a/é", "a/Z", "a/\u{10ffff}", "a0"] {
        one.put("pages", key, Vec::new(), None, Expected::Any).await.unwrap();
    }
    let all = ["a/1", "a/2", "a/3", "a/Z", "a/é", "a/\u{10ffff}"];
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let page = keys(&other.list("pages", "a/", &after, 2).await.unwrap());
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after.clone_from(last);
        found.extend(page);
    }
    assert_eq!(found, all);
    assert_eq!(other.list("pages", "", "", 99).await.unwrap().len(), 9);
    assert_eq!(keys(&other.list("pages", "", "a/é", 2).await.unwrap()), ["a/\u{10ffff}", "a0"]);
    assert_eq!(keys(&other.list("pages", "b", "a", 2).await.unwrap()), ["b/1"]);
    // No pattern of SQL.
    assert!(other.list("pages", "%", "", 9).await.unwrap().is_empty());
    assert!(other.list("pages", "a_", "", 9).await.unwrap().is_empty());
}

/// Two gateways, many at once in each: what happens once happens once.
async fn whoever_races_has_one_winner(one: &Store, other: &Store) {
    for round in 0..10 {
        let key = format!("round {round}");
        let made = race(one, other, |store, key| async move {
            store.put("races", &key, b"made".to_vec(), None, Expected::Absent).await.unwrap() != Put::Conflict
        });
        assert_eq!(made(key.clone()).await, 1, "one makes it");
        let version = one.get("races", &key).await.unwrap().unwrap().version;
        let changed = race(one, other, move |store, key| async move {
            let expected = Expected::Version(version);
            store.put("races", &key, b"changed".to_vec(), None, expected).await.unwrap() != Put::Conflict
        });
        assert_eq!(changed(key.clone()).await, 1, "one changes it");
        let taken = race(one, other, |store, key| async move {
            store.take("races", &key).await.unwrap().is_some_and(|record| record.value == b"changed")
        });
        assert_eq!(taken(key.clone()).await, 1, "one takes it");
    }
}

fn race<F>(
    one: &Store,
    other: &Store,
    act: impl Fn(Store, String) -> F + Clone + Send + 'static,
) -> impl FnOnce(String) -> std::pin::Pin<Box<dyn Future<Output = usize> + Send>>
where
    F: Future<Output = bool> + Send + 'static,
{
    let stores = [one.clone(), other.clone()];
    move |key| {
        Box::pin(async move {
            let runs: Vec<_> =
                (0..16).map(|number| tokio::spawn(act(stores[number % 2].clone(), key.clone()))).collect();
            let mut won = 0;
            for run in runs {
                won += usize::from(run.await.expect("no store panics"));
            }
            won
        })
    }
}

async fn what_is_too_large_is_refused(one: &Store) {
    let key = "k".repeat(513);
    assert!(one.put("large", &key, Vec::new(), None, Expected::Any).await.is_err());
    assert!(one.put("large", "k", vec![0; (1 << 20) + 1], None, Expected::Any).await.is_err());
    assert_eq!(one.get("large", "k").await, Ok(None));
    one.put("large", &key[1..], vec![7; 1 << 20], None, Expected::Any).await.unwrap();
    assert_eq!(one.take("large", &key[1..]).await.unwrap().unwrap().value, vec![7; 1 << 20]);
}

fn kept(put: Put) -> u64 {
    match put {
        Put::Kept(version) => version,
        Put::Conflict => panic!("not kept"),
    }
}

fn keys(page: &[(String, Record)]) -> Vec<String> {
    page.iter().map(|(key, _)| key.clone()).collect()
}

/// To the second, which every store keeps.
fn from_now(seconds: i64) -> SystemTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.saturating_add_signed(seconds))
}
