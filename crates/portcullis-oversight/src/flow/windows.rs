//! What each has read: known in memory, and kept where others and the next process find it.
//!
//! A principal has a window, and each of its conversations one of its own, where they are taken by themselves; what a
//! conversation reads, its principal reads. Memory is bounded, and what finds no room is never taken for nothing:
//!
//! - A principal whose conversations are too many is *crowded*: for one window from then, in all gateways, each of its
//!   conversations is taken to have read what the principal has.
//! - Of too many principals, those are put out of memory whose windows are written down; they are read from there.
//! - Where nothing can be put out, since nothing could be written down, what is read counts for everybody who is not known
//!   in memory, and what would be read by a call that can still be refused is refused.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_model::{Expected, Put, Records, Unavailable};
use serde::{Deserialize, Serialize};

use super::Labels;
use crate::hex::hex;
use crate::now_ms;

/// The kind of the records.
const WINDOW: &str = "flow-window";
/// Conversations of one principal that have windows of their own, in memory.
const MOST_EACH: usize = 1_000;
/// Windows that are known in memory.
const MOST: usize = 50_000;
const TRIES: usize = 8;

/// Whose reading is meant.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The principal.
    pub principal: &'a str,
    /// Its conversation, where that is taken by itself.
    pub conversation: Option<&'a str>,
}

/// What each has read.
pub struct Windows {
    known: Mutex<Known>,
    most_each: usize,
    most: usize,
}

impl Default for Windows {
    fn default() -> Self {
        Self { known: Mutex::default(), most_each: MOST_EACH, most: MOST }
    }
}

#[derive(Default)]
struct Known {
    principals: HashMap<String, Principal>,
    /// How many windows they have.
    count: usize,
    /// What those have read for whom there was no room.
    others: Window,
}

#[derive(Default)]
struct Principal {
    own: Window,
    conversations: HashMap<String, Window>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Window {
    labels: Labels,
    /// Milliseconds since 1970.
    until: u64,
    /// Until when the principal's conversations are not taken by themselves.
    #[serde(default, skip_serializing_if = "is_zero")]
    crowded: u64,
    /// There is more of it than is written down.
    #[serde(skip)]
    ahead: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where something that was read is known from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Here and in the records, where it was before.
    Known,
    /// Here; it has to be written down.
    Here,
    /// There was no room: it counts for everybody who is not known.
    NoRoom,
}

impl Window {
    fn join(&mut self, labels: &Labels, length: Duration) {
        let (now, length) = (now_ms(), milliseconds(length));
        if self.until <= now {
            self.labels = Labels::default();
        }
        let joined = self.labels.join(labels);
        // It is written down again when a tenth of it has passed, not with every call.
        if joined || self.until < now.saturating_add(length - length / 10) {
            self.until = now.saturating_add(length);
            self.ahead = true;
        }
    }

    fn is_over(&self) -> bool {
        self.until <= now_ms()
    }

    /// What counts of it.
    fn labels(&self) -> Labels {
        if self.is_over() { Labels::default() } else { self.labels.clone() }
    }
}

impl Principal {
    fn count(&self) -> usize {
        1 + self.conversations.len()
    }

    /// One of its conversations has read something; whether that has to be written down. Where there is no room for one more,
    /// the principal is crowded.
    fn converse(&mut self, of: String, room: bool, most: usize, labels: &Labels, length: Duration) -> bool {
        if !self.conversations.contains_key(&of) {
            if self.conversations.len() >= most {
                self.conversations.retain(|_, window| !window.is_over());
            }
            if !room || self.conversations.len() >= most {
                self.own.crowded = now_ms().saturating_add(milliseconds(length));
                self.own.ahead = true;
                return false;
            }
        }
        let window = self.conversations.entry(of).or_default();
        window.join(labels, length);
        window.ahead
    }

