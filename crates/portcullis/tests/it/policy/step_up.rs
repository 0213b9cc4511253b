//! Tokens that lack scopes and nothing else: in either era and on either transport, the caller is told which to get, and everybody
//! who could not get them finds nothing.

use serde_json::{Value, json};

use super::{names, something, write};
use crate::evidence;
use crate::harness::gateway::JSON;
use crate::harness::http::Response;
use crate::harness::idp::{Idp, PUBLIC, Signer};
use crate::harness::sse_client::SseClient;
use crate::harness::{Gateway, Legacy, Modern, signal, until};
use rustix::process::Signal;

const POLICIES: &str = r#"
@id("looks")
permit (principal, action, resource == Tool::"open/look");
@id("reads-by-scope")
permit (principal, action, resource in Server::"open")
when { context has scopes && context.scopes.contains("open:use") };
@id("writes-by-scope")
forbid (principal, action == Action::"tools/call", resource == Tool::"open/change")
unless { context has scopes && context.scopes.contains("open:write") };
@id("behind-a-scope")
permit (principal, action, resource in Server::"shut")
when { context has scopes && context.scopes.contains("shut") };
@id("staff-alone")
permit (principal in Group::"staff", action, resource == Tool::"staff/look")
when { context has scopes && context.scopes.contains("shut") };
@id("desk")
permit (principal, action == Action::"toolsets/use", resource == Toolset::"desk")
when { context has scopes && context.scopes.contains("shut") };
"#;

struct Scene {
    gateway: Gateway,
    idp: Idp,
    other: Idp,
    _servers: [crate::harness::Upstream; 3],
}

impl Scene {
    async fn new(change: impl FnOnce(&mut Value)) -> Self {
        let (idp, other) = (Idp::start().await, Idp::start().await);
        let servers =
            [something(true).start().await, something(false).start().await, something(true).start().await];
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), POLICIES);
        let issuer = |of: &Idp, step_up: bool| json!({"issuer": of.issuer, "audience": "all", "groups_prefix": "", "step_up": step_up});
        let mut config = json!({
            "public_url": PUBLIC,
            "servers": {"open": servers[0].config(), "shut": servers[1].config(), "staff": servers[2].config()},
            "toolsets": {"desk": {"tools": [{"from": "open/look", "name": "look"}]}},
            "identity": {
                "issuers": [issuer(&idp, true), issuer(&other, false)], "anonymous": "allow",
                "scopes": ["mcp"], "step_up": ["open:use", "open:write", "shut"],
            },
            "policy": {"files": ["policies"]},
            "audit": {"node": "gw"},
        });
        change(&mut config);
        let gateway = Gateway::start_in(folder, &config, &[]);
        Self { gateway, idp, other, _servers: servers }
    }

    fn of(idp: &Idp, scope: &str) -> String {
        let token = idp.token_with("eve", &json!({"aud": "all", "scope": scope}));
        format!("Bearer {token}")
    }

    /// Somebody whose token has these scopes.
    fn with(&self, scope: &str) -> String {
        Self::of(&self.idp, scope)
    }

    async fn ask(&self, path: &str, who: &str, method: &str, params: Value) -> Response {
        Modern::at(path).request_with(&self.gateway, method, params, &[("authorization", who)]).await
    }

    async fn legacy(&self, version: &str, who: &str) -> Legacy {
        Legacy::open_as(&self.gateway, "/mcp", version, json!({}), Some(who)).await
    }
}

fn call(name: &str) -> Value {
    json!({"name": name, "arguments": {"a": 1}})
}

/// Holds an answer against RFC 6750 section 3.1 and 2026-07-28 (authorization): one challenge with all that is needed.
fn is_challenge(answer: &Response, path: &str, scope: &str) {
    let body = answer.json();
    assert_eq!(answer.status(), 403, "{body}");
    assert_eq!(
        (body["error"]["data"]["reason"].as_str(), body["error"]["code"].as_i64()),
        (Some("insufficient_scope"), Some(-32600))
    );
    assert_eq!(body["error"]["data"]["scope"], scope, "{body}");
    let document = format!("{PUBLIC}/.well-known/oauth-protected-resource{path}");
    let challenge = answer.header("www-authenticate").unwrap_or_else(|| panic!("no challenge: {answer:?}"));
    assert!(challenge.starts_with("Bearer error=\"insufficient_scope\",error_description="), "{challenge}");
    assert!(
        challenge.ends_with(&format!(",scope=\"{scope}\",resource_metadata=\"{document}\"")),
        "{challenge}"
    );
}

