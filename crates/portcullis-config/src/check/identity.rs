//! Who may call: identity providers, and the files of API keys and of what is revoked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Check;
use super::credentials::scopes;
use super::http::guarded_url;
use crate::node::{Node, Path, Value};
use crate::report::Report;
use crate::{
    Anonymous, ApiKey, ApiKeys, Dpop, Format, Identity, Introspection, Issuer, KeyHash, Login, OauthClient,
    OauthClientAuth, Revoked, Tenants, conform, raw, read, schema, units,
};

/// How long an access token may live when the file does not say.
const MAX_LIFETIME: Duration = Duration::from_hours(24);
/// Keys of one machine at a time.
const MOST_HASHES: usize = 2;
/// Scopes to step up to: for a denial, the policies are asked once for each.
const MOST_STEPS: usize = 16;
/// Largest of the two files, in bytes.
const LARGEST: u64 = 4 << 20;

pub(super) fn identity(check: &mut Check<'_>, file: &raw::File, anonymous: Anonymous) -> Identity {
    let raw = &file.identity;
    let top = Path::top("identity");
    let mut issuers = Vec::with_capacity(raw.issuers.len());
    for (index, entry) in raw.issuers.iter().enumerate() {
        let path = top.key("issuers").index(index);
        if raw.issuers[..index].iter().any(|before| before.issuer == entry.issuer) {
            check.error(&path.key("issuer"), "given twice; keep one of the two");
        }
        let before = raw.issuers[..index].iter().any(|before| before.introspection.is_some());
        if before && entry.introspection.is_some() {
            let message = "another issuer has it already, and nobody could tell whom to ask about a token";
            check.error(&path.key("introspection"), message);
        }
        if raw.issuers.len() > 1 && file.policy.is_some() && entry.groups_prefix.is_none() {
            let message = "needs `groups_prefix`: a group of one issuer is not one of another's with the same name; `\"\"` says \
                           that this issuer's groups have their plain names";
            check.error(&path, message);
        }
        issuers.extend(issuer(check, &path, entry));
    }
    scopes(check, &top.key("scopes"), &raw.scopes);
    no_offline_access(check, &top.key("scopes"), &raw.scopes);
    step_up(check, &top.key("step_up"), file);
    if !raw.scopes.is_empty() && raw.issuers.is_empty() && raw.facade.is_none() {
        check.warn(&top.key("scopes"), "has no effect without `issuers`");
    }
    Identity {
        anonymous,
        issuers,
        facade: raw
            .facade
            .as_ref()
            .and_then(|raw| super::facade::facade(check, &top.key("facade"), raw, file)),
        keys: raw.keys.as_ref().map(|keys| api_keys(check, &top.key("keys").key("file"), &keys.file)),
        scopes: raw.scopes.clone(),
        step_up: raw.step_up.clone(),
        login: raw.login.as_ref().and_then(|login| self::login(check, &top.key("login"), login, &raw.scopes)),
        dpop: Dpop { required: raw.dpop.required.unwrap_or(false), nonce: raw.dpop.nonce.unwrap_or(false) },
        revoked: raw.revoked.as_ref().map(|list| revoked(check, &top.key("revoked").key("file"), &list.file)),
    }
}

