//! The grammar of slugs.

use super::*;

#[test]
fn accepts_slugs_and_refuses_the_rest() {
    for good in ["a", "files", "my-files", "a1-b2-c3", "12345678901234567890"] {
        assert_eq!(ServerId::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
    }
    for bad in ["", "-", "a-", "-a", "a--b", "A", "a_b", "a.b", "é", "a b", "123456789012345678901", "a/b"] {
        assert_eq!(ServerId::parse(bad), Err(InvalidServerId { given: bad.to_owned() }), "{bad:?}");
    }
}
