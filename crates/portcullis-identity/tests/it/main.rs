//! What was found by fuzzing stays found: every input of the corpus, and those of them that tell the time.

#[expect(unreachable_pub, reason = "it is called from elsewhere, too")]
#[path = "../../../../fuzz/src/token.rs"]
mod token;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn the_corpus_of_tokens_lets_nobody_in_who_was_not_vouched_for() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/token"));
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 60;
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        token::token(&data);
        // A time in a file has passed some day.
        if let Ok(text) = std::str::from_utf8(&data) {
            token::token(text.replace("EXP", &soon.to_string()).as_bytes());
        }
        count += 1;
    }
    assert!(count >= 15, "the corpus has {count} inputs");
}
