//! Notes of others, and what is no note.

use super::{InvalidNote, Note, Signer, VerifierKey, merged};
use crate::checkpoint::Checkpoint;

/// From the documentation of Go's `sumdb/note`, which everybody's tests have.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn a_note_that_go_signed_is_read() {
    let key = VerifierKey::parse(PETER).unwrap();
    assert_eq!(key.to_string(), PETER);
    assert_eq!(Note::parse(NOTE).unwrap().check(std::slice::from_ref(&key)).unwrap().len(), 1);
    let altered = NOTE.replace("answer", "question");
    assert_eq!(
        Note::parse(&altered).unwrap().check(&[key]),
        Err(InvalidNote::BadSignature("PeterNeumann".to_owned()))
    );
}

#[test]
fn keys_come_back_from_what_is_kept_and_other_ids_are_refused() {
    let signer = Signer::generate("gw.example/audit").unwrap();
    let again = Signer::parse(&signer.to_secret()).unwrap();
    assert_eq!(again.log_key(), signer.log_key());
    assert_ne!(signer.log_key().to_string(), signer.witness_key().to_string());
    assert_eq!(VerifierKey::parse(&signer.witness_key().to_string()).unwrap(), signer.witness_key());
    for text in
        ["", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a b+00000000+AQ=="]
    {
        assert!(VerifierKey::parse(text).is_err(), "{text}");
    }
    assert!(Signer::generate("with space").is_err());
    assert!(!format!("{signer:?}").contains(&signer.to_secret()[30..]));
}

#[test]
fn what_is_written_in_another_way_is_no_checkpoint() {
    let signer = Signer::generate("gw.example/audit").unwrap();
    let note = Checkpoint { origin: "gw.example/audit".to_owned(), size: 7, root: [9; 32] }.sign(&signer);
    assert_eq!(Checkpoint::verify(&note, &[signer.log_key()]).unwrap().size, 7);
    let stranger = Signer::generate("gw.example/audit").unwrap();
    assert!(matches!(Checkpoint::verify(&note, &[stranger.log_key()]), Err(InvalidNote::Unsigned(_))));
    // A witness's signature does not stand in for the log's.
    assert!(Checkpoint::verify(&note, &[signer.witness_key()]).is_err());
    for bad in [
        note.replace("\n7\n", "\n07\n"),
        note.replace("\n7\n", "\n+7\n"),
        note.replace("=\n\n", "=\nmore\n\n"),
        note.replace("\n\n", "\n"),
    ] {
        assert!(Checkpoint::parse_unverified(&bad).is_err(), "{bad}");
    }
}

#[test]
fn what_two_witnesses_signed_is_kept_together() {
    let checkpoint = |size| Checkpoint { origin: "a".to_owned(), size, root: [9; 32] };
    let [log, v, w] = ["a", "v", "w"].map(|name| Signer::generate(name).unwrap());
    let (text, note) = (checkpoint(1).text(), checkpoint(1).sign(&log));
    let one = format!("{note}{}", w.cosign(&text, 1));
    let two = format!("{note}{}", v.cosign(&text, 2));
    let both = merged(&one, &two).unwrap();
    assert_eq!(both, format!("{one}{}", v.cosign(&text, 2)));
    assert_eq!(merged(&both, &two).unwrap(), both, "twice is once");
    let again = format!("{note}{}", w.cosign(&text, 3));
    assert_eq!(merged(&both, &again).unwrap(), both, "one line for each key");
    assert_eq!(merged(&note, &checkpoint(2).sign(&log)), None, "it is over another text");
}

#[test]
fn what_nobody_could_read_is_not_put_together() {
    let checkpoint = Checkpoint { origin: "a".to_owned(), size: 1, root: [9; 32] };
    let note = checkpoint.sign(&Signer::generate("a").unwrap());
    let signed = |names: std::ops::Range<usize>| {
        let signers = names.map(|name| Signer::generate(&format!("w{name}")).unwrap());
        signers.fold(note.clone(), |note, signer| note + &signer.cosign(&checkpoint.text(), 1))
    };
    let (many, more) = (signed(0..60), signed(60..99));
    let most = merged(&many, &more).unwrap();
    assert!(Note::parse(&most).is_ok());
    assert_eq!(merged(&most, &signed(99..100)), None);
}
