//! Who calls, wired to the rest: settings for `portcullis-identity`, a client for it, and the names of our endpoints.
//!
//! How a credential is checked is that crate's; which requests need one is `listen/authentication.rs`'s.

mod client;
mod counts;
mod facade;
mod vault;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use portcullis_config::{self as config, Settings};
use portcullis_identity::doctor::Probe;
use portcullis_identity::outbound::{Login, LoginSettings, Office, Secrets, VaultAuth, VaultSettings};
use portcullis_identity::{
    Algorithm, ApiKey, Facade, FacadeSettings, Fetch, Introspection, IssuerSettings, KeyHash, Revoked,
    Settings as Identity, Tenants,
};
use tokio::runtime::Handle;

use crate::call::Endpoint;
use crate::upstream::TlsError;
use crate::upstream::credentials::{client as client_of, hidden};
use client::Outside;
pub(crate) use counts::{Counts, accepted, refused};
pub use vault::Vault;

pub(crate) use facade::{ISSUER_PATH, outsides as facade_outsides, settings as facade_settings};

/// What the configuration says about who may call, in the words of `portcullis-identity`. Where the gateway logs people in
/// itself, it is one issuer more, and the one that clients are sent to.
pub(crate) fn settings(identity: &config::Identity, facade: Option<&FacadeSettings>) -> Identity {
    let revoked = identity.revoked.clone().unwrap_or_default();
    let own = facade.map(Facade::as_issuer);
    Identity {
        authorization_server: own.as_ref().map(|own| own.issuer.clone()),
        issuers: own.into_iter().chain(identity.issuers.iter().map(issuer)).collect(),
        keys: identity
            .keys
            .iter()
            .flat_map(|file| &file.keys)
            .map(|(id, key)| {
                let hash = |it: &config::KeyHash| KeyHash { sha256: it.sha256, expires: it.expires };
                let hashes = key.hashes.iter().map(hash).collect();
                let key = ApiKey { hashes, groups: key.groups.clone(), scopes: key.scopes.clone() };
                (id.clone(), key)
            })
            .collect(),
        scopes: identity.scopes.clone(),
        dpop_required: identity.dpop.required,
        dpop_nonce: identity.dpop.nonce,
        revoked: Revoked { tokens: revoked.tokens, principals: revoked.principals },
    }
}

fn issuer(issuer: &config::Issuer) -> IssuerSettings {
    let algorithms: Vec<_> = issuer.algorithms.iter().filter_map(|name| Algorithm::parse(name)).collect();
    let tenants = issuer.tenants.clone();
    IssuerSettings {
        issuer: issuer.issuer.clone(),
        audience: issuer.audience.clone(),
        groups_claim: issuer.groups_claim.clone(),
        groups_prefix: issuer.groups_prefix.clone(),
        algorithms: if algorithms.is_empty() { Algorithm::USUAL.to_vec() } else { algorithms },
        jwks_url: issuer.jwks_url.clone(),
        introspection: issuer.introspection.as_ref().map(|it| Introspection {
            url: it.url.clone(),
            client_id: it.client_id.clone(),
            proof: facade::proof(
                it.client_secret.as_ref(),
                it.client_key.as_ref(),
                it.client_key_id.as_ref(),
            ),
        }),
        tenants: tenants.map(|it| Tenants { claim: it.claim, allowed: it.allowed }),
        untyped: issuer.untyped,
        max_lifetime: issuer.max_lifetime,
    }
}

/// A client that asks the outside; it trusts the authorities of a file, or those of the system.
///
/// # Errors
/// Why the authorities cannot be trusted.
pub(crate) fn outside(ca: Option<&Path>) -> Result<Arc<dyn Fetch>, TlsError> {
    Ok(Arc::new(Outside::new(ca)?))
}

/// What logs browsers in, where the configuration says how.
///
/// # Errors
/// Why the authorities cannot be trusted.
pub(crate) fn login(identity: &config::Identity, office: &Arc<Office>) -> Result<Option<Login>, TlsError> {
    let Some(login) = &identity.login else { return Ok(None) };
    let settings = LoginSettings {
        issuer: login.issuer.clone(),
        client: client_of(&login.client)?,
        scopes: login.scopes.clone(),
    };
    Ok(Some(Login::new(office.clone(), settings, outside(login.ca.as_deref())?)))
}

/// What reads secrets that the configuration does not hold itself; the one that is there where nothing about it has changed,
/// with all that it has read.
///
/// # Errors
/// Why the authorities cannot be trusted.
pub(crate) fn secrets(
    settings: &Settings,
    office: &Office,
    control: &Handle,
) -> Result<Option<Arc<Secrets>>, TlsError> {
    let Some(settings) = settings.secrets.as_ref().map(vault_settings) else { return Ok(None) };
    if let Some(known) = office.secrets().filter(|known| *known.settings() == settings) {
        return Ok(Some(known));
    }
    let fetch = outside(settings.ca.as_deref())?;
    Ok(Some(Secrets::new(settings, fetch, control)))
}

