//! Client certificates beside tokens: bound tokens, and workloads with SPIFFE ids.

use serde_json::{Value, json};

use super::bearer;
use crate::harness::client::{Modern, initialize};
use crate::harness::gateway::JSON;
use crate::harness::idp::{Idp, encode, sha256};
use crate::harness::pki::{Authority, Identity};
use crate::harness::secure::{Answered, Client, Offer};
use crate::harness::{Fake, Gateway, Upstream};

struct Scene {
    ca: Authority,
    clients: Authority,
    idp: Idp,
    gateway: Gateway,
    _upstream: Upstream,
}

impl Scene {
    async fn new(tokens: bool) -> Self {
        let (ca, clients, idp) = (Authority::new(), Authority::new(), Idp::start().await);
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Fake::modern().start().await);
        let mut config = idp.config(&upstream.config());
        config["tls"] = ca.issue("localhost").write(folder.path(), "own");
        config["tls"]["client_ca"] = json!(clients.write(folder.path(), "clients.pem"));
        if !tokens {
            config["identity"] = json!({"anonymous": "deny"});
        }
        let gateway = Gateway::start_in(folder, &config, &[]);
        Self { ca, clients, idp, gateway, _upstream: upstream }
    }

    async fn connect(&self, identity: Option<&Identity>) -> Client {
        Client::tls(self.gateway.address, self.ca.client(identity), Offer::H1).await.unwrap()
    }

    async fn call(&self, identity: Option<&Identity>, token: Option<&str>) -> Answered {
        let mut client = self.connect(identity).await;
        let body = Modern::new().body("tools/list", json!({}));
        let mut headers = Modern::headers(&body);
        headers.extend(token.map(|token| ("authorization".to_owned(), bearer(token))));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client.send("POST", "/mcp", &headers, body.to_string()).await.unwrap()
    }
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_works_with_it_alone() {
    let scene = Scene::new(true).await;
    let (mine, other) = (scene.clients.issue("mine"), scene.clients.issue("mine"));
    let thumbprint = encode(sha256(&mine.der()));
    let bound = scene.idp.token_with("ada", &json!({"cnf": {"x5t#S256": thumbprint}}));
    assert_eq!(scene.call(Some(&mine), Some(&bound)).await.status, 200);
    assert_eq!(scene.call(Some(&other), Some(&bound)).await.status, 401);
    assert_eq!(scene.call(None, Some(&bound)).await.status, 401);
}

#[tokio::test]
async fn where_tokens_are_taken_a_certificate_is_one_way_in_and_a_token_another() {
    let scene = Scene::new(true).await;
    let mine = scene.clients.issue("mine");
    let token = scene.idp.token("ada");
    assert_eq!(scene.call(Some(&mine), None).await.status, 200);
    assert_eq!(scene.call(None, Some(&token)).await.status, 200);
    assert_eq!(scene.call(None, None).await.status, 401);
    // A credential that is shown decides.
    assert_eq!(scene.call(Some(&mine), Some("opaque")).await.status, 401);
}

#[tokio::test]
async fn strangers_on_the_network_learn_nothing_of_the_servers() {
    let (ca, idp) = (Authority::new(), Idp::start().await);
    let (folder, upstream) = (tempfile::tempdir().unwrap(), Fake::modern().start().await);
    let mut config = idp.config(&upstream.config());
    config["listen"] = json!("0.0.0.0:0");
    config["tls"] = ca.issue("localhost").write(folder.path(), "own");
    config["http"] = json!({"allowed_hosts": ["localhost"]});
    let gateway = Gateway::start_in(folder, &config, &[]);
    let address = ([127, 0, 0, 1], gateway.address.port()).into();
    let get = async |path: &str, headers: &[(&str, &str)]| {
        let mut client = Client::tls(address, ca.client(None), Offer::H1).await.unwrap();
        client.send("GET", path, headers, String::new()).await.unwrap()
    };
    let ready = get("/readyz", &[]).await;
    assert_eq!((ready.status, ready.body), (200, json!({"status": "ready"})));
    assert_eq!(get("/metrics", &[]).await.status, 401);
    let authorization = bearer(&idp.token("ada"));
    let headers = [("authorization", authorization.as_str())];
    assert_eq!(get("/metrics", &headers).await.status, 200);
    let mut client = Client::tls(address, ca.client(None), Offer::H2).await.unwrap();
    let body = Modern::new().body("tools/list", json!({}));
    let mut headers = Modern::headers(&body);
    assert_eq!(client.modern("tools/list", json!({})).await.unwrap().status, 401);
    headers.push(("authorization".to_owned(), authorization.clone()));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(client.send("POST", "/mcp", &headers, body.to_string()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_reload_opens_no_listener_to_everybody() {
    let (ca, idp) = (Authority::new(), Idp::start().await);
    let (folder, upstream) = (tempfile::tempdir().unwrap(), Fake::modern().start().await);
    let mut config = idp.config(&upstream.config());
    config["listen"] = json!("0.0.0.0:0");
    config["tls"] = ca.issue("localhost").write(folder.path(), "own");
    config["http"] = json!({"allowed_hosts": ["localhost"]});
    let gateway = Gateway::start_in(folder, &config, &[]);
    // On loopback nobody has to say who they are. The listener is still where it was.
    gateway.rewrite_config(&json!({"listen": "127.0.0.1:0", "servers": {"x": upstream.config()}}));
    gateway.logged("took up the configuration").await;
    let address = ([127, 0, 0, 1], gateway.address.port()).into();
    let mut client = Client::tls(address, ca.client(None), Offer::H2).await.unwrap();
    assert_eq!(client.modern("tools/list", json!({})).await.unwrap().status, 401);
}

#[tokio::test]
async fn a_workload_is_its_spiffe_id_whatever_certificate_it_has_now() {
    let scene = Scene::new(false).await;
    let svid = |path: &str| scene.clients.issue_uri(&format!("spiffe://example.org/{path}"));
    let hello = initialize("2025-11-25").to_string();
    let opened = scene.connect(Some(&svid("worker"))).await.send("POST", "/mcp", &JSON, hello).await.unwrap();
    let session = opened.session.expect("a session");
    let ping = async |identity: Identity| {
        let message: Value = json!({"jsonrpc": "2.0", "id": 7, "method": "ping"});
        scene.connect(Some(&identity)).await.in_session(&session, &message).await.unwrap().status
    };
    assert_eq!(ping(svid("worker")).await, 200, "a renewed certificate of the same workload");
    assert_eq!(ping(svid("other")).await, 404);
    assert_eq!(ping(scene.clients.issue("worker")).await, 404);
    assert_eq!(scene.call(Some(&svid("worker")), None).await.status, 200);
    scene.gateway.logged("spiffe://example.org/worker").await;
}
