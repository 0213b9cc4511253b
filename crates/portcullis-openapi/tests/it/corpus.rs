//! The inputs that fuzzing started from and kept, through the same body.

use std::path::Path;

#[path = "../../../../fuzz/src/openapi.rs"]
#[allow(unreachable_pub, reason = "it is public where it is fuzzed")]
mod body;

#[test]
fn what_fuzzing_found_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/openapi");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the corpus is there") {
        let data = std::fs::read(file.expect("it can be listed").path()).expect("it can be read");
        body::openapi(&data);
        count += 1;
    }
    assert!(count >= 6, "only {count} inputs");
}
