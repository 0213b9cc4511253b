//! An OpenTelemetry collector as far as traces go: OTLP over HTTP and over gRPC on one port, with TLS or not.
//!
//! gRPC is done by hand (a five-byte prefix in front of one protobuf message, the status in trailers), which
//! makes it a second opinion on what the exporter sends.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, rustls};

/// One export request.
pub(crate) struct Export {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ExportTraceServiceRequest,
}

impl Export {
    pub(crate) fn spans(&self) -> impl Iterator<Item = &Span> {
        let scopes = self.body.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans)
    }

    /// An attribute of the resource, that is of the gateway.
    pub(crate) fn resource(&self, key: &str) -> Option<String> {
        self.body.resource_spans.iter().find_map(|spans| text(&spans.resource.as_ref()?.attributes, key))
    }
}

/// The text of an attribute.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

/// A collector that runs until the test's runtime ends.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    /// The certificate to trust, when it speaks TLS.
    pub(crate) ca_pem: Option<Vec<u8>>,
    pub(crate) exports: mpsc::UnboundedReceiver<Export>,
    /// A request is answered when there is a permit.
    pub(crate) answers: Arc<Semaphore>,
}

impl Collector {
    pub(crate) async fn plain() -> Self {
        Self::start(None).await
    }

    pub(crate) async fn tls() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the defaults")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the pair matches");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self::start(Some((TlsAcceptor::from(Arc::new(config)), cert.pem()))).await
    }

    async fn start(tls: Option<(TlsAcceptor, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (seen, exports) = mpsc::unbounded_channel();
        let answers = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let (acceptor, ca_pem) = tls.unzip();
        let gate = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, acceptor.clone(), seen.clone(), Arc::clone(&gate)));
            }
        });
        Self { address, ca_pem: ca_pem.map(String::into_bytes), exports, answers }
    }

    /// Everything that has arrived, once there is nothing more to come.
    pub(crate) fn drain(&mut self) -> Vec<Export> {
        std::iter::from_fn(|| self.exports.try_recv().ok()).collect()
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    seen: mpsc::UnboundedSender<Export>,
    gate: Arc<Semaphore>,
) {
    let answer = service_fn(move |request| answer(request, seen.clone(), Arc::clone(&gate)));
    let server = auto::Builder::new(TokioExecutor::new());
    // A peer that does not trust the certificate hangs up; that is its right.
    match acceptor {
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                drop(server.serve_connection(TokioIo::new(stream), answer).await);
            }
        }
        None => drop(server.serve_connection(TokioIo::new(stream), answer).await),
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: mpsc::UnboundedSender<Export>,
    gate: Arc<Semaphore>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let grpc = head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc");
    let message = if grpc { body.slice(5..) } else { body };
    let body = ExportTraceServiceRequest::decode(message).expect("OTLP protobuf");
    drop(seen.send(Export { path: head.uri.path().to_owned(), headers: head.headers, body }));
    gate.acquire().await.expect("never closed").forget();
    // An empty message is a full success.
    let response = if grpc {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
        Response::builder().header("content-type", "application/grpc").body(body.boxed())
    } else {
        let body = Full::new(Bytes::new()).boxed();
        Response::builder().header("content-type", "application/x-protobuf").body(body)
    };
    Ok(response.expect("valid parts"))
}
