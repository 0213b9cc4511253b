//! Entra's on-behalf-of flow: what its conditional access wants of a user reaches that user, and what they come back with is
//! tried at once.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::evidence;
use crate::harness::authority::field;
use crate::harness::idp::PUBLIC;
use crate::harness::sse_client::SseClient;
use crate::harness::{Answer, Legacy, until};

const SCOPES: &str = "api%3A%2F%2Fcrm%2F.default";
/// What Entra says that the next login has to ask for.
const CLAIMS: &str = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;

/// What a token endpoint of Entra answers: a user whose token does not say that they have shown more than a password has to
/// log in again first.
fn answer(form: &str) -> (u16, Value) {
    let sent = |name: &str| field(form, name).unwrap_or_default().to_owned();
    let is_obo = sent("requested_token_use") == "on_behalf_of"
        && sent("grant_type").ends_with("jwt-bearer")
        && sent("scope") == SCOPES
        && field(form, "resource").is_none();
    if !is_obo {
        return (400, json!({"error": "invalid_request", "error_description": "AADSTS900144"}));
    }
    let claims = sent("assertion").split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
    match (claims["sub"].as_str().unwrap_or_default(), claims["acrs"].as_str()) {
        ("eve", _) => (400, json!({"error": "consent_required", "suberror": "consent_required"})),
        ("ada", None) => (
            400,
            json!({
                "error": "interaction_required", "error_codes": [50076], "claims": CLAIMS,
                "error_description": "AADSTS50076: Due to a configuration change <secret-of-entra>",
            }),
        ),
        (who, _) => (
            200,
            json!({"access_token": format!("at-{who}"), "token_type": "Bearer", "expires_in": 3600, "scope": "crm"}),
        ),
    }
}

struct Scene {
    idp: Idp,
    entra: Upstream,
    crm: Upstream,
    gateway: Gateway,
    _other: Upstream,
}

impl Scene {
    async fn new() -> Self {
        let idp = Idp::start().await;
        let entra = Upstream::start(|seen, to: Answer| async move {
            let (status, document) = answer(&String::from_utf8_lossy(&seen.body));
            to.json(status, &document).await;
        })
        .await;
        let (crm, other) = (guarded(Fake::modern()).start().await, Fake::modern().start().await);
        let mut server = crm.config();
        let token_url = entra.url.replace("/mcp", "/tenant/oauth2/v2.0/token");
        server["credentials"] = json!({
            "kind": "token-exchange", "flavor": "entra-obo", "token_url": token_url, "client_id": "gw",
            "client_secret": "s", "scopes": ["api://crm/.default"],
        });
        let mut config = idp.config(&server);
        config["servers"]["other"] = other.config();
        config["audit"] = json!({"node": "gw"});
        config["identity"]["issuers"][0]["audience"] = json!("all");
        let gateway = Gateway::start(&config);
        Self { idp, entra, crm, gateway, _other: other }
    }

