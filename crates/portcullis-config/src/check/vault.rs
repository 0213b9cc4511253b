//! Secrets that are kept in a Vault: where it is, and what a reference means.
//!
//! Nothing is asked here: a configuration is good or not whether the Vault can be reached or not.

use std::time::Duration;

use super::Check;
use super::http::{absolute_url, is_loopback};
use crate::node::Path;
use crate::raw::secrets::{SecretVault as Raw, VaultAuth as RawAuth};
use crate::{Secret, SecretSource, SecretVault, VaultAuth, VaultSecret};

/// How old a secret may be when the file does not say.
const MAX_AGE: Duration = Duration::from_mins(5);
/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Which mounts keep versions.
pub(super) struct Mounts {
    kv1: Vec<String>,
    kv2: Vec<String>,
}

impl Mounts {
    pub(super) fn of(raw: &Raw) -> Self {
        let plain = |all: &[String]| all.iter().map(|mount| mount.trim_matches('/').to_owned()).collect();
        Self { kv1: plain(&raw.kv1), kv2: plain(&raw.kv2) }
    }

    /// What a reference means: `MOUNT/PATH#FIELD`.
    fn read(&self, text: &str) -> Option<VaultSecret> {
        let (path, field) = text.split_once('#')?;
        if !is_path(path) || field.is_empty() {
            return None;
        }
        let known = self.kv1.iter().map(|mount| (mount, false)).chain(self.kv2.iter().map(|it| (it, true)));
        let below = |mount: &str| path.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/'));
        let found = known.filter(|(mount, _)| below(mount).is_some()).max_by_key(|(mount, _)| mount.len());
        let (mount, versioned) = match found {
            Some((mount, versioned)) => (mount.as_str(), versioned),
            None => (path.split('/').next()?, true),
        };
        let rest = below(mount)?;
        let path = if versioned { format!("{mount}/data/{rest}") } else { path.to_owned() };
        Some(VaultSecret { path, versioned, field: field.to_owned() })
    }
}

/// Whether a text can stand in the path of a URL as it is, and leads nowhere else.
fn is_path(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    text.bytes().all(fits) && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

impl Check<'_> {
    /// A secret that is read when it is needed where the Vault keeps it, and not before.
    pub(super) fn kept_secret(
        &mut self,
        path: &Path,
        name: &str,
        raw: &crate::raw::Secret,
    ) -> Option<Secret> {
        let crate::raw::Secret::Vault(reference) = raw else { return self.secret(path, name, raw) };
        let found = self.in_vault(&path.key("vault"), reference)?;
        Some(Secret::new("", SecretSource::Vault(found)))
    }

    /// A secret that the Vault keeps, with its value where that was read.
    pub(super) fn secret_in_vault(&mut self, path: &Path, reference: &str) -> Option<Secret> {
        let found = self.in_vault(path, reference)?;
        let value = self.source.env.vault(&found).unwrap_or_default();
        self.wanted.insert(found.clone());
        Some(Secret::new(value, SecretSource::Vault(found)))
    }

    fn in_vault(&mut self, path: &Path, reference: &str) -> Option<VaultSecret> {
        let Some(mounts) = &self.mounts else {
            self.error(path, "there is no Vault; set `secrets.vault`");
            return None;
        };
        let found = mounts.read(reference);
        if found.is_none() {
            self.error(path, "expected `MOUNT/PATH#FIELD`, such as `secret/crm#token`");
        }
        found
    }

    /// A secret that the Vault itself is asked with.
    fn secret_for_vault(&mut self, path: &Path, name: &str, raw: &crate::raw::Secret) -> Option<Secret> {
        if matches!(raw, crate::raw::Secret::Vault(_)) {
            self.error(&path.key("vault"), "is what the Vault is asked with; use `env` or `file`");
            return None;
        }
        self.secret(path, name, raw)
    }
}

