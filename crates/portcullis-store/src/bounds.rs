//! What a record may be at the most, and what a page of them spans.

use portcullis_model::Unavailable;

/// Longest key, in bytes.
const KEY: usize = 512;
/// Largest value, in bytes.
const VALUE: usize = 1 << 20;

/// # Errors
/// The key or the value is larger than any that is kept.
pub(crate) fn check(kind: &str, key: &str, value: &[u8]) -> Result<(), Unavailable> {
    if key.len() > KEY {
        return Err(Unavailable(format!("a key of the kind {kind} has more than {KEY} bytes")));
    }
    if value.len() > VALUE {
        return Err(Unavailable(format!("a value of the kind {kind} has more than {VALUE} bytes")));
    }
    Ok(())
}

/// The first text after all that begin with `prefix`; `None` after the empty one, which all begin with. No byte of UTF-8 is
/// the last there is, so the next one is there.
pub(crate) fn end_of(prefix: &str) -> Option<Vec<u8>> {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_prefix_lies_before_its_end() {
        assert_eq!(end_of(""), None);
        for prefix in ["a", "a/", "é", "\u{10ffff}"] {
            let end = end_of(prefix).unwrap();
            assert!(prefix.as_bytes() < end.as_slice());
            assert!(format!("{prefix}\u{10ffff}").as_bytes() < end.as_slice());
        }
    }

    #[test]
    fn what_is_larger_than_any_is_refused() {
        assert!(check("k", &"a".repeat(KEY), &vec![0; VALUE]).is_ok());
        assert!(check("k", &"a".repeat(KEY + 1), &[]).is_err());
        assert!(check("k", "a", &vec![0; VALUE + 1]).is_err());
    }
}
