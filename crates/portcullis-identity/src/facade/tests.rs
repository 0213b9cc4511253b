//! The facade against a provider and clients that a test writes: logins from end to end, and what must not work.

mod attacks;
mod brought;
mod documents;
mod grants;
mod login;
mod logout;
mod profiles;
mod proofs;
mod scene;

use base64::Engine as _;

/// Credentials as `Basic` has them.
fn scene_basic(id: &str, secret: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{id}:{}", secret.replace(' ', "+")))
}
