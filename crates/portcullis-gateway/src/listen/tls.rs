//! TLS and mTLS on the listener.
//!
//! The configuration is swapped as a whole when the files change. Connections that are open keep their keys; the certificates
//! of their clients are held against the new authorities (`shown.rs`).

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use portcullis_config::{Settings, Tls};
use portcullis_model::Principal;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use webpki::EndEntityCert;

use super::shown::{Shown, Trust};
use crate::record::hex;
use crate::upstream::TlsError;
use crate::upstream::tls::{load_certificates, load_key, load_roots};

/// The listener's certificate, key and client CA, replaceable while it serves.
#[derive(Clone)]
pub struct ListenerTls {
    config: Arc<ArcSwap<ServerConfig>>,
    /// Whose certificates count, on connections from before too.
    trust: Arc<Trust>,
}

/// Whether clients must show a certificate. Where they may have a token instead, those without one are let that far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Without one there is no connection.
    Required,
    /// A connection without one is nobody's yet.
    Optional,
}

impl Certificates {
    /// What the settings ask for.
    pub fn of(settings: &Settings) -> Self {
        if settings.identity.takes_tokens() { Self::Optional } else { Self::Required }
    }
}

/// Reads the files of `settings`.
///
/// # Errors
/// Which file cannot be used, and why; or that they do not fit together.
pub fn load(settings: &Tls, certificates: Certificates) -> Result<ListenerTls, TlsError> {
    let (config, verifier) = server_config(settings, certificates)?;
    Ok(ListenerTls { config: Arc::new(ArcSwap::from_pointee(config)), trust: Trust::new(verifier) })
}

type Verifier = Option<Arc<dyn ClientCertVerifier>>;

fn server_config(settings: &Tls, certificates: Certificates) -> Result<(ServerConfig, Verifier), TlsError> {
    let builder = ServerConfig::builder();
    let mut trusted: Verifier = None;
    let builder = match &settings.client_ca {
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder(Arc::new(load_roots(path)?));
            let verifier = match certificates {
                Certificates::Required => verifier.build(),
                Certificates::Optional => verifier.allow_unauthenticated().build(),
            };
            let verifier = verifier.map_err(|error| TlsError::File {
                path: path.clone(),
                why: format!("no usable client CA: {error}"),
            })?;
            trusted = Some(verifier.clone());
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(load_certificates(&settings.cert)?, load_key(&settings.key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, trusted))
}

impl ListenerTls {
    /// Reads the files again; new connections get what is in them now, and the certificates of those from before are held
    /// against the authorities that are in them now.
    ///
    /// # Errors
    /// As [`load`]; the old certificates stay in use then.
    pub fn reload(&self, settings: &Tls, certificates: Certificates) -> Result<(), TlsError> {
        let (config, verifier) = server_config(settings, certificates)?;
        self.config.store(Arc::new(config));
        self.trust.replace(verifier);
        Ok(())
    }

    /// Shakes hands, and says who the client proved to be, and by which certificate.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<(TlsStream<TcpStream>, Principal, Option<Arc<Shown>>)> {
        let stream = TlsAcceptor::from(self.config.load_full()).accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let Some(certificate) = chain.first() else { return Ok((stream, Principal::Anonymous, None)) };
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, certificate).as_ref());
        let principal = match spiffe_id(certificate) {
            Some(spiffe_id) => Principal::Workload { spiffe_id: spiffe_id.into() },
            None => Principal::Certificate { fingerprint: hex(&sha256).into() },
        };
        let shown = Shown::new(chain, sha256, &self.trust);
        Ok((stream, principal, Some(Arc::new(shown))))
    }
}

/// Longest SPIFFE id, in bytes (SPIFFE-ID section 2.3).
const LONGEST_ID: usize = 2048;

/// The SPIFFE id of an X.509-SVID: the one URI that the certificate names (X509-SVID section 2). A certificate with
/// several is none.
fn spiffe_id(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_uri_names();
    let (Some(id), None) = (names.next(), names.next()) else { return None };
    let (domain, path) = id.strip_prefix("spiffe://")?.split_once('/')?;
    (id.len() <= LONGEST_ID && !domain.is_empty() && !path.is_empty()).then(|| id.to_owned())
}
