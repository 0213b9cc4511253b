//! Whose a process is, told from its environment.

use super::{Instance, Mark};

fn instance() -> Instance {
    Instance::parse("17-00000000000000ab").expect("a whole instance")
}

fn files() -> portcullis_model::ServerId {
    "files".parse().expect("a slug")
}

#[test]
fn finds_every_child_of_the_instance_and_no_others() {
    let mark = Mark::from(&instance());
    assert!(mark.is_on(b"A=1\0PORTCULLIS_CHILD=17-00000000000000ab.files.3\0B=2\0"));
    assert!(!mark.is_on(b"PORTCULLIS_CHILD=18-00000000000000ab.files.3\0"));
    assert!(!mark.is_on(b"X=PORTCULLIS_CHILD=17-00000000000000ab.files.3\0"));
    assert!(!mark.is_on(b""));
}

#[test]
fn tells_the_first_child_from_the_tenth() {
    let mark = Mark::from(&instance().child(&files(), 1));
    assert!(mark.is_on(b"PORTCULLIS_CHILD=17-00000000000000ab.files.1\0"));
    assert!(!mark.is_on(b"PORTCULLIS_CHILD=17-00000000000000ab.files.10\0"));
}

#[test]
fn instances_are_unique_and_read_back() {
    let (one, other) = (Instance::unique(), Instance::unique());
    assert_ne!(one, other);
    assert_eq!(Instance::parse(&one.to_string()), Some(one));
}

#[test]
fn refuses_what_would_match_other_gateways() {
    for text in
        ["", "17", "17-", "-00000000000000ab", "17-00", "17-00000000000000ab.files", "1x-00000000000000ab"]
    {
        assert_eq!(Instance::parse(text), None, "{text}");
    }
}
