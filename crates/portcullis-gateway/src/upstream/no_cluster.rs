//! A build without the feature `kubernetes`: there is no cluster, and nothing is deployed. This has the face of `cluster.rs`.

#![allow(
    dead_code,
    clippy::unused_async,
    reason = "nothing of this is ever made, and its face is that of `cluster.rs`"
)]

use std::convert::Infallible;
use std::sync::Arc;

use portcullis_config as config;
use portcullis_model::ServerId;

use super::http::SharedLink;
use super::server::Server;
use super::tls::TlsError;
use crate::call::Refusal;

/// There is none.
pub(crate) struct Cluster(Infallible);

/// There is none.
pub(crate) struct Deployed(Infallible);

/// There is none.
pub(crate) struct Running(Infallible);

/// There is none.
pub(crate) struct PodLog {
    pub(crate) pod: String,
    pub(crate) started: Option<String>,
    pub(crate) phase: String,
    pub(crate) lines: Vec<(String, String)>,
}

impl Cluster {
    /// # Errors
    /// Always.
    pub(crate) fn new(_: &config::Kubernetes, _: &config::Limits) -> Result<Self, TlsError> {
        Err(TlsError::Unfit("this program was built without the feature `kubernetes`".to_owned()))
    }

    pub(crate) async fn look_after(&self) {
        match self.0 {}
    }

    pub(crate) fn leave(&self) {
        match self.0 {}
    }
}

impl Deployed {
    pub(crate) fn new(cluster: &Cluster, _: &ServerId, _: Option<&str>, _: &config::Image) -> Arc<Self> {
        match cluster.0 {}
    }

    pub(crate) async fn reach(
        self: &Arc<Self>,
        _: &Arc<Server>,
        _: &SharedLink,
    ) -> Result<(SharedLink, Arc<Running>), Refusal> {
        match self.0 {}
    }

    pub(crate) async fn logs(&self) -> Result<Vec<PodLog>, Refusal> {
        match self.0 {}
    }

    pub(crate) fn wear_out(&self) {
        match self.0 {}
    }

    pub(crate) fn release(&self) {
        match self.0 {}
    }

    pub(crate) async fn delete(&self) {
        match self.0 {}
    }
}

impl Running {
    pub(crate) fn ended(&self) -> Option<&str> {
        match self.0 {}
    }
}
