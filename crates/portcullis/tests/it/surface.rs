//! Every operation of the published document, for whoever shows nothing, has the wrong role, and has the right one; and every
//! path that is served has one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::client::{Modern, initialize};
use crate::harness::gateway::JSON;
use crate::harness::http::Events;
use crate::harness::idp::{Idp, PUBLIC};
use crate::harness::{Fake, Gateway, Legacy};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Nobody,
    Wrong,
    Right,
}

const EVERYBODY: [Who; 3] = [Who::Nobody, Who::Wrong, Who::Right];

/// One request, and the status that each of them is answered with.
struct Row {
    pattern: &'static str,
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    /// Where the right one has a session, whose id all three send.
    session: Option<&'static str>,
    expected: [u16; 3],
}

/// By the SHA-256 of the issuer.
const CLIENT_OF_AN_ISSUER: &str = "/oauth/client/47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU.json";

fn row(pattern: &'static str, method: &'static str, path: &'static str, expected: [u16; 3]) -> Row {
    Row { pattern, method, path, body: None, session: None, expected }
}

fn rows() -> Vec<Row> {
    let hello = initialize("2025-11-25");
    let person = "https://idp.example.com#somebody";
    let hold = json!({"name": "case", "person": person, "reason": "court"});
    let erasure = json!({"person": person, "basis": "request 7"});
    let (rollout, step) = ("/api/v1/servers/{server}/rollout", json!({"version": "2.0.0", "to": 10}));
    let says = |row: Row, body: &Value| Row { body: Some(body.clone()), ..row };
    let in_session = |row: Row| Row { session: Some(row.path), ..row };
    // Sent to where the stream of the right one says.
    let on_stream = |at: &'static str, row: Row| Row { session: Some(at), ..row };
    let server = "/mcp/s/{server}";
    let toolset = "/mcp/v/{toolset}";
    let about = "/.well-known/oauth-protected-resource…";
    let server_of = "/.well-known/oauth-authorization-server…";
    let versions = "/registry/v0.1/servers/{name}/versions";
    let version = "/registry/v0.1/servers/{name}/versions/{version}";
    vec![
        row("/healthz", "GET", "/healthz", [200; 3]),
        row("/readyz", "GET", "/readyz", [200; 3]),
        row("/metrics", "GET", "/metrics", [401, 403, 200]),
        says(row("/mcp", "POST", "/mcp", [401, 200, 200]), &hello),
        // Somebody else's session is one that does not exist.
        in_session(row("/mcp", "GET", "/mcp", [401, 404, 200])),
        in_session(row("/mcp", "DELETE", "/mcp", [401, 404, 204])),
        says(row(server, "POST", "/mcp/s/open", [401, 404, 200]), &hello),
        says(row(server, "POST", "/mcp/s/none", [401, 404, 404]), &hello),
        in_session(row(server, "GET", "/mcp/s/open", [401, 404, 200])),
        in_session(row(server, "DELETE", "/mcp/s/open", [401, 404, 204])),
        row("/sse", "GET", "/sse", [401, 200, 200]),
        says(on_stream("/sse", row("/messages", "POST", "", [401, 404, 202])), &hello),
        row("/s/{server}/sse", "GET", "/s/open/sse", [401, 404, 200]),
        says(on_stream("/s/open/sse", row("/s/{server}/messages", "POST", "", [401, 404, 202])), &hello),
        says(row(toolset, "POST", "/mcp/v/set", [401, 404, 200]), &hello),
        says(row(toolset, "POST", "/mcp/v/none", [401, 404, 404]), &hello),
        in_session(row(toolset, "GET", "/mcp/v/set", [401, 404, 200])),
        in_session(row(toolset, "DELETE", "/mcp/v/set", [401, 404, 204])),
        row("/v/{toolset}/sse", "GET", "/v/set/sse", [401, 404, 200]),
        says(on_stream("/v/set/sse", row("/v/{toolset}/messages", "POST", "", [401, 404, 202])), &hello),
        // Where to log in is said to everybody, and does not say which servers there are.
        row(about, "GET", "/.well-known/oauth-protected-resource", [200; 3]),
        row(about, "GET", "/.well-known/oauth-protected-resource/mcp", [200; 3]),
        row(about, "GET", "/.well-known/oauth-protected-resource/mcp/s/open", [200; 3]),
        row(about, "GET", "/.well-known/oauth-protected-resource/mcp/s/none", [200; 3]),
        row(about, "GET", "/.well-known/oauth-protected-resource/mcp/v/set", [200; 3]),
        row(about, "GET", "/.well-known/oauth-protected-resource/mcp/v/none", [200; 3]),
        row(about, "GET", "/.well-known/oauth-protected-resource/sse", [200; 3]),
        row(about, "GET", "/.well-known/oauth-protected-resource/s/open/sse", [200; 3]),
        row(about, "GET", "/.well-known/oauth-protected-resource/v/set/sse", [200; 3]),
        row(server_of, "GET", "/.well-known/oauth-authorization-server", [200; 3]),
        row(server_of, "GET", "/.well-known/oauth-authorization-server/as", [200; 3]),
        // Whoever logs in is nobody yet, and a request that asks for nothing gets nothing.
        row("/as/…", "GET", "/as/.well-known/oauth-authorization-server", [200; 3]),
        row("/as/…", "GET", "/as/jwks", [200; 3]),
        row("/as/…", "GET", "/as/authorize", [400; 3]),
        row("/as/…", "GET", "/as/callback?state=made-up&code=x", [400; 3]),
        row("/as/…", "POST", "/as/consent", [400; 3]),
        row("/as/…", "POST", "/as/token", [400; 3]),
        row("/as/…", "POST", "/as/revoke", [400; 3]),
        row("/as/…", "POST", "/as/backchannel-logout", [400; 3]),
        row("/as/…", "POST", "/as/register", [400; 3]),
        row("/api/openapi.json", "GET", "/api/openapi.json", [200; 3]),
        // Whoever wants to check what the gateway says of itself may.
        row("/.well-known/jwks.json", "GET", "/.well-known/jwks.json", [200; 3]),
        row("/oauth/client/{issuer}.json", "GET", CLIENT_OF_AN_ISSUER, [200; 3]),
        row("/oauth/client/{issuer}.json", "GET", "/oauth/client/made-up.json", [404; 3]),
        // Where no account is being connected, there is nothing to come back to.
        row("/oauth/callback/{issuer}", "GET", "/oauth/callback/x?state=made-up&code=x", [401, 404, 404]),
        row("/oauth/login", "GET", "/oauth/login?state=made-up&code=x", [404; 3]),
        // Nobody is asked who they are for a link that is none.
        row("/connect/{link}", "GET", "/connect/made-up", [404; 3]),
        row("/connections", "GET", "/connections", [401, 200, 200]),
        // Nobody's log is witnessed here.
        row("/witness/add-checkpoint", "POST", "/witness/add-checkpoint", [404; 3]),
        row("/registry/v0.1/servers", "GET", "/registry/v0.1/servers", [401, 200, 200]),
        row(versions, "GET", "/registry/v0.1/servers/com.example.mcp%2Fopen/versions", [401, 404, 200]),
        row(versions, "GET", "/registry/v0.1/servers/com.example.mcp%2Fshut/versions", [401, 404, 404]),
        row(version, "GET", "/registry/v0.1/servers/com.example.mcp%2Fopen/versions/latest", [401, 404, 200]),
        row(version, "GET", "/registry/v0.1/servers/com.example.mcp%2Fopen/versions/9.9.9", [401, 404, 404]),
        row(
            version,
            "DELETE",
            "/registry/v0.1/servers/com.example.mcp%2Fopen/versions/0.0.0",
            [401, 501, 501],
        ),
        row("/registry/v0.1/publish", "POST", "/registry/v0.1/publish", [401, 501, 501]),
        row("/api/v1/servers/{server}/logs", "GET", "/api/v1/servers/open/logs", [401, 403, 200]),
        row("/api/v1/servers/{server}/logs", "GET", "/api/v1/servers/none/logs", [401, 403, 404]),
        row("/api/v1/servers/{server}/restart", "POST", "/api/v1/servers/open/restart", [401, 403, 200]),
        row("/api/v1/servers/{server}/rollout", "GET", "/api/v1/servers/open/rollout", [401, 403, 200]),
        row("/api/v1/servers/{server}/rollout", "GET", "/api/v1/servers/none/rollout", [401, 403, 404]),
        says(row(rollout, "POST", "/api/v1/servers/open/rollout", [401, 403, 400]), &json!({})),
        says(row(rollout, "POST", "/api/v1/servers/open/rollout", [401, 403, 409]), &step),
        says(row(rollout, "POST", "/api/v1/servers/none/rollout", [401, 403, 404]), &step),
        row("/api/v1/servers/{server}/rollback", "POST", "/api/v1/servers/open/rollback", [401, 403, 409]),
        row("/api/v1/audit/events", "GET", "/api/v1/audit/events", [401, 403, 200]),
        row("/api/v1/audit/tail", "GET", "/api/v1/audit/tail", [401, 403, 200]),
        row("/api/v1/audit/export", "GET", "/api/v1/audit/export?format=ocsf", [401, 403, 200]),
        row("/api/v1/audit/proof", "GET", "/api/v1/audit/proof?tool=none", [401, 403, 404]),
        row("/api/v1/audit/holds", "GET", "/api/v1/audit/holds", [401, 403, 200]),
        // What is asked for is looked at when it is known that it may be.
        says(row("/api/v1/audit/holds", "POST", "/api/v1/audit/holds", [401, 403, 400]), &json!({})),
        says(row("/api/v1/audit/holds", "POST", "/api/v1/audit/holds", [401, 403, 200]), &hold),
        row("/api/v1/audit/holds/{name}", "DELETE", "/api/v1/audit/holds/case", [401, 403, 200]),
        row("/api/v1/audit/holds/{name}", "DELETE", "/api/v1/audit/holds/case", [401, 403, 404]),
        says(row("/api/v1/audit/erasures", "POST", "/api/v1/audit/erasures", [401, 403, 400]), &json!({})),
        says(row("/api/v1/audit/erasures", "POST", "/api/v1/audit/erasures", [401, 403, 200]), &erasure),
        row("/api/v1/audit/removals", "POST", "/api/v1/audit/removals", [401, 403, 200]),
        row("/connections/{server}", "DELETE", "/connections/open", [401, 404, 404]),
    ]
}

