//! Identifiers that `tests/guard/identifiers.py` cannot compare, by the examples that their issuers publish.

use portcullis_guard::Entity::{self, NationalId, Passport};

use crate::{engine, found};

#[track_caller]
fn finds(text: &str, entity: Entity, value: &str) {
    assert_eq!(found(&engine(), text), [(entity, value.to_owned())], "in {text:?}");
}

#[track_caller]
fn finds_nothing(text: &str) {
    assert_eq!(found(&engine(), text), [], "in {text:?}");
}

#[test]
fn takes_what_issuers_show() {
    finds("TAJ: 037 687 210", NationalId, "037 687 210");
    finds("adóazonosító 8071592153", NationalId, "8071592153");
    finds("matricule 1893120105732", NationalId, "1893120105732");
    finds("karta tal-identità 0123456M", NationalId, "0123456M");
    finds("National Insurance AB 12 34 56 C", NationalId, "AB 12 34 56 C");
    finds("Personalausweis T220001293", NationalId, "T220001293");
    finds("Versicherungsnummer 15070649C103", NationalId, "15070649C103");
    finds("Rentenversicherungsnummer 15 070649 C 103.", NationalId, "15 070649 C 103");
}

#[test]
fn refuses_a_wrong_digit() {
    finds_nothing("TAJ: 037 687 211");
    finds_nothing("adóazonosító 8071592154");
    finds_nothing("matricule 1893120105733");
    finds_nothing("Versicherungsnummer 15070649C104");
    finds_nothing("Rentenversicherungsnummer 15 070649 C 104.");
    finds_nothing("part 15070649C103");
}

/// The specimens of ICAO 9303, parts 4, 6 and 5.
#[test]
fn takes_what_machines_read_in_travel_documents() {
    let book = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10";
    let card = "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nD231458907UTO7408122F1204159<<<<<<<6";
    let small =
        "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<";
    for document in [book, card, small] {
        finds(&format!("scan:\n{document}\nend"), Passport, document);
    }
    let (_, second) = book.split_once('\n').expect("two lines");
    finds(second, Passport, second);
    finds_nothing(&book.replace("7408122", "7408123"));
    finds_nothing(&small.replace("D231458907", "D231458908"));
}

#[test]
fn a_number_with_a_date_of_the_wrong_century_is_none() {
    finds("CPR 211062-5629", NationalId, "211062-5629");
    // The seventh digit says the century: 1900 had no 29 February, 2000 had one.
    finds("CPR 290200-4123", NationalId, "290200-4123");
    finds_nothing("CPR 290200-0123");
}

#[test]
fn a_number_that_is_named_is_no_card_of_the_same_digits() {
    // Both pass the check of a card with a prefix that an issuer has.
    finds("CNP 6390911389855", NationalId, "6390911389855");
    finds_nothing("CNP 2050627738031"); // no county 73
}
