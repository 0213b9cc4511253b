//! Handles open for nobody else and survive no change.

use proptest::prelude::*;

use super::*;

fn somebody_else() -> Principal {
    Principal::Certificate { fingerprint: "00".into() }
}

proptest! {
    #[test]
    fn opens_for_its_principal_and_nobody_else(content in prop::collection::vec(any::<u8>(), 0..200)) {
        let sealer = Sealer::new();
        let handle = sealer.seal(Purpose::Cursor, &Principal::Anonymous, &content);
        prop_assert_eq!(sealer.open(Purpose::Cursor, &Principal::Anonymous, &handle), Ok(content));
        prop_assert_eq!(sealer.open(Purpose::Cursor, &somebody_else(), &handle), Err(Unsealable));
        prop_assert_eq!(Sealer::new().open(Purpose::Cursor, &Principal::Anonymous, &handle), Err(Unsealable));
    }

    #[test]
    fn refuses_any_change(content in prop::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>()) {
        let sealer = Sealer::new();
        let handle = sealer.seal(Purpose::Cursor, &Principal::Anonymous, &content);
        let mut bytes = handle.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(sealer.open(Purpose::Cursor, &Principal::Anonymous, &changed), Err(Unsealable));
        for other in [format!("{handle}A"), handle[..handle.len() - 1].to_owned(), String::new()] {
            prop_assert_eq!(sealer.open(Purpose::Cursor, &Principal::Anonymous, &other), Err(Unsealable));
        }
    }
}