/// What the right one has open while all three ask: a session with an id, or a stream, which says where to send to.
struct Held {
    id: Option<String>,
    address: Option<String>,
    _stream: Option<Events>,
}

impl Held {
    async fn open(gateway: &Gateway, at: &str, authorization: &str) -> Self {
        if at.starts_with("/mcp") {
            let session = Legacy::open_as(gateway, at, "2025-11-25", json!({}), Some(authorization)).await;
            return Self { id: Some(session.session), address: None, _stream: None };
        }
        let mut connection = gateway.connect().await;
        let headers = [("accept", "text/event-stream"), ("authorization", authorization)];
        connection.request("GET", at, &headers, b"").await;
        let head = connection.head().await.expect("an answer");
        let mut stream = connection.into_events(&head);
        let address = stream.next().await.expect("where to send to").data;
        Self { id: None, address, _stream: Some(stream) }
    }
}

/// The operations of a document: path, method, and what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations =
        paths.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |it| (path, it)));
    let operations = operations.filter(|(_, (method, _))| *method != "parameters");
    operations.map(|(path, (method, it))| (path.as_str(), method.as_str(), it))
}

/// The operation that a request is for: that of the very path, or of one with places for names.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> &'a Value {
    let path = path.split('?').next().unwrap();
    let fits = |pattern: &str| {
        let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        let fits = |(pattern, part): (&&str, &&str)| match pattern.split_once('{') {
            Some((_, rest)) => part.ends_with(rest.split_once('}').unwrap().1),
            None => pattern == part,
        };
        pattern.len() == path.len() && pattern.iter().zip(&path).all(fits)
    };
    let mut found = operations(document)
        .filter(|(pattern, it, _)| it.eq_ignore_ascii_case(method) && (*pattern == path || fits(pattern)));
    let (_, _, operation) = found.next().unwrap_or_else(|| panic!("{method} {path} is not in openapi.json"));
    operation
}

