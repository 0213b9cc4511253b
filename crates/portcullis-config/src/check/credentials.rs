//! As whom servers are called.
//!
//! A secret of the gateway's goes to an address that the operator wrote down, and never to one that a server names: so
//! whoever has a secret needs an issuer or a token endpoint beside it.

use std::time::Duration;

use ::http::{HeaderName, HeaderValue};

use super::Check;
use super::http::guarded_url;
use crate::node::Path;
use crate::raw::credentials::{ClientAuth, Credentials as Raw, Flavor, Kind, Mode, SubjectType};
use crate::{CredentialKind, Credentials, OauthClient, OauthClientAuth, Secret, SecretSource, raw};

/// How long an assertion counts when the file does not say, and at the most.
const LIFETIME: Duration = Duration::from_mins(1);
const LONGEST_LIFETIME: Duration = Duration::from_mins(10);

pub(super) fn credentials(check: &mut Check<'_>, path: &Path, raw: &Raw) -> Option<Credentials> {
    misplaced(check, path, raw);
    let kind = match raw.kind {
        Kind::None => return None,
        Kind::Static => fixed(check, path, raw)?,
        Kind::ClientCredentials => CredentialKind::ClientCredentials,
        Kind::TokenExchange => CredentialKind::TokenExchange {
            entra: raw.flavor == Some(Flavor::EntraObo),
            delegation: raw.mode != Some(Mode::Impersonation),
            actor: secret(check, path, "actor_token", raw.actor_token.as_ref()),
        },
        Kind::IdJag => id_jag(check, path, raw)?,
        Kind::WorkloadIdentity => {
            let Some(file) = &raw.token_file else {
                check.error(path, "needs `token_file`, in which the platform keeps the gateway's assertion");
                return None;
            };
            CredentialKind::WorkloadIdentity { file: check.resolve(file) }
        }
        Kind::Oauth => {
            if let Some(url) = &raw.client_metadata_url {
                asked(check, &path.key("client_metadata_url"), url);
            }
            CredentialKind::Oauth { client_metadata_url: raw.client_metadata_url.clone() }
        }
        Kind::Assertion => {
            let lifetime = check.duration(&path.key("lifetime"), raw.lifetime.as_ref(), LIFETIME);
            if lifetime > LONGEST_LIFETIME || lifetime.subsec_nanos() != 0 {
                check.error(
                    &path.key("lifetime"),
                    "must be whole seconds, up to 10m: whoever finds one may use it",
                );
            }
            let header = raw.header.as_ref().and_then(|name| header(check, path, name));
            CredentialKind::Assertion {
                lifetime,
                // What is published has to be known from the start.
                key: raw
                    .private_key
                    .as_ref()
                    .and_then(|key| check.secret(&path.key("private_key"), "private_key", key)),
                header,
            }
        }
    };
    let needs_client = matches!(raw.kind, Kind::ClientCredentials | Kind::TokenExchange | Kind::IdJag);
    let own = Own {
        id: raw.client_id.as_deref(),
        secret: raw.client_secret.as_ref(),
        key: raw.private_key.as_ref().filter(|_| raw.kind != Kind::Assertion),
        auth: raw.client_auth,
    };
    let client = client(check, path, &own, needs_client).ok()?;
    for (key, url) in [("issuer", &raw.issuer), ("token_url", &raw.token_url)] {
        if let Some(url) = url {
            asked(check, &path.key(key), url);
        }
    }
    let somewhere = raw.issuer.is_some() || raw.token_url.is_some();
    if client.is_some() && !somewhere && raw.kind != Kind::WorkloadIdentity {
        let message = "needs `issuer` or `token_url` beside `client_id`: what the gateway shows as itself goes to nobody \
                       that a server names";
        check.error(path, message);
    }
    scopes(check, &path.key("scopes"), &raw.scopes);
    Some(Credentials {
        kind,
        issuer: raw.issuer.clone(),
        token_url: raw.token_url.clone(),
        client,
        scopes: raw.scopes.clone(),
        audience: raw.audience.clone(),
        resource: raw.resource.clone(),
        dpop: raw.dpop.unwrap_or(false),
        private_network: raw.private_network.unwrap_or(false),
        ca: raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file)),
    })
}

