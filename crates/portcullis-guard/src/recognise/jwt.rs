//! Signed and sealed objects in their compact form: `header.payload.signature` (RFC 7515 § 7.1), or five parts (RFC 7516 § 7.1).
//!
//! The header is a JSON object in base64 that has a parameter of a header. `alg` is required, but what issues tokens of its own
//! leaves it out at times, and so do tests. What it leaves out: one whose header is no text, and detached payloads, which are
//! signatures and let nobody in.

use super::Subject;
use crate::Entity;
use crate::text::{class, decode};

/// Parameters of headers that are registered (RFC 7515 § 9.1 and what came after it), members of keys that stand in headers, and
/// claims that are repeated there.
const PARAMETERS: &str = "alg jku jwk kid x5u x5c x5t x5t#S256 typ cty crit enc zip epk apu apv iv tag p2s p2c iss sub aud b64 ppt \
    url nonce svt kty use key_ops x ver version";

/// Looks at a word that may begin a header; says where the token ends.
pub(crate) fn look(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let bytes = subject.bytes;
    if !bytes[start..].starts_with(b"eyJ") {
        return None;
    }
    let is_part = |byte: &&u8| class::is_word(**byte) || matches!(byte, b'-' | b'_');
    let mut at = start;
    let mut parts = [0; 5];
    let mut count = 0;
    while count < 5 {
        let length = bytes[at..].iter().take_while(is_part).count();
        parts[count] = length;
        count += 1;
        at += length;
        if class::at(bytes, at) != b'.' {
            break;
        }
        at += 1;
    }
    if !(count == 3 || count == 5) || parts[1] < 4 && count == 3 {
        return None;
    }
    let header = decode::run(bytes.get(start..start + parts[0])?)?;
    if !is_header(&header) {
        return None;
    }
    // A full stop after it is not part of it; one without a signature has it.
    subject.hit(Entity::Jwt, "", start, at, 0.97);
    Some(at)
}

/// Whether a member of an object is a parameter of a header.
fn is_header(header: &str) -> bool {
    let mut parts = header.split('"').skip(1);
    while let (Some(name), Some(next)) = (parts.next(), parts.next()) {
        let is_name = next.trim_start().starts_with(':');
        if is_name && PARAMETERS.split_ascii_whitespace().any(|known| known == name) {
            return true;
        }
    }
    false
}
