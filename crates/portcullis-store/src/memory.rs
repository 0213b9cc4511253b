//! Records in this process's memory: gone with it, and shared with nobody.
//!
//! Bounded: at most [`MOST`] records of a kind. What has ended makes room first; a kind that is full of live records says so
//! rather than forgetting one.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use portcullis_model::{Expected, Keeping, Put, Record, Records, Unavailable};

/// Records of one kind.
const MOST: usize = 100_000;

/// Records in memory.
#[derive(Default)]
pub struct Memory {
    kinds: Mutex<Kinds>,
}

#[derive(Default)]
struct Kinds {
    records: HashMap<&'static str, BTreeMap<String, Record>>,
    /// The last version that was given; none is given twice, not even to a key that was removed in between.
    version: u64,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut Kinds) -> T) -> T {
        act(&mut self.kinds.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_live(record: &Record) -> bool {
    record.expires.is_none_or(|end| SystemTime::now() < end)
}

impl Records for Memory {
    fn get<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        let found = self.with(|kinds| kinds.records.get(kind)?.get(key).filter(|it| is_live(it)).cloned());
        Box::pin(std::future::ready(Ok(found)))
    }

    fn put<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        value: Vec<u8>,
        expires: Option<SystemTime>,
        expected: Expected,
    ) -> Keeping<'a, Put> {
        let put = self.with(|kinds| {
            let records = kinds.records.entry(kind).or_default();
            let there = records.get(key).filter(|it| is_live(it)).map(|it| it.version);
            let as_expected = match expected {
                Expected::Any => true,
                Expected::Absent => there.is_none(),
                Expected::Version(version) => there == Some(version),
            };
            if !as_expected {
                return Ok(Put::Conflict);
            }
            if records.len() >= MOST && !records.contains_key(key) {
                records.retain(|_, record| is_live(record));
                if records.len() >= MOST {
                    return Err(Unavailable(format!("{MOST} records of the kind {kind} are kept in memory")));
                }
            }
            kinds.version += 1;
            records.insert(key.to_owned(), Record { value, version: kinds.version, expires });
            Ok(Put::Kept(kinds.version))
        });
        Box::pin(std::future::ready(put))
    }

    fn take<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        let taken = self.with(|kinds| kinds.records.get_mut(kind)?.remove(key).filter(is_live));
        Box::pin(std::future::ready(Ok(taken)))
    }

    fn list<'a>(
        &'a self,
        kind: &'static str,
        prefix: &'a str,
        after: &'a str,
        most: usize,
    ) -> Keeping<'a, Vec<(String, Record)>> {
        let found = self.with(|kinds| {
            let Some(records) = kinds.records.get(kind) else {
                return Vec::new();
            };
            let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
            let range = records.range::<str, _>((from, Bound::Unbounded));
            let those = range.take_while(|(key, _)| key.starts_with(prefix)).filter(|(_, it)| is_live(it));
            those.take(most).map(|(key, record)| (key.clone(), record.clone())).collect()
        });
        Box::pin(std::future::ready(Ok(found)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_two_write_is_told_apart_what_is_taken_is_gone_and_what_ends_is_not_there() {
        let store = Memory::default();
        let Put::Kept(first) = store.put("a", "k", b"1".to_vec(), None, Expected::Absent).await.unwrap() else {
            panic!("not kept");
        };
        assert_eq!(store.put("a", "k", b"2".to_vec(), None, Expected::Absent).await, Ok(Put::Conflict));
        let second = store.put("a", "k", b"2".to_vec(), None, Expected::Version(first)).await.unwrap();
        assert_ne!(second, Put::Conflict);
        assert_eq!(store.put("a", "k", b"3".to_vec(), None, Expected::Version(first)).await, Ok(Put::Conflict));
        assert_eq!(store.get("b", "k").await, Ok(None), "kinds are apart");
        assert_eq!(store.take("a", "k").await.unwrap().unwrap().value, b"2");
        assert_eq!(store.take("a", "k").await, Ok(None));
        let past = SystemTime::now() - Duration::from_secs(1);
        store.put("a", "old", b"1".to_vec(), Some(past), Expected::Any).await.unwrap();
        assert_eq!(store.get("a", "old").await, Ok(None));
        assert_ne!(store.put("a", "old", b"2".to_vec(), None, Expected::Absent).await, Ok(Put::Conflict));
    }

    #[tokio::test]
    async fn lists_are_pages_of_one_prefix_in_order() {
        let store = Memory::default();
        for key in ["a/2", "a/1", "a/3", "b/1", "a"] {
            store.put("a", key, Vec::new(), None, Expected::Any).await.unwrap();
        }
        let keys = |page: Vec<(String, Record)>| page.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(store.list("a", "a/", "", 2).await.unwrap()), ["a/1", "a/2"]);
        assert_eq!(keys(store.list("a", "a/", "a/2", 2).await.unwrap()), ["a/3"]);
        assert_eq!(keys(store.list("a", "", "", 9).await.unwrap()).len(), 5);
    }
}