pub(super) fn vault(check: &mut Check<'_>, raw: Option<&Raw>) -> Option<SecretVault> {
    let raw = raw?;
    let top = Path::top("secrets").key("vault");
    match absolute_url(&raw.url) {
        Ok(url) if url.scheme_str() == Some("http") && !is_loopback(&url) => {
            let message = "plain `http` off this machine: anybody on the way could read secrets; use `https`";
            check.error(&top.key("url"), message);
        }
        Ok(url) if url.query().is_some() => check.error(&top.key("url"), "must have no query"),
        Ok(_) => {}
        Err(message) => check.error(&top.key("url"), message),
    }
    let namespace = raw.namespace.as_ref().map(|text| text.trim_matches('/').to_owned());
    if namespace.as_ref().is_some_and(|text| !is_path(text)) {
        check.error(&top.key("namespace"), "not a path: letters, digits and `-`, parts joined by `/`");
    }
    for (key, mounts) in [("kv1", &raw.kv1), ("kv2", &raw.kv2)] {
        for (index, mount) in mounts.iter().enumerate() {
            if !is_path(mount.trim_matches('/')) {
                check.error(&top.key(key).index(index), "not the path of a mount");
            }
        }
    }
    let auth = auth(check, &top.key("auth"), &raw.auth)?;
    Some(SecretVault {
        url: raw.url.trim_end_matches('/').to_owned(),
        namespace,
        ca: raw.ca.as_ref().map(|file| check.file(&top.key("ca"), file)),
        auth,
        max_age: check.duration(&top.key("max_age"), raw.max_age.as_ref(), MAX_AGE),
    })
}

fn auth(check: &mut Check<'_>, path: &Path, raw: &RawAuth) -> Option<VaultAuth> {
    let mut mount = |mount: &Option<String>, usual: &str| {
        let mount = mount.as_deref().unwrap_or(usual).trim_matches('/').to_owned();
        if !is_path(&mount) {
            check.error(&path.key("mount"), "not the path of a mount");
        }
        mount
    };
    Some(match raw {
        RawAuth::Token { token } => {
            VaultAuth::Token(check.secret_for_vault(&path.key("token"), "token", token)?)
        }
        RawAuth::Approle { role_id, secret_id, mount: at } => {
            let mount = mount(at, "approle");
            let secret_id = check.secret_for_vault(&path.key("secret_id"), "secret_id", secret_id)?;
            VaultAuth::AppRole { mount, role_id: role_id.clone(), secret_id }
        }
        RawAuth::Kubernetes { role, token_file, mount: at } => {
            let mount = mount(at, "kubernetes");
            let file = check.resolve(token_file.as_deref().unwrap_or(SERVICE_ACCOUNT));
            VaultAuth::Jwt { mount, role: role.clone(), file }
        }
        RawAuth::Jwt { role, token_file, mount: at } => {
            let mount = mount(at, "jwt");
            VaultAuth::Jwt { mount, role: role.clone(), file: check.resolve(token_file) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_leads_to_one_member_of_one_secret_and_nowhere_else() {
        let mounts = Mounts { kv1: vec!["old".into()], kv2: vec!["team/kv".into()] };
        for (text, path, versioned, field) in [
            ("secret/crm#token", "secret/data/crm", true, "token"),
            ("secret/a/b#x y", "secret/data/a/b", true, "x y"),
            ("old/crm#token", "old/crm", false, "token"),
            ("older/crm#token", "older/data/crm", true, "token"),
            ("team/kv/crm#token", "team/kv/data/crm", true, "token"),
            ("team/crm#token", "team/data/crm", true, "token"),
        ] {
            let expected = VaultSecret { path: path.into(), versioned, field: field.into() };
            assert_eq!(mounts.read(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "secret",
            "secret/crm",
            "secret#token",
            "secret/crm#",
            "/secret/crm#t",
            "secret//crm#t",
            "secret/../sys#t",
            "secret/./crm#t",
            "secret/crm?list=true#t",
            "secret/%2e%2e/x#t",
            "secret/a b#t",
        ] {
            assert_eq!(mounts.read(bad), None, "{bad}");
        }
    }
}
