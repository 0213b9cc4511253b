//! TLS toward servers: whom to trust, and as whom to appear.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use portcullis_config::UpstreamTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// A TLS setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file is missing or holds something else.
    #[error("{path}: {why}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The server cannot be named so.
    #[error("no server name: {0}")]
    Name(String),
    /// A private key cannot be used.
    #[error("{0}")]
    Key(String),
    /// Something that was to be used is not fit for it.
    #[error("{0}")]
    Unfit(String),
    /// rustls refuses the combination.
    #[error("the TLS settings do not fit together: {0}")]
    Config(#[from] rustls::Error),
}

/// The certificates of a PEM file.
pub(crate) fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |why: String| TlsError::File { path: path.to_owned(), why };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| fail(format!("no certificates in PEM: {error}")))?;
    if certificates.is_empty() { Err(fail("holds no certificate".to_owned())) } else { Ok(certificates) }
}

/// The first private key of a PEM file.
pub(crate) fn load_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File {
        path: path.to_owned(),
        why: format!("no private key in PEM: {error}"),
    })
}

/// A trust store of the certificates of a PEM file.
pub(crate) fn load_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in load_certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// Tells apart what the files of `settings` hold from what they will hold when they have been renewed.
pub(super) fn fingerprint(settings: &UpstreamTls) -> Vec<u8> {
    let mut sum = digest::Context::new(&digest::SHA256);
    let certificates = [&settings.ca, &settings.cert, &settings.key].into_iter().flatten();
    for path in certificates {
        // A file that cannot be read is reported by whoever needs what is in it.
        sum.update(&std::fs::read(path).unwrap_or_default());
    }
    sum.finish().as_ref().to_vec()
}

/// The client side's TLS configuration for one server.
pub(crate) fn client_config(settings: &UpstreamTls) -> Result<ClientConfig, TlsError> {
    let roots = settings.ca.as_deref().filter(|_| settings.verify).map(load_roots).transpose()?;
    let own = match (&settings.cert, &settings.key) {
        (Some(cert), Some(key)) => Some((load_certificates(cert)?, load_key(key)?)),
        _ => None,
    };
    let mut config = configured(roots, settings.verify, own)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A certificate chain and its key.
type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The client side's TLS configuration that trusts `roots`, or those of the system, and appears as `own`.
pub(super) fn configured(
    roots: Option<RootCertStore>,
    verify: bool,
    own: Option<Own>,
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder();
    let builder = if verify {
        builder.with_root_certificates(roots.unwrap_or_else(system_roots))
    } else {
        let provider = builder.crypto_provider().clone();
        builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification(provider)))
    };
    Ok(match own {
        Some((certificates, key)) => builder.with_client_auth_cert(certificates, key)?,
        None => builder.with_no_client_auth(),
    })
}

/// The client side's TLS configuration toward what is no server, which speaks no HTTP: trusts the authorities of a file, or
/// those of the system.
///
/// # Errors
/// The file cannot be used.
pub fn client_tls(ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let roots = match ca {
        Some(path) => load_roots(path)?,
        None => system_roots(),
    };
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of the system's trust store cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// `verify: false`: any certificate, though the handshake's signatures must still be right.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
