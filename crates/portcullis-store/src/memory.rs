//! Records in this process's memory: gone with it, and shared with nobody.
//!
//! Bounded: at most [`MOST`] records of a kind. What has ended makes room first; a kind that is full of live records says so
//! rather than forgetting one.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use portcullis_model::{Expected, Keeping, Put, Record, Records, Unavailable};

use crate::bounds;

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
        if let Err(error) = bounds::check(kind, key, &value) {
            return Box::pin(std::future::ready(Err(error)));
        }
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

    fn sweep(&self) -> Keeping<'_, usize> {
        let swept = self.with(|kinds| {
            let count = |kinds: &Kinds| kinds.records.values().map(BTreeMap::len).sum::<usize>();
            let before = count(kinds);
            kinds.records.values_mut().for_each(|records| records.retain(|_, record| is_live(record)));
            before - count(kinds)
        });
        Box::pin(std::future::ready(Ok(swept)))
    }
}