fn issuer(check: &mut Check<'_>, path: &Path, raw: &raw::Issuer) -> Option<Issuer> {
    issuer_url(check, &path.key("issuer"), &raw.issuer);
    if let Some(url) = &raw.jwks_url {
        asked(check, &path.key("jwks_url"), url);
    }
    if raw.audience.as_deref() == Some("") {
        check.error(&path.key("audience"), "is empty; remove it or name the audience");
    }
    if raw.tenants.as_ref().is_some_and(Vec::is_empty) {
        check.error(&path.key("tenants"), "lets nobody in; name tenants or remove it");
    }
    if raw.tenant_claim.is_some() && raw.tenants.is_none() {
        check.error(&path.key("tenant_claim"), "only works with `tenants`");
    }
    let introspection = raw.introspection.as_ref().map(|raw| {
        let path = path.key("introspection");
        asked(check, &path.key("url"), &raw.url);
        match (&raw.client_secret, &raw.client_key) {
            (Some(_), Some(_)) => {
                check.error(&path.key("client_key"), "there is `client_secret` as well; keep one of the two");
            }
            (None, None) => check.error(&path, "needs `client_secret` or `client_key`: it proves who asks"),
            (Some(_), None) | (None, Some(_)) => {}
        }
        if raw.client_key_id.is_some() && raw.client_key.is_none() {
            check.error(&path.key("client_key_id"), "only works with `client_key`");
        }
        let mut read = |key: &str, secret: Option<&raw::Secret>| match secret {
            Some(secret) => check.secret(&path.key(key), key, secret).map(Some),
            None => Some(None),
        };
        Some(Introspection {
            url: raw.url.clone(),
            client_id: raw.client_id.clone(),
            client_secret: read("client_secret", raw.client_secret.as_ref())?,
            client_key: read("client_key", raw.client_key.as_ref())?,
            client_key_id: raw.client_key_id.clone(),
        })
    });
    let introspection = match introspection {
        Some(None) => return None,
        Some(some) => some,
        None => None,
    };
    let tenant_claim = raw.tenant_claim.clone().unwrap_or_else(|| "tid".to_owned());
    Some(Issuer {
        issuer: raw.issuer.clone(),
        audience: raw.audience.clone(),
        groups_claim: raw.groups_claim.clone().unwrap_or_else(|| "groups".to_owned()),
        groups_prefix: raw.groups_prefix.clone().unwrap_or_default(),
        algorithms: raw.algorithms.iter().map(|algorithm| algorithm.as_str()).collect(),
        jwks_url: raw.jwks_url.clone(),
        introspection,
        tenants: raw.tenants.clone().map(|allowed| Tenants { claim: tenant_claim, allowed }),
        untyped: raw.untyped.unwrap_or(false),
        max_lifetime: check.duration(&path.key("max_lifetime"), raw.max_lifetime.as_ref(), MAX_LIFETIME),
        step_up: raw.step_up.unwrap_or(true),
        ca: raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file)),
    })
}

fn no_offline_access(check: &mut Check<'_>, path: &Path, scopes: &[String]) {
    if let Some(index) = scopes.iter().position(|scope| scope == "offline_access") {
        let path = path.index(index);
        check.error(&path, "clients ask for it when they want it, never because of a resource; remove it");
    }
}

/// The scopes that an operation may need beside those of every token.
fn step_up(check: &mut Check<'_>, path: &Path, file: &raw::File) {
    let raw = &file.identity;
    scopes(check, path, &raw.step_up);
    no_offline_access(check, path, &raw.step_up);
    for (index, scope) in raw.step_up.iter().enumerate() {
        if raw.scopes.contains(scope) {
            check.error(
                &path.index(index),
                "every token has it already, as `identity.scopes` says; remove it",
            );
        } else if raw.step_up[..index].contains(scope) {
            check.error(&path.index(index), "given twice; keep one of the two");
        }
    }
    if raw.step_up.len() > MOST_STEPS {
        check.error(path, format!("there are {}; at most {MOST_STEPS} work", raw.step_up.len()));
    }
    if raw.step_up.is_empty() {
        return;
    }
    if raw.issuers.is_empty() && raw.facade.is_none() {
        check.warn(path, "has no effect without `issuers` or `facade`");
    }
    if file.policy.is_none() {
        check.warn(path, "has no effect without `policy`: only policies ask for scopes");
    }
}

fn login(check: &mut Check<'_>, path: &Path, raw: &raw::Login, scopes: &[String]) -> Option<Login> {
    asked(check, &path.key("issuer"), &raw.issuer);
    let auth = match &raw.client_secret {
        Some(secret) => {
            OauthClientAuth::Basic(check.kept_secret(&path.key("client_secret"), "client_secret", secret)?)
        }
        None => OauthClientAuth::Public,
    };
    Some(Login {
        issuer: raw.issuer.clone(),
        client: OauthClient { id: raw.client_id.clone(), auth },
        scopes: if raw.scopes.is_empty() { scopes.to_vec() } else { raw.scopes.clone() },
        ca: raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file)),
    })
}

/// A URL that an identity provider is asked under: what it says decides who is let in.
pub(super) fn asked(check: &mut Check<'_>, path: &Path, url: &str) {
    guarded_url(check, path, url, "anybody on the way could let anybody in");
}

/// The identifier of an identity provider, under which its metadata is asked for.
pub(super) fn issuer_url(check: &mut Check<'_>, path: &Path, issuer: &str) {
    asked(check, path, issuer);
    if issuer.contains('?') {
        check.error(path, "has a query, which no issuer has; remove it");
    }
}

