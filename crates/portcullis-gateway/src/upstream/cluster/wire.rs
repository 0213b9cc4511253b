//! The way to an API server: over the pool that any server has, on the control runtime.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::uri::PathAndQuery;
use http_body_util::BodyExt as _;
use portcullis_config::ClusterAccess;
use portcullis_hub::kubernetes::{Answer, Chunks, Coming, Request, Sending, Wire};

use super::access::{Bearer, tls};
use crate::upstream::http::Answer as Body;
use crate::upstream::pool::{Outgoing, Pool, Target};
use crate::upstream::tls::TlsError;

/// An API server.
pub(super) struct ApiServer(Arc<Inner>);

struct Inner {
    pool: Arc<Pool>,
    bearer: Bearer,
    /// Paths of the API are below it.
    base: String,
}

impl ApiServer {
    /// # Errors
    /// What it is to be reached with cannot be used.
    pub(super) fn new(access: &ClusterAccess) -> Result<Self, TlsError> {
        let url = access.server.expose();
        let target = Target::new(url, tls(access)?, access.server_name.as_deref()).map_err(TlsError::Name)?;
        let base = url.path().trim_end_matches('/').to_owned();
        Ok(Self(Arc::new(Inner { pool: Pool::new(target), bearer: Bearer::of(&access.auth), base })))
    }
}

impl Wire for ApiServer {
    fn send(&self, request: Request) -> Sending {
        let inner = self.0.clone();
        Box::pin(async move { inner.send(request).await })
    }
}

impl Inner {
    async fn send(&self, request: Request) -> Result<Answer, String> {
        let authorization = self.bearer.authorization().await?;
        let path: PathAndQuery =
            format!("{}{}", self.base, request.path).parse().map_err(|_| "no such path".to_owned())?;
        let headers = |put: &mut dyn FnMut(&str, &[u8])| {
            put("accept", request.accept.as_bytes());
            put("user-agent", concat!("portcullis/", env!("CARGO_PKG_VERSION")).as_bytes());
            if let Some(media) = request.media {
                put("content-type", media.as_bytes());
            }
            if let Some(authorization) = &authorization {
                put("authorization", authorization.as_bytes());
            }
        };
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| error.to_string())?;
        let outgoing =
            Outgoing { method, path: Some(&path), headers: &headers, body: Bytes::from(request.body) };
        let reply = self.pool.send(&outgoing).await.map_err(|error| error.to_string())?;
        let status = reply.status().as_u16();
        Ok(Answer { status, body: Box::new(Pieces(reply.into_body())) })
    }
}

/// A body as it comes.
struct Pieces(Body);

impl Chunks for Pieces {
    fn next(&mut self) -> Coming<'_> {
        Box::pin(async move {
            while let Some(frame) = self.0.frame().await {
                let frame = frame.map_err(|error| error.to_string())?;
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data.to_vec()));
                }
            }
            Ok(None)
        })
    }
}
