//! `secrets`: where secrets are kept that the configuration does not hold itself.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Secret};

/// Where secrets are kept that the configuration does not hold itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Secrets {
    /// A HashiCorp Vault, or an OpenBao: what `{ vault: "MOUNT/PATH#FIELD" }` refers to, wherever a secret stands.
    pub(crate) vault: Option<SecretVault>,
}

/// A HashiCorp Vault, or an OpenBao. A secret of a server's `credentials` (but for the key of an assertion) or of `identity.login`
/// is read when it is first needed, read again before its lease or `max_age` is over, and not used after. Any other is read at the
/// start and as often; one that has changed is taken up like a changed file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretVault {
    /// Its address, such as `https://vault.example.com:8200`.
    pub(crate) url: String,
    /// The namespace in it, such as `team/a`.
    #[serde(default)]
    pub(crate) namespace: Option<String>,
    /// PEM file with the authorities to trust instead of those of the system.
    #[serde(default)]
    pub(crate) ca: Option<String>,
    /// As whom it is asked.
    pub(crate) auth: VaultAuth,
    /// Mounts of version 1 of the KV engine. The first part of a path is taken for a mount of version 2 when it is not listed.
    #[serde(default)]
    pub(crate) kv1: Vec<String>,
    /// Mounts of version 2 whose names have a slash in them.
    #[serde(default)]
    pub(crate) kv2: Vec<String>,
    /// What was read is used for so long at the most.
    #[serde(default)]
    #[schemars(extend("default" = "5m"))]
    pub(crate) max_age: Option<Duration>,
}

/// As whom a Vault is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum VaultAuth {
    /// By a token. It is renewed for as long as it can be.
    Token {
        /// The token.
        token: Secret,
    },
    /// By an AppRole.
    Approle {
        /// Which role.
        role_id: String,
        /// What shows it.
        secret_id: Secret,
        /// Where the method is mounted.
        #[serde(default)]
        #[schemars(extend("default" = "approle"))]
        mount: Option<String>,
    },
    /// By the service account of a pod.
    Kubernetes {
        /// Which role.
        role: String,
        /// The file with the account's token.
        #[serde(default)]
        #[schemars(extend("default" = "/var/run/secrets/kubernetes.io/serviceaccount/token"))]
        token_file: Option<String>,
        /// Where the method is mounted.
        #[serde(default)]
        #[schemars(extend("default" = "kubernetes"))]
        mount: Option<String>,
    },
    /// By a JWT that the platform keeps fresh.
    Jwt {
        /// Which role.
        role: String,
        /// The file with the JWT.
        token_file: String,
        /// Where the method is mounted.
        #[serde(default)]
        #[schemars(extend("default" = "jwt"))]
        mount: Option<String>,
    },
}
