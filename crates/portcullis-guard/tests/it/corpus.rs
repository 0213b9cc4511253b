//! The inputs that fuzzing kept, through the same body.

use std::path::Path;

use portcullis_guard::{Action, Engine, Outcome, Settings};

use crate::plan;

#[path = "../../../../fuzz/src/guard.rs"]
#[allow(unreachable_pub, reason = "it is public where it is fuzzed")]
mod body;

#[test]
fn what_fuzzing_found_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/guard");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the corpus is there") {
        let data = std::fs::read(file.expect("it can be listed").path()).expect("it can be read");
        body::guard(&data);
        count += 1;
    }
    assert!(count >= 5, "only {count} inputs");
}

/// One that was found by hand: a finding in a key, a number and a string at once.
#[test]
fn a_document_full_of_findings_stays_json() {
    let engine = Engine::new(&Settings::default()).expect("the defaults are good");
    let document =
        br#"{"a@b.example":[4111111111111111,"c@d.example",{"e@f.example":"{\"password\":\"hunter22!\"}"}]}"#;
    let Outcome::Changed { bytes, .. } = engine.transform_json(document, &plan(Action::Redact), &mut ())
    else {
        panic!("it is full of them")
    };
    assert_eq!(
        String::from_utf8(bytes).expect("UTF-8"),
        r#"{"[EMAIL]#0":["[CREDIT_CARD]","[EMAIL]",{"[EMAIL]#0":"{\"password\":\"[PASSWORD]\"}"}]}"#
    );
}
