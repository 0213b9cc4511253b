//! Conversations are told apart, and there are only so many.

use super::*;

const MANY: usize = 1000;

const SETS: [ClientCaps; 3] = [ClientCaps::ROOTS, ClientCaps::SAMPLING, ClientCaps::ELICIT_FORM];

fn wanted(owner: Option<&str>, caps: ClientCaps) -> Wanted {
    Wanted { owner: owner.map(Into::into), place: 0, caps, lane: 0 }
}

fn set(number: usize) -> ClientCaps {
    let all = [
        ClientCaps::ROOTS,
        ClientCaps::SAMPLING,
        ClientCaps::ELICIT_FORM,
        ClientCaps::ELICIT_URL,
        ClientCaps::UI,
    ];
    let bits = all.iter().enumerate().filter(|(bit, _)| (number + 1) >> bit & 1 == 1);
    bits.fold(ClientCaps::NONE, |set, (_, caps)| set | *caps)
}

#[test]
fn every_set_and_owner_has_its_own_and_everybody_shares_the_plain_one() {
    let slots = Slots::new(MANY);
    let find = |owner, caps| slots.find(&wanted(owner, caps)).unwrap().slot;
    let plain = find(None, ClientCaps::NONE);
    assert!(Arc::ptr_eq(&plain, &find(None, ClientCaps::NONE)));
    let mut seen = vec![plain];
    for caps in SETS {
        for owner in [None, Some("a"), Some("b")] {
            let slot = find(owner, caps);
            assert!(seen.iter().all(|other| !Arc::ptr_eq(other, &slot)));
            assert!(Arc::ptr_eq(&slot, &find(owner, caps)));
            seen.push(slot);
        }
    }
    assert_eq!(slots.end("a").len(), 3);
    assert!(!slots.has(&seen[2]) && slots.has(&seen[1]));
}

#[tokio::test]
async fn made_up_sets_do_not_add_up() {
    let slots = Slots::new(MANY);
    let mut evicted = 0;
    for number in 0..31 {
        evicted += usize::from(slots.find(&wanted(None, set(number))).unwrap().evicted.is_some());
        // Another owner's do not count.
        assert!(slots.find(&wanted(Some("a"), ClientCaps::ROOTS)).unwrap().evicted.is_none());
    }
    assert_eq!(evicted, 31 - MOST_DECLARED);
    // What is being opened is in use: nobody takes its place.
    let slots = Slots::new(MANY);
    let found: Vec<_> =
        (0..MOST_DECLARED).map(|number| slots.find(&wanted(None, set(number))).unwrap().slot).collect();
    let _opening: Vec<_> = found.iter().map(|slot| slot.opening.try_lock().unwrap()).collect();
    assert_eq!(slots.find(&wanted(None, set(30))).err(), Some(Full::Owner));
}

#[tokio::test]
async fn many_clients_have_so_many_in_all() {
    let slots = Slots::new(3);
    let find = |owner: &str| slots.find(&wanted(Some(owner), ClientCaps::NONE));
    let first = find("a").unwrap().slot;
    let opening = first.opening.try_lock().unwrap();
    for owner in ["b", "c"] {
        assert!(find(owner).unwrap().evicted.is_none());
    }
    // One that nobody has opened makes room, one that is being opened does not.
    assert!(find("d").unwrap().evicted.is_some());
    assert!(Arc::ptr_eq(&first, &find("a").unwrap().slot));
    let all: Vec<_> = slots.lock().values().cloned().collect();
    let _others: Vec<_> = all.iter().filter_map(|slot| slot.opening.try_lock().ok()).collect();
    assert_eq!(find("e").err(), Some(Full::All));
    assert!(slots.find(&wanted(None, ClientCaps::NONE)).is_ok(), "everybody's is always there");
    drop(opening);
    assert!(Arc::ptr_eq(&first, &find("e").unwrap().evicted.unwrap()));
}
