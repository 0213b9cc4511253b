//! The evidence log that the settings ask for: its folder, its keys, and where its checkpoints go.
//!
//! Keys that the settings do not name are made at the first start and lie beside the log, each in a file that its owner alone
//! can read: `signing-key` and `secret`. That suits a laptop; whoever wants the log to prove something to others keeps them
//! elsewhere, and its checkpoints too.

mod anchors;

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
use portcullis_audit::retention;
use portcullis_audit::witness::Witness;
use portcullis_audit::{Event, Keyring, Kind, Log, Mode, OpenError, Segments, Signer, VerifierKey};
use portcullis_config::{self as config, Audit, AuditMode, Secret};
use portcullis_gateway::Evidence;
use rustls::crypto::SecureRandom;

use crate::Usage;

/// The file of the key that signs checkpoints, in the folder of the log.
pub(crate) const SIGNING_KEY: &str = "signing-key";
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
    let log = open_log(audit)?;
    let evidence = Evidence::new(log, audit);
    anchors::hold(&evidence, audit)?;
    tokio::spawn(remove_old(evidence.clone()));
    Ok(Some(evidence))
}

/// Opens the log for writing.
///
/// # Errors
/// It cannot be opened, was altered, or its keys do not fit.
pub(crate) fn open_log(audit: &Audit) -> anyhow::Result<Log> {
    let journal = Segments::open(&audit.path).context("the evidence log (`audit.path`) cannot be opened")?;
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
    Log::open(Arc::new(journal), signer, keyring, settings).map_err(|error| match error {
        OpenError::Foreign(_) => Usage(error.to_string()).into(),
        error => anyhow::Error::new(error),
    })
}

/// Whether the keys of the settings are some.
///
/// # Errors
/// One is none.
pub(crate) fn check(settings: &config::Settings) -> anyhow::Result<()> {
    witness(settings.witness.as_ref())?;
    if let Some(audit) = &settings.audit {
        anchors::keys(audit)?;
    }
    Ok(())
}

/// What signs others' checkpoints, where somebody's are.
///
/// # Errors
/// A key is none.
pub(crate) fn witness(settings: Option<&config::Witness>) -> anyhow::Result<Option<Witness>> {
    let Some(settings) = settings else { return Ok(None) };
    let signer = Signer::parse(settings.key.expose().trim())
        .map_err(|error| Usage(format!("witness.key: {error}; `portcullis audit key` makes one")))?;
    let key = |(index, text): (usize, &String)| match VerifierKey::parse(text) {
        Ok(key) if key.is_witness() => {
            Err(Usage(format!("witness.logs[{index}]: this is the key of a witness; a log's is wanted")))
        }
        Ok(key) => Ok(key),
        Err(error) => Err(Usage(format!("witness.logs[{index}]: {error}"))),
    };
    let logs = settings.logs.iter().enumerate().map(key).collect::<Result<Vec<_>, _>>()?;
    if logs.iter().any(|log| *log == signer.log_key()) {
        return Err(
            Usage("witness.key: it signs a log, too; a witness has a key of its own".to_owned()).into()
        );
    }
    Ok(Some(Witness::new(signer, logs)))
}

/// Removes events that have been kept for as long as they are to be, for as long as it is awaited.
async fn remove_old(evidence: Arc<Evidence>) {
    loop {
        let by = Event::new(Kind::Truncation);
        match retention::apply(evidence.log(), evidence.retention(), SystemTime::now(), by).await {
            Ok((0, 0)) => {}
            Ok((events, keys)) => {
                tracing::info!(events, keys, "what was kept long enough is removed from the evidence log");
            }
            Err(error) => tracing::error!(%error, "what was kept long enough is still in the evidence log"),
        }
        tokio::time::sleep(REMOVE).await;
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
pub(crate) fn put(path: &Path, text: &str) -> std::io::Result<()> {
    let mut draft = PathBuf::from(path);
    draft.set_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
