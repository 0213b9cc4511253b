//! The settings of the gateway's own authorization server, in the words of `portcullis-identity`.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_config::{self as config, CredentialKind, Transport};
use portcullis_identity::{
    ClientProof, ConfiguredClient, DocumentSettings, FacadeSettings, IdpSettings, Outsides, Profile, SealKey,
    Tenants, is_fit_for_operator,
};

use super::client::Outside;
use super::counts::Counts;
use crate::upstream::TlsError;

/// What follows `public_url` in the issuer.
pub(crate) const ISSUER_PATH: &str = "/as";

/// The settings, for a gateway that clients know under `base`.
///
/// # Errors
/// What cannot be as it is, with its place in the file.
pub(crate) fn settings(settings: &config::Settings, base: &str) -> Result<Option<FacadeSettings>, String> {
    let identity = &settings.identity;
    let Some(facade) = &identity.facade else { return Ok(None) };
    let mut clients = Vec::with_capacity(facade.clients.len());
    for (id, client) in &facade.clients {
        if let Some(uri) = client.redirect_uris.iter().find(|uri| !is_fit_for_operator(uri)) {
            return Err(format!(
                "identity.facade.clients.{id}.redirect_uris: {uri} is no address to send people to; expected `https://…`, \
                 `http://127.0.0.1…` or a scheme of the application's own"
            ));
        }
        clients.push(ConfiguredClient {
            id: id.clone(),
            name: client.name.clone(),
            redirect_uris: client.redirect_uris.clone(),
            secret: client.secret.as_ref().map(|secret| sha256(secret.expose())),
            jwks: client.jwks.as_ref().map(|(_, text)| text.clone()),
            machine: client.client_credentials.then(|| client.groups.clone()),
        });
    }
    let idp = &facade.idp;
    check_key("identity.facade.idp.client_key", idp.client_key.as_ref())?;
    let proof = proof(idp.client_secret.as_ref(), idp.client_key.as_ref(), idp.client_key_id.as_ref());
    let tenants = idp.tenants.clone();
    Ok(Some(FacadeSettings {
        issuer: format!("{base}{ISSUER_PATH}"),
        base: base.to_owned(),
        key: facade.key.as_ref().map(|key| SealKey(key.expose().to_owned())),
        idp: IdpSettings {
            issuer: idp.issuer.clone(),
            client_id: idp.client_id.clone(),
            proof,
            profile: Profile::parse(idp.profile).unwrap_or_default(),
            scopes: idp.scopes.clone(),
            groups_claim: idp.groups_claim.clone(),
            tenants: tenants.map(|it| Tenants { claim: it.claim, allowed: it.allowed }),
        },
        scopes: identity.scopes.clone(),
        step_up: identity.step_up.clone(),
        clients,
        documents: DocumentSettings {
            enabled: facade.documents.enabled,
            hosts: facade.documents.hosts.clone(),
            internal: facade.documents.internal.clone(),
        },
        registration: facade.registration,
        id_jag: facade.id_jag.clone(),
        dpop_required: identity.dpop.required,
        dpop_nonce: identity.dpop.nonce,
        access_ttl: facade.access_ttl,
        authorities: [&idp.ca, &facade.documents.ca]
            .map(|file| Some(sha256(std::fs::read(file.as_ref()?).ok()?))),
        keeps_id_tokens: exchanges(settings),
        session_ttl: facade.session_ttl,
    }))
}

/// Whether a server is called in exchange for its callers' tokens.
fn exchanges(settings: &config::Settings) -> bool {
    settings.all_servers().filter(|server| server.enabled).any(|server| match &server.transport {
        Transport::Http(http) => match http.credentials.as_ref().map(|it| &it.kind) {
            Some(CredentialKind::IdJag { subject, .. }) => subject.is_none(),
            Some(CredentialKind::TokenExchange { entra, .. }) => !entra,
            _ => false,
        },
        Transport::Stdio(_) => false,
    })
}

/// Whether a key of the gateway's can sign.
///
/// # Errors
/// It cannot, with its place in the file.
pub(super) fn check_key(place: &str, key: Option<&config::Secret>) -> Result<(), String> {
    if key.is_none_or(|key| ClientProof::is_key(key.expose())) {
        return Ok(());
    }
    Err(format!("{place}: not a private key as PKCS#8 in PEM (`BEGIN PRIVATE KEY`), P-256, RSA or Ed25519"))
}

/// What the gateway proves itself by.
pub(super) fn proof(
    secret: Option<&config::Secret>,
    key: Option<&config::Secret>,
    kid: Option<&String>,
) -> ClientProof {
    match (secret, key) {
        (_, Some(key)) => ClientProof::Key { pem: key.expose().to_owned(), kid: kid.cloned() },
        (Some(secret), None) => ClientProof::Secret(secret.expose().to_owned()),
        (None, None) => ClientProof::None,
    }
}

/// Through what it asks the outside.
///
/// # Errors
/// The authorities that are to be trusted cannot be.
pub(crate) fn outsides(facade: &config::Facade, watch: Counts) -> Result<Outsides, TlsError> {
    Ok(Outsides {
        idp: Arc::new(Outside::new(facade.idp.ca.as_deref())?),
        documents: Arc::new(Outside::new(facade.documents.ca.as_deref())?),
        watch: Arc::new(watch),
    })
}

fn sha256(text: impl AsRef<[u8]>) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_ref()).as_ref());
    out
}
