//! Who may read what names servers and tools: `/metrics`, and why the gateway is ready.

use serde_json::{Value, json};

use crate::harness::http::Response;
use crate::harness::idp::{Idp, sha256};
use crate::harness::{Fake, Gateway, Modern, Upstream, hex, until};

const KEYS: [(&str, &str, &str); 3] = [
    ("ops", "pcl_ops-ops-ops-ops-ops-ops-ops-ops-ops-ops-ops", "watchers"),
    ("app", "pcl_app-app-app-app-app-app-app-app-app-app-app", "apps"),
    ("mon", "pcl_mon-mon-mon-mon-mon-mon-mon-mon-mon-mon-mon", "none"),
];

async fn start(more: Value) -> (Gateway, Upstream) {
    let server = Fake::modern().start().await;
    let folder = tempfile::tempdir().unwrap();
    let keys: serde_json::Map<_, _> = KEYS
        .iter()
        .map(|(name, key, group)| {
            let hash = json!({"sha256": hex(&sha256(key.as_bytes()))});
            ((*name).to_owned(), json!({"hashes": [hash], "groups": [group]}))
        })
        .collect();
    std::fs::write(folder.path().join("keys.json"), json!({"keys": keys}).to_string()).unwrap();
    let mut config = json!({"servers": {"x": server.config()}});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    (Gateway::start_in(folder, &config, &[]), server)
}

async fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    gateway.send("GET", path, headers, b"").await
}

/// Who may read: the status of `/metrics`, and whether `/readyz` names servers.
async fn may(gateway: &Gateway, headers: &[(&str, &str)]) -> (u16, bool) {
    let metrics = get(gateway, "/metrics", headers).await;
    let ready = get(gateway, "/readyz", headers).await;
    assert_eq!(
        (ready.status(), &ready.json()["status"]),
        (200, &json!("ready")),
        "everybody learns that much"
    );
    (metrics.status(), ready.json().get("servers").is_some())
}

async fn of_key(gateway: &Gateway, name: &str) -> (u16, bool) {
    let (_, key, _) = KEYS.iter().find(|(known, _, _)| *known == name).unwrap();
    may(gateway, &[("authorization", &format!("Bearer {key}"))]).await
}

#[tokio::test]
async fn on_loopback_this_machine_may_and_whoever_is_behind_a_proxy_may_not() {
    let (gateway, _server) = start(json!({"http": {"allowed_hosts": ["mcp.example.com"]}})).await;
    assert_eq!(may(&gateway, &[]).await, (200, true));
    for header in [
        ("x-forwarded-for", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("via", "1.1 proxy"),
        ("x-real-ip", "203.0.113.7"),
        ("host", "mcp.example.com"),
    ] {
        assert_eq!(may(&gateway, &[header]).await, (403, false), "{header:?}");
    }
}

#[tokio::test]
async fn where_callers_have_credentials_one_is_needed() {
    let (gateway, _server) = start(json!({"identity": {"keys": {"file": "keys.json"}}})).await;
    assert_eq!(may(&gateway, &[]).await, (401, false), "loopback is no credential");
    assert_eq!(of_key(&gateway, "app").await, (200, true));
    assert_eq!(may(&gateway, &[("authorization", "Bearer pcl_wrong")]).await, (401, false));
}

#[tokio::test]
async fn where_policies_hide_names_only_those_who_run_it_may() {
    let policy = json!({"roles": {"auditor": ["watchers"], "user": ["apps"]}});
    let identity = json!({"keys": {"file": "keys.json"}});
    let (gateway, _server) = start(json!({"identity": identity, "policy": policy})).await;
    assert_eq!(of_key(&gateway, "ops").await, (200, true));
    assert_eq!(of_key(&gateway, "app").await, (403, false));
    // Whoever is in a group because the operator says so, counts as well.
    let policy = json!({"roles": {"admin": ["root"]}, "groups": {"root": ["anonymous"]}});
    let (gateway, _server) = start(json!({"policy": policy})).await;
    assert_eq!(may(&gateway, &[]).await, (200, true));
    let (gateway, _server) = start(json!({"policy": {"roles": {"user": ["everybody"]}}})).await;
    assert_eq!(may(&gateway, &[]).await, (403, false), "this machine's users are callers like others");
}

#[tokio::test]
async fn the_operator_may_name_them() {
    let allow = json!({"groups": ["watchers"], "principals": ["key:mon"]});
    let identity = json!({"keys": {"file": "keys.json"}});
    let config = json!({"identity": identity, "telemetry": {"allow": allow, "log": {"filter": "info"}}});
    let (gateway, _server) = start(config).await;
    for (name, expected) in [("ops", (200, true)), ("mon", (200, true)), ("app", (403, false))] {
        assert_eq!(of_key(&gateway, name).await, expected, "{name}");
    }
    assert_eq!(may(&gateway, &[]).await, (401, false));
    let identity = json!({"keys": {"file": "keys.json"}});
    let open = json!({"allow": {"principals": ["anonymous"]}, "log": {"filter": "info"}});
    let (gateway, _server) = start(json!({"identity": identity, "telemetry": open})).await;
    assert_eq!(may(&gateway, &[("via", "1.1 proxy")]).await, (200, true), "that is what was written");
}

#[tokio::test]
async fn metrics_say_who_was_let_in_and_how_the_issuer_does() {
    let (idp, server) = (Idp::start().await, Fake::modern().start().await);
    let mut config = idp.config(&server.config());
    config["identity"]["issuers"][0]["introspection"] =
        json!({"url": format!("{}/introspect", idp.issuer), "client_id": "c", "client_secret": "s"});
    config["telemetry"] = json!({"allow": {"principals": ["anonymous"]}, "log": {"filter": "info"}});
    let gateway = Gateway::start(&config);
    let call = async |token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str())];
        Modern::new().request_with(&gateway, "tools/list", json!({}), &headers).await.status()
    };
    idp.say(json!({"active": false}));
    assert_eq!(call(&idp.token("ada")).await, 200);
    assert_eq!(call(&idp.token_with("ada", &json!({"exp": 1}))).await, 401);
    assert_eq!(call("made-up").await, 401);
    let issuer = &idp.issuer;
    let expected = [
        "portcullis_credentials_total{outcome=\"accepted\",reason=\"\"} 1".to_owned(),
        "portcullis_credentials_total{outcome=\"refused\",reason=\"Expired\"} 1".to_owned(),
        "portcullis_credentials_total{outcome=\"refused\",reason=\"Inactive\"} 1".to_owned(),
        format!("portcullis_issuer_keys_fetches_total{{issuer=\"{issuer}\",outcome=\"ok\"}} 1"),
        format!("portcullis_introspections_total{{issuer=\"{issuer}\",outcome=\"refused\"}} 1"),
        format!("portcullis_issuer_keys_age_seconds{{issuer=\"{issuer}\"}} "),
    ];
    let metrics = get(&gateway, "/metrics", &[]).await.text();
    for line in expected {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("made-up") && !metrics.contains("ada"));
    // An issuer that is away is seen to be.
    idp.publish(false);
    until("the failed fetch", async || {
        call(&idp.sign(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "other"}), &json!({"iss": issuer})))
            .await;
        let metrics = get(&gateway, "/metrics", &[]).await.text();
        metrics.contains("reason=\"UnknownKey\"")
    })
    .await;
}