/// Uses of what eve may not use with her token, and what she would have to have.
fn uses() -> Vec<(&'static str, Value, &'static str)> {
    let prompt =
        json!({"ref": {"type": "ref/prompt", "name": "open__ask"}, "argument": {"name": "a", "value": ""}});
    vec![
        ("tools/call", call("open__change"), "mcp open:use open:write"),
        ("prompts/get", json!({"name": "open__ask"}), "mcp open:use"),
        ("resources/read", json!({"uri": "mcp+open+db://a"}), "mcp open:use"),
        ("completion/complete", prompt, "mcp open:use"),
        // Even the server is there only with a scope.
        ("tools/call", call("shut__change"), "mcp shut"),
        ("resources/read", json!({"uri": "mcp+shut+db://a"}), "mcp shut"),
    ]
}

/// Whether an event says that scopes were lacking.
fn is_refusal(event: &Value) -> bool {
    let decision = &event["decision"];
    decision["verdict"] == "deny" && decision["reasons"] == json!(["insufficient_scope"])
}

#[tokio::test]
async fn each_use_that_a_scope_would_permit_is_one_complete_challenge() {
    let scene = Scene::new(|_| {}).await;
    let eve = scene.with("mcp profile");
    assert_eq!(scene.ask("/mcp", &eve, "tools/call", call("open__look")).await.status(), 200);
    for (method, params, scope) in uses() {
        is_challenge(&scene.ask("/mcp", &eve, method, params.clone()).await, "/mcp", scope);
        // What the challenge says is all that there is to it.
        let more = scene.ask("/mcp", &scene.with(scope), method, params).await;
        assert!(more.status() == 200 && more.json()["result"].is_object(), "{method}: {more:?}");
    }
    // What the token has already is named along with the rest, as far as anybody is told to ask for it.
    let some = scene.with("mcp offline_access shut open:use");
    let answer = scene.ask("/mcp", &some, "tools/call", call("open__change")).await;
    is_challenge(&answer, "/mcp", "mcp open:use open:write shut");
    // Other endpoints have documents of their own.
    let own = scene.ask("/mcp/s/open", &eve, "tools/call", call("change")).await;
    is_challenge(&own, "/mcp/s/open", "mcp open:use open:write");
    let desk = scene.ask("/mcp/v/desk", &eve, "tools/list", json!({})).await;
    is_challenge(&desk, "/mcp/v/desk", "mcp shut");
    let desk = scene.ask("/mcp/v/desk", &scene.with("mcp shut"), "tools/call", call("look")).await;
    assert_eq!(desk.status(), 200, "{desk:?}");
}

#[tokio::test]
async fn older_clients_are_challenged_too_on_whatever_they_are_answered() {
    for poll in [None, Some("1m")] {
        let scene = Scene::new(|config| {
            config["limits"] = poll.map_or(json!({}), |after| json!({"poll_after": after}));
        })
        .await;
        let eve = scene.with("mcp");
        for version in ["2025-11-25", "2025-03-26"] {
            let session = scene.legacy(version, &eve).await;
            for (method, params, scope) in uses() {
                is_challenge(&session.request(&scene.gateway, method, params).await, "/mcp", scope);
            }
            let told = session
                .request(&scene.gateway, "resources/subscribe", json!({"uri": "mcp+open+db://a"}))
                .await;
            is_challenge(&told, "/mcp", "mcp open:use");
            // The next token goes on with the session.
            let more = scene.with("mcp open:use open:write");
            let mut headers = JSON.to_vec();
            headers.extend([("mcp-session-id", session.session.as_str()), ("authorization", &more)]);
            let body =
                json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call("open__change")});
            let answer = scene.gateway.send("POST", "/mcp", &headers, body.to_string().as_bytes()).await;
            assert!(answer.status() == 200 && answer.json()["result"].is_object(), "{answer:?}");
        }
        // A batch has one status for all of it; each part says what it needs.
        let session = scene.legacy("2025-03-26", &eve).await;
        let part = |id: i64, name: &str| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call(name)});
        let answer =
            session.send(&scene.gateway, &json!([part(1, "open__look"), part(2, "open__change")])).await;
        let parts = answer.json();
        assert!(answer.status() == 200 && parts[0]["result"].is_object(), "{answer:?}");
        assert_eq!(parts[1]["error"]["data"]["scope"], "mcp open:use open:write", "{parts}");
    }
}