fn api_keys(check: &mut Check<'_>, path: &Path, file: &str) -> ApiKeys {
    let (file, document) = document::<raw::KeysFile>(check, path, file);
    let mut keys = BTreeMap::new();
    let mut known = BTreeSet::new();
    let Some((root, raw, mut report)) = document else { return ApiKeys { file, keys } };
    let mut refuse = |path: &Path, message: &str| report.error(root.locate(path).0, path, message, None);
    for (name, entry) in &raw.keys {
        let path = Path::top("keys").key(name);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            refuse(&path, "not a name for a key: use 1 to 64 letters, digits, `-`, `_` and `.`");
        }
        if entry.hashes.is_empty() || entry.hashes.len() > MOST_HASHES {
            refuse(&path, "has no key, or more than two, which is how many take over from each other");
        }
        let mut hashes = Vec::with_capacity(entry.hashes.len());
        for (index, hash) in entry.hashes.iter().enumerate() {
            let path = path.key("hashes").index(index);
            let Some(sha256) = hex(&hash.sha256) else {
                refuse(&path.key("sha256"), "not a SHA-256 in hex: 64 of 0-9 and a-f");
                continue;
            };
            if !known.insert(sha256) {
                refuse(&path.key("sha256"), "is there twice; every machine has its own keys");
            }
            let expires = match hash.expires.as_deref().map(units::parse_time) {
                Some(Err(message)) => {
                    refuse(&path.key("expires"), &message);
                    continue;
                }
                Some(Ok(time)) => Some(time),
                None => None,
            };
            hashes.push(KeyHash { sha256, expires });
        }
        let key = ApiKey { hashes, groups: entry.groups.clone(), scopes: entry.scopes.clone() };
        keys.insert(name.clone(), key);
    }
    check.report.include(report);
    ApiKeys { file, keys }
}

fn revoked(check: &mut Check<'_>, path: &Path, file: &str) -> Revoked {
    let (file, document) = document::<raw::RevokedFile>(check, path, file);
    let Some((root, raw, mut report)) = document else { return Revoked { file, ..Revoked::default() } };
    for (index, principal) in raw.principals.iter().enumerate() {
        let path = Path::top("principals").index(index);
        if !["user:", "key:", "cert:", "spiffe://"].iter().any(|kind| principal.starts_with(kind)) {
            let message = "not the id of a caller: `user:<issuer>#<subject>`, `key:<name>`, `cert:<fingerprint>` or \
                           `spiffe://…`";
            report.error(root.locate(&path).0, &path, message, None);
        }
    }
    check.report.include(report);
    Revoked {
        file,
        tokens: raw.tokens.into_iter().collect(),
        principals: raw.principals.into_iter().collect(),
    }
}

/// Reads a file beside the configuration the way that the configuration is read: its problems have its own lines.
fn document<T: JsonSchema + DeserializeOwned + Default>(
    check: &mut Check<'_>,
    path: &Path,
    file: &str,
) -> (PathBuf, Option<(Node, T, Report)>) {
    let file = check.file(path, file);
    if check.report.failed_under(path) {
        return (file, None);
    }
    let Some(format) = Format::of(&file) else {
        check.error(path, "expected a name that ends in .yaml, .yml, .json or .toml");
        return (file, None);
    };
    let text = match super::secret::read_bounded(&file, LARGEST) {
        Ok(text) => text,
        Err(error) => {
            check.error(path, format!("cannot read {}: {error}", file.display()));
            return (file, None);
        }
    };
    let mut report = Report::new(&file.display().to_string());
    let root = read::read(&text, format, &mut report);
    let Some(root) = root else {
        check.report.include(report);
        return (file, None);
    };
    if let Some(entry) = root.child("keys").filter(|entry| matches!(entry.node.value, Value::List(_))) {
        let message =
            "expected a mapping from names to `{ groups: […], hashes: [{ sha256: … }] }`, as `ci-bot: { … }`";
        report.error(entry.node.at, &Path::top("keys"), message, None);
        check.report.include(report);
        return (file, None);
    }
    let conformed = conform::conform(&schema::of::<T>(), &root, &mut report);
    // Whatever does not fit has been reported.
    let raw = serde_json::from_value(conformed).unwrap_or_default();
    (file, Some((root, raw, report)))
}

/// 32 bytes as 64 hexadecimal digits.
pub(super) fn hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits = text.bytes().map(digit).collect::<Option<Vec<_>>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: Vec<u8> = pairs.iter().map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok()
}
