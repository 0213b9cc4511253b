//! What servers, issuers and documents must not get of the gateway: to be sent inside by what they say, and the code of an
//! answer that somebody else sent.
//!
//! Inside is a listener that counts who connects, and nobody may.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Suite, bearer, facade};
use crate::evidence;
use crate::harness::authority::{Authority, field};
use crate::harness::http::Response;
use crate::harness::idp::{PUBLIC, now};
use crate::harness::upstream::Answer;
use crate::harness::{Fake, Modern, Upstream};

/// A listener on loopback that nobody has named but those who lie.
pub(super) struct Inside {
    pub(super) origin: String,
    connections: Arc<AtomicUsize>,
}

impl Inside {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::<AtomicUsize>::default();
        let counted = connections.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { origin, connections }
    }

    /// How often somebody connected.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Those who lie.
pub(super) struct Outside {
    /// An issuer whose metadata has moved inside.
    issuer: Upstream,
    /// The authorization server of `mixed`.
    authority: Authority,
    _others: Vec<Upstream>,
}

/// A server that wants an account, and says in this document where to connect it.
async fn wants_account(document: impl Fn(String, Answer) -> Sending + Send + Sync + 'static) -> Upstream {
    Fake::modern()
        .guarded("Bearer", |_| false)
        .on("document", move |seen, answer| document(seen.header("host").unwrap().to_owned(), answer))
        .start()
        .await
}

type Sending = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn moved(to: &str, answer: Answer) -> Sending {
    let to = format!("{to}/moved");
    Box::pin(async move { answer.send(307, &[("location", to.as_str())], b"").await })
}

fn names(issuer: &str, host: &str, answer: Answer) -> Sending {
    let document = json!({"resource": format!("http://{host}/mcp"), "authorization_servers": [issuer]});
    Box::pin(async move { answer.json(200, &document).await })
}

impl Outside {
    /// Starts them, with their entries in the configuration.
    pub(super) async fn start(inside: &Inside, config: &mut Value) -> Self {
        let to = || inside.origin.clone();
        let (at, issuer_at, endpoint, authority) = (to(), to(), to(), Authority::start().await);
        let moves = Fake::modern().on("tools/call", move |_, answer| moved(&at, answer)).start().await;
        let issuer = Upstream::start(move |_, answer| moved(&issuer_at, answer)).await;
        let lies = Upstream::start(move |seen, answer: Answer| {
            let issuer = format!("http://{}", seen.header("host").unwrap());
            let metadata = json!({
                "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{endpoint}/token"), "code_challenge_methods_supported": ["S256"],
            });
            async move { answer.json(200, &metadata).await }
        })
        .await;
        let (at, named, of_mixed) = (to(), to(), authority.issuer.clone());
        let document_moved = wants_account(move |_, answer| moved(&at, answer)).await;
        let document_names = wants_account(move |host, answer| names(&named, &host, answer)).await;
        let mixed = wants_account(move |host, answer| names(&of_mixed, &host, answer)).await;
        let metadata_names = wants_account(|_, answer| Box::pin(answer.send(404, &[], b""))).await;
        let own = |issuer: &str| json!({"kind": "client-credentials", "issuer": issuer, "client_id": "gw", "client_secret": {"env": "A_SECRET"}});
        let lies_at = lies.url.trim_end_matches("/mcp").to_owned();
        for (name, server, credentials) in [
            ("moves", &moves, Value::Null),
            // The operator lets its documents name addresses inside: where a redirect leads is named by nobody.
            ("prm-moved", &document_moved, json!({"kind": "oauth", "private_network": true})),
            ("prm-names", &document_names, json!({"kind": "oauth"})),
            ("as-names", &metadata_names, own(&lies_at)),
            ("mixed", &mixed, json!({"kind": "oauth", "private_network": true})),
        ] {
            config["servers"][name] = server.config();
            if !credentials.is_null() {
                config["servers"][name]["credentials"] = credentials;
            }
        }
        let of_issuer = json!({"issuer": issuer.url.trim_end_matches("/mcp"), "groups_prefix": "moved:"});
        config["identity"]["issuers"].as_array_mut().unwrap().push(of_issuer);
        let others = vec![moves, lies, document_moved, document_names, mixed, metadata_names];
        Self { issuer, authority, _others: others }
    }
}

impl Suite {
    pub(super) async fn outside(&mut self) {
        self.moved_inside().await;
        self.named_inside().await;
        self.mixed_up().await;
        assert_eq!(self.inside.connections(), 0, "nobody was sent inside");
    }

