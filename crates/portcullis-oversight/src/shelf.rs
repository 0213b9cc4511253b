//! Results that wait for somebody's approval, sealed, and no more of them than there is room for.
//!
//! The server has done what it was asked; its answer is kept until somebody lets it through, or its time is over. Answers are
//! kept in records, so whichever gateway the caller comes back to finds them, where the gateways have the vault's key in
//! common. Without one, the key is the process's own. A result is kept for one question, and whoever has leave by another
//! does not find it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand;
use portcullis_model::{Expected, Records, Unavailable};

use crate::{Approval, now_ms, sealing};

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
    /// By place: whose it is, how large, and until when it waits.
    places: Mutex<HashMap<String, Place>>,
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

    /// Keeps the result that somebody is asked about, for as long as that waits.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn keep(
        &self,
        records: &dyn Records,
        approval: &Approval,
        result: &[u8],
    ) -> Result<Shelved, Unavailable> {
        if result.len() > LARGEST {
            return Ok(Shelved::TooLarge);
        }
        if !self.take_place(approval, result.len()) {
            return Ok(Shelved::NoRoom);
        }
        let place = approval.place();
        let kept = async {
            let sealed = sealing::seal(&self.key, PURPOSE, &place, result);
            let sealed = sealed.ok_or_else(|| Unavailable("no random numbers".to_owned()))?;
            records.put(HELD, &place, sealed, approval.expires(), Expected::Any).await
        };
        if let Err(error) = kept.await {
            self.give_back(&place);
            return Err(error);
        }
        Ok(Shelved::Kept)
    }

    /// Takes a result away; whoever takes it has it, and nobody else.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn take(&self, records: &dyn Records, approval: &Approval) -> Result<Found, Unavailable> {
        let place = approval.place();
        let Some(record) = records.take(HELD, &place).await? else { return Ok(Found::Nothing) };
        self.give_back(&place);
        let opened = sealing::open(&self.key, PURPOSE, &place, &record.value);
        Ok(opened.map_or(Found::Foreign, Found::Result))
    }

    fn take_place(&self, approval: &Approval, size: usize) -> bool {
        let now = now_ms();
        let (place, whose) = (approval.place(), &approval.principal);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|other, there| there.until > now && *other != place);
        let (all, own) = places.values().fold((0, 0), |(all, own), there| {
            (all + there.size, own + if there.whose == *whose { there.size } else { 0 })
        });
        if all + size > MOST || own + size > MOST_EACH {
            return false;
        }
        places.insert(place, Place { whose: whose.clone(), size, until: approval.until });
        true
    }

    fn give_back(&self, place: &str) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(place);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_store::Memory;

    use super::*;
    use crate::{Digest, Matter, Request};

    /// A question about the result of a call.
    async fn asked(name: &str, principal: &str) -> Approval {
        let digest = Digest::of(principal, "s", "tools/call", name, None).about(Matter::Result);
        let request = Request {
            digest,
            matter: Matter::Result,
            needed: 1,
            principal: principal.into(),
            server: "s".into(),
            name: name.into(),
            named: true,
            why: Vec::new(),
            grounds: Vec::new(),
            arguments: None,
        };
        Approval::ask(&Memory::default(), &request, Duration::from_mins(1), None).await.unwrap().0
    }

    #[tokio::test]
    async fn a_result_waits_sealed_and_is_taken_once() {
        let (records, shelf) = (Memory::default(), Shelf::new(Some([7; 32])));
        let (one, other) = (asked("a", "key:a").await, asked("b", "key:a").await);
        assert_eq!(shelf.keep(&records, &one, b"the result").await, Ok(Shelved::Kept));
        let record = records.get(HELD, &one.place()).await.unwrap().unwrap();
        assert!(!record.value.windows(10).any(|part| part == b"the result"), "it is sealed");
        assert_eq!(shelf.take(&records, &other).await, Ok(Found::Nothing));
        let replica = Shelf::new(Some([7; 32]));
        assert_eq!(replica.take(&records, &one).await, Ok(Found::Result(b"the result".to_vec())));
        assert_eq!(shelf.take(&records, &one).await, Ok(Found::Nothing));
        shelf.keep(&records, &one, b"again").await.unwrap();
        assert_eq!(Shelf::new(None).take(&records, &one).await, Ok(Found::Foreign));
    }

    #[tokio::test]
    async fn leave_by_one_question_is_none_for_the_result_of_another() {
        let (records, shelf) = (Memory::default(), Shelf::new(None));
        let (first, second) = (asked("a", "key:a").await, asked("a", "key:a").await);
        assert_eq!(first.id, second.id, "they are about the same call");
        shelf.keep(&records, &first, b"first").await.unwrap();
        shelf.keep(&records, &second, b"second").await.unwrap();
        assert_eq!(shelf.take(&records, &first).await, Ok(Found::Result(b"first".to_vec())));
        assert_eq!(shelf.take(&records, &first).await, Ok(Found::Nothing));
        assert_eq!(shelf.take(&records, &second).await, Ok(Found::Result(b"second".to_vec())));
    }

    #[tokio::test]
    async fn there_is_room_for_so_much_and_nobody_takes_it_all() {
        let (records, shelf) = (Memory::default(), Shelf::new(None));
        let keep = async |approval: &Approval, size: usize| {
            shelf.keep(&records, approval, &vec![b' '; size]).await.unwrap()
        };
        let mut kept = Vec::new();
        for one in 0..MOST_EACH / LARGEST {
            kept.push(asked(&one.to_string(), "key:a").await);
        }
        let (more, others) = (asked("more", "key:a").await, asked("more", "key:b").await);
        assert_eq!(keep(&more, LARGEST + 1).await, Shelved::TooLarge);
        for one in &kept {
            assert_eq!(keep(one, LARGEST).await, Shelved::Kept);
        }
        assert_eq!(keep(&more, LARGEST).await, Shelved::NoRoom);
        assert_eq!(keep(&kept[0], LARGEST).await, Shelved::Kept, "one in the place of another");
        assert_eq!(keep(&others, LARGEST).await, Shelved::Kept, "it is each caller's own");
        shelf.take(&records, &kept[1]).await.unwrap();
        assert_eq!(keep(&more, LARGEST).await, Shelved::Kept);
    }
}
