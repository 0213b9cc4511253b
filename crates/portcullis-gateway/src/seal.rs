//! Sealed handles: what the gateway gives a client to bring back.
//!
//! A handle is AES-256-GCM over its content, with the purpose and the principal as associated data, in base64url.
//! The client can neither read nor change it, nobody else can use it, and a cursor is no session id. Handles are
//! never credentials: whoever presents one has been authenticated before it is opened.
//!
//! The key is made at start and lives in this process: handles die with it. (Replicas will share keys through the
//! store; the format has room for a key id.)

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_model::Principal;

/// What a handle is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// A page of a list.
    Cursor,
}

/// A handle that was not made here, for this caller, for this purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a handle of this gateway, for this caller and purpose")]
pub(crate) struct Unsealable;

/// Seals and opens handles.
pub(crate) struct Sealer {
    key: RandomizedNonceKey,
}

/// The first byte of a handle: format and key id.
const FORMAT: u8 = 1;

impl Sealer {
    /// With a fresh key.
    pub(crate) fn new() -> Self {
        let mut key = [0u8; 32];
        rand::fill(&mut key).expect("the operating system has randomness");
        Self { key: RandomizedNonceKey::new(&AES_256_GCM, &key).expect("32 bytes are an AES-256 key") }
    }

    /// Makes a handle.
    pub(crate) fn seal(&self, purpose: Purpose, principal: &Principal, content: &[u8]) -> String {
        let mut sealed = content.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(binding(purpose, principal)), &mut sealed)
            .expect("a handle is far below AES-GCM's length limit");
        let mut out = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        out.push(FORMAT);
        out.extend_from_slice(nonce.as_ref());
        out.append(&mut sealed);
        URL_SAFE_NO_PAD.encode(out)
    }

    /// Opens a handle.
    ///
    /// # Errors
    /// [`Unsealable`], without saying why: the difference would only help a forger.
    pub(crate) fn open(
        &self,
        purpose: Purpose,
        principal: &Principal,
        handle: &str,
    ) -> Result<Vec<u8>, Unsealable> {
        let bytes = URL_SAFE_NO_PAD.decode(handle).map_err(|_| Unsealable)?;
        let (&FORMAT, rest) = bytes.split_first().ok_or(Unsealable)? else { return Err(Unsealable) };
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(binding(purpose, principal));
        let content = self.key.open_in_place(nonce, aad, &mut sealed).map_err(|_| Unsealable)?;
        Ok(content.to_vec())
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
    };
    format!("{purpose}\0{principal}").into_bytes()
}

/// 128 random bits in base64url: a session id's entropy (2025-11-25, session security).
pub(crate) fn random_id() -> String {
    let mut id = [0u8; 16];
    rand::fill(&mut id).expect("the operating system has randomness");
    URL_SAFE_NO_PAD.encode(id)
}

/// A random number from 0 to 1, for jitter.
pub(crate) fn random_unit() -> f64 {
    let mut bytes = [0u8; 4];
    rand::fill(&mut bytes).expect("the operating system has randomness");
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
