//! Names that stand for values, and can be opened again by those to whom they were given.
//!
//! A pseudonym is the value itself, sealed: nothing is kept, and nobody but the gateway can make or open one. The same value
//! has the same name for the same holder, so that a model can tell whether two are one; that takes a cipher that may seal
//! without a nonce (AES-256-GCM-SIV, RFC 8452), which then tells that two values are equal and nothing else but their
//! length. Whose it is goes into the seal: somebody else's opens for nobody.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_config::PseudonymScope;
use portcullis_guard::{Entity, Pseudonyms};
use portcullis_model::Principal;

use super::guard::derive;
use crate::call::Caller;

/// Longest value that is sealed: its name has to stay below what a name may have.
const LONGEST: usize = 360;

/// Seals and opens.
pub(super) struct Vault {
    key: LessSafeKey,
    scope: PseudonymScope,
}

impl Vault {
    pub(super) fn new(master: &[u8; 32], scope: PseudonymScope) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, &derive(master, b"pseudonyms"));
        Self { key: LessSafeKey::new(key.expect("32 bytes are an AES-256 key")), scope }
    }

    /// The names that `caller` is given.
    pub(super) fn of<'a>(&'a self, caller: &'a Caller) -> Sealed<'a> {
        Sealed { vault: self, caller }
    }
}

/// The names that somebody is given.
pub(super) struct Sealed<'a> {
    vault: &'a Vault,
    caller: &'a Caller,
}

impl Sealed<'_> {
    /// What a name is of, and whose it is.
    fn binding(&self, entity: Entity) -> Aad<Vec<u8>> {
        let holder = match (self.vault.scope, &self.caller.principal) {
            (PseudonymScope::Session, principal) => format!("s\0{principal}\0{}", self.caller.conversation),
            (PseudonymScope::Tenant, Principal::User(user)) => format!("t\0{}", user.issuer),
            (PseudonymScope::Principal | PseudonymScope::Tenant, principal) => format!("p\0{principal}"),
        };
        Aad::from(format!("{entity}\0{holder}").into_bytes())
    }
}

fn no_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

impl Pseudonyms for Sealed<'_> {
    fn seal(&mut self, entity: Entity, value: &str) -> Option<String> {
        if value.len() > LONGEST {
            return None;
        }
        let mut sealed = value.as_bytes().to_vec();
        self.vault.key.seal_in_place_append_tag(no_nonce(), self.binding(entity), &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    fn open(&mut self, entity: Entity, name: &str) -> Option<String> {
        let mut sealed = URL_SAFE_NO_PAD.decode(name).ok()?;
        let value = self.vault.key.open_in_place(no_nonce(), self.binding(entity), &mut sealed).ok()?;
        String::from_utf8(value.to_vec()).ok()
    }
}
