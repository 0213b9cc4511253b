//! A slice in one file: checked with nothing else, and every change to it found.

use portcullis_audit::bundle::{pack, verify};
use portcullis_audit::verify::Demands;
use portcullis_model::Search;

use crate::fixture::{fill, keyring, open, segments, trusting};

#[tokio::test]
async fn a_slice_is_proved_and_read_by_people_and_no_change_to_it_passes() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(segments(folder.path()), folder.path());
    fill(&log, 300, &[]).await;
    let person = Some(keyring().pseudonym("https://idp.example", "user-2"));
    let entries = log.journal().find(&Search { person, since: None, ..Search::default() }, 5).unwrap();
    let file = pack(&*log.journal(), &entries).unwrap();
    log.close();
    assert!(file.starts_with("Events of the evidence log gw.example/audit/one\n"), "{file}");
    assert!(file.contains("5 events, numbers 2, 7, 12, 17, 22."), "{file}");
    let demands = trusting(folder.path());
    let report = verify(&file, &demands);
    assert!(report.is_good() && !report.key_from_log, "{report:?}");
    assert!(verify(&file, &Demands::default()).key_from_log);
    let stranger = tempfile::tempdir().unwrap();
    assert!(!verify(&file, &trusting(stranger.path())).is_good());
    // One changed letter anywhere, and every line left out.
    for place in 0..file.len() {
        let mut bytes = file.clone().into_bytes();
        bytes[place] = if bytes[place] == b'q' { b'r' } else { b'q' };
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let keys = file.find("\"keys\"").unwrap()..file.find("],\"events\"").unwrap();
        // The keys in the file are for whoever has no others.
        assert!(!verify(&changed, &demands).is_good() || keys.contains(&place), "{place}");
    }
    let lines: Vec<&str> = file.split_inclusive('\n').collect();
    for left_out in 0..lines.len() {
        let rest: String =
            lines.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line).collect();
        assert!(!verify(&rest, &demands).is_good(), "{:?}", lines[left_out]);
    }
}
