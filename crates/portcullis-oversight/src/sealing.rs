//! What is kept for somebody to decide about is sealed first: a store never sees it in the clear.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};

const NONCE: usize = 12;

/// Not the key of the accounts itself: one key, one use.
fn cipher(key: &[u8; 32], purpose: &str) -> Option<LessSafeKey> {
    let mut context = Context::new(&SHA256);
    context.update(purpose.as_bytes());
    context.update(&[0]);
    context.update(key);
    UnboundKey::new(&AES_256_GCM, context.finish().as_ref()).ok().map(LessSafeKey::new)
}

/// Seals for one purpose and one place.
pub(crate) fn seal(key: &[u8; 32], purpose: &str, id: &str, content: &[u8]) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE];
    aws_lc_rs::rand::fill(&mut nonce).ok()?;
    let mut bytes = content.to_vec();
    let aad = Aad::from(id.as_bytes());
    let cipher = cipher(key, purpose)?;
    cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes).ok()?;
    Some([&nonce[..], &bytes].concat())
}

/// Opens what was sealed for this purpose and this place.
pub(crate) fn open(key: &[u8; 32], purpose: &str, id: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut rest = rest.to_vec();
    let opened = cipher(key, purpose)?.open_in_place(nonce, Aad::from(id.as_bytes()), &mut rest).ok()?;
    Some(opened.to_vec())
}
