//! Addresses of machines: IPv4, IPv6 and hardware addresses.
//!
//! Four numbers may also be a version: what stands before says so. Loopback, unspecified and broadcast addresses say
//! nothing about anybody and are no findings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Subject;
use crate::Entity;
use crate::context::Topics;
use crate::text::class;

/// The IPv4 address that begins at `start`, where a word of digits begins.
pub(crate) fn ipv4(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let length =
        bytes[start..].iter().take(16).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let word = subject.text.get(start..start + length)?;
    let word = word.strip_suffix('.').unwrap_or(word);
    if word.len() < 7 {
        return None;
    }
    let address: Ipv4Addr = word.parse().ok()?;
    let end = start + word.len();
    let before = class::before(bytes, start);
    if class::is_word(class::at(bytes, end)) || before == b'.' || matches!(before, b'v' | b'V') {
        return None;
    }
    let context = subject.nearest(start);
    let is_version = context.has(Topics::VERSION) || address.octets()[0] == 0;
    if !is_version && tells(IpAddr::V4(address)) {
        subject.hit(Entity::IpAddress, "IPv4", start, end, 0.85);
    }
    Some(end)
}

fn tells(address: IpAddr) -> bool {
    !(address.is_loopback() || address.is_unspecified() || address == IpAddr::V4(Ipv4Addr::BROADCAST))
}

/// The IPv6 or hardware address around the colon at `colon`.
pub(crate) fn colons(subject: &mut Subject<'_>, colon: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    // A first group has at most four digits.
    let back = bytes[..colon].iter().rev().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let start = colon - back;
    let before = class::before(bytes, start);
    if back > 4 || class::is_word(before) || before == b':' {
        return None;
    }
    let length = bytes[start..].iter().take(46).take_while(|byte| is_part(**byte)).count();
    let mut word = subject.text.get(start..start + length)?;
    word = word.trim_end_matches('.');
    if word.ends_with(':') && !word.ends_with("::") {
        word = &word[..word.len() - 1];
    }
    let end = start + word.len();
    if class::is_word(class::at(bytes, end)) {
        return None;
    }
    if is_hardware(word.as_bytes()) {
        subject.hit(Entity::IpAddress, "MAC", start, end, 0.85);
        return Some(end);
    }
    // A time of day has two colons, and `a::b` is a path in several languages.
    let colons = memchr::memchr_iter(b':', word.as_bytes()).count();
    let may_be = word.len() >= 7
        && (colons >= 6 || word.contains("::"))
        && word.bytes().any(|byte| byte.is_ascii_digit());
    let address: Ipv6Addr = may_be.then(|| word.parse().ok()).flatten()?;
    if !tells(IpAddr::V6(address)) {
        return None;
    }
    subject.hit(Entity::IpAddress, "IPv6", start, end, 0.9);
    Some(end)
}

/// Six pairs of hexadecimal digits with one separator.
fn is_hardware(word: &[u8]) -> bool {
    word.len() == 17
        && word.chunks(3).all(|part| {
            part[..2].iter().all(u8::is_ascii_hexdigit) && part.get(2).is_none_or(|mark| *mark == word[2])
        })
        && matches!(word[2], b':' | b'-')
        && word != b"00:00:00:00:00:00"
        && !word.eq_ignore_ascii_case(b"ff:ff:ff:ff:ff:ff")
}

/// The hardware address written with hyphens that begins at `start`.
pub(crate) fn hyphens(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let word = subject.bytes.get(start..start + 17)?;
    let end = start + 17;
    let next = class::at(subject.bytes, end);
    if word[2] != b'-'
        || !is_hardware(word)
        || class::is_word(next)
        || next == b'-'
        || class::before(subject.bytes, start) == b'-'
    {
        return None;
    }
    subject.hit(Entity::IpAddress, "MAC", start, end, 0.8);
    Some(end)
}
