//! Checks of exposed names, among them values that must never change.

use proptest::prelude::*;

use super::*;

fn id(text: &str) -> ServerId {
    ServerId::parse(text).expect("a slug")
}

#[test]
fn prefixes_names_that_fit() {
    assert_eq!(expose(&id("files"), "read_file"), "files__read_file");
    assert_eq!(expose(&id("my-db"), "Query-2"), "my-db__Query-2");
    let longest = "x".repeat(64 - "files__".len());
    assert_eq!(expose(&id("files"), &longest), format!("files__{longest}"));
}

/// Clients keep these names in prompts and allow-lists: a changed value here breaks them.
#[test]
fn hashes_names_that_do_not_fit_the_same_way_forever() {
    for (name, expected) in [
        ("a.b", "files__a_b_y2w6rwr4"),
        ("ünïcode", "files___n_code_2ukfur6b"),
        ("", "files___dt46c2ji"),
        (
            "a-tool-with-a-name-that-is-far-too-long-for-the-model-apis-we-know",
            "files__a-tool-with-a-name-that-is-far-too-long-for-the-_k6qw6kse",
        ),
    ] {
        assert_eq!(expose(&id("files"), name), expected);
    }
}

#[test]
fn keeps_the_plain_form_for_one_of_names_that_differ_in_case() {
    let server = id("s");
    let exposed = expose_all(&server, ["run", "Run", "RUN", "walk"]);
    assert_eq!(exposed["RUN"], "s__RUN");
    assert_eq!(exposed["Run"], hashed_form("s", "Run"));
    assert_eq!(exposed["run"], hashed_form("s", "run"));
    assert_eq!(exposed["walk"], "s__walk");
}

#[test]
fn a_name_that_looks_hashed_keeps_its_place() {
    let server = id("s");
    let forged = hashed_form("s", "a.b").strip_prefix("s__").expect("prefixed").to_owned();
    let exposed = expose_all(&server, ["a.b", &forged]);
    assert_eq!(exposed[forged.as_str()], hashed_form("s", "a.b"));
    assert_ne!(exposed["a.b"], exposed[forged.as_str()]);
    assert_eq!(exposed["a.b"], hashed(&server, "a.b", 1));
}

fn hashed_form(server: &str, name: &str) -> String {
    hashed(&id(server), name, 0)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-cA-C_.]{0,4}", "[a-z.]{50,70}"]
}

proptest! {
    #[test]
    fn every_name_is_safe_for_model_apis(server in "[a-z0-9]{1,8}(-[a-z0-9]{1,5}){0,2}", name in name()) {
        let exposed = expose(&id(&server), &name);
        prop_assert!(exposed.len() <= MAX_LEN);
        let prefix = format!("{server}__");
        prop_assert!(exposed.starts_with(&prefix));
        prop_assert!(exposed.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    }

    #[test]
    fn no_two_names_are_alike_and_order_does_not_matter(
        servers in prop::collection::hash_map("[a-b]{1,2}", prop::collection::vec(name(), 0..40), 1..4),
    ) {
        let mut all = HashSet::new();
        for (server, names) in &servers {
            let server = id(server);
            let forward = expose_all(&server, names.iter().map(String::as_str));
            let backward = expose_all(&server, names.iter().rev().map(String::as_str));
            prop_assert_eq!(&forward, &backward);
            prop_assert_eq!(forward.len(), names.iter().collect::<HashSet<_>>().len());
            for exposed in forward.values() {
                prop_assert!(exposed.len() <= MAX_LEN);
                prop_assert!(all.insert(exposed.to_ascii_lowercase()), "{} is there twice", exposed);
            }
        }
    }
}
