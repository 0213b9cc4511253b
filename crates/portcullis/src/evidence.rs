//! The evidence log that the settings ask for: its folder, its keys, and where its checkpoints go.
//!
//! Keys that the settings do not name are made at the first start and lie beside the log, each in a file that its owner alone
//! can read: `signing-key` and `secret`. That suits a laptop; whoever wants the log to prove something to others keeps them
//! elsewhere, and its checkpoints too.

pub(crate) mod place;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use portcullis_audit::payloads::Keep;
use portcullis_audit::retention::{self, Policy};
use portcullis_audit::{Keyring, Log, Mode, OpenError, Signer, worm};
use portcullis_config::{Audit, AuditMode, Secret};
use portcullis_gateway::Evidence;
use rustls::crypto::SecureRandom;

use crate::Usage;

/// The file of the key that signs checkpoints, in the folder of the log.
const SIGNING_KEY: &str = "signing-key";
/// The file of what digests, pseudonyms and data keys are derived from.
const SECRET: &str = "secret";
/// How often events are looked for that have been kept long enough.
const REMOVE: Duration = Duration::from_hours(6);
/// The folder's files of keys are no longer than this, in bytes.
const LONGEST_KEY: u64 = 4096;

/// Opens the log for writing; nothing where the settings keep nothing.
///
/// # Errors
/// It cannot be opened, was altered, or its keys do not fit.
pub(crate) fn open(audit: Option<&Audit>) -> anyhow::Result<Option<Arc<Evidence>>> {
    let Some(audit) = audit else { return Ok(None) };
    let journal = place::journal(audit)?;
    let signer = signer(audit)?;
    let keyring = Keyring::derive(secret(audit)?.trim().as_bytes());
    let settings = portcullis_audit::Settings {
        node: audit.node.clone(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        mode: match audit.mode {
            AuditMode::Strict => Mode::Strict,
            AuditMode::Normal => Mode::Normal,
        },
        payloads: if audit.keeps_payloads { Keep::Encrypted } else { Keep::Digest },
        checkpoint_every: audit.checkpoint_interval,
        ..portcullis_audit::Settings::default()
    };
    let log = Log::open(journal, signer, keyring, settings).map_err(|error| match error {
        OpenError::Foreign(_) => Usage(error.to_string()).into(),
        error => anyhow::Error::new(error),
    })?;
    if let Some(folder) = &audit.checkpoints {
        tokio::spawn(copy_checkpoints(log.clone(), folder.clone()));
    }
    let policy =
        Policy { default: Duration::from_hours(24 * u64::from(audit.retention_days)), ..Policy::default() };
    tokio::spawn(remove_old(log.clone(), policy));
    Ok(Some(Evidence::new(log)))
}

/// Removes events that have been kept for as long as they are to be, for as long as it is awaited.
async fn remove_old(log: Log, policy: Policy) {
    loop {
        match retention::apply(&log, &policy, SystemTime::now()).await {
            Ok((0, 0)) => {}
            Ok((events, keys)) => {
                tracing::info!(events, keys, "what was kept long enough is removed from the evidence log");
            }
            Err(error) => tracing::error!(%error, "what was kept long enough is still in the evidence log"),
        }
        tokio::time::sleep(REMOVE).await;
    }
}

/// Writes each checkpoint to a second folder as well, for as long as it is awaited.
async fn copy_checkpoints(log: Log, folder: PathBuf) {
    let mut signed = log.checkpoints();
    // The one before may not have got there.
    signed.mark_changed();
    while signed.changed().await.is_ok() {
        let Some(note) = signed.borrow_and_update().clone() else { continue };
        let place = folder.clone();
        let kept = tokio::task::spawn_blocking(move || worm::keep(&place, &note).map(drop)).await;
        match kept {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a checkpoint is not in `audit.checkpoints`"),
            Err(error) => tracing::error!(%error, "a checkpoint is not in `audit.checkpoints`"),
        }
    }
}

fn signer(audit: &Audit) -> anyhow::Result<Signer> {
    let name = format!("portcullis/audit/{}", audit.node);
    let text = key(audit, audit.key.as_ref(), SIGNING_KEY, || Ok(Signer::generate(&name)?.to_secret()))?;
    Signer::parse(text.trim()).map_err(|error| Usage(format!("audit.key: {error}")).into())
}

fn secret(audit: &Audit) -> anyhow::Result<String> {
    key(audit, audit.secret.as_ref(), SECRET, || {
        let mut bytes = [0; 32];
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        SecureRandom::fill(random, &mut bytes)
            .map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
        Ok(BASE64.encode(bytes))
    })
}

/// A key: what the settings name, else what lies beside the log, else a new one, put there.
fn key(
    audit: &Audit,
    named: Option<&Secret>,
    file: &str,
    make: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    if let Some(secret) = named {
        return Ok(secret.expose().to_owned());
    }
    let path = audit.path.join(file);
    let failed = || format!("cannot keep {}", path.display());
    match File::open(&path) {
        Ok(opened) => {
            let mut text = String::new();
            opened.take(LONGEST_KEY).read_to_string(&mut text).with_context(failed)?;
            Ok(text)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = make()?;
            put(&path, &text).with_context(failed)?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(failed),
    }
}

/// Writes a file whole or not at all: half a key would be another log.
fn put(path: &Path, text: &str) -> std::io::Result<()> {
    let mut draft = PathBuf::from(path);
    draft.set_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
