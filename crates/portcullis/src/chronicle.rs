//! What happens to the gateway itself, for the evidence log: it starts and stops, and takes up other settings, policies, keys
//! and servers. What is in settings and policies is not written down: digests name them, and sections and servers their names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_audit::{Kind, worm};
use portcullis_config::{AuditMode, Registered, Settings};
use portcullis_gateway::Evidence;

use crate::hex::hex;
use crate::policy::versions::{self, Trigger};

/// Writes to the evidence log, where there is one.
#[derive(Clone)]
pub(crate) struct Chronicle(Option<Arc<Evidence>>, Option<PathBuf>);

impl Chronicle {
    /// `checkpoints` is the second folder for them.
    pub(crate) fn new(evidence: Option<Arc<Evidence>>, checkpoints: Option<PathBuf>) -> Self {
        Self(evidence, checkpoints)
    }

    /// The gateway is about to serve.
    ///
    /// # Errors
    /// That has to be on record first, and cannot be put there.
    pub(crate) async fn started(&self, settings: &Settings) -> anyhow::Result<()> {
        let (Some(evidence), Some(audit)) = (&self.0, &settings.audit) else { return Ok(()) };
        let mode = match audit.mode {
            AuditMode::Strict => "strict",
            AuditMode::Normal => "normal",
        };
        let detail = [
            ("what", "started".to_owned()),
            ("configuration", digest_of(settings)),
            ("mode", mode.to_owned()),
            ("process", std::process::id().to_string()),
        ];
        let started = evidence.changed(Kind::Gateway, &detail).await;
        started.map_err(|refusal| anyhow::anyhow!("the evidence log cannot be written: {}", refusal.message))
    }

    /// The gateway serves no more. The log is closed with that.
    pub(crate) async fn stopped(&self) {
        self.tell(Kind::Gateway, &[("what", "stopped".to_owned())]).await;
        if let Some(evidence) = self.0.clone() {
            // What is left is written by then, or said to be lost.
            let folder = self.1.clone();
            let closing = tokio::task::spawn_blocking(move || {
                evidence.close();
                let last = evidence.log().checkpoints().borrow().clone();
                // Whoever copies checkpoints while the gateway serves does not get to see this one.
                if let (Some(folder), Some(note)) = (folder, last)
                    && let Err(error) = worm::keep(&folder, &note)
                {
                    tracing::error!(%error, "the last checkpoint is not in `audit.checkpoints`");
                }
            });
            let _ = closing.await;
        }
    }

    /// The policies of these settings are in force.
    pub(crate) async fn policies(&self, settings: &Settings, trigger: Trigger) {
        let Some(policy) = &settings.policy else { return };
        let detail = [
            ("what", "in force".to_owned()),
            ("revision", versions::digest_of(policy)),
            ("trigger", trigger.as_str().to_owned()),
        ];
        self.tell(Kind::Policy, &detail).await;
    }

    /// Other settings are in force.
    pub(crate) async fn took_up(&self, before: &Settings, now: &Settings, trigger: &str) {
        let Some(evidence) = self.0.as_ref().filter(|_| before != now) else { return };
        let detail = [
            ("what", "taken up".to_owned()),
            ("configuration", digest_of(now)),
            ("before", digest_of(before)),
            ("sections", sections(before, now)),
            ("trigger", trigger.to_owned()),
        ];
        self.tell(Kind::Configuration, &detail).await;
        if before.identity.keys != now.identity.keys || before.identity.revoked != now.identity.revoked {
            // As their calls name them: `portcullis audit search --person key#NAME`.
            let keyring = evidence.log().keyring();
            let keys = |settings: &Settings| -> BTreeMap<_, _> {
                let keys = settings.identity.keys.iter().flat_map(|keys| keys.keys.clone());
                keys.map(|(name, key)| (keyring.pseudonym("key", &name), key)).collect()
            };
            let mut detail = vec![("what", "API keys or revocations changed".to_owned())];
            detail.extend(differences(&keys(before), &keys(now)));
            self.tell(Kind::Key, &detail).await;
        }
        self.listed(before, now).await;
        let key = |settings: &Settings| settings.identity.facade.as_ref().map(|facade| facade.key.clone());
        if key(before) != key(now) {
            self.tell(Kind::Key, &[("what", "the key that signs tokens changed".to_owned())]).await;
        }
        if before.servers != now.servers {
            self.tell(Kind::Catalogue, &differences(&before.servers, &now.servers)).await;
        }
        self.versions(before, now).await;
    }

