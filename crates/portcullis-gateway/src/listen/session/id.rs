//! Ids of sessions: sealed to the principal and the endpoint that opened them.
//!
//! A session in use is found by its whole id, as it was handed out: nothing is opened for that, and rotations of keys do not
//! matter. What finds nothing is opened, and only that of the caller's own session at this endpoint says so: it has ended.

use std::sync::Arc;

use portcullis_model::Principal;

use crate::call::Endpoint;
use crate::seal::{Purpose, Sealer, random_bytes};

/// A new id, in base64url. It has 128 random bits (2025-11-25, session security), which are the session's alone.
pub(crate) fn new_id(sealer: &Sealer, principal: &Principal, endpoint: &Endpoint) -> Arc<str> {
    let mut content = random_bytes().to_vec();
    content.extend_from_slice(endpoint.place().as_bytes());
    sealer.seal(Purpose::Session, principal, &content).into()
}

/// Whether an id that finds no session was one of the caller's at this endpoint. One that was changed, or is somebody else's
/// or of another endpoint, was not.
pub(crate) fn has_ended(sealer: &Sealer, principal: &Principal, endpoint: &Endpoint, id: &str) -> bool {
    let content = sealer.open(Purpose::Session, principal, id);
    content.is_ok_and(|content| content.get(16..) == Some(endpoint.place().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_to_its_principal_at_its_endpoint_alone() {
        let (sealer, here) = (Sealer::new(), Endpoint::Aggregate);
        let there = Endpoint::Server("x".parse().unwrap());
        let (ann, bob) = (Principal::Anonymous, Principal::Certificate { fingerprint: "00".into() });
        let id = new_id(&sealer, &ann, &here);
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()), "visible ASCII");
        assert_ne!(new_id(&sealer, &ann, &here), id);
        assert!(has_ended(&sealer, &ann, &here, &id));
        assert!(!has_ended(&sealer, &bob, &here, &id));
        assert!(!has_ended(&sealer, &ann, &there, &id));
        for at in 0..id.len() {
            let mut changed = id.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(!has_ended(&sealer, &ann, &here, std::str::from_utf8(&changed).unwrap()), "{at}");
        }
        let cursor = sealer.seal(Purpose::Cursor, &ann, &[0; 16]);
        assert!(!has_ended(&sealer, &ann, &here, &cursor), "nor what was given for something else");
        sealer.rotate();
        assert!(has_ended(&sealer, &ann, &here, &id));
        sealer.rotate();
        assert!(!has_ended(&sealer, &ann, &here, &id), "nobody knows by now");
    }
}
