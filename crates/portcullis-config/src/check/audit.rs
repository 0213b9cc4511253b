//! What is kept as evidence.

use std::time::Duration;

use super::Check;
use super::store::database;
use super::telemetry::readers;
use crate::node::Path;
use crate::{Audit, AuditLog, AuditMode, Secret, raw};

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
        allow: raw.allow.as_ref().map(|raw| readers(check, &top.key("allow"), raw)),
    };
    (!matches!(raw.mode, Some(raw::AuditMode::Off))).then_some(audit)
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
        Some(raw::AuditLog::Postgres { url_env, url_file, ca }) => {
            let top = Path::top("audit").key("log");
            let (url, ca) = database(check, &top, url_env.as_ref(), url_file.as_ref(), ca.as_ref());
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
    if secret.expose().trim().len() < SHORTEST_SECRET {
        check.error(&path, "shorter than 32 characters; `openssl rand -base64 32` makes one");
    }
    Some(secret)
}
