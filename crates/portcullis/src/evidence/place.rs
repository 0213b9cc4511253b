//! Where an evidence log is: opened for the gateway that writes it, and for whoever reads it from outside.
//!
//! One folder has one log. Whoever changes `audit.log.kind` begins another log, under another name or in another folder: two
//! logs that one key signs under one name would be a fork, and a verifier would say so.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use portcullis_audit::Segments;
use portcullis_config::{Audit, AuditLog};
use portcullis_model::Journal;
use portcullis_store::{Access, OpenError, PostgresJournal, SqliteJournal};

use super::signer;
use crate::Usage;

/// The file of a log in SQLite, in its folder.
const DATABASE: &str = "log.db";

/// Opens the journal of the log that the settings ask for. Blocks where that is in a database.
///
/// # Errors
/// It cannot be opened, or its folder has a log of another kind.
pub(super) fn journal(audit: &Audit) -> anyhow::Result<Arc<dyn Journal>> {
    let failed = "the evidence log (`audit.path`) cannot be opened";
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true).mode(0o700).create(&audit.path).context(failed)?;
    let other = match &audit.log {
        AuditLog::Files => database(&audit.path),
        AuditLog::Sqlite => files(&audit.path),
        AuditLog::Postgres { .. } => database(&audit.path).or_else(|| files(&audit.path)),
    };
    if let Some(other) = other {
        let message = format!(
            "audit.log: {} is of a log of another kind, which that key has signed; name another folder with `audit.path`",
            other.display()
        );
        return Err(Usage(message).into());
    }
    match &audit.log {
        AuditLog::Files => Ok(Arc::new(Segments::open(&audit.path).context(failed)?)),
        AuditLog::Sqlite => {
            let opened = SqliteJournal::open(&audit.path.join(DATABASE), Access::Serve);
            Ok(Arc::new(opened.context(failed)?))
        }
        AuditLog::Postgres { url, ca } => {
            let name = signer(audit)?.name().to_owned();
            postgres(url.expose(), ca.as_deref(), Some(&name), Access::Serve, "audit.log")
        }
    }
}

fn database(folder: &Path) -> Option<PathBuf> {
    Some(folder.join(DATABASE)).filter(|path| path.exists())
}

/// A file of a log in files.
fn files(folder: &Path) -> Option<PathBuf> {
    let mut found = fs::read_dir(folder).ok()?.filter_map(|file| Some(file.ok()?.path()));
    found.find(|path| path.extension().is_some_and(|extension| extension == "log"))
}

fn postgres(
    url: &str,
    ca: Option<&Path>,
    log: Option<&str>,
    access: Access,
    what: &str,
) -> anyhow::Result<Arc<dyn Journal>> {
    let tls = portcullis_gateway::client_tls(ca).map_err(|error| Usage(format!("{what}: {error}")))?;
    let opened = PostgresJournal::open(url, tls, log, access).map_err(|error| match error {
        OpenError::Url(_) => Usage(format!("{what}: {error}")).into(),
        error => anyhow::Error::new(error),
    });
    Ok(Arc::new(opened.with_context(|| what.to_owned())?))
}

/// Which log is read.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// The folder of the log, or its file where it is kept in SQLite
    #[arg(value_name = "PATH", required_unless_present = "url_env", conflicts_with = "url_env")]
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub database: Database,
}

impl Place {
    /// The folder of the log, where it has one: its file in SQLite lies there.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.path.as_deref().map(|path| if path.is_dir() { path } else { path.parent().unwrap_or(path) })
    }
}

/// Which log in which database.
#[derive(Args, Debug)]
pub(crate) struct Database {
    /// The environment variable that holds the URL of the PostgreSQL database of the log, in place of PATH
    #[arg(long, value_name = "NAME")]
    pub url_env: Option<String>,
    /// The name of the log in the database, when there are several
    #[arg(long, value_name = "NAME", requires = "url_env")]
    pub log: Option<String>,
    /// PEM file with the authorities that the database is trusted by, instead of those of the system
    #[arg(long, value_name = "FILE", requires = "url_env")]
    pub ca: Option<PathBuf>,
}

/// Opens a log for reading, while a gateway may write to it.
///
/// # Errors
/// There is none, or it cannot be read.
pub(crate) fn open(path: Option<&Path>, asked: &Database) -> anyhow::Result<Arc<dyn Journal>> {
    let failed = "the evidence log cannot be read";
    if let Some(name) = &asked.url_env {
        let url = std::env::var(name)
            .map_err(|_| Usage(format!("--url-env: the environment variable {name} is not set; set it")))?;
        return postgres(&url, asked.ca.as_deref(), asked.log.as_deref(), Access::Read, failed);
    }
    let path = path.ok_or_else(|| Usage("name the folder of the log".to_owned()))?;
    let file = match database(path) {
        Some(file) if files(path).is_some() => {
            let message =
                format!("two logs are in {}; name {} for one of them", path.display(), file.display());
            return Err(Usage(message).into());
        }
        Some(file) => file,
        None => path.to_owned(),
    };
    if SqliteJournal::is_one(&file) {
        return Ok(Arc::new(SqliteJournal::open(&file, Access::Read).context(failed)?));
    }
    Ok(Arc::new(Segments::read_only(path).context(failed)?))
}

/// Opens a log to change it, while no gateway writes to it. `name` is its name in a database.
///
/// # Errors
/// There is none, or it is written to.
pub(crate) fn open_to_write(asked: &Place, name: &str) -> anyhow::Result<Arc<dyn Journal>> {
    let failed = "the evidence log cannot be opened; stop its gateway";
    // What is not there is not made.
    drop(open(asked.path.as_deref(), &asked.database)?);
    if let Some(variable) = &asked.database.url_env {
        let url = std::env::var(variable).unwrap_or_default();
        return postgres(&url, asked.database.ca.as_deref(), Some(name), Access::Serve, failed);
    }
    let path = asked.path.as_deref().unwrap_or(Path::new("."));
    match Some(path.to_owned()).filter(|path| path.is_file()).or_else(|| database(path)) {
        Some(file) => Ok(Arc::new(SqliteJournal::open(&file, Access::Serve).context(failed)?)),
        None => Ok(Arc::new(Segments::open(path).context(failed)?)),
    }
}

/// Whether a path is that of a log, and not of what was packed.
pub(crate) fn is_log(path: &Path) -> bool {
    path.is_dir() || SqliteJournal::is_one(path)
}