fn misplaced(check: &mut Check<'_>, path: &Path, raw: &Raw) {
    use Kind as K;
    const TOKENS: &[Kind] =
        &[K::ClientCredentials, K::TokenExchange, K::IdJag, K::WorkloadIdentity, K::Oauth];
    const UNTIL_OAUTH: &[Kind] = &[K::ClientCredentials, K::TokenExchange, K::IdJag, K::WorkloadIdentity];
    const CLIENTS: &[Kind] = &[K::ClientCredentials, K::TokenExchange, K::IdJag, K::Oauth];
    let keys: [(&str, bool, &[Kind]); 22] = [
        ("token", raw.token.is_some(), &[K::Static]),
        ("header", raw.header.is_some(), &[K::Static, K::Assertion]),
        ("value", raw.value.is_some(), &[K::Static]),
        ("issuer", raw.issuer.is_some(), TOKENS),
        ("token_url", raw.token_url.is_some(), UNTIL_OAUTH),
        ("client_id", raw.client_id.is_some(), TOKENS),
        ("client_secret", raw.client_secret.is_some(), CLIENTS),
        (
            "private_key",
            raw.private_key.is_some(),
            &[K::ClientCredentials, K::TokenExchange, K::IdJag, K::Oauth, K::Assertion],
        ),
        ("client_auth", raw.client_auth.is_some(), CLIENTS),
        ("scopes", !raw.scopes.is_empty(), TOKENS),
        (
            "audience",
            raw.audience.is_some(),
            &[K::ClientCredentials, K::TokenExchange, K::IdJag, K::Assertion],
        ),
        ("resource", raw.resource.is_some(), TOKENS),
        ("flavor", raw.flavor.is_some(), &[K::TokenExchange]),
        ("mode", raw.mode.is_some(), &[K::TokenExchange]),
        ("actor_token", raw.actor_token.is_some(), &[K::TokenExchange]),
        ("subject_token", raw.subject_token.is_some(), &[K::IdJag]),
        ("subject_token_type", raw.subject_token_type.is_some(), &[K::IdJag]),
        ("idp", raw.idp.is_some(), &[K::IdJag]),
        ("token_file", raw.token_file.is_some(), &[K::WorkloadIdentity]),
        ("client_metadata_url", raw.client_metadata_url.is_some(), &[K::Oauth]),
        ("dpop", raw.dpop.is_some(), &[K::ClientCredentials, K::Oauth]),
        ("lifetime", raw.lifetime.is_some(), &[K::Assertion]),
    ];
    for (key, present, kinds) in keys {
        if present && !kinds.contains(&raw.kind) {
            check.error(&path.key(key), "does not go with this `kind`; remove it");
        }
    }
    if raw.kind == K::TokenExchange && raw.flavor == Some(Flavor::EntraObo) {
        for (key, present) in [("mode", raw.mode.is_some()), ("actor_token", raw.actor_token.is_some())] {
            if present {
                check.error(&path.key(key), "does not go with `flavor: entra-obo`; remove it");
            }
        }
    }
}

fn fixed(check: &mut Check<'_>, path: &Path, raw: &Raw) -> Option<CredentialKind> {
    match (&raw.token, &raw.header, &raw.value) {
        (Some(token), None, None) => {
            let value = check.kept_secret(&path.key("token"), "token", token)?;
            is_header_value(check, &path.key("token"), &value);
            Some(CredentialKind::Static { header: "authorization".to_owned(), value, bearer: true })
        }
        (None, Some(name), Some(value)) => {
            let value = check.kept_secret(&path.key("value"), "credential", value)?;
            is_header_value(check, &path.key("value"), &value);
            let header = header(check, path, name)?;
            Some(CredentialKind::Static { header, value, bearer: false })
        }
        _ => {
            check.error(path, "needs either `token`, or `header` and `value`");
            None
        }
    }
}

fn is_header_value(check: &mut Check<'_>, path: &Path, value: &Secret) {
    if matches!(value.source(), SecretSource::Vault(_)) {
        return;
    }
    let value = value.expose();
    if value.is_empty() || HeaderValue::from_str(value).is_err() {
        check.error(path, "is empty, or holds characters that no HTTP header can");
    }
}

fn header(check: &mut Check<'_>, path: &Path, name: &str) -> Option<String> {
    let known = HeaderName::from_bytes(name.as_bytes()).ok().map(|name| name.as_str().to_owned());
    let fits =
        known.filter(|name| !super::server::RESERVED.contains(&name.as_str()) && !name.starts_with("mcp-"));
    if fits.is_none() {
        check.error(&path.key("header"), "not the name of a header that the gateway does not set itself");
    }
    fits
}

fn id_jag(check: &mut Check<'_>, path: &Path, raw: &Raw) -> Option<CredentialKind> {
    let Some(idp) = &raw.idp else {
        check.error(path, "needs `idp`, the identity provider that gives the assertions");
        return None;
    };
    let path_of_idp = path.key("idp");
    if idp.issuer.is_none() && idp.token_url.is_none() {
        check.error(&path_of_idp, "needs `issuer` or `token_url`");
    }
    for (key, url) in [("issuer", &idp.issuer), ("token_url", &idp.token_url)] {
        if let Some(url) = url {
            asked(check, &path_of_idp.key(key), url);
        }
    }
    if raw.issuer.is_none() && raw.audience.is_none() {
        check.error(path, "needs `issuer`, the server's authorization server, for which the assertions are");
    }
    let own = Own {
        id: Some(&idp.client_id),
        secret: idp.client_secret.as_ref(),
        key: idp.private_key.as_ref(),
        auth: idp.client_auth,
    };
    Some(CredentialKind::IdJag {
        idp_issuer: idp.issuer.clone(),
        idp_token_url: idp.token_url.clone(),
        idp_client: client(check, &path_of_idp, &own, false).ok()??,
        subject: secret(check, path, "subject_token", raw.subject_token.as_ref()),
        id_token: raw.subject_token_type == Some(SubjectType::IdToken),
    })
}

