//! Those who are not the writer: witnesses and folders that are written once.

use portcullis_audit::witness::{Refusal, Request, Witness, accept};
use portcullis_audit::{Checkpoint, Signer, worm};

use crate::fixture::{fill, open, segments, signer, trusting, verified};

#[tokio::test]
async fn a_witness_signs_what_continues_what_it_signed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    let witness = Witness::new(Signer::generate("w.example").unwrap(), vec![signer(folder.path()).log_key()]);
    let sizes = [1, 3, 300, 700];
    let mut notes = Vec::new();
    for (size, more) in sizes.iter().zip([1, 2, 297, 400]) {
        fill(&log, more, &[]).await;
        let note = log.checkpoints().borrow().clone().unwrap().to_string();
        notes.push((*size, note));
    }
    let request = |old: u64, (size, note): &(u64, String)| Request {
        old,
        proof: log.prove_consistency(old, *size).unwrap(),
        checkpoint: Checkpoint::parse_unverified(note).unwrap(),
        note: note.clone(),
    };
    let mut last: Option<Checkpoint> = None;
    for (size, note) in &notes {
        let asked = request(last.as_ref().map_or(0, |last| last.size), &(*size, note.clone()));
        let asked = Request::parse(&asked.to_body()).unwrap();
        let answer = witness.cosign(&asked, last.as_ref(), 1_700_000_000).unwrap();
        let cosigned = accept(note, &answer, &[witness.key()]).unwrap();
        Checkpoint::verify(&cosigned, &[witness.key(), signer(folder.path()).log_key()]).unwrap();
        log.cosigned(*size, cosigned);
        last = Some(asked.checkpoint);
    }
    let refused =
        |request: &Request, last: Option<&Checkpoint>| witness.cosign(request, last, 0).unwrap_err();
    let newest = request(300, &notes[3]);
    assert_eq!(refused(&request(0, &notes[3]), last.as_ref()), Refusal::Conflict(700));
    let at_300 = Checkpoint::parse_unverified(&notes[2].1).unwrap();
    let wrong = Request { proof: request(3, &notes[3]).proof, ..newest.clone() };
    assert_eq!(refused(&wrong, Some(&at_300)).status(), 422);
    let other = Checkpoint { root: [7; 32], ..at_300.clone() };
    assert_eq!(refused(&newest, Some(&other)).status(), 422, "it does not continue what was signed");
    let forked =
        Request { old: 300, proof: Vec::new(), checkpoint: at_300.clone(), note: notes[2].1.clone() };
    assert_eq!(refused(&forked, Some(&other)), Refusal::Conflict(300));
    let stranger = Signer::generate(log.origin()).unwrap();
    let unsigned = Request { note: at_300.sign(&stranger), checkpoint: at_300, old: 0, proof: Vec::new() };
    assert_eq!(refused(&unsigned, None).status(), 403);
    let unknown = Witness::new(Signer::generate("w.example").unwrap(), Vec::new());
    assert_eq!(unknown.cosign(&newest, None, 0).unwrap_err().status(), 404);
    assert!(accept(&notes[3].1, "— w.example AAAA\n", &[witness.key()]).is_err());

    log.close();
    let mut demands = trusting(folder.path());
    demands.keys.push(witness.key());
    demands.witnesses = 1;
    let report = verified(&*log.journal(), &demands);
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.witnessed, report.witnesses), (700, vec!["w.example".to_owned()]));
}

#[tokio::test]
async fn whatever_a_witness_says_it_adds_one_line_that_it_signed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 3, &[]).await;
    let note = log.checkpoints().borrow().clone().unwrap().to_string();
    let checkpoint = Checkpoint::parse_unverified(&note).unwrap();
    let witness =
        |name: &str| Witness::new(Signer::generate(name).unwrap(), vec![signer(folder.path()).log_key()]);
    let (one, other) = (witness("w.example"), witness("v.example"));
    let request = Request { old: 0, proof: Vec::new(), note: note.clone(), checkpoint };
    let signed = |witness: &Witness, now| witness.cosign(&request, None, now).unwrap();
    // Lines under its name by keys that nobody knows, and more than one by its own.
    let strangers = |name: &str| (0..60).map(|_| signed(&witness(name), 1)).collect::<String>();
    let answer = [strangers("w.example"), signed(&one, 1), signed(&one, 2)].concat();
    let accepted = accept(&note, &answer, &[one.key()]).unwrap();
    assert_eq!(accepted, format!("{note}{}", signed(&one, 1)));
    assert_eq!(accept(&accepted, &signed(&one, 3), &[one.key()]).unwrap(), accepted);
    // What it signed has to be this.
    let longer = format!("and more\n\n{}", signed(&one, 1));
    assert!(accept(&note, &longer, &[one.key()]).is_err());

    let answer = [strangers("v.example"), signed(&other, 1)].concat();
    log.cosigned(3, accepted);
    log.cosigned(3, accept(&note, &answer, &[other.key()]).unwrap());
    log.close();
    drop(log);
    open(segments(folder.path()), folder.path()).close();
    let mut demands = trusting(folder.path());
    demands.keys.extend([one.key(), other.key()]);
    demands.witnesses = 2;
    let report = verified(&*segments(folder.path()), &demands);
    assert!(report.is_good(), "{report:?}");
}

#[test]
fn a_request_that_is_none_is_refused() {
    for body in ["", "old 1\n", "old 01\n\nx", "old 1\nabc\n\nx\n1\nAAAA\n\n— x AAAA\n", "new 1\n\n"] {
        assert_eq!(Request::parse(body).unwrap_err().status(), 400, "{body:?}");
    }
}

#[tokio::test]
async fn a_folder_that_is_written_once_tells_two_histories_apart() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    let kept = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        fill(&log, 5, &[]).await;
        let note = log.checkpoints().borrow().clone().unwrap();
        let path = worm::keep(kept.path(), &note).unwrap();
        assert_eq!(worm::keep(kept.path(), &note).unwrap(), path, "twice is no harm");
    }
    let other =
        Checkpoint { origin: log.origin().to_owned(), size: 10, root: [1; 32] }.sign(&signer(folder.path()));
    assert!(matches!(worm::keep(kept.path(), &other), Err(worm::NotKept::Forked(_))));
    log.close();
    let mut demands = trusting(folder.path());
    demands.since = worm::read(kept.path()).unwrap();
    assert_eq!(demands.since.len(), 3);
    assert!(verified(&*log.journal(), &demands).is_good());
}
