//! Versions of the policies: every set that was in force is kept in the store, with when, why and what.
//!
//! A version is a number that only grows, and a digest over all that policies are made of: their texts, and `mode`, `roles`,
//! `groups`, `labels`, `claims` and `arguments` beside them. A set that is loaded again is the version that it was; gateways
//! that share a store share the numbers, whichever of them loads first. Texts are kept once each, by their digest.
//!
//! What cannot be kept is said in the log and holds up nothing (`recorder.rs`): policies are in force whether they are on
//! record or not.

use std::time::SystemTime;

use aws_lc_rs::digest::{self, SHA256};
use portcullis_config::Policy;
pub(crate) use portcullis_gateway::{beside_policies as beside, policy_revision as digest_of};
use portcullis_model::{Expected, Put, Records, Unavailable, date_time};
use serde_json::{Value, json};

use crate::hex::hex;

/// One record for each version, under its number.
const VERSION: &str = "policy-version";
/// One for each set, under its digest: the number of its newest version.
const NUMBER: &str = "policy-number";
/// One for each text, under its digest.
const TEXT: &str = "policy-text";
/// One, that says which version is the last.
const LAST: &str = "policy-last";
const ONLY: &str = "last";
/// Longest text that a record can hold, in bytes.
const LONGEST: usize = 1 << 20;
/// Others may write a version at the same time; so often it is tried again.
const TRIES: usize = 16;
const PAGE: usize = 200;

/// Why policies were loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The gateway started.
    Start,
    /// A file changed.
    File,
    /// Somebody sent SIGHUP.
    Hangup,
    /// A Vault gave another value of a secret.
    Vault,
}

impl Trigger {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file changed",
            Self::Hangup => "SIGHUP",
            Self::Vault => "secret changed",
        }
    }
}

/// A version as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) number: u64,
    /// All that is known of it, in JSON.
    pub(crate) told: Value,
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&SHA256, bytes).as_ref())
}

/// Puts a set that is in force on record, and says its number.
///
/// # Errors
/// The store cannot be asked.
pub(crate) async fn record(
    records: &dyn Records,
    policy: &Policy,
    trigger: Trigger,
) -> Result<u64, Unavailable> {
    let digest = digest_of(policy);
    for _ in 0..TRIES {
        let last = records.get(LAST, ONLY).await?;
        let (number, before) = last.as_ref().map_or((0, None), |last| read_last(&last.value));
        if before.as_deref() == Some(&digest) {
            return Ok(number);
        }
        let mut files = Vec::new();
        for text in &policy.texts {
            let sha256 = sha256(text.text.as_bytes());
            let kept = text.text.len() <= LONGEST;
            if kept {
                let bytes = text.text.clone().into_bytes();
                records.put(TEXT, &sha256, bytes, None, Expected::Any).await?;
            }
            files.push(json!({"file": text.file.display().to_string(), "sha256": sha256, "kept": kept}));
        }
        let number = number + 1;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let told = json!({
            "version": number, "digest": digest, "at": format!("{}Z", date_time(since)), "trigger": trigger.as_str(),
            "process": std::process::id(), "files": files, "beside": beside(policy),
        });
        let value = told.to_string().into_bytes();
        // First where to find it by what it is made of, then the version, then that it is the last: whoever reads the last
        // finds it.
        records.put(NUMBER, &digest, key(number).into_bytes(), None, Expected::Any).await?;
        if records.put(VERSION, &key(number), value.clone(), None, Expected::Absent).await? == Put::Conflict {
            // Somebody else is about to say so, or has been stopped before that.
            finish(records, number).await?;
            continue;
        }
        let expected = last.map_or(Expected::Absent, |last| Expected::Version(last.version));
        if records.put(LAST, ONLY, value, None, expected).await? != Put::Conflict {
            return Ok(number);
        }
    }
    Err(Unavailable("others keep writing versions of policies".to_owned()))
}

/// Makes a version that is there the last, if it comes after that.
async fn finish(records: &dyn Records, number: u64) -> Result<(), Unavailable> {
    let Some(version) = records.get(VERSION, &key(number)).await? else { return Ok(()) };
    let last = records.get(LAST, ONLY).await?;
    if last.as_ref().is_some_and(|last| read_last(&last.value).0 >= number) {
        return Ok(());
    }
    let expected = last.map_or(Expected::Absent, |last| Expected::Version(last.version));
    records.put(LAST, ONLY, version.value, None, expected).await.map(drop)
}

fn read_last(value: &[u8]) -> (u64, Option<String>) {
    let told: Value = serde_json::from_slice(value).unwrap_or_default();
    (told["version"].as_u64().unwrap_or(0), told["digest"].as_str().map(str::to_owned))
}