/// Who the gateway is, as far as it is said.
struct Own<'a> {
    id: Option<&'a str>,
    secret: Option<&'a raw::Secret>,
    key: Option<&'a raw::Secret>,
    auth: Option<ClientAuth>,
}

/// What was wrong has been reported.
struct Reported;

/// Who the gateway is; `None` where nothing is said.
fn client(
    check: &mut Check<'_>,
    path: &Path,
    own: &Own<'_>,
    needed: bool,
) -> Result<Option<OauthClient>, Reported> {
    let Some(id) = own.id else {
        if needed || own.secret.is_some() || own.key.is_some() {
            check.error(path, "needs `client_id`");
            return Err(Reported);
        }
        return Ok(None);
    };
    if own.secret.is_some() && own.key.is_some() {
        check.error(&path.key("private_key"), "there is a `client_secret`, too; keep one of the two");
    }
    let wrong = match (own.auth, own.secret, own.key) {
        (Some(ClientAuth::Basic | ClientAuth::Post), None, _) => Some("needs `client_secret`"),
        (Some(ClientAuth::PrivateKeyJwt), _, None) => Some("needs `private_key`"),
        _ => None,
    };
    if let Some(message) = wrong {
        check.error(&path.key("client_auth"), message);
    }
    if needed && own.secret.is_none() && own.key.is_none() {
        check.error(path, "needs `client_secret` or `private_key`");
        return Err(Reported);
    }
    let auth = if let Some(key) = own.key {
        OauthClientAuth::PrivateKey(
            check.kept_secret(&path.key("private_key"), "private_key", key).ok_or(Reported)?,
        )
    } else if let Some(secret) = own.secret {
        let secret =
            check.kept_secret(&path.key("client_secret"), "client_secret", secret).ok_or(Reported)?;
        if own.auth == Some(ClientAuth::Post) {
            OauthClientAuth::Post(secret)
        } else {
            OauthClientAuth::Basic(secret)
        }
    } else {
        OauthClientAuth::Public
    };
    Ok(Some(OauthClient { id: id.to_owned(), auth }))
}

fn secret(check: &mut Check<'_>, path: &Path, key: &str, raw: Option<&raw::Secret>) -> Option<Secret> {
    check.kept_secret(&path.key(key), key, raw?)
}

/// A URL that secrets are sent to.
fn asked(check: &mut Check<'_>, path: &Path, url: &str) {
    guarded_url(check, path, url, "anybody on the way could read secrets");
}

/// Scopes as OAuth has them (RFC 6749 section 3.3).
pub(super) fn scopes(check: &mut Check<'_>, path: &Path, scopes: &[String]) {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    for (index, scope) in scopes.iter().enumerate() {
        if scope.is_empty() || !scope.bytes().all(fits) {
            check.error(
                &path.index(index),
                "not a scope: it is empty, or holds blanks, quotes or backslashes",
            );
        }
    }
}

/// The key of the vault.
pub(super) fn vault_key(check: &mut Check<'_>, raw: &raw::credentials::Vault) -> Option<[u8; 32]> {
    key_of(check, &Path::top("vault").key("key"), raw.key.as_ref()?)
}

/// A key of 32 bytes.
pub(super) fn key_of(check: &mut Check<'_>, path: &Path, raw: &raw::Secret) -> Option<[u8; 32]> {
    let secret = check.secret(path, "key", raw)?;
    let key = read_vault_key(secret.expose().trim());
    if key.is_none() && secret.is_read() {
        check.error(path, "not 32 bytes in base64 or hex; `openssl rand -base64 32` makes some");
    }
    key
}

/// A key of 32 bytes in hex or base64, as `vault.key` has it.
pub fn read_vault_key(text: &str) -> Option<[u8; 32]> {
    if let Some(key) = super::identity::hex(text) {
        return Some(key);
    }
    // base64, in either alphabet: 43 characters hold 258 bits, of which the last two are nothing.
    let text = text.trim_end_matches('=');
    if text.len() != 43 {
        return None;
    }
    let mut bytes = Vec::with_capacity(33);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_keys_of_32_bytes_and_no_others() {
        let all: Vec<u8> = (0..32).collect();
        let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        assert_eq!(read_vault_key(hex).unwrap().as_slice(), all);
        assert_eq!(read_vault_key(base64).unwrap().as_slice(), all);
        for bad in ["", "x", &hex[1..], &base64[4..], "!AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="] {
            assert_eq!(read_vault_key(bad), None, "{bad}");
        }
    }
}
