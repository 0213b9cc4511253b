//! Electronic mail addresses (RFC 5321 as it is used), and passwords in URLs, which have the same sign.
//!
//! What it leaves out: quoted local parts and addresses at literals, which nobody has.

use super::Subject;
use crate::Entity;
use crate::text::class;

/// Longest local part, user and password that are looked at.
const LOCAL: usize = 64;
const DOMAIN: usize = 253;
const CREDENTIALS: usize = 200;

/// Looks at the `@` at `at`; says where to go on.
pub(crate) fn look(subject: &mut Subject<'_>, at: usize) -> Option<usize> {
    let bytes = subject.bytes;
    if let Some((start, end)) = password(bytes, at) {
        let value = &subject.text[start..end];
        if !super::secret::is_placeholder(value) {
            subject.hit(Entity::UrlPassword, "", start, end, 0.95);
        }
        return Some(at + 1);
    }
    let is_local = |byte: u8| class::is_word(byte) || byte >= 0x80 || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let local = bytes[..at].iter().rev().take(LOCAL).take_while(|byte| is_local(**byte)).count();
    let mut start = crate::context::ceil(subject.text, at - local);
    // Signs that more often stand before an address than at its beginning.
    while start < at && !(class::is_word(bytes[start]) || bytes[start] >= 0x80 || bytes[start] == b'_') {
        start += 1;
    }
    // `email=john@…` and `a/b@…`: a local part begins after these.
    if let Some(cut) =
        bytes[start..at].iter().rposition(|byte| matches!(byte, b'=' | b'/' | b'|' | b'?' | b'&' | b'`'))
    {
        start += cut + 1;
    }
    let end = domain(subject.text, at + 1)?;
    if start >= at || bytes[at - 1] == b'.' || bytes[start..at].windows(2).any(|pair| pair == b"..") {
        return None;
    }
    subject.hit(Entity::Email, "", start, end, 0.95);
    Some(end)
}

/// The end of the domain that begins at `start`; it has a top level of letters.
fn domain(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut end = start;
    let (mut label, mut labels) = (start, 0);
    let mut last = (start, start);
    while end < bytes.len() && end - start < DOMAIN {
        let byte = bytes[end];
        if byte == b'.' && end > label && class::at(bytes, end - 1) != b'-' {
            last = (label, end);
            labels += 1;
            label = end + 1;
        } else if !(class::is_word(byte) || byte >= 0x80 || (byte == b'-' && end > label)) {
            break;
        }
        end += 1;
    }
    let end = crate::context::floor(text, end);
    if end > label {
        last = (label, end);
        labels += 1;
    }
    let mut top = &bytes[last.0..last.1];
    // No top level has a hyphen: what follows one is a remark - as here.
    if let Some(hyphen) = memchr::memchr(b'-', top).filter(|_| !top.starts_with(b"xn--")) {
        top = &top[..hyphen];
        last.1 = last.0 + hyphen;
    }
    let is_top = top.len() >= 2
        && (top.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80) || top.starts_with(b"xn--"));
    let is_file =
        matches!(top, b"png" | b"jpg" | b"jpeg" | b"gif" | b"svg" | b"webp" | b"js" | b"css" | b"json");
    (labels >= 2 && is_top && !is_file).then_some(last.1)
}

/// The password in `scheme://user:password@host`, when the `@` is at `at`.
fn password(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let from = at.saturating_sub(CREDENTIALS);
    let head = &bytes[from..at];
    let slashes = memchr::memmem::rfind(head, b"://")?;
    let authority = &head[slashes + 3..];
    if authority.iter().any(|byte| {
        matches!(byte, b'/' | b' ' | b'"' | b'\'' | b'<' | b'>' | b'\n' | b'\t' | b'`' | b'?' | b'#')
    }) {
        return None;
    }
    let colon = authority.iter().position(|byte| *byte == b':')?;
    let start = from + slashes + 3 + colon + 1;
    let host = class::at(bytes, at + 1);
    (start < at && (class::is_word(host) || matches!(host, b'[' | b'$' | b'{'))).then_some((start, at))
}
