//! Payloads: sealed beside their records, read again by whoever has the keyring, and gone with their key.

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_model::{Journal, Unavailable};

use crate::content::{Content, Keyring};
use crate::event::{Event, EventId, Word};
use crate::keys::{DataKey, DataKeys, KIND};
use crate::labelled;

/// Whether payloads are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Their digests only.
    #[default]
    Digest,
    /// The payloads too, sealed.
    Encrypted,
}

/// What a payload is bound to.
fn place(event: &EventId, side: Side) -> String {
    let side = match side {
        Side::Input => "input",
        Side::Output => "output",
    };
    format!("{event}/{side}")
}

/// Which of an event's two payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What went in.
    Input,
    /// What came out.
    Output,
}

/// Adds a content to an event: its digest, and the sealed thing itself if that is wanted.
pub(crate) fn attach<S: Word>(
    keys: &DataKeys,
    keyring: &Keyring,
    keep: Keep,
    event: &mut Event<S>,
    side: Side,
    bytes: &[u8],
) {
    let mut content = keyring.digest(bytes);
    if keep == Keep::Encrypted {
        let person = event.who.person.as_ref().map_or("nobody", AsRef::as_ref);
        let class = event.data.retention.as_ref().map_or("default", AsRef::as_ref);
        let sealed = keys.current(person, class).and_then(|key| {
            let sealed = key.seal(&place(&event.id, side), bytes)?;
            Ok((key.id.clone(), sealed))
        });
        match sealed {
            Ok((key, sealed)) => {
                content.sealed = Some(sealed_hash(&sealed));
                content.key = Some(key);
                content.bytes = Some(sealed);
            }
            Err(_) => tracing::error!("a payload could not be sealed; its digest is recorded alone"),
        }
    }
    match side {
        Side::Input => event.input = Some(content),
        Side::Output => event.output = Some(content),
    }
}

pub(crate) fn sealed_hash(sealed: &[u8]) -> String {
    labelled("sha256:", digest(&SHA256, sealed).as_ref())
}

/// Takes what was sealed out of an event, and says in it where that will lie.
pub(crate) fn take<S>(event: &mut Event<S>) -> Option<Vec<u8>> {
    let mut payload: Vec<u8> = Vec::new();
    for content in [&mut event.input, &mut event.output].into_iter().flatten() {
        if let Some(bytes) = content.bytes.take() {
            content.place = Some((payload.len() as u64, bytes.len() as u64));
            payload.extend_from_slice(&bytes);
        }
    }
    (!payload.is_empty()).then_some(payload)
}

/// Where a content's sealed bytes are in a payload.
pub(crate) fn slice<'a>(content: &Content, payload: &'a [u8]) -> Option<&'a [u8]> {
    let (from, length) = content.place?;
    let from = usize::try_from(from).ok()?;
    payload.get(from..from.checked_add(usize::try_from(length).ok()?)?)
}

/// A payload that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It was not kept.
    #[error("the payload was not kept")]
    NotKept,
    /// Its key was destroyed.
    #[error("the payload was erased: its key {0} is no more")]
    Erased(String),
    /// It is not what was sealed, or another keyring sealed it.
    #[error("the payload does not open: it was altered, or this is not the secret that it was sealed with")]
    Sealed,
    /// The journal cannot be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Reads a payload of an event.
///
/// # Errors
/// It was not kept, was erased or was altered.
pub fn open(
    journal: &dyn Journal,
    keyring: &Keyring,
    event: &Event,
    side: Side,
    payload: Option<&[u8]>,
) -> Result<Vec<u8>, Unreadable> {
    let content = match side {
        Side::Input => &event.input,
        Side::Output => &event.output,
    };
    let content = content.as_ref().ok_or(Unreadable::NotKept)?;
    let id = content.key.as_deref().ok_or(Unreadable::NotKept)?;
    let sealed = payload.and_then(|payload| slice(content, payload)).ok_or(Unreadable::NotKept)?;
    let wrapped = journal.get(KIND, id)?.ok_or_else(|| Unreadable::Erased(id.to_owned()))?;
    let key = DataKey::unwrap(keyring, id, &wrapped).map_err(|_| Unreadable::Sealed)?;
    key.open(&place(&event.id, side), sealed).map_err(|_| Unreadable::Sealed)
}