    /// Which versions of the registry's servers callers have, where that is another one or for others.
    async fn versions(&self, before: &Settings, now: &Settings) {
        let names: BTreeSet<_> = before.registered.keys().chain(now.registered.keys()).collect();
        let of = |it: Option<&Registered>| {
            let next = it.and_then(|it| it.next.as_ref()).map(|next| (next.version.clone(), next.percent));
            (it.map(|it| it.version.clone()), next)
        };
        for id in names {
            let (was, is) = (of(before.registered.get(id)), of(now.registered.get(id)));
            if was == is {
                continue;
            }
            let mut detail = vec![("what", "versions changed".to_owned()), ("server", id.to_string())];
            let told = [("before", was.0), ("version", is.0)];
            detail.extend(told.into_iter().filter_map(|(key, version)| Some((key, version?))));
            if let Some((version, percent)) = was.1 {
                detail.push(("rolled_out_before", format!("{version} to {percent}%")));
            }
            if let Some((version, percent)) = is.1 {
                detail.push(("rolled_out", format!("{version} to {percent}%")));
            }
            self.tell(Kind::Catalogue, &detail).await;
        }
    }

    /// Those who were put on the list of the revoked, or taken from it.
    async fn listed(&self, before: &Settings, now: &Settings) {
        let Some(evidence) = &self.0 else { return };
        let [before, now] = [before, now].map(|settings| {
            settings.identity.revoked.as_ref().map(|revoked| revoked.principals.clone()).unwrap_or_default()
        });
        for id in before.symmetric_difference(&now) {
            let _ = evidence.listed(id, now.contains(id)).await;
        }
    }

    /// Settings were not taken up; those before stay in force.
    pub(crate) async fn did_not_take_up(&self, trigger: &str) {
        let detail = [("what", "refused".to_owned()), ("trigger", trigger.to_owned())];
        self.tell(Kind::Configuration, &detail).await;
    }

    /// A change takes force at once: a revocation must not wait for a disk. Its event is before those of all calls that it was in force
    /// for, for events are written in the order in which they are handed over; where answers wait for events, none leaves before.
    async fn tell(&self, kind: Kind, detail: &[(&str, String)]) {
        if let Some(evidence) = &self.0 {
            let _ = evidence.changed(kind, detail).await;
        }
    }
}

/// The digest of settings as `config show --effective` shows them, secrets as `***`.
fn digest_of(settings: &Settings) -> String {
    let effective = portcullis_config::effective(settings).to_string();
    format!("sha256:{}", hex(digest(&SHA256, effective.as_bytes()).as_ref()))
}

/// The sections that are not what they were.
fn sections(before: &Settings, now: &Settings) -> String {
    let (before, now) = (portcullis_config::effective(before), portcullis_config::effective(now));
    let names = |settings: &serde_json::Value| -> BTreeSet<String> {
        settings.as_object().into_iter().flat_map(|members| members.keys().cloned()).collect()
    };
    let all: BTreeSet<_> = names(&before).union(&names(&now)).cloned().collect();
    let changed: Vec<_> = all.into_iter().filter(|name| before[name] != now[name]).collect();
    changed.join(", ")
}

/// What came, went, or is not what it was, by its names.
fn differences<N: Ord + Display, V: PartialEq>(
    before: &BTreeMap<N, V>,
    now: &BTreeMap<N, V>,
) -> Vec<(&'static str, String)> {
    let names = |of: &BTreeMap<N, V>, keep: &dyn Fn(&N) -> bool| {
        of.keys().filter(|name| keep(name)).map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let added = names(now, &|name| !before.contains_key(name));
    let removed = names(before, &|name| !now.contains_key(name));
    let changed =
        names(now, &|name| before.get(name).is_some_and(|was| now.get(name).is_some_and(|is| is != was)));
    [("added", added), ("removed", removed), ("changed", changed)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .collect()
}