#[tokio::test]
async fn http_sse_answers_the_message_itself_with_the_challenge() {
    let scene = Scene::new(|_| {}).await;
    let eve = scene.with("mcp");
    let mut client = SseClient::open_as(&scene.gateway, "/sse", "2024-11-05", &json!({}), Some(&eve)).await;
    for (method, params, scope) in uses() {
        let message = json!({"jsonrpc": "2.0", "id": 9, "method": method, "params": params});
        is_challenge(&client.post(&scene.gateway, &message).await, "/sse", scope);
    }
    // And what is not challenged is answered on the stream as ever.
    assert!(client.call(&scene.gateway, "open__look", json!({})).await.is_object());
    let unknown = client.request(&scene.gateway, 3, "tools/call", call("open__none")).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    evidence::until(&scene.gateway, "the refusals", uses().len(), is_refusal).await;
}

#[tokio::test]
async fn lists_show_what_a_scope_would_permit_to_whoever_could_get_it() {
    let scene = Scene::new(|_| {}).await;
    let list = async |who: &str| {
        let answer = scene.ask("/mcp", who, "tools/list", json!({})).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        names(&answer.json()["result"]).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = ["open__look", "open__change", "shut__look", "shut__change"];
    assert_eq!(list(&scene.with("mcp")).await, all);
    assert_eq!(list(&scene.with("mcp open:use")).await, all);
    // An issuer that does not give them: its users are not sent to it in vain.
    let stern = Scene::of(&scene.other, "mcp");
    assert_eq!(list(&stern).await, ["open__look"]);
    for (method, params, _) in uses() {
        let denied = scene.ask("/mcp", &stern, method, params.clone()).await;
        assert!(denied.status() == 200 && denied.header("www-authenticate").is_none(), "{method} {denied:?}");
        let nobody = Modern::new().request(&scene.gateway, method, params).await;
        assert!(nobody.status() == 200 && nobody.header("www-authenticate").is_none(), "{method} {nobody:?}");
        assert!(nobody.json()["error"]["code"].is_i64(), "{method} {nobody:?}");
    }
    assert_eq!(scene.ask("/mcp/v/desk", &stern, "tools/list", json!({})).await.status(), 404);
    // What no scope cures is a name of nothing, byte for byte.
    let eve = scene.with("mcp");
    let mut answers = Vec::new();
    for name in ["staff__look", "nobody_look"] {
        let answer = scene.ask("/mcp", &eve, "tools/call", call(name)).await;
        assert_eq!((answer.status(), answer.header("www-authenticate")), (200, None), "{answer:?}");
        answers.push(answer.text().replace(name, "NAME"));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn the_evidence_says_that_scopes_were_lacking_and_a_reload_that_they_are_not_asked_for() {
    let scene = Scene::new(|_| {}).await;
    let eve = scene.with("mcp");
    let answer = scene.ask("/mcp", &eve, "tools/call", call("open__change")).await;
    is_challenge(&answer, "/mcp", "mcp open:use open:write");
    let found = evidence::until(&scene.gateway, "the refusal", 1, is_refusal).await;
    let (tool, server) = (&found[0]["tool"]["name"], &found[0]["server"]["id"]);
    assert_eq!((tool, server), (&json!("change"), &json!("open")), "{}", found[0]);
    // A proof of possession is asked for again in the same way.
    let key = Signer::new();
    let token = scene.idp.token_with("eve", &json!({"aud": "all", "cnf": {"jkt": key.thumbprint()}}));
    let proof = key.proof(&token, &format!("{PUBLIC}/mcp"), &json!({}));
    let headers = [("authorization", &*format!("DPoP {token}")), ("dpop", &proof)];
    let answer =
        Modern::new().request_with(&scene.gateway, "tools/call", call("open__change"), &headers).await;
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        answer.status() == 403 && challenge.starts_with("DPoP error=\"insufficient_scope\""),
        "{challenge}"
    );
    // Without `step_up` nobody is told of scopes.
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(scene.gateway.config_path()).unwrap()).unwrap();
    config["identity"]["step_up"] = json!([]);
    scene.gateway.rewrite_config(&config);
    signal(scene.gateway.pid(), Signal::HUP);
    until("another answer", async || {
        let answer = scene.ask("/mcp", &eve, "tools/call", call("open__change")).await;
        answer.status() == 200 && answer.json()["error"]["code"] == -32602
    })
    .await;
}
