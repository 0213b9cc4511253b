//! An authorization server: its metadata, its tokens, and what it was asked.
//!
//! An access token says for whom it is: `at-SUBJECT`, with the scopes of what was exchanged for it where they are others than
//! `mcp`, or `at-code` for the code of a browser.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::upstream::{Answer, Seen, Upstream};

/// A running authorization server.
pub(crate) struct Authority {
    pub(crate) server: Upstream,
    pub(crate) issuer: String,
}

impl Authority {
    pub(crate) async fn start() -> Self {
        let server = Upstream::start(|seen, answer: Answer| async move {
            let (status, document) = respond(&seen);
            answer.json(status, &document).await;
        })
        .await;
        let issuer = server.url.trim_end_matches("/mcp").to_owned();
        Self { server, issuer }
    }

    /// What its token endpoint was sent, of one kind of grant.
    pub(crate) fn grants(&self, kind: &str) -> Vec<String> {
        let seen = self.server.seen().into_iter().filter(|seen| seen.path == "/token");
        let bodies = seen.map(|seen| String::from_utf8(seen.body).unwrap());
        bodies.filter(|body| field(body, "grant_type").is_some_and(|it| it.ends_with(kind))).collect()
    }
}

fn respond(seen: &Seen) -> (u16, Value) {
    let issuer = format!("http://{}", seen.header("host").unwrap());
    match seen.path.as_str() {
        "/.well-known/oauth-authorization-server" => (
            200,
            json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "registration_endpoint": format!("{issuer}/register"),
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true,
            }),
        ),
        "/register" => (201, json!({"client_id": "registered", "token_endpoint_auth_method": "none"})),
        "/token" => token(&String::from_utf8_lossy(&seen.body)),
        _ => (404, Value::Null),
    }
}

fn token(body: &str) -> (u16, Value) {
    let kind = field(body, "grant_type").unwrap_or_default();
    let subject = match kind.rsplit("%3A").next().unwrap() {
        "client_credentials" => "gateway".to_owned(),
        "authorization_code" => field(body, "code").unwrap_or_default().to_owned(),
        "jwt-bearer" => subject(field(body, "assertion").unwrap_or_default()),
        "token-exchange" => subject(field(body, "subject_token").unwrap_or_default()),
        _ => return (400, json!({"error": "unsupported_grant_type"})),
    };
    (
        200,
        json!({
            "access_token": format!("at-{subject}"), "token_type": "Bearer", "expires_in": 3600,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }),
    )
}

/// A field of a form, as it stands there.
pub(crate) fn field<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn subject(token: &str) -> String {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
    let subject = claims["sub"].as_str().unwrap_or("nobody");
    match claims["scope"].as_str() {
        None | Some("mcp") => subject.to_owned(),
        Some(scope) => format!("{subject}-{}", scope.replace(' ', "-")),
    }
}