    /// Who answers with a redirect is not followed.
    async fn moved_inside(&mut self) {
        let id = format!("{}/moved", self.documents);
        let reason = "there is no metadata document at the client id";
        let asked = [("client_id", id.as_str()), ("redirect_uri", facade::REDIRECT)];
        self.login("sent inside by a redirect: a client's document", &asked, reason).await;
        let before = self.events();
        let issuer = self.outside.issuer.url.trim_end_matches("/mcp");
        let token = self.scene.idp.sign(
            &json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}),
            &json!({"iss": issuer, "aud": format!("{PUBLIC}/mcp"), "sub": "eve", "exp": now() + 300}),
        );
        assert_eq!(self.call(&[("authorization", &bearer(&token))]).await.status(), 503);
        self.row("sent inside by a redirect: an issuer's metadata", before, |event| {
            event["kind"] == "denial"
                && event["detail"]["credential"] == "the identity provider cannot be asked"
        });
        let before = self.events();
        let answer = self.ask("eve", "tools/call", json!({"name": "moves__echo", "arguments": {}})).await;
        assert!(answer.get("error").is_some() || answer["result"]["isError"] == true, "{answer}");
        self.row("sent inside by a redirect: a server", before, |event| {
            is_failed(event, "tools/call", "upstream_unavailable")
        });
        let unusable = "its authorization server cannot be used";
        self.not_connected("sent inside by a redirect: a server's document", "prm-moved", (503, unusable))
            .await;
    }

    /// What a document names is not asked where it is inside.
    async fn named_inside(&mut self) {
        self.not_connected(
            "sent inside by a server's document",
            "prm-names",
            (502, "its authorization server cannot be used"),
        )
        .await;
        let before = self.events();
        let answer = self.ask("eve", "tools/call", json!({"name": "as-names__echo", "arguments": {}})).await;
        assert!(answer.get("error").is_some() || answer["result"]["isError"] == true, "{answer}");
        let why = format!("{}/token: is not asked", self.inside.origin);
        assert!(self.scene.gateway.log().contains(&why), "the operator is told why");
        self.row("sent inside by an authorization server's metadata", before, |event| {
            is_failed(event, "tools/call", "upstream_unavailable")
        });
    }

    /// A server whose account cannot be connected: the browser learns that it cannot, and the record why.
    async fn not_connected(&mut self, row: &'static str, server: &str, (status, why): (u16, &str)) {
        let before = self.events();
        let page = self.browse(&self.link(server).await, None).await;
        assert_eq!((page.status(), page.header("location")), (status, None), "{row}: {page:?}");
        self.row(row, before, |event| is_not_connected(event, server, why));
    }

    /// Somebody else's authorization server answers in place of the one that was asked.
    async fn mixed_up(&mut self) {
        let sent = self.browse(&self.link("mixed").await, None).await;
        let to = sent.header("location").unwrap_or_else(|| panic!("{sent:?}")).to_owned();
        let cookie = sent.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let state = field(to.split_once('?').unwrap().1, "state").unwrap();
        let back = field(&to, "redirect_uri").unwrap().replace("%3A", ":").replace("%2F", "/");
        let before = self.events();
        let back = format!("{back}?code=stolen&state={state}&iss=https%3A%2F%2Fevil.example");
        let refused = self.browse(&back, Some(&cookie)).await;
        assert_eq!((refused.status(), refused.header("location")), (400, None), "{refused:?}");
        assert_eq!(self.outside.authority.grants("authorization_code"), Vec::<String>::new());
        self.row("mix-up `iss`: a server's account", before, |event| {
            is_not_connected(event, "mixed", "another authorization server answered")
        });
    }

    /// The link to connect an account with.
    async fn link(&self, server: &str) -> String {
        let params = json!({"name": format!("{server}__portcullis_connect_account"), "arguments": {}});
        let authorization = bearer(&self.scene.idp.token("ada"));
        let headers = [("authorization", authorization.as_str())];
        let answer =
            Modern::new().request_with(&self.scene.gateway, "tools/call", params, &headers).await.json();
        let url = answer["error"]["data"]["url"].as_str();
        url.unwrap_or_else(|| panic!("no link: {answer}")).to_owned()
    }

    /// A page of the gateway's, in the browser of the user whose link it is.
    async fn browse(&self, url: &str, cookie: Option<&str>) -> Response {
        let authorization = bearer(&self.scene.idp.token("ada"));
        let mut headers = vec![("authorization", authorization.as_str()), ("host", "mcp.example.com")];
        headers.extend(cookie.map(|cookie| ("cookie", cookie)));
        self.scene.gateway.send("GET", url.strip_prefix(PUBLIC).unwrap(), &headers, b"").await
    }

    /// What of the storm was refused, each with its reason.
    pub(super) fn refused_since(&self, before: usize, reason: &str) -> usize {
        let events = evidence::events(&self.scene.gateway).split_off(before);
        events.iter().filter(|it| it["kind"] == "denial" && it["detail"]["credential"] == reason).count()
    }
}

fn is_failed(event: &Value, method: &str, error: &str) -> bool {
    event["request"]["method"] == method && event["result"]["error"] == error
}

fn is_not_connected(event: &Value, server: &str, why: &str) -> bool {
    let detail = &event["detail"];
    event["kind"] == "credential"
        && (&detail["what"], &detail["server"], &detail["why"])
            == (&json!("not connected"), &json!(server), &json!(why))
}
