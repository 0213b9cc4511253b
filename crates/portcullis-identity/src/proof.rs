//! How the gateway proves at an identity provider which client it is (RFC 6749 section 2.3, RFC 7523 section 2.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::clock::now;
use crate::facade::secret;
use crate::issuer::form_encode;
use crate::jose::SigningKey;

/// How long a signed assertion is good, in seconds.
const LIFE: u64 = 60;

/// What it proves itself by.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientProof {
    /// Nothing: PKCE alone.
    None,
    /// A secret.
    Secret(String),
    /// A signature: a PKCS#8 key as PEM, and the name under which the provider knows it.
    Key {
        /// The key.
        pem: String,
        /// Its name.
        kid: Option<String>,
    },
}

impl ClientProof {
    /// Whether a PEM text holds a key that can be used for it.
    pub fn is_key(pem: &str) -> bool {
        SigningKey::from_pem(pem).is_some()
    }

    /// Shows who the client is: in the form `body`, or in the value of `Authorization` that is returned, which is empty
    /// otherwise. A secret goes into the form where the provider takes it nowhere else; a signature is for `audience`. `None`
    /// when the key cannot sign.
    pub(crate) fn show(
        &self,
        client_id: &str,
        audience: &str,
        secret_in_form: bool,
        body: &mut String,
    ) -> Option<String> {
        let mut add = |name: &str, value: &str| {
            body.push_str(if body.is_empty() { "" } else { "&" });
            body.push_str(name);
            body.push('=');
            form_encode(body, value);
        };
        match self {
            Self::None => add("client_id", client_id),
            Self::Secret(secret) if secret_in_form => {
                add("client_id", client_id);
                add("client_secret", secret);
            }
            Self::Secret(secret) => {
                // Both parts are form-encoded first (RFC 6749 section 2.3.1).
                let mut credentials = String::new();
                form_encode(&mut credentials, client_id);
                credentials.push(':');
                form_encode(&mut credentials, secret);
                return Some(format!("Basic {}", STANDARD.encode(credentials)));
            }
            Self::Key { pem, kid } => {
                let now = now();
                let claims = json!({
                    "iss": client_id, "sub": client_id, "aud": audience, "jti": secret(), "iat": now, "exp": now + LIFE,
                });
                let signed = SigningKey::from_pem(pem)?.sign("JWT", kid.as_deref(), &claims)?;
                add("client_id", client_id);
                add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
                add("client_assertion", &signed);
            }
        }
        Some(String::new())
    }
}

impl fmt::Debug for ClientProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Secret(_) => "Secret(***)",
            Self::Key { .. } => "Key(***)",
        })
    }
}
