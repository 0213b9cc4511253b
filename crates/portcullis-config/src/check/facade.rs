//! The gateway's own authorization server. What redirect URIs and keys may be, `portcullis-identity` knows; the gateway asks
//! it when it takes the settings up.

use std::net::SocketAddr;
use std::time::Duration;

use super::Check;
use super::http::{is_host, is_loopback};
use super::identity::{asked, issuer_url};
use crate::node::Path;
use crate::{Facade, FacadeClient, FacadeDocuments, FacadeIdp, Tenants, raw};

/// How long an access token lives when the file does not say, and at the most.
const ACCESS: (Duration, Duration) = (Duration::from_mins(10), Duration::from_hours(1));
/// The same for a login.
const SESSION: (Duration, Duration) = (Duration::from_hours(12), Duration::from_hours(30 * 24));
/// Shortest key.
const SHORTEST_KEY: usize = 32;
/// Shortest secret of a client.
const SHORTEST_SECRET: usize = 24;
/// Largest file of public keys, in bytes.
const LARGEST: u64 = 64 << 10;

pub(super) fn facade(
    check: &mut Check<'_>,
    path: &Path,
    raw: &raw::Facade,
    file: &raw::File,
) -> Option<Facade> {
    let key = match &raw.key {
        Some(key) => {
            let path = path.key("key");
            let key = check.secret(&path, "key", key)?;
            if key.is_read() && key.expose().len() < SHORTEST_KEY {
                let message = "is shorter than 32 characters; `openssl rand -base64 32` makes a good one";
                check.error(&path, message);
            }
            Some(key)
        }
        None => {
            if matches!(file.store, Some(raw::Store::Postgres { .. })) {
                let message = "needs `key`: gateways that share a store would make up one each, and none could open what \
                               another keeps; `openssl rand -base64 32` makes a good one";
                check.error(path, message);
            }
            None
        }
    };
    for (index, issuer) in raw.id_jag.iter().enumerate() {
        asked(check, &path.key("id_jag").index(index), issuer);
    }
    let clients = raw
        .clients
        .iter()
        .filter_map(|(id, raw)| Some((id.clone(), client(check, &path.key("clients").key(id), id, raw)?)));
    let clients = clients.collect();
    let mut duration = |key: &str, raw: Option<&raw::Duration>, (default, longest): (Duration, Duration)| {
        let path = path.key(key);
        let duration = check.duration(&path, raw, default);
        if duration > longest {
            check.error(&path, format!("is longer than {}", crate::units::show_duration(longest)));
        }
        duration
    };
    let access_ttl = duration("access_ttl", raw.access_ttl.as_ref(), ACCESS);
    let session_ttl = duration("session_ttl", raw.session_ttl.as_ref(), SESSION);
    Some(Facade {
        idp: idp(check, &path.key("idp"), &raw.idp)?,
        key,
        clients,
        documents: documents(check, &path.key("documents"), &raw.documents),
        registration: raw.registration.unwrap_or(false),
        id_jag: raw.id_jag.clone(),
        access_ttl,
        session_ttl,
    })
}

fn idp(check: &mut Check<'_>, path: &Path, raw: &raw::FacadeIdp) -> Option<FacadeIdp> {
    issuer_url(check, &path.key("issuer"), &raw.issuer);
    if raw.client_secret.is_some() && raw.client_key.is_some() {
        check.error(&path.key("client_key"), "there is `client_secret` as well; keep one of the two");
    }
    if raw.client_key_id.is_some() && raw.client_key.is_none() {
        check.error(&path.key("client_key_id"), "only works with `client_key`");
    }
    let profile = raw.profile.unwrap_or(raw::IdpProfile::Generic);
    let several = ["/common/", "/organizations/", "/consumers/"].iter().any(|it| raw.issuer.contains(it));
    let open = match profile {
        raw::IdpProfile::Google => true,
        raw::IdpProfile::Entra => several,
        _ => false,
    };
    if open && raw.tenants.is_none() {
        let message = "anybody in the world has an account there: name those who are let in with `tenants`";
        check.error(&path.key("profile"), message);
    }
    if raw.tenants.as_ref().is_some_and(Vec::is_empty) {
        check.error(&path.key("tenants"), "lets nobody in; name tenants or remove it");
    }
    let secret = match &raw.client_secret {
        Some(secret) => Some(check.secret(&path.key("client_secret"), "client_secret", secret)?),
        None => None,
    };
    let key = match &raw.client_key {
        Some(key) => Some(check.secret(&path.key("client_key"), "client_key", key)?),
        None => None,
    };
    let usual = if matches!(profile, raw::IdpProfile::Google) { "hd" } else { "tid" };
    let claim = raw.tenant_claim.clone().unwrap_or_else(|| usual.to_owned());
    Some(FacadeIdp {
        issuer: raw.issuer.clone(),
        client_id: raw.client_id.clone(),
        client_secret: secret,
        client_key: key,
        client_key_id: raw.client_key_id.clone(),
        profile: profile.as_str(),
        scopes: raw.scopes.clone(),
        groups_claim: raw.groups_claim.clone(),
        tenants: raw.tenants.clone().map(|allowed| Tenants { claim, allowed }),
        ca: raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file)),
    })
}

