//! Puts policies on record beside what serves, by a task of its own: a store that is slow or away delays neither a start nor
//! a reload. What is in force does not depend on it.
//!
//! A store in memory is gone before anybody can ask it for a version, so nothing is put there; the log names the digest.

use std::sync::Arc;

use portcullis_config::{Policy, Store};
use portcullis_model::Records;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::versions::{self, Trigger};

/// Edits that wait for the store; files are looked at once in a second.
const WAITING: usize = 64;

/// Where edits are told.
pub(crate) struct Recorder {
    edits: Option<mpsc::Sender<(Policy, Trigger)>>,
}

impl Recorder {
    /// One for this kind of store, and the task that ends when all it was told is on record and it is gone.
    pub(crate) fn start(store: &Store, records: Arc<dyn Records>) -> (Self, JoinHandle<()>) {
        let (edits, mut told) = mpsc::channel::<(Policy, Trigger)>(WAITING);
        let task = tokio::spawn(async move {
            while let Some((policy, trigger)) = told.recv().await {
                put(&*records, &policy, trigger).await;
            }
        });
        (Self { edits: (*store != Store::Memory).then_some(edits) }, task)
    }

    /// These policies are in force from now on.
    pub(crate) fn tell(&self, policy: Option<&Policy>, trigger: Trigger) {
        let Some(policy) = policy else { return };
        let (digest, name) = (versions::digest_of(policy), trigger.as_str());
        match &self.edits {
            None => tracing::info!(digest, trigger = name, "these policies are in force"),
            Some(edits) => {
                if edits.try_send((policy.clone(), trigger)).is_err() {
                    tracing::warn!(
                        digest,
                        trigger = name,
                        "too many edits wait for the store: this one will not be on record"
                    );
                }
            }
        }
    }
}

async fn put(records: &dyn Records, policy: &Policy, trigger: Trigger) {
    let (digest, name) = (versions::digest_of(policy), trigger.as_str());
    match versions::record(records, policy, trigger).await {
        Ok(version) => {
            tracing::info!(version, digest, trigger = name, "the policies in force are on record");
        }
        Err(error) => {
            tracing::warn!(%error, digest, trigger = name, "the policies in force could not be put on record");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use portcullis_model::{Expected, Keeping, Put, Record};
    use portcullis_store::Memory;
    use tokio::sync::Semaphore;

    use super::super::versions::tests::policy;
    use super::*;

    /// A store that answers when it is let.
    struct Held(Memory, Semaphore);

    impl Records for Held {
        fn get<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
            Box::pin(async move {
                let _let = self.1.acquire().await;
                self.0.get(kind, key).await
            })
        }

        fn put<'a>(
            &'a self,
            kind: &'static str,
            key: &'a str,
            value: Vec<u8>,
            expires: Option<SystemTime>,
            expected: Expected,
        ) -> Keeping<'a, Put> {
            self.0.put(kind, key, value, expires, expected)
        }

        fn take<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
            self.0.take(kind, key)
        }

        fn list<'a>(
            &'a self,
            kind: &'static str,
            prefix: &'a str,
            after: &'a str,
            most: usize,
        ) -> Keeping<'a, Vec<(String, Record)>> {
            self.0.list(kind, prefix, after, most)
        }

        fn sweep(&self) -> Keeping<'_, usize> {
            self.0.sweep()
        }
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_holds_up_nobody_and_gets_every_edit_in_the_end() {
        let held = Arc::new(Held(Memory::default(), Semaphore::new(0)));
        let file = Store::Sqlite { path: "store.db".into() };
        let (recorder, task) = Recorder::start(&file, held.clone());
        for (text, trigger) in [("a", Trigger::Start), ("b", Trigger::File), ("a", Trigger::Hangup)] {
            recorder.tell(Some(&policy(text)), trigger);
        }
        assert!(versions::all(&*held).await.unwrap().is_empty());
        held.1.add_permits(1);
        drop(recorder);
        task.await.unwrap();
        let all = versions::all(&*held).await.unwrap();
        let triggers: Vec<_> = all.iter().map(|version| version.told["trigger"].as_str().unwrap()).collect();
        assert_eq!(triggers, ["start", "file changed", "SIGHUP"]);
    }

    #[tokio::test]
    async fn nothing_is_put_where_nobody_could_find_it() {
        let store = Arc::new(Memory::default());
        let (recorder, task) = Recorder::start(&Store::Memory, store.clone());
        recorder.tell(Some(&policy("a")), Trigger::Start);
        drop(recorder);
        task.await.unwrap();
        assert!(versions::all(&*store).await.unwrap().is_empty());
    }
}