    fn is_ahead(&self) -> bool {
        self.own.ahead || self.conversations.values().any(|window| window.ahead)
    }
}

impl Known {
    /// Makes room for so many more windows, if there is none.
    fn make_room(&mut self, more: usize, most: usize) -> bool {
        if self.count + more <= most {
            return true;
        }
        self.principals.retain(|_, principal| {
            principal.conversations.retain(|_, window| !window.is_over());
            !(principal.own.is_over() && principal.conversations.is_empty())
        });
        self.recount();
        if self.count + more <= most {
            return true;
        }
        // The longest unused tenth of what is written down.
        let mut ends: Vec<u64> =
            self.principals.values().filter(|it| !it.is_ahead()).map(|it| it.own.until).collect();
        ends.sort_unstable();
        if let Some(last) = ends.get(ends.len() / 10).copied() {
            self.principals.retain(|_, it| it.is_ahead() || it.own.until > last);
            self.recount();
        }
        self.count + more <= most
    }

    fn recount(&mut self) {
        self.count = self.principals.values().map(Principal::count).sum();
    }
}

impl Windows {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody is about to read something.
    ///
    /// # Errors
    /// The store does not answer, and nothing may be read; what is known here counts nevertheless.
    pub async fn add(
        &self,
        records: &dyn Records,
        who: Who<'_>,
        labels: &Labels,
        length: Duration,
    ) -> Result<(), Unavailable> {
        match self.join(who, labels, length) {
            Joined::Known => Ok(()),
            Joined::Here => self.keep(records, who).await,
            Joined::NoRoom => Err(Unavailable("more was read than is known and could be written".to_owned())),
        }
    }

    /// The same without writing it down.
    pub fn join(&self, who: Who<'_>, labels: &Labels, length: Duration) -> Joined {
        let (id, conversation) = who.keys();
        let mut known = self.known();
        let known = &mut *known;
        let there = known.principals.get(&id);
        let is_new = |of: &String| there.is_none_or(|there| !there.conversations.contains_key(of));
        let more = usize::from(there.is_none()) + usize::from(conversation.as_ref().is_some_and(is_new));
        let room = more == 0 || known.make_room(more, self.most);
        if !room && !known.principals.contains_key(&id) {
            known.others.join(labels, length);
            return Joined::NoRoom;
        }
        let principal = known.principals.entry(id).or_insert_with(|| {
            known.count += 1;
            Principal::default()
        });
        let before = principal.conversations.len();
        let ahead =
            conversation.is_some_and(|of| principal.converse(of, room, self.most_each, labels, length));
        known.count = known.count + principal.conversations.len() - before;
        principal.own.join(labels, length);
        if ahead || principal.own.ahead { Joined::Here } else { Joined::Known }
    }

    /// Writes down what somebody has read.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn keep(&self, records: &dyn Records, who: Who<'_>) -> Result<(), Unavailable> {
        let (principal, conversation) = who.keys();
        // The conversation's first: its principal's is never the one that knows less.
        if let Some(conversation) = &conversation {
            self.keep_one(records, &principal, Some(conversation)).await?;
        }
        self.keep_one(records, &principal, None).await
    }

    async fn keep_one(
        &self,
        records: &dyn Records,
        principal: &str,
        conversation: Option<&str>,
    ) -> Result<(), Unavailable> {
        let key = conversation.unwrap_or(principal);
        for _ in 0..TRIES {
            let Some(mut window) = self.ahead(principal, conversation) else { return Ok(()) };
            let record = records.get(WINDOW, key).await?;
            if let Some(kept) = record.as_ref().and_then(|record| read(&record.value)) {
                window.labels.join(&kept.labels);
                window.until = window.until.max(kept.until);
                window.crowded = window.crowded.max(kept.crowded);
            }
            let value = serde_json::to_vec(&window).expect("a window prints");
            let expected = record.map_or(Expected::Absent, |record| Expected::Version(record.version));
            let ends = SystemTime::UNIX_EPOCH + Duration::from_millis(window.until.max(window.crowded));
            if records.put(WINDOW, key, value, Some(ends), expected).await? != Put::Conflict {
                self.kept(principal, conversation, &window);
                return Ok(());
            }
        }
        Err(Unavailable("others write the same window all the time".to_owned()))
    }

