//! Those who hold the log and are not its writer: each checkpoint goes to them, and what they say of it is kept beside the log.
//!
//! Each has a task of its own, which takes the newest checkpoint there is and tries until it is taken: who is slow or away
//! keeps nobody else waiting, and gets no backlog. What a witness says against the log is an incident, once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_audit::witness::{self, Answered, Request};
use portcullis_audit::{Checkpoint, Kind, VerifierKey, timestamp, worm};
use portcullis_config::{AskedWitness, Audit};
use portcullis_gateway::{Evidence, Probe, Question, probe};

use crate::Usage;

/// How long is waited before somebody is asked again, at first and at the most.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_mins(1);
/// As what the second folder is told of.
const FOLDER: &str = "checkpoints";
/// As what the authority of time is told of.
const STAMPS: &str = "timestamps";

/// Hands every checkpoint to whoever the settings name, from now on.
///
/// # Errors
/// A key is none, or authorities cannot be read.
pub(super) fn hold(evidence: &Arc<Evidence>, audit: &Audit) -> anyhow::Result<()> {
    if let Some(folder) = &audit.checkpoints {
        let holder = Holder::Folder(folder.clone());
        tokio::spawn(each(evidence.clone(), FOLDER.to_owned(), Duration::ZERO, holder));
    }
    for (index, (asked, key)) in audit.witnesses.iter().zip(keys(audit)?).enumerate() {
        let probe = probe(asked.ca.as_deref())
            .map_err(|error| Usage(format!("audit.witnesses[{index}].ca: {error}")))?;
        let (name, url) = (key.name().to_owned(), format!("{}/add-checkpoint", asked.url));
        let holder = Holder::Witness(Asked { key, url, probe, seen: 0, told: false });
        tokio::spawn(each(evidence.clone(), name, Duration::ZERO, holder));
    }
    if let Some(settings) = &audit.timestamps {
        let probe =
            probe(settings.ca.as_deref()).map_err(|error| Usage(format!("audit.timestamps.ca: {error}")))?;
        let holder = Holder::Authority(Stamping { url: settings.url.clone(), probe, done: None });
        tokio::spawn(each(evidence.clone(), STAMPS.to_owned(), settings.every, holder));
    }
    Ok(())
}

/// The keys of the witnesses that are asked.
///
/// # Errors
/// One is none.
pub(super) fn keys(audit: &Audit) -> Result<Vec<VerifierKey>, Usage> {
    let key = |(index, asked): (usize, &AskedWitness)| match VerifierKey::parse(&asked.key) {
        Ok(key) if key.is_witness() => Ok(key),
        Ok(_) => Err(Usage(format!(
            "audit.witnesses[{index}].key: this is the key of a log; `portcullis audit key --witness` prints a witness's"
        ))),
        Err(error) => Err(Usage(format!("audit.witnesses[{index}].key: {error}"))),
    };
    audit.witnesses.iter().enumerate().map(key).collect()
}

/// Somebody who holds the log.
enum Holder {
    /// A second folder.
    Folder(PathBuf),
    Witness(Asked),
    /// An authority that stamps with the time.
    Authority(Stamping),
}

impl Holder {
    /// Hands a checkpoint over.
    async fn hand(&mut self, evidence: &Evidence, note: &str) -> Result<(), String> {
        match self {
            Self::Folder(folder) => {
                let (folder, note) = (folder.clone(), note.to_owned());
                blocking(move || worm::keep(&folder, &note).map(drop)).await
            }
            Self::Witness(asked) => asked.hand(evidence, note).await,
            Self::Authority(stamping) => stamping.hand(evidence, note).await,
        }
    }
}

/// Hands each checkpoint to somebody, the newest there is, until it is taken; the next one no sooner than after `every`.
async fn each(evidence: Arc<Evidence>, name: String, every: Duration, mut holder: Holder) {
    if let Holder::Folder(folder) = &holder {
        warn_of(folder.clone()).await;
    }
    let mut signed = evidence.log().checkpoints();
    // The one before may not have got there.
    signed.mark_changed();
    let (mut rest, mut failing) = (REST, false);
    while signed.changed().await.is_ok() {
        let Some(note) = signed.borrow_and_update().clone() else { continue };
        evidence.anchors().asked(&name);
        match holder.hand(&evidence, &note).await {
            Ok(()) => {
                if failing {
                    tracing::info!(anchor = name, "it takes checkpoints again");
                }
                (rest, failing) = (REST, false);
                let size = Checkpoint::parse_unverified(&note).map_or(0, |checkpoint| checkpoint.size);
                evidence.anchors().holds(&name, size);
                tokio::time::sleep(every).await;
            }
            Err(error) => {
                if !failing {
                    tracing::error!(
                        anchor = name,
                        error,
                        "a checkpoint is not where it should be; trying again"
                    );
                }
                failing = true;
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(LONGEST_REST);
                signed.mark_changed();
            }
        }
    }
}

