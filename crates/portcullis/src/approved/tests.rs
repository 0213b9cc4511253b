//! What is in use, while versions come, go, and cannot be used.

use std::sync::Arc;

use portcullis_config::{Overrides, ProcessEnvironment, Settings};
use portcullis_hub::registry::{Document, Entry, Move, Registry, Scan};
use portcullis_model::ServerId;
use portcullis_store::Memory;
use serde_json::{Value, json};

use super::Approved;

fn entry(slug: &str, version: &str, at: u64, launch: Value) -> Entry {
    let document = Document::made(&format!("local/{slug}"), None, "Files.", version).expect("well-formed");
    let mut entry = Entry::submitted(&document, &ServerId::parse(slug).expect("a slug"), launch, "ann", at);
    entry.scanned(Scan { at, ..Scan::default() }, "ann").expect("scanned");
    entry.take(Move::Review, "ben", at, None).expect("reviewed");
    entry.take(Move::Approve, "ben", at, None).expect("approved");
    entry
}

fn far() -> Value {
    json!({ "url": "http://127.0.0.1:9/mcp" })
}

fn settings() -> Settings {
    portcullis_config::defaults(&ProcessEnvironment, &Overrides::default()).expect("they are right").settings
}

fn names(settings: &Settings) -> Vec<String> {
    settings.servers.keys().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_no_gateway_can_be_made_with_takes_nothing_else_with_it() {
    let records = Arc::new(Memory::default());
    let registry = Registry::new(records.clone());
    let bad = json!({ "url": "https://127.0.0.1:9/mcp", "tls": { "ca": "/no/such/file.pem" } });
    registry.add(&entry("bad", "1.0.0", 1, bad)).await.expect("added");
    registry.add(&entry("hub", "1.0.0", 2, far())).await.expect("added");
    registry.add(&entry("good", "1.0.0", 2, far())).await.expect("added");
    let mut approved = Approved::new(records);
    let now = approved.look().await.expect("something is in use");
    assert_eq!(names(&now.with(&settings())), ["good"]);
}

#[tokio::test]
async fn only_what_was_put_in_force_is_in_use_and_only_what_changes_is_told() {
    let records = Arc::new(Memory::default());
    let registry = Registry::new(records.clone());
    registry.add(&entry("files", "1.0.0", 1, far())).await.expect("added");
    let mut approved = Approved::new(records);
    let first = approved.look().await.expect("something is in use");
    assert_eq!(names(&approved.in_use().with(&settings())), [""; 0], "it was not put in force");
    approved.keep(first, &settings());
    assert_eq!(names(&approved.in_use().with(&settings())), ["files"]);
    assert_eq!(approved.look().await, None, "nothing has changed");
    // Another version is proposed, which changes nothing in what is in use.
    let document = Document::made("local/files", None, "Files.", "2.0.0").expect("well-formed");
    let proposed = Entry::submitted(&document, &ServerId::parse("files").expect("a slug"), far(), "ann", 3);
    registry.add(&proposed).await.expect("added");
    assert_eq!(approved.look().await, None);
    let mut shelved = registry.get("local/files", "1.0.0").await.expect("asked").expect("there");
    shelved.entry.take(Move::Retire, "ben", 4, None).expect("retired");
    registry.change(&shelved).await.expect("changed");
    let last = approved.look().await.expect("it has changed");
    assert_eq!(
        (names(&last.with(&settings())), last.entries.len()),
        (vec![], 1),
        "what was in use is told of"
    );
}

#[tokio::test]
async fn the_configuration_counts_where_both_have_a_name() {
    let records = Arc::new(Memory::default());
    Registry::new(records.clone()).add(&entry("files", "1.0.0", 1, far())).await.expect("added");
    let mut approved = Approved::new(records);
    let now = approved.look().await.expect("something is in use");
    let mut configured = now.with(&settings());
    for server in configured.servers.values_mut() {
        server.description = Some("The operator's.".to_owned());
    }
    let both = now.with(&configured);
    assert_eq!(both, configured);
}
