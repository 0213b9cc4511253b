//! URIs that can be read as another, which are nobody's where policies decide.
//!
//! Policies compare URIs as they are written. A server may resolve `..`, decode what need not be encoded, or take the scheme
//! in any case, and then serve what a policy was not asked about. What a good client writes is plain (RFC 3986 section 6.2.2),
//! so nothing is lost.

/// How often it may be encoded, one time over another, until nobody would decode it any more.
const LAYERS: usize = 4;

/// Whether it says what it means: no segment of dots, however they are encoded, nothing encoded that need not be, and a scheme
/// in lower case.
pub fn is_plain(uri: &str) -> bool {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) || uri.chars().any(char::is_control) {
        return false;
    }
    let mut text = uri.as_bytes().to_vec();
    for _ in 0..LAYERS {
        let segments = text.split(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#'));
        if segments.into_iter().any(|segment| segment == b"." || segment == b"..") {
            return false;
        }
        match decoded(&text) {
            Ok(Some(next)) => text = next,
            Ok(None) => return true,
            Err(Needless) => return false,
        }
    }
    false
}

/// Something is encoded that stands for itself.
struct Needless;

/// With one layer of escapes taken away; `None` where there is none.
fn decoded(text: &[u8]) -> Result<Option<Vec<u8>>, Needless> {
    let (mut out, mut at, mut any) = (Vec::with_capacity(text.len()), 0, false);
    while let Some(byte) = text.get(at) {
        let escape = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let value = escape.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match value {
            Some(value) if value.is_ascii_alphanumeric() || b"-._~".contains(&value) => return Err(Needless),
            Some(value) => {
                out.push(value);
                (at, any) = (at + 3, true);
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    Ok(any.then_some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_as_another_is_not_plain() {
        for uri in [
            "file:///data/a.txt",
            "file:///data/a%20b",
            "file:///data/..a/b..",
            "file:///data/.hidden",
            "db://a",
            "repo://owner%2Fname",
            "https://h/a?b=c..d",
            "ui://x/%E4%BD%A0",
            "x:100%",
            "notes",
            "file:///{path}",
            "",
        ] {
            assert!(is_plain(uri), "{uri}");
        }
        for uri in [
            "file:///data/../etc/passwd",
            "file:///data/..",
            "file:///data/./x",
            "file:///data/%2e%2e/etc",
            "file:///data/%2E./etc",
            "file:///data/.%2e/etc",
            "file:///data/..%2fetc",
            "file:///data/..%5cetc",
            "file:///data/..\\etc",
            "file:///data/%252e%252e/etc",
            "file:///data/..%252fetc",
            "file:///data/..%25252fetc",
            "file:///data/x%2f..%2f..%2fetc",
            "file:///d%61ta/x",
            "file:///data?/../../etc",
            "FILE:///data/x",
            "File:///data/x",
            "file:///data/x\0",
            "file:///data/\n",
        ] {
            assert!(!is_plain(uri), "{uri}");
        }
    }
}