async fn blocking<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    ask: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    let answered = tokio::task::spawn_blocking(ask).await.map_err(|error| error.to_string())?;
    answered.map_err(|error| error.to_string())
}

async fn warn_of(folder: PathBuf) {
    let place = folder.clone();
    if let Ok(false) = blocking(move || worm::is_written_once(&place)).await {
        let folder = folder.display();
        tracing::warn!(
            %folder,
            "`audit.checkpoints` can be written anew by this process: against whoever has this machine it proves nothing"
        );
    }
}

/// An authority that stamps with the time.
struct Stamping {
    url: String,
    probe: Arc<dyn Probe>,
    /// How many events the last stamp is over, once that is known.
    done: Option<u64>,
}

impl Stamping {
    async fn hand(&mut self, evidence: &Evidence, note: &str) -> Result<(), String> {
        let checkpoint = Checkpoint::parse_unverified(note).map_err(|error| error.to_string())?;
        let log = evidence.log().clone();
        let done = match self.done {
            Some(done) => done,
            None => blocking(move || log.last_stamp()).await?,
        };
        self.done = Some(done);
        if checkpoint.size <= done {
            return Ok(());
        }
        let query = timestamp::query(&checkpoint).map_err(|error| error.to_string())?;
        let post = Some((timestamp::QUERY, query.body.clone()));
        let told = self.probe.send(Question { url: self.url.clone(), post, authorization: None }).await?;
        if told.status != 200 {
            return Err(format!("it answered {}", told.status));
        }
        let token = timestamp::accept(&checkpoint, &query, &told.body).map_err(|error| error.to_string())?;
        let (log, size) = (evidence.log().clone(), checkpoint.size);
        blocking(move || log.stamped(size, &token)).await?;
        self.done = Some(size);
        Ok(())
    }
}

/// A witness, and what it said.
struct Asked {
    key: VerifierKey,
    url: String,
    probe: Arc<dyn Probe>,
    /// The size that it signed last, as far as is known.
    seen: u64,
    /// It is on record that it speaks against the log.
    told: bool,
}

impl Asked {
    async fn hand(&mut self, evidence: &Evidence, note: &str) -> Result<(), String> {
        let checkpoint = Checkpoint::parse_unverified(note).map_err(|error| error.to_string())?;
        let size = checkpoint.size;
        // It says where it is, and is asked again from there.
        for _ in 0..2 {
            let old = self.seen.min(size);
            let log = evidence.log().clone();
            let proof = blocking(move || log.prove_consistency(old, size)).await;
            let proof = proof.map_err(|error| format!("no proof from {old} events: {error}"))?;
            let request = Request { old, proof, note: note.to_owned(), checkpoint: checkpoint.clone() };
            let post = Some(("text/plain; charset=utf-8", request.to_body().into_bytes()));
            let told = self.probe.send(Question { url: self.url.clone(), post, authorization: None }).await?;
            match witness::answered(note, old, told.status, &told.body, &self.key) {
                Answered::Signed(signed) => {
                    evidence.log().cosigned(size, signed);
                    (self.seen, self.told) = (size, false);
                    return Ok(());
                }
                Answered::From(seen) => self.seen = seen,
                Answered::Ahead(seen) => {
                    let what = format!("it saw {seen} events of this log, which has {size}");
                    return Err(self.against(evidence, what).await);
                }
                Answered::Forked => {
                    return Err(self
                        .against(evidence, "it saw another history of this log".to_owned())
                        .await);
                }
                Answered::Nonsense(why) => return Err(why),
            }
        }
        Err("it does not say from where it wants a proof".to_owned())
    }

    /// Puts on record that a witness speaks against the log.
    async fn against(&mut self, evidence: &Evidence, what: String) -> String {
        if !self.told {
            self.told = true;
            let detail = [
                ("what", "a witness speaks against this log".to_owned()),
                ("witness", self.key.name().to_owned()),
                ("says", what.clone()),
            ];
            let _ = evidence.changed(Kind::Incident, &detail).await;
        }
        what
    }
}