#[tokio::test]
async fn every_path_serves_those_who_may_and_nobody_else() {
    let served: BTreeSet<_> = portcullis_gateway::listen::PATHS
        .iter()
        .flat_map(|(pattern, methods)| methods.iter().map(|method| (*pattern, *method)))
        .collect();
    let walked: BTreeSet<_> = rows().iter().map(|row| (row.pattern, row.method)).collect();
    assert_eq!(served, walked, "a path without a row, or a row without a path");

    let (idp, upstream) = (Idp::start().await, Fake::modern().start().await);
    let folder = tempfile::tempdir().unwrap();
    let policies = r#"
        permit (principal in Group::"right", action, resource in Server::"open");
        permit (principal in Group::"right", action == Action::"toolsets/use", resource == Toolset::"set");
        forbid (principal, action, resource in Server::"shut");
    "#;
    std::fs::write(folder.path().join("all.cedar"), policies).unwrap();
    let mut config = idp.config(&upstream.config());
    config["servers"] = json!({"open": upstream.config(), "shut": upstream.config()});
    config["toolsets"] = json!({"set": {"tools": [{"from": "open/*"}]}});
    config["policy"] = json!({"files": ["all.cedar"], "roles": {"operator": ["runs"]}});
    config["audit"] = json!({"allow": {"groups": ["ops"]}, "admins": {"groups": ["ops"]}});
    config["telemetry"] = json!({"allow": {"groups": ["ops"]}, "log": {"filter": "info"}});
    // A token that is good for every endpoint: whether one is for this one is another test.
    config["identity"]["issuers"][0]["audience"] = json!("all");
    config["identity"]["issuers"][0]["groups_prefix"] = json!("");
    config["identity"]["facade"] = json!({
        "idp": {"issuer": idp.issuer, "client_id": "gateway", "client_secret": {"env": "A_SECRET"}}, "registration": true,
    });
    let gateway = Gateway::start_in(folder, &config, &[]);
    let document = gateway.get("/api/openapi.json").await.json();
    let mut walked = BTreeSet::new();
    let token = |who: Who| match who {
        Who::Nobody => None,
        Who::Wrong => Some(idp.token_with("wrong", &json!({"aud": "all", "groups": ["wrong"]}))),
        Who::Right => {
            Some(idp.token_with("right", &json!({"aud": "all", "groups": ["right", "ops", "runs"]})))
        }
    };
    for row in rows() {
        let opened = match row.session {
            Some(at) => {
                Some(Held::open(&gateway, at, &format!("Bearer {}", token(Who::Right).unwrap())).await)
            }
            None => None,
        };
        let path = opened.as_ref().and_then(|opened| opened.address.as_deref()).unwrap_or(row.path);
        let session = opened.as_ref().and_then(|opened| opened.id.clone());
        let operation = operation(&document, row.method, path);
        walked.insert(operation["operationId"].as_str().unwrap());
        // What no `security` is said of is as the document has it at its top; an empty one among several is none.
        let security = operation.get("security").unwrap_or(&document["security"]).as_array().unwrap();
        let is_open = security.is_empty() || security.contains(&json!({}));
        for (who, expected) in EVERYBODY.into_iter().zip(row.expected) {
            let authorization = token(who).map(|token| format!("Bearer {token}"));
            let mut headers = JSON.to_vec();
            headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
            headers.extend(session.as_deref().map(|id| ("mcp-session-id", id)));
            let body = row.body.as_ref().map(Value::to_string).unwrap_or_default();
            let mut connection = gateway.connect().await;
            connection.request(row.method, path, &headers, body.as_bytes()).await;
            let head = connection.head().await.expect("an answer");
            let asked = format!("{} {path} for {who:?}", row.method);
            assert_eq!(head.status, expected, "{asked}");
            let described = operation["responses"].get(expected.to_string()).is_some();
            assert!(described, "{asked}: openapi.json has no {expected}");
            assert_eq!(expected == 401, who == Who::Nobody && !is_open, "{asked}: openapi.json says who may");
            let challenged = head.header("www-authenticate").is_some_and(|value| value.contains(PUBLIC));
            assert_eq!(challenged, expected == 401, "{asked}: where to log in");
        }
    }
    assert_eq!(walked.len(), operations(&document).count(), "an operation of openapi.json without a row");
    // What is not there, and what is not served, is the same for everybody who is let in, and no more for anybody.
    for path in [
        "/",
        "/mcp/x/none",
        "/api/v1/servers",
        "/api/",
        "/ui/",
        "/ws",
        "/s/open",
        "/v/set",
        "/metrics/",
        "//mcp",
    ] {
        for who in EVERYBODY {
            let authorization = token(who).map(|token| format!("Bearer {token}")).unwrap_or_default();
            let answer = gateway.send("GET", path, &[("authorization", &authorization)], b"").await;
            assert_eq!(answer.status(), 404, "{path} for {who:?}");
        }
    }
    let names = async |who: Who| {
        let authorization = token(who).map(|token| format!("Bearer {token}")).unwrap_or_default();
        let headers = [("authorization", authorization.as_str())];
        let ready = gateway.send("GET", "/readyz", &headers, b"").await;
        let list = Modern::new().request_with(&gateway, "tools/list", json!({}), &headers).await;
        (ready.text().contains("open"), list.text().contains("open__"), list.text().contains("shut__"))
    };
    assert_eq!(names(Who::Nobody).await, (false, false, false));
    assert_eq!(names(Who::Wrong).await, (false, false, false));
    assert_eq!(names(Who::Right).await, (true, true, false));
}
