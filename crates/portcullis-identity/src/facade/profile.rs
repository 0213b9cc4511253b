//! In which ways the large identity providers differ from OpenID Connect, one table.
//!
//! What they lack of OAuth for MCP (registration, resource indicators, metadata) does not matter here: toward them the
//! gateway is one ordinary client. What is left are the deviations of metadata and ID tokens.

use crate::jose::Object;
use crate::refused::Reason;
use serde_json::Value;

/// A kind of identity provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// By the book.
    #[default]
    Generic,
    /// Microsoft Entra ID.
    Entra,
    /// Okta, its org authorization server and custom ones.
    Okta,
    /// Google.
    Google,
    /// Amazon Cognito user pools.
    Cognito,
    /// Keycloak.
    Keycloak,
}

impl Profile {
    /// Reads its name in a configuration.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "generic" => Self::Generic,
            "entra" => Self::Entra,
            "okta" => Self::Okta,
            "google" => Self::Google,
            "cognito" => Self::Cognito,
            "keycloak" => Self::Keycloak,
            _ => return None,
        })
    }

    /// The scopes that get an ID token with what it can hold.
    pub(super) fn scopes(self) -> &'static [&'static str] {
        match self {
            // A scope that Okta gives groups for, as others give `profile`.
            Self::Okta => &["openid", "profile", "email", "groups"],
            _ => &["openid", "profile", "email"],
        }
    }

    /// Where groups are. Google tells of none.
    pub(super) fn groups_claim(self) -> Option<&'static str> {
        match self {
            Self::Google => None,
            Self::Cognito => Some("cognito:groups"),
            _ => Some("groups"),
        }
    }

    /// The claim that names the tenant of a user.
    pub fn tenant_claim(self) -> &'static str {
        match self {
            Self::Google => "hd",
            _ => "tid",
        }
    }

    /// Whether groups that an ID token lacks are worth asking the userinfo endpoint for. Entra's and Google's have none.
    pub(super) fn asks_userinfo(self) -> bool {
        !matches!(self, Self::Entra | Self::Google | Self::Cognito)
    }

    /// Whether anybody in the world has an account there, so that tenants have to be named.
    pub fn is_open(self, issuer: &str) -> bool {
        match self {
            Self::Google => true,
            Self::Entra => {
                ["/common/", "/organizations/", "/consumers/"].iter().any(|it| issuer.contains(it))
            }
            _ => false,
        }
    }

    /// Whether a metadata document may name this issuer when it was fetched for the configured one. Entra's documents for
    /// all tenants name a template.
    pub(super) fn is_issuer(self, configured: &str, named: &str) -> bool {
        if configured == named {
            return true;
        }
        self == Self::Entra && self.is_open(configured) && template(configured).as_deref() == Some(named)
    }

    /// Whether an ID token of this issuer is the provider's. `named` is what its metadata says.
    pub(super) fn is_token_issuer(self, named: &str, claims: &Object) -> bool {
        let Some(issuer) = claims.get("iss").and_then(Value::as_str) else { return false };
        match self {
            // Both forms are documented, and the one without a scheme is what older code gets.
            Self::Google => issuer == named || named.strip_prefix("https://") == Some(issuer),
            Self::Entra if named.contains("{tenantid}") => {
                let tenant = claims.get("tid").and_then(Value::as_str).unwrap_or_default();
                is_plain(tenant) && named.replace("{tenantid}", tenant) == issuer
            }
            _ => issuer == named,
        }
    }

    /// Who an ID token is about. `sub` of Entra is another for each application, and says nothing to an administrator.
    pub(super) fn subject(self, claims: &Object) -> Result<String, Reason> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        match self {
            Self::Entra => {
                let (tenant, object) = text("tid").zip(text("oid")).ok_or(Reason::Subject)?;
                Ok(format!("{tenant}.{object}"))
            }
            _ => text("sub").map(str::to_owned).ok_or(Reason::Subject),
        }
    }

    /// What an ID token must not be although its signature is right.
    pub(super) fn check_kind(self, claims: &Object) -> Result<(), Reason> {
        match self {
            // Access tokens of Cognito are signed with the same keys.
            Self::Cognito if claims.get("token_use").and_then(Value::as_str) != Some("id") => {
                Err(Reason::Type)
            }
            _ => Ok(()),
        }
    }
}

/// The configured issuer with its tenant's place left open.
fn template(configured: &str) -> Option<String> {
    let words = ["/common/", "/organizations/", "/consumers/"];
    words.iter().find(|word| configured.contains(*word)).map(|word| configured.replace(word, "/{tenantid}/"))
}

fn is_plain(tenant: &str) -> bool {
    !tenant.is_empty() && tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}