fn vault_settings(vault: &config::SecretVault) -> VaultSettings {
    VaultSettings {
        url: vault.url.clone(),
        namespace: vault.namespace.clone(),
        ca: vault.ca.clone(),
        auth: match &vault.auth {
            config::VaultAuth::Token(token) => VaultAuth::Token(hidden(token)),
            config::VaultAuth::AppRole { mount, role_id, secret_id } => VaultAuth::AppRole {
                mount: mount.clone(),
                role_id: role_id.clone(),
                secret_id: hidden(secret_id),
            },
            config::VaultAuth::Jwt { mount, role, file } => {
                VaultAuth::Jwt { mount: mount.clone(), role: role.clone(), file: file.clone() }
            }
        },
        max_age: vault.max_age,
    }
}

/// Clients of issuers, by their identifiers.
pub(crate) type Clients = Vec<(String, Arc<dyn Fetch>)>;

/// Whether the gateway can prove itself to its issuers.
///
/// # Errors
/// What cannot be as it is, with its place in the file.
pub(crate) fn check_keys(identity: &config::Identity) -> Result<(), String> {
    let mut keys = identity
        .issuers
        .iter()
        .enumerate()
        .filter_map(|(index, issuer)| Some((index, issuer.introspection.as_ref()?.client_key.as_ref())));
    keys.try_for_each(|(index, key)| {
        facade::check_key(&format!("identity.issuers[{index}].introspection.client_key"), key)
    })
}

/// A client for each issuer.
///
/// # Errors
/// An issuer, and why the authorities that are to be trusted for it cannot be.
pub(crate) fn clients(identity: &config::Identity) -> Result<Clients, (String, TlsError)> {
    let client = |issuer: &config::Issuer| match Outside::new(issuer.ca.as_deref()) {
        Ok(client) => Ok((issuer.issuer.clone(), Arc::new(client) as Arc<dyn Fetch>)),
        Err(error) => Err((issuer.issuer.clone(), error)),
    };
    identity.issuers.iter().map(client).collect()
}

/// A client that tells whatever comes, for finding out why a login does not work.
///
/// # Errors
/// The authorities that are to be trusted cannot be.
pub fn probe(ca: Option<&Path>) -> Result<Arc<dyn Probe>, TlsError> {
    Ok(Arc::new(Outside::new(ca)?))
}

/// The two transports have addresses of their own for one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Streamable HTTP.
    Streamable,
    /// HTTP+SSE.
    Sse,
}

/// The URL under which clients know the gateway: what the operator says, never what a request's `Host` says.
pub(crate) fn base(settings: &Settings, address: Option<SocketAddr>) -> String {
    if let Some(url) = &settings.public_url {
        return url.clone();
    }
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", address.unwrap_or(settings.listen))
}

/// The identifier of an endpoint as a protected resource (RFC 8707, RFC 9728): its URL.
pub(crate) fn identifier(base: &str, endpoint: &Endpoint, form: Form) -> String {
    let place = endpoint.place();
    match form {
        Form::Streamable => format!("{base}/mcp{place}"),
        Form::Sse => format!("{base}{place}/sse"),
    }
}

/// What follows the host of a URL.
pub(crate) fn path_of(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or("", |at| &url[start + at..])
}

#[cfg(test)]
mod tests {
    use portcullis_model::{ServerId, ToolsetId};

    use super::*;

    #[test]
    fn every_endpoint_is_a_resource_of_its_own_on_either_transport() {
        let server = Endpoint::Server(ServerId::parse("crm").unwrap());
        let toolset = Endpoint::Toolset(ToolsetId::parse("crm").unwrap());
        let all = [
            (&Endpoint::Aggregate, Form::Streamable, "https://h/mcp"),
            (&Endpoint::Aggregate, Form::Sse, "https://h/sse"),
            (&server, Form::Streamable, "https://h/mcp/s/crm"),
            (&server, Form::Sse, "https://h/s/crm/sse"),
            (&toolset, Form::Streamable, "https://h/mcp/v/crm"),
            (&toolset, Form::Sse, "https://h/v/crm/sse"),
        ];
        for (endpoint, form, expected) in all {
            assert_eq!(identifier("https://h", endpoint, form), expected);
        }
        assert_eq!((path_of("https://h/a/b"), path_of("https://h")), ("/a/b", ""));
    }
}
