//! As whom an API server is asked, and whom it is taken for.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_config::{ClusterAccess, ClusterAuth, Pem};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::upstream::tls::{TlsError, configured, load_certificates, load_key};

/// What a request is sent with.
pub(super) enum Bearer {
    None,
    Token(String),
    /// Read before each request, since the platform replaces what is in it.
    File(PathBuf),
}

impl Bearer {
    pub(super) fn of(auth: &ClusterAuth) -> Self {
        match auth {
            ClusterAuth::None | ClusterAuth::Certificate { .. } => Self::None,
            ClusterAuth::Token(token) => Self::Token(token.expose().to_owned()),
            ClusterAuth::TokenFile(file) => Self::File(file.clone()),
        }
    }

    /// The value of `Authorization`, where there is one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) async fn authorization(&self) -> Result<Option<String>, String> {
        let token = match self {
            Self::None => return Ok(None),
            Self::Token(token) => token.clone(),
            Self::File(file) => tokio::fs::read_to_string(file)
                .await
                .map_err(|error| format!("the token in {} cannot be read: {error}", file.display()))?,
        };
        let token = token.trim();
        // What could end a header is no token.
        if token.is_empty() || token.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("what is configured as token is none".to_owned());
        }
        Ok(Some(format!("Bearer {token}")))
    }
}

/// TLS toward an API server.
///
/// # Errors
/// Certificates or a key cannot be used.
pub(super) fn tls(access: &ClusterAccess) -> Result<ClientConfig, TlsError> {
    let roots = match &access.ca {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem)? {
                roots.add(certificate)?;
            }
            Some(roots)
        }
        None => None,
    };
    let own = match &access.auth {
        ClusterAuth::Certificate { cert, key } => Some((certificates(cert)?, private_key(key)?)),
        _ => None,
    };
    let mut config = configured(roots, access.verify, own)?;
    // A watch that ends is then a connection that ends.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    match pem {
        Pem::File(file) => load_certificates(file),
        Pem::Base64(_) => {
            let text = decoded(pem)?;
            let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
            all.ok().filter(|all| !all.is_empty()).ok_or_else(|| inline("no certificate in PEM"))
        }
    }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, TlsError> {
    match pem {
        Pem::File(file) => load_key(file),
        Pem::Base64(_) => {
            PrivateKeyDer::from_pem_slice(&decoded(pem)?).map_err(|_| inline("no private key in PEM"))
        }
    }
}

fn decoded(pem: &Pem) -> Result<Vec<u8>, TlsError> {
    match pem {
        Pem::Base64(data) => STANDARD.decode(data.expose()).map_err(|_| inline("no base64")),
        Pem::File(_) => Ok(Vec::new()),
    }
}

fn inline(why: &str) -> TlsError {
    TlsError::Unfit(format!("what stands in the kubeconfig as `…-data` is {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_read_anew_for_each_request() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let bearer = Bearer::of(&ClusterAuth::TokenFile(file.path().to_owned()));
        for token in ["one", "two"] {
            std::fs::write(file.path(), format!("{token}\n")).expect("written");
            let expected = format!("Bearer {token}");
            assert_eq!(bearer.authorization().await.expect("read"), Some(expected));
        }
        for wrong in ["", "a\r\nhost: b"] {
            std::fs::write(file.path(), wrong).expect("written");
            bearer.authorization().await.expect_err(wrong);
        }
        drop(file);
        assert!(bearer.authorization().await.expect_err("gone").contains("cannot be read"));
    }
}