    /// A window of which there is more than is written down.
    fn ahead(&self, principal: &str, conversation: Option<&str>) -> Option<Window> {
        let known = self.known();
        let principal = known.principals.get(principal)?;
        let window = match conversation {
            Some(conversation) => principal.conversations.get(conversation)?,
            None => &principal.own,
        };
        Some(window).filter(|window| window.ahead).cloned()
    }

    /// What there was of a window is written down.
    fn kept(&self, principal: &str, conversation: Option<&str>, written: &Window) {
        let mut known = self.known();
        let Some(principal) = known.principals.get_mut(principal) else { return };
        let window = match conversation {
            Some(conversation) => principal.conversations.get_mut(conversation),
            None => Some(&mut principal.own),
        };
        if let Some(window) = window
            && window.until <= written.until
            && window.crowded <= written.crowded
            && !written.labels.clone().join(&window.labels)
        {
            window.ahead = false;
        }
    }

    /// What somebody has read, here or through another gateway.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn of(&self, records: &dyn Records, who: Who<'_>) -> Result<Labels, Unavailable> {
        let (principal, conversation) = who.keys();
        let kept = async |key: &str| {
            let record = records.get(WINDOW, key).await?;
            Ok(record.and_then(|record| read(&record.value)).unwrap_or_default())
        };
        let own = kept(&principal).await?;
        let (mut labels, by_itself) = {
            let known = self.known();
            let here = known.principals.get(&principal);
            let crowded = here.map_or(0, |here| here.own.crowded).max(own.crowded) > now_ms();
            let of = conversation.as_ref().filter(|_| !crowded);
            let window = match of {
                Some(conversation) => here.and_then(|here| here.conversations.get(conversation)),
                None => here.map(|here| &here.own),
            };
            let mut labels = window.map(Window::labels).unwrap_or_default();
            if here.is_none() {
                labels.join(&known.others.labels());
            }
            (labels, of)
        };
        labels.join(&match by_itself {
            Some(conversation) => kept(conversation).await?.labels(),
            None => own.labels(),
        });
        Ok(labels)
    }
}

fn read(value: &[u8]) -> Option<Window> {
    serde_json::from_slice(value).ok()
}

fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

