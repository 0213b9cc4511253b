//! The gateway logs people in itself: over the wire, from a bare 401 to a call, and what it must not be used for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{bearer, open_session, ping};
use crate::evidence;
use crate::harness::gateway::JSON;
use crate::harness::http::Response;
use crate::harness::idp::{Idp, PUBLIC, Signer, encode, now, sha256};
use crate::harness::pki::Authority;
use crate::harness::secure::Front;
use crate::harness::{Fake, Gateway, Modern, Upstream, until};

pub(super) const REDIRECT: &str = "https://app.example/cb";
pub(super) const VERIFIER: &str = "verifier-verifier-verifier-verifier-verifier-42";
pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(super) struct Scene {
    pub(super) idp: Idp,
    pub(super) gateway: Gateway,
    upstream: Upstream,
    pub(super) config: Value,
}

impl Scene {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Value)) -> Self {
        let (idp, upstream) = (Idp::start().await, Fake::modern().start().await);
        let mut config = json!({
            "public_url": PUBLIC,
            "servers": {"x": upstream.config()},
            "identity": {"scopes": ["mcp"], "facade": {
                "idp": {"issuer": idp.issuer, "client_id": "gateway", "client_secret": {"env": "A_SECRET"}},
                "clients": {"editor": {"redirect_uris": [REDIRECT]}},
                "registration": true,
            }},
        });
        change(&mut config);
        let gateway = Gateway::start(&config);
        Self { idp, gateway, upstream, config }
    }

    pub(super) async fn get(&self, url: &str, cookies: &BTreeMap<String, String>) -> Response {
        let path = url.strip_prefix(PUBLIC).unwrap_or(url);
        let cookies = fields(cookies);
        let headers: Vec<_> = cookies.iter().map(|cookie| ("cookie", cookie.as_str())).collect();
        self.gateway.send("GET", path, &headers, b"").await
    }

    pub(super) async fn form(&self, path: &str, params: &[(&str, &str)]) -> Response {
        let body = encoded(params);
        self.gateway.send("POST", path, &[FORM], body.as_bytes()).await
    }

    /// Where a browser is sent to log in, with its cookies, for a client that somebody has agreed to.
    pub(super) async fn away(&self, client: &str, redirect: &str) -> (BTreeMap<String, String>, String) {
        let mut cookies = BTreeMap::new();
        let query = encoded(&[
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", redirect),
            ("code_challenge", &encode(sha256(VERIFIER.as_bytes()))),
            ("code_challenge_method", "S256"),
            ("resource", &format!("{PUBLIC}/mcp")),
            ("state", "s"),
        ]);
        let page = self.get(&format!("/as/authorize?{query}"), &cookies).await;
        assert_eq!(page.status(), 200, "{page:?}");
        keep(&mut cookies, &page);
        let text = page.text();
        let sealed = text.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let body = encoded(&[("request", sealed), ("answer", "allow")]);
        // As a browser sends it: with the origin of the page.
        let fields = fields(&cookies);
        let mut headers = vec![FORM, ("origin", PUBLIC)];
        headers.extend(fields.iter().map(|cookie| ("cookie", cookie.as_str())));
        let away = self.gateway.send("POST", "/as/consent", &headers, body.as_bytes()).await;
        assert_eq!(away.status(), 303, "{away:?}");
        keep(&mut cookies, &away);
        let to = away.header("location").unwrap();
        assert!(to.starts_with(&format!("{}/auth?", self.idp.issuer)), "{to}");
        (cookies, to.to_owned())
    }

    /// Where the browser is sent back to after somebody has logged in.
    async fn back(&self, client: &str, redirect: &str, who: &str) -> String {
        let (cookies, to) = self.away(client, redirect).await;
        let (state, nonce) = (param(&to, "state"), param(&to, "nonce"));
        let back = format!("/as/callback?state={state}&code={who}~{nonce}");
        let back = self.get(&back, &cookies).await;
        assert_eq!(back.status(), 303, "{back:?}");
        back.header("location").unwrap().to_owned()
    }

    pub(super) async fn tokens(&self, who: &str) -> Value {
        let back = self.back("editor", REDIRECT, who).await;
        assert_eq!(param(&back, "iss"), "https%3A%2F%2Fmcp.example.com%2Fas");
        let answer = self.redeem(&param(&back, "code")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.json()
    }

    async fn redeem(&self, code: &str) -> Response {
        let params = [
            ("grant_type", "authorization_code"),
            ("client_id", "editor"),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        self.form("/as/token", &params).await
    }

    async fn call(&self, token: &str) -> u16 {
        let authorization = bearer(token);
        let headers = [("authorization", authorization.as_str())];
        let arguments = json!({"name": "x__echo", "arguments": {"n": 1}});
        Modern::new().request_with(&self.gateway, "tools/call", arguments, &headers).await.status()
    }
}

fn keep(cookies: &mut BTreeMap<String, String>, answer: &Response) {
    for (_, cookie) in answer.head.headers.iter().filter(|(name, _)| name == "set-cookie") {
        let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
        cookies.insert(name.to_owned(), value.to_owned());
    }
}

/// Each in a field of its own, as HTTP/2 has it (RFC 9113 section 8.2.3).
fn fields(cookies: &BTreeMap<String, String>) -> Vec<String> {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// A form; every byte that is not plain is escaped.
pub(super) fn encoded(params: &[(&str, &str)]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |text: &str| {
        text.bytes().fold(String::new(), |out, byte| {
            if plain(byte) { out + &char::from(byte).to_string() } else { out + &format!("%{byte:02X}") }
        })
    };
    params.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}

pub(super) fn param(url: &str, name: &str) -> String {
    let pairs = url.split_once('?').unwrap().1.split('&');
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    values.next().unwrap_or_else(|| panic!("no {name} in {url}")).to_owned()
}

#[tokio::test]
async fn a_login_that_is_bound_to_a_key_is_of_use_with_that_key_alone() {
    let scene = Scene::with(|config| config["identity"]["dpop"] = json!({"required": true})).await;
    let (key, thief) = (Signer::new(), Signer::new());
    let token_endpoint = format!("{PUBLIC}/as/token");
    let proof = |key: &Signer| key.proof("", &token_endpoint, &json!({}));
    let redeem = async |proofs: &[&str]| {
        let code = param(&scene.back("editor", REDIRECT, "ada").await, "code");
        let body = encoded(&[
            ("grant_type", "authorization_code"),
            ("client_id", "editor"),
            ("code", &code),
            ("code_verifier", VERIFIER),
        ]);
        let mut headers = vec![FORM];
        headers.extend(proofs.iter().map(|proof| ("dpop", *proof)));
        scene.gateway.send("POST", "/as/token", &headers, body.as_bytes()).await
    };
    // No key, and two, of which nobody knows which counts.
    assert_eq!(redeem(&[]).await.json()["error"], "invalid_dpop_proof");
    let two = [proof(&key), proof(&key)];
    assert_eq!(redeem(&[&two[0], &two[1]]).await.json()["error"], "invalid_dpop_proof");
    let tokens = redeem(&[&proof(&key)]).await.json();
    assert_eq!(tokens["token_type"], "DPoP", "{tokens}");
    let token = tokens["access_token"].as_str().unwrap();
    let dpop = format!("DPoP {token}");
    let call = async |authorization: &str, key: &Signer| {
        let proof = key.proof(token, &format!("{PUBLIC}/mcp"), &json!({}));
        let headers = [("authorization", authorization), ("dpop", proof.as_str())];
        let arguments = json!({"name": "x__echo", "arguments": {"n": 1}});
        Modern::new().request_with(&scene.gateway, "tools/call", arguments, &headers).await.status()
    };
    assert_eq!(call(&dpop, &key).await, 200);
    assert_eq!(call(&dpop, &thief).await, 401);
    assert_eq!(call(&bearer(token), &key).await, 401);
    let document = scene.gateway.get("/.well-known/oauth-authorization-server/as").await.json();
    assert!(document["dpop_signing_alg_values_supported"].as_array().is_some(), "{document}");
}

#[tokio::test]
async fn a_client_finds_its_way_from_a_bare_401_to_a_call_and_the_provider_is_asked_no_more() {
    let scene = Scene::with(|config| config["audit"] = json!({"node": "gw"})).await;
    let bare = scene.gateway.post("/mcp", "{}").await;
    assert_eq!(bare.status(), 401);
    let challenge = bare.header("www-authenticate").unwrap();
    assert!(challenge.contains("/.well-known/oauth-protected-resource/mcp\""), "{challenge}");
    let resource = scene.gateway.get("/.well-known/oauth-protected-resource/mcp").await.json();
    let issuer = format!("{PUBLIC}/as");
    assert_eq!(resource["authorization_servers"], json!([issuer]));
    for path in [
        "/.well-known/oauth-authorization-server/as",
        "/.well-known/oauth-authorization-server",
        "/as/.well-known/oauth-authorization-server",
    ] {
        let document = scene.gateway.get(path).await;
        assert_eq!((document.status(), document.json()["issuer"].clone()), (200, json!(issuer)), "{path}");
    }
    let tokens = scene.tokens("ada").await;
    let token = tokens["access_token"].as_str().unwrap();
    let asked = scene.idp.server.seen().len();
    assert_eq!(scene.call(token).await, 200);
    let session = open_session(&scene.gateway, token).await;
    assert_eq!(ping(&scene.gateway, &session, Some(token)).await.status(), 200);
    assert_eq!(scene.idp.server.seen().len(), asked, "its own tokens need nobody else");
    let line = scene.gateway.logged("principal.id").await;
    assert!(line.contains(&format!("user:{issuer}#ada")), "{line}");
    // For that endpoint alone, and nothing of it for the server.
    let authorization = bearer(token);
    let headers = [("authorization", authorization.as_str())];
    let other = Modern::at("/mcp/s/x").request_with(&scene.gateway, "tools/list", json!({}), &headers).await;
    assert_eq!(other.status(), 401);
    assert!(scene.upstream.seen().iter().all(|seen| seen.header("authorization").is_none()));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let params = [("grant_type", "refresh_token"), ("client_id", "editor"), ("refresh_token", refresh)];
    let renewed = scene.form("/as/token", &params).await.json();
    assert_eq!(scene.call(renewed["access_token"].as_str().unwrap()).await, 200);
    let log = scene.gateway.log();
    assert!(!log.contains(token) && !log.contains(refresh), "no token is in the log");
    let gave = |event: &Value| {
        event["kind"] == "login" && event["detail"]["step"] == "/token" && event["detail"]["status"] == "200"
    };
    let all = evidence::until(&scene.gateway, "what was issued", 2, gave).await;
    assert_eq!(all.len(), 2, "the first token, and the one for its refresh token: {all:?}");
    let all = json!(evidence::events(&scene.gateway)).to_string();
    assert!(!all.contains(token) && !all.contains(refresh) && !all.contains("#ada"), "nor in the evidence");
}

#[tokio::test]
async fn a_code_that_is_used_twice_ends_the_login_and_its_streams() {
    let scene = Scene::new().await;
    let back = scene.back("editor", REDIRECT, "ada").await;
    let code = param(&back, "code");
    let token = scene.redeem(&code).await.json()["access_token"].as_str().unwrap().to_owned();
    let session = open_session(&scene.gateway, &token).await;
    let more = [("mcp-session-id", session.as_str())];
    let mut stream = super::streams::get(&scene.gateway, "/mcp", &token, &more).await;
    assert_eq!(scene.call(&token).await, 200);
    assert_eq!(scene.redeem(&code).await.status(), 400);
    super::streams::rest(&mut stream).await;
    assert_eq!(scene.call(&token).await, 401);
    scene.gateway.logged("the code was used before").await;
    // Somebody else's login goes on.
    assert_eq!(scene.call(scene.tokens("bob").await["access_token"].as_str().unwrap()).await, 200);
}

#[tokio::test]
async fn a_login_that_the_provider_ends_is_over_with_its_streams() {
    let scene = Scene::with(|config| config["audit"] = json!({"node": "gw"})).await;
    let tokens = [scene.tokens("ada").await, scene.tokens("bob").await];
    let [ada, bob] = tokens.map(|tokens| tokens["access_token"].as_str().unwrap().to_owned());
    let session = open_session(&scene.gateway, &ada).await;
    let more = [("mcp-session-id", session.as_str())];
    let mut stream = super::streams::get(&scene.gateway, "/mcp", &ada, &more).await;
    let header = json!({"alg": "ES256", "typ": "logout+jwt", "kid": "k1"});
    let claims = json!({
        "iss": scene.idp.issuer, "aud": "gateway", "sub": "ada", "iat": now(), "exp": now() + 120, "jti": "1",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let forged = Signer::new().sign(&header, &claims);
    let end = async |token: &str| scene.form("/as/backchannel-logout", &[("logout_token", token)]).await;
    assert_eq!(end(&forged).await.status(), 400);
    scene.gateway.logged("not signed by the identity provider").await;
    assert_eq!(scene.call(&ada).await, 200);
    let over = end(&scene.idp.sign(&header, &claims)).await;
    assert_eq!((over.status(), over.header("cache-control")), (200, Some("no-store")));
    super::streams::rest(&mut stream).await;
    assert_eq!((scene.call(&ada).await, scene.call(&bob).await), (401, 200));
    // On record with the person, as is the revocation of a login, however much else goes on there that is nobody's.
    for _ in 0..150 {
        scene.form("/as/revoke", &[("client_id", "editor"), ("token", "made-up")]).await;
    }
    let revoked = scene.form("/as/revoke", &[("client_id", "editor"), ("token", &bob)]).await;
    assert_eq!(revoked.status(), 200);
    let ended = |event: &Value| event["kind"] == "login" && event["detail"]["what"] == "ended";
    let ends = evidence::until(&scene.gateway, "both ends", 2, ended).await;
    let all = evidence::events(&scene.gateway);
    let step = |path: &str| {
        let of = all.iter().filter(|it| it["detail"]["step"] == path && it["who"]["person"].is_string());
        of.map(|it| it["who"]["person"].clone()).collect::<Vec<_>>()
    };
    let people: Vec<_> = ends.iter().map(|event| event["who"]["person"].clone()).collect();
    assert_eq!(step("/token"), people, "{ends:?}");
    assert_eq!(step("/backchannel-logout"), people[..1]);
    let why: Vec<_> = ends.iter().map(|event| event["detail"]["reason"].as_str().unwrap()).collect();
    assert_eq!(why, ["its identity provider says that it is over", "its client revoked it"]);
}

#[tokio::test]
async fn a_login_that_ends_at_one_gateway_ends_at_all_that_share_its_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = json!({"kind": "sqlite", "path": folder.path().join("shared.db")});
    let scene = Scene::with(|config| {
        config["store"] = store;
        config["identity"]["facade"]["key"] = json!({"env": "A_SECRET"});
    })
    .await;
    let other = Gateway::start(&scene.config);
    let call = async |gateway: &Gateway, token: &str| {
        let authorization = bearer(token);
        let headers = [("authorization", authorization.as_str())];
        Modern::new().request_with(gateway, "tools/list", json!({}), &headers).await.status()
    };
    let (ada, bob) = (scene.tokens("ada").await, scene.tokens("bob").await);
    let token = |tokens: &Value| tokens["access_token"].as_str().unwrap().to_owned();
    assert_eq!((call(&other, &token(&ada)).await, call(&other, &token(&bob)).await), (200, 200));
    let session = open_session(&other, &token(&ada)).await;
    let more = [("mcp-session-id", session.as_str())];
    let mut stream = super::streams::get(&other, "/mcp", &token(&ada), &more).await;
    let params = [("client_id", "editor"), ("token", ada["refresh_token"].as_str().unwrap())];
    assert_eq!(scene.form("/as/revoke", &params).await.status(), 200);
    super::streams::rest(&mut stream).await;
    until("the end elsewhere", async || call(&other, &token(&ada)).await == 401).await;
    assert_eq!(call(&other, &token(&bob)).await, 200);
    // A gateway that starts later knows it as well.
    let third = Gateway::start(&scene.config);
    until("the end at a new one", async || call(&third, &token(&ada)).await == 401).await;
    assert_eq!(call(&third, &token(&bob)).await, 200);
}

#[tokio::test]
async fn a_login_outlives_a_reload_and_ends_with_the_facade() {
    let scene = Scene::new().await;
    let token = scene.tokens("ada").await["access_token"].as_str().unwrap().to_owned();
    let mut config = scene.config.clone();
    config["limits"] = json!({"concurrent_calls": 100});
    scene.gateway.rewrite_config(&config);
    scene.gateway.logged("took up the configuration").await;
    assert_eq!(scene.call(&token).await, 200);
    config["identity"]["facade"]["access_ttl"] = json!("5m");
    config["identity"]["scopes"] = json!(["mcp", "told-apart"]);
    scene.gateway.rewrite_config(&config);
    let about = "/.well-known/oauth-protected-resource/mcp";
    until("the new settings", async || scene.gateway.get(about).await.text().contains("told-apart")).await;
    assert_eq!(scene.tokens("ada").await["expires_in"], 300);
    assert_eq!(scene.call(scene.tokens("bob").await["access_token"].as_str().unwrap()).await, 200);
    config["identity"] = json!({"issuers": [{"issuer": scene.idp.issuer}]});
    scene.gateway.rewrite_config(&config);
    until("the end of the facade", async || scene.gateway.get("/as/jwks").await.status() == 404).await;
    assert_eq!(scene.call(&token).await, 401);
}

/// Whoever asks names an address, and the gateway must not go there.
#[tokio::test]
async fn no_client_id_makes_the_gateway_ask_inside() {
    let scene = Scene::new().await;
    let inside = Upstream::start(|_, answer| async move { answer.json(200, &json!({})).await }).await;
    let port = inside.url.split(':').nth(2).unwrap().split('/').next().unwrap();
    let hosts = [
        "127.0.0.1",
        "[::1]",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "0.0.0.0",
        "[::]",
        "localhost",
        "127.1",
        "0x7f.1",
        "2130706433",
        "localhost.",
    ];
    for host in hosts {
        for id in [format!("https://{host}/client.json"), format!("https://{host}:{port}/client.json")] {
            let query = encoded(&[("response_type", "code"), ("client_id", &id), ("redirect_uri", REDIRECT)]);
            let answer = scene.gateway.get(&format!("/as/authorize?{query}")).await;
            assert!(matches!(answer.status(), 400 | 429), "{id}: {answer:?}");
            assert!(!answer.text().contains(host) && answer.header("location").is_none(), "{id}: {answer:?}");
        }
    }
    assert_eq!(inside.seen().len(), 0);
    scene.gateway.logged("the client id leads where no document may be").await;
}

/// What is refused is refused on the wire as well, and the log says why.
#[tokio::test]
async fn what_is_refused_is_in_the_log_with_its_step_and_reason() {
    let scene = Scene::new().await;
    let authorize = |params: &[(&str, &str)]| format!("/as/authorize?{}", encoded(params));
    for (path, reason) in [
        (authorize(&[("client_id", "nobody")]), "the client is not known here"),
        (
            authorize(&[("client_id", "editor"), ("redirect_uri", "https://evil.example/")]),
            "none of this client's",
        ),
        (authorize(&[("client_id", "editor"), ("response_type", "code")]), "PKCE is needed"),
        ("/as/callback?state=x&code=y".to_owned(), "this login is over"),
    ] {
        let answer = scene.gateway.get(&path).await;
        assert!(matches!(answer.status(), 303 | 400), "{path}: {answer:?}");
        let line = scene.gateway.logged(reason).await;
        assert!(line.contains("the authorization server refused") && !line.contains("evil"), "{line}");
    }
    assert_eq!(scene.form("/as/consent", &[("request", "x"), ("answer", "allow")]).await.status(), 403);
    assert_eq!(
        scene.form("/as/token", &[("grant_type", "password"), ("client_id", "editor")]).await.status(),
        400
    );
    // A page of somebody else cannot post here.
    let foreign = [FORM, ("origin", "https://evil.example")];
    assert_eq!(scene.gateway.send("POST", "/as/consent", &foreign, b"answer=allow").await.status(), 403);
    let huge = "x".repeat(200 * 1024);
    let answer = scene.form("/as/token", &[("grant_type", &huge)]).await;
    assert_eq!((answer.status(), answer.text().contains("65536 bytes")), (413, true), "{answer:?}");
    for (method, path) in [
        ("GET", "/as/token"),
        ("POST", "/as/authorize"),
        ("GET", "/as"),
        ("GET", "/as/"),
        ("GET", "/as/secret"),
        ("DELETE", "/as/jwks"),
        ("POST", "/.well-known/oauth-authorization-server/as"),
        ("POST", "/.well-known/oauth-authorization-server/token"),
    ] {
        assert_eq!(scene.gateway.send(method, path, &[FORM], b"").await.status(), 404, "{method} {path}");
    }
}

#[tokio::test]
async fn an_older_client_registers_itself_where_the_operator_allows_it() {
    let scene = Scene::new().await;
    let metadata = json!({"client_name": "Old", "redirect_uris": ["http://127.0.0.1:1/cb"], "token_endpoint_auth_method": "none"});
    let registered = scene.gateway.post("/as/register", metadata.to_string()).await;
    assert_eq!(registered.status(), 201, "{registered:?}");
    let id = registered.json()["client_id"].as_str().unwrap().to_owned();
    let back = scene.back(&id, "http://127.0.0.1:4711/cb", "ada").await;
    assert!(back.starts_with("http://127.0.0.1:4711/cb?code="), "{back}");
    let off = Scene::with(|config| config["identity"]["facade"]["registration"] = json!(false)).await;
    assert_eq!(
        off.gateway.send("POST", "/as/register", &JSON, metadata.to_string().as_bytes()).await.status(),
        404
    );
}

/// A host of documents that is not decent.
pub(super) async fn documents() -> Upstream {
    documents_moved_to("").await
}

/// The same, where one has moved to another origin.
pub(super) async fn documents_moved_to(origin: &str) -> Upstream {
    let moved = format!("{origin}/good");
    Upstream::start(move |seen, mut answer| {
        let moved = moved.clone();
        async move {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"client_name\":\"";
            match seen.path.as_str() {
                "/huge" => {
                    let mut sent = answer.write(head).await;
                    while sent.is_ok() {
                        sent = answer.write(&[b'x'; 8 * 1024]).await;
                    }
                }
                "/slow" => {
                    let mut sent = answer.write(head).await;
                    while sent.is_ok() {
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        sent = answer.write(b"x").await;
                    }
                }
                "/deep" => answer.send(200, &[], "[".repeat(50_000).as_bytes()).await,
                "/moved" => answer.send(302, &[("location", moved.as_str())], b"").await,
                path => {
                    let id = format!("https://{}{path}", seen.header("host").unwrap());
                    answer
                        .json(
                            200,
                            &json!({"client_id": id, "client_name": "Inside", "redirect_uris": [REDIRECT]}),
                        )
                        .await;
                }
            }
        }
    })
    .await
}

/// The operator trusts it to be inside.
#[tokio::test]
async fn a_document_without_an_end_is_given_up_and_a_good_one_of_an_internal_host_is_taken() {
    let (ca, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let host = documents().await;
    let front = Front::before(&host, ca.issue("localhost").server()).await;
    let origin = front.url("localhost").trim_end_matches("/mcp").to_owned();
    let trusted = json!({"internal": [origin], "ca": ca.write(folder.path(), "ca.pem")});
    let scene = Scene::with(|config| config["identity"]["facade"]["documents"] = trusted.clone()).await;
    for (path, status) in [("huge", 400), ("slow", 503), ("deep", 400), ("moved", 400)] {
        let id = format!("{origin}/{path}");
        let params = [("response_type", "code"), ("client_id", id.as_str()), ("redirect_uri", REDIRECT)];
        let answer = scene.gateway.get(&format!("/as/authorize?{}", encoded(&params))).await;
        assert_eq!(answer.status(), status, "{path}: {answer:?}");
    }
    assert!(scene.gateway.memory().peak < 200 << 20, "{:?}", scene.gateway.memory());
    let back = scene.back(&format!("{origin}/good"), REDIRECT, "ada").await;
    assert!(back.starts_with(REDIRECT), "{back}");
    // With another authority it is nobody that is known, until the operator says so.
    let page = async |scene: &Scene| {
        let id = format!("{origin}/other");
        let params = [("response_type", "code"), ("client_id", id.as_str()), ("redirect_uri", REDIRECT)];
        let challenge = encode(sha256(VERIFIER.as_bytes()));
        let more = [("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
        scene
            .gateway
            .get(&format!("/as/authorize?{}", encoded(&[&params[..], &more].concat())))
            .await
            .status()
    };
    let mut changed = trusted.clone();
    changed["ca"] = json!(Authority::new().write(folder.path(), "other.pem"));
    let other = Scene::with(|config| config["identity"]["facade"]["documents"] = changed).await;
    assert_eq!(page(&other).await, 503);
    let mut config = other.config.clone();
    config["identity"]["facade"]["documents"] = trusted;
    other.gateway.rewrite_config(&config);
    other.gateway.logged("took up the configuration").await;
    assert_eq!(page(&other).await, 200);
    // Nobody said so to another gateway.
    let strict = Scene::new().await;
    let id = format!("{origin}/good");
    let params = [("response_type", "code"), ("client_id", id.as_str()), ("redirect_uri", REDIRECT)];
    assert_eq!(strict.gateway.get(&format!("/as/authorize?{}", encoded(&params))).await.status(), 400);
}
