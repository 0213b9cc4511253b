//! TLS and mTLS on the listener.
//!
//! The configuration is swapped as a whole when the files change; connections that are open keep theirs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use portcullis_config::Tls;
use portcullis_model::Principal;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::upstream::TlsError;
use crate::upstream::tls::{load_certificates, load_key, load_roots};

/// The listener's certificate, key and client CA, replaceable while it serves.
#[derive(Clone)]
pub struct ListenerTls(Arc<ArcSwap<ServerConfig>>);

/// Reads the files of `settings`.
///
/// # Errors
/// Which file cannot be used, and why; or that they do not fit together.
pub fn load(settings: &Tls) -> Result<ListenerTls, TlsError> {
    Ok(ListenerTls(Arc::new(ArcSwap::from_pointee(server_config(settings)?))))
}

fn server_config(settings: &Tls) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder();
    let builder = match &settings.client_ca {
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder(Arc::new(load_roots(path)?)).build();
            let verifier = verifier.map_err(|error| TlsError::File {
                path: path.clone(),
                why: format!("no usable client CA: {error}"),
            })?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config =
        builder.with_single_cert(load_certificates(&settings.cert)?, load_key(&settings.key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl ListenerTls {
    /// Reads the files again; new connections get what is in them now.
    ///
    /// # Errors
    /// As [`load`]; the old certificates stay in use then.
    pub fn reload(&self, settings: &Tls) -> Result<(), TlsError> {
        self.0.store(Arc::new(server_config(settings)?));
        Ok(())
    }

    /// Shakes hands, and says who the client proved to be.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<(TlsStream<TcpStream>, Principal)> {
        let stream = TlsAcceptor::from(self.0.load_full()).accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let principal = match certificate {
            Some(certificate) => {
                Principal::Certificate { fingerprint: hex(digest(&SHA256, certificate).as_ref()).into() }
            }
            None => Principal::Anonymous,
        };
        Ok((stream, principal))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