impl Who<'_> {
    /// Who it is, is nothing that a store has to show. Two principals have no conversation in common.
    fn keys(&self) -> (String, Option<String>) {
        let key = |of: &[u8]| hex(digest(&SHA256, of).as_ref());
        let principal = key(self.principal.as_bytes());
        let conversation = self.conversation.map(|of| key(&[principal.as_bytes(), of.as_bytes()].concat()));
        (principal, conversation)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_model::{Keeping, Record};
    use portcullis_store::Memory;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn private() -> Labels {
        Labels::said(["private"].into_iter(), "crm/get")
    }

    fn untrusted() -> Labels {
        Labels::said(["untrusted"].into_iter(), "web/fetch")
    }

    fn all(principal: &str) -> Who<'_> {
        Who { principal, conversation: None }
    }

    fn one<'a>(principal: &'a str, conversation: &'a str) -> Who<'a> {
        Who { principal, conversation: Some(conversation) }
    }

    fn small() -> Windows {
        Windows { most_each: 3, most: 10, ..Windows::default() }
    }

    #[tokio::test]
    async fn windows_are_shared_and_end() {
        let records = Memory::default();
        let (here, there) = (Windows::default(), Windows::default());
        here.add(&records, all("key:a"), &private(), MINUTE).await.unwrap();
        there.add(&records, all("key:a"), &untrusted(), MINUTE).await.unwrap();
        let both = here.of(&records, all("key:a")).await.unwrap();
        assert!(both.private.is_some() && both.untrusted.is_some(), "of both gateways");
        assert!(there.of(&records, all("key:b")).await.unwrap().is_empty());
        let third = Windows::default();
        third.add(&records, all("key:c"), &private(), Duration::ZERO).await.unwrap();
        assert!(third.of(&records, all("key:c")).await.unwrap().is_empty(), "it is over");
    }

    #[tokio::test]
    async fn a_conversation_is_by_itself_and_its_principal_has_read_all() {
        let (records, windows) = (Memory::default(), Windows::default());
        windows.add(&records, one("a", "1"), &private(), MINUTE).await.unwrap();
        windows.add(&records, one("a", "2"), &untrusted(), MINUTE).await.unwrap();
        let of = async |who| windows.of(&records, who).await.unwrap().words();
        assert_eq!(of(one("a", "1")).await, ["private"]);
        assert_eq!(of(one("a", "2")).await, ["untrusted"]);
        assert!(of(one("a", "3")).await.is_empty());
        assert_eq!(of(all("a")).await, ["private", "untrusted"]);
    }

    #[tokio::test]
    async fn whoever_has_too_many_conversations_is_taken_as_one() {
        let (records, windows, replica) = (Memory::default(), small(), small());
        windows.add(&records, one("a", "0"), &private(), MINUTE).await.unwrap();
        for conversation in ["1", "2", "3"] {
            windows.add(&records, one("a", conversation), &untrusted(), MINUTE).await.unwrap();
        }
        windows.add(&records, one("b", "0"), &untrusted(), MINUTE).await.unwrap();
        for (gateway, conversation) in [(&windows, "3"), (&replica, "3"), (&replica, "0"), (&windows, "4")] {
            let read = gateway.of(&records, one("a", conversation)).await.unwrap();
            assert_eq!(read.words(), ["private", "untrusted"], "{conversation}");
        }
        assert_eq!(
            windows.of(&records, one("b", "0")).await.unwrap().words(),
            ["untrusted"],
            "nobody else is"
        );
        assert!(windows.known().count <= 10);
    }

    #[tokio::test]
    async fn what_is_put_out_of_memory_is_read_from_the_records() {
        let (records, windows) = (Memory::default(), small());
        for principal in 0..100 {
            windows.add(&records, all(&principal.to_string()), &private(), MINUTE).await.unwrap();
            assert!(windows.known().count <= 10);
        }
        for principal in 0..100 {
            let read = windows.of(&records, all(&principal.to_string())).await.unwrap();
            assert_eq!(read.words(), ["private"], "{principal}");
        }
        assert!(windows.of(&records, all("somebody else")).await.unwrap().is_empty());
    }

    /// Records that cannot be written.
    struct Full;

    impl Records for Full {
        fn get<'a>(&'a self, _: &'static str, _: &'a str) -> Keeping<'a, Option<Record>> {
            Box::pin(std::future::ready(Ok(None)))
        }

        fn put<'a>(
            &'a self,
            _: &'static str,
            _: &'a str,
            _: Vec<u8>,
            _: Option<SystemTime>,
            _: Expected,
        ) -> Keeping<'a, Put> {
            Box::pin(std::future::ready(Err(Unavailable("it is full".to_owned()))))
        }

        fn take<'a>(&'a self, _: &'static str, _: &'a str) -> Keeping<'a, Option<Record>> {
            Box::pin(std::future::ready(Ok(None)))
        }

        fn list<'a>(
            &'a self,
            _: &'static str,
            _: &'a str,
            _: &'a str,
            _: usize,
        ) -> Keeping<'a, Vec<(String, Record)>> {
            Box::pin(std::future::ready(Ok(Vec::new())))
        }

        fn sweep(&self) -> Keeping<'_, usize> {
            Box::pin(std::future::ready(Ok(0)))
        }
    }

    #[tokio::test]
    async fn what_finds_no_room_and_is_not_written_counts_for_all_who_are_not_known() {
        let windows = small();
        for principal in 0..10 {
            assert!(windows.add(&Full, all(&principal.to_string()), &private(), MINUTE).await.is_err());
        }
        assert!(windows.of(&Full, all("a stranger")).await.unwrap().is_empty());
        assert_eq!(windows.join(all("one more"), &untrusted(), MINUTE), Joined::NoRoom);
        assert!(windows.add(&Full, all("one more"), &untrusted(), MINUTE).await.is_err());
        assert!(windows.known().count <= 10);
        for (who, expected) in [("one more", "untrusted"), ("a stranger", "untrusted"), ("0", "private")] {
            assert_eq!(windows.of(&Full, all(who)).await.unwrap().words(), [expected], "{who}");
        }
    }
}
