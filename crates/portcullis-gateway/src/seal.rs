//! Sealed handles: what the gateway gives a client to bring back.
//!
//! A handle is AES-256-GCM over its content, with the purpose and the principal as associated data, in base64url.
//! The client can neither read nor change it, nobody else can use it, and a cursor is no request state. What has an end
//! carries it inside. Handles are never credentials: whoever presents one has been authenticated before it is opened.
//!
//! Keys are made in this process and die with it, and so do the handles. A key seals for a time (`limits.key_rotation`, a day)
//! and opens for as long again, so that a rotation takes nothing away from clients; the second byte of a handle says which key
//! it was. The ids of tasks live as long as their tasks: a key that sealed such an id is kept for as long as it may come back,
//! for ids of tasks alone. The ids of sessions live as long as their sessions, which are found by the whole id: what is in it
//! only says what is wrong with one that finds nothing. (Replicas will share keys through the store.)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_model::Principal;

/// A key seals for so long at most, and opens for as long again. No handle lives longer than that, but for ids of tasks and
/// sessions.
pub(crate) const ROTATION: Duration = Duration::from_hours(24);

/// No id of a task lives longer than that.
pub(crate) const LONGEST_TASK: Duration = Duration::from_hours(30 * 24);

/// A cursor lives for so long: nobody reads a list for longer.
pub(crate) const CURSOR: Duration = Duration::from_hours(1);

/// Keys that are kept: as many as are made in the longest life of a handle where one seals for three hours. The number of a key
/// is a byte.
const MOST_KEYS: usize = 250;

/// What a handle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A page of a list.
    Cursor,
    /// A session.
    Session,
    /// Where a request stands that waits for input from the client.
    RequestState,
    /// A task.
    Task,
    /// Who sits at a browser.
    Browser,
    /// Which conversation a request belongs to.
    Conversation,
}

/// A handle that does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsealable {
    /// Without saying why: the difference would only help a forger.
    #[error("not a handle of this gateway, for this caller and purpose")]
    Foreign,
    /// It was one, and its time is over.
    #[error("expired")]
    Expired,
}

/// Seals and opens handles.
pub(crate) struct Sealer {
    keys: ArcSwap<Keys>,
    /// Ends are counted from here.
    born: Instant,
    /// How long a key seals, in milliseconds.
    rotation: AtomicU64,
}

#[derive(Clone)]
struct Keys {
    current: Key,
    /// The newest first.
    previous: Vec<Key>,
    since: Instant,
}

#[derive(Clone)]
struct Key {
    id: u8,
    cipher: Arc<RandomizedNonceKey>,
    /// When the last id of a task that it sealed is over, in milliseconds after the sealer was made.
    needed: Arc<AtomicU64>,
}

/// The first byte of a handle.
const FORMAT: u8 = 2;

impl Key {
    fn new(id: u8) -> Self {
        let mut key = [0u8; 32];
        rand::fill(&mut key).expect("the operating system has randomness");
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key).expect("32 bytes are an AES-256 key");
        Self { id, cipher: Arc::new(key), needed: Arc::default() }
    }
}

