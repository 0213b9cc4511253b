//! The echo contract: fixed length, and different whenever the arguments differ.

use super::{Arguments, TEXT_BYTES};

fn answer(arguments: &Arguments) -> String {
    let mut text = String::from("left over");
    arguments.answer_into(&mut text);
    text
}

#[test]
fn answer_is_one_kilobyte_for_any_serial() {
    for serial in [0, 1, 99, 1 << 52, u64::MAX] {
        assert_eq!(answer(&Arguments::numbered(serial)).len(), TEXT_BYTES, "serial {serial}");
    }
}

#[test]
fn answer_changes_with_either_argument() {
    let base = Arguments::numbered(7);
    let other_note = Arguments { serial: 7, note: "x".into(), bytes: TEXT_BYTES };
    assert_ne!(answer(&base), answer(&Arguments::numbered(8)));
    assert_ne!(answer(&base), answer(&other_note));
}

#[test]
fn renumbering_equals_a_fresh_start() {
    let mut arguments = Arguments::numbered(1);
    arguments.renumber(2);
    assert_eq!(arguments, Arguments::numbered(2));
}
