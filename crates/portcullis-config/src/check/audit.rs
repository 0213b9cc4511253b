//! What is kept as evidence.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Check;
use super::http::{absolute_url, is_loopback};
use super::store::database;
use super::telemetry::readers;
use crate::node::Path;
use crate::{AskedWitness, Audit, AuditLog, AuditMode, Secret, System, TimeStamps, Witness, raw};

/// The folder of the log when the configuration names none.
const FOLDER: &str = "audit";
/// Fewest bytes of a secret.
const SHORTEST_SECRET: usize = 32;
/// Bytes of the name of a node.
const LONGEST_NAME: usize = 64;

pub(super) fn audit(check: &mut Check<'_>, raw: Option<&raw::Audit>) -> Option<Audit> {
    let raw = raw?;
    let top = Path::top("audit");
    let node = node(check, &top.key("node"), raw.node.as_deref());
    let path = folder(check, &top.key("path"), raw.path.as_deref().unwrap_or(FOLDER));
    let checkpoints =
        raw.checkpoints.as_deref().map(|folder_of| folder(check, &top.key("checkpoints"), folder_of));
    let audit = Audit {
        mode: match raw.mode {
            Some(raw::AuditMode::Strict) => AuditMode::Strict,
            Some(raw::AuditMode::Normal | raw::AuditMode::Off) | None => AuditMode::Normal,
        },
        path,
        log: log(check, raw.log.as_ref()),
        node,
        key: raw.key.as_ref().and_then(|raw| check.secret(&top.key("key"), "key", raw)),
        secret: secret(check, raw.secret.as_ref()),
        keeps_payloads: matches!(raw.payloads, Some(raw::AuditPayloads::Encrypted)),
        retention_days: raw.retention_days.unwrap_or(184),
        checkpoint_interval: check.duration(
            &top.key("checkpoint_interval"),
            raw.checkpoint_interval.as_ref(),
            Duration::from_secs(10),
        ),
        checkpoints,
        witnesses: witnesses(check, &top.key("witnesses"), &raw.witnesses),
        timestamps: raw.timestamps.as_ref().map(|raw| timestamps(check, &top.key("timestamps"), raw)),
        allow: raw.allow.as_ref().map(|raw| readers(check, &top.key("allow"), raw)),
        admins: raw.admins.as_ref().map(|raw| readers(check, &top.key("admins"), raw)),
        systems: systems(check, &top.key("systems"), &raw.systems),
    };
    (!matches!(raw.mode, Some(raw::AuditMode::Off))).then_some(audit)
}

fn witnesses(check: &mut Check<'_>, path: &Path, raw: &[raw::AskedWitness]) -> Vec<AskedWitness> {
    let mut witnesses: Vec<AskedWitness> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = path.index(index);
        let url =
            outside(check, &path.key("url"), &raw.url, "anybody on the way could keep checkpoints back");
        if witnesses.iter().any(|other| other.key == raw.key) {
            check
                .error(&path.key("key"), "another witness has this key: asked twice, it proves nothing more");
        }
        let ca = raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file));
        witnesses.push(AskedWitness { url, key: raw.key.clone(), ca });
    }
    witnesses
}

fn systems(
    check: &mut Check<'_>,
    path: &Path,
    raw: &BTreeMap<String, raw::System>,
) -> BTreeMap<String, System> {
    for (name, system) in raw {
        let path = path.key(name);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
            check.error(&path, format!("expected a name of 1 to {LONGEST_NAME} letters, digits and `-`"));
        }
        for (index, server) in system.servers.iter().enumerate() {
            if !check.has_server(server) {
                check.no_server(&path.key("servers").index(index), server);
            }
        }
    }
    let system = |(name, raw): (&String, &raw::System)| {
        let system = System {
            servers: raw.servers.clone(),
            clients: raw.clients.clone(),
            purpose: raw.purpose.clone(),
            risk: raw.risk.clone(),
            model: raw.model.clone(),
            deployer: raw.deployer.clone(),
            data: raw.data.clone(),
            legal_basis: raw.legal_basis.clone(),
            retention_days: raw.retention_days,
        };
        (name.clone(), system)
    };
    raw.iter().map(system).collect()
}