fn client(check: &mut Check<'_>, path: &Path, id: &str, raw: &raw::FacadeClient) -> Option<FacadeClient> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\<>".contains(&byte);
    if id.is_empty() || id.len() > 128 || !id.bytes().all(plain) || id.starts_with("https://") {
        check.error(path, "not an id for a client: use 1 to 128 visible ASCII characters, and no URL");
    }
    if raw.secret.is_some() && raw.jwks.is_some() {
        check.error(&path.key("jwks"), "there is `secret` as well; keep one of the two");
    }
    let machine = raw.client_credentials.unwrap_or(false);
    if machine && raw.secret.is_none() && raw.jwks.is_none() {
        check.error(
            &path.key("client_credentials"),
            "needs `secret` or `jwks`: anybody could say that it is this client",
        );
    }
    if !machine && !raw.groups.is_empty() {
        check.error(
            &path.key("groups"),
            "only works with `client_credentials`: people have groups of their own",
        );
    }
    if !machine && raw.redirect_uris.is_empty() {
        check.error(path, "has neither `redirect_uris` nor `client_credentials`, so nobody could use it");
    }
    let secret = match &raw.secret {
        Some(secret) => Some(check.secret(&path.key("secret"), "secret", secret)?),
        None => None,
    };
    if secret.as_ref().is_some_and(|secret| secret.is_read() && secret.expose().len() < SHORTEST_SECRET) {
        let message = "is shorter than 24 characters, which somebody could guess; `openssl rand -base64 24` makes a good one";
        check.error(&path.key("secret"), message);
    }
    let jwks = match &raw.jwks {
        Some(file) => {
            let path = path.key("jwks");
            let file = check.file(&path, file);
            match super::secret::read_bounded(&file, LARGEST) {
                Ok(text) => Some((file, text)),
                Err(_) if check.report.failed_under(&path) => None,
                Err(error) => {
                    check.error(&path, format!("cannot read {}: {error}", file.display()));
                    None
                }
            }
        }
        None => None,
    };
    Some(FacadeClient {
        name: raw.name.clone().unwrap_or_else(|| id.to_owned()),
        redirect_uris: raw.redirect_uris.clone(),
        secret,
        jwks,
        client_credentials: machine,
        groups: raw.groups.clone(),
    })
}

fn documents(check: &mut Check<'_>, path: &Path, raw: &raw::FacadeDocuments) -> FacadeDocuments {
    for (index, host) in raw.hosts.iter().enumerate() {
        if !is_host(host) || host.contains(':') {
            check.error(
                &path.key("hosts").index(index),
                "not a host; expected a name such as `clients.example.com`",
            );
        }
    }
    for (index, origin) in raw.internal.iter().enumerate() {
        if !origin.strip_prefix("https://").is_some_and(is_host) {
            let message = "not an origin; expected `https://host` or `https://host:port`";
            check.error(&path.key("internal").index(index), message);
        }
    }
    FacadeDocuments {
        enabled: raw.enabled.unwrap_or(true),
        hosts: raw.hosts.clone(),
        internal: raw.internal.clone(),
        ca: raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file)),
    }
}

/// Off this machine, people's logins need a name that is not another one behind the next proxy, and a way nobody reads.
pub(super) fn on_the_network(check: &mut Check<'_>, file: &raw::File, listen: SocketAddr) {
    if file.identity.facade.is_none() {
        return;
    }
    let path = Path::top("identity").key("facade");
    let loopback = listen.ip().to_canonical().is_loopback();
    match &file.public_url {
        None if !loopback => check.error(&path, "needs `public_url`: it is a part of the name of the issuer"),
        Some(url)
            if url.parse().is_ok_and(|url: ::http::Uri| !is_loopback(&url))
                && !url.starts_with("https://") =>
        {
            check.error(&path, "needs `public_url` to be `https`: people log in there");
        }
        _ => {}
    }
}