    fn token(&self, who: &str, more: &Value) -> String {
        let mut claims = json!({"aud": "all"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("Bearer {}", self.idp.token_with(who, &claims))
    }

    async fn ask(&self, path: &str, token: &str, method: &str, params: Value) -> Response {
        let headers = [("authorization", token)];
        Modern::at(path).request_with(&self.gateway, method, params, &headers).await
    }

    async fn call(&self, token: &str, tool: &str) -> Response {
        self.ask("/mcp", token, "tools/call", json!({"name": tool, "arguments": {}})).await
    }
}

/// The header that tells a client what its next login has to ask for, as clients of Entra know it.
fn is_claims_challenge(answer: &Response, path: &str) {
    assert_eq!(answer.status(), 401, "{answer:?}");
    let error = answer.json()["error"].clone();
    assert_eq!(error["data"]["reason"], "login_required", "{error}");
    assert_eq!(error["data"]["claims"], CLAIMS, "{error}");
    let said = error["message"].as_str().unwrap();
    assert!(said.contains("log in again") && said.contains("interaction_required"), "{said}");
    let challenge = answer.header("www-authenticate").unwrap();
    let claims = STANDARD.encode(CLAIMS);
    assert!(challenge.starts_with("Bearer error=\"insufficient_claims\","), "{challenge}");
    assert!(challenge.contains(&format!(",claims=\"{claims}\",")), "{challenge}");
    let document = format!("{PUBLIC}/.well-known/oauth-protected-resource{path}");
    assert!(challenge.ends_with(&format!("resource_metadata=\"{document}\"")), "{challenge}");
}

#[tokio::test]
async fn users_are_called_for_by_entras_own_tokens() {
    let scene = Scene::new().await;
    let bob = scene.token("bob", &json!({}));
    let listed = scene.ask("/mcp", &bob, "tools/list", json!({})).await;
    assert!(names(&listed).contains(&"x__of-at-bob".to_owned()), "{listed:?}");
    for _ in 0..2 {
        assert!(result_of(&scene.call(&bob, "x__echo").await)["content"].is_array());
    }
    assert_eq!((shown(&scene.crm), scene.entra.seen().len()), (vec!["Bearer at-bob".to_owned()], 1));
}

#[tokio::test]
async fn what_entra_wants_of_a_user_reaches_the_user_and_the_next_token_is_tried_at_once() {
    let scene = Scene::new().await;
    let ada = scene.token("ada", &json!({}));
    // The list is there, and says that something is to be done, which a call tells.
    let listed = scene.ask("/mcp", &ada, "tools/list", json!({})).await;
    let told = names(&listed);
    assert!(told.contains(&"x__portcullis_connect_account".to_owned()), "{told:?}");
    assert!(
        told.contains(&"other__echo".to_owned()),
        "what other servers have is there all the same: {told:?}"
    );
    for tool in ["x__portcullis_connect_account", "x__portcullis_connect_account"] {
        is_claims_challenge(&scene.call(&ada, tool).await, "/mcp");
    }
    let own = scene.ask("/mcp/s/x", &ada, "tools/call", json!({"name": "echo", "arguments": {}})).await;
    is_claims_challenge(&own, "/mcp/s/x");
    // Entra is not asked the same again for each of these.
    assert_eq!(scene.entra.seen().len(), 1);
    assert!(shown(&scene.crm).is_empty(), "and the server has seen nothing");
    // A client that knows what to do comes back with a token of the new login, which is tried at once.
    let more = scene.token("ada", &json!({"acrs": "c1", "jti": "more"}));
    let done = result_of(&scene.call(&more, "x__portcullis_connect_account").await);
    assert!(done["content"].is_array() && done["isError"].is_null(), "{done}");
    until("her tools", async || {
        let listed = scene.ask("/mcp", &more, "tools/list", json!({})).await;
        names(&listed).contains(&"x__of-at-ada".to_owned())
    })
    .await;
    assert!(result_of(&scene.call(&more, "x__echo").await)["content"].is_array());
    // What Entra writes for people stays out of logs and answers; what was refused is on record.
    assert!(!scene.gateway.log().contains("secret-of-entra"));
    let found = evidence::until(&scene.gateway, "the refusals", 1, |event| {
        event["result"]["error"] == "login_required"
    })
    .await;
    assert_eq!(found[0]["server"]["id"], "x", "{}", found[0]);
}

#[tokio::test]
async fn older_clients_are_told_the_same_and_consent_has_no_claims() {
    let scene = Scene::new().await;
    let ada = scene.token("ada", &json!({}));
    let session = Legacy::open_as(&scene.gateway, "/mcp", "2025-11-25", json!({}), Some(&ada)).await;
    let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
    is_claims_challenge(&session.request(&scene.gateway, "tools/call", params.clone()).await, "/mcp");
    // HTTP+SSE answers on its stream, which has no headers.
    let mut client = SseClient::open_as(&scene.gateway, "/sse", "2024-11-05", &json!({}), Some(&ada)).await;
    let told = client.request(&scene.gateway, 4, "tools/call", params.clone()).await;
    assert_eq!(told["error"]["data"], json!({"claims": CLAIMS, "reason": "login_required"}), "{told}");
    // Who has not agreed yet logs in to do so.
    let eve = scene.token("eve", &json!({}));
    let answer = scene.ask("/mcp", &eve, "tools/call", params).await;
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(answer.status() == 401 && challenge.contains("insufficient_user_authentication"), "{answer:?}");
    assert!(!challenge.contains("claims="), "{challenge}");
}