/// Numbers in the order of texts.
fn key(number: u64) -> String {
    format!("{number:020}")
}

/// All versions, the oldest first.
///
/// # Errors
/// The store cannot be asked.
pub(crate) async fn all(records: &dyn Records) -> Result<Vec<Version>, Unavailable> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = records.list(VERSION, "", &after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after.clone_from(last);
        found.extend(page.iter().filter_map(|(key, record)| {
            let told = serde_json::from_slice(&record.value).ok()?;
            Some(Version { number: key.parse().ok()?, told })
        }));
    }
}

/// The version of a set, if it is on record; the newest where it was in force several times.
///
/// # Errors
/// The store cannot be asked.
pub(crate) async fn of(records: &dyn Records, digest: &str) -> Result<Option<Version>, Unavailable> {
    let Some(number) = records.get(NUMBER, digest).await? else { return Ok(None) };
    let Some(number) = String::from_utf8(number.value).ok().and_then(|key| key.parse().ok()) else {
        return Ok(None);
    };
    // Where somebody was stopped in between, there is another under the number, or none.
    let found = one(records, number).await?;
    Ok(found.filter(|version| version.told["digest"] == digest))
}

/// The version with a number.
///
/// # Errors
/// The store cannot be asked.
pub(crate) async fn one(records: &dyn Records, number: u64) -> Result<Option<Version>, Unavailable> {
    let found = records.get(VERSION, &key(number)).await?;
    let told = found.and_then(|record| serde_json::from_slice(&record.value).ok());
    Ok(told.map(|told| Version { number, told }))
}

/// A text by its digest; one that is another by now is none.
///
/// # Errors
/// The store cannot be asked.
pub(crate) async fn text(records: &dyn Records, digest: &str) -> Result<Option<String>, Unavailable> {
    let found = records.get(TEXT, digest).await?;
    let whole = found.filter(|record| sha256(&record.value) == digest);
    Ok(whole.and_then(|record| String::from_utf8(record.value).ok()))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use portcullis_config::PolicyMode;

    use std::sync::Arc;

    use portcullis_config::PolicyText;
    use portcullis_store::Memory;

    use super::*;

    pub(crate) fn policy(text: &str) -> Policy {
        Policy {
            mode: PolicyMode::Enforce,
            texts: vec![PolicyText { file: "/etc/a.cedar".into(), text: text.to_owned() }],
            roles: BTreeMap::new(),
            groups: BTreeMap::new(),
            labels: BTreeMap::new(),
            claims: BTreeMap::new(),
            arguments: BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn a_change_is_a_version_and_the_same_again_is_none() {
        let store = Memory::default();
        assert_eq!(record(&store, &policy("a"), Trigger::Start).await, Ok(1));
        assert_eq!(record(&store, &policy("a"), Trigger::Start).await, Ok(1));
        assert_eq!(record(&store, &policy("b"), Trigger::File).await, Ok(2));
        let roles = [("reader".to_owned(), vec!["staff".to_owned()])].into();
        assert_eq!(record(&store, &Policy { roles, ..policy("b") }, Trigger::Hangup).await, Ok(3));
        assert_eq!(
            record(&store, &policy("a"), Trigger::File).await,
            Ok(4),
            "what comes back is an edit as well"
        );
        let all = all(&store).await.unwrap();
        let triggers: Vec<_> = all.iter().map(|version| version.told["trigger"].as_str().unwrap()).collect();
        assert_eq!(triggers, ["start", "file changed", "SIGHUP", "file changed"]);
        let text = text(&store, all[1].told["files"][0]["sha256"].as_str().unwrap()).await.unwrap();
        assert_eq!(text.as_deref(), Some("b"));
        let newest = of(&store, &digest_of(&policy("a"))).await.unwrap().unwrap();
        assert_eq!(newest.number, 4);
        let elsewhere = Policy {
            texts: vec![PolicyText { file: "/srv/a.cedar".into(), text: "a".into() }],
            ..policy("")
        };
        assert_eq!(digest_of(&elsewhere), digest_of(&policy("a")));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn gateways_that_load_at_the_same_time_agree_on_one_number() {
        let store = Arc::new(Memory::default());
        for round in 1..20 {
            let text = format!("policy {round}");
            let all: Vec<_> = (0..8)
                .map(|_| {
                    let (store, policy) = (store.clone(), policy(&text));
                    tokio::spawn(async move { record(&*store, &policy, Trigger::File).await })
                })
                .collect();
            for one in all {
                assert_eq!(one.await.unwrap(), Ok(round));
            }
        }
    }
}
