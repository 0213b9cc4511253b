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

/// How many headers are looked for in one run of characters. What has so many beginnings is made to be looked at in vain, and
/// counts as a token if its parts are those of one.
const HEADERS: usize = 16;

/// A run of characters that a header may be of: what follows it is the same for each word that may begin the header.
#[derive(Clone, Copy, Default)]
pub(crate) struct Run {
    end: usize,
    /// Where the token ends whose header ends with the run; there may be none.
    token: Option<usize>,
    looks: usize,
}

impl Run {
    fn at(bytes: &[u8], start: usize) -> Self {
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
        let is_token = count == 5 || count == 3 && parts[1] >= 4;
        Self { end: start + parts[0], token: is_token.then_some(at), looks: 0 }
    }
}

/// Looks at a word that may begin a header; says where the token ends.
pub(crate) fn look(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let bytes = subject.bytes;
    if !bytes[start..].starts_with(b"eyJ") {
        return None;
    }
    if start >= subject.header.end {
        subject.header = Run::at(bytes, start);
    }
    let end = subject.header.token?;
    subject.header.looks += 1;
    let is_one = |header: String| is_header(&header);
    if subject.header.looks <= HEADERS && !decode::run(&bytes[start..subject.header.end]).is_some_and(is_one)
    {
        return None;
    }
    // A full stop after it is not part of it; one without a signature has it.
    subject.hit(Entity::Jwt, "", start, end, 0.97);
    Some(end)
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