impl Sealer {
    /// With a fresh key.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let keys = Keys { current: Key::new(0), previous: Vec::new(), since: now };
        let sealer = Self { keys: ArcSwap::from_pointee(keys), born: now, rotation: AtomicU64::new(0) };
        sealer.rotate_every(ROTATION);
        sealer
    }

    /// From now on a key seals for so long.
    pub(crate) fn rotate_every(&self, rotation: Duration) {
        let rotation = u64::try_from(rotation.as_millis()).unwrap_or(u64::MAX);
        self.rotation.store(rotation, Ordering::Relaxed);
    }

    /// How long a key seals.
    pub(crate) fn rotation(&self) -> Duration {
        Duration::from_millis(self.rotation.load(Ordering::Relaxed))
    }

    /// Makes a new key. What was sealed with the last one still opens; of what was sealed with older ones, the ids of
    /// tasks do.
    pub(crate) fn rotate(&self) {
        let now = self.after(Duration::ZERO);
        self.keys.rcu(|keys| {
            let needed = keys.previous.iter().filter(|key| key.needed.load(Ordering::Relaxed) > now);
            Keys {
                current: Key::new(keys.current.id.wrapping_add(1)),
                previous: std::iter::once(&keys.current).chain(needed).take(MOST_KEYS).cloned().collect(),
                since: Instant::now(),
            }
        });
    }

    /// Makes a new key when the last one has served its time.
    pub(crate) fn rotate_in_time(&self) {
        if self.keys.load().since.elapsed() >= self.rotation() {
            self.rotate();
            tracing::info!(key = self.keys.load().current.id, "seals with another key");
        }
    }

    /// Makes a handle that opens for as long as its key.
    pub(crate) fn seal(&self, purpose: Purpose, principal: &Principal, content: &[u8]) -> String {
        Self::write(&self.keys.load().current, purpose, principal, content.to_vec())
    }

    /// Makes a handle that opens for so long only.
    pub(crate) fn seal_for(
        &self,
        lifetime: Duration,
        purpose: Purpose,
        principal: &Principal,
        content: &[u8],
    ) -> String {
        let rotation = self.rotation();
        let longest = if purpose == Purpose::Task { LONGEST_TASK } else { rotation };
        let end = self.after(lifetime.min(longest));
        let keys = self.keys.load();
        if lifetime > rotation && purpose == Purpose::Task {
            keys.current.needed.fetch_max(end, Ordering::Relaxed);
        }
        let mut dated = Vec::with_capacity(content.len() + 8);
        dated.extend_from_slice(&end.to_be_bytes());
        dated.extend_from_slice(content);
        Self::write(&keys.current, purpose, principal, dated)
    }

    /// Milliseconds from the making of the sealer to so long after now.
    fn after(&self, time: Duration) -> u64 {
        u64::try_from((self.born.elapsed() + time).as_millis()).unwrap_or(u64::MAX)
    }

    fn write(key: &Key, purpose: Purpose, principal: &Principal, mut content: Vec<u8>) -> String {
        let aad = Aad::from(binding(purpose, principal));
        let sealed = key.cipher.seal_in_place_append_tag(aad, &mut content);
        let nonce = sealed.expect("a handle is far below AES-GCM's length limit");
        let mut out = Vec::with_capacity(2 + NONCE_LEN + content.len());
        out.extend_from_slice(&[FORMAT, key.id]);
        out.extend_from_slice(nonce.as_ref());
        out.append(&mut content);
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Opens a handle.
    ///
    /// # Errors
    /// [`Unsealable::Foreign`].
    pub(crate) fn open(
        &self,
        purpose: Purpose,
        principal: &Principal,
        handle: &str,
    ) -> Result<Vec<u8>, Unsealable> {
        self.read(purpose, principal, handle).ok_or(Unsealable::Foreign)
    }

    /// Opens a handle of [`Sealer::seal_for`].
    ///
    /// # Errors
    /// As [`Sealer::open`], and when its time is over.
    pub(crate) fn open_in_time(
        &self,
        purpose: Purpose,
        principal: &Principal,
        handle: &str,
    ) -> Result<Vec<u8>, Unsealable> {
        let mut content = self.open(purpose, principal, handle)?;
        let (end, _) = content.split_first_chunk::<8>().ok_or(Unsealable::Foreign)?;
        let end = Duration::from_millis(u64::from_be_bytes(*end));
        if self.born.elapsed() > end {
            return Err(Unsealable::Expired);
        }
        content.drain(..8);
        Ok(content)
    }

    fn read(&self, purpose: Purpose, principal: &Principal, handle: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(handle).ok()?;
        let [FORMAT, id, rest @ ..] = bytes.as_slice() else { return None };
        let keys = self.keys.load();
        let opening = if purpose == Purpose::Task { MOST_KEYS } else { 1 };
        let mut known = std::iter::once(&keys.current).chain(keys.previous.iter().take(opening));
        let key = known.find(|key| key.id == *id)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(binding(purpose, principal));
        let content = key.cipher.open_in_place(nonce, aad, &mut sealed).ok()?;
        Some(content.to_vec())
    }
}

impl Default for Sealer {
    fn default() -> Self {
        Self::new()
    }
}

fn binding(purpose: Purpose, principal: &Principal) -> Vec<u8> {
    let purpose = match purpose {
        Purpose::Cursor => "cursor",
        Purpose::Session => "session",
        Purpose::RequestState => "request-state",
        Purpose::Task => "task",
        Purpose::Browser => "browser",
        Purpose::Conversation => "conversation",
    };
    format!("{purpose}\0{principal}").into_bytes()
}

/// 128 random bits.
pub(crate) fn random_bytes() -> [u8; 16] {
    let mut id = [0u8; 16];
    rand::fill(&mut id).expect("the operating system has randomness");
    id
}

/// 128 random bits in base64url.
pub(crate) fn random_id() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes())
}

/// A random number from 0 to 1, for jitter.
pub(crate) fn random_unit() -> f64 {
    let mut bytes = [0u8; 4];
    rand::fill(&mut bytes).expect("the operating system has randomness");
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
