//! How the collector is reached: endpoint, protocol, headers, trust.
//!
//! Both protocols of OTLP 1.x that collectors must speak: gRPC and protobuf over HTTP. TLS is rustls with the
//! system's roots, or with one CA of the operator's own. What the settings leave open is the exporter's
//! default; a request takes at most ten seconds and is tried again a few times as OTLP asks.
//!
//! Compression is left out: spans are small and collectors are near.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, uri::Scheme};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
    tonic_types::{
        metadata::MetadataMap,
        transport::{Certificate, ClientTlsConfig},
    },
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};

/// How long one export request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How spans go over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP/gRPC, by custom on port 4317.
    Grpc,
    /// OTLP/HTTP with binary protobuf, by custom on port 4318.
    HttpProtobuf,
}

/// Where spans go, and which.
#[derive(Clone)]
pub struct OtlpSettings {
    /// `http://` or `https://`, without user information. With [`OtlpProtocol::HttpProtobuf`] an endpoint
    /// without a path means `/v1/traces` there; with [`OtlpProtocol::Grpc`] the path is not used.
    pub endpoint: String,
    /// The wire format.
    pub protocol: OtlpProtocol,
    /// Sent with each request, such as a token for the collector. `Debug` shows names only.
    pub headers: Vec<(String, String)>,
    /// The share of traces without a parent that is recorded, from 0 to 1.
    pub sample_ratio: f64,
    /// `service.name` of every span.
    pub service_name: String,
    /// PEM certificates to trust instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
}

impl Default for OtlpSettings {
    /// A collector beside the gateway, every trace.
    fn default() -> Self {
        Self {
            endpoint: "http://127.0.0.1:4317".to_owned(),
            protocol: OtlpProtocol::Grpc,
            headers: Vec::new(),
            sample_ratio: 1.0,
            service_name: "portcullis".to_owned(),
            ca_pem: None,
        }
    }
}

impl fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header_names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("OtlpSettings")
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .field("header_names", &header_names)
            .field("sample_ratio", &self.sample_ratio)
            .field("service_name", &self.service_name)
            .field("ca_pem", &self.ca_pem.is_some())
            .finish()
    }
}

/// Why no exporter could be made. Header values are never part of the text.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// Not an absolute `http` or `https` URL, or one with user information in it.
    #[error("the OTLP endpoint must be an http:// or https:// URL without user information")]
    Endpoint,
    /// Not a header that HTTP allows, or one that is reserved for gRPC.
    #[error("the OTLP header {name:?} has a name or a value that cannot be sent")]
    Header {
        /// The header's name as configured.
        name: String,
    },
    /// Not between 0 and 1.
    #[error("the OTLP sample ratio {ratio} is not between 0 and 1")]
    SampleRatio {
        /// As configured.
        ratio: f64,
    },
    /// No certificate in the given CA file, or one that is none.
    #[error("the CA certificates for the OTLP endpoint cannot be read")]
    Ca,
    /// The system has no usable root certificates.
    #[error("no trusted root certificates were found on this system for the OTLP endpoint")]
    NoRoots,
    /// The exporter did not like something that was not checked before.
    #[error("the OTLP exporter cannot be built")]
    Build(#[from] ExporterBuildError),
    /// No TLS with the protocol versions that are compiled in.
    #[error("TLS for the OTLP endpoint cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The operating system refused a thread or what its runtime needs.
    #[error("the export thread cannot be started")]
    Thread(#[from] std::io::Error),
}

impl OtlpSettings {
    /// Everything that can be told without reaching out.
    pub(super) fn check(&self) -> Result<(), OtlpError> {
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err(OtlpError::SampleRatio { ratio: self.sample_ratio });
        }
        self.uri()?;
        self.header_map().map(drop)
    }

    /// The exporter. Must be called within the runtime that will export.
    pub(super) fn exporter(&self) -> Result<SpanExporter, OtlpError> {
        match self.protocol {
            OtlpProtocol::Grpc => self.grpc(),
            OtlpProtocol::HttpProtobuf => self.http(),
        }
    }

    fn grpc(&self) -> Result<SpanExporter, OtlpError> {
        let mut builder = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(self.endpoint.as_str())
            .with_timeout(TIMEOUT)
            .with_metadata(MetadataMap::from_headers(self.header_map()?));
        if self.is_https()? {
            let trust = match &self.ca_pem {
                Some(pem) => {
                    own_roots(pem)?;
                    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
                }
                None => ClientTlsConfig::new().with_native_roots(),
            };
            builder = builder.with_tls_config(trust);
        }
        Ok(builder.build()?)
    }

    fn http(&self) -> Result<SpanExporter, OtlpError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls()?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let mut headers = HashMap::new();
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(HyperClient::new(connector, TIMEOUT, None))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(self.http_endpoint()?)
            .with_timeout(TIMEOUT)
            .with_headers(headers)
            .build()?;
        Ok(exporter)
    }

    fn tls(&self) -> Result<ClientConfig, OtlpError> {
        let roots = match &self.ca_pem {
            Some(pem) => own_roots(pem)?,
            None if self.is_https()? => system_roots()?,
            None => RootCertStore::empty(),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(config)
    }

    fn uri(&self) -> Result<Uri, OtlpError> {
        let uri: Uri = self.endpoint.parse().map_err(|_| OtlpError::Endpoint)?;
        let known = uri.scheme().is_some_and(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
        let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if known && plain { Ok(uri) } else { Err(OtlpError::Endpoint) }
    }

    fn is_https(&self) -> Result<bool, OtlpError> {
        Ok(self.uri()?.scheme() == Some(&Scheme::HTTPS))
    }

    /// The whole URL: the OTLP exporter takes what it is given as it is.
    fn http_endpoint(&self) -> Result<String, OtlpError> {
        let uri = self.uri()?;
        let names_no_path = uri.path() == "/" && uri.query().is_none();
        let endpoint = self.endpoint.trim_end_matches('/');
        Ok(if names_no_path { format!("{endpoint}/v1/traces") } else { self.endpoint.clone() })
    }

    fn header_map(&self) -> Result<HeaderMap, OtlpError> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let refused = || OtlpError::Header { name: name.clone() };
            let key: HeaderName = name.parse().map_err(|_| refused())?;
            let mut value: HeaderValue = value.parse().map_err(|_| refused())?;
            value.set_sensitive(true);
            if key.as_str().starts_with("grpc-") || key.as_str().ends_with("-bin") {
                return Err(refused());
            }
            map.append(key, value);
        }
        Ok(map)
    }
}

fn own_roots(pem: &[u8]) -> Result<RootCertStore, OtlpError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| OtlpError::Ca)?;
        roots.add(certificate).map_err(|_| OtlpError::Ca)?;
    }
    if roots.is_empty() { Err(OtlpError::Ca) } else { Ok(roots) }
}

fn system_roots() -> Result<RootCertStore, OtlpError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(OtlpError::NoRoots) } else { Ok(roots) }
}
