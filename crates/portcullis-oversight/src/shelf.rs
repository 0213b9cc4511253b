//! Results that wait for somebody's approval, sealed, and no more of them than there is room for.
//!
//! The server has done what it was asked; its answer is kept until somebody lets it through, or its time is over. Answers are
//! kept in records, so whichever gateway the caller comes back to finds them, where the gateways have the vault's key in
//! common. Without one, the key is the process's own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use portcullis_model::{Expected, Records, Unavailable};

use crate::approval::Digest;
use crate::{now_ms, sealing};

/// The kind of the records.
const HELD: &str = "held-result";
const PURPOSE: &str = "portcullis-held-result";
/// Largest result that is kept, in bytes: what a record can hold, with room to spare.
const LARGEST: usize = 768 << 10;
/// What one caller's results, and all that this gateway keeps, may take together, in bytes.
const MOST_EACH: usize = 8 << 20;
const MOST: usize = 64 << 20;

/// Where results wait.
pub struct Shelf {
    key: [u8; 32],
    /// By digest: whose it is, how large, and until when it waits.
    places: Mutex<HashMap<[u8; 32], Place>>,
}

struct Place {
    whose: String,
    size: usize,
    until: u64,
}

/// What became of a result that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelved {
    /// It waits.
    Kept,
    /// It is larger than what is kept.
    TooLarge,
    /// Too many wait already.
    NoRoom,
}

/// What is found where a result was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This.
    Result(Vec<u8>),
    /// Nothing, or not any more.
    Nothing,
    /// Something that another process sealed with another key.
    Foreign,
}

impl Shelf {
    /// With the vault's key, if there is one.
    ///
    /// # Panics
    /// The operating system has no random numbers.
    pub fn new(key: Option<[u8; 32]>) -> Self {
        let key = key.unwrap_or_else(|| {
            let mut key = [0; 32];
            rand::fill(&mut key).expect("the operating system has randomness");
            key
        });
        Self { key, places: Mutex::default() }
    }

    /// Keeps a result of a call for so long.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn keep(
        &self,
        records: &dyn Records,
        (digest, whose): (Digest, &str),
        result: &[u8],
        lifetime: Duration,
    ) -> Result<Shelved, Unavailable> {
        if result.len() > LARGEST {
            return Ok(Shelved::TooLarge);
        }
        if !self.take_place(digest, whose, result.len(), lifetime) {
            return Ok(Shelved::NoRoom);
        }
        let id = digest.id();
        let kept = async {
            let sealed = sealing::seal(&self.key, PURPOSE, &id, result);
            let sealed = sealed.ok_or_else(|| Unavailable("no random numbers".to_owned()))?;
            let expires = SystemTime::now().checked_add(lifetime);
            records.put(HELD, &id, sealed, expires, Expected::Any).await
        };
        if let Err(error) = kept.await {
            self.give_back(digest);
            return Err(error);
        }
        Ok(Shelved::Kept)
    }

    /// Takes a result away; whoever takes it has it, and nobody else.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn take(&self, records: &dyn Records, digest: Digest) -> Result<Found, Unavailable> {
        let id = digest.id();
        let Some(record) = records.take(HELD, &id).await? else { return Ok(Found::Nothing) };
        self.give_back(digest);
        let opened = sealing::open(&self.key, PURPOSE, &id, &record.value);
        Ok(opened.map_or(Found::Foreign, Found::Result))
    }

    fn take_place(&self, digest: Digest, whose: &str, size: usize, lifetime: Duration) -> bool {
        let now = now_ms();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|other, place| place.until > now && other != digest.as_bytes());
        let (all, own) = places.values().fold((0, 0), |(all, own), place| {
            (all + place.size, own + if place.whose == whose { place.size } else { 0 })
        });
        if all + size > MOST || own + size > MOST_EACH {
            return false;
        }
        let until = now.saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        places.insert(*digest.as_bytes(), Place { whose: whose.to_owned(), size, until });
        true
    }

    fn give_back(&self, digest: Digest) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(digest.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use portcullis_store::Memory;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn digest(name: &str) -> Digest {
        Digest::of("key:a", "s", "tools/call", name, None)
    }

    #[tokio::test]
    async fn a_result_waits_sealed_and_is_taken_once() {
        let (records, shelf) = (Memory::default(), Shelf::new(Some([7; 32])));
        let kept = shelf.keep(&records, (digest("a"), "key:a"), b"the result", MINUTE).await;
        assert_eq!(kept, Ok(Shelved::Kept));
        let record = records.get(HELD, &digest("a").id()).await.unwrap().unwrap();
        assert!(!record.value.windows(10).any(|part| part == b"the result"), "it is sealed");
        assert_eq!(shelf.take(&records, digest("b")).await, Ok(Found::Nothing));
        let other = Shelf::new(Some([7; 32]));
        assert_eq!(other.take(&records, digest("a")).await, Ok(Found::Result(b"the result".to_vec())));
        assert_eq!(shelf.take(&records, digest("a")).await, Ok(Found::Nothing));
        shelf.keep(&records, (digest("a"), "key:a"), b"again", MINUTE).await.unwrap();
        assert_eq!(Shelf::new(None).take(&records, digest("a")).await, Ok(Found::Foreign));
    }

    #[tokio::test]
    async fn there_is_room_for_so_much_and_nobody_takes_it_all() {
        let (records, shelf) = (Memory::default(), Shelf::new(None));
        let keep = async |name: &str, whose: &str, size: usize| {
            shelf.keep(&records, (digest(name), whose), &vec![b' '; size], MINUTE).await.unwrap()
        };
        assert_eq!(keep("a", "key:a", LARGEST + 1).await, Shelved::TooLarge);
        for one in 0..MOST_EACH / LARGEST {
            assert_eq!(keep(&one.to_string(), "key:a", LARGEST).await, Shelved::Kept);
        }
        assert_eq!(keep("more", "key:a", LARGEST).await, Shelved::NoRoom);
        assert_eq!(keep("0", "key:a", LARGEST).await, Shelved::Kept, "one in the place of another");
        assert_eq!(keep("more", "key:b", LARGEST).await, Shelved::Kept, "it is each caller's own");
        shelf.take(&records, digest("1")).await.unwrap();
        assert_eq!(keep("more of it", "key:a", LARGEST).await, Shelved::Kept);
    }
}
