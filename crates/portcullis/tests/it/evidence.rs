//! The evidence log of a running gateway: what is in it of what clients asked, were answered and were refused, of what changed,
//! and of those who left; and that what must not be in it is not.

mod answers;
mod changes;
mod databases;
mod durable;
mod exports;
mod fields;
mod keeping;
mod kills;
mod people;
mod questions;
mod readers;
mod stamps;
mod strict;
mod witnesses;

use std::path::Path;

use portcullis_audit::{Record, Segments};
use portcullis_model::Journal as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Gateway, within};

/// A gateway that keeps evidence, before these servers.
fn start(mode: &str, rest: &Value) -> Gateway {
    start_in(tempfile::tempdir().unwrap(), mode, rest)
}

fn start_in(folder: TempDir, mode: &str, rest: &Value) -> Gateway {
    let mut config = rest.clone();
    config["audit"] = json!({"mode": mode, "node": "gw"});
    Gateway::start_in(folder, &config, &[])
}

/// The events that are on the disk now, as JSON, in their order; none is left out.
pub(crate) fn events(gateway: &Gateway) -> Vec<Value> {
    events_in(&gateway.folder().join("audit"))
}

fn events_in(folder: &Path) -> Vec<Value> {
    events_from(folder, 0)
}

/// The same from a number on.
fn events_from(folder: &Path, from: u64) -> Vec<Value> {
    let journal = Segments::read_only(folder).expect("a log");
    let extent = journal.extent().expect("its extent");
    let (mut all, mut next): (Vec<Value>, u64) = (Vec::new(), from);
    while next < extent.next {
        let entries = journal.read(next, 1000).expect("its entries");
        assert!(!entries.is_empty(), "entries are missing from {next}");
        for entry in entries {
            assert_eq!(entry.seq, next);
            next += 1;
            let record = Record::parse(&entry.record).expect("a record");
            all.push(serde_json::to_value(&record.event).expect("JSON"));
        }
    }
    all
}

/// Waits until there are such events, and returns them.
pub(crate) async fn until(
    gateway: &Gateway,
    what: &str,
    count: usize,
    is: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    within(what, async {
        loop {
            let found: Vec<_> = events(gateway).into_iter().filter(&is).collect();
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

/// The one event of a method, which is waited for.
async fn of(gateway: &Gateway, method: &str) -> Value {
    let mut found = until(gateway, method, 1, |event| event["request"]["method"] == method).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}
