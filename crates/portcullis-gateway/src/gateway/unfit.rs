//! Why a configuration cannot be put into service.

use std::sync::Arc;

use portcullis_config::Settings;
use portcullis_model::ServerId;
use portcullis_policy::Problem;

use crate::admit::{InForce, are_there};
use crate::upstream::TlsError;

/// A configuration that cannot be put into service.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A server's certificates.
    #[error("server `{0}`: {1}")]
    Server(ServerId, TlsError),
    /// The authorities that are to be trusted for an identity provider.
    #[error("issuer `{0}`: {1}")]
    Issuer(String, TlsError),
    /// The gateway's own authorization server.
    #[error("{0}")]
    Facade(String),
    /// A key of the gateway's.
    #[error("{0}")]
    Key(String),
    /// What the cluster is to be reached with.
    #[error("kubernetes: {0}")]
    Kubernetes(TlsError),
    /// Something is wrong with the policies.
    #[error("{}", lines(.0))]
    Policy(Vec<Problem>),
    /// The guard's rules name policies that are not there.
    #[error("guard: {0}")]
    Guard(String),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The policies of a configuration, with all that the guard's rules name.
///
/// # Errors
/// Everything that is wrong with them, or which is not there.
pub(super) fn policies(settings: &Settings) -> Result<Option<Arc<InForce>>, UpdateError> {
    let policies = InForce::load(settings).map_err(UpdateError::Policy)?;
    are_there(settings, policies.as_deref().map(InForce::policies)).map_err(UpdateError::Guard)?;
    Ok(policies)
}
