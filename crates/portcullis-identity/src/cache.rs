//! A bounded map from digests, for what may be forgotten at any time.
//!
//! Two generations: what is new or was asked for lately is young; when the young are too many, they become the old, and
//! the old are dropped. That keeps what is in use, never looks through entries, and holds at most twice `most` of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The map.
pub(crate) struct Cache<K, V> {
    most: usize,
    generations: Mutex<Generations<K, V>>,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// For `most` entries of one generation.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, generations: Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() }) }
    }

    /// What is kept for a key.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        if let Some(value) = generations.young.get(key) {
            return Some(value.clone());
        }
        let value = generations.old.remove(key)?;
        self.add(&mut generations, key.clone(), value.clone());
        Some(value)
    }

    /// Keeps a value.
    pub(crate) fn insert(&self, key: K, value: V) {
        let mut generations = self.lock();
        generations.old.remove(&key);
        self.add(&mut generations, key, value);
    }

    fn add(&self, generations: &mut Generations<K, V>, key: K, value: V) {
        if generations.young.len() >= self.most {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, value);
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_than_twice_its_size_and_keeps_what_is_in_use() {
        let cache = Cache::new(10);
        cache.insert(0, "kept");
        for number in 1..1000 {
            cache.insert(number, "passing");
            assert_eq!(cache.get(&0), Some("kept"), "after {number}");
            let generations = cache.lock();
            assert!(generations.young.len() + generations.old.len() <= 20);
        }
        assert_eq!(cache.get(&1), None);
    }
}
