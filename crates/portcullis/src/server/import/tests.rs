//! What comes in, and as what.

use std::collections::BTreeSet;

use portcullis_hub::registry::{Admission, Move, Scan, Stage};
use serde_json::{Value, json};

use super::{OFFICIAL, Sorted, free_slug, read, sort};

fn server(name: &str, version: &str) -> Value {
    json!({
        "name": name, "description": "Files.", "version": version,
        "packages": [{ "registryType": "npm", "identifier": "files", "version": version, "transport": { "type": "stdio" } }],
    })
}

fn sorted(source: &Value, here: &Sorted) -> Sorted {
    let admission = Admission {
        namespaces: vec!["com.example.*".to_owned()],
        packages: vec!["npm".to_owned()],
        remotes: Vec::new(),
    };
    sort(read(source.to_string().as_bytes()), &admission, &(here.new.clone(), vec!["crm".to_owned()]), "ann")
}

#[test]
fn every_form_of_a_source_is_read() {
    let (one, status) = (server("com.example/files", "1.0.0"), json!({ OFFICIAL: { "status": "active" } }));
    let page = json!({ "servers": [{ "server": one, "_meta": status }], "metadata": { "count": 1 } });
    let lines = format!("{one}\n{}\n", json!({ "server": one }));
    for (text, count) in [
        (one.to_string(), 1),
        (page.to_string(), 1),
        (json!([page, one]).to_string(), 2),
        (lines, 2),
        ("[]".to_owned(), 0),
        ("nothing".to_owned(), 0),
        (json!({ "mcpServers": {} }).to_string(), 0),
    ] {
        assert_eq!(read(text.as_bytes()).len(), count, "{text}");
    }
}

#[test]
fn what_is_let_in_is_proposed_once_and_what_is_not_says_why() {
    let secret = {
        let mut server = server("com.example/weather", "1.0.0");
        server["packages"][0]["environmentVariables"] = json!([{ "name": "KEY", "isRequired": true }]);
        server
    };
    let source = json!([
        server("com.example/files", "1.0.0"),
        server("com.example/files", "2.0.0"),
        server("com.example/files", "2.0.0"),
        server("com.example.team/files", "1.0.0"),
        server("com.example/crm", "1.0.0"),
        server("org.other/files", "1.0.0"),
        server("com.example/files", "^3"),
        secret,
    ]);
    let first = sorted(&source, &Sorted::default());
    let told: Vec<_> =
        first.new.iter().map(|it| format!("{} {} {}", it.slug, it.name(), it.version())).collect();
    assert_eq!(
        told,
        [
            "files com.example/files 1.0.0",
            "files com.example/files 2.0.0",
            "files-2 com.example.team/files 1.0.0",
            "crm-2 com.example/crm 1.0.0",
            "weather com.example/weather 1.0.0",
        ]
    );
    assert!(first.new.iter().all(|it| it.stage() == Stage::Submitted && it.imported));
    assert_eq!(first.new[0].launch["args"], json!(["-y", "files@1.0.0"]));
    assert!(first.new[0].launch["sandbox"].is_object(), "a program that nobody here wrote is walled in");
    assert!(first.new[4].launch.is_null(), "it takes what nobody has given");
    let why: Vec<_> = first.left_out.iter().map(|(_, why)| why.as_str()).collect();
    assert!(why[0].contains("org.other") && why[1].contains("stands for several versions"), "{why:?}");
    let again = sorted(&source, &first);
    assert_eq!((again.new.len(), again.known), (0, 6));
}

#[test]
fn what_was_taken_away_there_is_told_of_and_stays_here() {
    let one = server("com.example/files", "1.0.0");
    let mut here = sorted(&one, &Sorted::default());
    let gone = json!([{ "server": one, "_meta": { OFFICIAL: { "status": "deleted" } } }]);
    assert_eq!(sorted(&gone, &here).gone, ["com.example/files 1.0.0"]);
    assert_eq!(sorted(&gone, &Sorted::default()).new.len(), 0, "and does not come in");
    let entry = &mut here.new[0];
    entry.scanned(Scan::default(), "ann").expect("scanned");
    entry.take(Move::Retire, "ann", 1, None).expect("retired");
    assert_eq!(sorted(&gone, &here).gone, [""; 0]);
}

#[test]
fn a_short_name_is_no_other_servers() {
    let taken = BTreeSet::from(["files".to_owned(), "files-2".to_owned(), "a-name-of-twenty-let".to_owned()]);
    assert_eq!(free_slug("com.example/files", &taken).as_deref(), Some("files-3"));
    assert_eq!(
        free_slug("com.example/a-name-of-twenty-let", &taken).as_deref(),
        Some("a-name-of-twenty-l-2")
    );
    assert_eq!(free_slug("com.example/___", &taken), None);
    assert_eq!(free_slug("com.example/hub", &taken).as_deref(), Some("hub-2"), "the gateway itself is `hub`");
}