fn timestamps(check: &mut Check<'_>, path: &Path, raw: &raw::TimeStamps) -> TimeStamps {
    // What comes back is signed: plain `http` is what most authorities have.
    if let Err(message) = absolute_url(&raw.url) {
        check.error(&path.key("url"), message);
    }
    TimeStamps {
        url: raw.url.clone(),
        every: check.duration(&path.key("every"), raw.every.as_ref(), Duration::from_hours(1)),
        ca: raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file)),
    }
}

/// A URL that is asked; without its last slash.
fn outside(check: &mut Check<'_>, path: &Path, text: &str, harm: &str) -> String {
    match absolute_url(text) {
        Ok(url) if url.scheme_str() == Some("http") && !is_loopback(&url) => {
            check.error(path, format!("plain `http` off this machine: {harm}; use `https`"));
        }
        Ok(_) => {}
        Err(message) => check.error(path, message),
    }
    text.trim_end_matches('/').to_owned()
}

pub(super) fn witness(check: &mut Check<'_>, file: &raw::File) -> Option<Witness> {
    let raw = file.witness.as_ref()?;
    let top = Path::top("witness");
    if matches!(file.store, None | Some(raw::Store::Memory {})) {
        let message = "a witness that forgets what it signed signs another history after a restart; set `store: { kind: sqlite }` or \
                       `postgres`";
        check.error(&top, message);
    }
    if raw.logs.is_empty() {
        check.error(&top.key("logs"), "no log is witnessed; give the keys of those that are to be");
    }
    let key = check.secret(&top.key("key"), "key", &raw.key)?;
    Some(Witness { key, logs: raw.logs.clone() })
}

/// A folder that can be made: the one that it is in is there.
fn folder(check: &mut Check<'_>, path: &Path, text: &str) -> std::path::PathBuf {
    let folder = check.resolve(text);
    if folder.exists() && !folder.is_dir() {
        check.error(path, format!("{} is no folder", folder.display()));
    } else if !folder.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir()) {
        check.error(path, format!("the folder in which {} is to be is not there; make it", folder.display()));
    }
    folder
}

fn log(check: &mut Check<'_>, raw: Option<&raw::AuditLog>) -> AuditLog {
    match raw {
        None | Some(raw::AuditLog::Files {}) => AuditLog::Files,
        Some(raw::AuditLog::Sqlite {}) => AuditLog::Sqlite,
        Some(raw::AuditLog::Postgres { url_env, url_file, url_vault, ca }) => {
            let top = Path::top("audit").key("log");
            let (url, ca) =
                database(check, &top, [url_env.as_ref(), url_file.as_ref(), url_vault.as_ref()], ca.as_ref());
            url.map_or(AuditLog::Files, |url| AuditLog::Postgres { url, ca })
        }
    }
}

fn node(check: &mut Check<'_>, path: &Path, text: Option<&str>) -> String {
    let fits = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(plain)
    };
    match text {
        Some(name) if fits(name) => name.to_owned(),
        Some(_) => {
            check.error(path, format!("expected 1 to {LONGEST_NAME} letters, digits, `.` and `-`"));
            String::new()
        }
        None => {
            let host = check.source.env.var("HOSTNAME").or_else(host_name).filter(|name| fits(name));
            host.unwrap_or_else(|| "portcullis".to_owned())
        }
    }
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim_end().to_owned())
}

fn secret(check: &mut Check<'_>, raw: Option<&raw::Secret>) -> Option<Secret> {
    let path = Path::top("audit").key("secret");
    let secret = check.secret(&path, "secret", raw?)?;
    if secret.is_read() && secret.expose().trim().len() < SHORTEST_SECRET {
        check.error(&path, "shorter than 32 characters; `openssl rand -base64 32` makes one");
    }
    Some(secret)
}
