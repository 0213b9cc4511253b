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
        prop_assert_eq!(sealer.open(Purpose::Cursor, &somebody_else(), &handle), Err(Unsealable::Foreign));
        prop_assert_eq!(Sealer::new().open(Purpose::Cursor, &Principal::Anonymous, &handle), Err(Unsealable::Foreign));
    }

    #[test]
    fn refuses_any_change(content in prop::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>()) {
        let sealer = Sealer::new();
        let handle = sealer.seal(Purpose::Cursor, &Principal::Anonymous, &content);
        let mut bytes = handle.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(sealer.open(Purpose::Cursor, &Principal::Anonymous, &changed), Err(Unsealable::Foreign));
        for other in [format!("{handle}A"), handle[..handle.len() - 1].to_owned(), String::new()] {
            prop_assert_eq!(sealer.open(Purpose::Cursor, &Principal::Anonymous, &other), Err(Unsealable::Foreign));
        }
    }
}

#[test]
fn a_handle_is_for_one_purpose() {
    let sealer = Sealer::new();
    let handle = sealer.seal_for(ROTATION, Purpose::RequestState, &Principal::Anonymous, b"x");
    assert_eq!(sealer.open(Purpose::Cursor, &Principal::Anonymous, &handle), Err(Unsealable::Foreign));
    let cursor = sealer.seal(Purpose::Cursor, &Principal::Anonymous, b"12345678");
    let opened = sealer.open_in_time(Purpose::RequestState, &Principal::Anonymous, &cursor);
    assert_eq!(opened, Err(Unsealable::Foreign));
}

#[test]
fn a_rotation_takes_nothing_away_and_the_next_one_does() {
    let sealer = Sealer::new();
    let open = |handle: &str| sealer.open_in_time(Purpose::RequestState, &Principal::Anonymous, handle);
    let seal = || sealer.seal_for(ROTATION, Purpose::RequestState, &Principal::Anonymous, b"state");
    let first = seal();
    sealer.rotate();
    let second = seal();
    assert_eq!((open(&first), open(&second)), (Ok(b"state".to_vec()), Ok(b"state".to_vec())));
    sealer.rotate();
    assert_eq!((open(&first), open(&second)), (Err(Unsealable::Foreign), Ok(b"state".to_vec())));
    // The ids of keys come round; the keys do not.
    for _ in 0..256 {
        sealer.rotate();
    }
    assert_eq!(open(&second), Err(Unsealable::Foreign));
    sealer.rotate_in_time();
    assert_eq!(open(&seal()), Ok(b"state".to_vec()), "a young key is not replaced");
}

#[test]
fn what_has_an_end_does_not_open_after_it() {
    let sealer = Sealer::new();
    let over = sealer.seal_for(Duration::ZERO, Purpose::RequestState, &Principal::Anonymous, b"x");
    std::thread::sleep(Duration::from_millis(5));
    let opened = sealer.open_in_time(Purpose::RequestState, &Principal::Anonymous, &over);
    assert_eq!(opened, Err(Unsealable::Expired));
    let other = sealer.open_in_time(Purpose::RequestState, &somebody_else(), &over);
    assert_eq!(other, Err(Unsealable::Foreign), "who may not know it is not told that it has expired");
}
