//! Replays what the fuzzers found, and the seeds they started from, through the fuzzers' own bodies.

use std::path::Path;

#[expect(unreachable_pub, reason = "they are a library elsewhere")]
#[path = "../../../../fuzz/src/lib.rs"]
mod bodies;

#[test]
fn every_corpus_file_holds_what_its_fuzzer_checks() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, body) in bodies::BODIES {
        let folder = corpus.join(name);
        let files = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut replayed = 0;
        for file in files {
            let path = file.expect("a readable folder").path();
            let input = std::fs::read(&path).expect("a readable file");
            if let Err(panic) = std::panic::catch_unwind(|| body(&input)) {
                eprintln!("the input is {}", path.display());
                std::panic::resume_unwind(panic);
            }
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", folder.display());
    }
}

#[test]
fn every_corpus_folder_has_a_fuzzer() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for folder in corpus.read_dir().expect("a corpus") {
        let name = folder.expect("a readable folder").file_name();
        // Tokens are replayed by `portcullis-identity`, texts by `portcullis-guard`, documents by `portcullis-openapi`.
        let elsewhere = ["token", "guard", "openapi"].iter().any(|known| name == *known);
        let known = elsewhere || bodies::BODIES.iter().any(|(known, _)| name == *known);
        assert!(known, "nothing replays corpus/{}", name.display());
    }
}
