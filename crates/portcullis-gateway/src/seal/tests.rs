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
}

#[test]
fn a_key_is_replaced_when_it_has_served_its_time_and_no_sooner() {
    let sealer = Sealer::new();
    let key = || sealer.keys.load().current.id;
    let open = |handle: &str| sealer.open(Purpose::Session, &Principal::Anonymous, handle);
    let handle = sealer.seal(Purpose::Session, &Principal::Anonymous, b"it");
    let first = key();
    sealer.rotate_in_time();
    assert_eq!(key(), first, "a young key is not replaced");
    sealer.rotate_every(Duration::from_millis(20));
    std::thread::sleep(Duration::from_millis(21));
    sealer.rotate_in_time();
    let second = key();
    assert_ne!(second, first);
    assert_eq!(open(&handle), Ok(b"it".to_vec()), "it opens for as long again");
    sealer.rotate_every(ROTATION);
    sealer.rotate_in_time();
    assert_eq!(key(), second, "the new one is young");
    sealer.rotate_every(Duration::ZERO);
    sealer.rotate_in_time();
    assert_eq!(open(&handle), Err(Unsealable::Foreign));
}

#[test]
fn no_handle_but_the_id_of_a_task_outlives_its_key() {
    let sealer = Sealer::new();
    sealer.rotate_every(Duration::ZERO);
    let handle = |purpose| sealer.seal_for(LONGEST_TASK, purpose, &Principal::Anonymous, b"it");
    let (state, task) = (handle(Purpose::RequestState), handle(Purpose::Task));
    std::thread::sleep(Duration::from_millis(5));
    let open = |purpose, handle: &str| sealer.open_in_time(purpose, &Principal::Anonymous, handle);
    assert_eq!(open(Purpose::RequestState, &state), Err(Unsealable::Expired));
    for _ in 0..3 {
        sealer.rotate_in_time();
    }
    assert_eq!(open(Purpose::RequestState, &state), Err(Unsealable::Foreign));
    assert_eq!(open(Purpose::Task, &task), Ok(b"it".to_vec()));
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

#[test]
fn the_id_of_a_task_opens_for_as_long_as_it_was_promised_and_keeps_no_other_handle_alive() {
    let sealer = Sealer::new();
    let task = |lifetime| sealer.seal_for(lifetime, Purpose::Task, &Principal::Anonymous, b"task");
    let open = |id: &str| sealer.open_in_time(Purpose::Task, &Principal::Anonymous, id);
    let (long, short) = (task(LONGEST_TASK), task(ROTATION));
    let cursor = sealer.seal(Purpose::Cursor, &Principal::Anonymous, b"cursor");
    for _ in 0..30 {
        sealer.rotate();
        task(LONGEST_TASK);
    }
    assert_eq!((open(&long), open(&short)), (Ok(b"task".to_vec()), Ok(b"task".to_vec())));
    assert_eq!(sealer.open(Purpose::Cursor, &Principal::Anonymous, &cursor), Err(Unsealable::Foreign));
    for _ in 0..300 {
        sealer.rotate();
        task(LONGEST_TASK);
    }
    assert_eq!(open(&long), Err(Unsealable::Foreign), "so many keys are kept");
    assert_eq!(sealer.keys.load().previous.len(), MOST_KEYS);
}

#[test]
fn a_key_that_no_task_needs_is_not_kept() {
    let sealer = Sealer::new();
    for _ in 0..5 {
        sealer.seal_for(ROTATION, Purpose::Task, &Principal::Anonymous, b"task");
        sealer.seal_for(LONGEST_TASK, Purpose::RequestState, &Principal::Anonymous, b"state");
        sealer.rotate();
    }
    assert_eq!(sealer.keys.load().previous.len(), 1);
}
