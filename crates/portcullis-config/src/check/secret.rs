//! Secrets, by value or by reference.

use super::Check;
use crate::node::{Path, Segment};
use crate::{Secret, SecretSource, fill, raw};

/// Parts of a name that say that its value is a secret.
pub(crate) const TELLING: &[&str] =
    &["token", "key", "secret", "password", "passwd", "auth", "credential", "cookie", "dsn", "private"];

/// What stands before the secret in a header.
const SCHEMES: [&str; 3] = ["bearer ", "basic ", "token "];

/// Largest file that a secret is read from, in bytes.
const LARGEST: u64 = 64 << 10;

impl Check<'_> {
    /// The secret called `name` at `path`, or `None` after a report.
    pub(super) fn secret(&mut self, path: &Path, name: &str, raw: &raw::Secret) -> Option<Secret> {
        let path = match raw {
            raw::Secret::Literal(_) => path.clone(),
            raw::Secret::Env(_) => path.key("env"),
            raw::Secret::File(_) => path.key("file"),
            raw::Secret::Vault(_) => path.key("vault"),
        };
        self.secret_of(&path, name, raw)
    }

    /// The same where `path` is that of the value itself.
    pub(super) fn secret_of(&mut self, path: &Path, name: &str, raw: &raw::Secret) -> Option<Secret> {
        match raw {
            raw::Secret::Literal(value) => {
                let filled = self.filled(path).to_vec();
                if !filled.is_empty() {
                    return Some(Secret::new(value, SecretSource::Env(filled)));
                }
                if is_telling(name, value) {
                    self.literal(path, name, value);
                }
                Some(Secret::new(value, SecretSource::Literal))
            }
            raw::Secret::Env(variable) => {
                if !fill::is_variable_name(variable) {
                    self.error(path, "expected the name of an environment variable: letters, digits and `_`");
                    return None;
                }
                let Some(value) = self.source.env.var(variable) else {
                    self.error(path, format!("the environment variable {variable} is not set; set it"));
                    return None;
                };
                Some(Secret::new(value, SecretSource::Env(vec![variable.clone()])))
            }
            raw::Secret::File(file) => self.secret_file(path, file),
            raw::Secret::Vault(reference) => self.secret_in_vault(path, reference),
        }
    }

    fn secret_file(&mut self, path: &Path, file: &str) -> Option<Secret> {
        let file = self.file(path, file);
        if self.report.failed_under(path) {
            return None;
        }
        match read_bounded(&file, LARGEST) {
            Ok(text) => {
                let value = text.strip_suffix('\n').unwrap_or(&text);
                let value = value.strip_suffix('\r').unwrap_or(value);
                Some(Secret::new(value, SecretSource::File(file)))
            }
            Err(error) => {
                self.error(path, format!("cannot read {}: {error}", file.display()));
                None
            }
        }
    }

    fn literal(&mut self, path: &Path, name: &str, value: &str) {
        if let [Segment::Key(_), Segment::Key(server), ..] = path.0.as_slice()
            && self.report.is_from_client(server)
        {
            if !self.literals.contains(server) {
                self.literals.push(server.clone());
            }
            return;
        }
        if let Some(scheme) = SCHEMES.iter().find(|scheme| begins_with(value, scheme)) {
            // The whole of a variable would lack the word before the secret.
            let scheme = value.get(..scheme.len()).unwrap_or(scheme);
            let message = format!(
                "a secret in plain text; write `\"{scheme}${{TOKEN}}\"`, and set TOKEN in the environment"
            );
            self.warn(path, message);
            return;
        }
        let variable = name.to_ascii_uppercase().replace('-', "_");
        self.warn(
            path,
            format!("a secret in plain text; write `{{ env: {variable} }}`, `{{ file: PATH }}` or `${{{variable}}}`"),
        );
    }

    /// One warning for all plain secrets of client files, which know no other way to write them.
    pub(super) fn warn_of_literals(&mut self) {
        if self.literals.is_empty() {
            return;
        }
        let servers = std::mem::take(&mut self.literals).join(", ");
        self.warn(
            &Path::default(),
            format!(
                "these servers have secrets in plain text: {servers}; `${{NAME}}` in their place takes them from the \
                 environment"
            ),
        );
    }
}

pub(super) fn read_bounded(file: &std::path::Path, largest: u64) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(file)?.take(largest + 1).read_to_string(&mut text)?;
    if text.len() as u64 > largest {
        return Err(std::io::Error::other(format!("larger than {} KiB, which none is", largest >> 10)));
    }
    Ok(text)
}

fn begins_with(value: &str, scheme: &str) -> bool {
    value.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
}

/// Whether a value in plain text is likely a secret. `NODE_ENV: production` is not, and a warning about it would
/// teach people to skip warnings.
fn is_telling(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let url_password =
        value.split_once("://").and_then(|(_, rest)| rest.split('/').next()).is_some_and(|a| a.contains('@'));
    !value.is_empty()
        && (TELLING.iter().any(|part| name.contains(part))
            || SCHEMES.iter().any(|scheme| begins_with(value, scheme))
            || url_password)
}
